/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions over a row in 16 lanes: lane i takes the elements whose index is i modulo 16. Whatever the width of a
 * vector, the 16 lanes are LANE_VECTORS vectors, so all instruction sets add the same numbers in the same order.
 * Include a simd/<isa>.h before.
 */
#ifndef VT_TMPL_LANES_H
#define VT_TMPL_LANES_H

#define LANES        16
#define LANE_VECTORS (LANES / VL)

/* Rows that are reduced side by side: enough independent chains to hide the latency of each. */
enum { GROUP = 4 };

/* How many of the VL elements from index i on lie in a row of n. */
static inline size_t lanes_left(size_t n, size_t i)
{
    return i >= n ? 0 : n - i < VL ? n - i : VL;
}

#endif
