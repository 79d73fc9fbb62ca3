/* SPDX-License-Identifier: Apache-2.0 */
/* See graph_text.h. */
#include "graph_text.h"

#include "tiny_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct graph graph_load(const char *name)
{
    struct graph g;
    char path[64];
    snprintf(path, sizeof path, "fuzz/corpus_graph/%s.json", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t n = fread(g.text, 1, sizeof g.text, f);
    assert_true(n < sizeof g.text);
    g.text[n] = 0;
    fclose(f);
    return g;
}

void graph_replace(struct graph *g, const char *from, const char *to)
{
    char *at = strstr(g->text, from);
    if (!at)
        fail_msg("\"%s\" is not in the graph", from);
    assert_true(strlen(g->text) + strlen(to) < sizeof g->text);
    memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    memcpy(at, to, strlen(to));
}

/* The bytes of the tensor in a safetensors file. */
static unsigned char *find_tensor(unsigned char *file, const char *tensor)
{
    size_t header_bytes = 0, begin;
    char key[80];
    for (int i = 7; i >= 0; i--)
        header_bytes = header_bytes << 8 | file[i];
    char *header = malloc(header_bytes + 1);
    assert_non_null(header);
    memcpy(header, file + 8, header_bytes);
    header[header_bytes] = 0;
    snprintf(key, sizeof key, ",\"%s\":{\"dtype\":\"F32\"", tensor);
    const char *at = strstr(header, key);
    if (!at)
        fail_msg("there is no tensor %s", tensor);
    at = strstr(at, "\"data_offsets\":[");
    assert_true(at && sscanf(at, "\"data_offsets\":[%zu", &begin) == 1);
    free(header);
    return file + 8 + header_bytes + begin;
}

vitrt_status graph_open(const struct graph *g, struct counting *counting, vitrt_model **m, vitrt_error *err)
{
    return graph_open_changed(g, &(struct change){ .tensor = NULL }, counting, m, err);
}

vitrt_status graph_open_changed(const struct graph *g, const struct change *changes, struct counting *counting,
                                vitrt_model **m, vitrt_error *err)
{
    size_t size;
    unsigned char *file = tiny_file(g->text, strlen(g->text), NULL, &size);
    assert_non_null(file);
    for (const struct change *c = changes; c->tensor; c++)
        for (size_t i = c->first; i < c->first + c->count; i++)
            memcpy(find_tensor(file, c->tensor) + i * sizeof c->number, &c->number, sizeof c->number);
    counting_init(counting);
    const vitrt_model_options options = { .allocator = &counting->allocator, .flags = VITRT_MODEL_COPY_BUFFERS };
    const vitrt_buffer buffer = { "tiny.safetensors", file, size };
    const vitrt_status st = vitrt_model_open_memory(&buffer, 1, &options, m, err);
    free(file);
    return st;
}

void graph_refused(const struct graph *g, vitrt_status status, const char *sentence)
{
    struct counting counting;
    vitrt_model *m = NULL;
    vitrt_error err = { 0 };
    const vitrt_status st = graph_open(g, &counting, &m, &err);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    assert_int_equal(st, status);
    assert_int_equal(err.status, status);
    assert_null(m);
    assert_int_equal(counting.live, 0);
}

vitrt_image graph_noise(uint32_t seed, float *pixels)
{
    for (size_t i = 0; i < GRAPH_SIDE * GRAPH_SIDE * 3; i++)
        pixels[i] = (float)((seed = seed * 1664525 + 1013904223) >> 8) / (1 << 23) - 1;
    return (vitrt_image){ .data = pixels, .width = GRAPH_SIDE, .height = GRAPH_SIDE, .format = VITRT_FORMAT_F32 };
}
