/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resizes 8-bit images with the bits of Pillow's Image.resize and writes the result through a table of floats.
 *
 * Source rows are read once, top to bottom: each is resized horizontally to one row of 8-bit pixels, which is then
 * added, weighted, to the output rows whose window it lies in. So the scratch is linear in the sides of the source,
 * and no second copy of an image is ever made.
 */
#ifndef VT_RESAMPLE_H
#define VT_RESAMPLE_H

#include "vitrt.h"

#include <stdbool.h>

/* Pillow's numbers. */
enum vt_filter {
    VT_FILTER_NEAREST,
    VT_FILTER_LANCZOS,
    VT_FILTER_BILINEAR,
    VT_FILTER_BICUBIC,
    VT_FILTER_BOX,
    VT_FILTER_HAMMING
};

/* Largest side of a source and of the whole resized image: 32-bit positions and exact doubles with room to spare. */
#define VT_RESIZE_MAX_SIDE (1u << 30)

/* A resize of a whole image of in_height x in_width to out_height x out_width, of which only a part is wanted: height
 * x width pixels from row top and column left. All sizes are 1 .. VT_RESIZE_MAX_SIDE and the part lies inside; the
 * bits do not depend on it. Equal sizes on an axis leave that axis as it is. */
struct vt_resize {
    enum vt_filter filter;
    uint32_t in_height, in_width;
    uint32_t out_height, out_width;
    uint32_t top, left, height, width;
};

/* The float for each 8-bit value of each channel. */
struct vt_level_table {
    float value[3][256];
};

/* What vt_resize_run needs. Grows with in_*, height and width and shrinks with out_*, so one bound serves many sizes.
 * SIZE_MAX if it cannot be represented. */
size_t vt_resize_scratch_bytes(const struct vt_resize *r);

/* Element [y][x][c] of out (rows out_stride floats apart) becomes table->value[c][v], v being the 8-bit value of the
 * resized image at (top + y, left + x). image has the size in_width x in_height and any 8-bit format. out must not
 * overlap scratch (64-byte aligned) or the image; it must be allocated memory, because it holds integers until its
 * rows are complete. */
void vt_resize_run(const struct vt_resize *r, const vitrt_image *image, const struct vt_level_table *table,
                   void *scratch, float *out, size_t out_stride);

/* Bytes of one pixel; 0 for VITRT_FORMAT_F32 and values outside the enum. */
size_t vt_format_bytes(vitrt_format format);

#endif
