/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token maps of ToMe's bipartite matching: worked examples (T3), the definition word for word as explicit lists on
 * random cases full of ties, and partners that are none.
 */
#include "token_data.h"

/* ---- Worked examples ---- */

/* For rows of A the greatest similarity, and to which row of B; similar[a * rows + b]. */
static void best_matches(const struct vt_candidates *c, const double *similar, float *best, uint32_t *to)
{
    for (size_t i = 0; 2 * i < c->rows; i++) {
        best[i] = -INFINITY;
        to[i] = UINT32_MAX;
        for (size_t b = 1; b < c->rows && 2 * i >= c->protect; b += 2)
            if (b >= c->protect && (float)similar[2 * i * c->rows + b] > best[i]) {
                best[i] = (float)similar[2 * i * c->rows + b];
                to[i] = (uint32_t)b;
            }
    }
}

/* Merges rows with metrics m[rows][2]; their size becomes the destinations'. */
static size_t matched(size_t rows, size_t protect, const double (*m)[2], size_t count, float *size,
                      struct vt_token_entry *map)
{
    const struct vt_candidates c = candidates(rows, protect);
    double similar[17 * 17], old[17];
    float best[9];
    uint32_t to[9];
    for (size_t i = 0; i < rows * rows; i++)
        similar[i] = cosine(m[i / rows], m[i % rows]);
    best_matches(&c, similar, best, to);
    const size_t left = vt_map_of_match(&c, best, to, count, size, map);
    assert_scratch_kept(&c);
    for (size_t i = 0; i < rows; i++)
        old[i] = size[i];
    for (size_t i = 0; i < left; i++) {
        double sum = 0;
        for (int32_t e = i ? map[i - 1].end : 0; e < map[i].end; e++)
            sum += old[map[e].source];
        size[i] = (float)sum;
    }
    return left;
}

static const double metric[7][2] = { { 1, 0 }, { 1, 0 }, { 1, 1 }, { 0, 1 }, { 0, 2 }, { -1, 1 }, { 3, 4 } };

static void test_match(void **state) /* T3 a to d */
{
    static const double x[] = { 0, 1, 2, 3, 4, 5, 6 };
    static const struct {
        size_t protect, count;
        const char *want;
        double sizes[7], x[7];
    } cases[] = {
        { 1, 2, "0|2|1|3 4 6|5", { 1, 1, 1, 3, 1 }, { 0, 2, 1, 4.333333, 5 } },
        { 1, 9, "0|1 2|3 4 6|5", { 1, 2, 3, 1 }, { 0, 1.5, 4.333333, 5 } },
        { 2, 2, "0|1|2|3 4 6|5", { 1, 1, 1, 3, 1 }, { 0, 1, 2, 4.333333, 5 } },
        { 0, 2, "6|2|1 0|3 4|5", { 1, 1, 2, 2, 1 }, { 6, 2, 0.5, 3.5, 5 } },
        { 1, 0, "0|1|2|3|4|5|6", { 1, 1, 1, 1, 1, 1, 1 }, { 0, 1, 2, 3, 4, 5, 6 } },
        { 0, 0, "0|1|2|3|4|5|6", { 1, 1, 1, 1, 1, 1, 1 }, { 0, 1, 2, 3, 4, 5, 6 } },
    };
    (void)state;
    for (size_t k = 0; k < COUNT(cases); k++) {
        float size[7] = { 1, 1, 1, 1, 1, 1, 1 };
        struct vt_token_entry map[7];
        const size_t left = matched(7, cases[k].protect, metric, cases[k].count, size, map);
        assert_members(cases[k].want, 7, left, map);
        for (size_t i = 0; i < left; i++) {
            assert_true(size[i] == cases[k].sizes[i]);
            assert_near(applied(map, i, x), cases[k].x[i], 1e-6);
        }
    }
}

static void test_match_twice(void **state) /* T3 e */
{
    static const double second[][2] = { { 1, 0 }, { 1, 1 }, { 1, 0 }, { 0, 1 }, { 1, 8 } };
    static const double x[] = { 0, 1, 2, 3, 4, 5, 6 }, sizes[] = { 1, 1, 1, 4 }, want[] = { 0, 1, 2, 4.5 };
    float size[7] = { 1, 1, 1, 1, 1, 1, 1 };
    double y[5];
    struct vt_token_entry map[7];
    (void)state;
    assert_int_equal(matched(7, 1, metric, 2, size, map), 5);
    for (size_t i = 0; i < 5; i++)
        y[i] = applied(map, i, x);
    /* local rows 0, 2, then 1 and 3 with 4 */
    assert_int_equal(matched(5, 1, second, 1, size, map), 4);
    assert_members("0|2|1|3 4", 5, 4, map);
    for (size_t i = 0; i < 4; i++) {
        assert_true(size[i] == sizes[i]);
        assert_near(applied(map, i, y), want[i], 1e-6);
    }
}

