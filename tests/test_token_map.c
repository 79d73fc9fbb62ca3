/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tokens stay, and the maps of it: worked examples (T1, T2, T4, T5 and T8: of adaptive token sampling,
 * Zero-TPrune, EViT, DToP and packed batches), and on random cases full of ties the definitions word for word: all
 * points against all cumulated scores in exact arithmetic, ranks by counting who is better.
 */
#include "token_data.h"

/* stay as digits, one for each row. */
static void assert_stay(const char *want, const uint8_t *stay)
{
    char digits[MOST + 1] = "";
    for (size_t i = 0; want[i]; i++) {
        assert_true(stay[i] <= 1);
        digits[i] = (char)('0' + stay[i]);
    }
    assert_string_equal(digits, want);
}

/* All is 0 or 1 and protected rows stay; returns how many candidates do. */
static size_t staying(const struct vt_candidates *c, const uint8_t *stay)
{
    size_t count = 0;
    for (size_t i = 0; i < c->rows; i++) {
        assert_true(stay[i] <= 1 && (stay[i] || i >= c->protect));
        count += i >= c->protect && stay[i];
    }
    assert_scratch_kept(c);
    return count;
}

/* ---- Counts and order ---- */

static void test_keep_count(void **state)
{
    static const struct {
        size_t count;
        double keep;
        size_t down, up;
    } cases[] = { { 196, 0.7, 137, 138 }, { 100, 0.29, 28, 29 }, { 10, 0.7, 7, 7 }, { 196, 0.5, 98, 98 },
                  { 5, 0, 0, 0 },         { 5, 1, 5, 5 },        { 0, 0.5, 0, 0 },  { 5, 1.5, 5, 5 },
                  { 5, -1, 0, 0 },        { 5, 1.1, 5, 5 },      { 5, NAN, 0, 0 },  { 5, INFINITY, 5, 5 },
                  { 5, 1e-300, 0, 1 },    { 0, INFINITY, 0, 0 } };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(vt_keep_count(cases[i].count, cases[i].keep, false), cases[i].down);
        assert_int_equal(vt_keep_count(cases[i].count, cases[i].keep, true), cases[i].up);
    }
}

/* Is a worse than b? */
static bool worse(float a, float b)
{
    return a < b || (isnan(a) && !isnan(b));
}

/* Each row's place is how many are before it. */
static void test_ranks(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES; k++) {
        const size_t count = any(SMALL), ld = 1 + any(3);
        const bool descending = k % 2;
        float score[SMALL * 3];
        uint64_t keys[SMALL] = { 0 };
        for (size_t i = 0; i < COUNT(score); i++)
            score[i] = k % 3 ? odd_number() : (float)any(4);
        vt_rank_scores(count, score, ld, descending, keys, scratch);
        for (size_t i = 0; i < count; i++) {
            size_t place = 0;
            for (size_t j = 0; j < count; j++) {
                const float a = score[j * ld], b = score[i * ld];
                const bool equal = !worse(a, b) && !worse(b, a);
                place += descending ? worse(b, a) : worse(a, b);
                place += equal && j < i;
            }
            assert_int_equal((uint32_t)keys[place], i);
        }
    }
}

static void test_top(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES; k++) {
        const struct vt_candidates c = candidates(any(SMALL), any(6));
        const size_t count = any(10) ? any(SMALL) : SIZE_MAX;
        float scores[SMALL];
        uint8_t stay[SMALL], alive[SMALL];
        for (size_t i = 0; i < c.rows; i++) {
            scores[i] = k % 3 ? odd_number() : (float)any(4);
            alive[i] = stay[i] = k % 2 || any(4);
        }
        vt_stay_top(&c, scores, count, stay);
        for (size_t i = c.protect; i < c.rows; i++) {
            size_t better = 0;
            for (size_t j = c.protect; j < c.rows; j++)
                better += alive[j] && (worse(scores[i], scores[j]) || (!worse(scores[j], scores[i]) && j < i));
            assert_int_equal(stay[i], alive[i] && better < count);
        }
        staying(&c, stay);
    }
}

