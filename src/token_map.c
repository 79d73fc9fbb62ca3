/* SPDX-License-Identifier: Apache-2.0 */
/* See token_map.h. */
#include "token_map.h"

#include <float.h>
#include <math.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t protected_of(const struct vt_candidates *c)
{
    return least(c->protect, c->rows);
}

static void fill(uint8_t *stay, size_t from, size_t to, uint8_t value)
{
    for (size_t i = from; i < to; i++)
        stay[i] = value;
}

size_t vt_select_scratch_bytes(size_t rows)
{
    return 2 * rows * sizeof(uint64_t); /* keys, and where they are sorted to */
}

size_t vt_keep_count(size_t count, double keep, bool up)
{
    const double share = (double)count * keep;
    if (!(share > 0))
        return 0;
    return share < (double)count ? (size_t)(up ? ceil(share) : share) : count;
}

/* ---- Keys: what rows are sorted by in the high half, which row in the low half ---- */

/* In the order of the numbers, a NaN before all of them; -0 is 0. */
static uint32_t ordered_bits(float x)
{
    const uint32_t sign = 0x80000000u;
    uint32_t bits;
    if (isnan(x))
        return 0;
    x += 0.0f;
    memcpy(&bits, &x, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

static uint64_t key_of(float x, bool descending, size_t i)
{
    const uint32_t bits = ordered_bits(x);
    return (uint64_t)(descending ? ~bits : bits) << 32 | (uint32_t)i;
}

static size_t row_of(uint64_t key)
{
    return (uint32_t)key;
}

enum { DIGITS = 4, DIGIT_BITS = 8, DIGIT_VALUES = 1 << DIGIT_BITS };

/* Of the high half, least significant first. */
static size_t digit_of(uint64_t key, int digit)
{
    return key >> (32 + DIGIT_BITS * digit) & (DIGIT_VALUES - 1);
}

static void move_by_digit(size_t count, const uint64_t *from, uint64_t *to, int digit, const uint32_t *counts)
{
    uint32_t next[DIGIT_VALUES], sum = 0;
    for (size_t i = 0; i < DIGIT_VALUES; i++) {
        next[i] = sum;
        sum += counts[i];
    }
    for (size_t i = 0; i < count; i++)
        to[next[digit_of(from[i], digit)]++] = from[i];
}

/* By high halves alone, ascending; what is equal stays in its order. In digits, which no order of rows makes slow. */
static void sort_keys(size_t count, uint64_t *keys, uint64_t *scratch)
{
    uint32_t counts[DIGITS][DIGIT_VALUES] = { { 0 } };
    uint64_t *from = keys, *to = scratch;
    for (size_t i = 0; i < count; i++)
        for (int d = 0; d < DIGITS; d++)
            counts[d][digit_of(keys[i], d)]++;
    for (int d = 0; d < DIGITS && count > 1; d++) {
        if (counts[d][digit_of(from[0], d)] == count)
            continue;
        move_by_digit(count, from, to, d, counts[d]);
        uint64_t *const sorted = to;
        to = from;
        from = sorted;
    }
    for (size_t i = 0; i < count && from != keys; i++)
        keys[i] = from[i];
}

void vt_rank_scores(size_t count, const float *score, size_t ld, bool descending, uint64_t *keys, uint64_t *scratch)
{
    for (size_t i = 0; i < count; i++)
        keys[i] = key_of(score[i * ld], descending, i);
    sort_keys(count, keys, scratch);
}

/* ---- Which rows stay ---- */

void vt_stay_top(const struct vt_candidates *c, const float *scores, size_t count, uint8_t *stay)
{
    const size_t protect = protected_of(c);
    uint64_t *keys = c->scratch;
    size_t alive = 0;
    fill(stay, 0, protect, 1);
    for (size_t i = protect; i < c->rows; i++)
        if (stay[i])
            keys[alive++] = key_of(scores[i], true, i);
    sort_keys(alive, keys, keys + c->rows);
    fill(stay, protect, c->rows, 0);
    for (size_t i = 0; i < least(count, alive); i++)
        stay[row_of(keys[i])] = 1;
}

/* Candidates in the order in which their scores are cumulated, and the points: y[i] = (start + i * step) / 2. All are
 * in the unit of scores, points times `parts` in it: without divisions, what is equally near is seen as such. */
struct samples {
    const float *scores;
    const uint64_t *order;
    size_t count, points;
    double first, start, step, parts; /* first: what the first candidate's score counts as */
};

/* Each point picks the nearest of the cumulated scores. Both ascend: one walk. It must not stop where several are equal
 * or nearly so (scores of 0, or far below the others); of equal ones the first is picked. */
static void pick_samples(const struct samples *s, uint8_t *stay)
{
    size_t next = 1, pick = 0;
    double at = s->first, ahead = at + s->scores[row_of(s->order[1])];
    for (size_t i = 0; i < s->points && next < s->count; i++) {
        while (next < s->count && s->start + (double)i * s->step > s->parts * (at + ahead)) {
            if (ahead > at)
                pick = next;
            at = ahead;
            if (++next < s->count)
                ahead += s->scores[row_of(s->order[next])];
        }
        stay[row_of(s->order[pick])] = 1;
    }
}

/* From the least positive cumulated score, where the least score counts as 0, to the greatest one. */
static void sample_ascending(struct samples *s, uint8_t *stay)
{
    double low = 0, high = 0;
    for (size_t i = 1; i < s->count; i++) {
        high += s->scores[row_of(s->order[i])];
        low = low > 0 ? low : high;
    }
    s->parts = (double)(s->points - 1);
    s->start = 2 * s->parts * low;
    s->step = 2 * (high - low);
    pick_samples(s, stay);
}

static void sample_in_order(struct samples *s, double sum, uint8_t *stay)
{
    s->first = s->scores[row_of(s->order[0])];
    s->parts = (double)s->points;
    s->start = sum;
    s->step = 2 * sum;
    pick_samples(s, stay);
}

/* A NaN if a score is one or negative. */
static double sum_of_scores(size_t count, const float *scores)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += scores[i] >= 0 ? scores[i] : NAN;
    return sum;
}

void vt_stay_sampled(const struct vt_candidates *c, const float *scores, size_t samples, bool in_order, uint8_t *stay)
{
    const size_t protect = protected_of(c), count = c->rows - protect;
    const double sum = sum_of_scores(count, scores + protect);
    uint64_t *order = c->scratch;
    fill(stay, 0, c->rows, 1);
    if (count < 2 || samples < (in_order ? 1 : 2) || !(sum > 0 && sum <= DBL_MAX))
        return;
    fill(stay, protect, c->rows, 0);
    for (size_t i = protect; i < c->rows; i++)
        order[i - protect] = key_of(scores[i], false, i);
    struct samples s = { .scores = scores, .order = order, .count = count, .points = samples };
    if (in_order) {
        sample_in_order(&s, sum, stay);
    } else {
        sort_keys(count, order, order + count);
        sample_ascending(&s, stay);
    }
}

void vt_leave_similar(size_t count, const float *best, const uint32_t *row, size_t leave, uint64_t *scratch,
                      uint8_t *stay)
{
    vt_rank_scores(count, best, 1, true, scratch, scratch + count);
    for (size_t i = 0; i < least(leave, count); i++)
        stay[row[row_of(scratch[i])]] = 0;
}

void vt_stay_unsure(const struct vt_candidates *c, const float *confidence, const uint32_t *class_of, float p0,
                    size_t context, uint8_t *stay)
{
    uint64_t *keys = c->scratch;
    size_t sure = 0, before = 0; /* before: rows of the same class that are surer */
    fill(stay, 0, c->rows, 1);
    for (size_t i = protected_of(c); i < c->rows; i++)
        if (confidence[i] > p0)
            keys[sure++] = key_of(confidence[i], true, i);
    sort_keys(sure, keys, keys + c->rows);
    for (size_t i = 0; i < sure; i++) /* by class, within it by confidence */
        keys[i] = (uint64_t)class_of[row_of(keys[i])] << 32 | row_of(keys[i]);
    sort_keys(sure, keys, keys + c->rows);
    for (size_t i = 0; i < sure; i++) {
        before = i && keys[i] >> 32 == keys[i - 1] >> 32 ? before + 1 : 0;
        stay[row_of(keys[i])] = before < context;
    }
}

void vt_stay_below(const struct vt_candidates *c, const float *scores, float threshold, bool with_first, uint8_t *stay)
{
    const size_t protect = protected_of(c);
    fill(stay, 0, protect, 1);
    for (size_t i = protect; i < c->rows; i++)
        stay[i] = scores[i] < threshold;
    if (with_first && protect < c->rows && !stay[protect])
        fill(stay, protect, c->rows, 0);
}

void vt_stay_even(const struct vt_candidates *c, size_t count, uint8_t *stay)
{
    const size_t protect = protected_of(c), n = c->rows - protect, staying = least(count, n);
    fill(stay, 0, protect, 1);
    fill(stay, protect, c->rows, 0);
    for (size_t i = 0; i < staying; i++)
        stay[protect + (size_t)((2 * (uint64_t)i + 1) * n / (2 * (uint64_t)staying))] = 1;
}

/* The last step of splitmix64 (Steele et al. 2014): each bit of x changes about half of the result's. */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void vt_stay_random(const struct vt_candidates *c, size_t count, uint32_t seed, uint8_t *stay)
{
    const size_t protect = protected_of(c), n = c->rows - protect;
    uint64_t *keys = c->scratch;
    fill(stay, 0, protect, 1);
    fill(stay, protect, c->rows, 0);
    for (size_t i = 0; i < n; i++) {
        const uint64_t number = mixed(((uint64_t)seed << 32 | (uint32_t)i) + 0x9e3779b97f4a7c15u);
        keys[i] = number >> 32 << 32 | (uint32_t)i;
    }
    sort_keys(n, keys, keys + n);
    for (size_t i = 0; i < least(count, n); i++)
        stay[protect + row_of(keys[i])] = 1;
}

/* ---- Maps: destinations are numbered and their entries counted (in `end`), then entries are put ---- */

static void map_clear(size_t rows, struct vt_token_entry *map)
{
    for (size_t i = 0; i < rows; i++)
        map[i] = (struct vt_token_entry){ .source = -1, .destination = -1 };
}

/* The next destination is this row's. */
static void number_row(struct vt_token_entry *map, size_t row, size_t *count)
{
    map[row].destination = (int32_t)*count;
    map[(*count)++].end = 1;
}

/* Those of rows from, from + step, ... before `to` that stay. */
static void number_rows(struct vt_token_entry *map, const uint8_t *stay, size_t from, size_t to, size_t step,
                        size_t *count)
{
    for (size_t i = from; i < to; i += step)
        if (stay[i])
            number_row(map, i, count);
}

static void put(struct vt_token_entry *map, size_t row, float weight)
{
    struct vt_token_entry *entry = map + map[map[row].destination].end++;
    entry->source = (int32_t)row;
    entry->weight = weight;
}

/* From counts of entries to where they begin, which is where they end once all are put; puts the numbered rows, which
 * are the first of their destinations. */
static void put_numbered(size_t rows, size_t count, struct vt_token_entry *map)
{
    int32_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t entries = map[i].end;
        map[i].end = begin;
        begin += entries;
    }
    for (size_t i = 0; i < rows; i++)
        if (map[i].destination >= 0)
            put(map, i, 1);
}

