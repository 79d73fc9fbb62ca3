/* SPDX-License-Identifier: Apache-2.0 */
/* In which blocks tokens leave where nobody says it. */
#ifndef VT_SCHEDULE_H
#define VT_SCHEDULE_H

#include "reduce_graph.h"

/* layers[r->block_count]: the usual ones of the method for a budget, over 0 and up to 1, each keeping this share of the
 * tokens, or a power of it. Returns how many, 0 for DynamicViT without a predictor. */
size_t vt_usual_layers(const struct vt_graph *g, const struct vt_reduction *r, double budget, double keep,
                       vitrt_reduce_layer *layers);

#endif
