/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of every kernel on one core: time, rate, and for the matrix product its share of the peak, which is measured in
 * the same round.
 *
 * Each line is the best of many short rounds, and what is compared alternates within a round, so that other load on the
 * machine and changes of the clock meet all of them alike. With VT_WITH_BLAS, OpenBLAS multiplies the same matrices
 * (set OPENBLAS_NUM_THREADS=1).
 *
 * bench_kernels [--only=TEXT] [--bundle=NAME] [--cold] : lines whose name contains TEXT; one bundle instead of the best
 * one; weights that come from memory at each call, as they do in a model that is larger than the caches.
 */
#define _DEFAULT_SOURCE /* madvise */
#include "kernels.h"
#include "peak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#ifdef VT_WITH_BLAS
#include <cblas.h>
#endif

static struct {
    const char *only;
    bool cold;
    struct vt_kernels kernels;
} bench;

/* Large pages where the system has them: walking page tables for weights of some megabytes costs several per cent. */
static float *floats(size_t n)
{
    const size_t page = (size_t)2 << 20, bytes = (n * sizeof(float) + page) / page * page;
    float *x = aligned_alloc(page, bytes);
    if (!x) {
        fprintf(stderr, "bench_kernels: out of memory\n");
        exit(1);
    }
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    madvise(x, bytes, MADV_HUGEPAGE);
#endif
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i % 251) / 125.0f - 1.0f;
    return x;
}

static bool wanted(const char *name)
{
    return !bench.only || strstr(name, bench.only);
}

/* ---- Kernels over rows and elements ---- */

struct vectors {
    size_t n;
    float *a, *b, *c, *y;
    float *panel;
};

static volatile float sink;

static void run_gelu(const struct vectors *v)
{
    bench.kernels.activation_f32[VT_ACT_GELU](v->n, v->a, v->y);
}
static void run_gelu_tanh(const struct vectors *v)
{
    bench.kernels.activation_f32[VT_ACT_GELU_TANH](v->n, v->a, v->y);
}
static void run_quick_gelu(const struct vectors *v)
{
    bench.kernels.activation_f32[VT_ACT_QUICK_GELU](v->n, v->a, v->y);
}
static void run_silu(const struct vectors *v)
{
    bench.kernels.activation_f32[VT_ACT_SILU](v->n, v->a, v->y);
}
static void run_relu(const struct vectors *v)
{
    bench.kernels.activation_f32[VT_ACT_RELU](v->n, v->a, v->y);
}
static void run_tanh(const struct vectors *v)
{
    bench.kernels.activation_f32[VT_ACT_TANH](v->n, v->a, v->y);
}
static void run_add(const struct vectors *v)
{
    bench.kernels.add_f32(v->n, v->a, v->b, v->y);
}
static void run_mul(const struct vectors *v)
{
    bench.kernels.mul_f32(v->n, v->a, v->b, v->y);
}
static void run_scale_add(const struct vectors *v)
{
    bench.kernels.scale_add_f32(v->n, v->a, v->b, v->c, v->y);
}
static void run_axpy(const struct vectors *v)
{
    bench.kernels.axpy_f32(v->n, 0.5f, v->a, v->y);
}
static void run_norm(const struct vectors *v)
{
    bench.kernels.layer_norm_f32(1, v->n, v->a, v->n, v->b, v->c, 1e-6f, v->y, v->n);
}
static void run_softmax(const struct vectors *v)
{
    sink = bench.kernels.softmax_f32(v->n, 0.125f, v->a, v->y);
}

/* n elements as nr rows (or nr columns) of a matrix. */
static void run_pack_rows(const struct vectors *v)
{
    const size_t nr = bench.kernels.gemm[VT_PRODUCT_F32].nr;
    bench.kernels.gemm[VT_PRODUCT_F32].pack_rows(nr, v->n / nr, v->a, v->n / nr, v->panel);
}
static void run_pack_columns(const struct vectors *v)
{
    const size_t nr = bench.kernels.gemm[VT_PRODUCT_F32].nr;
    bench.kernels.gemm[VT_PRODUCT_F32].pack_columns(nr, v->n / nr, v->a, nr, v->panel);
}

enum { NONE, L1 = 3072, TILE = 96 };

