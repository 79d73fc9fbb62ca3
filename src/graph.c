/* SPDX-License-Identifier: Apache-2.0 */
/* Building a graph: nodes, outputs and the checks each node makes of its inputs. Weights are in graph_weights.c, shapes
 * in graph_shapes.c. */
#include "graph.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

/* Appends a zeroed node; NULL after an error. */
static struct vt_node *add_node(struct vt_graph *g, enum vt_node_type type, const char *name)
{
    if (g->status)
        return NULL;
    if (!vt_grow(&g->alloc, (void **)&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes)) {
        g->status = vt_err_memory(g->err, (g->node_count + 1) * sizeof *g->nodes, "graph nodes");
        return NULL;
    }
    struct vt_node *node = &g->nodes[g->node_count++];
    memset(node, 0, sizeof *node);
    node->type = type;
    node->weight = node->bias = VT_NO_WEIGHT;
    snprintf(node->name, sizeof node->name, "%s", name);
    return node;
}

static vt_value value_of(const struct vt_graph *g, const struct vt_node *node)
{
    return (vt_value)(node - g->nodes);
}

static void add_input(struct vt_graph *g, struct vt_node *node, struct vt_view view)
{
    assert(view.value >= 0 && view.value < value_of(g, node) && node->in_count < VT_MAX_INPUTS);
    const uint32_t all = g->nodes[view.value].columns;
    if (!view.columns)
        view.columns = all - view.column;
    if (view.column > all || view.columns > all - view.column)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s reads columns %u to %u of %s, which has %u", node->name,
                      (unsigned)view.column, (unsigned)(view.column + view.columns), g->nodes[view.value].name,
                      (unsigned)all);
    node->in[node->in_count++] = view;
}

/* Expects that two counts agree; what names them. */
static void expect(struct vt_graph *g, const struct vt_node *node, const char *what, uint64_t found, uint64_t wanted)
{
    if (found != wanted)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: %s is %llu, expected %llu", node->name, what,
                      (unsigned long long)found, (unsigned long long)wanted);
}

