/* SPDX-License-Identifier: Apache-2.0 */
/* Maps of classes through sessions: upsample and argmax, and DToP's rows that leave once their class is sure (spec 3.2,
 * T5), against slow references. Pixels stand for the logits of three classes. */
#include "graph_text.h"
#include "temp_folder.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 3, MOST_PIXELS = 64, MOST_IMAGES = 2, MOST_OUTPUTS = 4 };

/* A session of a graph for images of one size, and what it answers. */
struct run {
    struct counting counting;
    vitrt_model *model;
    vitrt_session *session;
    vitrt_output out[MOST_OUTPUTS];
};

static void run_graph(struct run *r, const char *text, const char *const *outputs, size_t output_count,
                      int32_t threads, uint32_t height, uint32_t width, float *const *pixels, size_t images)
{
    struct graph g;
    vitrt_error err;
    vitrt_image image[MOST_IMAGES];
    const vitrt_session_options options = { .threads = threads,
                                            .height = height,
                                            .width = width,
                                            .max_batch = MOST_IMAGES,
                                            .outputs = outputs,
                                            .output_count = output_count };
    memset(r->out, 0, sizeof r->out);
    strcpy(g.text, text);
    assert_ok(graph_open(&g, &r->counting, &r->model, &err), &err);
    assert_ok(vitrt_session_create(r->model, &options, &r->session, &err), &err);
    for (size_t i = 0; i < images; i++)
        image[i] = (vitrt_image){ .data = pixels[i], .width = width, .height = height, .format = VITRT_FORMAT_F32 };
    assert_ok(vitrt_run(r->session, image, images, r->out, &err), &err);
}

static void run_end(struct run *r)
{
    vitrt_session_free(r->session);
    vitrt_model_free(r->model);
    assert_int_equal(r->counting.live, 0);
}

static const float *rows_of(const struct run *r, size_t output, size_t image)
{
    return (const float *)r->out[output].data + r->out[output].offsets[image] * r->out[output].columns;
}

static size_t row_count(const struct run *r, size_t output, size_t image)
{
    return r->out[output].offsets[image + 1] - r->out[output].offsets[image];
}

/* ---- upsample and argmax ---- */

/* PyTorch's interpolate(mode="bilinear", align_corners=False), in double. */
static double bilinear(const float *x, const size_t from[2], const size_t to[2], size_t columns, size_t row, size_t k)
{
    const size_t at[2] = { row / to[1], row % to[1] };
    size_t first[2], second[2];
    double part[2];
    for (int i = 0; i < 2; i++) {
        const double p = fmax(((double)at[i] + 0.5) * (double)from[i] / (double)to[i] - 0.5, 0);
        first[i] = (size_t)p;
        second[i] = first[i] + 1 < from[i] ? first[i] + 1 : first[i];
        part[i] = p - (double)first[i];
    }
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        const size_t y = i & 2 ? second[0] : first[0], z = i & 1 ? second[1] : first[1];
        sum += (i & 2 ? part[0] : 1 - part[0]) * (i & 1 ? part[1] : 1 - part[1]) *
               (double)x[(y * from[1] + z) * columns + k];
    }
    return sum;
}

/* Eight roundings, of weights and of products of numbers up to the largest. */
static void expect_upsampled(const float *found, const float *x, const size_t from[2], const size_t to[2],
                             size_t columns)
{
    double largest = 0;
    for (size_t i = 0; i < from[0] * from[1] * columns; i++)
        if (fabs((double)x[i]) > largest) /* no fmax: gcc 12 for AArch64 fails at that */
            largest = fabs((double)x[i]);
    for (size_t i = 0; i < to[0] * to[1]; i++)
        for (size_t k = 0; k < columns; k++)
            assert_true(fabs((double)found[i * columns + k] - bilinear(x, from, to, columns, i, k)) <=
                        8 * (double)(FLT_EPSILON / 2) * largest);
}

static void expect_argmax(const float *found, const float *x, size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows; i++) {
        size_t best = 0;
        for (size_t k = 1; k < columns; k++)
            best = x[i * columns + k] > x[i * columns + best] ? k : best;
        assert_true(found[i] == (float)best);
    }
}

