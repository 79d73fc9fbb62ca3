/* SPDX-License-Identifier: Apache-2.0 */
/* See quantizer_search.h. */
#include "quantizer_search.h"

#include "finite.h"
#include "squared_errors.h"
#include "tails.h"

#include <math.h>
#include <string.h>

/* Steps in which one end of a range comes to the middle, and how often both ends are tried. */
enum { CLIP_STEPS = 64, CLIP_ROUNDS = 4 };

/* Symmetric codes, as a uniform quantizer with this zero point. */
enum { SYMMETRIC_ZERO = 127 };

struct array {
    const float *x;
    size_t n;
    double min, max; /* 0 if n is 0 */
};

size_t vt_search_scratch(size_t n)
{
    return 2 * vt_tails_capacity(n);
}

static struct array measured(const float *x, size_t n)
{
    struct array a = { x, n, n ? x[0] : 0, n ? x[0] : 0 };
    for (size_t i = 0; i < n; i++) {
        a.min = x[i] < a.min ? x[i] : a.min;
        a.max = x[i] > a.max ? x[i] : a.max;
    }
    return a;
}

/* The sum of squared errors of one quantizer, in units of the numbers. */
static double error_of(const struct array *a, double scale, double zero, double top, bool log)
{
    double columns[5][VT_ERROR_COLUMNS];
    const struct vt_error_sums s = { columns[0], columns[1], columns[2], columns[3], columns[4] };
    const struct vt_error_rule rule = vt_error_rule_of(top, log, a->n);
    for (size_t c = 0; c < VT_ERROR_COLUMNS; c++)
        vt_begin_error_sum(&s, c, &rule, scale, zero, a->n, a->min, a->max);
    for (size_t i = 0; i < a->n; i += VT_ERROR_COLUMNS)
        vt_add_squared_errors(&s, 0, &rule, a->n - i < VT_ERROR_COLUMNS ? a->n - i : VT_ERROR_COLUMNS, a->x + i);
    return vt_error_sum(&s, 0, VT_ERROR_COLUMNS) * scale * scale;
}

static double quantizer_error(const struct vt_quantizer *q, const struct array *a)
{
    return error_of(a, q->scale, q->zero, vt_top_code(q->bits), false);
}

double vt_quantizer_error(const struct vt_quantizer *q, const float *x, size_t n)
{
    if (!vt_all_finite(x, n))
        return INFINITY;
    const struct array a = measured(x, n);
    return quantizer_error(q, &a);
}

/* Tails of x or |x|. */
static struct vt_tails tails_of(const float *x, size_t n, bool magnitudes, float *scratch)
{
    struct vt_tails t;
    vt_tails_init(&t, vt_tails_capacity(n), scratch);
    for (size_t i = 0; i < n; i++)
        vt_tails_add(&t, magnitudes ? fabsf(x[i]) : x[i]);
    vt_tails_sort(&t);
    return t;
}

/* A clip range's quantizer; with codes less zero point in 8 bits, if they are weights. */
static enum vt_fit range_quantizer(struct vt_quantizer *q, double lo, double hi, unsigned bits, bool weights)
{
    const enum vt_fit fit = vt_quantizer_of_range(q, lo, hi, bits);
    if (!weights || (q->zero <= -INT8_MIN && vt_top_code(bits) - q->zero <= INT8_MAX))
        return fit;
    vt_quantizer_of_range(q, fmin(lo, 0), fmax(hi, 0), bits);
    return VT_FIT_WIDENED;
}

static enum vt_fit search(struct vt_quantizer *q, const float *x, size_t n, unsigned bits, bool weights, float *scratch)
{
    if (!n || !vt_all_finite(x, n))
        return vt_quantizer_of_range(q, n ? NAN : 0, 0, bits);
    const struct array a = measured(x, n);
    const struct vt_tails t = tails_of(x, n, false, scratch);
    double least = INFINITY;
    enum vt_fit fit = VT_FIT_OK;
    for (int p = 0; p < VT_PERCENTILES; p++) {
        struct vt_quantizer candidate;
        const double lo = vt_tails_quantile(&t, n, 1 - vt_percentiles[p]);
        const double hi = vt_tails_quantile(&t, n, vt_percentiles[p]);
        const enum vt_fit candidate_fit = range_quantizer(&candidate, lo, hi, bits, weights);
        const double error = quantizer_error(&candidate, &a);
        if (error < least) {
            least = error;
            *q = candidate;
            fit = candidate_fit;
        }
    }
    return fit;
}

enum vt_fit vt_search_quantizer(struct vt_quantizer *q, const float *x, size_t n, unsigned bits, float *scratch)
{
    return search(q, x, n, bits, false, scratch);
}

