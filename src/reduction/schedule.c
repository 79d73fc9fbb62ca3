/* SPDX-License-Identifier: Apache-2.0 */
/* See schedule.h. */
#include "schedule.h"

#include "token_map.h"

#include <math.h>
#include <stdio.h>

#define DROPS 4 /* blocks in which tokens leave by every method but ToMe */

/* How much more tokens leave a block than others, as the power of the share that stays: the more the later the block is
 * in the second half. In the first half, the earlier the more where little is left to later blocks, but fewer or none
 * where the budget allows it, for tokens of the first blocks are not yet what they stand for. Of all methods but ToMe,
 * and of models of a few blocks, 1. */
static double strength_of(const struct vt_reduction *r, double budget, size_t block)
{
    if (r->method != VITRT_REDUCTION_TOME || r->block_count < 2 * DROPS)
        return 1;
    const double place = 2 * (double)block / (double)(r->block_count - 1) - 1; /* -1 to 1 */
    return fmax(1 + (place < 0 ? 6 * (budget - 0.42) : 0.6) * place, 0);
}

/* All blocks with a strength. Returns how many, as all here. */
static size_t merging_blocks(const struct vt_reduction *r, double budget, vitrt_reduce_layer *layers)
{
    size_t count = 0;
    for (size_t i = 0; i < r->block_count; i++)
        if (strength_of(r, budget, i) > 0)
            layers[count++].block = (uint32_t)i;
    return count;
}

/* Spread over half of the blocks, from the first one on, or as much later as the budget is over a half, and ATS's later
 * still: what the class token attends to in the first blocks says little. */
static size_t dropping_blocks(const struct vt_reduction *r, double budget, vitrt_reduce_layer *layers)
{
    const double all = (double)r->block_count, late = r->method == VITRT_REDUCTION_ATS ? 1.0 / 6 : 0,
                 first = all * fmin(fmax(budget - 0.5, 0) + late, 0.4);
    for (size_t i = 0; i < DROPS; i++)
        layers[i].block = (uint32_t)(first + all / 2 * (double)i / (DROPS - 1));
    return DROPS;
}

static size_t predicted_blocks(const struct vt_graph *g, const struct vt_reduction *r, vitrt_reduce_layer *layers)
{
    size_t count = 0;
    for (size_t i = 0; i < r->block_count; i++) {
        char name[VT_NAME_SIZE];
        snprintf(name, sizeof name, "score.%zu", i);
        if (vt_graph_find_output(g, name) != VT_NO_VALUE)
            layers[count++].block = (uint32_t)i;
    }
    return count;
}

static size_t usual_blocks(const struct vt_graph *g, const struct vt_reduction *r, double budget,
                           vitrt_reduce_layer *layers)
{
    if (r->method == VITRT_REDUCTION_DYNAMICVIT)
        return predicted_blocks(g, r, layers);
    return r->method == VITRT_REDUCTION_TOME || r->block_count < 2 * DROPS ? merging_blocks(r, budget, layers)
                                                                           : dropping_blocks(r, budget, layers);
}

/* What is found here was found with models/zoo/vit_s14_tin100: docs/token_reduction.md. */
size_t vt_usual_layers(const struct vt_graph *g, const struct vt_reduction *r, double budget, double keep,
                       vitrt_reduce_layer *layers)
{
    const size_t count = usual_blocks(g, r, budget, layers);
    size_t tokens = r->tokens;
    for (size_t i = 0; i < count; i++) {
        layers[i].keep = pow(keep, strength_of(r, budget, layers[i].block));
        const size_t stay = vt_keep_count(tokens, layers[i].keep, false);
        if (r->method == VITRT_REDUCTION_ZERO_TPRUNE)
            layers[i].similar = (uint32_t)((tokens - stay) * 3 / 4); /* as many of those that leave */
        tokens = stay;
    }
    return count;
}
