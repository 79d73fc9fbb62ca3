/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where tokens leave. ATS, and EViT without a fused token, need nothing but what the class token attends to, and ToMe,
 * where tokens leave that it would merge, nothing but keys: rows are chosen before the queries of the others exist, and
 * only those that stay attend, to all keys. All other methods choose behind attention, before the MLP.
 */
#include "reduce_graph.h"

#include "vitrt.h"

#include <stdio.h>
#include <string.h>

/* Of what a token stands for, this share is passed on to the most similar one where it leaves instead of being merged.
 * For models/zoo/vit_s14_tin100 0.3 to 0.5 are equally good; with none, or all of it, logits are further off. */
#define PASSED 0.4f

struct rewriting {
    const struct vt_graph *g;
    const struct vt_reduction *r;
    struct vt_graph *out;
    vt_value *moved;   /* [g->node_count]: values of g in out */
    vt_value *maps;    /* [layer_count]: those made so far, */
    size_t map_count;
    vt_value sizes;    /* of merged tokens: how many each row stands for, and the logarithm; or VT_NO_VALUE */
    vt_value log_sizes;
    vt_value map;      /* of the block that is being rewritten, whose stream is still to be cut; or VT_NO_VALUE */
    vt_value stream;   /* cut, before the block's nodes, so that the sum is fused with the projection */
};

/* "<name of the node>.<what>" */
static const char *name_of(const struct rewriting *w, vt_value like, const char *what, char name[VT_NAME_SIZE])
{
    snprintf(name, VT_NAME_SIZE, "%.40s.%s", w->g->nodes[like].name, what);
    return name;
}

static const struct vt_block *block_of(const struct rewriting *w, vt_value v, bool at_attention)
{
    for (size_t i = 0; i < w->r->block_count; i++)
        if ((at_attention ? w->r->blocks[i].attention : w->r->blocks[i].mid) == v)
            return &w->r->blocks[i];
    return NULL;
}

/* What the block is to do, or NULL. */
static const vitrt_reduce_layer *layer_of(const struct rewriting *w, const struct vt_block *b)
{
    for (size_t i = 0; b && i < w->r->layer_count; i++)
        if (&w->r->blocks[w->r->layers[i].block] == b)
            return &w->r->layers[i];
    return NULL;
}

/* Tokens leave there that ToMe would merge. */
static bool drops(const struct vt_reduction *r, const vitrt_reduce_layer *layer)
{
    return r->flags & VITRT_REDUCE_DROP_EARLY && layer->block < r->block_count / 3;
}

static bool is_early(const struct vt_reduction *r, const vitrt_reduce_layer *layer)
{
    switch (r->method) {
    case VITRT_REDUCTION_ATS: return true;
    case VITRT_REDUCTION_EVIT: return !(r->flags & VITRT_REDUCE_FUSE);
    case VITRT_REDUCTION_TOME: return drops(r, layer);
    default: return false;
    }
}

/* ---- Scores and maps ---- */

static vt_value add_score(struct rewriting *w, vt_value like, enum vt_token_score kind, struct vt_view first,
                          const struct vt_view *second)
{
    char name[VT_NAME_SIZE];
    struct vt_node node = { .in = { first }, .in_count = 1 };
    if (second)
        node.in[node.in_count++] = *second;
    node.u.token_score.kind = kind;
    if (kind == VT_TOKEN_VOTES) {
        node.u.token_score.boost = w->r->flags & VITRT_REDUCE_UNIFORM_VOTES ? 1 : 0;
        node.u.token_score.lowest = w->r->flags & VITRT_REDUCE_ALL_HEADS ? 0.0f : 0.01f;
        node.u.token_score.highest = w->r->flags & VITRT_REDUCE_ALL_HEADS ? 0.0f : 0.7f;
    }
    return vt_graph_token_score(w->out, name_of(w, like, "score", name), &node);
}

