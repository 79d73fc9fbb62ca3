/* SPDX-License-Identifier: Apache-2.0 */
/* Making a plan; see plan.h. The passes are in files of their own. */
#include "plan.h"

#include "ops.h"
#include "os.h"
#include "step_integers.h"
#include "weights.h"

#include <string.h>

/* Rows of a product for each thread that one pass should have: eight tiles of the highest kind. */
#define PASS_ROWS 96

bool vt_is_output(const vt_value *outputs, size_t count, vt_value v)
{
    for (size_t i = 0; i < count; i++)
        if (outputs[i] == v)
            return true;
    return false;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Callers fill it or get it. */
static bool is_outside(const struct vt_plan *p, vt_value v)
{
    return vt_is_output(p->outputs, p->output_count, v) || p->graph->nodes[v].type == VT_NODE_INPUT;
}

/* Fewer images than give each thread PASS_ROWS rows of the largest product would starve it, more only make the values
 * larger than the caches. */
static size_t pass_images(const struct vt_plan *p)
{
    size_t rows = 1;
    for (size_t v = 0; v < p->graph->node_count; v++)
        if (p->graph->nodes[v].type == VT_NODE_LINEAR && p->values[v].rows > rows)
            rows = p->values[v].rows;
    const size_t wanted = (PASS_ROWS * p->threads + rows - 1) / rows;
    return wanted < p->max_batch ? wanted : p->max_batch;
}

/* The set of values with so many rows, made when the first value has them. */
static size_t find_row_set(struct vt_plan *p, size_t rows, vt_value rows_of)
{
    size_t set = 0;
    while (set < p->row_set_count && (p->row_sets[set].rows != rows || p->row_sets[set].rows_of != rows_of))
        set++;
    if (set == p->row_set_count)
        p->row_sets[p->row_set_count++] = (struct vt_row_set){ rows, rows_of };
    return set;
}

/* What tokens are reduced by has no room between its rows. */
static bool is_packed(const struct vt_node *node)
{
    return node->type == VT_NODE_ATTENTION_SCORES || node->type == VT_NODE_SELECT || node->columns == 1;
}

/* Sizes of all values, and the offset table each uses. */
static vitrt_status size_values(struct vt_plan *p, vitrt_error *err)
{
    size_t total = 0;
    p->pass_images = pass_images(p);
    for (size_t v = 0; v < p->graph->node_count; v++) {
        struct vt_plan_value *value = &p->values[v];
        value->shares = (vt_value)v;
        const bool constant = vt_is_constant(&p->graph->nodes[v]);
        value->whole_batch = is_outside(p, (vt_value)v);
        const size_t images = constant ? 1 : value->whole_batch ? p->max_batch : p->pass_images;
        const size_t element = vt_dtype_bytes(p->graph->nodes[v].element), columns = value->shape.columns;
        const bool packed = constant || value->whole_batch || is_packed(&p->graph->nodes[v]);
        value->ld = packed ? columns : vt_row_stride(columns, element);
        value->bytes = vt_size_mul(vt_size_mul(vt_size_mul(value->rows, images), value->ld), element);
        value->bytes = vt_round_up(value->bytes, VT_ALIGN);
        total = vt_size_add(total, value->bytes);
        if (total > SIZE_MAX / 4) /* then no sum of places in the arena overflows */
            return vt_err(err, VITRT_ELIMIT,
                          "%s: up to node %s %u images of %ux%u would need more memory than can be addressed",
                          vt_checkpoint_path(p->graph->checkpoint), p->graph->nodes[v].name, (unsigned)p->max_batch,
                          (unsigned)p->height, (unsigned)p->width);
        value->row_set = find_row_set(p, value->rows, value->shape.rows_of);
        if (value->shape.rows_of)
            p->values[value->shape.rows_of].result_set = value->row_set;
    }
    return VITRT_OK;
}

static vitrt_status allocate(struct vt_plan *p, vitrt_error *err)
{
    const size_t n = p->graph->node_count;
    p->step_capacity = n;
    p->values = vt_calloc(&p->alloc, n, sizeof *p->values);
    p->steps = vt_calloc(&p->alloc, n, sizeof *p->steps);
    p->row_sets = vt_calloc(&p->alloc, n, sizeof *p->row_sets);
    p->orders = vt_calloc(&p->alloc, n, sizeof *p->orders);
    return p->values && p->steps && p->row_sets && p->orders
               ? VITRT_OK
               : vt_err_memory(err, n * (sizeof *p->values + sizeof *p->steps), "the plan");
}

static struct vt_shape *shapes_of(const struct vt_plan *p, const struct vt_graph *g, vitrt_status *st, vitrt_error *err)
{
    struct vt_shape *shapes = vt_calloc(&p->alloc, g->node_count, sizeof *shapes);
    *st = shapes ? vt_graph_shapes(g, p->height, p->width, shapes, err)
                 : vt_err_memory(err, g->node_count * sizeof *shapes, "the plan");
    return shapes;
}

/* A graph without nodes that shares the weights of g. */
static struct vt_graph empty_graph(const struct vt_plan *p, const struct vt_graph *g)
{
    return (struct vt_graph){ .alloc = p->alloc,
                              .checkpoint = g->checkpoint,
                              .weights = g->weights,
                              .weight_count = g->weight_count,
                              .patterns = g->patterns,
                              .pattern_count = g->pattern_count };
}

static void free_nodes(struct vt_graph *g)
{
    vt_free(&g->alloc, g->nodes, g->node_capacity * sizeof *g->nodes);
}

/* A multiple of the width of every tile, whichever a layer is to use: they are powers of 2. Layers of quantized models
 * are split alike on every CPU, as codes that are made of sums may be other ones than those of a value in between. */
static size_t split_align(const struct vt_plan *p)
{
    size_t align = 1;
    if (p->precision >= VT_PRECISION_I8)
        return VT_MAX_TILE_COLUMNS;
    for (size_t i = 0; i < VT_PRODUCT_COUNT; i++)
        align = larger(align, p->kernels->gemm[i].nr);
    return align;
}

/* g by a pass that works on columns of layers. */
static vitrt_status apply_pass(struct vt_plan *p, vt_column_pass *pass, const struct vt_graph *g, struct vt_graph *out,
                               vitrt_error *err)
{
    vitrt_status st;
    struct vt_shape *shapes = shapes_of(p, g, &st, err);
    if (!st)
        st = pass(g, shapes, split_align(p), p->outputs, p->output_count, out, err);
    vt_free(&p->alloc, shapes, g->node_count * sizeof *shapes);
    return st;
}

static vitrt_status drop_dead_rows(struct vt_plan *p, const struct vt_graph *g, struct vt_graph *out, vitrt_error *err)
{
    vitrt_status st;
    struct vt_shape *shapes = shapes_of(p, g, &st, err);
    if (!st)
        st = vt_pass_rows(g, shapes, p->outputs, p->output_count, out, &p->nominal_macs, err);
    vt_free(&p->alloc, shapes, g->node_count * sizeof *shapes);
    return st;
}

/* The plan's own graph: in the plan's precision, without what nobody needs. */
static vitrt_status rewrite_graph(struct vt_plan *p, const struct vt_graph *g, const struct vt_plan_options *o,
                                  vitrt_error *err)
{
    p->outputs = vt_calloc(&p->alloc, o->output_count, sizeof *p->outputs);
    if (!p->outputs)
        return vt_err_memory(err, o->output_count * sizeof *p->outputs, "the plan");
    p->output_count = o->output_count;
    memcpy(p->outputs, o->outputs, o->output_count * sizeof *p->outputs);
    p->graph_storage = empty_graph(p, g);
    p->graph = &p->graph_storage;
    struct vt_graph late = empty_graph(p, g), parted = empty_graph(p, g), converted = empty_graph(p, g);
    vitrt_status st = apply_pass(p, vt_pass_late, g, &late, err);
    if (!st)
        st = apply_pass(p, vt_pass_split, &late, &parted, err);
    if (!st)
        st = vt_pass_precision(&parted, p->precision, p->outputs, p->output_count, &converted, err);
    if (!st)
        st = drop_dead_rows(p, &converted, &p->graph_storage, err);
    free_nodes(&late);
    free_nodes(&parted);
    free_nodes(&converted);
    return st;
}

/* The order that a shape's rows are in, made when the first value has it. */
static vitrt_status find_order(struct vt_plan *p, const struct vt_shape *shape, const struct vt_row_order **out,
                               vitrt_error *err)
{
    *out = NULL;
    if (shape->order == VT_RASTER)
        return VITRT_OK;
    const struct vt_window_pattern *pattern = &p->graph->patterns[shape->order];
    for (size_t i = 0; i < p->order_count && !*out; i++)
        if (p->orders[i].pattern == pattern && !memcmp(p->orders[i].map, shape->map, sizeof shape->map))
            *out = &p->orders[i];
    if (*out)
        return VITRT_OK;
    *out = &p->orders[p->order_count++];
    return vt_row_order_init(&p->orders[p->order_count - 1], pattern, shape->map, &p->alloc, err);
}

/* Sums over so many keys must be exact where attention multiplies codes. */
static vitrt_status check_keys(const struct vt_plan *p, const struct vt_node *node, const struct vt_shape *shapes,
                               vitrt_error *err)
{
    if (node->type != VT_NODE_ATTENTION || node->product != VT_PRODUCT_U8S8)
        return VITRT_OK;
    const struct vt_shape *keys = &shapes[node->in[1].value];
    const size_t count = keys->order == VT_RASTER ? vt_shape_rows(keys) : vt_window_area(&keys->windows);
    if (count <= VT_MAX_TERMS)
        return VITRT_OK;
    return vt_err(err, VITRT_ELIMIT,
                  "%s: node %s: attention to %zu tokens, at most %u can be summed as codes; precisions f32 and bf16 "
                  "can do more",
                  vt_checkpoint_path(p->graph->checkpoint), node->name, count, VT_MAX_TERMS);
}

static vitrt_status shape_values(struct vt_plan *p, vitrt_error *err)
{
    const size_t n = p->graph->node_count;
    vitrt_status st;
    struct vt_shape *shapes = shapes_of(p, p->graph, &st, err);
    for (size_t v = 0; v < n && !st; v++) {
        const struct vt_op *op = vt_op_of(p->graph->nodes[v].type);
        p->values[v].shape = shapes[v];
        p->values[v].rows = vt_shape_rows(&shapes[v]);
        p->values[v].live = true;
        st = find_order(p, &shapes[v], &p->values[v].order, err);
        if (!st)
            st = check_keys(p, &p->graph->nodes[v], shapes, err);
        if (op->macs)
            p->macs += op->macs(&p->graph->nodes[v], shapes, (vt_value)v);
    }
    vt_free(&p->alloc, shapes, n * sizeof *shapes);
    return st;
}

/* Scratch and arena of the finished steps. */
static void sum_up(struct vt_plan *p, size_t preprocess_bytes)
{
    for (size_t i = 0; i < p->step_count; i++) {
        const struct vt_op *op = vt_op_of_step(p, &p->steps[i]);
        const size_t scratch = op->scratch_bytes ? vt_round_up(op->scratch_bytes(p, &p->steps[i]), VT_ALIGN) : 0;
        size_t *most = i < p->constant_count ? &p->constant_scratch_bytes : &p->scratch_bytes;
        *most = larger(*most, scratch);
    }
    p->image_scratch_bytes = vt_round_up(preprocess_bytes, VT_ALIGN);
    p->image_slots = p->max_batch < p->threads ? p->max_batch : p->threads;
    p->arena_bytes = vt_size_add(p->value_bytes, larger(vt_size_mul(p->scratch_bytes, p->threads),
                                                        vt_size_mul(p->image_scratch_bytes, p->image_slots)));
}

vitrt_status vt_plan_create(const vitrt_allocator *a, const struct vt_graph *g, const struct vt_kernels *kernels,
                            const struct vt_plan_options *o, struct vt_plan **out, vitrt_error *err)
{
    *out = NULL;
    struct vt_plan *p = vt_calloc(a, 1, sizeof *p);
    if (!p)
        return vt_err_memory(err, sizeof *p, "the plan");
    p->alloc = *a;
    p->kernels = kernels;
    p->height = o->height;
    p->width = o->width;
    p->precision = o->precision;
    p->l2_bytes = vt_l2_cache_bytes();
    p->max_batch = o->max_batch;
    p->threads = o->threads;
    vitrt_status st = rewrite_graph(p, g, o, err);
    if (!st)
        st = allocate(p, err);
    if (!st)
        st = shape_values(p, err);
    if (!st)
        st = size_values(p, err);
    if (st) {
        vt_plan_free(p);
        return st;
    }
    if (p->precision == VT_PRECISION_STRICT)
        vt_give_token_units(p);
    vt_pass_fuse(p, p->outputs, p->output_count);
    vt_pass_place(p, p->outputs, p->output_count);
    sum_up(p, o->preprocess_scratch_bytes);
    *out = p;
    return VITRT_OK;
}

void vt_plan_free(struct vt_plan *p)
{
    if (!p)
        return;
    const size_t n = p->step_capacity;
    vt_free(&p->alloc, p->values, n * sizeof *p->values);
    vt_free(&p->alloc, p->steps, n * sizeof *p->steps);
    vt_free(&p->alloc, p->row_sets, n * sizeof *p->row_sets);
    for (size_t i = 0; i < p->order_count; i++)
        vt_row_order_free(&p->orders[i], &p->alloc);
    vt_free(&p->alloc, p->orders, n * sizeof *p->orders);
    free_nodes(&p->graph_storage);
    vt_free(&p->alloc, p->outputs, p->output_count * sizeof *p->outputs);
    vt_free(&p->alloc, p, sizeof *p);
}

struct vt_view vt_step_input(const struct vt_step *s)
{
    return s->gather ? s->gather->in[0] : s->node->in[0];
}

bool vt_step_multiplies_codes(const struct vt_step *s)
{
    return vt_operand_count(s->node) && s->node->product == VT_PRODUCT_U8S8;
}

struct vt_weight_request vt_plan_request(const struct vt_plan *p, size_t i)
{
    const struct vt_step *s = &p->steps[i / VT_STEP_WEIGHTS];
    const struct vt_op *op = vt_op_of(s->type);
    switch (i % VT_STEP_WEIGHTS) {
    case VT_STEP_WEIGHT:
        return (struct vt_weight_request){ .weight = s->weight,
                                           .layout = op->layout ? op->layout(p, s) : VT_LAYOUT_PLAIN };
    case VT_STEP_BIAS: return (struct vt_weight_request){ .weight = s->bias, .layout = VT_LAYOUT_PLAIN };
    case VT_STEP_ROW_SCALES:
        return (struct vt_weight_request){ .weight = vt_step_multiplies_codes(s) ? s->weight : VT_NO_WEIGHT,
                                           .layout = VT_LAYOUT_ROW_SCALES };
    case VT_STEP_SCALE: return (struct vt_weight_request){ .weight = s->scale, .layout = VT_LAYOUT_PLAIN };
    default: return (struct vt_weight_request){ .weight = s->weight2, .layout = VT_LAYOUT_TRANSPOSED };
    }
}

uint64_t vt_plan_packed_bytes(const struct vt_plan *p)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < p->step_count * VT_STEP_WEIGHTS; i++) {
        const struct vt_weight_request r = vt_plan_request(p, i);
        bool counted = false; /* halves of a split layer share their weight */
        for (size_t k = 0; k < i && !counted; k++) {
            const struct vt_weight_request before = vt_plan_request(p, k);
            counted = before.weight == r.weight && before.layout == r.layout;
        }
        if (!counted)
            bytes += vt_weights_bytes(p->graph, r.weight, r.layout, p->kernels);
    }
    return bytes;
}
