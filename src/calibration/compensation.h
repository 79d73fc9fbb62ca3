/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rounding one weight of a row does to an output can be made up for by the weights behind it, as far as their
 * inputs go together: GPTQ (Frantar et al. 2022, arXiv:2210.17323) in the equivalent form of QuIP's LDLQ (Chee et al.
 * 2023, arXiv:2307.13304, sec. 3), which needs no inverse. How inputs go together is the matrix of the sums of their
 * products over calibration images.
 */
#ifndef VT_COMPENSATION_H
#define VT_COMPENSATION_H

#include "kernels.h"
#include "pool.h"
#include "quantizer.h"

/* Sums over rows of x[i] * x[j], j <= i, and of x[i], all less a shift, which covariances do not depend on: the mean of
 * the first rows. Of N rows, n of which are these, it is no further from the mean of all than sqrt(N / n) deviations, so
 * that sums in float show the covariances also where columns vary little beside their distance from 0. */
struct vt_products {
    size_t n, ld;
    uint64_t rows; /* so far */
    float *sums;   /* [n][ld] */
    double *means; /* [n]: sums, too */
    float *shift;  /* [n] */
    void *block;
    size_t block_bytes;
};

size_t vt_products_bytes(size_t n, const struct vt_kernels *kernels);
vitrt_status vt_products_init(struct vt_products *p, size_t n, const struct vt_kernels *kernels,
                              const vitrt_allocator *a, vitrt_error *err);
void vt_products_free(struct vt_products *p, const vitrt_allocator *a);

/* Adds `rows` rows of x, ld apart. */
void vt_products_add(struct vt_products *p, const struct vt_kernels *kernels, const float *x, size_t rows, size_t ld);

/* In which order the weights of a row are rounded, and how much of the errors before it each takes over. */
struct vt_compensation {
    size_t n;
    uint32_t *order; /* [n] */
    float *shares;   /* [n][n]: of weight order[k] in row k, for order[0 .. k) */
};

/* Of inputs as codes, whose scales differ or are one for all (scale_count 1), and whose rounding adds a twelfth to
 * their squares. Means do not count: the bias makes up for them. Columns that do not vary, or so much that their squares
 * are infinite, are left out. Free with vt_compensation_free, also after a failure. */
vitrt_status vt_compensation_init(struct vt_compensation *c, const struct vt_products *p, const float *scales,
                                  size_t scale_count, struct vt_pool *pool, const vitrt_allocator *a, vitrt_error *err);
void vt_compensation_free(struct vt_compensation *c, const vitrt_allocator *a);

/* The codes of one row, up to `top`, less q's zero point. errors: [n], scratch. */
void vt_compensate_row(const struct vt_compensation *c, const struct vt_quantizer *q, unsigned top, const float *row,
                       float *errors, int8_t *codes);

#endif
