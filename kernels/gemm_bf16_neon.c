/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 products in float arithmetic for AArch64: a tile of 8 x 8 holds 16 accumulators, 4 vectors of b and 8 pairs of a
 * in the 32 registers. Unlike in tmpl/gemm_bf16.h a pair stays in one register, for the multiplication takes an element
 * of it for all columns.
 */
#include <string.h>

#include "kernels.h"
#include "simd/neon.h"
#include "tmpl/pack_neon.h"

typedef vt_bf16 gemm_a, gemm_b;
typedef float32x2_t va;
typedef struct {
    vf even, odd;
} vb;
#define KR                 2
#define LOAD_B(p)          load_pairs(p)
#define SPREAD_A(p)        load_pair(p, 2)
#define SPREAD_A_END(p, n) load_pair(p, n)
#define MULTIPLY(s, x, y)  vfmaq_lane_f32(vfmaq_lane_f32(s, (y).even, x, 0), (y).odd, x, 1)

static inline vb load_pairs(const vt_bf16 *p)
{
    return (vb){ vf_load_bf16_even(p), vf_load_bf16_odd(p) };
}

/* What is missing is -0, as in tmpl/gemm_bf16.h. */
static inline float32x2_t load_pair(const vt_bf16 *p, size_t n)
{
    uint32_t pair = 0x80000000u;
    memcpy(&pair, p, n * sizeof *p);
    return vreinterpret_f32_u32(vget_low_u32(vshll_n_u16(vcreate_u16(pair), 16)));
}

#include "tmpl/gemm_float.h"
#include "tmpl/gemm.h"

VT_GEMM_TILE_8(vt_gemm_bf16_8x8_neon)

static inline uint16x8_t load_row(const vt_bf16 *p, size_t n)
{
    vt_bf16 row[NR] = { 0 };
    memcpy(row, p, n * sizeof *p);
    return vld1q_u16(row);
}

void vt_pack_rows_bf16_8_neon(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows(n, k * sizeof(vt_bf16), w, ldw * sizeof(vt_bf16), panel);
}

/* Columns j of rows kk and kk + 1 become unit j of row kk / 2. */
void vt_pack_columns_bf16_8_neon(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    const vt_bf16 *from = v;
    vt_bf16 *to = panel;
    for (size_t kk = 0; kk < k; kk += 2, from += 2 * ldv, to += PANEL_ROW) {
        const uint16x8_t next = kk + 1 < k ? load_row(from + ldv, n) : vdupq_n_u16(0);
        const uint16x8x2_t pairs = vzipq_u16(load_row(from, n), next);
        vst1q_u16(to, pairs.val[0]);
        vst1q_u16(to + PANEL_ROW / 2, pairs.val[1]);
    }
}
