/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of src/json.h: what is JSON and what is not, cursors, values, strings, memory. */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- An allocator that counts blocks and fails when told to ---- */

struct counting {
    size_t live;
    size_t left;  /* allocations until one fails */
    size_t total; /* bytes handed out and not given back */
    size_t peak;
};

static void *counting_alloc(void *user, size_t size, size_t align)
{
    struct counting *c = user;
    if (c->left-- == 0) {
        c->left = 0;
        return NULL;
    }
    c->live++;
    c->total += size;
    c->peak = c->total > c->peak ? c->total : c->peak;
    return vt_default_allocator.alloc(NULL, size, align);
}

static void counting_free(void *user, void *p, size_t size, size_t align)
{
    struct counting *c = user;
    c->live--;
    c->total -= size; /* wrong sizes show as a total that is not 0 at the end */
    vt_default_allocator.free(NULL, p, size, align);
}

static struct counting heap;
static const vitrt_allocator allocator = { counting_alloc, counting_free, &heap };

static int start_counting(void **state)
{
    (void)state;
    heap = (struct counting){ .left = SIZE_MAX };
    return 0;
}

static int nothing_is_left(void **state)
{
    (void)state;
    return heap.live || heap.total ? -1 : 0;
}

/* ---- Shorthands ---- */

static struct vt_json_document *parse(const char *text)
{
    struct vt_json_document *d = NULL;
    vitrt_error err = { 0 };
    if (vt_json_parse(&allocator, "t.json", text, strlen(text), &d, &err))
        fail_msg("%s: %s", text, err.message);
    return d;
}

static void expect_failure(const char *text, size_t size, const char *message)
{
    struct vt_json_document *d = (void *)&heap;
    vitrt_error err = { 0 };
    const vitrt_status st = vt_json_parse(&allocator, "t.json", text, size, &d, &err);
    if (st != VITRT_EFORMAT)
        fail_msg("accepted: %s", text);
    assert_int_equal(err.status, VITRT_EFORMAT);
    assert_null(d);
    if (message)
        assert_string_equal(err.message, message);
}

/* ---- Grammar ---- */

