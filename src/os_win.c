/* SPDX-License-Identifier: Apache-2.0 */
/* The operating system as Windows sees it (Windows 7 and later, clang or mingw); see os.h. */
#include "os.h"

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <fenv.h>
#include <limits.h>
#include <locale.h>
#include <process.h>
#include <stdlib.h>
#include <string.h>

/* ---- Files ---- */

static bool to_wide(const char *path, wchar_t wide[MAX_PATH])
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, MAX_PATH) > 0;
}

static const char *error_text(DWORD code)
{
    switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND: return "No such file or directory";
    case ERROR_ACCESS_DENIED: return "Permission denied";
    case ERROR_TOO_MANY_OPEN_FILES: return "Too many open files";
    case ERROR_SHARING_VIOLATION: return "Another program is using it";
    case ERROR_DISK_FULL: return "No space left on the device";
    default: return "The system refuses it";
    }
}

bool vt_file_open(const char *path, vt_file *file, uint64_t *size, const char **reason)
{
    wchar_t wide[MAX_PATH];
    LARGE_INTEGER length;
    *file = VT_FILE_NONE;
    if (!to_wide(path, wide)) {
        *reason = "The path is too long or not UTF-8";
        return false;
    }
    if (vt_is_directory(path)) {
        *reason = "It is a directory";
        return false;
    }
    const HANDLE h = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                                 FILE_ATTRIBUTE_NORMAL, NULL);
    if (h == INVALID_HANDLE_VALUE) {
        *reason = error_text(GetLastError());
        return false;
    }
    if (GetFileType(h) != FILE_TYPE_DISK || !GetFileSizeEx(h, &length)) {
        *reason = "It is not a regular file";
        CloseHandle(h);
        return false;
    }
    file->handle = (intptr_t)h;
    *size = (uint64_t)length.QuadPart;
    return true;
}

bool vt_file_read(vt_file file, uint64_t offset, void *dst, size_t n)
{
    const size_t most = (size_t)1 << 30;
    char *p = dst;
    while (n) {
        OVERLAPPED at = { .Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32) };
        DWORD got = 0;
        if (!ReadFile((HANDLE)file.handle, p, (DWORD)(n < most ? n : most), &got, &at) || !got)
            return false;
        p += got;
        offset += got;
        n -= got;
    }
    return true;
}

static bool succeeded(bool done, const char **reason)
{
    if (!done)
        *reason = error_text(GetLastError());
    return done;
}

bool vt_file_create(const char *path, vt_file *file, bool *exists, const char **reason)
{
    wchar_t wide[MAX_PATH];
    *file = VT_FILE_NONE;
    *exists = false;
    if (!to_wide(path, wide)) {
        *reason = "The path is too long or not UTF-8";
        return false;
    }
    const HANDLE h = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_DELETE, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    *exists = h == INVALID_HANDLE_VALUE && GetLastError() == ERROR_FILE_EXISTS;
    if (h != INVALID_HANDLE_VALUE)
        file->handle = (intptr_t)h;
    return succeeded(h != INVALID_HANDLE_VALUE, reason);
}

bool vt_file_append(vt_file file, const void *src, size_t n, const char **reason)
{
    const size_t most = (size_t)1 << 30;
    const char *p = src;
    while (n) {
        DWORD put = 0;
        if (!succeeded(WriteFile((HANDLE)file.handle, p, (DWORD)(n < most ? n : most), &put, NULL) && put, reason))
            return false;
        p += put;
        n -= put;
    }
    return true;
}

bool vt_file_sync(vt_file file, const char **reason)
{
    return succeeded(FlushFileBuffers((HANDLE)file.handle), reason);
}

bool vt_file_rename(const char *from, const char *to, const char **reason)
{
    wchar_t wide_from[MAX_PATH], wide_to[MAX_PATH];
    if (!to_wide(from, wide_from) || !to_wide(to, wide_to)) {
        *reason = "The path is too long or not UTF-8";
        return false;
    }
    return succeeded(MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING), reason);
}

void vt_file_remove(const char *path)
{
    wchar_t wide[MAX_PATH];
    if (to_wide(path, wide))
        DeleteFileW(wide);
}

const void *vt_file_map(vt_file file, size_t n)
{
    const HANDLE mapping = CreateFileMappingW((HANDLE)file.handle, NULL, PAGE_READONLY, 0, 0, NULL);
    if (!mapping)
        return NULL;
    const void *p = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, n);
    CloseHandle(mapping); /* the view keeps it */
    return p;
}

