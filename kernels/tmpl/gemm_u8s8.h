/* SPDX-License-Identifier: Apache-2.0 */
/*
 * u8 x s8 products with 32-bit sums, four of them for each column in a step. Include a simd/<isa>.h of x86 before.
 *
 * VT_DOT_BYTES(s, x, y) is the CPU's own instruction for such a step, s + the four products (vpdpbusd). Without it the
 * even and the odd bytes are widened to words, whose products are added in pairs to 32 bits (vpmaddwd): two products of
 * bytes may exceed the 16 bits of the shorter way (vpmaddubsw), which saturates.
 */
#ifndef VT_TMPL_GEMM_U8S8_H
#define VT_TMPL_GEMM_U8S8_H

#include <string.h>

typedef uint8_t gemm_a;
typedef int8_t gemm_b;
typedef vi acc;
#define KR                     4
#define ROW_TERM(row, k)       0
#define ACC_START(start, term) ((void)(term), (start))
#define ACC_SUM(s)             (s)

static inline vi load_bytes(const int8_t *p)
{
    return vi_load((const int32_t *)(const void *)p);
}

/* The same n <= 4 bytes for every column, zeros behind them. */
static inline vi spread_bytes(const uint8_t *p, size_t n)
{
    int32_t bytes = 0;
    memcpy(&bytes, p, n);
    return vi_set1(bytes);
}

#ifdef VT_DOT_BYTES
typedef vi va, vb;
#define LOAD_B(p)          load_bytes(p)
#define SPREAD_A(p)        spread_bytes(p, 4)
#define SPREAD_A_END(p, n) spread_bytes(p, n)
#define MULTIPLY(s, x, y)  VT_DOT_BYTES(s, x, y)
#else
typedef struct {
    vi even, odd;
} va, vb;
#define LOAD_B(p)          widen_s8(load_bytes(p))
#define SPREAD_A(p)        widen_u8(spread_bytes(p, 4))
#define SPREAD_A_END(p, n) widen_u8(spread_bytes(p, n))
#define MULTIPLY(s, x, y)  vi_add(vi_add(s, vi_dot_words((x).even, (y).even)), vi_dot_words((x).odd, (y).odd))

static inline va widen_u8(vi x)
{
    return (va){ vi_even_u8(x), vi_odd_u8(x) };
}

static inline vb widen_s8(vi x)
{
    return (vb){ vi_even_s8(x), vi_odd_s8(x) };
}
#endif

#include "gemm_i32.h"
#include "gemm.h"

#endif
