/* SPDX-License-Identifier: Apache-2.0 */
/* vitrt_model_quantize as it is called: what it refuses, where images come from, what stays in floats, every allocation
 * may fail. */
#include "graph_text.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_refused(const vitrt_model *m, const vitrt_quantize_options *o, vitrt_status status,
                           const char *sentence)
{
    vitrt_model *out = (vitrt_model *)m;
    vitrt_error err = { 0 };
    const vitrt_status st = vitrt_model_quantize(m, o, &out, &err);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    assert_int_equal(st, status);
    assert_int_equal(err.status, status);
    assert_null(out);
}

static vitrt_status no_image(void *user, size_t i, vitrt_image *image, vitrt_error *err)
{
    (void)user;
    (void)image;
    assert_in_range(i, 0, 1);
    *err = (vitrt_error){ .status = VITRT_EIO, .message = "the camera is off" };
    return i ? VITRT_EIO : VITRT_OK;
}

static void test_bad_options(void **state)
{
    const struct graph g = graph_load("vit");
    float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image image = graph_noise(1, pixels), nothing = { 0 };
    const vitrt_quantize_options good = { .images = &image, .image_count = 1 };
    struct counting counting;
    vitrt_model *m, *quantized;
    vitrt_error err;
    (void)state;
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    assert_ok(vitrt_model_quantize(m, &good, &quantized, &err), &err); /* m keeps its packed weights from now on */
    expect_refused(quantized, &good, VITRT_EINVAL, "the model is quantized already");
    vitrt_model_free(quantized);
    const size_t live = counting.live;
    assert_int_equal(vitrt_model_quantize(m, &good, NULL, &err), VITRT_EINVAL);
    expect_refused(NULL, &good, VITRT_EINVAL, "the model is NULL");
    expect_refused(m, NULL, VITRT_EINVAL, "there are no calibration images");
#define REFUSED(status, sentence, ...)                                                                                 \
    do {                                                                                                               \
        vitrt_quantize_options o = good;                                                                               \
        __VA_ARGS__;                                                                                                   \
        expect_refused(m, &o, status, sentence);                                                                       \
    } while (0)
    REFUSED(VITRT_EINVAL, "there are no calibration images", o.image_count = 0);
    REFUSED(VITRT_EINVAL, "there are no calibration images", o.images = NULL);
    REFUSED(VITRT_EINVAL, "as an array and by a function", o.read_image = no_image);
    REFUSED(VITRT_EINVAL, "codes of 1 bits for weights", o.weight_bits = 1);
    REFUSED(VITRT_EINVAL, "codes of 9 bits for weights", o.weight_bits = 9);
    REFUSED(VITRT_EINVAL, "and 1 for activations, expected 2 to 8", o.activation_bits = 1);
    REFUSED(VITRT_EINVAL, "and 9 for activations, expected 2 to 8", o.activation_bits = 9);
    REFUSED(VITRT_EINVAL, "unknown flags", o.flags = 1u << 31);
    REFUSED(VITRT_EINVAL, "reserved members", o.reserved[7] = m);
    REFUSED(VITRT_EINVAL, "-1 threads", o.threads = -1);
    REFUSED(VITRT_EINVAL, "both sides or neither", o.height = GRAPH_SIDE);
    REFUSED(VITRT_EIMAGE, "image 0", o.images = &nothing);
#undef REFUSED
    assert_int_equal(counting.live, live);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_bad_images(void **state)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY };
    const struct graph g = graph_load("vit");
    float pixels[2][GRAPH_SIDE * GRAPH_SIDE * 3];
    vitrt_image images[2] = { graph_noise(1, pixels[0]), graph_noise(2, pixels[1]) };
    const vitrt_quantize_options o = { .images = images, .image_count = 2 };
    struct counting counting;
    vitrt_model *m, *quantized;
    vitrt_error err;
    (void)state;
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        pixels[1][100] = odd[i];
        expect_refused(m, &o, VITRT_EIMAGE, "is not a finite number");
    }
    for (size_t i = 0; i < GRAPH_SIDE * GRAPH_SIDE * 3; i++) /* good numbers whose products are not */
        pixels[1][i] = i % 5 ? 3e38f : -3e38f;
    expect_refused(m, &o, VITRT_EINVAL, "was NaN or infinite for a calibration image");
    for (size_t i = 0; i < GRAPH_SIDE * GRAPH_SIDE * 3; i++)
        pixels[0][i] = pixels[1][i] = (float)(i % 3);
    expect_refused(m, &o, VITRT_EINVAL, "the calibration images are blank");
    graph_noise(2, pixels[1]); /* one of them may be */
    assert_ok(vitrt_model_quantize(m, &o, &quantized, &err), &err);
    vitrt_model_free(quantized);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

