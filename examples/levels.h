/* SPDX-License-Identifier: Apache-2.0 */
/* From a model's prepared input back to a picture. */
#ifndef LEVELS_H
#define LEVELS_H

#include <stddef.h>
#include <stdint.h>

#include "vitrt.h"

/* What preprocessing makes of black, and of white, in each channel: no call tells mean and deviation. */
struct levels {
    float black[3], white[3];
};

/* Prepares a black and a white image. options: of the session whose "pixels" are to be turned back. */
vitrt_status levels_find(struct levels *l, const vitrt_model *model, const vitrt_session_options *options,
                         vitrt_error *err);

/* pixels, rgb: [n, 3]. */
void levels_to_rgb(const struct levels *l, const float *pixels, size_t n, uint8_t *rgb);

#endif
