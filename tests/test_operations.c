/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs that no family has built, against PyTorch: every operation in variations that families do not need
 * (data/make_operations.py), and a whole model that was written by hand (examples/cct). Each has model.safetensors, and
 * golden.safetensors with an input and answers by the names of outputs.
 *
 * Bounds as in test_golden.c. In bf16 the operations, each a product or two of rounded numbers, are within a few times
 * 2^-8 of the largest value.
 */
#define _XOPEN_SOURCE 700 /* mkstemp */
#include "support.h"

#include "model.h"
#include "safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_OUTPUTS = 64 };

struct answers {
    struct vt_source source;
    struct vt_tensor_list tensors;
};

static void answers_open(struct answers *a, const char *folder)
{
    const struct vt_origin origin = { .path = folder };
    vitrt_error err;
    memset(a, 0, sizeof *a);
    assert_ok(vt_source_open(&vt_default_allocator, &origin, "golden.safetensors", 0, &a->source, &err), &err);
    assert_ok(vt_safetensors_read(&vt_default_allocator, &a->source, 0, &a->tensors, &err), &err);
}

static void answers_close(struct answers *a)
{
    vt_tensor_list_free(&vt_default_allocator, &a->tensors);
    vt_source_close(&vt_default_allocator, &a->source);
}

static float *answer(const struct answers *a, const char *name, uint64_t *count)
{
    for (size_t i = 0; i < a->tensors.count; i++) {
        const struct vt_tensor *t = &a->tensors.items[i];
        vitrt_error err;
        if (strcmp(t->name, name) != 0)
            continue;
        float *values = malloc((size_t)t->bytes);
        assert_non_null(values);
        assert_ok(vt_source_read(&a->source, t->offset, values, (size_t)t->bytes, &err), &err);
        *count = t->count;
        return values;
    }
    fail_msg("no answer for %s", name);
    return NULL;
}

/* The outputs that the options name. Two images of a batch, the answer's and its negative, so that a mixed-up batch
 * shows; the first one is compared. */
static void check_outputs(const char *folder, const vitrt_model *m, uint32_t height, uint32_t width,
                          vitrt_session_options options, double bound)
{
    struct answers golden;
    vitrt_output outputs[MOST_OUTPUTS] = { { 0 } };
    vitrt_session *s;
    vitrt_error err;
    uint64_t count;
    answers_open(&golden, folder);
    float *pixels = answer(&golden, "pixels", &count), *other = malloc((size_t)count * sizeof *other);
    assert_non_null(other);
    for (uint64_t i = 0; i < count; i++)
        other[i] = -pixels[i];
    options.max_batch = 2;
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    const vitrt_image images[2] = {
        { .data = pixels, .width = width, .height = height, .format = VITRT_FORMAT_F32 },
        { .data = other, .width = width, .height = height, .format = VITRT_FORMAT_F32 },
    };
    assert_ok(vitrt_run(s, images, 2, outputs, &err), &err);
    for (size_t i = 0; i < options.output_count; i++) {
        float *wanted = answer(&golden, options.outputs[i], &count);
        double largest = 0, worst = 0;
        assert_int_equal(outputs[i].offsets[1] * outputs[i].columns, count);
        for (uint64_t k = 0; k < count; k++) {
            const double difference = fabs((double)((const float *)outputs[i].data)[k] - (double)wanted[k]);
            largest = fmax(largest, fabs((double)wanted[k]));
            worst = difference > worst || isnan(difference) ? difference : worst;
        }
        if (!(worst <= bound * largest))
            fail_msg("%s: off by %g of the largest value, expected at most %g", options.outputs[i], worst / largest,
                     bound);
        free(wanted);
    }
    vitrt_session_free(s);
    free(other);
    free(pixels);
    answers_close(&golden);
}

/* All outputs together. */
static void check(const char *folder, const char *model, uint32_t height, uint32_t width, vitrt_session_options options,
                  double bound)
{
    const char *names[MOST_OUTPUTS];
    vitrt_model *m;
    vitrt_error err;
    assert_ok(vitrt_model_open(model, NULL, &m, &err), &err);
    assert_in_range(m->graph.output_count, 1, MOST_OUTPUTS);
    for (size_t i = 0; i < m->graph.output_count; i++)
        names[i] = m->graph.outputs[i].name;
    options.outputs = names;
    options.output_count = m->graph.output_count;
    check_outputs(folder, m, height, width, options, bound);
    vitrt_model_free(m);
}

static void test_operations(void **state)
{
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads++) {
        const vitrt_session_options f32 = { .threads = threads },
                                    bf16 = { .threads = threads, .precision = VITRT_PRECISION_BF16 };
        check("data/operations", "data/operations/model.safetensors", 13, 11, f32, 1e-4);
        check("data/operations", "data/operations/model.safetensors", 13, 11, bf16, 5 * 0x1p-8);
    }
}

/* By itself an output needs no more of its inputs' rows than it has, and steps are chained where nobody else looks. */
static void test_each_alone(void **state)
{
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_open("data/operations/model.safetensors", NULL, &m, &err), &err);
    for (size_t i = 0; i < m->graph.output_count; i++) {
        const char *name = m->graph.outputs[i].name;
        vitrt_session_options options = { .threads = 1, .outputs = &name, .output_count = 1 };
        check_outputs("data/operations", m, 13, 11, options, 1e-4);
        options.precision = VITRT_PRECISION_BF16;
        check_outputs("data/operations", m, 13, 11, options, 5 * 0x1p-8);
    }
    vitrt_model_free(m);
}

