/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models that tokens leave, against golden answers, and with the same bits in every batch, thread count, session and
 * file, also where their products are of 8-bit codes.
 *
 * Bounds: tokens have to be in the same rows, for every golden choice is clear. Logits are within 1e-4 of the largest,
 * as in test_golden.c: what stays goes through the same products.
 */
#define _XOPEN_SOURCE 700 /* setenv */
#include "check.h"
#include "reduced_cases.h"
#include "temp_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Golden answers ---- */

static int failures, schedules;

/* How far the rows of one output are from the golden ones, at most. */
static double distance(const float *found, const float *wanted, size_t count)
{
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)found[i] - wanted[i]);
        worst = difference > worst || isnan(difference) ? difference : worst;
    }
    return worst;
}

static double greatest(const float *x, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        if (fabs((double)x[i]) > most)
            most = fabs((double)x[i]);
    return most;
}

static bool compare(const char *name, const struct golden *g, const struct schedule *s, int image,
                    const vitrt_output *out)
{
    char key[160];
    const bool tokens = strncmp(out->name, "tokens.", 7) == 0;
    snprintf(key, sizeof key, "%s %d %s", s->text, image, out->name);
    const struct vt_tensor *t = golden_find(g, key);
    if (!t)
        fail_msg("%s: there is no answer %s", name, key);
    const size_t rows = out->offsets[image + 1] - out->offsets[image], count = (size_t)t->count;
    float *wanted = golden_read(g, t);
    assert_int_equal(rows * out->columns, count);
    const float *found = (const float *)out->data + out->offsets[image] * out->columns;
    const double worst = distance(found, wanted, count), bound = tokens ? 0 : 1e-4 * greatest(wanted, count);
    if (!(worst <= bound))
        print_error("%s: %s: off by %g, expected at most %g\n", name, key, worst, bound);
    free(wanted);
    return worst <= bound;
}

static void check_golden(const char *name, const struct golden *g, struct schedule *s)
{
    vitrt_session_options options = { .outputs = s->outputs, .output_count = s->output_count,
                                      .max_batch = REDUCED_PICTURES };
    vitrt_output outputs[SCHEDULE_LAYERS + 2] = { 0 };
    vitrt_model *m = reduced_model(name, s);
    vitrt_session *session;
    vitrt_error err;
    bool good = true;
    assert_ok(vitrt_session_create(m, &options, &session, &err), &err);
    assert_ok(vitrt_run(session, reduced_pictures(name), REDUCED_PICTURES, outputs, &err), &err);
    for (size_t k = 0; k < s->output_count; k++)
        for (int i = 0; i < REDUCED_PICTURES && strcmp(s->outputs[k], "features") != 0; i++)
            good &= compare(name, g, s, i, &outputs[k]);
    vitrt_session_free(session);
    vitrt_model_free(m);
    failures += !good;
    schedules++;
}

static void test_golden_answers(void **state)
{
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++)
        for_each_schedule(reduced_cases[i], check_golden);
    print_message("%d schedules\n", schedules);
    assert_int_equal(failures, 0);
}

/* ---- Bits ---- */

/* A batch of pictures first, first + 1 .., of which number `bad` is no image (-1: all are). */
static void check_batch(vitrt_session *session, const struct schedule *s, const vitrt_image *pictures,
                        const struct answer *wanted, size_t first, int bad)
{
    vitrt_image images[PICTURES + 1];
    vitrt_output outputs[SCHEDULE_LAYERS + 2] = { 0 };
    vitrt_error err;
    size_t n = 0;
    static struct answer found;
    for (size_t i = first; i < PICTURES; i++) {
        if ((int)i == bad)
            images[n++] = (vitrt_image){ 0 };
        images[n++] = pictures[i];
    }
    const vitrt_status st = vitrt_run(session, images, n, outputs, &err);
    if (bad < 0)
        assert_ok(st, &err);
    else
        assert_int_equal(st, VITRT_EIMAGE);
    for (size_t i = 0, picture = first; i < n; i++) {
        answer_read(&found, outputs, s->output_count, i);
        if (images[i].data)
            assert_same_answer(&found, &wanted[picture++], s->text);
        else
            assert_int_equal(found.count, s->output_count); /* no rows of any */
    }
}

