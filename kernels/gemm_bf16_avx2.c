/* SPDX-License-Identifier: Apache-2.0 */
/* bf16 products in float arithmetic for AVX2 + FMA: a tile of 4 x 16 holds 8 accumulators, 4 vectors of b and 2 of a in
 * the 16 registers. */
#include "kernels.h"
#include "simd/avx2.h"
#include "tmpl/gemm_bf16.h"
#include "tmpl/pack.h"
#include "tmpl/pack_avx2.h"

VT_GEMM_TILE_4(vt_gemm_bf16_4x16_avx2)

void vt_pack_rows_bf16_16_avx2(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows(n, k * sizeof(vt_bf16), w, ldw * sizeof(vt_bf16), panel);
}

void vt_pack_columns_bf16_16_avx2(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_bf16(NR, n, k, v, 1, ldv, panel);
}
