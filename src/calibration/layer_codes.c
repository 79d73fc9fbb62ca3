/* SPDX-License-Identifier: Apache-2.0 */
/* See layer_codes.h. */
#include "layer_codes.h"

#include "quantizer_search.h"
#include "weight_rows.h"

#include <math.h>
#include <string.h>

#define READ_SCRATCH_BYTES ((size_t)1 << 18)

/* In units of sums; a few bits are left for the sums themselves. */
#define MOST_BIAS 0x1p28

/* What one thread needs, and how far it came. */
struct worker {
    float *row, *search, *errors;
    void *scratch;
    vitrt_error err;
    vitrt_status status;
};

struct job {
    const struct vt_layer *l;
    struct worker *workers;
};

/* A row multiplied by what its columns absorb; in a convolution all taps of a channel the same. */
static void absorb(const struct vt_layer *l, float *row)
{
    const size_t columns = (size_t)l->weight->columns, area = columns / l->channels;
    for (size_t c = 0; c < columns && l->scales; c++)
        row[c] *= l->scales[c / area];
}

/* What codes of inputs and weights lose of an output's mean: added to the bias. */
static double mean_loss(const struct vt_layer *l, size_t r, const float *row, const int8_t *codes, float row_scale)
{
    const size_t columns = (size_t)l->weight->columns, area = columns / l->channels;
    const size_t first = r / (size_t)(l->weight->rows / l->weight->groups) * l->channels;
    double sum = 0;
    for (size_t c = 0; c < columns; c++) {
        const size_t channel = first + c / area;
        sum += l->means[channel] * (double)row[c] - l->code_means[channel] * (double)codes[c] * (double)row_scale;
    }
    return sum;
}

/* A row that is next to nothing beside its bias, such as one of zeros, has a scale for which the bias in units of sums is
 * an integer of 32 bits. */
static void fit_to_bias(const struct vt_layer *l, size_t r, struct vt_quantizer *q)
{
    const float least = (float)(fabs((double)l->new_bias[r]) / l->in_scale / MOST_BIAS);
    if (q->scale < least) {
        q->zero = (float)vt_round_even((double)q->zero * (double)q->scale / (double)least);
        q->scale = least;
    }
}

static enum vt_fit quantize_row(const struct vt_layer *l, const struct worker *w, size_t r, int8_t *codes)
{
    const size_t columns = (size_t)l->weight->columns;
    struct vt_quantizer q;
    unsigned top;
    const enum vt_fit fit = vt_row_quantizer(w->row, columns, l->bits, &q, &top, w->search);
    if (fit == VT_FIT_NOT_FINITE)
        return fit;
    fit_to_bias(l, r, &q);
    l->row_scales[r] = q.scale;
    if (l->compensation)
        vt_compensate_row(l->compensation, &q, top, w->row, w->errors, codes);
    else
        vt_row_codes(&q, top, w->row, columns, codes);
    return fit;
}

static vitrt_status make_row(const struct vt_layer *l, size_t r, struct worker *w)
{
    const size_t columns = (size_t)l->weight->columns;
    int8_t *codes = l->codes + r * columns;
    const vitrt_status st =
        vt_read_weight_rows(l->checkpoint, l->weight, r, 1, w->row, w->scratch, READ_SCRATCH_BYTES, &w->err);
    if (st)
        return st;
    absorb(l, w->row);
    if (quantize_row(l, w, r, codes) == VT_FIT_NOT_FINITE)
        return vt_err(&w->err, VITRT_EFORMAT,
                      "%s: row %zu of weight %s is too large for codes when it takes over the scales of its input",
                      vt_checkpoint_path(l->checkpoint), r, l->weight->name);
    if (r < l->exact_row || r >= l->exact_end)
        l->new_bias[r] = (float)((double)l->new_bias[r] + mean_loss(l, r, w->row, codes, l->row_scales[r]));
    return VITRT_OK;
}

static void make_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct job *job = arg;
    struct worker *w = &job->workers[worker];
    for (size_t r = begin; r < end && !w->status; r++)
        w->status = make_row(job->l, r, w);
}

static vitrt_status read_bias(const struct vt_layer *l, void *scratch, vitrt_error *err)
{
    const size_t rows = (size_t)l->weight->rows;
    memset(l->new_bias, 0, rows * sizeof *l->new_bias);
    return l->bias ? vt_read_weight_rows(l->checkpoint, l->bias, 0, rows, l->new_bias, scratch, READ_SCRATCH_BYTES, err)
                   : VITRT_OK;
}

/* The workers' memory, with a base; else what they need. */
static size_t carve(const struct vt_layer *l, struct worker *workers, size_t count, char *base)
{
    const size_t columns = (size_t)l->weight->columns;
    const size_t row = vt_round_up(columns * sizeof(float), VT_ALIGN);
    const size_t search = vt_round_up(vt_search_scratch(columns) * sizeof(float), VT_ALIGN);
    const size_t each = 2 * row + search + READ_SCRATCH_BYTES;
    for (size_t i = 0; i < count && base; i++, base += each)
        workers[i] = (struct worker){ .row = (float *)(void *)base,
                                      .errors = (float *)(void *)(base + row),
                                      .search = (float *)(void *)(base + 2 * row),
                                      .scratch = base + 2 * row + search };
    return each * count;
}

vitrt_status vt_make_layer_codes(const struct vt_layer *l, struct vt_pool *pool, const vitrt_allocator *a,
                                 vitrt_error *err)
{
    const size_t count = vt_pool_size(pool), bytes = carve(l, NULL, count, NULL);
    struct worker *workers = vt_calloc(a, count, sizeof *workers);
    char *memory = vt_alloc(a, bytes);
    vitrt_status st = workers && memory ? VITRT_OK : vt_err_memory(err, bytes, "rows of a weight");
    if (!st) {
        carve(l, workers, count, memory);
        st = read_bias(l, workers[0].scratch, err);
    }
    if (!st)
        vt_parallel(pool, (size_t)l->weight->rows, 4, make_rows, &(struct job){ l, workers });
    for (size_t i = 0; i < count && !st; i++) {
        st = workers[i].status;
        if (st && err)
            *err = workers[i].err;
    }
    vt_free(a, workers, count * sizeof *workers);
    vt_free(a, memory, bytes);
    return st;
}
