/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores, selections and maps of tokens in integers: worked examples of the spec of token reduction with whole numbers,
 * random ones against their definitions in double precision, and against the rules on floats where these are exact.
 */
#include "token_data.h"

#include "integer_map.h"
#include "integer_score.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS = 3, COLUMNS = 12 };

static void assert_close(double found, double wanted, double bound)
{
    if (!(fabs(found - wanted) <= bound))
        fail_msg("%.9g, expected %.9g within %g", found, wanted, bound);
}

/* ---- Scores ---- */

enum { LD = HEADS + 2, LDV = COLUMNS + 5 };

static struct vt_head_integers random_heads(int32_t *at, int32_t most)
{
    for (size_t i = 0; i < MOST * LD; i++)
        at[i] = (int32_t)(uniform() * uniform() * most);
    return (struct vt_head_integers){ at, LD, MOST, HEADS };
}

/* Roots are rounded down to whole numbers of words, products once more. */
static void test_values(void **state)
{
    static int32_t at[MOST * LD], mean[MOST], whole[MOST], by_head[MOST];
    static int16_t v[MOST * LDV];
    const struct vt_head_integers p = random_heads(at, 1 << 23);
    (void)state;
    for (size_t i = 0; i < MOST * LDV; i++)
        v[i] = (int16_t)(uniform() * 65535 - 32768);
    vt_integer_score_mean(&p, mean);
    vt_integer_score_values(&p, v, LDV, COLUMNS, false, whole);
    vt_integer_score_values(&p, v, LDV, COLUMNS, true, by_head);
    for (size_t i = 0; i < MOST; i++) {
        double sum = 0, squares = 0, of_heads = 0;
        for (size_t h = 0; h < HEADS; h++) {
            double of_head = 0;
            for (size_t j = h * COLUMNS / HEADS; j < (h + 1) * COLUMNS / HEADS; j++)
                of_head += (double)v[i * LDV + j] * v[i * LDV + j];
            sum += at[i * LD + h];
            squares += of_head;
            of_heads += at[i * LD + h] * sqrt(of_head);
        }
        const double unit = ldexp(1, (int)vt_length_bits(COLUMNS)),
                     unit_h = ldexp(1, (int)vt_length_bits(COLUMNS / HEADS));
        assert_close(mean[i], sum / HEADS, 0.5);
        assert_close(whole[i], sum / HEADS * sqrt(squares) / unit, 2 + sum / HEADS / unit);
        assert_close(by_head[i], of_heads / HEADS / unit_h, 2 + sum / HEADS / unit_h);
    }
}

/* The largest that there can be: nothing overflows. */
static void test_largest_values(void **state)
{
    enum { MANY = 4096 };
    static int32_t at[MANY];
    static int16_t v[MANY];
    const struct vt_head_integers p = { at, MANY, 1, MANY };
    int32_t score[2];
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        at[i] = INT32_MAX;
        v[i] = INT16_MIN;
    }
    vt_integer_score_values(&p, v, MANY, MANY, false, &score[0]);
    vt_integer_score_values(&p, v, MANY, MANY, true, &score[1]);
    assert_close(score[0] / (double)INT32_MAX, 32768.0 * 64 / ldexp(1, (int)vt_length_bits(MANY)), 1e-6);
    assert_close(score[1] / (double)INT32_MAX, 32768.0 / ldexp(1, (int)vt_length_bits(1)), 1e-6);
}

/* ---- Votes ---- */

struct votes_case {
    bool root;
    double boost, lowest, highest;
};

static struct vt_integer_votes integers_of(const struct votes_case *c)
{
    return (struct vt_integer_votes){ .root = c->root,
                                      .more = (int64_t)rint(ldexp(c->boost - 1, 16)),
                                      .lowest = (uint64_t)rint(ldexp(1 + c->lowest, 20)),
                                      .highest = (uint64_t)rint(ldexp(1 + c->highest, 20)) };
}

