/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax without its division, written once. Include a simd/<isa>.h before; contracts in kernels.h. */
#include "exp.h"
#include "lanes.h"

static inline float row_max(size_t n, const float *x)
{
    vf max[LANE_VECTORS];
    for (size_t j = 0; j < LANE_VECTORS; j++)
        max[j] = vf_set1(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            max[j] = vf_max(vf_load(x + i + j * VL), max[j]);
    for (size_t j = 0; i < n; j++, i += VL) {
        const size_t left = lanes_left(n, i);
        max[j] = vf_max(vf_keep_n(vf_load_n(x + i, left), vf_set1(-INFINITY), left), max[j]);
    }
    return vf_max16(max);
}

float VT_FN(vt_softmax_f32)(size_t n, float scale, const float *x, float *y)
{
    const vf max = vf_set1(row_max(n, x)), vscale = vf_set1(scale);
    vf sum[LANE_VECTORS];
    for (size_t j = 0; j < LANE_VECTORS; j++)
        sum[j] = vf_zero();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANE_VECTORS; j++) {
            const vf e = exp_nonpositive(vf_mul(vf_sub(vf_load(x + i + j * VL), max), vscale));
            vf_store(y + i + j * VL, e);
            sum[j] = vf_add(sum[j], e);
        }
    }
    for (size_t j = 0; i < n; j++, i += VL) {
        const size_t left = lanes_left(n, i);
        const vf e = exp_nonpositive(vf_mul(vf_sub(vf_load_n(x + i, left), max), vscale));
        vf_store_n(y + i, e, left);
        sum[j] = vf_add(sum[j], vf_keep_n(e, vf_zero(), left));
    }
    return vf_sum16(sum);
}

float VT_FN(vt_softmax_bf16)(size_t n, float scale, const float *x, vt_bf16 *y)
{
    const float factor = scale * EXP_LOG2_E;
    const vf vfactor = vf_set1(factor), offset = vf_set1(-(row_max(n, x) * factor));
    vf sum[LANE_VECTORS];
    for (size_t j = 0; j < LANE_VECTORS; j++)
        sum[j] = vf_zero();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANE_VECTORS; j++) {
            const vf e = exp2_for_bf16(vf_fma(vf_load(x + i + j * VL), vfactor, offset));
            vf_store_bf16(y + i + j * VL, e);
            sum[j] = vf_add(sum[j], e);
        }
    }
    for (size_t j = 0; i < n; j++, i += VL) {
        const size_t left = lanes_left(n, i);
        const vf e = exp2_for_bf16(vf_fma(vf_load_n(x + i, left), vfactor, offset));
        vf_store_bf16_n(y + i, e, left);
        sum[j] = vf_add(sum[j], vf_keep_n(e, vf_zero(), left));
    }
    return vf_sum16(sum);
}
