/* SPDX-License-Identifier: Apache-2.0 */
/* Token maps: which rows of an image stay and which become one. The rules are in token_map.h. */
#include "alloc.h"
#include "similarity.h"
#include "token_map.h"
#include "token_score.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* Where things stand in the scratch of a worker. n: rows of an image. */
struct places {
    uint8_t *stay;        /* [n] */
    uint32_t *row;        /* [n]: rows in the order in which they are compared */
    uint64_t *keys;       /* [2 n], of ranking */
    void *rules;          /* vt_select_scratch_bytes */
    float *classes;       /* [in[0].columns]: one row's, */
    float *confidence;    /* [n]: the probability of its greatest, */
    uint32_t *class_of;   /* [n]: and which that is */
    float *best;          /* [n]: of each row that may go, the greatest similarity, */
    uint32_t *to;         /* [n]: and the row it is to */
    void *similarity;     /* vt_similarity_bytes */
};

static size_t carve(const struct vt_plan *p, const struct vt_node *node, char *base, struct places *at)
{
    const size_t n = p->values[node->in[0].value].rows;
    size_t used = 0;
    at->stay = vt_take(base, &used, n, sizeof *at->stay);
    at->row = vt_take(base, &used, n, sizeof *at->row);
    at->keys = vt_take(base, &used, 2 * n, sizeof *at->keys);
    at->rules = vt_take(base, &used, vt_select_scratch_bytes(n), 1);
    if (node->u.select.by == VT_SELECT_UNSURE) {
        at->classes = vt_take(base, &used, node->in[0].columns, sizeof *at->classes);
        at->confidence = vt_take(base, &used, n, sizeof *at->confidence);
        at->class_of = vt_take(base, &used, n, sizeof *at->class_of);
    }
    if (!vt_compares_features(node))
        return used;
    at->best = vt_take(base, &used, n, sizeof *at->best);
    at->to = vt_take(base, &used, n, sizeof *at->to);
    at->similarity = vt_take(base, &used, vt_similarity_bytes(p, node, n), 1);
    return used;
}

/* ---- Selections ---- */

static const float *scores_of(const struct vt_step_job *j, uint32_t input, size_t image)
{
    return (const float *)(const void *)vt_exec_image_rows(j->x, j->s->node->in[input], image).at;
}

/* Zero-TPrune's S-stage: the less important half of the candidates, each against all of the other half. */
static void leave_similar(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                          size_t image)
{
    const float *scores = scores_of(j, j->s->node->in_count > 2 ? 2 : 0, image);
    const size_t candidates = c->rows - c->protect, half = candidates / 2;
    if (!half)
        return;
    vt_rank_scores(candidates, scores + c->protect, 1, false, at->keys, at->keys + candidates);
    for (size_t i = 0; i < candidates; i++)
        at->row[i] = (uint32_t)(at->keys[i] & UINT32_MAX) + (uint32_t)c->protect;
    vt_find_most_similar(&(struct vt_similarity){ .j = j,
                                                  .scratch = at->similarity,
                                                  .features = vt_exec_image_rows(j->x, j->s->node->in[1], image),
                                                  .from = at->row,
                                                  .count = half,
                                                  .others = at->row + half,
                                                  .other_count = candidates - half,
                                                  .best = at->best,
                                                  .to = at->to });
    vt_leave_similar(half, at->best, at->row, j->s->node->u.select.similar, at->keys, at->stay);
}

static size_t select_top(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                         size_t count, size_t image, struct vt_token_entry *map)
{
    const struct vt_node *node = j->s->node;
    const float *scores = scores_of(j, 0, image);
    memset(at->stay, 1, c->rows);
    if (node->u.select.similar)
        leave_similar(j, at, c, image);
    vt_stay_top(c, scores, count, at->stay);
    return node->u.select.fuse ? vt_map_of_fused(c->rows, at->stay, scores, map)
                               : vt_map_of_stay(c->rows, at->stay, map);
}

static size_t map_of_matches(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                             size_t count, size_t image, struct vt_token_entry *map)
{
    const struct vt_node *node = j->s->node;
    return node->u.select.drop
               ? vt_map_of_dropped(c, at->best, at->to, count, node->u.select.passed, map)
               : vt_map_of_match(c, at->best, at->to, count, node->in_count > 1 ? scores_of(j, 1, image) : NULL, map);
}