void vt_file_unmap(const void *p, size_t n)
{
    (void)n;
    UnmapViewOfFile(p);
}

void vt_file_close(vt_file file)
{
    if (file.handle >= 0)
        CloseHandle((HANDLE)file.handle);
}

bool vt_is_directory(const char *path)
{
    wchar_t wide[MAX_PATH];
    if (!to_wide(path, wide))
        return false;
    const DWORD attributes = GetFileAttributesW(wide);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY);
}

bool vt_file_exists(const char *path)
{
    wchar_t wide[MAX_PATH];
    return to_wide(path, wide) && GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
}

/* ---- Threads ---- */

_Static_assert(sizeof(SRWLOCK) <= sizeof(vt_mutex), "vt_mutex is too small");
_Static_assert(sizeof(CONDITION_VARIABLE) <= sizeof(vt_cond), "vt_cond is too small");

bool vt_mutex_init(vt_mutex *m)
{
    InitializeSRWLock((SRWLOCK *)m->opaque);
    return true;
}

void vt_mutex_destroy(vt_mutex *m)
{
    (void)m;
}

void vt_mutex_lock(vt_mutex *m)
{
    AcquireSRWLockExclusive((SRWLOCK *)m->opaque);
}

void vt_mutex_unlock(vt_mutex *m)
{
    ReleaseSRWLockExclusive((SRWLOCK *)m->opaque);
}

bool vt_cond_init(vt_cond *c)
{
    InitializeConditionVariable((CONDITION_VARIABLE *)c->opaque);
    return true;
}

void vt_cond_destroy(vt_cond *c)
{
    (void)c;
}

void vt_cond_wait(vt_cond *c, vt_mutex *m)
{
    SleepConditionVariableSRW((CONDITION_VARIABLE *)c->opaque, (SRWLOCK *)m->opaque, INFINITE, 0);
}

void vt_cond_broadcast(vt_cond *c)
{
    WakeAllConditionVariable((CONDITION_VARIABLE *)c->opaque);
}

/* On the stack of the starting thread, which waits until the new one has taken its copy. */
struct start {
    void (*fn)(void *arg);
    void *arg;
    HANDLE taken;
};

static unsigned __stdcall run_thread(void *p)
{
    const struct start s = *(struct start *)p;
    SetEvent(s.taken);
    s.fn(s.arg);
    return 0;
}

bool vt_thread_start(vt_thread *t, void (*fn)(void *arg), void *arg)
{
    struct start s = { fn, arg, CreateEventW(NULL, TRUE, FALSE, NULL) };
    if (!s.taken)
        return false;
    t->opaque = _beginthreadex(NULL, 0, run_thread, &s, 0, NULL);
    if (t->opaque)
        WaitForSingleObject(s.taken, INFINITE);
    CloseHandle(s.taken);
    return t->opaque != 0;
}

void vt_thread_join(vt_thread t)
{
    WaitForSingleObject((HANDLE)t.opaque, INFINITE);
    CloseHandle((HANDLE)t.opaque);
}

void vt_prefer_large_pages(void *p, size_t n)
{
    (void)p; /* needs a privilege that programs rarely have */
    (void)n;
}

size_t vt_l2_cache_bytes(void)
{
    return VT_USUAL_L2_BYTES;
}

uint64_t vt_clock_ns(void)
{
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    const uint64_t t = (uint64_t)ticks.QuadPart, f = (uint64_t)per_second.QuadPart;
    return t / f * 1000000000u + t % f * 1000000000u / f;
}

void vt_relax(void)
{
    YieldProcessor();
}

uint64_t vt_process_id(void)
{
    return GetCurrentProcessId();
}

/* ---- Processors ---- */

unsigned vt_cgroup_processors(const char *membership, const char *mount)
{
    (void)membership;
    (void)mount;
    return UINT_MAX;
}

unsigned vt_processor_count(void)
{
    DWORD_PTR ours = 0, all = 0;
    unsigned count = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &ours, &all))
        for (; ours; ours &= ours - 1)
            count++;
    return count ? count : 1;
}

/* ---- Numbers ---- */

bool vt_parse_double(const char *s, size_t n, double *value)
{
    char text[65];
    if (n >= sizeof text)
        return false;
    memcpy(text, s, n);
    text[n] = 0;
    const _locale_t c_locale = _create_locale(LC_ALL, "C");
    if (!c_locale)
        return false;
    const int rounding = fegetround();
    fesetround(FE_TONEAREST);
    *value = _strtod_l(text, NULL, c_locale);
    fesetround(rounding);
    _free_locale(c_locale);
    return true;
}

#endif
