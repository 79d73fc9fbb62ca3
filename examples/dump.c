/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer for safetensors: 8 bytes with the header's length, a JSON header with type, shape and place of each tensor,
 * then the data. The tensors are kept in memory until the end because the header comes first. For little-endian
 * machines, as the format is.
 */
#include "dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dump_tensor {
    char name[64];
    char shape[64]; /* as JSON, without the brackets */
    void *data;
    size_t bytes;
};

static bool grow(struct dump *d)
{
    if (d->count < d->capacity)
        return true;
    const size_t capacity = d->capacity ? d->capacity * 2 : 64;
    struct dump_tensor *grown = realloc(d->tensor, capacity * sizeof(*grown));
    if (!grown)
        return false;
    d->tensor = grown;
    d->capacity = capacity;
    return true;
}

bool dump_add(struct dump *d, size_t image, const vitrt_output *o, const vitrt_session_info *info)
{
    if (!grow(d))
        return false;
    struct dump_tensor *t = &d->tensor[d->count];
    const size_t rows = o->offsets[1] - o->offsets[0];
    t->bytes = rows * o->columns * sizeof(float);
    t->data = malloc(t->bytes ? t->bytes : 1);
    if (!t->data)
        return false;
    memcpy(t->data, o->data, t->bytes);
    snprintf(t->name, sizeof(t->name), "%zu/%s", image, o->name);
    if (strcmp(o->name, "pixels") == 0)
        snprintf(t->shape, sizeof(t->shape), "%" PRIu32 ",%" PRIu32 ",%zu", info->height, info->width, o->columns);
    else if (strcmp(o->name, "logits") == 0)
        snprintf(t->shape, sizeof(t->shape), "%zu", o->columns);
    else
        snprintf(t->shape, sizeof(t->shape), "%zu,%zu", rows, o->columns);
    d->count++;
    return true;
}

/* The header is padded with spaces so that the data is aligned to 64 bytes. */
static bool write_header(FILE *f, const char *json, size_t length)
{
    const uint64_t padded = (8 + length + 63) / 64 * 64 - 8;
    if (fwrite(&padded, sizeof(padded), 1, f) != 1 || fwrite(json, 1, length, f) != length)
        return false;
    return fprintf(f, "%*s", (int)(padded - length), "") >= 0;
}

static char *make_header(const struct dump *d, size_t *length)
{
    const size_t size = d->count * (sizeof(d->tensor->name) + sizeof(d->tensor->shape) + 100) + 3;
    char *json = malloc(size);
    if (!json)
        return NULL;
    size_t n = 0, offset = 0;
    json[n++] = '{';
    for (size_t i = 0; i < d->count; i++) {
        const struct dump_tensor *t = &d->tensor[i];
        n += (size_t)snprintf(json + n, size - n,
                              "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", i ? "," : "",
                              t->name, t->shape, offset, offset + t->bytes);
        offset += t->bytes;
    }
    json[n++] = '}';
    *length = n;
    return json;
}

bool dump_write(const struct dump *d, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    size_t length = 0;
    char *json = make_header(d, &length);
    bool ok = json && write_header(f, json, length);
    for (size_t i = 0; ok && i < d->count; i++)
        ok = fwrite(d->tensor[i].data, 1, d->tensor[i].bytes, f) == d->tensor[i].bytes;
    free(json);
    return fclose(f) == 0 && ok;
}

void dump_free(struct dump *d)
{
    for (size_t i = 0; i < d->count; i++)
        free(d->tensor[i].data);
    free(d->tensor);
}
