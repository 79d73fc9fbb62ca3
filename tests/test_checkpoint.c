/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of src/checkpoint.h: folders and buffers, sharded ones, every stored type, and what a checkpoint can lack. */
#define _XOPEN_SOURCE 700 /* symlink, truncate */
#include "checkpoint.h"

#include "os.h"
#include "temp_folder.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- An allocator that counts blocks and fails when told to ---- */

static struct {
    size_t live;
    size_t left; /* allocations until one fails */
    size_t total;
} heap;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    if (heap.left == 0)
        return NULL;
    heap.left--;
    heap.live++;
    heap.total += size;
    return vt_default_allocator.alloc(NULL, size, align);
}

static void counting_free(void *user, void *p, size_t size, size_t align)
{
    (void)user;
    heap.live--;
    heap.total -= size;
    vt_default_allocator.free(NULL, p, size, align);
}

static const vitrt_allocator allocator = { counting_alloc, counting_free, NULL };

/* ---- A folder for each test ---- */

static char message[sizeof((vitrt_error *)0)->message];

static int set_up(void **state)
{
    heap.left = SIZE_MAX;
    return temp_folder_make(state);
}

static int tear_down(void **state)
{
    return temp_folder_remove(state) || heap.live || heap.total;
}

static void write_bytes(const char *name, const void *bytes, size_t size)
{
    write_file(in_folder(name), bytes, size);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

/* The bytes of a safetensors file; free with free. */
static unsigned char *make_weights(const char *header, const void *data, size_t data_bytes, size_t *size)
{
    const size_t n = strlen(header);
    *size = 8 + n + data_bytes;
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(bytes + 8, header, n);
    if (data_bytes)
        memcpy(bytes + 8 + n, data, data_bytes);
    return bytes;
}

static void write_weights(const char *name, const char *header, const void *data, size_t data_bytes)
{
    size_t size;
    unsigned char *bytes = make_weights(header, data, data_bytes, &size);
    write_bytes(name, bytes, size);
    free(bytes);
}

static struct vt_checkpoint *open_folder(void)
{
    struct vt_checkpoint *c;
    vitrt_error err = { 0 };
    if (vt_checkpoint_open(&allocator, temp_folder, false, &c, &err))
        fail_msg("%s", err.message);
    return c;
}

/* Opens config.json {} and these weights from memory. */
static vitrt_status open_weights(const char *header, const void *data, size_t data_bytes, struct vt_checkpoint **c,
                                 vitrt_error *err)
{
    size_t size;
    unsigned char *bytes = make_weights(header, data, data_bytes, &size);
    const vitrt_buffer buffers[] = { { "config.json", "{}", 2 }, { "model.safetensors", bytes, size } };
    const vitrt_status st = vt_checkpoint_open_memory(&allocator, buffers, 2, true, c, err);
    free(bytes);
    return st;
}

/* The sentence must be the expected one, with %s for the folder's path. */
static void expect_failure(const char *path, vitrt_status status, const char *expected)
{
    struct vt_checkpoint *c = (void *)&heap;
    vitrt_error err = { 0 };
    const vitrt_status st = vt_checkpoint_open(&allocator, path, false, &c, &err);
    if (st != status)
        fail_msg("%s: %s", vitrt_status_name(st), err.message);
    assert_null(c);
    const char *mark = strstr(expected, "%s");
    const size_t before = mark ? (size_t)(mark - expected) : strlen(expected);
    snprintf(message, sizeof message, "%.*s%s%s", (int)before, expected, mark ? temp_folder : "", mark ? mark + 2 : "");
    assert_string_equal(err.message, message);
}

#define TENSOR(name, dtype, shape, offsets)                                                                            \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE_F32 "{" TENSOR("a", "F32", "[1]", "[0,4]") "}"

static _Alignas(64) unsigned char scratch[VT_SCRATCH_BYTES];

/* ---- Opening ---- */

static void opens_a_folder(void **state)
{
    const float data[3] = { 1, 2, 3 };
    float got[2];
    (void)state;
    write_text("config.json", "{\"model_type\":\"vit\"}");
    write_text("preprocessor_config.json", "{\"size\":224}");
    write_weights("model.safetensors",
                  "{" TENSOR("b", "F32", "[2,1]", "[4,12]") "," TENSOR("a", "F32", "[]", "[0,4]") "}", data, 12);
    struct vt_checkpoint *c = open_folder();
    assert_string_equal(vt_checkpoint_path(c), temp_folder);
    assert_true(vt_json_is(vt_json_get(vt_checkpoint_config(c), "model_type"), "vit"));
    assert_int_equal(vt_json_type(vt_json_get(vt_checkpoint_preprocessor(c), "size")), VT_JSON_NUMBER);
    assert_int_equal(vt_checkpoint_tensor_count(c), 2);
    assert_string_equal(vt_checkpoint_tensor(c, 0)->name, "a");
    const struct vt_tensor *b = vt_checkpoint_find(c, "b");
    assert_ptr_equal(b, vt_checkpoint_tensor(c, 1));
    assert_null(vt_checkpoint_find(c, "c"));
    assert_null(vt_checkpoint_find(c, ""));
    assert_int_equal(vt_checkpoint_read_rows(c, b, 0, 2, got, scratch, sizeof scratch, NULL), VITRT_OK);
    assert_true(got[0] == 2 && got[1] == 3);
    vt_checkpoint_free(c);
    vt_checkpoint_free(NULL);
}

static void opens_buffers(void **state)
{
    const float one = 1;
    float got = 0;
    size_t size;
    (void)state;
    for (int copy = 0; copy < 2; copy++) {
        struct vt_checkpoint *c;
        unsigned char *bytes = make_weights(ONE_F32, &one, 4, &size);
        const vitrt_buffer buffers[] = { { "model.safetensors", bytes, size },
                                         { "config.json", "{}", 2 },
                                         { "unused", NULL, 0 } };
        assert_int_equal(vt_checkpoint_open_memory(&allocator, buffers, 3, copy, &c, NULL), VITRT_OK);
        assert_string_equal(vt_checkpoint_path(c), "memory");
        assert_int_equal(vt_json_type(vt_checkpoint_preprocessor(c)), VT_JSON_NONE);
        if (copy)
            memset(bytes, 0, size);
        assert_int_equal(
            vt_checkpoint_read_rows(c, vt_checkpoint_find(c, "a"), 0, 1, &got, scratch, sizeof scratch, NULL),
            VITRT_OK);
        assert_true(got == 1);
        vt_checkpoint_free(c);
        free(bytes);
    }
}

static void refuses_bad_buffers(void **state)
{
    struct vt_checkpoint *c;
    vitrt_error err;
    (void)state;
    const vitrt_buffer no_name[] = { { NULL, "{}", 2 } }, no_data[] = { { "config.json", NULL, 2 } };
    const vitrt_buffer empty[] = { { "config.json", NULL, 0 }, { "model.safetensors", NULL, 0 } };
    assert_int_equal(vt_checkpoint_open_memory(&allocator, NULL, 0, false, &c, &err), VITRT_EINVAL);
    assert_int_equal(vt_checkpoint_open_memory(&allocator, no_name, 1, false, &c, &err), VITRT_EINVAL);
    assert_string_equal(err.message, "buffer 0 has no name");
    assert_int_equal(vt_checkpoint_open_memory(&allocator, no_data, 1, false, &c, &err), VITRT_EINVAL);
    assert_string_equal(err.message, "buffer 0 has no data");
    assert_int_equal(vt_checkpoint_open_memory(&allocator, empty, 2, true, &c, &err), VITRT_EFORMAT);
    assert_string_equal(err.message, "config.json: not valid JSON: it ends after 0 bytes, expected a value");
    const vitrt_buffer no_weights[] = { { "config.json", "{}", 2 } };
    assert_int_equal(vt_checkpoint_open_memory(&allocator, no_weights, 1, false, &c, &err), VITRT_EIO);
    assert_string_equal(err.message,
                        "memory: no weights there, expected model.safetensors or model.safetensors.index.json");
}

static void says_what_a_path_lacks(void **state)
{
    (void)state;
    expect_failure(NULL, VITRT_EINVAL, "no path of a checkpoint folder or of a saved model was given");
    expect_failure("", VITRT_EINVAL, "no path of a checkpoint folder or of a saved model was given");
    expect_failure("/nowhere/at/all", VITRT_EIO, "/nowhere/at/all: no such folder or file");
    expect_failure(temp_folder, VITRT_EIO,
                   "%s: no config.json there, expected a checkpoint with config.json and model.safetensors");
    write_text("config.json", "{}");
    expect_failure(in_folder("config.json"), VITRT_EFORMAT,
                   "%s/config.json: 2 bytes, a safetensors file has at least 8");
    expect_failure(temp_folder, VITRT_EIO,
                   "%s: no weights there, expected model.safetensors or model.safetensors.index.json");
    write_text("pytorch_model.bin", "");
    expect_failure(
        temp_folder, VITRT_EUNSUPPORTED,
        "%s: the weights are a Python pickle (pytorch_model.bin), which can run any code when read; expected "
        "model.safetensors");
    assert_int_equal(symlink("nowhere", in_folder("model.safetensors")), 0);
    expect_failure(
        temp_folder, VITRT_EIO,
        "%s/model.safetensors: No such file or directory"); /* a link that leads nowhere is no missing file */
    unlink(in_folder("model.safetensors"));
    mkdir(in_folder("model.safetensors"), 0700);
    expect_failure(temp_folder, VITRT_EIO, "%s/model.safetensors: It is a directory");
    rmdir(in_folder("model.safetensors"));
    write_text("model.safetensors", "short");
    expect_failure(temp_folder, VITRT_EFORMAT, "%s/model.safetensors: 5 bytes, a safetensors file has at least 8");
    write_weights("model.safetensors", "{\"__metadata__\":{\"format\":\"pt\"}}", NULL, 0);
    expect_failure(in_folder("model.safetensors"), VITRT_EUNSUPPORTED,
                   "%s/model.safetensors is a weight file without vitrt.graph in its metadata, expected a saved model, "
                   "or a folder with weights and config.json");
}

static void refuses_bad_documents(void **state)
{
    (void)state;
    write_weights("model.safetensors", "{}", NULL, 0);
    write_text("config.json", "[]");
    expect_failure(temp_folder, VITRT_EFORMAT, "%s/config.json: the document is not an object");
    write_text("config.json", "{\"a\":}");
    expect_failure(temp_folder, VITRT_EFORMAT, "%s/config.json: not valid JSON: found '}' at byte 5, expected a value");
    write_text("config.json", "{}");
    write_text("preprocessor_config.json", "");
    expect_failure(temp_folder, VITRT_EFORMAT,
                   "%s/preprocessor_config.json: not valid JSON: it ends after 0 bytes, expected a value");
    unlink(in_folder("preprocessor_config.json"));
    vt_checkpoint_free(open_folder());
    assert_int_equal(truncate(in_folder("config.json"), (off_t)(64 << 20) + 1), 0);
    expect_failure(temp_folder, VITRT_ELIMIT, "%s/config.json: 67108865 bytes, at most 67108864 can be read");
}

/* ---- Sharded checkpoints ---- */

#define INDEX    "model.safetensors.index.json"
#define GOOD_MAP "{\"weight_map\":{\"z\":\"s1.safetensors\",\"m\":\"s2.safetensors\",\"a\":\"s2.safetensors\"}}"

static void write_shards(void)
{
    const float first[2] = { 1, 2 }, second[2] = { 3, 4 };
    write_text("config.json", "{}");
    write_weights("s1.safetensors", "{" TENSOR("z", "F32", "[1]", "[0,4]") "," TENSOR("a", "F32", "[1]", "[4,8]") "}",
                  first, 8);
    write_weights("s2.safetensors", "{" TENSOR("m", "F32", "[1]", "[0,4]") "," TENSOR("a", "F32", "[1]", "[4,8]") "}",
                  second, 8);
}

static void opens_shards(void **state)
{
    static const char *const names[] = { "a", "m", "z" };
    const float values[] = { 4, 3, 1 }; /* the index says which of the two a counts */
    (void)state;
    write_shards();
    write_text(INDEX, GOOD_MAP);
    struct vt_checkpoint *c = open_folder();
    assert_int_equal(vt_checkpoint_tensor_count(c), 3);
    for (size_t i = 0; i < 3; i++) {
        float got = 0;
        assert_string_equal(vt_checkpoint_tensor(c, i)->name, names[i]);
        assert_int_equal(
            vt_checkpoint_read_rows(c, vt_checkpoint_tensor(c, i), 0, 1, &got, scratch, sizeof scratch, NULL),
            VITRT_OK);
        assert_true(got == values[i]);
    }
    vt_checkpoint_free(c);
    /* One file takes precedence, as in the reference implementations. */
    write_weights("model.safetensors", "{}", NULL, 0);
    c = open_folder();
    assert_int_equal(vt_checkpoint_tensor_count(c), 0);
    vt_checkpoint_free(c);
}

static void refuses_bad_indexes(void **state)
{
    static const struct {
        const char *weight_map;
        vitrt_status status;
        const char *message;
    } cases[] = {
        { "[]", VITRT_EFORMAT, "%s/" INDEX ": weight_map is missing or not an object" },
        { "{\"a\":1}", VITRT_EFORMAT, "%s/" INDEX ": the file of tensor a is not a string" },
        { "{\"a\":\"../s1.safetensors\"}", VITRT_EFORMAT,
          "%s/" INDEX ": tensor a lies in '../s1.safetensors', expected a plain file name" },
        { "{\"a\":\"/etc/passwd\"}", VITRT_EFORMAT,
          "%s/" INDEX ": tensor a lies in '/etc/passwd', expected a plain file name" },
        { "{\"a\":\"d\\\\s1\"}", VITRT_EFORMAT, "%s/" INDEX ": tensor a lies in 'd\\s1', expected a plain file name" },
        { "{\"a\":\"c:s1\"}", VITRT_EFORMAT, "%s/" INDEX ": tensor a lies in 'c:s1', expected a plain file name" },
        { "{\"a\":\"..\"}", VITRT_EFORMAT, "%s/" INDEX ": tensor a lies in '..', expected a plain file name" },
        { "{\"a\":\".\"}", VITRT_EFORMAT, "%s/" INDEX ": tensor a lies in '.', expected a plain file name" },
        { "{\"a\":\"\"}", VITRT_EFORMAT, "%s/" INDEX ": tensor a lies in '', expected a plain file name" },
        { "{\"a\":\"s3.safetensors\"}", VITRT_EIO, "%s/s3.safetensors: No such file or directory" },
        { "{\"a\":\"config.json\"}", VITRT_EFORMAT, "%s/config.json: 2 bytes, a safetensors file has at least 8" },
        { "{\"b\":\"s1.safetensors\"}", VITRT_EFORMAT,
          "%s/" INDEX ": tensor b is not in s1.safetensors, where it should be" },
        { "{\"a\":\"s1.safetensors\",\"zz\":\"s1.safetensors\"}", VITRT_EFORMAT,
          "%s/" INDEX ": tensor zz is not in s1.safetensors, where it should be" },
        { "{\"a\":\"s1.safetensors\",\"a\":\"s1.safetensors\"}", VITRT_EFORMAT,
          "%s/" INDEX ": tensor a is there twice" },
        { "{\"a\":\"s1.safetensors\",\"a\":\"s2.safetensors\"}", VITRT_EFORMAT, "%s: tensor a is there twice" },
    };
    char text[256];
    (void)state;
    write_shards();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "{\"weight_map\":%s}", cases[i].weight_map);
        write_text(INDEX, text);
        expect_failure(temp_folder, cases[i].status, cases[i].message);
    }
    write_text(INDEX, "{}");
    expect_failure(temp_folder, VITRT_EFORMAT, "%s/" INDEX ": weight_map is missing or not an object");
}