static void test_even(void **state)
{
    static const char *want[] = { "110000000", "110001000", "110101010", "111111111" };
    static const size_t counts[] = { 0, 1, 3, 100 };
    uint8_t stay[SMALL];
    (void)state;
    for (size_t i = 0; i < COUNT(counts); i++) {
        const struct vt_candidates c = candidates(9, 2); /* candidates 0 to 6; of 3: 1.2, 3.5, 5.8 */
        vt_stay_even(&c, counts[i], stay);
        assert_stay(want[i], stay);
    }
    for (size_t k = 0; k < CASES; k++) {
        const struct vt_candidates c = candidates(any(SMALL), any(6));
        const size_t n = c.rows > c.protect ? c.rows - c.protect : 0, count = least(any(SMALL), n);
        vt_stay_even(&c, k % 5 || count < n ? count : SIZE_MAX, stay);
        assert_int_equal(staying(&c, stay), count);
        for (size_t i = 0; i < count; i++)
            assert_true(stay[c.protect + (size_t)floor((double)(2 * i + 1) * (double)n / (double)(2 * count))]);
    }
}

/* Seeds differ, each candidate is chosen as often as another, and no choice but adds to a smaller one. */
static void test_random(void **state)
{
    enum { N = 20, SEEDS = 2000 };
    size_t chosen[N] = { 0 }, both = 0;
    (void)state;
    for (uint32_t k = 0; k < SEEDS; k++) {
        uint8_t stay[3 + N], fewer[2 + N];
        const struct vt_candidates c = candidates(3 + N, 3), other = candidates(2 + N, 2);
        vt_stay_random(&c, N / 2, k, stay);
        assert_int_equal(staying(&c, stay), N / 2);
        vt_stay_random(&other, k % N / 2, k, fewer);
        assert_int_equal(staying(&other, fewer), k % N / 2);
        for (size_t i = 0; i < N; i++) {
            assert_true(stay[3 + i] || !fewer[2 + i]);
            chosen[i] += stay[3 + i];
        }
        both += stay[3] && stay[4];
    }
    for (size_t i = 0; i < N; i++) /* 5 standard deviations */
        assert_near((double)chosen[i], SEEDS / 2, 5 * sqrt(SEEDS * 0.25));
    assert_near((double)both, SEEDS * 9.0 / 38, 5 * sqrt(SEEDS * 0.2));
    uint8_t stay[2];
    const struct vt_candidates few = candidates(2, 1), none = candidates(1, 4);
    vt_stay_random(&few, SIZE_MAX, 7, stay);
    assert_stay("11", stay);
    vt_stay_random(&none, 1, 7, stay);
    assert_stay("1", stay);
}

/* ---- Adaptive token sampling ---- */

static void assert_sampled(const char *want, const float *scores, size_t protect, size_t samples, bool in_order)
{
    const struct vt_candidates c = candidates(strlen(want), protect);
    uint8_t stay[MOST];
    vt_stay_sampled(&c, scores, samples, in_order, stay);
    staying(&c, stay);
    assert_stay(want, stay);
}

static void test_sampled(void **state) /* T1 a, d, e */
{
    static const float scores[] = { NAN, 2, 0.15f, 1.5f, 0.14f, 0.8f, 0.402492f, 0 };
    static const float equal[] = { 0, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f };
    (void)state;
    assert_sampled("1111010", scores, 1, 6, false);
    assert_sampled("1111000", scores, 1, 3, false);
    assert_sampled("11011100", scores, 1, 6, false); /* why images are not padded to equal lengths */
    assert_sampled("1011111", equal, 1, 6, false);
}

static void test_sampled_by_head(void **state) /* T1 b, c */
{
    static const float scores[] = { NAN, 1.5f, 0.1f, 1.047214f, 0.098995f, 0.4f, 0.178885f };
    (void)state;
    assert_sampled("1111010", scores, 1, 6, false);
    assert_sampled("1110100", scores, 1, 4, true);
    assert_sampled("1111010", scores, 1, 6, true);
}

/* Sums of the numbers, from 1 on, of the candidates that stay behind one protected row. */
static void assert_sums(const struct vt_candidates *c, const uint8_t *stay, size_t count, size_t sum, size_t squares)
{
    size_t ids = 0, of_squares = 0;
    for (size_t i = 1; i < c->rows; i++) {
        ids += i * stay[i];
        of_squares += i * i * stay[i];
    }
    assert_int_equal(staying(c, stay), count);
    assert_int_equal(ids, sum);
    assert_int_equal(of_squares, squares);
}