size_t vt_map_of_stay(size_t rows, const uint8_t *stay, struct vt_token_entry *map)
{
    size_t count = 0;
    map_clear(rows, map);
    number_rows(map, stay, 0, rows, 1, &count);
    put_numbered(rows, count, map);
    return count;
}

size_t vt_map_of_fused(size_t rows, const uint8_t *stay, const float *scores, struct vt_token_entry *map)
{
    size_t count = 0;
    map_clear(rows, map);
    number_rows(map, stay, 0, rows, 1, &count);
    const size_t left = count + (count < rows);
    put_numbered(rows, left, map); /* entries of the last destination need no counting: none are behind them */
    for (size_t i = 0; i < rows; i++) {
        if (map[i].destination >= 0)
            continue;
        map[i].destination = (int32_t)count;
        put(map, i, scores[i]);
    }
    return left;
}

/* Rows of A by descending similarity to the row they can go to, and behind them those that can go nowhere: keys of
 * halves of rows. Returns how many can go. */
static size_t rank_matches(const struct vt_candidates *c, const float *best, const uint32_t *to, uint64_t *keys)
{
    const size_t a_rows = (c->rows + 1) / 2;
    size_t can_go = 0;
    for (size_t i = 0; i < a_rows; i++) {
        const bool goes =
            2 * i >= c->protect && best[i] > -INFINITY && to[i] < c->rows && to[i] >= c->protect && to[i] % 2 == 1;
        keys[i] = key_of(goes ? best[i] : NAN, true, i);
        can_go += goes;
    }
    sort_keys(a_rows, keys, keys + a_rows);
    return can_go;
}