/* ---- Stored types ---- */

/* Every half, by its definition. */
static void converts_f16(void **state)
{
    static uint16_t halves[65536];
    static float got[65536];
    size_t n = 0;
    struct vt_checkpoint *c;
    (void)state;
    for (uint32_t h = 0; h < 65536; h++)
        if ((h & 0x7c00) != 0x7c00)
            halves[n++] = (uint16_t)h;
    assert_int_equal(open_weights("{" TENSOR("a", "F16", "[63488]", "[0,126976]") "}", halves, 2 * n, &c, NULL),
                     VITRT_OK);
    assert_int_equal(vt_checkpoint_read_rows(c, vt_checkpoint_find(c, "a"), 0, n, got, scratch, sizeof scratch, NULL),
                     VITRT_OK);
    for (size_t i = 0; i < n; i++) {
        const int exponent = halves[i] >> 10 & 31, fraction = halves[i] & 1023;
        const double magnitude = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        const double expected = halves[i] & 0x8000 ? -magnitude : magnitude;
        if (got[i] != expected || !signbit(got[i]) != !signbit(expected))
            fail_msg("half %04x gives %a", halves[i], got[i]);
    }
    vt_checkpoint_free(c);
}

static void converts_bf16(void **state)
{
    const uint16_t stored[] = { 0x3f80, 0xc000, 0x0000, 0x8000, 0x7f7f, 0x0001, 0x3eab };
    const float expected[] = { 1, -2, 0, -0.0f, 0x1.fep127f, 0x1p-133f, 0x1.56p-2f };
    float got[7];
    struct vt_checkpoint *c;
    (void)state;
    assert_int_equal(open_weights("{" TENSOR("a", "BF16", "[7]", "[0,14]") "}", stored, 14, &c, NULL), VITRT_OK);
    assert_int_equal(vt_checkpoint_read_rows(c, vt_checkpoint_find(c, "a"), 0, 7, got, scratch, sizeof scratch, NULL),
                     VITRT_OK);
    assert_memory_equal(got, expected, sizeof got);
    vt_checkpoint_free(c);
}

