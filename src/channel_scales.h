/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What calibration can do for channels that differ in size and place, beyond a range for each: share the difficulty
 * between activations and weights, and correct biases for what quantized weights do to the mean.
 *
 * A product's input has a quantizer for each channel c, scale s_c and zero point z_c, and the matrix stands for
 * W * diag(s), so that none of this changes the layers around a product. RepQ-ViT's and SmoothQuant's methods, which
 * publish changed LayerNorms and weights, are choices of s and z here.
 */
#ifndef VT_CHANNEL_SCALES_H
#define VT_CHANNEL_SCALES_H

#include "quantizer.h"

#include <stddef.h>

/* SmoothQuant's factor for a channel, x_max^alpha / w_max^(1 - alpha), 0 <= alpha <= 1, within 1e-5 and 1e5; 1 if one
 * of them is 0 or not finite. x_max: the largest |x|, or half the channel's range if it is centred first. */
double vt_smooth_factor(double x_max, double w_max, double alpha);

/* The quantizers q[n] of the channels of x that stand for one quantizer of (x_c - centre_c) / factor_c, centre_c the
 * middle of [lo_c, hi_c] (Outlier Suppression+, the bias of MPTQ-ViT's SQ-b). w_max: the largest |w| of each channel's
 * column. A channel that is constant, or that no weight reads, has the quantizer of its range instead, and does not
 * matter for the others. alpha = 1 gives every channel all codes. The worst fit. */
enum vt_fit vt_smooth_quantizers(size_t n, const float *lo, const float *hi, const float *w_max, double alpha,
                                 unsigned bits, struct vt_quantizer *q);

/* One row of W * diag(s): out[n]. out == w is allowed. */
void vt_scale_row(const float *w, const struct vt_quantizer *q, size_t n, float *out);

/* The bias of a row whose weights w[n] became codes[n]: bias + sum_c mean_c * (w_c - codes_c * weight_scale / s_c), so
 * that inputs at `mean` give what they gave before. mean: of the channels' numbers, as a rule; and
 * mean_c = s_c * (m - z_c), m the mean zero point, makes it RepQ-ViT's bias, whose zero points are moved with the
 * original weights. Without any correction, a channel far from 0 multiplies what its weight lost by its zero point. */
float vt_corrected_bias(float bias, const float *w, const int8_t *codes, float weight_scale,
                        const struct vt_quantizer *q, const float *mean, size_t n);

/* RepQ-ViT's mean above, for all channels, with the rounded mean of the zero points. */
void vt_zero_point_means(const struct vt_quantizer *q, size_t n, float *mean);

#endif
