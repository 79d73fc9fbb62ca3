/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax without its division, written once. Include a simd/<isa>.h before; contracts in kernels.h.
 *
 * The largest element of a row is a chain that waits for itself, so those of GROUP rows are found side by side; where
 * fewer are left the last one is looked at several times.
 */
#include "exp.h"
#include "lanes.h"

static inline void row_maxima(size_t n, const float *const x[GROUP], float maxima[GROUP])
{
    vf max[GROUP][LANE_VECTORS];
    for (size_t r = 0; r < GROUP; r++)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            max[r][j] = vf_set1(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t r = 0; r < GROUP; r++)
            for (size_t j = 0; j < LANE_VECTORS; j++)
                max[r][j] = vf_max(vf_load(x[r] + i + j * VL), max[r][j]);
    for (size_t j = 0; i < n; j++, i += VL) {
        const size_t left = lanes_left(n, i);
        for (size_t r = 0; r < GROUP; r++)
            max[r][j] = vf_max(vf_keep_n(vf_load_n(x[r] + i, left), vf_set1(-INFINITY), left), max[r][j]);
    }
    for (size_t r = 0; r < GROUP; r++)
        maxima[r] = vf_max16(max[r]);
}

/* What one row's exponentials are taken of: scale * (x - max), as a power of e or of 2. */
struct softmax_row {
    vf scale, max;
};

static inline struct softmax_row prepare_exp(float scale, float max)
{
    return (struct softmax_row){ vf_set1(scale), vf_set1(max) };
}

static inline vf softmax_exp(const struct softmax_row *row, vf x)
{
    return exp_nonpositive(vf_mul(vf_sub(x, row->max), row->scale));
}

static inline struct softmax_row prepare_exp2(float scale, float max)
{
    return (struct softmax_row){ vf_set1(scale * EXP_LOG2_E), vf_set1(max) };
}

static inline vf softmax_exp2(const struct softmax_row *row, vf x)
{
    return exp2_for_bf16(vf_mul(vf_sub(x, row->max), row->scale));
}

#define VT_DEFINE_SOFTMAX(kernel, type, prepare, exponential, store, store_n)                                          \
    static inline float kernel##_row(size_t n, struct softmax_row row, const float *x, type *y)                        \
    {                                                                                                                  \
        vf sum[LANE_VECTORS];                                                                                          \
        for (size_t j = 0; j < LANE_VECTORS; j++)                                                                      \
            sum[j] = vf_zero();                                                                                        \
        size_t i = 0;                                                                                                  \
        for (; i + LANES <= n; i += LANES) {                                                                           \
            for (size_t j = 0; j < LANE_VECTORS; j++) {                                                                \
                const vf e = exponential(&row, vf_load(x + i + j * VL));                                               \
                store(y + i + j * VL, e);                                                                              \
                sum[j] = vf_add(sum[j], e);                                                                            \
            }                                                                                                          \
        }                                                                                                              \
        for (size_t j = 0; i < n; j++, i += VL) {                                                                      \
            const size_t left = lanes_left(n, i);                                                                      \
            const vf e = exponential(&row, vf_load_n(x + i, left));                                                    \
            store_n(y + i, e, left);                                                                                   \
            sum[j] = vf_add(sum[j], vf_keep_n(e, vf_zero(), left));                                                    \
        }                                                                                                              \
        return vf_sum16(sum);                                                                                          \
    }                                                                                                                  \
                                                                                                                       \
    void VT_FN(kernel)(size_t m, size_t n, float scale, const float *x, size_t ldx, type *y, size_t ldy, float *sums)  \
    {                                                                                                                  \
        for (size_t first = 0; first < m; first += GROUP) {                                                            \
            const float *rows[GROUP];                                                                                  \
            float maxima[GROUP];                                                                                       \
            for (size_t r = 0; r < GROUP; r++)                                                                         \
                rows[r] = x + (first + r < m ? first + r : m - 1) * ldx;                                               \
            row_maxima(n, rows, maxima);                                                                               \
            for (size_t r = first; r < m && r < first + GROUP; r++)                                                    \
                sums[r] = kernel##_row(n, prepare(scale, maxima[r - first]), rows[r - first], y + r * ldy);            \
        }                                                                                                              \
    }

VT_DEFINE_SOFTMAX(vt_softmax_f32, float, prepare_exp, softmax_exp, vf_store, vf_store_n)
VT_DEFINE_SOFTMAX(vt_softmax_bf16, vt_bf16, prepare_exp2, softmax_exp2, vf_store_bf16, vf_store_bf16_n)