/* More rows and columns than fit into the scratch at once, in every type: value (r * 7 + k) % 100 at row r, column
 * k. */
static void reads_pieces(void **state)
{
    enum { ROWS = 3, COLUMNS = 40000, COUNT = ROWS * COLUMNS };
    static const char header[] = "{" TENSOR("f", "F32", "[3,40000]", "[0,480000]") "," TENSOR(
        "h", "F16", "[3,200,200]", "[480000,720000]") "," TENSOR("i", "I8", "[3,40000]",
                                                                 "[720000,840000]") "," TENSOR("i_scale", "F32", "[3]",
                                                                                               "[840000,840012]") "}";
    static unsigned char data[840012];
    static float got[COUNT];
    const float scales[ROWS] = { 0.5f, 0, 2 };
    struct vt_checkpoint *c;
    (void)state;
    for (int j = 0; j < COUNT; j++) {
        const int value = (j / COLUMNS * 7 + j % COLUMNS) % 100;
        const float f = (float)value;
        const int exponent = value ? (int)floor(log2(value)) : 0;
        const uint16_t half = value ? (uint16_t)((exponent + 15) << 10 | ((value << 10 >> exponent) & 1023)) : 0;
        memcpy(data + 4 * j, &f, 4);
        memcpy(data + 480000 + 2 * j, &half, 2);
        data[720000 + j] = (unsigned char)-value;
    }
    memcpy(data + 840000, scales, sizeof scales);
    assert_int_equal(open_weights(header, data, sizeof data, &c, NULL), VITRT_OK);
    for (size_t name = 0; name < 3; name++) {
        const struct vt_tensor *t = vt_checkpoint_find(c, name == 0 ? "f" : name == 1 ? "h" : "i");
        assert_ptr_equal(t->scale, name == 2 ? vt_checkpoint_find(c, "i_scale") : NULL);
        for (uint64_t row = 0; row < ROWS; row++) {
            memset(got, 0xff, sizeof got);
            assert_int_equal(vt_checkpoint_read_rows(c, t, row, ROWS - row, got, scratch, sizeof scratch, NULL),
                             VITRT_OK);
            for (size_t j = 0; j < (ROWS - row) * COLUMNS; j++) {
                const size_t r = row + j / COLUMNS;
                const float value = (float)((r * 7 + j % COLUMNS) % 100);
                assert_true(got[j] == (name == 2 ? -value * scales[r] : value));
            }
        }
    }
    vt_checkpoint_free(c);
}

