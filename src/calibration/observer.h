/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What calibration sees of one tensor [rows, columns] that passes by in pieces: first its range and its quantiles;
 * then, when the same numbers pass a second time, how large the squared error of each candidate range is. So RepQ-ViT's
 * search over three percentiles runs over any number of images in bounded memory.
 *
 * Rows may come in any pieces and, up to the limits for exact quantiles, in any order: no bit of a result depends on
 * it. An observer is used by one thread at a time.
 */
#ifndef VT_OBSERVER_H
#define VT_OBSERVER_H

#include "quantizer.h"
#include "squared_errors.h"
#include "tails.h"
#include "vitrt.h"

#include <stdbool.h>

/* Quantiles are exact up to so many rows, or numbers if a tensor has one quantizer. Beyond that they are those of every
 * n-th row, n chosen so that the limit holds (range and errors are always of all rows). It bounds the memory of the tails
 * to 8.4 KB for a column and 540 KB for a tensor. */
#define VT_EXACT_ROWS    (UINT64_C(1) << 20)
#define VT_EXACT_NUMBERS (UINT64_C(1) << 26)

struct vt_observer_spec {
    uint64_t rows;  /* no pass will have more */
    size_t columns; /* > 0 */
    uint8_t bits;
    bool per_column; /* one quantizer for each column instead of one for all */
    bool log;        /* a logarithmic quantizer's delta instead of a range */
};

struct vt_observer {
    struct vt_observer_spec spec;
    size_t groups;                /* quantizers: columns, or 1 */
    size_t lanes;                 /* of sums: columns, or VT_ERROR_COLUMNS for the one quantizer */
    uint64_t stride;              /* of the rows that quantiles are taken from */
    uint64_t collected, compared; /* rows */
    uint64_t not_finite;
    struct vt_error_rule rule;
    struct vt_tails *tails;                    /* [groups] */
    float *storage;                            /* [groups][2 * capacity]: the tails' */
    float *min, *max;                          /* [groups]; of all rows, once the first pass has ended */
    struct vt_quantizer *quantizers;           /* [VT_PERCENTILES][groups]: candidates */
    uint8_t *fits;                             /* [VT_PERCENTILES][groups]: enum vt_fit */
    struct vt_error_sums sums[VT_PERCENTILES]; /* [lanes] each */
    void *block;
    size_t block_bytes;
};

/* VITRT_ENOMEM, or an observer that has seen nothing. Free it with the same allocator, also after a failed init. */
vitrt_status vt_observer_init(struct vt_observer *o, const struct vt_observer_spec *spec, const vitrt_allocator *a,
                              vitrt_error *err);
void vt_observer_free(struct vt_observer *o, const vitrt_allocator *a);

/* First pass: rows of x, ld numbers apart. Numbers that are not finite are counted and spoil the tensor: all of its
 * quantizers are VT_FIT_NOT_FINITE. */
void vt_observer_collect(struct vt_observer *o, const float *x, size_t rows, size_t ld);

/* Ends the first pass and makes the candidates. */
void vt_observer_end_collecting(struct vt_observer *o);

/* Second pass: the same rows. */
void vt_observer_compare(struct vt_observer *o, const float *x, size_t rows, size_t ld);

/* After the second pass, for column g (0 if the tensor has one quantizer): the candidate with the least squared error,
 * the first of several. A logarithmic quantizer's delta is the scale. */
enum vt_fit vt_observer_quantizer(const struct vt_observer *o, size_t g, struct vt_quantizer *q);

#endif
