/* SPDX-License-Identifier: Apache-2.0 */
/* What the numbers of quantized steps are made of, in double: quantizers with their numbers for every column, and what
 * integer sums of a product stand for. For step_codes.c and step_integers.c. */
#ifndef VT_STEP_MAKER_H
#define VT_STEP_MAKER_H

#include "ops.h"

/* A quantizer with its numbers for every column. */
struct vt_expanded {
    double *scale, *zero;
};

struct vt_step_maker {
    const struct vt_plan *p;
    struct vt_expanded in[VT_MAX_CODED], out; /* of the step at hand */
    size_t most;                              /* columns that they have room for */
    float *rows;                              /* [most] */
    double *zero_sums;                        /* [most] */
    uint8_t *zero_codes;                      /* as long as the longest row of a layer */
    void *scratch;                            /* VT_SCRATCH_BYTES */
    vitrt_error *err;
};

/* Gives the maker its memory; returns its bytes. base NULL only measures. */
size_t vt_carve_maker(struct vt_step_maker *m, char *base);

/* The node that says how the step's value becomes codes, or numbers that codes stand for; NULL: it does not. */
const struct vt_node *vt_coding_of(const struct vt_plan *p, const struct vt_step *s);

/* Is it a selection that compares rows of codes? */
bool vt_compares_codes(const struct vt_step *s);

/* Is it a linear layer or a convolution but a depthwise one? */
bool vt_is_layer(const struct vt_step *s);

/* Does it put together the rows that it multiplies? */
bool vt_gathers(const struct vt_step *s);

/* Numbers of a row that a layer reads, also a depthwise convolution; 0 of others. */
size_t vt_row_length(const struct vt_plan *p, const struct vt_step *s);

uint8_t vt_highest_code(const struct vt_operand_quantizer *q);
uint8_t vt_code_of(double x, uint8_t highest);

/* Reads the quantizers of the step's inputs and of its value. */
vitrt_status vt_expand_quantizers(const struct vt_step_maker *m, const struct vt_step *s);

/* What sums of a layer on codes stand for: scale * (sum - zeros) + bias, LayerScale included where no activation stands
 * between. */
struct vt_sum {
    double scale, bias;
    double zeros; /* the sum over a row of zero point times weight: what codes count too much */
};

/* Fills zero_sums for vt_sum_of_column, once for a step, from its packed weights. */
void vt_find_zero_sums(const struct vt_step_maker *m, const struct vt_step *s, const void *panels);

/* Of column j; w has what the store has. */
vitrt_status vt_sum_of_column(const struct vt_step_maker *m, const struct vt_step *s, const struct vt_step_weights *w,
                              size_t j, struct vt_sum *sum);

/* The same as scale * sum + bias. */
vitrt_status vt_product_numbers(const struct vt_step_maker *m, const struct vt_step *s, const struct vt_step_weights *w,
                                size_t j, double *scale, double *bias);

/* What a sum of products of column c of q and k stands for, the attention's own scale included, which is the same for all
 * columns of a head; and q's code of 0. */
vitrt_status vt_score_numbers(const struct vt_step_maker *m, const struct vt_step *s, size_t c, double *scale,
                              uint8_t *zero);

#endif
