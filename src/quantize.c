/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vitrt_model_quantize. The model runs in f32 over the calibration images, while observers look at what its products
 * read; then the observed ranges become quantizers of a copy of the graph, and weights become codes. The result is
 * written as vitrt_model_save would, into memory, and opened from there: a quantized model is what its file is.
 */
#include "calibrate.h"
#include "float_env.h"
#include "model.h"
#include "quantizer_search.h"
#include "save.h"
#include "weight_rows.h"

#include <math.h>
#include <string.h>

#define READ_SCRATCH_BYTES ((size_t)1 << 18)

/* A model being quantized. */
struct quantize {
    const vitrt_model *model;
    const vitrt_quantize_options *o;
    vitrt_allocator alloc;
    uint32_t weight_bits, activation_bits;
    struct vt_graph graph; /* the copy */
    struct vt_calibration *calibration;
    struct vt_made_weight *made; /* [graph.weight_capacity] */
    size_t made_capacity;
    vitrt_error *err;
};

/* ---- The copy of the graph ---- */

static void *copy_of(const vitrt_allocator *a, const void *from, size_t count, size_t capacity, size_t bytes)
{
    void *to = vt_alloc(a, vt_size_mul(capacity, bytes));
    if (to)
        memcpy(to, from, count * bytes);
    return to;
}

/* With room for the vectors of all quantizers. */
static vitrt_status copy_graph(struct quantize *q)
{
    const struct vt_graph *from = &q->model->graph;
    struct vt_graph *g = &q->graph;
    size_t vectors = 0;
    for (size_t v = 0; v < from->node_count; v++)
        vectors += 3 * vt_operand_count(&from->nodes[v]); /* scales, zero points, a bias */
    *g = (struct vt_graph){ .alloc = q->alloc, .checkpoint = from->checkpoint, .err = q->err };
    g->node_capacity = g->node_count = from->node_count;
    g->weight_count = from->weight_count;
    g->weight_capacity = from->weight_count + vectors;
    g->output_capacity = g->output_count = from->output_count;
    g->pattern_capacity = g->pattern_count = from->pattern_count;
    g->nodes = copy_of(&q->alloc, from->nodes, g->node_count, g->node_capacity, sizeof *g->nodes);
    g->weights = copy_of(&q->alloc, from->weights, g->weight_count, g->weight_capacity, sizeof *g->weights);
    g->outputs = copy_of(&q->alloc, from->outputs, g->output_count, g->output_capacity, sizeof *g->outputs);
    g->patterns = copy_of(&q->alloc, from->patterns, g->pattern_count, g->pattern_capacity, sizeof *g->patterns);
    q->made_capacity = g->weight_capacity;
    q->made = vt_calloc(&q->alloc, q->made_capacity, sizeof *q->made);
    if (g->nodes && (g->weights || !g->weight_capacity) && g->outputs && (g->patterns || !g->pattern_count) &&
        (q->made || !q->made_capacity))
        return VITRT_OK;
    return vt_err_memory(q->err, g->node_count * sizeof *g->nodes, "the copy of the graph");
}

static void free_made(struct quantize *q)
{
    for (size_t w = 0; w < q->graph.weight_count && q->made; w++) {
        const size_t rows = (size_t)q->graph.weights[w].rows, count = rows * (size_t)q->graph.weights[w].columns;
        vt_free(&q->alloc, (void *)q->made[w].codes, count);
        vt_free(&q->alloc, (void *)q->made[w].row_scales, rows * sizeof(float));
        vt_free(&q->alloc, (void *)q->made[w].numbers, count * sizeof(float));
    }
    vt_free(&q->alloc, q->made, q->made_capacity * sizeof *q->made);
}

/* A vector that no file has yet. */
static vitrt_status add_vector(struct quantize *q, const float *numbers, size_t n, vt_weight *w)
{
    struct vt_graph *g = &q->graph;
    float *copy = copy_of(&q->alloc, numbers, n, n, sizeof *numbers);
    if (!copy)
        return vt_err_memory(q->err, n * sizeof *numbers, "a quantizer");
    *w = (vt_weight)g->weight_count++;
    g->weights[*w] = (struct vt_graph_weight){ .form = VT_WEIGHT_VECTOR,
                                               .rows = n,
                                               .columns = 1,
                                               .kernel = { 1, 1 },
                                               .groups = 1,
                                               .part_count = 1,
                                               .parts = { { .rows = n } } };
    q->made[*w].numbers = copy;
    return VITRT_OK;
}

/* ---- Quantizers of inputs ---- */

static vitrt_status set_quantizer(struct quantize *q, const struct vt_operand *operand)
{
    struct vt_operand_quantizer result = { .bits = operand->bits,
                                           .scale = operand->scales[0],
                                           .zero = operand->zeros[0],
                                           .scales = VT_NO_WEIGHT,
                                           .zeros = VT_NO_WEIGHT };
    vitrt_status st = VITRT_OK;
    if (operand->columns > 1)
        st = add_vector(q, operand->scales, operand->columns, &result.scales);
    if (!st && operand->columns > 1)
        st = add_vector(q, operand->zeros, operand->columns, &result.zeros);
    if (st)
        return st;
    vt_graph_set_quantizer(&q->graph, operand->node, operand->input, &result);
    return q->graph.status;
}

