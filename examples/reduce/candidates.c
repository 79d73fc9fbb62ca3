/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules; see reduce.h. A schedule is drawn as steps, whose shape says how they compare with each other, and scaled
 * until it meets the budget: shares of tokens that stay by a power of all of them, numbers by a factor. */
#include "reduce.h"

#include <math.h>
#include <string.h>

/* ---- Random numbers ---- */

/* SplitMix64; 0 .. n - 1. */
static uint32_t draw(uint64_t *state, uint32_t n)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((x ^ x >> 31) % n);
}

static double draw_share(uint64_t *state)
{
    return draw(state, 1001) / 1000.0;
}

/* ---- Shapes ---- */

/* ToMe: as many in all blocks, fewer and fewer, or many in the first blocks and few in the others. */
static void draw_merges(struct candidate *c, uint32_t blocks, uint64_t *random)
{
    enum { CONSTANT, DECREASING, TWO_PHASES, KINDS };
    const uint32_t kind = draw(random, KINDS), first = draw(random, blocks / 3 + 1),
                   end = blocks - draw(random, blocks / 4 + 1), phase = first + 1 + draw(random, (end - first) / 2 + 1);
    const double least = draw_share(random) / 2;
    c->step_count = end - first;
    for (uint32_t i = 0; i < c->step_count; i++) {
        double shape = 1;
        if (kind == DECREASING)
            shape = 1 - (1 - least) * i / c->step_count;
        else if (kind == TWO_PHASES)
            shape = first + i < phase ? 1 : least;
        c->steps[i].block = first + i;
        c->steps[i].shape = shape;
    }
}

/* ATS: in every block from some on, or in every second or third, with fewer and fewer samples. */
static void draw_samples(struct candidate *c, uint32_t blocks, uint64_t *random)
{
    const uint32_t first = draw(random, blocks / 2 + 1), stride = 1 + draw(random, 3);
    const double rate = 1 - draw_share(random) / 4;
    for (uint32_t block = first; block < blocks; block += stride) {
        c->steps[c->step_count].block = block;
        c->steps[c->step_count++].shape = pow(rate, block - first);
    }
}

/* Of votes, as Zero-TPrune's paper has them: 30 in the first blocks, 5 in the middle ones, one (0) in the last. */
static uint32_t rounds_in(uint32_t block, uint32_t blocks)
{
    return block < blocks / 4 ? 30 : block < blocks - blocks / 4 ? 5 : 0;
}

/* All others: in three to six blocks, but not in the last, where nothing but the head reads tokens. */
static void draw_drops(struct candidate *c, uint32_t blocks, uint64_t *random)
{
    enum { LEAST = 3, MOST = 6, SHARES = 11 /* 0.5, 0.55 .. 1 */, SIMILAR = 5 /* 0, 5 .. 20 */ };
    const uint32_t places = blocks > 1 ? blocks - 1 : 1, wanted = LEAST + draw(random, MOST - LEAST + 1);
    uint32_t left = wanted < places ? wanted : places;
    const bool votes = c->reduction.options.method == VITRT_REDUCTION_ZERO_TPRUNE, many = votes && draw(random, 2);
    for (uint32_t block = 0; block < places; block++) {
        if (draw(random, places - block) >= left) /* each set of blocks is as likely */
            continue;
        left--;
        c->steps[c->step_count].block = block;
        c->steps[c->step_count].shape = 0.5 + 0.05 * draw(random, SHARES);
        c->steps[c->step_count].rounds = many ? rounds_in(block, blocks) : 0;
        if (votes)
            c->steps[c->step_count].similar = 5 * draw(random, SIMILAR);
        c->step_count++;
    }
}

void candidate_draw(struct candidate *c, const struct dense *d, uint64_t *random)
{
    const uint32_t blocks = d->blocks < REDUCTION_LAYERS ? d->blocks : REDUCTION_LAYERS;
    const struct reduction method = { .options = { .method = c->reduction.options.method,
                                                   .flags = c->reduction.options.flags } };
    *c = (struct candidate){ .reduction = method };
    switch (method.options.method) {
    case VITRT_REDUCTION_TOME: draw_merges(c, blocks, random); break;
    case VITRT_REDUCTION_ATS: draw_samples(c, blocks, random); break;
    default: draw_drops(c, blocks, random); break;
    }
}

/* ---- Layers ---- */

/* Sums are rounded, not numbers: schedules of equal numbers, too, come close to every budget. */
static uint32_t merges(const struct candidate *c, const struct dense *d, double strength, size_t i, double *sum)
{
    const double before = floor(*sum + 0.5);
    *sum += c->steps[i].shape * strength * d->patches / d->blocks;
    return (uint32_t)(floor(*sum + 0.5) - before);
}

void candidate_scale(struct candidate *c, const struct dense *d, double strength)
{
    double sum = 0;
    uint32_t tokens = d->patches;
    c->reduction.options.layer_count = 0;
    for (size_t i = 0; i < c->step_count; i++) {
        vitrt_reduce_layer l = { .block = c->steps[i].block, .rounds = c->steps[i].rounds };
        if (c->reduction.options.method == VITRT_REDUCTION_TOME) {
            l.count = merges(c, d, strength, i, &sum);
        } else if (c->reduction.options.method == VITRT_REDUCTION_ATS) {
            l.count = (uint32_t)fmax(2, floor(c->steps[i].shape * d->patches / strength + 0.5));
        } else {
            const uint32_t percent = (uint32_t)fmax(1, floor(pow(c->steps[i].shape, strength) * 100 + 0.5)),
                           stay = tokens * percent < 100 ? 1 : tokens * percent / 100;
            l.keep = percent / 100.0;
            l.similar = c->steps[i].similar < tokens - stay ? c->steps[i].similar : tokens - stay;
            tokens = stay;
        }
        if (l.count > 1 || (l.keep > 0 && l.keep < 1)) /* 1 has no notation: see reduction.h */
            c->reduction.layers[c->reduction.options.layer_count++] = l;
    }
}

/* ---- Models ---- */

vitrt_status candidate_model(struct candidate *c, const struct dense *d, vitrt_model **model, vitrt_error *err)
{
    return vitrt_model_reduce(d->model, reduction_options(&c->reduction), model, err);
}

vitrt_status candidate_session(struct candidate *c, const struct dense *d, vitrt_session **session, vitrt_error *err)
{
    vitrt_model *model = NULL;
    vitrt_status st = candidate_model(c, d, &model, err);
    if (st == VITRT_OK)
        st = vitrt_session_create(model, &d->options, session, err);
    vitrt_model_free(model);
    return st;
}
