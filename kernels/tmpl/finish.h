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
    for (size_t i = 0; i < m; i++) {                                                                                   \
        const float *row = (const float *)sums + i * ld, *residual = e.residual + i * e.ldr;                           \
        float *out = (float *)e.c + i * e.ldc;                                                                         \
        size_t j = 0;                                                                                                  \
        for (; j + VL <= n; j += VL)                                                                                   \
            vf_store(out + j, vf_add(activation(vf_load(row + j)), vf_load(residual + j)));                            \
        if (j < n)                                                                                                     \
            vf_store_n(out + j, vf_add(activation(vf_load_n(row + j, n - j)), vf_load_n(residual + j, n - j)), n - j); \
    }

#define FINISH_PLAIN(activation, type, store)                                                                          \
    for (size_t i = 0; i < m; i++) {                                                                                   \
        const float *row = (const float *)sums + i * ld;                                                               \
        type *out = (type *)e.c + i * e.ldc;                                                                           \
        size_t j = 0;                                                                                                  \
        for (; j + VL <= n; j += VL)                                                                                   \
            store(out + j, activation(vf_load(row + j)));                                                              \
        if (j < n)                                                                                                     \
            store##_n(out + j, activation(vf_load_n(row + j, n - j)), n - j);                                          \
    }

/* ---- Integers ---- */

/* Most integer sums become codes by the same numbers in each row, or are added to a residual. */
static inline bool is_codes(const struct vt_epilogue *e)
{
    return e->sum_scale && !e->row_scale && e->to == VT_TO_U8 && (!e->residual || e->ldr == 0);
}

static inline bool only_adds_integers(const struct vt_epilogue *e)
{
    return e->sum_scale && !e->row_scale && !e->scale && e->residual && e->to == VT_TO_F32;
}

static inline bool is_plain_codes(const struct vt_epilogue *e)
{
    return e->sum_scale && !e->scale && !e->residual && e->to == VT_TO_U8;
}

/* What the n <= VL columns from j on have in common. */
struct finish_columns {
    vf sum_scale, sum_bias, scale, shift;
};

static inline struct finish_columns finish_columns_at(const struct vt_epilogue *e, size_t j, size_t n)
{
    struct finish_columns c = { vf_load_n(e->sum_scale + j, n), vf_load_n(e->sum_bias + j, n), vf_set1(1.0f),
                                vf_zero() };
    if (e->scale)
        c.scale = vf_load_n(e->scale + j, n);
    if (e->residual && e->ldr == 0)
        c.shift = vf_load_n(e->residual + j, n);
    return c;
}

static inline vf finish_sum(vi sum, const struct finish_columns *c)
{
    return vf_fma(vf_of_vi(sum), c->sum_scale, c->sum_bias);
}

static inline vf finish_row_sum(vi sum, vf row_scale, const struct finish_columns *c)
{
    return vf_fma(vf_mul(vf_of_vi(sum), row_scale), c->sum_scale, c->sum_bias);
}

static inline vf finish_shifted(vf x, const struct finish_columns *c)
{
    return vf_fma(x, c->scale, c->shift);
}

/* Column by column, so that what they have in common stays in registers: two vectors while there are so many, which
 * ROW makes of those at (i, j) with columns a and b, and then one, which LAST makes of the first left elements. */
#define FINISH_COLUMNS(ROW, LAST)                                                                                      \
    size_t j = 0;                                                                                                      \
    for (; m > 0 && j + 2 * VL <= n; j += 2 * VL) {                                                                    \
        const struct finish_columns a = finish_columns_at(e, j, VL), b = finish_columns_at(e, j + VL, VL);             \
        const int32_t *sum = (const int32_t *)sums + j;                                                                \
        for (size_t i = 0; i < m; i++, sum += ld)                                                                      \
            ROW;                                                                                                       \
    }                                                                                                                  \
    for (; m > 0 && j < n; j += VL) {                                                                                  \
        const size_t left = lanes_left(n, j);                                                                          \
        const struct finish_columns a = finish_columns_at(e, j, left);                                                 \
        const int32_t *sum = (const int32_t *)sums + j;                                                                \
        for (size_t i = 0; i < m; i++, sum += ld)                                                                      \
            LAST;                                                                                                      \
    }

static inline void finish_plain_codes(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *e)
{
    const vf highest = vf_set1(e->highest);
    uint8_t *const c = e->c;
    if (e->row_scale) {
        FINISH_COLUMNS(vf_store_u8_pair(c + i * e->ldc + j, finish_row_sum(vi_load(sum), vf_set1(e->row_scale[i]), &a),
                                        finish_row_sum(vi_load(sum + VL), vf_set1(e->row_scale[i]), &b), highest),
                       vf_store_u8_n(c + i * e->ldc + j,
                                     finish_row_sum(vi_load_n(sum, left), vf_set1(e->row_scale[i]), &a), highest, left))
    } else {
        FINISH_COLUMNS(vf_store_u8_pair(c + i * e->ldc + j, finish_sum(vi_load(sum), &a),
                                        finish_sum(vi_load(sum + VL), &b), highest),
                       vf_store_u8_n(c + i * e->ldc + j, finish_sum(vi_load_n(sum, left), &a), highest, left))
    }
}

