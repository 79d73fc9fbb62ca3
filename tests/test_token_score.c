/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tokens are ranked by: worked examples with exact numbers (T1, T2 and T7: of adaptive token sampling, of
 * Zero-TPrune's votes and of A-ViT's halting), and slow sums in double on random attention.
 */
#include "calibration_data.h"

#include "token_score.h"

enum { MOST = 40, HEADS = 6, COLUMNS = HEADS * 21, CASES = 1000 };

static void assert_scores(size_t count, const float *score, const double *want, double tolerance)
{
    for (size_t i = 0; i < count; i++)
        assert_near(score[i], want[i], tolerance);
}

/* ---- Adaptive token sampling ---- */

static const float class_row[7][2] = { { 0.1f, 0.2f },   { 0.3f, 0.1f }, { 0.05f, 0.1f }, { 0.2f, 0.3f },
                                       { 0.05f, 0.02f }, { 0.2f, 0.2f }, { 0.1f, 0.08f } };
static const float values[7][4] = { { 1, 0, 0, 1 }, { 3, 4, 0, 0 }, { 0, 0, 1, 0 }, { 1, 2, 2, 0 },
                                    { 1, 1, 1, 1 }, { 0, 2, 0, 0 }, { 0, 0, 2, 1 } };

static void test_values(void **state) /* T1 a */
{
    static const double want[] = { 2, 0.15, 1.5, 0.14, 0.8, 0.402492 };
    const struct vt_head_scores p = { class_row[0], 2, 7, 2 };
    float score[7];
    (void)state;
    vt_score_values(&p, values[0], 4, 4, false, score);
    assert_scores(6, score + 1, want, 1e-6);
    assert_near(score[0], 0.3 * sqrt(2), 1e-6);
}

static void test_values_by_head(void **state) /* T1 b */
{
    static const double want[] = { 1.5, 0.1, 1.047214, 0.098995, 0.4, 0.178885 };
    const struct vt_head_scores p = { class_row[0], 2, 7, 2 };
    float score[7];
    (void)state;
    vt_score_values(&p, values[0], 4, 4, true, score);
    assert_scores(6, score + 1, want, 1e-6);
    assert_near(score[0], 0.3, 1e-6);
}

static void test_mean(void **state)
{
    static const double want[] = { 0.15, 0.2, 0.075, 0.25, 0.035, 0.2, 0.09 };
    const struct vt_head_scores p = { class_row[0], 2, 7, 2 };
    float score[7];
    (void)state;
    vt_score_mean(&p, score);
    assert_scores(7, score, want, 1e-7);
}

/* Rows further apart than they are long; more columns than lanes, and not a multiple of them. */
static void test_random_values(void **state)
{
    enum { LD = HEADS + 3, LDV = COLUMNS + 5 };
    float at[MOST * LD], v[MOST * LDV], score[3][MOST];
    (void)state;
    for (size_t i = 0; i < COUNT(at); i++)
        at[i] = (float)uniform();
    for (size_t i = 0; i < COUNT(v); i++)
        v[i] = (float)normal();
    const struct vt_head_scores p = { at, LD, MOST, HEADS };
    vt_score_mean(&p, score[0]);
    vt_score_values(&p, v, LDV, COLUMNS, false, score[1]);
    vt_score_values(&p, v, LDV, COLUMNS, true, score[2]);
    for (size_t i = 0; i < MOST; i++) {
        double sum = 0, squares = 0, by_head = 0;
        for (size_t h = 0; h < HEADS; h++) {
            double of_head = 0;
            for (size_t j = h * COLUMNS / HEADS; j < (h + 1) * COLUMNS / HEADS; j++)
                of_head += (double)v[i * LDV + j] * v[i * LDV + j];
            sum += at[i * LD + h];
            squares += of_head;
            by_head += at[i * LD + h] * sqrt(of_head);
        }
        const double roundings = COLUMNS * FLT_EPSILON / 2;
        assert_near(score[0][i], sum / HEADS, FLT_EPSILON * sum);
        assert_near(score[1][i], sum * sqrt(squares), roundings * sum * sqrt(squares));
        assert_near(score[2][i], by_head, roundings * by_head);
    }
}

/* A sum of floats would lose what is small. */
static void test_sums_in_double(void **state)
{
    static const float at[] = { 1, 3e-8f, 3e-8f, 3e-8f, 3e-8f }, one[5] = { 1, 1, 1, 1, 1 };
    const struct vt_head_scores p = { at, 5, 1, 5 };
    const float sum = (float)(1 + 4 * (double)3e-8f);
    float score;
    (void)state;
    vt_score_mean(&p, &score);
    assert_true(score == (float)((1 + 4 * (double)3e-8f) / 5) && score > 0.2f);
    vt_score_values(&p, one, 5, 1, false, &score);
    assert_true(score == sum && sum > 1);
    vt_score_values(&p, one, 5, 5, true, &score);
    assert_true(score == sum);
}

