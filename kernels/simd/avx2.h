/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vector type of the templates for AVX2 + FMA + F16C: 8 floats. simd/scalar.h says what each function means.
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
#include <string.h>

/* clang-format off */

#ifndef VT_FN
#define VT_FN(name) name##_avx2
#endif
#define VL 8

typedef __m256 vf;

/* All ones in the first n lanes, 0 <= n <= 8: the table read from its element 8 - n on. */
static const int32_t vt_mask_table[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
static inline __m256i vf_mask(size_t n)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(vt_mask_table + 8 - n));
}

static inline vf vf_set1(float x) { return _mm256_set1_ps(x); }
static inline vf vf_zero(void) { return _mm256_setzero_ps(); }
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }

/* Loaded into a register: where a load has several uses gcc 12 else makes it an operand of each, once more. */
static inline vf vf_load_shared(const float *p)
{
    vf x = vf_load(p);
    __asm__("" : "+x"(x));
    return x;
}

/* Fetches the line that lies so many bytes behind p into the second-level cache; it may lie outside of any object,
 * hence the integer. */
static inline void vf_prefetch(const void *p, size_t bytes)
{
    _mm_prefetch((const char *)((uintptr_t)p + bytes), _MM_HINT_T1);
}

/* Masked lanes are not read and cannot fault. */
static inline vf vf_load_n(const float *p, size_t n)
{
    return n >= 8 ? vf_load(p) : _mm256_maskload_ps(p, vf_mask(n));
}

/* The first n lanes of any 4 bytes, in parts of 4, 2 and 1: a masked store is microcode on AMD (10 ns on Zen 3), these
 * branches always go the same way in a loop. */
static inline void vt_store_lanes(char *p, __m256i x, size_t n)
{
    if (n >= 8) {
        _mm256_storeu_si256((__m256i *)(void *)p, x);
        return;
    }
    __m128i rest = _mm256_castsi256_si128(x);
    if (n & 4) {
        _mm_storeu_si128((__m128i *)(void *)p, rest);
        rest = _mm256_extracti128_si256(x, 1);
        p += 16;
    }
    if (n & 2) {
        _mm_storel_epi64((__m128i *)(void *)p, rest);
        rest = _mm_unpackhi_epi64(rest, rest);
        p += 8;
    }
    if (n & 1) {
        const int32_t last = _mm_cvtsi128_si32(rest);
        memcpy(p, &last, sizeof last);
    }
}
static inline void vf_store_n(float *p, vf x, size_t n) { vt_store_lanes((char *)p, _mm256_castps_si256(x), n); }

static inline vf vf_load_bf16_even(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p), 16));
}
static inline vf vf_load_bf16_odd(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)p),
                                                _mm256_set1_epi32((int)0xFFFF0000u)));
}

/* The first n <= 8 bytes, then zeros. A copy of so many would be a call, and a stall when it is loaded again. */
static inline uint64_t vt_load_bytes(const void *p, size_t n)
{
    const uint8_t *bytes = (const uint8_t *)p;
    uint64_t x = 0;
    if (n >= 4) {
        uint32_t first, last; /* overlap in the same bytes */
        memcpy(&first, bytes, sizeof first);
        memcpy(&last, bytes + n - 4, sizeof last);
        return first | (uint64_t)last << 8 * (n - 4);
    }
    for (size_t i = 0; i < n; i++)
        x |= (uint64_t)bytes[i] << 8 * i;
    return x;
}
static inline vf vt_widen_bf16(__m128i x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}
static inline vf vf_load_bf16(const uint16_t *p)
{
    return vt_widen_bf16(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vf vf_load_bf16_n(const uint16_t *p, size_t n)
{
    const size_t low = n < 4 ? n : 4;
    const uint64_t first = vt_load_bytes(p, low * sizeof *p), second = vt_load_bytes(p + low, (n - low) * sizeof *p);
    return vt_widen_bf16(_mm_set_epi64x((long long)second, (long long)first));
}

static inline __m128i vf_to_bf16(vf x)
{
    const __m256i bits = _mm256_castps_si256(x), high = _mm256_srli_epi32(bits, 16);
    const __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7FFF), _mm256_and_si256(high, _mm256_set1_epi32(1)));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m256i denormal = _mm256_cmpeq_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7F800000)),
                                                _mm256_setzero_si256());
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    __m256i r = _mm256_blendv_epi8(rounded, _mm256_and_si256(high, _mm256_set1_epi32(0x8000)), denormal);
    r = _mm256_blendv_epi8(r, _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}
