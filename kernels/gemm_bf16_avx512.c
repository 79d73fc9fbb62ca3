/* SPDX-License-Identifier: Apache-2.0 */
/* bf16 products in float arithmetic for AVX-512: a tile of 8 x 32 holds 16 accumulators, 4 vectors of b and 2 of a in
 * the 32 registers. */
#include "kernels.h"
#include "simd/avx512.h"
#include "tmpl/gemm_bf16.h"
#include "tmpl/pack_avx512.h"

VT_GEMM_TILE_8(vt_gemm_bf16_8x32_avx512)

void vt_pack_rows_bf16_32_avx512(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows_32(n, k * sizeof(vt_bf16), w, ldw * sizeof(vt_bf16), panel);
}

void vt_pack_columns_bf16_32_avx512(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_bf16_32(n, k, v, ldv, panel);
}
