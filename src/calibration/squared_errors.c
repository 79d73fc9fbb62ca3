/* SPDX-License-Identifier: Apache-2.0 */
/* See squared_errors.h. */
#include "squared_errors.h"

#include <math.h>

/* The anchor for rounding numbers of at most max_abs to a unit whose multiples add up exactly, n of them: at most
 * n * max_abs * 2^-50. */
static double sum_anchor(double max_abs, uint64_t n)
{
    int exponent;
    frexp(max_abs * (double)n, &exponent); /* the sum is below 2^exponent, and below half of that of the anchor */
    return ldexp(1.5, exponent + 1);
}

struct vt_error_rule vt_error_rule_of(double top, bool log, uint64_t n)
{
    /* What the coarse unit leaves is at most half of it, which is 2^-53 of the anchor's power of two. */
    int exponent;
    frexp((double)n, &exponent);
    return (struct vt_error_rule){ top, ldexp(1, exponent - 52), log };
}

void vt_begin_error_sum(const struct vt_error_sums *s, size_t c, const struct vt_error_rule *rule, double scale,
                        double zero, uint64_t n, double min, double max)
{
    const double inverse = 1 / scale, least = min * inverse, most = max * inverse;
    const double largest =
        rule->log ? fmax(1, fmax(fabs(least), fabs(most))) : fmax(0.5, fmax(-(least + zero), most + zero - rule->top));
    s->inverse[c] = inverse;
    s->zero[c] = zero;
    s->anchor[c] = sum_anchor(largest * largest, n);
    s->coarse[c] = s->fine[c] = 0;
}

/* Adds error^2. */
static inline void add(double *coarse, double *fine, double anchor, double fine_ratio, double error)
{
    const double square = error * error, fine_anchor = anchor * fine_ratio;
    const double units = (square + anchor) - anchor;
    *coarse += units;
    *fine += ((square - units) + fine_anchor) - fine_anchor;
}

static void add_uniform(const struct vt_error_sums *s, size_t c, const struct vt_error_rule *rule, size_t n,
                        const float *restrict x)
{
    const double *restrict inverse = s->inverse + c, *restrict zero = s->zero + c, *restrict anchor = s->anchor + c;
    double *restrict coarse = s->coarse + c, *restrict fine = s->fine + c;
    const double top = rule->top, fine_ratio = rule->fine_ratio;
    for (size_t i = 0; i < n; i++) {
        const double t = x[i] * inverse[i] + zero[i];
        add(coarse + i, fine + i, anchor[i], fine_ratio, t - vt_round_even(vt_clamp(t, 0, top)));
    }
}

static void add_log(const struct vt_error_sums *s, size_t c, const struct vt_error_rule *rule, size_t n, const float *x)
{
    const unsigned top = (unsigned)rule->top;
    for (size_t i = c; i < c + n; i++) {
        const double ratio = x[i - c] * s->inverse[i];
        const unsigned steps = vt_log_steps(ratio, top + 1);
        const double error = ratio - (steps > top ? 0 : vt_log_power(steps));
        add(s->coarse + i, s->fine + i, s->anchor[i], rule->fine_ratio, error);
    }
}

void vt_add_squared_errors(const struct vt_error_sums *s, size_t c, const struct vt_error_rule *rule, size_t n,
                           const float *x)
{
    (rule->log ? add_log : add_uniform)(s, c, rule, n, x);
}

double vt_error_sum(const struct vt_error_sums *s, size_t c, size_t n)
{
    double coarse = 0, fine = 0;
    for (size_t i = 0; i < n; i++) {
        coarse += s->coarse[c + i];
        fine += s->fine[c + i];
    }
    return coarse + fine;
}