static vt_value add_select(struct rewriting *w, vt_value like, const vitrt_reduce_layer *layer, struct vt_node *node)
{
    char name[VT_NAME_SIZE];
    node->u.select.protect = w->r->prefix;
    node->u.select.keep = layer->keep > 0 ? layer->keep : 1;
    node->u.select.count = layer->count;
    node->u.select.up = w->r->method == VITRT_REDUCTION_EVIT;
    node->u.select.seed = w->r->seed + layer->block;
    return vt_graph_select(w->out, name_of(w, like, "select", name), node);
}

static vt_value add_apply(struct rewriting *w, struct vt_view x, vt_value map, vt_value like, const char *what,
                          bool sum)
{
    char name[VT_NAME_SIZE];
    return w->out->status ? VT_NO_VALUE : vt_graph_apply(w->out, name_of(w, like, what, name), x, map, sum);
}

/* What the class token, or both, give to each token: attention from these rows alone. */
static vt_value class_scores(struct rewriting *w, const struct vt_node *attention, vt_value like)
{
    char name[VT_NAME_SIZE];
    const vt_value q = vt_graph_slice(w->out, name_of(w, like, "class_query", name), attention->in[0], 0,
                                      w->r->classes);
    struct vt_node from_class = *attention;
    from_class.in[0] = vt_view_columns(q, 0, attention->in[0].columns);
    const vt_value a = vt_graph_copy_node(w->out, &from_class);
    return w->out->status ? VT_NO_VALUE : vt_graph_attention_scores(w->out, name_of(w, like, "class_scores", name), a,
                                     w->r->classes > 1 ? VT_SCORES_COLUMN_SUMS : VT_SCORES_FIRST_ROW);
}

/* The same of attention that all tokens take part in, which gives what its first row does beside its output; without a
 * class token, what all of them give. */
static vt_value class_scores_behind(struct rewriting *w, vt_value attention, vt_value like)
{
    char name[VT_NAME_SIZE];
    const struct vt_node node = w->out->nodes[attention];
    return w->r->classes > 1 ? class_scores(w, &node, like)
                             : vt_graph_attention_scores(w->out, name_of(w, like, "class_scores", name), attention,
                                                         w->r->classes ? VT_SCORES_FIRST_ROW : VT_SCORES_COLUMN_SUMS);
}

/* What EViT goes by: the mean over the heads. */
static struct vt_view class_importance(struct rewriting *w, vt_value attention, vt_value like)
{
    const vt_value scores = class_scores_behind(w, attention, like);
    return vt_view_of(w->out->status ? VT_NO_VALUE : add_score(w, like, VT_TOKEN_MEAN, vt_view_of(scores), NULL));
}

/* How many parts of keys are averaged before they are compared. */
static uint32_t key_groups(const struct rewriting *w, const struct vt_node *attention)
{
    return w->r->flags & VITRT_REDUCE_WHOLE_KEYS ? 1 : attention->u.attention.heads;
}

/* How many tokens each row of the block stands for. */
static vt_value sizes_of(struct rewriting *w, const struct vt_block *b)
{
    if (w->sizes == VT_NO_VALUE)
        w->sizes = add_score(w, b->mid, VT_TOKEN_ONES, vt_view_of(w->moved[b->in]), NULL);
    return w->sizes;
}

static vt_value early_match(struct rewriting *w, const struct vt_node *attention, vt_value like,
                            const vitrt_reduce_layer *layer)
{
    struct vt_node node = { .in = { attention->in[1] }, .in_count = 1 };
    node.u.select.by = VT_SELECT_MATCH;
    node.u.select.groups = key_groups(w, attention);
    node.u.select.drop = true;
    node.u.select.passed = PASSED;
    return add_select(w, like, layer, &node);
}

