/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as JSON that docs/graph.md describes, and the tensors that its weights become. */
#ifndef VT_GRAPH_WRITE_H
#define VT_GRAPH_WRITE_H

#include "family.h"
#include "json_write.h"

/* A node and the slot of it that gives a weight its name. */
struct vt_weight_use {
    vt_value node; /* VT_NO_VALUE: no node reads it */
    int slot;
};

struct vt_graph_names {
    vitrt_allocator alloc;
    size_t node_count, weight_count;
    char (*nodes)[VT_NAME_SIZE];   /* [node_count]: the names, made different where they are not */
    struct vt_weight_use *weights; /* [weight_count]: the first use of each */
};

/* On failure there is nothing to free. */
vitrt_status vt_graph_names_create(const struct vt_graph *g, struct vt_graph_names *names, vitrt_error *err);
void vt_graph_names_free(struct vt_graph_names *names);

/* The name of a weight that a node reads, "NODE.SLOT", where no two are the same. */
#define VT_WEIGHT_NAME_SIZE (VT_NAME_SIZE + 16)
void vt_weight_name(const struct vt_graph_names *names, vt_weight w, char name[VT_WEIGHT_NAME_SIZE]);

void vt_graph_write(const struct vt_graph *g, const struct vt_graph_names *names, const struct vt_model_facts *facts,
                    struct vt_text *out);

#endif