static inline void finish_add_integers(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *e)
{
    float *const c = e->c;
    FINISH_COLUMNS(
        {
            const float *residual = e->residual + i * e->ldr + j;
            const vf first = vf_add(finish_sum(vi_load(sum), &a), vf_load(residual));
            const vf second = vf_add(finish_sum(vi_load(sum + VL), &b), vf_load(residual + VL));
            vf_store(c + i * e->ldc + j, first);
            vf_store(c + i * e->ldc + j + VL, second);
        },
        {
            const vf residual = vf_load_n(e->residual + i * e->ldr + j, left);
            vf_store_n(c + i * e->ldc + j, vf_add(finish_sum(vi_load_n(sum, left), &a), residual), left);
        })
}

/* True where it did all there is to do, which no product with an activation asks for. */
static inline bool finish_without_activation(size_t m, size_t n, const void *sums, size_t ld,
                                             const struct vt_epilogue *e)
{
    if (is_plain_codes(e))
        finish_plain_codes(m, n, sums, ld, e);
    else if (only_adds_integers(e))
        finish_add_integers(m, n, sums, ld, e);
    else
        return false;
    return true;
}

static inline bool finish_otherwise(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *e)
{
    (void)m, (void)n, (void)sums, (void)ld, (void)e;
    return false;
}

/* ---- The kernels ---- */

#define VT_DEFINE_FINISH(kernel, activation, activation_for_bf16, activation_for_codes, special)                       \
    static inline void kernel##_codes(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *e)    \
    {                                                                                                                  \
        const vf highest = vf_set1(e->highest);                                                                        \
        uint8_t *const c = e->c;                                                                                       \
        FINISH_COLUMNS(                                                                                                \
            {                                                                                                          \
                const vf first = activation_for_codes(finish_sum(vi_load(sum), &a));                                   \
                const vf second = activation_for_codes(finish_sum(vi_load(sum + VL), &b));                             \
                vf_store_u8_pair(c + i * e->ldc + j, finish_shifted(first, &a), finish_shifted(second, &b), highest);  \
            },                                                                                                         \
            {                                                                                                          \
                const vf x = activation_for_codes(finish_sum(vi_load_n(sum, left), &a));                               \
                vf_store_u8_n(c + i * e->ldc + j, finish_shifted(x, &a), highest, left);                               \
            })                                                                                                         \
    }                                                                                                                  \
                                                                                                                       \
    static inline vf kernel##_activated(vf x, enum vt_destination to)                                                  \
    {                                                                                                                  \
        return to == VT_TO_BF16 ? activation_for_bf16(x) : to == VT_TO_U8 ? activation_for_codes(x) : activation(x);   \
    }                                                                                                                  \
                                                                                                                       \
    void VT_FN(kernel)(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *epilogue)            \
    {                                                                                                                  \
        const struct vt_epilogue e = *epilogue; /* a copy, which stores to c cannot change */                          \
        if (special(m, n, sums, ld, &e))                                                                               \
            return;                                                                                                    \
        if (is_codes(&e)) {                                                                                            \
            kernel##_codes(m, n, sums, ld, &e);                                                                        \
            return;                                                                                                    \
        }                                                                                                              \
        if (is_plain(&e)) {                                                                                            \
            if (e.to == VT_TO_BF16) {                                                                                  \
                FINISH_PLAIN(activation_for_bf16, vt_bf16, vf_store_bf16)                                              \
            } else {                                                                                                   \
                FINISH_PLAIN(activation, float, vf_store)                                                              \
            }                                                                                                          \
            return;                                                                                                    \
        }                                                                                                              \
        if (only_adds(&e)) {                                                                                           \
            FINISH_ADD(activation)                                                                                     \
            return;                                                                                                    \
        }                                                                                                              \
        for (size_t i = 0; i < m; i++) {                                                                               \
            size_t j = 0;                                                                                              \
            for (; j + VL <= n; j += VL) {                                                                             \
                const vf x = finish_load(sums, ld, &e, i, j, VL);                                                      \
                finish_store(kernel##_activated(x, e.to), &e, i, j, VL);                                               \
            }                                                                                                          \
            if (j < n) {                                                                                               \
                const vf x = finish_load(sums, ld, &e, i, j, n - j);                                                   \
                finish_store(kernel##_activated(x, e.to), &e, i, j, n - j);                                            \
            }                                                                                                          \
        }                                                                                                              \
    }

VT_DEFINE_FINISH(vt_finish_none, no_activation, no_activation, no_activation, finish_without_activation)
VT_DEFINE_FINISH(vt_finish_gelu, gelu, gelu_for_bf16, gelu_for_codes, finish_otherwise)
VT_DEFINE_FINISH(vt_finish_gelu_tanh, gelu_tanh, gelu_tanh, gelu_tanh, finish_otherwise)
VT_DEFINE_FINISH(vt_finish_quick_gelu, quick_gelu, quick_gelu, quick_gelu, finish_otherwise)
VT_DEFINE_FINISH(vt_finish_silu, silu, silu, silu, finish_otherwise)
VT_DEFINE_FINISH(vt_finish_relu, relu, relu, relu, finish_otherwise)
VT_DEFINE_FINISH(vt_finish_tanh, hyperbolic_tangent, hyperbolic_tangent, hyperbolic_tangent, finish_otherwise)
