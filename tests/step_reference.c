/* SPDX-License-Identifier: Apache-2.0 */
/* See step_reference.h. Every number comes with a bound on what the session's may be off: the error model is that of
 * kernels.h, with u for one rounding and a rounding for each number that a session prepares. */
#include "step_reference.h"

#include "check.h"
#include "support.h"
#include "token_map.h"
#include "weight_rows.h"

/* A number, or a code, and how far the session's may be from it. A code that may be one of two lies between them. */
struct number {
    double x, e;
};

struct matrix {
    size_t rows, columns;
    struct number *at; /* [rows, columns]; NULL: not there yet */
};

struct reference {
    const char *model;
    vitrt_session *s;
    const struct vt_plan *plan;
    const struct vt_step *step;
    struct matrix *values; /* [node_count] of the plan's graph */
};

static void evaluate(struct reference *r, vt_value v);

/* ---- Numbers and codes ---- */

static const double u = 0x1p-24;

/* What an input's quantizer says of n columns. */
struct quantizer {
    double *scale, *zero;
    double top;
    bool vectors;
};

static void *must(void *p)
{
    assert_non_null(p);
    return p;
}

static float *read_rows(const struct reference *r, vt_weight w)
{
    static _Alignas(64) unsigned char scratch[VT_SCRATCH_BYTES];
    const struct vt_graph_weight *weight = &r->plan->graph->weights[w];
    float *x = must(malloc((size_t)(weight->rows * weight->columns) * sizeof *x));
    vitrt_error err;
    assert_ok(
        vt_read_weight_rows(r->plan->graph->checkpoint, weight, 0, weight->rows, x, scratch, sizeof scratch, &err),
        &err);
    return x;
}

static struct quantizer quantizer_new(const struct reference *r, const struct vt_operand_quantizer *q, size_t n)
{
    struct quantizer result = { .top = (double)((1u << q->bits) - 1), .vectors = q->scales != VT_NO_WEIGHT };
    float *scales = result.vectors ? read_rows(r, q->scales) : NULL, *zeros = scales ? read_rows(r, q->zeros) : NULL;
    result.scale = must(malloc(n * sizeof *result.scale));
    result.zero = must(malloc(n * sizeof *result.zero));
    for (size_t c = 0; c < n; c++) {
        result.scale[c] = (double)(scales ? scales[c] : q->scale);
        result.zero[c] = (double)(zeros ? zeros[c] : q->zero);
    }
    free(scales);
    free(zeros);
    return result;
}

static void quantizer_free(struct quantizer *q)
{
    free(q->scale);
    free(q->zero);
}

static double to_code(double x, double top)
{
    return fmin(fmax(nearbyint(x), 0), top);
}

static struct number between(double low, double high)
{
    return (struct number){ (low + high) / 2, (high - low) / 2 };
}

static struct number encode(struct number x, const struct quantizer *q, size_t c)
{
    const double t = x.x / q->scale[c] + q->zero[c];
    const bool padding = x.x == 0 && x.e == 0; /* its code is the zero point, rounded */
    const double e = padding ? 0 : x.e / q->scale[c] + 4 * u * (fabs(x.x / q->scale[c]) + fabs(q->zero[c]) + 1);
    return between(to_code(t - e, q->top), to_code(t + e, q->top));
}

static struct number decode(struct number code, const struct quantizer *q, size_t c)
{
    const double scale = q->scale[c];
    return (struct number){ (code.x - q->zero[c]) * scale,
                            code.e * scale + 4 * u * scale * (code.x + fabs(q->zero[c])) };
}

/* ---- Values ---- */

/* How many there are for this image. */
static size_t rows_of(const struct reference *r, vt_value v)
{
    return vt_is_constant(&r->plan->graph->nodes[v]) ? r->plan->values[v].rows
                                                     : r->s->offsets[r->plan->values[v].row_set][1];
}

static struct matrix matrix_new(const struct reference *r, vt_value v)
{
    struct matrix m = { .rows = rows_of(r, v), .columns = r->plan->graph->nodes[v].columns };
    m.at = must(calloc(m.rows * m.columns + 1, sizeof *m.at));
    return m;
}

