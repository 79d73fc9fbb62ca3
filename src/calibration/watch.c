/* SPDX-License-Identifier: Apache-2.0 */
/* See watch.h. */
#include "watch.h"

#include "op_attention.h"

#include <math.h>
#include <string.h>

/* ---- How ---- */

/* The node whose numbers come in another order, or convolved channel by channel, to the one that reads v. */
static const struct vt_node *origin(const struct vt_graph *g, vt_value v)
{
    const struct vt_node *node = &g->nodes[v];
    while (node->type == VT_NODE_WINDOWS || node->type == VT_NODE_SLICE || vt_is_depthwise(node))
        node = &g->nodes[node->in[0].value];
    return node;
}

/* How ranges spread over the columns of what these nodes yield, measured on a ViT-S/14 with 32 and 300 images: norms
 * show nearly all of their range at once and differ by their gamma; attention and activations have rare large
 * numbers. */
static struct vt_spread spread_behind(const struct vt_node *origin)
{
    switch (origin->type) {
    case VT_NODE_LAYER_NORM: return (struct vt_spread){ .alpha = 0.75, .margin = 1.1 };
    case VT_NODE_ATTENTION: return (struct vt_spread){ .alpha = 0.4, .margin = 1.25 };
    case VT_NODE_ACTIVATION: return (struct vt_spread){ .alpha = 0.25, .margin = 1.2, .one_sided = true };
    default: return (struct vt_spread){ .alpha = 0.5, .margin = 1, .deviations = 5 };
    }
}

static enum vt_way way_of(const struct vt_graph *g, const struct vt_node *node, const struct vt_view *view, uint32_t k,
                          bool search)
{
    const bool groups = node->type == VT_NODE_CONV2D && node->u.conv.groups > 1;
    if (k == VT_PROBABILITIES)
        return VT_WAY_PROBABILITIES;
    if (g->nodes[view->value].type == VT_NODE_INPUT)
        return groups ? VT_WAY_TENSOR : VT_WAY_PIXELS;
    if (search)
        return VT_WAY_SEARCH;
    if (node->type == VT_NODE_ATTENTION)
        return k == 2 ? VT_WAY_COLUMNS : VT_WAY_BALANCED;
    return groups ? VT_WAY_TENSOR : VT_WAY_COLUMNS;
}

void vt_watch_choose(struct vt_watch *w, const vitrt_model *m, const vitrt_quantize_options *o, uint32_t bits,
                     vt_value v, uint32_t k)
{
    static const struct vt_spread operands = { .alpha = 1, .margin = 1.2 };
    const struct vt_node *node = &m->graph.nodes[v], *from = origin(&m->graph, node->in[0].value);
    const bool attention = node->type == VT_NODE_ATTENTION;
    const bool groups = node->type == VT_NODE_CONV2D && node->u.conv.groups > 1;
    *w = (struct vt_watch){ .operand = { .node = v, .input = k, .bits = bits },
                            .view = k == VT_PROBABILITIES ? (struct vt_view){ v, 0, node->columns } : node->in[k] };
    w->way = way_of(&m->graph, node, &w->view, k, bits < 8 || o->flags & VITRT_QUANTIZE_PERCENTILES);
    if (w->way == VT_WAY_PIXELS)
        w->operand.bits = 8;
    const struct vt_spread spread = attention ? operands : spread_behind(from);
    w->spread = vt_spread_for(&spread, o->image_count);
    w->by_column = w->way == VT_WAY_SEARCH && from->type == VT_NODE_LAYER_NORM && !attention && !groups &&
                   !(o->flags & VITRT_QUANTIZE_TENSORS);
    const bool one = w->way == VT_WAY_TENSOR || w->way == VT_WAY_PROBABILITIES || w->way == VT_WAY_SEARCH;
    w->operand.columns = one && !w->by_column ? 1 : w->view.columns;
}

/* ---- Memory ---- */

/* Products of more rows would cost more time than they bring. */
#define MOST_PRODUCT_ROWS 8192

