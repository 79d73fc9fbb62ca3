/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer norm, written once. Include a simd/<isa>.h before; contract in kernels.h.
 *
 * Each sum over a row is one chain of additions in every lane, which waits for itself. So GROUP rows go side by side;
 * where fewer are left the last one is computed several times.
 */
#include "lanes.h"

struct row_group {
    const float *x[GROUP];
    vf mean[GROUP], inverse[GROUP];
};

static inline void find_means(struct row_group *g, size_t n)
{
    vf sum[GROUP][LANE_VECTORS];
    for (size_t r = 0; r < GROUP; r++)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            sum[r][j] = vf_zero();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t r = 0; r < GROUP; r++)
            for (size_t j = 0; j < LANE_VECTORS; j++)
                sum[r][j] = vf_add(sum[r][j], vf_load(g->x[r] + i + j * VL));
    for (size_t j = 0; i < n; j++, i += VL)
        for (size_t r = 0; r < GROUP; r++)
            sum[r][j] = vf_add(sum[r][j], vf_load_n(g->x[r] + i, lanes_left(n, i)));
    for (size_t r = 0; r < GROUP; r++)
        g->mean[r] = vf_set1(vf_sum16(sum[r]) / (float)n);
}

static inline vf square_added(vf d, vf sum)
{
    return vf_fma(d, d, sum);
}

static inline void find_inverses(struct row_group *g, size_t n, float eps)
{
    vf sum[GROUP][LANE_VECTORS];
    for (size_t r = 0; r < GROUP; r++)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            sum[r][j] = vf_zero();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t r = 0; r < GROUP; r++)
            for (size_t j = 0; j < LANE_VECTORS; j++)
                sum[r][j] = square_added(vf_sub(vf_load(g->x[r] + i + j * VL), g->mean[r]), sum[r][j]);
    for (size_t j = 0; i < n; j++, i += VL) {
        const size_t left = lanes_left(n, i);
        for (size_t r = 0; r < GROUP; r++)
            sum[r][j] =
                square_added(vf_keep_n(vf_sub(vf_load_n(g->x[r] + i, left), g->mean[r]), vf_zero(), left), sum[r][j]);
    }
    for (size_t r = 0; r < GROUP; r++) {
        const vf variance = vf_set1(vf_sum16(sum[r]) / (float)n);
        g->inverse[r] = vf_div(vf_set1(1.0f), vf_sqrt(vf_add(variance, vf_set1(eps))));
    }
}

static inline vf normalised(const struct row_group *g, size_t r, vf x, vf gamma, vf beta)
{
    return vf_fma(vf_mul(vf_sub(x, g->mean[r]), g->inverse[r]), gamma, beta);
}

/* The last of m rows takes the place of those that GROUP lacks. */
static inline size_t row_of_group(size_t m, size_t first, size_t r)
{
    return first + r < m ? first + r : m - 1;
}

static inline void prepare_group(struct row_group *g, size_t m, size_t first, size_t n, const float *x, size_t ldx,
                                 float eps)
{
    for (size_t r = 0; r < GROUP; r++)
        g->x[r] = x + row_of_group(m, first, r) * ldx;
    find_means(g, n);
    find_inverses(g, n, eps);
}

#define VT_DEFINE_LAYER_NORM(kernel, type, store, store_n)                                                             \
    void VT_FN(kernel)(size_t m, size_t n, const float *x, size_t ldx, const float *gamma, const float *beta,          \
                       float eps, type *y, size_t ldy)                                                                 \
    {                                                                                                                  \
        for (size_t first = 0; first < m; first += GROUP) {                                                            \
            struct row_group g;                                                                                        \
            type *out[GROUP];                                                                                          \
            prepare_group(&g, m, first, n, x, ldx, eps);                                                               \
            for (size_t r = 0; r < GROUP; r++)                                                                         \
                out[r] = y + row_of_group(m, first, r) * ldy;                                                          \
            size_t i = 0;                                                                                              \
            for (; i + VL <= n; i += VL) {                                                                             \
                const vf gam = vf_load(gamma + i), bet = vf_load(beta + i);                                            \
                for (size_t r = 0; r < GROUP; r++)                                                                     \
                    store(out[r] + i, normalised(&g, r, vf_load(g.x[r] + i), gam, bet));                               \
            }                                                                                                          \
            if (i < n) {                                                                                               \
                const size_t rest = n - i;                                                                             \
                const vf gam = vf_load_n(gamma + i, rest), bet = vf_load_n(beta + i, rest);                            \
                for (size_t r = 0; r < GROUP; r++)                                                                     \
                    store_n(out[r] + i, normalised(&g, r, vf_load_n(g.x[r] + i, rest), gam, bet), rest);               \
            }                                                                                                          \
        }                                                                                                              \
    }

VT_DEFINE_LAYER_NORM(vt_layer_norm_f32, float, vf_store, vf_store_n)
VT_DEFINE_LAYER_NORM(vt_layer_norm_bf16, vt_bf16, vf_store_bf16, vf_store_bf16_n)

void VT_FN(vt_layer_norm_u8)(size_t m, size_t n, const float *x, size_t ldx, const float *gamma, const float *beta,
                             float eps, uint8_t highest, uint8_t *y, size_t ldy)
{
    const vf most = vf_set1(highest);
    for (size_t first = 0; first < m; first += GROUP) {
        struct row_group g;
        uint8_t *out[GROUP];
        prepare_group(&g, m, first, n, x, ldx, eps);
        for (size_t r = 0; r < GROUP; r++)
            out[r] = y + row_of_group(m, first, r) * ldy;
        size_t i = 0;
        for (; i + 2 * VL <= n; i += 2 * VL) {
            const vf gam[2] = { vf_load(gamma + i), vf_load(gamma + i + VL) };
            const vf bet[2] = { vf_load(beta + i), vf_load(beta + i + VL) };
            for (size_t r = 0; r < GROUP; r++)
                vf_store_u8_pair(out[r] + i, normalised(&g, r, vf_load(g.x[r] + i), gam[0], bet[0]),
                                 normalised(&g, r, vf_load(g.x[r] + i + VL), gam[1], bet[1]), most);
        }
        for (; i < n; i += VL) {
            const size_t left = lanes_left(n, i);
            const vf gam = vf_load_n(gamma + i, left), bet = vf_load_n(beta + i, left);
            for (size_t r = 0; r < GROUP; r++)
                vf_store_u8_n(out[r] + i, normalised(&g, r, vf_load_n(g.x[r] + i, left), gam, bet), most, left);
        }
    }
}
