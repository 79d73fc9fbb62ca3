/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models that tokens leave in bf16 and with 8-bit codes: what becomes of their tokens is what becomes of them in f32,
 * but for those on the edge of a choice, and where it is the same for all of a picture's tokens, so are the answers.
 */
#include "reduced_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = REDUCED_PATCHES + 5, BLOCKS = 4 };

/* ---- What became of a token: it left, it is a row of its own, or one with others ---- */

enum fate { LEFT, ALONE, MERGED };

static void fates(const float *rows, size_t tokens, enum fate *fate)
{
    int members[TOKENS + 1] = { 0 };
    for (size_t i = 0; i < tokens; i++) {
        assert_true(rows[i] >= 0 && rows[i] <= (float)tokens);
        members[(int)rows[i]]++;
    }
    for (size_t i = 0; i < tokens; i++)
        fate[i] = rows[i] == 0 ? LEFT : members[(int)rows[i]] == 1 ? ALONE : MERGED;
}

/* Of tokens that are candidates; both of one picture. */
struct agreement {
    size_t same, total;
};

static struct agreement agreement_of(const float *a, const float *b, size_t tokens, size_t prefix)
{
    enum fate first[TOKENS], second[TOKENS];
    struct agreement g = { 0, tokens - prefix };
    fates(a, tokens, first);
    fates(b, tokens, second);
    for (size_t i = prefix; i < tokens; i++)
        g.same += first[i] == second[i];
    return g;
}

/* ---- Against f32 ---- */

static const size_t prefixes[REDUCED_CASES] = { 1, 2, 5, 0 };

static double rms(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (b ? b[i] : 0)) * ((double)a[i] - (b ? b[i] : 0));
    return sqrt(sum / (double)n);
}

static struct {
    vitrt_model *of_codes;    /* or NULL: bf16 of the float model */
    struct agreement of_all;  /* behind all blocks of all schedules */
    double errors, pictures;  /* sum of squares of relative errors of logits; of so many, whose tokens all agree */
    double worst;
    size_t prefix;
} seen;

static void compare_picture(const struct schedule *s, const struct answer *f32, const struct answer *other)
{
    bool all_agree = true;
    size_t at = 1 + REDUCED_CLASSES;
    for (size_t k = 2; k < s->output_count; k++) {
        const size_t tokens = (size_t)f32->values[at];
        assert_int_equal(tokens, REDUCED_PATCHES + seen.prefix);
        assert_true(other->values[at] == f32->values[at]);
        const struct agreement g =
            agreement_of(f32->values + at + 1, other->values + at + 1, tokens, seen.prefix);
        all_agree &= memcmp(f32->values + at + 1, other->values + at + 1, tokens * sizeof(float)) == 0;
        seen.of_all.same += g.same;
        seen.of_all.total += g.total;
        at += 1 + tokens;
    }
    const double error = rms(other->values + 1, f32->values + 1, REDUCED_CLASSES) /
                         rms(f32->values + 1, NULL, REDUCED_CLASSES);
    if (!all_agree)
        return;
    seen.errors += error * error;
    seen.pictures++;
    seen.worst = fmax(seen.worst, error);
}

static void compare_schedule(const char *name, const struct golden *g, struct schedule *s)
{
    static struct answer f32[PICTURES], other[PICTURES];
    vitrt_model *m = reduced_model(name, s), *second = NULL;
    vitrt_error err;
    (void)g;
    for (size_t k = 2; k < s->output_count; k++) /* without features */
        s->outputs[k - 1] = s->outputs[k];
    vitrt_session_options options = { .outputs = s->outputs, .output_count = s->output_count - 1 };
    answers_alone(m, options, reduced_pictures(name), PICTURES, f32);
    if (seen.of_codes)
        assert_ok(vitrt_model_reduce(seen.of_codes, reduction_options(&s->reduction), &second, &err), &err);
    else
        options.precision = VITRT_PRECISION_BF16;
    answers_alone(second ? second : m, options, reduced_pictures(name), PICTURES, other);
    for (int i = 0; i < PICTURES; i++)
        compare_picture(s, &f32[i], &other[i]);
    vitrt_model_free(second);
    vitrt_model_free(m);
}

static void compare_case(int i, const char *what, double least_agreement, double error)
{
    seen.of_all = (struct agreement){ 0, 0 };
    seen.errors = seen.pictures = seen.worst = 0;
    seen.prefix = prefixes[i];
    for_each_schedule(reduced_cases[i], compare_schedule);
    const double agreement = (double)seen.of_all.same / (double)seen.of_all.total;
    const double mean = sqrt(seen.errors / seen.pictures);
    print_message("%s %s: %.4f of the tokens as in f32; error %.4f, at most %.4f, of %g answers\n", reduced_cases[i],
                  what, agreement, mean, seen.worst, seen.pictures);
    assert_true(seen.pictures > 0);
    assert_true(agreement >= least_agreement);
    assert_true(mean <= error);
}

static void test_bf16(void **state)
{
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++)
        compare_case(i, "bf16", 0.9, 1);
}

static void test_codes(void **state)
{
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++) {
        seen.of_codes = quantized_case(reduced_cases[i], NULL);
        compare_case(i, "i8", 0.8, 1);
        vitrt_model_free(seen.of_codes);
        seen.of_codes = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bf16), cmocka_unit_test(test_codes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