/* By the definition, in double; *margin: how far the nearest variance is from a limit. */
static void votes_in_double(size_t rows, const int32_t *sums, const int32_t *first, double unit,
                            const struct votes_case *c, double *score, double *margin)
{
    const double n = (double)rows, more = first ? (c->root ? sqrt(n) : c->boost) - 1 : 0;
    double counted = 0, all[MOST] = { 0 };
    memset(score, 0, rows * sizeof *score);
    *margin = INFINITY;
    for (size_t h = 0; h < HEADS; h++) {
        double votes[MOST], sum = 0, squares = 0;
        for (size_t i = 0; i < rows; i++) {
            votes[i] = (sums[i * LD + h] + (first ? more * first[i * LD + h] : 0)) * unit / (n + more);
            sum += votes[i];
            squares += votes[i] * votes[i];
        }
        const double variance = squares / n / (sum / n * sum / n) - 1;
        const bool counts = variance >= c->lowest - 1e-9 && variance <= c->highest; /* 0, but for roundings */
        *margin = fmin(*margin, fmin(c->lowest > 0 ? fabs(variance - c->lowest) : 1, fabs(variance - c->highest)));
        counted += counts;
        for (size_t i = 0; i < rows; i++) {
            score[i] += counts ? votes[i] * votes[i] : 0;
            all[i] += votes[i] * votes[i];
        }
    }
    for (size_t i = 0; i < rows; i++)
        score[i] = sqrt(counted > 0 ? score[i] / counted : all[i] / HEADS);
}

/* Probabilities of `rows` queries that each add up to 1: their sums and the first one. */
static void random_votes(size_t rows, double peak, unsigned bits, int32_t *sums, int32_t *first)
{
    for (size_t h = 0; h < HEADS; h++) {
        double column[MOST] = { 0 }, p[MOST];
        for (size_t i = 0; i < rows; i++) {
            double sum = 0;
            for (size_t j = 0; j < rows; j++)
                sum += p[j] = exp(peak * (double)h * uniform());
            for (size_t j = 0; j < rows; j++) {
                column[j] += p[j] / sum;
                if (i == 0)
                    first[j * LD + h] = (int32_t)rint(ldexp(p[j] / sum, (int)bits));
            }
        }
        for (size_t j = 0; j < rows; j++)
            sums[j * LD + h] = (int32_t)rint(ldexp(column[j], (int)bits));
    }
}

/* Shares of 24 bits are each off by up to 1, and by half a unit of what they are made of; the root is so by 2^-16. */
static void test_votes(void **state)
{
    static const struct votes_case cases[] = {
        { true, 1, 0.01, 0.7 }, { false, 1, 0, 1e6 }, { false, 3.5, 0.001, 0.02 }, { false, 0.25, 5, 6 }
    };
    static int32_t sums[MOST * LD], first[MOST * LD], score[MOST];
    static uint64_t room[MOST + MOST * HEADS / 2 + 1];
    size_t compared = 0;
    (void)state;
    for (size_t n = 0; n < 200; n++) {
        const struct votes_case *c = &cases[n % 4];
        const struct vt_integer_votes o = integers_of(c);
        const size_t rows = 2 + any(MOST - 2);
        const unsigned bits = 22;
        double wanted[MOST], margin;
        random_votes(rows, 3 * uniform(), bits, sums, first);
        const struct vt_head_integers p = { sums, LD, rows, HEADS }, f = { n % 3 ? first : NULL, LD, rows, HEADS };
        assert_true(vt_vote_scratch_bytes(rows, HEADS) <= sizeof room);
        vt_integer_score_votes(&p, &f, bits, &o, room, score);
        votes_in_double(rows, sums, f.at, ldexp(1, -(int)bits), c, wanted, &margin);
        if (margin < 1e-4)
            continue;
        for (size_t i = 0; i < rows; i++)
            assert_close(ldexp(score[i], -VT_VOTE_BITS), wanted[i], 0x3p-24 + 0x1p-16 / (double)rows);
        compared++;
    }
    assert_true(compared > 150);
}

