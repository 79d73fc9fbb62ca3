/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: saved models. What begins with '{' is a graph, which goes with the tensors of tiny_file.c; what
 * begins with 'G' makes one (grow_graph.c); anything else is a whole file. What opens is measured, run if that is
 * cheap, saved, and must then give the same bits; a float model is quantized and run again.
 * Run: fuzz_graph -dict=tests/fuzz/graph.dict CORPUS tests/fuzz/corpus_graph
 */
#include "grow_graph.h"
#include "tiny_file.h"
#include "use_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static vitrt_model *open_file(const void *data, size_t size)
{
    const vitrt_model_options options = { .allocator = &limited_allocator };
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
        const vitrt_model_options options = { .allocator = &limited_allocator };
        const vitrt_status opened = vitrt_model_open(path, &options, &again, &err);
        check(opened == VITRT_OK || opened == VITRT_ENOMEM);
    }
    (void)remove(path);
    return again;
}

/* What is saved gives the same bits. */
static void save(const vitrt_model *m, const struct answers *a)
{
    vitrt_model *saved = a->count ? save_and_open(m) : NULL;
    if (!saved)
        return;
    struct answers b = run_model(saved, VITRT_PRECISION_DEFAULT, SIDE, SIDE);
    for (size_t i = 0; i < b.count; i++)
        check(a->of[i].bytes == b.of[i].bytes && !memcmp(a->of[i].data, b.of[i].data, a->of[i].bytes));
    free_answers(&b);
    vitrt_model_free(saved);
}

static void use(const vitrt_model *m)
{
    struct answers a = run_model(m, VITRT_PRECISION_DEFAULT, SIDE, SIDE),
                   floats = run_model(m, VITRT_PRECISION_F32, SIDE, SIDE),
                   rounded = run_model(m, VITRT_PRECISION_BF16, SIDE, SIDE);
    save(m, &a);
    free_answers(&a);
    free_answers(&floats);
    free_answers(&rounded);
    vitrt_model *quantized = quantize_model(m, SIDE, SIDE);
    if (quantized) {
        struct answers b = run_model(quantized, VITRT_PRECISION_I8, SIDE, SIDE);
        free_answers(&b);
    }
    vitrt_model_free(quantized);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char grown[1 << 16];
    size_t file_size = size;
    unsigned char *file = NULL;
    if (size && data[0] == 'G')
        file = tiny_file(grown, grow_graph(data + 1, size - 1, grown, sizeof grown), NULL, &file_size);
    else if (size && data[0] == '{')
        file = tiny_file((const char *)data, size, NULL, &file_size);
    vitrt_model *m = open_file(file ? file : data, file_size);
    if (m)
        use(m);
    vitrt_model_free(m);
    check(!in_use);
    free(file);
    return 0;
}
