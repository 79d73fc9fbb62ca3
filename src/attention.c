/* SPDX-License-Identifier: Apache-2.0 */
/* See attention.h. */
#include "attention_head.h"

#include "alloc.h"
#include "gemm.h"

#include <assert.h>
#include <string.h>

static size_t carve(struct vt_attention_head *h, const struct vt_kernels *kernels, enum vt_product product, size_t keys,
                    size_t dim, size_t dim_v, bool votes, char *base)
{
    const struct vt_gemm_kernel *kernel = &kernels->gemm[product];
    const size_t bytes = vt_product_bytes(product);
    size_t used = 0;
    h->ld = vt_round_up(keys, kernel->nr);
    h->ld_sums = vt_round_up(dim_v, kernel->nr);
    h->keys_panel = vt_size_mul(vt_size_mul(vt_round_up(dim, kernel->kr), kernel->nr), bytes);
    h->values_panel = vt_size_mul(vt_size_mul(vt_round_up(keys, kernel->kr), kernel->nr), bytes);
    h->keys = vt_take(base, &used, h->ld / kernel->nr, h->keys_panel);
    h->values = vt_take(base, &used, h->ld_sums / kernel->nr, h->values_panel);
    const size_t tile = vt_size_mul(kernel->mr, h->ld), all = votes ? vt_size_mul(keys, h->ld) : tile;
    h->scores = vt_take(base, &used, product == VT_PRODUCT_F32 ? all : tile, sizeof(float));
    h->probabilities = product == VT_PRODUCT_F32 ? h->scores : vt_take(base, &used, all, bytes);
    h->sums = vt_take(base, &used, vt_size_mul(kernel->mr, h->ld_sums), sizeof(float));
    h->column_sums = vt_take(base, &used, keys, sizeof(float));
    if (votes) {
        h->inverses = vt_take(base, &used, keys, sizeof(float));
        h->votes = vt_take(base, &used, vt_size_mul(2, keys), sizeof(float));
    }
    if (product == VT_PRODUCT_U8S8) {
        h->key_bias = vt_take(base, &used, h->ld, sizeof(int32_t));
        h->biases = vt_take(base, &used, tile, sizeof(float));
        h->shifts = vt_take(base, &used, vt_size_mul(kernel->mr, h->ld_sums), sizeof(float));
    }
    return used;
}

