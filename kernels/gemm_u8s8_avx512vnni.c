/* SPDX-License-Identifier: Apache-2.0 */
/* u8 x s8 products with the CPU's own instruction: a tile of 12 x 32 holds 24 accumulators, 2 vectors of b and 1 of a
 * in the 32 registers. */
#include "kernels.h"
#define VT_FN(name)           name##_avx512vnni
#define VT_DOT_BYTES(s, x, y) ((vi)_mm512_dpbusd_epi32((__m512i)(s), (__m512i)(x), (__m512i)(y)))
#include "simd/avx512.h"
#include "tmpl/gemm_u8s8.h"
#include "tmpl/pack_avx512.h"

VT_GEMM_TILE_12(vt_gemm_u8s8_12x32_avx512vnni)

void vt_pack_rows_u8s8_32_avx512vnni(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows_32(n, k, w, ldw, panel);
}

void vt_pack_columns_u8s8_32_avx512vnni(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_u8s8_32(n, k, v, ldv, panel);
}
