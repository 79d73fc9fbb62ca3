/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a product: dequantization, activation, LayerScale, residual and conversion in one pass over a tile,
 * written once. Include tmpl/activation.h before; contract in kernels.h. */

#include "lanes.h"

/* The sums of one row from column j on, as floats. */
static inline vf finish_load(const void *sums, size_t ld, const struct vt_epilogue *e, size_t i, size_t j, size_t n)
{
    const size_t at = i * ld + j;
    if (!e->sum_scale)
        return vf_load_n((const float *)sums + at, n);
    vf number = vf_of_vi(vi_load_n((const int32_t *)sums + at, n));
    if (e->row_scale)
        number = vf_mul(number, vf_set1(e->row_scale[i]));
    return vf_fma(number, vf_load_n(e->sum_scale + j, n), vf_load_n(e->sum_bias + j, n));
}

/* The n <= VL elements of one row from column j on, already activated. */
static inline void finish_store(vf x, const struct vt_epilogue *e, size_t i, size_t j, size_t n)
{
    const float *residual = e->residual ? e->residual + i * e->ldr + j : NULL;
    const size_t at = i * e->ldc + j;
    if (e->scale && residual)
        x = vf_fma(x, vf_load_n(e->scale + j, n), vf_load_n(residual, n));
    else if (e->scale)
        x = vf_mul(x, vf_load_n(e->scale + j, n));
    else if (residual)
        x = vf_add(x, vf_load_n(residual, n));
    if (e->to == VT_TO_F32)
        vf_store_n((float *)e->c + at, x, n);
    else if (e->to == VT_TO_BF16)
        vf_store_bf16_n((vt_bf16 *)e->c + at, x, n);
    else
        vf_store_u8_n((uint8_t *)e->c + at, x, vf_set1(e->highest), n);
}

static inline vf no_activation(vf x)
{
    return x;
}

/* Most products are followed by an activation at most, or by a residual: without a question for each vector. */
static inline bool is_plain(const struct vt_epilogue *e)
{
    return !e->sum_scale && !e->scale && !e->residual && e->to != VT_TO_U8;
}

static inline bool only_adds(const struct vt_epilogue *e)
{
    return !e->sum_scale && !e->scale && e->residual && e->to == VT_TO_F32;
}

#define FINISH_ADD(activation)                                                                                         \
    const float *row = sums, *residual = e->residual;                                                                  \
    const size_t ldr = e->ldr, ldc = e->ldc;                                                                           \
    float *out = e->c;                                                                                                 \
    for (size_t i = 0; i < m; i++, row += ld, residual += ldr, out += ldc) {                                           \
        size_t j = 0;                                                                                                  \
        for (; j + VL <= n; j += VL)                                                                                   \
            vf_store(out + j, vf_add(activation(vf_load(row + j)), vf_load(residual + j)));                            \
        if (j < n)                                                                                                     \
            vf_store_n(out + j, vf_add(activation(vf_load_n(row + j, n - j)), vf_load_n(residual + j, n - j)), n - j); \
    }

#define FINISH_PLAIN(activation, type, store)                                                                          \
    const float *row = sums;                                                                                           \
    const size_t ldc = e->ldc;                                                                                         \
    type *out = e->c;                                                                                                  \
    for (size_t i = 0; i < m; i++, row += ld, out += ldc) {                                                            \
        size_t j = 0;                                                                                                  \
        for (; j + VL <= n; j += VL)                                                                                   \
            store(out + j, activation(vf_load(row + j)));                                                              \
        if (j < n)                                                                                                     \
            store##_n(out + j, activation(vf_load_n(row + j, n - j)), n - j);                                          \
    }

/* ---- Integers ---- */

/* What the VL columns from j on have in common, which stays in registers while all rows go by. */
struct finish_columns {
    vf sum_scale, sum_bias, scale, shift;
};

static inline struct finish_columns finish_columns_at(const struct vt_epilogue *e, size_t j)
{
    return (struct finish_columns){ vf_load(e->sum_scale + j), vf_load(e->sum_bias + j),
                                    e->scale ? vf_load(e->scale + j) : vf_set1(1.0f),
                                    e->residual && e->ldr == 0 ? vf_load(e->residual + j) : vf_zero() };
}

static inline vf finish_sum(const int32_t *sum, const struct finish_columns *c)
{
    return vf_fma(vf_of_vi(vi_load(sum)), c->sum_scale, c->sum_bias);
}

static inline vf finish_row_sum(const int32_t *sum, vf row_scale, const struct finish_columns *c)
{
    return vf_fma(vf_mul(vf_of_vi(vi_load(sum)), row_scale), c->sum_scale, c->sum_bias);
}

static inline vf finish_shifted(vf x, const struct finish_columns *c)
{
    return vf_fma(x, c->scale, c->shift);
}

/* The most frequent ends of integer products, for m rows of the two vectors of columns from j on; sum: the first one.
 * Row by row, with everything that is the same for all rows in registers. */
