/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead rows: what no asked-for output needs is not computed. With a head on the class token the last block needs one
 * query row.
 *
 * Backwards, every value learns which range of its rows somebody reads. Forwards, the graph is written anew: a node
 * that works row by row and is only read in part computes that part, from slices of its inputs; attention takes a slice
 * of its queries and all keys. A class token's own slice at the end then vanishes.
 */
#include "ops.h"
#include "row_needs.h"

#include <string.h>

/* What the rewriting knows of one value of the old graph. */
struct rewritten {
    struct vt_row_range need; /* rows somebody reads: those the new value has */
    /* A smaller range that readers of all columns want, if any: one slice serves them all. */
    struct vt_row_range partial;
    vt_value value, slice; /* in the new graph */
};

/* ---- Backwards ---- */

static vitrt_status find_needs(const struct vt_graph *g, const struct vt_shape *shapes, const vt_value *outputs,
                               size_t count, struct rewritten *values, const vitrt_allocator *a, vitrt_error *err)
{
    struct vt_row_range *needs = vt_calloc(a, g->node_count, sizeof *needs);
    if (!needs)
        return vt_err_memory(err, g->node_count * sizeof *needs, "the plan");
    vt_find_row_needs(g, shapes, outputs, count, needs);
    for (size_t v = 0; v < g->node_count; v++)
        values[v].need = needs[v];
    vt_free(a, needs, g->node_count * sizeof *needs);
    for (size_t v = 0; v < g->node_count; v++) {
        const struct vt_node *node = &g->nodes[v];
        for (uint32_t k = 0; k < node->in_count && !vt_rows_empty(values[v].need); k++) {
            struct rewritten *in = &values[node->in[k].value];
            const bool whole = node->in[k].columns == g->nodes[node->in[k].value].columns;
            if (vt_row_by_row(node, k) && whole && !vt_rows_same(values[v].need, in->need) &&
                vt_rows_empty(in->partial))
                in->partial = values[v].need;
        }
    }
    return VITRT_OK;
}

/* ---- Forwards ---- */

/* Row count of a slice of these rows of a value of the old graph: 0, which keeps the map, where it is whole. */
static uint32_t slice_count(const struct vt_shape *of, struct vt_row_range want)
{
    const bool to_the_end = want.end == vt_shape_rows(of) && want.begin <= (of->rows_of ? 0 : of->prefix);
    return to_the_end ? 0 : want.end - want.begin;
}

static vt_value append_slice(struct vt_graph *out, struct vt_view from, uint32_t first_row, uint32_t row_count)
{
    struct vt_node slice = { .type = VT_NODE_SLICE,
                             .in = { from },
                             .in_count = 1,
                             .columns = from.columns,
                             .element = out->nodes[from.value].element,
                             .weight = VT_NO_WEIGHT,
                             .bias = VT_NO_WEIGHT,
                             .weight2 = VT_NO_WEIGHT };
    memcpy(slice.name, out->nodes[from.value].name, sizeof slice.name);
    slice.u.rows.first_row = first_row;
    slice.u.rows.row_count = row_count;
    return vt_graph_append(out, &slice);
}

/* The view of rows `want` of an old value, in the new graph. */
static struct vt_view new_view(struct vt_graph *out, const struct rewritten *in, const struct vt_shape *shape,
                               struct vt_view view, struct vt_row_range want)
{
    const bool whole = view.columns == out->nodes[in->value].columns;
    if (vt_rows_same(want, in->need))
        return (struct vt_view){ in->value, view.column, view.columns };
    if (whole && vt_rows_same(want, in->partial))
        return (struct vt_view){ in->slice, 0, view.columns };
    view.value = in->value;
    const vt_value slice = append_slice(out, view, want.begin - in->need.begin, slice_count(shape, want));
    return (struct vt_view){ slice, 0, view.columns };
}

/* Does the node read one number of each row where no others stand between them? */
static bool reads_packed(const struct vt_node *node, uint32_t k)
{
    switch (node->type) {
    case VT_NODE_SELECT: return k != vt_feature_input(node);
    case VT_NODE_ATTENTION: return k && k == vt_key_bias_input(node);
    case VT_NODE_POOL: return k == 1;
    default: return false;
    }
}

/* One of several columns as a value of its own. */
static struct vt_view packed_view(struct vt_graph *out, struct vt_view view)
{
    if (view.columns != out->nodes[view.value].columns)
        view = (struct vt_view){ append_slice(out, view, 0, 0), 0, view.columns };
    return view;
}