static void reads_vectors_and_empty_tensors(void **state)
{
    const int8_t data[3] = { -128, 0, 127 };
    float got[3] = { 7, 7, 7 };
    struct vt_checkpoint *c;
    vitrt_error err;
    (void)state;
    assert_int_equal(open_weights("{" TENSOR("v", "I8", "[3]", "[0,3]") "," TENSOR(
                                      "e", "F16", "[0,4]", "[3,3]") "," TENSOR("f", "F32", "[4,0]", "[3,3]") "}",
                                  data, 3, &c, NULL),
                     VITRT_OK);
    const struct vt_tensor *v = vt_checkpoint_find(c, "v");
    assert_int_equal(vt_checkpoint_read_rows(c, vt_checkpoint_find(c, "e"), 0, 0, got, scratch, sizeof scratch, NULL),
                     VITRT_OK);
    assert_int_equal(vt_checkpoint_read_rows(c, vt_checkpoint_find(c, "f"), 1, 3, got, scratch, sizeof scratch, NULL),
                     VITRT_OK);
    assert_true(got[0] == 7);
    assert_int_equal(vt_checkpoint_read_rows(c, v, 0, 3, got, scratch, sizeof scratch, NULL),
                     VITRT_OK); /* no scale: as they are */
    assert_true(got[0] == -128 && got[1] == 0 && got[2] == 127);
    assert_int_equal(vt_checkpoint_read_rows(c, v, 1, 3, got, scratch, sizeof scratch, &err), VITRT_EINVAL);
    assert_string_equal(err.message, "model.safetensors: tensor v: rows 1 + 3 of 3 asked for");
    assert_int_equal(vt_checkpoint_read_rows(c, v, UINT64_MAX, 2, got, scratch, sizeof scratch, &err), VITRT_EINVAL);
    vt_checkpoint_free(c);
}

