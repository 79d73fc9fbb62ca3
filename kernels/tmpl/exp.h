/* SPDX-License-Identifier: Apache-2.0 */
/* exp for arguments that are not positive, which is all that softmax and the sigmoid need. Include a simd/<isa>.h
 * before. */
#ifndef VT_TMPL_EXP_H
#define VT_TMPL_EXP_H

#include "../poly.h"

/* exp(x), x <= 0; 0 below EXP_LOWEST, -inf included; NaN stays. |relative error| <= 2 ulp. */
static inline vf exp_nonpositive(vf x)
{
    const vf biased = vf_fma(x, vf_set1(EXP_LOG2_E), vf_set1(ROUND_BIAS));
    const vf n = vf_sub(biased, vf_set1(ROUND_BIAS));
    vf r = vf_fma(n, vf_set1(-EXP_LN2_HIGH), x);
    r = vf_fma(n, vf_set1(-EXP_LN2_LOW), r);

    vf p = vf_fma(vf_set1(EXP_E6), r, vf_set1(EXP_E5));
    p = vf_fma(p, r, vf_set1(EXP_E4));
    p = vf_fma(p, r, vf_set1(EXP_E3));
    p = vf_fma(p, r, vf_set1(EXP_E2));
    p = vf_fma(p, r, vf_set1(1.0f));
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_zero_below(vf_scale_by_power(p, biased), x, vf_set1(EXP_LOWEST));
}

/* 2^t, t <= 0; 0 below EXP2_LOWEST, -inf included; NaN stays. |relative error| <= 4e-6: for results
 * that are rounded to bf16. */
static inline vf exp2_for_bf16(vf t)
{
    const vf biased = vf_add(t, vf_set1(ROUND_BIAS));
    const vf f = vf_sub(t, vf_sub(biased, vf_set1(ROUND_BIAS)));
    vf p = vf_fma(vf_set1(EXP2_F4), f, vf_set1(EXP2_F3));
    p = vf_fma(p, f, vf_set1(EXP2_F2));
    p = vf_fma(p, f, vf_set1(EXP2_F1));
    p = vf_fma(p, f, vf_set1(1.0f));
    return vf_zero_below(vf_scale_by_power(p, biased), t, vf_set1(EXP2_LOWEST));
}

#endif
