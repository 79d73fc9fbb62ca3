/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of one session; see pool.h.
 *
 * A job is cut into pieces, tens of them, which threads take one by one from an atomic counter; so cores of different
 * speed are balanced. It is published under the mutex by raising `generation`. It has ended when its pieces have, not
 * when every worker has looked at it: a worker that the system has not let run yet, because other processes or more
 * threads than cores want to, holds nobody up. Such a late one may come while the next job is on, and then works on
 * that one; so a job's members are read by those only who have taken a piece, which keeps the job from ending.
 */
#include "pool.h"

#include "float_env.h"
#include "os.h"

#include <stdatomic.h>
#include <string.h>

/* Polling before a thread sleeps: longer than the gaps between the steps of a plan, too short to be noticed in an idle
 * process. */
#define SPIN_NS 50000

struct vt_pool {
    vitrt_allocator alloc;
    unsigned size;    /* workers with the caller */
    unsigned started; /* threads that run */
    uint64_t process;
    vitrt_parallel_for parallel_for;
    void *parallel_user;

    vt_task_fn *fn;
    void *arg;
    size_t n, grain, pieces;
    /* Each on a cache line of its own: those who poll one must not slow down those who count on another. */
    _Alignas(VT_ALIGN) atomic_size_t left;       /* pieces that nobody has taken */
    _Alignas(VT_ALIGN) atomic_size_t unfinished; /* pieces that have not ended */
    _Alignas(VT_ALIGN) atomic_size_t generation; /* of the job; raised to publish one */
    _Alignas(VT_ALIGN) atomic_bool stop;

    bool has_mutex, has_wake, has_done;
    vt_mutex mutex;
    vt_cond wake, done;
    struct worker {
        struct vt_pool *pool;
        size_t number;
        vt_thread thread;
    } * workers; /* [size - 1] */
};

/* Polls until *value is (equal) or is not `other`, for SPIN_NS at most; true when it came so. */
static bool spin(atomic_size_t *value, size_t other, bool equal)
{
    const uint64_t start = vt_clock_ns();
    do {
        for (int i = 0; i < 32; i++) {
            if ((atomic_load_explicit(value, memory_order_acquire) == other) == equal)
                return true;
            vt_relax();
        }
    } while (vt_clock_ns() - start < SPIN_NS);
    return false;
}

