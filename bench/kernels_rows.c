/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels over elements and rows: they are bound by memory or by a polynomial, so there is no share of a peak. */
#include "bench_kernels.h"
#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TILE = 384, ROW = 3072, LAYER = 197 * 3072, NORM_ROWS = 4, SOFTMAX_ROWS = 4, HEAD = 32, SIZES = 3 };
enum { SUM_ROWS = 12 };

struct vectors {
    const struct vt_kernels *kernels;
    size_t n;
    float *a, *b, *c, *y;
    int32_t *integers; /* 1000 times a */
    vt_bf16 *halves;
    uint8_t *codes;
};

#define ACTIVATION(name, kind)                                                                                         \
    static void name(const struct vectors *v)                                                                          \
    {                                                                                                                  \
        v->kernels->activation_f32[kind](v->n, v->a, v->y);                                                            \
    }
ACTIVATION(run_gelu, VT_ACT_GELU)
ACTIVATION(run_gelu_tanh, VT_ACT_GELU_TANH)
ACTIVATION(run_quick_gelu, VT_ACT_QUICK_GELU)
ACTIVATION(run_silu, VT_ACT_SILU)
ACTIVATION(run_relu, VT_ACT_RELU)
ACTIVATION(run_tanh, VT_ACT_TANH)

static void run_add(const struct vectors *v)
{
    v->kernels->add_f32(v->n, v->a, v->b, v->y);
}

static void run_mul(const struct vectors *v)
{
    v->kernels->mul_f32(v->n, v->a, v->b, v->y);
}

static void run_scale_add(const struct vectors *v)
{
    v->kernels->scale_add_f32(v->n, v->a, v->b, v->c, v->y);
}

static void run_scale_add_u8(const struct vectors *v)
{
    v->kernels->scale_add_u8(v->n, v->codes, v->b, v->c, v->y);
}

static void run_axpy(const struct vectors *v)
{
    v->kernels->axpy_f32(v->n, 0.5f, v->a, v->y);
}

/* n elements in rows as high as a tile: probabilities that are added to their sums over queries. */
static void run_axpy_rows(const struct vectors *v)
{
    const size_t n = v->n / SUM_ROWS;
    v->kernels->axpy_rows_f32(SUM_ROWS, n, v->b, v->a, n, v->y);
}

static void run_axpy_rows_bf16(const struct vectors *v)
{
    const size_t n = v->n / SUM_ROWS;
    v->kernels->axpy_rows_bf16(SUM_ROWS, n, v->b, v->halves, n, v->y);
}

static void run_axpy_rows_u8(const struct vectors *v)
{
    const size_t n = v->n / SUM_ROWS;
    v->kernels->axpy_rows_u8(SUM_ROWS, n, v->b, v->codes, n, v->y);
}

static void run_to_bf16(const struct vectors *v)
{
    v->kernels->to_bf16(v->n, v->a, (vt_bf16 *)(void *)v->y);
}

/* n elements as a tile's worth, with GELU, scale and residual. */
static void run_finish(const struct vectors *v)
{
    const size_t nr = v->kernels->gemm[VT_PRODUCT_F32].nr;
    const struct vt_epilogue e = { .scale = v->b, .residual = v->c, .ldr = nr, .c = v->y, .ldc = nr };
    v->kernels->finish[VT_ACT_GELU](v->n / nr, nr, v->a, nr, &e);
}

/* n integer sums as a tile's worth: what becomes of those of fc1 (with GELU), of q, k and v, of attention and of
 * proj. */
static struct vt_epilogue of_integers(const struct vectors *v, enum vt_destination to)
{
    const size_t nr = v->kernels->gemm[VT_PRODUCT_U8S8].nr;
    return (struct vt_epilogue){
        .sum_scale = v->b, .sum_bias = v->c, .c = v->y, .ldc = nr, .to = to, .highest = UINT8_MAX
    };
}

static void finish_integers(const struct vectors *v, enum vt_activation activation, const struct vt_epilogue *e)
{
    const size_t nr = v->kernels->gemm[VT_PRODUCT_U8S8].nr;
    v->kernels->finish[activation](v->n / nr, nr, v->integers, nr, e);
}

static void run_finish_gelu_u8(const struct vectors *v)
{
    struct vt_epilogue e = of_integers(v, VT_TO_U8);
    e.scale = v->b;
    e.residual = v->c;
    finish_integers(v, VT_ACT_GELU, &e);
}

static void run_finish_u8(const struct vectors *v)
{
    const struct vt_epilogue e = of_integers(v, VT_TO_U8);
    finish_integers(v, VT_ACT_NONE, &e);
}

static void run_finish_rows_u8(const struct vectors *v)
{
    struct vt_epilogue e = of_integers(v, VT_TO_U8);
    e.row_scale = v->b;
    finish_integers(v, VT_ACT_NONE, &e);
}

