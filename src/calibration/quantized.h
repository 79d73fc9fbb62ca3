/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model on its way to codes: a copy of its graph whose products have quantizers, and the weights that no file has
 * yet. What comes of it is written as vitrt_model_save would, into memory, and opened from there: a quantized model is
 * what its file is.
 */
#ifndef VT_QUANTIZED_H
#define VT_QUANTIZED_H

#include "calibrate.h"
#include "pool.h"
#include "save.h"

struct vt_quantized {
    vitrt_allocator alloc;
    const vitrt_model *model;
    uint32_t weight_bits;
    enum vt_float_product float_product; /* of nodes that are restored */
    struct vt_graph graph;               /* the copy */
    struct vt_made_weight *made;         /* [graph.weight_capacity] */
    size_t made_capacity;
    vitrt_error *err;
};

/* Free with vt_quantized_free, also after a failure. */
vitrt_status vt_quantized_init(struct vt_quantized *q, const vitrt_model *m, uint32_t weight_bits, vitrt_error *err);
void vt_quantized_free(struct vt_quantized *q);

/* Gives an input its quantizer, and a layer its codes. */
vitrt_status vt_quantized_add(struct vt_quantized *q, const struct vt_operand *operand, struct vt_pool *pool);

/* The node as it was, in float. */
void vt_quantized_restore(struct vt_quantized *q, vt_value v);

/* The file, to be freed with q->alloc. */
vitrt_status vt_quantized_write(struct vt_quantized *q, char **file, size_t *bytes);

/* A model of the file; copy: it may be freed then. */
vitrt_status vt_quantized_open(const struct vt_quantized *q, const char *file, size_t bytes, bool copy,
                               vitrt_model **out);

#endif
