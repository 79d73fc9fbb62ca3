/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint trained with I-ViT's quantizers, as models/zoo/ivit_checkpoint.py writes it: in i8 and in integers alone
 * against PyTorch, saved and opened again, and what can be wrong with its scales. data/make_ivit.py makes the model, of
 * random weights, and the answers.
 */
#define _XOPEN_SOURCE 700 /* mkstemp */
#include "support.h"

#include "model.h"
#include "quantizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CASE "../../data/ivit" /* from golden/cases */

enum { SIDE = 32, PIXELS = SIDE * SIDE * 3, IMAGES = 4, OUTPUTS = 3 };

static const char *const names[OUTPUTS] = { "logits", "block.0", "block.1" };

/* ---- Answers ---- */

static float *answer(const char *prefix, const char *name, uint64_t *count)
{
    char full[64];
    struct golden g;
    golden_open(&g, CASE);
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct vt_tensor *t = golden_find(&g, full);
    assert_non_null(t);
    float *values = golden_read(&g, t);
    *count = t->count;
    golden_close(&g);
    return values;
}

static vitrt_session *run(const vitrt_model *m, vitrt_precision precision, const vitrt_image *images, size_t n,
                          vitrt_output *outputs)
{
    const vitrt_session_options options = {
        .threads = 2, .precision = precision, .max_batch = IMAGES, .outputs = names, .output_count = OUTPUTS
    };
    vitrt_session *s;
    vitrt_error err;
    memset(outputs, 0, OUTPUTS * sizeof *outputs);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, images, n, outputs, &err), &err);
    return s;
}

/* The golden images. */
static float *images_of(vitrt_image images[IMAGES])
{
    uint64_t count;
    float *pixels = answer("", "pixels", &count);
    assert_int_equal(count, IMAGES * PIXELS);
    for (size_t i = 0; i < IMAGES; i++)
        images[i] =
            (vitrt_image){ .data = pixels + i * PIXELS, .width = SIDE, .height = SIDE, .format = VITRT_FORMAT_F32 };
    return pixels;
}

/* Root mean square of the difference, of that of what is expected. */
static double distance(const float *found, const float *wanted, size_t n)
{
    double square = 0, error = 0;
    for (size_t i = 0; i < n; i++) {
        const double difference = (double)found[i] - (double)wanted[i];
        square += (double)wanted[i] * (double)wanted[i];
        error += difference * difference;
    }
    return sqrt(error / square);
}

/* Distances of a precision's outputs from the answers. */
static void measure(const vitrt_model *m, vitrt_precision precision, const char *prefix, double off[OUTPUTS])
{
    vitrt_image images[IMAGES];
    vitrt_output outputs[OUTPUTS];
    float *pixels = images_of(images);
    vitrt_session *s = run(m, precision, images, IMAGES, outputs);
    for (size_t i = 0; i < OUTPUTS; i++) {
        uint64_t count;
        float *wanted = answer(prefix, names[i], &count);
        assert_int_equal(outputs[i].offsets[IMAGES] * outputs[i].columns, count);
        off[i] = distance(outputs[i].data, wanted, (size_t)count);
        free(wanted);
    }
    vitrt_session_free(s);
    free(pixels);
}

/* What rounding activations to 8 bits costs is the distance d of a float session on the same weights. Where sums are
 * rounded to the other one of two codes now and then that noise is another one, so that two ways of computing with
 * codes are up to sqrt(2) d apart, and a wrong scale shows. The same for what only I-ViT rounds. */
static void test_answers(void **state)
{
    static const char *const prefixes[] = { "fine.", "" };
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
    for (size_t p = 0; p < 2; p++) {
        double cost[OUTPUTS], off[OUTPUTS];
        measure(m, VITRT_PRECISION_F32, prefixes[p], cost);
        for (vitrt_precision precision = VITRT_PRECISION_I8; precision <= VITRT_PRECISION_I8_STRICT; precision++) {
            measure(m, precision, prefixes[p], off);
            for (size_t i = 0; i < OUTPUTS; i++)
                if (!(cost[i] < 0.05 && off[i] <= 1.5 * cost[i]))
                    fail_msg("precision %d: %s%s is off by %g, f32 by %g", (int)precision, prefixes[p], names[i],
                             off[i], cost[i]);
        }
    }
    vitrt_model_free(m);
}

