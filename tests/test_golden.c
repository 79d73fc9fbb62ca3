/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every golden case against PyTorch's own answers, from the picture's file on: pixels, every block, and logits or
 * features.
 *
 * Bounds: pixels 1e-6 absolute (they go through one 8-bit table in both). Everything else 1e-4 of the tensor's largest
 * value: f32 products of up to some thousand terms in another order differ by about sqrt(K) * 2^-24 each, some 20 of
 * them in a row stay below 2e-5.
 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OUTPUTS 16

/* Names of the first image's answers, without "0/". */
static size_t output_names(const struct golden *g, const char **names)
{
    size_t count = 0;
    for (size_t i = 0; i < g->tensors.count; i++)
        if (!strncmp(g->tensors.items[i].name, "0/", 2)) {
            assert_true(count < MAX_OUTPUTS);
            names[count++] = g->tensors.items[i].name + 2;
        }
    assert_true(count > 0);
    return count;
}

static bool compare(const char *name, int image, const vitrt_output *out, const float *wanted, uint64_t count)
{
    const float *found = out->data;
    const bool pixels = !strcmp(out->name, "pixels");
    double largest = 0, worst = 0;
    if (out->offsets[1] * out->columns != count) {
        print_error("%s: %d/%s: %zu x %zu values, expected %llu\n", name, image, out->name, out->offsets[1],
                    out->columns, (unsigned long long)count);
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        const double difference = fabs((double)found[i] - wanted[i]);
        largest = fmax(largest, fabs(wanted[i]));
        worst = difference > worst || isnan(difference) ? difference : worst;
    }
    const double bound = pixels ? 1e-6 : 1e-4 * largest;
    if (worst <= bound)
        return true;
    print_error("%s: %d/%s: off by %g, expected at most %g\n", name, image, out->name, worst, bound);
    return false;
}

static int failures, cases;

static void check_case(const char *name)
{
    struct golden g;
    const char *names[MAX_OUTPUTS];
    vitrt_session_options options = { .outputs = names };
    vitrt_model *model;
    vitrt_session *session;
    bool good = true;
    golden_open(&g, name);
    options.output_count = output_names(&g, names);
    golden_size(name, &options.height, &options.width);
    open_session(name, &options, &model, &session);
    for (int i = 0;; i++) {
        char key[96];
        vitrt_output outputs[MAX_OUTPUTS] = { 0 };
        vitrt_error err;
        snprintf(key, sizeof key, "%d/pixels", i);
        if (!golden_find(&g, key))
            break;
        vitrt_image image = golden_image(name, i);
        assert_ok(vitrt_run(session, &image, 1, outputs, &err), &err);
        vitrt_image_free(&image);
        for (size_t k = 0; k < options.output_count; k++) {
            snprintf(key, sizeof key, "%d/%s", i, names[k]);
            const struct vt_tensor *t = golden_find(&g, key);
            assert_non_null(t);
            float *wanted = golden_read(&g, t);
            good &= compare(name, i, &outputs[k], wanted, t->count);
            free(wanted);
        }
    }
    vitrt_session_free(session);
    vitrt_model_free(model);
    golden_close(&g);
    failures += !good;
    cases++;
}

static void test_all_cases(void **state)
{
    (void)state;
    for_each_golden(check_case);
    print_message("%d golden cases\n", cases);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_cases) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
