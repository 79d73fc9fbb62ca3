/* SPDX-License-Identifier: Apache-2.0 */
/* The largest and the smallest numbers of a stream, as many as the percentiles need that clip ranges are chosen from:
 * exact quantiles of any number of numbers in a thousandth of their memory, and a comparison for most of them. */
#ifndef VT_TAILS_H
#define VT_TAILS_H

#include <stddef.h>
#include <stdint.h>

/* RepQ-ViT's candidates for the ends of a range, in the order in which they are tried: .999, .9999, .99999. */
enum { VT_PERCENTILES = 3 };
extern const double vt_percentiles[VT_PERCENTILES];

struct vt_tails {
    float high_limit, low_limit; /* what lies beyond belongs to a tail, for now */
    float *high, *low;           /* heaps with their limit on top; numbers of the low one are negated */
    size_t high_count, low_count, capacity;
};

/* How many numbers each tail of n numbers holds; grows with n. */
size_t vt_tails_capacity(uint64_t n);

/* Empty tails for numbers of which there are at most n if capacity is vt_tails_capacity(n). storage: [2 * capacity]. */
void vt_tails_init(struct vt_tails *t, size_t capacity, float *storage);

void vt_tails_push_high(struct vt_tails *t, float x);
void vt_tails_push_low(struct vt_tails *t, float x);

/* One more finite number. */
static inline void vt_tails_add(struct vt_tails *t, float x)
{
    if (x > t->high_limit)
        vt_tails_push_high(t, x);
    if (x < t->low_limit)
        vt_tails_push_low(t, x);
}

/* After the last number: sorts the tails, so that they can be asked. */
void vt_tails_sort(struct vt_tails *t);

/* The quantile p of the n > 0 numbers that were added, interpolated linearly at p * (n - 1) of their sorted order. p is
 * one of the percentiles, 1 less one of them, 0 or 1. */
double vt_tails_quantile(const struct vt_tails *t, uint64_t n, double p);

#endif
