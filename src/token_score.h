/* SPDX-License-Identifier: Apache-2.0 */
/* What tokens are ranked by: a number for each row of an image, made of the probabilities of attention. Each sum has
 * one order, so that CPUs agree on every bit. Nothing here allocates. */
#ifndef VT_TOKEN_SCORE_H
#define VT_TOKEN_SCORE_H

#include <stdbool.h>
#include <stddef.h>

/* [rows, heads], rows ld apart: what a query gives to each row, or the sum of what several give. */
struct vt_head_scores {
    const float *at;
    size_t ld, rows, heads;
};

/* The mean over the heads (EViT: Liang et al. 2022, arXiv:2202.07800), summed in double. */
void vt_score_mean(const struct vt_head_scores *p, float *score);

/* The sum over the heads, times the length of the row of v [rows, columns] (the released code of ATS: Fayyaz et al.
 * 2022, arXiv:2111.15667; spec 1.1). by_head: the sum of what each head gives times the length of its columns (eq. 4);
 * columns are a multiple of the heads. Sums over heads in double; squares of lengths in float, infinite from 3.4e38
 * on. */
void vt_score_values(const struct vt_head_scores *p, const float *v, size_t ldv, size_t columns, bool by_head,
                     float *score);

/* How Zero-TPrune (Wang et al. 2024, arXiv:2305.17328; spec 2.1) makes one number of the votes of all heads. */
struct vt_vote_options {
    float boost;           /* weight of the first row's vote, all others having 1; 0: the root of the number of rows */
    float lowest, highest; /* variance of a head's votes, whose mean is 1; a head outside, or of a NaN, does not count,
                              unless all are (VHF) */
};

/* One round of votes: sums are those over all queries, first what the first one gives, laid out like them; or what any
 * rounds left each row of as many votes as there are rows, and NULL, with which boost is taken for 1. The root of the
 * mean square over the heads (EIR). scratch: rows * heads. */
void vt_score_votes(const struct vt_head_scores *sums, const float *first, const struct vt_vote_options *o,
                    float *scratch, float *score);

/* When a token has computed enough (A-ViT: Yin et al. 2022, arXiv:2112.07658, eq. 5 and 8; spec 5). */
struct vt_halting {
    float scale, center; /* the part of block l is sigmoid(scale * x - center), x being a column of its output; */
    float limit;         /* where the sum of all parts is not below this, it is 1: the token halts */
};

/* The sum: what this has given for the block before, before[i * ldb] (NULL: 0), and the part of x[i * ldx]. A NaN
 * halts. */
void vt_score_halting(size_t rows, const float *x, size_t ldx, const float *before, size_t ldb,
                      const struct vt_halting *o, float *score);

/* How good it is to make one token of two whose features have this cosine: what is lost, the less the better, is in
 * proportion to 1 - cosine and to the root of the importance of the one that goes (after MCTF: Lee et al. 2024,
 * arXiv:2403.10030). At most 0; a NaN where either is one or importance is negative. */
float vt_score_match(float cosine, float importance);

#endif