static void accepts_json(void **state)
{
    /* clang-format off */
    static const char *const texts[] = {
        "{}", "[]", "0", "-0", "true", "false", "null", "\"\"", " \t\r\n1\n", "1.5e+10", "1E-2", "0.0", "-12.5",
        "[[],{},[[]]]", "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"\":0}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"", "[\"\x7f\", \"\xc3\xa9\"]", "[ 1 , 2 ]",
        "{ \"a\" : 1 , \"b\" : 2 }", "[true,false,null]", "{\"a\":1,\"a\":2}", "\"[{]}:,\"",
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        vt_json_free(parse(texts[i]));
}

static void refuses_what_is_no_json(void **state)
{
    /* clang-format off */
    static const char *const texts[] = {
        "", " ", "{", "}", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[,]", "[1 2]", "[1,,2]", "{,}", "{\"a\"}",
        "{\"a\":}", "{\"a\":1,}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{\"a\":1,,\"b\":2}", "{\"a\":\"b\":\"c\"}",
        "{\"a\",\"b\"}", "{\"a\"::1}", "{:1}", "{1:1}", "{a:1}", "{'a':1}", "{null:1}", "{[]:1}", "{{}:1}", "[1}",
        "{\"a\":1]", "[\"a\":1]", "1 2", "{} {}", "[] ,", "1,", "[]]", "{}}", "01", "-01", "00", "+1", "-", "1.", ".5",
        "-.5", "1e", "1e+", "1.e5", "0x10", "1_000", "1a", "--1", "1.2.3", "1e5.5", "Infinity", "-Infinity", "NaN",
        "nan", "True", "tru", "truee", "nul", "nulll", "falsey", "\"", "\"a", "\"\\\"", "\"\\", "\"\\x41\"", "\"\\'\"",
        "\"\\u\"", "\"\\u12\"", "\"\\u123\"", "\"\\u123g\"", "\"\\U0041\"", "\"a\nb\"", "\"a\tb\"", "\"\x01\"",
        "// c\n1", "/* c */ 1", "[1] // c", "\xef\xbb\xbf{}", "\xa0", "[1:2]", "[true\"a\"]", "[1[2]]", "[\"a\"[2]]",
        "[1{\"a\":2}]", "t\" [[[[", "{\"a\":1:2}", "\"\"\"\"",
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_failure(texts[i], strlen(texts[i]), NULL);
    expect_failure("1\0", 2, NULL); /* a NUL is no end of the text */
    expect_failure("[1,\0 2]", 7, NULL);
    expect_failure("\"a\0b\"", 5, NULL);
    expect_failure("{}\0{}", 5, NULL);
}

static void says_where_and_what(void **state)
{
    (void)state;
    expect_failure("{\"a\" 1}", 7, "t.json: not valid JSON: found '1' at byte 5, expected ':'");
    expect_failure("[1,2", 4, "t.json: not valid JSON: it ends after 4 bytes, expected ',' or ']'");
    expect_failure("[1] x", 5, "t.json: not valid JSON: found 'x' at byte 4, expected nothing after the document");
    expect_failure("\"a\n\"", 4,
                   "t.json: not valid JSON: found character code 10 at byte 2, expected a character of a string or its "
                   "closing quote");
    expect_failure("", 0, "t.json: not valid JSON: it ends after 0 bytes, expected a value");
}

static char *nested(size_t depth, char open, char close)
{
    char *text = malloc(2 * depth + 1);
    assert_non_null(text);
    memset(text, open, depth);
    memset(text + depth, close, depth);
    text[2 * depth] = 0;
    return text;
}

static void limits_depth(void **state)
{
    (void)state;
    char *text = nested(VT_JSON_MAX_DEPTH, '[', ']');
    vt_json_free(parse(text));
    free(text);
    text = nested(VT_JSON_MAX_DEPTH + 1, '[', ']');
    expect_failure(text, strlen(text),
                   "t.json: not valid JSON: found '[' at byte 64, expected no deeper nesting than 64");
    free(text);
    text = nested(50 * 1000 * 1000, '[', ']'); /* fails early and without memory for its tokens */
    expect_failure(text, strlen(text), NULL);
    assert_true(heap.peak < 101 * 1000 * 1000);
    free(text);
}

static void limits_tokens(void **state)
{
    const size_t elements = (size_t)1 << 22; /* with the array around them: one token too many */
    char *text = malloc(2 * elements + 1);
    struct vt_json_document *d;
    vitrt_error err = { 0 };
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < elements; i++)
        memcpy(text + 2 * i, ",7", 2);
    text[0] = '[';
    text[2 * elements] = ']';
    assert_int_equal(vt_json_parse(&allocator, "t.json", text, 2 * elements + 1, &d, &err), VITRT_ELIMIT);
    assert_string_equal(err.message, "t.json: 4194305 JSON tokens, at most 4194304 can be read");
    text[1] = text[2] = ' ';
    assert_int_equal(vt_json_parse(&allocator, "t.json", text, 2 * elements + 1, &d, &err), VITRT_OK);
    assert_int_equal(vt_json_count(vt_json_root(d)), elements - 1);
    vt_json_free(d);
    free(text);
}

/* ---- Cursors ---- */

static void finds_members(void **state)
{
    (void)state;
    struct vt_json_document *d =
        parse("{\"a\":[1,[2,3],{\"x\":[]}],\"b\":{\"c\":{\"d\":\"e\"}},\"a\\u0062\":null,\"b\":7,\"\":8}");
    const vt_json root = vt_json_root(d);
    const vt_json a = vt_json_get(root, "a");
    uint64_t value;
    assert_int_equal(vt_json_type(root), VT_JSON_OBJECT);
    assert_int_equal(vt_json_count(root), 5);
    assert_int_equal(vt_json_count(a), 3);
    assert_int_equal(vt_json_type(vt_json_at(a, 1)), VT_JSON_ARRAY);
    assert_int_equal(vt_json_type(vt_json_at(a, 2)), VT_JSON_OBJECT);
    assert_int_equal(vt_json_type(vt_json_at(a, 3)), VT_JSON_NONE);
    assert_int_equal(vt_json_type(vt_json_get(vt_json_at(a, 2), "x")), VT_JSON_ARRAY);
    assert_true(vt_json_to_u64(vt_json_at(vt_json_at(a, 1), 1), &value));
    assert_int_equal(value, 3);
    assert_true(vt_json_to_u64(vt_json_get(root, "b"), &value)); /* the last one counts */
    assert_int_equal(value, 7);
    assert_true(vt_json_to_u64(vt_json_get(root, ""), &value));
    assert_int_equal(value, 8);
    assert_int_equal(vt_json_type(vt_json_get(root, "ab")), VT_JSON_NULL); /* an escaped key */
    assert_int_equal(vt_json_type(vt_json_get(root, "c")), VT_JSON_NONE);  /* only direct members */
    assert_int_equal(vt_json_type(vt_json_get(a, "x")), VT_JSON_NONE);
    assert_int_equal(vt_json_type(vt_json_at(root, 0)), VT_JSON_NONE);
    vt_json_free(d);
}

static void missing_answers_missing(void **state)
{
    uint64_t u;
    double f;
    bool b;
    size_t n = 7;
    (void)state;
    struct vt_json_document *d = parse("{}");
    const vt_json missing = vt_json_get(vt_json_get(vt_json_at(vt_json_root(d), 3), "a"), "b");
    assert_int_equal(vt_json_type(missing), VT_JSON_NONE);
    assert_int_equal(vt_json_count(missing), 0);
    assert_false(vt_json_to_u64(missing, &u));
    assert_false(vt_json_to_double(missing, &f));
    assert_false(vt_json_to_bool(missing, &b));
    assert_null(vt_json_text(missing, &n));
    assert_int_equal(n, 0);
    assert_false(vt_json_is(missing, ""));
    assert_null(vt_json_dup_string(&allocator, missing));
    assert_int_equal(vt_json_first(missing).left, 0);
    assert_int_equal(vt_json_type(vt_json_first(missing).value), VT_JSON_NONE);
    vt_json_free(d);
    vt_json_free(NULL);
}

static void walks(void **state)
{
    static const char *const keys[] = { "a", "b\\n", "", "d" };
    size_t i = 0;
    uint64_t value;
    (void)state;
    struct vt_json_document *d =
        parse("{\"a\":[[0],{\"z\":{}}],\"b\\n\":{\"a\":1,\"b\":[2]},\"\":\"v\",\"d\":[10,11,12]}");
    vt_json_iterator it = vt_json_first(vt_json_root(d));
    for (; vt_json_type(it.value) != VT_JSON_NONE; vt_json_next(&it), i++) {
        assert_int_equal(it.key_size, strlen(keys[i]));
        assert_memory_equal(it.key, keys[i], it.key_size);
    }
    assert_int_equal(i, 4);
    vt_json_next(&it); /* beyond the end nothing changes */
    assert_int_equal(vt_json_type(it.value), VT_JSON_NONE);
    it = vt_json_first(vt_json_root(d));
    vt_json_next(&it);
    assert_true(vt_json_is(vt_json_key(&it), "b\n"));
    i = 10;
    for (it = vt_json_first(vt_json_get(vt_json_root(d), "d")); it.left; vt_json_next(&it)) {
        assert_null(it.key);
        assert_int_equal(vt_json_type(vt_json_key(&it)), VT_JSON_NONE);
        assert_true(vt_json_to_u64(it.value, &value));
        assert_int_equal(value, i++);
    }
    assert_int_equal(i, 13);
    vt_json_free(d);
}

/* ---- Values ---- */

static void reads_integers(void **state)
{
    static const struct {
        const char *text;
        bool valid;
        uint64_t value;
    } cases[] = {
        { "0", true, 0 },
        { "12", true, 12 },
        { "12.0", true, 12 },
        { "12.000", true, 12 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "99999999999999999999999999", false, 0 },
        { "-0", false, 0 },
        { "-1", false, 0 },
        { "1.5", false, 0 },
        { "1e3", false, 0 },
        { "1.0e0", false, 0 },
        { "\"12\"", false, 0 },
        { "true", false, 0 },
        { "null", false, 0 },
        { "[1]", false, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_json_document *d = parse(cases[i].text);
        uint64_t value = 0;
        assert_int_equal(vt_json_to_u64(vt_json_root(d), &value), cases[i].valid);
        assert_true(value == cases[i].value);
        vt_json_free(d);
    }
}

static void reads_doubles_and_bools(void **state)
{
    (void)state;
    struct vt_json_document *d = parse("[1e-6,-2.5,3,1e400,\"1\",true,false,-1e400]");
    const vt_json root = vt_json_root(d);
    double f = 0;
    bool b = false;
    assert_true(vt_json_to_double(vt_json_at(root, 0), &f) && f == 1e-6);
    assert_true(vt_json_to_double(vt_json_at(root, 1), &f) && f == -2.5);
    assert_true(vt_json_to_double(vt_json_at(root, 2), &f) && f == 3);
    assert_false(vt_json_to_double(vt_json_at(root, 3), &f)); /* out of range */
    assert_false(vt_json_to_double(vt_json_at(root, 7), &f));
    assert_false(vt_json_to_double(vt_json_at(root, 4), &f));
    assert_false(vt_json_to_double(vt_json_at(root, 5), &f));
    assert_true(vt_json_to_bool(vt_json_at(root, 5), &b) && b);
    assert_true(vt_json_to_bool(vt_json_at(root, 6), &b) && !b);
    assert_false(vt_json_to_bool(vt_json_at(root, 2), &b));
    vt_json_free(d);
}

static void decodes_strings(void **state)
{
    static const struct {
        const char *raw, *decoded;
    } cases[] = {
        { "\"\"", "" },
        { "\"plain\"", "plain" },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
        { "\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\"\\u0000x\"", "\xef\xbf\xbdx" }, /* NUL */
        { "\"\\ud83dx\"", "\xef\xbf\xbdx" }, /* half a surrogate pair */
        { "\"\\ud83d\"", "\xef\xbf\xbd" },   /* at the end */
        { "\"\\ude00x\"", "\xef\xbf\xbdx" }, /* the other half */
        { "\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                                "A" }, /* followed by something else */
        { "\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80" },
        { "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\"a\xff"
          "b\"",
          "a\xef\xbf\xbd"
          "b" },                        /* no lead byte */
        { "\"\xc3\"", "\xef\xbf\xbd" }, /* cut off */
        { "\"\xe2\x82\"", "\xef\xbf\xbd\xef\xbf\xbd" },
        { "\"\xc0\xaf\"", "\xef\xbf\xbd\xef\xbf\xbd" }, /* longer than needed */
        { "\"\xe0\x80\xaf\"", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\"\xed\xa0\x80\"", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                 /* a surrogate as UTF-8 */
        { "\"\xf4\x90\x80\x80\"", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* above U+10FFFF */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_json_document *d = parse(cases[i].raw);
        char *s = vt_json_dup_string(&allocator, vt_json_root(d));
        assert_string_equal(s, cases[i].decoded);
        assert_true(vt_json_is(vt_json_root(d), cases[i].decoded));
        assert_false(vt_json_is(vt_json_root(d), "something else"));
        vt_free(&allocator, s, vt_strsize(s));
        vt_json_free(d);
    }
}

static void compares_whole_strings(void **state)
{
    (void)state;
    struct vt_json_document *d = parse("\"gelu\"");
    assert_true(vt_json_is(vt_json_root(d), "gelu"));
    assert_false(vt_json_is(vt_json_root(d), "gel"));
    assert_false(vt_json_is(vt_json_root(d), "gelu_new"));
    assert_false(vt_json_is(vt_json_root(d), ""));
    vt_json_free(d);
}

/* ---- Memory ---- */

static void survives_every_failed_allocation(void **state)
{
    static const char text[] = "{\"a\":[1,2,{\"b\":\"c\"}]}";
    (void)state;
    for (size_t n = 0;; n++) {
        struct vt_json_document *d;
        vitrt_error err = { 0 };
        heap.left = n;
        const vitrt_status st = vt_json_parse(&allocator, "t.json", text, sizeof text - 1, &d, &err);
        heap.left = SIZE_MAX;
        if (st == VITRT_OK) {
            assert_true(n >= 3); /* document, text, tokens */
            vt_json_free(d);
            return;
        }
        assert_int_equal(st, VITRT_ENOMEM);
        assert_int_equal(err.status, VITRT_ENOMEM);
        assert_int_equal(heap.live, 0);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start_counting, nothing_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(accepts_json),
        TEST(refuses_what_is_no_json),
        TEST(says_where_and_what),
        TEST(limits_depth),
        TEST(limits_tokens),
        TEST(finds_members),
        TEST(missing_answers_missing),
        TEST(walks),
        TEST(reads_integers),
        TEST(reads_doubles_and_bools),
        TEST(decodes_strings),
        TEST(compares_whole_strings),
        TEST(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
