/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantizers chosen for arrays: RepQ-ViT's search over three percentiles for clip ranges by the squared error, which
 * also gives the rows of weights their scales; and a finer search of each end by itself. Streams have observer.h.
 */
#ifndef VT_QUANTIZER_SEARCH_H
#define VT_QUANTIZER_SEARCH_H

#include "quantizer.h"

#include <stddef.h>

/* Floats of scratch that a search over n numbers needs. */
size_t vt_search_scratch(size_t n);

/* The sum of squared errors over x[n]; INFINITY if a number is not finite. */
double vt_quantizer_error(const struct vt_quantizer *q, const float *x, size_t n);

/* Of the ranges [quantile 1 - p, quantile p], p = .999, .9999, .99999, the one with the least squared error; the first
 * of several. n = 0 is as an array of zeros. scratch: [vt_search_scratch(n)]. */
enum vt_fit vt_search_quantizer(struct vt_quantizer *q, const float *x, size_t n, unsigned bits, float *scratch);

/* The same for the logarithm to base sqrt(2), whose candidates are the quantiles p. VT_FIT_WIDENED: the chosen one is
 * below VT_MIN_SCALE, and delta is that. */
enum vt_fit vt_search_log_quantizer(struct vt_log_quantizer *q, const float *x, size_t n, unsigned bits,
                                    float *scratch);

/* Dual clipping in the manner of RepQuant, by search instead of learning: from the range [lo, hi], lo <= hi, the lower
 * end goes in 64 steps to the middle and stays where the squared error on x[n] is least; then the upper one, and so on
 * until neither helps, four times at most. Never worse than the quantizer of [lo, hi]. */
enum vt_fit vt_clip_both_ends(struct vt_quantizer *q, double lo, double hi, unsigned bits, const float *x, size_t n);

/* ---- Rows of weights ---- */

/* One row: codes[n] that stand for code * *scale.
 * 8 bits: symmetric, -127..127. The clip is the one of least squared error among the three percentiles of |w| and the
 * maximum, in this order; the maximum is what published symmetric quantizers take.
 * Fewer bits: asymmetric as activations, stored less the zero point. VT_FIT_WIDENED: 0 is so far outside of the chosen
 * range that this does not fit into 8 bits, and the range was extended to it; or all numbers are as good as zero.
 * VT_FIT_NOT_FINITE: the codes are 0. scratch: [vt_search_scratch(n)]. */
enum vt_fit vt_quantize_row(const float *w, size_t n, unsigned bits, int8_t *codes, float *scale, float *scratch);

/* The quantizer of that row: a code stands for (code - zero) * scale, and is at most *top. */
enum vt_fit vt_row_quantizer(const float *w, size_t n, unsigned bits, struct vt_quantizer *q, unsigned *top,
                             float *scratch);

#endif
