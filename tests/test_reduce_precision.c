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

/* ---- Against f32 ----
 *
 * The error model. In bf16, errors of logits are those of test_precision.c: about 2^-9 sqrt(10 blocks + 4) of their
 * size. With codes they are what the model that no token leaves shows. In either case a mean may be MOST times as
 * large.
 *
 * A token changes sides where its score is as near to the threshold as the score's error, which is 0.01 of the score in
 * bf16 and about 0.025 with codes. Scores spread over a factor of about 2, so twice that share of the tokens is on an
 * edge, in each of up to three layers. */
#define MOST  2.5
#define EDGES (3 * 2 * 0.025)

static const size_t prefixes[REDUCED_CASES] = { 1, 2, 5, 0, 1 };

static double rms(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a[i] - (b ? (double)b[i] : 0);
        sum += x * x;
    }
    return sqrt(sum / (double)n);
}

static double relative_error(const struct answer *f32, const struct answer *other)
{
    return rms(other->values + 1, f32->values + 1, REDUCED_CLASSES) / rms(f32->values + 1, NULL, REDUCED_CLASSES);
}

static struct {
    vitrt_precision precision;
    vitrt_model *of_codes;   /* or NULL: of the float model */
    struct agreement of_all; /* behind all blocks of all schedules */
    double errors, answers;  /* sum of squares of relative errors of logits; of so many, whose tokens all agree */
    size_t prefix;
} seen;

static void compare_picture(const struct schedule *s, const struct answer *f32, const struct answer *other)
{
    bool all_agree = true;
    size_t at = 1 + REDUCED_CLASSES;
    for (size_t k = 1; k < s->output_count; k++) {
        const size_t tokens = (size_t)f32->values[at];
        assert_int_equal(tokens, REDUCED_PATCHES + seen.prefix);
        assert_true(other->values[at] == f32->values[at]);
        const float *a = f32->values + at + 1, *b = other->values + at + 1;
        const struct agreement g = agreement_of(a, b, tokens, seen.prefix);
        all_agree &= memcmp(a, b, tokens * sizeof *a) == 0;
        seen.of_all.same += g.same;
        seen.of_all.total += g.total;
        at += 1 + tokens;
    }
    if (!all_agree)
        return;
    const double error = relative_error(f32, other);
    seen.errors += error * error;
    seen.answers++;
}

static void compare_schedule(const char *name, const struct golden *g, struct schedule *s)
{
    static struct answer f32[PICTURES], other[PICTURES];
    vitrt_model *m, *second = NULL;
    vitrt_error err;
    (void)g;
    if (seen.precision == VITRT_PRECISION_I8_STRICT && !schedule_has_integers(s))
        return;
    m = reduced_model(name, s);
    s->output_count--; /* without features */
    for (size_t k = 1; k < s->output_count; k++)
        s->outputs[k] = s->outputs[k + 1];
    vitrt_session_options options = { .outputs = s->outputs, .output_count = s->output_count };
    answers_alone(m, options, reduced_pictures(name), PICTURES, f32);
    if (seen.of_codes)
        assert_ok(vitrt_model_reduce(seen.of_codes, reduction_options(&s->reduction), &second, &err), &err);
    options.precision = seen.precision;
    answers_alone(second ? second : m, options, reduced_pictures(name), PICTURES, other);
    for (int i = 0; i < PICTURES; i++)
        compare_picture(s, &f32[i], &other[i]);
    vitrt_model_free(second);
    vitrt_model_free(m);
}

/* error: what is expected of logits. */
static void compare_case(int i, double error)
{
    static const char *const what[] = {
        [VITRT_PRECISION_BF16] = "bf16", [VITRT_PRECISION_I8] = "i8", [VITRT_PRECISION_I8_STRICT] = "i8-strict"
    };
    seen.of_all = (struct agreement){ 0, 0 };
    seen.errors = seen.answers = 0;
    seen.prefix = prefixes[i];
    for_each_schedule(reduced_cases[i], compare_schedule);
    if (seen.precision == VITRT_PRECISION_I8_STRICT && !seen.of_all.total)
        return; /* no schedule has such a form */
    assert_true(seen.answers > 0);
    const double others = 1 - (double)seen.of_all.same / (double)seen.of_all.total,
                 mean = sqrt(seen.errors / seen.answers);
    print_message("%s %s: %.3f of the tokens otherwise than in f32; where none is, errors of %.4f, expected %.4f\n",
                  reduced_cases[i], what[seen.precision], others, mean, error);
    assert_true(others <= EDGES);
    assert_true(mean <= MOST * error);
}

static void test_bf16(void **state)
{
    (void)state;
    seen.precision = VITRT_PRECISION_BF16;
    for (int i = 0; i < REDUCED_CASES; i++)
        compare_case(i, 0x1p-9 * sqrt(10.0 * BLOCKS + 4));
}

/* The root mean square over all pictures, where no token leaves. */
static double error_of_codes(const char *name)
{
    static const char *const logits = "logits";
    static struct answer f32[PICTURES], codes[PICTURES];
    vitrt_session_options options = { .outputs = &logits, .output_count = 1 };
    vitrt_model *m;
    vitrt_error err;
    double sum = 0;
    assert_ok(vitrt_model_open(golden_path(name, ""), NULL, &m, &err), &err);
    answers_alone(m, options, reduced_pictures(name), PICTURES, f32);
    options.precision = seen.precision;
    answers_alone(seen.of_codes, options, reduced_pictures(name), PICTURES, codes);
    for (int i = 0; i < PICTURES; i++)
        sum += relative_error(&f32[i], &codes[i]) * relative_error(&f32[i], &codes[i]);
    vitrt_model_free(m);
    return sqrt(sum / PICTURES);
}

static void test_codes(void **state)
{
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++) {
        seen.of_codes = quantized_case(reduced_cases[i], NULL);
        for (seen.precision = VITRT_PRECISION_I8; seen.precision <= VITRT_PRECISION_I8_STRICT; seen.precision++)
            compare_case(i, error_of_codes(reduced_cases[i]));
        vitrt_model_free(seen.of_codes);
        seen.of_codes = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bf16), cmocka_unit_test(test_codes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
