/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix product of every bundle and type: against double precision, in which integers are exact, with the bound of
 * a chain of roundings for floats; against "ref" bit by bit, whatever the tile's height and the column's place; against
 * OpenBLAS (with VT_WITH_BLAS).
 */
#include "check_product.h"

#ifdef VT_WITH_BLAS
#include <cblas.h>
#endif

/* One call of a tile with everything around it. */
struct tile_case {
    enum vt_product product;
    const struct vt_gemm_kernel *gemm;
    size_t m, n, k;
    size_t gap; /* elements between the end of a row and the next one, in a, residual and c */
    bool bias, residual, in_place;
    enum fill fill;
    enum place place;
    uint64_t seed;
};

struct tile_buffers {
    struct guarded a, w, panel, bias, residual, c;
};

static size_t span(size_t rows, size_t columns, size_t ld)
{
    return rows == 0 ? 0 : (rows - 1) * ld + columns;
}

/* m rows of n elements; what lies between them has all bits set, NaN for floats, so that using it shows. */
static void *new_rows(struct guarded *g, const struct tile_case *t, enum operand operand, size_t n, uint64_t seed)
{
    const size_t bytes = operand == RESULT ? sizeof(float) : element_bytes(t->product), ld = n + t->gap;
    char *x = guarded_new(g, span(t->m, n, ld) * bytes, t->place);
    memset(x, 0xFF, span(t->m, n, ld) * bytes);
    for (size_t i = 0; i < t->m; i++)
        fill_elements(t->product, operand, t->fill, n, x + i * ld * bytes, seed + i);
    return x;
}

/* Weights [n, k]. */
static void *new_weights(struct guarded *g, const struct tile_case *t)
{
    const size_t bytes = element_bytes(t->product);
    char *w = guarded_new(g, t->n * t->k * bytes, t->place);
    for (size_t j = 0; j < t->n; j++)
        fill_elements(t->product, OPERAND_B, t->fill, t->k, w + j * t->k * bytes, t->seed + 1000 + j);
    return w;
}

/* An operand's element as the tile takes it. */
static double taken(const struct tile_case *t, enum operand operand, const void *x, size_t i)
{
    const double value = element(t->product, operand, x, i);
    return has_own_arithmetic(t->gemm) && fabs(value) < (double)FLT_MIN ? 0 : value;
}

/* Integers are exact. Floats are within gamma(k + 2) of the sum of magnitudes: products are exact or part of a fused
 * multiply-add, so each of them is one rounding, in pairs as well, and so are bias and residual. Each may also lose
 * half a denormal, or, where those count as 0, a whole one. */
static double bound_of(const struct tile_case *t, double magnitude)
{
    const float lost = has_own_arithmetic(t->gemm) ? FLT_MIN : FLT_TRUE_MIN;
    return t->product == VT_PRODUCT_U8S8 ? 0 : gamma_of(t->k + 2) * magnitude + (double)(t->k + 2) * (double)lost;
}

static bool element_close(const struct tile_case *t, size_t i, size_t j, const void *a, const void *w, double bias,
                          double residual, double c)
{
    double sum = bias + residual, magnitude = fabs(bias) + fabs(residual);
    for (size_t kk = 0; kk < t->k; kk++) {
        const double p = taken(t, OPERAND_A, a, i * (t->k + t->gap) + kk) * taken(t, OPERAND_B, w, j * t->k + kk);
        sum += p;
        magnitude += fabs(p);
    }
    return fabs(c - sum) <= bound_of(t, magnitude);
}

static bool tile_close(const struct tile_case *t, const void *a, const void *w, const void *bias, const float *residual,
                       const void *c)
{
    const size_t ldc = t->n + t->gap;
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < t->n; j++)
            if (!element_close(t, i, j, a, w, bias ? element(t->product, RESULT, bias, j) : 0,
                               residual ? (double)residual[i * ldc + j] : 0,
                               element(t->product, RESULT, c, i * ldc + j)))
                return false;
    return true;
}

static bool gaps_untouched(const struct tile_case *t, const float *c)
{
    for (size_t i = 0; i + 1 < t->m; i++)
        for (size_t j = 0; j < t->gap; j++)
            if (!untouched(c + i * (t->n + t->gap) + t->n + j))
                return false;
    return true;
}

