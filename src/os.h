/* SPDX-License-Identifier: Apache-2.0 */
/* Everything the operating system gives us: files, threads, processor count, clock, locale-independent numbers. The
 * only place with platform code outside kernels/ (CPU features are in kernels/cpu.h). */
#ifndef VT_OS_H
#define VT_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Files: closed on exec; paths are UTF-8. A failure sets the reason as that of vt_file_open does. ---- */
typedef struct vt_file {
    intptr_t handle;
} vt_file; /* valid handle: >= 0 */
#define VT_FILE_NONE ((vt_file){ -1 })

/* False: cannot be opened (or is a directory); *reason then is a constant or per-thread text such as "No such file
 * or directory". */
bool vt_file_open(const char *path, vt_file *file, uint64_t *size, const char **reason);
/* A new file to write to; *exists: there is one of this name. */
bool vt_file_create(const char *path, vt_file *file, bool *exists, const char **reason);
bool vt_file_append(vt_file file, const void *src, size_t n, const char **reason);
/* Waits until the content has reached the disk: after that a rename cannot lead to a file without it. */
bool vt_file_sync(vt_file file, const char **reason);
/* Takes the place of a file that is there. */
bool vt_file_rename(const char *from, const char *to, const char **reason);
void vt_file_remove(const char *path);
/* The first n > 0 bytes of a file in memory, read-only, also after it is closed; NULL: not possible. */
const void *vt_file_map(vt_file file, size_t n);
void vt_file_unmap(const void *p, size_t n);
/* Reads exactly n bytes at offset; false on error or early end. Thread-safe: no file position is shared. */
bool vt_file_read(vt_file file, uint64_t offset, void *dst, size_t n);
void vt_file_close(vt_file file); /* VT_FILE_NONE is allowed */
bool vt_is_directory(const char *path);
bool vt_file_exists(const char *path); /* also true for what cannot be opened, so that it is not taken for missing */

/* ---- Threads ---- */
typedef struct vt_mutex {
    void *opaque[8];
} vt_mutex; /* storage for the platform's object; checked at compile time */
typedef struct vt_cond {
    void *opaque[8];
} vt_cond;
typedef struct vt_thread {
    uintptr_t opaque;
} vt_thread;

bool vt_mutex_init(vt_mutex *m);
void vt_mutex_destroy(vt_mutex *m);
void vt_mutex_lock(vt_mutex *m);
void vt_mutex_unlock(vt_mutex *m);
bool vt_cond_init(vt_cond *c);
void vt_cond_destroy(vt_cond *c);
void vt_cond_wait(vt_cond *c, vt_mutex *m);
void vt_cond_broadcast(vt_cond *c);
/* Runs fn(arg) on a new thread with all signals blocked, so that the host's handlers never run on ours. */
bool vt_thread_start(vt_thread *t, void (*fn)(void *arg), void *arg);
void vt_thread_join(vt_thread t);

/* Processors this process may use, at least 1: the smaller of its affinity mask and its cgroup (v1, v2) CPU quota
 * rounded up. */
unsigned vt_processor_count(void);

/* The part of it that a test can check: the quota, rounded up, for a text like /proc/self/cgroup and the folder
 * where cgroups are mounted. UINT_MAX: no limit. */
unsigned vt_cgroup_processors(const char *membership, const char *mount);

/* Bytes of the second-level cache that a core uses, alone or with its cluster; VT_USUAL_L2_BYTES where the system does
 * not tell. */
#define VT_USUAL_L2_BYTES ((size_t)512 << 10)
size_t vt_l2_cache_bytes(void);

/* Asks for large pages behind [p, p + n), which must be aligned to VT_LARGE_PAGE; a hint that may do nothing. Large
 * weights then need fewer entries of the address cache: about 5 % of a matrix product. */
#define VT_LARGE_PAGE ((size_t)2 << 20)
void vt_prefer_large_pages(void *p, size_t n);

/* Nanoseconds of a clock that only goes forward. */
uint64_t vt_clock_ns(void);

/* Tells the CPU that this thread polls. */
void vt_relax(void);

/* Identifies the process, to notice a fork. */
uint64_t vt_process_id(void);

/* ---- Numbers, independent of LC_NUMERIC ---- */

/* Correctly rounded value of the JSON number s[0..n) (already checked to be one), '.' as the decimal point whatever
 * the locale. False: no memory or longer than 64 characters. */
bool vt_parse_double(const char *s, size_t n, double *value);

#endif
