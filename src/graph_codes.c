/* SPDX-License-Identifier: Apache-2.0 */
/* Quantizers of a graph: where they may be, and what they ask of weights. */
#include "graph.h"

#include "quantizer.h"

#include <math.h>

/* Of zero points: code and zero point are added in f32, and codes reach 255. */
#define MOST_ZERO 4194304.0f /* 2^22 */

uint32_t vt_operand_count(const struct vt_node *node)
{
    switch (node->type) {
    case VT_NODE_CONV2D: return vt_is_depthwise(node) ? 0 : 1;
    case VT_NODE_LINEAR: return 1;
    case VT_NODE_ATTENTION: return VT_MAX_CODED;
    default: return 0;
    }
}

bool vt_may_have_codes(const struct vt_node *node)
{
    return vt_operand_count(node) > 0 && !vt_is_clipped(node);
}

bool vt_compares_features(const struct vt_node *node)
{
    return node->type == VT_NODE_SELECT && (node->u.select.by == VT_SELECT_MATCH || node->u.select.similar);
}

uint32_t vt_feature_input(const struct vt_node *select)
{
    return select->u.select.by == VT_SELECT_MATCH ? 0 : 1;
}

uint32_t vt_feature_columns(const struct vt_node *select)
{
    return select->in[vt_feature_input(select)].columns / select->u.select.groups;
}

uint32_t vt_bias_input(const struct vt_node *node)
{
    const bool there = node->type == VT_NODE_ATTENTION &&
                       node->in_count > 3u + node->u.attention.gated + node->u.attention.key_bias;
    return there ? 3 : 0;
}

uint32_t vt_gate_input(const struct vt_node *node)
{
    return node->type == VT_NODE_ATTENTION && node->u.attention.gated
               ? node->in_count - 1 - node->u.attention.key_bias
               : 0;
}

uint32_t vt_key_bias_input(const struct vt_node *node)
{
    return node->type == VT_NODE_ATTENTION && node->u.attention.key_bias ? node->in_count - 1 : 0;
}

bool vt_is_clipped(const struct vt_node *node)
{
    return node->type == VT_NODE_ATTENTION && (node->u.attention.gamma != 0 || node->u.attention.zeta != 1);
}

bool vt_keeps_unit(const struct vt_node *node)
{
    switch (node->type) {
    case VT_NODE_SLICE:
    case VT_NODE_WINDOWS:
    case VT_NODE_UNWINDOWS:
    case VT_NODE_SPACE_TO_DEPTH:
    case VT_NODE_APPLY:
    case VT_NODE_UPSAMPLE: return true;
    case VT_NODE_SCATTER: return node->in_count < 3;
    default: return false;
    }
}

float vt_unit_of(const struct vt_graph *g, vt_value v)
{
    while (vt_keeps_unit(&g->nodes[v]))
        v = g->nodes[v].in[0].value;
    return g->nodes[v].unit;
}

bool vt_is_quantized(const struct vt_node *node)
{
    return vt_operand_count(node) && node->quantizers[0].bits;
}

bool vt_graph_is_quantized(const struct vt_graph *g)
{
    for (size_t v = 0; v < g->node_count; v++)
        if (vt_is_quantized(&g->nodes[v]))
            return true;
    return false;
}

bool vt_is_code_scale(float scale)
{
    return scale >= VT_MIN_SCALE && scale <= VT_MAX_SCALE;
}

bool vt_is_code_zero(float zero)
{
    return fabsf(zero) <= MOST_ZERO;
}

float vt_graph_read_scale(struct vt_graph *g, const char *tensor)
{
    const struct vt_tensor *t = vt_checkpoint_find(g->checkpoint, tensor);
    float scale = 0;
    if (g->status)
        return 0;
    if (!t || t->count != 1 || t->dtype == VT_I8 || t->dtype == VT_OTHER) {
        vt_graph_fail(g, VITRT_EFORMAT, "tensor %s is %s", tensor,
                      t ? "no single number of type F32, F16 or BF16, expected a scale" : "missing");
        return 0;
    }
    void *scratch = vt_alloc(&g->alloc, VT_SCRATCH_BYTES);
    g->status = scratch ? vt_checkpoint_read_rows(g->checkpoint, t, 0, 1, &scale, scratch, VT_SCRATCH_BYTES, g->err)
                        : vt_err_memory(g->err, VT_SCRATCH_BYTES, "a scale");
    vt_free(&g->alloc, scratch, VT_SCRATCH_BYTES);
    if (!g->status && !vt_is_code_scale(scale))
        vt_graph_fail(g, VITRT_EFORMAT, "tensor %s is %g, expected a scale from 1e-30 to 1e30", tensor, (double)scale);
    return g->status ? 0 : scale;
}

