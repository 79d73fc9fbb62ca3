/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens leave between blocks by what a small network there says of each: DToP's heads, DynamicViT's predictors. */
#ifndef VT_EXITS_H
#define VT_EXITS_H

#include "reduce_graph.h"

/* Writes g anew into out as vt_reduce_graph does. DynamicViT: of each layer the tokens stay whose output "score.K" is
 * highest, before block K. DToP: the tokens that "head.K" is sure of leave behind block K, and have their logits from
 * it: the outputs "head.K" of later blocks and "segmentation", and what is made of them, have those of the last head
 * that saw a token. */
vitrt_status vt_reduce_by_exits(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out);

#endif
