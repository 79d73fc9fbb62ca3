/* SPDX-License-Identifier: Apache-2.0 */
/* DToP: tokens leave a segmentation model behind blocks whose heads are sure of their classes. */
#ifndef VT_EXITS_H
#define VT_EXITS_H

#include "reduce_graph.h"

/* Writes g anew into out as vt_reduce_graph does. Of each layer the tokens that "head.K" is sure of leave behind block
 * K, and have their logits from it: the outputs "head.K" of later blocks and "segmentation", and what is made of them,
 * have those of the last head that saw a token. */
vitrt_status vt_reduce_by_exits(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out);

#endif
