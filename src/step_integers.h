/* SPDX-License-Identifier: Apache-2.0 */
/* The integers that the steps of integer-only inference compute with: dyadic numbers of every column, biases in units of
 * sums, scales of scores. Made once for a session, of doubles; running it then takes no floating-point arithmetic. */
#ifndef VT_STEP_INTEGERS_H
#define VT_STEP_INTEGERS_H

#include "attention.h"
#include "integer_score.h"
#include "ops.h"
#include "preprocess.h"

/* Bounds: of a product of codes, the weight's being -128 or more; of a layer's bias, in units of its sums; of scores
 * with what is added to them, VT_MOST_ADDED each; columns of a norm; rows of a mean; heads that vote, and the weight
 * of the first row there. */
#define VT_MOST_PRODUCT    (UINT32_C(255) * 128)
#define VT_MOST_BIAS       (UINT32_C(1) << 29)
#define VT_MOST_SCORE      (UINT32_C(1) << 30)
#define VT_MOST_NORMALISED 65536u
#define VT_MOST_POOLED     65535u
#define VT_MOST_HEADS      32768u
#define VT_MOST_BOOST      32767.0f

/* The end of a product or of another step, without places in memory. */
struct vt_step_integers {
    struct vt_integer_epilogue epilogue;
    const int32_t *bias; /* [columns, padded to a tile]: of the sums of a layer */
    bool has_gelu;       /* behind a layer, whose codes `gelu` makes; of `epilogue` only the limits are used then */
    struct vt_integer_gelu gelu;
    const struct vt_exp_scale *scores;     /* [heads] of attention */
    const int32_t *mask;                   /* [heads]: what a masked score is added, in its units */
    const struct vt_dyadic *key_scales; /* [heads] of attention whose keys have a bias: its unit in those of scores */
    unsigned score_bits;                /* of attention that gives scores, and of those that others are made of */
    int64_t boost;                      /* of attention that gives votes: vt_attention's integer_boost */
    struct vt_integer_votes votes;
    const uint32_t *counts;                /* of a selection: vt_wanted_count of each number of candidates */
    const struct vt_powers *powers;        /* of one by "unsure", in the unit of its logits, */
    uint32_t limit;                        /* and from where on the inverse of a confidence is unsure */
    unsigned share_bits;                   /* of its map: a share is in units of 2^-share_bits, */
    int32_t passed;                        /* such as what a row that leaves passes on */
    uint64_t eps;                          /* of a norm */
    const int16_t *tokens;                 /* of an embedding: the rows before the map */
    const uint8_t (*pixel_codes)[256];     /* [channels] of a convolution: codes of pixels; NULL: the pixels are codes */
    struct vt_word_scale scale_a, scale_b; /* of what an addition or a concatenation has of two
                                              inputs, or a scatter of rows and base */
};

/* Rows that an embedding puts before the map. */
static inline size_t vt_embed_tokens(const struct vt_plan *p, const struct vt_step *s)
{
    return s->weight == VT_NO_WEIGHT ? 0 : (size_t)p->graph->weights[s->weight].rows;
}

/* Bits behind the point of the means that pool makes where the number of rows is not always the same or they have
 * weights: it divides by these itself. */
enum { VT_MEAN_BITS = 15 };

static inline bool vt_divides(const struct vt_plan *p, const struct vt_step *pool)
{
    return pool->node->in_count > 1 || p->values[pool->node->in[0].value].shape.rows_of;
}

/* ---- integers_allowed.c ---- */

/* Is there an integer-only form of every step? VITRT_EUNSUPPORTED and a sentence that names the node if not. */
vitrt_status vt_check_integers(const struct vt_plan *p, vitrt_error *err);

/* ---- step_integers.c ---- */

/* Completes weights[step_count], in which what the store has, and the row scales, are filled in. levels: what the
 * network is given for pixels. *memory, of *bytes from the plan's allocator, is what they point into from then on. */
vitrt_status vt_step_integers_create(const struct vt_plan *p, const struct vt_level_table *levels,
                                     struct vt_step_weights *weights, char **memory, size_t *bytes, vitrt_error *err);

/* ---- step_tokens.c ---- */

/* Gives scores and token maps of the plan's graph their units, which no calibration knows. */
void vt_give_token_units(struct vt_plan *p);

/* Of token_score, select and apply: completes the step's integers. counts: [vt_count_table]; powers: of selections by
 * "unsure", else NULL. */
void vt_make_token_step(const struct vt_plan *p, const struct vt_step *s, struct vt_step_integers *to, uint32_t *counts,
                        struct vt_powers *powers);
size_t vt_count_table(const struct vt_plan *p, const struct vt_step *s);

/* Sets score_bits and boost of attention that gives scores. */
void vt_make_scores(const struct vt_plan *p, const struct vt_step *attention, struct vt_step_integers *to);

/* ---- step_constants.c ---- */

/* Turns the constants that have been evaluated into integers, in their place: positions into words' units, relative
 * biases into those of scores. */
void vt_integers_of_constants(const struct vt_exec *x);

#endif
