/* SPDX-License-Identifier: Apache-2.0 */
/* Colours of classes over a picture; see segment.h. */
#include "segment.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>

/* Those of CamVid's first eleven classes as SegNet draws them, then from the start. */
static const uint8_t colours[][3] = { { 128, 128, 128 }, { 128, 0, 0 },   { 192, 192, 128 }, { 128, 64, 128 },
                                      { 60, 40, 222 },   { 128, 128, 0 }, { 192, 128, 128 }, { 64, 64, 128 },
                                      { 64, 0, 128 },    { 64, 64, 0 },   { 0, 128, 192 } };

bool overlay_write(const char *path, const vitrt_image *image, const float *classes, uint32_t height, uint32_t width)
{
    const size_t row_bytes = (size_t)image->width * 3, stride = image->stride ? image->stride : row_bytes;
    uint8_t *mixed = malloc(row_bytes * image->height);
    if (!mixed)
        return false;
    for (size_t y = 0; y < image->height; y++)
        for (size_t x = 0; x < image->width; x++) {
            const size_t at = y * height / image->height * width + x * width / image->width;
            const uint8_t *colour = colours[(size_t)classes[at] % (sizeof colours / sizeof *colours)];
            const uint8_t *from = (const uint8_t *)image->data + y * stride + 3 * x;
            for (size_t c = 0; c < 3; c++)
                mixed[y * row_bytes + 3 * x + c] = (uint8_t)((from[c] + colour[c]) / 2);
        }
    const bool written = stbi_write_png(path, (int)image->width, (int)image->height, 3, mixed, (int)row_bytes);
    free(mixed);
    return written;
}
