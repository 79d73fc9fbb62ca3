/* SPDX-License-Identifier: Apache-2.0 */
/* The integer kernels of the bundle "ref": written out as their contracts say it, in 64 bits. */
#include "integer_rows.h"
#include "kernels.h"

static int64_t limited(int64_t v, int64_t lowest, int64_t highest)
{
    return v < lowest ? lowest : v > highest ? highest : v;
}

/* Halves are added at the end, here and below: a floor of floors is the floor of all. */
static int64_t scaled_word(int16_t x, struct vt_word_scale s)
{
    return (((int64_t)x * 32768 * s.multiplier >> (32 + s.shift)) + 1) >> 1;
}

/* Number x of column j. */
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

/* Phi(-a) in units of 2^-16, a = t * 2^-14. */
static uint32_t gelu_tail(uint32_t t)
{
    const uint32_t third = VT_GELU_3 - (t * VT_GELU_4 >> 16), second = VT_GELU_2 - (t * third >> 16);
    const uint32_t first = VT_GELU_1 + (t * second >> 16) - (t >> 3), falls = (t * first >> 16) << 2;
    const uint32_t u = falls < VT_GELU_0 ? VT_GELU_0 - falls : 0;
    return u * u >> 16;
}

void vt_finish_integer_gelu_ref(size_t m, size_t n, const int32_t *sums, size_t ld, const struct vt_columns *words,
                        const struct vt_gelu_scale *s, const struct vt_integer_epilogue *e)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            const int32_t v = (int32_t)limited(scaled(words, j, sums[i * ld + j]), INT16_MIN, INT16_MAX);
            const uint32_t a = (uint32_t)(v < 0 ? -v : v), near = a < s->limit ? a : s->limit;
            const int64_t tail = gelu_tail(((near << s->left) * s->multiplier >> 16) * 2);
            finish_number((v > 0 ? v : 0) * INT64_C(65536) - a * tail, i, j, e);
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
        const struct row_norm norm = row_norm_of(n, sum, squares, eps);
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

void vt_add_s32_ref(size_t n, const int32_t *a, const int32_t *b, int32_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
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
