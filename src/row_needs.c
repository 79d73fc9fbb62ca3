/* SPDX-License-Identifier: Apache-2.0 */
/* See row_needs.h. */
#include "row_needs.h"

#include <string.h>

struct vt_row_range vt_rows_union(struct vt_row_range a, struct vt_row_range b)
{
    if (vt_rows_empty(b))
        return a;
    if (vt_rows_empty(a))
        return b;
    return (struct vt_row_range){ a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end };
}

bool vt_row_by_row(const struct vt_node *node, uint32_t k)
{
    switch (node->type) {
    case VT_NODE_LINEAR:
    case VT_NODE_LAYER_NORM:
    case VT_NODE_L2_NORM:
    case VT_NODE_ACTIVATION:
    case VT_NODE_ADD:
    case VT_NODE_MUL:
    case VT_NODE_CONCAT:
    case VT_NODE_HEAD_COMBINE:
    case VT_NODE_ARGMAX:
    case VT_NODE_CONVERT: return true;
    case VT_NODE_ATTENTION: return k == 0 || (k && k == vt_gate_input(node));
    default: return false;
    }
}

/* All that a map leaves stay its rows, which others may have to have the same of. */
bool vt_are_protected(const struct vt_graph *g, const struct vt_shape *shapes, vt_value v, struct vt_row_range rows)
{
    const struct vt_node *node = &g->nodes[v];
    return node->type == VT_NODE_APPLY && rows.end <= g->nodes[node->in[1].value].u.select.protect &&
           rows.end - rows.begin < vt_shape_rows(&shapes[v]);
}

struct vt_row_range vt_rows_wanted(const struct vt_graph *g, const struct vt_shape *shapes, vt_value v, uint32_t k,
                                   struct vt_row_range of)
{
    const struct vt_node *node = &g->nodes[v];
    if (vt_row_by_row(node, k))
        return of;
    if (vt_are_protected(g, shapes, v, of))
        return k ? (struct vt_row_range){ 0, 0 } : of;
    if (node->type == VT_NODE_SLICE)
        return (struct vt_row_range){ node->u.rows.first_row + of.begin, node->u.rows.first_row + of.end };
    return (struct vt_row_range){ 0, (uint32_t)vt_shape_rows(&shapes[node->in[k].value]) };
}

void vt_find_row_needs(const struct vt_graph *g, const struct vt_shape *shapes, const vt_value *outputs, size_t count,
                       struct vt_row_range *needs)
{
    memset(needs, 0, g->node_count * sizeof *needs);
    for (size_t i = 0; i < count; i++)
        needs[outputs[i]] = (struct vt_row_range){ 0, (uint32_t)vt_shape_rows(&shapes[outputs[i]]) };
    for (size_t v = g->node_count; v-- > 0;) {
        const struct vt_node *node = &g->nodes[v];
        if (vt_rows_empty(needs[v]) && node->type != VT_NODE_INPUT)
            continue;
        if (!vt_row_by_row(node, 0) && node->type != VT_NODE_SLICE &&
            !vt_are_protected(g, shapes, (vt_value)v, needs[v]))
            needs[v] = (struct vt_row_range){ 0, (uint32_t)vt_shape_rows(&shapes[v]) }; /* only as a whole */
        for (uint32_t k = 0; k < node->in_count; k++) {
            const vt_value in = node->in[k].value;
            needs[in] = vt_rows_union(needs[in], vt_rows_wanted(g, shapes, (vt_value)v, k, needs[v]));
        }
    }
}
