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

const struct vt_node *vt_coding_of(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_node *out = &p->graph->nodes[s->out];
    return out->type == VT_NODE_CONVERT && out->u.convert.part_count ? out : NULL;
}

bool vt_compares_codes(const struct vt_step *s)
{
    return vt_compares_features(s->node) && s->node->quantizers[vt_feature_input(s->node)].bits;
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
    if (vt_compares_codes(s)) {
        const uint32_t k = vt_feature_input(node);
        st = expand(m, &node->quantizers[k], &m->in[k], 0, node->in[k].columns, node);
    }
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

/* Sums over one panel of n rows of k weights in ascending order: sums[r] = the sum of zero[i % channels] times weight. */
static void sum_panel(const struct vt_gemm_kernel *kernel, size_t n, size_t k, const int8_t *panel, const double *zero,
                      size_t channels, double *sums)
{
    for (size_t r = 0; r < n; r++)
        sums[r] = 0;
    for (size_t i = 0; i < k; i++) {
        const double z = zero[i % channels];
        const int8_t *weights = panel + (i / kernel->kr * kernel->nr) * kernel->kr + i % kernel->kr;
        for (size_t r = 0; r < n; r++)
            sums[r] += z * weights[r * kernel->kr];
    }
}

/* Zero points that are codes, as usual, are a row to be multiplied as any other. False if one is none. */
static bool zeros_as_codes(const struct vt_step_maker *m, size_t k, size_t channels)
{
    for (size_t i = 0; i < channels; i++)
        if (!(m->in[0].zero[i] >= 0 && m->in[0].zero[i] <= UINT8_MAX && m->in[0].zero[i] == rint(m->in[0].zero[i])))
            return false;
    for (size_t i = 0; i < k; i++)
        m->zero_codes[i] = (uint8_t)m->in[0].zero[i % channels];
    return true;
}

void vt_find_zero_sums(const struct vt_step_maker *m, const struct vt_step *s, const void *panels)
{
    const struct vt_gemm_kernel *kernel = &m->p->kernels->gemm[VT_PRODUCT_U8S8];
    const struct vt_graph_weight *w = &m->p->graph->weights[s->weight];
    const size_t k = vt_row_length(m->p, s), of_group = (size_t)(w->rows / w->groups), nr = kernel->nr;
    const size_t channels = s->type == VT_NODE_CONV2D ? s->node->in[0].columns / s->node->u.conv.groups : k;
    const size_t begin = s->type == VT_NODE_LINEAR ? s->node->u.linear.first : 0, end = begin + s->node->columns;
    const size_t panel_bytes = vt_round_up(k, kernel->kr) * nr, panels_of_group = (of_group + nr - 1) / nr;
    const bool codes = zeros_as_codes(m, k, channels);
    for (size_t row = begin, next; row < end; row = next) {
        const size_t group = row / of_group, in_group = row % of_group, first = in_group / nr * nr;
        const size_t n = of_group - first < nr ? of_group - first : nr;
        const int8_t *panel = (const int8_t *)panels + (group * panels_of_group + in_group / nr) * panel_bytes;
        int32_t integers[VT_MAX_TILE_COLUMNS];
        double sums[VT_MAX_TILE_COLUMNS];
        if (codes)
            kernel->tile(1, n, k, m->zero_codes, k, panel, NULL, NULL, 0, integers, n);
        else
            sum_panel(kernel, n, k, panel, m->in[0].zero, channels, sums);
        next = group * of_group + first + n;
        next = next < end ? next : end;
        for (size_t r = row; r < next; r++)
            m->zero_sums[r - begin] = codes ? integers[r - row + in_group - first] : sums[r - row + in_group - first];
    }
}

vitrt_status vt_sum_of_column(const struct vt_step_maker *m, const struct vt_step *s, const struct vt_step_weights *w,
                              size_t j, struct vt_sum *sum)
{
    const struct vt_node *node = s->node;
    const size_t row = (s->type == VT_NODE_LINEAR ? node->u.linear.first : 0) + j;
    const double row_scale = (double)w->row_scales[row];
    if (!(row_scale >= 0 && row_scale <= 1e30))
        return vt_err(m->err, VITRT_EFORMAT,
                      "%s: node %s: the scale of row %zu of its weight is no number from 0 to 1e30",
                      vt_checkpoint_path(m->p->graph->checkpoint), node->name, row);
    sum->scale = row_scale * (node->quantizers[0].scales != VT_NO_WEIGHT ? 1 : m->in[0].scale[0]);
    sum->bias = w->bias ? (double)w->bias[row] : 0;
    sum->zeros = m->zero_sums[j];
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
    struct vt_sum sum = { 0 };
    const vitrt_status st = vt_sum_of_column(m, s, w, j, &sum);
    if (st)
        return st;
    *scale = sum.scale;
    *bias = sum.bias - sum.scale * sum.zeros;
    return VITRT_OK;
}

/* ---- Memory ---- */

/* Room for the quantizers of any step. */
size_t vt_carve_maker(struct vt_step_maker *m, char *base)
{
    size_t used = 0, longest = 0;
    for (size_t i = 0; i < m->p->graph->node_count; i++)
        m->most = larger(m->most, m->p->graph->nodes[i].columns);
    for (size_t i = 0; i < m->p->step_count; i++)
        longest = larger(longest, vt_row_length(m->p, &m->p->steps[i]));
    for (size_t i = 0; i < VT_MAX_CODED; i++) {
        m->in[i].scale = vt_take(base, &used, m->most, sizeof(double));
        m->in[i].zero = vt_take(base, &used, m->most, sizeof(double));
    }
    m->out.scale = vt_take(base, &used, m->most, sizeof(double));
    m->out.zero = vt_take(base, &used, m->most, sizeof(double));
    m->rows = vt_take(base, &used, m->most, sizeof(float));
    m->zero_sums = vt_take(base, &used, m->most, sizeof(double));
    m->zero_codes = vt_take(base, &used, longest, 1);
    m->scratch = vt_take(base, &used, VT_SCRATCH_BYTES, 1);
    return used;
}
