/* SPDX-License-Identifier: Apache-2.0 */
/* The integer square root, for kernels and for what prepares them. */
#ifndef VT_ISQRT_H
#define VT_ISQRT_H

#include <stdint.h>

/* The largest r with r * r <= v.
 *
 * v is shifted by an even number of places until one of its top two bits is set. Then r is found from the top, each
 * step doubling its valid bits by one division (Zimmermann's recursion as in CPython's math.isqrt, which proves that
 * the result is at most 1 too large). */
static inline uint32_t vt_isqrt(uint64_t v)
{
    unsigned half_shift = 0;
    if (v == 0)
        return 0;
    for (unsigned step = 32; step >= 2; step /= 2)
        if (!(v >> (64 - step))) {
            v <<= step;
            half_shift += step / 2;
        }
    uint64_t r = 1 + (v >> 62);
    r = (r << 1) + (uint32_t)(v >> 59) / (uint32_t)r;
    r = (r << 3) + (uint32_t)(v >> 53) / (uint32_t)r;
    r = (r << 7) + (v >> 41) / r;
    r = (r << 15) + (v >> 17) / r;
    /* Above 2^32 - 1 its square would wrap. */
    if (r > UINT32_MAX || r * r > v)
        r--;
    return (uint32_t)r >> half_shift;
}

#endif
