/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a product: dequantization, activation, LayerScale, residual and conversion in one pass over a tile,
 * written once. Include tmpl/activation.h and tmpl/elementwise.h before; contract in kernels.h. */

/* The sums of one row from column j on, as floats; at is the place of the first one. */
static inline vf finish_load(const void *sums, size_t at, const struct vt_epilogue *e, size_t j, size_t n)
{
    if (!e->sum_scale)
        return vf_load_n((const float *)sums + at, n);
    const vf number = vf_of_vi(vi_load_n((const int32_t *)sums + at, n));
    return vf_fma(number, vf_load_n(e->sum_scale + j, n), vf_load_n(e->sum_bias + j, n));
}

/* The n <= VL elements of one row from column j on, already activated. */
static inline void finish_store(vf x, const struct vt_epilogue *e, const struct quantizer *q, size_t i, size_t j,
                                size_t n)
{
    const float *residual = e->residual ? e->residual + i * e->ldr + j : NULL;
    const size_t at = i * e->ldc + j;
    if (e->scale && residual)
        x = vf_fma(x, vf_load_n(e->scale + j, n), vf_load_n(residual, n));
    else if (e->scale)
        x = vf_mul(x, vf_load_n(e->scale + j, n));
    else if (residual)
        x = vf_add(x, vf_load_n(residual, n));
    if (e->to == VT_TO_F32)
        vf_store_n((float *)e->c + at, x, n);
    else if (e->to == VT_TO_BF16)
        vf_store_bf16_n((vt_bf16 *)e->c + at, x, n);
    else
        vi_store_u8_n((uint8_t *)e->c + at, quantized(q, x), n);
}

static inline vf no_activation(vf x)
{
    return x;
}

/* Most products are followed by an activation at most, or by a residual: without a question for each vector. */
static inline bool is_plain(const struct vt_epilogue *e)
{
    return !e->sum_scale && !e->scale && !e->residual && e->to != VT_TO_U8;
}

static inline bool only_adds(const struct vt_epilogue *e)
{
    return !e->sum_scale && !e->scale && e->residual && e->to == VT_TO_F32;
}

#define FINISH_ADD(activation)                                                                                         \
    for (size_t i = 0; i < m; i++) {                                                                                   \
        const float *row = (const float *)sums + i * ld, *residual = e.residual + i * e.ldr;                           \
        float *out = (float *)e.c + i * e.ldc;                                                                         \
        size_t j = 0;                                                                                                  \
        for (; j + VL <= n; j += VL)                                                                                   \
            vf_store(out + j, vf_add(activation(vf_load(row + j)), vf_load(residual + j)));                            \
        if (j < n)                                                                                                     \
            vf_store_n(out + j, vf_add(activation(vf_load_n(row + j, n - j)), vf_load_n(residual + j, n - j)), n - j); \
    }

#define FINISH_PLAIN(activation, type, store)                                                                          \
    for (size_t i = 0; i < m; i++) {                                                                                   \
        const float *row = (const float *)sums + i * ld;                                                               \
        type *out = (type *)e.c + i * e.ldc;                                                                           \
        size_t j = 0;                                                                                                  \
        for (; j + VL <= n; j += VL)                                                                                   \
            store(out + j, activation(vf_load(row + j)));                                                              \
        if (j < n)                                                                                                     \
            store##_n(out + j, activation(vf_load_n(row + j, n - j)), n - j);                                          \
    }

#define VT_DEFINE_FINISH(kernel, activation, activation_for_bf16)                                                      \
    static inline vf kernel##_activated(vf x, enum vt_destination to)                                                  \
    {                                                                                                                  \
        return to == VT_TO_BF16 ? activation_for_bf16(x) : activation(x);                                              \
    }                                                                                                                  \
                                                                                                                       \
    void VT_FN(kernel)(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *epilogue)            \
    {                                                                                                                  \
        const struct vt_epilogue e = *epilogue; /* a copy, which stores to c cannot change */                          \
        if (is_plain(&e)) {                                                                                            \
            if (e.to == VT_TO_BF16) {                                                                                  \
                FINISH_PLAIN(activation_for_bf16, vt_bf16, vf_store_bf16)                                              \
            } else {                                                                                                   \
                FINISH_PLAIN(activation, float, vf_store)                                                              \
            }                                                                                                          \
            return;                                                                                                    \
        }                                                                                                              \
        if (only_adds(&e)) {                                                                                           \
            FINISH_ADD(activation)                                                                                     \
            return;                                                                                                    \
        }                                                                                                              \
        const struct quantizer q = quantizer_of(e.inverse_scale, e.zero_point);                                        \
        for (size_t i = 0; i < m; i++) {                                                                               \
            size_t j = 0;                                                                                              \
            for (; j + VL <= n; j += VL) {                                                                             \
                const vf x = finish_load(sums, i * ld + j, &e, j, VL);                                                 \
                finish_store(kernel##_activated(x, e.to), &e, &q, i, j, VL);                                           \
            }                                                                                                          \
            if (j < n) {                                                                                               \
                const vf x = finish_load(sums, i * ld + j, &e, j, n - j);                                              \
                finish_store(kernel##_activated(x, e.to), &e, &q, i, j, n - j);                                        \
            }                                                                                                          \
        }                                                                                                              \
    }

VT_DEFINE_FINISH(vt_finish_none, no_activation, no_activation)
VT_DEFINE_FINISH(vt_finish_gelu, gelu, gelu_for_bf16)
VT_DEFINE_FINISH(vt_finish_gelu_tanh, gelu_tanh, gelu_tanh)
VT_DEFINE_FINISH(vt_finish_quick_gelu, quick_gelu, quick_gelu)
VT_DEFINE_FINISH(vt_finish_silu, silu, silu)
VT_DEFINE_FINISH(vt_finish_relu, relu, relu)
VT_DEFINE_FINISH(vt_finish_tanh, hyperbolic_tangent, hyperbolic_tangent)
