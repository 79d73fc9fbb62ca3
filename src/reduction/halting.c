/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A-ViT (Yin et al. 2022, arXiv:2112.07658). Behind block l each token's sum of parts grows by sigmoid(scale * x[0] -
 * center), up to 1, where the token halts; the last block gives what is left. The published code masks halted tokens as
 * keys, which is what their absence does, and computes on for an image whose class token has halted, which nobody reads.
 *
 * The mean of the class token is a sum over blocks of one row for each image, to which an image without rows adds 0.
 */
#include "halting.h"

#include "row_needs.h"
#include "vitrt.h"

#include <stdio.h>
#include <string.h>

#define LIMIT 0.99f /* 1 - epsilon of eq. 8, as published */

struct rewriting {
    const struct vt_graph *g;
    const struct vt_reduction *r;
    struct vt_graph *out;
    vt_value *moved; /* [g->node_count]: values of g in out */
    vt_value *maps;  /* [block_count], of the first `made` blocks */
    size_t made;
    vt_value end;    /* of g: what the last block yields, */
    vt_value last;   /* and of out */
    vt_value sums;   /* of the parts of all rows that there are, or VT_NO_VALUE before the first block; */
    vt_value mean;   /* and what they have made of the class token */
    vt_value stream; /* of the last block: the class token's row */
};

static const struct vt_block *last_block(const struct rewriting *w)
{
    return &w->r->blocks[w->r->block_count - 1];
}

/* A name for what belongs to the block that is being copied. */
static const char *name_of(const struct rewriting *w, const char *what, char name[VT_NAME_SIZE])
{
    snprintf(name, VT_NAME_SIZE, "%.40s.%s", w->g->nodes[w->r->blocks[w->made].attention].name, what);
    return name;
}

/* ---- The model as it is ---- */

/* The sum of the last block's MLP and what it is added to. */
static vt_value find_end(const struct rewriting *w)
{
    const vt_value mid = last_block(w)->mid;
    for (vt_value v = mid + 1; v < (vt_value)w->g->node_count; v++) {
        const struct vt_node *node = &w->g->nodes[v];
        if (node->type == VT_NODE_ADD && (node->in[0].value == mid || node->in[1].value == mid))
            return v;
    }
    vt_graph_fail(w->out, VITRT_EUNSUPPORTED, "tokens cannot halt: nothing is added to node %s of the last block",
                  w->g->nodes[mid].name);
    return VT_NO_VALUE;
}

static bool is_class_token(const struct vt_node *node)
{
    return node->type == VT_NODE_SLICE && !node->u.rows.first_row && node->u.rows.row_count == 1;
}

/* Behind the last block nobody may need another row than the first. all[node_count], zeros: has the value a row for each
 * token? */
static void check_head(struct rewriting *w, bool *all)
{
    all[w->end] = true;
    for (vt_value v = w->end + 1; v < (vt_value)w->g->node_count && !w->out->status; v++) {
        const struct vt_node *node = &w->g->nodes[v];
        for (uint32_t k = 0; k < node->in_count && !is_class_token(node); k++) {
            if (!all[node->in[k].value])
                continue;
            all[v] = true;
            if (!vt_row_by_row(node, k))
                vt_graph_fail(w->out, VITRT_EUNSUPPORTED,
                              "tokens cannot halt: node %s reads more of the last block than its class token",
                              node->name);
        }
    }
}

/* ---- New nodes ---- */

static vt_value add_score(struct rewriting *w, const char *what, enum vt_token_score kind, struct vt_view x,
                          vt_value second)
{
    char name[VT_NAME_SIZE];
    struct vt_node node = { .in = { x, vt_view_of(second) }, .in_count = second == VT_NO_VALUE ? 1 : 2 };
    node.u.token_score.kind = kind;
    node.u.token_score.scale = w->r->halting_scale;
    node.u.token_score.center = w->r->halting_center;
    node.u.token_score.limit = LIMIT;
    return vt_graph_token_score(w->out, name_of(w, what, name), &node);
}

static vt_value add_apply(struct rewriting *w, const char *what, struct vt_view x, vt_value map)
{
    char name[VT_NAME_SIZE];
    return w->out->status ? VT_NO_VALUE : vt_graph_apply(w->out, name_of(w, what, name), x, map, false);
}

/* Adds the block's part of the class token to its mean. */
static void add_to_mean(struct rewriting *w, vt_value x, vt_value sums)
{
    char name[VT_NAME_SIZE];
    const vt_value parts =
        w->sums == VT_NO_VALUE ? sums : add_score(w, "parts", VT_TOKEN_DIFFERENCE, vt_view_of(sums), w->sums);
    if (w->out->status)
        return;
    const vt_value part = vt_graph_pool(w->out, name_of(w, "class_part", name), vt_view_of(x), 0);
    vt_graph_set_pool_form(w->out, part, 1, true, false);
    vt_graph_set_pool_weights(w->out, part, vt_view_of(parts));
    w->mean = w->mean == VT_NO_VALUE || w->out->status
                  ? part
                  : vt_graph_add(w->out, name_of(w, "class_mean", name), vt_view_of(w->mean), vt_view_of(part));
}

