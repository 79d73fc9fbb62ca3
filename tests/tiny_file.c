/* SPDX-License-Identifier: Apache-2.0 */
/* See tiny_file.h. */
#include "tiny_file.h"

#include "checkpoint.h"
#include "json_write.h"

#include <stdlib.h>
#include <string.h>

/* "f32.4x8" is F32 [4, 8]. All numbers are finite. Those of "scale." are scales of codes, those of "zero." zero
 * points. */
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
    "f32.25x2",
    "f32.4x2",
    "f32.2x4",
    /* what cannot be read as numbers, and nothing */
    "i64.8x8",
    "f32.0",
    /* what is multiplied with codes, and their quantizers */
    "i8.24x8",
    "i8.4x8",
    "i8.1x8",
    "f32.8x2",
    "i8.8x3",
    "i8.8x24",
    "i8.8x32",
    "i8.8x8x3x3",
    "i8.8x4x1x1",
    "scale.3",
    "zero.3",
    "scale.8",
    "zero.8",
    "scale.1x1x8",
    "zero.1x1x8",
    "scale.24",
    "zero.24",
    "scale.32",
    "zero.32",
};

struct kind {
    const char *name, *dtype;
    size_t bytes;
};

static const struct kind kinds[] = { { "f32", "F32", 4 }, { "f16", "F16", 2 }, { "bf16", "BF16", 2 },
                                     { "i8", "I8", 1 },   { "i64", "I64", 8 }, { "scale", "F32", 4 },
                                     { "zero", "F32", 4 } };

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

/* Numbers around 1 of both signs: the upper bytes of elements of several bytes are 0x3c .. 0x3e or 0xbc .. 0xbe. Codes
 * are any bytes. */
static void fill_numbers(const struct kind *k, size_t count, unsigned char *data)
{
    for (size_t i = 0; i < count * k->bytes; i++) {
        const size_t element = i / k->bytes;
        data[i] = (unsigned char)(i * 37 + i / 8 * 11);
        if (i % k->bytes == k->bytes - 1 && k->bytes > 1)
            data[i] = (unsigned char)(0x3c + element % 3 + (element * 7 % 5 < 2 ? 0x80 : 0));
    }
}

/* Scales from 4 to 10 times `least`; zero points of 8 bits, whole numbers. */
static void fill_floats(const char *kind, size_t count, float least, unsigned char *data)
{
    for (size_t i = 0; i < count; i++) {
        const float number = strcmp(kind, "zero") ? least * (float)(4 + i * 5 % 7) : (float)(100 + i * 13 % 60);
        memcpy(data + i * sizeof number, &number, sizeof number);
    }
}

/* In the order of put_tensors. */
static void fill(unsigned char *data)
{
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        unsigned long shape[4];
        size_t rank, count;
        const struct kind *k = parse(tensors[i], shape, &rank, &count);
        if (strcmp(k->name, "scale") && strcmp(k->name, "zero"))
            fill_numbers(k, count, data);
        else
            fill_floats(k->name, count, 0x1p-6f, data);
        data += count * k->bytes;
        if (k->bytes == 1 && rank > 1) {
            fill_floats("scale", shape[0], 0x1p-13f, data);
            data += shape[0] * sizeof(float);
        }
    }
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
        fill(file + 8 + t.size);
    }
    vt_text_free(&t);
    return file;
}