/* T2 a and b: four tokens, of four heads the first and the last count. */
static void test_worked_votes(void **state)
{
    static const double p[4][4][4] = {
        { { .4, .3, .2, .1 }, { .1, .5, .3, .1 }, { .2, .4, .3, .1 }, { .1, .2, .3, .4 } },
        { { .25, .25, .25, .25 }, { .25, .25, .25, .25 }, { .25, .25, .25, .25 }, { .25, .25, .25, .25 } },
        { { 0, 0, 0, 1 }, { 0, 0, 0, 1 }, { 0, 0, 0, 1 }, { 0, 0, 0, 1 } },
        { { .1, .2, .1, .6 }, { .1, .3, .2, .4 }, { .2, .2, .2, .4 }, { .1, .1, .1, .7 } }
    };
    static const double all[] = { .171847, .237171, .200390, .584968 }, some[] = { .166771, .285044, .221501, .391312 },
                        boosted[] = { .189737, .278927, .208806, .398246 };
    const struct votes_case everyone = { false, 1, 0, 1e6 }, limits = { true, 1, 0.01, 0.7 };
    int32_t sums[16], first[16], score[4];
    uint64_t room[16];
    (void)state;
    for (size_t h = 0; h < 4; h++)
        for (size_t j = 0; j < 4; j++) {
            const double sum = p[h][0][j] + p[h][1][j] + p[h][2][j] + p[h][3][j];
            sums[j * 4 + h] = (int32_t)rint(ldexp(sum, 28));
            first[j * 4 + h] = (int32_t)rint(ldexp(p[h][0][j], 28));
        }
    const struct vt_head_integers s = { sums, 4, 4, 4 }, f = { first, 4, 4, 4 }, none = { NULL, 0, 0, 0 };
    const struct vt_integer_votes of_all = integers_of(&everyone), of_some = integers_of(&limits);
    vt_integer_score_votes(&s, &none, 28, &of_all, room, score);
    for (size_t i = 0; i < 4; i++)
        assert_close(ldexp(score[i], -VT_VOTE_BITS), all[i], 1e-6);
    vt_integer_score_votes(&s, &none, 28, &of_some, room, score);
    for (size_t i = 0; i < 4; i++)
        assert_close(ldexp(score[i], -VT_VOTE_BITS), some[i], 1e-6);
    vt_integer_score_votes(&s, &f, 28, &of_some, room, score);
    for (size_t i = 0; i < 4; i++)
        assert_close(ldexp(score[i], -VT_VOTE_BITS), boosted[i], 1e-6);
}

/* ---- Logarithms, confidences, directions ---- */

static void test_logarithm(void **state)
{
    const double unit = ldexp(1, -VT_LOGARITHM_BITS);
    (void)state;
    for (unsigned bits = 0; bits <= 30; bits++) {
        assert_int_equal(vt_integer_logarithm((int32_t)1 << bits, bits), 0);
        assert_int_equal(vt_integer_logarithm(0, bits), INT32_MIN / 2);
        assert_int_equal(vt_integer_logarithm(INT32_MIN, bits), INT32_MIN / 2);
        for (int32_t x = 1; x < 10000; x++)
            assert_close(vt_integer_logarithm(x, bits) * unit, log(ldexp(x, -(int)bits)), unit);
        for (uint32_t x = 10000; x <= INT32_MAX; x += x / 1000)
            assert_close(vt_integer_logarithm((int32_t)x, bits) * unit, log(ldexp(x, -(int)bits)), unit);
        assert_close(vt_integer_logarithm(INT32_MAX, bits) * unit, log(ldexp(INT32_MAX, -(int)bits)), unit);
    }
}

static void test_confidence(void **state)
{
    static const double units[] = { 1e-30, 1e-5, 3e-4, 0.01, 1, 1e30 };
    enum { CLASSES_MOST = 300 };
    (void)state;
    for (size_t n = 0; n < CASES; n++) {
        const double unit = units[n % 6];
        const size_t classes = 1 + any(CLASSES_MOST);
        struct vt_powers powers;
        int16_t x[CLASSES_MOST];
        uint32_t greatest;
        size_t first = 0;
        double sum = 0;
        for (int i = 0; i < 256; i++) {
            powers.high[i] = (uint32_t)rint(ldexp(exp(-unit * 256 * i), 31));
            powers.low[i] = (uint32_t)rint(ldexp(exp(-unit * i), 31));
        }
        for (size_t i = 0; i < classes; i++)
            x[i] = n % 5 ? (int16_t)(uniform() * 65535 - 32768) : (int16_t)any(4);
        for (size_t i = 1; i < classes; i++)
            first = x[i] > x[first] ? i : first;
        for (size_t i = 0; i < classes; i++)
            sum += exp(unit * (x[i] - x[first]));
        const uint32_t inverse = vt_integer_inverse_confidence(classes, x, &powers, &greatest);
        assert_int_equal(greatest, first);
        assert_close(inverse, fmin(ldexp(sum, 24), UINT32_MAX), 1 + (double)classes / 64);
    }
}

