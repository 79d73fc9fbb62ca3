/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantizers of rows of weights: RepQ-ViT's search over three percentiles for the clip range with the least squared
 * error. Streams have observer.h.
 */
#ifndef VT_QUANTIZER_SEARCH_H
#define VT_QUANTIZER_SEARCH_H

#include "quantizer.h"

#include <stddef.h>

/* Floats of scratch that a search over n numbers needs. */
size_t vt_search_scratch(size_t n);

/* The quantizer of one row: a code stands for (code - zero) * scale, and is at most *top.
 * 8 bits: symmetric, -127..127 less the zero point. The clip is the one of least squared error among the three
 * percentiles of |w| and the maximum, in this order; the maximum is what published symmetric quantizers take.
 * Fewer bits: asymmetric as activations, of the ranges [quantile 1 - p, quantile p], p = .999, .9999, .99999, the first
 * one with the least squared error. VT_FIT_WIDENED: 0 is so far outside of it that codes less the zero point do not fit
 * into 8 bits, and the range was extended to it; or all numbers are as good as zero: a row of zeros, or n = 0, has the
 * scale VT_MIN_SCALE. VT_FIT_NOT_FINITE also stands for a scale over VT_MAX_SCALE. scratch: [vt_search_scratch(n)]. */
enum vt_fit vt_row_quantizer(const float *w, size_t n, unsigned bits, struct vt_quantizer *q, unsigned *top,
                             float *scratch);

/* The codes of w[n], less the zero point. */
void vt_row_codes(const struct vt_quantizer *q, unsigned top, const float *w, size_t n, int8_t *codes);

#endif