/* Makes select one of tokens that become one with others. */
static void select_merged(struct rewriting *w, const struct vt_block *b, vt_value attention, struct vt_node *select)
{
    select->u.select.by = VT_SELECT_MATCH;
    select->in[0] = w->out->nodes[attention].in[1];
    select->in[select->in_count++] = vt_view_of(sizes_of(w, b));
    if (w->r->flags & VITRT_REDUCE_BY_ATTENTION)
        select->in[select->in_count++] = class_importance(w, attention, b->attention);
}

static vt_value early_map(struct rewriting *w, const struct vt_node *attention, vt_value like,
                          const vitrt_reduce_layer *layer)
{
    const bool ats = w->r->method == VITRT_REDUCTION_ATS, by_head = w->r->flags & VITRT_REDUCE_BY_HEAD;
    const vt_value scores = class_scores(w, attention, like);
    if (scores == VT_NO_VALUE)
        return VT_NO_VALUE;
    struct vt_node node = { .in_count = 1 };
    node.in[0] = vt_view_of(add_score(w, like,
                                      !ats      ? VT_TOKEN_MEAN
                                      : by_head ? VT_TOKEN_HEAD_VALUES
                                                : VT_TOKEN_VALUES,
                                      vt_view_of(scores), ats ? &attention->in[2] : NULL));
    node.u.select.by = ats ? VT_SELECT_SAMPLES : VT_SELECT_TOP;
    node.u.select.in_order = ats && by_head;
    return w->out->status ? VT_NO_VALUE : add_select(w, like, layer, &node);
}

static bool votes_are_uniform(const struct rewriting *w)
{
    return w->r->flags & VITRT_REDUCE_UNIFORM_VOTES || !w->r->prefix;
}

static vt_value one_vote(struct rewriting *w, vt_value attention, vt_value like)
{
    char name[VT_NAME_SIZE];
    const bool uniform = votes_are_uniform(w);
    const vt_value sums = vt_graph_attention_scores(w->out, name_of(w, like, "votes", name), attention,
                                                    VT_SCORES_COLUMN_SUMS),
                   first = uniform ? VT_NO_VALUE
                                   : vt_graph_attention_scores(w->out, name_of(w, like, "class_scores", name),
                                                               attention, VT_SCORES_FIRST_ROW);
    const struct vt_view boosted = vt_view_of(first);
    return w->out->status ? VT_NO_VALUE
                          : add_score(w, like, VT_TOKEN_VOTES, vt_view_of(sums), uniform ? NULL : &boosted);
}

static vt_value many_votes(struct rewriting *w, vt_value attention, vt_value like, uint32_t rounds)
{
    char name[VT_NAME_SIZE];
    struct vt_node node = { .in = { vt_view_of(attention) }, .in_count = 1 };
    node.u.scores.kind = VT_SCORES_VOTES;
    node.u.scores.rounds = rounds;
    node.u.scores.boost = votes_are_uniform(w) ? 1 : 0;
    const vt_value votes = vt_graph_scores_like(w->out, name_of(w, like, "votes", name), &node);
    return w->out->status ? VT_NO_VALUE : add_score(w, like, VT_TOKEN_VOTES, vt_view_of(votes), NULL);
}

/* Votes of the rows that a map leaves among themselves, where these rows were: over fewer keys softmax gives their
 * probabilities brought to a sum of 1. Nobody reads the output of this attention. */
static vt_value votes_of_rest(struct rewriting *w, vt_value attention, vt_value like, uint32_t rounds, vt_value map)
{
    char name[VT_NAME_SIZE];
    struct vt_node again = w->out->nodes[attention];
    for (uint32_t k = 0; k < again.in_count; k++)
        again.in[k] = vt_view_columns(add_apply(w, again.in[k], map, like, "rest", false), 0, again.in[k].columns);
    const vt_value a = w->out->status ? VT_NO_VALUE : vt_graph_copy_node(w->out, &again);
    if (w->out->status)
        return VT_NO_VALUE;
    const vt_value score = rounds > 1 ? many_votes(w, a, like, rounds) : one_vote(w, a, like);
    return w->out->status
               ? VT_NO_VALUE
               : vt_graph_scatter(w->out, name_of(w, like, "rest_score", name), vt_view_of(score), map, VT_NO_VALUE);
}