static void refuses_other_types(void **state)
{
    const uint64_t data = 1;
    float got;
    struct vt_checkpoint *c;
    vitrt_error err;
    (void)state;
    assert_int_equal(open_weights("{" TENSOR("n", "I64", "[1]", "[0,8]") "}", &data, 8, &c, NULL), VITRT_OK);
    assert_int_equal(vt_checkpoint_read_rows(c, vt_checkpoint_find(c, "n"), 0, 1, &got, scratch, sizeof scratch, &err),
                     VITRT_EUNSUPPORTED);
    assert_string_equal(err.message, "model.safetensors: tensor n is of type I64, expected F32, F16, BF16 or I8");
    vt_checkpoint_free(c);
}

/* ---- Values that are no numbers ---- */

static void expect_bad_value(const char *header, const void *data, size_t data_bytes, const char *expected)
{
    static float got[64];
    struct vt_checkpoint *c;
    vitrt_error err;
    assert_int_equal(open_weights(header, data, data_bytes, &c, &err), VITRT_OK);
    const struct vt_tensor *t = vt_checkpoint_tensor(c, 0);
    assert_int_equal(
        vt_checkpoint_read_rows(c, t, 0, t->rank < 2 ? t->count : t->shape[0], got, scratch, sizeof scratch, &err),
        VITRT_EFORMAT);
    assert_string_equal(err.message, expected);
    vt_checkpoint_free(c);
}

