/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scales and zero points for the columns of one input, from what calibration has seen of each. The weight takes them
 * over, so that they cost nothing; but the more they differ, the harder its rows are to quantize. So each column's range
 * is widened towards that of the widest one, by an exponent: the migration of SmoothQuant (Xiao et al. 2023,
 * arXiv:2211.10438, eq. 4) with the centres of Outlier Suppression+ (Wei et al. 2023, arXiv:2304.09145, eq. 3), and with
 * room for what a few images do not show, since clipping costs more than rounding.
 */
#ifndef VT_CHANNEL_SCALES_H
#define VT_CHANNEL_SCALES_H

#include "quantizer.h"

#include <stdbool.h>
#include <stddef.h>

/* What was seen of a column. */
struct vt_column {
    float min, max;
    double sum, squares;
};

struct vt_spread {
    double alpha;      /* 0: all columns have the widest one's range; 1: each its own */
    double margin;     /* ranges are so many times as wide as what was seen */
    double deviations; /* and reach at least so many standard deviations from the mean */
    bool one_sided;    /* all begin at the smallest number of any column, as behind GELU */
};

/* The same with less room, and more trust in each column, the more images there are; it is for 32. */
struct vt_spread vt_spread_for(const struct vt_spread *s, size_t images);

/* Adds rows of x, ld apart, to n columns, which begin as { INFINITY, -INFINITY, 0, 0 }. */
void vt_columns_add(struct vt_column *columns, size_t n, const float *x, size_t rows, size_t ld);

/* Quantizers q[n] of columns that have seen `rows` rows; zero points are whole numbers. A constant's range reaches to 0.
 * A column that was always 0 counts as wide as columns are on average: its weights, which take over the scale, then
 * are no larger or smaller than others of their row. The worst fit. */
enum vt_fit vt_spread_columns(const struct vt_spread *s, const struct vt_column *columns, size_t n, uint64_t rows,
                              unsigned bits, struct vt_quantizer *q);

#endif
