/* SPDX-License-Identifier: Apache-2.0 */
/* Every step of quantized sessions against double precision (step_reference.h): models of all families, at sizes where
 * windows and blocks stick out, and small graphs for what no family does. */
#include "support.h"

#include "fuzz/grow_graph.h"
#include "step_reference.h"
#include "tiny_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Golden cases ---- */

/* The input of image i as the model prepares it. */
static float *pixels_of(const char *name, const vitrt_model *m, int i)
{
    const char *const outputs[] = { "pixels" };
    vitrt_session_options options = { .threads = 1, .outputs = outputs, .output_count = 1 };
    vitrt_output out = { 0 };
    vitrt_session *s;
    vitrt_error err;
    golden_size(name, &options.height, &options.width);
    vitrt_image image = golden_image(name, i);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, &image, 1, &out, &err), &err);
    const size_t bytes = out.offsets[1] * out.columns * sizeof(float);
    float *pixels = malloc(bytes);
    assert_non_null(pixels);
    memcpy(pixels, out.data, bytes);
    vitrt_image_free(&image);
    vitrt_session_free(s);
    return pixels;
}

static struct step_counts all;

/* Steps depend on what is asked for: with one output most values are part of a longer chain, and rows are left out. */
static void check_case(const char *name, const vitrt_quantize_options *quantize)
{
    const char *outputs[2] = { "features", "block.0" };
    vitrt_model *m = quantized_case(name, quantize);
    float *pixels = pixels_of(name, m, 0);
    for (int i = 0; i < 2; i++) {
        vitrt_session_options options = { .threads = 2, .precision = VITRT_PRECISION_I8 };
        vitrt_session *s;
        vitrt_error err;
        golden_size(name, &options.height, &options.width);
        if (i) {
            options.outputs = outputs;
            options.output_count = 2;
        }
        assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
        const struct step_counts c = check_steps(name, s, pixels);
        assert_true(c.steps > 5);
        all.steps += c.steps;
        all.codes += c.codes;
        all.ambiguous += c.ambiguous;
        vitrt_session_free(s);
    }
    free(pixels);
    vitrt_model_free(m);
}

static void check_usual(const char *name)
{
    check_case(name, NULL);
}

static void test_golden_cases(void **state)
{
    (void)state;
    for_each_golden(check_usual);
    print_message("%zu steps, %zu codes, %zu of them within rounding of a tie\n", all.steps, all.codes, all.ambiguous);
    assert_true(all.ambiguous < all.codes / 100);
}

/* Few bits, one scale for all columns, probabilities with logarithmic codes. */
static void test_other_quantizers(void **state)
{
    static const char *const names[] = { "timm_dinov2_reg", "timm_swiglu", "timm_swin_odd", "timm_swinv2_odd",
                                         "hf_cvt_kernels" };
    static const vitrt_quantize_options options[] = {
        { .weight_bits = 6, .activation_bits = 6 },
        { .weight_bits = 4, .activation_bits = 4 },
        { .weight_bits = 8, .activation_bits = 3 },
        { .weight_bits = 2, .activation_bits = 2, .flags = VITRT_QUANTIZE_TENSORS },
        { .flags = VITRT_QUANTIZE_PERCENTILES },
        { .flags = VITRT_QUANTIZE_PERCENTILES | VITRT_QUANTIZE_TENSORS },
        { .flags = VITRT_QUANTIZE_SEQUENTIAL },
        { .weight_bits = 4, .activation_bits = 4, .flags = VITRT_QUANTIZE_SEQUENTIAL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t k = 0; k < sizeof options / sizeof *options; k++)
            check_case(names[i], &options[k]);
}

/* ---- Random graphs ---- */

enum { SIDE = 8, MOST_NODES = 24, MOST_OUTPUTS = 64, GRAPHS = 1500 };

static uint32_t random_number(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* The graph that grows from a number, with the tensors of tiny_file.c; NULL: it does not fit together. */
static vitrt_model *grown(uint32_t seed, char *text, size_t room)
{
    uint8_t bytes[4 * MOST_NODES];
    uint32_t state = seed * 2654435761u;
    const size_t nodes = 2 + random_number(&state) % (MOST_NODES - 2);
    vitrt_model *m = NULL;
    vitrt_error err;
    size_t size;
    for (size_t i = 0; i < 4 * nodes; i++)
        bytes[i] = (uint8_t)(random_number(&state) >> 5);
    unsigned char *file = tiny_file(text, grow_graph(bytes, 4 * nodes, text, room), NULL, &size);
    const vitrt_model_options options = { .flags = VITRT_MODEL_COPY_BUFFERS };
    const vitrt_buffer buffer = { "grown", file, size };
    assert_non_null(file);
    if (vitrt_model_open_memory(&buffer, 1, &options, &m, &err))
        m = NULL;
    free(file);
    return m;
}

/* With one of its outputs, and with all. A session may refuse scales that do not go together. */
static struct step_counts check_graph(const char *name, const vitrt_model *m, const float *pixels)
{
    struct step_counts counts = { 0 };
    const char *names[MOST_OUTPUTS];
    size_t count = 0;
    for (; count < m->graph.output_count; count++)
        names[count] = m->graph.outputs[count].name;
    for (size_t n = 1; n <= count; n = n < count ? count : count + 1) {
        const vitrt_session_options options = {
            .threads = 1, .precision = VITRT_PRECISION_I8, .outputs = names, .output_count = n
        };
        vitrt_session *s = NULL;
        vitrt_error err;
        if (vitrt_session_create(m, &options, &s, &err))
            continue;
        const struct step_counts c = check_steps(name, s, pixels);
        counts.steps += c.steps;
        counts.codes += c.codes;
        counts.clipped += c.clipped;
        vitrt_session_free(s);
    }
    return counts;
}

static uint32_t first_graph, graph_count = GRAPHS;

static void test_random_graphs(void **state)
{
    static char text[1 << 16];
    struct step_counts counts = { 0 };
    float pixels[SIDE * SIDE * 3];
    uint32_t seed = 7;
    size_t opened = 0;
    (void)state;
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)random_number(&seed) / (1 << 22) - 2;
    for (uint32_t i = first_graph; i < first_graph + graph_count; i++) {
        vitrt_model *m = grown(i, text, sizeof text);
        if (m && vt_graph_is_quantized(&m->graph)) {
            if (graph_count == 1)
                print_message("%s\n", text);
            char name[32];
            snprintf(name, sizeof name, "graph %u", (unsigned)i);
            const struct step_counts c = check_graph(name, m, pixels);
            counts.steps += c.steps;
            counts.codes += c.codes;
            counts.clipped += c.clipped;
            opened++;
        }
        vitrt_model_free(m);
    }
    print_message("%zu graphs, %zu steps, %zu codes, %zu of them at an end\n", opened, counts.steps, counts.codes,
                  counts.clipped);
    assert_true(graph_count < GRAPHS || counts.steps > GRAPHS);
}

/* With arguments: so many random graphs from this one on. */
int main(int argc, char **argv)
{
    if (argc > 1) {
        cmocka_set_test_filter("test_random_graphs");
        first_graph = (uint32_t)strtoul(argv[1], NULL, 10);
        graph_count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_golden_cases), cmocka_unit_test(test_other_quantizers),
                                        cmocka_unit_test(test_random_graphs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
