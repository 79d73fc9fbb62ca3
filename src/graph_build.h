/* SPDX-License-Identifier: Apache-2.0 */
/* How nodes are put together and checked: what graph.c and graph_tokens.c share. */
#ifndef VT_GRAPH_BUILD_H
#define VT_GRAPH_BUILD_H

#include "graph.h"

/* Which of the nodes that are not a row for each token may be read at an input. */
enum vt_input_kind { VT_PER_TOKEN, VT_POSITIONS_ROWS, VT_BIAS_ROWS, VT_TOKEN_MAP };

/* Appends a zeroed node; NULL after an error. */
struct vt_node *vt_build_node(struct vt_graph *g, enum vt_node_type type, const char *name);
/* The same with one input, and as many columns. */
struct vt_node *vt_build_unary(struct vt_graph *g, enum vt_node_type type, const char *name, struct vt_view x);

/* The value of one of g's nodes. */
vt_value vt_build_value(const struct vt_graph *g, const struct vt_node *node);

/* Adds an input to the node. */
void vt_build_input_of_kind(struct vt_graph *g, struct vt_node *node, struct vt_view view, enum vt_input_kind kind);
void vt_build_input(struct vt_graph *g, struct vt_node *node, struct vt_view view);

/* Expects that two counts agree; what names them. */
void vt_expect(struct vt_graph *g, const struct vt_node *node, const char *what, uint64_t found, uint64_t wanted);
/* That so many columns or rows fall into equal parts. */
void vt_expect_parts(struct vt_graph *g, const struct vt_node *node, const char *what, uint64_t count, uint64_t parts);
/* That both are from least to VT_MAX_SIDE, so that sums of sides stay far from overflow. */
void vt_expect_sides(struct vt_graph *g, const struct vt_node *node, const char *what, const uint32_t sides[2],
                     uint32_t least);
/* That the last input is one number for each row. */
void vt_expect_one_column(struct vt_graph *g, const struct vt_node *node, const char *what);

#endif