static void large_scores(float *scores)
{
    for (size_t i = 0; i < 197; i++)
        scores[i] = (float)(83 * i % 197 * (83 * i % 197) + 2000);
}

static void test_sampled_large(void **state) /* T1f */
{
    static const size_t want[][4] = {
        { 196, 131, 12771, 1671809 }, { 128, 109, 10958, 1448606 }, { 64, 64, 6127, 784301 }, { 32, 32, 3246, 435182 }
    };
    float scores[197];
    uint8_t stay[197];
    (void)state;
    large_scores(scores);
    for (size_t i = 0; i < COUNT(want); i++) {
        const struct vt_candidates c = candidates(197, 1);
        vt_stay_sampled(&c, scores, want[i][0], false, stay);
        assert_sums(&c, stay, want[i][1], want[i][2], want[i][3]);
    }
}

static void test_sampled_twice(void **state) /* T1f: the lowest and highest that stay, and the second stage */
{
    static const uint32_t low[] = { 38, 171, 107 }, high[] = { 140, 159, 178 };
    float scores[197], left[197];
    uint8_t stay[197];
    uint64_t keys[197];
    struct vt_token_entry map[197];
    (void)state;
    large_scores(scores);
    const struct vt_candidates c = candidates(197, 1);
    vt_stay_sampled(&c, scores, 196, false, stay);
    const size_t count = vt_map_of_stay(197, stay, map);
    assert_int_equal(count, 132);
    for (size_t i = 0; i < count; i++)
        left[i] = scores[map[i].source];
    vt_rank_scores(count - 1, left + 1, 1, false, keys, scratch);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(map[1 + (uint32_t)keys[i]].source, low[i]);
        assert_int_equal(map[1 + (uint32_t)keys[128 + i]].source, high[i]);
    }
    const struct vt_candidates second = candidates(count, 1);
    vt_stay_sampled(&second, left, 196, false, stay);
    assert_int_equal(staying(&second, stay), 114);
    size_t sum = 0;
    for (size_t i = 1; i < count; i++)
        sum += stay[i] ? (size_t)map[i].source : 0;
    assert_int_equal(sum, 11445);
}

/* The nearest of all cumulated scores to each point, in whole numbers: points and scores are multiplied by what the
 * definition divides by. */
static void slow_sampled(const struct vt_candidates *c, const float *scores, size_t samples, bool in_order,
                         uint8_t *stay)
{
    const int64_t points = (int64_t)samples;
    size_t order[SMALL], n = 0;
    int64_t at[SMALL], sum = 0, low = 0;
    for (size_t i = 0; i < c->rows; i++)
        stay[i] = i < c->protect;
    for (size_t i = c->protect; i < c->rows; i++) {
        size_t place = n++;
        for (; !in_order && place && scores[order[place - 1]] > scores[i]; place--)
            order[place] = order[place - 1];
        order[place] = i;
    }
    for (size_t i = 0; i < n; i++)
        at[i] = sum += (int64_t)scores[order[i]];
    if (n < 2 || sum == 0 || points < (in_order ? 1 : 2)) {
        memset(stay, 1, c->rows);
        return;
    }
    const int64_t least_score = in_order ? 0 : at[0], range = sum - least_score;
    for (size_t i = n; i-- > 0;) {
        at[i] -= least_score;
        low = at[i] ? at[i] : low;
    }
    for (int64_t i = 0; i < points; i++) {
        const int64_t times = in_order ? 2 * points : points - 1;
        const int64_t point = in_order ? (2 * i + 1) * range : low * times + (range - low) * i;
        size_t pick = 0;
        for (size_t j = 1; j < n; j++)
            if (llabs(point - times * at[j]) < llabs(point - times * at[pick]))
                pick = j;
        stay[order[pick]] = 1;
    }
}

static void test_sampled_against_all_pairs(void **state)
{
    static const size_t ranges[] = { 1, 2, 5, 100, 1 << 24 };
    (void)state;
    for (size_t k = 0; k < 4 * CASES; k++) {
        const struct vt_candidates c = candidates(any(SMALL), any(6));
        const size_t samples = any(2 * SMALL), range = ranges[any(COUNT(ranges))];
        float scores[SMALL];
        uint8_t stay[SMALL], want[SMALL];
        for (size_t i = 0; i < c.rows; i++) /* now and then one that is far above or below the others */
            scores[i] = any(4) ? (float)any(range) : k % 4 < 2 ? 0 : (float)(1 << 24);
        vt_stay_sampled(&c, scores, samples, k % 2, stay);
        slow_sampled(&c, scores, samples, k % 2, want);
        staying(&c, stay);
        assert_memory_equal(stay, want, c.rows);
    }
}

