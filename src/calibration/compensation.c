/* SPDX-License-Identifier: Apache-2.0 */
/* See compensation.h. */
#include "compensation.h"

#include "alloc.h"
#include "dot.h"
#include "error.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Of the mean square, added to each: few rows show more connections than there are. */
#define DAMPING 0.01

/* What rounding adds to the mean square of codes. */
#define ROUNDING (1.0f / 12)

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
    p->shift = base ? (float *)(void *)(p->means + p->n) : NULL;
    return vt_size_add(vt_size_add(sums, columns), vt_size_add(one, p->n * (sizeof *p->means + sizeof *p->shift)));
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

static void choose_shift(struct vt_products *p, const float *x, size_t rows, size_t ld)
{
    for (size_t c = 0; c < p->n; c++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += (double)x[r * ld + c];
        p->shift[c] = (float)(sum / (double)rows);
    }
}

/* rows <= PRODUCT_ROWS */
static void add_block(struct vt_products *p, const struct vt_kernels *kernels, const float *x, size_t rows, size_t ld)
{
    const struct vt_gemm_kernel *kernel = &kernels->gemm[VT_PRODUCT_F32];
    float *block, *panel;
    carve(p, kernels, p->block, &block, &panel);
    if (!p->rows)
        choose_shift(p, x, rows, ld);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < p->n; c++) {
            const float shifted = x[r * ld + c] - p->shift[c];
            block[c * PRODUCT_ROWS + r] = shifted;
            p->means[c] += (double)shifted;
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

/* In units of codes, of columns that vary; before their rounding is added. */
static double covariance(const struct vt_products *p, const float *scales, size_t scale_count, size_t i, size_t j)
{
    const double scale = (double)scales[scale_count > 1 ? i : 0] * (double)scales[scale_count > 1 ? j : 0];
    const size_t low = i < j ? i : j, high = i < j ? j : i;
    const double n = (double)p->rows;
    const double mean = p->means[i] / n * (p->means[j] / n);
    return ((double)p->sums[high * p->ld + low] / n - mean) / scale;
}

/* 0 where it is less than what sums in float lose, or infinite. */
static double variance(const struct vt_products *p, const float *scales, size_t scale_count, size_t i)
{
    const double scale = (double)scales[scale_count > 1 ? i : 0];
    const double lost = (double)FLT_EPSILON * (double)p->sums[i * p->ld + i] / (scale * scale);
    const double found = covariance(p, scales, scale_count, i, i);
    return found > lost && found < (double)FLT_MAX / 2 ? found : 0;
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

/* Covariances and, in the diagonal, the twelfth of rounding and damping, in the order of c. */
static void fill_shares(const struct vt_compensation *c, const struct vt_products *p, const float *scales,
                        size_t scale_count, const float *diagonal, double damping)
{
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j <= i; j++) {
            const size_t a = c->order[i], b = c->order[j];
            const bool both = diagonal[a] > ROUNDING && diagonal[b] > ROUNDING; /* else one is left out */
            const double found = i == j ? (double)diagonal[a] + damping
                                 : both ? covariance(p, scales, scale_count, a, b)
                                        : 0;
            c->shares[i * c->n + j] = (float)found;
        }
}

vitrt_status vt_compensation_init(struct vt_compensation *c, const struct vt_products *p, const float *scales,
                                  size_t scale_count, struct vt_pool *pool, const vitrt_allocator *a, vitrt_error *err)
{
    const size_t n = p->n;
    float *diagonal = vt_calloc(a, n, sizeof *diagonal);
    double damping = 0;
    *c = (struct vt_compensation){ .n = n };
    c->order = vt_calloc(a, n, sizeof *c->order);
    c->shares = vt_calloc(a, n * n, sizeof *c->shares);
    const bool ready = diagonal && c->order && c->shares;
    for (size_t i = 0; i < n && ready; i++) {
        diagonal[i] = (float)variance(p, scales, scale_count, i) + ROUNDING;
        damping += DAMPING / (double)n * (double)diagonal[i];
    }
    if (ready) {
        sort(c->order, diagonal, n);
        fill_shares(c, p, scales, scale_count, diagonal, damping);
        factor(c, (float)damping, pool);
    }
    vt_free(a, diagonal, n * sizeof *diagonal);
    return ready ? VITRT_OK : vt_err_memory(err, n * n * sizeof *c->shares, "the shares of rounding errors");
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