/* As it is in memory, codes too. */
static struct matrix read_value(const struct reference *r, vt_value v)
{
    const struct vt_plan_value *value = &r->plan->values[v];
    const struct vt_node *node = &r->plan->graph->nodes[v];
    const char *memory = r->s->arena + value->offset;
    if (node->type == VT_NODE_INPUT)
        memory = (const char *)r->s->pixels[0];
    struct matrix m = matrix_new(r, v);
    for (size_t i = 0; i < m.rows; i++)
        for (size_t c = 0; c < m.columns; c++) {
            const size_t at = i * value->ld + c;
            m.at[i * m.columns + c].x = node->element == VT_U8 ? ((const uint8_t *)memory)[at]
                                                               : (double)((const float *)(const void *)memory)[at];
        }
    return m;
}

static const struct matrix *value_of(struct reference *r, vt_value v)
{
    if (!r->values[v].at && r->plan->values[v].live && v != r->step->out)
        r->values[v] = read_value(r, v);
    else if (!r->values[v].at)
        evaluate(r, v);
    return &r->values[v];
}

/* Row i of an input. */
static const struct number *row_of(struct reference *r, const struct vt_view *view, size_t i)
{
    const struct matrix *m = value_of(r, view->value);
    return m->at + i * m->columns + view->column;
}

/* ---- Products ---- */

/* A layer as it is in the file. */
struct layer {
    size_t k, n;
    bool codes;
    float *w;     /* [n, k]: numbers, or codes */
    float *scale; /* [n] of rows of codes */
    float *bias;  /* or NULL */
    struct quantizer q;
    size_t channels; /* that q is of: k / channels taps each */
};

static struct layer layer_new(const struct reference *r, const struct vt_node *node)
{
    const struct vt_graph_weight *w = &r->plan->graph->weights[node->weight];
    const struct vt_checkpoint *checkpoint = r->plan->graph->checkpoint;
    struct layer l = { .k = (size_t)w->columns, .n = (size_t)w->rows, .codes = node->product == VT_PRODUCT_U8S8 };
    l.channels = node->in[0].columns / w->groups;
    if (!l.codes) {
        l.w = read_rows(r, node->weight);
    } else {
        static _Alignas(64) unsigned char scratch[VT_SCRATCH_BYTES];
        int8_t *codes = must(malloc(l.n * l.k));
        vitrt_error err;
        l.w = must(malloc(l.n * l.k * sizeof *l.w));
        l.scale = must(malloc(l.n * sizeof *l.scale));
        assert_ok(vt_read_weight_codes(checkpoint, w, 0, l.n, codes, &err), &err);
        assert_ok(vt_read_row_scales(checkpoint, w, l.scale, scratch, sizeof scratch, &err), &err);
        for (size_t i = 0; i < l.n * l.k; i++)
            l.w[i] = codes[i];
        free(codes);
        l.q = quantizer_new(r, &node->quantizers[0], node->in[0].columns);
    }
    l.bias = node->bias == VT_NO_WEIGHT ? NULL : read_rows(r, node->bias);
    return l;
}

static void layer_free(struct layer *l)
{
    free(l->w);
    free(l->scale);
    free(l->bias);
    quantizer_free(&l->q);
}

/* Output j of a row of k numbers, in the order of the file's weight. */
static struct number dot_floats(const struct layer *l, const struct number *x, size_t j)
{
    const double bias = l->bias ? (double)l->bias[j] : 0;
    double sum = bias, size = fabs(bias), error = 0;
    for (size_t i = 0; i < l->k; i++) {
        const double w = (double)l->w[j * l->k + i];
        sum += x[i].x * w;
        size += fabs(x[i].x * w);
        error += x[i].e * fabs(w);
    }
    return (struct number){ sum, error + gamma_of(l->k + 3) * size };
}

/* The same of codes: the sum of integers is exact, then it is converted, scaled and shifted by the bias. Zero points
 * are part of the sum where they are whole numbers, so that zeros give the bias alone; else they are part of the
 * shift. */