/* Libraries that do not know clipped probabilities and gates do not know version 2. */
static void expect_version(const char *path, const char *version)
{
    char text[1 << 16] = "";
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 8);
    fclose(f);
    assert_non_null(strstr(text + 8, version));
}

static void test_saved(void **state)
{
    const vitrt_session_options options = { .threads = 1 };
    char path[] = "/tmp/vitrt_test_operations_XXXXXX";
    const int file = mkstemp(path);
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    assert_true(file >= 0);
    close(file);
    assert_ok(vitrt_model_open("data/operations/model.safetensors", NULL, &m, &err), &err);
    assert_ok(vitrt_model_save(m, path, &err), &err);
    expect_version(path, "{\\\"version\\\":2,");
    check("data/operations", path, 13, 11, options, 1e-4);
    vitrt_model_free(m);
    remove(path);
}

/* ---- Heads that do nothing: clipped probabilities and gates in a quantized model ---- */

/* Pixels that 8 bits hold. */
static vitrt_image image_of(float *pixels, uint32_t seed)
{
    for (size_t i = 0; i < 13 * 11 * 3; i++)
        pixels[i] = (float)((seed = seed * 1664525 + 1013904223) >> 16) * 0x1p-14f - 2;
    return (vitrt_image){ .data = pixels, .width = 11, .height = 13, .format = VITRT_FORMAT_F32 };
}

/* An output of the model by itself. */
static vitrt_session *run_one(const vitrt_model *m, const char *name, vitrt_precision precision,
                              const vitrt_image *image, vitrt_output *out)
{
    const vitrt_session_options options = { .threads = 2, .precision = precision, .outputs = &name, .output_count = 1 };
    vitrt_session *s;
    vitrt_error err;
    *out = (vitrt_output){ 0 };
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, image, 1, out, &err), &err);
    return s;
}

static void expect_close(const vitrt_model *m, const vitrt_model *codes, const char *name, const vitrt_image *image,
                         double bound)
{
    vitrt_output wanted, found;
    vitrt_session *a = run_one(m, name, VITRT_PRECISION_F32, image, &wanted),
                  *b = run_one(codes, name, VITRT_PRECISION_I8, image, &found);
    double largest = 0, worst = 0;
    for (size_t i = 0; i < wanted.offsets[1] * wanted.columns; i++) {
        const double x = (double)((const float *)wanted.data)[i];
        const double difference = fabs((double)((const float *)found.data)[i] - x);
        largest = fmax(largest, fabs(x));
        worst = difference > worst || isnan(difference) ? difference : worst;
    }
    if (!(worst <= bound * largest))
        fail_msg("%s: off by %g of the largest value, expected at most %g", name, worst / largest, bound);
    vitrt_session_free(a);
    vitrt_session_free(b);
}

static void expect_refused(const vitrt_model *codes, const char *name, const char *sentence)
{
    const vitrt_session_options options = {
        .threads = 1, .precision = VITRT_PRECISION_I8_STRICT, .outputs = &name, .output_count = 1
    };
    vitrt_session *s = NULL;
    vitrt_error err;
    assert_int_equal(vitrt_session_create(codes, &options, &s, &err), VITRT_EUNSUPPORTED);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
}

/* Against the float model, which is a little else where a probability is clipped or not. That the codes of gated attention are what they should be is in test_quantized_steps. */
static void test_quantized(void **state)
{
    float pixels[3][13 * 11 * 3];
    const vitrt_image images[3] = { image_of(pixels[0], 1), image_of(pixels[1], 2), image_of(pixels[2], 3) };
    const vitrt_quantize_options options = { .images = images, .image_count = 2, .threads = 1 };
    vitrt_model *m, *codes;
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_open("data/operations/model.safetensors", NULL, &m, &err), &err);
    assert_ok(vitrt_model_quantize(m, &options, &codes, &err), &err);
    for (size_t v = 0; v < codes->graph.node_count; v++) {
        const struct vt_node *node = &codes->graph.nodes[v];
        if (node->type == VT_NODE_ATTENTION)
            assert_int_equal(vt_is_quantized(node), !vt_is_clipped(node));
    }
    expect_close(m, codes, "clipped", &images[2], 0.1);
    expect_close(m, codes, "gated", &images[2], 0.1);
    expect_close(m, codes, "gated_row", &images[2], 0.1);
    expect_close(m, codes, "both_rows", &images[2], 0.1);
    expect_close(m, codes, "both_from_windows", &images[2], 0.1);
    expect_refused(codes, "clipped", "node clipped has no integer-only form: its probabilities are clipped");
    expect_refused(codes, "gated", "node gated has no integer-only form: it has a gate");
    vitrt_model_free(codes);
    vitrt_model_free(m);
}

static void test_written_by_hand(void **state)
{
    const vitrt_session_options options = { .threads = 2 };
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    check("data/cct", "data/cct/model.safetensors", 32, 32, options, 1e-4);
    assert_ok(vitrt_model_open("data/cct/model.safetensors", NULL, &m, &err), &err);
    assert_string_equal(vitrt_model_label(m, 3), "class 3");
    vitrt_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_operations), cmocka_unit_test(test_each_alone),
                                        cmocka_unit_test(test_saved), cmocka_unit_test(test_quantized),
                                        cmocka_unit_test(test_written_by_hand) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
