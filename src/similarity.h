/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How similar rows are: the cosine of the angle between their features, those of some rows of an image with those of
 * others, as a matrix product whose result is in the cache only.
 *
 * Floats become unit vectors, as do sums of groups, which are a fraction of their row and cheap to compare. Whole rows
 * of bf16 are multiplied as they are, and rows of codes as codes of their directions (kernels.h), 127 being the greatest
 * of a row; what lengths these have is taken off behind the product. So what rounding does to a length has no effect,
 * and of rows that are nearly alike the similarity is far more exact than a code is.
 */
#ifndef VT_SIMILARITY_H
#define VT_SIMILARITY_H

#include "ops.h"

/* Rows of one image, from[count], beside others[other_count] > 0. */
struct vt_similarity {
    const struct vt_step_job *j; /* of the selection */
    void *scratch;               /* vt_similarity_bytes, part of j->scratch */
    struct vt_image_rows features;
    const uint32_t *from, *others;
    size_t count, other_count;
    float *best;  /* [count]: the greatest similarity, which may be a NaN, */
    uint32_t *to; /* [count]: and to which of the others, the first of equal ones */
};

/* Scratch for a selection that compares features of images with so many rows; 64-byte aligned. */
size_t vt_similarity_bytes(const struct vt_plan *p, const struct vt_node *select, size_t rows);

/* A single image's rows are shared out among the workers. */
void vt_find_most_similar(const struct vt_similarity *s);

#endif
