/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: the files of a checkpoint. The first byte says which file the rest is (enum below); the others are
 * small and good. What opens is then used: every value of the documents is asked for, every tensor is found and read.
 * Run: fuzz_checkpoint -dict=tests/fuzz/checkpoint.dict CORPUS tests/fuzz/corpus_checkpoint
 */
#include "checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum role { CONFIG, PREPROCESSOR, INDEX, WEIGHTS, HEADER, ROLES };

#define GOOD_WEIGHTS "\70\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F16\",\"shape\":[1,3],\"data_offsets\":[0,6]}}\1\2\3\4\5\6"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void use_json(vt_json v)
{
    uint64_t u;
    double f;
    bool b;
    size_t n, count = 0;
    const char *text = vt_json_text(v, &n);
    check(!text || memchr(text, 0, n) == NULL);
    vt_json_to_u64(v, &u);
    check(!vt_json_to_double(v, &f) || isfinite(f));
    vt_json_to_bool(v, &b);
    char *copy = vt_json_dup_string(&vt_default_allocator, v);
    check((copy != NULL) == (vt_json_type(v) == VT_JSON_STRING));
    check(!copy || vt_json_is(v, copy));
    for (vt_json_iterator it = vt_json_first(v); it.left; vt_json_next(&it), count++) {
        if (it.key)
            use_json(vt_json_key(&it));
        use_json(it.value);
    }
    check(count == vt_json_count(v));
    vt_free(&vt_default_allocator, copy, vt_strsize(copy));
}

static void use_tensor(const struct vt_checkpoint *c, const struct vt_tensor *t)
{
    static _Alignas(64) unsigned char scratch[VT_SCRATCH_BYTES];
    vitrt_error err;
    check(vt_checkpoint_find(c, t->name) == t);
    check(t->rank <= VT_MAX_RANK);
    float *values =
        malloc((size_t)t->count * sizeof *values + 1); /* count is bounded by the file's size: a byte or more each */
    const uint64_t rows = t->rank >= 2 ? t->shape[0] : t->count;
    if (values && t->dtype != VT_OTHER &&
        vt_checkpoint_read_rows(c, t, 0, rows, values, scratch, sizeof scratch, &err) == VITRT_OK)
        for (uint64_t i = 0; i < t->count; i++)
            check(isfinite(values[i]));
    free(values);
}

static void open_and_use(const vitrt_buffer *buffers, size_t count)
{
    struct vt_checkpoint *c;
    vitrt_error err = { 0 };
    const vitrt_status st = vt_checkpoint_open_memory(&vt_default_allocator, buffers, count, false, &c, &err);
    check((st == VITRT_OK) == (c != NULL) && st == err.status && (st == VITRT_OK || strlen(err.message) > 10));
    if (st)
        return;
    use_json(vt_checkpoint_config(c));
    use_json(vt_checkpoint_preprocessor(c));
    for (size_t i = 0; i < vt_checkpoint_tensor_count(c); i++) {
        check(i == 0 || strcmp(vt_checkpoint_tensor(c, i - 1)->name, vt_checkpoint_tensor(c, i)->name) < 0);
        use_tensor(c, vt_checkpoint_tensor(c, i));
    }
    vt_checkpoint_free(c);
}

/* A weight file of this header, with the right length in front and data_bytes of data behind. */
static unsigned char *wrap_header(const uint8_t *header, size_t size, size_t data_bytes)
{
    unsigned char *file = malloc(8 + size + data_bytes);
    if (!file)
        return NULL;
    for (size_t i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)size >> 8 * i);
    if (size)
        memcpy(file + 8, header, size);
    for (size_t i = 0; i < data_bytes; i++)
        file[8 + size + i] = (unsigned char)(i * 37);
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const enum role role = (enum role)(data[0] % ROLES);
    const size_t data_bytes = data[1]; /* HEADER only */
    const uint8_t *rest = role == HEADER ? data + 2 : data + 1;
    const size_t rest_size = size - (size_t)(rest - data);
    unsigned char *wrapped = role == HEADER ? wrap_header(rest, rest_size, data_bytes) : NULL;
    vitrt_buffer buffers[] = {
        [CONFIG] = { "config.json", "{}", 2 },
        [PREPROCESSOR] = { "preprocessor_config.json", "{}", 2 },
        [INDEX] = { "model.safetensors.index.json", "{}", 2 },
        [WEIGHTS] = { role == INDEX ? "s" : "model.safetensors", GOOD_WEIGHTS, sizeof GOOD_WEIGHTS - 1 },
    };
    if (role != HEADER) {
        buffers[role].data = rest;
        buffers[role].size = rest_size;
    } else if (wrapped) {
        buffers[WEIGHTS].data = wrapped;
        buffers[WEIGHTS].size = 8 + rest_size + data_bytes;
    }
    open_and_use(buffers, sizeof buffers / sizeof *buffers);
    free(wrapped);
    return 0;
}
