/* SPDX-License-Identifier: Apache-2.0 */
/* See attention.h. */
#include "attention.h"

#include "alloc.h"

#include <string.h>

/* Places in the scratch of one piece. ld is the number of keys rounded up to whole panels. */
struct head {
    char *keys;       /* panels of nr keys */
    char *values;     /* panels of nr columns */
    float *scores;    /* [mr][ld] */
    vt_bf16 *rounded; /* BF16: the same as an operand of the second product */
    float *sums;      /* BF16: [mr][ld_sums], outputs before they are rounded */
    size_t ld, ld_sums;
    size_t keys_panel, values_panel; /* bytes */
};

/* Takes n elements behind *used, aligned; base NULL only measures. */
static void *take(char *base, size_t *used, size_t n, size_t bytes)
{
    char *p = base ? base + *used : NULL;
    *used = vt_size_add(*used, vt_round_up(vt_size_mul(n, bytes), VT_ALIGN));
    return p;
}

static size_t carve(struct head *h, const struct vt_kernels *kernels, enum vt_product product, size_t keys, size_t dim,
                    size_t dim_v, char *base)
{
    const struct vt_gemm_kernel *kernel = &kernels->gemm[product];
    const size_t bytes = vt_product_bytes(product);
    size_t used = 0;
    h->ld = vt_round_up(keys, kernel->nr);
    h->ld_sums = vt_round_up(dim_v, kernel->nr);
    h->keys_panel = vt_size_mul(vt_size_mul(vt_round_up(dim, kernel->kr), kernel->nr), bytes);
    h->values_panel = vt_size_mul(vt_size_mul(vt_round_up(keys, kernel->kr), kernel->nr), bytes);
    h->keys = take(base, &used, h->ld / kernel->nr, h->keys_panel);
    h->values = take(base, &used, h->ld_sums / kernel->nr, h->values_panel);
    h->scores = take(base, &used, vt_size_mul(kernel->mr, h->ld), sizeof(float));
    if (product == VT_PRODUCT_BF16) {
        h->rounded = take(base, &used, vt_size_mul(kernel->mr, h->ld), sizeof(vt_bf16));
        h->sums = take(base, &used, vt_size_mul(kernel->mr, h->ld_sums), sizeof(float));
    }
    return used;
}

size_t vt_attention_scratch_bytes(const struct vt_kernels *kernels, enum vt_product product, size_t keys, size_t dim,
                                  size_t dim_v)
{
    struct head h;
    return carve(&h, kernels, product, keys, dim, dim_v, NULL);
}

static size_t at_most(size_t n, size_t most)
{
    return n < most ? n : most;
}

static void pack(const struct vt_attention *a, const struct head *h)
{
    const struct vt_gemm_kernel *kernel = &a->kernels->gemm[a->product];
    const size_t nr = kernel->nr, bytes = vt_product_bytes(a->product);
    const char *k = a->k, *v = a->v;
    for (size_t i = 0; i < a->keys; i += nr)
        kernel->pack_rows(at_most(a->keys - i, nr), a->dim, k + i * a->ldk * bytes, a->ldk,
                          h->keys + i / nr * h->keys_panel);
    for (size_t j = 0; j < a->dim_v; j += nr)
        kernel->pack_columns(at_most(a->dim_v - j, nr), a->keys, v + j * bytes, a->ldv,
                             h->values + j / nr * h->values_panel);
}

/* exp(scale * score) of each row over its largest one, and the inverse of their sums. */
static void exponentials(const struct vt_attention *a, const struct head *h, size_t m, float *inverse)
{
    if (a->product == VT_PRODUCT_BF16)
        a->kernels->softmax_bf16(m, a->keys, a->scale, h->scores, h->ld, h->rounded, h->ld, inverse);
    else
        a->kernels->softmax_f32(m, a->keys, a->scale, h->scores, h->ld, h->scores, h->ld, inverse);
    for (size_t r = 0; r < m; r++)
        inverse[r] = a->keys ? 1.0f / inverse[r] : 0.0f;
}

