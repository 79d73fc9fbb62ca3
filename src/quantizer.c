/* SPDX-License-Identifier: Apache-2.0 */
/* See quantizer.h. */
#include "quantizer.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

static double farther(double lo, double hi)
{
    return fmax(fabs(lo), fabs(hi));
}

bool vt_widen_constant(double *lo, double *hi)
{
    if (!(*hi - *lo <= farther(*lo, *hi) / VT_MAX_ZERO))
        return false;
    *lo = fmin(*lo, 0);
    *hi = fmax(*hi, 0);
    return true;
}

enum vt_fit vt_quantizer_of_range(struct vt_quantizer *q, double lo, double hi, unsigned bits)
{
    assert(bits >= 2 && bits <= VT_MAX_CODE_BITS);
    if (!(fabs(lo) <= FLT_MAX && fabs(hi) <= FLT_MAX)) {
        *q = (struct vt_quantizer){ VT_MIN_SCALE, 0, (uint8_t)bits };
        return VT_FIT_NOT_FINITE;
    }
    assert(lo <= hi);
    const bool constant = vt_widen_constant(&lo, &hi);
    const double step = (hi - lo) / vt_top_code(bits), least = fmax(farther(lo, hi) / VT_MAX_ZERO, VT_MIN_SCALE);
    q->scale = lo < hi ? (float)fmax(step, least) : 1.0f / (float)vt_top_code(bits);
    q->zero = (float)vt_round_even(-lo / q->scale) + 0.0f; /* never -0 */
    q->bits = (uint8_t)bits;
    return constant || step < least ? VT_FIT_WIDENED : VT_FIT_OK;
}

float vt_symmetric_scale(double max_abs, unsigned bits)
{
    const double scale = max_abs / ((1 << (bits - 1)) - 1);
    return isfinite(scale) && scale > VT_MIN_SCALE ? (float)scale : VT_MIN_SCALE;
}

/* Doubles as what they are made of, for speed: calibration takes logarithms of all attention weights. */
enum { MANTISSA_BITS = 52, EXPONENT_BIAS = 1023 };

static double double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

unsigned vt_log_steps(double ratio, unsigned limit)
{
    if (!(ratio >= DBL_MIN))
        return limit;
    if (ratio >= 1)
        return 0;
    uint64_t bits;
    memcpy(&bits, &ratio, sizeof bits);
    const unsigned halvings = EXPONENT_BIAS - 1 - (unsigned)(bits >> MANTISSA_BITS);
    const double m = double_of(bits + ((uint64_t)halvings << MANTISSA_BITS)); /* in [1/2, 1): -2 log2(m) in (0, 2] */
    const double step_0 = 0.84089641525371454, step_1 = 0.59460355750136054;  /* 2^-1/4, 2^-3/4 */
    const unsigned steps = 2 * halvings + (m < step_0) + (m < step_1);
    return steps < limit ? steps : limit;
}

unsigned vt_log_code(const struct vt_log_quantizer *q, double x)
{
    return vt_log_steps(x / q->delta, vt_top_code(q->bits) + 1);
}

double vt_log_power(unsigned steps)
{
    const uint64_t mantissa = steps & 1 ? 0x6a09e667f3bcd : 0; /* of sqrt(2) */
    return double_of((uint64_t)(EXPONENT_BIAS - (steps + 1) / 2) << MANTISSA_BITS | mantissa);
}

double vt_log_value(const struct vt_log_quantizer *q, unsigned code)
{
    return code > vt_top_code(q->bits) ? 0 : q->delta * vt_log_power(code);
}