/* Scores that change a sum by nothing stand between points and what is nearest to them. */
static void test_sampled_peaks(void **state)
{
    static const float peaks[] = { 1e-30f, 0.25f, 2e-30f, 0.25f, 0, 0.5f, 0 };
    static const float flat[] = { 0, 0, 0.5f, 0, 1e-30f, 0.5f, 0 };
    (void)state;
    assert_sampled("1101010", peaks, 0, 4, false); /* points 1e-30, 1/3, 2/3, 1 */
    assert_sampled("0010000", flat, 0, 1, true);
    assert_sampled("1010000", flat, 0, 2, true); /* 1/4 is as near to 0 as to 1/2, 3/4 to 1/2 as to 1 */
    assert_sampled("1010010", flat, 0, 8, true); /* 1/16 and 3/16 are nearer to 0 */
}

static void test_sampled_odd_scores(void **state)
{
    static const float odd[][4] = {
        { 1, 2, NAN, 3 }, { 1, INFINITY, 2, 3 }, { 1, 2, -0.5f, 3 }, { 1, 0, 0, -0.0f }, { 1, 0, -INFINITY, 0 }
    };
    static const float fine[] = { -1, 1, 2, -0.0f }, huge[] = { FLT_MAX, FLT_MAX, 0, FLT_MAX };
    (void)state;
    for (size_t i = 0; i < COUNT(odd); i++) {
        assert_sampled("1111", odd[i], 1, 2, false);
        assert_sampled("1111", odd[i], 1, 1, true);
    }
    assert_sampled("1110", fine, 1, 2, false);
    assert_sampled("1111", fine, 1, 1, false);
    assert_sampled("1111", fine, 1, 0, true);
    assert_sampled("1101", huge, 1, 4, false);
    assert_sampled("1111", fine, 3, 2, false);
    assert_sampled("1111", fine, 4, 2, false);
    assert_sampled("1111", fine, 5, 2, true);
    assert_sampled("", fine, 0, 2, false);
}

/* ---- Zero-TPrune's S-stage, DToP ---- */

static void test_similar(void **state) /* T2f */
{
    static const float importance[] = { 0.3f, 0.05f, 0.2f, 0.1f, 0.25f, 0.1f };
    static const double keys[][2] = { { 1, 0 }, { 1, 1 }, { 0, 1 }, { 0, 2 }, { 1, -1 }, { 3, 1 } };
    static const uint32_t want[] = { 1, 3, 5, 2, 4, 0 };
    static const double similarities[] = { 0.707107, 1, 0.948683 };
    static const char *stays[] = { "111111", "111011", "111010", "101010", "101010" };
    uint64_t order[6];
    uint32_t row[3];
    float best[3];
    (void)state;
    vt_rank_scores(6, importance, 1, false, order, scratch);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal((uint32_t)order[i], want[i]);
    for (size_t i = 0; i < 3; i++) {
        row[i] = (uint32_t)order[i];
        best[i] = -INFINITY;
        for (size_t j = 3; j < 6; j++) {
            const float similar = (float)cosine(keys[row[i]], keys[want[j]]);
            best[i] = similar > best[i] ? similar : best[i];
        }
        assert_near(best[i], similarities[i], 1e-6);
    }
    for (size_t leave = 0; leave < COUNT(stays); leave++) {
        uint8_t stay[6] = { 1, 1, 1, 1, 1, 1 };
        vt_leave_similar(3, best, row, leave, scratch, stay);
        assert_stay(stays[leave], stay);
    }
}

static void test_similar_ties(void **state)
{
    static const float best[] = { 0.5f, NAN, 0.5f, 1 };
    static const uint32_t row[] = { 4, 1, 2, 3 };
    static const char *stays[] = { "111111", "111011", "111001", "110001", "100001", "100001" };
    (void)state;
    for (size_t leave = 0; leave < COUNT(stays); leave++) {
        uint8_t stay[6] = { 1, 1, 1, 1, 1, 1 };
        vt_leave_similar(4, best, row, leave == 5 ? SIZE_MAX : leave, scratch, stay);
        assert_stay(stays[leave], stay);
    }
}

