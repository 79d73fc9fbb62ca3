/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of products where a kernel's tile would be too much. */
#ifndef VT_DOT_H
#define VT_DOT_H

#include <stddef.h>

/* In lanes, which compilers turn into vectors, so that the order of additions is theirs to keep. */
static inline float vt_dot(const float *x, const float *y, size_t n)
{
    enum { LANES = 16 };
    float lanes[LANES] = { 0 }, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += x[i + l] * y[i + l];
    for (; i < n; i++)
        sum += x[i] * y[i];
    for (size_t l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

#endif
