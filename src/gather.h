/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are put together from those of another value while a step reads them: windows, blocks of a map, and the
 * windows of convolutions. */
#ifndef VT_GATHER_H
#define VT_GATHER_H

#include "ops.h"

/* Copies n floats to element `at` of a row, as floats or rounded to bf16; src NULL: zeros. */
void vt_put(const struct vt_kernels *kernels, bool bf16, const float *src, size_t n, void *row, size_t at);

/* Rows [first, first + count) of this pass of the value that s->gather yields, ld elements apart. */
void vt_gather_rows(const struct vt_exec *x, const struct vt_step *s, size_t first, size_t count, bool bf16, void *rows,
                    size_t ld);

#endif
