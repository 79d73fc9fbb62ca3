/* SPDX-License-Identifier: Apache-2.0 */
/* Integer-only inference at its limits: what it refuses since integers have no room for it, and what it gives close to
 * that, against the same model in i8. Graphs are texts with tensors of tiny_file.c or of their own. */
#include "graph_text.h"

#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "{\"version\":2,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
/* 4 x 4 patches of 8 columns, in words of 1e-3 */
#define PATCHES                                                                                                        \
    "{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"x\"],\"weight\":\"i8.8x3x2x2\",\"bias\":\"f32.8\",\"stride\":[2,2],"  \
    "\"unit\":1e-3,\"quantize\":[{\"bits\":8,\"scale\":\"scale.3\",\"zero_point\":\"zero.3\"}]}"
#define CODES   "{\"bits\":8,\"scale\":0.01,\"zero_point\":120}"
#define OUTPUTS "],\"outputs\":{"

/* ---- Files with tensors of their own ---- */

struct tensor {
    const char *name, *dtype, *shape;
    size_t bytes;
    const void *data;
};

static vitrt_model *open_tensors(const char *graph, const struct tensor *tensors, size_t count)
{
    const vitrt_model_options options = { .flags = VITRT_MODEL_COPY_BUFFERS };
    char header[4096], *at = header, *const end = header + sizeof header;
    size_t offset = 0;
    vitrt_model *m;
    vitrt_error err;
    at += snprintf(at, (size_t)(end - at), "{\"__metadata__\":{\"vitrt.graph\":\"");
    for (const char *c = graph; *c && at < end - 2; c++) {
        if (*c == '"')
            *at++ = '\\';
        *at++ = *c;
    }
    at += snprintf(at, (size_t)(end - at), "\"}");
    for (size_t i = 0; i < count; offset += tensors[i++].bytes)
        at += snprintf(at, (size_t)(end - at), ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                       tensors[i].name, tensors[i].dtype, tensors[i].shape, offset, offset + tensors[i].bytes);
    at += snprintf(at, (size_t)(end - at), "}");
    assert_true(at < end);
    const size_t header_bytes = (size_t)(at - header);
    unsigned char *file = malloc(8 + header_bytes + offset), *data = file + 8;
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)header_bytes >> 8 * i);
    memcpy(data, header, header_bytes);
    data += header_bytes;
    for (size_t i = 0; i < count; data += tensors[i++].bytes)
        memcpy(data, tensors[i].data, tensors[i].bytes);
    const vitrt_buffer buffer = { "tensors", file, 8 + header_bytes + offset };
    assert_ok(vitrt_model_open_memory(&buffer, 1, &options, &m, &err), &err);
    free(file);
    return m;
}

static vitrt_model *open_text(const char *text)
{
    struct graph g;
    static struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    assert_true(strlen(text) < sizeof g.text);
    strcpy(g.text, text);
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    return m;
}

/* ---- Running ---- */

/* An image whose numbers are what 8-bit pixels become, so that all precisions see the same one. */
static vitrt_image noise(const vitrt_model *m, uint32_t height, uint32_t width, float *pixels)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < (size_t)height * width * 3; i++)
        pixels[i] = m->preprocess.table.value[i % 3][(seed = seed * 1664525 + 1013904223) >> 24];
    return (vitrt_image){ .data = pixels, .width = width, .height = height, .format = VITRT_FORMAT_F32 };
}

/* Some outputs, the count numbers of each behind each other; their size is that of the image. */
static void run(const vitrt_model *m, vitrt_precision precision, const vitrt_image *image, const char *const *outputs,
                size_t output_count, size_t count, float *numbers)
{
    const vitrt_session_options options = { .threads = 1,
                                            .precision = precision,
                                            .height = image->height,
                                            .width = image->width,
                                            .outputs = outputs,
                                            .output_count = output_count };
    vitrt_output out[2] = { { 0 } };
    vitrt_session *s;
    vitrt_error err;
    assert_in_range(output_count, 1, 2);
    for (size_t i = 0; i < output_count; i++) {
        out[i].buffer = numbers + i * count;
        out[i].buffer_bytes = count * sizeof *numbers;
    }
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, image, 1, out, &err), &err);
    for (size_t i = 0; i < output_count; i++)
        assert_int_equal(out[i].offsets[1] * out[i].columns, count);
    vitrt_session_free(s);
}

