/* SPDX-License-Identifier: Apache-2.0 */
/* Building a graph: nodes, outputs and the checks each node makes of its inputs. Weights are in graph_weights.c, shapes
 * in graph_shapes.c, nodes that tokens leave by in graph_tokens.c. */
#include "graph_build.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of attention, so that neither biases nor masks over it overflow. */
#define LEAST_SCALE 1e-20f

/* Of the range that probabilities are stretched to: published ones are -0.1 to 1.1 at most. */
#define MOST_STRETCH 1000.0f

void vt_graph_init(struct vt_graph *g, const vitrt_allocator *a, const struct vt_checkpoint *c, vitrt_error *err)
{
    memset(g, 0, sizeof *g);
    g->alloc = *a;
    g->checkpoint = c;
    g->err = err;
}

void vt_graph_free(struct vt_graph *g)
{
    vt_free(&g->alloc, g->nodes, g->node_capacity * sizeof *g->nodes);
    vt_free(&g->alloc, g->weights, g->weight_capacity * sizeof *g->weights);
    vt_free(&g->alloc, g->outputs, g->output_capacity * sizeof *g->outputs);
    vt_free(&g->alloc, g->patterns, g->pattern_capacity * sizeof *g->patterns);
}

void vt_graph_fail(struct vt_graph *g, vitrt_status status, const char *format, ...)
{
    if (g->status)
        return;
    g->status = status;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)vt_err(g->err, status, "%s: %s", vt_checkpoint_path(g->checkpoint), text);
}

/* Appends room for a node; NULL after an error. */
static struct vt_node *append_room(struct vt_graph *g)
{
    if (g->status)
        return NULL;
    if (vt_grow(&g->alloc, (void **)&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes))
        return &g->nodes[g->node_count++];
    g->status = vt_err_memory(g->err, (g->node_count + 1) * sizeof *g->nodes, "graph nodes");
    return NULL;
}

struct vt_node *vt_build_node(struct vt_graph *g, enum vt_node_type type, const char *name)
{
    struct vt_node *node = append_room(g);
    if (!node)
        return NULL;
    memset(node, 0, sizeof *node);
    node->type = type;
    node->weight = node->bias = node->weight2 = VT_NO_WEIGHT;
    for (size_t i = 0; i < VT_MAX_CODED; i++)
        node->quantizers[i].scales = node->quantizers[i].zeros = VT_NO_WEIGHT;
    snprintf(node->name, sizeof node->name, "%s", name);
    return node;
}

vt_value vt_build_value(const struct vt_graph *g, const struct vt_node *node)
{
    return (vt_value)(node - g->nodes);
}

static enum vt_input_kind kind_of(enum vt_node_type type)
{
    switch (type) {
    case VT_NODE_POSITIONS: return VT_POSITIONS_ROWS;
    case VT_NODE_RELATIVE_BIAS: return VT_BIAS_ROWS;
    case VT_NODE_SELECT: return VT_TOKEN_MAP;
    default: return VT_PER_TOKEN;
    }
}

void vt_build_input_of_kind(struct vt_graph *g, struct vt_node *node, struct vt_view view, enum vt_input_kind kind)
{
    static const char *const expected[] = { "rows of tokens", "positions", "a relative bias", "a token map" };
    assert(view.value >= 0 && view.value < vt_build_value(g, node) && node->in_count < VT_MAX_INPUTS);
    const enum vt_input_kind found = kind_of(g->nodes[view.value].type);
    if (found != kind)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: its input %s yields %s, expected %s", node->name,
                      g->nodes[view.value].name, expected[found], expected[kind]);
    const uint32_t all = g->nodes[view.value].columns;
    if (!view.columns)
        view.columns = all - view.column;
    if (view.column > all || view.columns > all - view.column)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s reads columns %u to %u of %s, which has %u", node->name,
                      (unsigned)view.column, (unsigned)(view.column + view.columns), g->nodes[view.value].name,
                      (unsigned)all);
    node->in[node->in_count++] = view;
}

