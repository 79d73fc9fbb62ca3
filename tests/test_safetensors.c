/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of src/safetensors.h: headers that are accepted, and the sentence for each way in which one can lie. */
#include "safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Shorthands ---- */

#define DTYPE(d) "\"dtype\":\"" d "\""
#define TENSOR(name, dtype, shape, offsets)                                                                            \
    "\"" name "\":{" DTYPE(dtype) ",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static vitrt_status read_bytes(const unsigned char *bytes, size_t size, struct vt_tensor_list *list, vitrt_error *err)
{
    struct vt_source s = { .label = "t", .size = size, .data = bytes, .file = VT_FILE_NONE };
    *list = (struct vt_tensor_list){ 0 };
    return vt_safetensors_read(&vt_default_allocator, &s, 3, list, err);
}

/* Reads a file of the header (the length in front is right) and data_bytes of data. */
static vitrt_status read_header(const char *header, size_t data_bytes, struct vt_tensor_list *list, vitrt_error *err)
{
    const size_t n = strlen(header), size = 8 + n + data_bytes;
    unsigned char *bytes = calloc(size, 1); /* of exactly this size, so that a read beyond it is seen */
    assert_non_null(bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(bytes + 8, header, n);
    const vitrt_status st = read_bytes(bytes, size, list, err);
    free(bytes);
    return st;
}

static void expect_failure(const char *header, size_t data_bytes, vitrt_status status, const char *message)
{
    struct vt_tensor_list list;
    vitrt_error err = { 0 };
    const vitrt_status st = read_header(header, data_bytes, &list, &err);
    vt_tensor_list_free(&vt_default_allocator, &list);
    if (st != status || err.status != status)
        fail_msg("%s gives %s: %s", header, vitrt_status_name(st), err.message);
    assert_string_equal(err.message, message);
}

/* ---- What is accepted ---- */

static void reads_tensors_by_name(void **state)
{
    struct vt_tensor_list list;
    vitrt_error err = { 0 };
    (void)state;
    const char *header = "{" TENSOR("w", "BF16", "[2,3]", "[4,16]") ",\"__metadata__\":{\"format\":\"pt\"}," TENSOR(
        "b\\u0061", "F32", "[1]", "[0,4]") "," TENSOR("s", "I64", "[]", "[16,24]") "}   ";
    const uint64_t begin = 8 + strlen(header);
    assert_int_equal(read_header(header, 24, &list, &err), VITRT_OK);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].name, "ba");
    assert_int_equal(list.items[0].offset, begin);
    assert_int_equal(list.items[0].rank, 1);
    assert_int_equal(list.items[0].dtype, VT_F32);
    assert_string_equal(list.items[1].name, "s");
    assert_int_equal(list.items[1].rank, 0);
    assert_int_equal(list.items[1].count, 1);
    assert_int_equal(list.items[1].dtype, VT_OTHER);
    assert_string_equal(list.items[1].dtype_name, "I64");
    assert_string_equal(list.items[2].name, "w");
    assert_int_equal(list.items[2].dtype, VT_BF16);
    assert_int_equal(list.items[2].rank, 2);
    assert_int_equal(list.items[2].shape[0], 2);
    assert_int_equal(list.items[2].shape[1], 3);
    assert_int_equal(list.items[2].count, 6);
    assert_int_equal(list.items[2].bytes, 12);
    assert_int_equal(list.items[2].offset, begin + 4);
    assert_int_equal(list.items[2].shard, 3);
    vt_tensor_list_free(&vt_default_allocator, &list);
}

