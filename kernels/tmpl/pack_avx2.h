/* SPDX-License-Identifier: Apache-2.0 */
/* Packing rows for tiles of 16 columns with AVX2, see pack_rows.h. Include simd/avx2.h before. */
#ifndef VT_TMPL_PACK_AVX2_H
#define VT_TMPL_PACK_AVX2_H

#include <stddef.h>

static inline vf load_units(const void *p)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256(p));
}

static inline void transpose_units(vf x[VL])
{
    vf pair[VL], quad[VL];
    for (size_t i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {
        quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
        quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
    }
    for (size_t i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31);
    }
}

#include "pack_rows.h"

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
