/* SPDX-License-Identifier: Apache-2.0 */
/* See token_score.h. */
#include "token_score.h"

#include "dot.h"

#include <math.h>

static double sum_of_heads(const struct vt_head_scores *p, size_t row)
{
    double sum = 0;
    for (size_t h = 0; h < p->heads; h++)
        sum += p->at[row * p->ld + h];
    return sum;
}

void vt_score_mean(const struct vt_head_scores *p, float *score)
{
    for (size_t i = 0; i < p->rows; i++)
        score[i] = (float)(sum_of_heads(p, i) / (double)p->heads);
}

/* exp(x) of x <= 0 to within a rounding of f32 and with the same bits everywhere: 2^k times the series of the rest,
 * which is up to ln 2 / 2 and whose 15th term is below 2e-19. */
static double exponential(double x)
{
    const double ln2 = 0.69314718055994530942;
    double term = 1, sum = 1;
    if (!(x > -104)) /* 0 in f32 */
        return x <= -104 ? 0 : x;
    const double k = floor(x / ln2 + 0.5);
    for (int i = 1; i < 16; i++) {
        term *= (x - k * ln2) / i;
        sum += term;
    }
    return ldexp(sum, (int)k);
}

static double sigmoid(double x)
{
    const double e = exponential(-fabs(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

void vt_score_halting(size_t rows, const float *x, size_t ldx, const float *before, size_t ldb,
                      const struct vt_halting *o, float *score)
{
    for (size_t i = 0; i < rows; i++) {
        const double part = sigmoid((double)o->scale * x[i * ldx] - o->center);
        const float sum = (float)((before ? before[i * ldb] : 0) + part);
        score[i] = sum < o->limit ? sum : 1;
    }
}

float vt_score_match(float cosine, float importance)
{
    const float lost = 1 - cosine;
    return -((lost < 0 ? 0 : lost) * sqrtf(importance));
}

static double length(const float *x, size_t n)
{
    return sqrt((double)vt_dot(x, x, n));
}

/* What each head gives, times the length of its columns. */
static double sum_by_head(const struct vt_head_scores *p, size_t row, const float *v, size_t columns)
{
    double sum = 0;
    for (size_t h = 0; h < p->heads; h++)
        sum += p->at[row * p->ld + h] * length(v + h * columns, columns);
    return sum;
}

void vt_score_values(const struct vt_head_scores *p, const float *v, size_t ldv, size_t columns, bool by_head,
                     float *score)
{
    for (size_t i = 0; i < p->rows; i++) {
        const float *row = v + i * ldv;
        score[i] =
            (float)(by_head ? sum_by_head(p, i, row, columns / p->heads) : sum_of_heads(p, i) * length(row, columns));
    }
}

/* Of a head's votes as multiples of their mean. A NaN if that is 0. */
static double variance(const struct vt_head_scores *votes, size_t head)
{
    const double rows = (double)votes->rows;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < votes->rows; i++)
        sum += votes->at[i * votes->ld + head];
    for (size_t i = 0; i < votes->rows; i++) {
        const double d = votes->at[i * votes->ld + head] / (sum / rows) - 1;
        squares += d * d;
    }
    return squares / rows;
}

static void add_squares(const struct vt_head_scores *votes, size_t head, float *score)
{
    for (size_t i = 0; i < votes->rows; i++) {
        const float x = votes->at[i * votes->ld + head];
        score[i] += x * x;
    }
}

/* Of all heads, whose votes' mean does not matter. */
static void score_of_votes(const struct vt_head_scores *votes, const struct vt_vote_options *o, float *score)
{
    size_t counted = 0;
    for (size_t i = 0; i < votes->rows; i++)
        score[i] = 0;
    for (size_t h = 0; h < votes->heads; h++) {
        const double v = variance(votes, h);
        if (v >= o->lowest && v <= o->highest) {
            add_squares(votes, h, score);
            counted++;
        }
    }
    for (size_t h = 0; h < votes->heads && !counted; h++)
        add_squares(votes, h, score);
    for (size_t i = 0; i < votes->rows; i++)
        score[i] = (float)sqrt((double)score[i] / (double)(counted ? counted : votes->heads));
}

static double first_weight(float boost, size_t rows)
{
    return boost == 0 ? sqrt((double)rows) : boost;
}

void vt_score_votes(const struct vt_head_scores *sums, const float *first, const struct vt_vote_options *o,
                    float *scratch, float *score)
{
    const double more = first ? first_weight(o->boost, sums->rows) - 1 : 0, votes = (double)sums->rows + more;
    for (size_t i = 0; i < sums->rows; i++)
        for (size_t h = 0; h < sums->heads; h++) {
            const size_t at = i * sums->ld + h;
            scratch[i * sums->heads + h] = (float)((sums->at[at] + (first ? more * first[at] : 0)) / votes);
        }
    score_of_votes(&(struct vt_head_scores){ scratch, sums->heads, sums->rows, sums->heads }, o, score);
}
