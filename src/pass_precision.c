/* SPDX-License-Identifier: Apache-2.0 */
/* Precision: what linear layers and attention read in a narrower type than f32 is converted where it comes from. */
#include "plan.h"

/* The type in which a product wants its input k; a bias is no operand. Convolutions convert the windows they gather
 * themselves. */
static enum vt_dtype operand_type(enum vt_product product, const struct vt_node *node, uint32_t k)
{
    const bool multiplies = node->type == VT_NODE_LINEAR || (node->type == VT_NODE_ATTENTION && k < 3);
    return multiplies && product == VT_PRODUCT_BF16 ? VT_BF16 : VT_F32;
}

static bool read_as(const struct vt_graph *g, vt_value v, enum vt_product product, enum vt_dtype element)
{
    for (size_t i = (size_t)v + 1; i < g->node_count; i++)
        for (uint32_t k = 0; k < g->nodes[i].in_count; k++)
            if (g->nodes[i].in[k].value == v && operand_type(product, &g->nodes[i], k) == element)
                return true;
    return false;
}

static vt_value append_conversion(struct vt_graph *out, vt_value from, enum vt_dtype element)
{
    struct vt_node node = out->nodes[from]; /* for its name and columns */
    node.type = VT_NODE_CONVERT;
    node.in[0] = (struct vt_view){ from, 0, node.columns };
    node.in_count = 1;
    node.element = element;
    node.weight = node.bias = node.weight2 = VT_NO_WEIGHT;
    return vt_graph_append(out, &node);
}

vitrt_status vt_pass_precision(const struct vt_graph *g, enum vt_product product, vt_value *outputs, size_t count,
                               struct vt_graph *out, vitrt_error *err)
{
    struct {
        vt_value value, converted;
    } *moved = vt_calloc(&out->alloc, g->node_count, sizeof *moved);
    if (!moved || !vt_graph_reserve(out, 2 * g->node_count)) {
        vt_free(&out->alloc, moved, g->node_count * sizeof *moved);
        return vt_err_memory(err, 2 * g->node_count * sizeof *out->nodes, "the plan");
    }
    for (size_t v = 0; v < g->node_count; v++) {
        struct vt_node node = g->nodes[v];
        for (uint32_t k = 0; k < node.in_count; k++)
            node.in[k].value = operand_type(product, &node, k) == VT_BF16 ? moved[node.in[k].value].converted
                                                                          : moved[node.in[k].value].value;
        moved[v].value = vt_graph_append(out, &node);
        if (read_as(g, (vt_value)v, product, VT_BF16))
            moved[v].converted = append_conversion(out, moved[v].value, VT_BF16);
    }
    for (size_t i = 0; i < count; i++)
        outputs[i] = moved[outputs[i]].value;
    vt_free(&out->alloc, moved, g->node_count * sizeof *moved);
    return VITRT_OK;
}
