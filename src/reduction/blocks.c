/* SPDX-License-Identifier: Apache-2.0 */
/* See blocks.h. */
#include "blocks.h"

static vitrt_status refuse(const struct vt_graph *g, vt_value v, const char *why, vitrt_error *err)
{
    return vt_err(err, VITRT_EUNSUPPORTED, "%s: tokens cannot leave this model: node %s %s",
                  vt_checkpoint_path(g->checkpoint), g->nodes[v].name, why);
}

/* What asks for all tokens of a map in their places. */
static const char *reason_against(const struct vt_node *node, bool after_attention)
{
    if (node->type == VT_NODE_WINDOWS)
        return "attends in windows of a map, which needs all of its tokens";
    if (vt_bias_input(node))
        return "has a relative bias, which is for all tokens of a map";
    if (vt_gate_input(node) || vt_is_clipped(node))
        return "has a gate or clips its probabilities";
    if (node->type == VT_NODE_CONV2D && after_attention)
        return "convolves a map between blocks, which needs all of its tokens";
    if (node->type == VT_NODE_APPLY)
        return "reduces them already";
    return NULL;
}

static vitrt_status check_nodes(const struct vt_graph *g, size_t *attentions, vitrt_error *err)
{
    *attentions = 0;
    for (size_t v = 0; v < g->node_count; v++) {
        const char *reason = reason_against(&g->nodes[v], *attentions > 0);
        if (reason)
            return refuse(g, (vt_value)v, reason, err);
        *attentions += g->nodes[v].type == VT_NODE_ATTENTION;
    }
    return *attentions ? VITRT_OK
                       : vt_err(err, VITRT_EUNSUPPORTED, "%s: there is no attention that tokens could leave by",
                                vt_checkpoint_path(g->checkpoint));
}

/* The only node that reads v, or VT_NO_VALUE. */
static vt_value only_reader(const struct vt_graph *g, vt_value v)
{
    vt_value reader = VT_NO_VALUE;
    for (size_t i = (size_t)v + 1; i < g->node_count; i++)
        for (uint32_t k = 0; k < g->nodes[i].in_count; k++) {
            if (g->nodes[i].in[k].value != v)
                continue;
            if (reader != VT_NO_VALUE)
                return VT_NO_VALUE;
            reader = (vt_value)i;
        }
    return reader;
}

/* From attention on to where its output, whatever becomes of each row, is added to the stream. */
static bool follow(const struct vt_graph *g, struct vt_block *b)
{
    vt_value from = b->attention, v = only_reader(g, from);
    for (; v != VT_NO_VALUE && g->nodes[v].type != VT_NODE_ADD; from = v, v = only_reader(g, v)) {
        const enum vt_node_type type = g->nodes[v].type;
        if (type != VT_NODE_LINEAR && type != VT_NODE_MUL && type != VT_NODE_LAYER_NORM)
            return false;
    }
    if (v == VT_NO_VALUE)
        return false;
    b->mid = v;
    b->in = g->nodes[v].in[g->nodes[v].in[0].value == from].value;
    return true;
}

static vitrt_status find(const struct vt_graph *g, const struct vt_shape *shapes, struct vt_block *blocks,
                         size_t *count, vitrt_error *err)
{
    for (size_t v = 0; v < g->node_count; v++) {
        const struct vt_node *node = &g->nodes[v];
        if (node->type != VT_NODE_ATTENTION)
            continue;
        struct vt_block b = { .attention = (vt_value)v };
        const struct vt_shape *q = &shapes[node->in[0].value], *k = &shapes[node->in[1].value];
        if (!follow(g, &b) || vt_shape_rows(q) != vt_shape_rows(k) || q->prefix != shapes[b.in].prefix ||
            vt_shape_rows(q) != vt_shape_rows(&shapes[b.in]) ||
            (*count && shapes[b.in].prefix != shapes[blocks[0].in].prefix))
            return refuse(g, (vt_value)v, "is not added to the tokens that it attends to", err);
        blocks[(*count)++] = b;
    }
    return VITRT_OK;
}

vitrt_status vt_find_blocks(const struct vt_graph *g, const struct vt_shape *shapes, struct vt_block **blocks,
                            size_t *count, uint32_t *prefix, vitrt_error *err)
{
    size_t most = 0;
    *blocks = NULL;
    *count = 0;
    vitrt_status st = check_nodes(g, &most, err);
    if (st)
        return st;
    *blocks = vt_calloc(&g->alloc, most, sizeof **blocks);
    if (!*blocks)
        return vt_err_memory(err, most * sizeof **blocks, "the blocks of the model");
    st = find(g, shapes, *blocks, count, err);
    if (st)
        vt_free(&g->alloc, *blocks, most * sizeof **blocks);
    else
        *prefix = shapes[(*blocks)[0].in].prefix;
    if (st)
        *blocks = NULL;
    return st;
}
