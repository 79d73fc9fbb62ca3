/* SPDX-License-Identifier: Apache-2.0 */
/* vitrt_model_reduce: options and budgets; graphs are rewritten in reduce_graph.c, exits.c and halting.c. */
#include "exits.h"
#include "float_env.h"
#include "halting.h"
#include "model.h"
#include "ops.h"
#include "reduce_graph.h"
#include "token_map.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of a budget: every method but ToMe drops tokens in so many blocks, and shares are found to one in 2^12. */
#define DROPS 4
#define STEPS 12

#define MOST_HALTING 1e6

/* ---- Options ---- */

static uint32_t flags_of(vitrt_reduction method)
{
    switch (method) {
    case VITRT_REDUCTION_ATS: return VITRT_REDUCE_BY_HEAD;
    case VITRT_REDUCTION_ZERO_TPRUNE:
        return VITRT_REDUCE_UNIFORM_VOTES | VITRT_REDUCE_ALL_HEADS | VITRT_REDUCE_WHOLE_KEYS | VITRT_REDUCE_VOTE_AGAIN;
    case VITRT_REDUCTION_TOME: return VITRT_REDUCE_EQUAL_KEYS | VITRT_REDUCE_WHOLE_KEYS | VITRT_REDUCE_DROP_EARLY;
    case VITRT_REDUCTION_EVIT: return VITRT_REDUCE_FUSE;
    case VITRT_REDUCTION_UNIFORM:
    case VITRT_REDUCTION_RANDOM:
    case VITRT_REDUCTION_DTOP:
    case VITRT_REDUCTION_DYNAMICVIT:
    case VITRT_REDUCTION_A_VIT: break;
    }
    return 0;
}

/* A-ViT asks for no schedule; its two numbers are nobody else's. */
static vitrt_status check_halting(const vitrt_reduce_options *o, vitrt_error *err)
{
    if (o->method != VITRT_REDUCTION_A_VIT)
        return o->halting_scale != 0 || o->halting_center != 0
                   ? vt_err(err, VITRT_EINVAL, "the options have a halting_scale or halting_center, as only A-ViT has")
                   : VITRT_OK;
    if (o->layer_count || o->budget != 0)
        return vt_err(err, VITRT_EINVAL, "tokens may leave behind every block: expected neither layers nor a budget");
    return o->halting_scale >= 0 && o->halting_scale <= MOST_HALTING && fabs(o->halting_center) <= MOST_HALTING
               ? VITRT_OK
               : vt_err(err, VITRT_EINVAL,
                        "halting_scale is %g and halting_center %g, expected 0 to %g, and up to that in magnitude",
                        o->halting_scale, o->halting_center, MOST_HALTING);
}

static vitrt_status check_options(const vitrt_reduce_options *o, vitrt_error *err)
{
    if (!o || o->method < VITRT_REDUCTION_ATS || o->method > VITRT_REDUCTION_A_VIT)
        return vt_err(err, VITRT_EINVAL, "method %d of token reduction is none that this version knows",
                      o ? (int)o->method : 0);
    if (o->flags & ~flags_of(o->method) || o->reserved32)
        return vt_err(err, VITRT_EINVAL,
                      "the options have flags that are not of this method or reserved members that are not zero");
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++)
        if (o->reserved[i])
            return vt_err(err, VITRT_EINVAL, "reserved member %zu of the options is not zero", i);
    if (!o->height != !o->width || o->height > VITRT_MAX_INPUT_SIDE || o->width > VITRT_MAX_INPUT_SIDE)
        return vt_err(err, VITRT_EINVAL, "the input size is %ux%u, expected both sides, up to %u, or neither",
                      (unsigned)o->height, (unsigned)o->width, VITRT_MAX_INPUT_SIDE);
    const vitrt_status st = check_halting(o, err);
    if (st || o->method == VITRT_REDUCTION_A_VIT)
        return st;
    if (o->layer_count && !o->layers)
        return vt_err(err, VITRT_EINVAL, "layer_count is %zu but layers is NULL", o->layer_count);
    if ((o->layer_count > 0) == (o->budget != 0))
        return vt_err(err, VITRT_EINVAL, "expected either layers or a budget");
    if (!o->layer_count && o->method == VITRT_REDUCTION_DTOP)
        return vt_err(err, VITRT_EINVAL, "how many tokens leave is up to each image: expected layers, not a budget");
    if (!o->layer_count && !(o->budget > 0 && o->budget <= 1))
        return vt_err(err, VITRT_EINVAL, "the budget is %g of the multiply-adds, expected over 0 and up to 1",
                      o->budget);
    return VITRT_OK;
}

