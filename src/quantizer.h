/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one number becomes when it is quantized, and what its code stands for: uniform quantizers with a zero point, and
 * RepQ-ViT's logarithmic one for softmax. Arithmetic is in double, for calibration; sessions fold scale and zero point
 * into what they compute anyway. All of it is a pure function of its arguments.
 */
#ifndef VT_QUANTIZER_H
#define VT_QUANTIZER_H

#include <stdbool.h>
#include <stdint.h>

/* Bits of a quantizer: 2 to VT_MAX_CODE_BITS. */
#define VT_MAX_CODE_BITS 8

/* No scale is smaller or larger, in files either: it, its reciprocal, and these times gamma or a number must be finite
 * in float. Numbers of a range below it are as good as zero. */
#define VT_MIN_SCALE 1e-30f
#define VT_MAX_SCALE 1e30f

/* No zero point is further from 0: x / scale + zero keeps 7 bits behind the point in float, and the zero point is exact
 * in a float and in an int32. */
#define VT_MAX_ZERO 65536

/* How a quantizer fits what it was made for; the larger, the worse. */
enum vt_fit {
    VT_FIT_OK,
    VT_FIT_WIDENED,   /* the range was that of a constant, or too narrow for its distance from 0, and made wider */
    VT_FIT_NOT_FINITE /* there are NaN, or numbers too large for a float: a quantizer that makes everything 0 */
};

/* code = clamp(rne(x / scale + zero), 0, 2^bits - 1) stands for (code - zero) * scale. scale > 0 and finite. */
struct vt_quantizer {
    float scale, zero;
    uint8_t bits;
};

/* The largest code. */
static inline unsigned vt_top_code(unsigned bits)
{
    return (1u << bits) - 1;
}

/* Round half to even; |x| < 2^51. */
static inline double vt_round_even(double x)
{
    return (x + 0x1.8p52) - 0x1.8p52;
}

/* NaN becomes low. */
static inline double vt_clamp(double x, double low, double high)
{
    const double least = x > low ? x : low;
    return least < high ? least : high;
}

/* A range [*lo, *hi] of numbers that the finest zero point does not tell from each other, which were all the same then,
 * begins or ends at 0 instead: they may move when the model runs, and their distance from 0 is all that is known of how
 * far. True if it is such a range. */
bool vt_widen_constant(double *lo, double *hi);

/* The quantizer that spreads its codes over [lo, hi], lo <= hi, with an integer zero point that may lie outside of the
 * codes: scale (hi - lo) / top, zero rne(-lo / scale). The scale is at least VT_MIN_SCALE and
 * max(|lo|, |hi|) / VT_MAX_ZERO. The range of a constant is widened as above; zeros count as reaching to 1. */
enum vt_fit vt_quantizer_of_range(struct vt_quantizer *q, double lo, double hi, unsigned bits);

/* The scale of symmetric codes of up to 16 bits in +-(2^(bits - 1) - 1), at least VT_MIN_SCALE; that also for a max_abs
 * which is not finite. */
float vt_symmetric_scale(double max_abs, unsigned bits);

/* ---- The logarithm to base sqrt(2): codes of probabilities ---- */

/* code = rne(-2 log2(x / delta)) stands for delta * sqrt(2)^-code; numbers above delta have the code 0. */
struct vt_log_quantizer {
    float delta; /* > 0 */
    uint8_t bits;
};

/* rne(-2 log2(ratio)), at least 0, at most limit; limit also for NaN and what is below DBL_MIN. Without a logarithm, so
 * that every libm gives the same. */
unsigned vt_log_steps(double ratio, unsigned limit);

/* Its code, or 2^bits for what is too small to have one. */
unsigned vt_log_code(const struct vt_log_quantizer *q, double x);

/* sqrt(2)^-steps, steps <= 2000 */
double vt_log_power(unsigned steps);

/* What a code stands for; 2^bits stands for 0. */
double vt_log_value(const struct vt_log_quantizer *q, unsigned code);

#endif
