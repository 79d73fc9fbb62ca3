/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operating system as POSIX sees it, with what Linux adds (affinity, cgroups); see os.h. Windows is in os_win.c.
 *
 * The feature macros stand before the first include because they decide what the system headers declare.
 */
#if !defined(_WIN32)
#define _GNU_SOURCE          /* sched_getaffinity, CPU_COUNT_S, strtod_l */
#define _DARWIN_C_SOURCE     /* the same on macOS */
#define _FILE_OFFSET_BITS 64 /* files over 2 GiB on 32-bit systems */
#endif

#include "os.h"

#if !defined(_WIN32)

#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__APPLE__)
#include <xlocale.h>
#endif

/* ---- Files ---- */

/* strerror is neither thread-safe everywhere nor in one language. */
static const char *error_text(int code)
{
    switch (code) {
    case ENOENT: return "No such file or directory";
    case ENOTDIR: return "A part of the path is not a directory";
    case EACCES: return "Permission denied";
    case EMFILE:
    case ENFILE: return "Too many open files";
    case ENAMETOOLONG: return "File name too long";
    case ELOOP: return "Too many symbolic links";
    case EIO: return "Input/output error";
    case EISDIR: return "It is a directory";
    case ENOSPC: return "No space left on the device";
    case EDQUOT: return "Disk quota exceeded";
    case EFBIG: return "File too large";
    case EROFS: return "The file system is read-only";
    case ENOMEM: return "Out of memory";
    default: return "The system refuses it";
    }
}

bool vt_file_open(const char *path, vt_file *file, uint64_t *size, const char **reason)
{
    *file = VT_FILE_NONE;
    int fd;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO without a writer would block otherwise */
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        *reason = error_text(errno);
        return false;
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        *reason = error_text(errno);
    } else if (S_ISDIR(st.st_mode)) {
        *reason = "It is a directory";
    } else if (!S_ISREG(st.st_mode)) {
        *reason = "It is not a regular file";
    } else {
        file->handle = fd;
        *size = (uint64_t)st.st_size;
        return true;
    }
    close(fd);
    return false;
}

bool vt_file_read(vt_file file, uint64_t offset, void *dst, size_t n)
{
    const size_t most = (size_t)1 << 30; /* some systems refuse more than INT_MAX bytes in one call */
    char *p = dst;
    while (n) {
        if (offset > INT64_MAX)
            return false;
        const ssize_t got = pread((int)file.handle, p, n < most ? n : most, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

bool vt_file_create(const char *path, vt_file *file, bool *exists, const char **reason)
{
    int fd;
    do {
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd < 0 && errno == EINTR);
    *file = (vt_file){ fd };
    *exists = fd < 0 && errno == EEXIST;
    if (fd < 0)
        *reason = error_text(errno);
    return fd >= 0;
}

bool vt_file_append(vt_file file, const void *src, size_t n, const char **reason)
{
    const size_t most = (size_t)1 << 30;
    const char *p = src;
    while (n) {
        const ssize_t put = write((int)file.handle, p, n < most ? n : most);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            *reason = error_text(put < 0 ? errno : EIO);
            return false;
        }
        p += put;
        n -= (size_t)put;
    }
    return true;
}

bool vt_file_sync(vt_file file, const char **reason)
{
    if (fsync((int)file.handle) == 0 || errno == EINVAL || errno == ENOTSUP) /* some file systems have no such thing */
        return true;
    *reason = error_text(errno);
    return false;
}

bool vt_file_rename(const char *from, const char *to, const char **reason)
{
    if (rename(from, to) == 0)
        return true;
    *reason = error_text(errno);
    return false;
}

void vt_file_remove(const char *path)
{
    (void)unlink(path);
}

const void *vt_file_map(vt_file file, size_t n)
{
    const void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, (int)file.handle, 0);
    return p == MAP_FAILED ? NULL : p;
}

void vt_file_unmap(const void *p, size_t n)
{
    munmap((void *)p, n);
}

void vt_file_close(vt_file file)
{
    if (file.handle >= 0)
        close((int)file.handle);
}

bool vt_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool vt_file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR); /* lstat: a dangling link is there */
}

