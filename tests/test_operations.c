/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs that no family has built, against PyTorch: every operation in variations that families do not need
 * (data/make_operations.py), and a whole model that was written by hand (examples/cct). Each has model.safetensors, and
 * golden.safetensors with an input and answers by the names of outputs.
 *
 * Bounds as in test_golden.c. In bf16 the operations, each a product or two of rounded numbers, are within a few times
 * 2^-8 of the largest value.
 */
#include "support.h"

#include "model.h"
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* Two images of a batch, the answer's and its negative, so that a mixed-up batch shows; the first one is compared. */
static void check(const char *folder, const char *model, uint32_t height, uint32_t width,
                  vitrt_session_options options, double bound)
{
    struct answers golden;
    const char *names[MOST_OUTPUTS];
    vitrt_output outputs[MOST_OUTPUTS] = { { 0 } };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    uint64_t count;
    answers_open(&golden, folder);
    float *pixels = answer(&golden, "pixels", &count), *other = malloc((size_t)count * sizeof *other);
    assert_non_null(other);
    for (uint64_t i = 0; i < count; i++)
        other[i] = -pixels[i];
    assert_ok(vitrt_model_open(model, NULL, &m, &err), &err);
    assert_in_range(m->graph.output_count, 1, MOST_OUTPUTS);
    for (size_t i = 0; i < m->graph.output_count; i++)
        names[i] = m->graph.outputs[i].name;
    options.outputs = names;
    options.output_count = m->graph.output_count;
    options.max_batch = 2;
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    const vitrt_image images[2] = {
        { .data = pixels, .width = width, .height = height, .format = VITRT_FORMAT_F32 },
        { .data = other, .width = width, .height = height, .format = VITRT_FORMAT_F32 },
    };
    assert_ok(vitrt_run(s, images, 2, outputs, &err), &err);
    for (size_t i = 0; i < options.output_count; i++) {
        float *wanted = answer(&golden, names[i], &count);
        double largest = 0, worst = 0;
        assert_int_equal(outputs[i].offsets[1] * outputs[i].columns, count);
        for (uint64_t k = 0; k < count; k++) {
            const double difference = fabs((double)((const float *)outputs[i].data)[k] - (double)wanted[k]);
            largest = fmax(largest, fabs((double)wanted[k]));
            worst = difference > worst || isnan(difference) ? difference : worst;
        }
        if (!(worst <= bound * largest))
            fail_msg("%s: off by %g of the largest value, expected at most %g", names[i], worst / largest, bound);
        free(wanted);
    }
    vitrt_session_free(s);
    vitrt_model_free(m);
    free(other);
    free(pixels);
    answers_close(&golden);
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
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_operations), cmocka_unit_test(test_written_by_hand) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
