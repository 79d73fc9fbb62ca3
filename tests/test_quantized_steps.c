/* SPDX-License-Identifier: Apache-2.0 */
/* Every step of quantized sessions against double precision (step_reference.h): models of all families, at sizes where
 * windows and blocks stick out, and small graphs for what no family does. */
#include "support.h"

#include "step_reference.h"

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
        const struct step_counts c = check_steps(s, pixels);
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
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t k = 0; k < sizeof options / sizeof *options; k++)
            check_case(names[i], &options[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_golden_cases), cmocka_unit_test(test_other_quantizers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
