/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product of a few rows with one packed panel of NR = 2 vectors, for any types. Include a simd/<isa>.h before, and
 * tell the types:
 *
 *   gemm_a            element of a; KR of them are taken in each step, and lie side by side for each column of b
 *   gemm_b            element of b
 *   KR                1, 2 or 4
 *   sum               a vector of VL results; finish_vector(sum, n, residual, c) adds and stores n of them
 *   SUM_START(bias)   what they start from; bias may be NULL
 *   acc               VL sums, as MULTIPLY likes them best
 *   ROW_TERM(row, k)  an int32_t that goes into all sums of a row of a, or 0
 *   ACC_START(start, term) what they start from
 *   ACC_SUM(s)        the vector of the sums
 *   vb, LOAD_B(p)     KR elements for each of VL columns
 *   va, SPREAD_A(p)   KR elements of a row of a for all columns alike
 *   SPREAD_A_END(p, n) the same where the row ends after n < KR elements; zeros behind
 *   MULTIPLY(s, x, y) s + the products of va x and vb y
 *
 * Then VT_GEMM_TILE_<mr>(name) defines the tile, over one function for each number of rows, for up to VL columns and
 * for up to NR. Rows are spelled out by macros, ROWS_n(X) is X(0) X(1) ... X(n - 1), since arrays of accumulators stay
 * in memory where a compiler does not unroll every loop over them (gcc 12, even with -O3).
 *
 * Each step takes two loads of b and prefetches, and for each row one broadcast of a and two multiplications.
 */
#ifndef VT_TMPL_GEMM_H
#define VT_TMPL_GEMM_H

#define ROWS_1(X)  X(0)
#define ROWS_2(X)  ROWS_1(X) X(1)
#define ROWS_3(X)  ROWS_2(X) X(2)
#define ROWS_4(X)  ROWS_3(X) X(3)
#define ROWS_5(X)  ROWS_4(X) X(4)
#define ROWS_6(X)  ROWS_5(X) X(5)
#define ROWS_7(X)  ROWS_6(X) X(6)
#define ROWS_8(X)  ROWS_7(X) X(7)
#define ROWS_9(X)  ROWS_8(X) X(8)
#define ROWS_10(X) ROWS_9(X) X(9)
#define ROWS_11(X) ROWS_10(X) X(10)
#define ROWS_12(X) ROWS_11(X) X(11)

enum { NR = 2 * VL };

/* A row of a panel: KR elements for each of NR columns. They take as many lines of the cache as this says. */
enum { PANEL_ROW = NR * KR, PANEL_ROW_BYTES = PANEL_ROW * sizeof(gemm_b), CACHE_LINE = 64 };

/* Callers take all rows through one panel before the next one, and panels follow each other in memory. So while a
 * panel is in use the next one is fetched into the second-level cache, row by row at the same pace. A panel too
 * large for two of them beside A (a quarter of 512 KiB) only fetches its own rows a little ahead. */
static inline size_t bytes_ahead(size_t k)
{
    const size_t panel = (k + KR - 1) / KR * PANEL_ROW_BYTES, largest = (size_t)128 << 10, a_little = (size_t)4 << 10;
    return panel <= largest ? panel : a_little;
}

static inline void prefetch_row(const void *b, size_t ahead)
{
    for (size_t line = 0; line < PANEL_ROW_BYTES; line += CACHE_LINE)
        vf_prefetch(b, ahead + line);
}

#define BEGIN_ROW(i)                                                                                                   \
    const gemm_a *a##i = a + (i)*lda;                                                                                  \
    const int32_t term##i = ROW_TERM(a##i, k);                                                                         \
    acc low##i = ACC_START(start_low, term##i), high##i = wide ? ACC_START(start_high, term##i) : low##i;