/* Makes select one by votes. What leaves for its similarity goes by one round. */
static void select_voted(struct rewriting *w, vt_value attention, vt_value like, const vitrt_reduce_layer *layer,
                         struct vt_node *select)
{
    const bool similar = layer->similar > 0, many = layer->rounds > 1;
    const vt_value one = similar || !many ? one_vote(w, attention, like) : VT_NO_VALUE;
    vt_value last = one;
    select->u.select.by = VT_SELECT_TOP;
    select->u.select.similar = layer->similar;
    select->in[0] = vt_view_of(one);
    if (similar)
        select->in[select->in_count++] = w->out->nodes[attention].in[1];
    if (similar && w->r->flags & VITRT_REDUCE_VOTE_AGAIN) {
        const vitrt_reduce_layer all = { .block = layer->block, .keep = 1 };
        last = votes_of_rest(w, attention, like, layer->rounds, add_select(w, like, &all, select));
    } else if (many) {
        last = many_votes(w, attention, like, layer->rounds);
    }
    select->in[0] = vt_view_of(last);
    if (similar && last != one)
        select->in[select->in_count++] = vt_view_of(one);
}

static vt_value late_map(struct rewriting *w, const struct vt_block *b, const vitrt_reduce_layer *layer)
{
    const vt_value attention = w->moved[b->attention];
    struct vt_node node = { .in_count = 1 };
    node.u.select.groups = key_groups(w, &w->g->nodes[b->attention]);
    node.in[0] = vt_view_of(w->moved[b->mid]);
    switch (w->r->method) {
    case VITRT_REDUCTION_TOME: select_merged(w, b, attention, &node); break;
    case VITRT_REDUCTION_ZERO_TPRUNE: select_voted(w, attention, b->attention, layer, &node); break;
    case VITRT_REDUCTION_EVIT:
        node.u.select.by = VT_SELECT_TOP;
        node.u.select.fuse = true;
        node.in[0] = class_importance(w, attention, b->attention);
        break;
    case VITRT_REDUCTION_RANDOM: node.u.select.by = VT_SELECT_RANDOM; break;
    default: node.u.select.by = VT_SELECT_EVEN; break;
    }
    return w->out->status ? VT_NO_VALUE : add_select(w, b->attention, layer, &node);
}

/* ---- The stream ---- */

/* The sizes behind a map by which tokens become one with others, or leave for them. */
static void merge_sizes(struct rewriting *w, const struct vt_block *b, vt_value map)
{
    if (w->out->status || w->r->method != VITRT_REDUCTION_TOME)
        return;
    w->sizes = add_apply(w, vt_view_of(sizes_of(w, b)), map, b->mid, "sizes", true);
    if (!w->out->status && !(w->r->flags & VITRT_REDUCE_EQUAL_KEYS))
        w->log_sizes = add_score(w, b->mid, VT_TOKEN_LOGARITHM, vt_view_of(w->sizes), NULL);
}

/* The place of each of the input's tokens behind the map made last. */
static void add_places(struct rewriting *w, vt_value stream, uint32_t block)
{
    char name[VT_NAME_SIZE];
    const vt_value like = w->r->blocks[block].attention;
    vt_value places = add_score(w, like, VT_TOKEN_NUMBER, vt_view_of(stream), NULL);
    for (size_t i = w->map_count; i-- > 0 && !w->out->status;)
        places = vt_graph_scatter(w->out, name_of(w, like, "places", name), vt_view_of(places), w->maps[i],
                                  VT_NO_VALUE);
    snprintf(name, sizeof name, "tokens.%u", (unsigned)block);
    if (!w->out->status)
        vt_graph_output(w->out, name, places);
}

