/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of 32, 16 and 8 bits for AVX2: what tmpl/integer.h needs beside simd/avx2.h, which has to be included
 * before. simd/integer_avx512.h says what each function means.
 */
#ifndef VT_SIMD_INTEGER_H
#define VT_SIMD_INTEGER_H

/* clang-format off */

typedef __m256i vw;
typedef __m256i vb;

/* ---- VL integers of 32 bits ---- */

static inline vi vi_mul(vi a, vi b) { return (vi)_mm256_mullo_epi32((__m256i)a, (__m256i)b); }
static inline vi vi_min(vi a, vi b) { return (vi)_mm256_min_epi32((__m256i)a, (__m256i)b); }
static inline vi vi_shift_left(vi a, unsigned n)
{
    return (vi)_mm256_sll_epi32((__m256i)a, _mm_cvtsi32_si128((int)n));
}
static inline vi vi_shift_right(vi a, unsigned n)
{
    return (vi)_mm256_sra_epi32((__m256i)a, _mm_cvtsi32_si128((int)n));
}
static inline vi vi_half(vi a) { return (vi)_mm256_srai_epi32((__m256i)a, 1); }
static inline vi vi_shift_right_each(vi a, vi n) { return (vi)_mm256_srav_epi32((__m256i)a, (__m256i)n); }

typedef struct { __m256i even, odd; } vm;
static inline vm vm_of(vi b) { return (vm){ (__m256i)b, _mm256_srli_epi64((__m256i)b, 32) }; }
static inline vi vi_mul_high(vi a, vm b)
{
    const __m256i even = _mm256_mul_epi32((__m256i)a, b.even);
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64((__m256i)a, 32), b.odd);
    return (vi)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}

static inline vi vi_load_s16(const int16_t *p)
{
    return (vi)_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vi vi_load_s16_n(const int16_t *p, size_t n)
{
    int16_t lanes[8] = { 0 };
    memcpy(lanes, p, n * sizeof *p);
    return vi_load_s16(lanes);
}
static inline vi vi_load_or(const int32_t *p, vi other, size_t n)
{
    const __m256i mask = vf_mask(n);
    return (vi)_mm256_blendv_epi8((__m256i)other, _mm256_maskload_epi32(p, mask), mask);
}

static inline vi vi_add_where(vi a, vi b, vi mask)
{
    const __m256i is_zero = _mm256_cmpeq_epi32((__m256i)mask, _mm256_setzero_si256());
    return vi_add(a, (vi)_mm256_andnot_si256(is_zero, (__m256i)b));
}

static inline __m128i vt_fold_32(__m128i x, int is_max)
{
    __m128i other = _mm_shuffle_epi32(x, 0x4E);
    x = is_max ? _mm_max_epi32(x, other) : _mm_add_epi32(x, other);
    other = _mm_shuffle_epi32(x, 0xB1);
    return is_max ? _mm_max_epi32(x, other) : _mm_add_epi32(x, other);
}
static inline int32_t vi_sum(vi a)
{
    const __m128i low = _mm256_castsi256_si128((__m256i)a), high = _mm256_extracti128_si256((__m256i)a, 1);
    return _mm_cvtsi128_si32(vt_fold_32(_mm_add_epi32(low, high), 0));
}
static inline int32_t vi_largest(vi a)
{
    const __m128i low = _mm256_castsi256_si128((__m256i)a), high = _mm256_extracti128_si256((__m256i)a, 1);
    return _mm_cvtsi128_si32(vt_fold_32(_mm_max_epi32(low, high), 1));
}

/* ---- Words ---- */

static inline vw vw_set1(int x) { return _mm256_set1_epi16((short)x); }
static inline vw vw_load(const int16_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
static inline vw vw_load_n(const int16_t *p, size_t n)
{
    int16_t lanes[16] = { 0 };
    memcpy(lanes, p, n * sizeof *p);
    return vw_load(lanes);
}

static inline void vw_store(int16_t *p, vi a, vi b)
{
    const __m256i words = _mm256_packs_epi32((__m256i)a, (__m256i)b);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute4x64_epi64(words, 0xD8));
}
static inline void vw_store_n(int16_t *p, vi a, vi b, size_t n)
{
    int16_t lanes[16];
    vw_store(lanes, a, b);
    memcpy(p, lanes, n * sizeof *p);
}
static inline vw vw_limited(vi a, vi b) { return _mm256_packus_epi32((__m256i)a, (__m256i)b); }
static inline vw vw_sub(vw a, vw b) { return _mm256_sub_epi16(a, b); }
static inline vw vw_min(vw a, vw b) { return _mm256_min_epu16(a, b); }
static inline vw vw_mul_high(vw a, vw b) { return _mm256_mulhi_epu16(a, b); }
static inline vw vw_shift_left(vw a, unsigned n) { return _mm256_sll_epi16(a, _mm_cvtsi32_si128((int)n)); }
static inline vw vw_add(vw a, vw b) { return _mm256_add_epi16(a, b); }


static inline vw vw_words(vi a, vi b) { return _mm256_packs_epi32((__m256i)a, (__m256i)b); }
static inline vw vw_abs(vw a) { return _mm256_abs_epi16(a); }
static inline vw vw_positive(vw a) { return _mm256_max_epi16(a, _mm256_setzero_si256()); }
static inline vw vw_add_limited(vw a, vw b) { return _mm256_adds_epi16(a, b); }
static inline vw vw_mul_round(vw a, vw b) { return _mm256_mulhrs_epi16(a, b); }

static inline vi vw_first_of(vw low, vw high) { return (vi)_mm256_unpacklo_epi16(low, high); }
static inline vi vw_second_of(vw low, vw high) { return (vi)_mm256_unpackhi_epi16(low, high); }
static inline vi vi_dot(vi a, vi b) { return (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b); }

static inline vw vw_exponent(vw t) { return _mm256_srli_epi16(t, 11); }
static inline vw vw_fraction(vw t) { return _mm256_slli_epi16(t, 5); }

/* There are no shifts by a count for each word, so by multiplication with 2^(9 - n), n limited to 9, whose bytes are
 * looked up: the low ones by n, the high ones by n + 10, or not (bit 7) from n = 6 on, where they are 0. */
static inline vw vw_scale_down(vw p, vw n)
{
    const __m256i bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, (char)128, 64, 32, 16, 8, 4, 2, 1, 2, 1, 0, 0, 0, 0));
    n = _mm256_min_epu16(n, _mm256_set1_epi16(9));
    const __m256i index = _mm256_or_si256(n, _mm256_slli_epi16(_mm256_add_epi16(n, _mm256_set1_epi16(0x7A)), 8));
    const __m256i twice = _mm256_mulhi_epu16(p, _mm256_shuffle_epi8(bytes, index));
    return _mm256_avg_epu16(twice, _mm256_setzero_si256());
}

