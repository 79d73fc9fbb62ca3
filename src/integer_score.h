/* SPDX-License-Identifier: Apache-2.0 */
/* What tokens are ranked by in inference without floating-point numbers: the scores of token_score.h, and what features
 * are compared by, in integers. Nothing here computes with floats, or allocates. */
#ifndef VT_INTEGER_SCORE_H
#define VT_INTEGER_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits behind the point of scores of votes, and of logarithms. */
#define VT_VOTE_BITS      30
#define VT_LOGARITHM_BITS 24

/* [rows, heads] of numbers of one unit, rows ld apart: of attention scores not below 0. */
struct vt_head_integers {
    const int32_t *at;
    size_t ld, rows, heads;
};

/* How many bits n has: 0 of 0. */
unsigned vt_bits_of(uint64_t n);

/* The mean over the heads, rounded to nearest. */
void vt_integer_score_mean(const struct vt_head_integers *p, int32_t *score);

/* The bits that lengths of n words have at most: what vt_integer_score_values shifts by. */
unsigned vt_length_bits(size_t n);

/* vt_score_values: the mean over the heads in place of the sum, times the length of words, rounded down to a whole
 * number, and shifted to the right. v: [rows, columns], rows ldv apart. */
void vt_integer_score_values(const struct vt_head_integers *p, const int16_t *v, size_t ldv, size_t columns,
                             bool by_head, int32_t *score);

struct vt_integer_votes {
    bool root;                /* boost is the root of the number of rows; else */
    int64_t more;             /* it is 1 and so many 2^-16, less than 2^31 of them */
    uint64_t lowest, highest; /* variance + 1 in units of 2^-20 */
};

/* vt_score_votes in units of 2^-30, of votes of 24 bits; both inputs have the same unit, 2^-unit_bits. At most 2^15
 * heads. first->at NULL: boost is taken for 1. scratch: vt_vote_scratch_bytes(rows, heads), aligned to 8 bytes. */
void vt_integer_score_votes(const struct vt_head_integers *sums, const struct vt_head_integers *first,
                            unsigned unit_bits, const struct vt_integer_votes *o, void *scratch, int32_t *score);
size_t vt_vote_scratch_bytes(size_t rows, size_t heads);

/* ln(x / 2^bits), bits <= 30, in units of 2^-24, |error| <= 1 of them; INT32_MIN / 2 for x <= 0. */
int32_t vt_integer_logarithm(int32_t x, unsigned bits);

/* exp(-d unit) is high[d / 256] * low[d % 256] in units of 2^-62, for 0 <= d < 2^16. */
struct vt_powers {
    uint32_t high[256], low[256];
};

/* 1 / (the greatest probability of a softmax over n > 0 words), in units of 2^-24, UINT32_MAX - 1 at most, and which is
 * the first greatest word. |error| <= 1 + n / 64 units. */
uint32_t vt_integer_inverse_confidence(size_t n, const int16_t *x, const struct vt_powers *powers, uint32_t *greatest);

/* The direction of the mean over `groups` of the columns of words x, as 16-bit numbers y[dim] of length 2^15 - 1, each
 * |error| <= 1; zeros for zeros. sums: [dim]. columns * groups < 2^31 */
void vt_integer_direction(size_t dim, size_t groups, const int16_t *x, int32_t *sums, int16_t *y);

/* The dot product of two directions, |y| < 2^31: their cosine times (2^15 - 1)^2, |error| <= dim^1/2 * 2^16. */
int32_t vt_integer_cosine(size_t dim, const int16_t *a, const int16_t *b);

/* vt_score_match of such a cosine and of importance in any unit u, in units of 2^-14 u^1/2, |error| <= 2 of them;
 * importance below 0 counts as 0. */
int32_t vt_integer_match(int32_t cosine, int32_t importance);

#endif
