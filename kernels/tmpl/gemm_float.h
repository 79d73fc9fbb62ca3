/* SPDX-License-Identifier: Apache-2.0 */
/* Float sums, from bias on, and their end: residual, and the columns that are wanted. Include a simd/<isa>.h before. */
#ifndef VT_TMPL_GEMM_FLOAT_H
#define VT_TMPL_GEMM_FLOAT_H

typedef float gemm_c;
typedef vf sum, acc;
#define SUM_START(bias)        ((bias) ? vf_load(bias) : vf_zero())
#define ROW_TERM(row, k)       0
#define ACC_START(start, term) ((void)(term), (start))
#define ACC_SUM(s)             (s)

/* c[0..n) = s + residual, n <= VL. */
static inline void finish_vector(vf s, size_t n, const float *residual, float *c)
{
    if (residual)
        s = vf_add(s, n == VL ? vf_load(residual) : vf_load_n(residual, n));
    if (n == VL)
        vf_store(c, s);
    else
        vf_store_n(c, s, n);
}

#endif