/* ---- Weights ---- */

/* Rows of one weight on their way to codes. */
struct row_memory {
    float *row, *search;
    void *scratch;
    size_t row_bytes, search_bytes;
};

/* A weight that becomes codes, and the bias beside it. */
struct layer {
    const struct vt_graph_weight *weight;
    const float *scales; /* [channels]: what it absorbs, or NULL */
    const double *means; /* [channels]: of what it reads, in units of what it absorbs */
    size_t channels;
    int8_t *codes;
    float *row_scales, *bias; /* [rows] */
};

/* A row multiplied by what its columns absorb; in a convolution all taps of a channel the same. */
static void absorb(const struct layer *l, float *row)
{
    const size_t columns = (size_t)l->weight->columns, area = columns / l->channels;
    for (size_t c = 0; c < columns && l->scales; c++)
        row[c] *= l->scales[c / area];
}

/* What the mean of an input loses in a row that has become codes: added to the bias, inputs at their means give what they
 * gave before. */
static double mean_loss(const struct layer *l, const float *row, const int8_t *codes, float row_scale)
{
    const size_t columns = (size_t)l->weight->columns, area = columns / l->channels;
    double sum = 0;
    for (size_t c = 0; c < columns; c++)
        sum += l->means[c / area] * ((double)row[c] - (double)codes[c] * (double)row_scale);
    return sum;
}

static vitrt_status make_rows(struct quantize *q, const struct layer *l, const struct row_memory *m)
{
    const struct vt_graph_weight *w = l->weight;
    const size_t columns = (size_t)w->columns;
    for (uint64_t r = 0; r < w->rows; r++) {
        int8_t *codes = l->codes + r * columns;
        const vitrt_status st =
            vt_read_weight_rows(q->graph.checkpoint, w, r, 1, m->row, m->scratch, READ_SCRATCH_BYTES, q->err);
        if (st)
            return st;
        absorb(l, m->row);
        if (vt_quantize_row(m->row, columns, q->weight_bits, codes, &l->row_scales[r], m->search) == VT_FIT_NOT_FINITE)
            return vt_err(q->err, VITRT_EFORMAT,
                          "%s: row %llu of weight %s is not finite any more when it takes over "
                          "the scales of its input",
                          vt_checkpoint_path(q->graph.checkpoint), (unsigned long long)r, w->name);
        l->bias[r] = (float)((double)l->bias[r] + mean_loss(l, m->row, codes, l->row_scales[r]));
    }
    return VITRT_OK;
}

static vitrt_status read_bias(struct quantize *q, vt_weight bias, const struct row_memory *m, struct layer *l)
{
    const size_t rows = (size_t)l->weight->rows;
    memset(l->bias, 0, rows * sizeof *l->bias);
    if (bias == VT_NO_WEIGHT)
        return VITRT_OK;
    return vt_read_weight_rows(q->graph.checkpoint, &q->graph.weights[bias], 0, rows, l->bias, m->scratch,
                               READ_SCRATCH_BYTES, q->err);
}

static vitrt_status fill_layer(struct quantize *q, vt_weight bias, struct layer *l)
{
    const size_t columns = (size_t)l->weight->columns;
    struct row_memory m = { .row_bytes = columns * sizeof(float),
                            .search_bytes = vt_search_scratch(columns) * sizeof(float) };
    m.row = vt_alloc(&q->alloc, m.row_bytes);
    m.search = vt_alloc(&q->alloc, m.search_bytes);
    m.scratch = vt_alloc(&q->alloc, READ_SCRATCH_BYTES);
    vitrt_status st =
        m.row && m.search && m.scratch ? VITRT_OK : vt_err_memory(q->err, m.search_bytes, "rows of a weight");
    if (!st)
        st = read_bias(q, bias, &m, l);
    if (!st)
        st = make_rows(q, l, &m);
    vt_free(&q->alloc, m.row, m.row_bytes);
    vt_free(&q->alloc, m.search, m.search_bytes);
    vt_free(&q->alloc, m.scratch, READ_SCRATCH_BYTES);
    return st;
}