static struct number dot_codes(const struct layer *l, const struct number *x, size_t j)
{
    const double bias = l->bias ? (double)l->bias[j] : 0;
    const double row = (double)l->scale[j] * (l->q.vectors ? 1 : l->q.scale[0]);
    double sum = 0, zeros = 0, error = 0;
    bool whole = true;
    for (size_t i = 0; i < l->k; i++) {
        const double w = (double)l->w[j * l->k + i], zero = l->q.zero[i / (l->k / l->channels)];
        sum += x[i].x * w;
        zeros += zero * w;
        error += x[i].e * fabs(w);
        whole = whole && zero == nearbyint(zero);
    }
    const double size = whole ? fabs(sum - zeros) + error : fabs(sum) + fabs(zeros);
    return (struct number){ row * (sum - zeros) + bias, row * error + 4 * u * (row * size + fabs(bias)) };
}

static struct number dot(const struct layer *l, const struct number *x, size_t j)
{
    return l->codes ? dot_codes(l, x, j) : dot_floats(l, x, j);
}

static void linear(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    struct layer l = layer_new(r, node);
    assert_true(!l.codes || r->plan->graph->nodes[node->in[0].value].element == VT_U8);
    for (size_t i = 0; i < out->rows; i++) {
        const struct number *x = row_of(r, &node->in[0], i);
        for (size_t j = 0; j < out->columns; j++)
            out->at[i * out->columns + j] = dot(&l, x, node->u.linear.first + j);
    }
    layer_free(&l);
}

/* The window of one output, channels of one group: [channels, kernel height, kernel width]. What lies outside of the
 * map is 0. */
static void window(struct reference *r, const struct vt_node *node, const struct layer *l, size_t y, size_t x,
                   size_t group, struct number *to)
{
    const struct vt_sliding *slide = &node->u.conv.slide;
    const struct vt_shape *in = &r->plan->values[node->in[0].value].shape;
    for (size_t c = 0; c < l->channels; c++)
        for (size_t ky = 0; ky < slide->kernel[0]; ky++)
            for (size_t kx = 0; kx < slide->kernel[1]; kx++, to++) {
                const long row = (long)(y * slide->stride[0] + ky) - (long)slide->padding[0],
                           column = (long)(x * slide->stride[1] + kx) - (long)slide->padding[1];
                *to = (struct number){ 0, 0 };
                if (row >= 0 && row < (long)in->map[0] && column >= 0 && column < (long)in->map[1])
                    *to = row_of(r, &node->in[0],
                                 in->prefix + (size_t)row * in->map[1] + (size_t)column)[group * l->channels + c];
                if (l->codes)
                    *to = encode(*to, &l->q, c);
            }
}

static void conv2d(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    struct layer l = layer_new(r, node);
    const struct vt_shape *shape = &r->plan->values[node - r->plan->graph->nodes].shape;
    const size_t of_group = l.n / node->u.conv.groups;
    struct number *x = must(malloc(l.k * sizeof *x));
    for (size_t i = 0; i < shape->prefix; i++)
        memcpy(out->at + i * out->columns, row_of(r, &node->in[0], i), out->columns * sizeof *out->at);
    for (size_t i = shape->prefix; i < out->rows; i++)
        for (size_t j = 0; j < out->columns; j++) {
            const size_t at = i - shape->prefix;
            if (j % of_group == 0)
                window(r, node, &l, at / shape->map[1], at % shape->map[1], j / of_group, x);
            out->at[i * out->columns + j] = dot(&l, x, j);
        }
    free(x);
    layer_free(&l);
}

/* ---- Attention ---- */

/* One query of one head. */
struct query {
    const struct vt_node *node;
    const struct quantizer *q; /* of q, k, v; NULL: floats */
    size_t head, dim, dim_v, first_key, keys;
    const struct number *of;  /* [dim] */
    const float *bias, *mask; /* [keys] or NULL */
    double bias_factor;       /* the bias in memory is divided by this */
    double *score, *error;    /* [keys] */
    struct number *p;         /* [keys] */
};

