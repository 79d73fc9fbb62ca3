/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of 32, 16 and 8 bits for AVX-512 F, BW, DQ, VL: what tmpl/integer.h needs beside simd/avx512.h, which has to
 * be included before. simd/integer_avx2.h and simd/integer_neon.h have the same functions.
 */
#ifndef VT_SIMD_INTEGER_H
#define VT_SIMD_INTEGER_H

/* clang-format off */

typedef __m512i vw; /* 2 VL words */
typedef __m512i vb; /* 4 VL bytes */

/* ---- VL integers of 32 bits ---- */

static inline vi vi_mul(vi a, vi b) { return (vi)_mm512_mullo_epi32((__m512i)a, (__m512i)b); }
static inline vi vi_min(vi a, vi b) { return (vi)_mm512_min_epi32((__m512i)a, (__m512i)b); }

/* Shifts by one count for all lanes, below 32, and by one for each. Right: towards minus infinity. */
static inline vi vi_shift_left(vi a, unsigned n)
{
    return (vi)_mm512_sll_epi32((__m512i)a, _mm_cvtsi32_si128((int)n));
}
static inline vi vi_shift_right(vi a, unsigned n)
{
    return (vi)_mm512_sra_epi32((__m512i)a, _mm_cvtsi32_si128((int)n));
}
static inline vi vi_half(vi a) { return (vi)_mm512_srai_epi32((__m512i)a, 1); }
static inline vi vi_shift_right_each(vi a, vi n) { return (vi)_mm512_srav_epi32((__m512i)a, (__m512i)n); }

/* Multipliers ready for vi_mul_high, which rounds a * b / 2^32 towards minus infinity. */
typedef struct { __m512i even, odd; } vm;
static inline vm vm_of(vi b) { return (vm){ (__m512i)b, _mm512_srli_epi64((__m512i)b, 32) }; }
static inline vi vi_mul_high(vi a, vm b)
{
    const __m512i even = _mm512_mul_epi32((__m512i)a, b.even);
    const __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64((__m512i)a, 32), b.odd);
    return (vi)_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
}

static inline vi vi_load_s16(const int16_t *p)
{
    return (vi)_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vi vi_load_s16_n(const int16_t *p, size_t n)
{
    return (vi)_mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(vf_mask(n), p));
}

/* The first n lanes of p, then lanes of other. */
static inline vi vi_load_or(const int32_t *p, vi other, size_t n)
{
    return (vi)_mm512_mask_loadu_epi32((__m512i)other, vf_mask(n), p);
}

/* a + b where mask is not 0, a elsewhere. */
static inline vi vi_add_where(vi a, vi b, vi mask)
{
    const __mmask16 lanes = _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask);
    return (vi)_mm512_mask_add_epi32((__m512i)a, lanes, (__m512i)a, (__m512i)b);
}

static inline int32_t vi_sum(vi a) { return _mm512_reduce_add_epi32((__m512i)a); }
static inline int32_t vi_largest(vi a) { return _mm512_reduce_max_epi32((__m512i)a); }

/* ---- Words ---- */

static inline __mmask32 vw_mask(size_t n) { return (__mmask32)((UINT64_C(1) << n) - 1); }
static inline vw vw_set1(int x) { return _mm512_set1_epi16((short)x); }
static inline vw vw_load(const int16_t *p) { return _mm512_loadu_si512(p); }
static inline vw vw_load_n(const int16_t *p, size_t n) { return _mm512_maskz_loadu_epi16(vw_mask(n), p); }

/* Each limited to 16 bits with a sign; stored in order. */
static inline vw vw_ordered(vi a, vi b)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    return _mm512_permutexvar_epi64(order, _mm512_packs_epi32((__m512i)a, (__m512i)b));
}
static inline void vw_store(int16_t *p, vi a, vi b) { _mm512_storeu_si512(p, vw_ordered(a, b)); }
static inline void vw_store_n(int16_t *p, vi a, vi b, size_t n)
{
    _mm512_mask_storeu_epi16(p, vw_mask(n), vw_ordered(a, b));
}