static inline void vf_store_bf16(uint16_t *p, vf x) { _mm_storeu_si128((__m128i *)(void *)p, vf_to_bf16(x)); }
static inline void vf_store_bf16_n(uint16_t *p, vf x, size_t n)
{
    uint16_t lanes[8];
    if (n >= 8) {
        vf_store_bf16(p, x);
        return;
    }
    vf_store_bf16(lanes, x);
    for (size_t i = 0; i < n; i++)
        p[i] = lanes[i];
}

/* The minimum is x where x is NaN. The conversion gives -2^31 for a NaN and for what is too negative, and packing with
 * saturation then 0. */
static inline __m256i vf_to_code(vf x, vf highest) { return _mm256_cvtps_epi32(_mm256_min_ps(highest, x)); }
static inline __m128i vf_to_u8(vf x, vf highest)
{
    const __m256i code = vf_to_code(x, highest);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    return _mm_packus_epi16(words, words);
}
static inline void vf_store_u8(uint8_t *p, vf x, vf highest)
{
    _mm_storel_epi64((__m128i *)(void *)p, vf_to_u8(x, highest));
}
static inline void vf_store_u8_n(uint8_t *p, vf x, vf highest, size_t n)
{
    uint8_t lanes[8];
    if (n >= 8) {
        vf_store_u8(p, x, highest);
        return;
    }
    vf_store_u8(lanes, x, highest);
    for (size_t i = 0; i < n; i++)
        p[i] = lanes[i];
}

/* Packing leaves fours of the first and of the second in turn. */
static inline void vf_store_u8_pair(uint8_t *p, vf first, vf second, vf highest)
{
    const __m256i words = _mm256_packs_epi32(vf_to_code(first, highest), vf_to_code(second, highest));
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)(void *)p, _mm_shuffle_epi32(bytes, _MM_SHUFFLE(3, 1, 2, 0)));
}

static inline vf vf_keep_n(vf x, vf other, size_t n)
{
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(vf_mask(n)));
}

static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf vf_copysign(vf magnitude, vf sign)
{
    return _mm256_or_ps(vf_abs(magnitude), _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
}

static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }

static inline vf vf_minus_abs_from(vf x, float end)
{
    return _mm256_max_ps(_mm256_set1_ps(-end), _mm256_or_ps(_mm256_set1_ps(-0.0f), x));
}

static inline vf vf_zero_below(vf x, vf key, vf limit)
{
    return _mm256_and_ps(x, _mm256_cmp_ps(key, limit, _CMP_NLT_UQ));
}
static inline vf vf_select_negative(vf key, vf if_negative, vf otherwise)
{
    return _mm256_blendv_ps(otherwise, if_negative, _mm256_cmp_ps(key, vf_zero(), _CMP_LT_OQ));
}

static inline vf vf_scale_by_power(vf x, vf biased)
{
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(biased), 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_set1_epi32(127 << 23))));
}

/* ---- Integers ---- */

/* Lanes of int also in their type: __m256i has lanes of long long, and where an accumulator is now the one and now the
 * other, gcc 12 copies it in each step of a product, or keeps it in memory. */
typedef __v8si vi;

static inline vi vi_set1(int32_t x) { return (vi)_mm256_set1_epi32(x); }
static inline vi vi_load(const int32_t *p) { return (vi)_mm256_loadu_si256((const __m256i *)(const void *)p); }
static inline void vi_store(int32_t *p, vi x) { _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)x); }
static inline vi vi_load_n(const int32_t *p, size_t n)
{
    return n >= 8 ? vi_load(p) : (vi)_mm256_maskload_epi32(p, vf_mask(n));
}
static inline void vi_store_n(int32_t *p, vi x, size_t n) { vt_store_lanes((char *)p, (__m256i)x, n); }

