/* SPDX-License-Identifier: Apache-2.0 */
/* See quantized.h. */
#include "quantized.h"

#include "layer_codes.h"

#include <string.h>

/* ---- The copy of the graph ---- */

static void *copy_of(const vitrt_allocator *a, const void *from, size_t count, size_t capacity, size_t bytes)
{
    void *to = vt_alloc(a, vt_size_mul(capacity, bytes));
    if (to)
        memcpy(to, from, count * bytes);
    return to;
}

/* With room for the vectors of all quantizers, and for products that stay as they are beside those with codes. */
vitrt_status vt_quantized_init(struct vt_quantized *q, const vitrt_model *m, uint32_t weight_bits, vitrt_error *err)
{
    const struct vt_graph *from = &m->graph;
    struct vt_graph *g = &q->graph;
    size_t vectors = 0, products = 0;
    for (size_t v = 0; v < from->node_count; v++) {
        vectors += 4 * vt_operand_count(&from->nodes[v]); /* scales, zero points, a weight, a bias */
        products += vt_operand_count(&from->nodes[v]) > 0;
    }
    *q = (struct vt_quantized){ .alloc = m->alloc, .model = m, .weight_bits = weight_bits, .err = err };
    *g = (struct vt_graph){ .alloc = q->alloc, .checkpoint = from->checkpoint, .err = err };
    g->node_count = from->node_count;
    g->node_capacity = from->node_count + products;
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
    return vt_err_memory(err, g->node_count * sizeof *g->nodes, "the copy of the graph");
}

void vt_quantized_free(struct vt_quantized *q)
{
    for (size_t w = 0; w < q->graph.weight_count && q->made && q->graph.weights; w++) {
        const size_t rows = (size_t)q->graph.weights[w].rows, count = rows * (size_t)q->graph.weights[w].columns;
        vt_free(&q->alloc, (void *)q->made[w].codes, count);
        vt_free(&q->alloc, (void *)q->made[w].row_scales, rows * sizeof(float));
        vt_free(&q->alloc, (void *)q->made[w].numbers, count * sizeof(float));
    }
    vt_free(&q->alloc, q->made, q->made_capacity * sizeof *q->made);
    vt_graph_free(&q->graph);
}

void vt_quantized_restore(struct vt_quantized *q, vt_value v)
{
    q->graph.nodes[v] = q->model->graph.nodes[v];
    q->graph.nodes[v].float_product = q->float_product;
}

/* ---- Quantizers of inputs ---- */

/* A vector that no file has yet. */
static vitrt_status add_vector(struct vt_quantized *q, const float *numbers, size_t n, vt_weight *w)
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

static vitrt_status set_quantizer(struct vt_quantized *q, const struct vt_operand *operand)
{
    struct vt_operand_quantizer result = { .bits = operand->bits,
                                           .scale = operand->scales[0],
                                           .zero = operand->zeros[0],
                                           .scales = VT_NO_WEIGHT,
                                           .zeros = VT_NO_WEIGHT };
    vitrt_status st = VITRT_OK;
    if (operand->input == VT_PROBABILITIES) {
        vt_graph_set_log_codes(&q->graph, operand->node, operand->bits, operand->scales[0]);
        return q->graph.status;
    }
    if (operand->columns > 1)
        st = add_vector(q, operand->scales, operand->columns, &result.scales);
    if (!st && operand->columns > 1)
        st = add_vector(q, operand->zeros, operand->columns, &result.zeros);
    if (st)
        return st;
    q->graph.nodes[operand->node].float_product = VT_FLOAT_PRODUCT_F32;
    vt_graph_set_quantizer(&q->graph, operand->node, operand->input, &result);
    return q->graph.status;
}

/* ---- Weights ---- */

/* The node gets a weight of its own that will be codes. */
static vitrt_status add_codes(struct vt_quantized *q, struct vt_node *node, struct vt_layer *l)
{
    struct vt_graph *g = &q->graph;
    const vt_weight w = (vt_weight)g->weight_count++;
    g->weights[w] = g->weights[node->weight];
    node->weight = w;
    l->codes = vt_alloc(&q->alloc, (size_t)(l->weight->rows * l->weight->columns));
    l->row_scales = vt_alloc(&q->alloc, (size_t)l->weight->rows * sizeof *l->row_scales);
    q->made[w].codes = l->codes;
    q->made[w].row_scales = l->row_scales;
    return l->codes && l->row_scales
               ? VITRT_OK
               : vt_err_memory(q->err, (size_t)(l->weight->rows * l->weight->columns), "the codes of a weight");
}