/* Percentiles of a column need so many rows; a head, which reads one of each image, has few. */
#define LEAST_ROWS 1000

static const struct vt_step *step_of(const struct vt_plan *p, vt_value out)
{
    size_t i = 0;
    while (p->steps[i].out != out)
        i++;
    return &p->steps[i];
}

static size_t keys_of(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_plan_value *k = &p->values[s->node->in[1].value];
    return k->rows / vt_attention_groups(p, s);
}

static struct vt_observer_spec spec_of(const struct vt_watch *w, const vitrt_session *s, size_t images)
{
    const uint64_t rows = s->plan->values[s->outputs[w->tap].value].rows;
    struct vt_observer_spec spec = {
        .rows = rows * images, .columns = w->view.columns, .bits = (uint8_t)w->operand.bits, .per_column = w->by_column
    };
    if (w->way == VT_WAY_PROBABILITIES) {
        spec.rows *= w->step->node->u.attention.heads;
        spec.columns = w->keys;
        spec.log = true;
    }
    return spec;
}

/* Few rows show connections of columns that there are not. */
static vitrt_status allocate_products(struct vt_watch *w, const vitrt_session *s, size_t images, size_t *room,
                                      vitrt_error *err)
{
    const struct vt_node *node = &s->model->graph.nodes[w->operand.node];
    const uint64_t rows = (uint64_t)s->plan->values[s->outputs[w->tap].value].rows * images;
    const size_t bytes = vt_products_bytes(w->view.columns, &s->kernels);
    if (node->type != VT_NODE_LINEAR || rows < 2 * w->view.columns || bytes > *room)
        return VITRT_OK;
    *room -= bytes;
    w->product_stride = (size_t)(rows / MOST_PRODUCT_ROWS) + 1;
    w->operand.products = &w->products;
    return vt_products_init(&w->products, w->view.columns, &s->kernels, &s->alloc, err);
}

vitrt_status vt_watch_allocate(struct vt_watch *w, const vitrt_session *s, size_t images, size_t *room,
                               vitrt_error *err)
{
    const vitrt_allocator *a = &s->alloc;
    const size_t n = w->view.columns;
    if (w->way == VT_WAY_PROBABILITIES) {
        w->step = step_of(s->plan, s->outputs[w->tap].value);
        w->keys = keys_of(s->plan, w->step);
        w->probabilities = vt_alloc(a, w->keys * sizeof *w->probabilities);
        if (!w->probabilities)
            return vt_err_memory(err, w->keys * sizeof *w->probabilities, "the calibration");
    }
    w->columns = vt_alloc(a, n * sizeof *w->columns);
    w->quantizers = vt_calloc(a, n, sizeof *w->quantizers);
    w->scales = vt_calloc(a, n, sizeof *w->scales);
    w->zeros = vt_calloc(a, n, sizeof *w->zeros);
    w->means = vt_calloc(a, n, sizeof *w->means);
    w->code_means = vt_calloc(a, n, sizeof *w->code_means);
    if (!w->columns || !w->quantizers || !w->scales || !w->zeros || !w->means || !w->code_means)
        return vt_err_memory(err, n * sizeof *w->columns, "the calibration");
    for (size_t i = 0; i < n; i++)
        w->columns[i] = (struct vt_column){ INFINITY, -INFINITY, 0, 0 };
    w->operand.scales = w->scales;
    w->operand.zeros = w->zeros;
    w->operand.means = w->means;
    w->operand.code_means = w->code_means;
    if (w->by_column && s->plan->values[s->outputs[w->tap].value].rows * images < LEAST_ROWS) {
        w->by_column = false;
        w->operand.columns = 1;
    }
    const vitrt_status st = allocate_products(w, s, images, room, err);
    if (st)
        return st;
    w->has_observer = w->way == VT_WAY_SEARCH || w->way == VT_WAY_PROBABILITIES;
    const struct vt_observer_spec spec = spec_of(w, s, images);
    return w->has_observer ? vt_observer_init(&w->observer, &spec, a, err) : VITRT_OK;
}

