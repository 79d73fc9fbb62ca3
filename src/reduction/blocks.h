/* SPDX-License-Identifier: Apache-2.0 */
/* The transformer blocks of a graph, found by their shape: x + f(attention of x), in which tokens can leave. */
#ifndef VT_BLOCKS_H
#define VT_BLOCKS_H

#include "graph.h"

struct vt_block {
    vt_value attention;
    vt_value in;  /* the residual stream before it, */
    vt_value mid; /* and with what attention adds to it */
};

/* The blocks in their order, to be freed as *count elements, and how many rows before the map they all have. Fails with
 * a sentence that names the node for models whose tokens cannot leave. shapes: for any size that the graph works at. */
vitrt_status vt_find_blocks(const struct vt_graph *g, const struct vt_shape *shapes, struct vt_block **blocks,
                            size_t *count, uint32_t *prefix, vitrt_error *err);

#endif