struct reading {
    float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
    size_t reads, releases, steps, quantized;
};

static vitrt_status read_noise(void *user, size_t i, vitrt_image *image, vitrt_error *err)
{
    struct reading *r = user;
    (void)err;
    assert_int_equal(r->reads++, r->releases);
    *image = graph_noise((uint32_t)i + 1, r->pixels);
    return VITRT_OK;
}

static void release_noise(void *user, vitrt_image *image)
{
    struct reading *r = user;
    assert_ptr_equal(image->data, r->pixels);
    r->releases++;
}

static void count_progress(void *user, const char *what, size_t done, size_t total)
{
    struct reading *r = user;
    assert_true(what && *what && done >= 1 && done <= total);
    r->quantized += !strcmp(what, "quantize");
    r->steps++;
}

static void expect_same_answers(const vitrt_model *a, const vitrt_model *b, const vitrt_image *image)
{
    const vitrt_model *const both[2] = { a, b };
    float answers[2][GRAPH_SIDE * GRAPH_SIDE * 8];
    memset(answers, 0, sizeof answers);
    for (int i = 0; i < 2; i++) {
        vitrt_output out = { .buffer = answers[i], .buffer_bytes = sizeof *answers };
        vitrt_session *s;
        vitrt_error err;
        assert_ok(vitrt_session_create(both[i], NULL, &s, &err), &err);
        assert_ok(vitrt_run(s, image, 1, &out, &err), &err);
        vitrt_session_free(s);
    }
    assert_memory_equal(answers[0], answers[1], sizeof *answers);
}

/* How often each image is read: twice, and for every node but the first one again where they are quantized in turn. */
static size_t passes_of(const vitrt_model *quantized, uint32_t flags)
{
    size_t nodes = 0;
    for (size_t v = 0; v < quantized->graph.node_count; v++)
        nodes += vt_is_quantized(&quantized->graph.nodes[v]);
    return flags & VITRT_QUANTIZE_SEQUENTIAL ? 2 * nodes : 2;
}

