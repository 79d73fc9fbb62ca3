/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a row of a product with integer sums: bias, and the columns that are wanted. Include a simd/<isa>.h
 * before. */
#ifndef VT_TMPL_GEMM_I32_H
#define VT_TMPL_GEMM_I32_H

#include <stdbool.h>

typedef int32_t gemm_c;

/* One vector of n <= VL columns. Sums wrap, so bias may as well be added last. */
static inline void finish_vector(vi sum, size_t n, const int32_t *bias, int32_t *c)
{
    if (bias)
        sum = vi_add(sum, vi_load(bias));
    if (n == VL)
        vi_store(c, sum);
    else
        vi_store_n(c, sum, n);
}

/* c[0..n) = sums + bias; high counts only where the row is wide: n > VL. There is no residual. */
static inline void finish_row(bool wide, vi low, vi high, size_t n, const int32_t *bias, const float *residual,
                              int32_t *c)
{
    (void)residual;
    finish_vector(low, wide ? VL : n, bias, c);
    if (wide)
        finish_vector(high, n - VL, bias ? bias + VL : NULL, c + VL);
}

#endif
