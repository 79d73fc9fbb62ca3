/* SPDX-License-Identifier: Apache-2.0 */
/* From a model's prepared input back to a picture; see levels.h. */
#include "levels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a pixel of an image of one level becomes. The image has the input's size, which every preprocessing takes; the
 * pixel is in its middle, because there may be a margin. */
static vitrt_status pixel_of(vitrt_session *session, uint8_t level, float pixel[3], vitrt_error *err)
{
    vitrt_session_info info;
    vitrt_output out = { 0 };
    vitrt_status st = vitrt_session_get_info(session, &info);
    if (st != VITRT_OK)
        return st;
    const size_t n = (size_t)info.height * info.width;
    uint8_t *grey = malloc(n);
    if (!grey) {
        snprintf(err->message, sizeof(err->message), "Not enough memory for an image of %zu pixels.", n);
        return VITRT_ENOMEM;
    }
    memset(grey, level, n);
    const vitrt_image image = {
        .data = grey, .width = info.width, .height = info.height, .format = VITRT_FORMAT_GREY8
    };
    st = vitrt_run(session, &image, 1, &out, err);
    if (st == VITRT_OK)
        memcpy(pixel, (const float *)out.data + 3 * (info.height / 2 * (size_t)info.width + info.width / 2),
               3 * sizeof(*pixel));
    free(grey);
    return st;
}

vitrt_status levels_find(struct levels *l, const vitrt_model *model, const vitrt_session_options *options,
                         vitrt_error *err)
{
    static const char *const pixels = "pixels";
    vitrt_session_options own = *options;
    vitrt_session *session = NULL;
    own.outputs = &pixels; /* and nothing else is computed */
    own.output_count = 1;
    vitrt_status st = vitrt_session_create(model, &own, &session, err);
    if (st == VITRT_OK)
        st = pixel_of(session, 0, l->black, err);
    if (st == VITRT_OK)
        st = pixel_of(session, UINT8_MAX, l->white, err);
    vitrt_session_free(session);
    return st;
}

void levels_to_rgb(const struct levels *l, const float *pixels, size_t n, uint8_t *rgb)
{
    for (size_t i = 0; i < n * 3; i++) {
        const float black = l->black[i % 3], share = (pixels[i] - black) / (l->white[i % 3] - black);
        rgb[i] = share > 0 ? (uint8_t)lrintf(UINT8_MAX * fminf(share, 1)) : 0;
    }
}