/* Each limited to 0..65535, in any order. */
static inline vw vw_limited(vi a, vi b) { return _mm512_packus_epi32((__m512i)a, (__m512i)b); }

/* Words without a sign. */
static inline vw vw_sub(vw a, vw b) { return _mm512_sub_epi16(a, b); }
static inline vw vw_min(vw a, vw b) { return _mm512_min_epu16(a, b); }
static inline vw vw_mul_high(vw a, vw b) { return _mm512_mulhi_epu16(a, b); }
static inline vw vw_shift_left(vw a, unsigned n) { return _mm512_sll_epi16(a, _mm_cvtsi32_si128((int)n)); }

static inline vw vw_add(vw a, vw b) { return _mm512_add_epi16(a, b); }

/* Words with a sign: limited as vw_limited does it, and in its order; magnitudes; the positive ones; limited sums;
 * products / 2^15 rounded to nearest, ties upwards. */
static inline vw vw_words(vi a, vi b) { return _mm512_packs_epi32((__m512i)a, (__m512i)b); }
static inline vw vw_abs(vw a) { return _mm512_abs_epi16(a); }
static inline vw vw_positive(vw a) { return _mm512_max_epi16(a, _mm512_setzero_si512()); }
static inline vw vw_add_limited(vw a, vw b) { return _mm512_adds_epi16(a, b); }
static inline vw vw_mul_round(vw a, vw b) { return _mm512_mulhrs_epi16(a, b); }

/* high * 2^16 + low, in the order of the two vectors that vw_words was given; sums of the products of both halves. */
static inline vi vw_first_of(vw low, vw high) { return (vi)_mm512_unpacklo_epi16(low, high); }
static inline vi vw_second_of(vw low, vw high) { return (vi)_mm512_unpackhi_epi16(low, high); }
static inline vi vi_dot(vi a, vi b) { return (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b); }

/* The numbers that t * 2^-11 has before and behind its point, the latter in units of 2^-16. */
static inline vw vw_exponent(vw t) { return _mm512_srli_epi16(t, 11); }
static inline vw vw_fraction(vw t) { return _mm512_slli_epi16(t, 5); }

/* p / 2^(8 + n) rounded to nearest, ties upwards; 0 for n >= 9. */
static inline vw vw_scale_down(vw p, vw n)
{
    const __m512i twice = _mm512_srlv_epi16(p, _mm512_add_epi16(n, _mm512_set1_epi16(7)));
    return _mm512_avg_epu16(twice, _mm512_setzero_si512());
}

/* acc[i] + the sum of a pair of words; the squares of words added to sums of 64 bits. */
static inline vi vi_add_pairs(vi acc, vw w)
{
    return (vi)_mm512_add_epi32((__m512i)acc, _mm512_madd_epi16(w, _mm512_set1_epi16(1)));
}
/* Sums of squares below 2^32 each: modulo 2^32, and of their upper halves; so the sum of the lower halves, which is
 * below 2^32 for 2^16 elements, is known too. */
typedef struct { vi sum, high; } vq;
static inline vq vq_zero(void) { return (vq){ vi_set1(0), vi_set1(0) }; }
static inline vq vq_add_squares(vq acc, vw w)
{
    const __m512i squares = _mm512_madd_epi16(w, w);
    acc.sum = vi_add(acc.sum, (vi)squares);
    acc.high = vi_add(acc.high, (vi)_mm512_srli_epi32(squares, 16));
    return acc;
}
static inline uint64_t vq_sum(vq acc)
{
    const vi low = vi_sub(acc.sum, vi_shift_left(acc.high, 16));
    return ((uint64_t)(uint32_t)vi_sum(acc.high) << 16) + (uint32_t)vi_sum(low);
}

/* ---- Bytes ---- */

