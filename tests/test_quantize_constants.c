/* SPDX-License-Identifier: Apache-2.0 */
/* vitrt_model_quantize where something never changes in calibration: columns, units, rows, heads and whole values that
 * are 0, as pruning leaves them, and a column that only begins to move when the model runs. */
#include "graph_text.h"

#include "calibrate_units.h"
#include "quantizer.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Models of 8 columns, of an image's patches p to an output y ---- */

#define NORM                                                                                                           \
    "{\"op\":\"layer_norm\",\"name\":\"n\",\"in\":[\"p\"],\"weight\":\"f32.8\",\"bias\":\"f32.1x1x8\",\"eps\":1e-6}"
#define PLAIN(name, in, weight)                                                                                        \
    "{\"op\":\"linear\",\"name\":\"" name "\",\"in\":[\"" in "\"],\"weight\":\"" weight "\"}"
#define LAYER(name, in, weight, bias)                                                                                  \
    "{\"op\":\"linear\",\"name\":\"" name "\",\"in\":[\"" in "\"],\"weight\":\"" weight "\",\"bias\":\"" bias "\"}"
#define ACTIVATION(in, which) "{\"op\":\"activation\",\"name\":\"a\",\"in\":[\"" in "\"],\"activation\":\"" which "\"}"
#define ADD                   "{\"op\":\"add\",\"name\":\"s\",\"in\":[\"p\",\"h\"]}"
#define ATTENTION(name, of, k, v)                                                                                      \
    "{\"op\":\"attention\",\"name\":\"" name "\",\"in\":[[\"" of "\",0,8],[\"" of "\"," k ",8],[\"" of "\"," v ",8]]," \
    "\"heads\":2,\"scale\":0.5}"

enum { MOST_NODES = 5, MOST_CHANGES = 7 };

struct model {
    const char *what;
    bool in_integers; /* alone */
    const char *nodes[MOST_NODES];
    struct change changes[MOST_CHANGES];
};

static vitrt_status open_case(const struct model *c, struct counting *counting, vitrt_model **m, vitrt_error *err)
{
    struct graph g = { "{\"version\":1,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},{\"op\":\"conv2d\","
                       "\"name\":\"p\",\"in\":[\"x\"],\"weight\":\"f32.8x3x2x2\",\"stride\":[2,2]}" };
    for (size_t i = 0; i < MOST_NODES && c->nodes[i]; i++) {
        strcat(g.text, ",");
        strcat(g.text, c->nodes[i]);
    }
    strcat(g.text, "],\"outputs\":{\"y\":\"y\"}}");
    return graph_open_changed(&g, c->changes, counting, m, err);
}

/* ---- Errors ---- */

/* So many show columns more than a thousand rows, which each has percentiles of its own then. */
enum { IMAGES = 64, PIXELS = GRAPH_SIDE * GRAPH_SIDE * 3, NUMBERS = GRAPH_SIDE / 2 * GRAPH_SIDE / 2 * 8 };

static float pixels[IMAGES][PIXELS];
static vitrt_image images[IMAGES];

static void make_images(void)
{
    for (size_t i = 0; i < IMAGES; i++)
        images[i] = graph_noise((uint32_t)i + 1, pixels[i]);
}

static void run(const vitrt_model *m, vitrt_precision precision, const vitrt_image *image, float numbers[NUMBERS])
{
    const vitrt_session_options options = { .threads = 1, .precision = precision };
    vitrt_output out = { .buffer = numbers, .buffer_bytes = NUMBERS * sizeof *numbers };
    vitrt_session *s;
    vitrt_error err;
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, image, 1, &out, &err), &err);
    assert_int_equal(out.offsets[1] * out.columns, NUMBERS);
    vitrt_session_free(s);
}

/* How far the output for an image is from the float model's, as a part of it. */
static double error_of(const vitrt_model *quantized, vitrt_precision precision, const vitrt_model *m,
                       const vitrt_image *image)
{
    float wanted[NUMBERS], found[NUMBERS];
    double sum = 0, error = 0;
    run(m, VITRT_PRECISION_F32, image, wanted);
    run(quantized, precision, image, found);
    for (size_t i = 0; i < NUMBERS; i++) {
        const double d = (double)found[i] - (double)wanted[i];
        sum += (double)wanted[i] * (double)wanted[i];
        error += d * d;
    }
    return error > 0 || !(error <= 0) ? sqrt(error / sum) : 0;
}

/* A rounding is 2^-7 of the numbers, as in test_quantize.c; there are ten here at most: weights and inputs of four
 * layers, q with k, v. Three times that is fine. */
#define ROUNDINGS 3.2
#define MOST      (3 * ROUNDINGS * 0x1p-7)