/* What a session says it multiplies is the most, and just that where every image keeps as many tokens. */
static void check_macs(const vitrt_session *session, const struct schedule *s)
{
    vitrt_session_info info;
    assert_int_equal(vitrt_session_get_info(session, &info), VITRT_OK);
    assert_in_range(info.run_macs_per_image, 1, info.macs_per_image);
    const vitrt_reduction method = s->reduction.options.method;
    if (method != VITRT_REDUCTION_ATS && method != VITRT_REDUCTION_A_VIT)
        assert_int_equal(info.run_macs_per_image, info.macs_per_image);
}

static void check_threads(const vitrt_model *m, const struct schedule *s, vitrt_session_options options,
                          const vitrt_image *pictures, const struct answer *wanted)
{
    struct counting counting;
    vitrt_error err;
    vitrt_session *session;
    options.max_batch = PICTURES + 1;
    for (int threads = 1; threads <= 3; threads += 2) {
        counting_init(&counting);
        options.allocator = &counting.allocator;
        options.threads = threads;
        assert_ok(vitrt_session_create(m, &options, &session, &err), &err);
        const size_t calls = counting.calls;
        check_batch(session, s, pictures, wanted, 0, -1);
        check_batch(session, s, pictures, wanted, 0, 4);
        check_batch(session, s, pictures, wanted, 3, 3);
        assert_int_equal(counting.calls, calls);
        check_macs(session, s);
        vitrt_session_free(session);
        assert_int_equal(counting.live, 0);
    }
}

static void check_saved(const vitrt_model *m, const vitrt_session_options *options, const vitrt_image *pictures,
                        const struct answer *wanted, const char *what)
{
    static struct answer found[REDUCED_PICTURES];
    const char *path = in_folder("reduced.safetensors");
    vitrt_model *saved;
    vitrt_error err;
    assert_ok(vitrt_model_save(m, path, &err), &err);
    assert_ok(vitrt_model_open(path, NULL, &saved, &err), &err);
    answers_alone(saved, *options, pictures, REDUCED_PICTURES, found);
    for (int i = 0; i < REDUCED_PICTURES; i++)
        assert_same_answer(&found[i], &wanted[i], what);
    vitrt_model_free(saved);
}

/* precision: DEFAULT, or I8_STRICT. */
static void check_bits(const vitrt_model *m, const char *name, const struct schedule *s, vitrt_precision precision,
                       uint32_t height, uint32_t width)
{
    static struct answer wanted[PICTURES];
    const vitrt_image *pictures = reduced_pictures(name);
    const vitrt_session_options options = {
        .precision = precision, .outputs = s->outputs, .output_count = s->output_count, .height = height, .width = width
    };
    answers_alone(m, options, pictures, PICTURES, wanted);
    check_threads(m, s, options, pictures, wanted);
    check_saved(m, &options, pictures, wanted, s->text);
    if (precision == VITRT_PRECISION_I8_STRICT) /* integers have the same bits on all CPUs */
        assert_same_on_all_bundles(m, options, name, wanted, s->text);
}

static void check_float_bits(const char *name, const struct golden *g, struct schedule *s)
{
    vitrt_model *m = reduced_model(name, s);
    (void)g;
    check_bits(m, name, s, VITRT_PRECISION_DEFAULT, 0, 0);
    vitrt_model_free(m);
}

static void test_bits(void **state)
{
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++)
        for_each_schedule(reduced_cases[i], check_float_bits);
}

/* Shares are of the tokens that there are at another size. */
static void check_other_size(const char *name, const struct golden *g, struct schedule *s)
{
    vitrt_model *m = reduced_model(name, s);
    (void)g;
    check_bits(m, name, s, VITRT_PRECISION_DEFAULT, 24, 40);
    vitrt_model_free(m);
}