static void test_match_large(void **state) /* T3 g */
{
    static const double want[] = { 0, 2, 6, 8, 10, 8.5, 3, 5, 5.5, 9, 11, 13.5, 13.5 };
    static const double sizes[] = { 1, 1, 1, 1, 1, 2, 1, 1, 2, 1, 1, 2, 2 };
    double m[17][2], x[17];
    float size[17];
    struct vt_token_entry map[17];
    (void)state;
    for (int j = 0; j < 17; j++) {
        const double angle = (53 * j * j + 11 * j) % 360 * 3.14159265358979323846 / 180;
        m[j][0] = cos(angle);
        m[j][1] = sin(angle);
        x[j] = j;
        size[j] = 1;
    }
    assert_int_equal(matched(17, 1, (const double(*)[2])m, 4, size, map), 13);
    assert_members("0|2|6|8|10|1 16|3|5|7 4|9|11|13 14|15 12", 17, 13, map);
    for (size_t i = 0; i < 13; i++) {
        assert_true(size[i] == sizes[i]);
        assert_near(applied(map, i, x), want[i], 1e-6);
    }
}

/* ---- Word for word ---- */

/* Rows that become one. */
struct group {
    size_t count;
    int32_t members[SMALL];
};

struct edge {
    size_t a, b;
    double similarity;
};

/* One edge for each row of A that may go, to its best row of B; by descending similarity. */
static size_t slow_edges(const struct vt_candidates *c, const double *similar, struct edge *edges)
{
    size_t count = 0;
    for (size_t a = 0; a < c->rows; a += 2) {
        struct edge best = { a, 0, -INFINITY };
        for (size_t b = 1; b < c->rows; b += 2)
            if (a >= c->protect && b >= c->protect && similar[a * c->rows + b] > best.similarity)
                best = (struct edge){ a, b, similar[a * c->rows + b] };
        if (best.similarity == -INFINITY)
            continue;
        size_t place = count++;
        for (; place && edges[place - 1].similarity < best.similarity; place--)
            edges[place] = edges[place - 1];
        edges[place] = best;
    }
    return count;
}

static size_t slow_match(const struct vt_candidates *c, const double *similar, size_t count, bool drop,
                         struct group *out)
{
    struct edge edges[SMALL];
    struct group groups[SMALL];
    bool gone[SMALL] = { false }, told[SMALL] = { false };
    size_t left = 0;
    const size_t edge_count = slow_edges(c, similar, edges), most = c->rows - least(c->protect, c->rows);
    const size_t merged = least(least(count, most / 2), edge_count);
    for (size_t i = 0; i < c->rows; i++)
        groups[i] = (struct group){ 1, { (int32_t)i } };
    for (size_t i = 0; i < merged; i++) {
        struct group *to = groups + edges[i].b;
        gone[edges[i].a] = true;
        to->members[to->count++] = (int32_t)edges[i].a;
    }
    for (size_t i = 0; i < c->rows && drop; i++)
        if (!gone[i])
            out[left++] = groups[i];
    if (drop)
        return left;
    for (size_t i = 0; i < c->rows && (!merged || i < c->protect); i++) {
        told[i] = true;
        out[left++] = groups[i];
    }
    for (size_t i = merged; i < edge_count && merged && !c->protect; i++) {
        told[edges[i].a] = true;
        out[left++] = groups[edges[i].a];
    }
    for (size_t odd = 0; odd < 2; odd++)
        for (size_t i = odd; i < c->rows; i += 2)
            if (!told[i] && !gone[i])
                out[left++] = groups[i];
    return left;
}

static void assert_members_are(size_t count, const struct group *want, const struct vt_token_entry *map)
{
    for (size_t i = 0; i < count; i++) {
        const int32_t begin = i ? map[i - 1].end : 0;
        assert_int_equal(map[i].end - begin, want[i].count);
        for (size_t k = 0; k < want[i].count; k++)
            assert_int_equal(map[begin + (int32_t)k].source, want[i].members[k]);
    }
}