/* Bytes are resized in the same way for all; their codes come from a table in integers, from floats otherwise. Logits
 * of an image are so few numbers that they are off by 3 to 7 %, those of several together by no more than others. */
static void test_bytes(void **state)
{
    enum { BYTES = 50 * 40 * 3 };
    static unsigned char bytes[IMAGES * BYTES];
    vitrt_image images[IMAGES];
    vitrt_output floats[OUTPUTS], codes[OUTPUTS], words[OUTPUTS];
    vitrt_model *m;
    vitrt_error err;
    uint32_t noise = 5;
    (void)state;
    for (size_t i = 0; i < IMAGES; i++)
        images[i] = (vitrt_image){ .data = bytes + i * BYTES, .width = 50, .height = 40 };
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(40 + i % 150 + ((noise = noise * 1664525 + 1013904223) >> 26));
    assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
    vitrt_session *s[3] = { run(m, VITRT_PRECISION_F32, images, IMAGES, floats),
                            run(m, VITRT_PRECISION_I8, images, IMAGES, codes),
                            run(m, VITRT_PRECISION_I8_STRICT, images, IMAGES, words) };
    for (size_t i = 0; i < OUTPUTS; i++) {
        const size_t n = floats[i].offsets[IMAGES] * floats[i].columns;
        const double cost = distance(codes[i].data, floats[i].data, n);
        const double strict = distance(words[i].data, floats[i].data, n);
        if (!(cost < 0.05 && strict <= 1.5 * cost))
            fail_msg("%s is off by %g in i8, by %g in i8-strict", names[i], cost, strict);
    }
    for (size_t i = 0; i < 3; i++)
        vitrt_session_free(s[i]);
    vitrt_model_free(m);
}

/* ---- Saved ---- */

static void test_saved(void **state)
{
    char path[] = "/tmp/vitrt_test_ivit_XXXXXX";
    const int file = mkstemp(path);
    vitrt_image images[IMAGES];
    float *pixels = images_of(images);
    vitrt_model *m, *again;
    vitrt_model_info info;
    vitrt_error err;
    (void)state;
    assert_true(file >= 0);
    close(file);
    assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
    assert_ok(vitrt_model_save(m, path, &err), &err);
    assert_ok(vitrt_model_open(path, NULL, &again, &err), &err);
    assert_int_equal(vitrt_model_get_info(again, &info), VITRT_OK);
    assert_string_equal(info.family, "deit");
    for (vitrt_precision p = VITRT_PRECISION_I8; p <= VITRT_PRECISION_I8_STRICT; p++) {
        vitrt_output a[OUTPUTS], b[OUTPUTS];
        vitrt_session *first = run(m, p, images, 2, a), *second = run(again, p, images, 2, b);
        for (size_t i = 0; i < OUTPUTS; i++)
            assert_memory_equal(a[i].data, b[i].data, a[i].offsets[2] * a[i].columns * sizeof(float));
        vitrt_session_free(first);
        vitrt_session_free(second);
    }
    vitrt_model_free(again);
    vitrt_model_free(m);
    free(pixels);
    remove(path);
}

/* ---- What can be wrong ---- */

/* The number of a tensor, in the file's bytes. */
static char *number_of(struct changed_case *c, const char *tensor)
{
    struct vt_source source;
    struct vt_tensor_list list = { 0 };
    vitrt_error err;
    const struct vt_origin origin = { .path = golden_path(CASE, "") };
    char *at = NULL;
    assert_ok(vt_source_open(&vt_default_allocator, &origin, "model.safetensors", false, &source, &err), &err);
    assert_ok(vt_safetensors_read(&vt_default_allocator, &source, 0, &list, &err), &err);
    for (size_t i = 0; i < list.count; i++)
        if (!strcmp(list.items[i].name, tensor))
            at = c->data[TENSORS] + list.items[i].offset;
    vt_tensor_list_free(&vt_default_allocator, &list);
    vt_source_close(&vt_default_allocator, &source);
    assert_non_null(at);
    return at;
}

