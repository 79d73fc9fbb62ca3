/* SPDX-License-Identifier: Apache-2.0 */
/* The integer kernels of the bundle "ref": written out as their contracts say it, in 64 bits. */
#include "integer_rows.h"
#include "kernels.h"

static int64_t limited(int64_t v, int64_t lowest, int64_t highest)
{
    return v < lowest ? lowest : v > highest ? highest : v;
}

static int64_t scaled_word(int16_t x, struct vt_word_scale s)
{
    return ((int64_t)x * s.multiplier + ((INT64_C(1) << s.shift) >> 1)) >> s.shift;
}

/* Number x of column j. Halves are added at the end: a floor of floors is the floor of all. */
static int64_t scaled(const struct vt_columns *k, size_t j, int64_t x)
{
    return ((x * (INT64_C(1) << k->left) * k->multiplier[j] >> (32 + k->shift[j])) + k->add[j]) >> 1;
}

/* Number x of row i, column j. */
static void finish_number(int64_t x, size_t i, size_t j, const struct vt_integer_epilogue *e)
{
    int64_t y = scaled(&e->columns, j, x);
    if (e->residual)
        y += scaled_word(e->residual[i * e->ldr + j], e->residual_scale);
    const size_t at = i * e->ldc + j;
    if (e->to == VT_TO_CODES)
        ((uint8_t *)e->c)[at] = (uint8_t)limited(y, 0, e->highest);
    else if (e->to == VT_TO_WORDS)
        ((int16_t *)e->c)[at] = (int16_t)limited(y, INT16_MIN, INT16_MAX);
    else
        ((int32_t *)e->c)[at] = (int32_t)y;
}

void vt_finish_integer_ref(size_t m, size_t n, const int32_t *sums, size_t ld, const int32_t *divisors,
                           const struct vt_integer_epilogue *e)
{
    for (size_t i = 0; i < m; i++) {
        const struct row_division d = row_division_of(divisors ? divisors[i] : 0);
        for (size_t j = 0; j < n; j++) {
            const int64_t sum = sums[i * ld + j];
            finish_number(divisors ? sum * (INT64_C(1) << d.left) * d.multiplier >> 32 : sum, i, j, e);
        }
    }
}

void vt_requantize_s16_ref(size_t m, size_t n, const int16_t *x, size_t ldx, const struct vt_integer_epilogue *e)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            finish_number(x[i * ldx + j], i, j, e);
}

void vt_requantize_u8_ref(size_t m, size_t n, const uint8_t *x, size_t ldx, const struct vt_integer_epilogue *e)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            finish_number(x[i * ldx + j], i, j, e);
}

static int32_t limited_word(int64_t v)
{
    return (int32_t)limited(v, INT16_MIN, INT16_MAX);
}

static int32_t rounded_product(int32_t p, int32_t q)
{
    return ((p * q >> 14) + 1) >> 1;
}

/* 2 Phi(-a) in units of 2^-15, a = h * 2^-13. */
static int32_t gelu_tail(int32_t h)
{
    const int32_t w = INT16_MAX - h, fourth = VT_GELU_4 + rounded_product(w, VT_GELU_5);
    const int32_t third = VT_GELU_3 + rounded_product(w, fourth), second = VT_GELU_2 + rounded_product(w, third);
    const int32_t first = VT_GELU_1 + rounded_product(w, second), root = 4 * (VT_GELU_0 + rounded_product(w, first));
    return rounded_product(root, root);
}

void vt_finish_integer_gelu_ref(size_t m, size_t n, const int32_t *sums, size_t ld, const struct vt_integer_gelu *k,
                                uint8_t highest, uint8_t *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            const int32_t s = limited_word(sums[i * ld + j] * (INT64_C(1) << k->left) >> k->right[j]);
            const int32_t x = limited_word((int64_t)s + rounded_product(s, k->fraction[j]));
            const uint32_t a = (uint32_t)(x < 0 ? -x : x), near = a < k->limit ? a : k->limit;
            const int32_t h = (int32_t)((near << k->up) * k->multiplier >> 16), v = rounded_product(h, gelu_tail(h));
            const int32_t factors[2] = { (int16_t)(uint16_t)k->factors[j], k->factors[j] >> 16 };
            const int32_t y = (x > 0 ? x : 0) * factors[0] + v * factors[1] + k->add[j];
            c[i * ldc + j] = (uint8_t)limited(y >> k->shift[j], 0, highest);
        }
}

void vt_layer_norm_s16_ref(size_t m, size_t n, const int16_t *x, size_t ldx, uint64_t eps,
                           const struct vt_integer_epilogue *e)
{
    for (size_t i = 0; i < m && n; i++, x += ldx) {
        int32_t sum = 0;
        uint64_t squares = 0;
        for (size_t j = 0; j < n; j++) {
            sum += x[j];
            squares += (uint64_t)(x[j] * x[j]);
        }
        const struct row_norm norm = row_norm_of(n, row_inverse_of(n), sum, squares, eps);
        for (size_t j = 0; j < n; j++)
            finish_number((int64_t)(x[j] - norm.mean) * norm.factor, i, j, e);
    }
}

void vt_softmax_s32_ref(size_t m, size_t n, const struct vt_exp_scale *scale, const int32_t *x, size_t ldx,
                        const int32_t *bias, size_t ldb, uint8_t *y, size_t ldy, int32_t *sums)
{
    const struct vt_exp_scale s = *scale;
    for (size_t i = 0; i < m; i++, x += ldx, y += ldy, bias = bias ? bias + ldb : NULL) {
        int32_t max = INT32_MIN;
        for (size_t j = 0; j < n; j++) {
            const int32_t score = x[j] + (bias ? bias[j] : 0);
            max = score > max ? score : max;
        }
        sums[i] = 0;
        for (size_t j = 0; j < n; j++) {
            const uint32_t d = (uint32_t)(max - (x[j] + (bias ? bias[j] : 0))) >> s.right;
            const uint32_t t = ((d < s.limit ? d : s.limit) << s.left) * s.multiplier >> 16;
            const uint32_t exponent = t >> 11, f = t << 5 & 0xFFFF;
            const uint32_t power = VT_EXP_0 - (f * (VT_EXP_1 - (f * (VT_EXP_2 - (f * VT_EXP_3 >> 16)) >> 16)) >> 16);
            y[j] = exponent > 8 ? 0 : (uint8_t)((power + (128u << exponent)) >> (8 + exponent));
            sums[i] += y[j];
        }
    }
}

void vt_lookup_u8_ref(size_t n, const uint8_t *table, const uint8_t *x, uint8_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = table[x[i]];
}

void vt_add_s16_ref(size_t n, const int16_t *a, struct vt_word_scale scale_a, const int16_t *b,
                    struct vt_word_scale scale_b, int16_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (int16_t)limited(scaled_word(a[i], scale_a) + scaled_word(b[i], scale_b), INT16_MIN, INT16_MAX);
}

void vt_add_where_s32_ref(size_t n, const int32_t *a, int32_t b, const int32_t *mask, int32_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + (mask[i] ? b : 0);
}

void vt_sum_rows_s16_ref(size_t m, size_t n, const int16_t *x, size_t ldx, int32_t *y)
{
    for (size_t j = 0; j < n; j++)
        y[j] = 0;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            y[j] += x[i * ldx + j];
}

void vt_sum_rows_u8_ref(size_t m, size_t n, const uint8_t *x, size_t ldx, int32_t *y)
{
    for (size_t j = 0; j < n; j++)
        y[j] = 0;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            y[j] += x[i * ldx + j];
}