void vt_build_input(struct vt_graph *g, struct vt_node *node, struct vt_view view)
{
    vt_build_input_of_kind(g, node, view, VT_PER_TOKEN);
}

void vt_expect(struct vt_graph *g, const struct vt_node *node, const char *what, uint64_t found, uint64_t wanted)
{
    if (found != wanted)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: %s is %llu, expected %llu", node->name, what,
                      (unsigned long long)found, (unsigned long long)wanted);
}

void vt_expect_parts(struct vt_graph *g, const struct vt_node *node, const char *what, uint64_t count, uint64_t parts)
{
    if (!parts || count % parts)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: %llu %s are no multiple of %llu", node->name,
                      (unsigned long long)count, what, (unsigned long long)parts);
}

static void expect_weight(struct vt_graph *g, const struct vt_node *node, vt_weight w, uint64_t rows, uint64_t columns)
{
    if (w == VT_NO_WEIGHT)
        return;
    vt_expect(g, node, "number of weight rows", g->weights[w].rows, rows);
    vt_expect(g, node, "number of weight columns", g->weights[w].columns, columns);
}

/* The node multiplies rows of k numbers by the weight, adds the bias, and yields a column for each row of the weight.
 */
static void set_product(struct vt_graph *g, struct vt_node *node, vt_weight weight, vt_weight bias, uint64_t k)
{
    node->weight = weight;
    node->bias = bias;
    node->columns = (uint32_t)g->weights[weight].rows;
    expect_weight(g, node, weight, node->columns, k);
    expect_weight(g, node, bias, node->columns, 1);
}

struct vt_view vt_view_of(vt_value value)
{
    return (struct vt_view){ value, 0, 0 };
}

struct vt_view vt_view_columns(vt_value value, uint32_t column, uint32_t columns)
{
    return (struct vt_view){ value, column, columns };
}

struct vt_node *vt_build_unary(struct vt_graph *g, enum vt_node_type type, const char *name, struct vt_view x)
{
    struct vt_node *node = vt_build_node(g, type, name);
    if (!node)
        return NULL;
    vt_build_input(g, node, x);
    node->columns = node->in[0].columns;
    return node;
}

vt_value vt_graph_input(struct vt_graph *g, uint32_t channels)
{
    struct vt_node *node = vt_build_node(g, VT_NODE_INPUT, "pixels");
    if (!node)
        return VT_NO_VALUE;
    node->columns = channels;
    return vt_build_value(g, node);
}

void vt_expect_sides(struct vt_graph *g, const struct vt_node *node, const char *what, const uint32_t sides[2],
                     uint32_t least)
{
    for (int i = 0; i < 2; i++)
        if (sides[i] < least || sides[i] > VT_MAX_SIDE)
            vt_graph_fail(g, VITRT_EFORMAT, "node %s: %s is %ux%u, expected sides from %u to %u", node->name, what,
                          (unsigned)sides[0], (unsigned)sides[1], (unsigned)least, VT_MAX_SIDE);
}

static void expect_sliding(struct vt_graph *g, const struct vt_node *node, const struct vt_sliding *slide)
{
    vt_expect_sides(g, node, "the kernel", slide->kernel, 1);
    vt_expect_sides(g, node, "the stride", slide->stride, 1);
    vt_expect_sides(g, node, "the padding", slide->padding, 0);
}

vt_value vt_graph_conv2d(struct vt_graph *g, const char *name, struct vt_view x, vt_weight weight, vt_weight bias,
                         const struct vt_sliding *slide)
{
    struct vt_node *node = vt_build_node(g, VT_NODE_CONV2D, name);
    if (!node)
        return VT_NO_VALUE;
    const struct vt_graph_weight *w = &g->weights[weight];
    vt_build_input(g, node, x);
    node->u.conv.slide = *slide;
    node->u.conv.groups = w->groups;
    vt_expect(g, node, "height of the kernel", slide->kernel[0], w->kernel[0]);
    vt_expect(g, node, "width of the kernel", slide->kernel[1], w->kernel[1]);
    vt_expect_parts(g, node, "input columns", node->in[0].columns, w->groups);
    vt_expect_parts(g, node, "rows of the weight", w->rows, w->groups);
    expect_sliding(g, node, slide);
    if (!g->status)
        set_product(g, node, weight, bias, (uint64_t)w->kernel[0] * w->kernel[1] * (node->in[0].columns / w->groups));
    return vt_build_value(g, node);
}

