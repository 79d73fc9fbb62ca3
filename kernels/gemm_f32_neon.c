/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product for AArch64: a tile of 8 x 8 holds 16 accumulators, 2 vectors of b and 8 elements of a in the 32
 * registers. 16 chains of fused multiply-adds hide their latency (4 cycles, up to 4 per cycle). Taller tiles make gcc
 * spill, since it loads the elements of a all at once.
 */
#include "kernels.h"
#include "simd/neon.h"
#include "tmpl/gemm_f32.h"
#include "tmpl/pack_neon.h"

VT_GEMM_TILE_8(vt_gemm_f32_8x8_neon)

void vt_pack_rows_f32_8_neon(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows(n, k * sizeof(float), w, ldw * sizeof(float), panel);
}

void vt_pack_columns_f32_8_neon(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_f32(n, k, v, ldv, panel);
}