static void check_case(struct tile_case t)
{
    struct tile_buffers buffers;
    const size_t ldc = t.n + t.gap;
    const void *a = new_rows(&buffers.a, &t, OPERAND_A, t.k, t.seed), *w = new_weights(&buffers.w, &t);
    const float *residual = new_rows(&buffers.residual, &t, RESULT, t.n, t.seed + 100);
    void *panel = guarded_new(&buffers.panel, panel_bytes(t.product, t.gemm, t.k), t.place);
    void *bias = guarded_new(&buffers.bias, t.gemm->nr * sizeof(float), t.place);
    float *c = guarded_floats(&buffers.c, span(t.m, t.n, ldc), t.place);
    t.gemm->pack_rows(t.n, t.k, w, t.k, panel);
    fill_elements(t.product, RESULT, t.fill, t.gemm->nr, bias, t.seed + 200);
    if (!t.bias)
        bias = NULL;
    if (!t.residual)
        residual = NULL;
    for (size_t i = 0; i < t.m && residual && t.in_place; i++)
        memcpy(c + i * ldc, residual + i * ldc, t.n * sizeof *c);

    t.gemm->tile(t.m, t.n, t.k, a, t.k + t.gap, panel, bias, residual && t.in_place ? c : residual, ldc, c, ldc);

    require(tile_close(&t, a, w, bias, residual, c), "outside the error bound", "gemm", t.gemm->name, t.m, t.n, t.k,
            t.seed);
    require(gaps_untouched(&t, c) && guarded_intact(&buffers.c), "wrote outside the tile", "gemm", t.gemm->name, t.m,
            t.n, t.k, t.seed);
    struct guarded *const all[] = {
        &buffers.a, &buffers.w, &buffers.panel, &buffers.bias, &buffers.residual, &buffers.c
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        guarded_free(all[i]);
}

/* Every m and n of the tile with short k, its corners with the lengths of real models. */
static void check_tile(enum vt_product product, const struct vt_gemm_kernel *gemm)
{
    static const size_t lengths[] = { 0, 1, 2, 3, 4, 5, 8, 10, 17, 32, 64, 197, 768, 3072 };
    uint64_t seed = 1;
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        for (size_t m = 0; m <= gemm->mr; m++) {
            for (size_t n = 0; n <= gemm->nr; n++) {
                if (lengths[l] > 17 && m > 1 && m < gemm->mr && n > 1 && n < gemm->nr)
                    continue;
                const unsigned choice = (unsigned)random_bits(&seed);
                check_case((struct tile_case){ .product = product,
                                               .gemm = gemm,
                                               .m = m,
                                               .n = n,
                                               .k = lengths[l],
                                               .gap = choice & 1 ? 3 : 0,
                                               .bias = choice & 2,
                                               .residual = choice & 4 && product != VT_PRODUCT_U8S8,
                                               .in_place = choice & 8,
                                               .fill = (choice >> 8) % FILL_COUNT,
                                               .place = choice >> 4 & 1,
                                               .seed = seed });
            }
        }
    }
}

static void test_tile_against_double(void **state)
{
    (void)state;
    for_each_gemm(check_tile);
}

/* ---- Whole products made of tiles ---- */

static const size_t product_shapes[][3] = { { 1, 1, 1 },    { 5, 15, 7 },   { 6, 16, 8 },     { 7, 17, 9 },
                                            { 13, 31, 37 }, { 49, 96, 32 }, { 197, 100, 64 }, { 50, 192, 193 } };
enum { PRODUCT_SHAPES = sizeof product_shapes / sizeof product_shapes[0] };

/* c = a w^T + bias + residual; a [m, k], w [n, k], c and residual [m, n]. */
struct product {
    enum vt_product type;
    size_t m, n, k;
    void *a, *w, *bias;
    float *residual, *c, *want; /* or int32_t */
};

static void *filled(const struct product *p, enum operand operand, size_t n, enum fill fill, uint64_t seed)
{
    void *x = malloc(n * sizeof(float));
    assert_non_null(x);
    fill_elements(p->type, operand, fill, n, x, seed);
    return x;
}

static struct product product_new(enum vt_product type, const size_t shape[3], enum fill fill)
{
    struct product p = { .type = type, .m = shape[0], .n = shape[1], .k = shape[2] };
    p.a = filled(&p, OPERAND_A, p.m * p.k, fill, 1);
    p.w = filled(&p, OPERAND_B, p.n * p.k, fill, 2);
    p.bias = filled(&p, RESULT, p.n, fill, 3);
    p.residual = filled(&p, RESULT, p.m * p.n, fill, 4);
    p.c = filled(&p, RESULT, p.m * p.n, fill, 5);
    p.want = filled(&p, RESULT, p.m * p.n, fill, 6);
    return p;
}

