/* SPDX-License-Identifier: Apache-2.0 */
/* Token reduction in integer-only inference: scores, token maps and their application to words and to numbers of 32
 * bits. The rules are in integer_score.h and integer_map.h; op_select.c says the same of floats. */
#include "integer_map.h"
#include "step_integers.h"

#include <string.h>

static struct vt_head_integers integers_of(const struct vt_step_job *j, uint32_t input, size_t image)
{
    const struct vt_image_rows r = vt_exec_image_rows(j->x, j->s->node->in[input], image);
    return (struct vt_head_integers){ (const int32_t *)(const void *)r.at, r.ld, r.rows,
                                      j->s->node->in[input].columns };
}

/* ---- Scores ---- */

static void votes(const struct vt_step_job *j, size_t image, int32_t *score)
{
    const struct vt_head_integers sums = integers_of(j, 0, image);
    const struct vt_head_integers first =
        j->s->node->in_count > 1 ? integers_of(j, 1, image) : (struct vt_head_integers){ .at = NULL };
    vt_integer_score_votes(&sums, &first, j->w->integers->score_bits, &j->w->integers->votes, j->scratch, score);
}

static void values(const struct vt_step_job *j, size_t image, int32_t *score)
{
    const struct vt_head_integers p = integers_of(j, 0, image);
    const struct vt_image_rows v = vt_exec_image_rows(j->x, j->s->node->in[1], image);
    vt_integer_score_values(&p, (const int16_t *)(const void *)v.at, v.ld, j->s->node->in[1].columns,
                            j->s->node->u.token_score.kind == VT_TOKEN_HEAD_VALUES, score);
}

static void score_image(const struct vt_step_job *j, size_t image)
{
    const struct vt_image_rows out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
    const struct vt_head_integers in = integers_of(j, 0, image);
    int32_t *score = (int32_t *)(void *)out.at;
    switch (j->s->node->u.token_score.kind) {
    case VT_TOKEN_MEAN: vt_integer_score_mean(&in, score); break;
    case VT_TOKEN_VALUES:
    case VT_TOKEN_HEAD_VALUES: values(j, image, score); break;
    case VT_TOKEN_VOTES: votes(j, image, score); break;
    case VT_TOKEN_ONES:
        for (size_t i = 0; i < out.rows; i++)
            score[i] = (int32_t)1 << VT_SIZE_BITS;
        break;
    case VT_TOKEN_LOGARITHM:
        for (size_t i = 0; i < out.rows; i++)
            score[i] = vt_integer_logarithm(in.at[i * in.ld], j->w->integers->score_bits);
        break;
    case VT_TOKEN_NUMBER:
        for (size_t i = 0; i < out.rows; i++)
            score[i] = (int32_t)(i + 1);
        break;
    default: break; /* refused */
    }
}

static void score_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    for (size_t image = begin; image < end; image++)
        if (vt_exec_image_rows(j->x, vt_view_of(j->s->out), image).rows)
            score_image(j, image);
}

static size_t score_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_view in = s->node->in[0];
    return s->node->u.token_score.kind == VT_TOKEN_VOTES ? vt_vote_scratch_bytes(p->values[in.value].rows, in.columns)
                                                         : 0;
}

/* ---- Similarity ---- */

/* Where things stand in the scratch of a worker. n: rows of an image, dim: columns of a feature. */
struct places {
    uint8_t *stay;          /* [n] */
    uint32_t *row;          /* [n]: rows in the order in which they are compared */
    uint64_t *keys;         /* [2 n], of ranking */
    void *rules;            /* vt_select_scratch_bytes */
    uint32_t *inverse;      /* [n]: of the probability of each row's greatest class, */
    uint32_t *class_of;     /* [n]: and which that is */
    int32_t *best;          /* [n]: of each row that may go, the greatest similarity, */
    uint32_t *to;           /* [n]: and the row it is to */
    int16_t *from, *others; /* [n, dim] each: directions of rows that may go and of those that they are compared with */
    int32_t *sums;          /* [dim] */
};

static size_t feature_columns(const struct vt_node *node)
{
    return vt_compares_features(node) ? vt_feature_columns(node) : 0;
}

