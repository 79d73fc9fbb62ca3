/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are put together from those of another value while a step reads them: windows, blocks of a map, and the
 * windows of convolutions. */
#ifndef VT_GATHER_H
#define VT_GATHER_H

#include "ops.h"

/* What rows are made of. */
struct vt_format {
    enum vt_dtype element; /* F32, BF16, I16, or U8: */
    struct vt_codes codes;
    bool are_codes; /* what is put there are pixels, as int32_t, which are the codes, or these are: */
    const uint8_t (*pixel_codes)[256]; /* [channels], which take turns in a row; or NULL */
    size_t channels;
};

/* What a product reads. */
struct vt_format vt_format_of_step(const struct vt_step *s, const struct vt_step_weights *w);

/* Puts n floats, or what the format has where these are no floats, at element `at` of a row; src NULL: zeros. */
void vt_put(const struct vt_kernels *kernels, const struct vt_format *f, const void *src, size_t n, void *row,
            size_t at);

/* Rows [first, first + count) of this pass of the value that s->gather yields, ld elements apart. */
void vt_gather_rows(const struct vt_exec *x, const struct vt_step *s, size_t first, size_t count,
                    const struct vt_format *f, void *rows, size_t ld);

#endif