static void expect_weight(struct vt_graph *g, const struct vt_node *node, vt_weight w, uint64_t rows, uint64_t columns)
{
    if (w == VT_NO_WEIGHT)
        return;
    expect(g, node, "number of weight rows", g->weights[w].rows, rows);
    expect(g, node, "number of weight columns", g->weights[w].columns, columns);
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

vt_value vt_graph_input(struct vt_graph *g, uint32_t channels)
{
    struct vt_node *node = add_node(g, VT_NODE_INPUT, "pixels");
    if (!node)
        return VT_NO_VALUE;
    node->columns = channels;
    return value_of(g, node);
}

vt_value vt_graph_conv2d(struct vt_graph *g, const char *name, vt_value x, vt_weight weight, vt_weight bias,
                         const uint32_t kernel[2], const uint32_t stride[2], const uint32_t padding[2])
{
    struct vt_node *node = add_node(g, VT_NODE_CONV2D, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, vt_view_of(x));
    memcpy(node->u.conv.kernel, kernel, sizeof node->u.conv.kernel);
    memcpy(node->u.conv.stride, stride, sizeof node->u.conv.stride);
    memcpy(node->u.conv.padding, padding, sizeof node->u.conv.padding);
    set_product(g, node, weight, bias, (uint64_t)kernel[0] * kernel[1] * node->in[0].columns);
    return value_of(g, node);
}

vt_value vt_graph_linear(struct vt_graph *g, const char *name, struct vt_view x, vt_weight weight, vt_weight bias)
{
    struct vt_node *node = add_node(g, VT_NODE_LINEAR, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, x);
    set_product(g, node, weight, bias, node->in[0].columns);
    return value_of(g, node);
}

vt_value vt_graph_layer_norm(struct vt_graph *g, const char *name, struct vt_view x, vt_weight gamma, vt_weight beta,
                             uint32_t groups, float eps)
{
    struct vt_node *node = add_node(g, VT_NODE_LAYER_NORM, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, x);
    node->weight = gamma;
    node->bias = beta;
    node->columns = node->in[0].columns;
    node->u.norm.groups = groups;
    node->u.norm.eps = eps;
    expect(g, node, "columns modulo groups", node->columns % groups, 0);
    expect_weight(g, node, gamma, node->columns / groups, 1);
    expect_weight(g, node, beta, node->columns / groups, 1);
    return value_of(g, node);
}

vt_value vt_graph_attention(struct vt_graph *g, const char *name, struct vt_view q, struct vt_view k, struct vt_view v,
                            uint32_t heads, float scale)
{
    struct vt_node *node = add_node(g, VT_NODE_ATTENTION, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, q);
    add_input(g, node, k);
    add_input(g, node, v);
    node->columns = node->in[2].columns;
    node->u.attention.heads = heads;
    node->u.attention.scale = scale;
    expect(g, node, "number of key columns", node->in[1].columns, node->in[0].columns);
    expect(g, node, "query columns modulo heads", node->in[0].columns % heads, 0);
    expect(g, node, "value columns modulo heads", node->in[2].columns % heads, 0);
    return value_of(g, node);
}

vt_value vt_graph_attention_scores(struct vt_graph *g, const char *name, vt_value attention,
                                   enum vt_attention_scores scores)
{
    for (size_t v = 0; v < g->node_count; v++) /* the same ones are given once */
        if (g->nodes[v].type == VT_NODE_ATTENTION_SCORES && g->nodes[v].in[0].value == attention &&
            g->nodes[v].u.scores == scores)
            return (vt_value)v;
    struct vt_node *node = add_node(g, VT_NODE_ATTENTION_SCORES, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, vt_view_of(attention));
    expect(g, node, "type of the input's node", g->nodes[attention].type, VT_NODE_ATTENTION);
    node->columns = g->nodes[attention].u.attention.heads;
    node->u.scores = scores;
    return value_of(g, node);
}

vt_value vt_graph_activation(struct vt_graph *g, const char *name, struct vt_view x, enum vt_activation activation)
{
    struct vt_node *node = add_node(g, VT_NODE_ACTIVATION, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, x);
    node->columns = node->in[0].columns;
    node->u.activation = activation;
    return value_of(g, node);
}

static vt_value add_binary(struct vt_graph *g, enum vt_node_type type, const char *name, struct vt_view a,
                           struct vt_view b)
{
    struct vt_node *node = add_node(g, type, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, a);
    add_input(g, node, b);
    if (type == VT_NODE_CONCAT) {
        node->columns = node->in[0].columns + node->in[1].columns;
    } else {
        node->columns = node->in[0].columns;
        expect(g, node, "number of columns of the second input", node->in[1].columns, node->columns);
    }
    return value_of(g, node);
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
    struct vt_node *node = add_node(g, VT_NODE_MUL, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, x);
    node->weight = vector;
    node->columns = node->in[0].columns;
    expect_weight(g, node, vector, node->columns, 1);
    return value_of(g, node);
}

static vt_value add_rows(struct vt_graph *g, enum vt_node_type type, const char *name, struct vt_view x,
                         uint32_t first_row, uint32_t row_count)
{
    struct vt_node *node = add_node(g, type, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, x);
    node->columns = node->in[0].columns;
    node->u.rows.first_row = first_row;
    node->u.rows.row_count = row_count;
    return value_of(g, node);
}

vt_value vt_graph_pool(struct vt_graph *g, const char *name, struct vt_view x, uint32_t first_row)
{
    return add_rows(g, VT_NODE_POOL, name, x, first_row, 0);
}

vt_value vt_graph_slice(struct vt_graph *g, const char *name, struct vt_view x, uint32_t first_row, uint32_t row_count)
{
    return add_rows(g, VT_NODE_SLICE, name, x, first_row, row_count);
}

vt_value vt_graph_positions(struct vt_graph *g, const char *name, vt_value map, vt_weight table,
                            enum vt_positions_filter filter, uint32_t prefix, const uint32_t grid[2])
{
    struct vt_node *node = add_node(g, VT_NODE_POSITIONS, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, vt_view_of(map));
    node->weight = table;
    node->columns = (uint32_t)g->weights[table].columns;
    node->u.positions.filter = filter;
    node->u.positions.prefix = prefix;
    memcpy(node->u.positions.grid, grid, sizeof node->u.positions.grid);
    expect(g, node, "number of positions", g->weights[table].rows, prefix + (uint64_t)grid[0] * grid[1]);
    return value_of(g, node);
}

vt_value vt_graph_embed(struct vt_graph *g, const char *name, vt_value map, vt_weight tokens, vt_value positions,
                        uint32_t position_prefix)
{
    struct vt_node *node = add_node(g, VT_NODE_EMBED, name);
    if (!node)
        return VT_NO_VALUE;
    add_input(g, node, vt_view_of(map));
    if (positions != VT_NO_VALUE)
        add_input(g, node, vt_view_of(positions));
    node->weight = tokens;
    node->columns = node->in[0].columns;
    node->u.embed.position_prefix = position_prefix;
    const uint64_t token_rows = tokens == VT_NO_WEIGHT ? 0 : g->weights[tokens].rows;
    expect_weight(g, node, tokens, token_rows, node->columns);
    if (positions != VT_NO_VALUE)
        expect(g, node, "number of position columns", node->in[1].columns, node->columns);
    if (position_prefix > token_rows)
        expect(g, node, "number of tokens with a position", position_prefix, token_rows);
    return value_of(g, node);
}

void vt_graph_output(struct vt_graph *g, const char *name, vt_value value)
{
    if (g->status)
        return;
    if (!vt_grow(&g->alloc, (void **)&g->outputs, &g->output_capacity, g->output_count + 1, sizeof *g->outputs)) {
        g->status = vt_err_memory(g->err, (g->output_count + 1) * sizeof *g->outputs, "graph outputs");
        return;
    }
    struct vt_graph_output *o = &g->outputs[g->output_count++];
    snprintf(o->name, sizeof o->name, "%s", name);
    o->value = value;
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