static void test_below(void **state)
{
    static const float scores[] = { 0.5f, 1, NAN, -1, 0.99f, 2, 0.5f, -INFINITY };
    static const struct {
        size_t protect;
        float threshold;
        bool with_first;
        const char *want;
    } cases[] = { { 0, 1, false, "10011011" },        { 0, 1, true, "10011011" },       { 1, 1, true, "10000000" },
                  { 1, 1, false, "10011011" },        { 2, 1, true, "11000000" },       { 3, 0, true, "11110001" },
                  { 8, 0, true, "11111111" },         { 9, 0, false, "11111111" },      { 0, NAN, false, "00000000" },
                  { 0, -INFINITY, true, "00000000" }, { 0, INFINITY, true, "11011111" } };
    uint8_t stay[8];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct vt_candidates c = candidates(8, cases[i].protect);
        vt_stay_below(&c, scores, cases[i].threshold, cases[i].with_first, stay);
        assert_stay(cases[i].want, stay);
    }
    const struct vt_candidates none = candidates(0, 0);
    vt_stay_below(&none, scores, 1, true, stay);
}

static void test_unsure(void **state) /* T5 a */
{
    static const float confidence[] = { 0.99f, 0.97f, 0.95f, 0.91f, 0.9f, 0.6f, 0.98f, 0.93f };
    static const uint32_t class_of[] = { 0, 0, 0, 1, 1, 2, 0, 1 };
    static const struct {
        float p0;
        size_t context;
        const char *want;
    } cases[] = { { 0.9f, 2, "10011111" }, { 0.9f, 1, "10001101" }, { 0.9f, 5, "11111111" },
                  { 0.9f, 0, "00001100" }, { 1, 0, "11111111" },    { NAN, 0, "11111111" } };
    uint8_t stay[8];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct vt_candidates c = candidates(8, 0);
        vt_stay_unsure(&c, confidence, class_of, cases[i].p0, cases[i].context, stay);
        assert_stay(cases[i].want, stay);
    }
}

static void test_unsure_random(void **state)
{
    static const uint32_t classes[] = { 0, 1, 255, 256, UINT32_MAX };
    (void)state;
    for (size_t k = 0; k < CASES; k++) {
        const struct vt_candidates c = candidates(any(SMALL), any(6));
        const size_t context = any(6) ? any(6) : SIZE_MAX;
        float confidence[SMALL];
        uint32_t class_of[SMALL];
        uint8_t stay[SMALL];
        for (size_t i = 0; i < c.rows; i++) {
            confidence[i] = any(20) ? (float)any(10) / 9 : odd_number();
            class_of[i] = classes[any(COUNT(classes))];
        }
        vt_stay_unsure(&c, confidence, class_of, 0.5f, context, stay);
        for (size_t i = c.protect; i < c.rows; i++) {
            size_t better = 0;
            for (size_t j = c.protect; j < c.rows; j++)
                better += class_of[j] == class_of[i] &&
                          (confidence[j] > confidence[i] || (confidence[j] == confidence[i] && j < i));
            assert_int_equal(stay[i], !(confidence[i] > 0.5f) || better < context);
        }
        staying(&c, stay);
    }
}

/* ---- Maps ---- */

static void test_stay_map(void **state)
{
    static const uint8_t some[] = { 1, 0, 1, 1, 0 }, none[3] = { 0 }, all[] = { 1, 1, 1 };
    struct vt_token_entry map[5];
    (void)state;
    assert_int_equal(vt_map_of_stay(5, some, map), 3);
    assert_members("0|2|3", 5, 3, map);
    assert_true(map[0].weight == 1 && map[1].weight == 1 && map[2].weight == 1);
    assert_int_equal(vt_map_of_stay(3, none, map), 0);
    assert_members("", 3, 0, map);
    assert_int_equal(vt_map_of_stay(3, all, map), 3);
    assert_members("0|1|2", 3, 3, map);
    assert_int_equal(vt_map_of_stay(0, none, map), 0);
}