static bool has_reserved(const vitrt_reduce_layer *l)
{
    return l->reserved64[0] || l->reserved64[1];
}

static vitrt_status check_exit(const vitrt_reduce_layer *l, size_t i, vitrt_error *err)
{
    if (!(l->threshold > 0 && l->threshold <= 1))
        return vt_err(err, VITRT_EINVAL, "layer %zu has the threshold %g, expected over 0 and up to 1", i, l->threshold);
    return has_reserved(l) || l->similar || l->rounds || l->keep != 0
               ? vt_err(err, VITRT_EINVAL, "layer %zu has members that are not of this method", i)
               : VITRT_OK;
}

static vitrt_status check_layer(const struct vt_reduction *r, size_t i, vitrt_error *err)
{
    const vitrt_reduce_layer *l = &r->layers[i];
    const bool by_share = l->keep != 0;
    if (l->block >= r->block_count)
        return vt_err(err, VITRT_EINVAL, "layer %zu is for block %u, the model has blocks 0 to %zu", i,
                      (unsigned)l->block, r->block_count - 1);
    if (i && l->block <= l[-1].block)
        return vt_err(err, VITRT_EINVAL, "layer %zu is for block %u behind one for block %u, expected ascending ones",
                      i, (unsigned)l->block, (unsigned)l[-1].block);
    if (r->method == VITRT_REDUCTION_DTOP)
        return check_exit(l, i, err);
    if (by_share == (l->count != 0) || (by_share && !(l->keep > 0 && l->keep <= 1)))
        return vt_err(err, VITRT_EINVAL, "layer %zu keeps %g and has the count %u, expected a share over 0 and up to 1, "
                      "or a count",
                      i, l->keep, (unsigned)l->count);
    if (r->method == VITRT_REDUCTION_ATS && l->count == 1)
        return vt_err(err, VITRT_EINVAL, "layer %zu takes 1 sample, expected at least 2", i);
    if (has_reserved(l) || l->threshold != 0 || ((l->similar || l->rounds) && r->method != VITRT_REDUCTION_ZERO_TPRUNE))
        return vt_err(err, VITRT_EINVAL, "layer %zu has members that are not of this method", i);
    if (l->rounds > VT_MAX_ROUNDS)
        return vt_err(err, VITRT_EINVAL, "layer %zu has %u rounds of votes, expected up to %u", i, (unsigned)l->rounds,
                      VT_MAX_ROUNDS);
    return VITRT_OK;
}

/* Tokens whose attention ATS and EViT go by: the class token, and that of distillation where two heads are combined. */
static uint32_t class_tokens(const struct vt_graph *g, uint32_t prefix)
{
    for (size_t v = 0; v < g->node_count; v++)
        if (g->nodes[v].type == VT_NODE_HEAD_COMBINE && prefix > 1)
            return 2;
    return prefix ? 1 : 0;
}