static void product_free(struct product *p)
{
    free(p->a);
    free(p->w);
    free(p->bias);
    free(p->residual);
    free(p->c);
    free(p->want);
}

/* rows <= mr and columns <= nr of them per call. */
static void multiply(const struct vt_gemm_kernel *gemm, size_t rows, size_t columns, const struct product *p, float *c)
{
    struct guarded memory;
    const size_t bytes = element_bytes(p->type);
    const float *residual = p->type == VT_PRODUCT_U8S8 ? NULL : p->residual;
    void *panel = guarded_new(&memory, panel_bytes(p->type, gemm, p->k), AT_START);
    float bias[VT_MAX_TILE] = { 0 };
    for (size_t j = 0; j < p->n; j += columns) {
        const size_t n = p->n - j < columns ? p->n - j : columns;
        gemm->pack_rows(n, p->k, (const char *)p->w + j * p->k * bytes, p->k, panel);
        memcpy(bias, (const float *)p->bias + j, n * sizeof *bias);
        for (size_t i = 0; i < p->m; i += rows)
            gemm->tile(p->m - i < rows ? p->m - i : rows, n, p->k, (const char *)p->a + i * p->k * bytes, p->k, panel,
                       bias, residual ? residual + i * p->n + j : NULL, p->n, c + i * p->n + j, p->n);
    }
    guarded_free(&memory);
}

/* In tiles of every height, and with every column elsewhere in its panel, the product equals the one that "ref" (or,
 * with arithmetic of its own, the same tile) computes row by row. */
static void check_bits(enum vt_product type, const struct vt_gemm_kernel *gemm)
{
    const struct vt_kernels kernels = reference_bundle();
    const struct vt_gemm_kernel *ref = has_own_arithmetic(gemm) ? gemm : &kernels.gemm[type];
    for (size_t s = 0; s < PRODUCT_SHAPES; s++) {
        for (enum fill fill = 0; fill < FILL_COUNT; fill++) {
            struct product p = product_new(type, product_shapes[s], fill);
            multiply(ref, 1, ref->nr, &p, p.want);
            for (size_t rows = 1; rows <= gemm->mr; rows++) {
                multiply(gemm, rows, gemm->nr - (rows % 2 ? 0 : rows % gemm->nr), &p, p.c);
                require(same_results(type, p.m * p.n, p.c, p.want), "other bits than row by row", "gemm", gemm->name,
                        p.m, p.n, p.k, fill);
            }
            product_free(&p);
        }
    }
}

static void test_bits_for_every_height_and_place(void **state)
{
    (void)state;
    for_each_gemm(check_bits);
}

#ifdef VT_WITH_BLAS
/* Both are within gamma(k + 2) of the exact product, whatever the order in which OpenBLAS adds. */
static void check_against_blas(enum vt_product type, const struct vt_gemm_kernel *gemm)
{
    for (size_t s = 0; s < PRODUCT_SHAPES && type == VT_PRODUCT_F32; s++) {
        struct product p = product_new(type, product_shapes[s], FILL_UNIFORM);
        const float *a = p.a, *w = p.w, *bias = p.bias;
        for (size_t i = 0; i < p.m * p.n; i++)
            p.want[i] = p.residual[i] + bias[i % p.n];
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p.m, (int)p.n, (int)p.k, 1.0f, a, (int)p.k, w,
                    (int)p.k, 1.0f, p.want, (int)p.n);
        multiply(gemm, gemm->mr, gemm->nr, &p, p.c);
        for (size_t i = 0; i < p.m * p.n; i++) {
            double magnitude = fabs((double)bias[i % p.n]) + fabs((double)p.residual[i]);
            for (size_t kk = 0; kk < p.k; kk++)
                magnitude += fabs((double)a[i / p.n * p.k + kk] * (double)w[i % p.n * p.k + kk]);
            const bool close = fabs((double)p.c[i] - (double)p.want[i]) <= 2 * gamma_of(p.k + 2) * magnitude;
            require(close, "differs from OpenBLAS", "gemm", gemm->name, p.m, p.n, p.k, 0);
        }
        product_free(&p);
    }
}

static void test_against_openblas(void **state)
{
    (void)state;
    for_each_gemm(check_against_blas);
}
#endif

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tile_against_double),
        cmocka_unit_test(test_bits_for_every_height_and_place),
#ifdef VT_WITH_BLAS
        cmocka_unit_test(test_against_openblas),
#endif
    };
    return cmocka_run_group_tests_name("check_gemm", tests, NULL, NULL);
}