static void names_values_that_are_not_finite(void **state)
{
    const float nan_at_5[6] = { 0, 1, 2, 3, 4, NAN }, minus_infinity[2] = { FLT_MAX, -INFINITY };
    const uint16_t half_nan[2] = { 0x7bff, 0x7c01 }, half_infinity[2] = { 0xfbff, 0xfc00 },
                   bf16_nan[2] = { 0xff7f, 0xffff };
    (void)state;
    expect_bad_value("{" TENSOR("a", "F32", "[2,3]", "[0,24]") "}", nan_at_5, 24,
                     "model.safetensors: tensor a: row 1, column 2 is NaN, expected finite numbers");
    expect_bad_value("{" TENSOR("a", "F32", "[2]", "[0,8]") "}", minus_infinity, 8,
                     "model.safetensors: tensor a: row 1, column 0 is infinite, expected finite numbers");
    expect_bad_value("{" TENSOR("a", "F16", "[1,2]", "[0,4]") "}", half_nan, 4,
                     "model.safetensors: tensor a: row 0, column 1 is NaN, expected finite numbers");
    expect_bad_value("{" TENSOR("a", "F16", "[1,2]", "[0,4]") "}", half_infinity, 4,
                     "model.safetensors: tensor a: row 0, column 1 is infinite, expected finite numbers");
    expect_bad_value("{" TENSOR("a", "BF16", "[1,2]", "[0,4]") "}", bf16_nan, 4,
                     "model.safetensors: tensor a: row 0, column 1 is NaN, expected finite numbers");
}

