/* SPDX-License-Identifier: Apache-2.0 */
/* Are all numbers of a row finite? Read as integers, so that the host's floating-point modes change nothing, and
 * without a branch for each, so that compilers vectorise it. */
#ifndef VT_FINITE_H
#define VT_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VT_F32_EXPONENT     0x7f800000u
#define VT_F32_EXPONENT_LSB 0x00800000u

/* Adding 1 to a full exponent carries into the sign bit, to any other not. */
static inline bool vt_all_finite(const float *x, size_t n)
{
    uint32_t carry = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        carry |= (bits & VT_F32_EXPONENT) + VT_F32_EXPONENT_LSB;
    }
    return carry >> 31 == 0;
}

#endif
