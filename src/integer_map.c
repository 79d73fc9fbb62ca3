/* SPDX-License-Identifier: Apache-2.0 */
/* See integer_map.h. No floating-point arithmetic here. */
#include "integer_map.h"

#include "token_keys.h"

static uint64_t key_of(int32_t x, bool descending, size_t i)
{
    return vt_key_of((uint32_t)x ^ 0x80000000u, descending, i);
}

int32_t vt_share_of(uint32_t part, uint64_t total)
{
    if (!total)
        return 0;
    return (int32_t)((((uint64_t)part << VT_SHARE_BITS) + total / 2) / total);
}

void vt_integer_rank(size_t count, const int32_t *score, uint64_t *keys, uint64_t *scratch)
{
    for (size_t i = 0; i < count; i++)
        keys[i] = key_of(score[i], false, i);
    vt_sort_keys(count, keys, scratch);
}

/* ---- Which rows stay ---- */

void vt_integer_stay_top(const struct vt_candidates *c, const int32_t *scores, size_t count, uint8_t *stay)
{
    uint64_t *keys = c->scratch;
    size_t alive = 0;
    for (size_t i = vt_protected_rows(c); i < c->rows; i++)
        if (stay[i])
            keys[alive++] = key_of(scores[i], true, i);
    vt_stay_least(c, alive, count, stay);
}

#define VT_SCORE int32_t
#define VT_SUM   uint64_t
#include "token_samples.h"

/* 0 if a score is negative. */
static uint64_t sum_of_scores(size_t count, const int32_t *scores)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (scores[i] < 0)
            return 0;
        sum += (uint64_t)scores[i];
    }
    return sum;
}

void vt_integer_stay_sampled(const struct vt_candidates *c, const int32_t *scores, size_t samples, bool in_order,
                             uint8_t *stay)
{
    const size_t protect = vt_protected_rows(c), count = c->rows - protect;
    const uint64_t sum = sum_of_scores(count, scores + protect);
    vt_fill_stay(stay, 0, c->rows, 1);
    if (count >= 2 && samples >= (in_order ? 1 : 2) && sum && sum <= UINT64_MAX / 4 / samples)
        stay_sampled(c, scores, samples, in_order, sum, stay);
}

void vt_integer_leave_similar(size_t count, const int32_t *best, const uint32_t *row, size_t leave, uint64_t *scratch,
                              uint8_t *stay)
{
    for (size_t i = 0; i < count; i++)
        scratch[i] = key_of(best[i], true, i);
    vt_leave_least(count, scratch, scratch + count, row, leave, stay);
}

void vt_integer_stay_unsure(const struct vt_candidates *c, const uint32_t *inverse, const uint32_t *class_of,
                            uint32_t limit, size_t context, uint8_t *stay)
{
    uint64_t *keys = c->scratch;
    size_t sure = 0;
    for (size_t i = vt_protected_rows(c); i < c->rows; i++)
        if (inverse[i] < limit)
            keys[sure++] = vt_key_of(inverse[i], false, i);
    vt_stay_unless_sure(c, sure, class_of, context, stay);
}

/* ---- Maps ---- */

static void weigh_alike(size_t count, int32_t whole, struct vt_token_entry *map)
{
    for (size_t e = 0; e < count; e++)
        map[e].share = whole;
}

size_t vt_integer_map_of_stay(size_t rows, const uint8_t *stay, int32_t whole, struct vt_token_entry *map)
{
    const size_t left = vt_map_rows(rows, stay, map);
    weigh_alike(left, whole, map);
    return left;
}

size_t vt_integer_map_of_fused(size_t rows, const uint8_t *stay, const int32_t *scores, int32_t whole,
                               struct vt_token_entry *map)
{
    const size_t staying = vt_integer_map_of_stay(rows, stay, whole, map), left = vt_map_rest(rows, staying, map);
    for (size_t e = staying; e < rows; e++)
        map[e].share = scores[map[e].source];
    return left;
}

/* Keys of halves of rows of A, by descending similarity to the row they can go to, and behind them those that can go
 * nowhere. Returns how many can go. */
static size_t key_matches(const struct vt_candidates *c, const int32_t *best, const uint32_t *to, uint64_t *keys)
{
    size_t can_go = 0;
    for (size_t i = 0; i < (c->rows + 1) / 2; i++) {
        const bool goes = best[i] > INT32_MIN && vt_can_match(c, i, to[i]);
        keys[i] = key_of(goes ? best[i] : INT32_MIN, true, i);
        can_go += goes;
    }
    return can_go;
}

static uint32_t size_of(const int32_t *size, int32_t row)
{
    return size ? (uint32_t)(size[row] > 0 ? size[row] : 0) : 1;
}

/* Means by size. */
static void weigh_by_size(size_t count, const int32_t *size, struct vt_token_entry *map)
{
    int32_t begin = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t end = map[i].end;
        uint64_t sum = 0;
        for (int32_t e = begin; e < end; e++)
            sum += size_of(size, map[e].source);
        for (int32_t e = begin; e < end && end - begin > 1; e++)
            map[e].share = vt_share_of(size_of(size, map[e].source), sum);
        begin = end;
    }
}

size_t vt_integer_map_of_match(const struct vt_candidates *c, const int32_t *best, const uint32_t *to, size_t count,
                               const int32_t *size, struct vt_token_entry *map)
{
    const size_t left = vt_map_matches(c, key_matches(c, best, to, c->scratch), to, count, false, map);
    weigh_alike(c->rows, (int32_t)1 << VT_SHARE_BITS, map);
    weigh_by_size(left, size, map);
    return left;
}

size_t vt_integer_map_of_dropped(const struct vt_candidates *c, const int32_t *best, const uint32_t *to, size_t count,
                                 int32_t passed, struct vt_token_entry *map)
{
    const size_t left = vt_map_matches(c, key_matches(c, best, to, c->scratch), to, count, true, map);
    for (size_t e = 0; e < c->rows; e++)
        map[e].share = map[map[e].source].destination >= 0 ? (int32_t)1 << VT_SHARE_BITS : passed;
    return left;
}
