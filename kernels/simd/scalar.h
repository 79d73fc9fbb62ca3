/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vector type of the templates with one lane, in plain C: the bundle "ref". simd/avx2.h has the same functions in
 * the same order.
 *
 * fmaf is one rounding by the C standard. Compile with -ffp-contract=off, so that nothing else is fused.
 */
#ifndef VT_SIMD_H
#define VT_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* clang-format off */

#define VT_FN(name) name##_ref
#define VL 1

typedef float vf;

static inline vf vf_set1(float x) { return x; }
static inline vf vf_zero(void) { return 0.0f; }
static inline vf vf_load(const float *p) { return *p; }
static inline void vf_store(float *p, vf x) { *p = x; }
static inline vf vf_load_shared(const float *p) { return *p; } /* for several uses */

/* Fetches the line that lies so many bytes behind p into the second-level cache; here nothing. */
static inline void vf_prefetch(const void *p, size_t bytes)
{
    (void)p;
    (void)bytes;
}

/* The first n <= VL lanes; the other ones are 0. No other element is touched. */
static inline vf vf_load_n(const float *p, size_t n) { return n ? *p : 0.0f; }
static inline void vf_store_n(float *p, vf x, size_t n)
{
    if (n)
        *p = x;
}

/* The first or the second of each of VL pairs of bf16, as floats. */
static inline vf vf_load_bf16_even(const uint16_t *p)
{
    const uint32_t bits = (uint32_t)p[0] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline vf vf_load_bf16_odd(const uint16_t *p) { return vf_load_bf16_even(p + 1); }

/* VL bf16 one behind the other as floats; the first n, and 0. */
static inline vf vf_load_bf16(const uint16_t *p) { return vf_load_bf16_even(p); }
static inline vf vf_load_bf16_n(const uint16_t *p, size_t n) { return n ? vf_load_bf16(p) : 0.0f; }

/* Stored as bf16, see vt_to_bf16_fn: half of the last kept bit is added, less 1 where that bit is even. */
static inline void vf_store_bf16_n(uint16_t *p, vf x, size_t n)
{
    uint32_t bits;
    if (!n)
        return;
    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        *p = (uint16_t)(bits >> 16 | 0x40);
    else if (!(bits & 0x7F800000u))
        *p = (uint16_t)(bits >> 16 & 0x8000u);
    else
        *p = (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}
static inline void vf_store_bf16(uint16_t *p, vf x) { vf_store_bf16_n(p, x, 1); }

/* Stored as codes: x rounded to nearest, ties to even, at least 0 and at most highest, a whole number up to 255; a NaN
 * gives 0. */
static inline void vf_store_u8_n(uint8_t *p, vf x, vf highest, size_t n)
{
    const float limited = !(x > 0.0f) ? 0.0f : x < highest ? x : highest;
    if (n)
        *p = (uint8_t)((double)limited + 0x1.8p52 - 0x1.8p52); /* the sum leaves a double no bits behind the point */
}
static inline void vf_store_u8(uint8_t *p, vf x, vf highest) { vf_store_u8_n(p, x, highest, 1); }

/* 2 VL of them. */
static inline void vf_store_u8_pair(uint8_t *p, vf first, vf second, vf highest)
{
    vf_store_u8(p, first, highest);
    vf_store_u8(p + 1, second, highest);
}

/* The first n lanes of x, then lanes of other. */
static inline vf vf_keep_n(vf x, vf other, size_t n) { return n ? x : other; }

static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
static inline vf vf_sqrt(vf a) { return sqrtf(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return fmaf(a, b, c); } /* a * b + c */
static inline vf vf_abs(vf a) { return fabsf(a); }
static inline vf vf_copysign(vf magnitude, vf sign) { return copysignf(magnitude, sign); }

/* As the instructions of x86 define it: b where either is NaN. */
static inline vf vf_max(vf a, vf b) { return a > b ? a : b; }
static inline vf vf_min(vf a, vf b) { return a < b ? a : b; }

/* -|x|, at least -end < 0; for a NaN any number or NaN. */
static inline vf vf_minus_abs_from(vf x, float end) { return vf_max(-end, -fabsf(x)); }

/* x where key is not below limit (also where key is NaN), else 0. */
static inline vf vf_zero_below(vf x, vf key, vf limit) { return key < limit ? 0.0f : x; }
static inline vf vf_select_negative(vf key, vf if_negative, vf otherwise)
{
    return key < 0.0f ? if_negative : otherwise;
}

/* x * 2^n, where biased = n + ROUND_BIAS and -127 < n < 128. */
static inline vf vf_scale_by_power(vf x, vf biased)
{
    uint32_t bits;
    float power;
    memcpy(&bits, &biased, sizeof bits);
    bits = (bits << 23) + (127u << 23);
    memcpy(&power, &bits, sizeof power);
    return x * power;
}

/* ---- VL integers of 32 bits ---- */

typedef int32_t vi;

static inline vi vi_set1(int32_t x) { return x; }
static inline vi vi_load(const int32_t *p) { return *p; }
static inline void vi_store(int32_t *p, vi x) { *p = x; }

/* As vf_load_n and vf_store_n. */
static inline vi vi_load_n(const int32_t *p, size_t n) { return n ? *p : 0; }
static inline void vi_store_n(int32_t *p, vi x, size_t n)
{
    if (n)
        *p = x;
}

/* Bytes without a sign. */
static inline vi vi_load_u8(const uint8_t *p) { return *p; }
static inline vi vi_load_u8_n(const uint8_t *p, size_t n) { return n ? *p : 0; }

/* The low byte of each. */
static inline void vi_store_u8(uint8_t *p, vi x) { *p = (uint8_t)x; }
static inline void vi_store_u8_n(uint8_t *p, vi x, size_t n)
{
    if (n)
        *p = (uint8_t)x;
}

static inline vi vi_keep_n(vi x, vi other, size_t n) { return n ? x : other; }

/* Modulo 2^32. */
static inline vi vi_add(vi a, vi b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static inline vi vi_sub(vi a, vi b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
static inline vi vi_max(vi a, vi b) { return a > b ? a : b; }

/* Of all lanes; the sum modulo 2^32. */
static inline int32_t vi_max_of_lanes(vi x) { return x; }
static inline int32_t vi_sum_of_lanes(vi x) { return x; }

/* To the nearest float, and to the nearest integer where x < 2^31; ties to even. Below -2^31 it is -2^31; of a NaN it is
 * that or 0. */
static inline vf vf_of_vi(vi x) { return (float)x; }
static inline vi vi_of_vf(vf x) { return (int32_t)(x >= -0x1p31f ? (double)x + 0x1.8p52 - 0x1.8p52 : -0x1p31); }

/* The same bits. */
static inline vi vi_of_bits(vf x)
{
    vi bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline vf vf_of_bits(vi bits)
{
    vf x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The float in [1, 2) that has the low 23 bits of x behind its point. */
static inline vf vf_of_fraction(vi x) { return vf_of_bits((x & 0x7FFFFF) | 0x3F800000); }

/* Sum and maximum of 16 lanes: 8 + 8, 4 + 4, 2 + 2, 1 + 1. */
static inline float vf_sum16(const vf *lane)
{
    float sum[16];
    memcpy(sum, lane, sizeof sum);
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            sum[i] = sum[i] + sum[i + half];
    return sum[0];
}
static inline float vf_max16(const vf *lane)
{
    float max = lane[0];
    for (size_t i = 1; i < 16; i++)
        max = vf_max(lane[i], max);
    return max;
}

#endif
