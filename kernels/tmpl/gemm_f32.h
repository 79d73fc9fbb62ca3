/* SPDX-License-Identifier: Apache-2.0 */
/* Float products: one fused multiply-add for each element of k. Include a simd/<isa>.h before. */
#ifndef VT_TMPL_GEMM_F32_H
#define VT_TMPL_GEMM_F32_H

typedef float gemm_a, gemm_b;
typedef vf va, vb;
#define KR                 1
#define LOAD_B(p)          vf_load(p)
#define SPREAD_A(p)        vf_set1(*(p))
#define SPREAD_A_END(p, n) ((void)(n), vf_zero()) /* steps of one: a row never ends inside of one */
#define MULTIPLY(s, x, y)  vf_fma(x, y, s)

#include "gemm_float.h"
#include "gemm.h"

/* Columns are stored side by side already: rows are copied, and filled up with zeros. */
static inline void pack_columns_f32(size_t n, size_t k, const float *v, size_t ldv, float *panel)
{
    const size_t first = n < VL ? n : VL, second = n - first;
    for (size_t kk = 0; kk < k; kk++, v += ldv, panel += NR) {
        vf_store(panel, vf_load_n(v, first));
        vf_store(panel + VL, vf_load_n(v + first, second));
    }
}

#endif