static void accepts_what_the_format_allows(void **state)
{
    static const struct {
        const char *header;
        size_t data_bytes;
    } cases[] = {
        { "{}", 0 },
        { "{\"__metadata__\":{}}", 0 },
        { "{" TENSOR("a", "F32", "[0]", "[0,0]") "}", 0 },
        { "{" TENSOR("b", "F32", "[1]", "[0,4]") "," TENSOR("a", "F16", "[3,0]", "[0,0]") "," TENSOR("c", "U8", "[0]",
                                                                                                     "[4,4]") "}",
          4 },
        { "{" TENSOR("a", "F16", "[1,2,1,1,1,1,1,1]", "[0,4]") "}", 4 }, /* rank 8 */
        { "{" TENSOR("a", "F4", "[2,3]", "[0,3]") "}", 3 },              /* two elements in a byte */
        { "{" TENSOR("a", "F64", "[1]", "[0,8]") "," TENSOR("b", "BOOL", "[1]",
                                                            "[8,9]") "," TENSOR("c", "F8_E4M3", "[1]", "[9,10]") "}",
          10 },
        { "{\"a\":{\"extra\":[{}],\"data_offsets\":[0,1],\"shape\":[1]," DTYPE("I8") "}}", 1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_tensor_list list;
        vitrt_error err = { 0 };
        if (read_header(cases[i].header, cases[i].data_bytes, &list, &err))
            fail_msg("%s: %s", cases[i].header, err.message);
        vt_tensor_list_free(&vt_default_allocator, &list);
    }
}

/* ---- What is not ---- */

static void refuses_bad_lengths(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *message;
    } cases[] = {
        { "", 0, "t: 0 bytes, a safetensors file has at least 8" },
        { "\2\0\0\0\0\0\0", 7, "t: 7 bytes, a safetensors file has at least 8" },
        { "\0\0\0\0\0\0\0\0", 8, "t: the header of 0 bytes does not begin with '{'; this is no safetensors file" },
        { "\2\0\0\0\0\0\0\0{", 9,
          "t: a header of 2 bytes does not fit into the file of 9 bytes; it is cut off or no safetensors" },
        { "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10,
          "t: a header of 18446744073709551615 bytes does not fit into the file of 10 bytes; it is cut off or no "
          "safetensors" },
        { "\xf8\xff\xff\xff\xff\xff\xff\xff{}", 10,
          "t: a header of 18446744073709551608 bytes does not fit into the file of 10 bytes; it is cut off or no "
          "safetensors" },
        { "\3\0\0\0\0\0\0\0 {}", 11, "t: the header of 3 bytes does not begin with '{'; this is no safetensors file" },
        { "\2\0\0\0\0\0\0\0[]", 10, "t: the header of 2 bytes does not begin with '{'; this is no safetensors file" },
        { "\1\0\0\0\0\0\0\0{}", 10, "t: not valid JSON: it ends after 1 bytes, expected a string" },
        { "\2\0\0\0\0\0\0\0{}x", 11, "t: 1 bytes of data, but the tensors end at 0" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_tensor_list list;
        vitrt_error err = { 0 };
        unsigned char *exact = malloc(cases[i].size + !cases[i].size);
        assert_non_null(exact);
        memcpy(exact, cases[i].bytes, cases[i].size);
        assert_int_equal(read_bytes(exact, cases[i].size, &list, &err), VITRT_EFORMAT);
        assert_string_equal(err.message, cases[i].message);
        vt_tensor_list_free(&vt_default_allocator, &list);
        free(exact);
    }
}

static void refuses_huge_headers(void **state)
{
    const size_t n = 100000001;
    struct vt_tensor_list list;
    vitrt_error err = { 0 };
    (void)state;
    unsigned char *bytes = calloc(8 + n, 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)n >> 8 * i);
    assert_int_equal(read_bytes(bytes, 8 + n, &list, &err), VITRT_ELIMIT);
    assert_string_equal(err.message, "t: a header of 100000001 bytes, at most 100000000 can be read");
    free(bytes);
}

