/* SPDX-License-Identifier: Apache-2.0 */
/* Adaptive token sampling (see token_map.h), once for floats and once for integers: VT_SCORE is the type of scores, VT_SUM
 * that of their sums, in which points * (sum of scores) * 4 is a number. Included by token_map.c and integer_map.c alone,
 * behind their key_of. */

/* Candidates in the order in which their scores are cumulated, and the points: y[i] = (start + i * step) / 2. All are
 * in the unit of scores, points times `parts` in it: without divisions, what is equally near is seen as such. */
struct samples {
    const VT_SCORE *scores;
    const uint64_t *order;
    size_t count, points;
    VT_SUM first, start, step, parts; /* first: what the first candidate's score counts as */
};

static VT_SUM score_at(const struct samples *s, size_t i)
{
    return (VT_SUM)s->scores[vt_row_of_key(s->order[i])];
}

/* Each point picks the nearest of the cumulated scores. Both ascend: one walk. It must not stop where several are equal
 * or nearly so (scores of 0, or far below the others); of equal ones the first is picked. */
static void pick_samples(const struct samples *s, uint8_t *stay)
{
    size_t next = 1, pick = 0;
    VT_SUM at = s->first, ahead = at + score_at(s, 1);
    for (size_t i = 0; i < s->points && next < s->count; i++) {
        while (next < s->count && s->start + (VT_SUM)i * s->step > s->parts * (at + ahead)) {
            if (ahead > at)
                pick = next;
            at = ahead;
            if (++next < s->count)
                ahead += score_at(s, next);
        }
        stay[vt_row_of_key(s->order[pick])] = 1;
    }
}

/* From the least positive cumulated score, where the least score counts as 0, to the greatest one. */
static void sample_ascending(struct samples *s, uint8_t *stay)
{
    VT_SUM low = 0, high = 0;
    for (size_t i = 1; i < s->count; i++) {
        high += score_at(s, i);
        low = low > 0 ? low : high;
    }
    s->parts = (VT_SUM)(s->points - 1);
    s->start = 2 * s->parts * low;
    s->step = 2 * (high - low);
    pick_samples(s, stay);
}

static void sample_in_order(struct samples *s, VT_SUM sum, uint8_t *stay)
{
    s->first = score_at(s, 0);
    s->parts = (VT_SUM)s->points;
    s->start = sum;
    s->step = 2 * sum;
    pick_samples(s, stay);
}

/* Of two candidates or more, whose scores have the sum `sum` > 0. */
static void stay_sampled(const struct vt_candidates *c, const VT_SCORE *scores, size_t points, bool in_order, VT_SUM sum,
                         uint8_t *stay)
{
    const size_t protect = vt_protected_rows(c), count = c->rows - protect;
    uint64_t *order = c->scratch;
    struct samples s = { .scores = scores, .order = order, .count = count, .points = points };
    vt_fill_stay(stay, protect, c->rows, 0);
    for (size_t i = protect; i < c->rows; i++)
        order[i - protect] = key_of(scores[i], false, i);
    if (in_order) {
        sample_in_order(&s, sum, stay);
    } else {
        vt_sort_keys(count, order, order + count);
        sample_ascending(&s, stay);
    }
}