static void run_finish_add(const struct vectors *v)
{
    struct vt_epilogue e = of_integers(v, VT_TO_F32);
    e.residual = v->c;
    e.ldr = e.ldc;
    finish_integers(v, VT_ACT_NONE, &e);
}

static void run_quantize(const struct vectors *v)
{
    v->kernels->quantize_u8(v->n, v->a, v->b, v->c, UINT8_MAX, (uint8_t *)(void *)v->y);
}

/* n elements in four rows, which a kernel may take side by side. */
static void run_norm(const struct vectors *v)
{
    const size_t n = v->n / NORM_ROWS;
    v->kernels->layer_norm_f32(NORM_ROWS, n, v->a, n, v->b, v->c, 1e-6f, v->y, n);
}

static void run_norm_u8(const struct vectors *v)
{
    const size_t n = v->n / NORM_ROWS;
    v->kernels->layer_norm_u8(NORM_ROWS, n, v->a, n, v->b, v->c, 1e-6f, UINT8_MAX, (uint8_t *)(void *)v->y, n);
}

static void run_norm_bf16(const struct vectors *v)
{
    const size_t n = v->n / NORM_ROWS;
    v->kernels->layer_norm_bf16(NORM_ROWS, n, v->a, n, v->b, v->c, 1e-6f, (vt_bf16 *)(void *)v->y, n);
}

static void run_softmax(const struct vectors *v)
{
    v->kernels->softmax_f32(1, v->n, 0.125f, v->a, v->n, v->y, v->n, v->c);
}

static void run_softmax_bf16(const struct vectors *v)
{
    v->kernels->softmax_bf16(1, v->n, 0.125f, v->a, v->n, (vt_bf16 *)(void *)v->y, v->n, v->c);
}

/* Four rows, with exponents down to -8. */
static void softmax_of_integers(const struct vectors *v, const float *bias)
{
    const size_t n = v->n / SOFTMAX_ROWS;
    v->kernels->softmax_u8(SOFTMAX_ROWS, n, 0.004f, v->integers, n, bias, n, (uint8_t *)(void *)v->y, n, v->c);
}

static void run_softmax_u8(const struct vectors *v)
{
    softmax_of_integers(v, NULL);
}

static void run_softmax_u8_bias(const struct vectors *v)
{
    softmax_of_integers(v, v->b);
}

/* n elements in rows as short as heads are. */
static void run_l2_norm(const struct vectors *v)
{
    v->kernels->l2_norm_f32(v->n / HEAD, HEAD, v->a, HEAD, 10.0f, v->y, HEAD);
}

static void run_l2_norm_bf16(const struct vectors *v)
{
    v->kernels->l2_norm_bf16(v->n / HEAD, HEAD, v->a, HEAD, 10.0f, (vt_bf16 *)(void *)v->y, HEAD);
}

static void run_direction(const struct vectors *v)
{
    v->kernels->direction_u8(v->n, v->codes, v->b, v->c, (uint8_t *)(void *)v->y);
}

/* n elements as nr rows (or nr columns) of a matrix. */
static void run_pack_rows(const struct vectors *v)
{
    const struct vt_gemm_kernel *kernel = &v->kernels->gemm[VT_PRODUCT_F32];
    kernel->pack_rows(kernel->nr, v->n / kernel->nr, v->a, v->n / kernel->nr, v->y);
}

static void run_pack_columns(const struct vectors *v)
{
    const struct vt_gemm_kernel *kernel = &v->kernels->gemm[VT_PRODUCT_F32];
    kernel->pack_columns(kernel->nr, v->n / kernel->nr, v->a, kernel->nr, v->y);
}

