/* SPDX-License-Identifier: Apache-2.0 */
/* Activation functions, written once. Include a simd/<isa>.h before; contracts in kernels.h. */
#include "exp.h"

/* 1 / (1 + exp(-x)) without overflow: with e = exp(-|x|) it is 1 / (1 + e) or, for negative x, e / (1 + e). */
static inline vf sigmoid(vf x)
{
    const vf e = exp_nonpositive(vf_sub(vf_zero(), vf_abs(x)));
    return vf_div(vf_select_negative(x, e, vf_set1(1.0f)), vf_add(e, vf_set1(1.0f)));
}

/* x Phi(x) = max(x, 0) - a Phi(-a), a = |x|. NaN passes: max yields its second operand then. */
static inline vf gelu(vf x)
{
    const vf a = vf_min(vf_set1(GELU_END), vf_abs(x));
    vf t = vf_fma(vf_set1(GELU_G8), a, vf_set1(GELU_G7));
    t = vf_fma(t, a, vf_set1(GELU_G6));
    t = vf_fma(t, a, vf_set1(GELU_G5));
    t = vf_fma(t, a, vf_set1(GELU_G4));
    t = vf_fma(t, a, vf_set1(GELU_G3));
    t = vf_fma(t, a, vf_set1(GELU_G2));
    t = vf_fma(t, a, vf_set1(GELU_G1));
    t = vf_fma(t, a, vf_set1(1.0f));
    t = vf_max(vf_zero(), t);
    t = vf_mul(t, t);
    t = vf_mul(t, t);
    t = vf_mul(t, t);
    return vf_fma(vf_mul(a, vf_set1(-0.5f)), t, vf_max(vf_zero(), x));
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