/* Takes one piece of the job that is on; false: there is none left. */
static bool take_piece(struct vt_pool *p, size_t *piece)
{
    size_t left = atomic_load_explicit(&p->left, memory_order_relaxed);
    while (left)
        if (atomic_compare_exchange_weak_explicit(&p->left, &left, left - 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            *piece = p->pieces - left;
            return true;
        }
    return false;
}

/* Works on pieces until none is left; true if these were the last to end. */
static bool take_pieces(struct vt_pool *p, size_t worker)
{
    size_t taken = 0;
    for (size_t piece; take_piece(p, &piece); taken++) {
        const size_t begin = piece * p->grain;
        p->fn(p->arg, begin, p->n - begin < p->grain ? p->n : begin + p->grain, worker);
    }
    return taken && atomic_fetch_sub_explicit(&p->unfinished, taken, memory_order_acq_rel) == taken;
}

/* Waits until the generation differs from seen. */
static void wait_for_job(struct vt_pool *p, size_t seen)
{
    if (spin(&p->generation, seen, false))
        return;
    vt_mutex_lock(&p->mutex);
    while (atomic_load(&p->generation) == seen)
        vt_cond_wait(&p->wake, &p->mutex);
    vt_mutex_unlock(&p->mutex);
}

static void worker_main(void *arg)
{
    const struct worker *w = arg;
    struct vt_pool *p = w->pool;
    vt_float_env inherited;
    vt_float_env_enter(&inherited);
    for (size_t seen = 0;;) {
        wait_for_job(p, seen);
        seen = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (atomic_load(&p->stop))
            return;
        if (take_pieces(p, w->number)) {
            vt_mutex_lock(&p->mutex);
            vt_cond_broadcast(&p->done);
            vt_mutex_unlock(&p->mutex);
        }
    }
}

static void publish(struct vt_pool *p)
{
    vt_mutex_lock(&p->mutex);
    atomic_fetch_add_explicit(&p->generation, 1, memory_order_release);
    vt_cond_broadcast(&p->wake);
    vt_mutex_unlock(&p->mutex);
}

static void wait_until_done(struct vt_pool *p)
{
    if (spin(&p->unfinished, 0, true))
        return;
    vt_mutex_lock(&p->mutex);
    while (atomic_load_explicit(&p->unfinished, memory_order_acquire))
        vt_cond_wait(&p->done, &p->mutex);
    vt_mutex_unlock(&p->mutex);
}

/* The caller's threads have their own floating-point environment, which is theirs again afterwards. */
static void run_foreign_task(void *arg, size_t i)
{
    struct vt_pool *p = arg;
    vt_float_env env;
    vt_float_env_enter(&env);
    (void)take_pieces(p, i);
    vt_float_env_leave(&env);
}

void vt_parallel(struct vt_pool *p, size_t n, size_t grain, vt_task_fn *fn, void *arg)
{
    if (p->size == 1 || n <= grain) {
        for (size_t i = 0; i < n; i += grain)
            fn(arg, i, n - i < grain ? n : i + grain, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->n = n;
    p->grain = grain;
    p->pieces = n / grain + (n % grain != 0);
    atomic_store_explicit(&p->unfinished, p->pieces, memory_order_relaxed);
    atomic_store_explicit(&p->left, p->pieces, memory_order_release);
    if (p->parallel_for) {
        p->parallel_for(p->parallel_user, p->size, run_foreign_task, p);
        return;
    }
    publish(p);
    if (!take_pieces(p, 0))
        wait_until_done(p);
}

static vitrt_status start_workers(struct vt_pool *p, vitrt_error *err)
{
    if (VT_NO_THREADS)
        return vt_err(err, VITRT_EUNSUPPORTED,
                      "this build starts no threads (VITRT_THREADS is off): %u threads need parallel_for", p->size);
    p->workers = vt_calloc(&p->alloc, p->size - 1, sizeof *p->workers);
    if (!p->workers)
        return vt_err_memory(err, (p->size - 1) * sizeof *p->workers, "threads");
    p->has_mutex = vt_mutex_init(&p->mutex);
    p->has_wake = vt_cond_init(&p->wake);
    p->has_done = vt_cond_init(&p->done);
    if (!p->has_mutex || !p->has_wake || !p->has_done)
        return vt_err(err, VITRT_ENOMEM, "the system has no room for a mutex or condition variable");
    for (unsigned i = 0; i + 1 < p->size; i++) {
        struct worker *w = &p->workers[i];
        w->pool = p;
        w->number = i + 1;
        if (!vt_thread_start(&w->thread, worker_main, w))
            return vt_err(err, VITRT_ENOMEM, "the system cannot start thread %u of %u", i + 2, p->size);
        p->started++;
    }
    return VITRT_OK;
}

vitrt_status vt_pool_create(const vitrt_allocator *a, unsigned threads, vitrt_parallel_for parallel_for,
                            void *parallel_user, struct vt_pool **out, vitrt_error *err)
{
    *out = NULL;
    struct vt_pool *p = vt_calloc(a, 1, sizeof *p);
    if (!p)
        return vt_err_memory(err, sizeof *p, "the thread pool");
    p->alloc = *a;
    p->size = threads;
    p->process = vt_process_id();
    p->parallel_for = parallel_for;
    p->parallel_user = parallel_user;
    const vitrt_status st = threads > 1 && !parallel_for ? start_workers(p, err) : VITRT_OK;
    if (st)
        vt_pool_free(p);
    else
        *out = p;
    return st;
}

void vt_pool_free(struct vt_pool *p)
{
    if (!p)
        return;
    if (p->process == vt_process_id()) {
        atomic_store(&p->stop, true);
        if (p->started)
            publish(p);
        for (unsigned i = 0; i < p->started; i++)
            vt_thread_join(p->workers[i].thread);
        if (p->has_done)
            vt_cond_destroy(&p->done);
        if (p->has_wake)
            vt_cond_destroy(&p->wake);
        if (p->has_mutex)
            vt_mutex_destroy(&p->mutex);
    }
    vt_free(&p->alloc, p->workers, (p->size - 1) * sizeof *p->workers);
    vt_free(&p->alloc, p, sizeof *p);
}

unsigned vt_pool_size(const struct vt_pool *p)
{
    return p->size;
}

bool vt_pool_alive(const struct vt_pool *p)
{
    return !p->started || p->process == vt_process_id();
}
