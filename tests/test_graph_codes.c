/* SPDX-License-Identifier: Apache-2.0 */
/* Quantizers in files: what can be wrong with them is found when the file is opened, or, in the numbers of tensors and
 * where it depends on the input's size, when a session is made. Nothing is left behind. */
#include "graph_text.h"

#include "tiny_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_example_runs(void **state)
{
    static const vitrt_precision precisions[] = { VITRT_PRECISION_DEFAULT, VITRT_PRECISION_I8, VITRT_PRECISION_F32,
                                                  VITRT_PRECISION_BF16 };
    const struct graph g = graph_load("quantized");
    struct counting counting;
    float pixels[8 * 8 * 3], logits[4][4];
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)(i * 7 % 23) / 2 - 6;
    const vitrt_image image = { .data = pixels, .width = 8, .height = 8, .format = VITRT_FORMAT_F32 };
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    for (size_t i = 0; i < 4; i++) {
        const vitrt_session_options options = { .threads = 1, .precision = precisions[i] };
        vitrt_session *s;
        vitrt_output out = { .buffer = logits[i], .buffer_bytes = sizeof logits[i] };
        assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
        assert_ok(vitrt_run(s, &image, 1, &out, &err), &err);
        vitrt_session_free(s);
    }
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
    assert_memory_equal(logits[1], logits[0], sizeof *logits); /* what a quantized model runs in by default */
    assert_memory_not_equal(logits[2], logits[0], sizeof *logits);
}

/* ---- In the graph ---- */

#define PROJ  "[{\"bits\": 6, \"scale\": 0.5, \"zero_point\": 30}]"
#define NORM  "\"bias\": \"f32.8\", \"eps\": 1e-06"
#define LOCAL "\"weight\": \"f32.8x1x3x3\", \"padding\": [1, 1]"

struct mistake {
    const char *from, *to, *sentence;
};

static const struct mistake mistakes[] = {
    { "\"bits\": 6", "\"bits\": 1", "node proj: codes of 1 bits, expected 2 to 8" },
    { "\"bits\": 6", "\"bits\": 9", "node proj: codes of 9 bits, expected 2 to 8" },
    { "\"bits\": 6", "\"bits\": 0", "node proj: codes of 0 bits, expected 2 to 8" },
    { "\"bits\": 6", "\"bits\": 4294967304", "node proj: bits is 4294967304, expected a number" },
    { "\"bits\": 6, ", "", "node proj: bits is missing" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 0, \"zero_point\": 30",
      "node proj: codes with a scale or zero point out of range, expected a scale from 1e-30 to 1e30" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": -0.5, \"zero_point\": 30",
      "node proj: scale is -0.5, expected a number" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 1e31, \"zero_point\": 30",
      "node proj: codes with a scale or zero point out of range" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 1e-31, \"zero_point\": 30",
      "node proj: codes with a scale or zero point out of range" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 1e39, \"zero_point\": 30", "node proj: scale is 1e39" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 0.5, \"zero_point\": 5000000",
      "node proj: codes with a scale or zero point out of range" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 0.5, \"zero_point\": -5000000",
      "node proj: codes with a scale or zero point out of range" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"zero_point\": 30", "node proj: scale is missing" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 0.5", "node proj: zero_point is missing" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": [0.5], \"zero_point\": 30", "node proj: scale is an array" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 0.5, \"zero\": 30", "node proj: unknown member \"zero\"" },

    /* vectors */
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": \"scale.8\", \"zero_point\": 30",
      "node proj: scale and zero_point are a number and a tensor, expected two numbers or two tensors" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": \"scale.24\", \"zero_point\": \"zero.24\"",
      "node proj: tensor scale.24 has 24 numbers, expected one for each of 8 columns" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": \"scale.8\", \"zero_point\": \"zero.3\"",
      "node proj: tensor zero.3 has 3 numbers, expected one for each of 8 columns" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": \"none\", \"zero_point\": \"zero.8\"",
      "node proj: scale: tensor none is missing" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": \"f32.8x8\", \"zero_point\": \"zero.8\"",
      "tensor f32.8x8 has shape [8, 8], expected [8]" },
    { "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": \"i8.1x8\", \"zero_point\": \"zero.8\"",
      "node proj: tensor i8.1x8 of a quantizer has a scale itself, expected a vector of numbers" },
    { LOCAL,
      "\"weight\": \"i8.8x4x1x1\", \"quantize\": [{\"bits\": 8, \"scale\": \"scale.8\", \"zero_point\": \"zero.8\"}]",
      "node local: a convolution of 2 groups whose codes have a scale for each column, expected one for all" },

    /* how many there are, and where */
    { PROJ, "[]", "node proj: quantize is no array of 1, one for each input that is multiplied" },
    { PROJ, "{\"bits\": 8, \"scale\": 1, \"zero_point\": 0}", "node proj: quantize is no array of 1" },
    { PROJ, "[{\"bits\": 8, \"scale\": 1, \"zero_point\": 0}, {\"bits\": 8, \"scale\": 1, \"zero_point\": 0}]",
      "node proj: quantize is no array of 1" },
    { PROJ, "[8]", "node proj: quantize is 8, expected an object" },
    { "{\"bits\": 8, \"scale\": 0.25, \"zero_point\": 120}, ", "", "node attn: quantize is no array of 3" },
    { NORM, NORM ", \"quantize\": [{\"bits\": 8, \"scale\": 1, \"zero_point\": 0}]",
      "node norm: quantize is no array of 0" },
    { LOCAL, LOCAL ", \"quantize\": [{\"bits\": 8, \"scale\": 1, \"zero_point\": 0}]",
      "node local: quantize is no array of 0" },
    { "\"activation\": \"gelu\"", "\"activation\": \"gelu\", \"quantize\": [{\"bits\": 8}]",
      "node act: quantize is no array of 0" },

    { "\"heads\": 2", "\"heads\": 2, \"gamma\": -0.125",
      "node attn: its probabilities are clipped, expected no codes of its inputs" },

    /* weights */
    { "\"weight\": \"i8.8x8\"", "\"weight\": \"f32.8x8\"",
      "node proj multiplies codes with tensor f32.8x8, expected one of type I8" },
    { "\"weight\": \"i8.8x3x2x2\"", "\"weight\": \"f32.8x3x2x2\"",
      "node patches multiplies codes with tensor f32.8x3x2x2, expected one of type I8" },
    { "\"weight\": \"i8.4x8\", \"bias\": \"f32.4\"", "\"weight\": \"i8.8x8\"",
      "node proj: its weight i8.8x8 is stored for codes of another node" },
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct graph g = graph_load("quantized");
        graph_replace(&g, mistakes[i].from, mistakes[i].to);
        graph_refused(&g, VITRT_EFORMAT, mistakes[i].sentence);
    }
}

