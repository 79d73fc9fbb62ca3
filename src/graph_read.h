/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs from files: JSON as docs/graph.md describes it. */
#ifndef VT_GRAPH_READ_H
#define VT_GRAPH_READ_H

#include "family.h"

/* Builds the checkpoint's stored graph into g, where errors stick, and fills facts: what a family does for published
 * checkpoints. Everything is checked that the builder and the executor take for granted. */
void vt_graph_read(struct vt_graph *g, struct vt_model_facts *facts);

#endif
