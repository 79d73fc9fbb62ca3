/* SPDX-License-Identifier: Apache-2.0 */
/*
 * u8 x s8 products in words for AVX2: a tile of 4 x 16 holds 8 accumulators, 4 vectors of b and 2 of a in the 16
 * registers. With the mask and a product that is one too many for gcc and clang, which keep one accumulator in memory;
 * a tile of 3 rows, which fits, is 5 % slower, and panels already widened to words gain 5 to 10 % for twice the memory
 * (Zen 4).
 */
#include "kernels.h"
#include "simd/avx2.h"
#include "tmpl/gemm_u8s8.h"
#include "tmpl/pack_avx2.h"

VT_GEMM_TILE_4(vt_gemm_u8s8_4x16_avx2)

void vt_pack_rows_u8s8_16_avx2(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows(n, k, w, ldw, panel);
}

void vt_pack_columns_u8s8_16_avx2(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_u8s8_16(n, k, v, ldv, panel);
}
