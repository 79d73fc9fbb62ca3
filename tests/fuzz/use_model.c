/* SPDX-License-Identifier: Apache-2.0 */
/* See use_model.h. */
#include "use_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_MEMORY ((size_t)64 << 20)
#define MOST_MACS   2000000
#define MAX_SIDE    32

size_t in_use;

static void *limited_alloc(void *user, size_t size, size_t align)
{
    if (size > MOST_MEMORY || in_use + size > MOST_MEMORY)
        return NULL;
    void *p = vt_default_allocator.alloc(user, size, align);
    in_use += p ? size : 0;
    return p;
}

static void limited_free(void *user, void *p, size_t size, size_t align)
{
    in_use -= size;
    vt_default_allocator.free(user, p, size, align);
}

const vitrt_allocator limited_allocator = { limited_alloc, limited_free, NULL };

void check(bool condition)
{
    if (!condition)
        abort();
}

void check_error(vitrt_status st, const vitrt_error *err)
{
    check(st == VITRT_OK || (st == err->status && strlen(err->message) > 10));
}

static bool is_cheap(const vitrt_model *m, const vitrt_session_options *o)
{
    vitrt_session_info info;
    vitrt_error err = { 0 };
    const vitrt_status st = vitrt_session_measure(m, o, &info, &err);
    check_error(st, &err);
    return !st && info.macs_per_image < MOST_MACS && info.arena_bytes < MOST_MEMORY / 4;
}

static vitrt_image make_image(uint32_t height, uint32_t width)
{
    static float pixels[MAX_SIDE * MAX_SIDE * 3];
    static uint8_t bytes[7 * 9 * 3];
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)(i % 17) / 8 - 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 29);
    if (!height)
        return (vitrt_image){ .data = bytes, .width = 9, .height = 7 };
    check(height <= MAX_SIDE && width <= MAX_SIDE);
    return (vitrt_image){ .data = pixels, .width = width, .height = height, .format = VITRT_FORMAT_F32 };
}

/* ---- Batches ---- */

enum { BATCH = 7, BROKEN = 3 }; /* enough for a small graph to run them in several passes; that image is none */

static void make_batch(uint32_t height, uint32_t width, vitrt_image images[BATCH])
{
    static float pixels[BATCH][MAX_SIDE * MAX_SIDE * 3];
    check(height <= MAX_SIDE && width <= MAX_SIDE);
    for (size_t i = 0; i < BATCH; i++) {
        for (size_t k = 0; k < (size_t)height * width * 3; k++)
            pixels[i][k] = (float)((k * (2 * i + 3) + k / 24 * i) % 31) / 16 - 1;
        images[i] = (vitrt_image){ .data = pixels[i], .width = width, .height = height, .format = VITRT_FORMAT_F32 };
    }
    images[BROKEN].width = 0;
}

static bool same_float(const float *a, const float *b)
{
    return !memcmp(a, b, sizeof *a) || (isnan(*a) && isnan(*b));
}

/* The outputs of image i of a batch are those that it has alone. */
static void check_alone(vitrt_session *alone, const vitrt_image *image, const vitrt_output *batch, size_t i)
{
    vitrt_output outputs[MAX_ANSWERS] = { { 0 } };
    vitrt_error err = { 0 };
    check(vitrt_run(alone, image, 1, outputs, &err) == (i == BROKEN ? VITRT_EIMAGE : VITRT_OK));
    for (size_t k = 0; k < vitrt_session_output_count(alone); k++) {
        const size_t rows = batch[k].offsets[i + 1] - batch[k].offsets[i];
        const float *x = (const float *)batch[k].data + batch[k].offsets[i] * batch[k].columns;
        check(rows == outputs[k].offsets[1]);
        for (size_t n = 0; n < rows * batch[k].columns; n++)
            check(same_float(x + n, (const float *)outputs[k].data + n));
    }
}

static void check_batch(const vitrt_model *m, const vitrt_session_options *o, vitrt_session *alone,
                        const vitrt_image *images)
{
    vitrt_output outputs[MAX_ANSWERS] = { { 0 } };
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    check_error(vitrt_session_create(m, o, &s, &err), &err);
    if (!s)
        return;
    check(vitrt_run(s, images, BATCH, outputs, &err) == VITRT_EIMAGE);
    for (size_t i = 0; i < BATCH; i++)
        check_alone(alone, &images[i], outputs, i);
    vitrt_session_free(s);
}