/* No session in integers at this size, but one in i8. */
static void expect_refused(const vitrt_model *m, const char *output, uint32_t height, uint32_t width,
                           vitrt_status status, const char *sentence)
{
    vitrt_session_options options = { .threads = 1,
                                      .precision = VITRT_PRECISION_I8_STRICT,
                                      .height = height,
                                      .width = width,
                                      .outputs = &output,
                                      .output_count = 1 };
    vitrt_session_info info;
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    assert_int_equal(vitrt_session_create(m, &options, &s, &err), status);
    assert_null(s);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    options.precision = VITRT_PRECISION_I8;
    assert_ok(vitrt_session_measure(m, &options, &info, &err), &err);
}

static void expect_allowed(const vitrt_model *m, const char *output, uint32_t height, uint32_t width)
{
    const vitrt_session_options options = { .threads = 1,
                                            .precision = VITRT_PRECISION_I8_STRICT,
                                            .height = height,
                                            .width = width,
                                            .outputs = &output,
                                            .output_count = 1 };
    vitrt_session_info info;
    vitrt_error err;
    assert_ok(vitrt_session_measure(m, &options, &info, &err), &err);
}

static void expect_close(size_t n, const float *found, const float *wanted, double bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - (double)wanted[i]) <= bound))
            fail_msg("number %zu is %.9g, expected %.9g within %g", i, (double)found[i], (double)wanted[i], bound);
}

/* ---- Pixels ---- */

static void test_pixels_are_read_by_convolutions(void **state)
{
    static const char *const nodes[] = {
        "{\"op\":\"layer_norm\",\"name\":\"n\",\"in\":[\"x\"],\"weight\":\"scale.3\",\"bias\":\"scale.3\",\"eps\":1e-6,"
        "\"unit\":1e-3}",
        "{\"op\":\"linear\",\"name\":\"n\",\"in\":[\"x\"],\"weight\":\"i8.8x3\",\"unit\":1e-3,"
        "\"quantize\":[" CODES "]}",
        "{\"op\":\"slice\",\"name\":\"n\",\"in\":[\"x\"],\"row_count\":3}",
        "{\"op\":\"slice\",\"name\":\"n\",\"in\":[[\"x\",0,2]]}",
        "{\"op\":\"add\",\"name\":\"n\",\"in\":[\"x\",\"x\"],\"unit\":1e-3}",
        "{\"op\":\"head_combine\",\"name\":\"n\",\"in\":[\"x\",\"x\"],\"unit\":1e-3}",
        "{\"op\":\"concat\",\"name\":\"n\",\"in\":[\"x\",\"x\"],\"unit\":1e-3}",
        "{\"op\":\"pool\",\"name\":\"n\",\"in\":[\"x\"],\"unit\":1e-3}",
        "{\"op\":\"embed\",\"name\":\"n\",\"in\":[\"x\"],\"unit\":1e-3}",
        "{\"op\":\"space_to_depth\",\"name\":\"n\",\"in\":[\"x\"],\"block\":[2,2]}",
        "{\"op\":\"attention\",\"name\":\"n\",\"in\":[\"x\",\"x\",\"x\"],\"heads\":1,\"scale\":1,\"unit\":1e-3,"
        "\"quantize\":[" CODES "," CODES "," CODES "]}",
        "{\"op\":\"windows\",\"name\":\"w\",\"in\":[\"x\"],\"windows\":0},"
        "{\"op\":\"unwindows\",\"name\":\"n\",\"in\":[\"w\"]}",
        "{\"op\":\"windows\",\"name\":\"w\",\"in\":[\"x\"],\"windows\":0},"
        "{\"op\":\"layer_norm\",\"name\":\"l\",\"in\":[\"w\"],\"weight\":\"scale.3\",\"bias\":\"scale.3\",\"eps\":1e-6,"
        "\"unit\":1e-3},{\"op\":\"unwindows\",\"name\":\"n\",\"in\":[\"l\"]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        char text[2048];
        snprintf(text, sizeof text,
                 "{\"version\":2,\"size\":[8,8],\"windows\":[{\"size\":[2,2]}],\"nodes\":[{\"op\":\"input\",\"name\":"
                 "\"x\",\"unit\":1e-3}," PATCHES ",%s" OUTPUTS "\"n\":\"n\",\"p\":\"p\"}}",
                 nodes[i]);
        vitrt_model *m = open_text(text);
        expect_refused(m, "n", 0, 0, VITRT_EUNSUPPORTED, "it reads the image, as only convolutions do");
        expect_allowed(m, "p", 0, 0);
        vitrt_model_free(m);
    }
}