vt_value vt_graph_linear(struct vt_graph *g, const char *name, struct vt_view x, vt_weight weight, vt_weight bias)
{
    struct vt_node *node = vt_build_node(g, VT_NODE_LINEAR, name);
    if (!node)
        return VT_NO_VALUE;
    vt_build_input(g, node, x);
    set_product(g, node, weight, bias, node->in[0].columns);
    return vt_build_value(g, node);
}

vt_value vt_graph_layer_norm(struct vt_graph *g, const char *name, struct vt_view x, vt_weight gamma, vt_weight beta,
                             uint32_t groups, float eps)
{
    struct vt_node *node = vt_build_unary(g, VT_NODE_LAYER_NORM, name, x);
    if (!node)
        return VT_NO_VALUE;
    node->weight = gamma;
    node->bias = beta;
    node->u.norm.groups = groups;
    node->u.norm.eps = eps;
    vt_expect_parts(g, node, "columns", node->columns, groups);
    if (g->status)
        return VT_NO_VALUE;
    expect_weight(g, node, gamma, node->columns / groups, 1);
    expect_weight(g, node, beta, node->columns / groups, 1);
    return vt_build_value(g, node);
}

vt_value vt_graph_l2_norm(struct vt_graph *g, const char *name, struct vt_view x, vt_weight scales, uint32_t groups)
{
    struct vt_node *node = vt_build_unary(g, VT_NODE_L2_NORM, name, x);
    if (!node)
        return VT_NO_VALUE;
    node->weight = scales;
    node->u.norm.groups = groups;
    vt_expect_parts(g, node, "columns", node->columns, groups);
    expect_weight(g, node, scales, groups, 1);
    return vt_build_value(g, node);
}

/* The relative bias is for this attention alone. */
static void add_bias(struct vt_graph *g, struct vt_node *node, vt_value bias)
{
    struct vt_node *from = &g->nodes[bias];
    vt_build_input_of_kind(g, node, vt_view_of(bias), VT_BIAS_ROWS);
    if (g->status)
        return;
    vt_expect(g, node, "heads of the bias", from->u.relative_bias.heads, node->u.attention.heads);
    if (from->u.relative_bias.divisor != 0)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: its bias %s is another attention's already", node->name, from->name);
    from->u.relative_bias.divisor = node->u.attention.scale;
}

vt_value vt_graph_attention(struct vt_graph *g, const char *name, struct vt_view q, struct vt_view k, struct vt_view v,
                            vt_value bias, uint32_t heads, float scale)
{
    struct vt_node *node = vt_build_node(g, VT_NODE_ATTENTION, name);
    if (!node)
        return VT_NO_VALUE;
    vt_build_input(g, node, q);
    vt_build_input(g, node, k);
    vt_build_input(g, node, v);
    node->columns = node->in[2].columns;
    node->u.attention.heads = heads;
    node->u.attention.scale = scale;
    node->u.attention.zeta = 1;
    vt_expect(g, node, "number of key columns", node->in[1].columns, node->in[0].columns);
    vt_expect_parts(g, node, "query columns", node->in[0].columns, heads);
    vt_expect_parts(g, node, "value columns", node->in[2].columns, heads);
    if (g->status)
        return VT_NO_VALUE;
    if (!(scale >= LEAST_SCALE && scale <= 1 / LEAST_SCALE))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: its scale is no number from 1e-20 to 1e20", node->name);
    if (bias != VT_NO_VALUE)
        add_bias(g, node, bias);
    return vt_build_value(g, node);
}

