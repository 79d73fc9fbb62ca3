/* SPDX-License-Identifier: Apache-2.0 */
/* See step_codes.h. Sums and products are made in double and rounded once. */
#include "step_codes.h"

#include "step_maker.h"

#include "finite.h"

#include <math.h>
#include <string.h>

/* What one step gets; NULL what it does not need. */
struct numbers {
    float *sum_scale, *sum_bias, *in_scale, *in_shift, *out_scale, *out_shift, *gamma, *beta, *taps, *score_scale,
        *gate_bias;
    int32_t *sum_start;
    uint8_t *in_zero, *out_zero, *query_zero;
};

/* ---- What there is to make ---- */

/* Does anything stand between sums and codes? */
static bool stands_apart(const struct vt_step *s)
{
    return !vt_step_multiplies_codes(s) || s->activation != VT_ACT_NONE;
}

static void carve_floats(char *base, size_t *used, size_t n, float **a, float **b)
{
    *a = vt_take(base, used, n, sizeof **a);
    *b = vt_take(base, used, n, sizeof **b);
}

static void carve(const struct vt_plan *p, const struct vt_step *s, char *base, size_t *used, struct numbers *n)
{
    const struct vt_node *node = s->node, *coding = vt_coding_of(p, s);
    const size_t columns = p->graph->nodes[s->out].columns, k = vt_row_length(p, s);
    const bool codes = vt_step_multiplies_codes(s);
    *n = (struct numbers){ .sum_scale = NULL };
    if (vt_compares_codes(s)) {
        const size_t features = node->in[vt_feature_input(node)].columns;
        n->sum_scale = vt_take(base, used, features, sizeof *n->sum_scale);
        n->sum_bias = vt_take(base, used, vt_feature_columns(node), sizeof *n->sum_bias);
    }
    if (codes || (s->type == VT_NODE_CONVERT && coding))
        carve_floats(base, used, columns, &n->sum_scale, &n->sum_bias);
    if (codes && vt_is_layer(s)) /* a tile reads as many as it is wide */
        n->sum_start = vt_take(base, used, vt_size_add(columns, VT_MAX_TILE_COLUMNS), sizeof *n->sum_start);
    if (codes && vt_is_layer(s) && vt_gathers(s)) {
        carve_floats(base, used, k, &n->in_scale, &n->in_shift);
        n->in_zero = vt_take(base, used, k, 1);
    }
    if (codes && s->type == VT_NODE_ATTENTION) {
        n->score_scale = vt_take(base, used, node->u.attention.heads, sizeof(float));
        n->query_zero = vt_take(base, used, node->in[0].columns, 1);
        n->gate_bias = vt_gate_input(node) ? vt_take(base, used, columns, sizeof(float)) : NULL;
    }
    if (!coding)
        return;
    n->out_zero = vt_take(base, used, columns, 1);
    if (s->type == VT_NODE_LAYER_NORM)
        carve_floats(base, used, columns, &n->gamma, &n->beta);
    else if (stands_apart(s))
        carve_floats(base, used, columns, &n->out_scale, &n->out_shift);
    if (vt_is_depthwise(node) && s->activation == VT_ACT_NONE) {
        const uint32_t *kernel = node->u.conv.slide.kernel;
        n->taps = vt_take(base, used, vt_size_mul((size_t)kernel[0] * kernel[1], columns), sizeof(float));
        n->beta = vt_take(base, used, columns, sizeof(float));
    }
}

/* ---- Products ---- */

/* What a sum begins with so that a row of zeros, such as windows are padded with, gives the bias and nothing else: then
 * the same rows of keys have the length 0 that SwinV2's norm expects of them. 0 where that is no integer, or where the
 * sum could leave 32 bits on its way. */
static int32_t start_of(const struct vt_sum *sum, size_t k)
{
    const bool fits = fabs(sum->zeros) + 255.0 * 128.0 * (double)k < 0x1p31;
    return fits && sum->zeros == nearbyint(sum->zeros) ? (int32_t)-sum->zeros : 0;
}

/* From integer sums to numbers: y = sum_scale * sum + sum_bias. */
static vitrt_status make_sums(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                              const struct numbers *n)
{
    const bool to_codes = vt_coding_of(m->p, s) && s->activation == VT_ACT_NONE;
    vt_find_zero_sums(m, s, w->weight);
    for (size_t j = 0; j < s->node->columns; j++) {
        struct vt_sum sum;
        const vitrt_status st = vt_sum_of_column(m, s, w, j, &sum);
        if (st)
            return st;
        n->sum_start[j] = start_of(&sum, vt_row_length(m->p, s));
        const double scale = sum.scale, bias = sum.bias - scale * (sum.zeros + n->sum_start[j]);
        n->sum_scale[j] = (float)(to_codes ? scale / m->out.scale[j] : scale);
        n->sum_bias[j] = (float)(to_codes ? bias / m->out.scale[j] + m->out.zero[j] : bias);
    }
    memset(n->sum_start + s->node->columns, 0, VT_MAX_TILE_COLUMNS * sizeof *n->sum_start);
    w->sum_start = n->sum_start;
    w->sum_scale = n->sum_scale;
    w->sum_bias = n->sum_bias;
    return VITRT_OK;
}