static void refuses_bad_scales(void **state)
{
    static const char header[] =
        "{" TENSOR("w", "I8", "[2,2]", "[0,4]") "," TENSOR("w_scale", "F32", "[2]", "[4,12]") "}";
    static const struct {
        float scale;
        const char *message;
    } values[] = {
        { -0.5f, "model.safetensors: tensor w_scale: the scale of row 1 is negative, expected 0 or more" },
        { FLT_MAX, "model.safetensors: tensor w_scale: the scale of row 1 is far too large, expected 0 or more" },
        { NAN, "model.safetensors: tensor w_scale: row 1, column 0 is NaN, expected finite numbers" },
    };
    static const struct {
        const char *header;
        size_t bytes;
        const char *message;
    } headers[] = {
        { "{" TENSOR("w", "I8", "[2,2]", "[0,4]") "}", 4,
          "memory: tensor w is I8 and has no scale, expected a tensor of its name with _scale appended" },
        { "{" TENSOR("w", "I8", "[2,2]", "[0,4]") "," TENSOR("w_scale", "F16", "[2]", "[4,8]") "}", 8,
          "memory: tensor w_scale: F16 of rank 1 and 2 elements, expected the F32 scales [2] of an I8 tensor" },
        { "{" TENSOR("w", "I8", "[2,2]", "[0,4]") "," TENSOR("w_scale", "F32", "[1]", "[4,8]") "}", 8,
          "memory: tensor w_scale: F32 of rank 1 and 1 elements, expected the F32 scales [2] of an I8 tensor" },
        { "{" TENSOR("w", "I8", "[2,2]", "[0,4]") "," TENSOR("w_scale", "F32", "[2,1]", "[4,12]") "}", 12,
          "memory: tensor w_scale: F32 of rank 2 and 2 elements, expected the F32 scales [2] of an I8 tensor" },
    };
    unsigned char data[12] = { 1, 2, 3, 4 };
    struct vt_checkpoint *c;
    vitrt_error err;
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        memcpy(data + 8, &values[i].scale, 4);
        expect_bad_value(header, data, 12, values[i].message);
    }
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        assert_int_equal(open_weights(headers[i].header, data, headers[i].bytes, &c, &err), VITRT_EFORMAT);
        assert_string_equal(err.message, headers[i].message);
    }
}

/* ---- Files that change, threads, memory ---- */

static void notices_a_file_that_shrinks(void **state)
{
    float got;
    const float one = 1;
    vitrt_error err;
    (void)state;
    write_text("config.json", "{}");
    write_weights("model.safetensors", ONE_F32, &one, 4);
    struct vt_checkpoint *c = open_folder();
    assert_int_equal(truncate(in_folder("model.safetensors"), 20), 0);
    assert_int_equal(vt_checkpoint_read_rows(c, vt_checkpoint_find(c, "a"), 0, 1, &got, scratch, sizeof scratch, &err),
                     VITRT_EIO);
    snprintf(message, sizeof message,
             "%s/model.safetensors: cannot read 4 bytes at %zu, the file had %zu bytes when it was opened", temp_folder,
             8 + strlen(ONE_F32), 12 + strlen(ONE_F32));
    assert_string_equal(err.message, message);
    vt_checkpoint_free(c);
}

