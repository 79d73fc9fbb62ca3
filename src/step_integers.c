/* SPDX-License-Identifier: Apache-2.0 */
/* See step_integers.h. */
#include "step_integers.h"

#include "integer.h"
#include "step_maker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bits behind the point of the quotients of attention (vt_finish_integer_fn) and of the numbers of a norm
 * (vt_layer_norm_s16_fn). */
#define QUOTIENT_BITS 22
#define NORM_BITS     31

#define MOST_WORD ((uint32_t)1 << 15)

/* Of a bias what is less than a code. */
#define LEAST_SHARE 0x1p-8

/* The arrays of one set of columns. */
struct column_arrays {
    int32_t *multiplier, *shift, *add;
};

/* Those of vt_integer_gelu. */
struct gelu_arrays {
    int32_t *right, *fraction, *factors, *add, *shift;
};

/* What one step gets; NULL what it does not need. */
struct integers {
    struct vt_step_integers *step;
    struct column_arrays columns;
    struct gelu_arrays gelu;
    int32_t *bias, *mask;
    int16_t *tokens;
    struct vt_exp_scale *scores;
    struct vt_dyadic *key_scales;
    uint32_t *counts;
    struct vt_powers *powers;
    float *score_scale; /* for constants */
    uint8_t *in_zero, *out_zero, *query_zero, (*pixel_codes)[256];
};

struct integer_maker {
    struct vt_step_maker m;
    const struct vt_level_table *levels;
    double *ratio, *add; /* [most] */
    int32_t *half;       /* [most] */
};

/* ---- Memory ---- */

static void take_columns(char *base, size_t *used, size_t n, struct column_arrays *c)
{
    c->multiplier = vt_take(base, used, n, sizeof *c->multiplier);
    c->shift = vt_take(base, used, n, sizeof *c->shift);
    c->add = vt_take(base, used, n, sizeof *c->add);
}

static void take_gelu(char *base, size_t *used, size_t n, struct gelu_arrays *g)
{
    g->right = vt_take(base, used, n, sizeof *g->right);
    g->fraction = vt_take(base, used, n, sizeof *g->fraction);
    g->factors = vt_take(base, used, n, sizeof *g->factors);
    g->add = vt_take(base, used, n, sizeof *g->add);
    g->shift = vt_take(base, used, n, sizeof *g->shift);
}

static void carve(const struct vt_plan *p, const struct vt_step *s, char *base, size_t *used, struct integers *n)
{
    const size_t columns = p->graph->nodes[s->out].columns;
    const struct vt_node *node = s->node;
    *n = (struct integers){ .step = vt_take(base, used, 1, sizeof *n->step) };
    if (s->activation)
        take_gelu(base, used, columns, &n->gelu);
    else
        take_columns(base, used, columns, &n->columns);
    if (s->type == VT_NODE_EMBED)
        n->tokens = vt_take(base, used, vt_embed_tokens(p, s) * columns, sizeof *n->tokens);
    if (vt_is_layer(s))
        n->bias = vt_take(base, used, columns + VT_MAX_TILE_COLUMNS, sizeof *n->bias);
    if (s->type == VT_NODE_CONV2D) {
        n->in_zero = vt_take(base, used, vt_row_length(p, s), 1);
        n->pixel_codes = vt_take(base, used, node->in[0].columns, sizeof *n->pixel_codes);
    }
    if (vt_coding_of(p, s))
        n->out_zero = vt_take(base, used, columns, 1);
    if (s->type == VT_NODE_ATTENTION) {
        n->scores = vt_take(base, used, node->u.attention.heads, sizeof *n->scores);
        n->score_scale = vt_take(base, used, node->u.attention.heads, sizeof *n->score_scale);
        n->mask = vt_take(base, used, node->u.attention.heads, sizeof *n->mask);
        n->query_zero = vt_take(base, used, node->in[0].columns, 1);
    }
    if (vt_key_bias_input(node))
        n->key_scales = vt_take(base, used, node->u.attention.heads, sizeof *n->key_scales);
    if (vt_count_table(p, s))
        n->counts = vt_take(base, used, vt_count_table(p, s), sizeof *n->counts);
    if (s->type == VT_NODE_SELECT && node->u.select.by == VT_SELECT_UNSURE)
        n->powers = vt_take(base, used, 1, sizeof *n->powers);
}

