/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmark programs share: clock, statistics, memory, noise, errors. */
#ifndef VT_BENCH_MEASURE_H
#define VT_BENCH_MEASURE_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

/* Prints "bench: " and a sentence to standard error and ends the program with status 1. */
_Noreturn void vt_bench_fail(const char *format, ...) VT_PRINTF(1, 2);

/* Seconds of a clock that only goes forward. */
double vt_bench_seconds(void);

/* The median of n >= 1 values, which are sorted in place. */
double vt_bench_median(double *values, size_t n);

/* Memory in large pages where the system has them, as the library's own weights. Fails the program rather than return
 * NULL. Free with free. */
void *vt_bench_alloc(size_t bytes);

/* n values, uniform within (-range, range); the same for the same *state, which moves on. */
void vt_bench_noise(size_t n, float range, uint32_t *state, float *x);

#endif
