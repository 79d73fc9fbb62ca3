/* SPDX-License-Identifier: Apache-2.0 */
/* See reduced_model.h. */
#include "reduced_model.h"

#include "exits.h"
#include "halting.h"

typedef vitrt_status rewriter(const struct vt_graph *g, const struct vt_reduction *r, struct vt_graph *out);

static rewriter *rewriter_of(vitrt_reduction method)
{
    switch (method) {
    case VITRT_REDUCTION_DTOP:
    case VITRT_REDUCTION_DYNAMICVIT: return vt_reduce_by_exits;
    case VITRT_REDUCTION_A_VIT: return vt_reduce_by_halting;
    default: return vt_reduce_graph;
    }
}

vitrt_status vt_reduced_model(const vitrt_model *m, const struct vt_reduction *r, const uint32_t size[2],
                              vitrt_model **out, vitrt_error *err)
{
    vitrt_model *d = vt_model_derive(m, err);
    if (!d)
        return VITRT_ENOMEM;
    vitrt_status st = rewriter_of(r->method)(&m->graph, r, &d->graph);
    d->graph.err = NULL;
    struct vt_shape *shapes = st ? NULL : vt_calloc(&m->alloc, d->graph.node_count, sizeof *shapes);
    if (!st)
        st = shapes ? vt_graph_shapes(&d->graph, size[0], size[1], shapes, err)
                    : vt_err_memory(err, d->graph.node_count * sizeof *shapes, "a reduced model");
    vt_free(&m->alloc, shapes, d->graph.node_count * sizeof *shapes);
    if (st)
        vitrt_model_free(d);
    else
        *out = d;
    return st;
}