/* A score of codes is an exact sum, whose scale, bias and mask are rounded; one of floats a chain. */
static void score(struct reference *r, const struct query *a)
{
    const double scale = (double)a->node->u.attention.scale;
    for (size_t i = 0; i < a->keys; i++) {
        const struct number *k = row_of(r, &a->node->in[1], a->first_key + i) + a->head * a->dim;
        const double bias = (a->bias ? (double)a->bias[i] * a->bias_factor : 0) + (a->mask ? (double)a->mask[i] : 0);
        double sum = 0, size = 0;
        for (size_t d = 0; d < a->dim; d++) {
            const size_t c = a->head * a->dim + d;
            double x = a->of[d].x, y = k[d].x;
            if (a->q) {
                x = (x - a->q[0].zero[c]) * a->q[0].scale[c];
                y = (y - 128) * a->q[1].scale[c];
            }
            sum += x * y;
            size += fabs(x * y);
        }
        a->score[i] = scale * sum + bias;
        a->error[i] = a->q ? 8 * u * (scale * size + fabs(bias)) : gamma_of(a->dim + 8) * (scale * size + fabs(bias));
        if (a->q && !(bias > -INFINITY)) { /* has the code 0 */
            a->score[i] = -INFINITY;
            a->error[i] = 0;
        }
    }
}

/* Probabilities as kernels.h says of vt_softmax_u8_fn: codes up to 255. The scales of a head may differ by 1e-5. */
static void probability_codes(const struct query *a)
{
    double largest = -INFINITY, worst = 0;
    for (size_t i = 0; i < a->keys; i++) {
        largest = fmax(largest, a->score[i]);
        worst = fmax(worst, a->error[i]);
    }
    for (size_t i = 0; i < a->keys; i++) {
        const double t = 255 * exp(a->score[i] - largest), off = 1e-3 + a->error[i] + worst + 8 * u * fabs(largest);
        a->p[i] =
            between(t * (1 - off) < 255 * 0x1p-15 ? 0 : nearbyint(t * (1 - off)), fmin(nearbyint(t * (1 + off)), 255));
    }
}

static struct number log_code_value(const struct vt_node *node, double low, double high)
{
    const double delta = (double)node->u.attention.log_scale, limit = (double)(1u << node->u.attention.log_bits);
    const double a = fmax(nearbyint(-2 * log2(low / delta)), 0), b = fmax(nearbyint(-2 * log2(high / delta)), 0);
    return between(a < limit ? delta * pow(2, -a / 2) : 0, b < limit ? delta * pow(2, -b / 2) : 0);
}

/* As attention may stretch and clip it; 0 and 1 are the ends of what it is otherwise. */
static struct number clipped(const struct vt_node *node, struct number p)
{
    const double gamma = (double)node->u.attention.gamma, stretch = (double)node->u.attention.zeta - gamma;
    if (!vt_is_clipped(node))
        return p;
    const double y = stretch * p.x + gamma;
    return (struct number){ fmin(fmax(y, 0), 1), stretch * p.e + 4 * u * (stretch * p.x - gamma) };
}

/* Normalised ones, which may be rounded to what logarithmic codes stand for. */
static void probability_floats(const struct query *a)
{
    double largest = -INFINITY, worst = 0, sum = 0;
    for (size_t i = 0; i < a->keys; i++) {
        largest = fmax(largest, a->score[i]);
        worst = fmax(worst, a->error[i]);
    }
    for (size_t i = 0; i < a->keys; i++)
        sum += exp(a->score[i] - largest);
    for (size_t i = 0; i < a->keys; i++) {
        const double p = exp(a->score[i] - largest) / sum;
        const double off = 2 * (a->error[i] + worst) + gamma_of(a->keys + 16) + 8 * u * (largest - a->score[i]);
        a->p[i] = a->node->u.attention.log_bits ? log_code_value(a->node, p * (1 - off), p * (1 + off))
                                                : clipped(a->node, (struct number){ p, p * off });
    }
}