/* Rows that the step gathers itself. */
static void make_input(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                       const struct numbers *n)
{
    const size_t k = vt_row_length(m->p, s);
    const size_t channels = s->type == VT_NODE_CONV2D ? s->node->in[0].columns / s->node->u.conv.groups : k;
    w->in = (struct vt_codes){ n->in_scale, n->in_shift, n->in_zero, vt_highest_code(&s->node->quantizers[0]) };
    for (size_t i = 0; i < k; i++) {
        n->in_scale[i] = (float)(1 / m->in[0].scale[i % channels]);
        n->in_shift[i] = (float)m->in[0].zero[i % channels];
        n->in_zero[i] = vt_code_of(m->in[0].zero[i % channels], w->in.highest);
    }
}

/* ---- Attention ---- */

static vitrt_status make_scores(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                                const struct numbers *n)
{
    const size_t columns = s->node->in[0].columns, dim = columns / s->node->u.attention.heads;
    for (size_t c = 0; c < columns; c++) {
        double scale;
        const vitrt_status st = vt_score_numbers(m, s, c, &scale, &n->query_zero[c]);
        if (st)
            return st;
        n->score_scale[c / dim] = (float)scale;
    }
    w->query_zero = n->query_zero;
    w->score_scale = n->score_scale;
    return VITRT_OK;
}

/* Probabilities add up to 1, so that the zero point of v, and the 128 that its codes count less, are a constant. A gate
 * multiplies that, but not the zero point of what becomes of it. */
static void make_values(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                        const struct numbers *n)
{
    const bool to_codes = vt_coding_of(m->p, s);
    for (size_t c = 0; c < s->node->columns; c++) {
        const double scale = m->in[2].scale[c], bias = (128 - m->in[2].zero[c]) * scale;
        n->sum_scale[c] = (float)(to_codes ? scale / m->out.scale[c] : scale);
        n->sum_bias[c] = (float)(to_codes ? bias / m->out.scale[c] + m->out.zero[c] : bias);
        if (!n->gate_bias)
            continue;
        n->gate_bias[c] = (float)(to_codes ? bias / m->out.scale[c] : bias);
        n->sum_bias[c] = (float)(to_codes ? m->out.zero[c] : 0);
    }
    w->sum_scale = n->sum_scale;
    w->sum_bias = n->sum_bias;
    w->gate_bias = n->gate_bias;
}

/* ---- Selections ---- */

/* From codes of features to the sum of their groups. */
static void make_features(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                          const struct numbers *n)
{
    const struct vt_expanded *codes = &m->in[vt_feature_input(s->node)];
    const size_t columns = s->node->in[vt_feature_input(s->node)].columns, dim = vt_feature_columns(s->node);
    for (size_t c = 0; c < columns; c++)
        n->sum_scale[c] = (float)codes->scale[c];
    for (size_t i = 0; i < dim; i++) {
        double bias = 0;
        for (size_t c = i; c < columns; c += dim)
            bias -= codes->scale[c] * codes->zero[c];
        n->sum_bias[i] = (float)bias;
    }
    w->sum_scale = n->sum_scale;
    w->sum_bias = n->sum_bias;
}

/* ---- Values that are codes ---- */

static void make_norm(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                      const struct numbers *n)
{
    const float *gamma = w->weight, *beta = w->bias;
    const size_t of_group = s->node->columns / s->node->u.norm.groups;
    for (size_t c = 0; c < s->node->columns; c++) {
        n->gamma[c] = (float)((double)gamma[c % of_group] / m->out.scale[c]);
        n->beta[c] = (float)((double)beta[c % of_group] / m->out.scale[c] + m->out.zero[c]);
    }
    w->weight = n->gamma;
    w->bias = n->beta;
}

static void make_depthwise(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                           const struct numbers *n)
{
    const size_t columns = s->node->columns, taps = vt_row_length(m->p, s);
    const float *weight = w->weight;
    for (size_t c = 0; c < columns; c++) {
        for (size_t t = 0; t < taps; t++)
            n->taps[t * columns + c] = (float)((double)weight[t * columns + c] / m->out.scale[c]);
        n->beta[c] = (float)((w->bias ? (double)w->bias[c] : 0) / m->out.scale[c] + m->out.zero[c]);
    }
    w->weight = n->taps;
    w->bias = n->beta;
}

