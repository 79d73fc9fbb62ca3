/* SPDX-License-Identifier: Apache-2.0 */
/* See step_codes.h. Sums and products are made in double and rounded once. */
#include "step_codes.h"

#include "weight_rows.h"

#include <math.h>

/* What one step gets; NULL what it does not need. */
struct numbers {
    float *sum_scale, *sum_bias, *in_scale, *in_shift, *out_scale, *out_shift, *gamma, *beta, *taps, *score_scale;
    uint8_t *in_zero, *out_zero, *query_zero;
};

/* A quantizer with its numbers for every column. */
struct columns {
    double *scale, *zero;
};

struct maker {
    const struct vt_plan *p;
    struct columns in[VT_MAX_CODED], out; /* of the step at hand */
    size_t most;                          /* columns that they have room for */
    float *rows;                          /* [most] */
    void *scratch;                        /* VT_SCRATCH_BYTES */
    vitrt_error *err;
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- What there is to make ---- */

/* The node that says how the step's value becomes codes, or numbers that codes stand for; NULL: it does not. */
static const struct vt_node *coding_of(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_node *out = &p->graph->nodes[s->out];
    return out->type == VT_NODE_CONVERT && out->u.convert.part_count ? out : NULL;
}

static bool is_product(const struct vt_step *s)
{
    return vt_operand_count(s->node) == 1;
}

static bool gathers(const struct vt_step *s)
{
    return s->type == VT_NODE_CONV2D || s->gather;
}

/* Numbers of a row that a product reads. */
static size_t row_length(const struct vt_plan *p, const struct vt_step *s)
{
    return is_product(s) ? (size_t)p->graph->weights[s->weight].columns : 0;
}

/* Does anything stand between sums and codes? */
static bool stands_apart(const struct vt_step *s)
{
    return !vt_step_multiplies_codes(s) || s->activation != VT_ACT_NONE;
}

/* Takes n elements behind *used, aligned; base NULL only measures. */
static void *take(char *base, size_t *used, size_t n, size_t bytes)
{
    char *p = base ? base + *used : NULL;
    *used = vt_size_add(*used, vt_round_up(vt_size_mul(n, bytes), VT_ALIGN));
    return p;
}

static void carve_floats(char *base, size_t *used, size_t n, float **a, float **b)
{
    *a = take(base, used, n, sizeof **a);
    *b = take(base, used, n, sizeof **b);
}

static void carve(const struct vt_plan *p, const struct vt_step *s, char *base, size_t *used, struct numbers *n)
{
    const struct vt_node *node = s->node, *coding = coding_of(p, s);
    const size_t columns = p->graph->nodes[s->out].columns, k = row_length(p, s);
    const bool codes = vt_step_multiplies_codes(s);
    *n = (struct numbers){ NULL };
    if (codes || (s->type == VT_NODE_CONVERT && coding))
        carve_floats(base, used, columns, &n->sum_scale, &n->sum_bias);
    if (codes && is_product(s) && gathers(s)) {
        carve_floats(base, used, k, &n->in_scale, &n->in_shift);
        n->in_zero = take(base, used, k, 1);
    }
    if (codes && s->type == VT_NODE_ATTENTION) {
        n->score_scale = take(base, used, node->u.attention.heads, sizeof(float));
        n->query_zero = take(base, used, node->in[0].columns, 1);
    }
    if (!coding)
        return;
    n->out_zero = take(base, used, columns, 1);
    if (s->type == VT_NODE_LAYER_NORM)
        carve_floats(base, used, columns, &n->gamma, &n->beta);
    else if (stands_apart(s))
        carve_floats(base, used, columns, &n->out_scale, &n->out_shift);
    if (vt_is_depthwise(node) && s->activation == VT_ACT_NONE) {
        const uint32_t *kernel = node->u.conv.slide.kernel;
        n->taps = take(base, used, vt_size_mul((size_t)kernel[0] * kernel[1], columns), sizeof(float));
        n->beta = take(base, used, columns, sizeof(float));
    }
}

/* ---- Quantizers ---- */

static uint8_t highest_code(const struct vt_operand_quantizer *q)
{
    return (uint8_t)((1u << q->bits) - 1);
}

static uint8_t code_of(double x, uint8_t highest)
{
    const double rounded = nearbyint(x);
    return rounded < 0 ? 0 : rounded > highest ? highest : (uint8_t)rounded;
}

static vitrt_status read_vector(const struct maker *m, vt_weight w, size_t n, double *to)
{
    const struct vt_graph *g = m->p->graph;
    const vitrt_status st =
        vt_read_weight_rows(g->checkpoint, &g->weights[w], 0, n, m->rows, m->scratch, VT_SCRATCH_BYTES, m->err);
    for (size_t c = 0; c < n && !st; c++)
        to[c] = (double)m->rows[c];
    return st;
}

/* The quantizer's numbers for n columns, from column `first` of c on. */
static vitrt_status expand(const struct maker *m, const struct vt_operand_quantizer *q, const struct columns *c,
                           size_t first, size_t n, const struct vt_node *node)
{
    const struct vt_graph *g = m->p->graph;
    for (size_t i = first; i < first + n; i++) {
        c->scale[i] = (double)q->scale;
        c->zero[i] = (double)q->zero;
    }
    if (q->scales == VT_NO_WEIGHT)
        return VITRT_OK;
    vitrt_status st = read_vector(m, q->scales, n, c->scale + first);
    if (!st)
        st = read_vector(m, q->zeros, n, c->zero + first);
    for (size_t i = first; i < first + n && !st; i++)
        if (!vt_is_code_scale((float)c->scale[i]) || !vt_is_code_zero((float)c->zero[i]))
            return vt_err(m->err, VITRT_EFORMAT,
                          "%s: node %s: codes of column %zu have a scale or zero point out of range, expected a scale "
                          "from 1e-30 to 1e30 and a zero point up to 4194304",
                          vt_checkpoint_path(g->checkpoint), node->name, i);
    return st;
}

static vitrt_status expand_step(const struct maker *m, const struct vt_step *s)
{
    const struct vt_node *node = s->node, *coding = coding_of(m->p, s);
    vitrt_status st = VITRT_OK;
    for (uint32_t k = 0; k < vt_operand_count(node) && vt_step_multiplies_codes(s) && !st; k++)
        st = expand(m, &node->quantizers[k], &m->in[k], 0, node->in[k].columns, node);
    for (size_t c = 0; coding && c < coding->columns; c++) { /* columns that nobody reads have no quantizer */
        m->out.scale[c] = 1;
        m->out.zero[c] = 0;
    }
    for (uint32_t i = 0; coding && i < coding->u.convert.part_count && !st; i++)
        st = expand(m, &coding->quantizers[i], &m->out, coding->u.convert.parts[i].column,
                    coding->u.convert.parts[i].columns, coding);
    return st;
}

/* ---- Products ---- */

/* The element of a packed weight. */
static int weight_code(const struct vt_plan *p, const struct vt_step *s, const void *panels, size_t row, size_t k)
{
    const struct vt_gemm_kernel *kernel = &p->kernels->gemm[VT_PRODUCT_U8S8];
    const struct vt_graph_weight *w = &p->graph->weights[s->weight];
    const size_t of_group = (size_t)(w->rows / w->groups), group = row / of_group, in_group = row % of_group;
    const size_t panels_of_group = (of_group + kernel->nr - 1) / kernel->nr;
    const size_t panel = group * panels_of_group + in_group / kernel->nr;
    const size_t panel_k = vt_round_up((size_t)w->columns, kernel->kr);
    const int8_t *first = (const int8_t *)panels + panel * panel_k * kernel->nr;
    return first[(k / kernel->kr * kernel->nr + in_group % kernel->nr) * kernel->kr + k % kernel->kr];
}

/* The sum over a row of zero point times weight: what codes count too much. */
static double zero_sum(const struct maker *m, const struct vt_step *s, const void *panels, size_t row, size_t k)
{
    const size_t channels = s->type == VT_NODE_CONV2D ? s->node->in[0].columns / s->node->u.conv.groups : k;
    double sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += m->in[0].zero[i % channels] * weight_code(m->p, s, panels, row, i);
    return sum;
}

/* From integer sums to numbers: y = sum_scale * sum + sum_bias. */
static vitrt_status make_sums(const struct maker *m, const struct vt_step *s, struct vt_step_weights *w,
                              const struct numbers *n)
{
    const struct vt_node *node = s->node;
    const size_t first = s->type == VT_NODE_LINEAR ? node->u.linear.first : 0, k = row_length(m->p, s);
    const bool absorbed = node->quantizers[0].scales != VT_NO_WEIGHT, folds = s->activation == VT_ACT_NONE;
    const bool to_codes = coding_of(m->p, s) && folds;
    for (size_t j = 0; j < node->columns; j++) {
        const double row_scale = (double)w->row_scales[first + j];
        if (!(row_scale >= 0 && row_scale <= 1e30))
            return vt_err(m->err, VITRT_EFORMAT,
                          "%s: node %s: the scale of row %zu of its weight is no number from 0 "
                          "to 1e30",
                          vt_checkpoint_path(m->p->graph->checkpoint), node->name, first + j);
        double scale = row_scale * (absorbed ? 1 : m->in[0].scale[0]);
        double bias = (w->bias ? (double)w->bias[first + j] : 0) - scale * zero_sum(m, s, w->weight, first + j, k);
        if (folds && w->scale) {
            scale *= (double)w->scale[j];
            bias *= (double)w->scale[j];
        }
        n->sum_scale[j] = (float)(to_codes ? scale / m->out.scale[j] : scale);
        n->sum_bias[j] = (float)(to_codes ? bias / m->out.scale[j] + m->out.zero[j] : bias);
    }
    w->sum_scale = n->sum_scale;
    w->sum_bias = n->sum_bias;
    return VITRT_OK;
}

/* Rows that the step gathers itself. */
static void make_input(const struct maker *m, const struct vt_step *s, struct vt_step_weights *w,
                       const struct numbers *n)
{
    const size_t k = row_length(m->p, s);
    const size_t channels = s->type == VT_NODE_CONV2D ? s->node->in[0].columns / s->node->u.conv.groups : k;
    w->in = (struct vt_codes){ n->in_scale, n->in_shift, n->in_zero, highest_code(&s->node->quantizers[0]) };
    for (size_t i = 0; i < k; i++) {
        n->in_scale[i] = (float)(1 / m->in[0].scale[i % channels]);
        n->in_shift[i] = (float)m->in[0].zero[i % channels];
        n->in_zero[i] = code_of(m->in[0].zero[i % channels], w->in.highest);
    }
}

/* ---- Attention ---- */

static vitrt_status make_scores(const struct maker *m, const struct vt_step *s, struct vt_step_weights *w,
                                const struct numbers *n)
{
    const struct vt_node *node = s->node;
    const char *path = vt_checkpoint_path(m->p->graph->checkpoint);
    const size_t heads = node->u.attention.heads, dim = node->in[0].columns / heads;
    const uint8_t highest = highest_code(&node->quantizers[0]);
    for (size_t c = 0; c < node->in[0].columns; c++) {
        const size_t first = c / dim * dim;
        const double scale = m->in[0].scale[c] * m->in[1].scale[c],
                     usual = m->in[0].scale[first] * m->in[1].scale[first];
        const double zero = m->in[0].zero[c];
        if (fabs(scale - usual) > 1e-5 * usual)
            return vt_err(m->err, VITRT_EFORMAT,
                          "%s: node %s: the scales of q and k in column %zu have another product "
                          "than in the first column of their head",
                          path, node->name, c);
        if (zero != nearbyint(zero) || zero < 0 || zero > highest)
            return vt_err(m->err, VITRT_EFORMAT,
                          "%s: node %s: the zero point of q in column %zu is no whole number "
                          "from 0 to %u",
                          path, node->name, c, (unsigned)highest);
        n->query_zero[c] = (uint8_t)zero;
        n->score_scale[c / dim] = (float)(usual * (double)node->u.attention.scale);
    }
    w->query_zero = n->query_zero;
    w->score_scale = n->score_scale;
    return VITRT_OK;
}

/* Probabilities add up to 1, so that the zero point of v, and the 128 that its codes count less, are a constant. */
static void make_values(const struct maker *m, const struct vt_step *s, struct vt_step_weights *w,
                        const struct numbers *n)
{
    const bool to_codes = coding_of(m->p, s);
    for (size_t c = 0; c < s->node->columns; c++) {
        const double scale = m->in[2].scale[c], bias = (128 - m->in[2].zero[c]) * scale;
        n->sum_scale[c] = (float)(to_codes ? scale / m->out.scale[c] : scale);
        n->sum_bias[c] = (float)(to_codes ? bias / m->out.scale[c] + m->out.zero[c] : bias);
    }
    w->sum_scale = n->sum_scale;
    w->sum_bias = n->sum_bias;
}

/* ---- Values that are codes ---- */

static void make_norm(const struct maker *m, const struct vt_step *s, struct vt_step_weights *w,
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

static void make_depthwise(const struct maker *m, const struct vt_step *s, struct vt_step_weights *w,
                           const struct numbers *n)
{
    const size_t columns = s->node->columns, taps = row_length(m->p, s);
    const float *weight = w->weight;
    for (size_t c = 0; c < columns; c++) {
        for (size_t t = 0; t < taps; t++)
            n->taps[t * columns + c] = (float)((double)weight[t * columns + c] / m->out.scale[c]);
        n->beta[c] = (float)((w->bias ? (double)w->bias[c] : 0) / m->out.scale[c] + m->out.zero[c]);
    }
    w->weight = n->taps;
    w->bias = n->beta;
}

static void make_output(const struct maker *m, const struct vt_step *s, struct vt_step_weights *w,
                        const struct numbers *n)
{
    const struct vt_node *coding = coding_of(m->p, s);
    w->out = (struct vt_codes){ n->out_scale, n->out_shift, n->out_zero, highest_code(&coding->quantizers[0]) };
    for (size_t c = 0; c < coding->columns; c++) {
        n->out_zero[c] = code_of(m->out.zero[c], w->out.highest);
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

static vitrt_status make_step(const struct maker *m, const struct vt_step *s, struct vt_step_weights *w,
                              const struct numbers *n)
{
    const bool codes = vt_step_multiplies_codes(s);
    vitrt_status st = expand_step(m, s);
    if (!st && codes && is_product(s))
        st = make_sums(m, s, w, n);
    if (!st && codes && s->type == VT_NODE_ATTENTION) {
        st = make_scores(m, s, w, n);
        make_values(m, s, w, n);
    }
    if (st)
        return st;
    if (n->in_scale)
        make_input(m, s, w, n);
    if (coding_of(m->p, s))
        make_output(m, s, w, n);
    if (codes && s->activation == VT_ACT_NONE)
        w->scale = NULL; /* is in the sums */
    return VITRT_OK;
}

static size_t memory_bytes(const struct vt_plan *p)
{
    size_t used = 0;
    struct numbers n;
    for (size_t i = 0; i < p->step_count; i++)
        carve(p, &p->steps[i], NULL, &used, &n);
    return used;
}

/* Room for the quantizers of any step. */
static size_t carve_maker(struct maker *m, char *base)
{
    size_t used = 0;
    for (size_t i = 0; i < m->p->graph->node_count; i++)
        m->most = larger(m->most, m->p->graph->nodes[i].columns);
    for (size_t i = 0; i < VT_MAX_CODED; i++) {
        m->in[i].scale = take(base, &used, m->most, sizeof(double));
        m->in[i].zero = take(base, &used, m->most, sizeof(double));
    }
    m->out.scale = take(base, &used, m->most, sizeof(double));
    m->out.zero = take(base, &used, m->most, sizeof(double));
    m->rows = take(base, &used, m->most, sizeof(float));
    m->scratch = take(base, &used, VT_SCRATCH_BYTES, 1);
    return used;
}

vitrt_status vt_step_codes_create(const struct vt_plan *p, struct vt_step_weights *weights, char **memory,
                                  size_t *bytes, vitrt_error *err)
{
    struct maker m = { .p = p, .err = err };
    *memory = NULL;
    *bytes = memory_bytes(p);
    if (!*bytes)
        return VITRT_OK;
    const size_t room_bytes = carve_maker(&m, NULL);
    char *room = vt_alloc(&p->alloc, room_bytes);
    *memory = vt_alloc(&p->alloc, *bytes);
    vitrt_status st = room && *memory ? VITRT_OK : vt_err_memory(err, vt_size_add(*bytes, room_bytes), "the session");
    if (!st)
        carve_maker(&m, room);
    size_t used = 0;
    for (size_t i = 0; i < p->step_count && !st; i++) {
        struct numbers n;
        carve(p, &p->steps[i], *memory, &used, &n);
        st = make_step(&m, &p->steps[i], &weights[i], &n);
    }
    vt_free(&p->alloc, room, room_bytes);
    return st;
}
