/* SPDX-License-Identifier: Apache-2.0 */
/* What one core and what several of them at the same time can do, measured: the denominator of every share of peak. */
#ifndef VT_BENCH_PEAK_H
#define VT_BENCH_PEAK_H

#include "kernels.h"

/* 10^9 operations a second, two for each multiply-add, of independent chains of the widest instruction for a product
 * that a CPU with these bundles has, with its operands in registers. Without one it is f32's: then that is what a
 * kernel has to compute with. threads > 1: the sum over threads that run at the same time.
 *
 * Takes a fraction of a millisecond. The clock may change at any time: measure next to what is compared with it, and
 * take the best of several. */
double vt_bench_peak(enum vt_product product, unsigned cpu, unsigned threads);

#endif
