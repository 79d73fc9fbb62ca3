/* SPDX-License-Identifier: Apache-2.0 */
/* See step_maker.h. */
#include "step_maker.h"

#include "weight_rows.h"

#include <float.h>
#include <math.h>

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The node that says how the step's value becomes codes, or numbers that codes stand for; NULL: it does not. */
const struct vt_node *vt_coding_of(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_node *out = &p->graph->nodes[s->out];
    return out->type == VT_NODE_CONVERT && out->u.convert.part_count ? out : NULL;
}

bool vt_is_layer(const struct vt_step *s)
{
    return vt_operand_count(s->node) == 1;
}

bool vt_gathers(const struct vt_step *s)
{
    return s->type == VT_NODE_CONV2D || s->gather;
}

size_t vt_row_length(const struct vt_plan *p, const struct vt_step *s)
{
    const bool has_rows = s->type == VT_NODE_LINEAR || s->type == VT_NODE_CONV2D;
    return has_rows ? (size_t)p->graph->weights[s->weight].columns : 0;
}

/* ---- Quantizers ---- */

uint8_t vt_highest_code(const struct vt_operand_quantizer *q)
{
    return (uint8_t)((1u << q->bits) - 1);
}

uint8_t vt_code_of(double x, uint8_t highest)
{
    const double rounded = nearbyint(x);
    return rounded < 0 ? 0 : rounded > highest ? highest : (uint8_t)rounded;
}

static vitrt_status read_vector(const struct vt_step_maker *m, vt_weight w, size_t n, double *to)
{
    const struct vt_graph *g = m->p->graph;
    const vitrt_status st =
        vt_read_weight_rows(g->checkpoint, &g->weights[w], 0, n, m->rows, m->scratch, VT_SCRATCH_BYTES, m->err);
    for (size_t c = 0; c < n && !st; c++)
        to[c] = (double)m->rows[c];
    return st;
}

/* The quantizer's numbers for n columns, from column `first` of c on. */
static vitrt_status expand(const struct vt_step_maker *m, const struct vt_operand_quantizer *q,
                           const struct vt_expanded *c, size_t first, size_t n, const struct vt_node *node)
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

vitrt_status vt_expand_quantizers(const struct vt_step_maker *m, const struct vt_step *s)
{
    const struct vt_node *node = s->node, *coding = vt_coding_of(m->p, s);
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

static double zero_sum(const struct vt_step_maker *m, const struct vt_step *s, const void *panels, size_t row, size_t k)
{
    const size_t channels = s->type == VT_NODE_CONV2D ? s->node->in[0].columns / s->node->u.conv.groups : k;
    double sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += m->in[0].zero[i % channels] * weight_code(m->p, s, panels, row, i);
    return sum;
}

vitrt_status vt_sum_of_column(const struct vt_step_maker *m, const struct vt_step *s, const struct vt_step_weights *w,
                              size_t j, struct vt_sum *sum)
{
    const struct vt_node *node = s->node;
    const size_t row = (s->type == VT_NODE_LINEAR ? node->u.linear.first : 0) + j, k = vt_row_length(m->p, s);
    const double row_scale = (double)w->row_scales[row];
    if (!(row_scale >= 0 && row_scale <= 1e30))
        return vt_err(m->err, VITRT_EFORMAT,
                      "%s: node %s: the scale of row %zu of its weight is no number from 0 to 1e30",
                      vt_checkpoint_path(m->p->graph->checkpoint), node->name, row);
    sum->scale = row_scale * (node->quantizers[0].scales != VT_NO_WEIGHT ? 1 : m->in[0].scale[0]);
    sum->bias = w->bias ? (double)w->bias[row] : 0;
    sum->zeros = zero_sum(m, s, w->weight, row, k);
    if (s->activation == VT_ACT_NONE && w->scale) {
        sum->scale *= (double)w->scale[j];
        sum->bias *= (double)w->scale[j];
    }
    return VITRT_OK;
}

vitrt_status vt_score_numbers(const struct vt_step_maker *m, const struct vt_step *s, size_t c, double *scale,
                              uint8_t *zero)
{
    const struct vt_node *node = s->node;
    const char *path = vt_checkpoint_path(m->p->graph->checkpoint);
    const size_t dim = node->in[0].columns / node->u.attention.heads, first = c / dim * dim;
    const double own = m->in[0].scale[c] * m->in[1].scale[c], usual = m->in[0].scale[first] * m->in[1].scale[first];
    const uint8_t highest = vt_highest_code(&node->quantizers[0]);
    if (fabs(own - usual) > 1e-5 * usual)
        return vt_err(
            m->err, VITRT_EFORMAT,
            "%s: node %s: the scales of q and k in column %zu have another product than in the first column of "
            "their head",
            path, node->name, c);
    if (m->in[0].zero[c] != nearbyint(m->in[0].zero[c]) || m->in[0].zero[c] < 0 || m->in[0].zero[c] > highest)
        return vt_err(m->err, VITRT_EFORMAT,
                      "%s: node %s: the zero point of q in column %zu is no whole number from 0 to %u", path,
                      node->name, c, (unsigned)highest);
    *zero = (uint8_t)m->in[0].zero[c];
    *scale = usual * (double)node->u.attention.scale;
    if (!(*scale >= (double)FLT_MIN && *scale < 0x1p60)) /* softmax_u8 */
        return vt_err(m->err, VITRT_EFORMAT,
                      "%s: node %s: scales of q, of k and its own have a product that is out of range in head %zu",
                      path, node->name, c / dim);
    return VITRT_OK;
}

vitrt_status vt_product_numbers(const struct vt_step_maker *m, const struct vt_step *s, const struct vt_step_weights *w,
                                size_t j, double *scale, double *bias)
{
    struct vt_sum sum;
    const vitrt_status st = vt_sum_of_column(m, s, w, j, &sum);
    if (st)
        return st;
    *scale = sum.scale;
    *bias = sum.bias - sum.scale * sum.zeros;
    return VITRT_OK;
}

/* ---- Memory ---- */

/* Takes n elements behind *used, aligned; base NULL only measures. */
void *vt_take(char *base, size_t *used, size_t n, size_t bytes)
{
    char *p = base ? base + *used : NULL;
    *used = vt_size_add(*used, vt_round_up(vt_size_mul(n, bytes), VT_ALIGN));
    return p;
}

/* Room for the quantizers of any step. */
size_t vt_carve_maker(struct vt_step_maker *m, char *base)
{
    size_t used = 0;
    for (size_t i = 0; i < m->p->graph->node_count; i++)
        m->most = larger(m->most, m->p->graph->nodes[i].columns);
    for (size_t i = 0; i < VT_MAX_CODED; i++) {
        m->in[i].scale = vt_take(base, &used, m->most, sizeof(double));
        m->in[i].zero = vt_take(base, &used, m->most, sizeof(double));
    }
    m->out.scale = vt_take(base, &used, m->most, sizeof(double));
    m->out.zero = vt_take(base, &used, m->most, sizeof(double));
    m->rows = vt_take(base, &used, m->most, sizeof(float));
    m->scratch = vt_take(base, &used, VT_SCRATCH_BYTES, 1);
    return used;
}
