/* SPDX-License-Identifier: Apache-2.0 */
/* A progress bar; see progress.h. */
#define _POSIX_C_SOURCE 200809L

#include "progress.h"

#include <stdio.h>
#include <unistd.h>

bool progress_wanted(void)
{
    return isatty(STDERR_FILENO);
}

void progress_show(size_t done, size_t total, const char *what)
{
    static const char full[] = "##############################", empty[] = "..............................";
    const int n = (int)(30 * done / total);
    fprintf(stderr, "\r[%.*s%.*s] %zu of %zu %s\x1b[K", n, full, 30 - n, empty, done, total, what);
    fflush(stderr);
}

void progress_clear(void)
{
    fputs("\r\x1b[K", stderr);
    fflush(stderr);
}
