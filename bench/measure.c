/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"

#include "os.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void vt_bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

double vt_bench_seconds(void)
{
    return 1e-9 * (double)vt_clock_ns();
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double vt_bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

void *vt_bench_alloc(size_t bytes)
{
    const size_t rounded = (bytes + VT_LARGE_PAGE) / VT_LARGE_PAGE * VT_LARGE_PAGE;
    void *p = aligned_alloc(VT_LARGE_PAGE, rounded);
    if (!p)
        vt_bench_fail("%zu bytes of memory were not to be had", rounded);
    vt_prefer_large_pages(p, rounded);
    return p;
}

void vt_bench_noise(size_t n, float range, uint32_t *state, float *x)
{
    for (size_t i = 0; i < n; i++) {
        *state = *state * 1664525u + 1013904223u;
        x[i] = ((float)(*state >> 8) / 8388608.0f - 1.0f) * range;
    }
}
