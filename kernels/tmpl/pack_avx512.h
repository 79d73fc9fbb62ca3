/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing for tiles of 32 columns with AVX-512. A panel's unit, kr elements of one column, has 4 bytes for every type
 * of product (1 float, 2 bf16, 4 bytes), so packing rows is the same transposition for all. Include simd/avx512.h
 * before.
 */
#ifndef VT_TMPL_PACK_AVX512_H
#define VT_TMPL_PACK_AVX512_H

#include <stddef.h>
#include <stdint.h>

enum { PACK_UNIT = 4, PACK_UNITS = 16, PACK_PANEL_ROW = 2 * PACK_UNITS * PACK_UNIT }; /* bytes, units, bytes */

/* Transposes 16 x 16 units; row i of the result goes to out + i * PACK_PANEL_ROW for i < rows. */
static inline void transpose_units(const __m512i in[16], size_t rows, char *out)
{
    __m512i a[16], b[16];
    for (size_t i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(in[i], in[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(in[i], in[i + 1]);
    }
    for (size_t i = 0; i < 16; i += 4) { /* b[i + j]: column j of each 128-bit lane, of rows i to i + 3 */
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for (size_t j = 0; j < 4; j++) { /* lanes 0, 2 and 1, 3 of rows 0 to 7 and of rows 8 to 15 */
        a[j] = _mm512_shuffle_i32x4(b[j], b[j + 4], 0x88);
        a[j + 4] = _mm512_shuffle_i32x4(b[j], b[j + 4], 0xDD);
        a[j + 8] = _mm512_shuffle_i32x4(b[j + 8], b[j + 12], 0x88);
        a[j + 12] = _mm512_shuffle_i32x4(b[j + 8], b[j + 12], 0xDD);
    }
    for (size_t j = 0; j < 4; j++) {
        b[j] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0x88);
        b[j + 8] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0xDD);
        b[j + 4] = _mm512_shuffle_i32x4(a[j + 4], a[j + 12], 0x88);
        b[j + 12] = _mm512_shuffle_i32x4(a[j + 4], a[j + 12], 0xDD);
    }
    for (size_t i = 0; i < rows; i++)
        _mm512_storeu_si512(out + i * PACK_PANEL_ROW, b[i]);
}

/* Rows of `bytes` bytes, ld bytes apart; n <= 32 of them become the columns of a panel. */
static inline void pack_rows_32(size_t n, size_t bytes, const void *w, size_t ld, void *panel)
{
    const size_t step = PACK_UNITS * PACK_UNIT;
    for (size_t half = 0; half < 2; half++) {
        const size_t first = half * PACK_UNITS, count = n < first ? 0 : n - first < PACK_UNITS ? n - first : PACK_UNITS;
        const char *row = (const char *)w + (count ? first * ld : 0);
        char *out = (char *)panel + first * PACK_UNIT;
        for (size_t at = 0; at < bytes; at += step, out += PACK_UNITS * PACK_PANEL_ROW) {
            const size_t left = bytes - at < step ? bytes - at : step;
            const __mmask64 mask = left == step ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
            __m512i in[16];
            for (size_t i = 0; i < 16; i++)
                in[i] = i < count ? _mm512_maskz_loadu_epi8(mask, row + i * ld + at) : _mm512_setzero_si512();
            transpose_units(in, (left + PACK_UNIT - 1) / PACK_UNIT, out);
        }
    }
}

/* 16 columns of bf16 from two rows; the second one may be NULL for zeros. */
static inline __m512i interleave_bf16(const uint16_t *first, const uint16_t *second, size_t n)
{
    const __mmask16 mask = (__mmask16)((1u << n) - 1u);
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, first));
    if (!second)
        return low;
    return _mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, second)), 16));
}

/* pack_columns of bf16: columns j of rows kk and kk + 1 become unit j of row kk / 2. */
static inline void pack_columns_bf16_32(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    const uint16_t *from = v;
    char *out = panel;
    const size_t first = n < PACK_UNITS ? n : PACK_UNITS, second = n - first;
    for (size_t kk = 0; kk < k; kk += 2, from += 2 * ldv, out += PACK_PANEL_ROW) {
        const uint16_t *next = kk + 1 < k ? from + ldv : NULL;
        _mm512_storeu_si512(out, interleave_bf16(from, next, first));
        _mm512_storeu_si512(out + PACK_PANEL_ROW / 2,
                            interleave_bf16(from + first, next ? next + first : NULL, second));
    }
}

/* Row i < 4 of 16 columns of bytes, at its place in their units; zeros behind column n. */
static inline __m512i spread_bytes_of_row(const uint8_t *row, size_t n, unsigned i)
{
    const __m128i bytes = _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1u), row);
    return _mm512_slli_epi32(_mm512_cvtepu8_epi32(bytes), 8 * i);
}

/* pack_columns of bytes: columns j of rows kk to kk + 3 become unit j of row kk / 4. */
static inline void pack_columns_u8s8_32(size_t n, size_t k, const void *v, size_t ldv, void *panel)
{
    const uint8_t *from = v;
    char *out = panel;
    const size_t first = n < PACK_UNITS ? n : PACK_UNITS, second = n - first;
    for (size_t kk = 0; kk < k; kk += 4, from += 4 * ldv, out += PACK_PANEL_ROW) {
        __m512i low = _mm512_setzero_si512(), high = low;
        for (unsigned i = 0; i < 4 && kk + i < k; i++) {
            low = _mm512_or_si512(low, spread_bytes_of_row(from + i * ldv, first, i));
            high = _mm512_or_si512(high, spread_bytes_of_row(from + i * ldv + first, second, i));
        }
        _mm512_storeu_si512(out, low);
        _mm512_storeu_si512(out + PACK_PANEL_ROW / 2, high);
    }
}

#endif
