/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic of integer-only inference: dyadic numbers and what is prepared with them for the integer kernels.
 *
 * Functions that run between pixels and logits (integer.c) use no floating-point arithmetic; those that prepare a model
 * (integer_prepare.c) turn its real numbers, doubles, into integers.
 *
 * All are pure functions of their arguments, safe on any number of threads. Shifts of negative numbers round towards
 * minus infinity, as every compiler's do.
 */
#ifndef VT_INTEGER_H
#define VT_INTEGER_H

#include "isqrt.h"
#include "kernels.h"

/* ---- Dyadic numbers ---- */

/* The number b / 2^c. Prepared ones have 2^30 <= |b| < 2^31, or b = 0, and 0 <= c <= 62. */
struct vt_dyadic {
    int32_t b;
    unsigned c;
};

/* The dyadic number next to a ratio of two scales, which may be negative: |error| <= 2^-31 |ratio|. A ratio of 0, and
 * one below 2^-31 in magnitude (c > 62), gives b = 0. False, and nothing is set, where |ratio| >= 2^31 (c < 0) or it is
 * not finite. */
bool vt_dyadic_of(double ratio, struct vt_dyadic *d);

/* z * b / 2^c rounded to nearest; ties upwards ("half-up": the form that kernels have) or to even. Any z. */
int64_t vt_requantize(int32_t z, struct vt_dyadic d);
int64_t vt_requantize_half_even(int32_t z, struct vt_dyadic d);

/* x and y at one scale, each rounded half-up, and their sum limited to lowest..highest. */
int32_t vt_requantize_sum(int32_t x, struct vt_dyadic dx, int32_t y, struct vt_dyadic dy, int32_t lowest,
                          int32_t highest);

/* v limited to lowest..highest. */
int32_t vt_limit(int64_t v, int32_t lowest, int32_t highest);

#endif
