/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking of matrix products; see gemm.h.
 *
 * Every output is one chain over k inside the tile, so neither blocking nor threads change a bit. For each block of
 * rows the panels of B stream past once, from memory where a model is larger than the caches, while the block of A
 * stays in the second-level cache and is read once for each panel. Splitting k was measured to gain nothing.
 */
#include "gemm.h"

#include "step_integers.h"

#include <assert.h>

/* Bounds on the rows of a block: a panel's element is used that often for every time it is fetched. With 12 x 32 tiles
 * at a fused multiply-add of 16 a cycle 48 rows need 1.3 bytes of B for each cycle, and more than 384 gain nothing. */
#define LEAST_BLOCK_ROWS 48
#define MOST_BLOCK_ROWS  384

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

size_t vt_destination_bytes(enum vt_destination to)
{
    static const size_t bytes[] = { [VT_TO_F32] = sizeof(float), [VT_TO_BF16] = sizeof(vt_bf16), [VT_TO_U8] = 1 };
    return bytes[to];
}

/* The epilogue of the tile whose first element is (row, column). */
static struct vt_epilogue epilogue_at(const struct vt_epilogue *whole, size_t row, size_t column)
{
    struct vt_epilogue e = *whole;
    if (e.sum_scale) {
        e.sum_scale += column;
        e.sum_bias += column;
    }
    if (e.row_scale)
        e.row_scale += row;
    if (e.scale)
        e.scale += column;
    if (e.residual)
        e.residual += row * e.ldr + column;
    e.c = (char *)e.c + (row * e.ldc + column) * vt_destination_bytes(e.to);
    return e;
}

size_t vt_gemm_result_bytes(const struct vt_gemm *g)
{
    if (g->integers)
        return g->integers->epilogue.to == VT_TO_CODES ? 1 : sizeof(int16_t);
    return vt_destination_bytes(g->epilogue.to);
}

/* The same in integers. */
static struct vt_integer_epilogue integers_at(const struct vt_gemm *g, size_t row, size_t column)
{
    struct vt_integer_epilogue e = g->integers->epilogue;
    e.columns.multiplier += column;
    e.columns.shift += column;
    e.columns.add += column;
    e.ldr = g->epilogue.ldr;
    e.ldc = g->epilogue.ldc;
    if (g->epilogue.residual)
        e.residual = (const int16_t *)(const void *)g->epilogue.residual + row * e.ldr + column;
    e.c = (char *)g->epilogue.c + (row * e.ldc + column) * vt_gemm_result_bytes(g);
    return e;
}

/* A tile of sums through GELU to codes. */
static void finish_gelu(const struct vt_gemm *g, size_t row, size_t m, size_t column, size_t n, const int32_t *sums)
{
    struct vt_integer_gelu k = g->integers->gelu;
    k.right += column;
    k.fraction += column;
    k.factors += column;
    k.add += column;
    k.shift += column;
    const size_t ldc = g->epilogue.ldc;
    g->kernels->integer.finish_gelu(m, n, sums, g->kernels->gemm[g->product].nr, &k, g->integers->epilogue.highest,
                                    (uint8_t *)g->epilogue.c + row * ldc + column, ldc);
}

/* A tile of sums in integers. */
static void finish_integers(const struct vt_gemm *g, size_t row, size_t m, size_t column, size_t n, const int32_t *sums)
{
    if (g->integers->has_gelu) {
        finish_gelu(g, row, m, column, n, sums);
        return;
    }
    const struct vt_integer_epilogue e = integers_at(g, row, column);
    g->kernels->integer.finish(m, n, sums, g->kernels->gemm[g->product].nr, NULL, &e);
}

/* Where results are larger than the second-level cache, the next tile would wait for the stores of this one; so what a
 * tile reads and writes at its end is fetched while it computes. */
static void prefetch_results(const struct vt_gemm *g, size_t m, size_t n, const struct vt_epilogue *e)
{
    const size_t bytes = vt_destination_bytes(e->to);
    if (g->m * e->ldc * bytes < g->l2_bytes / 2)
        return;
    g->kernels->prefetch(m, n * bytes, e->c, e->ldc * bytes);
    if (e->residual && e->residual != e->c && e->ldr > 0)
        g->kernels->prefetch(m, n * sizeof *e->residual, e->residual, e->ldr * sizeof *e->residual);
}

/* The tile itself does all there is to do: bias, and a residual in float. */
static bool tile_is_all(const struct vt_gemm *g)
{
    const struct vt_epilogue *e = &g->epilogue;
    return !g->integers && g->activation == VT_ACT_NONE && !e->sum_scale && !e->scale && e->to == VT_TO_F32;
}

const void *vt_gemm_panel(const struct vt_gemm *g, size_t column)
{
    const struct vt_gemm_kernel *kernel = &g->kernels->gemm[g->product];
    assert(column % kernel->nr == 0);
    return (const char *)g->panels + column * divide_up(g->k, kernel->kr) * kernel->kr * vt_product_bytes(g->product);
}

