/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers that a session's quantized steps compute with: made once of quantizers, of the scales of weights, and of
 * what is fused, so that between two integer products stands one multiply-add. */
#ifndef VT_STEP_CODES_H
#define VT_STEP_CODES_H

#include "ops.h"

/* Completes weights[step_count], in which what the store has is filled in. *memory, of *bytes from the plan's allocator,
 * is what they point into from then on; NULL where no step has codes. */
vitrt_status vt_step_codes_create(const struct vt_plan *p, struct vt_step_weights *weights, char **memory,
                                  size_t *bytes, vitrt_error *err);

#endif