struct reading {
    const struct vt_checkpoint *checkpoint;
    uint64_t seed;
    bool right;
};

static void read_some(void *arg)
{
    static const uint64_t rows = 1000;
    struct reading *r = arg;
    _Alignas(64) unsigned char own[VT_SCRATCH_BYTES];
    const struct vt_tensor *t = vt_checkpoint_find(r->checkpoint, "a");
    r->right = true;
    for (uint64_t i = 0; i < 2000; i++) {
        float got[4] = { 0 };
        const uint64_t row = (r->seed + i * 7919) % (rows - 1);
        if (vt_checkpoint_read_rows(r->checkpoint, t, row, 2, got, own, sizeof own, NULL))
            r->right = false;
        for (size_t j = 0; j < 4; j++)
            r->right = r->right && got[j] == (float)(2 * row + j);
    }
}

static void serves_threads(void **state)
{
    enum { THREADS = 4 };
    float data[2000];
    struct reading readings[THREADS];
    vt_thread threads[THREADS];
    (void)state;
    for (int i = 0; i < 2000; i++)
        data[i] = (float)i;
    write_text("config.json", "{}");
    write_weights("model.safetensors", "{" TENSOR("a", "F32", "[1000,2]", "[0,8000]") "}", data, sizeof data);
    struct vt_checkpoint *c = open_folder();
    for (uint64_t i = 0; i < THREADS; i++) {
        readings[i] = (struct reading){ c, i * 13, false };
        assert_true(vt_thread_start(&threads[i], read_some, &readings[i]));
    }
    for (int i = 0; i < THREADS; i++) {
        vt_thread_join(threads[i]);
        assert_true(readings[i].right);
    }
    vt_checkpoint_free(c);
}

/* Opens with every single allocation failing once. */
static void fail_each_allocation(vitrt_status (*open)(struct vt_checkpoint **c, vitrt_error *err))
{
    for (size_t n = 0;; n++) {
        struct vt_checkpoint *c = NULL;
        vitrt_error err = { 0 };
        heap.left = n;
        const vitrt_status st = open(&c, &err);
        heap.left = SIZE_MAX;
        if (st == VITRT_OK) {
            assert_true(n > 10);
            vt_checkpoint_free(c);
            return;
        }
        if (st != VITRT_ENOMEM)
            fail_msg("allocation %zu: %s", n, err.message);
        assert_null(c);
        assert_int_equal(err.status, VITRT_ENOMEM);
        assert_int_equal(heap.live, 0);
    }
}

static vitrt_status open_shards_again(struct vt_checkpoint **c, vitrt_error *err)
{
    return vt_checkpoint_open(&allocator, temp_folder, false, c, err);
}

static vitrt_status open_quantized_again(struct vt_checkpoint **c, vitrt_error *err)
{
    static const unsigned char data[12] = { 0 };
    return open_weights("{" TENSOR("w", "I8", "[2,2]", "[0,4]") "," TENSOR("w_scale", "F32", "[2]", "[4,12]") "}", data,
                        12, c, err);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    write_shards();
    write_text("preprocessor_config.json", "{}");
    write_text(INDEX, GOOD_MAP);
    fail_each_allocation(open_shards_again);
    fail_each_allocation(open_quantized_again);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens_a_folder),
        TEST(opens_buffers),
        TEST(refuses_bad_buffers),
        TEST(says_what_a_path_lacks),
        TEST(refuses_bad_documents),
        TEST(opens_shards),
        TEST(refuses_bad_indexes),
        TEST(converts_f16),
        TEST(converts_bf16),
        TEST(reads_pieces),
        TEST(reads_vectors_and_empty_tensors),
        TEST(refuses_other_types),
        TEST(names_values_that_are_not_finite),
        TEST(refuses_bad_scales),
        TEST(notices_a_file_that_shrinks),
        TEST(serves_threads),
        TEST(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