/* ---- Votes ---- */

static const struct vt_vote_options all_heads = { 1, 0, INFINITY }, some_heads = { 1, 0.01f, 0.7f };

static const float attention[4][16] = {
    { 0.4f, 0.3f, 0.2f, 0.1f, 0.1f, 0.5f, 0.3f, 0.1f, 0.2f, 0.4f, 0.3f, 0.1f, 0.1f, 0.2f, 0.3f, 0.4f },
    { 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f },
    { 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 },
    { 0.1f, 0.2f, 0.1f, 0.6f, 0.1f, 0.3f, 0.2f, 0.4f, 0.2f, 0.2f, 0.2f, 0.4f, 0.1f, 0.1f, 0.1f, 0.7f }
};

/* Scores of one vote of heads p[h][rows][rows], from sums over the queries. */
static void votes_of_sums(size_t rows, size_t heads, const float *p, const struct vt_vote_options *o, float *score)
{
    enum { LD = HEADS + 2 };
    float sums[MOST * LD] = { 0 }, first[MOST * LD], scratch[MOST * HEADS];
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < rows; j++) {
                sums[j * LD + h] += p[(h * rows + i) * rows + j];
                first[j * LD + h] = p[h * rows * rows + j];
            }
    const struct vt_head_scores all = { sums, LD, rows, heads };
    vt_score_votes(&all, o->boost == 1 ? NULL : first, o, scratch, score);
}

static void test_one_vote(void **state) /* T2 a */
{
    static const double root[] = { 0.171847, 0.237171, 0.200390, 0.584968 };
    static const double filtered[] = { 0.166771, 0.285044, 0.221501, 0.391312 };
    const struct vt_vote_options no_head = { 1, 4, 5 };
    float score[4];
    (void)state;
    votes_of_sums(4, 4, attention[0], &no_head, score);
    assert_scores(4, score, root, 1e-6);
    votes_of_sums(4, 4, attention[0], &all_heads, score);
    assert_scores(4, score, root, 1e-6);
    votes_of_sums(4, 4, attention[0], &some_heads, score);
    assert_scores(4, score, filtered, 1e-6);
}

/* Each of them is a bound: .075, 0, 3.0, .415. */
static void test_variances(void **state) /* T2 a */
{
    static const struct {
        float lowest, highest;
        int head; /* the one that counts */
    } cases[] = { { 0, 0.0749f, 1 },       { 0.0749f, 0.0751f, 0 }, { 0.0751f, 0.4151f, 3 },
                  { 0.4149f, 0.4151f, 3 }, { 0.4151f, 3.001f, 2 },  { 2.999f, 3.001f, 2 } };
    (void)state;
    for (size_t k = 0; k < COUNT(cases); k++) {
        const struct vt_vote_options o = { 1, cases[k].lowest, cases[k].highest };
        float score[4], alone[4];
        votes_of_sums(4, 4, attention[0], &o, score);
        votes_of_sums(4, 1, attention[cases[k].head], &all_heads, alone);
        for (size_t i = 0; i < 4; i++)
            assert_near(score[i], alone[i], 1e-7);
    }
}

static void test_boosted_votes(void **state) /* T2 b */
{
    static const double one[] = { 0.189737, 0.278927, 0.208806, 0.398246 };
    struct vt_vote_options root = some_heads, two = some_heads;
    float score[4];
    (void)state;
    root.boost = 0;
    two.boost = 2;
    votes_of_sums(4, 4, attention[0], &two, score);
    assert_scores(4, score, one, 1e-6);
    votes_of_sums(4, 4, attention[0], &root, score);
    assert_scores(4, score, one, 1e-6);
}

/* Rows of softmax, heads one behind the other. */
static void random_attention(size_t rows, size_t heads, double (*next)(void), float *p)
{
    for (size_t i = 0; i < heads * rows; i++) {
        double e[MOST], sum = 0;
        for (size_t j = 0; j < rows; j++)
            sum += e[j] = exp(4 * next());
        for (size_t j = 0; j < rows; j++)
            p[i * rows + j] = (float)(e[j] / sum);
    }
}

static uint32_t lcg = 12345;

static double next_lcg(void)
{
    lcg = (1103515245u * lcg + 12345u) & 0x7fffffffu;
    return lcg / 2147483648.0;
}

