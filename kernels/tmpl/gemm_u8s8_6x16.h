/* SPDX-License-Identifier: Apache-2.0 */
/*
 * u8 x s8 products with VT_DOT_BYTES in 256-bit registers: a tile of 6 x 16 holds 12 accumulators, 2 vectors of b and 1
 * of a in the 16 registers. The includer defines VT_FN and VT_DOT_BYTES: the instruction has one encoding for CPUs
 * without AVX-512 and one for those with it, and tests run the tile with the latter, too.
 */
#include "kernels.h"
#include "../simd/avx2.h"
#include "gemm_u8s8.h"
#include "pack_avx2.h"

VT_GEMM_TILE_6(VT_FN(vt_gemm_u8s8_6x16))

void VT_FN(vt_pack_rows_u8s8_16)(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows(n, k, w, ldw, panel);
}

void VT_FN(vt_pack_columns_u8s8_16)(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_u8s8_16(n, k, v, ldv, panel);
}