/* Columns of a layer that are divided by their length, such as Swin V2's queries and keys: from what windows are padded
 * with a key of length 0 is made, and a bias that it did not have would give it a direction. */
static void find_exact_rows(const struct vt_graph *g, vt_value layer, struct vt_layer *l)
{
    for (size_t v = (size_t)layer + 1; v < g->node_count; v++) {
        const struct vt_view in = g->nodes[v].in[0];
        if (g->nodes[v].type != VT_NODE_L2_NORM || in.value != layer)
            continue;
        const size_t end = (size_t)in.column + in.columns;
        l->exact_row = l->exact_end && l->exact_row < in.column ? l->exact_row : in.column;
        l->exact_end = l->exact_end > end ? l->exact_end : end;
    }
}

static vitrt_status make_layer(struct vt_quantized *q, const struct vt_operand *operand, struct vt_pool *pool)
{
    struct vt_node *node = &q->graph.nodes[operand->node];
    const struct vt_graph_weight *w = &q->graph.weights[node->weight];
    const size_t rows = (size_t)w->rows, channels = node->in[0].columns;
    const bool absorbs = operand->columns > 1;
    float *bias = vt_alloc(&q->alloc, rows * sizeof *bias);
    double *means = vt_alloc(&q->alloc, 2 * channels * sizeof *means);
    struct vt_layer l = { .checkpoint = q->graph.checkpoint,
                          .weight = w,
                          .bias = node->bias == VT_NO_WEIGHT ? NULL : &q->graph.weights[node->bias],
                          .bits = q->weight_bits,
                          .scales = absorbs ? operand->scales : NULL,
                          .in_scale = absorbs ? 1 : (double)operand->scales[0],
                          .means = means,
                          .code_means = means ? means + channels : NULL,
                          .channels = channels / w->groups,
                          .new_bias = bias };
    struct vt_compensation compensation = { .n = 0 };
    find_exact_rows(&q->graph, operand->node, &l);
    vitrt_status st =
        bias && means ? add_codes(q, node, &l) : vt_err_memory(q->err, rows * sizeof *bias, "the bias of a layer");
    if (!st && operand->products) {
        st = vt_compensation_init(&compensation, operand->products, operand->scales, operand->columns, pool, &q->alloc,
                                  q->err);
        l.compensation = &compensation;
    }
    for (size_t c = 0; c < channels && !st; c++) {
        const double scale = absorbs ? (double)operand->scales[c] : 1;
        means[c] = operand->means[c] / scale;
        means[channels + c] = operand->code_means[c] / scale;
    }
    if (!st)
        st = vt_make_layer_codes(&l, pool, &q->alloc, q->err);
    if (!st)
        st = add_vector(q, bias, rows, &node->bias);
    vt_compensation_free(&compensation, &q->alloc);
    vt_free(&q->alloc, bias, rows * sizeof *bias);
    vt_free(&q->alloc, means, 2 * channels * sizeof *means);
    return st;
}

vitrt_status vt_quantized_add(struct vt_quantized *q, const struct vt_operand *operand, struct vt_pool *pool)
{
    const vitrt_status st = set_quantizer(q, operand);
    return st || vt_operand_count(&q->graph.nodes[operand->node]) > 1 ? st : make_layer(q, operand, pool);
}

/* ---- The file ---- */

vitrt_status vt_quantized_write(struct vt_quantized *q, char **file, size_t *bytes)
{
    return vt_save_to_memory(q->model, &q->graph, q->made, file, bytes, q->err);
}

vitrt_status vt_quantized_open(const struct vt_quantized *q, const char *file, size_t bytes, bool copy,
                               vitrt_model **out)
{
    const vitrt_buffer buffer = { "model.safetensors", file, bytes };
    const vitrt_model_options options = { .allocator = &q->alloc,
                                          .logger = &q->model->logger,
                                          .flags = copy ? VITRT_MODEL_COPY_BUFFERS : 0 };
    return vitrt_model_open_memory(&buffer, 1, &options, out, q->err);
}
