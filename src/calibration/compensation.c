/* SPDX-License-Identifier: Apache-2.0 */
/* See compensation.h. */
#include "compensation.h"

#include "alloc.h"
#include "dot.h"
#include "error.h"

#include <math.h>
#include <string.h>

/* Of the mean square, added to each: few rows show more connections than there are. */
#define DAMPING 0.01

/* Rows that are multiplied together. */
#define PRODUCT_ROWS ((size_t)256)

/* The products' matrix, the means, a block of rows transposed, and one panel of them. */
static size_t carve(struct vt_products *p, const struct vt_kernels *kernels, char *base, float **block, float **panel)
{
    const size_t sums = vt_size_mul(vt_size_mul(p->n, p->ld), sizeof(float));
    const size_t columns = vt_size_mul(p->n, PRODUCT_ROWS * sizeof(float));
    const size_t one = kernels->gemm[VT_PRODUCT_F32].nr * PRODUCT_ROWS * sizeof(float);
    p->sums = (float *)(void *)base;
    *block = base ? (float *)(void *)(base + sums) : NULL;
    *panel = base ? (float *)(void *)(base + sums + columns) : NULL;
    p->means = base ? (double *)(void *)(base + sums + columns + one) : NULL;
    return vt_size_add(vt_size_add(sums, columns), vt_size_add(one, p->n * sizeof *p->means));
}

static struct vt_products described(size_t n)
{
    return (struct vt_products){ .n = n, .ld = vt_round_up(n, 16) };
}

size_t vt_products_bytes(size_t n, const struct vt_kernels *kernels)
{
    struct vt_products p = described(n);
    float *block, *panel;
    return carve(&p, kernels, NULL, &block, &panel);
}

vitrt_status vt_products_init(struct vt_products *p, size_t n, const struct vt_kernels *kernels,
                              const vitrt_allocator *a, vitrt_error *err)
{
    float *block, *panel;
    *p = described(n);
    p->block_bytes = carve(p, kernels, NULL, &block, &panel);
    p->block = vt_alloc(a, p->block_bytes);
    if (!p->block)
        return vt_err_memory(err, p->block_bytes, "the products of a layer's inputs");
    carve(p, kernels, p->block, &block, &panel);
    memset(p->sums, 0, n * p->ld * sizeof *p->sums);
    memset(p->means, 0, n * sizeof *p->means);
    return VITRT_OK;
}

void vt_products_free(struct vt_products *p, const vitrt_allocator *a)
{
    vt_free(a, p->block, p->block_bytes);
    *p = (struct vt_products){ .n = 0 };
}

/* rows <= PRODUCT_ROWS */
static void add_block(struct vt_products *p, const struct vt_kernels *kernels, const float *x, size_t rows, size_t ld)
{
    const struct vt_gemm_kernel *kernel = &kernels->gemm[VT_PRODUCT_F32];
    float *block, *panel;
    carve(p, kernels, p->block, &block, &panel);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < p->n; c++) {
            block[c * PRODUCT_ROWS + r] = x[r * ld + c];
            p->means[c] += (double)x[r * ld + c];
        }
    for (size_t j = 0; j < p->n; j += kernel->nr) {
        const size_t columns = p->n - j < kernel->nr ? p->n - j : kernel->nr;
        kernel->pack_rows(columns, rows, block + j * PRODUCT_ROWS, PRODUCT_ROWS, panel);
        for (size_t i = j; i < p->n; i += kernel->mr) {
            float *c = p->sums + i * p->ld + j;
            kernel->tile(p->n - i < kernel->mr ? p->n - i : kernel->mr, columns, rows, block + i * PRODUCT_ROWS,
                         PRODUCT_ROWS, panel, NULL, c, p->ld, c, p->ld);
        }
    }
    p->rows += rows;
}

void vt_products_add(struct vt_products *p, const struct vt_kernels *kernels, const float *x, size_t rows, size_t ld)
{
    for (size_t r = 0; r < rows; r += PRODUCT_ROWS)
        add_block(p, kernels, x + r * ld, rows - r < PRODUCT_ROWS ? rows - r : PRODUCT_ROWS, ld);
}

