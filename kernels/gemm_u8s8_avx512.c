/* SPDX-License-Identifier: Apache-2.0 */
/* u8 x s8 products in words for AVX-512: a tile of 8 x 32 holds 16 accumulators, 4 vectors of b and 2 of a in the 32
 * registers. */
#include "kernels.h"
#include "simd/avx512.h"
#include "tmpl/gemm_u8s8.h"
#include "tmpl/pack_avx512.h"

VT_GEMM_TILE_8(vt_gemm_u8s8_8x32_avx512)

void vt_pack_rows_u8s8_32_avx512(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows_32(n, k, w, ldw, panel);
}

void vt_pack_columns_u8s8_32_avx512(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_u8s8_32(n, k, v, ldv, panel);
}