static void test_upsample(void **state)
{
    static const char text[] = "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                               "{\"op\":\"conv2d\",\"name\":\"c\",\"in\":[\"x\"],"
                               "\"weight\":\"f32.8x3x2x2\",\"stride\":[2,2]},"
                               "{\"op\":\"upsample\",\"name\":\"u\",\"in\":[\"c\"]},"
                               "{\"op\":\"argmax\",\"name\":\"a\",\"in\":[\"u\"]},"
                               "{\"op\":\"upsample\",\"name\":\"s\",\"in\":[[\"c\",3,2]],\"factor\":[5,1]}],"
                               "\"outputs\":{\"c\":\"c\",\"u\":\"u\",\"a\":\"a\",\"s\":\"s\"}}";
    static const char *const names[] = { "c", "u", "a", "s" };
    static const size_t sizes[][2] = { { 8, 8 }, { 7, 5 }, { 2, 3 }, { 9, 2 } };
    float first[MOST_PIXELS * CLASSES], second[MOST_PIXELS * CLASSES], *pixels[] = { first, second };
    (void)state;
    graph_noise(1, first);
    graph_noise(2, second);
    for (size_t i = 0; i < 4 * 3; i++) {
        const size_t *to = sizes[i / 3], from[2] = { to[0] / 2, to[1] / 2 }, five[2] = { 5 * from[0], from[1] };
        struct run r;
        run_graph(&r, text, names, 4, (int32_t)(i % 3) + 1, (uint32_t)to[0], (uint32_t)to[1], pixels, 2);
        for (size_t image = 0; image < 2; image++) {
            const float *c = rows_of(&r, 0, image), *u = rows_of(&r, 1, image);
            float some[MOST_PIXELS / 2 * 2];
            for (size_t k = 0; k < from[0] * from[1]; k++)
                memcpy(some + 2 * k, c + 8 * k + 3, 2 * sizeof *some);
            assert_int_equal(row_count(&r, 1, image), to[0] * to[1]);
            expect_upsampled(u, c, from, to, 8);
            expect_argmax(rows_of(&r, 2, image), u, to[0] * to[1], 8);
            assert_int_equal(row_count(&r, 3, image), five[0] * five[1]);
            expect_upsampled(rows_of(&r, 3, image), some, from, five, 2);
        }
        run_end(&r);
    }
}

/* Of equal columns the first. */
static void test_argmax_of_equals(void **state)
{
    static const char text[] = "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                               "{\"op\":\"concat\",\"name\":\"two\",\"in\":[\"x\",\"x\"]},"
                               "{\"op\":\"concat\",\"name\":\"four\",\"in\":[\"two\",\"two\"]},"
                               "{\"op\":\"concat\",\"name\":\"many\",\"in\":[\"four\",\"four\"]},"
                               "{\"op\":\"argmax\",\"name\":\"a\",\"in\":[\"many\"]},"
                               "{\"op\":\"argmax\",\"name\":\"b\",\"in\":[[\"many\",1,2]]}],"
                               "\"outputs\":{\"a\":\"a\",\"b\":\"b\"}}";
    static const char *const names[] = { "a", "b" };
    float first[] = { 0, 1, 2, 2, 2, 2, 1, -1, -1, -1, -0.0f, 0 }, *pixels[] = { first };
    static const float a[] = { 2, 0, 0, 1 }, b[] = { 1, 0, 0, 0 };
    struct run r;
    (void)state;
    run_graph(&r, text, names, 2, 1, 2, 2, pixels, 1);
    assert_memory_equal(rows_of(&r, 0, 0), a, sizeof a);
    assert_memory_equal(rows_of(&r, 1, 0), b, sizeof b);
    run_end(&r);
}

/* ---- Rows that leave ---- */

/* Pixels are logits; those that stay are doubled behind the map, the others are on the canvas as they were. */
static void leave(struct run *r, double threshold, unsigned context, unsigned protect, int32_t threads,
                  uint32_t height, uint32_t width, float *const *pixels, size_t images)
{
    static const char *const names[] = { "canvas", "left" };
    char text[1024];
    snprintf(text, sizeof text,
             "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
             "{\"op\":\"select\",\"name\":\"s\",\"in\":[\"x\"],\"by\":\"unsure\",\"threshold\":%.9g,\"context\":%u,"
             "\"protect\":%u},{\"op\":\"apply\",\"name\":\"left\",\"in\":[\"x\",\"s\"]},"
             "{\"op\":\"add\",\"name\":\"twice\",\"in\":[\"left\",\"left\"]},"
             "{\"op\":\"scatter\",\"name\":\"canvas\",\"in\":[\"twice\",\"s\",\"x\"]}],"
             "\"outputs\":{\"canvas\":\"canvas\",\"left\":\"left\"}}",
             threshold, context, protect);
    run_graph(r, text, names, 2, threads, height, width, pixels, images);
}

/* stay: a bit for each row, the first one lowest. */
static void expect_left(const struct run *r, size_t image, const float *x, size_t rows, uint64_t stay)
{
    const float *canvas = rows_of(r, 0, image), *left = rows_of(r, 1, image);
    size_t count = 0;
    for (size_t i = 0; i < rows; i++) {
        const bool stays = stay >> i & 1;
        for (size_t k = 0; k < CLASSES; k++) {
            assert_true(canvas[i * CLASSES + k] == (stays ? 2 : 1) * x[i * CLASSES + k]);
            if (stays)
                assert_true(left[count * CLASSES + k] == x[i * CLASSES + k]);
        }
        count += stays;
    }
    assert_int_equal(row_count(r, 1, image), count);
}

/* Logits of which the class has that probability and the others the same one. */
static void put_logits(float *x, float probability, size_t class_of)
{
    memset(x, 0, CLASSES * sizeof *x);
    x[class_of] = (float)log((CLASSES - 1) * (double)probability / (1 - (double)probability));
}

static void test_t5a(void **state)
{
    static const float value[8] = { 0.99f, 0.97f, 0.95f, 0.91f, 0.899f, 0.60f, 0.98f, 0.93f };
    static const size_t class_of[8] = { 0, 0, 0, 1, 1, 2, 0, 1 };
    static const struct {
        double threshold;
        unsigned context, leave;
    } cases[] = { { 0.9, 2, 1 << 1 | 1 << 2 },
                  { 0.9, 1, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 },
                  { 0.9, 5, 0 },
                  { 0.9, 0, 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7 },
                  { 1, 0, 0 },
                  { 0, 0, 0xff } };
    float x[8 * CLASSES], *pixels[] = { x };
    (void)state;
    for (size_t i = 0; i < 8; i++)
        put_logits(x + i * CLASSES, value[i], class_of[i]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r;
        leave(&r, cases[i].threshold, cases[i].context, 0, 1, 1, 8, pixels, 1);
        expect_left(&r, 0, x, 8, ~(uint64_t)cases[i].leave);
        run_end(&r);
    }
}

/* T5b's values and classes: the row that leaves keeps its early numbers, the others get those of the second head. */
static void test_t5b(void **state)
{
    static const float value[4] = { 0.935441f, 0.907397f, 0.643914f, 0.476287f };
    static const size_t class_of[4] = { 0, 0, 1, 0 };
    float x[4 * CLASSES], *pixels[] = { x };
    struct run r;
    (void)state;
    for (size_t i = 0; i < 4; i++)
        put_logits(x + i * CLASSES, value[i], class_of[i]);
    leave(&r, 0.9, 1, 0, 1, 2, 2, pixels, 1);
    expect_left(&r, 0, x, 4, 0xd);
    run_end(&r);
}

/* The rule by counting, in double; false: too close to call. */
static bool which_stay(const float *x, size_t rows, double threshold, size_t context, size_t protect, uint64_t *stay)
{
    double sure[MOST_PIXELS];
    size_t class_of[MOST_PIXELS];
    *stay = 0;
    for (size_t i = 0; i < rows; i++) {
        double sum = 0;
        class_of[i] = 0;
        for (size_t k = 1; k < CLASSES; k++)
            class_of[i] = x[i * CLASSES + k] > x[i * CLASSES + class_of[i]] ? k : class_of[i];
        for (size_t k = 0; k < CLASSES; k++)
            sum += exp((double)x[i * CLASSES + k] - (double)x[i * CLASSES + class_of[i]]);
        sure[i] = 1 / sum;
        if (fabs(sure[i] - threshold) < 1e-6)
            return false;
    }
    for (size_t i = 0; i < rows; i++) {
        size_t surer = 0;
        for (size_t k = protect; k < rows; k++) {
            if (k != i && class_of[k] == class_of[i] && fabs(sure[k] - sure[i]) < 1e-6)
                return false;
            surer += class_of[k] == class_of[i] && sure[k] > sure[i];
        }
        if (i < protect || sure[i] <= threshold || surer < context)
            *stay |= (uint64_t)1 << i;
    }
    return true;
}

static void test_random(void **state)
{
    static const double thresholds[] = { 0.4, 0.6, 0.8, 0.95 };
    size_t compared = 0;
    (void)state;
    for (uint32_t seed = 0; seed < 96; seed++) {
        float x[2][MOST_PIXELS * CLASSES], *pixels[] = { x[0], x[1] };
        const double threshold = thresholds[seed % 4];
        const unsigned context = seed % 3 * 3, protect = seed % 2 * 5;
        uint64_t stay[2];
        struct run r;
        bool clear = true;
        for (size_t i = 0; i < 2; i++) {
            graph_noise(seed + 1000 * (uint32_t)i, x[i]);
            for (size_t k = 0; k < MOST_PIXELS * CLASSES; k++)
                x[i][k] *= 4;
            clear = which_stay(x[i], MOST_PIXELS, threshold, context, protect, &stay[i]) && clear;
        }
        if (!clear)
            continue;
        leave(&r, threshold, context, protect, (int32_t)(seed % 3) + 1, 8, 8, pixels, 2);
        for (size_t i = 0; i < 2; i++)
            expect_left(&r, i, x[i], MOST_PIXELS, stay[i]);
        run_end(&r);
        compared++;
    }
    assert_in_range(compared, 80, 96);
}

/* A NaN is not sure of anything. */
static void test_not_a_number(void **state)
{
    float x[4 * CLASSES], *pixels[] = { x };
    struct run r;
    (void)state;
    for (size_t i = 0; i < 4; i++)
        put_logits(x + i * CLASSES, 0.99f, 1);
    for (size_t i = 0; i < 3; i++)
        x[i * CLASSES + i] = FLT_MAX; /* differences overflow */
    leave(&r, 0.5, 0, 0, 1, 2, 2, pixels, 1);
    expect_left(&r, 0, x, 4, 0);
    run_end(&r);
}

/* No row at all is left of an image, and all of the one beside it: everything behind works on nothing. */
static void test_none_left(void **state)
{
    static const char text[] =
        "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
        "{\"op\":\"linear\",\"name\":\"wide\",\"in\":[\"x\"],\"weight\":\"f32.8x3\"},"
        "{\"op\":\"select\",\"name\":\"s\",\"in\":[\"x\"],\"by\":\"unsure\",\"threshold\":0.9,\"context\":0},"
        "{\"op\":\"apply\",\"name\":\"left\",\"in\":[\"wide\",\"s\"]},"
        "{\"op\":\"layer_norm\",\"name\":\"n\",\"in\":[\"left\"],\"weight\":\"f32.8\",\"bias\":\"f32.8\",\"eps\":1e-6},"
        "{\"op\":\"linear\",\"name\":\"qkv\",\"in\":[\"n\"],\"weight\":\"f32.24x8\"},"
        "{\"op\":\"attention\",\"name\":\"a\",\"in\":[[\"qkv\",0,8],[\"qkv\",8,8],[\"qkv\",16,8]],\"heads\":2,"
        "\"scale\":0.5},"
        "{\"op\":\"attention_scores\",\"name\":\"sums\",\"in\":[\"a\"],\"scores\":\"column_sums\"},"
        "{\"op\":\"token_score\",\"name\":\"mean\",\"in\":[\"sums\"],\"score\":\"mean\"},"
        "{\"op\":\"add\",\"name\":\"mid\",\"in\":[\"left\",\"a\"]},"
        "{\"op\":\"select\",\"name\":\"t\",\"in\":[\"mean\"],\"by\":\"top\",\"keep\":0.5},"
        "{\"op\":\"apply\",\"name\":\"fewer\",\"in\":[\"mid\",\"t\"]},"
        "{\"op\":\"activation\",\"name\":\"g\",\"in\":[\"fewer\"],\"activation\":\"gelu\"},"
        "{\"op\":\"pool\",\"name\":\"p\",\"in\":[\"g\"]},"
        "{\"op\":\"scatter\",\"name\":\"back\",\"in\":[\"g\",\"t\",\"mid\"]},"
        "{\"op\":\"scatter\",\"name\":\"canvas\",\"in\":[\"back\",\"s\",\"wide\"]},"
        "{\"op\":\"upsample\",\"name\":\"u\",\"in\":[\"canvas\"],\"factor\":[2,2]},"
        "{\"op\":\"argmax\",\"name\":\"m\",\"in\":[\"u\"]}],"
        "\"outputs\":{\"p\":\"p\",\"canvas\":\"canvas\",\"wide\":\"wide\",\"m\":\"m\"}}";
    static const char *const names[] = { "p", "canvas", "wide", "m" };
    float sure[MOST_PIXELS * CLASSES], unsure[MOST_PIXELS * CLASSES];
    (void)state;
    graph_noise(3, unsure);
    for (size_t i = 0; i < MOST_PIXELS; i++)
        put_logits(sure + i * CLASSES, 0.95f, i % CLASSES);
    for (size_t i = 0; i < 2 * 3; i++) {
        float *pixels[] = { i % 2 ? sure : unsure, i % 2 ? unsure : sure };
        const size_t none = 1 - i % 2, some = i % 2;
        struct run r, alone;
        run_graph(&r, text, names, 4, (int32_t)(i / 2) + 1, 8, 8, pixels, 2);
        run_graph(&alone, text, names, 4, 1, 8, 8, (float *[]){ unsure }, 1);
        for (size_t k = 0; k < 8; k++)
            assert_true(rows_of(&r, 0, none)[k] == 0);
        assert_memory_equal(rows_of(&r, 1, none), rows_of(&r, 2, none), MOST_PIXELS * 8 * sizeof(float));
        assert_memory_equal(rows_of(&r, 0, some), rows_of(&alone, 0, 0), 8 * sizeof(float));
        assert_memory_equal(rows_of(&r, 1, some), rows_of(&alone, 1, 0), MOST_PIXELS * 8 * sizeof(float));
        assert_int_equal(row_count(&r, 3, none), 4 * MOST_PIXELS);
        run_end(&alone);
        run_end(&r);
    }
}

/* A saved graph says the same again, and what is usual is not said. */
static void test_saved(void **state)
{
    struct graph g = graph_load("classes");
    struct counting counting;
    vitrt_model *m, *again;
    vitrt_error err;
    const char *path = in_folder("model.safetensors");
    (void)state;
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    assert_ok(vitrt_model_save(m, path, &err), &err);
    struct bytes file = read_file(path);
    char *text = calloc(1, file.size + 1);
    assert_non_null(text);
    for (size_t i = 8; i < file.size; i++) /* a text up to the first 0, which is behind the header */
        text[i - 8] = file.data[i];
    static const char *const said[] = { "{\\\"version\\\":3,", "\\\"by\\\":\\\"unsure\\\"", "\\\"threshold\\\":0.5",
                                        "\\\"context\\\":1", "\\\"factor\\\":[3,2]", "\\\"op\\\":\\\"argmax\\\"" };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        assert_non_null(strstr(text, said[i]));
    assert_null(strstr(text, "\\\"factor\\\":[0,0]"));
    assert_ok(vitrt_model_open(path, NULL, &again, &err), &err);
    free(text);
    free(file.data);
    vitrt_model_free(again);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upsample),     cmocka_unit_test(test_argmax_of_equals),
        cmocka_unit_test(test_t5a),          cmocka_unit_test(test_t5b),
        cmocka_unit_test(test_random),       cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_none_left),    cmocka_unit_test(test_saved),
    };
    return cmocka_run_group_tests(tests, temp_folder_make, temp_folder_remove);
}
