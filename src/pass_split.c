/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns that are wanted in different rows: the last block of a class-token model needs the queries of one token and
 * the keys and values of all, which are columns of one product. Such a linear layer becomes two, one behind the other,
 * that share its packed weight. Columns that nobody reads, such as queries that are late, are not computed.
 */
#include "plan.h"
#include "row_needs.h"

/* What the pass knows of one value of the old graph. */
struct split {
    struct vt_row_range need;
    uint32_t at;       /* column where the second part begins; 0: not split */
    bool idle;         /* nobody reads the first part, which is not computed */
    vt_value parts[2]; /* in the new graph; the second one if it is split */
};

/* Rows that readers want of the columns [begin, end) of v. False: a reader's columns lie on both sides of a border. */
static bool rows_of_columns(const struct vt_graph *g, const struct vt_shape *shapes, const struct split *values,
                            vt_value v, uint32_t begin, uint32_t end, struct vt_row_range *rows)
{
    *rows = (struct vt_row_range){ 0, 0 };
    for (size_t i = (size_t)v + 1; i < g->node_count; i++) {
        const struct vt_node *node = &g->nodes[i];
        for (uint32_t k = 0; k < node->in_count && !vt_rows_empty(values[i].need); k++) {
            const uint32_t first = node->in[k].column, last = first + node->in[k].columns;
            if (node->in[k].value != v || last <= begin || first >= end)
                continue;
            if (first < begin || last > end)
                return false;
            *rows = vt_rows_union(*rows, vt_rows_wanted(g, shapes, (vt_value)i, k, values[i].need));
        }
    }
    return true;
}

/* Does any node, be it one that nobody needs, read of these columns? */
static bool is_read(const struct vt_graph *g, vt_value v, uint32_t begin, uint32_t end)
{
    for (size_t i = (size_t)v + 1; i < g->node_count; i++)
        for (uint32_t k = 0; k < g->nodes[i].in_count; k++) {
            const struct vt_view *in = &g->nodes[i].in[k];
            if (in->value == v && in->column < end && in->column + in->columns > begin)
                return true;
        }
    return false;
}

/* Is there a border of v at that column, between columns that are wanted in different rows? */
static bool is_border(const struct vt_graph *g, const struct vt_shape *shapes, const struct split *values, vt_value v,
                      uint32_t at, bool *idle)
{
    const uint32_t columns = g->nodes[v].columns;
    struct vt_row_range low, high;
    if (!rows_of_columns(g, shapes, values, v, 0, at, &low) ||
        !rows_of_columns(g, shapes, values, v, at, columns, &high) || vt_rows_same(low, high))
        return false;
    *idle = !is_read(g, v, 0, at);
    return (*idle || !vt_rows_empty(low)) && !vt_rows_empty(high);
}

/* Where v is split. Candidates are where views begin. */
static void find_border(const struct vt_graph *g, const struct vt_shape *shapes, struct split *values, vt_value v,
                        size_t align)
{
    struct split *s = &values[v];
    for (size_t i = (size_t)v + 1; i < g->node_count; i++) {
        for (uint32_t k = 0; k < g->nodes[i].in_count; k++) {
            const uint32_t at = g->nodes[i].in[k].column;
            if (g->nodes[i].in[k].value == v && at && at % align == 0 &&
                is_border(g, shapes, values, v, at, &s->idle)) {
                s->at = at;
                return;
            }
        }
    }
}

static struct vt_view moved_view(const struct split *values, struct vt_view view)
{
    const struct split *in = &values[view.value];
    const bool second = in->at && view.column >= in->at;
    return (struct vt_view){ in->parts[second], view.column - (second ? in->at : 0), view.columns };
}

static void rewrite_node(const struct vt_graph *g, struct split *values, vt_value v, struct vt_graph *out)
{
    struct vt_node node = g->nodes[v];
    struct split *s = &values[v];
    for (uint32_t k = 0; k < node.in_count; k++)
        node.in[k] = moved_view(values, node.in[k]);
    if (!s->at) {
        s->parts[0] = vt_graph_append(out, &node);
        return;
    }
    node.columns = s->at;
    if (!s->idle)
        s->parts[0] = vt_graph_append(out, &node);
    node.columns = g->nodes[v].columns - s->at;
    node.u.linear.first += s->at;
    s->parts[1] = vt_graph_append(out, &node);
}

vitrt_status vt_pass_split(const struct vt_graph *g, const struct vt_shape *shapes, size_t align, vt_value *outputs,
                           size_t count, struct vt_graph *out, vitrt_error *err)
{
    const size_t n = g->node_count;
    struct split *values = vt_calloc(&out->alloc, n, sizeof *values);
    struct vt_row_range *needs = vt_calloc(&out->alloc, n, sizeof *needs);
    vitrt_status st = VITRT_OK;
    if (!values || !needs || !vt_graph_reserve(out, 2 * n)) {
        st = vt_err_memory(err, 2 * n * sizeof *out->nodes, "the plan");
        goto end;
    }
    vt_find_row_needs(g, shapes, outputs, count, needs);
    for (size_t v = 0; v < n; v++)
        values[v].need = needs[v];
    for (size_t v = 0; v < n; v++) {
        if (g->nodes[v].type == VT_NODE_LINEAR && !vt_is_output(outputs, count, (vt_value)v))
            find_border(g, shapes, values, (vt_value)v, align);
        rewrite_node(g, values, (vt_value)v, out);
    }
    for (size_t i = 0; i < count; i++)
        outputs[i] = values[outputs[i]].parts[0];
end:
    vt_free(&out->alloc, needs, n * sizeof *needs);
    vt_free(&out->alloc, values, n * sizeof *values);
    return st;
}
