/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products through a BLAS, for CPUs that no tile of ours is written for (the build's option VITRT_BLAS). It
 * takes the place of the reference tile only. The library brings its own threads, CPU choice and environment variables;
 * sums are in its order, so the guarantee of equal bits does not hold. The tile is as large as callers' arrays allow,
 * since every call packs its operands again.
 */
#include "kernels.h"
#include "tmpl/pack.h"

#include <cblas.h>

enum { MR = 16, NR = 64 };

void vt_gemm_f32_16x64_blas(size_t m, size_t n, size_t k, const void *a, size_t lda, const void *b, const void *bias,
                            const float *residual, size_t ldr, void *c, size_t ldc)
{
    float tile[MR * NR]; /* c may be the residual, which is read below */
    if (m == 0 || n == 0)
        return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1.0f, a, lda > 0 ? (int)lda : 1, b,
                NR, 0.0f, tile, NR);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float sum = k > 0 ? tile[i * NR + j] : 0.0f; /* bias comes last: the sums are not in our order anyway */
            if (bias)
                sum += ((const float *)bias)[j];
            if (residual)
                sum += residual[i * ldr + j];
            ((float *)c)[i * ldc + j] = sum;
        }
}

void vt_pack_rows_f32_64_blas(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_f32(NR, n, k, w, ldw, 1, panel);
}

void vt_pack_columns_f32_64_blas(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_f32(NR, n, k, v, 1, ldv, panel);
}