/* The order of the rows that stay is part of the method: the next layer's A and B depend on it. */
static size_t number_matched(const struct vt_candidates *c, const uint64_t *keys, size_t merged, const uint8_t *stay,
                             struct vt_token_entry *map)
{
    const size_t rows = c->rows, protect = protected_of(c), even = protect + protect % 2;
    size_t count = 0;
    if (!merged) {
        number_rows(map, stay, 0, rows, 1, &count);
        return count;
    }
    number_rows(map, stay, 0, protect, 1, &count);
    if (protect)
        number_rows(map, stay, even, rows, 2, &count);
    else
        for (size_t i = merged; i < (rows + 1) / 2; i++)
            number_row(map, 2 * row_of(keys[i]), &count);
    number_rows(map, stay, protect + (protect + 1) % 2, rows, 2, &count);
    return count;
}

static float size_of(const float *size, int32_t row)
{
    return size ? size[row] : 1;
}

/* Means by size, where there is more than one entry. */
static void weigh_by_size(size_t count, const float *size, struct vt_token_entry *map)
{
    int32_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t end = map[i].end;
        double sum = 0;
        for (int32_t e = begin; e < end; e++)
            sum += size_of(size, map[e].source);
        for (int32_t e = begin; e < end && end - begin > 1; e++)
            map[e].weight = (float)(size_of(size, map[e].source) / sum);
        begin = end;
    }
}

size_t vt_map_of_match(const struct vt_candidates *c, const float *best, const uint32_t *to, size_t count, bool drop,
                       const float *size, struct vt_token_entry *map)
{
    uint64_t *keys = c->scratch;
    const size_t can_go = rank_matches(c, best, to, keys);
    const size_t merged = least(least(count, (c->rows - protected_of(c)) / 2), can_go);
    uint8_t *stay = (uint8_t *)(keys + (c->rows + 1) / 2); /* where keys were sorted, which is no longer needed */
    fill(stay, 0, c->rows, 1);
    for (size_t i = 0; i < merged; i++)
        stay[2 * row_of(keys[i])] = 0;
    if (drop)
        return vt_map_of_stay(c->rows, stay, map);
    map_clear(c->rows, map);
    const size_t left = number_matched(c, keys, merged, stay, map);
    for (size_t i = 0; i < merged; i++)
        map[map[to[row_of(keys[i])]].destination].end++;
    put_numbered(c->rows, left, map);
    for (size_t i = 0; i < merged; i++) {
        const size_t a = row_of(keys[i]);
        map[2 * a].destination = map[to[a]].destination;
        put(map, 2 * a, 1);
    }
    weigh_by_size(left, size, map);
    return left;
}