static void test_directions(void **state)
{
    enum { DIM = 48, GROUPS = 3 };
    (void)state;
    for (size_t n = 0; n < CASES; n++) {
        const size_t dim = 1 + any(DIM), groups = 1 + any(GROUPS);
        const double size = pow(2, 15 * uniform());
        int16_t x[2][DIM * GROUPS], y[2][DIM];
        int32_t sums[DIM];
        double mean[2][DIM] = { { 0 } }, lengths[2] = { 0 }, dot = 0;
        for (size_t k = 0; k < 2; k++) {
            for (size_t i = 0; i < dim * groups; i++)
                x[k][i] = (int16_t)fmax(fmin(size * normal(), 32767), -32768);
            vt_integer_direction(dim, groups, x[k], sums, y[k]);
            for (size_t i = 0; i < dim * groups; i++)
                mean[k][i % dim] += x[k][i];
            for (size_t i = 0; i < dim; i++)
                lengths[k] += mean[k][i] * mean[k][i];
            lengths[k] = sqrt(lengths[k]);
            for (size_t i = 0; i < dim; i++)
                assert_close(y[k][i], lengths[k] > 0 ? 32767 * mean[k][i] / lengths[k] : 0, 0.51);
        }
        for (size_t i = 0; i < dim; i++)
            dot += mean[0][i] * mean[1][i];
        const double cosine = lengths[0] > 0 && lengths[1] > 0 ? dot / lengths[0] / lengths[1] : 0;
        assert_close(vt_integer_cosine(dim, y[0], y[1]), 32767.0 * 32767 * cosine, sqrt((double)dim) * 0x1p16);
    }
}

static void test_match(void **state)
{
    (void)state;
    for (size_t n = 0; n < CASES; n++) {
        const int32_t cosine = (int32_t)((2 * uniform() - 1) * 32767 * 32767);
        const int32_t importance = (int32_t)ldexp(uniform(), (int)any(32));
        const double lost = 1 - cosine / (32767.0 * 32767), wanted = -lost * sqrt(importance) * 0x1p14;
        /* the cosine's unit is not quite 2^-30 */
        assert_close(vt_integer_match(cosine, importance), wanted, 2 - wanted * 0x1p-13);
    }
    assert_int_equal(vt_integer_match(32767 * 32767, INT32_MAX), 0);
    assert_int_equal(vt_integer_match(INT32_MAX, INT32_MAX), 0);
    assert_int_equal(vt_integer_match(0, -1), 0);
    assert_true(vt_integer_match(-32767 * 32767, INT32_MAX) < -(INT32_MAX / 4 * 2));
}

/* ---- Selections ---- */

/* The same rows stay by floats that are exactly these integers; sums have less than 53 bits. */
static void test_as_by_floats(void **state)
{
    static const int32_t sizes[] = { 3, 100, 1 << 20 };
    (void)state;
    for (size_t n = 0; n < CASES; n++) {
        const size_t rows = 1 + any(SMALL), protect = any(4), count = any(rows + 3), samples = 1 + any(40);
        int32_t numbers[SMALL];
        float floats[SMALL];
        uint8_t a[SMALL], b[SMALL];
        for (size_t i = 0; i < rows; i++) {
            numbers[i] = (int32_t)any((size_t)sizes[n % 3]) - (n % 7 == 0 ? 2 : 0);
            floats[i] = (float)numbers[i];
            a[i] = b[i] = any(5) > 0;
        }
        const struct vt_candidates c = candidates(rows, protect);
        vt_stay_top(&c, floats, count, a);
        vt_integer_stay_top(&c, numbers, count, b);
        assert_memory_equal(a, b, rows);
        vt_stay_sampled(&c, floats, samples, n % 2, a);
        vt_integer_stay_sampled(&c, numbers, samples, n % 2, b);
        assert_memory_equal(a, b, rows);
        assert_scratch_kept(&c);
    }
}

