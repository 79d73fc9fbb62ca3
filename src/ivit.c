/* SPDX-License-Identifier: Apache-2.0 */
/* See ivit.h. No floating-point arithmetic here; numbers are prepared in ivit_prepare.c. */
#include "ivit.h"

/* ---- ShiftExp, Shiftmax, ShiftGELU ---- */

/* x * 1.4375, which is nearly log2(e), is an exponent of 2 in units of |x0|: q whole ones and a rest r in (x0, 0], for
 * which 2^(r / |x0|) is taken as the line 1 + r / (2 |x0|). */
uint64_t vt_shift_exp(int64_t x, const struct vt_shift_exp *e)
{
    const int64_t lowest = (int64_t)e->n * e->x0;
    int64_t p = x + (x >> 1) - (x >> 4);
    p = p > lowest ? p : lowest;
    const int64_t q = p / e->x0, r = p - q * e->x0;
    const unsigned shift = e->n - (unsigned)q;
    if (!e->halves)
        return (uint64_t)((r >> 1) - e->x0) << shift;
    const uint64_t twice = (uint64_t)(r - 2 * (int64_t)e->x0);
    return shift ? twice << (shift - 1) : twice >> 1;
}

static uint64_t at_most(uint64_t v, uint64_t most)
{
    return v < most ? v : most;
}

/* part / sum * 2^(bits - 1) by a factor that serves for all parts of a sum. */
static int32_t divided(uint64_t part, uint64_t sum, const struct vt_shift_exp *e, unsigned bits)
{
    const uint64_t factor = e->division / at_most(sum, e->division);
    return (int32_t)(part * factor >> (e->division_bits - bits + 1));
}

static int32_t largest(size_t n, const int32_t *x)
{
    int32_t max = x[0];
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

void vt_shiftmax(size_t n, const int32_t *x, const struct vt_shift_exp *e, unsigned bits, int32_t *y)
{
    const int64_t max = largest(n, x);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += vt_shift_exp(x[i] - max, e);
    for (size_t i = 0; i < n; i++)
        y[i] = divided(vt_shift_exp(x[i] - max, e), sum, e, bits);
}

void vt_shift_gelu_row(size_t n, const int32_t *x, const struct vt_shift_exp *e, unsigned bits, int32_t *sigmoid)
{
    int64_t max = largest(n, x);
    max = max > 0 ? max : 0;
    const uint64_t one = vt_shift_exp(-max, e);
    for (size_t i = 0; i < n; i++) {
        const uint64_t part = vt_shift_exp(x[i] - max, e);
        sigmoid[i] = divided(part, part + one, e, bits);
    }
}

int32_t vt_shift_sigmoid(int32_t x, const struct vt_shift_exp *e, unsigned bits)
{
    const int64_t magnitude = x < 0 ? -(int64_t)x : x;
    const uint64_t t = vt_shift_exp(-magnitude, e), one = (uint64_t)-e->x0 << e->n;
    return divided(x >= 0 ? one : t, one + t, e, bits);
}

int32_t vt_times_1_1011(int32_t x)
{
    return x + (x >> 1) + (x >> 3) + (x >> 4);
}

/* ---- I-LayerNorm ---- */

uint64_t vt_ivit_root(uint64_t v)
{
    uint64_t k = UINT64_C(1) << 16;
    for (int i = 0; i < 10; i++)
        k = (k + v / k) / 2;
    return k;
}

/* sum / n to nearest, ties to even. */
static int32_t rounded_mean(int64_t sum, int64_t n)
{
    int64_t mean = sum / n, rest = sum % n;
    if (rest < 0) {
        mean--;
        rest += n;
    }
    return (int32_t)(mean + (2 * rest > n || (2 * rest == n && mean % 2)));
}

struct vt_ivit_norm vt_ivit_norm(size_t n, const int32_t *x, enum vt_ivit_root root, int32_t *y)
{
    struct vt_ivit_norm s = { 0 };
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    s.mean = rounded_mean(sum, (int64_t)n);
    for (size_t i = 0; i < n; i++) {
        const int64_t d = (int64_t)x[i] - s.mean;
        s.variance += (uint64_t)(d * d);
    }
    s.std = root == VT_ROOT_EXACT ? vt_isqrt(s.variance) : vt_ivit_root(s.variance);
    s.factor = s.std ? (int32_t)(INT32_MAX / s.std) : 0;
    for (size_t i = 0; i < n; i++)
        y[i] = (int32_t)(((int64_t)x[i] - s.mean) * s.factor >> 1);
    return s;
}

/* ---- i-exp of I-BERT ---- */

enum { IBERT_BITS = 30 };

int64_t vt_ibert_exp(int64_t x, const struct vt_ibert_exp *e, int64_t *z)
{
    const int64_t lowest = IBERT_BITS * (int64_t)e->x0;
    x = x > lowest ? x : lowest;
    const int64_t q = x / e->x0, r = x - q * e->x0, value = (r + e->b) * r + e->c;
    if (z)
        *z = value;
    return value * (INT64_C(1) << (IBERT_BITS - q));
}
