/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates whose scratch is watched, and what every token map must be, for the tests of selections and maps. */
#ifndef VT_TESTS_TOKEN_DATA_H
#define VT_TESTS_TOKEN_DATA_H

#include "calibration_data.h"

#include "token_map.h"

#include <stdio.h>

enum { MOST = 200, SMALL = 41, CASES = 4000, CANARY = 0x5a };

static uint64_t scratch[2 * MOST + 1];

/* With scratch of just the size asked for. */
static inline struct vt_candidates candidates(size_t rows, size_t protect)
{
    assert_true(vt_select_scratch_bytes(rows) <= sizeof scratch - 1);
    memset(scratch, CANARY, sizeof scratch);
    return (struct vt_candidates){ rows, protect, scratch };
}

static inline void assert_scratch_kept(const struct vt_candidates *c)
{
    const uint8_t *end = (const uint8_t *)scratch + vt_select_scratch_bytes(c->rows);
    while (end < (const uint8_t *)(scratch + COUNT(scratch)))
        assert_int_equal(*end++, CANARY);
}

/* 0 .. count - 1 */
static inline size_t any(size_t count)
{
    return (size_t)(uniform() * (double)count);
}

static inline size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline float odd_number(void)
{
    static const float odd[] = { NAN, -NAN, INFINITY, -INFINITY, 0, -0.0f, 1e-45f, -1e-45f, 1, -1, FLT_MAX, -FLT_MAX };
    return uniform() < 0.7 ? odd[any(COUNT(odd))] : (float)normal();
}

static inline double cosine(const double *a, const double *b)
{
    return (a[0] * b[0] + a[1] * b[1]) / sqrt((a[0] * a[0] + a[1] * a[1]) * (b[0] * b[0] + b[1] * b[1]));
}

/* Entries ascend from destination to destination, each row is in one at most, both directions agree, but of rows that
 * leave, if they are in entries, and what is behind the last ones is as said. */
static inline void check_entries(size_t rows, size_t count, bool leaving, const struct vt_token_entry *map)
{
    bool seen[MOST] = { false };
    int32_t e = 0;
    assert_true(count <= rows);
    for (size_t i = 0; i < count; i++) {
        const int32_t first = e;
        assert_true(map[i].end > e && map[i].end <= (int32_t)rows);
        for (; e < map[i].end; e++) {
            assert_in_range(map[e].source, 0, rows - 1);
            assert_false(seen[map[e].source]);
            seen[map[e].source] = true;
            assert_int_equal(map[map[e].source].destination, leaving && e > first ? -1 : (int32_t)i);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        assert_true(seen[i] || map[i].destination == -1);
        assert_true(i < count || map[i].end == 0);
        assert_true(i < (size_t)e || (map[i].source == -1 && map[i].weight == 0));
    }
}

static inline void check_map(size_t rows, size_t count, const struct vt_token_entry *map)
{
    check_entries(rows, count, false, map);
}

/* Members of destinations, "0|1 3|2". */
static inline void assert_members(const char *want, size_t rows, size_t count, const struct vt_token_entry *map)
{
    char text[4 * MOST] = "";
    size_t length = 0;
    int32_t e = 0;
    check_map(rows, count, map);
    for (size_t i = 0; i < count; i++)
        for (; e < map[i].end; e++)
            length += (size_t)snprintf(text + length, sizeof text - length, "%d%s", map[e].source,
                                       e + 1 < map[i].end ? " "
                                       : i + 1 < count    ? "|"
                                                          : "");
    assert_string_equal(text, want);
}

/* Destination i of a map of x. */
static inline double applied(const struct vt_token_entry *map, size_t i, const double *x)
{
    double sum = 0;
    for (int32_t e = i ? map[i - 1].end : 0; e < map[i].end; e++)
        sum += (double)map[e].weight * x[map[e].source];
    return sum;
}

#endif