static void make_output(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                        const struct numbers *n)
{
    const struct vt_node *coding = vt_coding_of(m->p, s);
    w->out = (struct vt_codes){ n->out_scale, n->out_shift, n->out_zero, vt_highest_code(&coding->quantizers[0]) };
    for (size_t c = 0; c < coding->columns; c++) {
        n->out_zero[c] = vt_code_of(m->out.zero[c], w->out.highest);
        if (!n->out_scale)
            continue;
        n->out_scale[c] = (float)((w->scale ? (double)w->scale[c] : 1) / m->out.scale[c]);
        n->out_shift[c] = (float)m->out.zero[c];
        if (s->type == VT_NODE_CONVERT) {
            n->sum_scale[c] = (float)m->out.scale[c];
            n->sum_bias[c] = (float)(-m->out.scale[c] * m->out.zero[c]);
        }
    }
    if (s->type == VT_NODE_CONVERT) {
        w->sum_scale = n->sum_scale;
        w->sum_bias = n->sum_bias;
    }
    if (n->gamma)
        make_norm(m, s, w, n);
    if (n->taps)
        make_depthwise(m, s, w, n);
}

/* ---- All steps ---- */

static bool are_finite(const struct vt_step_maker *m, const struct vt_step *s, const struct numbers *n)
{
    const size_t columns = m->p->graph->nodes[s->out].columns;
    const float *const all[] = {
        n->sum_scale, n->sum_bias, n->out_scale, n->out_shift, n->gamma, n->beta, n->gate_bias
    };
    bool finite = !n->taps || vt_all_finite(n->taps, vt_row_length(m->p, s) * columns);
    if (vt_compares_codes(s)) /* what it has is of its features' columns, and scales are those of a file */
        return vt_all_finite(n->sum_bias, vt_feature_columns(s->node));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        finite = finite && (!all[i] || vt_all_finite(all[i], columns));
    return finite;
}

/* Scales of a file may be so far apart that what is made of them overflows. */
static vitrt_status check_numbers(const struct vt_step_maker *m, const struct vt_step *s, const struct numbers *n)
{
    if (are_finite(m, s, n))
        return VITRT_OK;
    return vt_err(m->err, VITRT_EFORMAT, "%s: node %s: the scales of its codes give numbers that are not finite",
                  vt_checkpoint_path(m->p->graph->checkpoint), s->node->name);
}

static vitrt_status make_step(const struct vt_step_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                              const struct numbers *n)
{
    const bool codes = vt_step_multiplies_codes(s);
    vitrt_status st = vt_expand_quantizers(m, s);
    if (!st && codes && vt_is_layer(s))
        st = make_sums(m, s, w, n);
    if (!st && codes && s->type == VT_NODE_ATTENTION) {
        st = make_scores(m, s, w, n);
        make_values(m, s, w, n);
    }
    if (st)
        return st;
    if (vt_compares_codes(s))
        make_features(m, s, w, n);
    if (n->in_scale)
        make_input(m, s, w, n);
    if (vt_coding_of(m->p, s))
        make_output(m, s, w, n);
    if (codes && s->activation == VT_ACT_NONE)
        w->scale = NULL; /* is in the sums */
    return check_numbers(m, s, n);
}

static size_t memory_bytes(const struct vt_plan *p)
{
    size_t used = 0;
    struct numbers n;
    for (size_t i = 0; i < p->step_count; i++)
        carve(p, &p->steps[i], NULL, &used, &n);
    return used;
}

vitrt_status vt_step_codes_create(const struct vt_plan *p, struct vt_step_weights *weights, char **memory,
                                  size_t *bytes, vitrt_error *err)
{
    struct vt_step_maker m = { .p = p, .err = err };
    *memory = NULL;
    *bytes = memory_bytes(p);
    if (!*bytes)
        return VITRT_OK;
    const size_t room_bytes = vt_carve_maker(&m, NULL);
    char *room = vt_alloc(&p->alloc, room_bytes);
    *memory = vt_alloc(&p->alloc, *bytes);
    vitrt_status st = room && *memory ? VITRT_OK : vt_err_memory(err, vt_size_add(*bytes, room_bytes), "the session");
    if (!st)
        vt_carve_maker(&m, room);
    size_t used = 0;
    for (size_t i = 0; i < p->step_count && !st; i++) {
        struct numbers n;
        carve(p, &p->steps[i], *memory, &used, &n);
        st = make_step(&m, &p->steps[i], &weights[i], &n);
    }
    vt_free(&p->alloc, room, room_bytes);
    return st;
}
