/* SPDX-License-Identifier: Apache-2.0 */
/* The heads of an attention step, for what looks at them one by one. */
#ifndef VT_OP_ATTENTION_H
#define VT_OP_ATTENTION_H

#include "attention.h"
#include "ops.h"

/* Groups of rows of an image that attend to each other: one, or its windows. */
size_t vt_attention_groups(const struct vt_plan *p, const struct vt_step *s);

/* Head h of group i, counted through all images of the pass. */
struct vt_attention vt_attention_of_head(const struct vt_exec *x, const struct vt_step *s,
                                         const struct vt_step_weights *w, size_t i, size_t h);

#endif