#define MULTIPLY_ROW(i)                                                                                                \
    {                                                                                                                  \
        const va x = SPREAD_A(a##i + kk);                                                                              \
        low##i = MULTIPLY(low##i, x, b_low);                                                                           \
        if (wide)                                                                                                      \
            high##i = MULTIPLY(high##i, x, b_high);                                                                    \
    }

#define MULTIPLY_ROW_END(i)                                                                                            \
    {                                                                                                                  \
        const va x = SPREAD_A_END(a##i + kk, k - kk);                                                                  \
        low##i = MULTIPLY(low##i, x, b_low);                                                                           \
        if (wide)                                                                                                      \
            high##i = MULTIPLY(high##i, x, b_high);                                                                    \
    }

/* One row of results from its end on: of n columns, of all, of all without a residual. Most tiles are of the last kind,
 * and short ones spend a good part of their time here. */
#define FINISH_ROW(i)                                                                                                  \
    finish_vector(ACC_SUM(low##i), wide ? VL : n, residual, c);                                                        \
    if (wide)                                                                                                          \
        finish_vector(ACC_SUM(high##i), n - VL, residual ? residual + VL : NULL, c + VL);                              \
    residual = residual ? residual + ldr : NULL;                                                                       \
    c += ldc;

#define ADD_ROW(i)                                                                                                     \
    finish_vector(ACC_SUM(low##i), VL, residual, c);                                                                   \
    if (wide)                                                                                                          \
        finish_vector(ACC_SUM(high##i), VL, residual + VL, c + VL);                                                    \
    residual += ldr;                                                                                                   \
    c += ldc;

#define STORE_ROW(i)                                                                                                   \
    finish_vector(ACC_SUM(low##i), VL, NULL, c);                                                                       \
    if (wide)                                                                                                          \
        finish_vector(ACC_SUM(high##i), VL, NULL, c + VL);                                                             \
    c += ldc;

#define VT_GEMM_ROWS(name, ROWS, WIDE)                                                                                 \
    static void name(size_t n, size_t k, const gemm_a *a, size_t lda, const gemm_b *b, const gemm_c *bias,             \
                     const float *residual, size_t ldr, gemm_c *c, size_t ldc)                                         \
    {                                                                                                                  \
        enum { wide = WIDE };                                                                                          \
        const size_t ahead = bytes_ahead(k);                                                                           \
        const sum start_low = SUM_START(bias), start_high = SUM_START(wide && bias ? bias + VL : NULL);                \
        size_t kk = 0;                                                                                                 \
        ROWS(BEGIN_ROW)                                                                                                \
        for (; kk + KR <= k; kk += KR, b += PANEL_ROW) {                                                               \
            const vb b_low = LOAD_B(b), b_high = wide ? LOAD_B(b + PANEL_ROW / 2) : b_low;                             \
            prefetch_row(b, ahead);                                                                                    \
            ROWS(MULTIPLY_ROW)                                                                                         \
        }                                                                                                              \
        if (KR > 1 && kk < k) {                                                                                        \
            const vb b_low = LOAD_B(b), b_high = wide ? LOAD_B(b + PANEL_ROW / 2) : b_low;                             \
            ROWS(MULTIPLY_ROW_END)                                                                                     \
        }                                                                                                              \
        if (n < (wide ? NR : VL)) {                                                                                    \
            ROWS(FINISH_ROW)                                                                                           \
        } else if (residual) {                                                                                         \
            ROWS(ADD_ROW)                                                                                              \
        } else {                                                                                                       \
            ROWS(STORE_ROW)                                                                                            \
        }                                                                                                              \
    }

typedef void gemm_rows_fn(size_t n, size_t k, const gemm_a *a, size_t lda, const gemm_b *b, const gemm_c *bias,
                          const float *residual, size_t ldr, gemm_c *c, size_t ldc);

/* half_<n> and rows_<n> for up to VL and up to NR columns of n rows. */
#define VT_GEMM_HEIGHT(n) VT_GEMM_ROWS(half_##n, ROWS_##n, 0) VT_GEMM_ROWS(rows_##n, ROWS_##n, 1)

#define VT_GEMM_TILE(tile, ...)                                                                                        \
    void tile(size_t m, size_t n, size_t k, const void *a, size_t lda, const void *b, const void *bias,                \
              const float *residual, size_t ldr, void *c, size_t ldc)                                                  \
    {                                                                                                                  \
        static gemm_rows_fn *const rows[] = { __VA_ARGS__ };                                                           \
        if (m > 0 && n > 0)                                                                                            \
            rows[2 * (m - 1) + (n > VL)](n, k, a, lda, b, bias, residual, ldr, c, ldc);                                \
    }

#define VT_GEMM_TILE_4(tile)                                                                                           \
    VT_GEMM_HEIGHT(1) VT_GEMM_HEIGHT(2) VT_GEMM_HEIGHT(3) VT_GEMM_HEIGHT(4)                                            \
    VT_GEMM_TILE(tile, half_1, rows_1, half_2, rows_2, half_3, rows_3, half_4, rows_4)

#define VT_GEMM_TILE_6(tile)                                                                                           \
    VT_GEMM_HEIGHT(1) VT_GEMM_HEIGHT(2) VT_GEMM_HEIGHT(3) VT_GEMM_HEIGHT(4) VT_GEMM_HEIGHT(5) VT_GEMM_HEIGHT(6)        \
    VT_GEMM_TILE(tile, half_1, rows_1, half_2, rows_2, half_3, rows_3, half_4, rows_4, half_5, rows_5, half_6, rows_6)

#define VT_GEMM_TILE_8(tile)                                                                                           \
    VT_GEMM_HEIGHT(1) VT_GEMM_HEIGHT(2) VT_GEMM_HEIGHT(3) VT_GEMM_HEIGHT(4)                                            \
    VT_GEMM_HEIGHT(5) VT_GEMM_HEIGHT(6) VT_GEMM_HEIGHT(7) VT_GEMM_HEIGHT(8)                                            \
    VT_GEMM_TILE(tile, half_1, rows_1, half_2, rows_2, half_3, rows_3, half_4, rows_4, half_5, rows_5, half_6, rows_6, \
                 half_7, rows_7, half_8, rows_8)

#define VT_GEMM_TILE_12(tile)                                                                                          \
    VT_GEMM_HEIGHT(1) VT_GEMM_HEIGHT(2) VT_GEMM_HEIGHT(3) VT_GEMM_HEIGHT(4) VT_GEMM_HEIGHT(5) VT_GEMM_HEIGHT(6)        \
    VT_GEMM_HEIGHT(7) VT_GEMM_HEIGHT(8) VT_GEMM_HEIGHT(9) VT_GEMM_HEIGHT(10) VT_GEMM_HEIGHT(11) VT_GEMM_HEIGHT(12)     \
    VT_GEMM_TILE(tile, half_1, rows_1, half_2, rows_2, half_3, rows_3, half_4, rows_4, half_5, rows_5, half_6, rows_6, \
                 half_7, rows_7, half_8, rows_8, half_9, rows_9, half_10, rows_10, half_11, rows_11, half_12, rows_12)

#endif
