/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: every allocation may fail and nothing leaks; a run allocates nothing, neither from the caller's allocator nor
 * from the heap; what a session says it takes is what it takes, and what sessions share is there once. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- The heap, watched: glibc lets a program define malloc and still call the original. Sanitizers define it
 * themselves. ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define VT_SANITIZED 1
#endif
#endif

#if defined(__GLIBC__) && !defined(VT_SANITIZED)
#define VT_WATCH_HEAP 1

static atomic_size_t heap_calls;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
int posix_memalign(void **out, size_t align, size_t size);

void *malloc(size_t size)
{
    atomic_fetch_add(&heap_calls, 1);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    atomic_fetch_add(&heap_calls, 1);
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    atomic_fetch_add(&heap_calls, 1);
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    atomic_fetch_add(&heap_calls, 1);
    return __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    *out = aligned_alloc(align, size);
    return *out ? 0 : 12;
}
#endif

#define CASE "hf_vit"

/* ---- A run allocates nothing ---- */

static void test_run_allocates_nothing(void **state)
{
    struct counting counting;
    (void)state;
    counting_init(&counting);
    const vitrt_model_options model_options = { .allocator = &counting.allocator };
    const char *outputs[] = { "logits", "block.1", "features" };
    const vitrt_session_options options = { .threads = 3, .max_batch = 3, .outputs = outputs, .output_count = 3 };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    assert_ok(vitrt_model_open(golden_path(CASE, ""), &model_options, &m, &err), &err);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    vitrt_image pictures[3] = { golden_image(CASE, 0), golden_image(CASE, 1), golden_image(CASE, 2) };
    const vitrt_image bad[3] = { pictures[0], { 0 }, pictures[2] };
    vitrt_output results[3] = { 0 };
    const size_t calls = counting.calls;
#if defined(VT_WATCH_HEAP)
    const size_t heap = atomic_load(&heap_calls);
#endif
    for (int i = 0; i < 3; i++) {
        assert_ok(vitrt_run(s, pictures, 3, results, &err), &err);
        assert_int_equal(vitrt_run(s, bad, 3, results, &err), VITRT_EIMAGE);
        assert_ok(vitrt_run(s, pictures, 1, NULL, &err), &err);
    }
#if defined(VT_WATCH_HEAP)
    assert_int_equal(atomic_load(&heap_calls), heap);
#endif
    assert_int_equal(counting.calls, calls);
    for (int i = 0; i < 3; i++)
        vitrt_image_free(&pictures[i]);
    vitrt_session_free(s);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* ---- Every allocation may fail ---- */

struct files {
    vitrt_buffer buffers[3];
};

static void read_files(struct files *f, const char *name)
{
    static const char *const names[3] = { "config.json", "preprocessor_config.json", "model.safetensors" };
    for (int i = 0; i < 3; i++) {
        char suffix[64];
        snprintf(suffix, sizeof suffix, "/%s", names[i]);
        FILE *file = fopen(golden_path(name, suffix), "rb");
        assert_non_null(file);
        fseek(file, 0, SEEK_END);
        const size_t size = (size_t)ftell(file);
        char *data = malloc(size);
        rewind(file);
        assert_int_equal(fread(data, 1, size, file), size);
        fclose(file);
        f->buffers[i] = (vitrt_buffer){ names[i], data, size };
    }
}

static void free_files(struct files *f)
{
    for (int i = 0; i < 3; i++)
        free((void *)f->buffers[i].data);
}

/* Opens, makes a session and runs with an allocator whose allocation number fail_at fails; the status. */
static vitrt_status open_and_run(const struct files *f, struct counting *counting, const vitrt_image *picture,
                                 bool copy, float *logits)
{
    const vitrt_model_options model_options = { .allocator = &counting->allocator,
                                                .flags = copy ? VITRT_MODEL_COPY_BUFFERS : 0 };
    const vitrt_session_options options = { .threads = 2 };
    vitrt_model *m = NULL;
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    vitrt_output out = { .buffer = logits, .buffer_bytes = 10 * sizeof(float) };
    vitrt_status st = vitrt_model_open_memory(f->buffers, 3, &model_options, &m, &err);
    if (!st)
        st = vitrt_session_create(m, &options, &s, &err);
    if (!st)
        st = vitrt_run(s, picture, 1, &out, &err);
    if (st) {
        assert_int_equal(err.status, st);
        assert_true(err.message[0]);
    }
    vitrt_session_free(s);
    vitrt_model_free(m);
    return st;
}

static void every_allocation_may_fail(const char *name)
{
    struct files files;
    float logits[10], wanted[10];
    read_files(&files, name);
    vitrt_image picture = golden_image(name, 0);
    for (int copy = 0; copy < 2; copy++) {
        struct counting counting;
        counting_init(&counting);
        assert_int_equal(open_and_run(&files, &counting, &picture, copy, wanted), VITRT_OK);
        const size_t calls = counting.calls;
        assert_true(calls > 50);
        for (size_t n = 1; n <= calls; n++) {
            counting_init(&counting);
            counting.fail_at = n;
            assert_int_equal(open_and_run(&files, &counting, &picture, copy, logits), VITRT_ENOMEM);
            assert_int_equal(counting.live, 0);
            assert_int_equal(counting.live_bytes, 0);
        }
        counting_init(&counting);
        assert_int_equal(open_and_run(&files, &counting, &picture, copy, logits), VITRT_OK);
        assert_memory_equal(logits, wanted, sizeof wanted);
    }
    vitrt_image_free(&picture);
    free_files(&files);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    every_allocation_may_fail(CASE);
    every_allocation_may_fail("hf_dinov2"); /* positions resized, LayerScale, tensors that are ignored */
}

static void test_weights_can_be_loaded_after_a_failure(void **state)
{
    struct files files;
    struct counting counting;
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    (void)state;
    read_files(&files, CASE);
    counting_init(&counting);
    const vitrt_model_options model_options = { .allocator = &counting.allocator };
    assert_ok(vitrt_model_open_memory(files.buffers, 3, &model_options, &m, &err), &err);
    vitrt_status st = VITRT_ENOMEM;
    for (size_t n = 1; st == VITRT_ENOMEM;
         n++) { /* each attempt fails one allocation later and keeps what it has packed */
        counting.fail_at = counting.calls + n;
        st = vitrt_session_create(m, NULL, &s, &err);
    }
    assert_ok(st, &err);
    vitrt_session_free(s);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
    free_files(&files);
}

/* ---- What is said is what is taken ---- */

static void bytes_are_as_said(vitrt_precision precision)
{
    struct counting counting, session_counting;
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_session_info info;
    counting_init(&counting);
    counting_init(&session_counting);
    const vitrt_model_options model_options = { .allocator = &counting.allocator };
    const vitrt_session_options options = {
        .threads = 2, .max_batch = 4, .precision = precision, .allocator = &session_counting.allocator
    };
    assert_ok(vitrt_model_open(golden_path(CASE, ""), &model_options, &m, &err), &err);
    const size_t opened = counting.live_bytes;
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_int_equal(vitrt_session_get_info(s, &info), VITRT_OK);
    /* beside the packed weights only the store's own list; beside the arena only tables of the plan: some 400 nodes */
    assert_in_range(counting.live_bytes - opened, info.packed_bytes, info.packed_bytes + 16384);
    assert_in_range(session_counting.live_bytes, info.arena_bytes, info.arena_bytes + 184320);
    vitrt_session_free(s);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
    assert_int_equal(session_counting.live, 0);
}

static void test_bytes_are_as_said(void **state)
{
    (void)state;
    bytes_are_as_said(VITRT_PRECISION_F32);
    bytes_are_as_said(VITRT_PRECISION_BF16);
}

/* ---- Weights are packed once ---- */

#define SESSIONS 8

/* Lets the other threads run in the middle of packing. */
static void *slow_alloc(void *user, size_t size, size_t align)
{
    const struct timespec pause = { 0, 20000 };
    const vitrt_allocator *counted = &((struct counting *)user)->allocator;
    nanosleep(&pause, NULL);
    return counted->alloc(user, size, align);
}

struct creation {
    const vitrt_model *model;
    atomic_uint *late;        /* threads that have not started yet */
    struct counting counting; /* of the session alone: the model's counts weights */
    vitrt_session *session;
};

static void *create_session(void *arg)
{
    struct creation *c = arg;
    const vitrt_session_options options = { .threads = 1, .allocator = &c->counting.allocator };
    vitrt_error err;
    atomic_fetch_sub(c->late, 1);
    while (atomic_load(c->late))
        sched_yield();
    return vitrt_session_create(c->model, &options, &c->session, &err) ? c : NULL;
}

/* Opens the case and makes so many sessions of it at the same time; *calls and *bytes are what they have asked the
 * model's allocator for and what of it is left. */
static void create_at_once(unsigned count, size_t *calls, size_t *bytes)
{
    struct counting counting;
    struct creation creations[SESSIONS];
    pthread_t threads[SESSIONS];
    atomic_uint late = count;
    vitrt_model *m;
    vitrt_error err;
    counting_init(&counting);
    const vitrt_allocator slow = { slow_alloc, counting.allocator.free, &counting };
    const vitrt_model_options options = { .allocator = &slow };
    assert_ok(vitrt_model_open(golden_path(CASE, ""), &options, &m, &err), &err);
    *calls = counting.calls;
    *bytes = counting.live_bytes;
    for (unsigned i = 0; i < count; i++) {
        creations[i] = (struct creation){ .model = m, .late = &late };
        counting_init(&creations[i].counting);
        assert_int_equal(pthread_create(&threads[i], NULL, create_session, &creations[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    *calls = counting.calls - *calls;
    *bytes = counting.live_bytes - *bytes;
    for (unsigned i = 0; i < count; i++)
        vitrt_session_free(creations[i].session);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_weights_are_packed_once(void **state)
{
    size_t calls, bytes, wanted_calls, wanted_bytes;
    (void)state;
    create_at_once(1, &wanted_calls, &wanted_bytes);
    create_at_once(SESSIONS, &calls, &bytes);
    assert_int_equal(calls, wanted_calls);
    assert_int_equal(bytes, wanted_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_allocates_nothing),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_weights_can_be_loaded_after_a_failure),
        cmocka_unit_test(test_bytes_are_as_said),
        cmocka_unit_test(test_weights_are_packed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
