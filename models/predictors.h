/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DynamicViT's predictors (Rao et al. 2021, arXiv:2106.02034): before some blocks a small network gives each token a
 * score. Of a model as it is nobody reads them; vitrt_model_reduce lets tokens leave by them.
 */
#ifndef VT_MODELS_PREDICTORS_H
#define VT_MODELS_PREDICTORS_H

#include "config.h"

struct vt_predictors {
    uint32_t count;
    uint32_t block[VT_MAX_STAGES]; /* that predictor i stands before; ascending */
};

/* Those that the checkpoint has under the name `module`; NULL: none. Blocks are what `said` says, or where it has none
 * as published: a quarter, half and three quarters of `depth` of three predictors. */
struct vt_predictors vt_find_predictors(struct vt_graph *g, const char *module, const struct vt_predictors *said,
                                        uint32_t depth);

/* Adds the output "score.K" of predictor i, K being its block: [N, 1], x [N, dim] being what the block reads. The first
 * `prefix` rows are no patches. */
void vt_add_predictor(struct vt_graph *g, const char *module, const struct vt_predictors *p, uint32_t i, vt_value x,
                      uint32_t dim, uint32_t prefix);

#endif