void vt_graph_set_clip(struct vt_graph *g, vt_value attention, float gamma, float zeta)
{
    if (g->status)
        return;
    struct vt_node *node = &g->nodes[attention];
    if (!(gamma >= -MOST_STRETCH && gamma <= 0 && zeta >= 1 && zeta <= MOST_STRETCH))
        vt_graph_fail(g, VITRT_EFORMAT,
                      "node %s: probabilities clipped with gamma %g and zeta %g, expected gamma from -1000 to 0 and "
                      "zeta from 1 to 1000",
                      node->name, (double)gamma, (double)zeta);
    node->u.attention.gamma = gamma;
    node->u.attention.zeta = zeta;
}

void vt_graph_set_gate(struct vt_graph *g, vt_value attention, struct vt_view logits)
{
    if (g->status)
        return;
    struct vt_node *node = &g->nodes[attention];
    vt_build_input(g, node, logits);
    node->u.attention.gated = true;
    vt_expect(g, node, "number of gate columns", node->in[node->in_count - 1].columns, node->u.attention.heads);
}

void vt_expect_one_column(struct vt_graph *g, const struct vt_node *node, const char *what)
{
    vt_expect(g, node, what, node->in[node->in_count - 1].columns, 1);
}

void vt_graph_set_key_bias(struct vt_graph *g, vt_value attention, struct vt_view bias)
{
    if (g->status)
        return;
    struct vt_node *node = &g->nodes[attention];
    vt_build_input(g, node, bias);
    node->u.attention.key_bias = true;
    vt_expect_one_column(g, node, "number of columns of the bias of keys");
}

vt_value vt_graph_activation(struct vt_graph *g, const char *name, struct vt_view x, enum vt_activation activation)
{
    struct vt_node *node = vt_build_unary(g, VT_NODE_ACTIVATION, name, x);
    if (!node)
        return VT_NO_VALUE;
    node->u.activation = activation;
    return vt_build_value(g, node);
}

/* Of nodes that have more columns than they read. */
static void set_columns(struct vt_graph *g, struct vt_node *node, uint64_t columns)
{
    if (columns > VT_MAX_COLUMNS)
        vt_graph_fail(g, VITRT_ELIMIT, "node %s would have %llu columns, at most %u are possible", node->name,
                      (unsigned long long)columns, VT_MAX_COLUMNS);
    node->columns = (uint32_t)columns;
}

static vt_value add_binary(struct vt_graph *g, enum vt_node_type type, const char *name, struct vt_view a,
                           struct vt_view b)
{
    struct vt_node *node = vt_build_node(g, type, name);
    if (!node)
        return VT_NO_VALUE;
    vt_build_input(g, node, a);
    vt_build_input(g, node, b);
    if (type == VT_NODE_CONCAT) {
        set_columns(g, node, (uint64_t)node->in[0].columns + node->in[1].columns);
    } else {
        node->columns = node->in[0].columns;
        vt_expect(g, node, "number of columns of the second input", node->in[1].columns, node->columns);
    }
    return vt_build_value(g, node);
}

vt_value vt_graph_add(struct vt_graph *g, const char *name, struct vt_view a, struct vt_view b)
{
    return add_binary(g, VT_NODE_ADD, name, a, b);
}

vt_value vt_graph_mul(struct vt_graph *g, const char *name, struct vt_view a, struct vt_view b)
{
    return add_binary(g, VT_NODE_MUL, name, a, b);
}

vt_value vt_graph_concat(struct vt_graph *g, const char *name, struct vt_view a, struct vt_view b)
{
    return add_binary(g, VT_NODE_CONCAT, name, a, b);
}

vt_value vt_graph_head_combine(struct vt_graph *g, const char *name, vt_value a, vt_value b)
{
    return add_binary(g, VT_NODE_HEAD_COMBINE, name, vt_view_of(a), vt_view_of(b));
}