/* A weight that a bias network reads, too. */
static void test_second_weight_of_a_network(void **state)
{
    struct graph g = graph_load("quantized");
    (void)state;
    graph_replace(&g, "bias_table", "bias_network");
    graph_replace(&g, "\"weight\": \"f32.25x2\", \"windows\": 0, \"trained\": [3, 3]",
                  "\"weight\": \"f32.8x2\", \"weight2\": \"i8.4x8\", \"windows\": 0");
    graph_replace(&g, "\"heads\": 2", "\"heads\": 4");
    graph_refused(&g, VITRT_EFORMAT, "node bt: its weight i8.4x8 is stored for codes of another node");
}

/* Sums that 32 bits do not hold. */
static void test_too_many_terms(void **state)
{
    static struct graph g;
    (void)state;
    strcpy(g.text, "{\"version\":2,\"size\":[1,1],\"nodes\":[{\"op\":\"input\",\"name\":\"n0\"}");
    for (int i = 1; i <= 14; i++) /* 3 * 2^14 columns */
        snprintf(g.text + strlen(g.text), 100, ",{\"op\":\"concat\",\"name\":\"n%d\",\"in\":[\"n%d\",\"n%d\"]}", i,
                 i - 1, i - 1);
    strcat(g.text, ",{\"op\":\"attention\",\"name\":\"a\",\"in\":[\"n14\",\"n14\",\"n0\"],\"heads\":1,\"scale\":1,"
                   "\"quantize\":[{\"bits\":8,\"scale\":1,\"zero_point\":0},{\"bits\":8,\"scale\":1,\"zero_point\":0},"
                   "{\"bits\":8,\"scale\":1,\"zero_point\":0}]}],\"outputs\":{\"x\":\"a\"}}");
    graph_refused(&g, VITRT_ELIMIT, "node a: sums of codes with 98304 terms, at most 65000 are exact");
}

/* ---- In a session ---- */

/* Sessions in i8 fail so; those in f32 do, or do not. */
static void expect_no_session(const vitrt_model *m, const vitrt_session_options *options, vitrt_status status,
                              const char *sentence, const char *in_floats)
{
    vitrt_session_options o = *options;
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    o.threads = 1;
    o.precision = VITRT_PRECISION_I8;
    assert_int_equal(vitrt_session_create(m, &o, &s, &err), status);
    assert_int_equal(err.status, status);
    assert_null(s);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    o.precision = VITRT_PRECISION_F32;
    const vitrt_status st = vitrt_session_create(m, &o, &s, &err);
    assert_int_equal(st, in_floats ? VITRT_EFORMAT : VITRT_OK);
    if (in_floats && !strstr(err.message, in_floats))
        fail_msg("\"%s\" does not say \"%s\"", err.message, in_floats);
    vitrt_session_free(s);
}

