/* SPDX-License-Identifier: Apache-2.0 */
/* vitrt_model_reduce as it is called: what it refuses, budgets, every allocation may fail. */
#include "reduced_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vitrt_model *open_case(const char *name, struct counting *counting)
{
    vitrt_model *m;
    vitrt_error err;
    counting_init(counting);
    const vitrt_model_options options = { .allocator = &counting->allocator };
    assert_ok(vitrt_model_open(golden_path(name, ""), &options, &m, &err), &err);
    return m;
}

/* ---- Refused ---- */

static void expect_refused(const vitrt_model *m, const vitrt_reduce_options *o, vitrt_status status,
                           const char *sentence)
{
    vitrt_model *out = (vitrt_model *)m;
    vitrt_error err = { 0 };
    const vitrt_status st = vitrt_model_reduce(m, o, &out, &err);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    assert_int_equal(st, status);
    assert_int_equal(err.status, status);
    assert_null(out);
    assert_int_equal(vitrt_model_reduce(m, o, &out, NULL), status);
    assert_null(out);
}

/* Two layers that a method takes, then what is wrong with them; o and l may be changed. */
#define REFUSED(m, method_, status, sentence, ...)                                                                     \
    do {                                                                                                               \
        vitrt_reduce_layer l[2] = { { .block = 1, .keep = 0.5 }, { .block = 2, .count = 9 } };                         \
        vitrt_reduce_options o = { .method = VITRT_REDUCTION_##method_, .layers = l, .layer_count = 2 };               \
        __VA_ARGS__;                                                                                                   \
        expect_refused(m, &o, status, sentence);                                                                       \
    } while (0)
#define INVALID(method_, sentence, ...) REFUSED(m, method_, VITRT_EINVAL, sentence, __VA_ARGS__)

static void test_bad_layers(void **state)
{
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[HF_VIT], &counting);
    const size_t live = counting.live;
    (void)state;
    INVALID(EVIT, "layer 1 is for block 4, the model has blocks 0 to 3", l[1].block = 4);
    INVALID(TOME, "layer 0 is for block 4294967295, the model has blocks 0 to 3", l[0].block = UINT32_MAX);
    INVALID(ATS, "layer 1 is for block 1 behind one for block 1", l[1].block = 1);
    INVALID(UNIFORM, "layer 1 is for block 0 behind one for block 1", l[1].block = 0);
    INVALID(ZERO_TPRUNE, "layer 0 keeps -0.5", l[0].keep = -0.5);
    INVALID(EVIT, "layer 0 keeps 1.01", l[0].keep = 1.01);
    INVALID(TOME, "layer 0 keeps nan", l[0].keep = NAN);
    INVALID(TOME, "layer 0 keeps inf", l[0].keep = INFINITY);
    INVALID(RANDOM, "expected a share over 0 and up to 1, or a count", l[0].keep = 0);
    INVALID(RANDOM, "expected a share over 0 and up to 1, or a count", l[1].count = 0);
    INVALID(ATS, "layer 1 keeps 0.5 and has the count 9", l[1].keep = 0.5);
    INVALID(ATS, "layer 1 takes 1 sample, expected at least 2", l[1].count = 1);
    INVALID(EVIT, "layer 1 has members that are not of this method", l[1].similar = 3);
    INVALID(EVIT, "layer 0 has members that are not of this method", l[0].rounds = 1);
    INVALID(ZERO_TPRUNE, "layer 1 has 1001 rounds of votes, expected up to 1000", l[1].rounds = 1001);
    INVALID(ZERO_TPRUNE, "layer 0 has members that are not of this method", l[0].reserved64[0] = 1);
    INVALID(TOME, "layer 0 has members that are not of this method", l[0].threshold = 0.9);
    INVALID(TOME, "layer 1 has members that are not of this method", l[1].reserved64[1] = 1);
    assert_int_equal(counting.live, live);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_bad_options(void **state)
{
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[HF_VIT], &counting);
    const vitrt_reduce_options good = { .method = VITRT_REDUCTION_TOME, .budget = 0.8 };
    const vitrt_session_options timed = { .threads = 1 };
    const size_t live = counting.live;
    vitrt_error err;
    (void)state;
    assert_int_equal(vitrt_model_reduce(m, &good, NULL, &err), VITRT_EINVAL);
    expect_refused(NULL, &good, VITRT_EINVAL, "the model is NULL");
    expect_refused(m, NULL, VITRT_EINVAL, "none that this version knows");
    INVALID(TOME, "method 0 of token reduction is none that this version knows", o.method = (vitrt_reduction)0);
    INVALID(TOME, "method 10 of token reduction is none that this version knows", o.method = (vitrt_reduction)10);
    INVALID(TOME, "flags that are not of this method", o.flags = VITRT_REDUCE_FUSE);
    INVALID(TOME, "flags that are not of this method", o.flags = 1024);
    INVALID(EVIT, "flags that are not of this method", o.flags = 1u << 31);
    INVALID(TOME, "reserved member", o.reserved32 = 1);
    INVALID(TOME, "reserved member 2 of the options is not zero", o.reserved[2] = m);
    INVALID(TOME, "layer_count is 2 but layers is NULL", o.layers = NULL);
    INVALID(TOME, "expected either layers or a budget", o.layer_count = 0);
    INVALID(TOME, "expected either layers or a budget", o.budget = 0.5);
    INVALID(TOME, "the budget is -0.1", o.layer_count = 0, o.budget = -0.1);
    INVALID(TOME, "the budget is 1.5", o.layer_count = 0, o.budget = 1.5);
    INVALID(TOME, "the budget is nan", o.layer_count = 0, o.budget = NAN);
    INVALID(TOME, "a budget of time is asked for, but layers are given", o.timed = &timed);
    INVALID(ATS, "how much time ATS takes is up to each image", o.layer_count = 0, o.budget = 0.5, o.timed = &timed);
    INVALID(TOME, "the budget is 1.5 of the time", o.layer_count = 0, o.budget = 1.5, o.timed = &timed);
    INVALID(TOME, "the input size is 32x0", o.height = 32);
    INVALID(TOME, "the input size is 0x32", o.width = 32);
    INVALID(TOME, "the input size is 16385x32", o.height = VITRT_MAX_INPUT_SIDE + 1, o.width = 32);
    assert_int_equal(counting.live, live);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* Models of which no token can leave. */
static void test_unsuited_models(void **state)
{
    static const struct {
        const char *name, *sentence;
    } models[] = { { "hf_swin", "attends in windows of a map" },
                   { "timm_swin", "attends in windows of a map" },
                   { "hf_swinv2", "attends in windows of a map" },
                   { "timm_swinv2", "attends in windows of a map" },
                   { "hf_cvt", "convolves a map between blocks" },
                   { "hf_cvt_no_class_token", "convolves a map between blocks" } };
    struct counting counting;
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        vitrt_model *m = open_case(models[i].name, &counting);
        const size_t live = counting.live;
        REFUSED(m, TOME, VITRT_EUNSUPPORTED, models[i].sentence, o.layer_count = 1);
        REFUSED(m, UNIFORM, VITRT_EUNSUPPORTED, models[i].name, o.layer_count = 0, o.budget = 0.5);
        assert_int_equal(counting.live, live);
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

static void test_no_class_token(void **state)
{
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[TIMM_VIT_AVG_NOCLS], &counting);
    const size_t live = counting.live;
    (void)state;
    INVALID(ATS, "the method goes by what a class token attends to, the model has none", (void)0);
    INVALID(EVIT, "the method goes by what a class token attends to, the model has none", (void)0);
    INVALID(EVIT, "the model has none", o.flags = VITRT_REDUCE_FUSE);
    INVALID(ATS, "the model has none", o.layer_count = 0, o.budget = 0.5);
    assert_int_equal(counting.live, live);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_reduced_already(void **state)
{
    static const char *const texts[] = { "ats:1@0.5", "zero-tprune:1@0.5+3", "tome:1@0.5", "evit-fused:1@0.5",
                                         "evit:1@0.5", "uniform:1@0.5",       "random:3@1" };
    struct counting counting;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct schedule s;
        vitrt_model *base = open_case(reduced_cases[HF_VIT], &counting), *m;
        vitrt_error err;
        schedule_read(&s, texts[i]);
        assert_ok(vitrt_model_reduce(base, reduction_options(&s.reduction), &m, &err), &err);
        vitrt_model_free(base);
        const size_t live = counting.live;
        REFUSED(m, TOME, VITRT_EUNSUPPORTED, "reduces them already", (void)0);
        REFUSED(m, EVIT, VITRT_EUNSUPPORTED, "reduces them already", o.layer_count = 0, o.budget = 0.5);
        assert_int_equal(counting.live, live);
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

static void test_predictors(void **state)
{
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[TIMM_DEIT], &counting);
    size_t live = counting.live;
    (void)state;
    INVALID(DYNAMICVIT,
            "layer 0 is for block 1, but there is no output score.1: tokens leave by what a predictor before "
            "the block says",
            (void)0);
    INVALID(DYNAMICVIT, "layer 0 keeps 0 and has the count 0", l[0].block = 0, l[0].keep = 0);
    INVALID(DYNAMICVIT, "layer 1 has members that are not of this method", l[0].block = 0, l[1].similar = 1);
    INVALID(DYNAMICVIT, "layer 0 has members that are not of this method", l[0].block = 0, l[0].threshold = 0.5);
    INVALID(DYNAMICVIT, "flags that are not of this method", o.flags = VITRT_REDUCE_FUSE);
    INVALID(DYNAMICVIT, "a halting_scale or halting_center, as only A-ViT has", o.halting_scale = 1);
    assert_int_equal(counting.live, live);
    vitrt_model_free(m);
    m = open_case(reduced_cases[HF_VIT], &counting);
    live = counting.live;
    INVALID(DYNAMICVIT, "layer 0 is for block 1, but there is no output score.1", (void)0);
    INVALID(DYNAMICVIT, "there is no output score.K, what a predictor before block K says", o.layer_count = 0,
            o.budget = 0.5);
    assert_int_equal(counting.live, live);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_halting(void **state)
{
    static const struct {
        int reduced_case;
        vitrt_status status;
        const char *sentence;
    } unsuited[] = { { HF_DEIT_DISTILLED, VITRT_EUNSUPPORTED,
                       "node distillation_token reads more of the last block than its class token" },
                     { HF_DINOV2_REGISTERS, VITRT_EUNSUPPORTED,
                       "node patch_mean reads more of the last block than its class token" },
                     { TIMM_VIT_AVG_NOCLS, VITRT_EINVAL, "the method goes by a class token, the model has none" } };
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[TIMM_DEIT], &counting);
    const size_t live = counting.live;
    (void)state;
    INVALID(A_VIT, "tokens may leave behind every block: expected neither layers nor a budget", (void)0);
    INVALID(A_VIT, "expected neither layers nor a budget", o.layer_count = 0, o.budget = 0.5);
    INVALID(A_VIT, "halting_scale is -1 and halting_center 0", o.layer_count = 0, o.halting_scale = -1);
    INVALID(A_VIT, "halting_scale is nan", o.layer_count = 0, o.halting_scale = NAN);
    INVALID(A_VIT, "halting_scale is 0 and halting_center -1e+300", o.layer_count = 0, o.halting_center = -1e300);
    INVALID(A_VIT, "flags that are not of this method", o.layer_count = 0, o.flags = VITRT_REDUCE_FUSE);
    assert_int_equal(counting.live, live);
    vitrt_model_free(m);
    for (size_t i = 0; i < sizeof unsuited / sizeof *unsuited; i++) {
        m = open_case(reduced_cases[unsuited[i].reduced_case], &counting);
        REFUSED(m, A_VIT, unsuited[i].status, unsuited[i].sentence, o.layer_count = 0);
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

/* How command lines say it. */
static void test_notation_of_halting(void **state)
{
    static const char *const wrong[] = { "a-vit:", "a-vit:2", "a-vit:2/", "a-vit:/3", "a-vit:-2/3", "a-vit:2/3/4",
                                         "a-vit:2/--3", "a-vit:3@0.5" };
    struct reduction r;
    char text[64];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(reduction_from_text(wrong[i], strlen(wrong[i]), &r));
    assert_true(reduction_from_text("a-vit,", 5, &r));
    assert_true(r.options.halting_scale == 0 && r.options.halting_center == 0);
    assert_true(reduction_from_text("a-vit:2.5/-1,", 12, &r));
    assert_true(r.options.halting_scale == 2.5 && r.options.halting_center == -1);
    reduction_to_text(&r, text, sizeof text);
    assert_string_equal(text, "a-vit:2.5/-1");
}

/* ---- Counts and shares beyond what there is ---- */

static void expect_same_bits(const char *text, const char *other)
{
    static struct answer answers[2];
    const char *const texts[2] = { text, other };
    for (int i = 0; i < 2; i++) {
        struct schedule s;
        schedule_read(&s, texts[i]);
        vitrt_model *m = reduced_model(reduced_cases[HF_VIT], &s);
        const vitrt_session_options options = { .outputs = s.outputs, .output_count = s.output_count };
        answers_alone(m, options, reduced_pictures(reduced_cases[HF_VIT]), 1, &answers[i]);
        vitrt_model_free(m);
    }
    assert_same_answer(&answers[0], &answers[1], text);
}

static void test_beyond_what_there_is(void **state)
{
    (void)state;
    expect_same_bits("tome:1@0.1/2@0.3", "tome:1@0.5/2@0.5"); /* half is left at least */
    expect_same_bits("tome:1@1000/2@33", "tome:1@0.5/2@0.5");
    expect_same_bits("ats:1@0.02/3@0.3", "ats:1@2/3@2"); /* two samples at least */
    expect_same_bits("ats:1@0.001", "ats:1@2");
    expect_same_bits("zero-tprune:1@0.5+1000", "zero-tprune:1@0.5+32"); /* the less important half, at most */
    expect_same_bits("zero-tprune:1@0.5+3v1", "zero-tprune:1@0.5+3");
    expect_same_bits("zero-tprune-vote-again:1@0.5v5/2@0.5", "zero-tprune:1@0.5v5/2@0.5"); /* all are left to vote */
}

/* ---- Budgets ---- */

static uint64_t macs_of(const vitrt_model *m)
{
    vitrt_session_info info;
    vitrt_error err;
    assert_ok(vitrt_session_measure(m, NULL, &info, &err), &err);
    return info.macs_per_image;
}

static void check_budget(const vitrt_model *m, vitrt_reduction method, double budget)
{
    const vitrt_reduce_options o = { .method = method, .budget = budget };
    vitrt_model *reduced;
    vitrt_error err;
    assert_ok(vitrt_model_reduce(m, &o, &reduced, &err), &err);
    const double share = (double)macs_of(reduced) / (double)macs_of(m);
    if (!(share <= budget && share >= 0.97 * budget))
        fail_msg("method %d: a budget of %g became %g", (int)method, budget, share);
    vitrt_model_free(reduced);
}

static void test_budgets(void **state)
{
    static const double budgets[] = { 0.9, 0.8, 0.7, 0.6, 0.5 };
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_open("../models/zoo/vit_s14_tin100", NULL, &m, &err), &err);
    for (int method = VITRT_REDUCTION_ATS; method <= VITRT_REDUCTION_RANDOM; method++)
        for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++)
            check_budget(m, (vitrt_reduction)method, budgets[i]);
    vitrt_model_free(m);
}

/* A budget becomes layers, and these a model that costs the same. */
static void check_schedule(const vitrt_model *m, vitrt_reduction method)
{
    vitrt_reduce_layer layers[12], first;
    size_t count = 12, room = 1;
    vitrt_model *by_budget, *by_layers;
    vitrt_error err;
    const vitrt_reduce_options budget = { .method = method, .budget = 0.6 };
    assert_ok(vitrt_reduce_schedule(m, &budget, layers, &count, &err), &err);
    assert_in_range(count, 1, 12);
    const vitrt_reduce_options o = { .method = method, .layers = layers, .layer_count = count };
    assert_ok(vitrt_model_reduce(m, &budget, &by_budget, &err), &err);
    assert_ok(vitrt_model_reduce(m, &o, &by_layers, &err), &err);
    assert_true(macs_of(by_budget) == macs_of(by_layers));
    assert_ok(vitrt_reduce_schedule(m, &budget, &first, &room, &err), &err);
    assert_int_equal(room, count);
    assert_memory_equal(&first, &layers[0], sizeof first);
    assert_ok(vitrt_reduce_schedule(m, &o, NULL, &(size_t){ 0 }, &err), &err);
    vitrt_model_free(by_layers);
    vitrt_model_free(by_budget);
}

static void test_schedules(void **state)
{
    vitrt_model *m;
    vitrt_error err;
    size_t count = 3;
    const vitrt_reduce_options o = { .method = VITRT_REDUCTION_TOME, .budget = 0.5 };
    (void)state;
    assert_ok(vitrt_model_open("../models/zoo/vit_s14_tin100", NULL, &m, &err), &err);
    for (int method = VITRT_REDUCTION_ATS; method <= VITRT_REDUCTION_RANDOM; method++)
        check_schedule(m, (vitrt_reduction)method);
    assert_int_equal(vitrt_reduce_schedule(m, &o, NULL, &count, &err), VITRT_EINVAL);
    assert_string_equal(err.message, "layers is NULL");
    assert_int_equal(vitrt_reduce_schedule(m, &o, NULL, NULL, &err), VITRT_EINVAL);
    assert_string_equal(err.message, "count is NULL");
    vitrt_model_free(m);
}

/* Of tokens that leave before their queries exist only keys and values are computed. */
static void test_late_queries(void **state)
{
    const uint64_t width = 384, blocks = 12, heads = 6, all = 145, leaving = 40, left = all - leaving;
    const uint64_t product = leaving * width * width, per_key = 2 * width;
    const uint64_t in_block = (1 + 1 + 8) * product + per_key * leaving * all; /* q, projection, MLP */
    const uint64_t behind = 12 * product + per_key * (all * all - left * left);
    const uint64_t compared = (all - 1) / 2 * ((all - 1) / 2) * (width / heads);
    const vitrt_reduce_layer layer = { .block = 0, .count = (uint32_t)leaving };
    const vitrt_reduce_options o = {
        .method = VITRT_REDUCTION_TOME, .flags = VITRT_REDUCE_DROP_EARLY, .layers = &layer, .layer_count = 1
    };
    vitrt_model *m, *reduced;
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_open("../models/zoo/vit_s14_tin100", NULL, &m, &err), &err);
    assert_ok(vitrt_model_reduce(m, &o, &reduced, &err), &err);
    assert_int_equal(macs_of(m) - macs_of(reduced), in_block + (blocks - 1) * behind - compared);
    vitrt_model_free(reduced);
    vitrt_model_free(m);
}

static void test_impossible_budgets(void **state)
{
    struct counting counting;
    (void)state;
    for (int i = 0; i < REDUCED_CASES; i++) {
        vitrt_model *m = open_case(reduced_cases[i], &counting);
        const size_t live = counting.live;
        for (int method = VITRT_REDUCTION_ATS; method <= VITRT_REDUCTION_RANDOM; method++)
            if (i != TIMM_VIT_AVG_NOCLS || (method != VITRT_REDUCTION_ATS && method != VITRT_REDUCTION_EVIT)) {
                const vitrt_reduce_options o = { .method = (vitrt_reduction)method, .budget = 1e-6 };
                expect_refused(m, &o, VITRT_EINVAL, "no schedule has 1e-06 of the multiply-adds or less");
            }
        assert_int_equal(counting.live, live);
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

/* Every predictor keeps the same share. */
/* How fast which schedule is is not for a test to say: some may be within nearly all of the time, none within none. */
static void test_budgets_of_time(void **state)
{
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[HF_VIT], &counting), *d = NULL;
    const vitrt_session_options timed = { .threads = 2, .precision = VITRT_PRECISION_BF16, .max_batch = 3 };
    vitrt_reduce_options o = { .method = VITRT_REDUCTION_TOME, .budget = 1e-9, .timed = &timed };
    vitrt_error err;
    (void)state;
    expect_refused(m, &o, VITRT_EINVAL, "no schedule has 1e-09 of the time or less");
    o.budget = 1;
    if (vitrt_model_reduce(m, &o, &d, &err))
        assert_non_null(strstr(err.message, "of the time or less"));
    vitrt_model_free(d);
    const vitrt_session_options wrong = { .threads = -1 };
    o.timed = &wrong;
    expect_refused(m, &o, VITRT_EINVAL, "threads");
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_budget_of_predictors(void **state)
{
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[TIMM_DEIT], &counting);
    (void)state;
    const vitrt_reduce_options o = { .method = VITRT_REDUCTION_DYNAMICVIT, .budget = 0.6 };
    vitrt_model *reduced;
    vitrt_error err;
    assert_ok(vitrt_model_reduce(m, &o, &reduced, &err), &err);
    const double share = (double)macs_of(reduced) / (double)macs_of(m);
    assert_true(share <= 0.6 && share >= 0.55);
    vitrt_model_free(reduced);
    const vitrt_reduce_options least = { .method = VITRT_REDUCTION_DYNAMICVIT, .budget = 1e-6 };
    expect_refused(m, &least, VITRT_EINVAL, "no schedule has 1e-06 of the multiply-adds or less");
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* All of it: nothing leaves, and nothing is multiplied more often. */
static void test_whole_budget(void **state)
{
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[HF_VIT], &counting);
    (void)state;
    for (int method = VITRT_REDUCTION_ZERO_TPRUNE; method <= VITRT_REDUCTION_RANDOM; method++) {
        const vitrt_reduce_options o = { .method = (vitrt_reduction)method, .budget = 1 };
        vitrt_model *reduced;
        vitrt_error err;
        assert_ok(vitrt_model_reduce(m, &o, &reduced, &err), &err);
        assert_true(macs_of(reduced) <= macs_of(m));
        vitrt_model_free(reduced);
    }
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* ---- Memory ---- */

static void fail_each_allocation(const vitrt_model *m, struct counting *c, const vitrt_reduce_options *o)
{
    const size_t live = c->live;
    for (size_t n = 1;; n++) {
        vitrt_model *reduced;
        vitrt_error err = { 0 };
        c->fail_at = c->calls + n;
        const vitrt_status st = vitrt_model_reduce(m, o, &reduced, &err);
        c->fail_at = 0;
        if (!st) {
            assert_true(n > 5);
            vitrt_model_free(reduced);
            assert_int_equal(c->live, live);
            return;
        }
        assert_int_equal(st, VITRT_ENOMEM);
        assert_int_equal(err.status, VITRT_ENOMEM);
        assert_true(err.message[0] != 0);
        assert_null(reduced);
        assert_int_equal(c->live, live);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    static const char *const texts[] = { "ats:1@0.5/3@0.5",         "ats-paper:1@0.5",   "zero-tprune:1@0.5+3/2@0.5v5",
                                         "tome:0@0.5/1@0.5/2@0.5",  "evit-fused:1@0.5",  "evit:1@0.5/2@0.5",
                                         "uniform:1@0.5/2@0.5",     "random:1@0.5",      "zero-tprune:0.7",
                                         "zero-tprune-vote-again:1@0.5+3v5" };
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[HF_DINOV2_REGISTERS], &counting);
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct reduction r;
        assert_true(reduction_from_text(texts[i], strlen(texts[i]), &r));
        fail_each_allocation(m, &counting, reduction_options(&r));
    }
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_every_allocation_may_fail_of_trained_ones(void **state)
{
    static const char *const texts[] = { "dynamicvit:0@0.5/3@7", "dynamicvit:0.5", "a-vit", "a-vit:2/-1" };
    struct counting counting;
    vitrt_model *m = open_case(reduced_cases[TIMM_DEIT], &counting);
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct reduction r;
        assert_true(reduction_from_text(texts[i], strlen(texts[i]), &r));
        fail_each_allocation(m, &counting, reduction_options(&r));
    }
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_layers),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_unsuited_models),
        cmocka_unit_test(test_no_class_token),
        cmocka_unit_test(test_reduced_already),
        cmocka_unit_test(test_beyond_what_there_is),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_late_queries),
        cmocka_unit_test(test_impossible_budgets),
        cmocka_unit_test(test_budgets_of_time),
        cmocka_unit_test(test_whole_budget),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_predictors),
        cmocka_unit_test(test_halting),
        cmocka_unit_test(test_notation_of_halting),
        cmocka_unit_test(test_budget_of_predictors),
        cmocka_unit_test(test_every_allocation_may_fail_of_trained_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
