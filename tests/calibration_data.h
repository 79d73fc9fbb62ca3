/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that calibration meets, what quantizers make of them, and a search that sorts them, for the tests of
 * quantizers. */
#ifndef VT_TESTS_CALIBRATION_DATA_H
#define VT_TESTS_CALIBRATION_DATA_H

#include "support.h"

#include "quantizer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Equal in the digits that an example gives. */
#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

/* ---- Random numbers ---- */

static uint64_t seed = 1;

static inline double uniform(void) /* in [0, 1) */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) * 0x1p-53;
}

static inline double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

enum data { NORMAL, HEAVY, SPARSE, LOPSIDED, STEPS, CONSTANT, TINY, LARGE, DATA_KINDS };

static inline float number(enum data kind)
{
    switch (kind) {
    case NORMAL: return (float)normal();
    case HEAVY: return (float)(normal() / (0.02 + fabs(normal())));
    case SPARSE: return uniform() < 0.001 ? (float)normal() : 0;
    case LOPSIDED: return (float)(7 + 0.5 * normal());
    case STEPS: return (float)floor(5 * uniform());
    case CONSTANT: return -3.7f;
    case TINY: return (float)(normal() * 1e-40);
    case LARGE: return uniform() < 0.5 ? FLT_MAX : -FLT_MAX;
    default: return 0;
    }
}

static inline float *numbers(enum data kind, size_t n)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = number(kind);
    return x;
}

/* ---- Slow references ---- */

static inline int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static inline double sorted_quantile(const float *sorted, size_t n, double p)
{
    const double at = p * (double)(n - 1), below = floor(at);
    const size_t i = (size_t)below, next = i + 1 < n ? i + 1 : i;
    return sorted[i] + ((double)sorted[next] - sorted[i]) * (at - below);
}

static inline float *sorted_copy(const float *x, size_t n)
{
    float *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, x, n * sizeof *copy);
    qsort(copy, n, sizeof *copy, ascending);
    return copy;
}

/* ---- What quantizers do ---- */

/* Rounds once, behind the zero point, as kernels do. For an integer zero point that differs from rne(x / scale) + zero
 * at exact ties only, and only if it is odd. NaN has the code 0. */
static inline unsigned code_of(const struct vt_quantizer *q, double x)
{
    return (unsigned)vt_round_even(vt_clamp(x / (double)q->scale + (double)q->zero, 0, vt_top_code(q->bits)));
}

/* What a code stands for. */
static inline double value_of(const struct vt_quantizer *q, unsigned code)
{
    return ((double)code - (double)q->zero) * (double)q->scale;
}

/* The mean squared error, number by number with a division. */
static inline double slow_error(const struct vt_quantizer *q, const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)x[i] - value_of(q, code_of(q, (double)x[i]));
        sum += d * d;
    }
    return n ? sum / (double)n : 0;
}

static inline double slow_log_error(const struct vt_log_quantizer *q, const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)x[i] - vt_log_value(q, vt_log_code(q, (double)x[i]));
        sum += d * d;
    }
    return n ? sum / (double)n : 0;
}

/* ---- RepQ-ViT's search ---- */

static const double percentiles[] = { 0.999, 0.9999, 0.99999 };

/* Candidate number p. */
static inline enum vt_fit percentile_candidate(struct vt_quantizer *q, const float *sorted, size_t n, int p,
                                               unsigned bits)
{
    return vt_quantizer_of_range(q, sorted_quantile(sorted, n, 1 - percentiles[p]),
                                 sorted_quantile(sorted, n, percentiles[p]), bits);
}

/* Is this the one with the least error among three? A reciprocal instead of a division moves numbers over an edge
 * between codes, where both errors are the same. */
static inline void assert_least(double error, const double errors[3], double scale)
{
    const double least = fmin(errors[0], fmin(errors[1], errors[2]));
    assert_true(error <= least * (1 + 1e-9) + 1e-18 * scale * scale);
}

#endif
