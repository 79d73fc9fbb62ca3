/* SPDX-License-Identifier: Apache-2.0 */
/* See tiny_file.h. */
#include "tiny_file.h"

#include "checkpoint.h"
#include "json_write.h"

#include <stdlib.h>
#include <string.h>

/* "f32.4x8" is F32 [4, 8]. All numbers are finite. */
static const char *const tensors[] = {
    /* matrices */
    "f32.8x8",
    "f32.8x3",
    "f32.24x8",
    "f32.4x8",
    "f32.1x8",
    "f32.8x32",
    "f16.8x8",
    "bf16.24x8",
    "i8.8x8",
    /* vectors */
    "f32.8",
    "f32.24",
    "f32.4",
    "f32.2",
    "f32.1",
    "bf16.8",
    "i8.8",
    "f32.1x1x8",
    /* convolutions: patches, over a map, grouped, depthwise */
    "f32.8x3x2x2",
    "f32.8x8x3x3",
    "f32.8x4x1x1",
    "f32.8x1x3x3",
    "f32.3x1x3x3",
    "i8.8x3x2x2",
    /* rows: tokens, and positions for 4 x 4 patches behind a token */
    "f32.3x8",
    "f32.17x8",
    "f32.1x16x8",
    /* biases for windows of 2 x 2: a table, or a network */
    "f32.9x2",
    "f32.4x2",
    "f32.2x4",
    /* what cannot be read as numbers, and nothing */
    "i64.8x8",
    "f32.0",
};

struct kind {
    const char *name, *dtype;
    size_t bytes;
};

static const struct kind kinds[] = {
    { "f32", "F32", 4 }, { "f16", "F16", 2 }, { "bf16", "BF16", 2 }, { "i8", "I8", 1 }, { "i64", "I64", 8 }
};

/* From "bf16.24x8": its kind, its extents, their product, and how many there are. */
static const struct kind *parse(const char *tensor, unsigned long shape[4], size_t *rank, size_t *count)
{
    const char *dot = strchr(tensor, '.');
    const struct kind *k = kinds;
    while (strncmp(tensor, k->name, (size_t)(dot - tensor)) || k->name[dot - tensor])
        k++;
    *rank = 0;
    *count = 1;
    for (char *p = (char *)dot + 1;; p++) {
        shape[*rank] = strtoul(p, &p, 10);
        *count *= shape[(*rank)++];
        if (!*p)
            return k;
    }
}

static void put_tensor(struct vt_text *t, const char *name, const char *dtype, const unsigned long *shape, size_t rank,
                       size_t *offset, size_t bytes)
{
    vt_text_format(t, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", name, dtype);
    for (size_t i = 0; i < rank; i++)
        vt_text_format(t, i ? ",%lu" : "%lu", shape[i]);
    vt_text_format(t, "],\"data_offsets\":[%zu,%zu]}", *offset, *offset + bytes);
    *offset += bytes;
}

/* All tensors, and scales of those of I8 that need them. */
static size_t put_tensors(struct vt_text *t)
{
    size_t offset = 0;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        unsigned long shape[4];
        size_t rank, count;
        const struct kind *k = parse(tensors[i], shape, &rank, &count);
        put_tensor(t, tensors[i], k->dtype, shape, rank, &offset, count * k->bytes);
        if (k->bytes == 1 && rank > 1) {
            char name[40];
            strcpy(name, tensors[i]);
            strcat(name, "_scale");
            put_tensor(t, name, "F32", shape, 1, &offset, shape[0] * 4);
        }
    }
    return offset;
}

/* Bytes whose upper ones are 0x3c .. 0x3f or 0xbc .. 0xbf in every element of several bytes: numbers around 1. */
static void fill(unsigned char *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        data[i] = (unsigned char)(i % 2 ? 0x3c + i / 2 % 3 : i * 37 % 256);
}

unsigned char *tiny_file(const char *graph, size_t size, const char *preprocessor, size_t *file_size)
{
    struct vt_text t;
    vt_text_init(&t, &vt_default_allocator);
    vt_text_format(&t, "{\"__metadata__\":{\"%s\":", VT_GRAPH_KEY);
    vt_text_string(&t, graph, size);
    if (preprocessor) {
        vt_text_format(&t, ",\"%s\":", VT_PREPROCESSOR_KEY);
        vt_text_string(&t, preprocessor, strlen(preprocessor));
    }
    vt_text_format(&t, "}");
    const size_t data_bytes = put_tensors(&t);
    vt_text_format(&t, "}");
    *file_size = 8 + t.size + data_bytes;
    unsigned char *file = t.failed ? NULL : malloc(*file_size);
    if (file) {
        for (int i = 0; i < 8; i++)
            file[i] = (unsigned char)((unsigned long long)t.size >> 8 * i);
        memcpy(file + 8, t.data, t.size);
        fill(file + 8 + t.size, data_bytes);
    }
    vt_text_free(&t);
    return file;
}