/* ---- The factor ---- */

static double covariance(const struct vt_products *p, const float *scales, size_t scale_count, size_t i, size_t j)
{
    const double scale = (double)scales[scale_count > 1 ? i : 0] * (double)scales[scale_count > 1 ? j : 0];
    const size_t low = i < j ? i : j, high = i < j ? j : i;
    const double n = (double)p->rows;
    const double mean = p->means[i] / n * (p->means[j] / n);
    return ((double)p->sums[high * p->ld + low] / n - mean) / scale + (i == j ? 1.0 / 12 : 0);
}

/* Columns of large inputs first, whose errors all others can make up for. n is some thousands: shell sort. */
static void sort(uint32_t *order, const float *key, size_t n)
{
    for (size_t c = 0; c < n; c++)
        order[c] = (uint32_t)c;
    for (size_t gap = n / 2; gap; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            const uint32_t moved = order[i];
            size_t j = i;
            for (; j >= gap && key[order[j - gap]] < key[moved]; j -= gap)
                order[j] = order[j - gap];
            order[j] = moved;
        }
}

/* One step of elimination: the rows before row k without what it has in common with them. */
struct step {
    const struct vt_compensation *c;
    size_t k;
};

static void eliminate(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct step *s = arg;
    const size_t n = s->c->n;
    const float *row = s->c->shares + s->k * n, inverse = 1 / row[s->k];
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        float *x = s->c->shares + i * n;
        const float f = row[i] * inverse;
        for (size_t j = 0; j <= i; j++)
            x[j] -= f * row[j];
    }
}

/* The matrix becomes U D U^T, U with ones in its diagonal; column k of U, which is row k here, is left. No element of D
 * is below the least eigenvalue but by rounding. */
static void factor(const struct vt_compensation *c, float least, struct vt_pool *pool)
{
    for (size_t k = c->n; k-- > 0;) {
        float *row = c->shares + k * c->n;
        row[k] = fmaxf(row[k], least);
        vt_parallel(pool, k, 128, eliminate, &(struct step){ c, k });
        for (size_t i = 0; i < k; i++)
            row[i] /= row[k];
    }
}

vitrt_status vt_compensation_init(struct vt_compensation *c, const struct vt_products *p, const float *scales,
                                  size_t scale_count, struct vt_pool *pool, const vitrt_allocator *a, vitrt_error *err)
{
    const size_t n = p->n;
    *c = (struct vt_compensation){ .n = n };
    c->order = vt_calloc(a, n, sizeof *c->order);
    c->shares = vt_calloc(a, n * n, sizeof *c->shares);
    if (!c->order || !c->shares)
        return vt_err_memory(err, n * n * sizeof *c->shares, "the shares of rounding errors");
    for (size_t i = 0; i < n; i++)
        c->shares[i] = (float)covariance(p, scales, scale_count, i, i);
    sort(c->order, c->shares, n);
    double damping = 0;
    for (size_t i = 0; i < n; i++)
        damping += DAMPING / (double)n * (double)c->shares[i];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            c->shares[i * n + j] =
                (float)(covariance(p, scales, scale_count, c->order[i], c->order[j]) + (i == j ? damping : 0));
    factor(c, (float)damping, pool);
    return VITRT_OK;
}

void vt_compensation_free(struct vt_compensation *c, const vitrt_allocator *a)
{
    vt_free(a, c->order, c->n * sizeof *c->order);
    vt_free(a, c->shares, c->n * c->n * sizeof *c->shares);
}

/* ---- Rows ---- */

void vt_compensate_row(const struct vt_compensation *c, const struct vt_quantizer *q, unsigned top, const float *row,
                       float *errors, int8_t *codes)
{
    const double scale = (double)q->scale, zero = (double)q->zero;
    for (size_t k = 0; k < c->n; k++) {
        const double w = (double)row[c->order[k]], wanted = w + (double)vt_dot(c->shares + k * c->n, errors, k);
        const double code = vt_round_even(vt_clamp(wanted / scale + zero, 0, top)) - zero;
        errors[k] = (float)(w - code * scale);
        codes[c->order[k]] = (int8_t)code;
    }
}
