/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking of matrix products; see gemm.h.
 *
 * Every output is one chain over k inside the tile, so neither blocking nor threads change a bit. For each block of
 * rows the panels of B stream past once, from memory where a model is larger than the caches: a panel's element is used
 * for BLOCK_ROWS multiply-adds for every time it is fetched. A is read once for each panel, from a nearer cache, so its
 * block may be large; splitting k was measured to gain nothing.
 */
#include "gemm.h"

#include <assert.h>

/* With 6 x 16 tiles at 2 fused multiply-adds of 8 a cycle, 192 rows need a third of a byte of B for each cycle. */
#define BLOCK_ROWS 192

/* A tile whose epilogue is more than bias and residual is finished in an L1 scratch. */
static void finish_tile(const struct vt_gemm *g, size_t m, size_t n, size_t nr, float *tile, const float *scale,
                        const float *residual, float *c)
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

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

void vt_gemm_block(const struct vt_gemm *g, size_t row, size_t row_end, size_t panel, size_t panel_end)
{
    const size_t mr = g->kernels->gemm_f32.mr, nr = g->kernels->gemm_f32.nr;
    const size_t rows = row_end - row, tiles = divide_up(rows, mr);
    for (size_t p = panel; p < panel_end; p++) {
        const size_t column = p * nr, n = g->n - column < nr ? g->n - column : nr;
        for (size_t t = 0; t < tiles;
             t++) { /* tiles of nearly equal height: a low one wastes more than several that lack a row */
            const size_t begin = rows * t / tiles, end = rows * (t + 1) / tiles;
            one_tile(g, row + begin, end - begin, column, n);
        }
    }
}

static size_t at_least_one(size_t n)
{
    return n ? n : 1;
}

struct vt_gemm_split vt_gemm_split(const struct vt_gemm *g, size_t m, unsigned threads)
{
    const size_t mr = g->kernels->gemm_f32.mr, panels = divide_up(g->n, g->kernels->gemm_f32.nr);
    struct vt_gemm_split s;
    s.row_blocks = at_least_one((m + BLOCK_ROWS / 2) / BLOCK_ROWS);
    s.rows = at_least_one(divide_up(divide_up(m, s.row_blocks), mr)) * mr; /* blocks of equal height */
    s.row_blocks = divide_up(m, s.rows);
    /* Several pieces for each thread, so that a fast core can take more of them; columns before rows, which keeps
     * blocks high. */
    const size_t wanted = threads > 1 ? 4 * (size_t)threads : 1;
    const size_t groups = divide_up(wanted, at_least_one(s.row_blocks));
    s.panels = at_least_one(divide_up(panels, groups < panels ? groups : at_least_one(panels)));
    s.panel_groups = divide_up(panels, s.panels);
    return s;
}