static const struct {
    const char *name;
    void (*run)(const struct vectors *);
    size_t sizes[SIZES]; /* elements; 0: none */
    size_t bytes;        /* read and written for each element */
} kernels[] = {
    { "gelu_f32", run_gelu, { TILE, ROW, LAYER }, 8 },
    { "finish_gelu_f32", run_finish, { TILE }, 12 },
    { "finish_gelu_u8", run_finish_gelu_u8, { TILE }, 5 },
    { "finish_u8", run_finish_u8, { TILE }, 5 },
    { "finish_rows_u8", run_finish_rows_u8, { TILE }, 5 },
    { "finish_add_i32", run_finish_add, { TILE }, 12 },
    { "gelu_tanh_f32", run_gelu_tanh, { ROW }, 8 },
    { "quick_gelu_f32", run_quick_gelu, { ROW }, 8 },
    { "silu_f32", run_silu, { ROW }, 8 },
    { "relu_f32", run_relu, { ROW }, 8 },
    { "tanh_f32", run_tanh, { ROW }, 8 },
    { "softmax_f32", run_softmax, { 49, 197, 577 }, 8 },
    { "softmax_bf16", run_softmax_bf16, { 49, 197, 577 }, 6 },
    { "softmax_u8", run_softmax_u8, { SOFTMAX_ROWS * 49, SOFTMAX_ROWS * 197, SOFTMAX_ROWS * 577 }, 5 },
    { "softmax_u8_bias", run_softmax_u8_bias, { SOFTMAX_ROWS * 49, SOFTMAX_ROWS * 197, SOFTMAX_ROWS * 577 }, 9 },
    { "layer_norm_f32", run_norm, { NORM_ROWS * 192, NORM_ROWS * 384, NORM_ROWS * 768 }, 8 },
    { "layer_norm_bf16", run_norm_bf16, { NORM_ROWS * 192, NORM_ROWS * 384, NORM_ROWS * 768 }, 6 },
    { "layer_norm_u8", run_norm_u8, { NORM_ROWS * 192, NORM_ROWS * 384, NORM_ROWS * 768 }, 5 },
    { "l2_norm_f32", run_l2_norm, { 49 * HEAD, 768 * HEAD }, 8 },
    { "l2_norm_bf16", run_l2_norm_bf16, { 49 * HEAD, 768 * HEAD }, 6 },
    { "direction_u8", run_direction, { 64, 384, 768 }, 10 },
    { "to_bf16", run_to_bf16, { 768, ROW }, 6 },
    { "quantize_u8", run_quantize, { 768, ROW }, 13 },
    { "add_f32", run_add, { 768 }, 12 },
    { "mul_f32", run_mul, { 768 }, 12 },
    { "scale_add_f32", run_scale_add, { 768 }, 16 },
    { "scale_add_u8", run_scale_add_u8, { 64, 768 }, 13 },
    { "axpy_f32", run_axpy, { 768 }, 12 },
    { "axpy_rows_f32", run_axpy_rows, { SUM_ROWS * 50, SUM_ROWS * 197, SUM_ROWS * 577 }, 4 },
    { "axpy_rows_bf16", run_axpy_rows_bf16, { SUM_ROWS * 50, SUM_ROWS * 197, SUM_ROWS * 577 }, 2 },
    { "axpy_rows_u8", run_axpy_rows_u8, { SUM_ROWS * 50, SUM_ROWS * 197, SUM_ROWS * 577 }, 1 },
    { "pack_rows_f32", run_pack_rows, { 32 * 64, 32 * 768, 32 * 3072 }, 8 },
    { "pack_columns_f32", run_pack_columns, { 32 * 64, 32 * 768 }, 8 },
};

double bench_best_seconds(void (*run)(const void *arg), const void *arg)
{
    enum { GROWING = 20, ROUNDS = 3000 };
    size_t repeat = 1;
    double best = INFINITY;
    for (size_t round = 0; round < ROUNDS; round++) {
        const double start = vt_bench_seconds();
        for (size_t i = 0; i < repeat; i++)
            run(arg);
        const double seconds = vt_bench_seconds() - start;
        if (seconds > 0.001 && round > 100)
            break;
        best = fmin(best, seconds / (double)repeat);
        if (round < GROWING && seconds < 20e-6)
            repeat *= 2;
    }
    return best;
}

void bench_print_elements(const char *name, size_t n, size_t bytes, double seconds)
{
    printf("%-16s n = %-26zu %10.3f us  %7.3f ns an element  %6.1f GB/s\n", name, n, seconds * 1e6,
           seconds * 1e9 / (double)n, (double)(n * bytes) / seconds * 1e-9);
}

struct call {
    size_t kernel;
    struct vectors v;
};

static void run_call(const void *arg)
{
    const struct call *c = arg;
    kernels[c->kernel].run(&c->v);
}

static void bench_kernel(size_t kernel, const struct vectors *v)
{
    struct call c = { kernel, *v };
    for (size_t i = 0; i < SIZES && kernels[kernel].sizes[i]; i++) {
        c.v.n = kernels[kernel].sizes[i];
        bench_print_elements(kernels[kernel].name, c.v.n, kernels[kernel].bytes, bench_best_seconds(run_call, &c));
    }
}

void bench_rows(const struct bench *b)
{
    struct vectors v = { .kernels = &b->kernels,
                         .a = bench_operand(b, VT_PRODUCT_F32, true, LAYER),
                         .b = bench_operand(b, VT_PRODUCT_F32, true, LAYER),
                         .c = bench_operand(b, VT_PRODUCT_F32, true, LAYER),
                         .y = bench_operand(b, VT_PRODUCT_F32, true, LAYER),
                         .integers = vt_bench_alloc(LAYER * sizeof(int32_t)),
                         .halves = bench_operand(b, VT_PRODUCT_BF16, true, LAYER),
                         .codes = bench_operand(b, VT_PRODUCT_U8S8, true, LAYER) };
    for (size_t i = 0; i < LAYER; i++)
        v.integers[i] = (int32_t)(1000 * v.a[i]);
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (bench_wants(b, kernels[i].name))
            bench_kernel(i, &v);
    free(v.a);
    free(v.b);
    free(v.c);
    free(v.y);
    free(v.integers);
    free(v.halves);
    free(v.codes);
}
