/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of one session: a pool of its own, or the caller's parallel_for.
 *
 * Workers spin for a bounded time after a job and then sleep; they never pin themselves. Every task runs in the default
 * floating-point environment, so results do not depend on the host's rounding mode or flush-to-zero.
 */
#ifndef VT_POOL_H
#define VT_POOL_H

#include "alloc.h"
#include "error.h"

/* 1: built to start no threads; then the only ones are the caller's. */
#ifndef VT_NO_THREADS
#define VT_NO_THREADS 0
#endif

struct vt_pool;

/* fn handles the items [begin, end); worker < vt_pool_size, no two at the same time with the same number. */
typedef void vt_task_fn(void *arg, size_t begin, size_t end, size_t worker);

/* threads >= 1 with the calling one. parallel_for NULL: threads - 1 threads are started. */
vitrt_status vt_pool_create(const vitrt_allocator *a, unsigned threads, vitrt_parallel_for parallel_for,
                            void *parallel_user, struct vt_pool **out, vitrt_error *err);
void vt_pool_free(
    struct vt_pool *p); /* NULL is allowed; in a forked child the threads are gone and only memory is freed */

unsigned vt_pool_size(const struct vt_pool *p);

/* False in a forked child, whose threads do not exist. */
bool vt_pool_alive(const struct vt_pool *p);

/* Parallel form of: for (i = 0; i < n; i += grain) fn(arg, i, min(i + grain, n), worker);
 * Ranges are disjoint, their order is unspecified. Not reentrant. */
void vt_parallel(struct vt_pool *p, size_t n, size_t grain, vt_task_fn *fn, void *arg);

#endif
