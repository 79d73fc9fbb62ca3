/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vector type of the templates for AVX-512 F, BW, DQ, VL: 16 floats. simd/scalar.h says what each function means.
 *
 * Only for files compiled for that bundle or one above it, which may define VT_FN before. Everything is static, so that
 * no such code can be chosen by the linker for another file.
 */
#ifndef VT_SIMD_H
#define VT_SIMD_H

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */

#ifndef VT_FN
#define VT_FN(name) name##_avx512
#endif
#define VL 16

typedef __m512 vf;

/* Ones in the first n lanes, 0 <= n <= 16. */
static inline __mmask16 vf_mask(size_t n) { return (__mmask16)((1u << n) - 1u); }

static inline vf vf_set1(float x) { return _mm512_set1_ps(x); }
static inline vf vf_zero(void) { return _mm512_setzero_ps(); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }

/* Loaded into a register: where a load has several uses gcc 12 else makes it an operand of each, once more. */
static inline vf vf_load_shared(const float *p)
{
    vf x = vf_load(p);
    __asm__("" : "+v"(x));
    return x;
}

/* Fetches the line that lies so many bytes behind p into the second-level cache; it may lie outside of any object,
 * hence the integer. */
static inline void vf_prefetch(const void *p, size_t bytes)
{
    _mm_prefetch((const char *)((uintptr_t)p + bytes), _MM_HINT_T1);
}

/* Masked lanes are not read and cannot fault. */
static inline vf vf_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vf_mask(n), p); }
static inline void vf_store_n(float *p, vf x, size_t n) { _mm512_mask_storeu_ps(p, vf_mask(n), x); }

static inline vf vf_load_bf16_even(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
static inline vf vf_load_bf16_odd(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)0xFFFF0000u)));
}

static inline vf vt_widen_bf16(__m256i x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
static inline vf vf_load_bf16(const uint16_t *p)
{
    return vt_widen_bf16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vf vf_load_bf16_n(const uint16_t *p, size_t n)
{
    return vt_widen_bf16(_mm256_maskz_loadu_epi16(vf_mask(n), p));
}

#ifdef __AVX512BF16__
static inline __m256i vf_to_bf16(vf x) { return (__m256i)_mm512_cvtneps_pbh(x); }
#else
static inline __m256i vf_to_bf16(vf x)
{
    const __m512i bits = _mm512_castps_si512(x), high = _mm512_srli_epi32(bits, 16);
    const __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), _mm512_and_si512(high, _mm512_set1_epi32(1)));
    const __mmask16 denormal = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7F800000));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512i r = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
    r = _mm512_mask_and_epi32(r, denormal, high, _mm512_set1_epi32(0x8000));
    r = _mm512_mask_or_epi32(r, nan, high, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(r);
}
#endif
static inline void vf_store_bf16(uint16_t *p, vf x) { _mm256_storeu_si256((__m256i *)(void *)p, vf_to_bf16(x)); }
static inline void vf_store_bf16_n(uint16_t *p, vf x, size_t n)
{
    _mm256_mask_storeu_epi16(p, vf_mask(n), vf_to_bf16(x));
}

/* The minimum is x where x is NaN; the conversion gives -2^31 for a NaN and for what is too negative. */
static inline __m512i vf_to_code(vf x, vf highest) { return _mm512_cvtps_epi32(_mm512_min_ps(highest, x)); }
static inline __m128i vf_to_u8(vf x, vf highest)
{
    return _mm512_cvtepi32_epi8(_mm512_max_epi32(vf_to_code(x, highest), _mm512_setzero_si512()));
}
static inline void vf_store_u8(uint8_t *p, vf x, vf highest)
{
    _mm_storeu_si128((__m128i *)(void *)p, vf_to_u8(x, highest));
}
static inline void vf_store_u8_n(uint8_t *p, vf x, vf highest, size_t n)
{
    _mm_mask_storeu_epi8(p, vf_mask(n), vf_to_u8(x, highest));
}

/* Packed together they would take fewer instructions but more time: packing is in order only within quarters. */
static inline void vf_store_u8_pair(uint8_t *p, vf first, vf second, vf highest)
{
    vf_store_u8(p, first, highest);
    vf_store_u8(p + VL, second, highest);
}

static inline vf vf_keep_n(vf x, vf other, size_t n) { return _mm512_mask_blend_ps(vf_mask(n), other, x); }

static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
static inline vf vf_copysign(vf magnitude, vf sign)
{
    return _mm512_or_ps(vf_abs(magnitude), _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}

static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }

/* The instruction takes the number of less magnitude, and then sets its sign. */
static inline vf vf_minus_abs_from(vf x, float end)
{
    enum { LESS_MAGNITUDE = 2, NEGATIVE = 3 << 2 };
    return _mm512_range_ps(x, _mm512_set1_ps(end), LESS_MAGNITUDE | NEGATIVE);
}

static inline vf vf_zero_below(vf x, vf key, vf limit)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(key, limit, _CMP_NLT_UQ), x);
}
static inline vf vf_select_negative(vf key, vf if_negative, vf otherwise)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(key, vf_zero(), _CMP_LT_OQ), otherwise, if_negative);
}

