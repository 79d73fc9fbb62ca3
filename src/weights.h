/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model's store of packed weights: each weight is read from the checkpoint and packed once, when a session first
 * needs it in that layout, and then shared by all sessions. Thread-safe.
 */
#ifndef VT_WEIGHTS_H
#define VT_WEIGHTS_H

#include "graph.h"

struct vt_weights;

enum vt_layout {
    VT_LAYOUT_PLAIN,      /* f32 as the checkpoint has it, then VT_PLAIN_PADDING zeros */
    VT_LAYOUT_PANELS_F32, /* panels of the kernel for that product, one after the other */
    VT_LAYOUT_PANELS_BF16
};

/* A tile reads its whole width of a bias, also for the last columns; no tile is wider. */
#define VT_PLAIN_PADDING 64

/* graph must outlive the store. */
vitrt_status vt_weights_create(const struct vt_graph *graph, struct vt_weights **out, vitrt_error *err);
void vt_weights_free(struct vt_weights *w); /* NULL is allowed */

/* The layout of a weight that is multiplied. */
enum vt_layout vt_layout_of(enum vt_product product);

/* Bytes of a weight in that layout. kernels is only read for panels. */
size_t vt_weights_bytes(const struct vt_graph *graph, vt_weight weight, enum vt_layout layout,
                        const struct vt_kernels *kernels);

/* The packed weight, 64-byte aligned, valid as long as the store. *data is NULL for VT_NO_WEIGHT. */
vitrt_status vt_weights_get(struct vt_weights *w, vt_weight weight, enum vt_layout layout,
                            const struct vt_kernels *kernels, const void **data, vitrt_error *err);

#endif
