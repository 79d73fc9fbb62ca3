/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate.h. */
#include "calibrate.h"

#include "calibrate_units.h"
#include "channel_scales.h"
#include "observer.h"
#include "session.h"

#include <math.h>
#include <string.h>

/* How an input gets its quantizer. */
enum way {
    WAY_PIXELS,  /* it is the image, whose 8-bit values are codes already */
    WAY_COLUMNS, /* every column by itself, */
    WAY_HEADS,   /* or those of a head together */
    WAY_TENSOR,  /* all columns together */
    WAY_SEARCH   /* by percentiles: RepQ-ViT's search (arXiv:2212.08254, sec. 4.1); columns of norms by themselves */
};

/* What is known of one input while it is observed. */
struct watch {
    struct vt_operand operand;
    struct vt_view view; /* in the model's graph */
    enum way way;
    struct vt_spread spread;
    size_t tap;                  /* index of the session's output */
    struct vt_column *columns;   /* [view.columns] */
    uint64_t rows;               /* that they have seen */
    struct vt_observer observer; /* of WAY_SEARCH */
    bool has_observer, by_column;
    struct vt_quantizer *quantizers; /* [view.columns] */
    float *scales, *zeros;           /* [view.columns] */
    double *means;                   /* [view.columns] */
};

struct vt_calibration {
    vitrt_allocator alloc;
    const vitrt_model *model;
    const vitrt_quantize_options *o;
    uint32_t bits;
    struct watch *watches;
    size_t count;
    vt_value *taps; /* values that the session keeps */
    size_t tap_count, capacity, tap_capacity;
    float *largest; /* [node_count]: magnitude in each value that has a unit */
    size_t *value_taps; /* [node_count] */
    vitrt_session *session;
    int passes;
    bool second;  /* of them */
    size_t blank; /* images, in this pass */
};

/* ---- What to watch ---- */

/* Do other layers multiply the same weight? */
static bool shares_weight(const struct vt_graph *g, const struct vt_node *node)
{
    size_t readers = 0;
    for (size_t v = 0; v < g->node_count && node->weight != VT_NO_WEIGHT; v++)
        readers += g->nodes[v].weight == node->weight || g->nodes[v].bias == node->weight;
    return readers > 1;
}

/* The node whose numbers come in another order, or convolved channel by channel, to the one that reads v. */
static const struct vt_node *origin(const struct vt_graph *g, vt_value v)
{
    const struct vt_node *node = &g->nodes[v];
    while (node->type == VT_NODE_WINDOWS || node->type == VT_NODE_SLICE || vt_is_depthwise(node))
        node = &g->nodes[node->in[0].value];
    return node;
}

/* How ranges spread over the columns of what these nodes yield, measured on a ViT-S/14 with 32 and 300 images: norms
 * show nearly all of their range at once and differ by their gamma; attention and activations have rare large numbers. */
static struct vt_spread spread_behind(const struct vt_node *origin)
{
    switch (origin->type) {
    case VT_NODE_LAYER_NORM: return (struct vt_spread){ .alpha = 0.75, .margin = 1.1 };
    case VT_NODE_ATTENTION: return (struct vt_spread){ .alpha = 0.4, .margin = 1.5 };
    case VT_NODE_ACTIVATION: return (struct vt_spread){ .alpha = 0.3, .margin = 1.5, .one_sided = true };
    default: return (struct vt_spread){ .alpha = 0.5, .margin = 1, .deviations = 5 };
    }
}

static void choose_way(struct watch *w, const struct vt_calibration *c, const struct vt_node *node)
{
    static const struct vt_spread operands = { .alpha = 1, .margin = 1.2 };
    const struct vt_graph *g = &c->model->graph;
    const bool groups = node->type == VT_NODE_CONV2D && node->u.conv.groups > 1;
    const struct vt_node *from = origin(g, node->in[0].value);
    const bool search = c->bits < 8 || c->o->flags & VITRT_QUANTIZE_PERCENTILES;
    if (g->nodes[w->view.value].type == VT_NODE_INPUT)
        w->way = groups ? WAY_TENSOR : WAY_PIXELS;
    else if (search)
        w->way = WAY_SEARCH;
    else if (node->type == VT_NODE_ATTENTION)
        w->way = w->operand.input == 2 ? WAY_COLUMNS : WAY_HEADS;
    else
        w->way = groups ? WAY_TENSOR : WAY_COLUMNS;
    w->spread =
        vt_spread_for(node->type == VT_NODE_ATTENTION ? &operands : &(struct vt_spread){ 0 }, c->o->image_count);
    if (node->type != VT_NODE_ATTENTION) {
        const struct vt_spread spread = spread_behind(from);
        w->spread = vt_spread_for(&spread, c->o->image_count);
    }
    const bool norm = from->type == VT_NODE_LAYER_NORM && node->type != VT_NODE_ATTENTION && !groups &&
                      !(c->o->flags & VITRT_QUANTIZE_TENSORS);
    w->by_column = w->way == WAY_SEARCH && norm;
    w->operand.columns = w->way == WAY_TENSOR || (w->way == WAY_SEARCH && !norm) ? 1 : w->view.columns;
}