static void test_bits_at_another_size(void **state)
{
    (void)state;
    for_each_schedule(reduced_cases[HF_DINOV2_REGISTERS], check_other_size);
    for_each_schedule(reduced_cases[TIMM_DEIT], check_other_size);
}

static vitrt_model *quantized;

static void check_code_bits(const char *name, const struct golden *g, struct schedule *s)
{
    vitrt_model *m;
    vitrt_error err;
    (void)g;
    assert_ok(vitrt_model_reduce(quantized, reduction_options(&s->reduction), &m, &err), &err);
    check_bits(m, name, s, VITRT_PRECISION_DEFAULT, 0, 0);
    if (schedule_has_integers(s)) {
        const bool other_size = name == reduced_cases[HF_DINOV2_REGISTERS];
        check_bits(m, name, s, VITRT_PRECISION_I8_STRICT, other_size ? 24 : 0, other_size ? 40 : 0);
    }
    vitrt_model_free(m);
}

static void test_bits_of_codes(void **state)
{
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++) {
        quantized = quantized_case(reduced_cases[i], NULL);
        for_each_schedule(reduced_cases[i], check_code_bits);
        vitrt_model_free(quantized);
    }
}

/* ---- Schedules by which no token leaves ---- */

static void check_all_stay(const char *name, const vitrt_model *dense, const char *text, vitrt_precision precision)
{
    static struct answer wanted[PICTURES], found[PICTURES];
    struct schedule s;
    const vitrt_image *pictures = reduced_pictures(name);
    schedule_read(&s, text);
    vitrt_model *m;
    vitrt_error err;
    assert_ok(vitrt_model_reduce(dense, reduction_options(&s.reduction), &m, &err), &err);
    const vitrt_session_options options = { .precision = precision, .outputs = s.outputs, .output_count = 2 };
    answers_alone(dense, options, pictures, PICTURES, wanted);
    answers_alone(m, options, pictures, PICTURES, found);
    for (int i = 0; i < PICTURES; i++)
        assert_same_answer(&found[i], &wanted[i], text);
    vitrt_model_free(m);
}

/* In integers alone queries of class tokens, and keys that are compared, are words before they are codes. */
static bool rounds_twice(const char *text)
{
    return strncmp(text, "tome", 4) == 0 || strncmp(text, "evit", 4) == 0;
}

static void test_all_stay(void **state)
{
    static const char *const texts[] = { "zero-tprune:0@1/1@1/2@1/3@1", "zero-tprune:0@64/2@1000",
                                         "tome:0@1/1@1/2@1/3@1",        "tome-equal-keys:1@1",
                                         "uniform:0@1/3@1",             "uniform:0@64/1@65/2@70/3@1000",
                                         "random:0@1/3@1",              "random:0@64/1@65/2@70/3@1000",
                                         "evit:0@1/1@1/2@1/3@1",        "evit:0@64/2@1000",
                                         "evit-fused:0@1/1@1/2@1/3@1" };
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++) {
        vitrt_model *dense, *codes = quantized_case(reduced_cases[i], NULL);
        vitrt_error err;
        assert_ok(vitrt_model_open(golden_path(reduced_cases[i], ""), NULL, &dense, &err), &err);
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            if (i != TIMM_VIT_AVG_NOCLS || strncmp(texts[k], "evit", 4) != 0) {
                check_all_stay(reduced_cases[i], dense, texts[k], VITRT_PRECISION_DEFAULT);
                if (!rounds_twice(texts[k]))
                    check_all_stay(reduced_cases[i], codes, texts[k], VITRT_PRECISION_I8_STRICT);
            }
        vitrt_model_free(codes);
        vitrt_model_free(dense);
    }
}