static void test_pixels_alone(void **state)
{
    static const char *const outputs[] = { "pixels" };
    vitrt_model *m = open_text(HEAD PATCHES OUTPUTS "\"pixels\":\"x\",\"p\":\"p\"}}");
    float pixels[8 * 8 * 3], found[8 * 8 * 3];
    const vitrt_image image = noise(m, 8, 8, pixels);
    (void)state;
    run(m, VITRT_PRECISION_I8_STRICT, &image, outputs, 1, 8 * 8 * 3, found);
    assert_memory_equal(found, pixels, sizeof found);
    vitrt_model_free(m);
}

/* ---- Biases that sums have no room for ---- */

/* A layer behind patches with codes of 0.01, and behind it GELU and a layer whose weight is 1. */
#define LAYERS                                                                                                         \
    HEAD "{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"x\"],\"weight\":\"w\",\"stride\":[2,2],\"unit\":1e-3,"           \
         "\"quantize\":[" CODES "]},{\"op\":\"linear\",\"name\":\"y\",\"in\":[\"p\"],\"weight\":\"l\",\"bias\":\"b\"," \
         "\"unit\":1e-4,\"quantize\":[" CODES "]},"                                                                    \
         "{\"op\":\"activation\",\"name\":\"g\",\"in\":[\"y\"],\"activation\":\"gelu\",\"unit\":1e-4},"                \
         "{\"op\":\"linear\",\"name\":\"z\",\"in\":[\"g\"],\"weight\":\"h\",\"unit\":1e-4,\"quantize\":[" CODES "]}"   \
    OUTPUTS "\"p\":\"p\",\"y\":\"y\",\"z\":\"z\"}}"

static vitrt_model *open_layers(const float row_scales[8], const float bias[8])
{
    static const float ones[8] = { 1, 1, 1, 1, 1, 1, 1, 1 },
                       small[8] = { .01f, .01f, .01f, .01f, .01f, .01f, .01f, .01f };
    int8_t weight[96], identity[64] = { 0 };
    for (int i = 0; i < 96; i++)
        weight[i] = (int8_t)(i * 37 % 255 - 127);
    for (int i = 0; i < 64; i += 9)
        identity[i] = 1;
    const struct tensor tensors[] = { { "w", "I8", "8,3,2,2", 96, weight },  { "w_scale", "F32", "8", 32, small },
                                      { "l", "I8", "8,8", 64, weight },      { "l_scale", "F32", "8", 32, row_scales },
                                      { "h", "I8", "8,8", 64, identity },    { "h_scale", "F32", "8", 32, ones },
                                      { "b", "F32", "8", 32, bias } };
    return open_tensors(LAYERS, tensors, sizeof tensors / sizeof *tensors);
}

/* y and z of a row of patches. */
static void wanted_of(const float *p, const float row_scales[8], const float bias[8], double y[8], double z[8])
{
    for (int j = 0; j < 8; j++) {
        double sum = 0;
        for (int i = 0; i < 8; i++) {
            const double code = rint((double)p[i] / .01) + 120;
            sum += (fmin(fmax(code, 0), 255) - 120) * ((j * 8 + i) * 37 % 255 - 127);
        }
        y[j] = sum * .01 * (double)row_scales[j] + (double)bias[j];
        z[j] = fmin(fmax(0.5 * y[j] * erfc(-y[j] * 0.70710678118654752), -1.2), 1.35);
    }
}

/* Words of 1e-4 and codes of 0.01. Codes of p that are near a tie may be one off. */
static void check_layers(const float row_scales[8], const float bias[8])
{
    static const char *const outputs[] = { "p", "y" }, *const last[] = { "z" };
    vitrt_model *m = open_layers(row_scales, bias);
    float pixels[8 * 8 * 3], found[2][16 * 8], ends[16 * 8];
    const vitrt_image image = noise(m, 8, 8, pixels);
    run(m, VITRT_PRECISION_I8_STRICT, &image, outputs, 2, 16 * 8, found[0]);
    run(m, VITRT_PRECISION_I8_STRICT, &image, last, 1, 16 * 8, ends);
    for (size_t row = 0; row < 16; row++) {
        double y[8], z[8];
        wanted_of(found[0] + row * 8, row_scales, bias, y, z);
        for (size_t j = 0; j < 8; j++) {
            const double ties = 8 * 127 * .01 * (double)row_scales[j];
            assert_true(fabs(y[j]) < 3);
            assert_true(fabs((double)found[1][row * 8 + j] - y[j]) <= ties + 1e-4);
            assert_true(fabs((double)ends[row * 8 + j] - z[j]) <= 1.13 * ties + .01 + 1e-4); /* GELU's slope */
        }
    }
    vitrt_model_free(m);
}