static vitrt_status check_class_token(const vitrt_model *m, const struct vt_reduction *r, vitrt_error *err)
{
    const bool halts = r->method == VITRT_REDUCTION_A_VIT;
    const bool needs = r->method == VITRT_REDUCTION_ATS || r->method == VITRT_REDUCTION_EVIT || halts;
    return !needs || r->classes
               ? VITRT_OK
               : vt_err(err, VITRT_EINVAL, "%s: the method goes by %s, the model has none",
                        vt_checkpoint_path(m->checkpoint), halts ? "a class token" : "what a class token attends to");
}

/* ---- Models ---- */

typedef vitrt_status rewriter(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out);

static rewriter *rewriter_of(vitrt_reduction method)
{
    switch (method) {
    case VITRT_REDUCTION_DTOP:
    case VITRT_REDUCTION_DYNAMICVIT: return vt_reduce_by_exits;
    case VITRT_REDUCTION_A_VIT: return vt_reduce_by_halting;
    default: return vt_reduce_graph;
    }
}

static vitrt_status derive(const vitrt_model *m, const struct vt_reduction *r, const uint32_t size[2],
                           vitrt_model **out, vitrt_error *err)
{
    vitrt_model *d = vt_model_derive(m, err);
    if (!d)
        return VITRT_ENOMEM;
    vitrt_status st = rewriter_of(r->method)(&m->graph, r, &d->graph);
    d->graph.err = NULL;
    struct vt_shape *shapes = st ? NULL : vt_calloc(&m->alloc, d->graph.node_count, sizeof *shapes);
    if (!st)
        st = shapes ? vt_graph_shapes(&d->graph, size[0], size[1], shapes, err)
                    : vt_err_memory(err, d->graph.node_count * sizeof *shapes, "a reduced model");
    vt_free(&m->alloc, shapes, d->graph.node_count * sizeof *shapes);
    if (st)
        vitrt_model_free(d);
    else
        *out = d;
    return st;
}

/* ---- Budgets ---- */

static vitrt_status measure(const vitrt_model *m, const uint32_t size[2], uint64_t *macs, vitrt_error *err)
{
    const vitrt_session_options o = { .height = size[0], .width = size[1], .threads = 1 };
    vitrt_session_info info;
    const vitrt_status st = vitrt_session_measure(m, &o, &info, err);
    if (!st)
        *macs = info.macs_per_image;
    return st;
}

/* The usual blocks, each keeping the same share; returns how many. layers has room for all blocks. Drops are spread over
 * half of the blocks, from the first one on, or as much later as the budget is over a half, and ATS's later still: what the
 * class token attends to in the first blocks says little. Of Zero-TPrune's tokens that leave, three of four do so for
 * their similarity. All found with models/zoo/vit_s14_tin100 (docs/token_reduction.md). */
static size_t usual_layers(const struct vt_reduction *r, double budget, double keep, vitrt_reduce_layer *layers)
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

static size_t layers_for(const vitrt_model *m, const struct vt_reduction *r, double budget, double keep,
                         vitrt_reduce_layer *layers)
{
    return r->method == VITRT_REDUCTION_DYNAMICVIT ? predicted_layers(&m->graph, r, keep, layers)
                                                   : usual_layers(r, budget, keep, layers);
}

static vitrt_status meet_budget(const vitrt_model *m, struct vt_reduction *r, const vitrt_reduce_options *o,
                                const uint32_t size[2], vitrt_reduce_layer *layers, vitrt_model **out,
                                vitrt_error *err)
{
    uint64_t dense = 0, macs = 0;
    vitrt_status st = measure(m, size, &dense, err);
    uint32_t most = 0; /* of 2^STEPS: the largest share that is known to meet the budget */
    r->layers = layers;
    if (!st && !layers_for(m, r, o->budget, 1, layers))
        st = vt_err(err, VITRT_EINVAL, "%s: there is no output score.K, what a predictor before block K says of tokens",
                    vt_checkpoint_path(m->checkpoint));
    for (uint32_t step = 1u << STEPS; step && !st; step >>= 1) {
        vitrt_model *d = NULL;
        if (most + step > 1u << STEPS)
            continue;
        r->layer_count = layers_for(m, r, o->budget, (double)(most + step) / (1u << STEPS), layers);
        st = derive(m, r, size, &d, err);
        if (!st)
            st = measure(d, size, &macs, err);
        if (!st && (double)macs <= o->budget * (double)dense) {
            most += step;
            vitrt_model_free(*out);
            *out = d;
        } else {
            vitrt_model_free(d);
        }
    }
    if (!st && !*out)
        st = vt_err(err, VITRT_EINVAL, "%s: no schedule has %g of the multiply-adds or less: with a single token it is %g",
                    vt_checkpoint_path(m->checkpoint), o->budget, (double)macs / (double)dense);
    return st;
}