/* T1f, whose scores are whole numbers. */
static void test_sampled_large(void **state)
{
    static const struct {
        size_t samples, count, sum;
    } cases[] = { { 196, 131, 12771 }, { 128, 109, 10958 }, { 64, 64, 6127 }, { 32, 32, 3246 } };
    int32_t scores[197] = { 0 };
    uint8_t stay[197];
    (void)state;
    for (int32_t j = 1; j < 197; j++)
        scores[j] = 83 * j % 197 * (83 * j % 197) + 2000;
    for (size_t k = 0; k < COUNT(cases); k++) {
        const struct vt_candidates c = candidates(197, 1);
        size_t count = 0, sum = 0;
        vt_integer_stay_sampled(&c, scores, cases[k].samples, false, stay);
        for (size_t i = 1; i < 197; i++) {
            count += stay[i];
            sum += stay[i] * i;
        }
        assert_int_equal(count, cases[k].count);
        assert_int_equal(sum, cases[k].sum);
    }
}

/* Sums that floats do not hold exactly, and those that 64 bits do not hold beside the number of samples. */
static void test_sampled_limits(void **state)
{
    int32_t scores[MOST];
    uint8_t stay[MOST];
    const struct vt_candidates c = candidates(MOST, 0);
    (void)state;
    for (size_t i = 0; i < MOST; i++)
        scores[i] = INT32_MAX - (int32_t)i;
    vt_integer_stay_sampled(&c, scores, MOST / 2, false, stay);
    size_t count = 0;
    for (size_t i = 0; i < MOST; i++)
        count += stay[i];
    assert_int_equal(count, MOST / 2); /* nearly equal scores are sampled evenly */
    vt_integer_stay_sampled(&c, scores, SIZE_MAX / 2, false, stay);
    for (size_t i = 0; i < MOST; i++)
        assert_int_equal(stay[i], 1);
}

