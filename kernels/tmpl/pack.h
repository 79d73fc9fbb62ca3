/* SPDX-License-Identifier: Apache-2.0 */
/* Packing in plain C for tiles of any width nr; the contracts are in kernels.h. */
#ifndef VT_TMPL_PACK_H
#define VT_TMPL_PACK_H

#include <stddef.h>

/* panel[kk * nr + j] = x[j * row + kk * step] for j < n, zeros up to nr. */
static inline void pack(size_t nr, size_t n, size_t k, const float *x, size_t row, size_t step, float *panel)
{
    for (size_t kk = 0; kk < k; kk++)
        for (size_t j = 0; j < nr; j++)
            panel[kk * nr + j] = j < n ? x[j * row + kk * step] : 0.0f;
}

#endif