static void test_packed(void **state) /* T8 */
{
    static const uint8_t stay[] = { 1, 0, 1, 1, 1, 1, 0 };
    static const size_t offsets[] = { 0, 4, 7 }, want_offsets[] = { 0, 3, 5 };
    static const int32_t from[] = { 0, 2, 3, 4, 5 };
    size_t to = 0;
    (void)state;
    for (size_t image = 0; image < 2; image++) {
        const size_t begin = offsets[image], rows = offsets[image + 1] - begin;
        struct vt_token_entry map[4];
        const size_t count = vt_map_of_stay(rows, stay + begin, map);
        check_map(rows, count, map);
        for (size_t i = 0; i < count; i++)
            assert_int_equal((int32_t)begin + map[i].source, from[to++]);
        assert_int_equal(to, want_offsets[image + 1]);
    }
}

static void test_fused(void **state) /* T4 */
{
    static const float scores[] = { 0.05f, 0.2f, 0.1f, 0.3f, 0.15f, 0.05f };
    static const double x[] = { 1, 2, 3, 4, 5, 6 }, y[] = { 1, 4, 9, 16, 25, 36 };
    uint8_t stay[6] = { 1, 1, 1, 1, 1, 1 };
    struct vt_token_entry map[6];
    const struct vt_candidates c = candidates(6, 0);
    (void)state;
    assert_int_equal(vt_map_of_fused(6, stay, scores, map), 6);
    assert_members("0|1|2|3|4|5", 6, 6, map);
    vt_stay_top(&c, scores, vt_keep_count(6, 0.5, true), stay);
    assert_int_equal(vt_map_of_fused(6, stay, scores, map), 4);
    assert_members("1|3|4|0 2 5", 6, 4, map);
    assert_near(applied(map, 3, x), 0.65, 1e-6);
    assert_near(applied(map, 3, y), 2.75, 1e-6);
    for (size_t i = 0; i < 3; i++)
        assert_true(map[i].weight == 1);
    memset(stay, 0, sizeof stay);
    assert_int_equal(vt_map_of_fused(6, stay, scores, map), 1);
    assert_members("0 1 2 3 4 5", 6, 1, map);
    assert_int_equal(vt_map_of_fused(0, stay, scores, map), 0);
}

static void test_random_stays(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES; k++) {
        const size_t rows = any(SMALL), chance = 1 + any(4);
        float scores[SMALL];
        uint8_t stay[SMALL];
        struct vt_token_entry map[SMALL];
        size_t want = 0;
        for (size_t i = 0; i < rows; i++) {
            stay[i] = any(chance) == 0;
            scores[i] = (float)uniform();
            want += stay[i];
        }
        size_t count = vt_map_of_stay(rows, stay, map), next = 0;
        assert_int_equal(count, want);
        check_map(rows, count, map);
        for (size_t i = 0; i < rows; i++)
            assert_int_equal(map[i].destination, stay[i] ? (int32_t)next++ : -1);
        count = vt_map_of_fused(rows, stay, scores, map);
        assert_int_equal(count, want + (want < rows));
        check_map(rows, count, map);
        for (size_t e = 0; e < rows; e++)
            assert_true(map[e].weight == (e < want ? 1 : scores[map[e].source]));
        for (size_t i = next = 0; i < rows; i++)
            assert_int_equal(map[i].destination, stay[i] ? next++ : want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_keep_count),
                                        cmocka_unit_test(test_ranks),
                                        cmocka_unit_test(test_top),
                                        cmocka_unit_test(test_even),
                                        cmocka_unit_test(test_random),
                                        cmocka_unit_test(test_sampled),
                                        cmocka_unit_test(test_sampled_by_head),
                                        cmocka_unit_test(test_sampled_large),
                                        cmocka_unit_test(test_sampled_twice),
                                        cmocka_unit_test(test_sampled_against_all_pairs),
                                        cmocka_unit_test(test_sampled_peaks),
                                        cmocka_unit_test(test_sampled_odd_scores),
                                        cmocka_unit_test(test_similar),
                                        cmocka_unit_test(test_similar_ties),
                                        cmocka_unit_test(test_below),
                                        cmocka_unit_test(test_unsure),
                                        cmocka_unit_test(test_unsure_random),
                                        cmocka_unit_test(test_stay_map),
                                        cmocka_unit_test(test_packed),
                                        cmocka_unit_test(test_fused),
                                        cmocka_unit_test(test_random_stays) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
