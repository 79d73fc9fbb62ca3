/* SPDX-License-Identifier: Apache-2.0 */
/* See integer.h: real numbers of a model turned into integers when it is prepared. */
#include "integer.h"

#include <math.h>

enum { MANTISSA_BITS = 31, MOST_SHIFT = 62 };

bool vt_dyadic_of(double ratio, struct vt_dyadic *d)
{
    int exponent;
    if (!isfinite(ratio))
        return false;
    double b = round(ldexp(frexp(ratio, &exponent), MANTISSA_BITS));
    if (fabs(b) == ldexp(1, MANTISSA_BITS)) { /* rounded up to the next power of 2 */
        b /= 2;
        exponent++;
    }
    const int c = MANTISSA_BITS - exponent;
    if (b != 0 && c < 0)
        return false;
    const bool is_zero = b == 0 || c > MOST_SHIFT;
    *d = (struct vt_dyadic){ .b = is_zero ? 0 : (int32_t)b, .c = is_zero ? 0 : (unsigned)c };
    return true;
}

/* ---- What integer kernels are given ---- */

/* The c that the kernels' formula has at shift = 0, and the last one at which results can be other than 0. */
enum { SHIFT_BASE = 33, MOST_LEFT_AND_SHIFT = 64, WORD_BITS = 15 };

/* d for numbers that are shifted to the left first: no more than `left` bits of them are free. */
static void to_kernel(struct vt_dyadic d, unsigned left, int32_t *multiplier, int32_t *shift)
{
    const int c = (int)(d.c + left) - SHIFT_BASE;
    const bool is_zero = d.b == 0 || d.c + left > MOST_LEFT_AND_SHIFT;
    *multiplier = is_zero ? 0 : d.b;
    *shift = is_zero ? 0 : c;
}

bool vt_prepare_columns(size_t n, const double *ratio, uint32_t most, int32_t *multiplier, int32_t *shift,
                        unsigned *left)
{
    struct vt_dyadic d;
    unsigned lowest = SHIFT_BASE, room = 0;
    for (size_t j = 0; j < n; j++) {
        if (!vt_dyadic_of(ratio[j], &d))
            return false;
        lowest = d.b && d.c < lowest ? d.c : lowest;
    }
    while (room < 31 && (uint64_t)most << (room + 1) <= INT32_MAX)
        room++;
    *left = SHIFT_BASE - lowest;
    if (*left > room)
        return false;
    for (size_t j = 0; j < n; j++) {
        vt_dyadic_of(ratio[j], &d);
        to_kernel(d, *left, &multiplier[j], &shift[j]);
    }
    return true;
}

int32_t vt_prepare_add(double a)
{
    const double most = 0x1p29 - 1;
    if (isnan(a))
        return 1;
    return 1 + (int32_t)rint(2 * fmin(fmax(a, -most), most));
}

bool vt_prepare_word_scale(double ratio, struct vt_word_scale *s)
{
    int exponent;
    if (!(fabs(ratio) < 0x1p13))
        return false;
    double m = round(ldexp(frexp(ratio, &exponent), WORD_BITS));
    if (fabs(m) == ldexp(1, WORD_BITS)) { /* rounded up to the next power of 2 */
        m /= 2;
        exponent++;
    }
    const bool is_zero = m == 0 || WORD_BITS - exponent > 31;
    *s = (struct vt_word_scale){ is_zero ? 0 : (int32_t)m, is_zero ? 0 : WORD_BITS - exponent };
    return true;
}

bool vt_prepare_gelu(double unit, struct vt_integer_gelu *k)
{
    int exponent;
    const double units = unit * 0x1p13; /* of h, for one of x */
    if (!(units > 0x1p-20 && units < 0x1p15))
        return false;
    (void)frexp(units, &exponent); /* units < 2^exponent */
    k->up = exponent > 0 ? (unsigned)exponent : 0;
    k->multiplier = (uint16_t)fmin(rint(ldexp(units, 16 - (int)k->up)), UINT16_MAX);
    uint32_t limit = 0x8000;
    while (((uint64_t)limit << k->up) * k->multiplier >> 16 > INT16_MAX || limit << k->up > UINT16_MAX)
        limit--;
    k->limit = (uint16_t)limit;
    return true;
}

