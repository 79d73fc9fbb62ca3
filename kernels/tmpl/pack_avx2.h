/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing for tiles of 16 columns with AVX2. A panel's unit, kr elements of one column, has 4 bytes for every type of
 * product (1 float, 2 bf16, 4 bytes), so packing rows is the same transposition for all. Include simd/avx2.h before.
 */
#ifndef VT_TMPL_PACK_AVX2_H
#define VT_TMPL_PACK_AVX2_H

#include <stddef.h>
#include <string.h>

enum { PACK_UNIT = 4, PACK_UNITS = 8, PACK_PANEL_ROW = 2 * PACK_UNITS * PACK_UNIT }; /* bytes, units, bytes */

static inline __m256 load_units(const void *p)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256(p));
}

/* Transposes 8 x 8 units; row i of the result goes to out + i * PACK_PANEL_ROW. */
static inline void transpose_units(const __m256 in[8], char *out)
{
    __m256 pair[8], quad[8];
    for (size_t i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(in[i], in[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(in[i], in[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {
        quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
        quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
    }
    for (size_t i = 0; i < 4; i++) {
        const __m256 low = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20),
                     high = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31);
        _mm256_storeu_ps((float *)(void *)(out + i * PACK_PANEL_ROW), low);
        _mm256_storeu_ps((float *)(void *)(out + (i + 4) * PACK_PANEL_ROW), high);
    }
}

/* Rows of `bytes` bytes, ld bytes apart; n <= 16 of them become the columns of a panel. */
static inline void pack_rows_16(size_t n, size_t bytes, const void *w, size_t ld, void *panel)
{
    const size_t step = PACK_UNITS * PACK_UNIT;
    for (size_t half = 0; half < 2; half++) {
        const size_t first = half * PACK_UNITS, count = n < first ? 0 : n - first < PACK_UNITS ? n - first : PACK_UNITS;
        const char *row = (const char *)w + (count ? first * ld : 0);
        char *out = (char *)panel + first * PACK_UNIT;
        size_t at = 0;
        for (; at + step <= bytes; at += step, out += PACK_UNITS * PACK_PANEL_ROW) {
            __m256 in[8];
            for (size_t i = 0; i < 8; i++)
                in[i] = i < count ? load_units(row + i * ld + at) : vf_zero();
            transpose_units(in, out);
        }
        for (; at < bytes; at += PACK_UNIT, out += PACK_PANEL_ROW) { /* unit by unit; the last one may be cut short */
            memset(out, 0, PACK_UNITS * PACK_UNIT);
            for (size_t i = 0; i < count; i++)
                memcpy(out + i * PACK_UNIT, row + i * ld + at, bytes - at < PACK_UNIT ? bytes - at : PACK_UNIT);
        }
    }
}

/* 16 bytes of which the first n are read. */
static inline __m128i load_bytes_n(const int8_t *p, size_t n)
{
    int8_t bytes[16] = { 0 };
    if (n == sizeof bytes)
        return _mm_loadu_si128((const __m128i *)(const void *)p);
    memcpy(bytes, p, n);
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* pack_columns of bytes: columns j of rows kk to kk + 3 become unit j of row kk / 4. */
static inline void pack_columns_u8s8_16(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    const int8_t *from = v;
    __m128i *to = panel;
    for (size_t kk = 0; kk < k; kk += 4, from += 4 * ldv, to += 4) {
        __m128i row[4];
        for (size_t i = 0; i < 4; i++)
            row[i] = kk + i < k ? load_bytes_n(from + i * ldv, n) : _mm_setzero_si128();
        for (size_t half = 0; half < 2; half++) {
            const __m128i first = half ? _mm_unpackhi_epi8(row[0], row[1]) : _mm_unpacklo_epi8(row[0], row[1]);
            const __m128i second = half ? _mm_unpackhi_epi8(row[2], row[3]) : _mm_unpacklo_epi8(row[2], row[3]);
            _mm_storeu_si128(to + 2 * half, _mm_unpacklo_epi16(first, second));
            _mm_storeu_si128(to + 2 * half + 1, _mm_unpackhi_epi16(first, second));
        }
    }
}

#endif