/* Behind the sum of the stream and what attention adds to it. */
static void reduce_stream(struct rewriting *w, const struct vt_block *b)
{
    const vitrt_reduce_layer *layer = layer_of(w, b);
    if (!layer || w->out->status)
        return;
    vt_value map = w->map;
    if (map == VT_NO_VALUE) {
        map = late_map(w, b, layer);
        w->moved[b->mid] = add_apply(w, vt_view_of(w->moved[b->mid]), map, b->mid, "reduced", false);
    }
    w->map = VT_NO_VALUE;
    merge_sizes(w, b, map);
    if (w->out->status)
        return;
    w->maps[w->map_count++] = map;
    add_places(w, w->moved[b->mid], layer->block);
}

/* ---- Nodes ---- */

/* Attention from the rows that stay; the stream is cut where its output is added to it. */
static void reduce_queries(struct rewriting *w, struct vt_node *node, vt_value v)
{
    const struct vt_block *b = block_of(w, v, true);
    const vitrt_reduce_layer *layer = layer_of(w, b);
    if (!layer || !is_early(w->r, layer))
        return;
    w->map = w->r->method == VITRT_REDUCTION_TOME ? early_match(w, node, v, layer) : early_map(w, node, v, layer);
    const vt_value q = add_apply(w, node->in[0], w->map, v, "query", false);
    w->stream = add_apply(w, vt_view_of(w->moved[b->in]), w->map, b->mid, "stream", false);
    node->in[0] = vt_view_columns(q, 0, node->in[0].columns);
}

static void cut_stream(struct rewriting *w, struct vt_node *node, vt_value v)
{
    const struct vt_block *b = block_of(w, v, false);
    for (uint32_t k = 0; k < 2 && b && w->map != VT_NO_VALUE; k++)
        if (w->g->nodes[v].in[k].value == b->in)
            node->in[k].value = w->stream;
}

static void copy_node(struct rewriting *w, vt_value v)
{
    struct vt_node node = w->g->nodes[v];
    for (uint32_t k = 0; k < node.in_count; k++)
        node.in[k].value = w->moved[node.in[k].value];
    if (node.type == VT_NODE_ATTENTION)
        reduce_queries(w, &node, v);
    cut_stream(w, &node, v);
    w->moved[v] = vt_graph_copy_node(w->out, &node);
    if (w->out->status)
        return;
    if (node.type == VT_NODE_ATTENTION && w->log_sizes != VT_NO_VALUE)
        vt_graph_set_key_bias(w->out, w->moved[v], vt_view_of(w->log_sizes));
    if (node.type == VT_NODE_POOL && w->sizes != VT_NO_VALUE)
        vt_graph_set_pool_weights(w->out, w->moved[v], vt_view_of(w->sizes));
    const struct vt_block *b = block_of(w, v, false);
    if (b)
        reduce_stream(w, b);
}

vitrt_status vt_reduce_graph(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out)
{
    struct rewriting w = { .g = g,
                           .r = r,
                           .out = out,
                           .sizes = VT_NO_VALUE,
                           .log_sizes = VT_NO_VALUE,
                           .map = VT_NO_VALUE };
    w.moved = vt_calloc(&out->alloc, g->node_count, sizeof *w.moved);
    w.maps = vt_calloc(&out->alloc, r->layer_count, sizeof *w.maps);
    if (!w.moved || !w.maps)
        vt_graph_fail(out, VITRT_ENOMEM, "there is no memory for a reduced model");
    for (size_t v = 0; v < g->node_count && !out->status; v++)
        copy_node(&w, (vt_value)v);
    for (size_t i = 0; i < g->output_count && !out->status; i++)
        vt_graph_output(out, g->outputs[i].name, w.moved[g->outputs[i].value]);
    vt_free(&out->alloc, w.maps, r->layer_count * sizeof *w.maps);
    vt_free(&out->alloc, w.moved, g->node_count * sizeof *w.moved);
    return out->status;
}
