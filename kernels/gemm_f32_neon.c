/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product for AArch64: a tile of 12 x 8 holds 24 accumulators and 2 vectors of b in the 32 registers, which
 * leaves 6 for elements of a. 24 chains of fused multiply-adds hide their latency (4 cycles, up to 4 per cycle: 16
 * needed).
 */
#include "kernels.h"
#include "simd/neon.h"
#include "tmpl/gemm_f32.h"
#include "tmpl/pack_neon.h"

VT_GEMM_TILE_12(vt_gemm_f32_12x8_neon)

void vt_pack_rows_f32_8_neon(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows(n, k * sizeof(float), w, ldw * sizeof(float), panel);
}

void vt_pack_columns_f32_8_neon(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_f32(n, k, v, ldv, panel);
}
