/* SPDX-License-Identifier: Apache-2.0 */
/* One node of a graph's JSON; see graph_read.c. */
#ifndef VT_GRAPH_READ_NODE_H
#define VT_GRAPH_READ_NODE_H

#include "graph_schema.h"
#include "graph_values.h"
#include "name_table.h"

struct vt_node_reader {
    struct vt_graph *g;
    struct vt_value_reader values;
    struct vt_name_table *names;   /* of nodes */
    vt_weight *made;               /* [tensors]: the weight that was last made of each, so that nodes share them */
    const struct vt_op_schema *op; /* of the node being read */
};

/* Adds a node, and its name. */
void vt_read_node(struct vt_node_reader *r, vt_json v);

/* The node of that name, or VT_NO_VALUE and an error about `what`. */
vt_value vt_find_node(struct vt_node_reader *r, const char *what, vt_json v);

#endif