static vt_value rewrite_slice(const struct vt_graph *g, const struct vt_shape *shapes, const struct rewritten *values,
                              vt_value v, struct vt_graph *out)
{
    const struct vt_node *node = &g->nodes[v];
    const struct rewritten *in = &values[node->in[0].value];
    const struct vt_shape *of = &shapes[node->in[0].value];
    const struct vt_row_range want = vt_rows_wanted(g, shapes, v, 0, values[v].need);
    /* rows that always stay, and that are all that a token map leaves, are no longer the map's */
    const bool frees = of->rows_of != shapes[v].rows_of && want.end - want.begin == vt_shape_rows(of);
    if (vt_rows_same(want, in->need) && node->in[0].columns == g->nodes[node->in[0].value].columns && !frees)
        return in->value; /* its input has become these rows alone */
    struct vt_node copy = *node;
    copy.in[0].value = in->value;
    copy.u.rows.first_row = want.begin - in->need.begin;
    copy.u.rows.row_count = frees ? want.end - want.begin : slice_count(of, want);
    return vt_graph_append(out, &copy);
}

/* The protected rows that a map leaves are those that it was made for. */
static vt_value rewrite_protected(const struct vt_graph *g, const struct vt_shape *shapes,
                                  const struct rewritten *values, const struct vt_node *node, struct vt_row_range need,
                                  struct vt_graph *out)
{
    const struct vt_view view = node->in[0];
    const struct rewritten *in = &values[view.value];
    if (view.columns == g->nodes[view.value].columns)
        return new_view(out, in, &shapes[view.value], view, need).value;
    return append_slice(out, (struct vt_view){ in->value, view.column, view.columns }, need.begin - in->need.begin,
                        slice_count(&shapes[view.value], need));
}

static void rewrite_node(const struct vt_graph *g, const struct vt_shape *shapes, struct rewritten *values, vt_value v,
                         struct vt_graph *out)
{
    const struct vt_node *node = &g->nodes[v];
    struct rewritten *r = &values[v];
    if (node->type == VT_NODE_SLICE) {
        r->value = rewrite_slice(g, shapes, values, v, out);
    } else if (vt_are_protected(g, shapes, v, r->need)) {
        r->value = rewrite_protected(g, shapes, values, node, r->need, out);
    } else {
        struct vt_node copy = *node;
        for (uint32_t k = 0; k < node->in_count; k++) {
            const vt_value in = node->in[k].value;
            const struct vt_row_range want = vt_rows_wanted(g, shapes, v, k, r->need);
            copy.in[k] = new_view(out, &values[in], &shapes[in], node->in[k], want);
            if (reads_packed(node, k))
                copy.in[k] = packed_view(out, copy.in[k]);
        }
        r->value = vt_graph_append(out, &copy);
    }
    if (!vt_rows_empty(r->partial)) /* made at once, so that it stands before all of its readers */
        r->slice = append_slice(out, (struct vt_view){ r->value, 0, node->columns }, r->partial.begin - r->need.begin,
                                slice_count(&shapes[v], r->partial));
}

vitrt_status vt_pass_rows(const struct vt_graph *g, const struct vt_shape *shapes, vt_value *outputs, size_t count,
                          struct vt_graph *out, uint64_t *nominal_macs, vitrt_error *err)
{
    const size_t n = g->node_count, capacity = n * (VT_MAX_INPUTS + 2);
    struct rewritten *values = vt_calloc(&out->alloc, n, sizeof *values);
    if (!values || !vt_graph_reserve(out, capacity)) {
        vt_free(&out->alloc, values, n * sizeof *values);
        return vt_err_memory(err, capacity * sizeof *out->nodes, "the plan");
    }
    *nominal_macs = 0;
    const vitrt_status st = find_needs(g, shapes, outputs, count, values, &out->alloc, err);
    if (st) {
        vt_free(&out->alloc, values, n * sizeof *values);
        return st;
    }
    for (size_t v = 0; v < n; v++) {
        const struct vt_op *op = vt_op_of(g->nodes[v].type);
        if (vt_rows_empty(values[v].need))
            continue;
        rewrite_node(g, shapes, values, (vt_value)v, out);
        if (op->macs)
            *nominal_macs += op->macs(&g->nodes[v], shapes, (vt_value)v);
    }
    for (size_t i = 0; i < count; i++)
        outputs[i] = values[outputs[i]].value;
    vt_free(&out->alloc, values, n * sizeof *values);
    return VITRT_OK;
}
