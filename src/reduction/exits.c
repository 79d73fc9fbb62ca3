/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map cuts the stream that a block reads by a value that is made of that stream, whole, before: the output of a head
 * or a predictor, whose nodes are brought forward.
 *
 * DynamicViT (Rao et al. 2021, arXiv:2106.02034): "score.K" is made before block K, which reads what is left.
 *
 * Dynamic token pruning (Tang et al. 2023, arXiv:2308.01045) with heads that work token by token: "head.K" is made
 * behind block K, and block K + 1 reads what is left. What a later head says of the tokens that are left is put over
 * what the heads before said of all they saw: a canvas of the whole image, which is what readers of that head's logits
 * get.
 */
#include "exits.h"

#include "vitrt.h"

#include <stdio.h>
#include <string.h>

struct exit {
    vt_value stream, head;       /* of g: what a block reads, and the value by which tokens leave it */
    vt_value map, logits, whole; /* of out, once they are made: for the rows of the map the head's value, and the stream
                                    before it is cut */
};

struct rewriting {
    const struct vt_graph *g;
    const struct vt_reduction *r;
    struct vt_graph *out;
    vt_value *moved;   /* [g->node_count]: values of g in out, VT_NO_VALUE before */
    bool *wanted;      /* [g->node_count]: between a stream and its head */
    struct exit *exits; /* [r->layer_count] */
    size_t made;        /* of them, in their order */
    vt_value last;      /* node of out, as it was before what it yields was put on the canvas */
};

static bool is_dtop(const struct rewriting *w)
{
    return w->r->method == VITRT_REDUCTION_DTOP;
}

static const char *name_of(const struct rewriting *w, vt_value like, const char *what, char name[VT_NAME_SIZE])
{
    snprintf(name, VT_NAME_SIZE, "%.40s.%s", w->g->nodes[like].name, what);
    return name;
}

/* ---- Heads ---- */

/* What an output is of before rows are cut from it, such as the class token's. */
static vt_value uncut(const struct vt_graph *g, vt_value v)
{
    while (v != VT_NO_VALUE && g->nodes[v].type == VT_NODE_SLICE &&
           g->nodes[v].in[0].columns == g->nodes[g->nodes[v].in[0].value].columns)
        v = g->nodes[v].in[0].value;
    return v;
}

static bool is_logits(const struct vt_graph *g, vt_value v)
{
    for (size_t i = 0; i < g->output_count; i++) {
        const char *name = g->outputs[i].name;
        if ((!strcmp(name, "segmentation") || !strncmp(name, "head.", 5)) && uncut(g, g->outputs[i].value) == v)
            return true;
    }
    return false;
}

static void find_exit(struct rewriting *w, size_t i)
{
    const uint32_t block = w->r->layers[i].block, reader = is_dtop(w) ? block + 1 : block;
    char name[VT_NAME_SIZE];
    snprintf(name, sizeof name, is_dtop(w) ? "head.%u" : "score.%u", (unsigned)block);
    w->exits[i].head = uncut(w->g, vt_graph_find_output(w->g, name));
    if (w->exits[i].head == VT_NO_VALUE)
        vt_graph_fail(w->out, VITRT_EINVAL,
                      "layer %zu is for block %u, but there is no output %s: tokens leave by what a %s", i,
                      (unsigned)block, name,
                      is_dtop(w) ? "head behind the block says of their classes" : "predictor before the block says");
    else if (reader == w->r->block_count)
        vt_graph_fail(w->out, VITRT_EINVAL, "layer %zu is for block %u, behind which there is no other", i,
                      (unsigned)block);
    else
        w->exits[i].stream = w->r->blocks[reader].in;
}

/* ---- Nodes ---- */

/* Rows that are left, where they were: the others as the heads before said, or 0. */
static vt_value put_back(struct rewriting *w, vt_value x, vt_value like, const char *what, bool logits)
{
    char name[VT_NAME_SIZE];
    for (size_t i = w->made; i-- > 0 && !w->out->status;)
        x = vt_graph_scatter(w->out, name_of(w, like, what, name), vt_view_of(x), w->exits[i].map,
                             logits ? w->exits[i].logits : VT_NO_VALUE);
    return x;
}

static void copy_node(struct rewriting *w, vt_value v)
{
    struct vt_node node = w->g->nodes[v];
    if (w->out->status || w->moved[v] != VT_NO_VALUE)
        return;
    for (uint32_t k = 0; k < node.in_count; k++)
        node.in[k].value = w->moved[node.in[k].value];
    w->moved[v] = w->last = vt_graph_copy_node(w->out, &node);
    if (!w->out->status && is_dtop(w) && is_logits(w->g, v))
        w->moved[v] = put_back(w, w->moved[v], v, "canvas", true);
}

/* The nodes from the stream to the head, which may stand anywhere behind it. False: it is no head of this stream. */
static bool mark_head(struct rewriting *w, const struct exit *e)
{
    memset(w->wanted, 0, w->g->node_count * sizeof *w->wanted);
    w->wanted[e->head] = true;
    for (vt_value v = e->head; v > e->stream; v--) {
        const struct vt_node *node = &w->g->nodes[v];
        if (w->wanted[v] && node->type == VT_NODE_ATTENTION)
            return false;
        for (uint32_t k = 0; k < node->in_count && w->wanted[v]; k++)
            w->wanted[node->in[k].value] = true;
    }
    return e->head > e->stream && w->wanted[e->stream];
}