/* Sums of a tile on their way to the epilogue, in the first-level cache. */
struct tile_sums {
    _Alignas(64) union {
        float floats[VT_MAX_TILE];
        int32_t integers[VT_MAX_TILE];
    } u;
};

/* The tile's rows, each run of them that stays together, to where they belong. */
static void finish_in_order(const struct vt_gemm *g, size_t row, size_t m, size_t column, size_t n,
                            const struct tile_sums *sums)
{
    const size_t nr = g->kernels->gemm[g->product].nr;
    struct vt_row_run run;
    for (size_t r = row; r < row + m; r += run.count) {
        run = vt_row_run_at(g->order, r, row + m);
        if (run.to == VT_NOWHERE)
            continue;
        if (g->integers) {
            finish_integers(g, run.to, run.count, column, n, &sums->u.integers[(r - row) * nr]);
            continue;
        }
        const struct vt_epilogue e = epilogue_at(&g->epilogue, run.to, column);
        const float *first = &sums->u.floats[(r - row) * nr]; /* int32_t has as many bytes */
        g->kernels->finish[g->activation](run.count, n, first, nr, &e);
    }
}

/* The same with the sums of a tile that an epilogue of integers ends. */
static void one_integer_tile(const struct vt_gemm *g, size_t row, size_t m, size_t column, size_t n)
{
    const struct vt_gemm_kernel *kernel = &g->kernels->gemm[g->product];
    const uint8_t *a = (const uint8_t *)g->a + row * g->lda;
    struct tile_sums sums;
    kernel->tile(m, n, g->k, a, g->lda, vt_gemm_panel(g, column), (const int32_t *)g->bias + column, NULL, 0, &sums.u,
                 kernel->nr);
    if (g->order)
        finish_in_order(g, row, m, column, n, &sums);
    else
        finish_integers(g, row, m, column, n, sums.u.integers);
}

static void one_tile(const struct vt_gemm *g, size_t row, size_t m, size_t column, size_t n)
{
    if (g->integers) {
        one_integer_tile(g, row, m, column, n);
        return;
    }
    const struct vt_gemm_kernel *kernel = &g->kernels->gemm[g->product];
    const char *a = (const char *)g->a + row * g->lda * vt_product_bytes(g->product);
    const void *b = vt_gemm_panel(g, column);
    const void *bias = g->bias ? (const char *)g->bias + column * sizeof(float) : NULL; /* int32_t has as many bytes */
    const struct vt_epilogue e = epilogue_at(&g->epilogue, row, column);
    if (!g->order)
        prefetch_results(g, m, n, &e);
    if (tile_is_all(g) && !g->order) {
        assert(g->product != VT_PRODUCT_U8S8 || !e.residual);
        kernel->tile(m, n, g->k, a, g->lda, b, bias, e.residual, e.ldr, e.c, e.ldc);
        return;
    }
    struct tile_sums sums;
    assert(tile_is_all(g) || (g->product == VT_PRODUCT_U8S8) == (e.sum_scale != NULL));
    assert(kernel->mr * kernel->nr <= VT_MAX_TILE);
    kernel->tile(m, n, g->k, a, g->lda, b, bias, NULL, 0, &sums.u, kernel->nr);
    if (g->order)
        finish_in_order(g, row, m, column, n, &sums);
    else
        g->kernels->finish[g->activation](m, n, &sums.u, kernel->nr, &e);
}

/* Rows of a run that stays together, written by the tile itself to where they belong. */
static void tiles_of_run(const struct vt_gemm *g, const struct vt_row_run *run, size_t column, size_t n)
{
    const struct vt_gemm_kernel *kernel = &g->kernels->gemm[g->product];
    const void *b = vt_gemm_panel(g, column), *bias = g->bias ? (const float *)g->bias + column : NULL;
    const size_t tiles = divide_up(run->count, kernel->mr);
    for (size_t t = 0; t < tiles; t++) {
        const size_t begin = run->count * t / tiles, m = run->count * (t + 1) / tiles - begin;
        const struct vt_epilogue e = epilogue_at(&g->epilogue, run->to + begin, column);
        const char *a = (const char *)g->a + (run->row + begin) * g->lda * vt_product_bytes(g->product);
        prefetch_results(g, m, n, &e);
        kernel->tile(m, n, g->k, a, g->lda, b, bias, e.residual, e.ldr, e.c, e.ldc);
    }
}

/* Behind a short run: rows of short runs that fit into one tile with it. */
static size_t end_of_short_runs(const struct vt_gemm *g, size_t row, size_t end, size_t row_end)
{
    const size_t mr = g->kernels->gemm[g->product].mr;
    while (end < row_end) {
        const struct vt_row_run next = vt_row_run_at(g->order, end, row_end);
        if (next.to == VT_NOWHERE || 2 * next.count >= mr || end + next.count - row > mr)
            break;
        end += next.count;
    }
    return end;
}

/* Rows that go elsewhere through one panel, where the tile itself does all there is to do. Tiles as high as the runs that
 * stay together, a window's width, are nearly as fast as full ones and need no second pass over their sums; only short
 * runs, as the windows at the end of a shifted map have, go together. */
