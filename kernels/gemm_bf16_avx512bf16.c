/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 products with the CPU's own instruction: a tile of 12 x 32 holds 24 accumulators and 2 vectors of b in the 32
 * registers; a comes from memory as a broadcast operand.
 */
#include "kernels.h"
#define VT_FN(name) name##_avx512bf16
#include "simd/avx512.h"
#include "tmpl/pack_avx512.h"

typedef vt_bf16 gemm_a, gemm_b;
typedef __m512bh va, vb;
#define KR                 2
#define LOAD_B(p)          ((vb)_mm512_loadu_si512(p))
#define SPREAD_A(p)        spread_pair(p, 2)
#define SPREAD_A_END(p, n) spread_pair(p, n)
#define MULTIPLY(s, x, y)  _mm512_dpbf16_ps(s, x, y)

static inline va spread_pair(const vt_bf16 *p, size_t n)
{
    uint32_t pair = 0;
    __builtin_memcpy(&pair, p, n * sizeof *p);
    return (va)_mm512_set1_epi32((int)pair);
}

#include "tmpl/gemm_float.h"
#include "tmpl/gemm.h"

VT_GEMM_TILE_12(vt_gemm_bf16_12x32_avx512bf16)

void vt_pack_rows_bf16_32_avx512bf16(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows_32(n, k * sizeof(vt_bf16), w, ldw * sizeof(vt_bf16), panel);
}

void vt_pack_columns_bf16_32_avx512bf16(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_columns_bf16_32(n, k, v, ldv, panel);
}
