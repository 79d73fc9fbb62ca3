/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: the usual schedule with as many tokens as they allow. */
#ifndef VT_BUDGET_H
#define VT_BUDGET_H

#include "reduce_graph.h"

struct vt_budget {
    double share;                       /* of what the model has, over 0 and up to 1: */
    const uint32_t *size;               /* of the input, [height, width] */
    const vitrt_session_options *timed; /* time in such sessions; NULL: multiply-adds */
};

/* *out is to be freed; r's layers are its, in layers[r->block_count]. VITRT_EINVAL: it cannot be met. */
vitrt_status vt_meet_budget(const vitrt_model *m, struct vt_reduction *r, const struct vt_budget *budget,
                            vitrt_reduce_layer *layers, vitrt_model **out, vitrt_error *err);

#endif
