/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: the same bits for every thread count, batch, position and floating-point environment of the caller;
 * options, outputs and lifetimes. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "support.h"

#include <fenv.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "os.h"

#define CASE    "timm_dinov2_reg"
#define CLASSES 10

/* ---- Bits ---- */

/* The logits of one golden image, one thread, batch 1: what every other way of running must repeat. */
static void reference(int image, float *logits)
{
    const vitrt_session_options one = { .threads = 1 };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    open_session(CASE, &one, &m, &s);
    vitrt_image picture = golden_image(CASE, image);
    vitrt_output out = { .buffer = logits, .buffer_bytes = CLASSES * sizeof(float) };
    assert_ok(vitrt_run(s, &picture, 1, &out, &err), &err);
    assert_int_equal(out.columns, CLASSES);
    vitrt_image_free(&picture);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void test_threads_change_no_bit(void **state)
{
    float wanted[CLASSES];
    (void)state;
    reference(0, wanted);
    vitrt_image picture = golden_image(CASE, 0);
    for (int threads = 1; threads <= 4; threads++) {
        const vitrt_session_options options = { .threads = threads };
        vitrt_model *m;
        vitrt_session *s;
        vitrt_error err;
        vitrt_output out = { 0 };
        open_session(CASE, &options, &m, &s);
        for (int run = 0; run < 5; run++) {
            assert_ok(vitrt_run(s, &picture, 1, &out, &err), &err);
            assert_memory_equal(out.data, wanted, sizeof wanted);
        }
        vitrt_session_free(s);
        vitrt_model_free(m);
    }
    vitrt_image_free(&picture);
}

/* ---- Normalised images: read where they lie, or copied where they cannot be ---- */

enum { SIDE = 70, PIXELS = SIDE * SIDE * 3 };

/* The preprocessed input of a golden image. */
static void golden_pixels(int image, float *pixels)
{
    static const char *const name = "pixels";
    const vitrt_session_options options = { .threads = 1, .outputs = &name, .output_count = 1 };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    open_session(CASE, &options, &m, &s);
    vitrt_image picture = golden_image(CASE, image);
    vitrt_output out = { .buffer = pixels, .buffer_bytes = PIXELS * sizeof *pixels };
    assert_ok(vitrt_run(s, &picture, 1, &out, &err), &err);
    assert_int_equal(out.offsets[1] * out.columns, PIXELS);
    vitrt_image_free(&picture);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

/* A picture, its pixels packed, with a stride, at an odd address and with a NaN, several passes of them. */
static void run_normalised(const vitrt_session_options *options, size_t logits, const float *wanted)
{
    enum { KINDS = 5, IMAGES = 3 * KINDS, STRIDE = SIDE * 3 + 1 };
    static float packed[PIXELS], strided[SIDE * STRIDE], spoilt[PIXELS];
    static unsigned char odd[PIXELS * sizeof(float) + 1];
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_output outputs[2] = { { 0 }, { 0 } };
    golden_pixels(0, packed);
    for (size_t y = 0; y < SIDE; y++)
        memcpy(strided + y * STRIDE, packed + y * SIDE * 3, SIDE * 3 * sizeof *packed);
    memcpy(odd + 1, packed, sizeof packed);
    memcpy(spoilt, packed, sizeof packed);
    spoilt[PIXELS - 1] = NAN;
    const vitrt_image floats = { .width = SIDE, .height = SIDE, .format = VITRT_FORMAT_F32 };
    vitrt_image kinds[KINDS] = { floats, floats, floats, floats, golden_image(CASE, 0) }, images[IMAGES];
    kinds[0].data = packed;
    kinds[1].data = spoilt;
    kinds[2].data = strided;
    kinds[2].stride = STRIDE * sizeof *strided;
    kinds[3].data = odd + 1;
    for (size_t i = 0; i < IMAGES; i++)
        images[i] = kinds[i % KINDS];
    open_session(CASE, options, &m, &s);
    assert_int_equal(vitrt_run(s, images, IMAGES, outputs, &err), VITRT_EIMAGE);
    for (size_t i = 0; i < IMAGES; i++) {
        const size_t *rows = outputs[logits].offsets + i;
        assert_int_equal(rows[1] - rows[0], i % KINDS != 1);
        if (i % KINDS != 1)
            assert_memory_equal((const float *)outputs[logits].data + rows[0] * CLASSES, wanted,
                                CLASSES * sizeof *wanted);
    }
    vitrt_image_free(&kinds[KINDS - 1]);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void test_normalised_images(void **state)
{
    static const char *const names[] = { "pixels", "logits" };
    float wanted[CLASSES];
    (void)state;
    reference(0, wanted);
    for (int threads = 1; threads <= 3; threads++) {
        vitrt_session_options options = { .threads = threads, .max_batch = 15 };
        run_normalised(&options, 0, wanted);
        options.outputs = names; /* the input is an output, too: it is copied */
        options.output_count = 2;
        run_normalised(&options, 1, wanted);
    }
}

static void test_batch_changes_no_bit(void **state)
{
    float wanted[3][CLASSES];
    vitrt_image pictures[8];
    (void)state;
    for (int i = 0; i < 3; i++)
        reference(i, wanted[i]);
    for (int i = 0; i < 8; i++)
        pictures[i] = golden_image(CASE, (i * 2) % 3);
    for (int threads = 1; threads <= 4; threads++) {
        const vitrt_session_options options = { .threads = threads, .max_batch = 8 };
        vitrt_model *m;
        vitrt_session *s;
        vitrt_error err;
        vitrt_output out = { 0 };
        open_session(CASE, &options, &m, &s);
        assert_ok(vitrt_run(s, pictures, 8, &out, &err), &err);
        for (int i = 0; i < 8; i++) {
            assert_int_equal(out.offsets[i], i);
            assert_memory_equal((const float *)out.data + i * CLASSES, wanted[(i * 2) % 3], sizeof wanted[0]);
        }
        vitrt_session_free(s);
        vitrt_model_free(m);
    }
    for (int i = 0; i < 8; i++)
        vitrt_image_free(&pictures[i]);
}

static void test_bad_image_leaves_the_others_alone(void **state)
{
    float wanted[3][CLASSES];
    (void)state;
    for (int i = 0; i < 3; i++)
        reference(i, wanted[i]);
    const vitrt_session_options options = { .threads = 2, .max_batch = 4 };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_output out = { 0 };
    open_session(CASE, &options, &m, &s);
    vitrt_image pictures[4] = { golden_image(CASE, 0), { 0 }, golden_image(CASE, 1), golden_image(CASE, 2) };
    assert_int_equal(vitrt_run(s, pictures, 4, &out, &err), VITRT_EIMAGE);
    assert_non_null(strstr(err.message, "image 1 of 4"));
    const size_t offsets[5] = { 0, 1, 1, 2, 3 };
    assert_memory_equal(out.offsets, offsets, sizeof offsets);
    assert_memory_equal(out.data, wanted, sizeof wanted);
    assert_int_equal(vitrt_image_status(s, 0, NULL), VITRT_OK);
    assert_int_equal(vitrt_image_status(s, 1, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_image_status(s, 4, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_run(s, &pictures[1], 1, &out, &err), VITRT_EIMAGE); /* none left: no row, no crash */
    assert_int_equal(out.offsets[1], 0);
    for (int i = 0; i < 4; i++)
        vitrt_image_free(&pictures[i]);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

/* Asking for all tokens computes rows that the logits alone do not need: the logits must not notice. */
static void test_dead_rows_change_no_bit(void **state)
{
    float wanted[CLASSES];
    const char *names[] = { "features", "logits", "block.2", "block.1" };
    const vitrt_session_options options = { .outputs = names, .output_count = 4, .max_batch = 2 };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_output outputs[4] = { 0 };
    (void)state;
    reference(0, wanted);
    open_session(CASE, &options, &m, &s);
    vitrt_image pictures[2] = { golden_image(CASE, 1), golden_image(CASE, 0) };
    assert_ok(vitrt_run(s, pictures, 2, outputs, &err), &err);
    assert_memory_equal((const float *)outputs[1].data + CLASSES, wanted, sizeof wanted);
    for (int i = 0; i < 2; i++)
        vitrt_image_free(&pictures[i]);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void test_float_environment_of_the_caller(void **state)
{
    float wanted[CLASSES];
    (void)state;
    reference(0, wanted);
    const int modes[] = { FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        float found[CLASSES];
        assert_int_equal(fesetround(modes[i]), 0);
#if defined(__SSE__)
        const unsigned flush_to_zero = 0x8040u; /* FTZ and DAZ */
        _mm_setcsr(_mm_getcsr() | flush_to_zero);
#endif
        reference(0, found);
        assert_int_equal(fegetround(), modes[i]);
#if defined(__SSE__)
        assert_int_equal(_mm_getcsr() & flush_to_zero, flush_to_zero);
        _mm_setcsr(_mm_getcsr() & ~flush_to_zero);
#endif
        fesetround(FE_TONEAREST);
        assert_memory_equal(found, wanted, sizeof wanted);
    }
}

/* ---- The caller's threads ---- */

/* One thread that takes the tasks backwards, in a strange rounding mode. */
static void backwards(void *user, size_t n, vitrt_task task, void *arg)
{
    ++*(int *)user;
    fesetround(FE_UPWARD);
    while (n-- > 0)
        task(arg, n);
    assert_int_equal(fegetround(), FE_UPWARD);
    fesetround(FE_TONEAREST);
}

struct tasks {
    size_t begin, end;
    vitrt_task task;
    void *arg;
};

/* Hands the upper half to a new thread, which does the same, until one is left. */
static void *halve(void *arg)
{
    const struct tasks *all = arg;
    struct tasks lower = *all, upper = *all;
    pthread_t thread;
    if (all->end - all->begin == 1) {
        all->task(all->arg, all->begin);
        return NULL;
    }
    lower.end = upper.begin = all->begin + (all->end - all->begin) / 2;
    const bool started = pthread_create(&thread, NULL, halve, &upper) == 0;
    halve(&lower);
    if (started)
        pthread_join(thread, NULL);
    else
        halve(&upper);
    return NULL;
}

/* Threads that start threads. */
static void nested(void *user, size_t n, vitrt_task task, void *arg)
{
    struct tasks all = { 0, n, task, arg };
    ++*(int *)user;
    halve(&all);
}

static void check_parallel_for(vitrt_parallel_for parallel_for, int threads)
{
    float wanted[3][CLASSES];
    int calls = 0;
    const vitrt_session_options options = {
        .threads = threads, .max_batch = 3, .parallel_for = parallel_for, .parallel_user = &calls
    };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_output out = { 0 };
    vitrt_image pictures[3];
    open_session(CASE, &options, &m, &s);
    for (int i = 0; i < 3; i++) {
        reference(i, wanted[i]);
        pictures[i] = golden_image(CASE, i);
    }
    for (size_t n = 1; n <= 3; n += 2) {
        assert_ok(vitrt_run(s, pictures, n, &out, &err), &err);
        assert_memory_equal(out.data, wanted, n * sizeof *wanted);
    }
    assert_true(threads == 1 || calls > 0);
    for (int i = 0; i < 3; i++)
        vitrt_image_free(&pictures[i]);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void test_callers_parallel_for(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads += 2) {
        check_parallel_for(backwards, threads);
        check_parallel_for(nested, threads);
    }
}

#if defined(__linux__)
/* In a child, whose affinity is its own affair. */
static void test_default_threads_follow_affinity(void **state)
{
    vitrt_model *m;
    vitrt_error err;
    vitrt_session_info info;
    (void)state;
    assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        cpu_set_t set, one;
        int first = 0;
        bool good = sched_getaffinity(0, sizeof set, &set) == 0;
        while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &set))
            first++;
        CPU_ZERO(&one);
        CPU_SET(first, &one);
        good = good && sched_setaffinity(0, sizeof one, &one) == 0 && !vitrt_session_measure(m, NULL, &info, &err);
        _exit(good && info.threads == 1 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_ok(vitrt_session_measure(m, NULL, &info, &err), &err);
    assert_int_equal(info.threads, vt_processor_count());
    vitrt_model_free(m);
}
#endif

/* ---- Sharing ---- */

#define SESSIONS 8

struct thread_job {
    const vitrt_model *model;
    const vitrt_image *pictures; /* [3] */
    vitrt_precision precision;
    uint32_t batch;
    float logits[3][CLASSES];
};

static void *run_in_thread(void *arg)
{
    struct thread_job *job = arg;
    const vitrt_session_options options = { .threads = 2, .precision = job->precision, .max_batch = job->batch };
    vitrt_session *s;
    vitrt_error err;
    vitrt_output out = { .buffer = job->logits, .buffer_bytes = sizeof job->logits };
    vitrt_status st = vitrt_session_create(job->model, &options, &s, &err);
    for (int i = 0; i < 3 && !st; i++)
        st = vitrt_run(s, job->pictures, job->batch, &out, &err);
    vitrt_session_free(s);
    return st ? job : NULL;
}

/* Sessions of several batches and precisions, made and run at the same time, against one after the other. */
static void test_one_model_many_threads(void **state)
{
    struct thread_job jobs[SESSIONS], alone[2];
    pthread_t threads[SESSIONS];
    vitrt_image pictures[3];
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    for (int i = 0; i < 3; i++)
        pictures[i] = golden_image(CASE, i);
    for (int i = 0; i < 2; i++) {
        assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
        alone[i] = (struct thread_job){ m, pictures, i ? VITRT_PRECISION_BF16 : VITRT_PRECISION_F32, 3, { { 0 } } };
        assert_null(run_in_thread(&alone[i]));
        vitrt_model_free(m);
    }
    assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        jobs[i] = (struct thread_job){ m, pictures, alone[i % 2].precision, 1 + i % 3, { { 0 } } };
        assert_int_equal(pthread_create(&threads[i], NULL, run_in_thread, &jobs[i]), 0);
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        assert_memory_equal(jobs[i].logits, alone[i % 2].logits, jobs[i].batch * sizeof jobs[i].logits[0]);
    }
    for (int i = 0; i < 3; i++)
        vitrt_image_free(&pictures[i]);
    vitrt_model_free(m);
}

static void test_session_outlives_model(void **state)
{
    float wanted[CLASSES];
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_output out = { 0 };
    (void)state;
    reference(0, wanted);
    open_session(CASE, NULL, &m, &s);
    vitrt_model_free(m);
    vitrt_image picture = golden_image(CASE, 0);
    assert_ok(vitrt_run(s, &picture, 1, &out, &err), &err);
    assert_memory_equal(out.data, wanted, sizeof wanted);
    vitrt_image_free(&picture);
    vitrt_session_free(s);
}

static void test_forked_child_gets_an_error(void **state)
{
    const vitrt_session_options options = { .threads = 2 };
    vitrt_model *m;
    vitrt_session *s;
    (void)state;
    open_session(CASE, &options, &m, &s);
    vitrt_image picture = golden_image(CASE, 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        vitrt_error err;
        const vitrt_status st = vitrt_run(s, &picture, 1, NULL, &err);
        vitrt_session_free(s); /* must not wait for threads that do not exist */
        _exit(st == VITRT_ESTATE && strstr(err.message, "forked") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    vitrt_image_free(&picture);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

/* ---- Options and outputs ---- */

static void expect_refused(const vitrt_model *m, const vitrt_session_options *o, vitrt_status status, const char *part)
{
    vitrt_session *s = (void *)1;
    vitrt_session_info info;
    vitrt_error err = { 0 };
    assert_int_equal(vitrt_session_create(m, o, &s, &err), status);
    assert_null(s);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    assert_int_equal(vitrt_session_measure(m, o, &info, &err), status);
}

static void test_options_are_checked(void **state)
{
    const char *unknown = "block.99", *null = NULL;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
    expect_refused(m, &(vitrt_session_options){ .threads = -1 }, VITRT_EINVAL, "-1 threads");
    expect_refused(m, &(vitrt_session_options){ .threads = 100000 }, VITRT_EINVAL, "100000 threads");
    expect_refused(m, &(vitrt_session_options){ .precision = (vitrt_precision)99 }, VITRT_EUNSUPPORTED, "precision 99");
    expect_refused(m, &(vitrt_session_options){ .height = 70 }, VITRT_EINVAL, "70x0");
    expect_refused(m, &(vitrt_session_options){ .height = 3, .width = 70 }, VITRT_EINVAL, "patch_embed");
    expect_refused(m, &(vitrt_session_options){ .height = 100000, .width = 70 }, VITRT_ELIMIT, "100000x70");
    expect_refused(m, &(vitrt_session_options){ .max_batch = 1u << 30 }, VITRT_ELIMIT, "max_batch");
    expect_refused(m, &(vitrt_session_options){ .outputs = &unknown, .output_count = 1 }, VITRT_EINVAL,
                   "no output \"block.99\"");
    expect_refused(m, &(vitrt_session_options){ .outputs = &null, .output_count = 1 }, VITRT_EINVAL,
                   "output 0 is NULL");
    expect_refused(m, &(vitrt_session_options){ .outputs = &unknown }, VITRT_EINVAL, "output_count is 0");
    expect_refused(m, &(vitrt_session_options){ .reserved = { m } }, VITRT_EINVAL, "reserved");
    expect_refused(NULL, NULL, VITRT_EINVAL, "model is NULL");
    vitrt_model_free(m);
}

static void test_run_is_checked(void **state)
{
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    float small[2];
    vitrt_output out = { .buffer = small, .buffer_bytes = sizeof small };
    (void)state;
    open_session(CASE, NULL, &m, &s);
    vitrt_image picture = golden_image(CASE, 0);
    assert_int_equal(vitrt_run(s, &picture, 0, NULL, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_run(s, &picture, 2, NULL, &err), VITRT_ELIMIT);
    assert_int_equal(vitrt_run(s, NULL, 1, NULL, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_run(NULL, &picture, 1, NULL, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_run(s, &picture, 1, &out, &err), VITRT_EINVAL);
    assert_non_null(strstr(err.message, "8 bytes, expected at least 40"));
    assert_int_equal(vitrt_session_output(s, 0, &out), VITRT_EINVAL); /* nothing has run yet */
    vitrt_image_free(&picture);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void test_outputs_by_name(void **state)
{
    const char *names[] = { "block.1", "pixels", "embedding" };
    const vitrt_session_options options = { .outputs = names, .output_count = 3 };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_output outputs[3] = { 0 }, again;
    (void)state;
    open_session(CASE, &options, &m, &s);
    assert_int_equal(vitrt_session_output_count(s), 3);
    vitrt_image picture = golden_image(CASE, 0);
    assert_ok(vitrt_run(s, &picture, 1, outputs, &err), &err);
    assert_string_equal(outputs[0].name, "block.1");
    assert_int_equal(outputs[0].offsets[1], 1 + 4 + 100); /* class token, registers, 10x10 patches */
    assert_int_equal(outputs[0].map_height, 10);
    assert_int_equal(outputs[0].map_width, 10);
    assert_int_equal(outputs[1].columns, 3);
    assert_int_equal(outputs[1].offsets[1], 70 * 70);
    assert_int_equal(outputs[2].offsets[1], 1);
    assert_int_equal(vitrt_session_output(s, 2, &again), VITRT_OK);
    assert_ptr_equal(again.data, outputs[2].data);
    assert_int_equal(vitrt_session_output(s, 3, &again), VITRT_EINVAL);
    vitrt_image_free(&picture);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void test_cost_is_known_before(void **state)
{
    const char *first = "block.0";
    const vitrt_session_options options = { .threads = 2, .max_batch = 3 };
    vitrt_session_options less = options;
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_session_info before, after, one_block;
    (void)state;
    open_session(CASE, &options, &m, &s);
    assert_ok(vitrt_session_measure(m, &options, &before, &err), &err);
    assert_int_equal(vitrt_session_get_info(s, &after), VITRT_OK);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(before.threads, 2);
    less.outputs = &first;
    less.output_count = 1;
    assert_ok(vitrt_session_measure(m, &less, &one_block, &err), &err);
    /* patches, then for each block: qkv and proj 4 D^2, mlp 8 D^2 for each token, attention 2 N^2 D; in the last of
     * three k and v for each token, the rest for the class token only; q too, unless a tile's columns end amid those of
     * q; head */
    const uint64_t n = 105, d = 48, patches = 100 * d * 3 * 49, block = n * 12 * d * d + 2 * n * n * d;
    const uint64_t last = (2 * n + 1) * d * d + 2 * n * d + 9 * d * d, dead_queries = (n - 1) * d * d;
    const uint64_t least = patches + 2 * block + last + d * 10;
    assert_int_equal(one_block.macs_per_image, patches + block);
    assert_true(before.macs_per_image == least || before.macs_per_image == least + dead_queries);
    assert_int_equal(before.nominal_macs_per_image, patches + 3 * block + d * 10);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void test_describe(void **state)
{
    vitrt_model *m;
    vitrt_session *s;
    char text[8192], cut[16];
    (void)state;
    open_session(CASE, NULL, &m, &s);
    const size_t length = vitrt_describe(s, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_int_equal(vitrt_describe(s, NULL, 0), length);
    assert_int_equal(vitrt_describe(s, cut, sizeof cut), length);
    assert_memory_equal(cut, text, sizeof cut - 1);
    assert_int_equal(cut[sizeof cut - 1], 0);
    assert_non_null(strstr(text, "f32 on "));
    assert_non_null(strstr(text, "block.2.fc1"));
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void test_decimal_comma_changes_nothing(void **state)
{
    float wanted[CLASSES], found[CLASSES];
    vitrt_model *m;
    vitrt_session *s;
    char text[8192], other[8192];
    (void)state;
    if (!use_comma_locale())
        skip();
    setlocale(LC_ALL, "C");
    reference(0, wanted);
    open_session(CASE, NULL, &m, &s);
    vitrt_describe(s, text, sizeof text);
    assert_true(use_comma_locale());
    reference(0, found); /* reads the config's numbers again */
    vitrt_describe(s, other, sizeof other);
    setlocale(LC_ALL, "C");
    assert_memory_equal(found, wanted, sizeof wanted);
    assert_string_equal(other, text);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_change_no_bit),
        cmocka_unit_test(test_batch_changes_no_bit),
        cmocka_unit_test(test_normalised_images),
        cmocka_unit_test(test_bad_image_leaves_the_others_alone),
        cmocka_unit_test(test_dead_rows_change_no_bit),
        cmocka_unit_test(test_float_environment_of_the_caller),
        cmocka_unit_test(test_callers_parallel_for),
#if defined(__linux__)
        cmocka_unit_test(test_default_threads_follow_affinity),
#endif
        cmocka_unit_test(test_one_model_many_threads),
        cmocka_unit_test(test_session_outlives_model),
        cmocka_unit_test(test_forked_child_gets_an_error),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_run_is_checked),
        cmocka_unit_test(test_outputs_by_name),
        cmocka_unit_test(test_cost_is_known_before),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_decimal_comma_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