void vt_watch_free(struct vt_watch *w, const vitrt_allocator *a)
{
    vt_free(a, w->columns, w->view.columns * sizeof *w->columns);
    vt_free(a, w->quantizers, w->view.columns * sizeof *w->quantizers);
    vt_free(a, w->scales, w->view.columns * sizeof *w->scales);
    vt_free(a, w->zeros, w->view.columns * sizeof *w->zeros);
    vt_free(a, w->means, w->view.columns * sizeof *w->means);
    vt_free(a, w->code_means, w->view.columns * sizeof *w->code_means);
    if (w->product_stride)
        vt_products_free(&w->products, a);
    vt_free(a, w->probabilities, w->keys * sizeof *w->probabilities);
    if (w->has_observer)
        vt_observer_free(&w->observer, a);
}

/* ---- Seeing ---- */

static void observe_rows(struct vt_watch *w, const float *x, size_t rows, size_t ld, bool second)
{
    if (second)
        vt_observer_compare(&w->observer, x, rows, ld);
    else
        vt_observer_collect(&w->observer, x, rows, ld);
}

static void see_probabilities(struct vt_watch *w, const vitrt_session *s, bool second)
{
    struct vt_exec x = vt_session_exec(s);
    x.images = 1;
    const size_t groups = vt_attention_groups(s->plan, w->step), heads = w->step->node->u.attention.heads;
    for (size_t i = 0; i < groups * heads; i++) {
        const struct vt_attention a =
            vt_attention_of_head(&x, w->step, &s->weights[w->step - s->plan->steps], i / heads, i % heads);
        for (size_t q = 0; q < a.queries; q++) {
            vt_attention_probabilities(&a, q, w->probabilities);
            memset(w->probabilities + a.keys, 0, (w->keys - a.keys) * sizeof *w->probabilities);
            observe_rows(w, w->probabilities, 1, a.keys, second);
        }
    }
}

/* What codes make of the mean of rounded and clipped numbers, of the columns of a layer's input. */
static void see_codes(struct vt_watch *w, const float *x, size_t rows, size_t ld)
{
    for (size_t c = 0; c < w->view.columns; c++) {
        const struct vt_quantizer *q = &w->quantizers[c];
        const double inverse = 1 / (double)q->scale, zero = (double)q->zero, top = vt_top_code(q->bits);
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += vt_round_even(vt_clamp((double)x[r * ld + c] * inverse + zero, 0, top)) - zero;
        w->code_means[c] += sum * (double)q->scale / (double)w->rows;
    }
}

void vt_watch_see(struct vt_watch *w, const vitrt_session *s, bool second)
{
    if (w->way == VT_WAY_PROBABILITIES) {
        see_probabilities(w, s, second);
        return;
    }
    const struct vt_plan_value *of = &s->plan->values[s->outputs[w->tap].value];
    const float *x = (const float *)(const void *)(s->arena + of->offset) + w->view.column;
    const size_t rows = vt_output_rows(s, w->tap);
    if (!second) {
        vt_columns_add(w->columns, w->view.columns, x, rows, of->ld);
        w->rows += rows;
        if (w->product_stride && w->images++ % w->product_stride == 0)
            vt_products_add(&w->products, &s->kernels, x, rows, of->ld);
    }
    if (w->has_observer)
        observe_rows(w, x, rows, of->ld, second);
    else if (second && vt_operand_count(&s->model->graph.nodes[w->operand.node]) == 1)
        see_codes(w, x, rows, of->ld);
}

/* ---- Results ---- */

/* Columns of q and k count as no narrower than this part of the widest one of their head. */
#define LEAST_SHARE 1e-3

/* No step of a score is finer: softmax would not notice, and integers of a pruned head could not follow. */
#define LEAST_SCORE 0x1p-24

/* An image's 8-bit values are codes already: those of channel c that stand for what preprocessing makes of them. */
static void code_pixels(const vitrt_model *m, struct vt_watch *w)
{
    for (size_t i = 0; i < w->view.columns; i++) {
        const float *value = m->preprocess.table.value[(w->view.column + i) % 3];
        const double scale = ((double)value[255] - (double)value[0]) / 255;
        w->quantizers[i] = (struct vt_quantizer){ (float)scale, (float)(-(double)value[0] / scale), 8 };
    }
}