static size_t carve(const struct vt_plan *p, const struct vt_node *node, char *base, struct places *at)
{
    const size_t n = p->values[node->in[0].value].rows, dim = feature_columns(node);
    size_t used = 0;
    at->stay = vt_take(base, &used, n, sizeof *at->stay);
    at->row = vt_take(base, &used, n, sizeof *at->row);
    at->keys = vt_take(base, &used, 2 * n, sizeof *at->keys);
    at->rules = vt_take(base, &used, vt_select_scratch_bytes(n), 1);
    if (node->u.select.by == VT_SELECT_UNSURE) {
        at->inverse = vt_take(base, &used, n, sizeof *at->inverse);
        at->class_of = vt_take(base, &used, n, sizeof *at->class_of);
    }
    if (!vt_compares_features(node))
        return used;
    at->best = vt_take(base, &used, n, sizeof *at->best);
    at->to = vt_take(base, &used, n, sizeof *at->to);
    at->from = vt_take(base, &used, n, dim * sizeof *at->from);
    at->others = vt_take(base, &used, n, dim * sizeof *at->others);
    at->sums = vt_take(base, &used, dim, sizeof *at->sums);
    return used;
}

/* y[count, dim]: the directions of `count` rows, whose numbers are in row. */
static void gather_directions(const struct vt_step_job *j, const struct places *at, uint32_t input, size_t image,
                              const uint32_t *row, size_t count, int16_t *y)
{
    const struct vt_image_rows features = vt_exec_image_rows(j->x, j->s->node->in[input], image);
    const size_t dim = feature_columns(j->s->node);
    for (size_t i = 0; i < count; i++)
        vt_integer_direction(dim, j->s->node->u.select.groups,
                             (const int16_t *)(const void *)features.at + row[i] * features.ld, at->sums, y + i * dim);
}

/* best[i], to[i] of `count` rows in `from`: the greatest similarity to one of the `others` > 0, and which of these it is
 * to, the first of equal ones. */
static void find_most_similar(const struct vt_step_job *j, const struct places *at, size_t count, size_t others,
                              int32_t *best, uint32_t *to)
{
    const size_t dim = feature_columns(j->s->node);
    for (size_t i = 0; i < count; i++) {
        best[i] = INT32_MIN;
        for (size_t k = 0; k < others; k++) {
            const int32_t similar = vt_integer_cosine(dim, at->from + i * dim, at->others + k * dim);
            if (similar > best[i]) {
                best[i] = similar;
                to[i] = (uint32_t)k;
            }
        }
    }
}

/* ---- Selections ---- */

/* Zero-TPrune's S-stage: the less important half of the candidates, each against all of the other half. */
static void leave_similar(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                          size_t image)
{
    const int32_t *scores = integers_of(j, j->s->node->in_count > 2 ? 2 : 0, image).at;
    const size_t candidates = c->rows - c->protect, half = candidates / 2;
    if (!half)
        return;
    vt_integer_rank(candidates, scores + c->protect, at->keys, at->keys + candidates);
    for (size_t i = 0; i < candidates; i++)
        at->row[i] = (uint32_t)(at->keys[i] & UINT32_MAX) + (uint32_t)c->protect;
    gather_directions(j, at, 1, image, at->row, half, at->from);
    gather_directions(j, at, 1, image, at->row + half, candidates - half, at->others);
    find_most_similar(j, at, half, candidates - half, at->best, at->to);
    vt_integer_leave_similar(half, at->best, at->row, j->s->node->u.select.similar, at->keys, at->stay);
}

static size_t select_top(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                         size_t count, size_t image, struct vt_token_entry *map)
{
    const struct vt_node *node = j->s->node;
    const int32_t *scores = integers_of(j, 0, image).at;
    const int32_t whole = (int32_t)1 << j->w->integers->share_bits;
    memset(at->stay, 1, c->rows);
    if (node->u.select.similar)
        leave_similar(j, at, c, image);
    vt_integer_stay_top(c, scores, count, at->stay);
    return node->u.select.fuse ? vt_integer_map_of_fused(c->rows, at->stay, scores, whole, map)
                               : vt_integer_map_of_stay(c->rows, at->stay, whole, map);
}