static const struct {
    const char *name;
    void (*run)(const struct vectors *);
    size_t sizes[4]; /* elements; up to the first 0 */
    size_t bytes;    /* read and written for each element */
} simple[] = {
    { "gelu_f32", run_gelu, { TILE, L1, 197 * 3072 }, 8 },
    { "gelu_tanh_f32", run_gelu_tanh, { L1 }, 8 },
    { "quick_gelu_f32", run_quick_gelu, { L1 }, 8 },
    { "silu_f32", run_silu, { L1 }, 8 },
    { "relu_f32", run_relu, { L1 }, 8 },
    { "tanh_f32", run_tanh, { L1 }, 8 },
    { "softmax_f32", run_softmax, { 49, 197, 577 }, 8 },
    { "layer_norm_f32", run_norm, { 192, 384, 768 }, 16 },
    { "add_f32", run_add, { 768 }, 12 },
    { "mul_f32", run_mul, { 768 }, 12 },
    { "scale_add_f32", run_scale_add, { 768 }, 16 },
    { "axpy_f32", run_axpy, { 768 }, 12 },
    { "pack_rows_f32", run_pack_rows, { 16 * 64, 16 * 768, 16 * 3072 }, 8 },
    { "pack_columns_f32", run_pack_columns, { 16 * 64, 16 * 768 }, 8 },
};

/* Best seconds of one call. Calls are repeated within a round to about 20 microseconds: long against the clock,
 * short against a time slice. */
static double best_seconds(void (*run)(const struct vectors *), const struct vectors *v)
{
    size_t repeat = 1;
    double best = INFINITY;
    for (size_t round = 0; round < 3000; round++) {
        const double start = vt_bench_seconds();
        for (size_t i = 0; i < repeat; i++)
            run(v);
        const double seconds = vt_bench_seconds() - start;
        if (round < 20 && seconds < 20e-6)
            repeat *= 2;
        if (seconds > 0.001 && round > 100)
            break;
        best = fmin(best, seconds / (double)repeat);
    }
    return best;
}

static void bench_simple(void)
{
    const size_t most = 197 * 3072;
    struct vectors v = {
        .a = floats(most), .b = floats(most), .c = floats(most), .y = floats(most), .panel = floats(most)
    };
    for (size_t s = 0; s < sizeof simple / sizeof simple[0]; s++) {
        for (size_t i = 0; i < 4 && simple[s].sizes[i] && wanted(simple[s].name); i++) {
            v.n = simple[s].sizes[i];
            const double seconds = best_seconds(simple[s].run, &v);
            printf("%-18s n=%-7zu %10.1f ns  %6.3f ns/element  %6.1f GB/s\n", simple[s].name, v.n, seconds * 1e9,
                   seconds * 1e9 / (double)v.n, (double)(v.n * simple[s].bytes) / seconds * 1e-9);
        }
    }
    free(v.a);
    free(v.b);
    free(v.c);
    free(v.y);
    free(v.panel);
}

/* ---- Matrix products ---- */

struct product {
    size_t m, n, k, copies; /* copies of the weights, used in turn */
    float *a, *w, *panels, *bias, *c;
};

static size_t panels_floats(const struct product *p)
{
    const size_t nr = bench.kernels.gemm[VT_PRODUCT_F32].nr;
    return (p->n + nr - 1) / nr * nr * p->k;
}

static struct product product_new(size_t m, size_t k, size_t n)
{
    const size_t nr = bench.kernels.gemm[VT_PRODUCT_F32].nr;
    struct product p = { .m = m, .n = n, .k = k, .copies = 1 };
    if (bench.cold)
        p.copies += ((size_t)96 << 20) / (n * k * sizeof(float));
    p.a = floats(m * k);
    p.w = floats(n * k * p.copies);
    p.panels = floats(panels_floats(&p) * p.copies);
    p.bias = floats(n + nr);
    p.c = floats(m * n);
    for (size_t copy = 0; copy < p.copies; copy++)
        for (size_t j = 0; j < n; j += nr)
            bench.kernels.gemm[VT_PRODUCT_F32].pack_rows(n - j < nr ? n - j : nr, k, p.w + (copy * n + j) * k, k,
                                             p.panels + copy * panels_floats(&p) + j * k);
    return p;
}

static void product_free(struct product *p)
{
    free(p->a);
    free(p->w);
    free(p->panels);
    free(p->bias);
    free(p->c);
}

/* Rows [row, row_end) through one panel after the other, in tiles of equal height. */
static void multiply_rows(const struct product *p, const float *panels, size_t row, size_t row_end)
{
    const struct vt_gemm_kernel *gemm = &bench.kernels.gemm[VT_PRODUCT_F32];
    const size_t rows = row_end - row, tiles = (rows + gemm->mr - 1) / gemm->mr;
    for (size_t j = 0; j < p->n; j += gemm->nr) {
        const size_t columns = p->n - j < gemm->nr ? p->n - j : gemm->nr;
        for (size_t t = 0; t < tiles; t++) {
            const size_t i = row + rows * t / tiles, end = row + rows * (t + 1) / tiles;
            gemm->tile(end - i, columns, p->k, p->a + i * p->k, p->k, panels + j * p->k, p->bias + j, NULL, 0,
                       p->c + i * p->n + j, p->n);
        }
    }
}

