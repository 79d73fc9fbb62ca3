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

#define VT_DEFINE_SCALE_ADD(type, load, load_n)                                                                        \
    static inline void scale_add_##type(size_t n, const type *x, const float *scale, const float *residual, float *y)  \
    {                                                                                                                  \
        size_t i = 0;                                                                                                  \
        for (; i + VL <= n; i += VL)                                                                                   \
            vf_store(y + i, vf_fma(load(x + i), vf_load(scale + i), vf_load(residual + i)));                           \
        if (i < n) {                                                                                                   \
            const size_t rest = n - i;                                                                                 \
            vf_store_n(y + i, vf_fma(load_n(x + i, rest), vf_load_n(scale + i, rest), vf_load_n(residual + i, rest)),  \
                       rest);                                                                                          \
        }                                                                                                              \
    }
VT_DEFINE_SCALE_ADD(float, vf_load, vf_load_n)

void VT_FN(vt_scale_add_f32)(size_t n, const float *x, const float *scale, const float *residual, float *y)
{
    if (residual)
        scale_add_float(n, x, scale, residual, y);
    else
        VT_FN(vt_mul_f32)(n, x, scale, y);
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

/* Sums stay in registers from the first row to the last, those of four vectors of columns side by side: as many chains
 * as hide the latency of each. */
#define VT_DEFINE_AXPY_ROWS(kernel, type, load, load_n)                                                                \
    void VT_FN(kernel)(size_t m, size_t n, const float *a, const type *x, size_t ldx, float *y)                        \
    {                                                                                                                  \
        size_t i = 0;                                                                                                  \
        for (; i + 4 * VL <= n; i += 4 * VL) {                                                                         \
            const type *row = x + i;                                                                                   \
            vf sum0 = vf_load(y + i), sum1 = vf_load(y + i + VL);                                                      \
            vf sum2 = vf_load(y + i + 2 * VL), sum3 = vf_load(y + i + 3 * VL);                                         \
            for (size_t r = 0; r < m; r++, row += ldx) {                                                               \
                const vf va = vf_set1(a[r]);                                                                           \
                sum0 = vf_fma(va, load(row), sum0);                                                                    \
                sum1 = vf_fma(va, load(row + VL), sum1);                                                               \
                sum2 = vf_fma(va, load(row + 2 * VL), sum2);                                                           \
                sum3 = vf_fma(va, load(row + 3 * VL), sum3);                                                           \
            }                                                                                                          \
            vf_store(y + i, sum0);                                                                                     \
            vf_store(y + i + VL, sum1);                                                                                \
            vf_store(y + i + 2 * VL, sum2);                                                                            \
            vf_store(y + i + 3 * VL, sum3);                                                                            \
        }                                                                                                              \
        for (; i < n; i += VL) {                                                                                       \
            const size_t left = n - i < VL ? n - i : VL;                                                               \
            vf sum = vf_load_n(y + i, left);                                                                           \
            for (size_t r = 0; r < m; r++)                                                                             \
                sum = vf_fma(vf_set1(a[r]), load_n(x + r * ldx + i, left), sum);                                       \
            vf_store_n(y + i, sum, left);                                                                              \
        }                                                                                                              \
    }

VT_DEFINE_AXPY_ROWS(vt_axpy_rows_f32, float, vf_load, vf_load_n)
VT_DEFINE_AXPY_ROWS(vt_axpy_rows_bf16, vt_bf16, vf_load_bf16, vf_load_bf16_n)

static inline vf load_codes(const uint8_t *p)
{
    return vf_of_vi(vi_load_u8(p));
}
static inline vf load_codes_n(const uint8_t *p, size_t n)
{
    return vf_of_vi(vi_load_u8_n(p, n));
}
VT_DEFINE_AXPY_ROWS(vt_axpy_rows_u8, uint8_t, load_codes, load_codes_n)

VT_DEFINE_SCALE_ADD(uint8_t, load_codes, load_codes_n)

void VT_FN(vt_scale_add_u8)(size_t n, const uint8_t *x, const float *scale, const float *residual, float *y)
{
    scale_add_uint8_t(n, x, scale, residual, y);
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

/* Two vectors at a time, and then what is left of them. */
void VT_FN(vt_quantize_u8)(size_t n, const float *x, const float *scale, const float *shift, uint8_t highest,
                           uint8_t *y)
{
    const vf most = vf_set1(highest);
    size_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        const vf first = vf_fma(vf_load(x + i), vf_load(scale + i), vf_load(shift + i));
        const vf second = vf_fma(vf_load(x + i + VL), vf_load(scale + i + VL), vf_load(shift + i + VL));
        vf_store_u8_pair(y + i, first, second, most);
    }
    for (; i < n; i += VL) {
        const size_t left = n - i < VL ? n - i : VL;
        const vf code = vf_fma(vf_load_n(x + i, left), vf_load_n(scale + i, left), vf_load_n(shift + i, left));
        vf_store_u8_n(y + i, code, most, left);
    }
}