static size_t tap_of(struct vt_calibration *c, vt_value v)
{
    for (size_t i = 0; i < c->tap_count; i++)
        if (c->taps[i] == v)
            return i;
    c->taps[c->tap_count] = v;
    return c->tap_count++;
}

static void watch(struct vt_calibration *c, vt_value v, uint32_t k)
{
    const struct vt_graph *g = &c->model->graph;
    const struct vt_node *node = &g->nodes[v];
    struct watch *w = &c->watches[c->count++];
    *w = (struct watch){ .operand = { .node = v, .input = k, .bits = c->bits }, .view = node->in[k] };
    choose_way(w, c, node);
    w->tap = tap_of(c, w->view.value);
    if (w->way == WAY_PIXELS)
        w->operand.bits = 8;
}

static vitrt_status list_watches(struct vt_calibration *c, vitrt_error *err)
{
    const struct vt_graph *g = &c->model->graph;
    size_t most = 0;
    for (size_t v = 0; v < g->node_count; v++)
        most += vt_operand_count(&g->nodes[v]);
    c->capacity = most;
    c->watches = vt_calloc(&c->alloc, most, sizeof *c->watches);
    c->tap_capacity = most + g->node_count;
    c->taps = vt_calloc(&c->alloc, c->tap_capacity, sizeof *c->taps);
    c->largest = vt_calloc(&c->alloc, g->node_count, sizeof *c->largest);
    c->value_taps = vt_calloc(&c->alloc, g->node_count, sizeof *c->value_taps);
    if ((most && !c->watches) || !c->taps || !c->largest || !c->value_taps)
        return vt_err_memory(err, c->tap_capacity * sizeof *c->watches, "the calibration");
    for (size_t v = 0; v < g->node_count; v++)
        for (uint32_t k = 0; k < vt_operand_count(&g->nodes[v]) && !shares_weight(g, &g->nodes[v]); k++)
            watch(c, (vt_value)v, k);
    for (size_t v = 0; v < g->node_count; v++)
        if (vt_has_unit(&g->nodes[v]))
            c->value_taps[v] = tap_of(c, (vt_value)v);
    if (!c->count)
        return vt_err(err, VITRT_EINVAL, "%s: the model has no product that could be quantized",
                      vt_checkpoint_path(c->model->checkpoint));
    return VITRT_OK;
}

/* ---- Observers ---- */

static vitrt_status allocate_watch(struct vt_calibration *c, struct watch *w, vitrt_error *err)
{
    const size_t n = w->view.columns, rows = c->session->plan->values[c->session->outputs[w->tap].value].rows;
    const struct vt_observer_spec spec = { .rows = (uint64_t)rows * c->o->image_count,
                                           .columns = n,
                                           .bits = (uint8_t)w->operand.bits,
                                           .per_column = w->by_column };
    w->columns = vt_alloc(&c->alloc, n * sizeof *w->columns);
    w->quantizers = vt_calloc(&c->alloc, n, sizeof *w->quantizers);
    w->scales = vt_calloc(&c->alloc, n, sizeof *w->scales);
    w->zeros = vt_calloc(&c->alloc, n, sizeof *w->zeros);
    w->means = vt_calloc(&c->alloc, n, sizeof *w->means);
    if (!w->columns || !w->quantizers || !w->scales || !w->zeros || !w->means)
        return vt_err_memory(err, n * sizeof *w->columns, "the calibration");
    for (size_t i = 0; i < n; i++)
        w->columns[i] = (struct vt_column){ INFINITY, -INFINITY, 0, 0 };
    w->operand.scales = w->scales;
    w->operand.zeros = w->zeros;
    w->operand.means = w->means;
    w->has_observer = w->way == WAY_SEARCH;
    return w->has_observer ? vt_observer_init(&w->observer, &spec, &c->alloc, err) : VITRT_OK;
}

static vitrt_status allocate(struct vt_calibration *c, vitrt_error *err)
{
    vitrt_status st = VITRT_OK;
    for (size_t i = 0; i < c->count && !st; i++) {
        st = allocate_watch(c, &c->watches[i], err);
        c->passes = c->watches[i].has_observer ? 2 : c->passes;
    }
    return st;
}

