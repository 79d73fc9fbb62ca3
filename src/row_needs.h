/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows of each value of a graph somebody reads, from the asked-for outputs backwards. */
#ifndef VT_ROW_NEEDS_H
#define VT_ROW_NEEDS_H

#include "graph.h"

struct vt_row_range {
    uint32_t begin, end; /* empty: nobody reads it */
};

static inline bool vt_rows_empty(struct vt_row_range r)
{
    return r.begin == r.end;
}

static inline bool vt_rows_same(struct vt_row_range a, struct vt_row_range b)
{
    return a.begin == b.begin && a.end == b.end;
}

/* The smallest range that has both. */
struct vt_row_range vt_rows_union(struct vt_row_range a, struct vt_row_range b);

/* Does the node compute each row of its value from the same row of input k? */
bool vt_row_by_row(const struct vt_node *node, uint32_t k);

/* Rows of input k that the rows `of` of value v are made from. */
struct vt_row_range vt_rows_wanted(const struct vt_graph *g, const struct vt_shape *shapes, vt_value v, uint32_t k,
                                   struct vt_row_range of);

/* Are these rows of value v, some of what a token map leaves, the same ones of its input, as protected ones are, so that
 * no map is needed? */
bool vt_are_protected(const struct vt_graph *g, const struct vt_shape *shapes, vt_value v, struct vt_row_range rows);

/* needs[node_count]: the rows that a value must have. */
void vt_find_row_needs(const struct vt_graph *g, const struct vt_shape *shapes, const vt_value *outputs, size_t count,
                       struct vt_row_range *needs);

#endif