/* A row of zeros has a scale of next to nothing, which quantization gives it: its bias is what is left. */
static void test_rows_of_zeros(void **state)
{
    static const float scales[8] = { 1e-4f, 2e-4f, 1e-4f, 0x1p-100f, 3e-4f, 0, 1e-30f, 1e-4f },
                       bias[8] = { .5f, -.25f, 0, .75f, 1, -.5f, -.125f, .0625f };
    (void)state;
    check_layers(scales, bias);
}

/* Sums of 2^29 and more, beside which products of up to 2^18 are several words. */
static void test_biases_beyond_the_sums(void **state)
{
    static const float scales[8] = { 3e-7f, 3e-7f, 2e-7f, 3e-7f, 1e-4f, 3e-7f, 3e-7f, 3e-7f },
                       bias[8] = { 2, -2, 1.5f, 2.5f, .5f, -1.75f, -2.5f, 1.75f };
    (void)state;
    check_layers(scales, bias);
}

/* 58,800 products of -128 and 255, which leave room for less than a bias usually has. */
static void test_long_rows(void **state)
{
    enum { SIDE = 140, TERMS = SIDE * SIDE * 3 };
    static const char *const output[] = { "y" };
    static const float ones[8] = { 1e-6f, 1e-6f, 1e-6f, 1e-6f, 1e-6f, 1e-6f, 1e-6f, 1e-6f },
                       bias[8] = { -.941176f, .941176f, -.85f, .85f, 0, -1.5f, -3, 3 };
    static int8_t weight[8 * TERMS];
    static float pixels[TERMS];
    char text[1024];
    float found[8], wanted[8];
    (void)state;
    memset(weight, -128, sizeof weight);
    const struct tensor tensors[] = { { "w", "I8", "8,3,140,140", sizeof weight, weight },
                                      { "w_scale", "F32", "8", 32, ones },
                                      { "b", "F32", "8", 32, bias },
                                      { "l", "I8", "1,8", 8, weight },
                                      { "l_scale", "F32", "1", 4, ones } };
    snprintf(text, sizeof text,
             "{\"version\":2,\"size\":[%d,%d],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
             "{\"op\":\"conv2d\",\"name\":\"y\",\"in\":[\"x\"],\"weight\":\"w\",\"bias\":\"b\",\"stride\":[%d,%d],"
             "\"unit\":1e-3,\"quantize\":[{\"bits\":8,\"scale\":%.9g,\"zero_point\":0}]},"
             "{\"op\":\"activation\",\"name\":\"g\",\"in\":[\"y\"],\"activation\":\"gelu\",\"unit\":1e-3},"
             "{\"op\":\"linear\",\"name\":\"z\",\"in\":[\"g\"],\"weight\":\"l\",\"unit\":1e-3,\"quantize\":[" CODES
             "]}" OUTPUTS "\"y\":\"y\",\"z\":\"z\"}}",
             SIDE, SIDE, SIDE, SIDE, 1 / 255.0);
    vitrt_model *m = open_tensors(text, tensors, sizeof tensors / sizeof *tensors);
    vitrt_image image = noise(m, SIDE, SIDE, pixels);
    for (size_t i = 0; i < TERMS; i++)
        pixels[i] = m->preprocess.table.value[i % 3][255];
    run(m, VITRT_PRECISION_I8, &image, output, 1, 8, wanted);
    run(m, VITRT_PRECISION_I8_STRICT, &image, output, 1, 8, found);
    for (size_t j = 0; j < 8; j++)
        assert_true(fabs((double)wanted[j] - (-128e-6 * TERMS + (double)bias[j])) < 1e-5);
    expect_close(8, found, wanted, 1e-3);
    expect_refused(m, "z", 0, 0, VITRT_EFORMAT, "node y: its scales are too far apart for integers of 32 bits");
    vitrt_model_free(m);
}

/* ---- Sums over rows and columns ---- */

