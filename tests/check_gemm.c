/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix product of every bundle: against double precision with the bound of a chain of roundings, against "ref"
 * bit by bit, against OpenBLAS (with VT_WITH_BLAS), rows alone against rows in a tile, and the packing against its
 * definition.
 */
#include "check.h"

#ifdef VT_WITH_BLAS
#include <cblas.h>
#endif

/* One call of a tile with everything around it. */
struct tile_case {
    size_t m, n, k;
    size_t gap; /* elements between the end of a row and the next one, in a, residual and c */
    bool bias, residual, in_place;
    enum fill fill;
    enum place place;
    uint64_t seed;
};

struct tile_buffers {
    struct guarded a, b, bias, residual, c;
};

static size_t span(size_t rows, size_t columns, size_t ld)
{
    return rows == 0 ? 0 : (rows - 1) * ld + columns;
}

/* Rows of n random elements; what lies between them is NaN, so that using it shows. */
static void fill_rows(enum fill fill, size_t rows, size_t n, size_t ld, float *x, uint64_t seed)
{
    for (size_t i = 0; i < span(rows, n, ld); i++)
        x[i] = NAN;
    for (size_t i = 0; i < rows; i++)
        fill_floats(fill, n, x + i * ld, seed + i);
}

static float *new_rows(struct guarded *g, const struct tile_case *t, size_t n, uint64_t seed)
{
    float *x = guarded_floats(g, span(t->m, n, n + t->gap), t->place);
    fill_rows(t->fill, t->m, n, n + t->gap, x, seed);
    return x;
}

static void fill_panel(const struct tile_case *t, size_t nr, float *panel)
{
    memset(panel, 0, t->k * nr * sizeof *panel);
    for (size_t kk = 0; kk < t->k; kk++)
        fill_floats(t->fill, t->n, panel + kk * nr, t->seed + 1000 + kk);
}

/* |got - exact| <= gamma(k + 2) sum of magnitudes: k products, bias and residual; each rounding may also lose half a
 * denormal. */