static void runs_of_panel(const struct vt_gemm *g, size_t row, size_t row_end, size_t column, size_t n)
{
    const size_t mr = g->kernels->gemm[g->product].mr;
    for (size_t end; row < row_end; row = end) {
        const struct vt_row_run run = vt_row_run_at(g->order, row, row_end);
        end = row + run.count;
        if (run.to == VT_NOWHERE)
            continue;
        if (2 * run.count >= mr) {
            tiles_of_run(g, &run, column, n);
        } else {
            end = end_of_short_runs(g, row, end, row_end);
            one_tile(g, row, end - row, column, n);
        }
    }
}

/* Rows [row, row_end) of A, which come from further away than the second-level cache while the first panel of a block is
 * multiplied: a dozen rows side by side are more than the CPU foresees. */
static void prefetch_rows(const struct vt_gemm *g, size_t row, size_t row_end)
{
    const size_t bytes = vt_product_bytes(g->product);
    g->kernels->prefetch(row_end - row, g->k * bytes, (const char *)g->a + row * g->lda * bytes, g->lda * bytes);
}

void vt_gemm_block(const struct vt_gemm *g, size_t row, size_t row_end, size_t panel, size_t panel_end)
{
    const size_t mr = g->kernels->gemm[g->product].mr, nr = g->kernels->gemm[g->product].nr;
    const size_t rows = row_end - row, tiles = divide_up(rows, mr);
    for (size_t p = panel; p < panel_end; p++) {
        const size_t column = p * nr, n = g->n - column < nr ? g->n - column : nr;
        if (g->order && tile_is_all(g)) {
            runs_of_panel(g, row, row_end, column, n);
            continue;
        }
        /* Tiles of nearly equal height: a low one wastes more than several that lack a row. */
        for (size_t t = 0; t < tiles; t++) {
            const size_t begin = rows * t / tiles, end = rows * (t + 1) / tiles, next_end = rows * (t + 2) / tiles;
            if (p == panel && t + 1 < tiles)
                prefetch_rows(g, row + end, row + next_end);
            one_tile(g, row + begin, end - begin, column, n);
        }
    }
}

static size_t at_least_one(size_t n)
{
    return n ? n : 1;
}

/* About as many rows of A as fill half of the second-level cache; the panels and C have the rest. Where they are cut into
 * blocks of equal height, a block has up to half as many again. */
size_t vt_gemm_block_rows(const struct vt_gemm *g)
{
    const size_t rows = g->l2_bytes / 2 / at_least_one(g->k * vt_product_bytes(g->product));
    return rows < LEAST_BLOCK_ROWS ? LEAST_BLOCK_ROWS : rows > MOST_BLOCK_ROWS ? MOST_BLOCK_ROWS : rows;
}

size_t vt_row_stride(size_t columns, size_t element_bytes)
{
    const size_t period = 4096, line = 64;
    return columns * element_bytes % period == 0 ? columns + line / element_bytes : columns;
}

/* Panels of a piece: about `usual`, and so many that equal pieces come out even between the threads. */
static size_t panels_of_piece(size_t panels, size_t usual, size_t row_blocks, size_t threads)
{
    size_t best = usual, least = SIZE_MAX;
    for (size_t n = usual + usual / 2; n >= at_least_one(usual / 2); n--) {
        const size_t longest = divide_up(row_blocks * divide_up(panels, n), threads) * n; /* work of a thread */
        if (longest < least) {
            least = longest;
            best = n;
        }
    }
    return best;
}

struct vt_gemm_split vt_gemm_split(const struct vt_gemm *g, unsigned threads)
{
    const size_t mr = g->kernels->gemm[g->product].mr, panels = divide_up(g->n, g->kernels->gemm[g->product].nr);
    struct vt_gemm_split s;
    s.row_blocks = at_least_one((g->m + vt_gemm_block_rows(g) / 2) / vt_gemm_block_rows(g));
    s.rows = at_least_one(divide_up(divide_up(g->m, s.row_blocks), mr)) * mr; /* blocks of equal height */
    s.row_blocks = divide_up(g->m, s.rows);
    /* Several pieces for each thread, so that a fast core can take more of them; columns before rows, which keeps
     * blocks high. */
    const size_t wanted = threads > 1 ? 4 * (size_t)threads : 1;
    const size_t groups = divide_up(wanted, at_least_one(s.row_blocks));
    s.panels = at_least_one(divide_up(panels, groups < panels ? groups : at_least_one(panels)));
    if (threads > 1)
        s.panels = panels_of_piece(panels, s.panels, s.row_blocks, threads);
    s.panel_groups = divide_up(panels, s.panels);
    return s;
}

void vt_gemm_piece(const struct vt_gemm *g, const struct vt_gemm_split *s, size_t i)
{
    const size_t panels = divide_up(g->n, g->kernels->gemm[g->product].nr);
    const size_t row = i / s->panel_groups * s->rows, panel = i % s->panel_groups * s->panels;
    const size_t row_end = g->m - row < s->rows ? g->m : row + s->rows;
    const size_t panel_end = panels - panel < s->panels ? panels : panel + s->panels;
    vt_gemm_block(g, row, row_end, panel, panel_end);
}
