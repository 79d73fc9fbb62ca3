/* SPDX-License-Identifier: Apache-2.0 */
/* What one core can do, measured: the denominator of every share of peak. */
#ifndef VT_BENCH_PEAK_H
#define VT_BENCH_PEAK_H

/* GFLOP/s of independent chains of f32 fused multiply-adds in registers over about a millisecond, vectors as wide as
 * peak.c was compiled for. The clock may change at any time: measure next to what is compared with it, and take the
 * best of several. */
double vt_bench_peak_f32(void);

/* Seconds of a monotonic clock. */
double vt_bench_seconds(void);

#endif
