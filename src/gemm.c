/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking of matrix products; see gemm.h.
 *
 * Every output is one chain over k inside the tile, so neither blocking nor threads change a bit. A block of rows of A is chosen to stay in the
 * second-level cache while the panels of B stream past it once.
 */
#include "gemm.h"

#include <assert.h>

/* Bytes of A that one block of rows may take: half of a second-level cache of 512 KiB. */
#define A_BLOCK_BYTES ((size_t)256 << 10)

/* A tile whose epilogue is more than bias and residual is finished in an L1 scratch. */
static void finish_tile(const struct vt_gemm *g, size_t m, size_t n, size_t nr, float *tile, const float *scale, const float *residual, float *c)
{
    const struct vt_kernels *k = g->kernels;
    if (g->activation != VT_ACT_NONE)
        k->activation_f32[g->activation](m * nr, tile, tile);
    for (size_t i = 0; i < m; i++) {
        const float *row = tile + i * nr;
        if (scale)
            k->scale_add_f32(n, row, scale, residual ? residual + i * g->ldr : NULL, c + i * g->ldc);
        else if (residual)
            k->add_f32(n, row, residual + i * g->ldr, c + i * g->ldc);
        else
            for (size_t j = 0; j < n; j++)
                c[i * g->ldc + j] = row[j];
    }
}

static void one_tile(const struct vt_gemm *g, size_t row, size_t m, size_t column, size_t n)
{
    const struct vt_gemm_f32 *kernel = &g->kernels->gemm_f32;
    const float *a = g->a + row * g->lda, *b = g->panels + column * g->k, *bias = g->bias ? g->bias + column : NULL;
    const float *residual = g->residual ? g->residual + row * g->ldr + column : NULL;
    float *c = g->c + row * g->ldc + column;
    if (g->activation == VT_ACT_NONE && !g->scale) {
        kernel->tile(m, n, g->k, a, g->lda, b, bias, residual, g->ldr, c, g->ldc);
        return;
    }
    _Alignas(64) float tile[VT_MAX_TILE];
    assert(kernel->mr * kernel->nr <= VT_MAX_TILE);
    /* Columns behind n are products with the panel's zeros: full rows keep the tile contiguous for the activation. */
    kernel->tile(m, kernel->nr, g->k, a, g->lda, b, bias, NULL, 0, tile, kernel->nr);
    finish_tile(g, m, n, kernel->nr, tile, g->scale ? g->scale + column : NULL, residual, c);
}

void vt_gemm_block(const struct vt_gemm *g, size_t row, size_t row_end, size_t panel, size_t panel_end)
{
    const size_t mr = g->kernels->gemm_f32.mr, nr = g->kernels->gemm_f32.nr;
    for (size_t p = panel; p < panel_end; p++) {
        const size_t column = p * nr, n = g->n - column < nr ? g->n - column : nr;
        for (size_t i = row; i < row_end; i += mr)
            one_tile(g, i, row_end - i < mr ? row_end - i : mr, column, n);
    }
}

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

struct vt_gemm_split vt_gemm_split(const struct vt_gemm *g, size_t m, unsigned threads)
{
    const size_t mr = g->kernels->gemm_f32.mr, panels = divide_up(g->n, g->kernels->gemm_f32.nr);
    size_t fitting = A_BLOCK_BYTES / (sizeof(float) * (g->k ? g->k : 1)) / mr * mr;
    if (fitting < mr)
        fitting = mr;
    struct vt_gemm_split s;
    s.row_blocks = divide_up(m, fitting);
    if (s.row_blocks == 0)
        s.row_blocks = 1;
    s.rows = divide_up(divide_up(m, s.row_blocks), mr) * mr; /* blocks of equal height: no small one at the end */
    if (s.rows == 0)
        s.rows = mr;
    s.row_blocks = divide_up(m, s.rows);
    /* Several pieces for each thread let a fast core take more of them. */
    const size_t wanted = threads > 1 ? 4 * (size_t)threads : 1;
    const size_t groups = s.row_blocks && s.row_blocks < wanted ? divide_up(wanted, s.row_blocks) : 1;
    s.panels = divide_up(panels, groups < panels ? groups : panels ? panels : 1);
    if (s.panels == 0)
        s.panels = 1;
    s.panel_groups = divide_up(panels, s.panels);
    return s;
}