static inline vi vi_load_u8(const uint8_t *p)
{
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
static inline vi vi_load_u8_n(const uint8_t *p, size_t n)
{
    return (vi)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)vt_load_bytes(p, n)));
}
static inline __m128i vi_to_u8(vi x)
{
    const __m256i low_bytes = _mm256_set1_epi32(0x0C080400), fours = _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4);
    return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(_mm256_shuffle_epi8((__m256i)x, low_bytes), fours));
}
static inline void vi_store_u8(uint8_t *p, vi x) { _mm_storel_epi64((__m128i *)(void *)p, vi_to_u8(x)); }
static inline void vi_store_u8_n(uint8_t *p, vi x, size_t n)
{
    uint8_t lanes[8];
    if (n >= 8) {
        vi_store_u8(p, x);
        return;
    }
    vi_store_u8(lanes, x);
    for (size_t i = 0; i < n; i++)
        p[i] = lanes[i];
}

static inline vi vi_keep_n(vi x, vi other, size_t n)
{
    return (vi)_mm256_blendv_epi8((__m256i)other, (__m256i)x, vf_mask(n));
}

static inline vi vi_add(vi a, vi b) { return (vi)_mm256_add_epi32((__m256i)a, (__m256i)b); }
static inline vi vi_sub(vi a, vi b) { return (vi)_mm256_sub_epi32((__m256i)a, (__m256i)b); }
static inline vi vi_max(vi a, vi b) { return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b); }

static inline int32_t vi_max_of_lanes(vi x)
{
    __m128i max = _mm_max_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
    max = _mm_max_epi32(max, _mm_unpackhi_epi64(max, max));
    return _mm_cvtsi128_si32(_mm_max_epi32(max, _mm_shuffle_epi32(max, 1)));
}
static inline int32_t vi_sum_of_lanes(vi x)
{
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
    sum = _mm_add_epi32(sum, _mm_unpackhi_epi64(sum, sum));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 1)));
}

static inline vf vf_of_vi(vi x) { return _mm256_cvtepi32_ps((__m256i)x); }
static inline vi vi_of_vf(vf x) { return (vi)_mm256_cvtps_epi32(x); }
static inline vi vi_of_bits(vf x) { return (vi)_mm256_castps_si256(x); }
static inline vf vf_of_bits(vi x) { return _mm256_castsi256_ps((__m256i)x); }
static inline vf vf_of_fraction(vi x)
{
    const __m256i fraction = _mm256_and_si256((__m256i)x, _mm256_set1_epi32(0x7FFFFF));
    return _mm256_castsi256_ps(_mm256_or_si256(fraction, _mm256_set1_epi32(0x3F800000)));
}

/* For tmpl/gemm_u8s8.h: every other one of the bytes, widened to words, and the sum of two products of words. */
static inline vi vi_even_u8(vi x) { return (vi)_mm256_and_si256((__m256i)x, _mm256_set1_epi16(0xFF)); }
static inline vi vi_odd_u8(vi x) { return (vi)_mm256_srli_epi16((__m256i)x, 8); }
static inline vi vi_even_s8(vi x) { return (vi)_mm256_srai_epi16(_mm256_slli_epi16((__m256i)x, 8), 8); }
static inline vi vi_odd_s8(vi x) { return (vi)_mm256_srai_epi16((__m256i)x, 8); }
static inline vi vi_dot_words(vi a, vi b) { return (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b); }

static inline float vf_sum16(const vf *lane)
{
    const __m256 sum8 = _mm256_add_ps(lane[0], lane[1]);
    const __m128 sum4 = _mm_add_ps(_mm256_castps256_ps128(sum8), _mm256_extractf128_ps(sum8, 1));
    const __m128 sum2 = _mm_add_ps(sum4, _mm_movehl_ps(sum4, sum4));
    return _mm_cvtss_f32(_mm_add_ss(sum2, _mm_movehdup_ps(sum2)));
}
static inline float vf_max16(const vf *lane)
{
    const __m256 max8 = _mm256_max_ps(lane[0], lane[1]);
    const __m128 max4 = _mm_max_ps(_mm256_castps256_ps128(max8), _mm256_extractf128_ps(max8, 1));
    const __m128 max2 = _mm_max_ps(max4, _mm_movehl_ps(max4, max4));
    return _mm_cvtss_f32(_mm_max_ss(max2, _mm_movehdup_ps(max2)));
}

#endif