enum vt_fit vt_search_log_quantizer(struct vt_log_quantizer *q, const float *x, size_t n, unsigned bits, float *scratch)
{
    *q = (struct vt_log_quantizer){ VT_MIN_SCALE, (uint8_t)bits };
    if (!vt_all_finite(x, n))
        return VT_FIT_NOT_FINITE;
    if (!n)
        return VT_FIT_WIDENED;
    const struct array a = measured(x, n);
    const struct vt_tails t = tails_of(x, n, false, scratch);
    double least = INFINITY;
    enum vt_fit fit = VT_FIT_OK;
    for (int p = 0; p < VT_PERCENTILES; p++) {
        const double quantile = vt_tails_quantile(&t, n, vt_percentiles[p]);
        const float delta = (float)fmax(quantile, VT_MIN_SCALE);
        const double error = error_of(&a, delta, 0, vt_top_code(bits), true);
        if (error < least) {
            least = error;
            q->delta = delta;
            fit = quantile < VT_MIN_SCALE ? VT_FIT_WIDENED : VT_FIT_OK;
        }
    }
    return fit;
}

/* ---- Each end by itself ---- */

struct clip {
    double end[2], error;
    struct vt_quantizer q;
    enum vt_fit fit;
};

/* Moves one end; true if that helped. */
static bool move_end(struct clip *best, int end, const struct array *a)
{
    const double middle = (best->end[0] + best->end[1]) / 2, from = best->end[end];
    bool moved = false;
    for (int step = 1; step < CLIP_STEPS; step++) {
        struct clip tried = *best;
        tried.end[end] = from + (middle - from) * step / CLIP_STEPS;
        tried.fit = vt_quantizer_of_range(&tried.q, tried.end[0], tried.end[1], best->q.bits);
        tried.error = quantizer_error(&tried.q, a);
        if (tried.error < best->error) {
            *best = tried;
            moved = true;
        }
    }
    return moved;
}

enum vt_fit vt_clip_both_ends(struct vt_quantizer *q, double lo, double hi, unsigned bits, const float *x, size_t n)
{
    struct clip best = { .end = { lo, hi } };
    best.fit = vt_all_finite(x, n) ? vt_quantizer_of_range(&best.q, lo, hi, bits)
                                   : vt_quantizer_of_range(&best.q, NAN, NAN, bits);
    if (best.fit == VT_FIT_OK) { /* one that was widened has nothing to clip */
        const struct array a = measured(x, n);
        best.error = quantizer_error(&best.q, &a);
        for (int round = 0; round < CLIP_ROUNDS; round++) {
            const bool low = move_end(&best, 0, &a), high = move_end(&best, 1, &a);
            if (!low && !high)
                break;
        }
    }
    *q = best.q;
    return best.fit;
}

/* ---- Rows of weights ---- */

static void write_codes(const float *w, size_t n, double scale, double zero, double top, int8_t *codes)
{
    for (size_t i = 0; i < n; i++)
        codes[i] = (int8_t)(vt_round_even(vt_clamp(w[i] / scale + zero, 0, top)) - zero);
}

static enum vt_fit search_symmetric(struct vt_quantizer *q, const float *w, size_t n, float *scratch)
{
    const struct array a = measured(w, n);
    const struct vt_tails t = tails_of(w, n, true, scratch);
    const double max_abs = fmax(-a.min, a.max);
    double least = INFINITY;
    *q = (struct vt_quantizer){ VT_MIN_SCALE, SYMMETRIC_ZERO, VT_MAX_CODE_BITS };
    for (int p = 0; p <= VT_PERCENTILES; p++) {
        const double clip = p < VT_PERCENTILES ? vt_tails_quantile(&t, n, vt_percentiles[p]) : max_abs;
        const float candidate = vt_symmetric_scale(clip, 8);
        const double error = error_of(&a, candidate, SYMMETRIC_ZERO, 2 * SYMMETRIC_ZERO, false);
        if (error < least) {
            least = error;
            q->scale = candidate;
        }
    }
    return q->scale > VT_MIN_SCALE ? VT_FIT_OK : VT_FIT_WIDENED;
}

enum vt_fit vt_row_quantizer(const float *w, size_t n, unsigned bits, struct vt_quantizer *q, unsigned *top,
                             float *scratch)
{
    *top = bits == VT_MAX_CODE_BITS ? 2 * SYMMETRIC_ZERO : vt_top_code(bits);
    if (bits == VT_MAX_CODE_BITS && n && vt_all_finite(w, n))
        return search_symmetric(q, w, n, scratch);
    return search(q, w, n, bits, true, scratch);
}

enum vt_fit vt_quantize_row(const float *w, size_t n, unsigned bits, int8_t *codes, float *scale, float *scratch)
{
    struct vt_quantizer q;
    unsigned top;
    const enum vt_fit fit = vt_row_quantizer(w, n, bits, &q, &top, scratch);
    *scale = q.scale;
    if (fit == VT_FIT_NOT_FINITE)
        memset(codes, 0, n);
    else
        write_codes(w, n, (double)q.scale, (double)q.zero, top, codes);
    return fit;
}