typedef void finish_pair_fn(size_t m, const int32_t *sum, size_t ld, const struct vt_epilogue *e, size_t j);

/* To codes. */
static void finish_codes(size_t m, const int32_t *sum, size_t ld, const struct vt_epilogue *e, size_t j)
{
    const struct finish_columns a = finish_columns_at(e, j), b = finish_columns_at(e, j + VL);
    const vf highest = vf_set1(e->highest);
    const size_t ldc = e->ldc;
    uint8_t *c = (uint8_t *)e->c + j;
    for (size_t i = 0; i < m; i++, sum += ld, c += ldc)
        vf_store_u8_pair(c, finish_sum(sum, &a), finish_sum(sum + VL, &b), highest);
}

/* To codes, with a scale of each row: attention's output. */
static void finish_row_codes(size_t m, const int32_t *sum, size_t ld, const struct vt_epilogue *e, size_t j)
{
    const struct finish_columns a = finish_columns_at(e, j), b = finish_columns_at(e, j + VL);
    const vf highest = vf_set1(e->highest);
    const size_t ldc = e->ldc;
    const float *const row_scale = e->row_scale;
    uint8_t *c = (uint8_t *)e->c + j;
    for (size_t i = 0; i < m; i++, sum += ld, c += ldc) {
        const vf scale = vf_set1(row_scale[i]);
        vf_store_u8_pair(c, finish_row_sum(sum, scale, &a), finish_row_sum(sum + VL, scale, &b), highest);
    }
}

/* As floats. */
static void finish_floats(size_t m, const int32_t *sum, size_t ld, const struct vt_epilogue *e, size_t j)
{
    const struct finish_columns a = finish_columns_at(e, j), b = finish_columns_at(e, j + VL);
    const size_t ldc = e->ldc;
    float *c = (float *)e->c + j;
    for (size_t i = 0; i < m; i++, sum += ld, c += ldc) {
        vf_store(c, finish_sum(sum, &a));
        vf_store(c + VL, finish_sum(sum + VL, &b));
    }
}

/* Added to a residual. */
static void finish_added(size_t m, const int32_t *sum, size_t ld, const struct vt_epilogue *e, size_t j)
{
    const struct finish_columns a = finish_columns_at(e, j), b = finish_columns_at(e, j + VL);
    const size_t ldc = e->ldc, ldr = e->ldr;
    const float *residual = e->residual + j;
    float *c = (float *)e->c + j;
    for (size_t i = 0; i < m; i++, sum += ld, c += ldc, residual += ldr) {
        const vf first = vf_add(finish_sum(sum, &a), vf_load(residual));
        const vf second = vf_add(finish_sum(sum + VL, &b), vf_load(residual + VL));
        vf_store(c, first);
        vf_store(c + VL, second);
    }
}

/* Activated, and then to codes by scale and shift. */
#define DEFINE_ACTIVATED_CODES(activation)                                                                             \
    static void finish_##activation##_codes(size_t m, const int32_t *sum, size_t ld, const struct vt_epilogue *e,      \
                                            size_t j)                                                                  \
    {                                                                                                                  \
        const struct finish_columns a = finish_columns_at(e, j), b = finish_columns_at(e, j + VL);                     \
        const vf highest = vf_set1(e->highest);                                                                        \
        const size_t ldc = e->ldc;                                                                                     \
        uint8_t *c = (uint8_t *)e->c + j;                                                                              \
        for (size_t i = 0; i < m; i++, sum += ld, c += ldc)                                                            \
            vf_store_u8_pair(c, finish_shifted(activation(finish_sum(sum, &a)), &a),                                   \
                             finish_shifted(activation(finish_sum(sum + VL, &b)), &b), highest);                       \
    }

DEFINE_ACTIVATED_CODES(no_activation)
DEFINE_ACTIVATED_CODES(gelu_tanh)
DEFINE_ACTIVATED_CODES(quick_gelu)
DEFINE_ACTIVATED_CODES(silu)
DEFINE_ACTIVATED_CODES(relu)
DEFINE_ACTIVATED_CODES(hyperbolic_tangent)

/* The same for GELU, which is one chain of instructions, and a CPU has few chains under way that come one behind the
 * other. So three rows are in work: i is at its end, the halves are of i + 1, x is of i + 2. */