/* The same model whether images come as an array or one by one. */
static void test_images_by_a_function(void **state)
{
    const struct graph g = graph_load("windows");
    float pixels[3][GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image images[3] = { graph_noise(1, pixels[0]), graph_noise(2, pixels[1]), graph_noise(3, pixels[2]) };
    (void)state;
    static const uint32_t ways[] = { 0, VITRT_QUANTIZE_PERCENTILES, VITRT_QUANTIZE_SEQUENTIAL };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const uint32_t flags = ways[i];
        struct reading r = { .reads = 0 };
        const vitrt_quantize_options array = { .images = images, .image_count = 3, .flags = flags };
        const vitrt_quantize_options function = { .read_image = read_noise,
                                                  .release_image = release_noise,
                                                  .progress = count_progress,
                                                  .user = &r,
                                                  .image_count = 3,
                                                  .flags = flags };
        vitrt_quantize_options broken = function;
        struct counting counting;
        vitrt_model *m, *a, *b;
        vitrt_error err;
        assert_ok(graph_open(&g, &counting, &m, &err), &err);
        assert_ok(vitrt_model_quantize(m, &array, &a, &err), &err);
        assert_ok(vitrt_model_quantize(m, &function, &b, &err), &err);
        assert_int_equal(r.reads, 3 * passes_of(b, flags));
        assert_int_equal(r.releases, r.reads);
        assert_int_equal(r.steps, 3 + 3 + r.quantized);
        assert_true(r.quantized > 3);
        expect_same_answers(a, b, &images[0]);
        vitrt_model_free(b);
        vitrt_model_free(a);
        broken.read_image = no_image;
        broken.release_image = NULL;
        broken.images = NULL;
        const vitrt_status st = vitrt_model_quantize(m, &broken, &a, &err);
        assert_true(st == VITRT_EIO || st == VITRT_EIMAGE); /* its first "image" is none */
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

/* Layers that share a weight stay as they are; without any other there is nothing to do. */
static void test_shared_weights(void **state)
{
    struct graph g;
    float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image image = graph_noise(1, pixels);
    const vitrt_quantize_options o = { .images = &image, .image_count = 1 };
    struct counting counting;
    vitrt_model *m, *quantized;
    vitrt_error err;
    (void)state;
    strcpy(g.text, "{\"version\":1,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                   "{\"op\":\"linear\",\"name\":\"a\",\"in\":[\"x\"],\"weight\":\"f32.8x3\"},"
                   "{\"op\":\"linear\",\"name\":\"b\",\"in\":[\"a\"],\"weight\":\"f32.8x8\"},"
                   "{\"op\":\"linear\",\"name\":\"c\",\"in\":[\"b\"],\"weight\":\"f32.8x8\"}],"
                   "\"outputs\":{\"y\":\"c\"}}");
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    assert_ok(vitrt_model_quantize(m, &o, &quantized, &err), &err);
    for (size_t v = 0; v < quantized->graph.node_count; v++)
        assert_int_equal(vt_is_quantized(&quantized->graph.nodes[v]), v == 1);
    vitrt_model_free(quantized);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
    strcpy(g.text, "{\"version\":1,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                   "{\"op\":\"pool\",\"name\":\"p\",\"in\":[\"x\"]}],\"outputs\":{\"y\":\"p\"}}");
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    expect_refused(m, &o, VITRT_EINVAL, "the model has no product that could be quantized");
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* ---- Every allocation may fail ---- */

/* Of quantizing, of a session and of a run, which makes none. */
static vitrt_status quantize_and_run(const vitrt_model *m, const vitrt_quantize_options *o)
{
    const vitrt_session_options options = { .threads = 2, .precision = VITRT_PRECISION_I8 };
    vitrt_model *quantized = NULL;
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    vitrt_status st = vitrt_model_quantize(m, o, &quantized, &err);
    if (!st)
        st = vitrt_session_create(quantized, &options, &s, &err);
    if (!st)
        st = vitrt_run(s, o->images, 1, NULL, &err);
    assert_true(!st || (err.status == st && err.message[0]));
    vitrt_session_free(s);
    vitrt_model_free(quantized);
    return st;
}

static void ignore_report(void *user, const char *node, double loss, vitrt_precision precision)
{
    (void)user;
    (void)loss;
    assert_true(*node && precision >= VITRT_PRECISION_F32);
}

static void test_every_allocation_may_fail(void **state)
{
    static const struct {
        const char *graph;
        uint32_t flags;
        float tolerance; /* for which some nodes stay in float; 0: no ranks */
    } cases[] = { { "vit", VITRT_QUANTIZE_PERCENTILES, 0 },
                  { "windows", 0, 0 },
                  { "conv", VITRT_QUANTIZE_SEQUENTIAL, 0 },
                  { "vit", 0, 1e-9f } };
    float pixels[2][GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image images[2] = { graph_noise(1, pixels[0]), graph_noise(2, pixels[1]) };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct graph g = graph_load(cases[i].graph);
        const vitrt_quantize_options o = { .images = images,
                                           .image_count = 2,
                                           .threads = 2,
                                           .flags = cases[i].flags,
                                           .report = cases[i].tolerance > 0 ? ignore_report : NULL,
                                           .tolerance = cases[i].tolerance };
        struct counting counting;
        vitrt_model *m;
        vitrt_error err;
        assert_ok(graph_open(&g, &counting, &m, &err), &err);
        assert_int_equal(quantize_and_run(m, &o), VITRT_OK); /* what the model itself keeps is there from now on */
        const size_t live = counting.live, live_bytes = counting.live_bytes, before = counting.calls;
        assert_int_equal(quantize_and_run(m, &o), VITRT_OK);
        const size_t calls = counting.calls - before;
        assert_true(calls > 200);
        for (size_t n = 1; n <= calls; n++) {
            counting.fail_at = counting.calls + n;
            assert_int_equal(quantize_and_run(m, &o), VITRT_ENOMEM);
            assert_int_equal(counting.live, live);
            assert_int_equal(counting.live_bytes, live_bytes);
        }
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_bad_images),
        cmocka_unit_test(test_images_by_a_function),
        cmocka_unit_test(test_shared_weights),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