/* ---- Columns ---- */

static double unit_of(const struct integer_maker *m, vt_value v)
{
    return (double)vt_unit_of(m->m.p->graph, v);
}

static vitrt_status out_of_range(const struct integer_maker *m, const struct vt_step *s)
{
    return vt_err(m->m.err, VITRT_EFORMAT, "%s: node %s: its scales are too far apart for integers of 32 bits",
                  vt_checkpoint_path(m->m.p->graph->checkpoint), s->node->name);
}

/* Columns of an epilogue from m->ratio and m->add. */
static vitrt_status set_columns(const struct integer_maker *m, const struct vt_step *s, size_t n, uint32_t most,
                                const struct column_arrays *a, struct vt_integer_epilogue *e)
{
    if (!vt_prepare_columns(n, m->ratio, most, a->multiplier, a->shift, &e->columns.left))
        return out_of_range(m, s);
    for (size_t j = 0; j < n; j++)
        a->add[j] = vt_prepare_add(m->add[j]);
    e->columns.multiplier = a->multiplier;
    e->columns.shift = a->shift;
    e->columns.add = a->add;
    return VITRT_OK;
}

/* The step's value is codes or words: from numbers whose column j stands for ratio[j] plus add[j], in real units. */
static vitrt_status set_epilogue(const struct integer_maker *m, const struct vt_step *s, uint32_t most,
                                 const struct integers *n, struct vt_integer_epilogue *e)
{
    const struct vt_node *out = &m->m.p->graph->nodes[s->out], *coding = vt_coding_of(m->m.p, s);
    const double unit = coding ? 1 : unit_of(m, s->out);
    for (size_t j = 0; j < out->columns; j++) {
        m->ratio[j] /= coding ? m->m.out.scale[j] : unit;
        m->add[j] = coding ? m->add[j] / m->m.out.scale[j] + m->m.out.zero[j] : m->add[j] / unit;
    }
    e->to = coding ? VT_TO_CODES : VT_TO_WORDS;
    e->highest = coding ? vt_highest_code(&coding->quantizers[0]) : 0;
    return set_columns(m, s, out->columns, most, &n->columns, e);
}

/* ---- Layers ---- */

/* What a sum of a layer's products can be: below 2^31, as VT_MAX_TERMS is so many. */
static uint32_t most_products(const struct integer_maker *m, const struct vt_step *s)
{
    return VT_MOST_PRODUCT * (uint32_t)vt_row_length(m->m.p, s);
}

/* The bias, with what zero points take off, in units of the sums. One that they have no room for, as beside a row of
 * zeros, is added to what they become; where GELU comes in between the column is a constant, which takes products that
 * are nothing beside it. */
static vitrt_status make_bias(const struct integer_maker *m, const struct vt_step *s, const struct vt_step_weights *w,
                              const struct integers *n)
{
    const size_t columns = s->node->columns;
    const double products = most_products(m, s), room = fmin(VT_MOST_BIAS, INT32_MAX - products);
    memset(n->bias, 0, (columns + VT_MAX_TILE_COLUMNS) * sizeof *n->bias);
    vt_find_zero_sums(&m->m, s, w->weight);
    for (size_t j = 0; j < columns; j++) {
        double scale, bias;
        const vitrt_status st = vt_product_numbers(&m->m, s, w, j, &scale, &bias);
        if (st)
            return st;
        const bool fits = fabs(bias) <= room * fabs(scale) && scale != 0;
        if (!fits && s->activation && !(products * fabs(scale) <= LEAST_SHARE * fabs(bias)))
            return out_of_range(m, s);
        n->bias[j] = fits ? (int32_t)nearbyint(bias / scale) : 0;
        m->ratio[j] = fits || !s->activation ? scale : 0;
        m->add[j] = fits ? 0 : bias;
    }
    return VITRT_OK;
}

