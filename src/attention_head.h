/* SPDX-License-Identifier: Apache-2.0 */
/* One head while it is computed: what attention.c, in which nothing is computed with floats, and attention_floats.c
 * share. */
#ifndef VT_ATTENTION_HEAD_H
#define VT_ATTENTION_HEAD_H

#include "attention.h"

/* Places in the scratch of one piece. ld is the number of keys rounded up to whole panels. */
struct vt_attention_head {
    char *keys;          /* panels of nr keys */
    char *values;        /* panels of nr columns */
    float *scores;       /* [mr][ld]; int32_t in U8S8 */
    void *probabilities; /* [mr][ld], with votes [keys][ld], in the product's type; in F32 the scores' place */
    float *sums;         /* [mr][ld_sums], outputs before they are finished; int32_t in U8S8 */
    float *column_sums;  /* [keys], of probabilities so far; in integers uint32_t */
    float *inverses;     /* with votes: [keys], of the sums of all queries' probabilities; in integers the sums */
    float *votes;        /* and [2][keys]: before and behind a round */
    int32_t *key_bias;   /* U8S8: [ld], what q's zero point takes off */
    float *biases;       /* U8S8: [mr][ld], bias plus mask; in integers int32_t, and those of keys in one row */
    float *shifts;       /* U8S8: [mr][ld_sums], gate_bias times the gate */
    size_t ld, ld_sums;
    size_t keys_panel, values_panel; /* bytes */
};

/* Adds the masks of m queries from row i on to their scores in float. */
void vt_attention_mask(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m);

/* Makes probabilities of the scores of m queries from row i on; factor[m]: what their outputs are to be multiplied by,
 * the inverse sums of the probabilities, and gates. */
void vt_attention_factors(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                          float *factor);

/* Writes row[keys] as a column of scores. */
void vt_attention_give_row(const struct vt_attention *a, const float *row, float *column);

/* All rounds of votes, once all probabilities and inverses are there. */
void vt_attention_vote(const struct vt_attention *a, const struct vt_attention_head *h);

/* Integer sums, or floats on their way to codes, through the epilogue of products. */
void vt_attention_finish(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                         const float *factor);

#endif