/* Words at their ends, as many as a sum has room for. */
static void test_means_of_many_rows(void **state)
{
    enum { HEIGHT = 510, WIDTH = 514 }; /* 65535 patches */
    static const char *const output[] = { "m" };
    static const float ends[8] = { 40, -40, 40, -40, 32.767f, -32.768f, 0, 1 },
                       wanted[8] = { 32.767f, -32.768f, 32.767f, -32.768f, 32.767f, -32.768f, 0, 1 };
    static const int8_t weight[96];
    static const float none[8];
    static float pixels[HEIGHT * WIDTH * 3];
    const struct tensor tensors[] = { { "w", "I8", "8,3,2,2", 96, weight },
                                      { "w_scale", "F32", "8", 32, none },
                                      { "b", "F32", "8", 32, ends } };
    float found[8];
    (void)state;
    vitrt_model *m = open_tensors(
        HEAD "{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"x\"],\"weight\":\"w\",\"bias\":\"b\",\"stride\":[2,2],"
             "\"unit\":1e-3,\"quantize\":[" CODES "]},{\"op\":\"pool\",\"name\":\"m\",\"in\":[\"p\"],\"unit\":1e-3}"
        OUTPUTS "\"p\":\"p\",\"m\":\"m\"}}",
        tensors, sizeof tensors / sizeof *tensors);
    const vitrt_image image = noise(m, HEIGHT, WIDTH, pixels);
    run(m, VITRT_PRECISION_I8_STRICT, &image, output, 1, 8, found);
    expect_close(8, found, wanted, 1e-5);
    expect_refused(m, "m", 512, 512, VITRT_EUNSUPPORTED, "node m has no integer-only form: sums over so many rows");
    expect_allowed(m, "p", 512, 512);
    vitrt_model_free(m);
}

static void test_norms_of_many_columns(void **state)
{
    enum { MOST = 65600 };
    static const int8_t weight[96];
    static float numbers[MOST];
    const struct tensor tensors[] = { { "w", "I8", "8,3,2,2", 96, weight },
                                      { "w_scale", "F32", "8", 32, numbers },
                                      { "less", "F32", "65536", 65536 * 4, numbers },
                                      { "more", "F32", "65600", 65600 * 4, numbers } };
    vitrt_model *m = open_tensors(
        HEAD "{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"x\"],\"weight\":\"w\",\"stride\":[2,2],\"unit\":1e-3,"
             "\"quantize\":[" CODES "]},"
             "{\"op\":\"space_to_depth\",\"name\":\"a\",\"in\":[\"p\"],\"block\":[1,8192]},"
             "{\"op\":\"space_to_depth\",\"name\":\"b\",\"in\":[\"p\"],\"block\":[1,8200]},"
             "{\"op\":\"layer_norm\",\"name\":\"less\",\"in\":[\"a\"],\"weight\":\"less\",\"bias\":\"less\",\"eps\":"
             "1e-6,\"unit\":1e-3},{\"op\":\"layer_norm\",\"name\":\"more\",\"in\":[\"b\"],\"weight\":\"more\","
             "\"bias\":\"more\",\"eps\":1e-6,\"unit\":1e-3}" OUTPUTS "\"less\":\"less\",\"more\":\"more\"}}",
        tensors, sizeof tensors / sizeof *tensors);
    (void)state;
    expect_refused(m, "more", 0, 0, VITRT_EUNSUPPORTED,
                   "node more has no integer-only form: sums over so many columns");
    expect_allowed(m, "less", 0, 0);
    vitrt_model_free(m);
}

/* ---- Scores ---- */

#define ATTENTION(name, in)                                                                                            \
    "{\"op\":\"attention\",\"name\":\"" name "\",\"in\":[\"" in "\",\"" in "\",\"" in "\"],\"heads\":1,"               \
    "\"scale\":0.5,\"unit\":1e-3,\"quantize\":[" CODES "," CODES "," CODES "]}"

