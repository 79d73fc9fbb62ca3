/* SPDX-License-Identifier: Apache-2.0 */
/* vitrt_model_reduce: what is asked for is checked; budgets are met in budget.c, models made in reduced_model.c. */
#include "budget.h"
#include "float_env.h"
#include "ops.h"
#include "reduced_model.h"

#include <math.h>
#include <string.h>

#define MOST_HALTING 1e6

/* ---- Options ---- */

static uint32_t flags_of(vitrt_reduction method)
{
    switch (method) {
    case VITRT_REDUCTION_ATS: return VITRT_REDUCE_BY_HEAD;
    case VITRT_REDUCTION_ZERO_TPRUNE:
        return VITRT_REDUCE_UNIFORM_VOTES | VITRT_REDUCE_ALL_HEADS | VITRT_REDUCE_WHOLE_KEYS | VITRT_REDUCE_VOTE_AGAIN;
    case VITRT_REDUCTION_TOME:
        return VITRT_REDUCE_EQUAL_KEYS | VITRT_REDUCE_WHOLE_KEYS | VITRT_REDUCE_DROP_EARLY | VITRT_REDUCE_BY_ATTENTION;
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
        return vt_err(err, VITRT_EINVAL, "the budget is %g of the %s, expected over 0 and up to 1", o->budget,
                      o->timed ? "time" : "multiply-adds");
    if (o->timed && (o->layer_count || o->method == VITRT_REDUCTION_ATS))
        return vt_err(err, VITRT_EINVAL, o->layer_count ? "a budget of time is asked for, but layers are given"
                                                        : "how much time ATS takes is up to each image: expected a "
                                                          "budget of multiply-adds, or layers");
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

/* What is made: a model, and if `layers` is not NULL its layers, as many as there is `room` for. */
struct reduced {
    vitrt_model *model;
    vitrt_reduce_layer *layers;
    size_t room, layer_count;
};

static void tell_layers(const struct vt_reduction *r, struct reduced *to)
{
    to->layer_count = r->layer_count;
    for (size_t i = 0; i < r->layer_count && i < to->room; i++)
        to->layers[i] = r->layers[i];
}

static vitrt_status reduce_to_budget(const vitrt_model *m, struct vt_reduction *r, const struct vt_budget *budget,
                                     struct reduced *to, vitrt_error *err)
{
    vitrt_reduce_layer *layers = vt_calloc(&m->alloc, r->block_count, sizeof *layers);
    if (!layers)
        return vt_err_memory(err, r->block_count * sizeof *layers, "a schedule");
    const vitrt_status st = vt_meet_budget(m, r, budget, layers, &to->model, err);
    if (!st)
        tell_layers(r, to);
    vt_free(&m->alloc, layers, r->block_count * sizeof *layers);
    return st;
}

static vitrt_status reduce(const vitrt_model *m, const vitrt_reduce_options *o, struct vt_reduction *r,
                           const uint32_t size[2], struct reduced *to, vitrt_error *err)
{
    vitrt_status st = check_class_token(m, r, err);
    for (size_t i = 0; i < o->layer_count && !st; i++)
        st = check_layer(r, i, err);
    if (st)
        return st;
    const struct vt_budget budget = { .share = o->budget, .size = size, .timed = o->timed };
    if (!o->layer_count && r->method != VITRT_REDUCTION_A_VIT)
        return reduce_to_budget(m, r, &budget, to, err);
    tell_layers(r, to);
    return vt_reduced_model(m, r, size, &to->model, err);
}

static vitrt_status find_and_reduce(const vitrt_model *m, const vitrt_reduce_options *o, struct reduced *to,
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
        st = reduce(m, o, &r, size, to, err);
    vt_free(&m->alloc, blocks, r.block_count * sizeof *blocks);
    vt_free(&m->alloc, shapes, g->node_count * sizeof *shapes);
    return st;
}

static vitrt_status check_and_reduce(const vitrt_model *m, const vitrt_reduce_options *o, struct reduced *to,
                                     vitrt_error *err)
{
    vt_float_env env;
    if (!m)
        return vt_err(err, VITRT_EINVAL, "the model is NULL");
    vitrt_status st = check_options(o, err);
    if (st)
        return st;
    vt_float_env_enter(&env);
    st = find_and_reduce(m, o, to, err);
    vt_float_env_leave(&env);
    return st;
}

vitrt_status vitrt_model_reduce(const vitrt_model *m, const vitrt_reduce_options *o, vitrt_model **out,
                                vitrt_error *err)
{
    struct reduced to = { 0 };
    if (!out)
        return vt_err(err, VITRT_EINVAL, "out is NULL");
    const vitrt_status st = check_and_reduce(m, o, &to, err);
    *out = to.model;
    return st;
}

vitrt_status vitrt_reduce_schedule(const vitrt_model *m, const vitrt_reduce_options *o, vitrt_reduce_layer *layers,
                                   size_t *count, vitrt_error *err)
{
    if (!count || (*count && !layers))
        return vt_err(err, VITRT_EINVAL, "%s is NULL", count ? "layers" : "count");
    struct reduced to = { .layers = layers, .room = *count };
    const vitrt_status st = check_and_reduce(m, o, &to, err);
    *count = to.layer_count;
    vitrt_model_free(to.model);
    return st;
}