static void copy_head(struct rewriting *w, struct exit *e, uint32_t block)
{
    if (!mark_head(w, e)) {
        vt_graph_fail(w->out, VITRT_EUNSUPPORTED, "tokens cannot leave %s block %u: node %s %s",
                      is_dtop(w) ? "behind" : "before", (unsigned)block, w->g->nodes[e->head].name,
                      is_dtop(w) ? "does not go by each of its tokens alone" : "is not made of what the block reads");
        return;
    }
    for (vt_value v = e->stream + 1; v <= e->head; v++)
        if (w->wanted[v])
            copy_node(w, v);
    e->logits = w->last;
}

/* Numbers of the tokens that are left, where the input has them. */
static void add_places(struct rewriting *w, const struct exit *e, uint32_t block)
{
    char name[VT_NAME_SIZE];
    struct vt_node node = { .in = { vt_view_of(w->moved[e->stream]) }, .in_count = 1 };
    node.u.token_score.kind = VT_TOKEN_NUMBER;
    const vt_value numbers = vt_graph_token_score(w->out, name_of(w, e->head, "number", name), &node);
    const vt_value places = put_back(w, numbers, e->head, "places", false);
    snprintf(name, sizeof name, "tokens.%u", (unsigned)block);
    if (!w->out->status)
        vt_graph_output(w->out, name, places);
}

static vt_value add_map(struct rewriting *w, const struct exit *e, const vitrt_reduce_layer *layer)
{
    char name[VT_NAME_SIZE];
    struct vt_node node = { .in = { vt_view_of(e->logits) }, .in_count = 1 };
    node.u.select.protect = w->r->prefix;
    node.u.select.keep = layer->keep > 0 ? layer->keep : 1;
    if (is_dtop(w)) {
        node.u.select.by = VT_SELECT_UNSURE;
        node.u.select.threshold = (float)layer->threshold;
        node.u.select.context = layer->count;
    } else {
        node.u.select.by = VT_SELECT_TOP;
        node.u.select.count = layer->count;
    }
    return vt_graph_select(w->out, name_of(w, e->head, "select", name), &node);
}

static void make_exit(struct rewriting *w)
{
    const vitrt_reduce_layer *layer = &w->r->layers[w->made];
    struct exit *e = &w->exits[w->made];
    char name[VT_NAME_SIZE];
    copy_head(w, e, layer->block);
    if (w->out->status)
        return;
    e->whole = w->moved[e->stream];
    e->map = add_map(w, e, layer);
    if (!w->out->status)
        w->moved[e->stream] = vt_graph_apply(w->out, name_of(w, e->head, "reduced", name),
                                             vt_view_of(w->moved[e->stream]), e->map, false);
    w->made++;
    if (!w->out->status)
        add_places(w, e, layer->block);
}

/* What is cut before a block is whole as the output of the block before. */
static vt_value output_of(const struct rewriting *w, vt_value v)
{
    for (size_t i = 0; i < w->made && !is_dtop(w); i++)
        if (w->exits[i].stream == v)
            return w->exits[i].whole;
    return w->moved[v];
}

static void rewrite(struct rewriting *w)
{
    for (size_t v = 0; v < w->g->node_count; v++)
        w->moved[v] = VT_NO_VALUE;
    if (is_dtop(w) && vt_graph_find_output(w->g, "segmentation") == VT_NO_VALUE)
        vt_graph_fail(w->out, VITRT_EUNSUPPORTED,
                      "there is no output segmentation, the classes of tokens that those which leave get earlier");
    for (size_t i = 0; i < w->r->layer_count && !w->out->status; i++)
        find_exit(w, i);
    for (vt_value v = 0; v < (vt_value)w->g->node_count && !w->out->status; v++) {
        copy_node(w, v);
        if (!w->out->status && w->made < w->r->layer_count && w->exits[w->made].stream == v)
            make_exit(w);
    }
    for (size_t i = 0; i < w->g->output_count && !w->out->status; i++)
        vt_graph_output(w->out, w->g->outputs[i].name, output_of(w, w->g->outputs[i].value));
}

vitrt_status vt_reduce_by_exits(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out)
{
    struct rewriting w = { .g = g, .r = r, .out = out, .last = VT_NO_VALUE };
    w.moved = vt_calloc(&out->alloc, g->node_count, sizeof *w.moved);
    w.wanted = vt_calloc(&out->alloc, g->node_count, sizeof *w.wanted);
    w.exits = vt_calloc(&out->alloc, r->layer_count, sizeof *w.exits);
    if (w.moved && w.wanted && w.exits)
        rewrite(&w);
    else
        vt_graph_fail(out, VITRT_ENOMEM, "there is no memory for a reduced model");
    vt_free(&out->alloc, w.exits, r->layer_count * sizeof *w.exits);
    vt_free(&out->alloc, w.wanted, g->node_count * sizeof *w.wanted);
    vt_free(&out->alloc, w.moved, g->node_count * sizeof *w.moved);
    return out->status;
}