static const struct {
    uint32_t flags, bits;
} ways[] = { { 0, 8 }, { VITRT_QUANTIZE_ROUND, 8 }, { VITRT_QUANTIZE_PERCENTILES, 8 }, { 0, 4 } };

enum { WAYS = sizeof ways / sizeof *ways };

/* Quantizes the model in one way, opens it in every precision and compares its output for the image. */
static void check(const struct model *c, size_t way, const vitrt_image *image)
{
    static const vitrt_precision precisions[] = { VITRT_PRECISION_F32, VITRT_PRECISION_BF16, VITRT_PRECISION_I8,
                                                  VITRT_PRECISION_I8_STRICT };
    const uint32_t bits = ways[way].bits;
    const vitrt_quantize_options o = {
        .images = images, .image_count = IMAGES, .weight_bits = bits, .activation_bits = bits, .flags = ways[way].flags
    };
    struct counting counting;
    vitrt_model *m, *quantized;
    vitrt_error err;
    assert_ok(open_case(c, &counting, &m, &err), &err);
    assert_ok(vitrt_model_quantize(m, &o, &quantized, &err), &err);
    for (size_t p = 0; p < sizeof precisions / sizeof *precisions; p++) {
        if (precisions[p] == VITRT_PRECISION_I8_STRICT && (!c->in_integers || bits < 8))
            continue;
        const double error = error_of(quantized, precisions[p], m, image);
        if (!(error <= MOST * 255 / ((1 << bits) - 1)))
            fail_msg("%s, way %zu, precision %d: error %g", c->what, way, (int)precisions[p], error);
    }
    vitrt_model_free(quantized);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* ---- Zeros ---- */

static const struct model zeros[] = {
    { "a column of a norm",
      true,
      { NORM, LAYER("y", "n", "f32.8x8", "bf16.8") },
      { { "f32.8", 2, 1, 0 }, { "f32.1x1x8", 2, 1, 0 } } },
    { "a norm",
      true,
      { NORM, LAYER("y", "n", "f32.8x8", "bf16.8") },
      { { "f32.8", 0, 8, 0 }, { "f32.1x1x8", 0, 8, 0 } } },
    { "what a norm reads", true, { NORM, LAYER("y", "n", "f32.8x8", "bf16.8") }, { { "f32.8x3x2x2", 0, 96, 0 } } },
    {
        "units of relu",
        false,
        { NORM, LAYER("h", "n", "f32.8x8", "scale.8"), ACTIVATION("h", "relu"), LAYER("y", "a", "f16.8x8", "bf16.8") },
        { { "scale.8", 2, 2, -50 } },
    },
    { "units of gelu",
      true,
      { NORM, LAYER("h", "n", "f32.8x8", "scale.8"), ACTIVATION("h", "gelu"), LAYER("y", "a", "f16.8x8", "bf16.8") },
      { { "f32.8x8", 16, 16, 0 }, { "scale.8", 2, 2, 0 } } },
    { "rows of a weight with a bias",
      true,
      { NORM, LAYER("y", "n", "f32.8x8", "bf16.8") },
      { { "f32.8x8", 8, 16, 0 } } },
    { "next to 0: rows of a weight with a bias",
      true,
      { NORM, LAYER("y", "n", "f32.8x8", "bf16.8") },
      { { "f32.8x8", 8, 16, 1e-12f } } },
    { "next to 0: how columns of a norm vary",
      true,
      { NORM, LAYER("y", "n", "f32.8x8", "bf16.8") },
      { { "f32.8", 2, 3, 1e-4f },
        { "f32.1x1x8", 2, 1, 1.7f },
        { "f32.1x1x8", 3, 1, 2.07f },
        { "f32.1x1x8", 4, 1, 2.44f } } },
    { "a layer and the output", true, { NORM, PLAIN("y", "n", "f32.8x8") }, { { "f32.8x8", 0, 64, 0 } } },
    { "a residual",
      true,
      { NORM, PLAIN("h", "n", "f32.8x8"), ADD, LAYER("y", "s", "f16.8x8", "bf16.8") },
      { { "f32.8x8", 0, 64, 0 } } },
    { "a head",
      true,
      { NORM, LAYER("qkv", "n", "f32.24x8", "f32.24"), ATTENTION("a", "qkv", "8", "16"), PLAIN("y", "a", "f32.8x8") },
      { { "f32.24x8", 0, 32, 0 },
        { "f32.24x8", 64, 32, 0 },
        { "f32.24x8", 128, 32, 0 },
        { "f32.24", 0, 4, 0 },
        { "f32.24", 8, 4, 0 },
        { "f32.24", 16, 4, 0 } } },
    { "all heads",
      true,
      { NORM, LAYER("qkv", "n", "f32.24x8", "f32.24"), ATTENTION("a", "qkv", "8", "16"), PLAIN("y", "a", "f32.8x8") },
      { { "f32.24x8", 0, 192, 0 }, { "f32.24", 0, 24, 0 } } },
    { "queries",
      true,
      { NORM, LAYER("qkv", "n", "f32.24x8", "f32.24"), ATTENTION("a", "qkv", "8", "16"), PLAIN("y", "a", "f32.8x8") },
      { { "f32.24x8", 0, 64, 0 }, { "f32.24", 0, 8, 0 } } },
    { "next to 0: a head",
      true,
      { NORM, LAYER("qkv", "n", "f32.24x8", "f32.24"), ATTENTION("a", "qkv", "8", "16"), PLAIN("y", "a", "f32.8x8") },
      { { "f32.24x8", 0, 32, 1e-7f }, { "f32.24x8", 64, 32, 1e-7f }, { "f32.24", 0, 4, 0 }, { "f32.24", 8, 4, 0 } } },
    { "a column of keys",
      true,
      { NORM, LAYER("qkv", "n", "f32.24x8", "f32.24"), ATTENTION("a", "qkv", "8", "16"), PLAIN("y", "a", "f32.8x8") },
      { { "f32.24x8", 80, 8, 0 }, { "f32.24", 10, 1, 0 } } },
};

/* The result opens in every precision, and what is not 0 does not suffer. */
static void test_zeros(void **state)
{
    (void)state;
    make_images();
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
        for (size_t way = 0; way < WAYS; way++)
            check(&zeros[i], way, &images[IMAGES / 2]);
}

/* ---- A constant that moves ---- */

/* Column 2 of p sees the first channel of the image alone. */
#define COLUMN_OF_CHANNEL                                                                                              \
    {                                                                                                                  \
        { "f32.8x3x2x2", 24, 4, 0.5f },                                                                                \
        {                                                                                                              \
            "f32.8x3x2x2", 28, 8, 0                                                                                    \
        }                                                                                                              \
    }

static const struct model constants[] = {
    { "of a layer", true, { PLAIN("y", "p", "f32.8x8") }, COLUMN_OF_CHANNEL },
    { "behind gelu", true, { ACTIVATION("p", "gelu"), PLAIN("y", "a", "f32.8x8") }, COLUMN_OF_CHANNEL },
    { "of attention", true, { ATTENTION("y", "p", "0", "0") }, COLUMN_OF_CHANNEL },
};

/* It is the same in all calibration images, and later as far from 0 as half of that. */
static void test_constants_that_move(void **state)
{
    float other[PIXELS];
    const vitrt_image image = graph_noise(IMAGES + 1, other);
    (void)state;
    make_images();
    for (size_t k = 0; k < PIXELS; k += 3) {
        other[k] = 0.25f;
        for (size_t i = 0; i < IMAGES; i++)
            pixels[i][k] = 0.5f;
    }
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        for (size_t way = 0; way < WAYS; way++)
            check(&constants[i], way, &image);
}

/* ---- Numbers that are too large ---- */

static void expect_refused(const struct model *c, vitrt_status status, const char *sentence)
{
    const vitrt_quantize_options o = { .images = images, .image_count = IMAGES };
    struct counting counting;
    vitrt_model *m, *quantized;
    vitrt_error err = { 0 };
    assert_ok(open_case(c, &counting, &m, &err), &err);
    assert_int_equal(vitrt_model_quantize(m, &o, &quantized, &err), status);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    assert_null(quantized);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* No scale is over 1e30, in files either, and units do not have to be. */
static void test_too_large(void **state)
{
    static const struct model input = {
        "", false, { PLAIN("y", "p", "f32.8x8") }, { { "f32.8x3x2x2", 0, 96, 1e33f } }
    };
    static const struct model weight = { "", false, { PLAIN("y", "p", "f32.8x8") }, { { "f32.8x8", 3, 1, 1e35f } } };
    (void)state;
    make_images();
    expect_refused(&input, VITRT_EINVAL, "node y: codes of input 0 need a scale of");
    expect_refused(&weight, VITRT_EFORMAT, "row 0 of weight f32.8x8 is too large for codes");
    assert_true(vt_unit_of_largest(FLT_MAX) == VT_MAX_SCALE && vt_unit_of_largest(FLT_MIN) == VT_MIN_SCALE);
    assert_true(vt_unit_of_largest(0) == vt_unit_of_largest(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_constants_that_move),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests_name("test_quantize_constants", tests, NULL, NULL);
}
