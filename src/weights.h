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
    VT_LAYOUT_TRANSPOSED, /* the same as [columns, rows] */
    VT_LAYOUT_PANELS_F32, /* panels of the kernel for that product, one after the other; every group begins one */
    VT_LAYOUT_PANELS_BF16,
    VT_LAYOUT_PANELS_U8S8, /* of weights of type I8, without the scales of their rows; */
    VT_LAYOUT_ROW_SCALES   /* these */
};

/* A tile reads its whole width of a bias, also for the last columns. */
#define VT_PLAIN_PADDING VT_MAX_TILE_COLUMNS

/* graph must outlive the store. */
vitrt_status vt_weights_create(const struct vt_graph *graph, struct vt_weights **out, vitrt_error *err);
void vt_weights_free(struct vt_weights *w); /* NULL is allowed */

/* The layout of a weight that is multiplied. */
enum vt_layout vt_layout_of(enum vt_product product);

/* Bytes of a weight in that layout. kernels is only read for panels. */
size_t vt_weights_bytes(const struct vt_graph *graph, vt_weight weight, enum vt_layout layout,
                        const struct vt_kernels *kernels);

/* A weight in a layout; data, 64-byte aligned, is NULL for VT_NO_WEIGHT. */
struct vt_weight_request {
    vt_weight weight;
    enum vt_layout layout;
    const void *data; /* out: valid as long as the store */
};

/* Finds the weights or reads and packs them. What is new goes into one block of memory: an allocator can put that into
 * large pages, which small blocks do not fill (22 MB of ViT-Ti in 4 KiB pages cost 2 % of its time). On failure what
 * has been packed is kept, and the rest of the block for the same attempt once more. */
vitrt_status vt_weights_load(struct vt_weights *w, struct vt_weight_request *requests, size_t count,
                             const struct vt_kernels *kernels, vitrt_error *err);

#endif
