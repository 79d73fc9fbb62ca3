/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a row of a product with float sums: bias, residual, and the columns that are wanted. Include a
 * simd/<isa>.h before. */
#ifndef VT_TMPL_GEMM_FLOAT_H
#define VT_TMPL_GEMM_FLOAT_H

#include <stdbool.h>

typedef float gemm_c;
typedef vf acc;
#define ACC_START(row, k) vf_zero()
#define ACC_SUM(s)        (s)

/* One vector of n <= VL columns. */
static inline void finish_vector(vf sum, size_t n, const float *bias, const float *residual, float *c)
{
    if (bias)
        sum = vf_add(sum, vf_load(bias));
    if (n == VL) {
        vf_store(c, residual ? vf_add(sum, vf_load(residual)) : sum);
        return;
    }
    if (residual)
        sum = vf_add(sum, vf_load_n(residual, n));
    vf_store_n(c, sum, n);
}

/* c[0..n) = sums + bias + residual; high counts only where the row is wide: n > VL. */
static inline void finish_row(bool wide, vf low, vf high, size_t n, const float *bias, const float *residual, float *c)
{
    finish_vector(low, wide ? VL : n, bias, residual, c);
    if (wide)
        finish_vector(high, n - VL, bias ? bias + VL : NULL, residual ? residual + VL : NULL, c + VL);
}

#endif
