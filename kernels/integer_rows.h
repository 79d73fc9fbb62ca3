/* SPDX-License-Identifier: Apache-2.0 */
/* What the integer kernels find out about a row before they go through it: once a row, in plain C. */
#ifndef VT_INTEGER_ROWS_H
#define VT_INTEGER_ROWS_H

#include "isqrt.h"

#include <stddef.h>

/* 2^-f for f in [0, 1), given in units of 2^-16, in units of 1 / 65280 (a code is 256 of them):
 *     VT_EXP_0 - f (VT_EXP_1 - f (VT_EXP_2 - f VT_EXP_3)), each product rounded down.
 * |error| <= 4.6 units. Found by fitting the cubic and trying the integers around its coefficients with all f that
 * occur. */
enum { VT_EXP_0 = 65276, VT_EXP_1 = 45133, VT_EXP_2 = 15079, VT_EXP_3 = 2586 };

/* GELU's tail: 2 Phi(-a) for a in [0, 4), given as h in units of 2^-13, in units of 2^-15: with w = 2^15 - 1 - h, the
 * square of 4 times
 *     GELU_0 + w (GELU_1 + w (GELU_2 + w (GELU_3 + w (GELU_4 + w GELU_5))))
 * each product divided by 2^15 and rounded to nearest, ties upwards. |error| of a Phi(-a) <= 2.3e-4: a fit of its least
 * largest error, then the best of the integers around. */
enum { VT_GELU_0 = 31, VT_GELU_1 = 1380, VT_GELU_2 = -2822, VT_GELU_3 = 14527, VT_GELU_4 = 2289, VT_GELU_5 = -7240 };

/* The mean and the factor of vt_layer_norm_s16_fn. */
struct row_norm {
    int32_t mean, factor;
};

/* 2^32 / n. */
static inline int64_t row_inverse_of(size_t n)
{
    return (INT64_C(1) << 32) / (int64_t)n;
}

/* From the sum of n numbers and that of their squares. inverse: of n. */
static inline struct row_norm row_norm_of(size_t n, int64_t inverse, int32_t sum, uint64_t squares, uint64_t eps)
{
    const int32_t count = (int32_t)n;
    int32_t mean = (int32_t)(sum * inverse >> 32); /* floor(sum / n), or 1 off it */
    int32_t rest = sum - mean * count;
    if (rest < 0) {
        mean--;
        rest += count;
    } else if (rest >= count) {
        mean++;
        rest -= count;
    }
    mean += 2 * rest > count || (2 * rest == count && mean % 2);
    /* The sum of (x - mean)^2: below 2^49, as all three parts are. */
    const int64_t spread = (int64_t)squares + (int64_t)mean * ((int64_t)mean * count - 2 * (int64_t)sum);
    const uint32_t std = vt_isqrt((uint64_t)spread + eps);
    return (struct row_norm){ mean, std ? (int32_t)((uint32_t)INT32_MAX / std) : 0 };
}

/* A division of vt_finish_integer_fn: a shift to the left and a multiplier. */
struct row_division {
    unsigned left;
    int32_t multiplier;
};

static inline struct row_division row_division_of(int32_t divisor)
{
    unsigned left = 0;
    if (divisor <= 0)
        return (struct row_division){ 0, 0 };
    uint32_t shifted = (uint32_t)divisor;
    for (unsigned step = 16; step > 0; step /= 2)
        if (!(shifted >> (24 - step))) {
            shifted <<= step;
            left += step;
        }
    /* 2^30 <= multiplier < 2^31 */
    const uint64_t one = (UINT64_C(1) << (54 - left)) - 1;
    return (struct row_division){ left, (int32_t)(one / (uint32_t)divisor) };
}

#endif
