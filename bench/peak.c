/* SPDX-License-Identifier: Apache-2.0 */
/* Compile with the flags of the widest bundle that is measured, and call it only on a CPU that has it. */
#define _POSIX_C_SOURCE 200809L
#include "peak.h"

#include <math.h>
#include <stddef.h>
#include <time.h>

#if defined(__AVX512F__)
#include <immintrin.h>
typedef __m512 vec;
#define SET1(x)      _mm512_set1_ps(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define STORE(p, x)  _mm512_storeu_ps(p, x)
#define WIDTH        16
#elif defined(__AVX2__)
#include <immintrin.h>
typedef __m256 vec;
#define SET1(x)      _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define STORE(p, x)  _mm256_storeu_ps(p, x)
#define WIDTH        8
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
typedef float32x4_t vec;
#define SET1(x)      vdupq_n_f32(x)
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define STORE(p, x)  vst1q_f32(p, x)
#define WIDTH        4
#else
typedef float vec;
#define SET1(x)      (x)
#define FMA(a, b, c) fmaf(a, b, c)
#define STORE(p, x)  (*(p) = (x))
#define WIDTH        1
#endif

double vt_bench_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double vt_bench_peak_f32(void)
{
    enum { CHAINS = 12, STEPS = 400000 / WIDTH };
    vec chain[CHAINS];
    volatile float near_one = 0.999f; /* unknown to the compiler, which else finds chains that stay constant */
    const vec factor = SET1(near_one), addend = SET1(0.001f);
    for (size_t i = 0; i < CHAINS; i++)
        chain[i] = SET1((float)i);

    const double start = vt_bench_seconds();
    for (size_t s = 0; s < STEPS; s++)
        for (size_t i = 0; i < CHAINS; i++)
            chain[i] = FMA(chain[i], factor, addend);
    const double seconds = vt_bench_seconds() - start;

    for (size_t i = 0; i < CHAINS; i++) {
        float lanes[WIDTH];
        STORE(lanes, chain[i]);
        volatile float used = lanes[0]; /* or the loop above would be left out */
        (void)used;
    }
    return 2.0 * WIDTH * CHAINS * STEPS / seconds * 1e-9;
}
