/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges that vitrt_model_quantize finds: for the zeros of padding, behind codes of other layers. What never changes is in
 * test_quantize_constants.c. */
#include "graph_text.h"
#include "model.h"
#include "weight_rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void read_vector(const vitrt_model *m, vt_weight w, float *numbers)
{
    static _Alignas(64) unsigned char scratch[VT_SCRATCH_BYTES];
    const struct vt_graph_weight *weight = &m->graph.weights[w];
    vitrt_error err;
    assert_in_range(weight->rows, 1, 32);
    assert_ok(vt_read_weight_rows(m->checkpoint, weight, 0, weight->rows, numbers, scratch, sizeof scratch, &err),
              &err);
}

/* Zeros that windows, blocks and convolutions are padded with have a code, also where calibration has seen none: at its
 * size nothing sticks out, and all numbers are far from 0. */
static void test_zeros_have_a_code(void **state)
{
    static const char *const layers[] = {
        ("{\"op\":\"windows\",\"name\":\"w\",\"in\":[\"p\"],\"windows\":0},"
         "{\"op\":\"linear\",\"name\":\"l\",\"in\":[\"w\"],\"weight\":\"f32.8x8\"},"
         "{\"op\":\"unwindows\",\"name\":\"y\",\"in\":[\"l\"]}"),
        ("{\"op\":\"space_to_depth\",\"name\":\"w\",\"in\":[\"p\"],\"block\":[2,2]},"
         "{\"op\":\"linear\",\"name\":\"y\",\"in\":[\"w\"],\"weight\":\"f32.8x32\"}"),
        "{\"op\":\"conv2d\",\"name\":\"y\",\"in\":[\"p\"],\"weight\":\"f32.8x8x3x3\",\"padding\":[1,1]}",
    };
    float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image image = graph_noise(1, pixels);
    (void)state;
    for (size_t i = 0; i < GRAPH_SIDE * GRAPH_SIDE * 3; i++)
        pixels[i] += 100;
    for (size_t i = 0; i < 2 * sizeof layers / sizeof *layers; i++) {
        const vitrt_quantize_options o = { .images = &image,
                                           .image_count = 1,
                                           .flags = i % 2 ? VITRT_QUANTIZE_PERCENTILES : 0 };
        struct counting counting;
        struct graph g;
        vitrt_model *m, *quantized;
        vitrt_error err;
        snprintf(g.text, sizeof g.text,
                 "{\"version\":1,\"size\":[8,8],\"windows\":[{\"size\":[4,4]}],\"nodes\":["
                 "{\"op\":\"input\",\"name\":\"x\"},{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"x\"],"
                 "\"weight\":\"f32.8x3x2x2\",\"stride\":[2,2]},%s],\"outputs\":{\"y\":\"y\"}}",
                 layers[i / 2]);
        assert_ok(graph_open(&g, &counting, &m, &err), &err);
        assert_ok(vitrt_model_quantize(m, &o, &quantized, &err), &err);
        for (size_t v = 2; v < quantized->graph.node_count; v++) {
            const struct vt_operand_quantizer *q = &quantized->graph.nodes[v].quantizers[0];
            float zeros[32] = { q->zero };
            if (!vt_is_quantized(&quantized->graph.nodes[v]))
                continue;
            const size_t n = q->zeros == VT_NO_WEIGHT ? 1 : (size_t)quantized->graph.weights[q->zeros].rows;
            if (q->zeros != VT_NO_WEIGHT)
                read_vector(quantized, q->zeros, zeros);
            for (size_t c = 0; c < n; c++)
                assert_true(zeros[c] >= 0 && zeros[c] <= 255 && zeros[c] == nearbyintf(zeros[c]));
        }
        vitrt_model_free(quantized);
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

enum { CHANNELS = 8 };

/* Extremes of the columns of output n over the images. */
static void see_columns(const vitrt_model *m, vitrt_precision precision, const vitrt_image *images, size_t count,
                        float lowest[CHANNELS], float highest[CHANNELS])
{
    const char *const name = "n";
    const vitrt_session_options options = { .precision = precision, .outputs = &name, .output_count = 1 };
    vitrt_session *s;
    vitrt_error err;
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    for (size_t i = 0; i < count; i++) {
        vitrt_output out = { 0 };
        assert_ok(vitrt_run(s, &images[i], 1, &out, &err), &err);
        assert_int_equal(out.columns, CHANNELS);
        for (size_t k = 0; k < out.offsets[1] * CHANNELS; k++) {
            const float x = ((const float *)out.data)[k];
            lowest[k % CHANNELS] = i || k >= CHANNELS ? fminf(lowest[k % CHANNELS], x) : x;
            highest[k % CHANNELS] = i || k >= CHANNELS ? fmaxf(highest[k % CHANNELS], x) : x;
        }
    }
    vitrt_session_free(s);
}

/* How far the middles of the ranges of node y's input are from those of what has been seen, in codes. */
static double off_the_middle(const vitrt_model *m, const float lowest[CHANNELS], const float highest[CHANNELS])
{
    const struct vt_operand_quantizer *q = &m->graph.nodes[m->graph.node_count - 1].quantizers[0];
    float scales[32], zeros[32];
    double most = 0;
    assert_int_equal(m->graph.weights[q->scales].rows, CHANNELS);
    read_vector(m, q->scales, scales);
    read_vector(m, q->zeros, zeros);
    for (size_t c = 0; c < CHANNELS; c++) {
        const double middle = ((double)lowest[c] + (double)highest[c]) / 2 / (double)scales[c];
        const double off = fabs(127.5 - (double)zeros[c] - middle);
        most = off > most ? off : most;
    }
    return most;
}

/* Ranges behind a norm are around what has been seen there: floats, or what a layer of 2-bit weights makes of them. */
static void test_sequential(void **state)
{
    enum { IMAGES = 2 };
    struct graph g;
    float pixels[IMAGES][GRAPH_SIDE * GRAPH_SIDE * 3], lowest[2][CHANNELS], highest[2][CHANNELS];
    const vitrt_image images[IMAGES] = { graph_noise(1, pixels[0]), graph_noise(2, pixels[1]) };
    struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    strcpy(g.text,
           "{\"version\":1,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
           "{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"x\"],\"weight\":\"f32.8x3x2x2\",\"stride\":[2,2]},"
           "{\"op\":\"layer_norm\",\"name\":\"n\",\"in\":[\"p\"],\"weight\":\"f32.8\",\"bias\":\"f32.8\",\"eps\":1e-6},"
           "{\"op\":\"linear\",\"name\":\"y\",\"in\":[\"n\"],\"weight\":\"f32.8x8\"}],"
           "\"outputs\":{\"y\":\"y\",\"n\":\"n\"}}");
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    for (int sequential = 0; sequential < 2; sequential++) {
        const vitrt_quantize_options o = { .images = images,
                                           .image_count = IMAGES,
                                           .weight_bits = 2,
                                           .flags = sequential ? VITRT_QUANTIZE_SEQUENTIAL : 0 };
        vitrt_model *quantized;
        assert_ok(vitrt_model_quantize(m, &o, &quantized, &err), &err);
        see_columns(m, VITRT_PRECISION_F32, images, IMAGES, lowest[0], highest[0]);
        see_columns(quantized, VITRT_PRECISION_I8, images, IMAGES, lowest[1], highest[1]);
        assert_true(off_the_middle(quantized, lowest[sequential], highest[sequential]) <= 1);
        assert_true(off_the_middle(quantized, lowest[!sequential], highest[!sequential]) > 2);
        vitrt_model_free(quantized);
    }
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeros_have_a_code),
        cmocka_unit_test(test_sequential),
    };
    return cmocka_run_group_tests_name("test_quantize_ranges", tests, NULL, NULL);
}