/* Output column d: the mean of values, weighted with codes, or the sum of values times probabilities. */
static struct number attend(struct reference *r, const struct query *a, size_t d)
{
    const size_t c = a->head * a->dim_v + d;
    double sum = 0, size = 0, weights = 0, slack = 0, error = 0;
    for (size_t i = 0; i < a->keys; i++) {
        const struct number v = row_of(r, &a->node->in[2], a->first_key + i)[c];
        const double x = a->q ? v.x - 128 : v.x;
        sum += a->p[i].x * x;
        size += a->p[i].x * fabs(x);
        weights += a->p[i].x;
        slack += a->p[i].e;
        error += a->p[i].e * fabs(x) + (a->p[i].x + a->p[i].e) * v.e;
    }
    if (!a->q)
        return (struct number){ sum, error + gamma_of(a->keys + 4) * size };
    const double mean = sum / weights, scale = a->q[2].scale[c], shift = 128 - a->q[2].zero[c];
    error = 0;
    for (size_t i = 0; i < a->keys; i++)
        error += a->p[i].e * fabs(row_of(r, &a->node->in[2], a->first_key + i)[c].x - 128 - mean);
    return (struct number){ scale * (mean + shift),
                            scale * (error / (weights - slack) + 8 * u * (size / weights + fabs(shift))) };
}

/* Times the gate of query i, whose sigmoid is within 2e-7. */
static struct number gated(struct reference *r, const struct vt_node *node, size_t i, size_t head, struct number y)
{
    if (!vt_gate_input(node))
        return y;
    const struct number logit = row_of(r, &node->in[vt_gate_input(node)], i)[head];
    const double gate = 1 / (1 + exp(-logit.x)), error = 2e-7 + logit.e / 4;
    return (struct number){ gate * y.x, gate * y.e + error * (fabs(y.x) + y.e) };
}

static void attention(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    const struct vt_plan_value *values = r->plan->values;
    const struct vt_row_order *order = values[node->in[0].value].order;
    const size_t groups = order ? order->count : 1, heads = node->u.attention.heads;
    const size_t queries = rows_of(r, node->in[0].value) / groups, keys = rows_of(r, node->in[1].value) / groups;
    struct quantizer q[VT_MAX_CODED];
    const bool codes = node->product == VT_PRODUCT_U8S8;
    for (uint32_t k = 0; k < VT_MAX_CODED && codes; k++)
        q[k] = quantizer_new(r, &node->quantizers[k], node->in[k].columns);
    struct query a = { .node = node, .q = codes ? q : NULL, .keys = keys, .bias_factor = 1 };
    a.dim = node->in[0].columns / heads;
    a.dim_v = node->in[2].columns / heads;
    a.score = must(malloc(2 * keys * sizeof *a.score));
    a.error = a.score + keys;
    a.p = must(malloc(keys * sizeof *a.p));
    const uint32_t bias = vt_bias_input(node), key_bias = vt_key_bias_input(node);
    const float *for_keys =
        key_bias ? (const float *)(const void *)(r->s->arena + values[node->in[key_bias].value].offset) : NULL;
    if (bias)
        a.bias_factor = (double)r->plan->graph->nodes[node->in[bias].value].u.relative_bias.divisor;
    for (size_t row = 0; row < out->rows * heads; row++) {
        const size_t i = row / heads, group = i / queries, query = i % queries;
        const float *mask = order ? vt_row_order_mask(order, group) : NULL;
        a.head = row % heads;
        a.first_key = group * keys;
        a.of = row_of(r, &node->in[0], i) + a.head * a.dim;
        a.mask = mask ? mask + order->regions[query] * keys : for_keys;
        if (bias)
            a.bias = (const float *)(const void *)(r->s->arena + values[node->in[bias].value].offset) +
                     (a.head * queries + query) * vt_bias_ld(keys);
        score(r, &a);
        if (codes)
            probability_codes(&a);
        else
            probability_floats(&a);
        for (size_t d = 0; d < a.dim_v; d++)
            out->at[i * out->columns + a.head * a.dim_v + d] = gated(r, node, i, a.head, attend(r, &a, d));
    }
    free(a.score);
    free(a.p);
    for (uint32_t k = 0; k < VT_MAX_CODED && codes; k++)
        quantizer_free(&q[k]);
}

