/* SPDX-License-Identifier: Apache-2.0 */
/* A graph with token nodes in some of its blocks. */
#ifndef VT_REDUCE_GRAPH_H
#define VT_REDUCE_GRAPH_H

#include "blocks.h"

struct vt_reduction {
    vitrt_reduction method;
    const vitrt_reduce_layer *layers; /* ascending by block */
    size_t layer_count;
    uint32_t flags, seed;
    float halting_scale, halting_center;
    const struct vt_block *blocks;
    size_t block_count;
    uint32_t prefix;  /* rows that stay */
    size_t tokens;    /* the others, at the size that a budget is for */
    uint32_t classes; /* the first of them, whose attention counts: class and distillation token */
};

/* Writes g anew into out, an empty graph that shares its weights: nodes and outputs, and an output "tokens.K" for block
 * K where tokens leave: [tokens, 1], for each that the input has 1 + the row that it is in behind that block, or 0. */
vitrt_status vt_reduce_graph(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out);

#endif