/* Rows at even places against those at odd ones; protected rows take no part. */
static size_t select_match(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                           size_t count, size_t image, struct vt_token_entry *map)
{
    const struct vt_node *node = j->s->node;
    const int32_t *sizes = node->in_count > 1 ? integers_of(j, 1, image).at : NULL;
    const int32_t *importance = node->in_count > 2 ? integers_of(j, 2, image).at : NULL;
    const size_t evens = (c->rows + 1) / 2, first = (c->protect + 1) / 2, first_odd = c->protect / 2;
    const size_t from = evens - first, others = c->rows / 2 - first_odd;
    for (size_t i = 0; i < evens; i++)
        at->best[i] = INT32_MIN;
    for (size_t i = 0; i < from; i++)
        at->row[i] = (uint32_t)(2 * (first + i));
    gather_directions(j, at, 0, image, at->row, from, at->from);
    for (size_t i = 0; i < others; i++)
        at->row[i] = (uint32_t)(2 * (first_odd + i) + 1);
    gather_directions(j, at, 0, image, at->row, others, at->others);
    find_most_similar(j, at, others ? from : 0, others, at->best + first, at->to + first);
    for (size_t i = first; i < evens && others; i++) {
        at->to[i] = (uint32_t)(2 * (first_odd + at->to[i]) + 1);
        if (importance)
            at->best[i] = vt_integer_match(at->best[i], importance[2 * i]);
    }
    return node->u.select.drop
               ? vt_integer_map_of_dropped(c, at->best, at->to, count, j->w->integers->passed, map)
               : vt_integer_map_of_match(c, at->best, at->to, count, sizes, map);
}

static void stay_unsure(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                        size_t image)
{
    const struct vt_node *node = j->s->node;
    const struct vt_step_integers *n = j->w->integers;
    const struct vt_image_rows logits = vt_exec_image_rows(j->x, node->in[0], image);
    const int16_t *x = (const int16_t *)(const void *)logits.at;
    for (size_t i = 0; i < c->rows; i++)
        at->inverse[i] =
            vt_integer_inverse_confidence(node->in[0].columns, x + i * logits.ld, n->powers, &at->class_of[i]);
    vt_integer_stay_unsure(c, at->inverse, at->class_of, n->limit, node->u.select.context, at->stay);
}

/* How many candidates stay. */
static size_t stays(const struct vt_candidates *c, const uint8_t *stay)
{
    size_t n = 0;
    for (size_t i = c->protect; i < c->rows; i++)
        n += stay[i];
    return n;
}

static size_t select_rows(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                          size_t image, struct vt_token_entry *map)
{
    const struct vt_node *node = j->s->node;
    const size_t count = j->w->integers->counts[c->rows - c->protect];
    switch (node->u.select.by) {
    case VT_SELECT_TOP: return select_top(j, at, c, count, image, map);
    case VT_SELECT_MATCH: return select_match(j, at, c, count, image, map);
    case VT_SELECT_SAMPLES:
        vt_integer_stay_sampled(c, integers_of(j, 0, image).at, count, node->u.select.in_order, at->stay);
        if (stays(c, at->stay) > count) /* scores that are all 0 */
            vt_stay_even(c, count, at->stay);
        break;
    case VT_SELECT_EVEN: vt_stay_even(c, count, at->stay); break;
    case VT_SELECT_RANDOM: vt_stay_random(c, count, node->u.select.seed, at->stay); break;
    case VT_SELECT_UNSURE: stay_unsure(j, at, c, image); break;
    default: break; /* refused */
    }
    return vt_integer_map_of_stay(c->rows, at->stay, (int32_t)1 << j->w->integers->share_bits, map);
}

static size_t select_image(const struct vt_step_job *j, size_t image, size_t rows, struct vt_token_entry *map)
{
    struct places at;
    carve(j->x->plan, j->s->node, j->scratch, &at);
    const struct vt_candidates c = { rows, j->s->node->u.select.protect, at.rules };
    return select_rows(j, &at, &c, image, map);
}

static void select_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    vt_exec_select(j, begin, end, select_image);
}

static size_t select_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    struct places at;
    return carve(p, s->node, NULL, &at);
}

/* ---- Maps ---- */

/* Columns that are added up at a time. */
enum { ADDED = 64 };

static void add_row(bool words, size_t n, const char *x, int64_t share, int64_t *sums)
{
    const int16_t *word = (const int16_t *)(const void *)x;
    const int32_t *number = (const int32_t *)(const void *)x;
    for (size_t i = 0; i < n; i++)
        sums[i] += share * (words ? word[i] : number[i]);
}

static bool weighs(const struct vt_step_job *j)
{
    return vt_weighs_rows(j->x->plan->graph, j->s->node);
}

