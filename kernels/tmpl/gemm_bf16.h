/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 products where the CPU has no instructions for them: pairs are taken apart into floats, whose products are
 * exact, and added one by one. Include a simd/<isa>.h before, which says how a vector of pairs is taken apart.
 */
#ifndef VT_TMPL_GEMM_BF16_H
#define VT_TMPL_GEMM_BF16_H

#include <string.h>

typedef vt_bf16 gemm_a, gemm_b;
typedef struct {
    vf even, odd;
} va, vb;
#define KR                 2
#define LOAD_B(p)          load_pairs(p)
#define SPREAD_A(p)        spread_pair(p, 2)
#define SPREAD_A_END(p, n) spread_pair(p, n)
#define MULTIPLY(s, x, y)  vf_fma((x).odd, (y).odd, vf_fma((x).even, (y).even, s))

static inline vb load_pairs(const vt_bf16 *p)
{
    return (vb){ vf_load_bf16_even(p), vf_load_bf16_odd(p) };
}

static inline float float_of_bf16(vt_bf16 x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* What is missing is -0: its product with the 0 of the panel is the one that leaves a sum of -0 as it is. */
static inline va spread_pair(const vt_bf16 *p, size_t n)
{
    return (va){ vf_set1(float_of_bf16(p[0])), vf_set1(n > 1 ? float_of_bf16(p[1]) : -0.0f) };
}

#include "gemm_float.h"
#include "gemm.h"

#endif
