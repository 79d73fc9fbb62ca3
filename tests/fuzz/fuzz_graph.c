/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: saved models. What begins with '{' is a graph, which goes with the tensors of tiny_file.c; anything
 * else is a whole file. What opens is measured, run if that is cheap, saved, and must then give the same bits.
 * Run: fuzz_graph -dict=tests/fuzz/graph.dict CORPUS tests/fuzz/corpus_graph
 */
#include "model.h"
#include "tiny_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE        8
#define MOST_MEMORY ((size_t)64 << 20)
#define MOST_MACS   2000000
#define MAX_OUTPUTS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t in_use;

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

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void check_error(vitrt_status st, const vitrt_error *err)
{
    check(st == VITRT_OK || (st == err->status && strlen(err->message) > 10));
}

/* What one image gives, or nothing where that costs much or is not possible. */
struct answers {
    size_t count;
    struct {
        size_t bytes;
        void *data;
    } of[MAX_OUTPUTS];
};

static bool is_cheap(const vitrt_model *m, const vitrt_session_options *o)
{
    vitrt_session_info info;
    vitrt_error err = { 0 };
    const vitrt_status st = vitrt_session_measure(m, o, &info, &err);
    check_error(st, &err);
    return !st && info.macs_per_image < MOST_MACS && info.arena_bytes < MOST_MEMORY / 4;
}

static void run_session(vitrt_session *s, struct answers *a)
{
    float pixels[SIDE * SIDE * 3];
    vitrt_output outputs[MAX_OUTPUTS] = { { 0 } };
    vitrt_error err = { 0 };
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)(i % 17) / 8 - 1;
    const vitrt_image image = { .data = pixels, .width = SIDE, .height = SIDE, .format = VITRT_FORMAT_F32 };
    const vitrt_status st = vitrt_run(s, &image, 1, outputs, &err);
    check(st == VITRT_OK);
    a->count = vitrt_session_output_count(s);
    for (size_t i = 0; i < a->count; i++) {
        a->of[i].bytes = outputs[i].offsets[1] * outputs[i].columns * sizeof(float);
        a->of[i].data = malloc(a->of[i].bytes + 1);
        check(a->of[i].data != NULL);
        memcpy(a->of[i].data, outputs[i].data, a->of[i].bytes);
    }
    check(vitrt_describe(s, NULL, 0) > 0);
}

static struct answers run(const vitrt_model *m, vitrt_precision precision)
{
    struct answers a = { 0 };
    const char *names[MAX_OUTPUTS];
    size_t count = m->graph.output_count < MAX_OUTPUTS ? m->graph.output_count : MAX_OUTPUTS;
    for (size_t i = 0; i < count; i++)
        names[i] = m->graph.outputs[i].name;
    const vitrt_session_options o = { .threads = 1,
                                      .precision = precision,
                                      .height = SIDE,
                                      .width = SIDE,
                                      .max_image_side = SIDE,
                                      .outputs = names,
                                      .output_count = count };
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    (void)is_cheap(m, &(vitrt_session_options){ .threads = 2, .max_batch = 3 });
    if (!is_cheap(m, &o))
        return a;
    check_error(vitrt_session_create(m, &o, &s, &err), &err);
    if (s)
        run_session(s, &a);
    vitrt_session_free(s);
    return a;
}

static void free_answers(struct answers *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->of[i].data);
}

static vitrt_model *open_file(const void *data, size_t size)
{
    static const vitrt_allocator limited = { limited_alloc, limited_free, NULL };
    const vitrt_model_options options = { .allocator = &limited };
    const vitrt_buffer buffer = { "m", data, size };
    vitrt_model *m = NULL;
    vitrt_error err = { 0 };
    const vitrt_status st = vitrt_model_open_memory(&buffer, 1, &options, &m, &err);
    check((st == VITRT_OK) == (m != NULL));
    check_error(st, &err);
    return m;
}

/* The model as it is after it has been saved, or NULL for want of memory. */
static vitrt_model *save_and_open(const vitrt_model *m)
{
    static char path[64];
    vitrt_model *again = NULL;
    vitrt_error err = { 0 };
    snprintf(path, sizeof path, "/tmp/vitrt_fuzz_graph_%ld.safetensors", (long)getpid());
    const vitrt_status st = vitrt_model_save(m, path, &err);
    check_error(st, &err);
    check(st == VITRT_OK || st == VITRT_ENOMEM || st == VITRT_EFORMAT); /* EFORMAT: numbers that are not finite */
    if (!st) {
        const vitrt_status opened =
            vitrt_model_open(path, &(vitrt_model_options){ .allocator = &m->alloc }, &again, &err);
        check(opened == VITRT_OK || opened == VITRT_ENOMEM);
    }
    (void)remove(path);
    return again;
}

static void use(const vitrt_model *m)
{
    struct answers a = run(m, VITRT_PRECISION_F32), rounded = run(m, VITRT_PRECISION_BF16);
    vitrt_model *saved = a.count ? save_and_open(m) : NULL;
    if (saved) {
        struct answers b = run(saved, VITRT_PRECISION_F32);
        for (size_t i = 0; i < b.count; i++)
            check(a.of[i].bytes == b.of[i].bytes && !memcmp(a.of[i].data, b.of[i].data, a.of[i].bytes));
        free_answers(&b);
    }
    vitrt_model_free(saved);
    free_answers(&a);
    free_answers(&rounded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t file_size = size;
    unsigned char *file = NULL;
    if (size && data[0] == '{') {
        file = tiny_file((const char *)data, size, NULL, &file_size);
        if (!file)
            return 0;
    }
    vitrt_model *m = open_file(file ? file : data, file_size);
    if (m)
        use(m);
    vitrt_model_free(m);
    check(!in_use);
    free(file);
    return 0;
}