static void finish_gelu_codes(size_t m, const int32_t *sum, size_t ld, const struct vt_epilogue *e, size_t j)
{
    const struct finish_columns a = finish_columns_at(e, j), b = finish_columns_at(e, j + VL);
    const vf highest = vf_set1(e->highest);
    const size_t ldc = e->ldc;
    uint8_t *c = (uint8_t *)e->c + j;
    struct gelu_half half_a = gelu_for_codes_begin(finish_sum(sum, &a));
    struct gelu_half half_b = gelu_for_codes_begin(finish_sum(sum + VL, &b));
    const int32_t *second = sum + (m > 1 ? ld : 0);
    vf x_a = finish_sum(second, &a), x_b = finish_sum(second + VL, &b);
    for (size_t i = 0; i < m; i++, c += ldc) {
        vf_store_u8_pair(c, finish_shifted(gelu_for_codes_end(&half_a), &a),
                         finish_shifted(gelu_for_codes_end(&half_b), &b), highest);
        if (i + 1 < m) {
            half_a = gelu_for_codes_begin(x_a);
            half_b = gelu_for_codes_begin(x_b);
        }
        if (i + 2 < m) {
            x_a = finish_sum(sum + (i + 2) * ld, &a);
            x_b = finish_sum(sum + (i + 2) * ld + VL, &b);
        }
    }
}

/* Which of them does all there is to do, if any. */
static inline finish_pair_fn *finish_pair_of(const struct vt_epilogue *e, bool activated, finish_pair_fn *to_codes)
{
    const bool plain = !activated && !e->scale, same_for_rows = !e->residual || e->ldr == 0;
    if (!e->sum_scale || e->to == VT_TO_BF16)
        return NULL;
    if (e->to == VT_TO_F32)
        return !plain || e->row_scale ? NULL : e->residual ? finish_added : finish_floats;
    if (e->row_scale)
        return plain && !e->residual ? finish_row_codes : NULL;
    return plain && !e->residual ? finish_codes : same_for_rows ? to_codes : NULL;
}

/* The columns that they did. They read the epilogue where it is: a copy of what has just been written would have to
 * wait for that. */
static inline size_t finish_pairs(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *e,
                                  bool activated, finish_pair_fn *to_codes)
{
    finish_pair_fn *const pair = finish_pair_of(e, activated, to_codes);
    size_t j = 0;
    for (; pair && m > 0 && j + 2 * VL <= n; j += 2 * VL)
        pair(m, (const int32_t *)sums + j, ld, e, j);
    return j;
}

/* ---- The kernels ---- */

#define VT_DEFINE_FINISH(kernel, activation, activation_for_bf16, activation_for_codes, to_codes)                      \
    static inline vf kernel##_activated(vf x, enum vt_destination to)                                                  \
    {                                                                                                                  \
        return to == VT_TO_BF16 ? activation_for_bf16(x) : to == VT_TO_U8 ? activation_for_codes(x) : activation(x);   \
    }                                                                                                                  \
                                                                                                                       \
    void VT_FN(kernel)(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *e)                   \
    {                                                                                                                  \
        if (is_plain(e)) {                                                                                             \
            if (e->to == VT_TO_BF16) {                                                                                 \
                FINISH_PLAIN(activation_for_bf16, vt_bf16, vf_store_bf16)                                              \
            } else {                                                                                                   \
                FINISH_PLAIN(activation, float, vf_store)                                                              \
            }                                                                                                          \
            return;                                                                                                    \
        }                                                                                                              \
        if (only_adds(e)) {                                                                                            \
            FINISH_ADD(activation)                                                                                     \
            return;                                                                                                    \
        }                                                                                                              \
        const size_t begin = finish_pairs(m, n, sums, ld, e, activation != no_activation, to_codes);                   \
        if (begin == n)                                                                                                \
            return;                                                                                                    \
        const struct vt_epilogue own = *e; /* which stores to c cannot change */                                       \
        for (size_t i = 0; i < m; i++) {                                                                               \
            size_t j = begin;                                                                                          \
            for (; j + VL <= n; j += VL) {                                                                             \
                const vf x = finish_load(sums, ld, &own, i, j, VL);                                                    \
                finish_store(kernel##_activated(x, own.to), &own, i, j, VL);                                           \
            }                                                                                                          \
            if (j < n) {                                                                                               \
                const vf x = finish_load(sums, ld, &own, i, j, n - j);                                                 \
                finish_store(kernel##_activated(x, own.to), &own, i, j, n - j);                                        \
            }                                                                                                          \
        }                                                                                                              \
    }

VT_DEFINE_FINISH(vt_finish_none, no_activation, no_activation, no_activation, finish_no_activation_codes)
VT_DEFINE_FINISH(vt_finish_gelu, gelu, gelu_for_bf16, gelu_for_codes, finish_gelu_codes)
VT_DEFINE_FINISH(vt_finish_gelu_tanh, gelu_tanh, gelu_tanh, gelu_tanh, finish_gelu_tanh_codes)
VT_DEFINE_FINISH(vt_finish_quick_gelu, quick_gelu, quick_gelu, quick_gelu, finish_quick_gelu_codes)
VT_DEFINE_FINISH(vt_finish_silu, silu, silu, silu, finish_silu_codes)
VT_DEFINE_FINISH(vt_finish_relu, relu, relu, relu, finish_relu_codes)
VT_DEFINE_FINISH(vt_finish_tanh, hyperbolic_tangent, hyperbolic_tangent, hyperbolic_tangent,
                 finish_hyperbolic_tangent_codes)
