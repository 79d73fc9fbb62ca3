/* SPDX-License-Identifier: Apache-2.0 */
/* See schedule.h. */
#include "schedule.h"

#include "token_map.h"

#include <math.h>
#include <stdio.h>

#define DROPS 4 /* blocks in which tokens leave by every method but ToMe */

/* The usual blocks, each keeping the same share; returns how many. layers has room for all blocks. Drops are spread over
 * half of the blocks, from the first one on, or as much later as the budget is over a half, and ATS's later still: what the
 * class token attends to in the first blocks says little. Of Zero-TPrune's tokens that leave, three of four do so for
 * their similarity. All found with models/zoo/vit_s14_tin100 (docs/token_reduction.md). */
static size_t spread_layers(const struct vt_reduction *r, double budget, double keep, vitrt_reduce_layer *layers)
{
    const bool merge = r->method == VITRT_REDUCTION_TOME || r->block_count < 2 * DROPS;
    const size_t drops = merge ? r->block_count : DROPS;
    const double all = (double)r->block_count, late = r->method == VITRT_REDUCTION_ATS ? 1.0 / 6 : 0,
                 first = all * fmin(fmax(budget - 0.5, 0) + late, 0.4), stride = merge ? 1 : all / 2 / (DROPS - 1);
    size_t tokens = r->tokens;
    for (size_t i = 0; i < drops; i++) {
        const size_t stay = vt_keep_count(tokens, keep, false);
        layers[i] = (vitrt_reduce_layer){ .block = (uint32_t)((merge ? 0 : first) + stride * (double)i), .keep = keep };
        if (r->method == VITRT_REDUCTION_ZERO_TPRUNE)
            layers[i].similar = (uint32_t)((tokens - stay) * 3 / 4);
        tokens = stay;
    }
    return drops;
}

/* The blocks that have a predictor, each keeping the same share; returns how many. */
static size_t predicted_layers(const struct vt_graph *g, const struct vt_reduction *r, double keep,
                               vitrt_reduce_layer *layers)
{
    size_t count = 0;
    for (size_t i = 0; i < r->block_count; i++) {
        char name[VT_NAME_SIZE];
        snprintf(name, sizeof name, "score.%zu", i);
        if (vt_graph_find_output(g, name) != VT_NO_VALUE)
            layers[count++] = (vitrt_reduce_layer){ .block = (uint32_t)i, .keep = keep };
    }
    return count;
}

size_t vt_usual_layers(const struct vt_graph *g, const struct vt_reduction *r, double budget, double keep,
                       vitrt_reduce_layer *layers)
{
    return r->method == VITRT_REDUCTION_DYNAMICVIT ? predicted_layers(g, r, keep, layers)
                                                   : spread_layers(r, budget, keep, layers);
}
