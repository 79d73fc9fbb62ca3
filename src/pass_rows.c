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

#include <assert.h>
#include <string.h>

struct range {
    uint32_t begin, end; /* empty: nobody reads it */
};

/* What the rewriting knows of one value of the old graph. */
struct rewritten {
    struct range need;     /* rows somebody reads: those the new value has */
    struct range partial;  /* a smaller range that readers of all columns want, if any: one slice serves them all */
    vt_value value, slice; /* in the new graph */
};

static bool empty(struct range r)
{
    return r.begin == r.end;
}

static bool same(struct range a, struct range b)
{
    return a.begin == b.begin && a.end == b.end;
}

static void widen(struct range *r, struct range by)
{
    if (empty(by))
        return;
    if (empty(*r)) {
        *r = by;
        return;
    }
    r->begin = r->begin < by.begin ? r->begin : by.begin;
    r->end = r->end > by.end ? r->end : by.end;
}

/* Does the node compute each row of its value from the same row of input k? */
static bool row_by_row(const struct vt_node *node, uint32_t k)
{
    switch (node->type) {
    case VT_NODE_LINEAR:
    case VT_NODE_LAYER_NORM:
    case VT_NODE_ACTIVATION:
    case VT_NODE_ADD:
    case VT_NODE_MUL:
    case VT_NODE_CONCAT:
    case VT_NODE_HEAD_COMBINE:
    case VT_NODE_CONVERT: return true;
    case VT_NODE_ATTENTION: return k == 0;
    default: return false;
    }
}

/* Rows of input k that the rows `of` of the node's value are made from. */
static struct range wanted_rows(const struct vt_node *node, uint32_t k, struct range of, uint32_t input_rows)
{
    if (row_by_row(node, k))
        return of;
    if (node->type == VT_NODE_SLICE)
        return (struct range){ node->u.rows.first_row + of.begin, node->u.rows.first_row + of.end };
    return (struct range){ 0, input_rows };
}

/* ---- Backwards ---- */

static void find_needs(const struct vt_graph *g, const struct vt_shape *shapes, struct rewritten *values)
{
    for (size_t v = g->node_count; v-- > 0;) {
        const struct vt_node *node = &g->nodes[v];
        const struct range all = { 0, (uint32_t)vt_shape_rows(&shapes[v]) };
        if (empty(values[v].need) && node->type != VT_NODE_INPUT)
            continue;
        if (!row_by_row(node, 0) && node->type != VT_NODE_SLICE)
            values[v].need = all; /* can only be computed as a whole */
        for (uint32_t k = 0; k < node->in_count; k++) {
            const vt_value in = node->in[k].value;
            widen(&values[in].need, wanted_rows(node, k, values[v].need, (uint32_t)vt_shape_rows(&shapes[in])));
        }
    }
    for (size_t v = 0; v < g->node_count; v++) {
        const struct vt_node *node = &g->nodes[v];
        for (uint32_t k = 0; k < node->in_count && !empty(values[v].need); k++) {
            struct rewritten *in = &values[node->in[k].value];
            const bool whole = node->in[k].columns == g->nodes[node->in[k].value].columns;
            if (row_by_row(node, k) && whole && !same(values[v].need, in->need) && empty(in->partial))
                in->partial = values[v].need;
        }
    }
}

/* ---- Forwards ---- */

static vt_value append(struct vt_graph *out, const struct vt_node *node)
{
    assert(out->node_count < out->node_capacity);
    out->nodes[out->node_count] = *node;
    return (vt_value)out->node_count++;
}

static vt_value append_slice(struct vt_graph *out, struct vt_view from, uint32_t first_row, uint32_t row_count)
{
    struct vt_node slice = { .type = VT_NODE_SLICE,
                             .in = { from },
                             .in_count = 1,
                             .columns = from.columns,
                             .element = out->nodes[from.value].element,
                             .weight = VT_NO_WEIGHT,
                             .bias = VT_NO_WEIGHT };
    memcpy(slice.name, out->nodes[from.value].name, sizeof slice.name);
    slice.u.rows.first_row = first_row;
    slice.u.rows.row_count = row_count;
    return append(out, &slice);
}

/* The view of rows `want` of an old value, in the new graph. */
static struct vt_view new_view(struct vt_graph *out, const struct rewritten *in, struct vt_view view, struct range want)
{
    const bool whole = view.columns == out->nodes[in->value].columns;
    if (same(want, in->need))
        return (struct vt_view){ in->value, view.column, view.columns };
    if (whole && same(want, in->partial))
        return (struct vt_view){ in->slice, 0, view.columns };
    view.value = in->value;
    const vt_value slice = append_slice(out, view, want.begin - in->need.begin, want.end - want.begin);
    return (struct vt_view){ slice, 0, view.columns };
}

static vt_value rewrite_slice(const struct vt_graph *g, const struct rewritten *values, const struct vt_node *node,
                              struct range need, struct vt_graph *out)
{
    const struct rewritten *in = &values[node->in[0].value];
    const struct range want = wanted_rows(node, 0, need, 0);
    if (same(want, in->need) && node->in[0].columns == g->nodes[node->in[0].value].columns)
        return in->value; /* its input has become these rows alone */
    struct vt_node copy = *node;
    copy.in[0].value = in->value;
    copy.u.rows.first_row = want.begin - in->need.begin;
    copy.u.rows.row_count = want.end - want.begin;
    return append(out, &copy);
}

static void rewrite_node(const struct vt_graph *g, const struct vt_shape *shapes, struct rewritten *values, vt_value v,
                         struct vt_graph *out)
{
    const struct vt_node *node = &g->nodes[v];
    struct rewritten *r = &values[v];
    if (node->type == VT_NODE_SLICE) {
        r->value = rewrite_slice(g, values, node, r->need, out);
    } else {
        struct vt_node copy = *node;
        for (uint32_t k = 0; k < node->in_count; k++) {
            const vt_value in = node->in[k].value;
            const struct range want = wanted_rows(node, k, r->need, (uint32_t)vt_shape_rows(&shapes[in]));
            copy.in[k] = new_view(out, &values[in], node->in[k], want);
        }
        r->value = append(out, &copy);
    }
    if (!empty(r->partial)) /* made at once, so that it stands before all of its readers */
        r->slice = append_slice(out, (struct vt_view){ r->value, 0, node->columns }, r->partial.begin - r->need.begin,
                                r->partial.end - r->partial.begin);
}

vitrt_status vt_pass_rows(const struct vt_graph *g, const struct vt_shape *shapes, vt_value *outputs, size_t count,
                          struct vt_graph *out, uint64_t *nominal_macs, vitrt_error *err)
{
    const size_t n = g->node_count, capacity = n * (VT_MAX_INPUTS + 2);
    struct rewritten *values = vt_calloc(&out->alloc, n, sizeof *values);
    out->nodes = vt_calloc(&out->alloc, capacity, sizeof *out->nodes);
    out->node_capacity = out->nodes ? capacity : 0;
    if (!values || !out->nodes) {
        vt_free(&out->alloc, values, n * sizeof *values);
        return vt_err_memory(err, capacity * sizeof *out->nodes, "the plan");
    }
    for (size_t i = 0; i < count; i++)
        values[outputs[i]].need = (struct range){ 0, (uint32_t)vt_shape_rows(&shapes[outputs[i]]) };
    find_needs(g, shapes, values);
    *nominal_macs = 0;
    for (size_t v = 0; v < n; v++) {
        const struct vt_op *op = vt_op_of(g->nodes[v].type);
        if (empty(values[v].need))
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