/* Rows at even places against those at odd ones; protected rows take no part. */
static size_t select_match(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                           size_t count, size_t image, struct vt_token_entry *map)
{
    const struct vt_node *node = j->s->node;
    const float *importance = node->in_count > 2 ? scores_of(j, 2, image) : NULL;
    const size_t evens = (c->rows + 1) / 2, first = (c->protect + 1) / 2, first_odd = c->protect / 2;
    const size_t from = evens - first, others = c->rows / 2 - first_odd;
    float *best = at->best + first; /* behind the protected ones */
    uint32_t *to = at->to + first;
    for (size_t i = 0; i < evens; i++)
        at->best[i] = -INFINITY;
    if (!from || !others)
        return map_of_matches(j, at, c, 0, image, map);
    for (size_t i = 0; i < from; i++)
        at->row[i] = (uint32_t)(2 * (first + i));
    for (size_t i = 0; i < others; i++)
        at->row[from + i] = (uint32_t)(2 * (first_odd + i) + 1);
    vt_find_most_similar(&(struct vt_similarity){ .j = j,
                                                  .scratch = at->similarity,
                                                  .features = vt_exec_image_rows(j->x, node->in[0], image),
                                                  .from = at->row,
                                                  .count = from,
                                                  .others = at->row + from,
                                                  .other_count = others,
                                                  .best = best,
                                                  .to = to });
    for (size_t i = 0; i < from; i++) {
        if (importance)
            best[i] = vt_score_match(best[i], importance[at->row[i]]);
        if (!(best[i] > -INFINITY)) /* as many rows leave where similarities are NaN */
            best[i] = -FLT_MAX;
        to[i] = at->row[from + to[i]];
    }
    return map_of_matches(j, at, c, count, image, map);
}

/* Rows by the probability of their most probable class: its share of a softmax, where its own exponential is 1. */
static void stay_unsure(const struct vt_step_job *j, const struct places *at, const struct vt_candidates *c,
                        size_t image)
{
    const struct vt_node *node = j->s->node;
    const struct vt_image_rows logits = vt_exec_image_rows(j->x, node->in[0], image);
    const size_t classes = node->in[0].columns;
    for (size_t i = 0; i < c->rows; i++) {
        const float *x = (const float *)(const void *)logits.at + i * logits.ld;
        float sum;
        j->x->plan->kernels->softmax_f32(1, classes, 1, x, classes, at->classes, classes, &sum);
        at->class_of[i] = (uint32_t)vt_largest(x, classes);
        at->confidence[i] = 1 / sum;
    }
    vt_stay_unsure(c, at->confidence, at->class_of, node->u.select.threshold, node->u.select.context, at->stay);
}

size_t vt_wanted_count(const struct vt_node *node, size_t candidates)
{
    const size_t share = vt_share_count(candidates, node);
    if (node->u.select.count)
        return node->u.select.count;
    return node->u.select.by == VT_SELECT_MATCH ? candidates - share : share;
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
    const size_t count = vt_wanted_count(node, c->rows - c->protect);
    switch (node->u.select.by) {
    case VT_SELECT_TOP: return select_top(j, at, c, count, image, map);
    case VT_SELECT_MATCH: return select_match(j, at, c, count, image, map);
    case VT_SELECT_SAMPLES:
        vt_stay_sampled(c, scores_of(j, 0, image), count, node->u.select.in_order, at->stay);
        if (stays(c, at->stay) > count) /* scores that are not finite or all 0 */
            vt_stay_even(c, count, at->stay);
        break;
    case VT_SELECT_EVEN: vt_stay_even(c, count, at->stay); break;
    case VT_SELECT_RANDOM: vt_stay_random(c, count, node->u.select.seed, at->stay); break;
    case VT_SELECT_UNSURE: stay_unsure(j, at, c, image); break;
    case VT_SELECT_BELOW:
        vt_stay_below(c, (const float *)(const void *)vt_exec_image_rows(j->x, node->in[0], image).at,
                      node->u.select.threshold, node->u.select.with_first, at->stay);
        break;
    case VT_SELECT_COUNT: break;
    }
    return vt_map_of_stay(c->rows, at->stay, map);
}

/* Leaves the number of rows of each image behind the place where its offset will be. */
void vt_exec_select(const struct vt_step_job *j, size_t begin, size_t end, vt_select_fn *select)
{
    const struct vt_plan_value *value = &j->x->plan->values[j->s->out];
    size_t *left = j->x->offsets[value->result_set] + j->x->first + 1;
    assert(j->x->plan->row_sets[value->result_set].rows_of == j->s->out);
    for (size_t image = begin; image < end; image++) {
        const struct vt_image_rows map = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
        left[image] = map.rows ? select(j, image, map.rows, (struct vt_token_entry *)(void *)map.at) : 0;
        assert(left[image] <= j->x->plan->row_sets[value->result_set].rows);
    }
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

static uint64_t select_macs(const struct vt_node *node, const struct vt_shape *shapes, vt_value v)
{
    const uint64_t candidates = vt_shape_rows(&shapes[v]) - node->u.select.protect;
    return vt_compares_features(node) ? (candidates / 2) * (candidates - candidates / 2) * vt_feature_columns(node) : 0;
}

static const char *select_kernel(const struct vt_plan *p, const struct vt_step *s)
{
    return vt_compares_features(s->node) && p->precision != VT_PRECISION_STRICT ? vt_gemm_name(p, s) : "";
}

const struct vt_op vt_op_select = { .name = "select",
                                    .images = select_images,
                                    .scratch_bytes = select_scratch,
                                    .macs = select_macs,
                                    .kernel_name = select_kernel };