/* The largest sum of a layer, up to INT32_MAX. */
static uint32_t most_sum(const struct integer_maker *m, const struct vt_step *s, const struct integers *n)
{
    uint32_t most = 0; /* no fmax: gcc 12 for AArch64 fails at vectorising it */
    for (size_t j = 0; j < s->node->columns; j++) {
        const uint32_t magnitude = (uint32_t)abs(n->bias[j]);
        most = magnitude > most ? magnitude : most;
    }
    return most + most_products(m, s);
}

/* A column without a scale is a constant, which has GELU behind it here. */
static vitrt_status make_gelu(const struct integer_maker *m, const struct vt_step *s, uint32_t most,
                              const struct integers *n)
{
    struct vt_integer_gelu *to = &n->step->gelu;
    const struct gelu_arrays *g = &n->gelu;
    const struct vt_expanded *codes = &m->m.out;
    const double unit = unit_of(m, (vt_value)(s->node - m->m.p->graph->nodes));
    const size_t columns = s->node->columns;
    for (size_t j = 0; j < columns; j++)
        m->ratio[j] /= unit;
    if (!vt_prepare_gelu(unit, to) ||
        !vt_prepare_gelu_sums(columns, m->ratio, most, g->right, g->fraction, m->half, &to->left))
        return out_of_range(m, s);
    for (size_t j = 0; j < columns; j++) {
        n->bias[j] += (most + (uint32_t)m->half[j]) << to->left <= INT32_MAX ? m->half[j] : 0;
        vt_prepare_gelu_codes(unit, codes->scale[j], codes->zero[j] + vt_gelu_of(m->add[j]) / codes->scale[j],
                              &g->factors[j], &g->add[j], &g->shift[j]);
    }
    to->right = g->right;
    to->fraction = g->fraction;
    to->factors = g->factors;
    to->add = g->add;
    to->shift = g->shift;
    n->step->has_gelu = true;
    n->step->epilogue.to = VT_TO_CODES;
    n->step->epilogue.highest = vt_highest_code(&vt_coding_of(m->m.p, s)->quantizers[0]);
    return VITRT_OK;
}

static vitrt_status make_layer(const struct integer_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                               const struct integers *n)
{
    vitrt_status st = make_bias(m, s, w, n);
    if (st)
        return st;
    const uint32_t most = most_sum(m, s, n);
    n->step->bias = n->bias;
    st = s->activation ? make_gelu(m, s, most, n) : set_epilogue(m, s, most, n, &n->step->epilogue);
    if (!st && s->residual.value != VT_NO_VALUE &&
        !vt_prepare_word_scale(unit_of(m, s->residual.value) / unit_of(m, s->out), &n->step->epilogue.residual_scale))
        return out_of_range(m, s);
    w->scale = NULL; /* is in the columns */
    return st;
}

/* Windows of pixels that a convolution gathers. Where the model was quantized here pixels are the codes; one that was
 * trained with codes has others. */
static void make_input(const struct integer_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                       const struct integers *n)
{
    const size_t channels = s->node->in[0].columns / s->node->u.conv.groups;
    w->in.highest = vt_highest_code(&s->node->quantizers[0]);
    w->in.zero = n->in_zero;
    for (size_t i = 0; i < vt_row_length(m->m.p, s); i++)
        n->in_zero[i] = vt_code_of(m->m.in[0].zero[i % channels], w->in.highest);
    for (size_t c = 0; c < channels; c++)
        for (size_t v = 0; v < 256; v++) {
            const double x = (double)m->levels->value[s->node->in[0].column + c][v];
            n->pixel_codes[c][v] = vt_code_of(x / m->m.in[0].scale[c] + m->m.in[0].zero[c], w->in.highest);
            if (n->pixel_codes[c][v] != v)
                n->step->pixel_codes = (const uint8_t(*)[256])n->pixel_codes;
        }
}