size_t vt_attention_scratch_bytes(const struct vt_kernels *kernels, enum vt_product product, size_t keys, size_t dim,
                                  size_t dim_v, bool votes)
{
    struct vt_attention_head h;
    return carve(&h, kernels, product, keys, dim, dim_v, votes, NULL);
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

/* What the zero point of q takes off the scores of n keys, and 0 up to the width of a tile, which reads so many. */
static void find_key_bias(const struct vt_attention *a, const char *panel, size_t n, int32_t *bias)
{
    const struct vt_gemm_kernel *kernel = &a->kernels->gemm[VT_PRODUCT_U8S8];
    kernel->tile(1, n, a->dim, a->query_zero, a->dim, panel, NULL, NULL, 0, bias, n);
    for (size_t i = 0; i < n; i++)
        bias[i] = -bias[i];
    memset(bias + n, 0, (kernel->nr - n) * sizeof *bias);
}

static void pack(const struct vt_attention *a, const struct vt_attention_head *h)
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

/* What is added to the scores of each key, for all queries. */
static void find_key_numbers(const struct vt_attention *a, const struct vt_attention_head *h)
{
    const int32_t *numbers = (const int32_t *)(const void *)a->mask;
    int32_t *units = (int32_t *)(void *)h->biases;
    for (size_t k = 0; k < a->keys; k++)
        units[k] = vt_limit(vt_requantize(numbers[k], *a->key_scale), -VT_MOST_ADDED, VT_MOST_ADDED);
}

/* Bias plus mask for m queries from row i on, in units of scores, or NULL. */
static const int32_t *integer_biases_of(const struct vt_attention *a, const struct vt_attention_head *h, size_t i,
                                        size_t m, size_t *ld)
{
    const int32_t *bias = (const int32_t *)(const void *)a->bias;
    int32_t *sums = (int32_t *)(void *)h->biases;
    *ld = a->key_scale ? 0 : a->mask ? h->ld : a->ld_bias;
    if (a->key_scale)
        return sums;
    if (!a->mask)
        return bias ? bias + i * a->ld_bias : NULL;
    for (size_t r = 0; r < m; r++) {
        int32_t *row = sums + r * h->ld;
        const float *mask = vt_attention_mask_row(a, i + r); /* 0 or not, as its bits are */
        if (!bias)
            memset(row, 0, a->keys * sizeof *row);
        a->kernels->integer.add_where_s32(a->keys, bias ? bias + (i + r) * a->ld_bias : row, a->masked,
                                          (const int32_t *)(const void *)mask, row);
    }
    return sums;
}

static void integer_exponentials(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                                 int32_t *sums)
{
    size_t ld_bias = 0;
    const int32_t *biases = integer_biases_of(a, h, i, m, &ld_bias);
    a->kernels->integer.softmax_s32(m, a->keys, a->exp, (const int32_t *)(const void *)h->scores, h->ld, biases,
                                    ld_bias, h->probabilities, h->ld, sums);
}

/* Adds `whole` times the probabilities of a query, codes whose sum is `sum`, to `to`: whole / sum is taken as a factor
 * of 16 bits and a shift. whole <= 2^30 */
static void add_probabilities(size_t n, const uint8_t *codes, uint32_t sum, uint32_t whole, uint32_t *to)
{
    enum { POINT = 32, FACTOR_BITS = 16 };
    const uint64_t quotient = ((uint64_t)whole << POINT) / sum;
    int cut = 0; /* bits of the quotient, which is below 2^55 */
    while (quotient >> cut > UINT16_MAX)
        cut++;
    const int shift = POINT - cut;
    if (shift >= POINT) /* all would be rounded to 0 */
        return;
    const uint16_t factor = (uint16_t)(quotient >> cut);
    const unsigned left = shift < 0 ? (unsigned)-shift : 0, right = shift > 0 ? (unsigned)shift : 0;
    const uint32_t half = ((uint32_t)1 << right) >> 1;
    for (size_t k = 0; k < n; k++)
        to[k] += (((uint32_t)codes[k] * factor << left) + half) >> right;
}

static void give_numbers(const struct vt_attention *a, const uint32_t *row, float *column)
{
    int32_t *to = (int32_t *)(void *)column;
    for (size_t k = 0; k < a->keys; k++)
        to[k * a->ld_scores] = (int32_t)row[k];
}

/* Adds the probabilities of m queries from row i on to the sums, which after the first query are what it has. */
static void add_integer_scores(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                               const int32_t *sums)
{
    uint32_t *to = (uint32_t *)(void *)h->column_sums;
    for (size_t r = 0; r < m && (a->column_sums || i + r == 0); r++) {
        if (i + r == 0)
            memset(to, 0, a->keys * sizeof *to);
        add_probabilities(a->keys, (const uint8_t *)h->probabilities + r * h->ld, (uint32_t)sums[r],
                          (uint32_t)1 << a->score_bits, to);
        if (i + r == 0 && a->first_row)
            give_numbers(a, to, a->first_row);
    }
}

/* Votes before the first round: together one for each token. */
static void begin_votes(const struct vt_attention *a, uint32_t *votes)
{
    enum { BOOST_BITS = 16 };
    const uint64_t n = a->keys,
                   boost = a->integer_boost < 0 ? vt_isqrt(n << 2 * BOOST_BITS) : (uint64_t)a->integer_boost;
    const uint64_t one = (n << (BOOST_BITS + a->score_bits)) / (((n - 1) << BOOST_BITS) + (boost ? boost : 1));
    for (size_t i = 0; i < n; i++)
        votes[i] = (uint32_t)(i ? one : one * boost >> BOOST_BITS);
}

/* All rounds, once the codes of all probabilities are there. */
static void vote(const struct vt_attention *a, const struct vt_attention_head *h)
{
    const uint8_t *codes = h->probabilities;
    const uint32_t *sums = (const uint32_t *)(const void *)h->inverses;
    uint32_t *before = (uint32_t *)(void *)h->votes, *behind = before + a->keys;
    begin_votes(a, before);
    for (uint32_t round = 0; round < a->rounds; round++) {
        uint32_t *const given = before;
        memset(behind, 0, a->keys * sizeof *behind);
        for (size_t i = 0; i < a->keys; i++)
            add_probabilities(a->keys, codes + i * h->ld, sums[i], given[i], behind);
        before = behind;
        behind = given;
    }
    give_numbers(a, before, a->votes);
}

static void score(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m)
{
    const struct vt_gemm_kernel *kernel = &a->kernels->gemm[a->product];
    const size_t nr = kernel->nr;
    const bool codes = a->product == VT_PRODUCT_U8S8;
    const char *q = (const char *)a->q + i * a->ldq * vt_product_bytes(a->product);
    const float *bias = a->bias && !codes ? a->bias + i * a->ld_bias : NULL;
    for (size_t k = 0; k < a->keys; k += nr)
        kernel->tile(m, at_most(a->keys - k, nr), a->dim, q, a->ldq, h->keys + k / nr * h->keys_panel,
                     codes ? h->key_bias + k : NULL, bias ? bias + k : NULL, a->ld_bias, h->scores + k, h->ld);
    if (a->mask && !codes)
        vt_attention_mask(a, h, i, m);
}

static void finish_integers(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                            const int32_t *sums)
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
static void attend(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m)
{
    const struct vt_gemm_kernel *kernel = &a->kernels->gemm[a->product];
    const size_t nr = kernel->nr;
    float factor[VT_MAX_TILE_ROWS];
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
        vt_attention_factors(a, h, i, m, factor);
    if (a->exp && (a->first_row || a->column_sums))
        add_integer_scores(a, h, i, m, row_sums);
    if (a->exp && a->votes)
        memcpy(h->inverses + i, row_sums, m * sizeof *row_sums);
    float *sums = direct ? (float *)a->out + i * a->ldo : h->sums;
    const size_t ld_sums = direct ? a->ldo : h->ld_sums;
    for (size_t j = 0; j < a->dim_v; j += nr)
        kernel->tile(m, at_most(a->dim_v - j, nr), a->keys, h->probabilities, h->ld,
                     h->values + j / nr * h->values_panel, NULL, NULL, 0, sums + j, ld_sums);
    /* a factor takes dim_v products for each query instead of one for each key */
    if (a->exp)
        finish_integers(a, h, i, m, row_sums);
    else if (direct)
        a->kernels->scale_rows_f32(m, a->dim_v, factor, sums, ld_sums, sums, ld_sums);
    else if (a->product != VT_PRODUCT_U8S8 && a->to == VT_TO_BF16)
        a->kernels->scale_rows_bf16(m, a->dim_v, factor, sums, ld_sums, (vt_bf16 *)a->out + i * a->ldo, a->ldo);
    else
        vt_attention_finish(a, h, i, m, factor);
}

/* The head where the probabilities of query i stand, if there is room for those of all. */
static struct vt_attention_head at_query(const struct vt_attention *a, struct vt_attention_head h, size_t i)
{
    if (!a->votes)
        return h;
    h.probabilities = (char *)h.probabilities + i * h.ld * vt_product_bytes(a->product);
    if (a->product == VT_PRODUCT_F32)
        h.scores = h.probabilities;
    return h;
}

/* What no query gives: 0 has the same bits in all types. */
static void clear_scores(const struct vt_attention *a)
{
    for (size_t k = 0; k < a->keys; k++) {
        if (a->first_row)
            a->first_row[k * a->ld_scores] = 0;
        if (a->column_sums)
            a->column_sums[k * a->ld_scores] = 0;
    }
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
    struct vt_attention_head h;
    if (!a->queries)
        clear_scores(a);
    if (begin >= end)
        return;
    assert((!a->column_sums && !a->votes) || rows == a->queries);
    assert(!a->votes || a->queries == a->keys);
    carve(&h, a->kernels, a->product, a->keys, a->dim, a->dim_v, a->votes, scratch);
    pack(a, &h);
    if (a->key_scale)
        find_key_numbers(a, &h);
    for (size_t t = 0; t < tiles; t++) { /* of nearly equal height */
        const size_t first = rows * t / tiles, last = rows * (t + 1) / tiles;
        if (a->next)
            prefetch_next(a->next, t, tiles);
        const struct vt_attention_head tile = at_query(a, h, begin + first);
        attend(a, &tile, begin + first, last - first);
    }
    if (a->column_sums && a->exp)
        give_numbers(a, (const uint32_t *)(const void *)h.column_sums, a->column_sums);
    else if (a->column_sums)
        vt_attention_give_row(a, h.column_sums, a->column_sums);
    if (a->votes && a->exp)
        vote(a, &h);
    else if (a->votes)
        vt_attention_vote(a, &h);
}
