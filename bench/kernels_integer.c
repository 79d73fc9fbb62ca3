/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of integer-only inference, and beside them, at the same shapes, those of floats that they stand for. */
#include "bench_kernels.h"
#include "measure.h"

#include <stdlib.h>

enum { ROWS = 16, TILE_ROWS = 12, MOST = 197 * 1536, WIDEST = 3072, SIZES = 3 };

/* Rows of n. x holds numbers of any type, and floats for what is compared with. */
struct integers {
    const struct vt_kernels *kernels;
    size_t n;
    void *x, *y, *residual;
    float *ones;
    int32_t *multiplier, *shift, *add, *divisors;
    uint8_t *table;
};

static struct vt_integer_epilogue epilogue(const struct integers *v, enum vt_integer_type to, const void *residual)
{
    return (struct vt_integer_epilogue){ .columns = { v->multiplier, v->shift, v->add, 2 },
                                         .residual = residual,
                                         .ldr = v->n,
                                         .residual_scale = { 1 << 14, 14 },
                                         .c = v->y,
                                         .ldc = v->n,
                                         .to = to,
                                         .highest = 255 };
}

static void finish(const struct integers *v, enum vt_integer_type to, const void *residual, const int32_t *divisors)
{
    const struct vt_integer_epilogue e = epilogue(v, to, residual);
    v->kernels->integer.finish(TILE_ROWS, v->n, v->x, v->n, divisors, &e);
}

static void run_to_codes(const struct integers *v)
{
    finish(v, VT_TO_CODES, NULL, NULL);
}

static void run_to_words(const struct integers *v)
{
    finish(v, VT_TO_WORDS, NULL, NULL);
}

static void run_with_residual(const struct integers *v)
{
    finish(v, VT_TO_WORDS, v->residual, NULL);
}

static void run_divided(const struct integers *v)
{
    finish(v, VT_TO_CODES, NULL, v->divisors);
}

static void run_gelu(const struct integers *v)
{
    const struct vt_integer_gelu k = { .right = v->shift,
                                       .fraction = v->shift,
                                       .factors = v->multiplier,
                                       .add = v->add,
                                       .shift = v->shift,
                                       .up = 1,
                                       .limit = 16384,
                                       .multiplier = 40000 };
    v->kernels->integer.finish_gelu(TILE_ROWS, v->n, v->x, v->n, &k, UINT8_MAX, v->y, v->n);
}

static void run_float_finish(const struct integers *v, enum vt_activation activation, enum vt_destination to,
                             const float *residual)
{
    const struct vt_epilogue e = { .sum_scale = v->ones,
                                   .sum_bias = v->ones,
                                   .residual = residual,
                                   .ldr = v->n,
                                   .c = v->y,
                                   .ldc = v->n,
                                   .to = to,
                                   .highest = UINT8_MAX };
    v->kernels->finish[activation](TILE_ROWS, v->n, v->x, v->n, &e);
}

static void run_float_to_codes(const struct integers *v)
{
    run_float_finish(v, VT_ACT_NONE, VT_TO_U8, NULL);
}

static void run_float_gelu(const struct integers *v)
{
    run_float_finish(v, VT_ACT_GELU, VT_TO_U8, NULL);
}

static void run_float_with_residual(const struct integers *v)
{
    run_float_finish(v, VT_ACT_NONE, VT_TO_F32, v->residual);
}

static void run_requantize(const struct integers *v)
{
    const struct vt_integer_epilogue e = epilogue(v, VT_TO_CODES, NULL);
    v->kernels->integer.requantize_s16(ROWS, v->n, v->x, v->n, &e);
}

static void run_norm(const struct integers *v)
{
    const struct vt_integer_epilogue e = epilogue(v, VT_TO_CODES, NULL);
    v->kernels->integer.layer_norm_s16(ROWS, v->n, v->x, v->n, 0, &e);
}

static void run_float_norm(const struct integers *v)
{
    v->kernels->layer_norm_f32(ROWS, v->n, v->x, v->n, v->ones, v->ones, 1e-6f, v->y, v->n);
}

static void run_bf16_norm(const struct integers *v)
{
    v->kernels->layer_norm_bf16(ROWS, v->n, v->x, v->n, v->ones, v->ones, 1e-6f, v->y, v->n);
}

