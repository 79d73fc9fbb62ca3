/* SPDX-License-Identifier: Apache-2.0 */
/* The operations: how one step of a plan is computed. An op knows blocking, packing and threads; the arithmetic is in
 * kernels/. */
#ifndef VT_OPS_H
#define VT_OPS_H

#include "gemm.h"
#include "plan.h"
#include "pool.h"

/* Numbers to codes: clamp(round(x * scale[c] + shift[c]), 0, highest) in column c. */
struct vt_codes {
    const float *scale, *shift;
    const uint8_t *zero; /* the codes of 0 */
    uint8_t highest;
};

struct vt_step_integers;

/* The packed weights of one step, as the op wants them, and what is made of its quantizers. */
struct vt_step_weights {
    const void *weight; /* panels of the step's product, or plain floats */
    const float *bias, *scale, *weight2;
    const float *row_scales;           /* of a weight of codes */
    const int32_t *sum_start;          /* [columns and a tile's] of layers on codes: what integer sums begin with */
    const float *sum_scale, *sum_bias; /* [columns] of an integer product: sums to numbers, or to codes of the step's
                                          value where nothing comes in between; of CONVERT to floats: back from codes;
                                          of SELECT [columns of features], and of the sum of their groups */
    struct vt_codes in;                /* [k]: of rows that a product gathers itself */
    struct vt_codes out;               /* [columns] of a value that is codes; scale and shift are NULL where the two
                                          above have them */
    const float *score_scale;          /* [heads] of attention on codes */
    const float *gate_bias;            /* [columns] of attention on codes with a gate: what it multiplies of the bias */
    const struct vt_step_integers *integers; /* of integer-only inference, else NULL */
    const uint8_t *query_zero;               /* [columns of q] */
};

/* One session's state while it runs. */
struct vt_exec {
    const struct vt_plan *plan;
    struct vt_pool *pool;
    char *arena;
    char *scratch;                         /* for each worker */
    size_t scratch_bytes;                  /* of one worker */
    size_t first, images;                  /* of this pass */
    size_t *const *offsets;                /* [row_set][max_batch + 1], of the whole batch; those of rows that a token
                                              map leaves as far as it has been made */
    const float *const *pixels;            /* [max_batch]: the input of each image of the batch */
    const struct vt_step_weights *weights; /* [step_count] */
};

/* First element of a view's row, which is counted as in the offset table; of the pass's first row; elements from row to
 * row. */
void *vt_exec_row(const struct vt_exec *x, struct vt_view view, size_t row);
void *vt_exec_view(const struct vt_exec *x, struct vt_view view);
size_t vt_exec_ld(const struct vt_exec *x, vt_value value);

/* First element of an image's rows of a view in f32. Convolutions ask for it: where nothing else reads the
 * input, it may be in the caller's memory and not in the arena. */
const float *vt_exec_image(const struct vt_exec *x, struct vt_view view, size_t image);

enum vt_dtype vt_exec_element(const struct vt_exec *x, vt_value value);

/* Offset table of a value: image i < images of this pass owns rows [i] .. [i + 1]. */
const size_t *vt_exec_offsets(const struct vt_exec *x, vt_value value);
size_t vt_exec_rows(const struct vt_exec *x, vt_value value); /* of this pass */

void *vt_exec_scratch(const struct vt_exec *x, size_t worker);

/* Rows or images [begin, end) of one step. */
struct vt_step_job {
    const struct vt_exec *x;
    const struct vt_step *s;
    const struct vt_step_weights *w;
    void *scratch; /* of the worker */
};

/* Rows of one image of a view: the first one, and how many. */
struct vt_image_rows {
    char *at;
    size_t rows, ld; /* elements from row to row */
};

struct vt_image_rows vt_exec_image_rows(const struct vt_exec *x, struct vt_view view, size_t image);

/* What a kernel is to make of a value's numbers. */
enum vt_destination vt_destination_of(enum vt_dtype element);

/* The product of a linear or convolution step with its epilogue; a, lda and k are still to be filled in. */
struct vt_gemm vt_gemm_of_step(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w);
const char *vt_gemm_name(const struct vt_plan *p, const struct vt_step *s);
enum vt_layout vt_gemm_layout(const struct vt_plan *p, const struct vt_step *s);

/* One of run, rows and images is set, but for the input, and for scores, which come with their attention. */
struct vt_op {
    const char *name;
    void (*run)(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w);
    void (*rows)(const struct vt_step_job *job, size_t begin, size_t end);     /* each row of the output by itself */
    void (*images)(const struct vt_step_job *job, size_t begin, size_t end);   /* each image by itself */
    size_t (*scratch_bytes)(const struct vt_plan *p, const struct vt_step *s); /* of one worker; NULL: none */
    /* Multiply-adds for one image of a node that yields value v; shapes are those of its graph. NULL: none. */
    uint64_t (*macs)(const struct vt_node *node, const struct vt_shape *shapes, vt_value v);
    /* How the weight is wanted; NULL: plain. */
    enum vt_layout (*layout)(const struct vt_plan *p, const struct vt_step *s);
    const char *(*kernel_name)(const struct vt_plan *p, const struct vt_step *s); /* of products; else NULL */
};

/* Rows [begin, end) of the output, those of one image after the other: [first, last) of it. */
void vt_exec_each_image(const struct vt_step_job *j, size_t begin, size_t end,
                        void (*rows)(const struct vt_step_job *j, size_t image, size_t first, size_t last));

/* Makes the map of an image with so many rows; how many are left. */
struct vt_token_entry;
typedef size_t vt_select_fn(const struct vt_step_job *j, size_t image, size_t rows, struct vt_token_entry *map);

/* The maps of images [begin, end), and their numbers of rows. */
void vt_exec_select(const struct vt_step_job *j, size_t begin, size_t end, vt_select_fn *select);

/* How many of so many candidates of a selection stay, or samples are taken, or rows are merged. */
size_t vt_wanted_count(const struct vt_node *select, size_t candidates);

/* The first of the largest of n > 0 numbers; 0 where the first is a NaN. */
size_t vt_largest(const float *x, size_t n);

/* The op of a node type; inputs have one that does nothing. */
const struct vt_op *vt_op_of(enum vt_node_type type);

/* The op of a step: integers have some of their own. */
const struct vt_op *vt_op_of_step(const struct vt_plan *p, const struct vt_step *s);

/* The kernel of a step's products, or "". */
const char *vt_kernel_name(const struct vt_plan *p, const struct vt_step *s);

/* Computes one step. */
void vt_exec_step(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w);

extern const struct vt_op vt_op_conv2d, vt_op_linear, vt_op_layer_norm, vt_op_attention, vt_op_attention_scores,
    vt_op_activation, vt_op_add, vt_op_mul, vt_op_pool, vt_op_slice, vt_op_concat, vt_op_embed, vt_op_head_combine,
    vt_op_convert, vt_op_positions, vt_op_l2_norm, vt_op_pool2d, vt_op_tokens, vt_op_windows, vt_op_unwindows,
    vt_op_space_to_depth, vt_op_relative_bias, vt_op_token_score, vt_op_select, vt_op_apply, vt_op_scatter,
    vt_op_upsample, vt_op_argmax;

/* Of integer-only inference, where they differ. */
extern const struct vt_op vt_op_integer_add, vt_op_integer_concat, vt_op_integer_convert, vt_op_integer_embed,
    vt_op_integer_pool, vt_op_integer_token_score, vt_op_integer_select, vt_op_integer_apply, vt_op_integer_scatter,
    vt_op_integer_upsample, vt_op_integer_argmax;

#endif
