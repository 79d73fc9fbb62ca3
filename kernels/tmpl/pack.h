/* SPDX-License-Identifier: Apache-2.0 */
/* Packing in plain C for tiles of any width nr; the contracts are in kernels.h. */
#ifndef VT_TMPL_PACK_H
#define VT_TMPL_PACK_H

#include <stddef.h>

/* panel[kk / kr][j][kk % kr] = x[j * row + kk * step] for j < n and kk < k, zeros up to nr and to whole units of kr. */
#define VT_DEFINE_PACK(name, type, kr)                                                                                 \
    static inline void name(size_t nr, size_t n, size_t k, const type *x, size_t row, size_t step, type *panel)        \
    {                                                                                                                  \
        for (size_t unit = 0; unit < k; unit += kr)                                                                    \
            for (size_t j = 0; j < nr; j++)                                                                            \
                for (size_t kk = unit; kk < unit + kr; kk++)                                                           \
                    *panel++ = j < n && kk < k ? x[j * row + kk * step] : 0;                                           \
    }

VT_DEFINE_PACK(pack_f32, float, 1)
VT_DEFINE_PACK(pack_bf16, vt_bf16, 2)
VT_DEFINE_PACK(pack_u8s8, int8_t, 4)

#endif