/* In blocks of about 192 rows: enough for the weights to come from memory unnoticed (64 bytes for 192 rows in each step
 * of k), few enough for A and C to stay in the caches. */
static void multiply(const struct product *p, size_t copy)
{
    const size_t blocks = p->m < 288 ? 1 : (p->m + 96) / 192;
    for (size_t i = 0; i < blocks; i++)
        multiply_rows(p, p->panels + copy * panels_floats(p), p->m * i / blocks, p->m * (i + 1) / blocks);
}

/* OpenBLAS on the same matrices, or nothing. */
static void multiply_blas(const struct product *p, size_t copy)
{
#ifdef VT_WITH_BLAS
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p->m, (int)p->n, (int)p->k, 1.0f, p->a, (int)p->k,
                p->w + copy * p->n * p->k, (int)p->k, 0.0f, p->c, (int)p->n);
#else
    (void)p;
    (void)copy;
#endif
}

static double seconds_of(void (*run)(const struct product *, size_t), const struct product *p, size_t copy)
{
    const double start = vt_bench_seconds();
    run(p, copy);
    return vt_bench_seconds() - start;
}

static void bench_product(size_t m, size_t k, size_t n)
{
    struct product p = product_new(m, k, n);
    const double flops = 2.0 * (double)m * (double)n * (double)k;
    const size_t rounds = 10 + (size_t)(8e9 / flops) % 1000;
    double ours = INFINITY, blas = INFINITY, peak = 0;
    for (size_t round = 0; round < rounds; round++) {
        peak = fmax(peak, vt_bench_peak_f32() * 1e9);
        ours = fmin(ours, seconds_of(multiply, &p, round % p.copies));
        blas = fmin(blas, seconds_of(multiply_blas, &p, round % p.copies));
    }
    printf("%-18s m=%-5zu k=%-5zu n=%-5zu %9.1f us  %6.1f GFLOP/s  %5.1f %% of peak", "gemm_f32", m, k, n, ours * 1e6,
           flops / ours * 1e-9, 100 * flops / ours / peak);
#ifdef VT_WITH_BLAS
    printf("  OpenBLAS %5.1f %%", 100 * flops / blas / peak);
#endif
    printf("\n");
    product_free(&p);
}

static void bench_products(void)
{
    static const size_t shapes[][3] = {
        { 197, 192, 576 }, { 197, 192, 768 },  { 197, 384, 1152 }, { 197, 384, 1536 }, { 197, 1536, 384 },
        { 197, 768, 768 }, { 197, 768, 2304 }, { 197, 768, 3072 }, { 197, 3072, 768 }, { 49, 768, 3072 },
        { 50, 768, 768 },  { 785, 192, 576 },  { 785, 384, 1152 }, { 3136, 96, 288 },  { 3136, 96, 384 },
        { 3136, 384, 96 }, { 197, 64, 197 },   { 197, 197, 64 },   { 49, 32, 49 },     { 49, 49, 32 },
        { 577, 64, 577 },  { 577, 577, 64 },   { 1, 768, 1000 },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && wanted("gemm_f32"); i++)
        bench_product(shapes[i][0], shapes[i][1], shapes[i][2]);
}

int main(int argc, char **argv)
{
    unsigned cpu = vt_cpu_detect();
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--only=", 7) == 0)
            bench.only = argv[i] + 7;
        else if (strcmp(argv[i], "--cold") == 0)
            bench.cold = true;
        else if (strncmp(argv[i], "--bundle=", 9) != 0 || !vt_cpu_from_name(argv[i] + 9, &cpu) ||
                 (cpu & vt_cpu_detect()) != cpu) {
            fprintf(stderr,
                    "usage: bench_kernels [--only=TEXT] [--bundle=NAME] [--cold], NAME one of %s that this CPU has\n",
                    vt_cpu_names());
            return 2;
        }
    }
    vt_kernels_init(&bench.kernels, cpu);
    double peak = 0;
    for (int i = 0; i < 50; i++)
        peak = fmax(peak, vt_bench_peak_f32());
    printf("bundle %s, tile %s, peak %.1f GFLOP/s\n", bench.kernels.bundle, bench.kernels.gemm[VT_PRODUCT_F32].name, peak);
    bench_simple();
    bench_products();
    return 0;
}
