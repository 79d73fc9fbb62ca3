/* SPDX-License-Identifier: Apache-2.0 */
/* See random_tensors.h. */
#include "random_tensors.h"

#include "measure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Adding ---- */

void random_within(struct random_tensors *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->prefix, sizeof t->prefix, format, arguments);
    va_end(arguments);
}

void random_at_root(struct random_tensors *t)
{
    t->prefix[0] = '\0';
}

static void add(struct random_tensors *t, const char *module, const char *leaf, enum random_values values,
                uint32_t rank, const uint32_t *shape)
{
    if (t->count == RANDOM_MAX_TENSORS)
        vt_bench_fail("a model of more than %d tensors", RANDOM_MAX_TENSORS);
    struct random_tensor *one = &t->list[t->count++];
    *one = (struct random_tensor){ .rank = rank, .values = values };
    snprintf(one->name, sizeof one->name, "%s%s%s", t->prefix, module, leaf);
    memcpy(one->shape, shape, rank * sizeof *shape);
}

void random_add(struct random_tensors *t, const char *name, enum random_values values, uint32_t rank,
                const uint32_t *shape)
{
    add(t, name, "", values, rank, shape);
}

void random_vector(struct random_tensors *t, const char *name, enum random_values values, uint32_t n)
{
    add(t, name, "", values, 1, &n);
}

void random_rows(struct random_tensors *t, const char *name, uint32_t rows, uint32_t dim)
{
    if (rows)
        add(t, name, "", RANDOM_NOISE, 3, (const uint32_t[]){ 1, rows, dim });
}

void random_norm(struct random_tensors *t, const char *module, uint32_t n)
{
    add(t, module, ".weight", RANDOM_ONES, 1, &n);
    add(t, module, ".bias", RANDOM_NOISE, 1, &n);
}

void random_linear(struct random_tensors *t, const char *module, uint32_t out, uint32_t in, bool bias)
{
    add(t, module, ".weight", RANDOM_NOISE, 2, (const uint32_t[]){ out, in });
    if (bias)
        add(t, module, ".bias", RANDOM_NOISE, 1, &out);
}

void random_conv(struct random_tensors *t, const char *module, uint32_t out, uint32_t in, uint32_t kernel, bool bias)
{
    const enum random_values values = in == 1 ? RANDOM_NINTHS : RANDOM_NOISE;
    add(t, module, ".weight", values, 4, (const uint32_t[]){ out, in, kernel, kernel });
    if (bias)
        add(t, module, ".bias", RANDOM_NOISE, 1, &out);
}

void random_batch_norm(struct random_tensors *t, const char *module, uint32_t n)
{
    random_norm(t, module, n);
    add(t, module, ".running_mean", RANDOM_NOISE, 1, &n);
    add(t, module, ".running_var", RANDOM_VARIANCE, 1, &n);
}

/* ---- Writing ---- */

static size_t element_count(const struct random_tensor *t)
{
    size_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static void fill(const struct random_tensor *t, uint32_t *state, float *x)
{
    /* Uniform within (-range, range), which is sqrt(3) deviations, around a middle. */
    static const struct {
        float middle, range;
    } values[] = {
        [RANDOM_NOISE] = { 0, 0.0346f }, [RANDOM_NINTHS] = { 0, 0.577f }, [RANDOM_ONES] = { 1, 0 },
        [RANDOM_TENTHS] = { 0.1f, 0 },   [RANDOM_VARIANCE] = { 1, 0.5f }, [RANDOM_LOG_TEN] = { 2.3026f, 0 }
    };
    const size_t n = element_count(t);
    const float middle = values[t->values].middle, range = values[t->values].range;
    if (range > 0)
        vt_bench_noise(n, range, state, x);
    for (size_t i = 0; i < n; i++)
        x[i] = range > 0 ? middle + x[i] : middle;
}

/* The JSON header of safetensors, padded with spaces to whole cache lines; returns its length. header NULL: only that.
 */
static size_t write_header(const struct random_tensors *t, char *header, size_t size)
{
    size_t used = 0, offset = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct random_tensor *one = &t->list[i];
        char shape[48] = "";
        for (uint32_t d = 0, at = 0; d < one->rank; d++)
            at += (uint32_t)snprintf(shape + at, sizeof shape - at, "%s%u", d ? "," : "", (unsigned)one->shape[d]);
        const size_t end = offset + element_count(one) * sizeof(float);
        used += (size_t)snprintf(header ? header + used : NULL, header ? size - used : 0,
                                 "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                                 i ? ',' : '{', one->name, shape, offset, end);
        offset = end;
    }
    const size_t padded = (used + 1 + 8 + 63) / 64 * 64 - 8; /* behind the 8 bytes of its length */
    if (header) {
        header[used] = '}';
        memset(header + used + 1, ' ', padded - used - 1);
    }
    return padded;
}

void random_write(const struct random_tensors *t, vitrt_buffer *file)
{
    const size_t header = write_header(t, NULL, 0);
    size_t floats = 0;
    for (size_t i = 0; i < t->count; i++)
        floats += element_count(&t->list[i]);
    const size_t bytes = 8 + header + floats * sizeof(float);
    unsigned char *data = vt_bench_alloc(bytes);
    for (size_t i = 0; i < 8; i++)
        data[i] = (unsigned char)((uint64_t)header >> 8 * i);
    write_header(t, (char *)data + 8, header);
    float *x = (float *)(void *)(data + 8 + header);
    uint32_t state = 1;
    for (size_t i = 0; i < t->count; x += element_count(&t->list[i++]))
        fill(&t->list[i], &state, x);
    *file = (vitrt_buffer){ .name = "model.safetensors", .data = data, .size = bytes };
}