/* Predictors that keep all, wherever they are. */
static void test_all_stay_by_predictors(void **state)
{
    static const char *const texts[] = { "dynamicvit:0@1/2@1/3@1", "dynamicvit:2@64/3@1000" };
    vitrt_model *dense;
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_open(golden_path(reduced_cases[TIMM_DEIT], ""), NULL, &dense, &err), &err);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        check_all_stay(reduced_cases[TIMM_DEIT], dense, texts[k], VITRT_PRECISION_DEFAULT);
    vitrt_model_free(dense);
}

/* ---- What is cut, and where ---- */

/* Behind block 2 the rows that its predictor leaves; behind block 1, and of the predictor, all. Halting: what a block
 * leaves, and of the last one the class token, which features are, too; an image that is done has no rows. */
static void check_rows(const char *text, const float rows[5])
{
    static const char *const names[] = { "block.0", "block.1", "block.2", "block.3", "features" };
    static struct answer a[PICTURES];
    struct schedule s;
    const vitrt_session_options options = { .outputs = names, .output_count = 5 };
    schedule_read(&s, text);
    vitrt_model *m = reduced_model(reduced_cases[TIMM_DEIT], &s);
    answers_alone(m, options, reduced_pictures(reduced_cases[TIMM_DEIT]), PICTURES, a);
    for (int i = 0; i < PICTURES; i++)
        for (size_t k = 0, at = 0; k < 5; at += 1 + (size_t)a[i].values[at] * REDUCED_WIDTH, k++)
            if (a[i].values[at] != rows[k])
                fail_msg("%s: picture %d: %s has %g rows, expected %g", text, i, names[k], (double)a[i].values[at],
                         (double)rows[k]);
    vitrt_model_free(m);
}

static void test_rows_of_outputs(void **state)
{
    (void)state;
    check_rows("dynamicvit:2@10/3@5", (const float[]){ 65, 65, 11, 6, 6 });
    check_rows("dynamicvit:0@10/3@1000", (const float[]){ 11, 11, 11, 11, 11 });
    check_rows("a-vit:1/9", (const float[]){ 65, 65, 65, 1, 1 });
    check_rows("a-vit:1/-60", (const float[]){ 0, 0, 0, 0, 1 });
}

/* ---- Random tokens ---- */

/* The rows of the picture's tokens behind block 1, of which `count` patches are left. */
static void random_rows(uint32_t seed, double keep, size_t count, float rows[REDUCED_PATCHES + 1])
{
    static struct answer a;
    struct schedule s;
    schedule_read(&s, "random:1@1");
    s.reduction.layers[0].keep = keep;
    s.reduction.options.seed = seed;
    vitrt_model *m = reduced_model(reduced_cases[HF_VIT], &s);
    const vitrt_session_options options = { .outputs = s.outputs + 2, .output_count = 1 };
    answers_alone(m, options, reduced_pictures(reduced_cases[HF_VIT]), 1, &a);
    assert_int_equal(a.count, 1 + REDUCED_PATCHES + 1);
    memcpy(rows, a.values + 1, (REDUCED_PATCHES + 1) * sizeof *rows);
    float left = 0;
    for (int i = 0; i <= REDUCED_PATCHES; i++)
        if (rows[i] > 0)
            assert_true(rows[i] == ++left); /* in their order */
    assert_true(rows[0] == 1 && (size_t)left == 1 + count);
    vitrt_model_free(m);
}

static void test_random(void **state)
{
    float first[REDUCED_PATCHES + 1], again[REDUCED_PATCHES + 1], other[REDUCED_PATCHES + 1];
    (void)state;
    random_rows(1, 0.7, 44, first);
    random_rows(1, 0.7, 44, again);
    random_rows(2, 0.7, 44, other);
    assert_memory_equal(first, again, sizeof first);
    assert_true(memcmp(first, other, sizeof first) != 0);
}

/* ---- Shares of less than a token ---- */