static inline __mmask64 vb_mask(size_t n) { return n >= 64 ? ~(__mmask64)0 : (UINT64_C(1) << n) - 1; }
static inline vb vb_set1(int x) { return _mm512_set1_epi8((char)x); }
static inline vb vb_min(vb a, vb b) { return _mm512_min_epu8(a, b); }

static inline vb vb_in_order(__m512i x)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, x);
}

/* Four vectors one after the other, each limited to 0..255. */
static inline vb vb_of_vi(vi a, vi b, vi c, vi d)
{
    const __m512i low = _mm512_packs_epi32((__m512i)a, (__m512i)b), high = _mm512_packs_epi32((__m512i)c, (__m512i)d);
    return vb_in_order(_mm512_packus_epi16(low, high));
}

/* Two of what vw_limited gives, below 256, as the bytes of the four vectors one after the other. */
static inline vb vb_of_vw(vw a, vw b) { return vb_in_order(_mm512_packus_epi16(a, b)); }

static inline void vb_store(uint8_t *p, vb x) { _mm512_storeu_si512(p, x); }
static inline void vb_store_n(uint8_t *p, vb x, size_t n) { _mm512_mask_storeu_epi8(p, vb_mask(n), x); }

/* The first n bytes of each half. */
static inline void vb_store_halves(uint8_t *low, uint8_t *high, vb x)
{
    _mm256_storeu_si256((__m256i *)(void *)low, _mm512_castsi512_si256(x));
    _mm256_storeu_si256((__m256i *)(void *)high, _mm512_extracti64x4_epi64(x, 1));
}
static inline void vb_store_halves_n(uint8_t *low, uint8_t *high, vb x, size_t n)
{
    _mm256_mask_storeu_epi8(low, vw_mask(n), _mm512_castsi512_si256(x));
    _mm256_mask_storeu_epi8(high, vw_mask(n), _mm512_extracti64x4_epi64(x, 1));
}

/* Sums of bytes. */
typedef __m512i vs;
static inline vs vs_zero(void) { return _mm512_setzero_si512(); }
static inline vs vs_add(vs acc, vb x) { return _mm512_add_epi64(acc, _mm512_sad_epu8(x, _mm512_setzero_si512())); }
static inline int32_t vs_sum(vs acc) { return (int32_t)_mm512_reduce_add_epi64(acc); }

static inline vb vb_load_n(const uint8_t *p, size_t n) { return _mm512_maskz_loadu_epi8(vb_mask(n), p); }
static inline vb vb_load(const uint8_t *p) { return _mm512_loadu_si512(p); }

/* A table of 256 bytes: of the 16 rows of 16 that the low half of a byte chooses from, each bit of its high half drops
 * one half. */
typedef struct { __m512i row[16]; } vt_byte_table;
static inline vt_byte_table vb_table(const uint8_t *p)
{
    vt_byte_table t;
    for (int i = 0; i < 16; i++)
        t.row[i] = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)));
    return t;
}
static inline vb vb_lookup(const vt_byte_table *t, vb x)
{
    const __m512i low = _mm512_and_si512(x, _mm512_set1_epi8(15));
    const __mmask64 bit4 = _mm512_test_epi8_mask(x, _mm512_set1_epi8(16));
    const __mmask64 bit5 = _mm512_test_epi8_mask(x, _mm512_set1_epi8(32));
    const __mmask64 bit6 = _mm512_test_epi8_mask(x, _mm512_set1_epi8(64)), bit7 = _mm512_movepi8_mask(x);
    __m512i part[8];
    for (int i = 0; i < 8; i++)
        part[i] = _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(t->row[2 * i], low), bit4, t->row[2 * i + 1], low);
    for (int i = 0; i < 4; i++)
        part[i] = _mm512_mask_blend_epi8(bit5, part[2 * i], part[2 * i + 1]);
    for (int i = 0; i < 2; i++)
        part[i] = _mm512_mask_blend_epi8(bit6, part[2 * i], part[2 * i + 1]);
    return _mm512_mask_blend_epi8(bit7, part[0], part[1]);
}

#endif