static vitrt_status reduce(const vitrt_model *m, const vitrt_reduce_options *o, struct vt_reduction *r,
                           const uint32_t size[2], vitrt_model **out, vitrt_error *err)
{
    vitrt_status st = check_class_token(m, r, err);
    for (size_t i = 0; i < o->layer_count && !st; i++)
        st = check_layer(r, i, err);
    if (st)
        return st;
    if (o->layer_count || r->method == VITRT_REDUCTION_A_VIT)
        return derive(m, r, size, out, err);
    vitrt_reduce_layer *layers = vt_calloc(&m->alloc, r->block_count, sizeof *layers);
    if (!layers)
        return vt_err_memory(err, r->block_count * sizeof *layers, "a schedule");
    st = meet_budget(m, r, o, size, layers, out, err);
    vt_free(&m->alloc, layers, r->block_count * sizeof *layers);
    if (st) {
        vitrt_model_free(*out);
        *out = NULL;
    }
    return st;
}

static vitrt_status find_and_reduce(const vitrt_model *m, const vitrt_reduce_options *o, vitrt_model **out,
                                    vitrt_error *err)
{
    const struct vt_graph *g = &m->graph;
    const uint32_t size[2] = { o->height ? o->height : m->default_size[0], o->width ? o->width : m->default_size[1] };
    struct vt_shape *shapes = vt_calloc(&m->alloc, g->node_count, sizeof *shapes);
    struct vt_block *blocks = NULL;
    struct vt_reduction r = { .method = o->method,
                              .layers = o->layers,
                              .layer_count = o->layer_count,
                              .flags = o->flags,
                              .seed = o->seed,
                              .halting_scale = o->halting_scale != 0 ? (float)o->halting_scale : 10,
                              .halting_center = o->halting_center != 0 ? (float)o->halting_center : 30 };
    if (!shapes)
        return vt_err_memory(err, g->node_count * sizeof *shapes, "a reduced model");
    vitrt_status st = vt_graph_shapes(g, size[0], size[1], shapes, err);
    if (!st)
        st = vt_find_blocks(g, shapes, &blocks, &r.block_count, &r.prefix, err);
    r.blocks = blocks;
    r.tokens = st ? 0 : vt_shape_rows(&shapes[blocks[0].in]) - r.prefix;
    r.classes = class_tokens(g, r.prefix);
    if (!st)
        st = reduce(m, o, &r, size, out, err);
    vt_free(&m->alloc, blocks, r.block_count * sizeof *blocks);
    vt_free(&m->alloc, shapes, g->node_count * sizeof *shapes);
    return st;
}

vitrt_status vitrt_model_reduce(const vitrt_model *m, const vitrt_reduce_options *o, vitrt_model **out,
                                vitrt_error *err)
{
    vt_float_env env;
    if (!out)
        return vt_err(err, VITRT_EINVAL, "out is NULL");
    *out = NULL;
    if (!m)
        return vt_err(err, VITRT_EINVAL, "the model is NULL");
    vitrt_status st = check_options(o, err);
    if (st)
        return st;
    vt_float_env_enter(&env);
    st = find_and_reduce(m, o, out, err);
    vt_float_env_leave(&env);
    return st;
}