/* The sum of the entries [begin, end) of a map, each rounded once and limited. */
static void add_entries(const struct vt_step_job *j, const struct vt_image_rows *in, const struct vt_token_entry *map,
                        size_t begin, size_t end, char *y)
{
    const bool words = vt_exec_element(j->x, j->s->out) == VT_I16, weighted = weighs(j);
    const size_t bytes = words ? sizeof(int16_t) : sizeof(int32_t), columns = j->s->node->columns;
    const unsigned right = weighted ? j->w->integers->share_bits : 0;
    for (size_t c = 0; c < columns; c += ADDED) {
        const size_t n = columns - c < ADDED ? columns - c : ADDED;
        int64_t sums[ADDED];
        for (size_t i = 0; i < n; i++)
            sums[i] = ((int64_t)1 << right) >> 1;
        for (size_t e = begin; e < end; e++)
            add_row(words, n, in->at + ((size_t)map[e].source * in->ld + c) * bytes, weighted ? map[e].share : 1, sums);
        for (size_t i = 0; i < n && words; i++)
            ((int16_t *)(void *)y)[c + i] = (int16_t)vt_limit(sums[i] >> right, INT16_MIN, INT16_MAX);
        for (size_t i = 0; i < n && !words; i++)
            ((int32_t *)(void *)y)[c + i] = vt_limit(sums[i] >> right, -INT32_MAX, INT32_MAX);
    }
}

static const struct vt_token_entry *map_of(const struct vt_step_job *j, size_t image)
{
    return (const struct vt_token_entry *)(const void *)vt_exec_image_rows(j->x, j->s->node->in[1], image).at;
}

static void apply_row(const struct vt_step_job *j, size_t image, size_t i, char *y)
{
    const struct vt_node *node = j->s->node;
    const struct vt_image_rows in = vt_exec_image_rows(j->x, node->in[0], image);
    const struct vt_token_entry *map = map_of(j, image);
    const size_t begin = i ? (size_t)map[i - 1].end : 0, end = (size_t)map[i].end;
    const size_t bytes = vt_dtype_bytes(vt_exec_element(j->x, j->s->out));
    const bool whole = !weighs(j) || map[begin].share == (int32_t)1 << j->w->integers->share_bits;
    if (vt_moves_rows(j->x->plan->graph, node) || (end == begin + 1 && whole))
        memcpy(y, in.at + (size_t)map[begin].source * in.ld * bytes, node->columns * bytes);
    else
        add_entries(j, &in, map, begin, end, y);
}

/* A row of an input in the unit of the output; scores have that. */
static void put_row(const struct vt_step_job *j, const struct vt_image_rows *in, size_t row, struct vt_word_scale scale,
                    char *y)
{
    const size_t columns = j->s->node->columns, bytes = vt_dtype_bytes(vt_exec_element(j->x, j->s->out));
    const struct vt_word_scale none = { 0, 0 };
    const char *x = in->at + row * in->ld * bytes;
    if (vt_exec_element(j->x, j->s->out) != VT_I16) {
        memcpy(y, x, columns * bytes);
        return;
    }
    const int16_t *words = (const int16_t *)(const void *)x;
    j->x->plan->kernels->integer.add_s16(columns, words, scale, words, none, (int16_t *)(void *)y);
}

static void scatter_row(const struct vt_step_job *j, size_t image, size_t i, char *y)
{
    const struct vt_node *node = j->s->node;
    const struct vt_step_integers *n = j->w->integers;
    const int32_t from = map_of(j, image)[i].destination;
    const struct vt_image_rows in = vt_exec_image_rows(j->x, node->in[0], image),
                               base = vt_exec_image_rows(j->x, node->in[node->in_count > 2 ? 2 : 0], image);
    if (from >= 0)
        put_row(j, &in, (size_t)from, n->scale_a, y);
    else if (node->in_count > 2)
        put_row(j, &base, i, n->scale_b, y);
    else
        memset(y, 0, node->columns * vt_dtype_bytes(vt_exec_element(j->x, j->s->out)));
}

static char *output_row(const struct vt_step_job *j, size_t image, size_t i)
{
    const struct vt_image_rows out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
    return out.at + i * out.ld * vt_dtype_bytes(vt_exec_element(j->x, j->s->out));
}

static void apply_image(const struct vt_step_job *j, size_t image, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        apply_row(j, image, i, output_row(j, image, i));
}

static void scatter_image(const struct vt_step_job *j, size_t image, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        scatter_row(j, image, i, output_row(j, image, i));
}

static void apply_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    vt_exec_each_image(j, begin, end, apply_image);
}

static void scatter_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    vt_exec_each_image(j, begin, end, scatter_image);
}

const struct vt_op vt_op_integer_token_score = { .name = "token_score",
                                                 .images = score_images,
                                                 .scratch_bytes = score_scratch };
const struct vt_op vt_op_integer_select = { .name = "select",
                                            .images = select_images,
                                            .scratch_bytes = select_scratch };
const struct vt_op vt_op_integer_apply = { .name = "apply", .rows = apply_rows };
const struct vt_op vt_op_integer_scatter = { .name = "scatter", .rows = scatter_rows };
