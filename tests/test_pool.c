/* SPDX-License-Identifier: Apache-2.0 */
/* vt_parallel against the serial loop it stands for: every item once, ranges of the right size, workers by their
 * numbers, also after long pauses. */
#define _POSIX_C_SOURCE 200809L /* nanosleep, clock_gettime */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "pool.h"

#define MAX_ITEMS 1000

struct job {
    size_t n, grain, workers;
    atomic_uint visits[MAX_ITEMS];
    atomic_uint busy[VITRT_MAX_THREADS]; /* is somebody at work under this number? */
    atomic_uint wrong;
};

static void visit(void *arg, size_t begin, size_t end, size_t worker)
{
    struct job *job = arg;
    const bool whole = end - begin == job->grain || end == job->n;
    if (worker >= job->workers || begin % job->grain || !whole || end > job->n ||
        atomic_fetch_add(&job->busy[worker], 1))
        atomic_fetch_add(&job->wrong, 1);
    for (size_t i = begin; i < end && i < MAX_ITEMS; i++)
        atomic_fetch_add(&job->visits[i], 1);
    atomic_fetch_sub(&job->busy[worker], 1);
}

static void check_job(struct vt_pool *pool, size_t n, size_t grain)
{
    struct job job;
    memset(&job, 0, sizeof job);
    job.n = n;
    job.grain = grain;
    job.workers = vt_pool_size(pool);
    vt_parallel(pool, n, grain, visit, &job);
    assert_int_equal(atomic_load(&job.wrong), 0);
    for (size_t i = 0; i < MAX_ITEMS; i++)
        assert_int_equal(atomic_load(&job.visits[i]), i < n ? 1 : 0);
}

static void test_every_item_once(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 5; threads++) {
        struct vt_pool *pool;
        vitrt_error err;
        assert_ok(vt_pool_create(&vt_default_allocator, threads, NULL, NULL, &pool, &err), &err);
        assert_int_equal(vt_pool_size(pool), threads);
        for (size_t n = 0; n < 40; n++)
            for (size_t grain = 1; grain < 9; grain += 3)
                check_job(pool, n, grain);
        check_job(pool, MAX_ITEMS, 7);
        vt_pool_free(pool);
    }
}

/* Small jobs one behind the other: a thread that comes late to one may work on the next, as if it came for that. */
static void test_jobs_in_a_row(void **state)
{
    (void)state;
    for (unsigned threads = 2; threads <= 8; threads *= 2) {
        struct vt_pool *pool;
        vitrt_error err;
        assert_ok(vt_pool_create(&vt_default_allocator, threads, NULL, NULL, &pool, &err), &err);
        for (size_t i = 0; i < 2000; i++)
            check_job(pool, 2 + i % 7, 1 + i % 2);
        vt_pool_free(pool);
    }
}

/* ---- All threads at once ---- */

struct meeting {
    unsigned size;
    atomic_uint begun;
    atomic_uint visits[VITRT_MAX_THREADS]; /* of each worker */
};

/* Ends when the whole pool is in it: a thread that is never woken, or two with one number, would be noticed. */
static void meet(void *arg, size_t begin, size_t end, size_t worker)
{
    struct meeting *m = arg;
    (void)begin;
    (void)end;
    atomic_fetch_add(&m->visits[worker], 1);
    atomic_fetch_add(&m->begun, 1);
    while (atomic_load(&m->begun) < m->size)
        sched_yield();
}

static void check_meeting(struct vt_pool *pool)
{
    struct meeting m;
    memset(&m, 0, sizeof m);
    m.size = vt_pool_size(pool);
    vt_parallel(pool, m.size, 1, meet, &m);
    for (unsigned i = 0; i < m.size; i++)
        assert_int_equal(atomic_load(&m.visits[i]), 1);
}

/* Pauses from none to long ones, so that jobs come while threads poll, fall asleep and sleep. */
static void test_whole_pool_works(void **state)
{
    (void)state;
    for (unsigned threads = 2; threads <= 6; threads += 2) {
        struct vt_pool *pool;
        vitrt_error err;
        assert_ok(vt_pool_create(&vt_default_allocator, threads, NULL, NULL, &pool, &err), &err);
        for (long i = 0; i < 200; i++) {
            const struct timespec pause = { 0, i % 20 * 5000 };
            nanosleep(&pause, NULL);
            check_meeting(pool);
        }
        vt_pool_free(pool);
    }
}

struct task {
    vitrt_task call;
    void *arg;
    size_t i;
    pthread_t thread;
};

static void *run_task(void *arg)
{
    const struct task *t = arg;
    t->call(t->arg, t->i);
    return NULL;
}

static void one_thread_each(void *user, size_t n, vitrt_task call, void *arg)
{
    struct task tasks[8];
    (void)user;
    assert_true(n <= 8);
    for (size_t i = 0; i < n; i++) {
        tasks[i] = (struct task){ .call = call, .arg = arg, .i = i };
        assert_int_equal(pthread_create(&tasks[i].thread, NULL, run_task, &tasks[i]), 0);
    }
    for (size_t i = n; i-- > 0;)
        pthread_join(tasks[i].thread, NULL);
}

static void test_callers_threads(void **state)
{
    struct vt_pool *pool;
    vitrt_error err;
    (void)state;
    for (unsigned threads = 2; threads <= 8; threads += 3) {
        assert_ok(vt_pool_create(&vt_default_allocator, threads, one_thread_each, NULL, &pool, &err), &err);
        for (size_t n = 0; n < 40; n += 7)
            check_job(pool, n, 3);
        for (int i = 0; i < 10; i++)
            check_meeting(pool);
        vt_pool_free(pool);
    }
}

/* ---- Sleep ---- */

static void test_threads_wake_from_sleep(void **state)
{
    struct vt_pool *pool;
    vitrt_error err;
    const struct timespec pause = { 0, 2000000 }; /* long enough for them to stop polling */
    (void)state;
    assert_ok(vt_pool_create(&vt_default_allocator, 3, NULL, NULL, &pool, &err), &err);
    for (int i = 0; i < 20; i++) {
        nanosleep(&pause, NULL);
        check_job(pool, 100, 3);
    }
    vt_pool_free(pool);
}

static double processor_seconds(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Processor time of all threads while there is nothing to do. Each of them polls for 50 us at most, so even a hundredth
 * of the bound is more than they need; other processes do not count, and make ours count less. Polling on would take
 * the whole time on every core. */
static void check_idle(void)
{
    const struct timespec idle = { 0, 300000000 };
    const double before = processor_seconds();
    nanosleep(&idle, NULL);
    assert_true(processor_seconds() - before < 0.03);
}

static void test_idle_threads_sleep(void **state)
{
    struct vt_pool *pool;
    vitrt_error err;
    (void)state;
    assert_ok(vt_pool_create(&vt_default_allocator, 4, NULL, NULL, &pool, &err), &err);
    check_idle(); /* before the first job */
    check_job(pool, 100, 1);
    check_idle();
    vt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once),         cmocka_unit_test(test_jobs_in_a_row),
        cmocka_unit_test(test_whole_pool_works),        cmocka_unit_test(test_callers_threads),
        cmocka_unit_test(test_threads_wake_from_sleep), cmocka_unit_test(test_idle_threads_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