static void test_scales_that_do_not_go_together(void **state)
{
    static const struct mistake all[] = {
        { "0.25, \"zero_point\": 120", "0.25, \"zero_point\": 120.5",
          "node attn: the zero point of q in column 0 is no whole number from 0 to 255" },
        { "0.25, \"zero_point\": 120", "0.25, \"zero_point\": 256", "zero point of q in column 0 is no whole number" },
        { "0.25, \"zero_point\": 120", "0.25, \"zero_point\": -1", "zero point of q in column 0 is no whole number" },
        { "\"bits\": 8, \"scale\": 0.25, \"zero_point\": 120", "\"bits\": 4, \"scale\": 0.25, \"zero_point\": 16",
          "zero point of q in column 0 is no whole number from 0 to 15" },
        { "0.25, \"zero_point\": 120", "\"scale.8\", \"zero_point\": \"zero.8\"",
          "node attn: the scales of q and k in column 1 have another product than in the first column of their head" },
        { "0.25, \"zero_point\": 130", "\"scale.8\", \"zero_point\": \"zero.8\"", "scales of q and k in column 1" },
        { "0.25, \"zero_point\": 130", "1e30, \"zero_point\": 0",
          "node attn: scales of q, of k and its own have a product that is out of range in head 0" },
        { "\"scale\": 0.5,\n",
          "\"scale\": 1e-20,\n   \"quantize\": [{\"bits\": 8, \"scale\": 1e-20, \"zero_point\": 0}, "
          "{\"bits\": 8, \"scale\": 1e-10, \"zero_point\": 0}, {\"bits\": 8, \"scale\": 1, "
          "\"zero_point\": 0}]},\n  {\"op\": \"attention\", \"name\": \"other\", \"in\": [\"w\", "
          "\"w\", \"w\"], \"heads\": 2, \"scale\": 1,\n",
          "node attn: scales of q, of k and its own have a product that is out of range in head 0" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const vitrt_session_options options = { 0 };
        struct graph g = graph_load("quantized");
        struct counting counting;
        vitrt_model *m;
        vitrt_error err;
        graph_replace(&g, all[i].from, all[i].to);
        assert_ok(graph_open(&g, &counting, &m, &err), &err);
        expect_no_session(m, &options, VITRT_EFORMAT, all[i].sentence, NULL);
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

static void test_scales_that_overflow(void **state)
{
    const vitrt_session_options options = { 0 };
    struct graph g = graph_load("quantized");
    struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    graph_replace(&g,
                  "{\"bits\": 8, \"scale\": \"scale.8\", \"zero_point\": \"zero.8\"}]},\n"
                  "  {\"op\": \"linear\", \"name\": \"proj\"",
                  "{\"bits\": 8, \"scale\": 1e30, \"zero_point\": 0}]},\n  {\"op\": \"linear\", \"name\": \"proj\"");
    graph_replace(&g, "\"scale\": 0.5, \"zero_point\": 30", "\"scale\": 1e-30, \"zero_point\": 30");
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    expect_no_session(m, &options, VITRT_EFORMAT, "node attn: the scales of its codes give numbers that are not finite",
                      NULL);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* A number of a tensor that the example reads as scales or zero points of 8 columns, in the file. */
static void change_number(unsigned char *file, size_t size, bool zero, size_t column, float to)
{
    float numbers[8];
    for (size_t i = 0; i < 8; i++) /* as in tiny_file.c */
        numbers[i] = zero ? (float)(100 + i * 13 % 60) : 0x1p-6f * (float)(4 + i * 5 % 7);
    size_t found = 0;
    for (size_t i = 0; i + sizeof numbers <= size; i++)
        if (!memcmp(file + i, numbers, sizeof numbers)) {
            memcpy(file + i + column * sizeof to, &to, sizeof to);
            found++;
        }
    assert_true(found > 0);
}

static void test_numbers_of_vectors(void **state)
{
    static const struct {
        bool zero;
        float number;
        const char *sentence, *in_floats;
    } all[] = {
        { false, 0, "codes of column 5 have a scale or zero point out of range", "[5] is no scale from 1e-30" },
        { false, -1, "codes of column 5 have a scale or zero point out of range", "[5] is no scale from 1e-30" },
        { false, 1e31f, "codes of column 5 have a scale or zero point out of range", "[5] is no scale from 1e-30" },
        { false, 1e-31f, "codes of column 5 have a scale or zero point out of range", "[5] is no scale from 1e-30" },
        { false, NAN, "is NaN, expected finite numbers", "is NaN, expected finite numbers" },
        { false, INFINITY, "is infinite, expected finite numbers", "is infinite, expected finite numbers" },
        { true, 5e6f, "codes of column 5 have a scale or zero point out of range", NULL },
        { true, -5e6f, "codes of column 5 have a scale or zero point out of range", NULL },
        { true, NAN, "is NaN, expected finite numbers", NULL },
    };
    const vitrt_session_options options = { 0 };
    const struct graph g = graph_load("quantized");
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        size_t size;
        unsigned char *file = tiny_file(g.text, strlen(g.text), NULL, &size);
        vitrt_model *m;
        vitrt_error err;
        assert_non_null(file);
        change_number(file, size, all[i].zero, 5, all[i].number);
        const vitrt_buffer buffer = { "tiny.safetensors", file, size };
        assert_ok(vitrt_model_open_memory(&buffer, 1, NULL, &m, &err), &err);
        expect_no_session(m, &options, VITRT_EFORMAT, all[i].sentence, all[i].in_floats);
        vitrt_model_free(m);
        free(file);
    }
}

/* 256 x 256 tokens are more than sums of codes are exact for. */
static void test_too_many_keys(void **state)
{
    static const char *const outputs[] = { "x" };
    const vitrt_session_options few = {
        .threads = 1, .height = 254, .width = 254, .outputs = outputs, .output_count = 1
    };
    vitrt_session_options many = few;
    vitrt_session_info info;
    struct counting counting;
    struct graph g;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    strcpy(g.text, "{\"version\":2,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"n0\"},"
                   "{\"op\":\"attention\",\"name\":\"a\",\"in\":[\"n0\",\"n0\",\"n0\"],\"heads\":1,\"scale\":1,"
                   "\"quantize\":[{\"bits\":8,\"scale\":1,\"zero_point\":0},{\"bits\":8,\"scale\":1,\"zero_point\":0},"
                   "{\"bits\":8,\"scale\":1,\"zero_point\":0}]}],\"outputs\":{\"x\":\"a\"}}");
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    assert_ok(vitrt_session_measure(m, &few, &info, &err), &err);
    many.height = many.width = 256;
    expect_no_session(m, &many, VITRT_ELIMIT, "node a: attention to 65536 tokens, at most 65000 can be summed as codes",
                      NULL);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* Only the image's pixels are gathered in integers. */
static void test_strict_convolutions(void **state)
{
    static const char *const outputs[] = { "x" };
    const vitrt_session_options options = {
        .threads = 1, .precision = VITRT_PRECISION_I8_STRICT, .outputs = outputs, .output_count = 1
    };
    struct counting counting;
    struct graph g;
    vitrt_model *m;
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    (void)state;
    strcpy(g.text, "{\"version\":2,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"n0\"},"
                   "{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"n0\"],\"weight\":\"i8.8x3x2x2\",\"stride\":[2,2],"
                   "\"unit\":0.01,\"quantize\":[{\"bits\":8,\"scale\":0.02,\"zero_point\":128}]},"
                   "{\"op\":\"conv2d\",\"name\":\"c\",\"in\":[\"p\"],\"weight\":\"i8.8x4x1x1\",\"unit\":0.01,"
                   "\"quantize\":[{\"bits\":8,\"scale\":0.02,\"zero_point\":128}]}],\"outputs\":{\"x\":\"c\"}}");
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    assert_int_equal(vitrt_session_create(m, &options, &s, &err), VITRT_EUNSUPPORTED);
    assert_null(s);
    assert_non_null(strstr(err.message, "node c has no integer-only form: convolutions of anything but the image"));
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_float_models_have_no_i8(void **state)
{
    const struct graph g = graph_load("vit");
    const vitrt_session_options options = { 0 };
    struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    expect_no_session(m, &options, VITRT_EINVAL, "the model is not quantized, so that it cannot run in integers",
                      NULL);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_runs),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_second_weight_of_a_network),
        cmocka_unit_test(test_too_many_terms),
        cmocka_unit_test(test_scales_that_do_not_go_together),
        cmocka_unit_test(test_scales_that_overflow),
        cmocka_unit_test(test_numbers_of_vectors),
        cmocka_unit_test(test_too_many_keys),
        cmocka_unit_test(test_strict_convolutions),
        cmocka_unit_test(test_float_models_have_no_i8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
