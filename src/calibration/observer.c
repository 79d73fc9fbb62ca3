/* SPDX-License-Identifier: Apache-2.0 */
/* See observer.h. */
#include "observer.h"

#include "alloc.h"
#include "error.h"
#include "finite.h"

#include <assert.h>
#include <math.h>

/* ---- Memory ---- */

/* Rows of which quantiles are taken. */
static uint64_t sampled_rows(uint64_t rows, uint64_t stride)
{
    return rows / stride + (rows % stride != 0);
}

static uint64_t choose_stride(const struct vt_observer_spec *s)
{
    const uint64_t fit = s->per_column ? VT_EXACT_ROWS : VT_EXACT_NUMBERS / (s->columns ? s->columns : 1);
    const uint64_t limit = fit ? fit : 1;
    return s->rows > limit ? sampled_rows(s->rows, limit) : 1;
}

/* Of each tail. */
static size_t tail_capacity(const struct vt_observer *o)
{
    const uint64_t rows = sampled_rows(o->spec.rows, o->stride);
    return vt_tails_capacity(o->spec.per_column ? rows : rows * o->spec.columns);
}

static size_t carve(struct vt_observer *o, char *base)
{
    const size_t tails = vt_size_mul(o->groups, vt_size_mul(2, tail_capacity(o)));
    const size_t all = vt_size_mul(o->groups, VT_PERCENTILES);
    size_t used = 0;
    o->tails = vt_take(base, &used, o->groups, sizeof *o->tails);
    o->storage = vt_take(base, &used, tails, sizeof *o->storage);
    o->min = vt_take(base, &used, o->groups, sizeof *o->min);
    o->max = vt_take(base, &used, o->groups, sizeof *o->max);
    o->quantizers = vt_take(base, &used, all, sizeof *o->quantizers);
    o->fits = vt_take(base, &used, all, sizeof *o->fits);
    for (size_t k = 0; k < VT_PERCENTILES; k++)
        o->sums[k] = (struct vt_error_sums){ .inverse = vt_take(base, &used, o->lanes, sizeof(double)),
                                             .zero = vt_take(base, &used, o->lanes, sizeof(double)),
                                             .anchor = vt_take(base, &used, o->lanes, sizeof(double)),
                                             .coarse = vt_take(base, &used, o->lanes, sizeof(double)),
                                             .fine = vt_take(base, &used, o->lanes, sizeof(double)) };
    return used;
}

static struct vt_observer described(const struct vt_observer_spec *spec)
{
    return (struct vt_observer){ .spec = *spec,
                                 .groups = spec->per_column ? spec->columns : 1,
                                 .lanes = spec->per_column ? spec->columns : VT_ERROR_COLUMNS,
                                 .stride = choose_stride(spec) };
}

vitrt_status vt_observer_init(struct vt_observer *o, const struct vt_observer_spec *spec, const vitrt_allocator *a,
                              vitrt_error *err)
{
    *o = described(spec);
    const size_t bytes = carve(o, NULL);
    o->block = bytes == SIZE_MAX ? NULL : vt_alloc(a, bytes);
    if (!o->block)
        return vt_err_memory(err, bytes, "the statistics of a value");
    o->block_bytes = bytes;
    carve(o, o->block);
    const size_t capacity = tail_capacity(o);
    for (size_t g = 0; g < o->groups; g++) {
        vt_tails_init(&o->tails[g], capacity, o->storage + 2 * capacity * g);
        o->min[g] = INFINITY;
        o->max[g] = -INFINITY;
    }
    return VITRT_OK;
}

void vt_observer_free(struct vt_observer *o, const vitrt_allocator *a)
{
    vt_free(a, o->block, o->block_bytes);
    *o = (struct vt_observer){ .block = NULL };
}

/* ---- First pass ---- */

/* Blocks of few columns, and all rows of them, so that their state stays in the cache. */
static size_t block_end(const struct vt_observer *o, size_t c)
{
    return o->spec.columns - c < VT_ERROR_COLUMNS ? o->spec.columns : c + VT_ERROR_COLUMNS;
}

static uint64_t count_not_finite(const float *x, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += !vt_all_finite(x + i, 1);
    return count;
}

static void collect_tails(struct vt_observer *o, size_t c, size_t n, const float *x)
{
    if (o->spec.per_column)
        for (size_t i = 0; i < n; i++)
            vt_tails_add(&o->tails[c + i], x[i]);
    else
        for (size_t i = 0; i < n; i++)
            vt_tails_add(o->tails, x[i]);
}

static void collect_range(struct vt_observer *o, size_t c, size_t n, const float *x)
{
    for (size_t i = 0; i < n; i++) {
        const size_t g = o->spec.per_column ? c + i : 0;
        o->min[g] = x[i] < o->min[g] ? x[i] : o->min[g];
        o->max[g] = x[i] > o->max[g] ? x[i] : o->max[g];
    }
}

