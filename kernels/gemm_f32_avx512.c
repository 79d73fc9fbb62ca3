/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product for AVX-512: a tile of 12 x 32 holds 24 accumulators and 2 vectors of b in the 32 registers; a comes
 * from memory as a broadcast operand.
 */
#include "kernels.h"
#include "simd/avx512.h"
#include "tmpl/gemm_f32.h"
#include "tmpl/pack_avx512.h"

VT_GEMM_TILE_12(vt_gemm_f32_12x32_avx512)

void vt_pack_rows_f32_32_avx512(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows_32(n, k * sizeof(float), w, ldw * sizeof(float), panel);
}

void vt_pack_columns_f32_32_avx512(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_f32(n, k, v, ldv, panel);
}
