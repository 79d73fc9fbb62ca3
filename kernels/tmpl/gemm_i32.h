/* SPDX-License-Identifier: Apache-2.0 */
/* Integer sums, from bias on, and their end: the columns that are wanted. Include a simd/<isa>.h before. */
#ifndef VT_TMPL_GEMM_I32_H
#define VT_TMPL_GEMM_I32_H

typedef int32_t gemm_c;
typedef vi sum;
#define SUM_START(bias) ((bias) ? vi_load(bias) : vi_set1(0))

/* c[0..n) = s, n <= VL. There is no residual. */
static inline void finish_vector(vi s, size_t n, const float *residual, int32_t *c)
{
    (void)residual;
    if (n == VL)
        vi_store(c, s);
    else
        vi_store_n(c, s, n);
}

#endif