/* ratio = (1 + fraction / 2^15) * 2^(left - right) */
static void to_gelu(double ratio, unsigned left, int32_t *right, int32_t *fraction)
{
    int exponent;
    const double mantissa = frexp(ratio, &exponent); /* in [1/2, 1), or 0 */
    *right = (int32_t)left + 1 - exponent;
    *fraction = (int32_t)fmin(rint(ldexp(2 * mantissa - 1, 15)), INT16_MAX);
    if (ratio == 0 || *right > 31) {
        *right = 31;
        *fraction = 0;
    }
}

bool vt_prepare_gelu_sums(size_t n, const double *ratio, uint32_t most, int32_t *right, int32_t *fraction,
                          int32_t *half, unsigned *left)
{
    int highest = 1;
    for (size_t j = 0; j < n; j++) {
        int exponent;
        if (!(ratio[j] >= 0 && ratio[j] < 0x1p31))
            return false;
        (void)frexp(ratio[j], &exponent);
        highest = exponent > highest ? exponent : highest;
    }
    *left = (unsigned)highest - 1;
    if ((uint64_t)most << *left > INT32_MAX)
        return false;
    for (size_t j = 0; j < n; j++) {
        to_gelu(ratio[j], *left, &right[j], &fraction[j]);
        const int bits = right[j] - (int)*left;
        half[j] = bits > 0 && bits < 30 ? 1 << (bits - 1) : 0;
    }
    return true;
}

/* The largest shift for which both factors have 16 bits and add has 30, so that their sum has 31. Where there is none
 * numbers are far beyond the codes. */
void vt_prepare_gelu_codes(double unit, double scale, double zero_point, int32_t *factors, int32_t *add, int32_t *shift)
{
    const double tail_unit = 0x1p-14, most = 0x1p30 - 0x1p27, larger = fmax(unit, tail_unit);
    int s = 31;
    while (s > 0 && (rint(ldexp(larger / scale, s)) > INT16_MAX || ldexp(fabs(zero_point) + 0.5, s) > most))
        s--;
    const int32_t positive = (int32_t)fmin(rint(ldexp(unit / scale, s)), INT16_MAX);
    const int32_t tail = (int32_t)fmin(rint(ldexp(tail_unit / scale, s)), INT16_MAX);
    *factors = positive - tail * 65536;
    *add = (int32_t)fmax(fmin(floor(ldexp(zero_point + 0.5, s)), most), -most);
    *shift = s;
}

double vt_gelu_of(double x)
{
    return 0.5 * x * erfc(-x * 0.70710678118654752);
}

/* The multiplier has 16 bits, its upper one set; it stands for scale * log2(e) * 2^11, times 2^16 that the product
 * loses. A unit of 8 exponents or more is taken as 9: the code of all that is not the largest is 0, or rounds to 1. */
bool vt_prepare_exp(double scale, struct vt_exp_scale *s)
{
    const double log2_e = 1.4426950408889634;
    const uint32_t end = 9 << 11;
    if (!(scale > 0x1p-27 && scale < 0x1p30))
        return false;
    const double unit = scale * log2_e >= 8 ? 9 : scale * log2_e;
    int exponent;
    const double mantissa = round(frexp(unit * 0x1p27, &exponent) * 0x1p16);
    s->multiplier = (uint16_t)fmin(mantissa, UINT16_MAX);
    s->left = exponent > 16 ? (unsigned)(exponent - 16) : 0;
    s->right = exponent < 16 ? (unsigned)(16 - exponent) : 0;
    uint32_t limit = 1;
    while (((limit << s->left) * s->multiplier) >> 16 < end)
        limit++;
    s->limit = (uint16_t)limit;
    return true;
}

static double activated(enum vt_activation activation, double x)
{
    switch (activation) {
    case VT_ACT_GELU: return vt_gelu_of(x);
    case VT_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    case VT_ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case VT_ACT_SILU: return x / (1 + exp(-x));
    case VT_ACT_RELU: return fmax(x, 0);
    case VT_ACT_TANH: return tanh(x);
    default: return x;
    }
}

void vt_prepare_table(enum vt_activation activation, const struct vt_code_scale *in, const struct vt_code_scale *out,
                      uint8_t table[256])
{
    for (int code = 0; code < 256; code++) {
        const double x = ((code < in->highest ? code : in->highest) - in->zero_point) * in->scale;
        const double y = rint(activated(activation, x) / out->scale + out->zero_point);
        table[code] = (uint8_t)fmin(fmax(y, 0), out->highest);
    }
}
