/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a given length in the sense of Euclid, written once. Include a simd/<isa>.h before; contract in kernels.h.
 *
 * As in norm.h GROUP rows go side by side, and where fewer are left the last one is added up several times. It is
 * written once: x may be y.
 */
#include "lanes.h"

/* The sums of squares of GROUP rows. */
static inline void add_squares(const float *const *x, size_t n, float *total)
{
    vf sum[GROUP][LANE_VECTORS];
    for (size_t r = 0; r < GROUP; r++)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            sum[r][j] = vf_zero();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t r = 0; r < GROUP; r++)
            for (size_t j = 0; j < LANE_VECTORS; j++) {
                const vf v = vf_load(x[r] + i + j * VL);
                sum[r][j] = vf_fma(v, v, sum[r][j]);
            }
    for (size_t j = 0; i < n; j++, i += VL)
        for (size_t r = 0; r < GROUP; r++) {
            const vf v = vf_load_n(x[r] + i, lanes_left(n, i));
            sum[r][j] = vf_fma(v, v, sum[r][j]);
        }
    for (size_t r = 0; r < GROUP; r++)
        total[r] = vf_sum16(sum[r]);
}

/* The maximum is the root where that is NaN. */
static inline vf factor_of(float total, float scale)
{
    const float shortest = 1e-12f; /* that of torch.nn.functional.normalize */
    return vf_div(vf_set1(scale), vf_max(vf_set1(shortest), vf_sqrt(vf_set1(total))));
}

#define VT_DEFINE_L2_NORM(kernel, type, store)                                                                         \
    void VT_FN(kernel)(size_t m, size_t n, const float *x, size_t ldx, float scale, type *y, size_t ldy)               \
    {                                                                                                                  \
        for (size_t first = 0; first < m; first += GROUP) {                                                            \
            const float *row[GROUP];                                                                                   \
            float total[GROUP];                                                                                        \
            for (size_t r = 0; r < GROUP; r++)                                                                         \
                row[r] = x + (first + r < m ? first + r : m - 1) * ldx;                                                \
            add_squares(row, n, total);                                                                                \
            for (size_t r = 0; r < GROUP && first + r < m; r++) {                                                      \
                const vf factor = factor_of(total[r], scale);                                                          \
                type *out = y + (first + r) * ldy;                                                                     \
                size_t i = 0;                                                                                          \
                for (; i + VL <= n; i += VL)                                                                           \
                    store(out + i, vf_mul(vf_load(row[r] + i), factor));                                               \
                if (i < n)                                                                                             \
                    store##_n(out + i, vf_mul(vf_load_n(row[r] + i, n - i), factor), n - i);                           \
            }                                                                                                          \
        }                                                                                                              \
    }

VT_DEFINE_L2_NORM(vt_l2_norm_f32, float, vf_store)
VT_DEFINE_L2_NORM(vt_l2_norm_bf16, vt_bf16, vf_store_bf16)