static inline vf vf_scale_by_power(vf x, vf biased)
{
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(biased), 23);
    return _mm512_mul_ps(x, _mm512_castsi512_ps(_mm512_add_epi32(n, _mm512_set1_epi32(127 << 23))));
}

/* ---- Integers ---- */

/* Lanes of int also in their type, see simd/avx2.h. */
typedef __v16si vi;

static inline vi vi_set1(int32_t x) { return (vi)_mm512_set1_epi32(x); }
static inline vi vi_load(const int32_t *p) { return (vi)_mm512_loadu_si512(p); }
static inline void vi_store(int32_t *p, vi x) { _mm512_storeu_si512(p, (__m512i)x); }
static inline vi vi_load_n(const int32_t *p, size_t n) { return (vi)_mm512_maskz_loadu_epi32(vf_mask(n), p); }
static inline void vi_store_n(int32_t *p, vi x, size_t n) { _mm512_mask_storeu_epi32(p, vf_mask(n), (__m512i)x); }
static inline vi vi_load_u8(const uint8_t *p)
{
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vi vi_load_u8_n(const uint8_t *p, size_t n)
{
    return (vi)_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(vf_mask(n), p));
}
static inline void vi_store_u8(uint8_t *p, vi x)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8((__m512i)x));
}
static inline void vi_store_u8_n(uint8_t *p, vi x, size_t n)
{
    _mm_mask_storeu_epi8(p, vf_mask(n), _mm512_cvtepi32_epi8((__m512i)x));
}

static inline vi vi_keep_n(vi x, vi other, size_t n)
{
    return (vi)_mm512_mask_blend_epi32(vf_mask(n), (__m512i)other, (__m512i)x);
}

static inline vi vi_add(vi a, vi b) { return (vi)_mm512_add_epi32((__m512i)a, (__m512i)b); }
static inline vi vi_sub(vi a, vi b) { return (vi)_mm512_sub_epi32((__m512i)a, (__m512i)b); }
static inline vi vi_max(vi a, vi b) { return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b); }
static inline int32_t vi_max_of_lanes(vi x) { return _mm512_reduce_max_epi32((__m512i)x); }
static inline int32_t vi_sum_of_lanes(vi x) { return _mm512_reduce_add_epi32((__m512i)x); }

static inline vf vf_of_vi(vi x) { return _mm512_cvtepi32_ps((__m512i)x); }
static inline vi vi_of_vf(vf x) { return (vi)_mm512_cvtps_epi32(x); }
static inline vi vi_of_bits(vf x) { return (vi)_mm512_castps_si512(x); }
static inline vf vf_of_bits(vi x) { return _mm512_castsi512_ps((__m512i)x); }
static inline vf vf_of_fraction(vi x)
{
    const __m512i fraction = _mm512_set1_epi32(0x7FFFFF), one = _mm512_set1_epi32(0x3F800000);
    enum { FIRST = 0xF0, SECOND = 0xCC, THIRD = 0xAA };
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32((__m512i)x, fraction, one, (FIRST & SECOND) | THIRD));
}

/* For tmpl/gemm_u8s8.h: every other one of the bytes, widened to words, and the sum of two products of words. */
static inline vi vi_even_u8(vi x) { return (vi)_mm512_and_si512((__m512i)x, _mm512_set1_epi16(0xFF)); }
static inline vi vi_odd_u8(vi x) { return (vi)_mm512_srli_epi16((__m512i)x, 8); }
static inline vi vi_even_s8(vi x) { return (vi)_mm512_srai_epi16(_mm512_slli_epi16((__m512i)x, 8), 8); }
static inline vi vi_odd_s8(vi x) { return (vi)_mm512_srai_epi16((__m512i)x, 8); }
static inline vi vi_dot_words(vi a, vi b) { return (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b); }

static inline __m256 vf_low_half(vf x) { return _mm512_castps512_ps256(x); }
static inline __m256 vf_high_half(vf x) { return _mm512_extractf32x8_ps(x, 1); }

static inline float vf_sum16(const vf *lane)
{
    const __m256 sum8 = _mm256_add_ps(vf_low_half(lane[0]), vf_high_half(lane[0]));
    const __m128 sum4 = _mm_add_ps(_mm256_castps256_ps128(sum8), _mm256_extractf128_ps(sum8, 1));
    const __m128 sum2 = _mm_add_ps(sum4, _mm_movehl_ps(sum4, sum4));
    return _mm_cvtss_f32(_mm_add_ss(sum2, _mm_movehdup_ps(sum2)));
}
static inline float vf_max16(const vf *lane)
{
    const __m256 max8 = _mm256_max_ps(vf_low_half(lane[0]), vf_high_half(lane[0]));
    const __m128 max4 = _mm_max_ps(_mm256_castps256_ps128(max8), _mm256_extractf128_ps(max8, 1));
    const __m128 max2 = _mm_max_ps(max4, _mm_movehl_ps(max4, max4));
    return _mm_cvtss_f32(_mm_max_ss(max2, _mm_movehdup_ps(max2)));
}

#endif
