/* SPDX-License-Identifier: Apache-2.0 */
/* The weight of a product as codes, and the bias that goes with them. */
#ifndef VT_LAYER_CODES_H
#define VT_LAYER_CODES_H

#include "compensation.h"
#include "graph.h"
#include "pool.h"

struct vt_layer {
    const struct vt_checkpoint *checkpoint;
    const struct vt_graph_weight *weight;
    const struct vt_graph_weight *bias; /* NULL: zeros */
    unsigned bits;                      /* of the codes */
    const float *scales;                /* [channels]: what its columns absorb, or NULL */
    double in_scale;                    /* of all codes that it reads; 1 where columns absorb it */
    const double *means, *code_means;   /* [channels of all groups]: of what it reads, in units of what it absorbs */
    const struct vt_compensation *compensation; /* of its columns, or NULL */
    size_t exact_row, exact_end; /* rows that must give their bias alone for an input of zeros, whatever its mean */
    size_t channels;             /* of one group; a column of a convolution is a tap of one of them */
    int8_t *codes;               /* out: [rows, columns], as the numbers are stored, */
    float *row_scales;           /* out: [rows], of them */
    float *new_bias;             /* out: [rows] */
};

/* Rows are shared out to the pool's threads. Fails where a weight cannot be read or is too large. */
vitrt_status vt_make_layer_codes(const struct vt_layer *l, struct vt_pool *pool, const vitrt_allocator *a,
                                 vitrt_error *err);

#endif
