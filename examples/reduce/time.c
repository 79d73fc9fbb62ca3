/* SPDX-License-Identifier: Apache-2.0 */
/* Times of candidates; see reduce.h. */
#define _POSIX_C_SOURCE 200809L

#include "reduce.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int compare_numbers(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof(*x), compare_numbers);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Round 0 is not counted: caches are cold. ms: [n + 1, rounds], the dense model last. */
static vitrt_status take_turns(vitrt_session *const *sessions, size_t n, const struct dense *d, size_t rounds,
                               double *ms, vitrt_error *err)
{
    for (size_t r = 0; r <= rounds; r++) {
        const vitrt_image image = dense_image(d, r % d->images);
        for (size_t i = 0; i <= n; i++) {
            const double start = now_ms();
            const vitrt_status st = vitrt_run(i < n ? sessions[i] : d->session, &image, 1, NULL, err);
            if (st != VITRT_OK)
                return st;
            if (r)
                ms[i * rounds + r - 1] = now_ms() - start;
        }
    }
    return VITRT_OK;
}

/* Shares are medians of quotients of runs beside each other: a machine's speed changes. */
static void set_times(struct candidate *c, size_t n, struct dense *d, size_t rounds, double *ms)
{
    double *dense = ms + n * rounds, *quotients = dense + rounds;
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < rounds; r++)
            quotients[r] = ms[i * rounds + r] / dense[r];
        c[i].time_share = median(quotients, rounds);
        c[i].ms = median(ms + i * rounds, rounds);
    }
    d->ms = median(dense, rounds);
}

vitrt_status time_candidates(struct candidate *c, size_t n, struct dense *d, size_t rounds, vitrt_error *err)
{
    double *ms = calloc((n + 2) * rounds, sizeof(*ms));
    vitrt_session **sessions = calloc(n + 1, sizeof(*sessions));
    vitrt_status st = ms && sessions ? VITRT_OK : VITRT_ENOMEM;
    if (st != VITRT_OK)
        snprintf(err->message, sizeof(err->message), "Not enough memory for the times of %zu schedules.", n);
    for (size_t i = 0; i < n && st == VITRT_OK; i++)
        st = candidate_session(&c[i], d, &sessions[i], err);
    if (st == VITRT_OK)
        st = take_turns(sessions, n, d, rounds, ms, err);
    if (st == VITRT_OK)
        set_times(c, n, d, rounds, ms);
    for (size_t i = 0; sessions && i < n; i++)
        vitrt_session_free(sessions[i]);
    free(sessions);
    free(ms);
    return st;
}