/* ---- What stands between products ---- */

static double activated(enum vt_activation activation, double x)
{
    switch (activation) {
    case VT_ACT_GELU: return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case VT_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case VT_ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case VT_ACT_SILU: return x / (1 + exp(-x));
    case VT_ACT_RELU: return x > 0 ? x : 0;
    case VT_ACT_TANH: return tanh(x);
    default: fail_msg("no activation"); return 0;
    }
}

/* No activation is steeper than 1.2. A GELU whose result becomes a code in the same pass is less exact. */
static void activation(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    const enum vt_activation f = node->u.activation;
    const bool rough =
        (f == VT_ACT_GELU || f == VT_ACT_GELU_TANH) && r->plan->graph->nodes[r->step->out].element == VT_U8;
    for (size_t i = 0; i < out->rows; i++)
        for (size_t c = 0; c < out->columns; c++) {
            const struct number x = row_of(r, &node->in[0], i)[c];
            out->at[i * out->columns + c] =
                (struct number){ activated(f, x.x), 1.2 * x.e + (rough ? 1e-4 : 2e-7) * fmax(1, fabs(x.x)) };
        }
}

static void add(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    for (size_t i = 0; i < out->rows; i++)
        for (size_t c = 0; c < out->columns; c++) {
            const struct number a = row_of(r, &node->in[0], i)[c], b = row_of(r, &node->in[1], i)[c];
            out->at[i * out->columns + c] = (struct number){ a.x + b.x, a.e + b.e + 2 * u * (fabs(a.x) + fabs(b.x)) };
        }
}

static void scale(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    float *w = read_rows(r, node->weight);
    for (size_t i = 0; i < out->rows; i++)
        for (size_t c = 0; c < out->columns; c++) {
            const struct number x = row_of(r, &node->in[0], i)[c];
            const double s = (double)w[c];
            out->at[i * out->columns + c] = (struct number){ x.x * s, x.e * fabs(s) + 3 * u * fabs(x.x * s) };
        }
    free(w);
}

/* The mean is a sum in 16 lanes, the variance another one around it; the inverse root and both products are rounded. */
static void normalise(const struct number *x, size_t n, double eps, const float *gamma, const float *beta,
                      struct number *y)
{
    double mean = 0, size = 0, variance = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(x[i].e == 0);
        mean += x[i].x / (double)n;
        size += fabs(x[i].x) / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        variance += (x[i].x - mean) * (x[i].x - mean) / (double)n;
    const double inverse = 1 / sqrt(variance + eps), mean_error = gamma_of(n / 16 + 8) * size;
    const double relative = gamma_of(n / 16 + 12) +
                            (mean_error * mean_error + 2 * u * size * mean_error) * inverse * inverse +
                            2 * mean_error * inverse * u;
    for (size_t i = 0; i < n; i++) {
        const double centred = x[i].x - mean, g = (double)gamma[i], b = (double)beta[i], t = centred * inverse;
        y[i] = (struct number){ t * g + b, fabs(g) * (inverse * (mean_error + u * (fabs(x[i].x) + fabs(mean))) +
                                                      fabs(t) * (relative + 4 * u)) +
                                               4 * u * (fabs(t * g) + fabs(b)) };
    }
}

static void layer_norm(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    const size_t groups = node->u.norm.groups, n = out->columns / groups;
    float *gamma = read_rows(r, node->weight), *beta = read_rows(r, node->bias);
    for (size_t i = 0; i < out->rows; i++)
        for (size_t g = 0; g < groups; g++)
            normalise(row_of(r, &node->in[0], i) + g * n, n, (double)node->u.norm.eps, gamma, beta,
                      out->at + i * out->columns + g * n);
    free(gamma);
    free(beta);
}

