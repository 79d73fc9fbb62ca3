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

/* GROUP rows side by side, step by step: a code is the end of a chain of a dozen instructions, and more chains than two
 * would not be under way if one came behind the other. */
struct code_rows {
    const int32_t *x[GROUP];
    const float *bias[GROUP];
    uint8_t *y[GROUP];
    vf scale, factor; /* factor: of the differences to the largest one */
    vi max[GROUP];    /* of integers */
    vf most[GROUP];   /* of what bias was added to */
    vi sum[GROUP];
};

/* The left elements of row r from i on, and then the largest one. */
static inline vi code_scores(const struct code_rows *g, size_t r, size_t i, size_t left)
{
    return left < VL ? vi_keep_n(vi_load_n(g->x[r] + i, left), g->max[r], left) : vi_load(g->x[r] + i);
}

static inline vf code_scores_with_bias(const struct code_rows *g, size_t r, size_t i, size_t left)
{
    if (left == VL)
        return vf_fma(vf_of_vi(vi_load(g->x[r] + i)), g->scale, vf_load(g->bias[r] + i));
    const vf s = vf_fma(vf_of_vi(vi_load_n(g->x[r] + i, left)), g->scale, vf_load_n(g->bias[r] + i, left));
    return vf_keep_n(s, g->most[r], left);
}

static inline void find_largest(struct code_rows *g, size_t n)
{
    for (size_t r = 0; r < GROUP; r++)
        g->max[r] = vi_set1(INT32_MIN);
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        for (size_t r = 0; r < GROUP; r++)
            g->max[r] = vi_max(g->max[r], code_scores(g, r, i, VL));
    for (size_t r = 0; r < GROUP && i < n; r++)
        g->max[r] = vi_max(g->max[r], code_scores(g, r, i, n - i));
    for (size_t r = 0; r < GROUP; r++)
        g->max[r] = vi_set1(vi_max_of_lanes(g->max[r]));
}

static inline void find_largest_with_bias(struct code_rows *g, size_t n)
{
    vf lane[GROUP][LANE_VECTORS];
    for (size_t r = 0; r < GROUP; r++) {
        g->most[r] = vf_set1(-INFINITY);
        for (size_t j = 0; j < LANE_VECTORS; j++)
            lane[r][j] = g->most[r];
    }
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t r = 0; r < GROUP; r++)
            for (size_t j = 0; j < LANE_VECTORS; j++)
                lane[r][j] = vf_max(code_scores_with_bias(g, r, i + j * VL, VL), lane[r][j]);
    for (size_t j = 0; i < n; j++, i += VL)
        for (size_t r = 0; r < GROUP; r++)
            lane[r][j] = vf_max(code_scores_with_bias(g, r, i, lanes_left(n, i)), lane[r][j]);
    for (size_t r = 0; r < GROUP; r++)
        g->most[r] = vf_set1(vf_max16(lane[r]));
}

/* The codes round(255 * e^d) of each row's left elements from i on, where d * factor = 2^23 log2(e^d); an e^d below
 * 2^-16 is taken for that. The code is the low byte of a sum that has no bits behind the point. */
static inline void store_codes(struct code_rows *g, const vf *difference, size_t i, size_t left)
{
    const vf point = vf_set1(0x1p23f);
    vi z[GROUP], code[GROUP];
    vf m[GROUP], c[GROUP];
    for (size_t r = 0; r < GROUP; r++)
        z[r] = vi_of_vf(vf_fma(difference[r], g->factor, vf_set1(127 * 0x1p23f)));
    for (size_t r = 0; r < GROUP; r++)
        z[r] = vi_max(z[r], vi_set1((127 - 16) << 23));
    for (size_t r = 0; r < GROUP; r++)
        m[r] = vf_of_fraction(z[r]);
    for (size_t r = 0; r < GROUP; r++)
        c[r] = vf_fma(vf_set1(EXP2_CODE_C3), m[r], vf_set1(EXP2_CODE_C2));
    for (size_t r = 0; r < GROUP; r++)
        c[r] = vf_fma(c[r], m[r], vf_set1(EXP2_CODE_C1));
    for (size_t r = 0; r < GROUP; r++)
        c[r] = vf_fma(c[r], m[r], vf_set1(EXP2_CODE_C0));
    for (size_t r = 0; r < GROUP; r++) {
        code[r] = vi_of_bits(vf_fma(c[r], vf_of_bits(z[r]), point));
        if (left < VL)
            code[r] = vi_keep_n(code[r], vi_of_bits(point), left);
        g->sum[r] = vi_add(g->sum[r], vi_sub(code[r], vi_of_bits(point)));
    }
    for (size_t r = 0; r < GROUP; r++) {
        if (left < VL)
            vi_store_u8_n(g->y[r] + i, code[r], left);
        else
            vi_store_u8(g->y[r] + i, code[r]);
    }
}

static inline void softmax_codes(struct code_rows *g, size_t n)
{
    find_largest(g, n);
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = lanes_left(n, i);
        vf difference[GROUP];
        for (size_t r = 0; r < GROUP; r++)
            difference[r] = vf_of_vi(vi_sub(code_scores(g, r, i, left), g->max[r]));
        store_codes(g, difference, i, left);
    }
}

static inline void softmax_codes_with_bias(struct code_rows *g, size_t n)
{
    find_largest_with_bias(g, n);
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = lanes_left(n, i);
        vf difference[GROUP];
        for (size_t r = 0; r < GROUP; r++)
            difference[r] = vf_sub(code_scores_with_bias(g, r, i, left), g->most[r]);
        store_codes(g, difference, i, left);
    }
}

void VT_FN(vt_softmax_u8)(size_t m, size_t n, float scale, const int32_t *x, size_t ldx, const float *bias,
                          size_t ld_bias, uint8_t *y, size_t ldy, float *sums)
{
    const float octave = EXP_LOG2_E * 0x1p23f;
    struct code_rows g = { .scale = vf_set1(scale), .factor = vf_set1(bias ? octave : scale * octave) };
    for (size_t first = 0; first < m; first += GROUP) {
        for (size_t r = 0; r < GROUP; r++) {
            const size_t row = first + r < m ? first + r : m - 1;
            g.x[r] = x + row * ldx;
            g.bias[r] = bias ? bias + row * ld_bias : NULL;
            g.y[r] = y + row * ldy;
            g.sum[r] = vi_set1(0);
        }
        if (bias)
            softmax_codes_with_bias(&g, n);
        else
            softmax_codes(&g, n);
        for (size_t r = 0; r < GROUP && first + r < m; r++)
            sums[first + r] = (float)vi_sum_of_lanes(g.sum[r]);
    }
}
