/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: a graph made executable for one CPU, one input size and one batch.
 *
 * Dead nodes are dropped, chains of linear -> activation -> LayerScale -> residual add become one step, as do norms and
 * linear layers with a change in the order of rows before or behind them; values get places in one arena by their
 * lifetimes. Making a plan reads no weights and takes no arena: what a session costs is known before it is created.
 *
 * A batch goes through the steps in passes of as many images as keep the threads busy, so that what one step leaves in
 * the caches the next one finds there; only the input and the outputs have room for the whole batch.
 *
 * Ragged batches: image i owns rows offsets[i] .. offsets[i + 1] of every value. Values with the same number of rows
 * per image share a table (a row set). An image that could not be read owns no rows; nothing is padded. Rows that a
 * token map leaves have a set of their own, which is filled in when the map is made.
 */
#ifndef VT_PLAN_H
#define VT_PLAN_H

#include "graph.h"
#include "row_order.h"
#include "weights.h"

/* What a session computes in. */
enum vt_precision {
    VT_PRECISION_F32,
    VT_PRECISION_BF16,
    VT_PRECISION_I8,     /* products that have quantizers multiply codes; everything else is f32 */
    VT_PRECISION_STRICT, /* nothing but integers: codes, and words of 16 bits for everything else */
};

struct vt_step {
    enum vt_node_type type;
    const struct vt_node *node;   /* the first of the fused chain */
    vt_value out;                 /* what the last one yields */
    const struct vt_node *gather; /* windows or space_to_depth that make the rows of in[0] as they are read, or NULL */
    vt_weight weight, bias, weight2;
    enum vt_activation activation;    /* fused: applied to weight * x + bias, */
    vt_weight scale;                  /* then multiplied by this vector, */
    struct vt_view residual;          /* then added to this; value VT_NO_VALUE: none */
    vt_value scores[VT_SCORES_COUNT]; /* attention: what it yields beside its output, or VT_NO_VALUE */
};

/* Values that have the same rows for each image. */
struct vt_row_set {
    size_t rows;      /* of one image, or the most that there can be */
    vt_value rows_of; /* the token map that tells, or 0 */
};

struct vt_plan_value {
    struct vt_shape shape;
    const struct vt_row_order *order; /* of its rows; NULL: that of a map */
    bool live;
    size_t ld;          /* elements from row to row; more than the columns where vt_row_stride says so */
    bool whole_batch;   /* the input and outputs: all images have a place, not only those of one pass */
    bool constant;      /* the same for all images: rows of one image, computed when the session is created */
    size_t rows;        /* of one image, or the most */
    size_t row_set;     /* index of its offset table */
    size_t result_set;  /* of a token map: that of the rows that it leaves */
    size_t first, last; /* steps between which its memory is taken; first is 0 for the input and constants, and for
                           outputs where there are several passes */
    vt_value shares;    /* the value whose memory it takes over (the residual stream), or itself */
    size_t offset;      /* in the arena, bytes */
    size_t bytes;
};

struct vt_plan_options {
    enum vt_precision precision;
    uint32_t height, width, max_batch;
    unsigned threads;
    const vt_value *outputs;
    size_t output_count;
    size_t preprocess_scratch_bytes; /* for one image */
};

struct vt_plan {
    vitrt_allocator alloc;
    struct vt_graph graph_storage; /* the model's graph as the passes have rewritten it; its weights are the model's */
    const struct vt_graph *graph;
    vt_value *outputs; /* [output_count]: what was asked for, in that graph */
    size_t output_count;
    const struct vt_kernels *kernels;
    enum vt_precision precision;
    size_t l2_bytes; /* of this machine: blocks of products are made for it */
    uint32_t height, width, max_batch;
    size_t pass_images; /* that go through the steps together */
    unsigned threads;
    struct vt_plan_value *values; /* [graph->node_count] */
    struct vt_step *steps;        /* constants first */
    size_t step_count, step_capacity;
    size_t constant_count;       /* of the steps: evaluated once */
    struct vt_row_order *orders; /* of windows over maps */
    size_t order_count;
    struct vt_row_set *row_sets;
    size_t row_set_count;
    size_t value_bytes;            /* arena: values, then the scratch of either steps or images */
    size_t scratch_bytes;          /* of a step, for each of the threads */
    size_t image_scratch_bytes;    /* of preparing an image, for each slot */
    unsigned image_slots;          /* images prepared at the same time */
    size_t constant_scratch_bytes; /* of the constants, needed once and not in the arena */
    size_t arena_bytes;
    uint64_t macs, nominal_macs; /* per image: executed; if the needed nodes computed all their rows */
};

/* kernels must outlive the plan. */
vitrt_status vt_plan_create(const vitrt_allocator *a, const struct vt_graph *g, const struct vt_kernels *kernels,
                            const struct vt_plan_options *o, struct vt_plan **out, vitrt_error *err);
void vt_plan_free(struct vt_plan *p); /* NULL is allowed */

/* What a step reads first: in[0], or what its rows are gathered from. */
struct vt_view vt_step_input(const struct vt_step *s);

/* Is it a product of codes? */
bool vt_step_multiplies_codes(const struct vt_step *s);

/* What the steps want of the store: request i < step_count * VT_STEP_WEIGHTS, those of one step behind each other. */
enum { VT_STEP_WEIGHT, VT_STEP_BIAS, VT_STEP_SCALE, VT_STEP_WEIGHT2, VT_STEP_ROW_SCALES, VT_STEP_WEIGHTS };
struct vt_weight_request vt_plan_request(const struct vt_plan *p, size_t i);

/* Bytes of packed weights that the plan's steps read. */
uint64_t vt_plan_packed_bytes(const struct vt_plan *p);

/* Is v one of the outputs? */
bool vt_is_output(const vt_value *outputs, size_t count, vt_value v);

/* ---- Passes: from graph to better graph, then to steps ---- */

/* Each of the next four writes g anew into out, which has everything but nodes; outputs become values of out. shapes
 * are those of g. */

/* The first two divide columns of linear layers, at multiples of align, the width of a tile. */
typedef vitrt_status vt_column_pass(const struct vt_graph *g, const struct vt_shape *shapes, size_t align,
                                    vt_value *outputs, size_t count, struct vt_graph *out, vitrt_error *err);

/* Columns that are only wanted in the rows that a token map leaves are computed of these, once the map is made. */
vt_column_pass vt_pass_late;

/* A layer whose columns are wanted in different rows becomes two. */
vt_column_pass vt_pass_split;

/* Says what every product multiplies in. Behind a value that linear layers or attention want in another form stands a
 * conversion, which they read instead, as do selections that compare the same columns; vt_pass_fuse lets the step before
 * convert where it can. */
vitrt_status vt_pass_precision(const struct vt_graph *g, enum vt_precision precision, vt_value *outputs, size_t count,
                               struct vt_graph *out, vitrt_error *err);

/* Without the nodes and rows that nobody reads. *nominal_macs: of the needed nodes with all their rows. */
vitrt_status vt_pass_rows(const struct vt_graph *g, const struct vt_shape *shapes, vt_value *outputs, size_t count,
                          struct vt_graph *out, uint64_t *nominal_macs, vitrt_error *err);

/* Turns the nodes into steps, fusing what the epilogue of a product can do. */
void vt_pass_fuse(struct vt_plan *p, const vt_value *outputs, size_t count);

/* Gives every live value its lifetime and its place in the arena. */
void vt_pass_place(struct vt_plan *p, const vt_value *outputs, size_t count);

#endif
