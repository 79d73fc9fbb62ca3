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
#include "tmpl/depthwise.h"
#include "tmpl/direction.h"
#include "tmpl/elementwise.h"
#include "tmpl/finish.h"
#include "tmpl/l2_norm.h"
#include "tmpl/norm.h"
#include "tmpl/softmax.h"

enum { NR = 8 };

/* What the sums of a row start from. */
static void start(const float *bias, float *sum)
{
    for (size_t j = 0; j < NR; j++)
        sum[j] = bias ? bias[j] : 0.0f;
}

/* c[0..n) = sums + residual. */
static void finish(size_t n, const float *sum, const float *residual, float *c)
{
    for (size_t j = 0; j < n; j++)
        c[j] = residual ? sum[j] + residual[j] : sum[j];
}

void vt_gemm_f32_4x8_ref(size_t m, size_t n, size_t k, const void *a, size_t lda, const void *b, const void *bias,
                         const float *residual, size_t ldr, void *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        const float *row = (const float *)a + i * lda, *panel = b;
        float sum[NR];
        start(bias, sum);
        for (size_t kk = 0; kk < k; kk++)
            for (size_t j = 0; j < NR; j++)
                sum[j] = fmaf(row[kk], panel[kk * NR + j], sum[j]);
        finish(n, sum, residual ? residual + i * ldr : NULL, (float *)c + i * ldc);
    }
}

void vt_gemm_bf16_4x8_ref(size_t m, size_t n, size_t k, const void *a, size_t lda, const void *b, const void *bias,
                          const float *residual, size_t ldr, void *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        const vt_bf16 *row = (const vt_bf16 *)a + i * lda, *panel = b;
        float sum[NR];
        start(bias, sum);
        for (size_t kk = 0; kk < k; kk++)
            for (size_t j = 0; j < NR; j++)
                sum[j] = fmaf(vf_load_bf16_even(row + kk), vf_load_bf16_even(panel + (kk / 2 * NR + j) * 2 + kk % 2),
                              sum[j]);
        finish(n, sum, residual ? residual + i * ldr : NULL, (float *)c + i * ldc);
    }
}

void vt_gemm_u8s8_4x8_ref(size_t m, size_t n, size_t k, const void *a, size_t lda, const void *b, const void *bias,
                          const float *residual, size_t ldr, void *c, size_t ldc)
{
    (void)residual;
    (void)ldr;
    for (size_t i = 0; i < m; i++) {
        const uint8_t *row = (const uint8_t *)a + i * lda;
        const int8_t *panel = b;
        int32_t sum[NR] = { 0 };
        if (bias)
            memcpy(sum, bias, sizeof sum);
        for (size_t kk = 0; kk < k; kk++)
            for (size_t j = 0; j < NR; j++)
                sum[j] += row[kk] * panel[(kk / 4 * NR + j) * 4 + kk % 4];
        memcpy((int32_t *)c + i * ldc, sum, n * sizeof *sum);
    }
}

void vt_pack_rows_f32_8_ref(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_f32(NR, n, k, w, ldw, 1, panel);
}

void vt_pack_columns_f32_8_ref(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_f32(NR, n, k, v, 1, ldv, panel);
}

void vt_pack_rows_bf16_8_ref(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_bf16(NR, n, k, w, ldw, 1, panel);
}

void vt_pack_columns_bf16_8_ref(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_bf16(NR, n, k, v, 1, ldv, panel);
}

void vt_pack_rows_u8s8_8_ref(size_t n, size_t k, const void *w, size_t ldw, void *panel)
{
    pack_u8s8(NR, n, k, w, ldw, 1, panel);
}

void vt_pack_columns_u8s8_8_ref(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    pack_u8s8(NR, n, k, v, 1, ldv, panel);
}