/* Makes the weight of a layer codes, and gives it a bias that goes with them. */
static vitrt_status make_layer(struct quantize *q, const struct vt_operand *operand)
{
    struct vt_node *node = &q->graph.nodes[operand->node];
    struct vt_graph_weight *w = &q->graph.weights[node->weight];
    struct vt_made_weight *made = &q->made[node->weight];
    const size_t count = (size_t)(w->rows * w->columns), rows = (size_t)w->rows, channels = node->in[0].columns;
    const bool absorbs = operand->columns > 1;
    struct layer l = { .weight = w, .scales = absorbs ? operand->scales : NULL, .channels = channels / w->groups };
    float *bias = vt_alloc(&q->alloc, rows * sizeof *bias);
    double *means = vt_alloc(&q->alloc, channels * sizeof *means);
    made->codes = l.codes = vt_alloc(&q->alloc, count);
    made->row_scales = l.row_scales = vt_alloc(&q->alloc, rows * sizeof *l.row_scales);
    l.bias = bias;
    l.means = means;
    vitrt_status st = VITRT_OK;
    if (!bias || !means || !l.codes || !l.row_scales)
        st = vt_err_memory(q->err, count, "the codes of a weight");
    for (size_t c = 0; c < channels && !st; c++)
        means[c] = operand->means[c] / (absorbs ? (double)operand->scales[c] : 1);
    if (!st)
        st = fill_layer(q, node->bias, &l);
    if (!st)
        st = add_vector(q, bias, rows, &node->bias);
    vt_free(&q->alloc, bias, rows * sizeof *bias);
    vt_free(&q->alloc, means, channels * sizeof *means);
    return st;
}

/* ---- The whole ---- */

static vitrt_status make_codes(struct quantize *q)
{
    const size_t count = vt_calibration_count(q->calibration);
    vitrt_status st = VITRT_OK;
    for (size_t i = 0; i < count && !st; i++) {
        struct vt_operand operand;
        st = vt_calibration_operand(q->calibration, i, &operand, q->err);
        if (!st)
            st = set_quantizer(q, &operand);
        if (!st && vt_operand_count(&q->graph.nodes[operand.node]) == 1)
            st = make_layer(q, &operand);
        if (!st && q->o->progress)
            q->o->progress(q->o->user, "quantize", i + 1, count);
    }
    vt_calibration_units(q->calibration, &q->graph);
    return st;
}

static vitrt_status open_result(struct quantize *q, vitrt_model **out)
{
    char *file = NULL;
    size_t bytes = 0;
    vitrt_status st = vt_save_to_memory(q->model, &q->graph, q->made, &file, &bytes, q->err);
    if (st)
        return st;
    const vitrt_buffer buffer = { "model.safetensors", file, bytes };
    const vitrt_model_options options = { .allocator = &q->alloc,
                                          .logger = &q->model->logger,
                                          .flags = VITRT_MODEL_COPY_BUFFERS };
    st = vitrt_model_open_memory(&buffer, 1, &options, out, q->err);
    vt_free(&q->alloc, file, bytes);
    return st;
}

static vitrt_status check(const vitrt_model *m, const vitrt_quantize_options *o, vitrt_error *err)
{
    if (!m)
        return vt_err(err, VITRT_EINVAL, "the model is NULL");
    if (!o || !o->image_count || (!o->images && !o->read_image))
        return vt_err(err, VITRT_EINVAL, "there are no calibration images; 32 of the training set are usual");
    if (o->images && o->read_image)
        return vt_err(err, VITRT_EINVAL, "calibration images are given as an array and by a function, expected one");
    if (o->weight_bits == 1 || o->weight_bits > 8 || o->activation_bits == 1 || o->activation_bits > 8)
        return vt_err(err, VITRT_EINVAL, "codes of %u bits for weights and %u for activations, expected 2 to 8, or 0",
                      (unsigned)o->weight_bits, (unsigned)o->activation_bits);
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++)
        if (o->reserved[i] || o->flags & ~(VITRT_QUANTIZE_PERCENTILES | VITRT_QUANTIZE_TENSORS))
            return vt_err(err, VITRT_EINVAL, "the options have unknown flags or reserved members that are not zero");
    if (vt_graph_is_quantized(&m->graph))
        return vt_err(err, VITRT_EINVAL, "%s: the model is quantized already", vt_checkpoint_path(m->checkpoint));
    return VITRT_OK;
}

vitrt_status vitrt_model_quantize(const vitrt_model *m, const vitrt_quantize_options *o, vitrt_model **out,
                                  vitrt_error *err)
{
    vt_float_env env;
    if (!out)
        return vt_err(err, VITRT_EINVAL, "out is NULL");
    *out = NULL;
    vitrt_status st = check(m, o, err);
    if (st)
        return st;
    struct quantize q = { .model = m, .o = o, .alloc = m->alloc, .err = err };
    q.weight_bits = o->weight_bits ? o->weight_bits : 8;
    q.activation_bits = o->activation_bits ? o->activation_bits : 8;
    vt_float_env_enter(&env);
    st = copy_graph(&q);
    if (!st)
        st = vt_calibrate(m, o, q.activation_bits, &q.calibration, err);
    if (!st)
        st = make_codes(&q);
    if (!st)
        st = open_result(&q, out);
    vt_calibration_free(q.calibration);
    free_made(&q);
    vt_graph_free(&q.graph);
    vt_float_env_leave(&env);
    return st;
}