static void softmax(const struct integers *v, const int32_t *bias)
{
    static const struct vt_exp_scale scale = { 0, 0, 18432, 65535 };
    v->kernels->integer.softmax_s32(ROWS, v->n, &scale, v->x, v->n, bias, v->n, v->y, v->n, v->divisors);
}

static void run_softmax(const struct integers *v)
{
    softmax(v, NULL);
}

static void run_softmax_bias(const struct integers *v)
{
    softmax(v, v->residual);
}

static void run_bf16_softmax(const struct integers *v)
{
    v->kernels->softmax_bf16(ROWS, v->n, 0.125f, v->x, v->n, v->y, v->n, v->ones);
}

static void run_lookup(const struct integers *v)
{
    v->kernels->integer.lookup_u8(v->n, v->table, v->x, v->y);
}

static void run_add(const struct integers *v)
{
    const struct vt_word_scale scale = { 1 << 14, 14 };
    v->kernels->integer.add_s16(v->n, v->x, scale, v->residual, scale, v->y);
}

static const struct {
    const char *name;
    void (*run)(const struct integers *);
    size_t rows, sizes[SIZES], bytes; /* of rows, and read and written for each element */
} kernels[] = {
    { "finish_codes", run_to_codes, TILE_ROWS, { 32, 1536 }, 5 },
    { "float_codes", run_float_to_codes, TILE_ROWS, { 32, 1536 }, 5 },
    { "finish_gelu", run_gelu, TILE_ROWS, { 32, 1536 }, 5 },
    { "float_gelu", run_float_gelu, TILE_ROWS, { 32, 1536 }, 5 },
    { "finish_words", run_to_words, TILE_ROWS, { 32, 384 }, 6 },
    { "finish_residual", run_with_residual, TILE_ROWS, { 32, 384 }, 8 },
    { "float_residual", run_float_with_residual, TILE_ROWS, { 32, 384 }, 12 },
    { "finish_divided", run_divided, TILE_ROWS, { 32, 64 }, 5 },
    { "requantize_s16", run_requantize, ROWS, { 384, 768 }, 3 },
    { "layer_norm_s16", run_norm, ROWS, { 192, 384, 768 }, 3 },
    { "float_norm", run_float_norm, ROWS, { 192, 384, 768 }, 8 },
    { "bf16_norm", run_bf16_norm, ROWS, { 192, 384, 768 }, 6 },
    { "softmax_s32", run_softmax, ROWS, { 49, 197, 577 }, 5 },
    { "softmax_s32_bias", run_softmax_bias, ROWS, { 49, 197 }, 9 },
    { "bf16_softmax", run_bf16_softmax, ROWS, { 49, 197, 577 }, 6 },
    { "lookup_u8", run_lookup, 1, { 384, 1536, MOST }, 2 },
    { "add_s16", run_add, 1, { 384 }, 6 },
};

struct call {
    size_t kernel;
    struct integers v;
};

static void run_call(const void *arg)
{
    const struct call *c = arg;
    kernels[c->kernel].run(&c->v);
}

/* 4 MOST bytes of floats, whose bits are as good as any numbers. */
static void *noise(const struct bench *b)
{
    return bench_operand(b, VT_PRODUCT_F32, true, MOST);
}

void bench_integer(const struct bench *b)
{
    struct integers v = { .kernels = &b->kernels,
                          .x = noise(b),
                          .y = noise(b),
                          .residual = noise(b),
                          .ones = noise(b),
                          .multiplier = noise(b),
                          .shift = noise(b),
                          .add = noise(b),
                          .divisors = noise(b),
                          .table = noise(b) };
    for (size_t i = 0; i < WIDEST; i++) {
        v.multiplier[i] = (1 << 30) + (int32_t)i;
        v.shift[i] = (int32_t)i % 7;
        v.add[i] = 257;
    }
    for (size_t i = 0; i < TILE_ROWS; i++)
        v.divisors[i] = 5000 + (int32_t)i;
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
        for (size_t i = 0; i < SIZES && kernels[k].sizes[i] && bench_wants(b, kernels[k].name); i++) {
            struct call c = { k, v };
            c.v.n = kernels[k].sizes[i];
            bench_print_elements(kernels[k].name, kernels[k].rows * c.v.n, kernels[k].bytes,
                                 bench_best_seconds(run_call, &c));
        }
    void *const all[] = { v.x, v.y, v.residual, v.ones, v.multiplier, v.shift, v.add, v.divisors, v.table };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}
