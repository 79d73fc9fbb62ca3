/* SPDX-License-Identifier: Apache-2.0 */
/* See token_map.h: its rules on floats; what they share with those on integers is in token_keys.c. */
#include "token_map.h"

#include "token_keys.h"

#include <float.h>
#include <math.h>
#include <string.h>

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
    return vt_key_of(ordered_bits(x), descending, i);
}

void vt_rank_scores(size_t count, const float *score, size_t ld, bool descending, uint64_t *keys, uint64_t *scratch)
{
    for (size_t i = 0; i < count; i++)
        keys[i] = key_of(score[i * ld], descending, i);
    vt_sort_keys(count, keys, scratch);
}

/* ---- Which rows stay ---- */

void vt_stay_top(const struct vt_candidates *c, const float *scores, size_t count, uint8_t *stay)
{
    uint64_t *keys = c->scratch;
    size_t alive = 0;
    for (size_t i = vt_protected_rows(c); i < c->rows; i++)
        if (stay[i])
            keys[alive++] = key_of(scores[i], true, i);
    vt_stay_least(c, alive, count, stay);
}

#define VT_SCORE float
#define VT_SUM   double
#include "token_samples.h"

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
    const size_t protect = vt_protected_rows(c), count = c->rows - protect;
    const double sum = sum_of_scores(count, scores + protect);
    vt_fill_stay(stay, 0, c->rows, 1);
    if (count >= 2 && samples >= (in_order ? 1 : 2) && sum > 0 && sum <= DBL_MAX)
        stay_sampled(c, scores, samples, in_order, sum, stay);
}

void vt_leave_similar(size_t count, const float *best, const uint32_t *row, size_t leave, uint64_t *scratch,
                      uint8_t *stay)
{
    for (size_t i = 0; i < count; i++)
        scratch[i] = key_of(best[i], true, i);
    vt_leave_least(count, scratch, scratch + count, row, leave, stay);
}

void vt_stay_unsure(const struct vt_candidates *c, const float *confidence, const uint32_t *class_of, float p0,
                    size_t context, uint8_t *stay)
{
    uint64_t *keys = c->scratch;
    size_t sure = 0;
    for (size_t i = vt_protected_rows(c); i < c->rows; i++)
        if (confidence[i] > p0)
            keys[sure++] = key_of(confidence[i], true, i);
    vt_stay_unless_sure(c, sure, class_of, context, stay);
}

void vt_stay_below(const struct vt_candidates *c, const float *scores, float threshold, bool with_first, uint8_t *stay)
{
    const size_t protect = vt_protected_rows(c);
    vt_fill_stay(stay, 0, protect, 1);
    for (size_t i = protect; i < c->rows; i++)
        stay[i] = scores[i] < threshold;
    if (with_first && protect < c->rows && !stay[protect])
        vt_fill_stay(stay, protect, c->rows, 0);
}

/* ---- Maps ---- */

static void weigh_alike(size_t count, struct vt_token_entry *map)
{
    for (size_t e = 0; e < count; e++)
        map[e].weight = 1;
}

size_t vt_map_of_stay(size_t rows, const uint8_t *stay, struct vt_token_entry *map)
{
    const size_t left = vt_map_rows(rows, stay, map);
    weigh_alike(left, map);
    return left;
}

size_t vt_map_of_fused(size_t rows, const uint8_t *stay, const float *scores, struct vt_token_entry *map)
{
    const size_t staying = vt_map_of_stay(rows, stay, map), left = vt_map_rest(rows, staying, map);
    for (size_t e = staying; e < rows; e++)
        map[e].weight = scores[map[e].source];
    return left;
}

/* Keys of halves of rows of A, by descending similarity to the row they can go to, and behind them those that can go
 * nowhere. Returns how many can go. */
static size_t key_matches(const struct vt_candidates *c, const float *best, const uint32_t *to, uint64_t *keys)
{
    size_t can_go = 0;
    for (size_t i = 0; i < (c->rows + 1) / 2; i++) {
        const bool goes = best[i] > -INFINITY && vt_can_match(c, i, to[i]);
        keys[i] = key_of(goes ? best[i] : NAN, true, i);
        can_go += goes;
    }
    return can_go;
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

size_t vt_map_of_match(const struct vt_candidates *c, const float *best, const uint32_t *to, size_t count,
                       const float *size, struct vt_token_entry *map)
{
    const size_t left = vt_map_matches(c, key_matches(c, best, to, c->scratch), to, count, false, map);
    weigh_alike(c->rows, map);
    weigh_by_size(left, size, map);
    return left;
}

size_t vt_map_of_dropped(const struct vt_candidates *c, const float *best, const uint32_t *to, size_t count,
                         float passed, struct vt_token_entry *map)
{
    const size_t left = vt_map_matches(c, key_matches(c, best, to, c->scratch), to, count, true, map);
    for (size_t e = 0; e < c->rows; e++)
        map[e].weight = map[map[e].source].destination >= 0 ? 1 : passed;
    return left;
}
