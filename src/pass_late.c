/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late queries: a linear layer's rows that a token map leaves are those of the layer on the rows that it leaves, so that
 * rows which nobody attends from are not computed. The layer's other columns, such as keys and values, are needed of all
 * rows; vt_pass_split makes two layers of it then.
 */
#include "plan.h"
#include "row_needs.h"

/* Is node an application of a map to whole columns of a linear layer, the first of which a tile begins with? */
static bool is_candidate(const struct vt_graph *g, const struct vt_node *node, size_t align)
{
    return node->type == VT_NODE_APPLY && g->nodes[node->in[0].value].type == VT_NODE_LINEAR &&
           vt_moves_rows(g, node) && node->in[0].column % align == 0;
}

/* Does somebody else read rows of these columns that are not protected? */
static bool is_wanted_early(const struct vt_graph *g, const struct vt_shape *shapes, const struct vt_row_range *needs,
                            const struct vt_node *apply)
{
    const struct vt_view view = apply->in[0];
    const uint32_t protect = g->nodes[apply->in[1].value].u.select.protect;
    for (size_t i = (size_t)view.value + 1; i < g->node_count; i++) {
        const struct vt_node *node = &g->nodes[i];
        for (uint32_t k = 0; k < node->in_count && node != apply && !vt_rows_empty(needs[i]); k++) {
            const bool apart = node->in[k].column >= view.column + view.columns ||
                               node->in[k].column + node->in[k].columns <= view.column;
            if (node->in[k].value == view.value && !apart &&
                vt_rows_wanted(g, shapes, (vt_value)i, k, needs[i]).end > protect)
                return true;
        }
    }
    return false;
}

/* apply(linear(x)) as linear(apply(x)). */
static vt_value append_late(const struct vt_graph *g, const struct vt_node *apply, const vt_value *moved,
                            struct vt_graph *out)
{
    const struct vt_view view = apply->in[0];
    struct vt_node linear = g->nodes[view.value], rows = *apply;
    rows.in[0] = linear.in[0];
    rows.in[0].value = moved[linear.in[0].value];
    rows.in[1].value = moved[apply->in[1].value];
    rows.columns = rows.in[0].columns;
    linear.in[0] = (struct vt_view){ vt_graph_append(out, &rows), 0, rows.columns };
    linear.columns = view.columns;
    linear.u.linear.first += view.column;
    return vt_graph_append(out, &linear);
}

static void rewrite(const struct vt_graph *g, const struct vt_shape *shapes, const struct vt_row_range *needs,
                    size_t align, vt_value *moved, struct vt_graph *out)
{
    for (size_t v = 0; v < g->node_count; v++) {
        struct vt_node node = g->nodes[v];
        if (is_candidate(g, &node, align) && !is_wanted_early(g, shapes, needs, &g->nodes[v])) {
            moved[v] = append_late(g, &node, moved, out);
            continue;
        }
        for (uint32_t k = 0; k < node.in_count; k++)
            node.in[k].value = moved[node.in[k].value];
        moved[v] = vt_graph_append(out, &node);
    }
}

vitrt_status vt_pass_late(const struct vt_graph *g, const struct vt_shape *shapes, size_t align, vt_value *outputs,
                          size_t count, struct vt_graph *out, vitrt_error *err)
{
    const size_t n = g->node_count;
    vt_value *moved = vt_calloc(&out->alloc, n, sizeof *moved);
    struct vt_row_range *needs = vt_calloc(&out->alloc, n, sizeof *needs);
    const bool room = moved && needs && vt_graph_reserve(out, 2 * n);
    if (room) {
        vt_find_row_needs(g, shapes, outputs, count, needs);
        rewrite(g, shapes, needs, align, moved, out);
    }
    for (size_t i = 0; i < count && room; i++)
        outputs[i] = moved[outputs[i]];
    vt_free(&out->alloc, needs, n * sizeof *needs);
    vt_free(&out->alloc, moved, n * sizeof *moved);
    return room ? VITRT_OK : vt_err_memory(err, 2 * n * sizeof *out->nodes, "the plan");
}
