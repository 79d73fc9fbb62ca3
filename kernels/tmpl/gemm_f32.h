/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product of a few rows with one packed panel of NR = 2 vectors. Include a simd/<isa>.h before.
 *
 * VT_GEMM_ROWS(name, ROWS_n) defines a function of n rows; ROWS_n(X) is X(0) X(1) ... X(n - 1). Rows are spelled out by
 * macros since arrays of accumulators stay in memory where a compiler does not unroll every loop over them (gcc 12,
 * even with -O3).
 *
 * Each step of k takes two loads of b and a prefetch, and for each row one broadcast of a and two fused multiply-adds.
 */
#ifndef VT_TMPL_GEMM_F32_H
#define VT_TMPL_GEMM_F32_H

#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)
#define ROWS_5(X) ROWS_4(X) X(4)
#define ROWS_6(X) ROWS_5(X) X(5)

enum { NR = 2 * VL };

/* Callers take all rows through one panel before the next one, and panels follow each other in memory. So while a
 * panel is in use the next one is fetched into the second-level cache, row by row at the same pace. A panel too
 * large for two of them beside A (a quarter of 512 KiB) only fetches its own rows a little ahead. */
static inline size_t bytes_ahead(size_t k)
{
    const size_t panel = k * NR * sizeof(float), largest = (size_t)128 << 10, a_little = (size_t)4 << 10;
    return panel <= largest ? panel : a_little;
}

/* c[0..n) = sums + bias + residual. */
static inline void finish_row(vf low, vf high, size_t n, const float *bias, const float *residual, float *c)
{
    if (bias) {
        low = vf_add(low, vf_load(bias));
        high = vf_add(high, vf_load(bias + VL));
    }
    if (n == NR) {
        if (residual) {
            low = vf_add(low, vf_load(residual));
            high = vf_add(high, vf_load(residual + VL));
        }
        vf_store(c, low);
        vf_store(c + VL, high);
        return;
    }
    const size_t in_low = n < VL ? n : VL, in_high = n - in_low;
    if (residual) {
        low = vf_add(low, vf_load_n(residual, in_low));
        high = vf_add(high, vf_load_n(residual + in_low, in_high));
    }
    vf_store_n(c, low, in_low);
    vf_store_n(c + in_low, high, in_high);
}

#define BEGIN_ROW(i)                                                                                                   \
    const float *a##i = a + (i)*lda;                                                                                   \
    vf low##i = vf_zero(), high##i = vf_zero();

#define MULTIPLY_ROW(i)                                                                                                \
    {                                                                                                                  \
        const vf x = vf_set1(a##i[kk]);                                                                                \
        low##i = vf_fma(x, b_low, low##i);                                                                             \
        high##i = vf_fma(x, b_high, high##i);                                                                          \
    }

#define FINISH_ROW(i) finish_row(low##i, high##i, n, bias, residual ? residual + (i)*ldr : NULL, c + (i)*ldc);

#define VT_GEMM_ROWS(name, ROWS)                                                                                       \
    static void name(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, const float *bias,      \
                     const float *residual, size_t ldr, float *c, size_t ldc)                                          \
    {                                                                                                                  \
        (void)m;                                                                                                       \
        const size_t ahead = bytes_ahead(k);                                                                           \
        ROWS(BEGIN_ROW)                                                                                                \
        for (size_t kk = 0; kk < k; kk++, b += NR) {                                                                   \
            const vf b_low = vf_load(b), b_high = vf_load(b + VL);                                                     \
            vf_prefetch(b, ahead);                                                                                     \
            ROWS(MULTIPLY_ROW)                                                                                         \
        }                                                                                                              \
        ROWS(FINISH_ROW)                                                                                               \
    }

#endif