/* Weights of more than one entry are shares of the size. */
static void assert_shares(size_t count, const struct vt_token_entry *map, const float *size)
{
    for (size_t i = 0; i < count; i++) {
        const int32_t begin = i ? map[i - 1].end : 0;
        double sizes = 0, weights = 0;
        for (int32_t e = begin; e < map[i].end; e++)
            sizes += size[map[e].source];
        for (int32_t e = begin; e < map[i].end; e++) {
            assert_near(map[e].weight, size[map[e].source] / sizes, 1e-7);
            weights += map[e].weight;
        }
        assert_near(weights, 1, 1e-6);
        assert_true(map[i].end > begin + 1 || map[begin].weight == 1);
    }
}

/* What stays is whole, of what leaves a part is passed on. */
static void assert_passed(size_t count, const struct vt_token_entry *map, float passed)
{
    for (size_t i = 0; i < count; i++)
        for (int32_t begin = i ? map[i - 1].end : 0, e = begin; e < map[i].end; e++)
            assert_true(map[e].weight == (e > begin ? passed : 1));
}

static void test_match_against_lists(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES; k++) {
        const struct vt_candidates c = candidates(any(SMALL), any(6));
        const size_t count = any(8) ? any(SMALL / 2) : SIZE_MAX;
        const float passed = k % 9 ? 0.4f : 0;
        static double similar[SMALL * SMALL];
        float best[SMALL], size[SMALL];
        uint32_t to[SMALL];
        struct group want[SMALL];
        struct vt_token_entry map[SMALL];
        for (size_t i = 0; i < c.rows * c.rows; i++) {
            similar[i] = k % 2 ? (double)any(4) : (float)(2 * uniform() - 1);
            if (k % 7 == 0 && any(3) == 0)
                similar[i] = any(2) ? NAN : -INFINITY;
        }
        for (size_t i = 0; i < c.rows; i++)
            size[i] = k % 5 ? (float)(1 + any(5)) : 1;
        best_matches(&c, similar, best, to);
        const size_t left = vt_map_of_match(&c, best, to, count, k % 5 ? size : NULL, map);
        check_map(c.rows, left, map);
        assert_int_equal(left, slow_match(&c, similar, count, false, want));
        assert_members_are(left, want, map);
        assert_shares(left, map, size);
        assert_int_equal(vt_map_of_dropped(&c, best, to, count, passed, map), left);
        check_entries(c.rows, left, true, map);
        assert_int_equal(left, slow_match(&c, similar, count, true, want));
        assert_members_are(left, want, map);
        assert_passed(left, map, passed);
        assert_scratch_kept(&c);
    }
}

/* Whatever best, to and size say, the map is one; protected rows stay where they are, and all rows are in it. */
static void test_match_odd_partners(void **state)
{
    size_t merged = 0;
    (void)state;
    for (size_t k = 0; k < CASES; k++) {
        const struct vt_candidates c = candidates(any(SMALL), any(6));
        float best[SMALL], size[SMALL];
        uint32_t to[SMALL];
        struct vt_token_entry map[SMALL];
        for (size_t i = 0; i < c.rows; i++) {
            best[i] = odd_number();
            size[i] = odd_number();
            to[i] = any(2) ? (uint32_t)any(c.rows + 3) : UINT32_MAX - (uint32_t)any(3);
        }
        const size_t count = any(SMALL), dropped = vt_map_of_dropped(&c, best, to, count, 0.5f, map);
        check_entries(c.rows, dropped, true, map);
        assert_passed(dropped, map, 0.5f);
        const size_t left = vt_map_of_match(&c, best, to, count, any(3) ? size : NULL, map);
        assert_int_equal(left, dropped);
        check_map(c.rows, left, map);
        assert_scratch_kept(&c);
        for (size_t i = 0; i < left; i++) {
            const int32_t begin = i ? map[i - 1].end : 0;
            assert_true(map[i].end > begin + 1 || map[begin].weight == 1);
        }
        for (size_t i = 0; i < c.rows; i++) {
            assert_true(map[i].source >= 0);
            assert_true(i >= c.protect || (map[i].source == (int32_t)i && map[i].end == (int32_t)i + 1));
        }
        merged += c.rows - left;
    }
    assert_true(merged > CASES / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_match), cmocka_unit_test(test_match_twice),
                                        cmocka_unit_test(test_match_large), cmocka_unit_test(test_match_against_lists),
                                        cmocka_unit_test(test_match_odd_partners) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
