/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, products and conversions of single elements, written once. Include a simd/<isa>.h before; contracts in
 * kernels.h. */

#define VT_DEFINE_BINARY(kernel, function)                                                                             \
    void VT_FN(kernel)(size_t n, const float *a, const float *b, float *y)                                             \
    {                                                                                                                  \
        size_t i = 0;                                                                                                  \
        for (; i + VL <= n; i += VL)                                                                                   \
            vf_store(y + i, function(vf_load(a + i), vf_load(b + i)));                                                 \
        if (i < n)                                                                                                     \
            vf_store_n(y + i, function(vf_load_n(a + i, n - i), vf_load_n(b + i, n - i)), n - i);                      \
    }

VT_DEFINE_BINARY(vt_add_f32, vf_add)
VT_DEFINE_BINARY(vt_mul_f32, vf_mul)

void VT_FN(vt_scale_add_f32)(size_t n, const float *x, const float *scale, const float *residual, float *y)
{
    if (!residual) {
        VT_FN(vt_mul_f32)(n, x, scale, y);
        return;
    }
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        vf_store(y + i, vf_fma(vf_load(x + i), vf_load(scale + i), vf_load(residual + i)));
    if (i < n) {
        const size_t rest = n - i;
        vf_store_n(y + i, vf_fma(vf_load_n(x + i, rest), vf_load_n(scale + i, rest), vf_load_n(residual + i, rest)),
                   rest);
    }
}

#define VT_DEFINE_SCALE_ROWS(kernel, type, store, store_n)                                                             \
    void VT_FN(kernel)(size_t m, size_t n, const float *a, const float *x, size_t ldx, type *y, size_t ldy)            \
    {                                                                                                                  \
        for (size_t r = 0; r < m; r++, x += ldx, y += ldy) {                                                           \
            const vf va = vf_set1(a[r]);                                                                               \
            size_t i = 0;                                                                                              \
            for (; i + VL <= n; i += VL)                                                                               \
                store(y + i, vf_mul(va, vf_load(x + i)));                                                              \
            if (i < n)                                                                                                 \
                store_n(y + i, vf_mul(va, vf_load_n(x + i, n - i)), n - i);                                            \
        }                                                                                                              \
    }

VT_DEFINE_SCALE_ROWS(vt_scale_rows_f32, float, vf_store, vf_store_n)
VT_DEFINE_SCALE_ROWS(vt_scale_rows_bf16, vt_bf16, vf_store_bf16, vf_store_bf16_n)

void VT_FN(vt_axpy_f32)(size_t n, float a, const float *x, float *y)
{
    const vf va = vf_set1(a);
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        vf_store(y + i, vf_fma(va, vf_load(x + i), vf_load(y + i)));
    if (i < n)
        vf_store_n(y + i, vf_fma(va, vf_load_n(x + i, n - i), vf_load_n(y + i, n - i)), n - i);
}

void VT_FN(vt_prefetch)(size_t m, size_t bytes, const void *p, size_t ld_bytes)
{
    const size_t line = 64;
    for (size_t i = 0; i < m; i++)
        for (size_t at = 0; at < bytes; at += line)
            vf_prefetch(p, i * ld_bytes + at);
}

void VT_FN(vt_to_bf16)(size_t n, const float *x, vt_bf16 *y)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        vf_store_bf16(y + i, vf_load(x + i));
    if (i < n)
        vf_store_bf16_n(y + i, vf_load_n(x + i, n - i), n - i);
}

void VT_FN(vt_dequantize)(size_t n, const int32_t *x, const float *scale, const float *bias, float *y)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        vf_store(y + i, vf_fma(vf_of_vi(vi_load(x + i)), vf_load(scale + i), vf_load(bias + i)));
    if (i < n) {
        const size_t rest = n - i;
        const vf number = vf_of_vi(vi_load_n(x + i, rest));
        vf_store_n(y + i, vf_fma(number, vf_load_n(scale + i, rest), vf_load_n(bias + i, rest)), rest);
    }
}

/* A scale, a zero point and the numbers that reach the ends of 0..255. */
struct quantizer {
    vf inverse_scale, lowest, highest;
    vi zero_point;
};

static inline struct quantizer quantizer_of(float inverse_scale, int32_t zero_point)
{
    return (struct quantizer){ vf_set1(inverse_scale), vf_set1((float)-zero_point),
                               vf_set1((float)(UINT8_MAX - zero_point)), vi_set1(zero_point) };
}

/* Limits before rounding, which gives the same since they are whole numbers, and keeps the conversion in its range. */
static inline vi quantized(const struct quantizer *q, vf x)
{
    const vf scaled = vf_zero_for_nan(vf_mul(x, q->inverse_scale));
    return vi_add(vi_of_vf(vf_min(vf_max(scaled, q->lowest), q->highest)), q->zero_point);
}

void VT_FN(vt_quantize_u8)(size_t n, const float *x, float inverse_scale, int32_t zero_point, uint8_t *y)
{
    const struct quantizer q = quantizer_of(inverse_scale, zero_point);
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        vi_store_u8(y + i, quantized(&q, vf_load(x + i)));
    if (i < n)
        vi_store_u8_n(y + i, quantized(&q, vf_load_n(x + i, n - i)), n - i);
}
