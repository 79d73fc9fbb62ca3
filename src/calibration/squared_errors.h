/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums of the squared errors that quantizers make, by which they are chosen. The order of the numbers does not change a
 * bit of a sum: each squared error is cut into a multiple of a coarse unit, a multiple of a fine one and a rest that is
 * dropped (of n errors: at most n^2 2^-101 of the largest), and sums of multiples that fit into a double are exact.
 */
#ifndef VT_SQUARED_ERRORS_H
#define VT_SQUARED_ERRORS_H

#include "quantizer.h"

#include <stdbool.h>
#include <stddef.h>

/* Columns that it pays to process together; numbers of one quantizer are spread over as many. */
enum { VT_ERROR_COLUMNS = 64 };

/* One quantizer per column as arrays over the columns, and the sums. */
struct vt_error_sums {
    double *inverse, *zero; /* 1 / scale */
    double *anchor;         /* adding and subtracting it rounds to the coarse unit */
    double *coarse, *fine;  /* in units of scale^2 */
};

/* What the columns share. */
struct vt_error_rule {
    double top;        /* the largest code */
    double fine_ratio; /* of the fine unit's anchor to the coarse one's */
    bool log;          /* base sqrt(2) instead of uniform; zero is unused */
};

/* For sums over at most n numbers. */
struct vt_error_rule vt_error_rule_of(double top, bool log, uint64_t n);

/* Column c begins: a quantizer, the number n of the numbers that all columns of this quantizer will get together, and
 * the smallest and the largest of them. */
void vt_begin_error_sum(const struct vt_error_sums *s, size_t c, const struct vt_error_rule *rule, double scale,
                        double zero, uint64_t n, double min, double max);

/* Adds the squared error of x[i] to column c + i, i < n. */
void vt_add_squared_errors(const struct vt_error_sums *s, size_t c, const struct vt_error_rule *rule, size_t n,
                           const float *x);

/* The sum of columns [c, c + n), which are one quantizer's, in units of scale^2. */
double vt_error_sum(const struct vt_error_sums *s, size_t c, size_t n);

#endif
