/* SPDX-License-Identifier: Apache-2.0 */
/*
 * u8 x s8 products for AArch64 without its instructions for dot products. It multiplies bytes of one sign only, so b is
 * taken as b + 128, a product of two unsigned bytes, and 128 times the sum of the row is taken off. Four products of a
 * column are added in pairs into two sums, which saves rearranging bytes in the loop.
 *
 * A tile of 4 x 8 holds 16 accumulators, 2 vectors of b, 4 of a and products in the 32 registers. gcc 12 makes a taller
 * one keep accumulators in memory.
 */
#include "kernels.h"
#include "simd/neon.h"
#include "tmpl/pack_neon.h"

typedef uint8_t gemm_a;
typedef int8_t gemm_b;
typedef struct {
    uint32x4_t first, second; /* columns 0, 0, 1, 1 and 2, 2, 3, 3 */
} acc;
typedef uint8x16_t va, vb;
#define KR                     4
#define ROW_TERM(row, k)       (-128 * sum_of_bytes(row, k))
#define ACC_START(start, term) start_of_sums(start, term)
#define ACC_SUM(s)             vreinterpretq_s32_u32(vpaddq_u32((s).first, (s).second))
#define LOAD_B(p)              veorq_u8(vreinterpretq_u8_s8(vld1q_s8(p)), vdupq_n_u8(128))
#define SPREAD_A(p)            spread_bytes(p, 4)
#define SPREAD_A_END(p, n)     spread_bytes(p, n)
#define MULTIPLY(s, x, y)      add_products(s, x, y)

static inline int32_t sum_of_bytes(const uint8_t *p, size_t n)
{
    uint8_t rest[16] = { 0 };
    uint32x4_t sums = vdupq_n_u32(0);
    for (; n >= sizeof rest; n -= sizeof rest, p += sizeof rest)
        sums = vpadalq_u16(sums, vpaddlq_u8(vld1q_u8(p)));
    memcpy(rest, p, n);
    return (int32_t)vaddvq_u32(vpadalq_u16(sums, vpaddlq_u8(vld1q_u8(rest))));
}

/* One of the two sums of each column starts from all of it. */
static inline acc start_of_sums(vi start, int32_t term)
{
    const uint32x4_t all = vreinterpretq_u32_s32(vaddq_s32(start, vdupq_n_s32(term))), none = vdupq_n_u32(0);
    return (acc){ vzip1q_u32(all, none), vzip2q_u32(all, none) };
}

/* The same n <= 4 bytes for every column, zeros behind them. */
static inline va spread_bytes(const uint8_t *p, size_t n)
{
    uint32_t bytes = 0;
    memcpy(&bytes, p, n);
    return vreinterpretq_u8_u32(vdupq_n_u32(bytes));
}

static inline acc add_products(acc s, va x, vb y)
{
    s.first = vpadalq_u16(s.first, vmull_u8(vget_low_u8(x), vget_low_u8(y)));
    s.second = vpadalq_u16(s.second, vmull_high_u8(x, y));
    return s;
}

#include "tmpl/gemm_i32.h"
#include "tmpl/gemm.h"

VT_GEMM_TILE_4(vt_gemm_u8s8_4x8_neon)

void vt_pack_rows_u8s8_8_neon(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_rows(n, k, w, ldw, panel);
}

static inline uint8x8_t load_row(const uint8_t *p, size_t n)
{
    uint8_t row[NR] = { 0 };
    memcpy(row, p, n);
    return vld1_u8(row);
}

/* Columns j of rows kk to kk + 3 become unit j of row kk / 4. */
void vt_pack_columns_u8s8_8_neon(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    const uint8_t *from = v;
    uint8_t *to = panel;
    for (size_t kk = 0; kk < k; kk += KR, from += KR * ldv, to += PANEL_ROW) {
        uint8x8x4_t rows;
        for (size_t i = 0; i < KR; i++)
            rows.val[i] = kk + i < k ? load_row(from + i * ldv, n) : vdup_n_u8(0);
        vst4_u8(to, rows);
    }
}
