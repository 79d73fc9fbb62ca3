/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product for AVX2 + FMA: a tile of 6 x 16 holds 12 accumulators, 2 vectors of b and 1 of a in the 16 registers.
 * 12 chains of fused multiply-adds hide their latency (4 or 5 cycles, 2 per cycle: 8 to 10 needed).
 */
#include "kernels.h"
#include "simd/avx2.h"
#include "tmpl/gemm_f32.h"
#include "tmpl/pack_avx2.h"

VT_GEMM_TILE_6(vt_gemm_f32_6x16_avx2)

void vt_pack_rows_f32_16_avx2(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows(n, k * sizeof(float), w, ldw * sizeof(float), panel);
}

void vt_pack_columns_f32_16_avx2(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_f32(n, k, v, ldv, panel);
}
