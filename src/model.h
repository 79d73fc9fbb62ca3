/* SPDX-License-Identifier: Apache-2.0 */
/* An opened model: checkpoint, graph, weights, preprocessing, labels. Immutable but for the store of packed weights,
 * which locks itself. */
#ifndef VT_MODEL_H
#define VT_MODEL_H

#include "family.h"
#include "preprocess.h"
#include "weights.h"

#include <stdatomic.h>

struct vitrt_model {
    vitrt_allocator alloc;
    vitrt_logger logger;
    atomic_uint references; /* the caller's and one for each session */
    vitrt_model *base; /* retained; whose checkpoint, weights and labels this one shares, or NULL */
    struct vt_checkpoint *checkpoint;
    struct vt_graph graph;
    struct vt_weights *weights;
    struct vt_preprocess preprocess;
    struct vt_model_facts facts;
    uint32_t default_size[2];
    uint64_t parameters, weight_bytes;
    char **labels; /* [label_count]; elements may be NULL */
    size_t label_count;
};

void vt_model_retain(vitrt_model *m);

/* A model that shares everything with m but the nodes and outputs of its graph, which is empty but for the weights; or
 * NULL: no memory. */
vitrt_model *vt_model_derive(const vitrt_model *m, vitrt_error *err);

#endif
