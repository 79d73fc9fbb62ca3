/* SPDX-License-Identifier: Apache-2.0 */
/* Layer norm of one row, written once. Include a simd/<isa>.h before; contract in kernels.h. */
#include "lanes.h"

static inline float row_sum(size_t n, const float *x)
{
    vf sum[LANE_VECTORS];
    for (size_t j = 0; j < LANE_VECTORS; j++)
        sum[j] = vf_zero();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            sum[j] = vf_add(sum[j], vf_load(x + i + j * VL));
    for (size_t j = 0; i < n; j++, i += VL)
        sum[j] = vf_add(sum[j], vf_load_n(x + i, lanes_left(n, i)));
    return vf_sum16(sum);
}

static inline float row_sum_of_squares(size_t n, const float *x, vf mean)
{
    vf sum[LANE_VECTORS];
    for (size_t j = 0; j < LANE_VECTORS; j++)
        sum[j] = vf_zero();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANE_VECTORS; j++) {
            const vf d = vf_sub(vf_load(x + i + j * VL), mean);
            sum[j] = vf_fma(d, d, sum[j]);
        }
    }
    for (size_t j = 0; i < n; j++, i += VL) {
        const size_t left = lanes_left(n, i);
        const vf d = vf_keep_n(vf_sub(vf_load_n(x + i, left), mean), vf_zero(), left);
        sum[j] = vf_fma(d, d, sum[j]);
    }
    return vf_sum16(sum);
}

static inline vf normalised(vf x, vf mean, vf inverse, vf gamma, vf beta)
{
    return vf_fma(vf_mul(vf_sub(x, mean), inverse), gamma, beta);
}

#define VT_DEFINE_LAYER_NORM(kernel, type, store, store_n)                                                             \
    void VT_FN(kernel)(size_t n, const float *x, const float *gamma, const float *beta, float eps, type *y)            \
    {                                                                                                                  \
        const vf mean = vf_set1(row_sum(n, x) / (float)n);                                                             \
        const vf variance = vf_set1(row_sum_of_squares(n, x, mean) / (float)n);                                        \
        const vf inverse = vf_div(vf_set1(1.0f), vf_sqrt(vf_add(variance, vf_set1(eps))));                             \
        size_t i = 0;                                                                                                  \
        for (; i + VL <= n; i += VL)                                                                                   \
            store(y + i, normalised(vf_load(x + i), mean, inverse, vf_load(gamma + i), vf_load(beta + i)));            \
        if (i < n) {                                                                                                   \
            const size_t rest = n - i;                                                                                 \
            const vf g = vf_load_n(gamma + i, rest), b = vf_load_n(beta + i, rest);                                    \
            store_n(y + i, normalised(vf_load_n(x + i, rest), mean, inverse, g, b), rest);                             \
        }                                                                                                              \
    }

VT_DEFINE_LAYER_NORM(vt_layer_norm_f32, float, vf_store, vf_store_n)
VT_DEFINE_LAYER_NORM(vt_layer_norm_bf16, vt_bf16, vf_store_bf16, vf_store_bf16_n)
