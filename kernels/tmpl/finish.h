/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a product: activation, LayerScale, residual and conversion in one pass over a tile, written once. Include
 * tmpl/activation.h before; contract in kernels.h. */

/* The n <= VL elements of one row from column j on, already activated. */
static inline void finish_store(vf x, const struct vt_epilogue *e, size_t i, size_t j, size_t n)
{
    const float *residual = e->residual ? e->residual + i * e->ldr + j : NULL;
    const size_t at = i * e->ldc + j;
    if (e->scale && residual)
        x = vf_fma(x, vf_load_n(e->scale + j, n), vf_load_n(residual, n));
    else if (e->scale)
        x = vf_mul(x, vf_load_n(e->scale + j, n));
    else if (residual)
        x = vf_add(x, vf_load_n(residual, n));
    if (e->c_is_bf16)
        vf_store_bf16_n((vt_bf16 *)e->c + at, x, n);
    else
        vf_store_n((float *)e->c + at, x, n);
}

static inline vf no_activation(vf x)
{
    return x;
}

#define VT_DEFINE_FINISH(kernel, activation, activation_for_bf16)                                                      \
    static inline vf kernel##_activated(vf x, bool for_bf16)                                                           \
    {                                                                                                                  \
        return for_bf16 ? activation_for_bf16(x) : activation(x);                                                      \
    }                                                                                                                  \
                                                                                                                       \
    void VT_FN(kernel)(size_t m, size_t n, const float *tile, size_t ldt, const struct vt_epilogue *e)                 \
    {                                                                                                                  \
        for (size_t i = 0; i < m; i++) {                                                                               \
            const float *row = tile + i * ldt;                                                                         \
            size_t j = 0;                                                                                              \
            for (; j + VL <= n; j += VL)                                                                               \
                finish_store(kernel##_activated(vf_load(row + j), e->c_is_bf16), e, i, j, VL);                         \
            if (j < n)                                                                                                 \
                finish_store(kernel##_activated(vf_load_n(row + j, n - j), e->c_is_bf16), e, i, j, n - j);             \
        }                                                                                                              \
    }

VT_DEFINE_FINISH(vt_finish_none, no_activation, no_activation)
VT_DEFINE_FINISH(vt_finish_gelu, gelu, gelu_for_bf16)
VT_DEFINE_FINISH(vt_finish_gelu_tanh, gelu_tanh, gelu_tanh)
VT_DEFINE_FINISH(vt_finish_quick_gelu, quick_gelu, quick_gelu)
VT_DEFINE_FINISH(vt_finish_silu, silu, silu)
VT_DEFINE_FINISH(vt_finish_relu, relu, relu)
VT_DEFINE_FINISH(vt_finish_tanh, hyperbolic_tangent, hyperbolic_tangent)