/* A bound of 2^30 for scores of so many columns, and 2^28 for a mask or bias. */
static void test_wide_heads(void **state)
{
    vitrt_model *m = open_text(
        "{\"version\":2,\"size\":[8,8],\"windows\":[{\"size\":[2,2]}],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
        PATCHES ",{\"op\":\"space_to_depth\",\"name\":\"less\",\"in\":[\"p\"],\"block\":[1,3084]},"
        "{\"op\":\"space_to_depth\",\"name\":\"more\",\"in\":[\"p\"],\"block\":[1,3085]},"
        "{\"op\":\"windows\",\"name\":\"v\",\"in\":[\"less\"],\"windows\":0},"
        "{\"op\":\"windows\",\"name\":\"w\",\"in\":[\"more\"],\"windows\":0},"
        ATTENTION("a", "v") "," ATTENTION("b", "w") "," ATTENTION("c", "more") ","
        "{\"op\":\"unwindows\",\"name\":\"d\",\"in\":[\"a\"]},{\"op\":\"unwindows\",\"name\":\"e\",\"in\":[\"b\"]}"
        OUTPUTS "\"d\":\"d\",\"e\":\"e\",\"c\":\"c\"}}");
    (void)state;
    expect_refused(m, "e", 0, 0, VITRT_EUNSUPPORTED, "node b has no integer-only form: scores of heads with so many");
    expect_allowed(m, "d", 0, 0);
    expect_allowed(m, "c", 0, 0);
    vitrt_model_free(m);
}

static void run_mask(const char *mask, float in_codes[16 * 8], float in_integers[16 * 8])
{
    static const char *const output[] = { "u" };
    char text[2048];
    float pixels[8 * 8 * 3];
    snprintf(text, sizeof text,
             "{\"version\":2,\"size\":[8,8],\"windows\":[{\"size\":[2,2],\"shift\":[1,1],\"mask\":%s}],\"nodes\":"
             "[{\"op\":\"input\",\"name\":\"x\"}," PATCHES ",{\"op\":\"windows\",\"name\":\"w\",\"in\":[\"p\"],"
             "\"windows\":0}," ATTENTION("a", "w") ",{\"op\":\"unwindows\",\"name\":\"u\",\"in\":[\"a\"]}" OUTPUTS
             "\"u\":\"u\"}}",
             mask);
    vitrt_model *m = open_text(text);
    const vitrt_image image = noise(m, 8, 8, pixels);
    run(m, VITRT_PRECISION_I8, &image, output, 1, 16 * 8, in_codes);
    run(m, VITRT_PRECISION_I8_STRICT, &image, output, 1, 16 * 8, in_integers);
    vitrt_model_free(m);
}

/* Of a mask of either sign so much counts as scores have room for, which leaves nothing else to attend to. */
static void test_masks(void **state)
{
    static const char *const usual[] = { "1e4", "-1e4" }, *const huge[] = { "3e38", "-3e38" };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        float wanted[16 * 8], codes[16 * 8], found[16 * 8];
        run_mask(usual[i], codes, wanted);
        expect_close(16 * 8, wanted, codes, .01 + 1e-3); /* a code and a word */
        run_mask(huge[i], codes, found);
        assert_memory_equal(found, wanted, sizeof found);
    }
}

/* ---- Positions ---- */

/* Two embeddings with units of their own read the same table. */
static void test_shared_positions(void **state)
{
    static const char *const outputs[] = { "a", "b" };
    vitrt_model *m = open_text(
        HEAD PATCHES ",{\"op\":\"positions\",\"name\":\"t\",\"in\":[\"p\"],\"weight\":\"f32.1x16x8\",\"grid\":[4,4],"
                     "\"filter\":\"bicubic\"},"
                     "{\"op\":\"embed\",\"name\":\"a\",\"in\":[\"p\",\"t\"],\"unit\":1e-2},"
                     "{\"op\":\"embed\",\"name\":\"b\",\"in\":[\"p\",\"t\"],\"unit\":1e-3}"
        OUTPUTS "\"a\":\"a\",\"b\":\"b\"}}");
    float pixels[8 * 8 * 3], found[2][16 * 8], wanted[2][16 * 8];
    const vitrt_image image = noise(m, 8, 8, pixels);
    (void)state;
    for (size_t n = 1; n <= 2; n++) {
        run(m, VITRT_PRECISION_I8, &image, outputs + 2 - n, n, 16 * 8, wanted[2 - n]);
        run(m, VITRT_PRECISION_I8_STRICT, &image, outputs + 2 - n, n, 16 * 8, found[2 - n]);
        for (size_t i = 2 - n; i < 2; i++) /* a word of p, and halves of positions and sum */
            expect_close(16 * 8, found[i], wanted[i], 1e-3 + (i ? 1e-3 : 1e-2));
    }
    vitrt_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels_are_read_by_convolutions),
        cmocka_unit_test(test_pixels_alone),
        cmocka_unit_test(test_rows_of_zeros),
        cmocka_unit_test(test_biases_beyond_the_sums),
        cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_means_of_many_rows),
        cmocka_unit_test(test_norms_of_many_columns),
        cmocka_unit_test(test_wide_heads),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_shared_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
