/* SPDX-License-Identifier: Apache-2.0 */
/* A-ViT: behind every block those tokens leave that have computed enough. */
#ifndef VT_HALTING_H
#define VT_HALTING_H

#include "reduce_graph.h"

/* Writes g anew into out as vt_reduce_graph does, for every block but the last one. With its class token an image is
 * done: no row of it is left. What the head reads is the class token alone, [1, width]: the mean of what the blocks made
 * of it, weighted by the parts of its halting. The last block computes its row alone. */
vitrt_status vt_reduce_by_halting(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out);

#endif