/* Rows of a map in the order of windows, 0 where they stick out, or back. */
static void windows(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    const bool back = node->type == VT_NODE_UNWINDOWS;
    const struct vt_plan_value *ordered =
        &r->plan->values[back ? node->in[0].value : (vt_value)(node - r->plan->graph->nodes)];
    const size_t count = ordered->order->area * ordered->order->count;
    uint32_t *rows = must(malloc(count * sizeof *rows));
    vt_window_rows(ordered->order->pattern, ordered->order->map, rows);
    for (size_t i = 0; i < count; i++)
        if (rows[i] != VT_NO_ROW)
            memcpy(out->at + (back ? rows[i] : i) * out->columns, row_of(r, &node->in[0], back ? i : rows[i]),
                   out->columns * sizeof *out->at);
    free(rows);
}

static void space_to_depth(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    const uint32_t *block = node->u.space_to_depth.block, *map = r->plan->values[node->in[0].value].shape.map;
    const size_t width = r->plan->values[node - r->plan->graph->nodes].shape.map[1], columns = node->in[0].columns;
    for (size_t i = 0; i < out->rows; i++)
        for (size_t b = 0; b < (size_t)block[0] * block[1]; b++) {
            const size_t y = i / width * block[0] + b % block[0], x = i % width * block[1] + b / block[0];
            if (y < map[0] && x < map[1])
                memcpy(out->at + i * out->columns + b * columns, row_of(r, &node->in[0], y * map[1] + x),
                       columns * sizeof *out->at);
        }
}

static void slice(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    for (size_t i = 0; i < out->rows; i++)
        memcpy(out->at + i * out->columns, row_of(r, &node->in[0], node->u.rows.first_row + i),
               out->columns * sizeof *out->at);
}

/* Rows that stay, each as it is. */
static void apply(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    const struct vt_token_entry *map =
        (const struct vt_token_entry *)(const void *)(r->s->arena + r->plan->values[node->in[1].value].offset);
    for (size_t i = 0; i < out->rows; i++) {
        assert_true((size_t)map[i].end == i + 1 && map[i].weight == 1);
        memcpy(out->at + i * out->columns, row_of(r, &node->in[0], (size_t)map[i].source),
               out->columns * sizeof *out->at);
    }
}

/* Codes, or numbers that codes stand for; nobody reads the other columns. */
static void convert(struct reference *r, const struct vt_node *node, struct matrix *out)
{
    for (uint32_t p = 0; p < node->u.convert.part_count; p++) {
        const size_t first = node->u.convert.parts[p].column, n = node->u.convert.parts[p].columns;
        struct quantizer q = quantizer_new(r, &node->quantizers[p], n);
        for (size_t i = 0; i < out->rows; i++)
            for (size_t c = 0; c < n; c++) {
                const struct number code = encode(row_of(r, &node->in[0], i)[first + c], &q, c);
                out->at[i * out->columns + first + c] = node->element == VT_U8 ? code : decode(code, &q, c);
            }
        quantizer_free(&q);
    }
}

static void evaluate(struct reference *r, vt_value v)
{
    const struct vt_node *node = &r->plan->graph->nodes[v];
    struct matrix out = matrix_new(r, v);
    switch (node->type) {
    case VT_NODE_CONV2D: conv2d(r, node, &out); break;
    case VT_NODE_LINEAR: linear(r, node, &out); break;
    case VT_NODE_LAYER_NORM: layer_norm(r, node, &out); break;
    case VT_NODE_ATTENTION: attention(r, node, &out); break;
    case VT_NODE_ACTIVATION: activation(r, node, &out); break;
    case VT_NODE_ADD: add(r, node, &out); break;
    case VT_NODE_MUL: scale(r, node, &out); break;
    case VT_NODE_WINDOWS:
    case VT_NODE_UNWINDOWS: windows(r, node, &out); break;
    case VT_NODE_SPACE_TO_DEPTH: space_to_depth(r, node, &out); break;
    case VT_NODE_SLICE: slice(r, node, &out); break;
    case VT_NODE_APPLY: apply(r, node, &out); break;
    case VT_NODE_CONVERT: convert(r, node, &out); break;
    default: fail_msg("node %s is part of a step that reads or makes codes", node->name);
    }
    r->values[v] = out;
}