/* Ranges of the columns from `first` on as one. */
static enum vt_fit join_columns(struct vt_watch *w, size_t first, size_t n)
{
    struct vt_column all = w->columns[first];
    for (size_t i = first + 1; i < first + n; i++) {
        all.min = fminf(all.min, w->columns[i].min);
        all.max = fmaxf(all.max, w->columns[i].max);
        all.sum += w->columns[i].sum;
        all.squares += w->columns[i].squares;
    }
    const enum vt_fit fit = vt_spread_columns(&w->spread, &all, 1, w->rows * n, w->operand.bits, &w->quantizers[first]);
    for (size_t i = first + 1; i < first + n; i++)
        w->quantizers[i] = w->quantizers[first];
    return fit;
}

/* How far the numbers of a column reach. q's codes have one for 0, which attention takes off with integers. */
static void reach_of(const struct vt_watch *w, size_t c, double *lo, double *hi)
{
    *lo = (double)w->columns[c].min;
    *hi = (double)w->columns[c].max;
    vt_widen_constant(lo, hi);
    if (w->operand.input == 0) {
        *lo = fmin(*lo, 0);
        *hi = fmax(*hi, 0);
    }
}

/* The width of a column's numbers, at least so much that scales around it can have any ratio: no quantizer may become
 * wider than balance_head asks for. 1 in a head of zeros. */
static double width_of(const struct vt_watch *w, size_t c, double widest)
{
    double lo, hi;
    reach_of(w, c, &lo, &hi);
    return fmax(fmax(hi - lo, fmax(-lo, hi) / 128), widest > 0 ? LEAST_SHARE * widest : 1);
}

static double widest_of(const struct vt_watch *w, size_t first, size_t n)
{
    double widest = 0;
    for (size_t c = first; c < first + n; c++) {
        double lo, hi;
        reach_of(w, c, &lo, &hi);
        widest = fmax(widest, hi - lo);
    }
    return widest;
}

/* Columns [first, first + n) of a head, q's or k's: a column's width is that of its own numbers times a factor, by
 * which the other one's is divided, so that the products of their scales are the same for all columns. */
static enum vt_fit balance_head(struct vt_watch *w, size_t first, size_t n, double score_scale)
{
    const double own = widest_of(w, first, n), other = widest_of(w->other, first, n);
    const double steps = vt_top_code(w->operand.bits) / w->spread.margin;
    double both = LEAST_SCORE / score_scale * steps * steps;
    enum vt_fit worst = VT_FIT_OK;
    for (size_t c = first; c < first + n; c++)
        both = fmax(both, width_of(w, c, own) * width_of(w->other, c, other));
    for (size_t c = first; c < first + n; c++) {
        double lo, hi;
        reach_of(w, c, &lo, &hi);
        const double ratio = width_of(w, c, own) / width_of(w->other, c, other);
        const double middle = (lo + hi) / 2, half = w->spread.margin * sqrt(both * ratio) / 2;
        const bool finite = isfinite(w->columns[c].squares);
        const enum vt_fit fit =
            vt_quantizer_of_range(&w->quantizers[c], finite ? middle - half : NAN, middle + half, w->operand.bits);
        worst = fit > worst ? fit : worst;
    }
    return worst;
}

/* Columns that were always 0 have the scale that others have on average: their weights take it over, and must be no
 * larger or smaller than others of their row. */
static void fill_zero_columns(struct vt_watch *w)
{
    double sum = 0;
    size_t count = 0;
    for (size_t c = 0; c < w->view.columns; c++)
        if (w->columns[c].squares > 0) {
            sum += (double)w->quantizers[c].scale;
            count++;
        }
    for (size_t c = 0; c < w->view.columns && count; c++)
        if (!(w->columns[c].squares > 0)) {
            w->quantizers[c].scale = (float)(sum / (double)count);
            w->quantizers[c].zero = (float)((vt_top_code(w->operand.bits) + 1) / 2);
        }
}

