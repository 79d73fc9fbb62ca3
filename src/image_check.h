/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the structure of a JPEG, PNG or BMP file before the decoder sees it: finds size and orientation, and refuses
 * what is truncated, damaged or not supported with a sentence of its own. It also refuses, or marks for repair, every
 * file that would make stb_image 2.27 leave its own buffers or read memory it has not written; image_check.c says
 * which and why.
 */
#ifndef VT_IMAGE_CHECK_H
#define VT_IMAGE_CHECK_H

#include "error.h"

#include <stdint.h>

struct vt_image_facts {
    uint32_t width, height; /* as stored, before any turning */
    unsigned orientation;   /* EXIF's number 1 .. 8; 1 where the file says nothing */

    /* Repair of a palette with fewer entries than a pixel can name or than the decoder would read: insert this many
     * zero bytes (black) there, and add their number to the 32-bit field at length_at. insert_bytes 0: nothing to
     * repair. */
    size_t insert_at, insert_bytes, length_at;
    int length_is_big_endian;
};

/* bytes: the whole file, at most INT_MAX of them. */
vitrt_status vt_image_check(const uint8_t *bytes, size_t size, struct vt_image_facts *facts, vitrt_error *err);

#endif