static inline vi vi_add_pairs(vi acc, vw w)
{
    return (vi)_mm256_add_epi32((__m256i)acc, _mm256_madd_epi16(w, _mm256_set1_epi16(1)));
}
typedef struct { vi sum, high; } vq;
static inline vq vq_zero(void) { return (vq){ vi_set1(0), vi_set1(0) }; }
static inline vq vq_add_squares(vq acc, vw w)
{
    const __m256i squares = _mm256_madd_epi16(w, w);
    acc.sum = vi_add(acc.sum, (vi)squares);
    acc.high = vi_add(acc.high, (vi)_mm256_srli_epi32(squares, 16));
    return acc;
}
static inline uint64_t vq_sum(vq acc)
{
    const vi low = vi_sub(acc.sum, vi_shift_left(acc.high, 16));
    return ((uint64_t)(uint32_t)vi_sum(acc.high) << 16) + (uint32_t)vi_sum(low);
}

/* ---- Bytes ---- */

static inline vb vb_set1(int x) { return _mm256_set1_epi8((char)x); }
static inline vb vb_min(vb a, vb b) { return _mm256_min_epu8(a, b); }
static inline vb vb_in_order(__m256i x)
{
    return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
static inline vb vb_of_vi(vi a, vi b, vi c, vi d)
{
    const __m256i low = _mm256_packs_epi32((__m256i)a, (__m256i)b), high = _mm256_packs_epi32((__m256i)c, (__m256i)d);
    return vb_in_order(_mm256_packus_epi16(low, high));
}
static inline vb vb_of_vw(vw a, vw b) { return vb_in_order(_mm256_packus_epi16(a, b)); }
static inline void vb_store(uint8_t *p, vb x) { _mm256_storeu_si256((__m256i *)(void *)p, x); }
static inline void vb_store_n(uint8_t *p, vb x, size_t n)
{
    uint8_t lanes[32];
    vb_store(lanes, x);
    memcpy(p, lanes, n);
}
static inline void vb_store_halves(uint8_t *low, uint8_t *high, vb x)
{
    _mm_storeu_si128((__m128i *)(void *)low, _mm256_castsi256_si128(x));
    _mm_storeu_si128((__m128i *)(void *)high, _mm256_extracti128_si256(x, 1));
}
static inline void vb_store_halves_n(uint8_t *low, uint8_t *high, vb x, size_t n)
{
    uint8_t lanes[32];
    vb_store(lanes, x);
    memcpy(low, lanes, n);
    memcpy(high, lanes + 16, n);
}

typedef __m256i vs;
static inline vs vs_zero(void) { return _mm256_setzero_si256(); }
static inline vs vs_add(vs acc, vb x) { return _mm256_add_epi64(acc, _mm256_sad_epu8(x, _mm256_setzero_si256())); }
static inline int32_t vs_sum(vs acc) { return vi_sum((vi)acc); } /* the upper halves are 0 */

static inline vb vb_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
static inline vb vb_load_n(const uint8_t *p, size_t n)
{
    uint8_t lanes[32] = { 0 };
    memcpy(lanes, p, n);
    return vb_load(lanes);
}

/* Blends look at the top bit of each byte, to which shifts of words bring the others. */
typedef struct { __m256i row[16]; } vt_byte_table;
static inline vt_byte_table vb_table(const uint8_t *p)
{
    vt_byte_table t;
    for (int i = 0; i < 16; i++)
        t.row[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)));
    return t;
}
static inline vb vb_lookup(const vt_byte_table *t, vb x)
{
    const __m256i low = _mm256_and_si256(x, _mm256_set1_epi8(15)), bit4 = _mm256_slli_epi16(x, 3);
    const __m256i bit5 = _mm256_slli_epi16(x, 2), bit6 = _mm256_slli_epi16(x, 1);
    __m256i part[8];
    for (int i = 0; i < 8; i++)
        part[i] = _mm256_blendv_epi8(_mm256_shuffle_epi8(t->row[2 * i], low),
                                     _mm256_shuffle_epi8(t->row[2 * i + 1], low), bit4);
    for (int i = 0; i < 4; i++)
        part[i] = _mm256_blendv_epi8(part[2 * i], part[2 * i + 1], bit5);
    for (int i = 0; i < 2; i++)
        part[i] = _mm256_blendv_epi8(part[2 * i], part[2 * i + 1], bit6);
    return _mm256_blendv_epi8(part[0], part[1], x);
}

#endif
