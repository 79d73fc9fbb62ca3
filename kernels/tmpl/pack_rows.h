/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing rows for tiles of two vectors. A panel's unit, kr elements of one column, has 4 bytes for every type of
 * product (1 float, 2 bf16, 4 bytes), so this is the same transposition for all. Include a simd/<isa>.h before, and
 * define:
 *
 *   vf load_units(const void *p)    VL units, aligned or not
 *   void transpose_units(vf x[VL])  vector i becomes unit i of each, in order
 */
#ifndef VT_TMPL_PACK_ROWS_H
#define VT_TMPL_PACK_ROWS_H

#include <stddef.h>
#include <string.h>

enum { PACK_UNIT = 4, PACK_PANEL_ROW = 2 * VL * PACK_UNIT }; /* bytes */

/* Rows of `bytes` bytes, ld bytes apart; n <= 2 * VL of them become the columns of a panel. */
static inline void pack_rows(size_t n, size_t bytes, const void *w, size_t ld, void *panel)
{
    const size_t step = VL * PACK_UNIT;
    for (size_t half = 0; half < 2; half++) {
        const size_t first = half * VL, count = n < first ? 0 : n - first < VL ? n - first : VL;
        const char *row = (const char *)w + (count ? first * ld : 0);
        char *out = (char *)panel + first * PACK_UNIT;
        size_t at = 0;
        for (; at + step <= bytes; at += step, out += VL * PACK_PANEL_ROW) {
            vf x[VL];
            for (size_t i = 0; i < VL; i++)
                x[i] = i < count ? load_units(row + i * ld + at) : vf_zero();
            transpose_units(x);
            for (size_t i = 0; i < VL; i++)
                vf_store((float *)(void *)(out + i * PACK_PANEL_ROW), x[i]);
        }
        for (; at < bytes; at += PACK_UNIT, out += PACK_PANEL_ROW) { /* unit by unit; the last one may be cut short */
            memset(out, 0, VL * PACK_UNIT);
            for (size_t i = 0; i < count; i++)
                memcpy(out + i * PACK_UNIT, row + i * ld + at, bytes - at < PACK_UNIT ? bytes - at : PACK_UNIT);
        }
    }
}

#endif