static bool tile_close(const struct tile_case *t, const float *a, const float *b, size_t nr, const float *bias,
                       const float *residual, const float *c)
{
    for (size_t i = 0; i < t->m; i++) {
        for (size_t j = 0; j < t->n; j++) {
            double sum = 0, magnitude = 0;
            for (size_t kk = 0; kk < t->k; kk++) {
                const double p = (double)a[i * (t->k + t->gap) + kk] * (double)b[kk * nr + j];
                sum += p;
                magnitude += fabs(p);
            }
            const double addend[2] = { bias ? bias[j] : 0, residual ? residual[i * (t->n + t->gap) + j] : 0 };
            sum += addend[0] + addend[1];
            magnitude += fabs(addend[0]) + fabs(addend[1]);
            const double bound = gamma_of(t->k + 2) * magnitude + (double)(t->k + 2) * FLT_TRUE_MIN;
            if (!(fabs(c[i * (t->n + t->gap) + j] - sum) <= bound))
                return false;
        }
    }
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

static void check_tile(const struct vt_gemm_kernel *gemm, struct tile_case t)
{
    struct tile_buffers buffers;
    const size_t ldc = t.n + t.gap, c_floats = span(t.m, t.n, ldc);
    float *a = new_rows(&buffers.a, &t, t.k, t.seed);
    float *residual = new_rows(&buffers.residual, &t, t.n, t.seed + 100);
    float *b = guarded_floats(&buffers.b, t.k * gemm->nr, t.place);
    float *bias = guarded_floats(&buffers.bias, gemm->nr, t.place);
    float *c = guarded_floats(&buffers.c, c_floats, t.place);
    fill_panel(&t, gemm->nr, b);
    fill_floats(t.fill, gemm->nr, bias, t.seed + 200);
    if (t.in_place)
        for (size_t i = 0; i < t.m; i++)
            memcpy(c + i * ldc, residual + i * ldc, t.n * sizeof *c);

    gemm->tile(t.m, t.n, t.k, a, t.k + t.gap, b, t.bias ? bias : NULL,
               !t.residual  ? NULL
               : t.in_place ? c
                            : residual,
               ldc, c, ldc);

    const bool close = tile_close(&t, a, b, gemm->nr, t.bias ? bias : NULL, t.residual ? residual : NULL, c);
    require(close, "outside the error bound", "gemm_f32", gemm->name, t.m, t.n, t.k, t.seed);
    const bool intact = gaps_untouched(&t, c) && guarded_intact(&buffers.c);
    require(intact, "wrote outside the tile", "gemm_f32", gemm->name, t.m, t.n, t.k, t.seed);
    guarded_free(&buffers.a);
    guarded_free(&buffers.residual);
    guarded_free(&buffers.b);
    guarded_free(&buffers.bias);
    guarded_free(&buffers.c);
}

/* Every m and n of the tile with short k, its corners with the lengths of real models. */
static void tile_of_bundle(const struct vt_kernels *kernels)
{
    static const size_t lengths[] = { 0, 1, 2, 3, 5, 8, 17, 32, 64, 197, 768, 3072 };
    const struct vt_gemm_kernel *gemm = &kernels->gemm[VT_PRODUCT_F32];
    uint64_t seed = 1;
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        for (size_t m = 0; m <= gemm->mr; m++) {
            for (size_t n = 0; n <= gemm->nr; n++) {
                if (lengths[l] > 17 && m > 1 && m < gemm->mr && n > 1 && n < gemm->nr)
                    continue;
                const unsigned choice = (unsigned)random_bits(&seed);
                check_tile(gemm, (struct tile_case){ .m = m,
                                                     .n = n,
                                                     .k = lengths[l],
                                                     .gap = choice & 1 ? 3 : 0,
                                                     .bias = choice & 2,
                                                     .residual = choice & 4,
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
    for_each_bundle(tile_of_bundle);
}

/* ---- Packing ---- */

static void check_packing(const struct vt_gemm_kernel *gemm, bool rows, size_t n, size_t k, size_t gap, enum place place)
{
    struct guarded w_memory, panel_memory;
    const size_t ld = (rows ? k : n) + gap, count = rows ? span(n, k, ld) : span(k, n, ld);
    float *w = guarded_floats(&w_memory, count, place), *panel = guarded_floats(&panel_memory, k * gemm->nr, place);
    fill_floats(FILL_UNIFORM, count, w, n + k);
    (rows ? gemm->pack_rows : gemm->pack_columns)(n, k, w, ld, panel);
    for (size_t kk = 0; kk < k; kk++) {
        for (size_t j = 0; j < gemm->nr; j++) {
            const float want = j >= n ? 0.0f : rows ? w[j * ld + kk] : w[kk * ld + j];
            require(same_bits(1, &want, panel + kk * gemm->nr + j), "wrong element",
                    rows ? "pack_rows" : "pack_columns", gemm->name, 0, n, k, n + k);
        }
    }
    require(guarded_intact(&panel_memory), "wrote outside the panel", "pack", gemm->name, 0, n, k, n + k);
    guarded_free(&w_memory);
    guarded_free(&panel_memory);
}

static void packing_of_bundle(const struct vt_kernels *kernels)
{
    static const size_t lengths[] = { 0, 1, 3, 7, 8, 9, 16, 31, 49, 64, 197 };
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
        for (size_t n = 0; n <= kernels->gemm[VT_PRODUCT_F32].nr; n++)
            for (unsigned choice = 0; choice < 8; choice++)
                check_packing(&kernels->gemm[VT_PRODUCT_F32], choice & 1, n, lengths[l], choice & 2 ? 5 : 0,
                              choice & 4 ? AT_END : AT_START);
}

static void test_packing(void **state)
{
    (void)state;
    for_each_bundle(packing_of_bundle);
}

/* ---- Whole products made of tiles ---- */

static const size_t product_shapes[][3] = { { 1, 1, 1 },    { 5, 15, 7 },   { 6, 16, 8 },     { 7, 17, 9 },
                                            { 13, 31, 37 }, { 49, 96, 32 }, { 197, 100, 64 }, { 50, 192, 193 } };
enum { PRODUCT_SHAPES = sizeof product_shapes / sizeof product_shapes[0] };

/* c = a w^T + bias + residual, a [m, k], w [n, k], c and residual [m, n]; rows_at_once <= mr of them per call. */
static void multiply(const struct vt_gemm_kernel *gemm, size_t rows_at_once, size_t m, size_t n, size_t k, const float *a,
                     const float *w, const float *bias, const float *residual, float *c)
{
    struct guarded panel_memory;
    float *panel = guarded_floats(&panel_memory, k * gemm->nr, AT_START), padded[64] = { 0 };
    assert_true(gemm->nr <= 64);
    for (size_t j = 0; j < n; j += gemm->nr) {
        const size_t columns = n - j < gemm->nr ? n - j : gemm->nr;
        gemm->pack_rows(columns, k, w + j * k, k, panel);
        memcpy(padded, bias + j, columns * sizeof *bias);
        for (size_t i = 0; i < m; i += rows_at_once) {
            const size_t rows = m - i < rows_at_once ? m - i : rows_at_once;
            gemm->tile(rows, columns, k, a + i * k, k, panel, padded, residual + i * n + j, n, c + i * n + j, n);
        }
    }
    guarded_free(&panel_memory);
}

struct product {
    size_t m, n, k;
    float *a, *w, *bias, *residual, *c;
};

static float *filled(size_t n, enum fill fill, uint64_t seed)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    fill_floats(fill, n, x, seed);
    return x;
}

static struct product product_new(const size_t shape[3], enum fill fill)
{
    struct product p = { .m = shape[0], .n = shape[1], .k = shape[2] };
    p.a = filled(p.m * p.k, fill, 1);
    p.w = filled(p.n * p.k, fill, 2);
    p.bias = filled(p.n, fill, 3);
    p.residual = filled(p.m * p.n, fill, 4);
    p.c = filled(p.m * p.n, fill, 5);
    return p;
}

static void product_free(struct product *p)
{
    free(p->a);
    free(p->w);
    free(p->bias);
    free(p->residual);
    free(p->c);
}

/* The product in tiles of every height from 1 to mr equals the one that "ref" computes row by row. */
static void bits_of_bundle(const struct vt_kernels *kernels)
{
    const struct vt_kernels ref = reference_bundle();
    for (size_t s = 0; s < PRODUCT_SHAPES; s++) {
        for (enum fill fill = 0; fill < FILL_COUNT; fill++) {
            struct product p = product_new(product_shapes[s], fill);
            float *want = filled(p.m * p.n, fill, 6);
            multiply(&ref.gemm[VT_PRODUCT_F32], 1, p.m, p.n, p.k, p.a, p.w, p.bias, p.residual, want);
            for (size_t rows = 1; rows <= kernels->gemm[VT_PRODUCT_F32].mr; rows++) {
                multiply(&kernels->gemm[VT_PRODUCT_F32], rows, p.m, p.n, p.k, p.a, p.w, p.bias, p.residual, p.c);
                require(same_bits(p.m * p.n, p.c, want), "other bits than ref row by row", "gemm_f32",
                        kernels->gemm[VT_PRODUCT_F32].name, p.m, p.n, p.k, fill);
            }
            free(want);
            product_free(&p);
        }
    }
}

static void test_bits_against_ref_for_every_height(void **state)
{
    (void)state;
    for_each_bundle(bits_of_bundle);
}

#ifdef VT_WITH_BLAS
/* Both are within gamma(k + 2) of the exact product, whatever the order in which OpenBLAS adds. */
static void blas_of_bundle(const struct vt_kernels *kernels)
{
    for (size_t s = 0; s < PRODUCT_SHAPES; s++) {
        struct product p = product_new(product_shapes[s], FILL_UNIFORM);
        float *want = filled(p.m * p.n, FILL_UNIFORM, 4);
        for (size_t i = 0; i < p.m * p.n; i++)
            want[i] += p.bias[i % p.n];
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p.m, (int)p.n, (int)p.k, 1.0f, p.a, (int)p.k, p.w,
                    (int)p.k, 1.0f, want, (int)p.n);
        multiply(&kernels->gemm[VT_PRODUCT_F32], kernels->gemm[VT_PRODUCT_F32].mr, p.m, p.n, p.k, p.a, p.w, p.bias, p.residual, p.c);
        for (size_t i = 0; i < p.m * p.n; i++) {
            double magnitude = fabs(p.bias[i % p.n]) + fabs(p.residual[i]);
            for (size_t kk = 0; kk < p.k; kk++)
                magnitude += fabs((double)p.a[i / p.n * p.k + kk] * (double)p.w[i % p.n * p.k + kk]);
            const bool close = fabs((double)p.c[i] - (double)want[i]) <= 2 * gamma_of(p.k + 2) * magnitude;
            require(close, "differs from OpenBLAS", "gemm_f32", kernels->gemm[VT_PRODUCT_F32].name, p.m, p.n, p.k, 0);
        }
        free(want);
        product_free(&p);
    }
}

static void test_against_openblas(void **state)
{
    (void)state;
    for_each_bundle(blas_of_bundle);
}
#endif

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tile_against_double),
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_bits_against_ref_for_every_height),
#ifdef VT_WITH_BLAS
        cmocka_unit_test(test_against_openblas),
#endif
    };
    return cmocka_run_group_tests_name("check_gemm", tests, NULL, NULL);
}