vt_value vt_graph_scale(struct vt_graph *g, const char *name, struct vt_view x, vt_weight vector)
{
    struct vt_node *node = vt_build_node(g, VT_NODE_MUL, name);
    if (!node)
        return VT_NO_VALUE;
    vt_build_input(g, node, x);
    node->weight = vector;
    node->columns = node->in[0].columns;
    expect_weight(g, node, vector, node->columns, 1);
    return vt_build_value(g, node);
}

static vt_value add_rows(struct vt_graph *g, enum vt_node_type type, const char *name, struct vt_view x,
                         uint32_t first_row, uint32_t row_count)
{
    struct vt_node *node = vt_build_unary(g, type, name, x);
    if (!node)
        return VT_NO_VALUE;
    node->u.rows.first_row = first_row;
    node->u.rows.row_count = row_count;
    return vt_build_value(g, node);
}

vt_value vt_graph_pool(struct vt_graph *g, const char *name, struct vt_view x, uint32_t first_row)
{
    return add_rows(g, VT_NODE_POOL, name, x, first_row, 0);
}

void vt_graph_set_pool_weights(struct vt_graph *g, vt_value pool, struct vt_view weights)
{
    if (g->status)
        return;
    vt_build_input(g, &g->nodes[pool], weights);
    vt_expect_one_column(g, &g->nodes[pool], "number of columns of the weights");
}

void vt_graph_set_pool_form(struct vt_graph *g, vt_value pool, uint32_t row_count, bool sum, bool spread)
{
    if (g->status)
        return;
    g->nodes[pool].u.rows.row_count = row_count;
    g->nodes[pool].u.rows.sum = sum;
    g->nodes[pool].u.rows.spread = spread;
}

vt_value vt_graph_slice(struct vt_graph *g, const char *name, struct vt_view x, uint32_t first_row, uint32_t row_count)
{
    return add_rows(g, VT_NODE_SLICE, name, x, first_row, row_count);
}

vt_value vt_graph_pool2d(struct vt_graph *g, const char *name, struct vt_view x, bool largest,
                         const struct vt_sliding *slide)
{
    struct vt_node *node = vt_build_unary(g, VT_NODE_POOL2D, name, x);
    if (!node)
        return VT_NO_VALUE;
    node->u.pool2d.slide = *slide;
    node->u.pool2d.largest = largest;
    expect_sliding(g, node, slide);
    vt_expect(g, node, "whether windows stick out of the padded map", slide->cover, false);
    for (int i = 0; i < 2; i++) /* then no window lies outside of the map */
        if (slide->padding[i] >= slide->kernel[i])
            vt_expect(g, node, "padding", slide->padding[i], slide->kernel[i] - 1);
    return vt_build_value(g, node);
}

vt_value vt_graph_tokens(struct vt_graph *g, const char *name, vt_weight rows)
{
    struct vt_node *node = vt_build_node(g, VT_NODE_TOKENS, name);
    if (!node)
        return VT_NO_VALUE;
    node->weight = rows;
    node->columns = (uint32_t)g->weights[rows].columns;
    return vt_build_value(g, node);
}

vt_order vt_graph_order(struct vt_graph *g, const struct vt_window_pattern *p)
{
    if (g->status)
        return VT_RASTER;
    for (size_t i = 0; i < g->pattern_count; i++)
        if (vt_window_patterns_same(&g->patterns[i], p))
            return (vt_order)i;
    const bool sides = p->size[0] && p->size[1] && p->size[0] <= VT_MAX_WINDOW_SIDE && p->size[1] <= VT_MAX_WINDOW_SIDE;
    if (!sides || (uint64_t)p->size[0] * p->size[1] > VT_MAX_WINDOW_AREA || p->shift[0] >= p->size[0] ||
        p->shift[1] >= p->size[1]) {
        vt_graph_fail(g, VITRT_EFORMAT,
                      "windows of %ux%u shifted by %ux%u, expected sides from 1 to %u, at most %u tokens, and shifts "
                      "smaller than the window",
                      (unsigned)p->size[0], (unsigned)p->size[1], (unsigned)p->shift[0], (unsigned)p->shift[1],
                      VT_MAX_WINDOW_SIDE, VT_MAX_WINDOW_AREA);
        return VT_RASTER;
    }
    if (!vt_grow(&g->alloc, (void **)&g->patterns, &g->pattern_capacity, g->pattern_count + 1, sizeof *g->patterns)) {
        g->status = vt_err_memory(g->err, (g->pattern_count + 1) * sizeof *g->patterns, "window patterns");
        return VT_RASTER;
    }
    g->patterns[g->pattern_count] = *p;
    return (vt_order)g->pattern_count++;
}