/* What one watched input read of the image that has just run. */
static void observe(void *arg, size_t begin, size_t end, size_t worker)
{
    struct vt_calibration *c = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        struct watch *w = &c->watches[i];
        const vt_value value = c->session->outputs[w->tap].value;
        const struct vt_plan_value *of = &c->session->plan->values[value];
        const float *x = (const float *)(const void *)(c->session->arena + of->offset) + w->view.column;
        if (c->second && w->has_observer) {
            vt_observer_compare(&w->observer, x, of->rows, of->ld);
        } else if (!c->second) {
            vt_columns_add(w->columns, w->view.columns, x, of->rows, of->ld);
            w->rows += of->rows;
            if (w->has_observer)
                vt_observer_collect(&w->observer, x, of->rows, of->ld);
        }
    }
}

/* The values of the image that has just run. */
static void observe_units(void *arg, size_t begin, size_t end, size_t worker)
{
    struct vt_calibration *c = arg;
    (void)worker;
    for (size_t v = begin; v < end; v++) {
        if (!vt_has_unit(&c->model->graph.nodes[v]))
            continue;
        const struct vt_plan_value *of = &c->session->plan->values[c->session->outputs[c->value_taps[v]].value];
        vt_unit_observe(&c->largest[v], (const float *)(const void *)(c->session->arena + of->offset), of->rows,
                        of->shape.columns, of->ld);
    }
}

void vt_calibration_units(const struct vt_calibration *c, struct vt_graph *g)
{
    for (size_t v = 0; v < g->node_count; v++)
        if (vt_has_unit(&g->nodes[v]))
            g->nodes[v].unit = vt_unit_of_largest(c->largest[v]);
}

/* ---- Images ---- */

/* Are all pixels of the image the same? */
static bool is_blank(const vitrt_session *s)
{
    const size_t count = s->plan->values[0].rows * s->plan->values[0].shape.columns;
    const float *x = s->pixels[0];
    for (size_t i = 3; i < count; i++)
        if (x[i] != x[i % 3])
            return false;
    return true;
}

static vitrt_status run_image(struct vt_calibration *c, const vitrt_image *image, vitrt_error *err)
{
    const vitrt_status st = vitrt_run(c->session, image, 1, NULL, err);
    if (st)
        return st;
    c->blank += is_blank(c->session);
    vt_parallel(c->session->pool, c->count, 1, observe, c);
    if (!c->second)
        vt_parallel(c->session->pool, c->model->graph.node_count, 8, observe_units, c);
    return VITRT_OK;
}

static vitrt_status run_images(struct vt_calibration *c, vitrt_error *err)
{
    const vitrt_quantize_options *o = c->o;
    vitrt_status st = VITRT_OK;
    for (size_t i = 0; i < o->image_count && !st; i++) {
        vitrt_image image;
        if (o->images) {
            st = run_image(c, &o->images[i], err);
        } else {
            memset(&image, 0, sizeof image);
            st = o->read_image(o->user, i, &image, err);
            if (!st)
                st = run_image(c, &image, err);
            if (o->release_image)
                o->release_image(o->user, &image);
        }
        if (!st && o->progress)
            o->progress(o->user, c->second ? "compare" : "observe", i + 1, o->image_count);
    }
    return st;
}

/* The session's own settings and the caller's. */
static vitrt_status create_session(struct vt_calibration *c, vitrt_error *err)
{
    const vitrt_session_options options = { .threads = c->o->threads,
                                            .precision = VITRT_PRECISION_F32,
                                            .height = c->o->height,
                                            .width = c->o->width,
                                            .max_batch = 1,
                                            .parallel_for = c->o->parallel_for,
                                            .parallel_user = c->o->parallel_user };
    return vt_session_create(c->model, &options, c->taps, c->tap_count, &c->session, err);
}

static vitrt_status run_passes(struct vt_calibration *c, vitrt_error *err)
{
    vitrt_status st = run_images(c, err);
    if (!st && c->blank == c->o->image_count)
        return vt_err(err, VITRT_EINVAL, "the calibration images are blank: all pixels of each are the same");
    for (size_t i = 0; i < c->count && !st; i++)
        if (c->watches[i].has_observer)
            vt_observer_end_collecting(&c->watches[i].observer);
    c->second = true;
    return st || c->passes < 2 ? st : run_images(c, err);
}

vitrt_status vt_calibrate(const vitrt_model *m, const vitrt_quantize_options *o, uint32_t bits,
                          struct vt_calibration **out, vitrt_error *err)
{
    struct vt_calibration *c = vt_calloc(&m->alloc, 1, sizeof *c);
    *out = c;
    if (!c)
        return vt_err_memory(err, sizeof *c, "the calibration");
    c->alloc = m->alloc;
    c->model = m;
    c->o = o;
    c->bits = bits;
    vitrt_status st = list_watches(c, err);
    if (!st)
        st = create_session(c, err);
    if (!st)
        st = allocate(c, err);
    return st ? st : run_passes(c, err);
}

