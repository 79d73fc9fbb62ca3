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

/* ---- Codes ---- */

/* 255 * 2^t, t = z / 2^23 - 127 <= 0, 2^-16 where it would be less, as a code in the low byte of each: the sum has no
 * bits behind the point. */
static inline vi exp2_code(vi z)
{
    z = vi_max(z, vi_set1((127 - 16) << 23));
    const vf m = vf_of_fraction(z);
    vf c = vf_fma(vf_set1(EXP2_CODE_C3), m, vf_set1(EXP2_CODE_C2));
    c = vf_fma(c, m, vf_set1(EXP2_CODE_C1));
    c = vf_fma(c, m, vf_set1(EXP2_CODE_C0));
    return vi_of_bits(vf_fma(c, vf_of_bits(z), vf_set1(0x1p23f)));
}

/* Differences to the largest one, times factor, are z without that of t = 0. */
static inline vi softmax_code(vf difference, vf factor)
{
    return exp2_code(vi_of_vf(vf_fma(difference, factor, vf_set1(127 * 0x1p23f))));
}

/* A row of integers, which are subtracted before they are converted. */
static inline float softmax_u8_row(size_t n, vf factor, const int32_t *x, uint8_t *y)
{
    const vi none = vi_of_bits(vf_set1(0x1p23f));
    vi max = vi_set1(INT32_MIN), sum = vi_set1(0);
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        max = vi_max(max, vi_load(x + i));
    if (i < n)
        max = vi_max(max, vi_keep_n(vi_load_n(x + i, n - i), max, n - i));
    max = vi_set1(vi_max_of_lanes(max));
    for (i = 0; i + VL <= n; i += VL) {
        const vi code = softmax_code(vf_of_vi(vi_sub(vi_load(x + i), max)), factor);
        vi_store_u8(y + i, code);
        sum = vi_add(sum, vi_sub(code, none));
    }
    if (i < n) {
        const vi last = vi_keep_n(vi_load_n(x + i, n - i), max, n - i);
        const vi code = softmax_code(vf_of_vi(vi_sub(last, max)), factor);
        vi_store_u8_n(y + i, code, n - i);
        sum = vi_add(sum, vi_keep_n(vi_sub(code, none), vi_set1(0), n - i));
    }
    return (float)vi_sum_of_lanes(sum);
}

/* A row of what bias is added to. */
static inline float softmax_u8_bias_row(size_t n, vf scale, const int32_t *x, const float *bias, uint8_t *y)
{
    const vi none = vi_of_bits(vf_set1(0x1p23f));
    const vf factor = vf_set1(EXP_LOG2_E * 0x1p23f);
    vf max[LANE_VECTORS];
    vi sum = vi_set1(0);
    for (size_t j = 0; j < LANE_VECTORS; j++)
        max[j] = vf_set1(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            max[j] = vf_max(vf_fma(vf_of_vi(vi_load(x + i + j * VL)), scale, vf_load(bias + i + j * VL)), max[j]);
    for (size_t j = 0; i < n; j++, i += VL) {
        const size_t left = lanes_left(n, i);
        const vf s = vf_fma(vf_of_vi(vi_load_n(x + i, left)), scale, vf_load_n(bias + i, left));
        max[j] = vf_max(vf_keep_n(s, max[j], left), max[j]);
    }
    const vf largest = vf_set1(vf_max16(max));
    for (i = 0; i < n; i += VL) {
        const size_t left = lanes_left(n, i);
        const vf s = vf_fma(vf_of_vi(vi_load_n(x + i, left)), scale, vf_load_n(bias + i, left));
        const vi code = softmax_code(vf_keep_n(vf_sub(s, largest), vf_zero(), left), factor);
        vi_store_u8_n(y + i, code, left);
        sum = vi_add(sum, vi_keep_n(vi_sub(code, none), vi_set1(0), left));
    }
    return (float)vi_sum_of_lanes(sum);
}

void VT_FN(vt_softmax_u8)(size_t m, size_t n, float scale, const int32_t *x, size_t ldx, const float *bias,
                          size_t ld_bias, uint8_t *y, size_t ldy, float *sums)
{
    for (size_t r = 0; r < m && bias; r++)
        sums[r] = softmax_u8_bias_row(n, vf_set1(scale), x + r * ldx, bias + r * ld_bias, y + r * ldy);
    for (size_t r = 0; r < m && !bias; r++)
        sums[r] = softmax_u8_row(n, vf_set1(scale * EXP_LOG2_E * 0x1p23f), x + r * ldx, y + r * ldy);
}