/* ---- Steps ---- */

static bool has_codes(const struct reference *r, const struct vt_step *s)
{
    const struct vt_node *out = &r->plan->graph->nodes[s->out];
    return vt_step_multiplies_codes(s) || (out->type == VT_NODE_CONVERT && out->u.convert.part_count) ||
           out->element == VT_U8;
}

/* Is the column one that somebody reads? */
static bool is_coded(const struct vt_node *out, size_t c)
{
    bool coded = out->type != VT_NODE_CONVERT;
    for (uint32_t p = 0; out->type == VT_NODE_CONVERT && p < out->u.convert.part_count; p++)
        coded |= c - out->u.convert.parts[p].column < out->u.convert.parts[p].columns;
    return coded;
}

static void compare(struct reference *r, const struct matrix *wanted, struct step_counts *counts)
{
    const struct vt_node *out = &r->plan->graph->nodes[r->step->out];
    const struct matrix found = read_value(r, r->step->out);
    for (size_t i = 0; i < found.rows * found.columns; i++) {
        const struct number w = wanted->at[i];
        if (!is_coded(out, i % found.columns))
            continue;
        const bool no_number = isnan(w.x) && (isnan(found.at[i].x) || (out->element == VT_U8 && found.at[i].x == 0));
        if (!(fabs(found.at[i].x - w.x) <= w.e + (double)FLT_MIN) && !no_number)
            fail_msg("step of %s to %s, row %zu, column %zu: %.9g, expected %.9g to %.9g", r->step->node->name,
                     out->name, i / found.columns, i % found.columns, found.at[i].x, w.x - w.e, w.x + w.e);
        counts->codes += out->element == VT_U8;
        counts->ambiguous += out->element == VT_U8 && w.e > 0;
        counts->clipped += out->element == VT_U8 && (w.x == 0 || w.x == (double)((1u << out->quantizers[0].bits) - 1));
    }
    free(found.at);
}

static void check_step(struct reference *r, const struct vt_exec *x, size_t i, struct step_counts *counts)
{
    const size_t n = r->plan->graph->node_count;
    r->step = &r->plan->steps[i];
    r->values = must(calloc(n, sizeof *r->values));
    const bool checked = has_codes(r, r->step);
    if (checked) /* before it runs: what it reads may be overwritten */
        evaluate(r, r->step->out);
    vt_exec_step(x, r->step, &r->s->weights[i]);
    if (checked)
        compare(r, &r->values[r->step->out], counts);
    counts->steps += checked;
    for (size_t v = 0; v < n; v++)
        free(r->values[v].at);
    free(r->values);
}

struct step_counts check_steps(const char *model, vitrt_session *s, const float *pixels)
{
    struct reference r = { .model = model, .s = s, .plan = s->plan };
    struct step_counts counts = { 0 };
    const struct vt_shape *input = &s->plan->values[0].shape;
    const vitrt_image image = {
        .data = pixels, .width = input->map[1], .height = input->map[0], .format = VITRT_FORMAT_F32
    };
    vitrt_error err;
    assert_int_equal(s->plan->max_batch, 1);
    assert_ok(vitrt_run(s, &image, 1, NULL, &err), &err);
    if (s->pixels[0] != pixels) /* a copy, which later steps have overwritten */
        memcpy(s->arena + s->plan->values[0].offset, pixels, vt_shape_rows(input) * input->columns * sizeof *pixels);
    const struct vt_exec x = { .plan = s->plan,
                               .pool = s->pool,
                               .arena = s->arena,
                               .scratch = s->arena + s->plan->value_bytes,
                               .scratch_bytes = s->plan->scratch_bytes,
                               .images = 1,
                               .offsets = s->offsets,
                               .pixels = s->pixels,
                               .weights = s->weights };
    for (size_t i = s->plan->constant_count; i < s->plan->step_count; i++)
        check_step(&r, &x, i, &counts);
    return counts;
}
