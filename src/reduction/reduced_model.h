/* SPDX-License-Identifier: Apache-2.0 */
/* A model with token nodes, which shares the weights of another. Graphs are rewritten in reduce_graph.c, exits.c and
 * halting.c. */
#ifndef VT_REDUCED_MODEL_H
#define VT_REDUCED_MODEL_H

#include "model.h"
#include "reduce_graph.h"

/* *out is to be freed; it works at the size, at least. */
vitrt_status vt_reduced_model(const vitrt_model *m, const struct vt_reduction *r, const uint32_t size[2],
                              vitrt_model **out, vitrt_error *err);

#endif