static void test_numbers(void **state)
{
    static const char *const tensors[] = { "qact_input.act_scaling_factor", "blocks.1.mlp.qact1.act_scaling_factor",
                                           "blocks.0.qact2.act_scaling_factor", "head.unit" };
    static const struct {
        float number;
        const char *sentence;
    } wrong[] = {
        { 0, "is 0, expected a scale from 1e-30 to 1e30" },
        { -0.5f, "is -0.5, expected a scale" },
        { 1e-32f, "is 1e-32, expected a scale" },
        { NAN, "is NaN, expected finite numbers" },
        { INFINITY, "is infinite, expected finite numbers" },
    };
    (void)state;
    for (size_t t = 0; t < sizeof tensors / sizeof *tensors; t++)
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            struct changed_case c;
            changed_load(&c, CASE);
            memcpy(number_of(&c, tensors[t]), &wrong[i].number, sizeof(float));
            changed_refused(&c, VITRT_EFORMAT, tensors[t], wrong[i].sentence);
            changed_free(&c);
        }
}

/* The least scale that there is, of codes of 8 bits, as a unit of 16 bits: a saved file has it, too, and opens. */
static void test_least_scale(void **state)
{
    char path[] = "/tmp/vitrt_test_ivit_XXXXXX";
    const int file = mkstemp(path);
    const float least = VT_MIN_SCALE;
    struct changed_case c;
    struct counting counting;
    vitrt_model *m, *again;
    vitrt_error err;
    (void)state;
    assert_true(file >= 0);
    close(file);
    changed_load(&c, CASE);
    memcpy(number_of(&c, "blocks.0.mlp.qact_gelu.act_scaling_factor"), &least, sizeof least);
    assert_ok(changed_open(&c, &counting, &m, &err), &err);
    assert_ok(vitrt_model_save(m, path, &err), &err);
    assert_ok(vitrt_model_open(path, NULL, &again, &err), &err);
    vitrt_model_free(again);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
    changed_free(&c);
    remove(path);
}

static void test_mistakes(void **state)
{
    (void)state;
    missing_tensor(CASE, "qact_input.act_scaling_factor");
    missing_tensor(CASE, "blocks.0.attn.qact1.act_scaling_factor");
    missing_tensor(CASE, "blocks.1.mlp.qact_gelu.act_scaling_factor");
    missing_tensor(CASE, "patch_embed.qact.act_scaling_factor");
    missing_tensor(CASE, "norm.unit");
    refused_after(CASE, TENSORS, "\"head.unit\":{\"dtype\":\"F32\",\"shape\":[1]",
                  "\"head.unit\":{\"dtype\":\"U32\",\"shape\":[1]", VITRT_EFORMAT, "tensor head.unit",
                  "no single number");
    /* a float model with scales, or another kind of quantizers */
    refused_after(CASE, CONFIG, "\"i-vit\"", "\"other\"", VITRT_EUNSUPPORTED, "act_scaling_factor",
                  "belongs to nothing");
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct changed_case c;
        struct counting counting;
        vitrt_model *m = NULL;
        vitrt_error err;
        changed_load(&c, CASE);
        const vitrt_buffer buffers[2] = { { "config.json", c.data[CONFIG], c.size[CONFIG] },
                                          { "model.safetensors", c.data[TENSORS], c.size[TENSORS] } };
        counting_init(&counting);
        counting.fail_at = n;
        const vitrt_model_options options = { .allocator = &counting.allocator };
        const vitrt_status st = vitrt_model_open_memory(buffers, 2, &options, &m, &err);
        vitrt_model_free(m);
        changed_free(&c);
        assert_int_equal(counting.live, 0);
        if (!st)
            return;
        assert_int_equal(st, VITRT_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_least_scale),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