static void test_lcg_votes(void **state) /* T2 e */
{
    static const double row[] = { 0.214588, 0.052845, 0.232280, 0.023931, 0.123273, 0.110694, 0.173815, 0.068575 };
    static const double want[] = { 0.141310, 0.149579, 0.144177, 0.097629, 0.105737, 0.097239, 0.154808, 0.136132 };
    const struct vt_vote_options o = { 0, 0, INFINITY };
    float p[2 * 64], score[8];
    (void)state;
    random_attention(8, 2, next_lcg, p);
    assert_scores(8, p, row, 1e-6);
    votes_of_sums(8, 2, p, &o, score);
    assert_scores(8, score, want, 1e-6);
}

/* The root of the mean square over the heads that count, of the votes of each. */
static void votes_in_double(size_t rows, size_t heads, const float *p, const struct vt_vote_options *o, double *score)
{
    const double boost = o->boost > 0 ? (double)o->boost : sqrt((double)rows), all = (double)rows - 1 + boost;
    double votes[HEADS][MOST] = { { 0 } }, squares[2][MOST] = { { 0 } };
    size_t counted[2] = { 0 };
    for (size_t h = 0; h < heads; h++) {
        double variance = 0;
        for (size_t j = 0; j < rows; j++) {
            for (size_t i = 0; i < rows; i++)
                votes[h][j] += (i ? 1 : boost) / all * (double)p[(h * rows + i) * rows + j];
            variance += pow((double)rows * votes[h][j] - 1, 2) / (double)rows;
        }
        const int counts = variance >= (double)o->lowest && variance <= (double)o->highest;
        for (int k = 0; k <= counts; k++) {
            counted[k]++;
            for (size_t j = 0; j < rows; j++)
                squares[k][j] += votes[h][j] * votes[h][j];
        }
    }
    for (size_t j = 0; j < rows; j++)
        score[j] = sqrt(squares[counted[1] > 0][j] / (double)counted[counted[1] > 0]);
}

static void test_random_votes(void **state)
{
    static const float boosts[] = { 0, 1, 3.5f };
    static float p[HEADS * MOST * MOST];
    (void)state;
    for (size_t k = 0; k < 300; k++) {
        const size_t rows = 1 + k % MOST, heads = 1 + k % HEADS;
        const struct vt_vote_options o = { boosts[k % COUNT(boosts)], k % 2 ? 0.1f : 0, k % 2 ? 0.3f : INFINITY };
        float found[MOST];
        double wanted[MOST];
        random_attention(rows, heads, uniform, p);
        votes_of_sums(rows, heads, p, &o, found);
        votes_in_double(rows, heads, p, &o, wanted);
        assert_scores(rows, found, wanted, 1e-6);
    }
}

/* ---- What no attention gives ---- */

static void test_hostile_sums(void **state)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, -1, FLT_MAX, 0 };
    float at[6 * 6], v[6 * 12], mean[6], score[6];
    (void)state;
    for (size_t k = 0; k < 1000; k++) {
        for (size_t i = 0; i < COUNT(at); i++)
            at[i] = odd[k % 2 + (size_t)(uniform() * (COUNT(odd) - 1))];
        for (size_t i = 0; i < COUNT(v); i++)
            v[i] = odd[k % 3 + (size_t)(uniform() * (COUNT(odd) - 2))];
        const struct vt_head_scores p = { at, 6, k % 7, 6 };
        vt_score_mean(&p, mean);
        vt_score_values(&p, v, 12, 12, false, score);
        for (size_t i = 0; i < p.rows; i++) {
            double sum = 0, squares = 0;
            for (size_t h = 0; h < 6; h++)
                sum += at[6 * i + h];
            for (size_t j = 0; j < 12; j++)
                squares += (double)((float)v[12 * i + j] * v[12 * i + j]);
            const double product = sum * sqrt(squares);
            assert_true(isnan(sum) ? isnan(mean[i]) : mean[i] == (float)(sum / 6));
            assert_true(isnan(product) ? isnan(score[i]) : isfinite(product) || score[i] == (float)product);
        }
    }
}

