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

/* ---- What integer kernels are given ---- */

/* The multipliers and shifts of vt_columns, [n] each, and their left, for numbers |x| <= most whose scale is ratio[j]
 * times that of the result: the dyadic number of each ratio, exactly. Columns whose results are all below 1/4 in
 * magnitude get 0. False where a dyadic number cannot be had, or the numbers leave too little room for the shift to
 * the left: for ratios above 2^28 / most and above 1/4. */
bool vt_prepare_columns(size_t n, const double *ratio, uint32_t most, int32_t *multiplier, int32_t *shift,
                        unsigned *left);

/* add of vt_columns for the number a: to the nearest half, limited to what kernels allow. A zero point goes here; a
 * bias goes into the sums of the product, whose units are finer. NaN gives 0. */
int32_t vt_prepare_add(double a);

/* |error| <= 2^-15 |ratio|. False for |ratio| >= 2^13 or no number. Ratios below 2^-17 give 0, as all results are. */
bool vt_prepare_word_scale(double ratio, struct vt_word_scale *s);

/* For scores whose unit is scale, in (2^-27, 2^30). */
bool vt_prepare_exp(double scale, struct vt_exp_scale *s);

/* up, limit and multiplier for words of a unit above 2^-33. */
bool vt_prepare_gelu(double unit, struct vt_integer_gelu *k);

/* right, fraction and left: sums of magnitude `most` and less become words, ratio[j] >= 0 units each. half[j] is what a
 * sum needs to be rounded to nearest instead of down. False where numbers leave too little room for the shift to the
 * left: for ratios above 2^32 / most and above 2. */
bool vt_prepare_gelu_sums(size_t n, const double *ratio, uint32_t most, int32_t *right, int32_t *fraction,
                          int32_t *half, unsigned *left);

/* A column's factors, add and shift, which make codes with this scale and zero point of words of a unit. */
void vt_prepare_gelu_codes(double unit, double scale, double zero_point, int32_t *factors, int32_t *add,
                           int32_t *shift);

/* The erf form. */
double vt_gelu_of(double x);

/* A quantizer of codes 0..highest: a code stands for (code - zero_point) * scale. */
struct vt_code_scale {
    double scale, zero_point;
    uint8_t highest;
};

/* table[code] = the activation (VT_ACT_NONE: none) of what a code of `in` stands for, as a code of `out`, rounded to
 * nearest, ties to even. Codes above in->highest have the table's last value. */
void vt_prepare_table(enum vt_activation activation, const struct vt_code_scale *in, const struct vt_code_scale *out,
                      uint8_t table[256]);

#endif