void vt_observer_collect(struct vt_observer *o, const float *x, size_t rows, size_t ld)
{
    assert(rows <= o->spec.rows - o->collected);
    for (size_t c = 0, end; c < o->spec.columns; c = end) {
        end = block_end(o, c);
        for (size_t r = 0; r < rows; r++) {
            const float *numbers = x + r * ld + c;
            if (!vt_all_finite(numbers, end - c))
                o->not_finite += count_not_finite(numbers, end - c);
            else if ((o->collected + r) % o->stride == 0)
                collect_tails(o, c, end - c, numbers); /* which know the range, too */
            else
                collect_range(o, c, end - c, numbers);
        }
    }
    o->collected += rows;
}

/* ---- Candidates ---- */

/* How many numbers a group has. */
static uint64_t group_count(const struct vt_observer *o, uint64_t rows)
{
    return o->spec.per_column ? rows : rows * o->spec.columns;
}

static enum vt_fit log_candidate(struct vt_quantizer *q, double delta, unsigned bits)
{
    *q = (struct vt_quantizer){ (float)fmax(delta, VT_MIN_SCALE), 0, (uint8_t)bits };
    return delta < VT_MIN_SCALE ? VT_FIT_WIDENED : VT_FIT_OK;
}

/* Candidate k of a group whose quantiles are of n > 0 numbers. */
static enum vt_fit make_candidate(const struct vt_observer *o, size_t g, size_t k, uint64_t n, struct vt_quantizer *q)
{
    const double hi = vt_tails_quantile(&o->tails[g], n, vt_percentiles[k]);
    if (o->spec.log)
        return log_candidate(q, hi, o->spec.bits);
    return vt_quantizer_of_range(q, vt_tails_quantile(&o->tails[g], n, 1 - vt_percentiles[k]), hi, o->spec.bits);
}

static void end_range(struct vt_observer *o, size_t g, uint64_t n)
{
    struct vt_tails *t = &o->tails[g];
    vt_tails_sort(t);
    o->min[g] = n ? fminf(o->min[g], -t->low[0]) : 0;
    o->max[g] = n ? fmaxf(o->max[g], t->high[0]) : 0;
}

static void begin_sums(struct vt_observer *o, size_t g)
{
    const uint64_t n = group_count(o, o->collected);
    const size_t first = o->spec.per_column ? g : 0, count = o->spec.per_column ? 1 : o->lanes;
    for (size_t k = 0; k < VT_PERCENTILES; k++) {
        const struct vt_quantizer *q = &o->quantizers[k * o->groups + g];
        for (size_t c = first; c < first + count; c++)
            vt_begin_error_sum(&o->sums[k], c, &o->rule, q->scale, q->zero, n, o->min[g], o->max[g]);
    }
}

void vt_observer_end_collecting(struct vt_observer *o)
{
    const uint64_t n = group_count(o, sampled_rows(o->collected, o->stride));
    const bool usable = n && !o->not_finite;
    o->rule = vt_error_rule_of(vt_top_code(o->spec.bits), o->spec.log, group_count(o, o->collected));
    for (size_t g = 0; g < o->groups; g++) {
        end_range(o, g, usable ? n : 0);
        for (size_t k = 0; k < VT_PERCENTILES; k++) {
            struct vt_quantizer *q = &o->quantizers[k * o->groups + g];
            o->fits[k * o->groups + g] =
                (uint8_t)(usable ? make_candidate(o, g, k, n, q)
                                 : vt_quantizer_of_range(q, o->not_finite ? NAN : 0, 0, o->spec.bits));
        }
        begin_sums(o, g);
    }
}

/* ---- Second pass ---- */

void vt_observer_compare(struct vt_observer *o, const float *x, size_t rows, size_t ld)
{
    assert(rows <= o->collected - o->compared);
    o->compared += rows;
    if (o->not_finite)
        return;
    for (size_t c = 0, end; c < o->spec.columns; c = end) {
        end = block_end(o, c);
        const size_t lane = o->spec.per_column ? c : 0;
        for (size_t k = 0; k < VT_PERCENTILES; k++)
            for (size_t r = 0; r < rows; r++)
                vt_add_squared_errors(&o->sums[k], lane, &o->rule, end - c, x + r * ld + c);
    }
}

/* ---- Results ---- */

enum vt_fit vt_observer_quantizer(const struct vt_observer *o, size_t g, struct vt_quantizer *q)
{
    const size_t first = o->spec.per_column ? g : 0, count = o->spec.per_column ? 1 : o->lanes;
    double least = INFINITY;
    enum vt_fit fit = VT_FIT_NOT_FINITE; /* what stays if the second pass brings NaN that the first one had not */
    *q = o->quantizers[g];
    for (size_t k = 0; k < VT_PERCENTILES; k++) {
        const struct vt_quantizer *candidate = &o->quantizers[k * o->groups + g];
        const double sum = vt_error_sum(&o->sums[k], first, count) * candidate->scale * candidate->scale;
        if (sum < least) {
            least = sum;
            *q = *candidate;
            fit = (enum vt_fit)o->fits[k * o->groups + g];
        }
    }
    return fit;
}
