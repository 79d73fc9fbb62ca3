/* SPDX-License-Identifier: Apache-2.0 */
/* See attention.h. */
#include "attention.h"

#include "alloc.h"
#include "gemm.h"
#include "quantizer.h"

#include <math.h>
#include <string.h>

/* Places in the scratch of one piece. ld is the number of keys rounded up to whole panels. */
struct head {
    char *keys;          /* panels of nr keys */
    char *values;        /* panels of nr columns */
    float *scores;       /* [mr][ld]; int32_t in U8S8 */
    void *probabilities; /* [mr][ld] in the product's type; in F32 the scores' place */
    float *sums;         /* [mr][ld_sums], outputs before they are finished; int32_t in U8S8 */
    int32_t *key_bias;   /* U8S8: [ld], what q's zero point takes off */
    float *biases;       /* U8S8: [mr][ld], bias plus mask */
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
    const size_t tile = vt_size_mul(kernel->mr, h->ld);
    h->scores = take(base, &used, tile, sizeof(float));
    h->probabilities = product == VT_PRODUCT_F32 ? h->scores : take(base, &used, tile, bytes);
    h->sums = take(base, &used, vt_size_mul(kernel->mr, h->ld_sums), sizeof(float));
    if (product == VT_PRODUCT_U8S8) {
        h->key_bias = take(base, &used, h->ld, sizeof(int32_t));
        h->biases = take(base, &used, tile, sizeof(float));
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

/* Codes less 128: the same with the highest bit turned over. */
static void center(char *panel, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        panel[i] ^= (char)0x80;
}

/* What the zero point of q takes off the scores of n keys. */
static void find_key_bias(const struct vt_attention *a, const char *panel, size_t n, int32_t *bias)
{
    a->kernels->gemm[VT_PRODUCT_U8S8].tile(1, n, a->dim, a->query_zero, a->dim, panel, NULL, NULL, 0, bias, n);
    for (size_t i = 0; i < n; i++)
        bias[i] = -bias[i];
}

static void pack(const struct vt_attention *a, const struct head *h)
{
    const struct vt_gemm_kernel *kernel = &a->kernels->gemm[a->product];
    const size_t nr = kernel->nr, bytes = vt_product_bytes(a->product);
    const bool codes = a->product == VT_PRODUCT_U8S8;
    const char *k = a->k, *v = a->v;
    for (size_t i = 0; i < a->keys; i += nr) {
        char *panel = h->keys + i / nr * h->keys_panel;
        kernel->pack_rows(at_most(a->keys - i, nr), a->dim, k + i * a->ldk * bytes, a->ldk, panel);
        if (codes) {
            center(panel, h->keys_panel);
            find_key_bias(a, panel, at_most(a->keys - i, nr), h->key_bias + i);
        }
    }
    for (size_t j = 0; j < a->dim_v; j += nr) {
        char *panel = h->values + j / nr * h->values_panel;
        kernel->pack_columns(at_most(a->dim_v - j, nr), a->keys, v + j * bytes, a->ldv, panel);
        if (codes)
            center(panel, h->values_panel);
    }
}

/* Bias plus mask for m queries from row i on, or NULL. */
static const float *biases_of(const struct vt_attention *a, const struct head *h, size_t i, size_t m, size_t *ld)
{
    *ld = a->mask ? h->ld : a->ld_bias;
    if (!a->mask)
        return a->bias ? a->bias + i * a->ld_bias : NULL;
    for (size_t r = 0; r < m; r++) {
        const float *mask = a->mask + a->mask_rows[i + r] * a->ld_mask;
        if (a->bias)
            a->kernels->add_f32(a->keys, a->bias + (i + r) * a->ld_bias, mask, h->biases + r * h->ld);
        else
            memcpy(h->biases + r * h->ld, mask, a->keys * sizeof *mask);
    }
    return h->biases;
}

/* The same in integers. */
static const int32_t *integer_biases_of(const struct vt_attention *a, const struct head *h, size_t i, size_t m,
                                        size_t *ld)
{
    const int32_t *bias = (const int32_t *)(const void *)a->bias;
    int32_t *sums = (int32_t *)(void *)h->biases;
    *ld = a->mask ? h->ld : a->ld_bias;
    if (!a->mask)
        return bias ? bias + i * a->ld_bias : NULL;
    for (size_t r = 0; r < m; r++) {
        int32_t *row = sums + r * h->ld;
        const float *mask = a->mask + a->mask_rows[i + r] * a->ld_mask; /* 0 or not, as its bits are */
        if (!bias)
            memset(row, 0, a->keys * sizeof *row);
        a->kernels->integer.add_where_s32(a->keys, bias ? bias + (i + r) * a->ld_bias : row, a->masked,
                                          (const int32_t *)(const void *)mask, row);
    }
    return sums;
}

static void integer_exponentials(const struct vt_attention *a, const struct head *h, size_t i, size_t m, int32_t *sums)
{
    size_t ld_bias = 0;
    const int32_t *biases = integer_biases_of(a, h, i, m, &ld_bias);
    a->kernels->integer.softmax_s32(m, a->keys, a->exp, (const int32_t *)(const void *)h->scores, h->ld, biases,
                                    ld_bias, h->probabilities, h->ld, sums);
}

/* The probabilities of m queries from row i on, of which the largest in each row is 1 (or the code 255), and the inverse
 * of their sums. */
static void exponentials(const struct vt_attention *a, const struct head *h, size_t i, size_t m, float *inverse)
{
    size_t ld_bias = 0;
    const float *biases = a->product == VT_PRODUCT_U8S8 ? biases_of(a, h, i, m, &ld_bias) : NULL;
    if (a->product == VT_PRODUCT_U8S8)
        a->kernels->softmax_u8(m, a->keys, a->scale, (const int32_t *)(const void *)h->scores, h->ld, biases, ld_bias,
                               h->probabilities, h->ld, inverse);
    else if (a->product == VT_PRODUCT_BF16)
        a->kernels->softmax_bf16(m, a->keys, a->scale, h->scores, h->ld, h->probabilities, h->ld, inverse);
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

static float probability(const struct vt_attention *a, const struct head *h, size_t at)
{
    switch (a->product) {
    case VT_PRODUCT_BF16: return float_of(((const vt_bf16 *)h->probabilities)[at]);
    case VT_PRODUCT_U8S8: return ((const uint8_t *)h->probabilities)[at];
    default: return h->scores[at];
    }
}

/* Adds the probabilities of query i, row r of the tile. */
static void add_scores(const struct vt_attention *a, const struct head *h, size_t i, size_t r, float inverse)
{
    for (size_t k = 0; k < a->keys; k++) {
        const float e = probability(a, h, r * h->ld + k);
        const size_t at = k * a->ld_scores;
        if (a->first_row && i == 0)
            a->first_row[at] = e * inverse;
        if (a->column_sums)
            a->column_sums[at] = (i ? a->column_sums[at] : 0.0f) + e * inverse;
    }
}

/* Rounds the probabilities of m queries, which are still to be divided by their sums, to what their codes stand for. */
static void round_logarithms(const struct vt_attention *a, const struct head *h, size_t m, float *inverse)
{
    const struct vt_log_quantizer q = { a->log_scale, (uint8_t)a->log_bits };
    for (size_t r = 0; r < m; r++) {
        for (size_t k = 0; k < a->keys; k++) {
            float *p = &h->scores[r * h->ld + k];
            *p = (float)vt_log_value(&q, vt_log_code(&q, (double)(*p * inverse[r])));
        }
        inverse[r] = 1;
    }
}

static void score(const struct vt_attention *a, const struct head *h, size_t i, size_t m)
{
    const struct vt_gemm_kernel *kernel = &a->kernels->gemm[a->product];
    const size_t nr = kernel->nr;
    const bool codes = a->product == VT_PRODUCT_U8S8;
    const char *q = (const char *)a->q + i * a->ldq * vt_product_bytes(a->product);
    const float *bias = a->bias && !codes ? a->bias + i * a->ld_bias : NULL;
    for (size_t k = 0; k < a->keys; k += nr)
        kernel->tile(m, at_most(a->keys - k, nr), a->dim, q, a->ldq, h->keys + k / nr * h->keys_panel,
                     codes ? h->key_bias + k : NULL, bias ? bias + k : NULL, a->ld_bias, h->scores + k, h->ld);
    for (size_t r = 0; r < m && a->mask && !codes; r++) /* the softmax multiplies by scale */
        a->kernels->axpy_f32(a->keys, 1 / a->scale, a->mask + a->mask_rows[i + r] * a->ld_mask, h->scores + r * h->ld);
}

/* Integer sums, or floats on their way to codes, through the epilogue of products. */
static void finish(const struct vt_attention *a, const struct head *h, size_t i, size_t m, const float *inverse)
{
    const bool codes = a->product == VT_PRODUCT_U8S8;
    const struct vt_epilogue e = { .sum_scale = codes ? a->sum_scale : NULL,
                                   .sum_bias = codes ? a->sum_bias : NULL,
                                   .row_scale = codes ? inverse : NULL,
                                   .scale = codes ? NULL : a->out_scale,
                                   .residual = codes ? NULL : a->out_shift,
                                   .c = (char *)a->out + i * a->ldo * vt_destination_bytes(a->to),
                                   .ldc = a->ldo,
                                   .to = a->to,
                                   .highest = a->highest };
    if (!codes)
        a->kernels->scale_rows_f32(m, a->dim_v, inverse, h->sums, h->ld_sums, h->sums, h->ld_sums);
    a->kernels->finish[VT_ACT_NONE](m, a->dim_v, h->sums, h->ld_sums, &e);
}

static void finish_integers(const struct vt_attention *a, const struct head *h, size_t i, size_t m, const int32_t *sums)
{
    struct vt_integer_epilogue e = a->epilogue;
    e.c = (char *)a->out + i * a->ldo * (e.to == VT_TO_CODES ? 1 : sizeof(int16_t));
    e.ldc = a->ldo;
    a->kernels->integer.finish(m, a->dim_v, (const int32_t *)(const void *)h->sums, h->ld_sums, sums, &e);
}

/* Output rows of m queries without a key. */
static void clear(const struct vt_attention *a, size_t i, size_t m)
{
    for (size_t r = i; r < i + m; r++) {
        if (a->to == VT_TO_U8 || (a->exp && a->epilogue.to == VT_TO_CODES))
            memcpy((uint8_t *)a->out + r * a->ldo, a->zero_codes, a->dim_v);
        else if (a->to == VT_TO_BF16 || a->exp) /* both 0 in 16 bits */
            memset((vt_bf16 *)a->out + r * a->ldo, 0, a->dim_v * sizeof(vt_bf16));
        else
            memset((float *)a->out + r * a->ldo, 0, a->dim_v * sizeof(float));
    }
}

/* Output rows of m <= mr queries from row i on. */
static void attend(const struct vt_attention *a, const struct head *h, size_t i, size_t m)
{
    const struct vt_gemm_kernel *kernel = &a->kernels->gemm[a->product];
    const size_t nr = kernel->nr;
    float inverse[VT_MAX_TILE_ROWS];
    int32_t row_sums[VT_MAX_TILE_ROWS];
    const bool direct = a->product != VT_PRODUCT_U8S8 && a->to == VT_TO_F32;
    if (!a->keys) {
        clear(a, i, m);
        return;
    }
    score(a, h, i, m);
    if (a->exp)
        integer_exponentials(a, h, i, m, row_sums);
    else
        exponentials(a, h, i, m, inverse);
    if (a->log_bits)
        round_logarithms(a, h, m, inverse);
    float *sums = direct ? (float *)a->out + i * a->ldo : h->sums;
    const size_t ld_sums = direct ? a->ldo : h->ld_sums;
    for (size_t j = 0; j < a->dim_v; j += nr)
        kernel->tile(m, at_most(a->dim_v - j, nr), a->keys, h->probabilities, h->ld,
                     h->values + j / nr * h->values_panel, NULL, NULL, 0, sums + j, ld_sums);
    /* inverse takes dim_v products for each query instead of one for each key */
    if (a->exp)
        finish_integers(a, h, i, m, row_sums);
    else if (direct)
        a->kernels->scale_rows_f32(m, a->dim_v, inverse, sums, ld_sums, sums, ld_sums);
    else if (a->product != VT_PRODUCT_U8S8 && a->to == VT_TO_BF16)
        a->kernels->scale_rows_bf16(m, a->dim_v, inverse, sums, ld_sums, (vt_bf16 *)a->out + i * a->ldo, a->ldo);
    else
        finish(a, h, i, m, inverse);
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

/* ---- For statistics ---- */

/* In lanes, which compilers turn into vectors. */
static float dot(const float *x, const float *y, size_t n)
{
    float lanes[8] = { 0 }, sum = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t l = 0; l < 8; l++)
            lanes[l] += x[i + l] * y[i + l];
    for (; i < n; i++)
        sum += x[i] * y[i];
    for (size_t l = 0; l < 8; l++)
        sum += lanes[l];
    return sum;
}

void vt_attention_probabilities(const struct vt_attention *a, size_t i, float *p)
{
    const float *q = (const float *)a->q + i * a->ldq, *k = a->k;
    const float *bias = a->bias ? a->bias + i * a->ld_bias : NULL;
    const float *mask = a->mask ? a->mask + a->mask_rows[i] * a->ld_mask : NULL;
    float max = -INFINITY, sum = 0;
    for (size_t j = 0; j < a->keys; j++) {
        const float score = dot(q, k + j * a->ldk, a->dim) + (bias ? bias[j] : 0);
        p[j] = a->scale * score + (mask ? mask[j] : 0);
        max = fmaxf(max, p[j]);
    }
    for (size_t j = 0; j < a->keys; j++) {
        p[j] = expf(p[j] - max);
        sum += p[j];
    }
    for (size_t j = 0; j < a->keys; j++)
        p[j] /= sum;
}