/* ---- Attention ---- */

static vitrt_status make_attention(const struct integer_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                                   const struct integers *n)
{
    const struct vt_node *node = s->node;
    const size_t heads = node->u.attention.heads, dim = node->in[0].columns / heads;
    const struct vt_row_order *order = m->m.p->values[node->in[0].value].order;
    const double key_unit = unit_of(m, node->in[vt_key_bias_input(node)].value);
    for (size_t c = 0; c < node->in[0].columns; c++) {
        double scale;
        const vitrt_status st = vt_score_numbers(&m->m, s, c, &scale, &n->query_zero[c]);
        if (st)
            return st;
        if (c % dim)
            continue;
        n->score_scale[c / dim] = (float)scale;
        if (!vt_prepare_exp(scale, &n->scores[c / dim]) ||
            (n->key_scales && !vt_dyadic_of(key_unit / scale, &n->key_scales[c / dim])))
            return out_of_range(m, s);
        const double mask = order ? nearbyint((double)order->pattern->mask / scale) : 0;
        n->mask[c / dim] = (int32_t)fmin(fmax(mask, -VT_MOST_ADDED), VT_MOST_ADDED);
    }
    for (size_t c = 0; c < node->columns; c++) {
        m->ratio[c] = ldexp(m->m.in[2].scale[c], -QUOTIENT_BITS);
        m->add[c] = (128 - m->m.in[2].zero[c]) * m->m.in[2].scale[c];
    }
    n->step->scores = n->scores;
    n->step->mask = n->mask;
    n->step->key_scales = n->key_scales;
    vt_make_scores(m->m.p, s, n->step);
    w->query_zero = n->query_zero;
    w->score_scale = n->score_scale;
    return set_epilogue(m, s, (uint32_t)1 << (7 + QUOTIENT_BITS), n, &n->step->epilogue);
}

/* ---- The rest ---- */

static vitrt_status make_norm(const struct integer_maker *m, const struct vt_step *s, const struct vt_step_weights *w,
                              const struct integers *n)
{
    const float *gamma = w->weight, *beta = w->bias;
    const size_t columns = s->node->columns;
    const double unit = unit_of(m, s->node->in[0].value);
    for (size_t c = 0; c < columns; c++) {
        m->ratio[c] = (double)gamma[c] * ldexp(sqrt((double)columns), -NORM_BITS);
        m->add[c] = (double)beta[c];
    }
    n->step->eps = (uint64_t)fmin((double)s->node->u.norm.eps * (double)columns / (unit * unit), ldexp(1, 61));
    return set_epilogue(m, s, INT32_MAX, n, &n->step->epilogue);
}

/* Numbers of `unit`, at most `most`, through an epilogue of the step's columns from `first` on. */
static vitrt_status make_same(const struct integer_maker *m, const struct vt_step *s, double unit, uint32_t most,
                              const struct integers *n, struct vt_integer_epilogue *e)
{
    for (size_t c = 0; c < m->m.p->graph->nodes[s->out].columns; c++) {
        m->ratio[c] = unit;
        m->add[c] = 0;
    }
    return set_epilogue(m, s, most, n, e);
}

static vitrt_status make_sum(const struct integer_maker *m, const struct vt_step *s, double a, double b,
                             const struct integers *n)
{
    const double unit = unit_of(m, s->out);
    const bool good =
        vt_prepare_word_scale(a / unit, &n->step->scale_a) && vt_prepare_word_scale(b / unit, &n->step->scale_b);
    return good ? VITRT_OK : out_of_range(m, s);
}

