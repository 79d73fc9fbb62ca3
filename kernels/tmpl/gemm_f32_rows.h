/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product of ROWS rows with one packed panel of COLUMN_VECTORS vectors: included once for each ROWS from 1 to mr, so that the
 * compiler sees a constant and keeps every accumulator in a register. Defines gemm_rows_<ROWS>; its argument m is ignored.
 *
 * Per step of k: COLUMN_VECTORS loads of b, ROWS broadcasts of a, ROWS * COLUMN_VECTORS fused multiply-adds.
 */
#define NR (COLUMN_VECTORS * VL)
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)

static void PASTE(gemm_rows_, ROWS)(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, const float *bias,
                                    const float *residual, size_t ldr, float *c, size_t ldc)
{
    (void)m;
    const float *row[ROWS];
    vf sum[ROWS][COLUMN_VECTORS];
    for (size_t i = 0; i < ROWS; i++) {
        row[i] = a + i * lda;
        for (size_t j = 0; j < COLUMN_VECTORS; j++)
            sum[i][j] = vf_zero();
    }
    for (size_t kk = 0; kk < k; kk++, b += NR) {
        vf column[COLUMN_VECTORS];
        for (size_t j = 0; j < COLUMN_VECTORS; j++)
            column[j] = vf_load(b + j * VL);
        for (size_t i = 0; i < ROWS; i++) {
            const vf x = vf_set1(row[i][kk]);
            for (size_t j = 0; j < COLUMN_VECTORS; j++)
                sum[i][j] = vf_fma(x, column[j], sum[i][j]);
        }
    }
    if (bias) {
        for (size_t j = 0; j < COLUMN_VECTORS; j++) {
            const vf addend = vf_load(bias + j * VL);
            for (size_t i = 0; i < ROWS; i++)
                sum[i][j] = vf_add(sum[i][j], addend);
        }
    }
    if (n == NR) {
        for (size_t i = 0; i < ROWS; i++) {
            for (size_t j = 0; j < COLUMN_VECTORS; j++) {
                if (residual)
                    sum[i][j] = vf_add(sum[i][j], vf_load(residual + i * ldr + j * VL));
                vf_store(c + i * ldc + j * VL, sum[i][j]);
            }
        }
        return;
    }
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < COLUMN_VECTORS && j * VL < n; j++) {
            const size_t left = n - j * VL < VL ? n - j * VL : VL;
            if (residual)
                sum[i][j] = vf_add(sum[i][j], vf_load_n(residual + i * ldr + j * VL, left));
            vf_store_n(c + i * ldc + j * VL, sum[i][j], left);
        }
    }
}

#undef PASTE
#undef PASTE_
#undef NR
#undef ROWS