void vt_calibration_free(struct vt_calibration *c)
{
    if (!c)
        return;
    const vitrt_allocator alloc = c->alloc;
    for (size_t i = 0; i < c->count; i++) {
        struct watch *w = &c->watches[i];
        vt_free(&alloc, w->columns, w->view.columns * sizeof *w->columns);
        vt_free(&alloc, w->quantizers, w->view.columns * sizeof *w->quantizers);
        vt_free(&alloc, w->scales, w->view.columns * sizeof *w->scales);
        vt_free(&alloc, w->zeros, w->view.columns * sizeof *w->zeros);
        vt_free(&alloc, w->means, w->view.columns * sizeof *w->means);
        if (w->has_observer)
            vt_observer_free(&w->observer, &alloc);
    }
    vitrt_session_free(c->session);
    vt_free(&alloc, c->watches, c->capacity * sizeof *c->watches);
    vt_free(&alloc, c->taps, c->tap_capacity * sizeof *c->taps);
    vt_free(&alloc, c->largest, c->model->graph.node_count * sizeof *c->largest);
    vt_free(&alloc, c->value_taps, c->model->graph.node_count * sizeof *c->value_taps);
    vt_free(&alloc, c, sizeof *c);
}

/* ---- Results ---- */

/* An image's 8-bit values are codes already: those of channel c that stand for what preprocessing makes of them. */
static void code_pixels(const struct vt_calibration *c, struct watch *w)
{
    for (size_t i = 0; i < w->view.columns; i++) {
        const float *value = c->model->preprocess.table.value[(w->view.column + i) % 3];
        const double scale = ((double)value[255] - (double)value[0]) / 255;
        w->quantizers[i] = (struct vt_quantizer){ (float)scale, (float)(-(double)value[0] / scale), 8 };
    }
}

/* Ranges of the columns from `first` on as one. */
static enum vt_fit join_columns(struct watch *w, size_t first, size_t n)
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

static enum vt_fit find_quantizers(const struct vt_calibration *c, struct watch *w)
{
    const size_t n = w->view.columns, heads = c->model->graph.nodes[w->operand.node].u.attention.heads;
    enum vt_fit worst = VT_FIT_OK;
    switch (w->way) {
    case WAY_PIXELS: code_pixels(c, w); break;
    case WAY_COLUMNS: return vt_spread_columns(&w->spread, w->columns, n, w->rows, w->operand.bits, w->quantizers);
    case WAY_TENSOR: return join_columns(w, 0, n);
    case WAY_HEADS:
        for (size_t i = 0; i < n; i += n / heads) {
            const enum vt_fit fit = join_columns(w, i, n / heads);
            worst = fit > worst ? fit : worst;
        }
        break;
    case WAY_SEARCH:
        for (size_t i = 0; i < w->operand.columns; i++) {
            const enum vt_fit fit = vt_observer_quantizer(&w->observer, i, &w->quantizers[i], NULL);
            worst = fit > worst ? fit : worst;
        }
        break;
    }
    return worst;
}

/* q's codes have one for 0: attention takes its zero point off with integers. */
static void reach_zero(struct vt_quantizer *q)
{
    const double top = vt_top_code(q->bits), zero = (double)q->zero, scale = (double)q->scale;
    if (zero < 0 || zero > top)
        (void)vt_quantizer_of_range(q, zero < 0 ? 0 : -zero * scale, zero < 0 ? (top - zero) * scale : 0, q->bits);
}

size_t vt_calibration_count(const struct vt_calibration *c)
{
    return c->count;
}

vitrt_status vt_calibration_operand(const struct vt_calibration *c, size_t i, struct vt_operand *out, vitrt_error *err)
{
    struct watch *w = &c->watches[i];
    const struct vt_node *node = &c->model->graph.nodes[w->operand.node];
    if (find_quantizers(c, w) == VT_FIT_NOT_FINITE)
        return vt_err(err, VITRT_EINVAL, "%s: node %s: input %u was NaN or infinite for a calibration image",
                      vt_checkpoint_path(c->model->checkpoint), node->name, (unsigned)w->operand.input);
    for (size_t g = 0; g < w->view.columns; g++) {
        if (node->type == VT_NODE_ATTENTION && w->operand.input == 0 && g < w->operand.columns)
            reach_zero(&w->quantizers[g]);
        w->scales[g] = w->quantizers[g].scale;
        w->zeros[g] = w->quantizers[g].zero;
        w->means[g] = w->columns[g].sum / (double)w->rows;
    }
    *out = w->operand;
    return VITRT_OK;
}
