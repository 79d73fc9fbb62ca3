/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules; see reduce.h. A schedule is drawn as steps, whose shape says how they compare with each other, and scaled
 * until it meets the budget. */
#include "reduce.h"

#include <math.h>
#include <string.h>

/* Zero-TPrune's tokens leave for their similarity by so many parts of all that leave. */
enum { SIMILAR_PARTS = 4 };

/* ---- Random numbers ---- */

/* SplitMix64. */
uint32_t draw(uint64_t *state, uint32_t n)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((x ^ x >> 31) % n);
}

/* 0 to 1. */
static double draw_share(uint64_t *state)
{
    return draw(state, 1001) / 1000.0;
}

/* ---- Steps ---- */

/* Of votes, as Zero-TPrune's paper has them: 30 in the first blocks, 5 in the middle ones, one (0) in the last. */
static uint32_t rounds_in(uint32_t block, uint32_t blocks)
{
    return block < blocks / 4 ? 30 : block < blocks - blocks / 4 ? 5 : 0;
}

/* Not in the last block, where nothing but the head reads tokens. */
static uint32_t places_of(const struct dense *d)
{
    const uint32_t blocks = d->blocks < REDUCTION_LAYERS ? d->blocks : REDUCTION_LAYERS;
    return blocks > 1 ? blocks - 1 : 1;
}

static void add_step(struct candidate *c, const struct dense *d, uint32_t block, uint64_t *random)
{
    struct step *step = &c->steps[c->step_count++];
    *step = (struct step){ .block = block, .shape = draw_share(random) };
    if (c->reduction.options.method != VITRT_REDUCTION_ZERO_TPRUNE)
        return;
    step->similar = draw(random, SIMILAR_PARTS + 1);
    step->rounds = c->many_rounds ? rounds_in(block, d->blocks) : 0;
}

static bool merges(const struct candidate *c)
{
    return c->reduction.options.method == VITRT_REDUCTION_TOME;
}

static void start(struct candidate *c)
{
    const struct reduction method = c->reduction;
    *c = (struct candidate){ .reduction = method };
}

vitrt_status candidate_usual(struct candidate *c, const struct dense *d, double budget, vitrt_error *err)
{
    vitrt_reduce_layer layers[REDUCTION_LAYERS];
    vitrt_reduce_options options = c->reduction.options;
    double tokens = d->patches;
    options.budget = budget;
    options.height = d->height;
    options.width = d->width;
    start(c);
    c->step_count = REDUCTION_LAYERS;
    const vitrt_status st = vitrt_reduce_schedule(d->model, &options, layers, &c->step_count, err);
    c->step_count = c->step_count < REDUCTION_LAYERS ? c->step_count : REDUCTION_LAYERS;
    for (size_t i = 0; i < c->step_count; i++) {
        const double leave = tokens * (1 - layers[i].keep);
        c->steps[i] = (struct step){ .block = layers[i].block, .shape = -log2(layers[i].keep) };
        c->steps[i].similar = leave > 0 ? (uint32_t)(layers[i].similar * SIMILAR_PARTS / leave + 0.5) : 0;
        tokens -= leave;
    }
    return st;
}

/* Pairs are merged in most blocks, tokens leave in a few. Each set of so many blocks is as likely. */
void candidate_draw(struct candidate *c, const struct dense *d, uint64_t *random)
{
    enum { LEAST = 3, MOST = 6 };
    const uint32_t places = places_of(d), most = merges(c) ? places : MOST;
    uint32_t left = most > LEAST ? LEAST + draw(random, most - LEAST + 1) : most;
    left = left < places ? left : places;
    start(c);
    c->many_rounds = c->reduction.options.method == VITRT_REDUCTION_ZERO_TPRUNE && draw(random, 2);
    for (uint32_t block = 0; block < places; block++)
        if (draw(random, places - block) < left) {
            add_step(c, d, block, random);
            left--;
        }
}

/* Up to twice or down to half as many leave, more or fewer of them for their similarity. */
static void vary_step(struct step *step, bool similar, uint64_t *random)
{
    step->shape *= exp2(2 * draw_share(random) - 1);
    if (similar && draw(random, 2))
        step->similar = step->similar && (step->similar == SIMILAR_PARTS || draw(random, 2)) ? step->similar - 1
                                                                                             : step->similar + 1;
}

void candidate_vary(struct candidate *c, const struct candidate *like, const struct dense *d, uint64_t *random)
{
    enum { SELDOM = 8 };
    const bool similar = like->reduction.options.method == VITRT_REDUCTION_ZERO_TPRUNE;
    *c = (struct candidate){ .reduction = like->reduction, .many_rounds = like->many_rounds };
    for (uint32_t block = 0, next = 0; block < places_of(d); block++) {
        const bool there = next < like->step_count && like->steps[next].block == block, changes = !draw(random, SELDOM);
        if (there && !changes) {
            c->steps[c->step_count] = like->steps[next];
            if (draw(random, 2))
                vary_step(&c->steps[c->step_count], similar, random);
            c->step_count++;
        } else if (!there && changes) {
            add_step(c, d, block, random);
        }
        next += there;
    }
}

/* ---- Layers ---- */

/* Of merges, which are of pairs, at most half. */
static double keep_of(const struct candidate *c, const struct step *step, double strength)
{
    const double least = merges(c) ? 0.5 : 0.001,
                 keep = floor(exp2(-strength * step->shape) * 1000 + 0.5) / 1000;
    return keep > least ? keep : least;
}

void candidate_scale(struct candidate *c, const struct dense *d, double strength)
{
    const bool samples = c->reduction.options.method == VITRT_REDUCTION_ATS;
    uint32_t tokens = d->patches;
    c->reduction.options.budget = 0;
    c->reduction.options.layer_count = 0;
    memset(c->reduction.layers, 0, sizeof(c->reduction.layers)); /* two schedules are compared by them */
    for (size_t i = 0; i < c->step_count; i++) {
        const struct step *step = &c->steps[i];
        vitrt_reduce_layer l = { .block = step->block, .rounds = step->rounds, .keep = keep_of(c, step, strength) };
        const uint32_t stay = (uint32_t)fmax(1, floor(tokens * l.keep)), leave = tokens - stay;
        if (!leave)
            continue;
        if (samples) {
            l.keep = 0;
            l.count = stay > 1 ? stay : 2;
        }
        if (c->reduction.options.method == VITRT_REDUCTION_ZERO_TPRUNE)
            l.similar = leave * step->similar / SIMILAR_PARTS;
        tokens = stay;
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