vt_value vt_graph_windows(struct vt_graph *g, const char *name, struct vt_view x, vt_order order)
{
    struct vt_node *node = vt_build_unary(g, VT_NODE_WINDOWS, name, x);
    if (!node)
        return VT_NO_VALUE;
    node->u.order = order;
    return vt_build_value(g, node);
}

vt_value vt_graph_unwindows(struct vt_graph *g, const char *name, struct vt_view x)
{
    const struct vt_node *node = vt_build_unary(g, VT_NODE_UNWINDOWS, name, x);
    return node ? vt_build_value(g, node) : VT_NO_VALUE;
}

vt_value vt_graph_space_to_depth(struct vt_graph *g, const char *name, struct vt_view x, const uint32_t block[2])
{
    struct vt_node *node = vt_build_node(g, VT_NODE_SPACE_TO_DEPTH, name);
    if (!node)
        return VT_NO_VALUE;
    vt_build_input(g, node, x);
    memcpy(node->u.space_to_depth.block, block, sizeof node->u.space_to_depth.block);
    vt_expect_sides(g, node, "the block", block, 1);
    if (!g->status)
        set_columns(g, node, (uint64_t)block[0] * block[1] * node->in[0].columns);
    return vt_build_value(g, node);
}

/* A relative bias is read by attention alone, as what it is for this map: its rows are elements. */
static struct vt_node *add_relative_bias(struct vt_graph *g, const char *name, vt_value map, vt_order order,
                                         const uint32_t trained[2])
{
    struct vt_node *node = vt_build_node(g, VT_NODE_RELATIVE_BIAS, name);
    if (!node)
        return NULL;
    vt_build_input(g, node, vt_view_of(map));
    node->columns = 1;
    node->u.relative_bias.order = order;
    memcpy(node->u.relative_bias.trained, trained, sizeof node->u.relative_bias.trained);
    return node;
}

vt_value vt_graph_bias_table(struct vt_graph *g, const char *name, vt_value map, vt_order order, vt_weight table,
                             const uint32_t trained[2])
{
    struct vt_node *node = add_relative_bias(g, name, map, order, trained);
    if (!node)
        return VT_NO_VALUE;
    node->u.relative_bias.source = VT_BIAS_TABLE;
    node->u.relative_bias.heads = (uint32_t)g->weights[table].columns;
    node->weight = table;
    vt_expect_sides(g, node, "the window of the table", trained, 1);
    vt_expect(g, node, "number of rows of the table", g->weights[table].rows,
              (2 * (uint64_t)trained[0] - 1) * (2 * (uint64_t)trained[1] - 1));
    return vt_build_value(g, node);
}

vt_value vt_graph_bias_network(struct vt_graph *g, const char *name, vt_value map, vt_order order, vt_weight weight,
                               vt_weight bias, vt_weight weight2, const uint32_t trained[2])
{
    struct vt_node *node = add_relative_bias(g, name, map, order, trained);
    if (!node)
        return VT_NO_VALUE;
    const uint64_t hidden = g->weights[weight].rows;
    node->u.relative_bias.source = VT_BIAS_NETWORK;
    node->u.relative_bias.heads = (uint32_t)g->weights[weight2].rows;
    node->weight = weight;
    node->bias = bias;
    node->weight2 = weight2;
    vt_expect_sides(g, node, "the window of the network", trained, 0);
    expect_weight(g, node, weight, hidden, 2);
    expect_weight(g, node, bias, hidden, 1);
    vt_expect(g, node, "number of columns of the second layer", g->weights[weight2].columns, hidden);
    return vt_build_value(g, node);
}

