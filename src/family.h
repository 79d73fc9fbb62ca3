/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime knows of model families: a table that models/ defines. A family recognises a checkpoint by its
 * config and builds the graph. */
#ifndef VT_FAMILY_H
#define VT_FAMILY_H

#include "graph.h"

/* What a family says about a model beside its graph. */
struct vt_model_facts {
    const char *family;       /* constant, or this: */
    char stored_family[64];
    char architecture[128];   /* as the checkpoint calls itself */
    uint32_t trained_size[2]; /* height, width that the stored positions are for: the input size when the preprocessing
                                 says none */
    uint32_t blocks, dim, classes;
    uint32_t size_multiple[2];
};

struct vt_family {
    bool (*matches)(vt_json config);
    /* Builds into g (errors stick there) and fills facts. */
    void (*build)(struct vt_graph *g, struct vt_model_facts *facts);
    /* Tensors that published checkpoints carry and inference does not need. */
    bool (*ignores)(const char *tensor);
    /* Tensors whose numbers build() has put into the graph; NULL: none. */
    bool (*reads)(const char *tensor);
};

/* NULL-terminated; defined in models/families.c. */
extern const struct vt_family *const vt_families[];

#endif
