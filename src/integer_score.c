/* SPDX-License-Identifier: Apache-2.0 */
/* See integer_score.h. */
#include "integer_score.h"

#include "alloc.h"
#include "isqrt.h"

unsigned vt_bits_of(uint64_t n)
{
    unsigned bits = 0;
    for (; n; n >>= 1)
        bits++;
    return bits;
}

/* ---- Means and lengths ---- */

static int32_t mean_of_heads(const struct vt_head_integers *p, size_t row)
{
    const int64_t heads = (int64_t)p->heads;
    int64_t sum = heads / 2;
    for (size_t h = 0; h < p->heads; h++)
        sum += p->at[row * p->ld + h];
    return (int32_t)(sum / heads);
}

void vt_integer_score_mean(const struct vt_head_integers *p, int32_t *score)
{
    for (size_t i = 0; i < p->rows; i++)
        score[i] = mean_of_heads(p, i);
}

unsigned vt_length_bits(size_t n)
{
    return vt_bits_of(vt_isqrt((uint64_t)n << 30));
}

static int64_t length(const int16_t *x, size_t n)
{
    uint64_t squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (uint64_t)((int32_t)x[i] * x[i]);
    return vt_isqrt(squares);
}

/* What each head gives, times the length of its columns. */
static int64_t mean_by_head(const struct vt_head_integers *p, size_t row, const int16_t *v, size_t columns)
{
    const unsigned right = vt_length_bits(columns);
    int64_t sum = 0;
    for (size_t h = 0; h < p->heads; h++)
        sum += p->at[row * p->ld + h] * length(v + h * columns, columns) >> right;
    return sum / (int64_t)p->heads;
}

void vt_integer_score_values(const struct vt_head_integers *p, const int16_t *v, size_t ldv, size_t columns,
                             bool by_head, int32_t *score)
{
    for (size_t i = 0; i < p->rows; i++) {
        const int16_t *row = v + i * ldv;
        score[i] = (int32_t)(by_head ? mean_by_head(p, i, row, columns / p->heads)
                                     : mean_of_heads(p, i) * length(row, columns) >> vt_length_bits(columns));
    }
}

/* ---- Votes ---- */

enum { BOOST_BITS = 16, SHARE_BITS = 24, VARIANCE_BITS = 20 };

/* Shares of the votes of each head, of 24 bits. */
static void find_shares(const struct vt_head_integers *sums, const struct vt_head_integers *first, unsigned unit_bits,
                        int64_t more, int32_t *shares)
{
    const int64_t votes = ((int64_t)sums->rows << unit_bits) + (more * ((int64_t)1 << unit_bits) >> BOOST_BITS);
    const int64_t whole = (int64_t)1 << SHARE_BITS;
    for (size_t i = 0; i < sums->rows; i++)
        for (size_t h = 0; h < sums->heads; h++) {
            int64_t given = sums->at[i * sums->ld + h];
            given += first->at ? more * first->at[i * first->ld + h] >> BOOST_BITS : 0;
            shares[i * sums->heads + h] = (int32_t)(given <= 0 || votes <= 0 ? 0
                                                    : given < votes          ? (given << SHARE_BITS) / votes
                                                                             : whole);
        }
}

/* The variance of a head's shares as multiples of their mean, plus 1; 0 if that is 0. */
static uint64_t variance_and_1(size_t rows, size_t heads, const int32_t *shares, size_t head)
{
    uint64_t sum = 0, squares = 0;
    for (size_t i = 0; i < rows; i++) {
        const uint64_t x = (uint64_t)shares[i * heads + head];
        sum += x;
        squares += x * x;
    }
    sum = sum < UINT32_MAX ? sum : UINT32_MAX;
    const uint64_t mean_square = (sum * sum >> VARIANCE_BITS) / rows;
    return mean_square ? squares / mean_square : 0;
}

static void add_squares(size_t rows, size_t heads, const int32_t *shares, size_t head, uint64_t *squares)
{
    for (size_t i = 0; i < rows; i++) {
        const uint64_t x = (uint64_t)shares[i * heads + head];
        squares[i] += x * x;
    }
}

size_t vt_vote_scratch_bytes(size_t rows, size_t heads)
{
    return vt_size_mul(rows, sizeof(uint64_t) + heads * sizeof(int32_t));
}

