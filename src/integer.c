/* SPDX-License-Identifier: Apache-2.0 */
/* See integer.h. No floating-point arithmetic here. */
#include "integer.h"

int32_t vt_limit(int64_t v, int32_t lowest, int32_t highest)
{
    return v < lowest ? lowest : v > highest ? highest : (int32_t)v;
}

/* |z * b| <= 2^62, and the half that is added is at most 2^61. */
int64_t vt_requantize(int32_t z, struct vt_dyadic d)
{
    const int64_t product = (int64_t)z * d.b;
    return d.c ? (product + (INT64_C(1) << (d.c - 1))) >> d.c : product;
}

int64_t vt_requantize_half_even(int32_t z, struct vt_dyadic d)
{
    const int64_t product = (int64_t)z * d.b, up = vt_requantize(z, d);
    if (d.c == 0)
        return up;
    const uint64_t fraction = (uint64_t)product & ((UINT64_C(1) << d.c) - 1);
    return fraction == UINT64_C(1) << (d.c - 1) ? up & ~INT64_C(1) : up;
}

int32_t vt_requantize_sum(int32_t x, struct vt_dyadic dx, int32_t y, struct vt_dyadic dy, int32_t lowest,
                          int32_t highest)
{
    return vt_limit(vt_requantize(x, dx) + vt_requantize(y, dy), lowest, highest);
}