static void add_places(struct rewriting *w, vt_value stream)
{
    char name[VT_NAME_SIZE];
    vt_value places = add_score(w, "number", VT_TOKEN_NUMBER, vt_view_of(stream), VT_NO_VALUE);
    for (size_t i = w->made + 1; i-- > 0 && !w->out->status;)
        places = vt_graph_scatter(w->out, name_of(w, "places", name), vt_view_of(places), w->maps[i], VT_NO_VALUE);
    snprintf(name, sizeof name, "tokens.%zu", w->made);
    if (!w->out->status)
        vt_graph_output(w->out, name, places);
}

/* Behind a block that is not the last one: rows whose sum is below 1 stay, while the class token's is. */
static void let_leave(struct rewriting *w, vt_value end, vt_value sums)
{
    char name[VT_NAME_SIZE];
    struct vt_node node = { .in = { vt_view_of(sums) }, .in_count = 1 };
    node.u.select.by = VT_SELECT_BELOW;
    node.u.select.keep = 1;
    node.u.select.threshold = 1;
    node.u.select.with_first = true;
    const vt_value map = vt_graph_select(w->out, name_of(w, "select", name), &node);
    w->maps[w->made] = map;
    w->moved[end] = add_apply(w, "reduced", vt_view_of(w->moved[end]), map);
    w->sums = add_apply(w, "sums", vt_view_of(sums), map);
    if (!w->out->status)
        add_places(w, w->moved[end]);
}

static void end_block(struct rewriting *w, vt_value end)
{
    const vt_value x = w->moved[end];
    const bool last = end == w->end;
    const struct vt_view from = last ? vt_view_of(x) : vt_view_columns(x, 0, 1);
    const vt_value sums = last ? add_score(w, "ones", VT_TOKEN_ONES, from, VT_NO_VALUE)
                               : add_score(w, "halting", VT_TOKEN_HALTING, from, w->sums);
    if (!w->out->status)
        add_to_mean(w, x, sums);
    if (w->out->status)
        return;
    if (last) {
        w->last = x;
        w->moved[end] = w->mean;
    } else {
        let_leave(w, end, sums);
    }
    w->made++;
}

/* In the last block only the class token attends: the first of equal scores, if there is one. */
static void cut_last(struct rewriting *w, struct vt_node *attention)
{
    char name[VT_NAME_SIZE];
    const vt_value in = w->moved[last_block(w)->in];
    const vt_value ones = add_score(w, "ones", VT_TOKEN_ONES, vt_view_of(in), VT_NO_VALUE);
    if (w->out->status)
        return;
    struct vt_node node = { .in = { vt_view_of(ones) }, .in_count = 1 };
    node.u.select.by = VT_SELECT_TOP;
    node.u.select.keep = node.u.select.count = 1;
    const vt_value map = vt_graph_select(w->out, name_of(w, "class_token", name), &node);
    const vt_value q = add_apply(w, "query", attention->in[0], map);
    w->stream = add_apply(w, "stream", vt_view_of(in), map);
    if (w->sums != VT_NO_VALUE)
        w->sums = add_apply(w, "sums", vt_view_of(w->sums), map);
    attention->in[0] = vt_view_columns(q, 0, attention->in[0].columns);
}

/* ---- Nodes ---- */

static bool is_end(const struct rewriting *w, vt_value v)
{
    return v == (w->made + 1 < w->r->block_count ? w->r->blocks[w->made + 1].in : w->end);
}

static void copy_node(struct rewriting *w, vt_value v)
{
    struct vt_node node = w->g->nodes[v];
    const struct vt_block *last = last_block(w);
    for (uint32_t k = 0; k < node.in_count; k++)
        node.in[k].value = v == last->mid && node.in[k].value == last->in ? w->stream : w->moved[node.in[k].value];
    if (v == last->attention)
        cut_last(w, &node);
    w->moved[v] = vt_graph_copy_node(w->out, &node);
    if (!w->out->status && w->made < w->r->block_count && is_end(w, v))
        end_block(w, v);
}

static void rewrite(struct rewriting *w, bool *all)
{
    w->end = find_end(w);
    if (!w->out->status)
        check_head(w, all);
    for (vt_value v = 0; v < (vt_value)w->g->node_count && !w->out->status; v++)
        copy_node(w, v);
    for (size_t i = 0; i < w->g->output_count && !w->out->status; i++) {
        const struct vt_graph_output *o = &w->g->outputs[i];
        const bool row = o->value == w->end && !strncmp(o->name, "block.", 6);
        vt_graph_output(w->out, o->name, row ? w->last : w->moved[o->value]);
    }
}

vitrt_status vt_reduce_by_halting(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out)
{
    struct rewriting w = { .g = g, .r = r, .out = out, .sums = VT_NO_VALUE, .mean = VT_NO_VALUE };
    bool *all = vt_calloc(&out->alloc, g->node_count, sizeof *all);
    w.moved = vt_calloc(&out->alloc, g->node_count, sizeof *w.moved);
    w.maps = vt_calloc(&out->alloc, r->block_count, sizeof *w.maps);
    if (all && w.moved && w.maps)
        rewrite(&w, all);
    else
        vt_graph_fail(out, VITRT_ENOMEM, "there is no memory for a reduced model");
    vt_free(&out->alloc, w.maps, r->block_count * sizeof *w.maps);
    vt_free(&out->alloc, w.moved, g->node_count * sizeof *w.moved);
    vt_free(&out->alloc, all, g->node_count * sizeof *all);
    return out->status;
}
