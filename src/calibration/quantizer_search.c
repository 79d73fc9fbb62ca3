/* SPDX-License-Identifier: Apache-2.0 */
/* See quantizer_search.h. */
#include "quantizer_search.h"

#include "finite.h"
#include "squared_errors.h"
#include "tails.h"

#include <math.h>

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
static double error_of(const struct array *a, double scale, double zero, double top)
{
    double columns[5][VT_ERROR_COLUMNS];
    const struct vt_error_sums s = { columns[0], columns[1], columns[2], columns[3], columns[4] };
    const struct vt_error_rule rule = vt_error_rule_of(top, false, a->n);
    for (size_t c = 0; c < VT_ERROR_COLUMNS; c++)
        vt_begin_error_sum(&s, c, &rule, scale, zero, a->n, a->min, a->max);
    for (size_t i = 0; i < a->n; i += VT_ERROR_COLUMNS)
        vt_add_squared_errors(&s, 0, &rule, a->n - i < VT_ERROR_COLUMNS ? a->n - i : VT_ERROR_COLUMNS, a->x + i);
    return vt_error_sum(&s, 0, VT_ERROR_COLUMNS) * scale * scale;
}

/* Tails of the numbers or their magnitudes. */
static struct vt_tails tails_of(const struct array *a, bool magnitudes, float *scratch)
{
    struct vt_tails t;
    vt_tails_init(&t, vt_tails_capacity(a->n), scratch);
    for (size_t i = 0; i < a->n; i++)
        vt_tails_add(&t, magnitudes ? fabsf(a->x[i]) : a->x[i]);
    vt_tails_sort(&t);
    return t;
}

/* A clip range's quantizer, whose codes less zero point have 8 bits. */
static enum vt_fit range_quantizer(struct vt_quantizer *q, double lo, double hi, unsigned bits)
{
    const enum vt_fit fit = vt_quantizer_of_range(q, lo, hi, bits);
    if (q->zero <= -INT8_MIN && vt_top_code(bits) - q->zero <= INT8_MAX)
        return fit;
    vt_quantizer_of_range(q, fmin(lo, 0), fmax(hi, 0), bits);
    return VT_FIT_WIDENED;
}

static enum vt_fit search_asymmetric(struct vt_quantizer *q, const struct array *a, unsigned bits, float *scratch)
{
    const struct vt_tails t = tails_of(a, false, scratch);
    double least = INFINITY;
    enum vt_fit fit = VT_FIT_OK;
    for (int p = 0; p < VT_PERCENTILES; p++) {
        struct vt_quantizer candidate;
        const double lo = vt_tails_quantile(&t, a->n, 1 - vt_percentiles[p]);
        const double hi = vt_tails_quantile(&t, a->n, vt_percentiles[p]);
        const enum vt_fit candidate_fit = range_quantizer(&candidate, lo, hi, bits);
        const double error = error_of(a, candidate.scale, candidate.zero, vt_top_code(bits));
        if (error < least) {
            least = error;
            *q = candidate;
            fit = candidate_fit;
        }
    }
    return fit;
}

static enum vt_fit search_symmetric(struct vt_quantizer *q, const struct array *a, float *scratch)
{
    const struct vt_tails t = tails_of(a, true, scratch);
    const double max_abs = fmax(-a->min, a->max);
    double least = INFINITY;
    *q = (struct vt_quantizer){ VT_MIN_SCALE, SYMMETRIC_ZERO, VT_MAX_CODE_BITS };
    for (int p = 0; p <= VT_PERCENTILES; p++) {
        const double clip = p < VT_PERCENTILES ? vt_tails_quantile(&t, a->n, vt_percentiles[p]) : max_abs;
        const float candidate = vt_symmetric_scale(clip, 8);
        const double error = error_of(a, candidate, SYMMETRIC_ZERO, 2 * SYMMETRIC_ZERO);
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
    const struct array a = measured(w, n);
    *top = bits == VT_MAX_CODE_BITS ? 2 * SYMMETRIC_ZERO : vt_top_code(bits);
    *q = (struct vt_quantizer){ VT_MIN_SCALE, 0, (uint8_t)bits };
    if (!vt_all_finite(w, n))
        return VT_FIT_NOT_FINITE;
    if (a.min == 0 && a.max == 0)
        return VT_FIT_WIDENED;
    const enum vt_fit fit =
        bits == VT_MAX_CODE_BITS ? search_symmetric(q, &a, scratch) : search_asymmetric(q, &a, bits, scratch);
    return q->scale <= VT_MAX_SCALE ? fit : VT_FIT_NOT_FINITE;
}

void vt_row_codes(const struct vt_quantizer *q, unsigned top, const float *w, size_t n, int8_t *codes)
{
    const double scale = (double)q->scale, zero = (double)q->zero;
    for (size_t i = 0; i < n; i++)
        codes[i] = (int8_t)(vt_round_even(vt_clamp(w[i] / scale + zero, 0, top)) - zero);
}