vt_value vt_graph_positions(struct vt_graph *g, const char *name, vt_value map, vt_weight table,
                            enum vt_positions_filter filter, uint32_t prefix, const uint32_t grid[2])
{
    struct vt_node *node = vt_build_node(g, VT_NODE_POSITIONS, name);
    if (!node)
        return VT_NO_VALUE;
    vt_build_input(g, node, vt_view_of(map));
    node->weight = table;
    node->columns = (uint32_t)g->weights[table].columns;
    node->u.positions.filter = filter;
    node->u.positions.prefix = prefix;
    memcpy(node->u.positions.grid, grid, sizeof node->u.positions.grid);
    vt_expect_sides(g, node, "the grid", grid, 1);
    vt_expect(g, node, "number of positions", g->weights[table].rows, prefix + (uint64_t)grid[0] * grid[1]);
    return vt_build_value(g, node);
}

vt_value vt_graph_embed(struct vt_graph *g, const char *name, vt_value map, vt_weight tokens, vt_value positions,
                        uint32_t position_prefix)
{
    struct vt_node *node = vt_build_node(g, VT_NODE_EMBED, name);
    if (!node)
        return VT_NO_VALUE;
    vt_build_input(g, node, vt_view_of(map));
    if (positions != VT_NO_VALUE)
        vt_build_input_of_kind(g, node, vt_view_of(positions), VT_POSITIONS_ROWS);
    node->weight = tokens;
    node->columns = node->in[0].columns;
    node->u.embed.position_prefix = position_prefix;
    const uint64_t token_rows = tokens == VT_NO_WEIGHT ? 0 : g->weights[tokens].rows;
    expect_weight(g, node, tokens, token_rows, node->columns);
    if (positions != VT_NO_VALUE)
        vt_expect(g, node, "number of position columns", node->in[1].columns, node->columns);
    if (position_prefix > token_rows)
        vt_expect(g, node, "number of tokens with a position", position_prefix, token_rows);
    return vt_build_value(g, node);
}

void vt_graph_output(struct vt_graph *g, const char *name, vt_value value)
{
    if (g->status)
        return;
    if (vt_is_constant(&g->nodes[value]) || g->nodes[value].type == VT_NODE_SELECT) {
        vt_graph_fail(g, VITRT_EFORMAT, "output %s is node %s, which is no value of an image", name,
                      g->nodes[value].name);
        return;
    }
    if (!vt_grow(&g->alloc, (void **)&g->outputs, &g->output_capacity, g->output_count + 1, sizeof *g->outputs)) {
        g->status = vt_err_memory(g->err, (g->output_count + 1) * sizeof *g->outputs, "graph outputs");
        return;
    }
    struct vt_graph_output *o = &g->outputs[g->output_count++];
    snprintf(o->name, sizeof o->name, "%s", name);
    o->value = value;
}

vt_value vt_graph_copy_node(struct vt_graph *g, const struct vt_node *node)
{
    const struct vt_node copy = *node; /* it may be one of g's own, which move */
    struct vt_node *to = append_room(g);
    if (!to)
        return VT_NO_VALUE;
    *to = copy;
    return vt_build_value(g, to);
}

bool vt_graph_reserve(struct vt_graph *g, size_t nodes)
{
    return vt_grow(&g->alloc, (void **)&g->nodes, &g->node_capacity, nodes, sizeof *g->nodes);
}

vt_value vt_graph_append(struct vt_graph *g, const struct vt_node *node)
{
    assert(g->node_count < g->node_capacity);
    g->nodes[g->node_count] = *node;
    return (vt_value)g->node_count++;
}

vt_value vt_graph_find_output(const struct vt_graph *g, const char *name)
{
    for (size_t i = 0; i < g->output_count; i++)
        if (!strcmp(g->outputs[i].name, name))
            return g->outputs[i].value;
    return VT_NO_VALUE;
}