void vt_integer_score_votes(const struct vt_head_integers *sums, const struct vt_head_integers *first,
                            unsigned unit_bits, const struct vt_integer_votes *o, void *scratch, int32_t *score)
{
    const size_t rows = sums->rows, heads = sums->heads;
    const int64_t one = (int64_t)1 << BOOST_BITS;
    const int64_t more = o->root ? vt_isqrt((uint64_t)rows << 2 * BOOST_BITS) - one : o->more;
    uint64_t *squares = scratch;
    int32_t *shares = (int32_t *)(squares + rows);
    size_t counted = 0;
    find_shares(sums, first, unit_bits, first->at ? more : 0, shares);
    for (size_t i = 0; i < rows; i++)
        squares[i] = 0;
    for (size_t h = 0; h < heads; h++) {
        const uint64_t variance = variance_and_1(rows, heads, shares, h);
        if (variance >= o->lowest && variance <= o->highest && variance) {
            add_squares(rows, heads, shares, h, squares);
            counted++;
        }
    }
    for (size_t h = 0; h < heads && !counted; h++)
        add_squares(rows, heads, shares, h, squares);
    for (size_t i = 0; i < rows; i++)
        score[i] = (int32_t)vt_isqrt(squares[i] / (counted ? counted : heads) << 2 * (VT_VOTE_BITS - SHARE_BITS));
}

/* ---- Sizes ---- */

/* log2 x = e + log2 m, m in [1, 2), whose bits are those of whether m, then the root of its square and so on, is 2 or
 * more when squared. m has 31 bits behind the point. */
int32_t vt_integer_logarithm(int32_t x, unsigned bits)
{
    const int64_t ln2 = 2977044472; /* times 2^32 */
    if (x <= 0)
        return INT32_MIN / 2;
    const unsigned e = vt_bits_of((uint32_t)x) - 1;
    uint64_t m = (uint64_t)x << (31 - e);
    int64_t log2 = (int64_t)e - bits;
    for (int bit = 0; bit < VT_LOGARITHM_BITS + 2; bit++) {
        m = m * m >> 31;
        log2 = 2 * log2 + (int64_t)(m >> 32);
        m >>= m >> 32;
    }
    return (int32_t)((log2 * ln2 + ((int64_t)1 << 33)) >> 34);
}

/* ---- Classes ---- */

uint32_t vt_integer_inverse_confidence(size_t n, const int16_t *x, const struct vt_powers *powers, uint32_t *greatest)
{
    enum { TO_32 = 62 - 32, TO_24 = 32 - 24 };
    uint64_t sum = 0;
    *greatest = 0;
    for (size_t i = 1; i < n; i++)
        *greatest = x[i] > x[*greatest] ? (uint32_t)i : *greatest;
    for (size_t i = 0; i < n; i++) {
        const uint32_t d = (uint32_t)(x[*greatest] - x[i]);
        sum += (uint64_t)powers->high[d >> 8] * powers->low[d & 255] >> TO_32;
    }
    sum >>= TO_24;
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX - 1;
}

/* ---- Directions ---- */

/* The length is that of numbers shifted so far to the left that its root has 32 bits. */
void vt_integer_direction(size_t dim, size_t groups, const int16_t *x, int32_t *sums, int16_t *y)
{
    enum { POINT = 47 };
    uint64_t squares = 0;
    unsigned left = 0;
    for (size_t i = 0; i < dim; i++)
        sums[i] = x[i];
    for (size_t g = 1; g < groups; g++)
        for (size_t i = 0; i < dim; i++)
            sums[i] += x[g * dim + i];
    for (size_t i = 0; i < dim; i++)
        squares += (uint64_t)((int64_t)sums[i] * sums[i]);
    for (; squares && squares < (uint64_t)1 << 62; squares <<= 2)
        left++;
    const uint64_t root = vt_isqrt(squares);
    const int64_t inverse = root ? (int64_t)(((uint64_t)INT16_MAX << POINT) / root) : 0;
    for (size_t i = 0; i < dim; i++)
        y[i] = (int16_t)((sums[i] * ((int64_t)1 << left) * inverse + ((int64_t)1 << (POINT - 1))) >> POINT);
}

int32_t vt_integer_cosine(size_t dim, const int16_t *a, const int16_t *b)
{
    int32_t sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The root has 16 bits behind the point, the product up to 63. */
int32_t vt_integer_match(int32_t cosine, int32_t importance)
{
    const int64_t one = (int64_t)INT16_MAX * INT16_MAX, lost = cosine < one ? one - cosine : 0;
    const uint64_t root = vt_isqrt((uint64_t)(importance > 0 ? importance : 0) << 32);
    return -(int32_t)((uint64_t)lost * root >> 32);
}
