/* SPDX-License-Identifier: Apache-2.0 */
/* Activation functions, written once. Include a simd/<isa>.h before; contracts in kernels.h. */
#include "exp.h"

/* 1 / (1 + exp(-x)) without overflow: with e = exp(-|x|) it is 1 / (1 + e) or, for negative x, e / (1 + e). */
static inline vf sigmoid(vf x)
{
    const vf e = exp_nonpositive(vf_sub(vf_zero(), vf_abs(x)));
    return vf_div(vf_select_negative(x, e, vf_set1(1.0f)), vf_add(e, vf_set1(1.0f)));
}

/* -|x|, at least -end. NaN passes: max yields its second operand then. */
static inline vf gelu_argument(vf x, float end)
{
    return vf_max(vf_set1(-end), vf_sub(vf_zero(), vf_abs(x)));
}

/* max(x, 0) + b u^8, u taken for 0 where it is negative. */
static inline vf gelu_of(vf x, vf b, vf u)
{
    u = vf_max(vf_zero(), u);
    u = vf_mul(u, u);
    u = vf_mul(u, u);
    u = vf_mul(u, u);
    return vf_fma(b, u, vf_max(vf_zero(), x));
}

static inline vf gelu(vf x)
{
    const vf b = gelu_argument(x, GELU_END);
    vf u = vf_fma(vf_set1(GELU_G8), b, vf_set1(GELU_G7));
    u = vf_fma(u, b, vf_set1(GELU_G6));
    u = vf_fma(u, b, vf_set1(GELU_G5));
    u = vf_fma(u, b, vf_set1(GELU_G4));
    u = vf_fma(u, b, vf_set1(GELU_G3));
    u = vf_fma(u, b, vf_set1(GELU_G2));
    u = vf_fma(u, b, vf_set1(GELU_G1));
    u = vf_fma(u, b, vf_set1(GELU_G0));
    return gelu_of(x, b, u);
}

/* For results that are rounded to bf16. */
static inline vf gelu_for_bf16(vf x)
{
    const vf b = gelu_argument(x, GELU_BF16_END);
    vf u = vf_fma(vf_set1(GELU_BF16_G5), b, vf_set1(GELU_BF16_G4));
    u = vf_fma(u, b, vf_set1(GELU_BF16_G3));
    u = vf_fma(u, b, vf_set1(GELU_BF16_G2));
    u = vf_fma(u, b, vf_set1(GELU_BF16_G1));
    u = vf_fma(u, b, vf_set1(GELU_BF16_G0));
    return gelu_of(x, b, u);
}

/* For results that become codes, in two halves, between which a caller may begin with another x. Here b may be a number
 * where x is NaN, which the maximum passes. */
struct gelu_half {
    vf x, b, u;
};

static inline struct gelu_half gelu_for_codes_begin(vf x)
{
    const vf b = vf_minus_abs_from(x, GELU_CODE_END);
    vf u = vf_fma(vf_set1(GELU_CODE_G4), b, vf_set1(GELU_CODE_G3));
    u = vf_fma(u, b, vf_set1(GELU_CODE_G2));
    u = vf_fma(u, b, vf_set1(GELU_CODE_G1));
    return (struct gelu_half){ x, b, vf_fma(u, b, vf_set1(GELU_CODE_G0)) };
}

static inline vf gelu_for_codes_end(const struct gelu_half *h)
{
    return vf_fma(vf_mul(h->u, h->u), h->b, vf_max(vf_zero(), h->x));
}

static inline vf gelu_for_codes(vf x)
{
    const struct gelu_half h = gelu_for_codes_begin(x);
    return gelu_for_codes_end(&h);
}

static inline vf gelu_tanh(vf x)
{
    const vf u = vf_mul(x, vf_fma(vf_mul(x, x), vf_set1(GELU_TANH_CUBIC), vf_set1(GELU_TANH_LINEAR)));
    return vf_mul(x, sigmoid(u));
}

static inline vf quick_gelu(vf x)
{
    return vf_mul(x, sigmoid(vf_mul(x, vf_set1(QUICK_GELU_SLOPE))));
}

static inline vf silu(vf x)
{
    return vf_mul(x, sigmoid(x));
}

static inline vf relu(vf x)
{
    return vf_max(vf_zero(), x);
}

static inline vf hyperbolic_tangent(vf x)
{
    const vf e = exp_nonpositive(vf_mul(vf_abs(x), vf_set1(-2.0f)));
    return vf_copysign(vf_div(vf_sub(vf_set1(1.0f), e), vf_add(vf_set1(1.0f), e)), x);
}

#define VT_DEFINE_ACTIVATION(kernel, function)                                                                         \
    void VT_FN(kernel)(size_t n, const float *x, float *y)                                                             \
    {                                                                                                                  \
        size_t i = 0;                                                                                                  \
        for (; i + VL <= n; i += VL)                                                                                   \
            vf_store(y + i, function(vf_load(x + i)));                                                                 \
        if (i < n)                                                                                                     \
            vf_store_n(y + i, function(vf_load_n(x + i, n - i)), n - i);                                               \
    }

VT_DEFINE_ACTIVATION(vt_gelu_f32, gelu)
VT_DEFINE_ACTIVATION(vt_gelu_tanh_f32, gelu_tanh)
VT_DEFINE_ACTIVATION(vt_quick_gelu_f32, quick_gelu)
VT_DEFINE_ACTIVATION(vt_silu_f32, silu)
VT_DEFINE_ACTIVATION(vt_relu_f32, relu)
VT_DEFINE_ACTIVATION(vt_tanh_f32, hyperbolic_tangent)