/* A head of a NaN does not count as long as there is another one. */
static void test_hostile_votes(void **state)
{
    float sums[4 * 2] = { 1, 0.5f, NAN, 1, 1, 1.5f, 1, 1 }, scratch[8], score[4];
    static const double want[] = { 0.125, 0.25, 0.375, 0.25 };
    const struct vt_head_scores all = { sums, 2, 4, 2 };
    (void)state;
    vt_score_votes(&all, NULL, &all_heads, scratch, score);
    assert_scores(4, score, want, 1e-7);
    for (size_t i = 0; i < 4; i++)
        sums[2 * i + 1] = 0; /* whose mean is 0 */
    vt_score_votes(&all, NULL, &all_heads, scratch, score);
    assert_true(isnan(score[1]));
    assert_near(score[0], sqrt(0.5) / 4, 1e-7);
    const struct vt_head_scores none = { sums, 2, 0, 2 };
    vt_score_votes(&none, sums, &all_heads, scratch, score);
    assert_true(isnan(score[1]));
}

/* ---- A-ViT ---- */

static void test_halting(void **state) /* T7 */
{
    static const float x[] = { 2.9f, 3, 3.1f };
    static const double sums[] = { 0.268941, 0.768941, 1 }, parts[] = { 0.268941, 0.5, 0.231059 };
    const struct vt_halting o = { 10, 30, 0.99f };
    float sum[3];
    (void)state;
    for (size_t block = 0; block < 3; block++)
        vt_score_halting(1, &x[block], 1, block ? &sum[block - 1] : NULL, 1, &o, &sum[block]);
    assert_scores(3, sum, sums, 3e-6); /* 10 * 2.9f is 29 but for 2e-6 */
    for (size_t block = 0; block < 3; block++)
        assert_near(sum[block] - (block ? sum[block - 1] : 0), parts[block], 3e-6);
}

/* Against the C library's exponential, in double: within a rounding of the sum in f32. */
static void test_random_halting(void **state)
{
    enum { ROWS = 1000, LDX = 3, LDB = 2 };
    float x[ROWS * LDX], before[ROWS * LDB], score[ROWS];
    const struct vt_halting o = { 7, -2, 0.75f };
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        x[i * LDX] = (float)(normal() * (i % 10 ? 1 : 30));
        before[i * LDB] = i % 4 ? (float)uniform() * 0.75f : 0;
    }
    for (int first = 0; first < 2; first++) {
        vt_score_halting(ROWS, x, LDX, first ? NULL : before, LDB, &o, score);
        for (size_t i = 0; i < ROWS; i++) {
            const double part = 1 / (1 + exp(-(7 * (double)x[i * LDX] + 2)));
            const double sum = (first ? 0 : (double)before[i * LDB]) + part;
            const double bound = (FLT_EPSILON / 2 + 1e-15) * sum + 0x1p-149;
            if (score[i] == 1)
                assert_true(sum >= 0.75 - bound);
            else
                assert_true(score[i] < 0.75f && fabs(score[i] - sum) <= bound);
        }
    }
}

static void test_hostile_halting(void **state)
{
    static const float x[] = { NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0 };
    static const float want[] = { 1, 1, 0, 1, 0, 0.5f };
    const struct vt_halting o = { 1, 0, 1 };
    const float before[] = { 0, 0, NAN, 2, 1, 0.25f };
    float score[6];
    (void)state;
    vt_score_halting(6, x, 1, NULL, 0, &o, score);
    assert_memory_equal(score, want, sizeof want);
    vt_score_halting(6, x, 1, before, 1, &o, score);
    for (size_t i = 0; i < 5; i++)
        assert_true(score[i] == 1);
    assert_true(score[5] == 0.75f);
    vt_score_halting(0, x, 1, before, 1, &o, score);
}

/* ---- Matches ---- */

static void test_match(void **state)
{
    (void)state;
    for (size_t n = 0; n < CASES; n++) {
        const float cosine = (float)(2 * uniform() - 1), importance = (float)uniform();
        const double wanted = -(1 - (double)cosine) * sqrt((double)importance);
        assert_near(vt_score_match(cosine, importance), wanted, 2 * FLT_EPSILON * fabs(wanted));
    }
    assert_true(vt_score_match(1, 0.5f) == 0 && vt_score_match(1 + FLT_EPSILON, 0.5f) == 0);
    assert_true(isnan(vt_score_match(NAN, 1)) && isnan(vt_score_match(0, NAN)) && isnan(vt_score_match(0, -1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_values_by_head),
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_random_values),
        cmocka_unit_test(test_sums_in_double),
        cmocka_unit_test(test_one_vote),
        cmocka_unit_test(test_variances),
        cmocka_unit_test(test_boosted_votes),
        cmocka_unit_test(test_lcg_votes),
        cmocka_unit_test(test_random_votes),
        cmocka_unit_test(test_hostile_sums),
        cmocka_unit_test(test_hostile_votes),
        cmocka_unit_test(test_halting),
        cmocka_unit_test(test_random_halting),
        cmocka_unit_test(test_hostile_halting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