static enum vt_fit find_quantizers(const vitrt_model *m, struct vt_watch *w)
{
    const struct vt_node *node = &m->graph.nodes[w->operand.node];
    const size_t n = w->view.columns, heads = node->u.attention.heads;
    enum vt_fit worst = VT_FIT_OK;
    switch (w->way) {
    case VT_WAY_PIXELS: code_pixels(m, w); break;
    case VT_WAY_COLUMNS: return vt_spread_columns(&w->spread, w->columns, n, w->rows, w->operand.bits, w->quantizers);
    case VT_WAY_TENSOR: return join_columns(w, 0, n);
    case VT_WAY_BALANCED:
        for (size_t i = 0; i < n; i += n / heads) {
            const enum vt_fit fit = balance_head(w, i, n / heads, (double)node->u.attention.scale);
            worst = fit > worst ? fit : worst;
        }
        break;
    case VT_WAY_SEARCH:
    case VT_WAY_PROBABILITIES:
        for (size_t i = 0; i < w->operand.columns; i++) {
            const enum vt_fit fit = vt_observer_quantizer(&w->observer, i, &w->quantizers[i]);
            worst = fit > worst ? fit : worst;
        }
        if (w->by_column)
            fill_zero_columns(w);
        break;
    }
    return worst;
}

/* Does the node read zeros that have not been seen, or will, at another size: those that windows, blocks of a map and
 * convolutions are padded with? */
static bool is_padded(const struct vt_graph *g, const struct vt_node *node)
{
    const enum vt_node_type from = g->nodes[node->in[0].value].type;
    const struct vt_sliding *slide = &node->u.conv.slide;
    if (node->type == VT_NODE_CONV2D && from != VT_NODE_INPUT)
        return slide->padding[0] || slide->padding[1] || slide->cover;
    return node->type == VT_NODE_LINEAR && (from == VT_NODE_WINDOWS || from == VT_NODE_SPACE_TO_DEPTH);
}

/* Gives 0 a code of its own. */
static void reach_zero(struct vt_quantizer *q)
{
    const double top = vt_top_code(q->bits), zero = (double)q->zero, scale = (double)q->scale;
    if (zero < 0 || zero > top)
        (void)vt_quantizer_of_range(q, zero < 0 ? 0 : -zero * scale, zero < 0 ? (top - zero) * scale : 0, q->bits);
}

vitrt_status vt_watch_finish(struct vt_watch *w, const vitrt_model *m, vitrt_error *err)
{
    const struct vt_node *node = &m->graph.nodes[w->operand.node];
    if (find_quantizers(m, w) == VT_FIT_NOT_FINITE)
        return vt_err(err, VITRT_EINVAL, "%s: node %s: input %u was NaN or infinite for a calibration image",
                      vt_checkpoint_path(m->checkpoint), node->name, (unsigned)w->operand.input);
    /* attention takes q's zero point off with integers */
    const bool has_zero = (node->type == VT_NODE_ATTENTION && w->operand.input == 0) || is_padded(&m->graph, node);
    for (size_t g = 0; g < w->view.columns; g++) {
        if (has_zero && g < w->operand.columns)
            reach_zero(&w->quantizers[g]);
        w->scales[g] = w->quantizers[g].scale;
        w->zeros[g] = w->quantizers[g].zero;
        if (g < w->operand.columns && !vt_is_code_scale(w->scales[g]))
            return vt_err(
                err, VITRT_EINVAL, "%s: node %s: codes of input %u need a scale of %g, expected 1e-30 to 1e30",
                vt_checkpoint_path(m->checkpoint), node->name, (unsigned)w->operand.input, (double)w->scales[g]);
        w->means[g] = w->columns[g].sum / (double)w->rows;
        if (w->has_observer) /* both passes are over */
            w->code_means[g] = w->means[g];
    }
    return VITRT_OK;
}