static vitrt_status make_step(const struct integer_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                              const struct integers *n)
{
    const struct vt_node *node = s->node;
    const struct vt_plan *p = m->m.p;
    const double a = node->in_count ? unit_of(m, node->in[0].value) : 0,
                 b = node->in_count > 1 ? unit_of(m, node->in[1].value) : 0;
    switch (s->type) {
    case VT_NODE_LINEAR: return make_layer(m, s, w, n);
    case VT_NODE_CONV2D: make_input(m, s, w, n); return make_layer(m, s, w, n);
    case VT_NODE_ATTENTION: return make_attention(m, s, w, n);
    case VT_NODE_LAYER_NORM: return make_norm(m, s, w, n);
    case VT_NODE_ADD:
    case VT_NODE_CONCAT: return make_sum(m, s, a, b, n);
    case VT_NODE_HEAD_COMBINE: return make_sum(m, s, a / 2, b / 2, n);
    case VT_NODE_EMBED: n->step->tokens = n->tokens; return make_sum(m, s, a, unit_of(m, s->out), n);
    case VT_NODE_CONVERT: return make_same(m, s, a, MOST_WORD, n, &n->step->epilogue);
    case VT_NODE_POOL: {
        const size_t rows = p->values[node->in[0].value].rows - node->u.rows.first_row;
        if (vt_divides(p, s))
            return make_same(m, s, ldexp(a, -VT_MEAN_BITS), MOST_WORD << VT_MEAN_BITS, n, &n->step->epilogue);
        return make_same(m, s, a / (double)rows, (uint32_t)(MOST_WORD * rows), n, &n->step->epilogue);
    }
    case VT_NODE_TOKEN_SCORE:
    case VT_NODE_SELECT:
    case VT_NODE_APPLY: vt_make_token_step(p, s, n->step, n->counts, n->powers); return VITRT_OK;
    case VT_NODE_SCATTER: return make_sum(m, s, a, node->in_count > 2 ? unit_of(m, node->in[2].value) : a, n);
    default: return VITRT_OK;
    }
}

static void make_codes(const struct integer_maker *m, const struct vt_step *s, struct vt_step_weights *w,
                       const struct integers *n)
{
    const struct vt_node *coding = vt_coding_of(m->m.p, s);
    w->out = (struct vt_codes){ .zero = n->out_zero, .highest = vt_highest_code(&coding->quantizers[0]) };
    for (size_t c = 0; c < coding->columns; c++)
        n->out_zero[c] = vt_code_of(m->m.out.zero[c], w->out.highest);
}

static size_t carve_maker(struct integer_maker *m, char *base)
{
    size_t used = vt_carve_maker(&m->m, base);
    m->ratio = vt_take(base, &used, m->m.most, sizeof *m->ratio);
    m->add = vt_take(base, &used, m->m.most, sizeof *m->add);
    m->half = vt_take(base, &used, m->m.most, sizeof *m->half);
    return used;
}

vitrt_status vt_step_integers_create(const struct vt_plan *p, const struct vt_level_table *levels,
                                     struct vt_step_weights *weights, char **memory, size_t *bytes, vitrt_error *err)
{
    struct integer_maker m = { .m = { .p = p, .err = err }, .levels = levels };
    struct integers n;
    *bytes = 0;
    *memory = NULL;
    for (size_t i = 0; i < p->step_count; i++)
        carve(p, &p->steps[i], NULL, bytes, &n);
    if (!*bytes) /* nothing but the image is asked for */
        return VITRT_OK;
    const size_t room_bytes = carve_maker(&m, NULL);
    char *room = vt_alloc(&p->alloc, room_bytes);
    *memory = vt_calloc(&p->alloc, *bytes, 1);
    vitrt_status st = room && *memory ? VITRT_OK : vt_err_memory(err, vt_size_add(*bytes, room_bytes), "the session");
    if (!st)
        carve_maker(&m, room);
    size_t used = 0;
    for (size_t i = 0; i < p->step_count && !st; i++) {
        carve(p, &p->steps[i], *memory, &used, &n);
        weights[i].integers = n.step;
        st = vt_expand_quantizers(&m.m, &p->steps[i]);
        if (!st)
            st = make_step(&m, &p->steps[i], &weights[i], &n);
        if (!st && n.out_zero)
            make_codes(&m, &p->steps[i], &weights[i], &n);
    }
    vt_free(&p->alloc, room, room_bytes);
    return st;
}
