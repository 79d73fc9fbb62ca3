/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that calibration meets, and references that sort them, for the tests of quantizers. */
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

/* RepQ-ViT's candidate number p. */
static inline enum vt_fit percentile_candidate(struct vt_quantizer *q, const float *sorted, size_t n, int p,
                                               unsigned bits)
{
    static const double percentiles[] = { 0.999, 0.9999, 0.99999 };
    return vt_quantizer_of_range(q, sorted_quantile(sorted, n, 1 - percentiles[p]),
                                 sorted_quantile(sorted, n, percentiles[p]), bits);
}

#endif
