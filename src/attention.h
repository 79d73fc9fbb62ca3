/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one head: softmax(scale * (q k^T + bias) + mask) v, exact, without the matrix of scores ever being in
 * memory, but where several rounds of votes need it.
 *
 * Keys and values are packed into panels in the caller's scratch; then each tile of query rows gets its scores, their
 * exponentials and its output while they are in the first-level cache. A row's result depends on that row and the keys
 * only, so queries can be cut into pieces anywhere.
 */
#ifndef VT_ATTENTION_H
#define VT_ATTENTION_H

#include "integer.h"

/* What is added to a score in integers, a bias, that of a key or a mask, is limited to so many units. */
#define VT_MOST_ADDED (INT32_C(1) << 28)

struct vt_attention {
    const struct vt_kernels *kernels;
    enum vt_product product; /* the type of q, k and v, which are all uint8_t codes in U8S8 */
    size_t queries, keys;
    size_t dim, dim_v;     /* columns of q and k, of v and the output */
    const void *q, *k, *v; /* [queries, dim], [keys, dim], [keys, dim_v] */
    size_t ldq, ldk, ldv;
    float scale;       /* U8S8: of sums of products of codes */
    const float *bias; /* [queries, keys], rows ld_bias apart, or NULL; added before the scale, in U8S8 behind it */
    size_t ld_bias;
    const float *mask; /* rows [keys], ld_mask apart, or NULL */
    size_t ld_mask;
    const uint8_t *mask_rows; /* [queries]: the row of the mask for each; NULL: row 0 for all */
    void *out;                /* [queries, dim_v] */
    size_t ldo;
    enum vt_destination to;             /* what the output is made of */
    const float *out_scale, *out_shift; /* [dim_v]: floats to codes */
    uint8_t highest;                    /* of them */
    /* U8S8: the code of q's 0 in each column; each output is sum of code * probability, times sum_scale plus sum_bias,
     * which is that of codes if they are what is asked for. A code of k or v counts less 128. */
    const uint8_t *query_zero;         /* [dim] */
    const float *sum_scale, *sum_bias; /* [dim_v] */
    const uint8_t *zero_codes;         /* [dim_v]: what codes of an output without keys are */
    /* U8S8 in integers: scales, and how sums of code * probability end; scale, sum_scale and sum_bias have no meaning
     * then, bias is int32_t in units of scores, and where a mask is not 0 `masked` of these is added. exp NULL: in floats. */
    const struct vt_exp_scale *exp;
    struct vt_integer_epilogue epilogue; /* its columns and type */
    int32_t masked;
    /* In place of a mask, numbers [keys] in its row that are added to the scores of all queries, this many units for 1
     * of them; without a bias. NULL: a mask. */
    const struct vt_dyadic *key_scale;
    uint32_t log_bits; /* F32: probabilities are rounded to log_scale * sqrt(2)^-code; 0: they are not */
    float log_scale;
    bool clipped; /* F32 and BF16: a probability p becomes clip((zeta - gamma) * p + gamma, 0, 1) */
    float gamma, zeta;
    /* Output row i is multiplied by sigmoid(gate[i * ld_gate]), which is within 2e-7; NULL: by 1. */
    const float *gate;
    size_t ld_gate;
    const float *gate_bias; /* U8S8 with a gate: [dim_v], what of sum_bias is multiplied, too, and left out there */
    /* What token reduction reads of the probabilities that v is multiplied with, or NULL: the first query's, and their
     * sum over all queries, each as a column [keys] of elements ld_scores apart: clipped ones, without the gate. BF16
     * gives those that it multiplies with, which are rounded. A sum is one chain of fused multiply-adds over queries in
     * ascending order, so one piece must have all. In integers (exp) they are int32_t in units of 2^-score_bits,
     * queries * 2^score_bits <= 2^30, with an |error| <= 2^-15 p + 1 unit for each probability. Both are 0 without
     * queries. */
    float *first_row, *column_sums;
    size_t ld_scores;
    unsigned score_bits;
    /* Such a column of votes, or NULL: each query, which is the key of its number, has as many as others, the first one
     * `boost` times as many (0: the root of their number), together one for each. In each of `rounds` it gives what it
     * has to all keys as its probabilities say. The same chains of sums; all probabilities of a head are in the scratch
     * then, so one piece must have all here, too. */
    float *votes;
    uint32_t rounds;
    float boost;
    int64_t integer_boost; /* in integers: boost in units of 2^-16, less than 2^31 of them; -1: the root */
    /* The head that this thread takes next, whose q, k and v are fetched into the cache meanwhile; or NULL. */
    const struct vt_attention *next;
};

/* The row of the mask, which there is, for query i. */
static inline const float *vt_attention_mask_row(const struct vt_attention *a, size_t i)
{
    return a->mask_rows ? a->mask + a->mask_rows[i] * a->ld_mask : a->mask;
}

/* Bytes that a piece needs; votes: if they are asked for. */
size_t vt_attention_scratch_bytes(const struct vt_kernels *kernels, enum vt_product product, size_t keys, size_t dim,
                                  size_t dim_v, bool votes);

/* Output rows of the queries [begin, end), zeros without keys. scratch is aligned to 64 bytes. */
void vt_attention_run(const struct vt_attention *a, size_t begin, size_t end, void *scratch);

/* p[keys], keys > 0: the probabilities of query i, whose product is F32, without kernels: for statistics. */
void vt_attention_probabilities(const struct vt_attention *a, size_t i, float *p);

#endif
