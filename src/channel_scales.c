/* SPDX-License-Identifier: Apache-2.0 */
/* See channel_scales.h. */
#include "channel_scales.h"

#include <math.h>
#include <stdbool.h>

double vt_smooth_factor(double x_max, double w_max, double alpha)
{
    const double factor = pow(x_max, alpha) / pow(w_max, 1 - alpha);
    if (!(x_max > 0) || !(w_max > 0) || !isfinite(x_max) || !isfinite(w_max))
        return 1;
    return vt_clamp(factor, 1e-5, 1e5);
}

/* Half the range of a channel that takes part; 0: it does not. */
static double half_range(float lo, float hi, float w_max)
{
    const double half = ((double)hi - lo) / 2;
    return isfinite(half) && isfinite(w_max) && w_max > 0 ? half : 0;
}

enum vt_fit vt_smooth_quantizers(size_t n, const float *lo, const float *hi, const float *w_max, double alpha,
                                 unsigned bits, struct vt_quantizer *q)
{
    double shared = 0; /* half the range that all have after their factors */
    for (size_t c = 0; c < n; c++) {
        const double half = half_range(lo[c], hi[c], w_max[c]);
        shared = fmax(shared, half / vt_smooth_factor(half, w_max[c], alpha));
    }
    enum vt_fit worst = VT_FIT_OK;
    for (size_t c = 0; c < n; c++) {
        const double half = half_range(lo[c], hi[c], w_max[c]), centre = ((double)hi[c] + lo[c]) / 2;
        const double wide = shared * vt_smooth_factor(half, w_max[c], alpha);
        const enum vt_fit fit = half > 0 ? vt_quantizer_of_range(&q[c], centre - wide, centre + wide, bits)
                                         : vt_quantizer_of_range(&q[c], lo[c], hi[c], bits);
        worst = fit > worst ? fit : worst;
    }
    return worst;
}

void vt_scale_row(const float *w, const struct vt_quantizer *q, size_t n, float *out)
{
    for (size_t c = 0; c < n; c++)
        out[c] = w[c] * q[c].scale;
}

float vt_corrected_bias(float bias, const float *w, const int8_t *codes, float weight_scale,
                        const struct vt_quantizer *q, const float *mean, size_t n)
{
    double sum = bias;
    for (size_t c = 0; c < n; c++)
        sum += mean[c] * (w[c] - (double)codes[c] * weight_scale / q[c].scale);
    return (float)sum;
}

void vt_zero_point_means(const struct vt_quantizer *q, size_t n, float *mean)
{
    double sum = 0;
    for (size_t c = 0; c < n; c++)
        sum += q[c].zero;
    const double middle = n ? vt_round_even(sum / (double)n) : 0;
    for (size_t c = 0; c < n; c++)
        mean[c] = (float)(q[c].scale * (middle - q[c].zero));
}
