/* SPDX-License-Identifier: Apache-2.0 */
/* See token_keys.h. */
#include "token_keys.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void vt_fill_stay(uint8_t *stay, size_t from, size_t to, uint8_t value)
{
    for (size_t i = from; i < to; i++)
        stay[i] = value;
}

/* ---- Sorting ---- */

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

/* In digits, which no order of rows makes slow. */
void vt_sort_keys(size_t count, uint64_t *keys, uint64_t *scratch)
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

/* ---- Which rows stay ---- */

void vt_stay_least(const struct vt_candidates *c, size_t alive, size_t count, uint8_t *stay)
{
    const size_t protect = vt_protected_rows(c);
    uint64_t *keys = c->scratch;
    vt_sort_keys(alive, keys, keys + c->rows);
    vt_fill_stay(stay, 0, protect, 1);
    vt_fill_stay(stay, protect, c->rows, 0);
    for (size_t i = 0; i < least(count, alive); i++)
        stay[vt_row_of_key(keys[i])] = 1;
}

void vt_stay_unless_sure(const struct vt_candidates *c, size_t sure, const uint32_t *class_of, size_t context,
                         uint8_t *stay)
{
    uint64_t *keys = c->scratch;
    size_t before = 0; /* rows of the same class that are surer */
    vt_fill_stay(stay, 0, c->rows, 1);
    vt_sort_keys(sure, keys, keys + c->rows);
    for (size_t i = 0; i < sure; i++) /* by class, within it by confidence */
        keys[i] = vt_key_of(class_of[vt_row_of_key(keys[i])], false, vt_row_of_key(keys[i]));
    vt_sort_keys(sure, keys, keys + c->rows);
    for (size_t i = 0; i < sure; i++) {
        before = i && keys[i] >> 32 == keys[i - 1] >> 32 ? before + 1 : 0;
        stay[vt_row_of_key(keys[i])] = before < context;
    }
}

void vt_leave_least(size_t count, uint64_t *keys, uint64_t *scratch, const uint32_t *row, size_t leave, uint8_t *stay)
{
    vt_sort_keys(count, keys, scratch);
    for (size_t i = 0; i < least(leave, count); i++)
        stay[row[vt_row_of_key(keys[i])]] = 0;
}

void vt_stay_even(const struct vt_candidates *c, size_t count, uint8_t *stay)
{
    const size_t protect = vt_protected_rows(c), n = c->rows - protect, staying = least(count, n);
    vt_fill_stay(stay, 0, protect, 1);
    vt_fill_stay(stay, protect, c->rows, 0);
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
    const size_t protect = vt_protected_rows(c), n = c->rows - protect;
    uint64_t *keys = c->scratch;
    vt_fill_stay(stay, 0, protect, 1);
    vt_fill_stay(stay, protect, c->rows, 0);
    for (size_t i = 0; i < n; i++) {
        const uint64_t number = mixed(((uint64_t)seed << 32 | (uint32_t)i) + 0x9e3779b97f4a7c15u);
        keys[i] = number >> 32 << 32 | (uint32_t)i;
    }
    vt_sort_keys(n, keys, keys + n);
    for (size_t i = 0; i < least(count, n); i++)
        stay[protect + vt_row_of_key(keys[i])] = 1;
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

/* Among the entries of a destination. */
static void put(struct vt_token_entry *map, size_t row, int32_t destination)
{
    map[map[destination].end++].source = (int32_t)row;
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
            put(map, i, map[i].destination);
}

size_t vt_map_rows(size_t rows, const uint8_t *stay, struct vt_token_entry *map)
{
    size_t count = 0;
    map_clear(rows, map);
    number_rows(map, stay, 0, rows, 1, &count);
    put_numbered(rows, count, map);
    return count;
}

size_t vt_map_rest(size_t rows, size_t left, struct vt_token_entry *map)
{
    if (left == rows)
        return left;
    map[left].end = (int32_t)left; /* where its entries begin */
    for (size_t i = 0; i < rows; i++) {
        if (map[i].destination >= 0)
            continue;
        map[i].destination = (int32_t)left;
        put(map, i, (int32_t)left);
    }
    return left + 1;
}

/* The order of the rows that stay is part of the method: the next layer's A and B depend on it. */
static size_t number_matched(const struct vt_candidates *c, const uint64_t *keys, size_t merged, const uint8_t *stay,
                             bool drop, struct vt_token_entry *map)
{
    const size_t rows = c->rows, protect = vt_protected_rows(c), even = protect + protect % 2;
    size_t count = 0;
    if (!merged || drop) {
        number_rows(map, stay, 0, rows, 1, &count);
        return count;
    }
    number_rows(map, stay, 0, protect, 1, &count);
    if (protect)
        number_rows(map, stay, even, rows, 2, &count);
    else
        for (size_t i = merged; i < (rows + 1) / 2; i++)
            number_row(map, 2 * vt_row_of_key(keys[i]), &count);
    number_rows(map, stay, protect + (protect + 1) % 2, rows, 2, &count);
    return count;
}

size_t vt_map_matches(const struct vt_candidates *c, size_t can_go, const uint32_t *to, size_t count, bool drop,
                      struct vt_token_entry *map)
{
    uint64_t *keys = c->scratch;
    const size_t a_rows = (c->rows + 1) / 2;
    const size_t merged = least(least(count, (c->rows - vt_protected_rows(c)) / 2), can_go);
    vt_sort_keys(a_rows, keys, keys + a_rows);
    uint8_t *stay = (uint8_t *)(keys + a_rows); /* where keys were sorted, which is no longer needed */
    vt_fill_stay(stay, 0, c->rows, 1);
    for (size_t i = 0; i < merged; i++)
        stay[2 * vt_row_of_key(keys[i])] = 0;
    map_clear(c->rows, map);
    const size_t left = number_matched(c, keys, merged, stay, drop, map);
    for (size_t i = 0; i < merged; i++)
        map[map[to[vt_row_of_key(keys[i])]].destination].end++;
    put_numbered(c->rows, left, map);
    for (size_t i = 0; i < merged; i++) {
        const size_t a = vt_row_of_key(keys[i]);
        const int32_t destination = map[to[a]].destination;
        put(map, 2 * a, destination);
        if (!drop)
            map[2 * a].destination = destination;
    }
    return left;
}
