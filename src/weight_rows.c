/* SPDX-License-Identifier: Apache-2.0 */
/* See weight_rows.h. */
#include "weight_rows.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Rows whose batch norm is read at a time. */
enum { NORM_ROWS = 64 };

struct reader {
    const struct vt_checkpoint *checkpoint;
    const struct vt_graph_weight *weight;
    void *scratch;
    size_t scratch_bytes;
    vitrt_error *err;
};

static vitrt_status read_tensor(const struct reader *r, const struct vt_tensor *t, uint64_t row, uint64_t n, float *dst)
{
    return vt_checkpoint_read_rows(r->checkpoint, t, row, n, dst, r->scratch, r->scratch_bytes, r->err);
}

/* Rows [row, row + n) of one part. */
static vitrt_status read_part(const struct reader *r, const struct vt_weight_part *part, uint64_t row, uint64_t n,
                              float *dst)
{
    const struct vt_tensor *t = part->tensor;
    if (!t) {
        memset(dst, 0, (size_t)(n * r->weight->columns) * sizeof *dst);
        return VITRT_OK;
    }
    assert(!part->whole || (row == 0 && n == part->rows));
    return read_tensor(r, t, row, part->whole && t->rank ? t->shape[0] : n, dst);
}

static vitrt_status read_parts(const struct reader *r, uint64_t row, uint64_t n, float *dst)
{
    const struct vt_graph_weight *w = r->weight;
    uint64_t first = 0; /* of the part, in the stack */
    for (uint32_t p = 0; p < w->part_count && n; first += w->parts[p++].rows) {
        if (row < first || row - first >= w->parts[p].rows)
            continue;
        const uint64_t in_part = row - first, left = w->parts[p].rows - in_part, count = left < n ? left : n;
        const vitrt_status st = read_part(r, &w->parts[p], in_part, count, dst);
        if (st)
            return st;
        dst += count * w->columns;
        row += count;
        n -= count;
    }
    return VITRT_OK;
}

/* At most NORM_ROWS rows through the batch norm. */
static vitrt_status fold_norm(const struct reader *r, uint64_t row, uint64_t n, float *x)
{
    float gamma[NORM_ROWS], beta[NORM_ROWS], mean[NORM_ROWS], variance[NORM_ROWS];
    const struct vt_graph_weight *w = r->weight;
    vitrt_status st = read_tensor(r, w->norm.gamma, row, n, gamma);
    if (!st)
        st = read_tensor(r, w->norm.beta, row, n, beta);
    if (!st)
        st = read_tensor(r, w->norm.mean, row, n, mean);
    if (!st)
        st = read_tensor(r, w->norm.variance, row, n, variance);
    for (uint64_t i = 0; i < n && !st; i++) {
        const double s = gamma[i] / sqrt((double)variance[i] + w->norm.eps);
        float *numbers = x + i * w->columns;
        if (!isfinite(s))
            return vt_err(r->err, VITRT_EFORMAT, "%s: tensor %s[%llu] is negative, expected a variance",
                          vt_checkpoint_path(r->checkpoint), w->norm.variance->name, (unsigned long long)(row + i));
        for (uint64_t c = 0; c < w->columns; c++)
            numbers[c] = (float)(w->fold == VT_FOLD_NORM_SCALE ? numbers[c] * s : beta[i] + (numbers[c] - mean[i]) * s);
    }
    return st;
}

static void fold_logit_scale(const struct reader *r, uint64_t n, float *x)
{
    for (uint64_t i = 0; i < n * r->weight->columns; i++)
        x[i] = (float)exp(fmin((double)x[i], log(100)));
}

/* Numbers of a weight that has absorbed the scales of the codes that it is multiplied with; in a convolution all
 * taps of a channel have the same scale. The vector of them may be stored with leading extents of 1. */
static vitrt_status divide_columns(const struct reader *r, uint64_t n, float *x)
{
    const struct vt_graph_weight *w = r->weight;
    const uint64_t area = (uint64_t)w->kernel[0] * w->kernel[1], channels = w->columns / area;
    struct vt_tensor flat = *w->absorbed;
    flat.rank = 1;
    for (uint64_t c = 0; c < channels; c += NORM_ROWS) {
        float scales[NORM_ROWS];
        const uint64_t count = channels - c < NORM_ROWS ? channels - c : NORM_ROWS;
        const vitrt_status st = read_tensor(r, &flat, c, count, scales);
        if (st)
            return st;
        for (uint64_t i = 0; i < count; i++) {
            if (!vt_is_code_scale(scales[i]))
                return vt_err(r->err, VITRT_EFORMAT, "%s: tensor %s[%llu] is no scale from 1e-30 to 1e30",
                              vt_checkpoint_path(r->checkpoint), w->absorbed->name, (unsigned long long)(c + i));
            for (uint64_t row = 0; row < n; row++)
                for (uint64_t t = 0; t < area; t++)
                    x[row * w->columns + (c + i) * area + t] /= scales[i];
        }
    }
    return VITRT_OK;
}

vitrt_status vt_read_weight_rows(const struct vt_checkpoint *c, const struct vt_graph_weight *w, uint64_t row,
                                 uint64_t n, float *dst, void *scratch, size_t scratch_bytes, vitrt_error *err)
{
    const struct reader r = { c, w, scratch, scratch_bytes, err };
    vitrt_status st = read_parts(&r, row, n, dst);
    if (!st && w->absorbed)
        st = divide_columns(&r, n, dst);
    if (!st && w->fold == VT_FOLD_LOGIT_SCALE)
        fold_logit_scale(&r, n, dst);
    const bool norm = w->fold == VT_FOLD_NORM_SCALE || w->fold == VT_FOLD_NORM_SHIFT;
    for (uint64_t i = 0; i < n && norm && !st; i += NORM_ROWS)
        st = fold_norm(&r, row + i, n - i < NORM_ROWS ? n - i : NORM_ROWS, dst + i * w->columns);
    return st;
}

vitrt_status vt_read_weight_codes(const struct vt_checkpoint *c, const struct vt_graph_weight *w, uint64_t row,
                                  uint64_t n, int8_t *dst, vitrt_error *err)
{
    uint64_t first = 0; /* of the part, in the stack */
    for (uint32_t p = 0; p < w->part_count && n; first += w->parts[p++].rows) {
        if (row < first || row - first >= w->parts[p].rows)
            continue;
        const uint64_t left = w->parts[p].rows - (row - first), count = left < n ? left : n;
        const vitrt_status st = vt_checkpoint_read_codes(c, w->parts[p].tensor, row - first, count, dst, err);
        if (st)
            return st;
        dst += count * w->columns;
        row += count;
        n -= count;
    }
    return VITRT_OK;
}

vitrt_status vt_read_row_scales(const struct vt_checkpoint *c, const struct vt_graph_weight *w, float *dst,
                                void *scratch, size_t scratch_bytes, vitrt_error *err)
{
    for (uint32_t p = 0; p < w->part_count; dst += w->parts[p++].rows) {
        const vitrt_status st = vt_checkpoint_read_rows(c, w->parts[p].tensor->scale, 0, w->parts[p].rows, dst, scratch,
                                                        scratch_bytes, err);
        if (st)
            return st;
    }
    return VITRT_OK;
}
