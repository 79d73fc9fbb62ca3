/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: saved models. What begins with '{' is a graph, which goes with the tensors of tiny_file.c; what
 * begins with 'G' makes one (grow_graph.c); anything else is a whole file. What opens is measured, run if that is
 * cheap, saved, and must then give the same bits, as several images at once must; a float model is quantized and run
 * again. Codes give the same bits with the kernels of "ref".
 * Run: fuzz_graph -dict=tests/fuzz/graph.dict CORPUS tests/fuzz/corpus_graph
 */
#define _XOPEN_SOURCE 700 /* setenv */
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
    check_same(a, &b);
    free_answers(&b);
    vitrt_model_free(saved);
}

/* The same bits on every CPU. */
static void use_codes(const vitrt_model *m, vitrt_precision precision, size_t first, size_t count)
{
    struct answers a = run_outputs(m, precision, SIDE, SIDE, first, count), b = { 0 };
    check(!setenv("VITRT_CPU", "ref", 1));
    if (a.count)
        b = run_outputs(m, precision, SIDE, SIDE, first, count);
    check(!unsetenv("VITRT_CPU"));
    check_same(&a, &b);
    free_answers(&a);
    free_answers(&b);
}

/* bf16 has other bits on other CPUs. In integers alone each output is asked for by itself: most graphs have some node
 * without such a form. */
static void use_quantized(const vitrt_model *m)
{
    bool has_bf16 = false;
    for (size_t i = 0; i < m->graph.node_count; i++)
        has_bf16 = has_bf16 || m->graph.nodes[i].float_product == VT_FLOAT_PRODUCT_BF16;
    if (!has_bf16)
        use_codes(m, VITRT_PRECISION_I8, 0, m->graph.output_count);
    check_batches(m, VITRT_PRECISION_I8, SIDE, SIDE);
    check_batches(m, VITRT_PRECISION_I8_STRICT, SIDE, SIDE);
    for (size_t i = 0; i < m->graph.output_count && i < MAX_ANSWERS; i++)
        use_codes(m, VITRT_PRECISION_I8_STRICT, i, 1);
}

static void use(const vitrt_model *m)
{
    struct answers a = run_model(m, VITRT_PRECISION_DEFAULT, SIDE, SIDE),
                   floats = run_model(m, VITRT_PRECISION_F32, SIDE, SIDE),
                   rounded = run_model(m, VITRT_PRECISION_BF16, SIDE, SIDE);
    save(m, &a);
    check_batches(m, VITRT_PRECISION_DEFAULT, SIDE, SIDE);
    free_answers(&a);
    free_answers(&floats);
    free_answers(&rounded);
    use_quantized(m);
    vitrt_model *quantized = quantize_model(m, SIDE, SIDE);
    if (quantized)
        use_quantized(quantized);
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
