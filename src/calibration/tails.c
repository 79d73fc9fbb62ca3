/* SPDX-License-Identifier: Apache-2.0 */
/* See tails.h. */
#include "tails.h"

#include <assert.h>
#include <math.h>

const double vt_percentiles[VT_PERCENTILES] = { 0.999, 0.9999, 0.99999 };

/* The quantile .999 lies between two numbers of which the lower one has at most ceil(.001 (n - 1)) above it. */
size_t vt_tails_capacity(uint64_t n)
{
    const uint64_t wanted = n / 1000 + 3;
    return (size_t)(n < wanted ? n : wanted);
}

void vt_tails_init(struct vt_tails *t, size_t capacity, float *storage)
{
    *t = (struct vt_tails){ -INFINITY, INFINITY, storage, storage + capacity, 0, 0, capacity };
}

static void sift_down(float *heap, size_t n, size_t i, float x)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (x <= heap[child])
            break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

static void sift_up(float *heap, size_t i, float x)
{
    for (; i && heap[(i - 1) / 2] > x; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = x;
}

/* x goes in, the least number out if there is no room; the number to beat from now on. */
static float push(float *heap, size_t *count, size_t capacity, float x)
{
    if (*count < capacity)
        sift_up(heap, (*count)++, x);
    else if (capacity)
        sift_down(heap, capacity, 0, x);
    return *count < capacity ? -INFINITY : capacity ? heap[0] : INFINITY;
}

void vt_tails_push_high(struct vt_tails *t, float x)
{
    t->high_limit = push(t->high, &t->high_count, t->capacity, x);
}

void vt_tails_push_low(struct vt_tails *t, float x)
{
    t->low_limit = -push(t->low, &t->low_count, t->capacity, -x);
}

/* Least number to the end, again and again: descending. */
static void sort_descending(float *heap, size_t n)
{
    while (n > 1) {
        const float least = heap[0];
        n--;
        sift_down(heap, n, 0, heap[n]);
        heap[n] = least;
    }
}

void vt_tails_sort(struct vt_tails *t)
{
    sort_descending(t->high, t->high_count);
    sort_descending(t->low, t->low_count);
}

/* Number i of all n in ascending order. */
static double in_order(const struct vt_tails *t, uint64_t n, uint64_t i)
{
    if (i < t->low_count)
        return -t->low[i];
    assert(n - 1 - i < t->high_count);
    return t->high[n - 1 - i];
}

double vt_tails_quantile(const struct vt_tails *t, uint64_t n, double p)
{
    assert(n > 0);
    const double position = p * (double)(n - 1);
    const uint64_t i = (uint64_t)position, next = i + 1 < n ? i + 1 : i;
    const double low = in_order(t, n, i), high = in_order(t, n, next);
    return low + (high - low) * (position - (double)i);
}