static void check_vector(struct vt_graph *g, const struct vt_node *node, uint32_t i, vt_weight w)
{
    const uint64_t columns = node->in[i].columns;
    if (g->weights[w].parts[0].tensor && g->weights[w].parts[0].tensor->scale)
        vt_graph_fail(g, VITRT_EFORMAT,
                      "node %s: tensor %s of a quantizer has a scale itself, expected a vector of numbers", node->name,
                      g->weights[w].name);
    else if (g->weights[w].rows != columns)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: tensor %s has %llu numbers, expected one for each of %llu columns",
                      node->name, g->weights[w].name, (unsigned long long)g->weights[w].rows,
                      (unsigned long long)columns);
}

/* Products that make a sum. */
static uint64_t terms_of(const struct vt_graph *g, const struct vt_node *node)
{
    if (node->type == VT_NODE_ATTENTION) /* the softmax subtracts one score from another */
        return (uint64_t)2 * (node->in[0].columns / node->u.attention.heads);
    return g->weights[node->weight].columns;
}

void vt_graph_set_quantizer(struct vt_graph *g, vt_value value, uint32_t i, const struct vt_operand_quantizer *q)
{
    struct vt_node *node = &g->nodes[value];
    const bool vectors = q->scales != VT_NO_WEIGHT;
    if (g->status)
        return;
    if (i >= vt_operand_count(node))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: its input %u is not multiplied and has no codes", node->name,
                      (unsigned)i);
    else if (!vt_may_have_codes(node))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: its probabilities are clipped, expected no codes of its inputs",
                      node->name);
    else if (terms_of(g, node) > VT_MAX_TERMS)
        vt_graph_fail(g, VITRT_ELIMIT, "node %s: sums of codes with %llu terms, at most %u are exact", node->name,
                      (unsigned long long)terms_of(g, node), VT_MAX_TERMS);
    else if (q->bits < 2 || q->bits > 8)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: codes of %u bits, expected 2 to 8", node->name, (unsigned)q->bits);
    else if (!vectors && (!vt_is_code_scale(q->scale) || !vt_is_code_zero(q->zero)))
        vt_graph_fail(g, VITRT_EFORMAT,
                      "node %s: codes with a scale or zero point out of range, expected a scale from 1e-30 to 1e30 "
                      "and a zero point up to 4194304",
                      node->name);
    else if (vectors && node->type == VT_NODE_CONV2D && node->u.conv.groups > 1)
        vt_graph_fail(g, VITRT_EFORMAT,
                      "node %s: a convolution of %u groups whose codes have a scale for each column, "
                      "expected one for all",
                      node->name, (unsigned)node->u.conv.groups);
    if (!g->status && vectors) {
        check_vector(g, node, i, q->scales);
        check_vector(g, node, i, q->zeros);
    }
    if (!g->status)
        node->quantizers[i] = *q;
}

void vt_graph_set_log_codes(struct vt_graph *g, vt_value value, uint32_t bits, float scale)
{
    struct vt_node *node = &g->nodes[value];
    if (g->status)
        return;
    if (bits < 2 || bits > 8 || !vt_is_code_scale(scale))
        vt_graph_fail(g, VITRT_EFORMAT,
                      "node %s: logarithmic codes of %u bits and a scale of %g, expected 2 to 8 bits and a scale from "
                      "1e-30 to 1e30",
                      node->name, (unsigned)bits, (double)scale);
    node->u.attention.log_bits = bits;
    node->u.attention.log_scale = scale;
}

/* A weight that is multiplied with codes must be codes itself. */
static void check_weight(struct vt_graph *g, const struct vt_node *node)
{
    const struct vt_graph_weight *w = &g->weights[node->weight];
    for (uint32_t p = 0; p < w->part_count; p++)
        if (!w->parts[p].tensor || !w->parts[p].tensor->scale || w->fold)
            vt_graph_fail(g, VITRT_EFORMAT, "node %s multiplies codes with tensor %s, expected one of type I8",
                          node->name, w->name);
}

static void check_absorbed(struct vt_graph *g, const struct vt_node *node, vt_weight w, const struct vt_tensor *wanted)
{
    if (w != VT_NO_WEIGHT && g->weights[w].absorbed != wanted)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: its weight %s is stored for codes of another node", node->name,
                      g->weights[w].name);
}

void vt_graph_link_quantizers(struct vt_graph *g)
{
    for (size_t v = 0; v < g->node_count && !g->status; v++) {
        const struct vt_node *node = &g->nodes[v];
        if (vt_operand_count(node) != 1)
            continue;
        const struct vt_operand_quantizer *q = &node->quantizers[0];
        if (q->bits)
            check_weight(g, node);
        g->weights[node->weight].absorbed =
            q->bits && q->scales != VT_NO_WEIGHT ? g->weights[q->scales].parts[0].tensor : NULL;
    }
    for (size_t v = 0; v < g->node_count && !g->status; v++) { /* all that read a weight must agree */
        const struct vt_node *node = &g->nodes[v];
        const struct vt_operand_quantizer *q = &node->quantizers[0];
        const bool vectors = vt_operand_count(node) == 1 && q->bits && q->scales != VT_NO_WEIGHT;
        check_absorbed(g, node, node->weight, vectors ? g->weights[q->scales].parts[0].tensor : NULL);
        check_absorbed(g, node, node->weight2, NULL);
    }
}