/* ---- Threads ---- */

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(vt_mutex), "vt_mutex is too small");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(vt_cond), "vt_cond is too small");
_Static_assert(sizeof(pthread_t) <= sizeof(vt_thread), "vt_thread is too small");

bool vt_mutex_init(vt_mutex *m)
{
    return pthread_mutex_init((pthread_mutex_t *)m->opaque, NULL) == 0;
}

void vt_mutex_destroy(vt_mutex *m)
{
    pthread_mutex_destroy((pthread_mutex_t *)m->opaque);
}

void vt_mutex_lock(vt_mutex *m)
{
    pthread_mutex_lock((pthread_mutex_t *)m->opaque);
}

void vt_mutex_unlock(vt_mutex *m)
{
    pthread_mutex_unlock((pthread_mutex_t *)m->opaque);
}

bool vt_cond_init(vt_cond *c)
{
    return pthread_cond_init((pthread_cond_t *)c->opaque, NULL) == 0;
}

void vt_cond_destroy(vt_cond *c)
{
    pthread_cond_destroy((pthread_cond_t *)c->opaque);
}

void vt_cond_wait(vt_cond *c, vt_mutex *m)
{
    pthread_cond_wait((pthread_cond_t *)c->opaque, (pthread_mutex_t *)m->opaque);
}

void vt_cond_broadcast(vt_cond *c)
{
    pthread_cond_broadcast((pthread_cond_t *)c->opaque);
}

/* What a new thread shall do, on the stack of the one that starts it: nothing to allocate, but that one has to wait
 * until the new thread has taken its copy. */
struct start {
    void (*fn)(void *arg);
    void *arg;
    vt_mutex mutex;
    vt_cond taken_cond;
    bool taken;
};

static void *run_thread(void *p)
{
    struct start *s = p;
    void (*fn)(void *arg) = s->fn;
    void *arg = s->arg;
    vt_mutex_lock(&s->mutex);
    s->taken = true;
    vt_cond_broadcast(&s->taken_cond);
    vt_mutex_unlock(&s->mutex);
    fn(arg);
    return NULL;
}

/* A new thread inherits the signal mask. */
static bool create_with_signals_blocked(pthread_t *id, struct start *s)
{
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    const bool created = pthread_create(id, NULL, run_thread, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return created;
}

bool vt_thread_start(vt_thread *t, void (*fn)(void *arg), void *arg)
{
    struct start s = { .fn = fn, .arg = arg };
    if (!vt_mutex_init(&s.mutex))
        return false;
    if (!vt_cond_init(&s.taken_cond)) {
        vt_mutex_destroy(&s.mutex);
        return false;
    }
    pthread_t id;
    const bool created = create_with_signals_blocked(&id, &s);
    if (created) {
        memcpy(t, &id, sizeof id);
        vt_mutex_lock(&s.mutex);
        while (!s.taken)
            vt_cond_wait(&s.taken_cond, &s.mutex);
        vt_mutex_unlock(&s.mutex);
    }
    vt_cond_destroy(&s.taken_cond);
    vt_mutex_destroy(&s.mutex);
    return created;
}

void vt_thread_join(vt_thread t)
{
    pthread_t id;
    memcpy(&id, &t, sizeof id);
    pthread_join(id, NULL);
}

void vt_prefer_large_pages(void *p, size_t n)
{
#if defined(MADV_HUGEPAGE)
    /* The rest stays small: no memory beyond n is touched. */
    (void)madvise(p, n / VT_LARGE_PAGE * VT_LARGE_PAGE, MADV_HUGEPAGE);
#else
    (void)p;
    (void)n;
#endif
}

size_t vt_l2_cache_bytes(void)
{
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes > 0 ? (size_t)bytes : VT_USUAL_L2_BYTES;
}

uint64_t vt_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void vt_relax(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("yield");
#endif
}

uint64_t vt_process_id(void)
{
    return (uint64_t)getpid();
}

/* ---- Processors ---- */

#if defined(__linux__)

/* folder/name of the kernel's virtual file systems, where every size is 0, as a string. */
static bool read_small_file(const char *folder, const char *name, char *text, size_t size)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    ssize_t got = 1;
    while (used + 1 < size && got > 0) {
        got = read(fd, text + used, size - 1 - used);
        if (got > 0)
            used += (size_t)got;
    }
    close(fd);
    text[used] = 0;
    return used > 0;
}

