/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several sessions at the same time on one model, each in a thread of its own, beside one session alone. What more
 * threads can give is the hardware's: the peak of all their threads at the same time, over that of one session's.
 */
#include "bench_model.h"

#include "measure.h"
#include "os.h"
#include "peak.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct user {
    const struct bench *b;
    vitrt_session *session;
    atomic_uint *missing; /* users that have not come to the start yet */
    double *ms;           /* [runs] */
    double images_a_second;
};

static void use(void *arg)
{
    struct user *u = arg;
    atomic_fetch_sub(u->missing, 1);
    while (atomic_load(u->missing))
        vt_relax();
    for (uint32_t i = 0; i < u->b->options->runs; i++)
        u->ms[i] = bench_run(u->b, u->session);
    u->images_a_second = 1e3 * u->b->info.max_batch / vt_bench_median(u->ms, u->b->options->runs);
}

/* The first n users at the same time. */
static double images_a_second(struct user *users, uint32_t n)
{
    vt_thread threads[VITRT_MAX_THREADS];
    atomic_uint missing = n;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        users[i].missing = &missing;
        if (!vt_thread_start(&threads[i], use, &users[i]))
            vt_bench_fail("thread %u of %u could not be started", (unsigned)i + 1, (unsigned)n);
    }
    for (uint32_t i = 0; i < n; i++) {
        vt_thread_join(threads[i]);
        sum += users[i].images_a_second;
    }
    return sum;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

void bench_report_sessions(const struct bench *b)
{
    enum { ROUNDS = 5 };
    const uint32_t n = b->options->sessions, threads = n * b->info.threads;
    double one = 0, all = 0, peak_one = 0, peak_all = 0;
    if (threads > VITRT_MAX_THREADS)
        vt_bench_fail("%u sessions of %u threads are more than %d threads", (unsigned)n, (unsigned)b->info.threads,
                      VITRT_MAX_THREADS);
    struct user *users = vt_bench_alloc(n * sizeof *users);
    for (uint32_t i = 0; i < n; i++)
        users[i] = (struct user){ .b = b,
                                  .session = bench_new_session(b),
                                  .ms = vt_bench_alloc(b->options->runs * sizeof *users[i].ms) };
    for (int round = 0; round < ROUNDS; round++) {
        peak_one = larger(peak_one, bench_peak(b));
        peak_all = larger(peak_all, vt_bench_peak(b->product, b->cpu, threads));
        one = larger(one, images_a_second(users, 1));
        all = larger(all, images_a_second(users, n));
    }
    printf("one session %.2f images/s, %u at the same time %.2f: %.2f times as many, peak of their threads %.2f times; "
           "%.1f %% of the hardware's share\n",
           one, (unsigned)n, all, all / one, peak_all / peak_one, 100 * all / one / (peak_all / peak_one));
    for (uint32_t i = 0; i < n; i++) {
        vitrt_session_free(users[i].session);
        free(users[i].ms);
    }
    free(users);
}
