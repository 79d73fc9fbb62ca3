/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bundle "ref": plain C for every CPU. The matrix product is written out as its contract says it; everything else
 * is the templates with one lane. Compile with -ffp-contract=off.
 *
 * It rounds as the vector bundles do and gives the same bits; the checks compare both with double precision as well.
 */
#include "kernels.h"
#include "tmpl/pack.h"
#include "simd/scalar.h"
#include "tmpl/activation.h"
#include "tmpl/elementwise.h"
#include "tmpl/norm.h"
#include "tmpl/softmax.h"

enum { NR = 8 };

void vt_gemm_f32_4x8_ref(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, const float *bias,
                         const float *residual, size_t ldr, float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        float sum[NR] = { 0 };
        for (size_t kk = 0; kk < k; kk++)
            for (size_t j = 0; j < NR; j++)
                sum[j] = fmaf(a[i * lda + kk], b[kk * NR + j], sum[j]);
        for (size_t j = 0; j < n; j++) {
            if (bias)
                sum[j] += bias[j];
            if (residual)
                sum[j] += residual[i * ldr + j];
            c[i * ldc + j] = sum[j];
        }
    }
}

void vt_pack_rows_f32_8_ref(size_t n, size_t k, const float *w, size_t ldw, float *panel)
{
    pack(NR, n, k, w, ldw, 1, panel);
}

void vt_pack_columns_f32_8_ref(size_t n, size_t k, const float *v, size_t ldv, float *panel)
{
    pack(NR, n, k, v, 1, ldv, panel);
}
