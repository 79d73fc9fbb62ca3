/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolutions of 3 x 3 with one pixel of padding: maps of models, called row by row as a model's operation
 * does it. A multiply-add needs an element of the input and one of the weights, so beside the share of the arithmetic
 * there is the rate at which the map goes in and out, against that of a copy which moves as many bytes.
 */
#include "bench_kernels.h"
#include "gemm.h"
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAPS = 9, SIDE = 3 };

struct shape {
    size_t size, channels, stride; /* of a square map */
    bool near;                     /* one row again and again: all of it comes from the first-level cache */
};

struct map {
    const struct vt_kernels *kernels;
    struct shape shape;
    enum vt_destination to;
    float *x, *w, *bias, *zeros, *y;
};

static size_t output_size(const struct shape *s)
{
    return (s->size + s->stride - 1) / s->stride;
}

/* Of a row's outputs the first lies at the left edge, and those from here on at the right one. */
static size_t inside_end(const struct shape *s)
{
    return 1 + (s->size - 2) / s->stride;
}

/* m outputs of row oy from ox on, of which none or the only one lies at an edge. */
static void run_pixels(const struct map *map, size_t oy, size_t ox, size_t m)
{
    const struct shape *s = &map->shape;
    const size_t n = s->channels, at = (oy * output_size(s) + ox) * n;
    const float *taps[TAPS];
    for (size_t t = 0; t < TAPS; t++) {
        const size_t iy = oy * s->stride + t / SIDE, ix = ox * s->stride + t % SIDE; /* with padding */
        if (iy < 1 || iy > s->size || (m == 1 && (ix < 1 || ix > s->size)))
            taps[t] = map->zeros + ix * n;
        else
            taps[t] = map->x + ((iy - 1) * s->size + ix - 1) * n;
    }
    if (map->to == VT_TO_U8)
        map->kernels->depthwise_u8(m, n, TAPS, taps, s->stride * n, map->w, map->bias, UINT8_MAX,
                                   (uint8_t *)(void *)map->y + at, n);
    else if (map->to == VT_TO_BF16)
        map->kernels->depthwise_bf16(m, n, TAPS, taps, s->stride * n, map->w, map->bias, (vt_bf16 *)(void *)map->y + at,
                                     n);
    else
        map->kernels->depthwise_f32(m, n, TAPS, taps, s->stride * n, map->w, map->bias, map->y + at, n);
}

static void run_map(const void *arg, size_t round)
{
    const struct map *map = arg;
    const struct shape *s = &map->shape;
    const size_t size = output_size(s), end = inside_end(s);
    (void)round;
    for (size_t oy = 0; oy < size && s->near; oy++)
        run_pixels(map, 1, 1, end - 1);
    for (size_t oy = 0; oy < size && !s->near; oy++) {
        run_pixels(map, oy, 0, 1);
        run_pixels(map, oy, 1, end - 1);
        for (size_t ox = end; ox < size; ox++)
            run_pixels(map, oy, ox, 1);
    }
}

static double operations(const struct shape *s)
{
    const size_t out = output_size(s), row = s->near ? inside_end(s) - 1 : out;
    return 2.0 * TAPS * (double)(out * row * s->channels);
}

static size_t bytes_moved(const struct map *map)
{
    const struct shape *s = &map->shape;
    const size_t out = output_size(s);
    return (s->size * s->size * sizeof(float) + out * out * vt_destination_bytes(map->to)) * s->channels;
}

static void copy_map(const void *arg, size_t round)
{
    const struct map *map = arg;
    (void)round;
    memcpy(map->y, map->x, bytes_moved(map) / 2);
}

static void bench_map(const struct bench *b, const char *name, struct map *map)
{
    const struct shape *s = &map->shape;
    const struct bench_case c = {
        .run = run_map, .rival = copy_map, .arg = map, .operations = operations(s), .product = VT_PRODUCT_F32
    };
    char text[64];
    snprintf(text, sizeof text, "%zu x %zu x %zu, stride %zu%s", s->size, s->size, s->channels, s->stride,
             s->near ? ", near" : "");
    const struct bench_result r = bench_compare(b, &c);
    bench_print(name, text, &c, &r);
    if (s->near)
        printf("\n");
    else
        printf("  %5.1f GB/s, %3.0f %% of a copy's\n", (double)bytes_moved(map) / r.seconds * 1e-9,
               100 * r.share / r.rival_share);
}

void bench_depthwise(const struct bench *b)
{
    static const struct shape shapes[] = { { 28, 64, 1, true },   { 28, 64, 2, true },   { 56, 64, 1, false },
                                           { 56, 64, 2, false },  { 28, 192, 1, false }, { 28, 192, 2, false },
                                           { 14, 384, 1, false }, { 14, 384, 2, false } };
    static const char *const names[] = { "depthwise_f32", "depthwise_bf16", "depthwise_u8" };
    enum { MOST = 56 * 56 * 64, LONGEST_ROW = 58 * 384, MOST_CHANNELS = 384 };
    struct map map = { .kernels = &b->kernels,
                       .x = bench_operand(b, VT_PRODUCT_F32, true, MOST),
                       .w = bench_operand(b, VT_PRODUCT_F32, false, TAPS * MOST_CHANNELS),
                       .bias = bench_operand(b, VT_PRODUCT_F32, false, MOST_CHANNELS),
                       .zeros = bench_operand(b, VT_PRODUCT_F32, true, LONGEST_ROW),
                       .y = bench_operand(b, VT_PRODUCT_F32, true, MOST) };
    memset(map.zeros, 0, LONGEST_ROW * sizeof *map.zeros);
    for (enum vt_destination to = VT_TO_F32; to <= VT_TO_U8; to++) {
        map.to = to;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes && bench_wants(b, names[to]); i++) {
            map.shape = shapes[i];
            bench_map(b, names[to], &map);
        }
    }
    free(map.x);
    free(map.w);
    free(map.bias);
    free(map.zeros);
    free(map.y);
}