/* Processors granted by quota out of period microseconds; UINT_MAX: no limit. */
static unsigned quota_to_processors(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return UINT_MAX;
    const long long processors = quota / period + (quota % period != 0);
    return processors < UINT_MAX ? (unsigned)processors : UINT_MAX;
}

/* The quota of one cgroup folder: cpu.max of version 2 ("max 100000" is no limit), or the two files of version 1. */
static unsigned folder_quota(const char *folder)
{
    char quota[64], period[64];
    if (read_small_file(folder, "cpu.max", quota, sizeof quota)) {
        char *after;
        const long long microseconds = strtoll(quota, &after, 10);
        return after == quota ? UINT_MAX : quota_to_processors(microseconds, strtoll(after, NULL, 10));
    }
    if (!read_small_file(folder, "cpu.cfs_quota_us", quota, sizeof quota) ||
        !read_small_file(folder, "cpu.cfs_period_us", period, sizeof period))
        return UINT_MAX;
    return quota_to_processors(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The smallest quota from root/group up to root. Inside a container the group's path may be the host's and not exist
 * here; the container's own limit then stands at the root. */
static unsigned hierarchy_quota(const char *root, const char *group)
{
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s%s", root, group) >= (int)sizeof folder)
        return UINT_MAX;
    unsigned least = UINT_MAX;
    const size_t root_length = strlen(root);
    for (;;) {
        const unsigned quota = folder_quota(folder);
        least = quota < least ? quota : least;
        char *slash = strrchr(folder + root_length, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* True if the comma-separated list of controllers has "cpu". */
static bool names_cpu(const char *controllers)
{
    for (const char *p = controllers; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, "cpu", 3) == 0 && (p[3] == ',' || p[3] == 0))
            return true;
    }
    return false;
}

unsigned vt_cgroup_processors(const char *membership, const char *mount)
{
    unsigned least = UINT_MAX;
    char line[PATH_MAX], root[PATH_MAX];
    while (*membership) {
        const size_t length = strcspn(membership, "\n");
        const bool fits = length < sizeof line;
        memcpy(line, membership, fits ? length : 0);
        line[fits ? length : 0] = 0;
        membership += length + (membership[length] == '\n');

        /* "0::/group" (version 2) or "4:cpu,cpuacct:/group" (version 1) */
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *controllers++ = 0;
        *group++ = 0;
        if (*controllers && !names_cpu(controllers))
            continue;
        /* /sys/fs/cgroup/cpu is a link to cpu,cpuacct where the two are mounted together. */
        snprintf(root, sizeof root, "%s%s", mount, *controllers ? "/cpu" : "");
        const unsigned quota = hierarchy_quota(root, group);
        least = quota < least ? quota : least;
    }
    return least;
}

static unsigned affinity_processors(void)
{
    cpu_set_t sets[8]; /* 8192 processors; one set is too small for the largest machines */
    if (sched_getaffinity(0, sizeof sets, sets) == 0)
        return (unsigned)CPU_COUNT_S(sizeof sets, sets);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned vt_processor_count(void)
{
    char membership[8192];
    unsigned quota = UINT_MAX;
    if (read_small_file("/proc/self", "cgroup", membership, sizeof membership))
        quota = vt_cgroup_processors(membership, "/sys/fs/cgroup");
    const unsigned affinity = affinity_processors();
    const unsigned least = quota < affinity ? quota : affinity;
    return least ? least : 1;
}

#else

unsigned vt_cgroup_processors(const char *membership, const char *mount)
{
    (void)membership;
    (void)mount;
    return UINT_MAX;
}

unsigned vt_processor_count(void)
{
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

#endif

/* ---- Numbers ---- */

bool vt_parse_double(const char *s, size_t n, double *value)
{
    char text[65];
    if (n >= sizeof text)
        return false;
    memcpy(text, s, n);
    text[n] = 0;
    const locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale)
        return false;
    const int rounding = fegetround(); /* strtod rounds as the host program has set it */
    fesetround(FE_TONEAREST);
    *value = strtod_l(text, NULL, c_locale);
    fesetround(rounding);
    freelocale(c_locale);
    return true;
}

#endif