void check_batches(const vitrt_model *m, vitrt_precision precision, uint32_t height, uint32_t width)
{
    const char *names[MAX_ANSWERS];
    const size_t count = m->graph.output_count < MAX_ANSWERS ? m->graph.output_count : MAX_ANSWERS;
    vitrt_image images[BATCH];
    vitrt_session_options o = { .threads = 1,
                                .precision = precision,
                                .height = height,
                                .width = width,
                                .max_image_side = MAX_SIDE,
                                .outputs = names,
                                .output_count = count };
    vitrt_session *alone = NULL;
    vitrt_error err = { 0 };
    for (size_t i = 0; i < count; i++)
        names[i] = m->graph.outputs[i].name;
    if (!is_cheap(m, &o))
        return;
    check_error(vitrt_session_create(m, &o, &alone, &err), &err);
    make_batch(height, width, images);
    o.max_batch = BATCH;
    for (o.threads = 1; alone && o.threads < 3; o.threads++)
        if (is_cheap(m, &o))
            check_batch(m, &o, alone, images);
    vitrt_session_free(alone);
}

/* ---- One image ---- */

static void run_session(vitrt_session *s, const vitrt_image *image, struct answers *a)
{
    char text[256];
    vitrt_output outputs[MAX_ANSWERS] = { { 0 } };
    vitrt_error err = { 0 };
    const vitrt_status st = vitrt_run(s, image, 1, outputs, &err);
    check_error(st, &err);
    check(st == VITRT_OK || st == VITRT_EIMAGE);
    a->count = st ? 0 : vitrt_session_output_count(s);
    for (size_t i = 0; i < a->count; i++) {
        a->of[i].bytes = outputs[i].offsets[1] * outputs[i].columns * sizeof(float);
        a->of[i].data = malloc(a->of[i].bytes + 1);
        check(a->of[i].data != NULL);
        memcpy(a->of[i].data, outputs[i].data, a->of[i].bytes);
    }
    check(vitrt_describe(s, text, sizeof text) > 0);
}

struct answers run_model(const vitrt_model *m, vitrt_precision precision, uint32_t height, uint32_t width)
{
    return run_outputs(m, precision, height, width, 0, m->graph.output_count);
}

struct answers run_outputs(const vitrt_model *m, vitrt_precision precision, uint32_t height, uint32_t width,
                           size_t first, size_t count)
{
    struct answers a = { 0 };
    const char *names[MAX_ANSWERS];
    count = count < MAX_ANSWERS ? count : MAX_ANSWERS;
    for (size_t i = 0; i < count; i++)
        names[i] = m->graph.outputs[first + i].name;
    const vitrt_session_options o = { .threads = 1,
                                      .precision = precision,
                                      .height = height,
                                      .width = width,
                                      .max_image_side = MAX_SIDE,
                                      .outputs = names,
                                      .output_count = count };
    const vitrt_image image = make_image(height, width);
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    (void)is_cheap(m, &(vitrt_session_options){ .threads = 2, .max_batch = 3 });
    if (!is_cheap(m, &o))
        return a;
    check_error(vitrt_session_create(m, &o, &s, &err), &err);
    if (s)
        run_session(s, &image, &a);
    vitrt_session_free(s);
    return a;
}

vitrt_model *quantize_model(const vitrt_model *m, uint32_t height, uint32_t width)
{
    const vitrt_image image = make_image(height, width);
    const vitrt_session_options o = { .threads = 1, .height = height, .width = width };
    const vitrt_quantize_options q = {
        .images = &image, .image_count = 1, .height = height, .width = width, .threads = 1
    };
    vitrt_model *quantized = NULL;
    vitrt_error err = { 0 };
    if (!is_cheap(m, &o))
        return NULL;
    const vitrt_status st = vitrt_model_quantize(m, &q, &quantized, &err);
    check((st == VITRT_OK) == (quantized != NULL));
    check_error(st, &err);
    return quantized;
}

void check_same(const struct answers *a, const struct answers *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        const float *x = a->of[i].data, *y = b->of[i].data;
        check(a->of[i].bytes == b->of[i].bytes);
        for (size_t k = 0; k < a->of[i].bytes / sizeof *x; k++)
            check(same_float(x + k, y + k));
    }
}

void free_answers(struct answers *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->of[i].data);
}
