/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product for AVX2 + FMA: a tile of 6 x 16 holds 12 accumulators, 2 vectors of b and 1 of a in the 16 registers.
 * 12 chains of fused multiply-adds hide their latency (4 or 5 cycles, 2 per cycle: 8 to 10 needed).
 */
#include "kernels.h"
#include "simd/avx2.h"
#include "tmpl/gemm_f32.h"

enum { MR = 6 };

VT_GEMM_ROWS(rows_1, ROWS_1)
VT_GEMM_ROWS(rows_2, ROWS_2)
VT_GEMM_ROWS(rows_3, ROWS_3)
VT_GEMM_ROWS(rows_4, ROWS_4)
VT_GEMM_ROWS(rows_5, ROWS_5)
VT_GEMM_ROWS(rows_6, ROWS_6)

void vt_gemm_f32_6x16_avx2(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, const float *bias,
                           const float *residual, size_t ldr, float *c, size_t ldc)
{
    static vt_gemm_f32_fn *const rows[MR] = { rows_1, rows_2, rows_3, rows_4, rows_5, rows_6 };
    if (m > 0 && n > 0)
        rows[m - 1](m, n, k, a, lda, b, bias, residual, ldr, c, ldc);
}

/* out[i * NR + j] = in[j][i], 8 x 8. */
static inline void transpose_8x8(const __m256 in[8], float *out)
{
    __m256 pair[8], quad[8];
    for (size_t i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(in[i], in[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(in[i], in[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {
        quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
        quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
    }
    for (size_t i = 0; i < 4; i++) {
        vf_store(out + i * NR, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20));
        vf_store(out + (i + 4) * NR, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31));
    }
}

/* Eight columns of the panel, from at most eight rows of w. */
static void pack_8_rows(size_t n, size_t k, const float *w, size_t ldw, float *panel)
{
    size_t kk = 0;
    for (; kk + 8 <= k; kk += 8) {
        __m256 in[8];
        for (size_t j = 0; j < 8; j++)
            in[j] = j < n ? vf_load(w + j * ldw + kk) : vf_zero();
        transpose_8x8(in, panel + kk * NR);
    }
    for (; kk < k; kk++)
        for (size_t j = 0; j < 8; j++)
            panel[kk * NR + j] = j < n ? w[j * ldw + kk] : 0.0f;
}

void vt_pack_rows_f32_16_avx2(size_t n, size_t k, const float *w, size_t ldw, float *panel)
{
    const size_t first = n < 8 ? n : 8;
    pack_8_rows(first, k, w, ldw, panel);
    pack_8_rows(n - first, k, n > 8 ? w + 8 * ldw : w, ldw, panel + 8);
}

void vt_pack_columns_f32_16_avx2(size_t n, size_t k, const float *v, size_t ldv, float *panel)
{
    const size_t first = n < 8 ? n : 8, second = n - first;
    for (size_t kk = 0; kk < k; kk++) {
        vf_store(panel + kk * NR, vf_load_n(v + kk * ldv, first));
        vf_store(panel + kk * NR + 8, vf_load_n(v + kk * ldv + first, second));
    }
}