static float float_of(vt_bf16 x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Adds the probabilities of query i, row r of the tile. */
static void add_scores(const struct vt_attention *a, const struct head *h, size_t i, size_t r, float inverse)
{
    for (size_t k = 0; k < a->keys; k++) {
        const float e = a->product == VT_PRODUCT_BF16 ? float_of(h->rounded[r * h->ld + k]) : h->scores[r * h->ld + k];
        const size_t at = k * a->ld_scores;
        if (a->first_row && i == 0)
            a->first_row[at] = e * inverse;
        if (a->column_sums)
            a->column_sums[at] = (i ? a->column_sums[at] : 0.0f) + e * inverse;
    }
}

/* Output rows of m <= mr queries from row i on. */
static void attend(const struct vt_attention *a, const struct head *h, size_t i, size_t m)
{
    const struct vt_gemm_kernel *kernel = &a->kernels->gemm[a->product];
    const size_t nr = kernel->nr;
    const bool bf16 = a->product == VT_PRODUCT_BF16;
    const void *probabilities = bf16 ? (const void *)h->rounded : h->scores;
    const char *q = (const char *)a->q + i * a->ldq * vt_product_bytes(a->product);
    float inverse[VT_MAX_TILE_ROWS];
    const float *bias = a->bias ? a->bias + i * a->ld_bias : NULL;
    for (size_t k = 0; k < a->keys; k += nr)
        kernel->tile(m, at_most(a->keys - k, nr), a->dim, q, a->ldq, h->keys + k / nr * h->keys_panel, NULL,
                     bias ? bias + k : NULL, a->ld_bias, h->scores + k, h->ld);
    for (size_t r = 0; r < m && a->mask; r++) /* the softmax multiplies by scale */
        a->kernels->axpy_f32(a->keys, 1 / a->scale, a->mask + a->mask_rows[i + r] * a->ld_mask, h->scores + r * h->ld);
    exponentials(a, h, m, inverse);
    float *sums = a->out_is_bf16 ? h->sums : (float *)a->out + i * a->ldo;
    const size_t ld_sums = a->out_is_bf16 ? h->ld_sums : a->ldo;
    for (size_t j = 0; j < a->dim_v; j += nr)
        kernel->tile(m, at_most(a->dim_v - j, nr), a->keys, probabilities, h->ld, h->values + j / nr * h->values_panel,
                     NULL, NULL, 0, sums + j, ld_sums);
    if (a->out_is_bf16) /* dim_v products for each query instead of one for each key */
        a->kernels->scale_rows_bf16(m, a->dim_v, inverse, sums, ld_sums, (vt_bf16 *)a->out + i * a->ldo, a->ldo);
    else
        a->kernels->scale_rows_f32(m, a->dim_v, inverse, sums, ld_sums, sums, ld_sums);
    for (size_t r = 0; r < m && (a->first_row || a->column_sums); r++)
        add_scores(a, h, i + r, r, inverse[r]);
}

/* Part t of `parts` of the next head's operands. */
static void prefetch_next(const struct vt_attention *next, size_t t, size_t parts)
{
    const size_t bytes = vt_product_bytes(next->product);
    const size_t q = next->queries * t / parts, q_end = next->queries * (t + 1) / parts;
    const size_t k = next->keys * t / parts, k_end = next->keys * (t + 1) / parts;
    vt_prefetch_fn *prefetch = next->kernels->prefetch;
    prefetch(q_end - q, next->dim * bytes, (const char *)next->q + q * next->ldq * bytes, next->ldq * bytes);
    prefetch(k_end - k, next->dim * bytes, (const char *)next->k + k * next->ldk * bytes, next->ldk * bytes);
    prefetch(k_end - k, next->dim_v * bytes, (const char *)next->v + k * next->ldv * bytes, next->ldv * bytes);
}

void vt_attention_run(const struct vt_attention *a, size_t begin, size_t end, void *scratch)
{
    const size_t rows = end - begin, mr = a->kernels->gemm[a->product].mr, tiles = (rows + mr - 1) / mr;
    struct head h;
    if (begin >= end)
        return;
    carve(&h, a->kernels, a->product, a->keys, a->dim, a->dim_v, scratch);
    pack(a, &h);
    for (size_t t = 0; t < tiles; t++) { /* of nearly equal height */
        const size_t first = rows * t / tiles, last = rows * (t + 1) / tiles;
        if (a->next)
            prefetch_next(a->next, t, tiles);
        attend(a, &h, begin + first, last - first);
    }
}