static void refuses_bad_entries(void **state)
{
    static const struct {
        const char *header;
        const char *message;
    } cases[] = {
        { "{\"a\":7}", "t: tensor a: its entry is not an object" },
        { "{\"a\":[]}", "t: tensor a: its entry is not an object" },
        { "{\"a\":{}}", "t: tensor a: unknown dtype '', expected F32, F16, BF16, I8 or another of safetensors" },
        { "{" TENSOR("a", "F33", "[1]", "[0,4]") "}",
          "t: tensor a: unknown dtype 'F33', expected F32, F16, BF16, I8 or another of safetensors" },
        { "{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}",
          "t: tensor a: unknown dtype '32', expected F32, F16, BF16, I8 or another of safetensors" },
        { "{\"a\":{" DTYPE("F32") ",\"data_offsets\":[0,4]}}", "t: tensor a: shape is missing or not a list" },
        { "{" TENSOR("a", "F32", "{}", "[0,4]") "}", "t: tensor a: shape is missing or not a list" },
        { "{" TENSOR("a", "F32", "[1,-1]", "[0,4]") "}",
          "t: tensor a: extent 1 of the shape is not a number from 0 to 2^64 - 1" },
        { "{" TENSOR("a", "F32", "[1.5]", "[0,4]") "}",
          "t: tensor a: extent 0 of the shape is not a number from 0 to 2^64 - 1" },
        { "{" TENSOR("a", "F32", "[18446744073709551616]", "[0,4]") "}",
          "t: tensor a: extent 0 of the shape is not a number from 0 to 2^64 - 1" },
        { "{" TENSOR("a", "F32", "[\"1\"]", "[0,4]") "}",
          "t: tensor a: extent 0 of the shape is not a number from 0 to 2^64 - 1" },
        { "{" TENSOR("a", "F32", "[4294967296,4294967296]", "[0,4]") "}",
          "t: tensor a: the product of the shape is over 2^63" },
        { "{" TENSOR("a", "F32", "[0,4294967296,4294967296]", "[0,4]") "}",
          "t: tensor a: the product of the shape is over 2^63" },
        { "{" TENSOR("a", "F32", "[4611686018427387905]", "[0,4]") "}", /* times 4 wraps to 4 */
          "t: tensor a: data_offsets span 4 bytes, expected 4611686018427387905 elements of F32 (32 bits each)" },
        { "{" TENSOR("a", "F32", "[2]", "[0,4]") "}",
          "t: tensor a: data_offsets span 4 bytes, expected 2 elements of F32 (32 bits each)" },
        { "{" TENSOR("a", "F4", "[7]", "[0,4]") "}",
          "t: tensor a: data_offsets span 4 bytes, expected 7 elements of F4 (4 bits each)" },
        { "{\"a\":{" DTYPE("F32") ",\"shape\":[1]}}",
          "t: tensor a: data_offsets is missing or not a list of two numbers" },
        { "{" TENSOR("a", "F32", "[1]", "[4]") "}",
          "t: tensor a: data_offsets is missing or not a list of two numbers" },
        { "{" TENSOR("a", "F32", "[1]", "[0,2,4]") "}",
          "t: tensor a: data_offsets is missing or not a list of two numbers" },
        { "{" TENSOR("a", "F32", "[1]", "[-4,0]") "}",
          "t: tensor a: data_offsets is missing or not a list of two numbers" },
        { "{" TENSOR("a", "F32", "[1]", "{\"a\":0,\"b\":4}") "}",
          "t: tensor a: data_offsets is missing or not a list of two numbers" },
        { "{" TENSOR("a", "F32", "[1]", "[4,0]") "}",
          "t: tensor a: data_offsets [4, 0] outside of the 4 bytes of data" },
        { "{" TENSOR("a", "F32", "[1]", "[1,5]") "}",
          "t: tensor a: data_offsets [1, 5] outside of the 4 bytes of data" },
        { "{" TENSOR("a", "F32", "[1]", "[18446744073709551612,18446744073709551615]") "}",
          "t: tensor a: data_offsets [18446744073709551612, 18446744073709551615] outside of the 4 bytes of data" },
        { "{\"__metadata__\":[]}", "t: __metadata__ is not an object" },
        { "{\"__metadata__\":{\"x\":1}}", "t: __metadata__ has a member that is not a string: x" },
        { "{\"a\":1,}", "t: not valid JSON: found '}' at byte 7, expected a string" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(cases[i].header, 4, VITRT_EFORMAT, cases[i].message);
    expect_failure("{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, VITRT_EUNSUPPORTED,
                   "t: tensor a: rank 9, expected at most 8");
}

static void refuses_bad_coverage(void **state)
{
    static const struct {
        const char *header;
        const char *message;
    } cases[] = {
        { "{" TENSOR("a", "F32", "[1]", "[0,4]") "}", "t: 8 bytes of data, but the tensors end at 4" },
        { "{" TENSOR("a", "F32", "[1]", "[4,8]") "}",
          "t: tensor a: its data begins at 4, expected 0, where the tensor before it ends" },
        { "{" TENSOR("a", "F32", "[1]", "[4,8]") "," TENSOR("b", "U8", "[3]", "[0,3]") "}",
          "t: tensor a: its data begins at 4, expected 3, where the tensor before it ends" },
        { "{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("b", "F32", "[1]", "[3,7]") "," TENSOR("c", "U8", "[1]",
                                                                                                   "[7,8]") "}",
          "t: tensor b: its data begins at 3 inside of another tensor, which ends at 4" },
        { "{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("b", "F32", "[0]", "[4,4]") "}",
          "t: tensor b: its data begins at 4 inside of another tensor, which ends at 8" },
        { "{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("a", "F32", "[1]", "[4,8]") "}",
          "t: tensor a is there twice" },
        { "{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("\\u0061", "F32", "[1]", "[4,8]") "}",
          "t: tensor a is there twice" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(cases[i].header, 8, VITRT_EFORMAT, cases[i].message);
    /* The same bytes twice: which of the two is named is not fixed. */
    struct vt_tensor_list list;
    assert_int_equal(
        read_header("{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("b", "F32", "[2]", "[0,8]") "}", 8, &list, NULL),
        VITRT_EFORMAT);
    vt_tensor_list_free(&vt_default_allocator, &list);
}