/* T2f: the least important half leaves by its similarity. */
static void test_similar(void **state)
{
    static const int16_t keys[6][2] = { { 100, 0 }, { 100, 100 }, { 0, 100 }, { 0, 200 }, { 100, -100 }, { 300, 100 } };
    static const int32_t importance[6] = { 30, 5, 20, 10, 25, 10 };
    static const uint32_t order[6] = { 1, 3, 5, 2, 4, 0 };
    uint64_t keys_of[12], scratch_of[12];
    uint32_t row[3];
    int32_t best[3], sums[2];
    int16_t y[6][2];
    uint8_t stay[6];
    (void)state;
    vt_integer_rank(6, importance, keys_of, scratch_of);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(keys_of[i] & UINT32_MAX, order[i]);
        vt_integer_direction(2, 1, keys[i], sums, y[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        best[i] = INT32_MIN;
        row[i] = order[i];
        for (size_t k = 3; k < 6; k++) {
            const int32_t x = vt_integer_cosine(2, y[order[i]], y[order[k]]);
            best[i] = x > best[i] ? x : best[i];
        }
    }
    assert_close(best[0] / (32767.0 * 32767), 0.707107, 1e-4);
    assert_close(best[1] / (32767.0 * 32767), 1, 1e-4);
    assert_close(best[2] / (32767.0 * 32767), 0.948683, 1e-4);
    for (size_t leave = 0; leave < 3; leave++) {
        memset(stay, 1, sizeof stay);
        vt_integer_leave_similar(3, best, row, leave, scratch_of, stay);
        assert_int_equal(stay[3], leave < 1);
        assert_int_equal(stay[5], leave < 2);
        assert_int_equal(stay[1], 1);
    }
}

/* As the rule on floats says, of confidences that are inverses. */
static void test_unsure(void **state)
{
    (void)state;
    for (size_t n = 0; n < CASES; n++) {
        const size_t rows = 1 + any(SMALL), protect = any(3), context = any(4);
        const uint32_t limit = 100;
        uint32_t inverse[SMALL], class_of[SMALL];
        float confidence[SMALL];
        uint8_t a[SMALL], b[SMALL];
        for (size_t i = 0; i < rows; i++) {
            inverse[i] = 60 + (uint32_t)any(60);
            confidence[i] = 1 / (float)inverse[i];
            class_of[i] = (uint32_t)any(3);
        }
        const struct vt_candidates c = candidates(rows, protect);
        vt_stay_unsure(&c, confidence, class_of, 1 / (float)limit, context, a);
        vt_integer_stay_unsure(&c, inverse, class_of, limit, context, b);
        assert_memory_equal(a, b, rows);
    }
}

/* ---- Maps ---- */

static void assert_same_map(size_t rows, const struct vt_token_entry *floats, const struct vt_token_entry *integers,
                            double whole)
{
    for (size_t i = 0; i < rows; i++) {
        assert_int_equal(floats[i].source, integers[i].source);
        assert_int_equal(floats[i].destination, integers[i].destination);
        assert_int_equal(floats[i].end, integers[i].end);
        assert_close(integers[i].share / whole, (double)floats[i].weight, 0x1p-24 * fabs((double)floats[i].weight));
    }
}

static void test_maps(void **state)
{
    (void)state;
    for (size_t n = 0; n < CASES; n++) {
        const size_t rows = 1 + any(SMALL), protect = any(4), count = any(rows);
        struct vt_token_entry a[SMALL], b[SMALL];
        int32_t best[SMALL], size[SMALL], scores[SMALL];
        float best_floats[SMALL], size_floats[SMALL], score_floats[SMALL];
        uint32_t to[SMALL];
        uint8_t stay[SMALL];
        for (size_t i = 0; i < rows; i++) {
            best[i] = any(8) ? (int32_t)any(6) - 3 : INT32_MIN;
            best_floats[i] = best[i] > INT32_MIN ? (float)best[i] : -INFINITY;
            size[i] = 1 + (int32_t)any(5);
            size_floats[i] = (float)size[i];
            scores[i] = (int32_t)any(1 << 20);
            score_floats[i] = ldexpf((float)scores[i], -20);
            to[i] = (uint32_t)any(rows + 2);
            stay[i] = any(2);
        }
        const struct vt_candidates c = candidates(rows, protect);
        const size_t left = vt_map_of_match(&c, best_floats, to, count, n % 2 ? size_floats : NULL, a);
        assert_int_equal(vt_integer_map_of_match(&c, best, to, count, n % 2 ? size : NULL, b), left);
        assert_same_map(rows, a, b, 0x1p30);
        assert_int_equal(vt_map_of_dropped(&c, best_floats, to, count, 0.375f, a), left);
        assert_int_equal(vt_integer_map_of_dropped(&c, best, to, count, 3 << 27, b), left);
        assert_same_map(rows, a, b, 0x1p30);
        assert_int_equal(vt_map_of_fused(rows, stay, score_floats, a),
                         vt_integer_map_of_fused(rows, stay, scores, 1 << 20, b));
        assert_same_map(rows, a, b, 0x1p20);
        assert_int_equal(vt_map_of_stay(rows, stay, a), vt_integer_map_of_stay(rows, stay, 1 << 30, b));
        assert_same_map(rows, a, b, 0x1p30);
        assert_scratch_kept(&c);
    }
}

/* Sizes that are none, and the largest ones. */
static void test_shares(void **state)
{
    const int32_t none[4] = { 0, -5, 0, 0 }, most[4] = { INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX };
    const int32_t best[2] = { 1, INT32_MIN };
    const uint32_t to[2] = { 1, 0 };
    struct vt_token_entry map[4];
    const struct vt_candidates c = candidates(4, 0);
    (void)state;
    assert_int_equal(vt_share_of(1, 3), 357913941);
    assert_int_equal(vt_share_of(2, 3), 715827883);
    assert_int_equal(vt_share_of(0, 0), 0);
    assert_int_equal(vt_share_of(UINT32_MAX, UINT32_MAX), 1 << 30);
    assert_int_equal(vt_integer_map_of_match(&c, best, to, 1, none, map), 3);
    assert_int_equal(map[map[map[0].destination].end - 1].share, 0);
    assert_int_equal(vt_integer_map_of_match(&c, best, to, 1, most, map), 3);
    assert_int_equal(map[map[map[0].destination].end - 1].share, 1 << 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_largest_values),
        cmocka_unit_test(test_votes),         cmocka_unit_test(test_worked_votes),
        cmocka_unit_test(test_logarithm),     cmocka_unit_test(test_confidence),
        cmocka_unit_test(test_directions),    cmocka_unit_test(test_match),
        cmocka_unit_test(test_as_by_floats),  cmocka_unit_test(test_sampled_large),
        cmocka_unit_test(test_sampled_limits), cmocka_unit_test(test_similar),
        cmocka_unit_test(test_unsure),        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
