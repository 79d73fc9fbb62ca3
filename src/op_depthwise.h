/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of every channel by itself. */
#ifndef VT_OP_DEPTHWISE_H
#define VT_OP_DEPTHWISE_H

#include "ops.h"

void vt_run_depthwise(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w);
size_t vt_depthwise_scratch(const struct vt_plan *p, const struct vt_step *s); /* of one worker */

#endif