/* ---- Every byte of a good file changed, and every shorter file ---- */

static void survives_mutations(void **state)
{
    static const char header[] = "{" TENSOR("w", "F16", "[2,2]", "[4,12]") "," TENSOR("b", "F32", "[1]", "[0,4]") "}";
    const size_t size = 8 + sizeof header - 1 + 12;
    size_t accepted = 0;
    unsigned char bytes[8 + sizeof header - 1 + 12] = { sizeof header - 1 };
    (void)state;
    memcpy(bytes + 8, header, sizeof header - 1);
    for (size_t cut = 0; cut <= size; cut++) {
        struct vt_tensor_list list;
        unsigned char *exact = malloc(cut + !cut);
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        assert_int_equal(read_bytes(exact, cut, &list, NULL), cut == size ? VITRT_OK : VITRT_EFORMAT);
        vt_tensor_list_free(&vt_default_allocator, &list);
        free(exact);
    }
    for (size_t i = 0; i < size; i++)
        for (unsigned flip = 1; flip < 256; flip++) {
            struct vt_tensor_list list;
            bytes[i] ^= (unsigned char)flip;
            accepted += read_bytes(bytes, size, &list, NULL) == VITRT_OK;
            vt_tensor_list_free(&vt_default_allocator, &list);
            bytes[i] ^= (unsigned char)flip;
        }
    assert_true(accepted >= 12 * 255); /* changed data is accepted, the header's own checks are tested above */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tensors_by_name), cmocka_unit_test(accepts_what_the_format_allows),
        cmocka_unit_test(refuses_bad_lengths),   cmocka_unit_test(refuses_huge_headers),
        cmocka_unit_test(refuses_bad_entries),   cmocka_unit_test(refuses_bad_coverage),
        cmocka_unit_test(survives_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