static size_t rows_of_features(const char *name, const char *text)
{
    static struct answer a[PICTURES];
    struct schedule s;
    schedule_read(&s, text);
    vitrt_model *m = reduced_model(name, &s);
    const vitrt_session_options options = { .outputs = s.outputs, .output_count = s.output_count };
    answers_alone(m, options, reduced_pictures(name), PICTURES, a);
    for (int i = 0; i < PICTURES; i++) {
        for (size_t v = 0; v < a[i].count; v++)
            assert_true(isfinite(a[i].values[v]));
        assert_true(a[i].values[1 + REDUCED_CLASSES] == a[0].values[1 + REDUCED_CLASSES]);
    }
    vitrt_model_free(m);
    return (size_t)a[0].values[1 + REDUCED_CLASSES];
}

/* One is left, also where a mean of patches answers; what the others became may stand beside it. */
static void test_one_left(void **state)
{
    static const char *const texts[] = { "zero-tprune:1@0.01", "uniform:1@0.01/3@0.5", "random:1@0.01",
                                         "evit:1@0.01/2@0.01", "evit-fused:0@0.01/3@0.01" };
    static const size_t prefixes[REDUCED_CASES] = { 1, 2, 5, 0, 1 };
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++)
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            if (i != TIMM_VIT_AVG_NOCLS || strncmp(texts[k], "evit", 4) != 0)
                assert_int_equal(rows_of_features(reduced_cases[i], texts[k]),
                                 prefixes[i] + 1 + (strncmp(texts[k], "evit-fused", 10) == 0));
}

/* ---- A picture of which nothing can be computed ---- */

/* Finite pixels whose products are not: its scores and similarities are NaN. Others are none the worse for it, and none
 * of its rows is one that there is not. */
static void check_wild(const char *name, const struct golden *g, struct schedule *s)
{
    enum { NUMBERS = REDUCED_SIDE * REDUCED_SIDE * 3 };
    static float wild[NUMBERS];
    static struct answer wanted[PICTURES], found;
    vitrt_session_options options = { .outputs = s->outputs, .output_count = s->output_count, .max_batch = 4 };
    vitrt_output outputs[SCHEDULE_LAYERS + 2] = { 0 };
    vitrt_model *m = reduced_model(name, s);
    vitrt_session *session;
    vitrt_error err;
    (void)g;
    for (int i = 0; i < NUMBERS; i++)
        wild[i] = i % 5 ? 3e38f : -3e38f;
    vitrt_image images[4] = { { .data = wild, .width = REDUCED_SIDE, .height = REDUCED_SIDE,
                                .format = VITRT_FORMAT_F32 } };
    memcpy(images + 1, reduced_pictures(name), 3 * sizeof *images);
    answers_alone(m, options, images + 1, 3, wanted);
    assert_ok(vitrt_session_create(m, &options, &session, &err), &err);
    assert_ok(vitrt_run(session, images, 4, outputs, &err), &err);
    for (size_t i = 0; i < 3; i++) {
        answer_read(&found, outputs, s->output_count, i + 1);
        assert_same_answer(&found, &wanted[i], s->text);
    }
    const size_t tokens = outputs[2].offsets[1];
    for (size_t k = 2; k < s->output_count; k++)
        for (size_t i = 0; i < tokens; i++) {
            const float row = ((const float *)outputs[k].data)[i];
            assert_true(row >= 0 && row <= (float)tokens && row == floorf(row));
        }
    vitrt_session_free(session);
    vitrt_model_free(m);
}

static void test_wild_picture(void **state)
{
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++)
        for_each_schedule(reduced_cases[i], check_wild);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_answers),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bits_at_another_size),
        cmocka_unit_test(test_bits_of_codes),
        cmocka_unit_test(test_all_stay),
        cmocka_unit_test(test_all_stay_by_predictors),
        cmocka_unit_test(test_rows_of_outputs),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_one_left),
        cmocka_unit_test(test_wild_picture),
    };
    return cmocka_run_group_tests(tests, temp_folder_make, temp_folder_remove);
}
