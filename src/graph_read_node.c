/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node is read in three steps: its inputs are looked up by name, which only finds nodes before it, so that there are
 * no cycles; what the table of graph_schema.h lists is read into a node that serves as a template; and the builder's
 * call for it makes the node. Weights come from tensors, whose shapes say what is not in the text.
 */
#include "graph_read_node.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

/* ---- Weights ---- */

static bool fits(const struct vt_tensor *t, enum vt_weight_form form)
{
    switch (form) {
    case VT_WEIGHT_MATRIX: return t->rank == 2;
    case VT_WEIGHT_CONV: return t->rank == 4 && t->shape[2] <= VT_MAX_SIDE && t->shape[3] <= VT_MAX_SIDE;
    case VT_WEIGHT_VECTOR: return t->rank >= 1;
    case VT_WEIGHT_ROWS: return t->rank >= 2;
    }
    return false;
}

static vt_weight add_weight(struct vt_node_reader *r, const struct vt_tensor *t, enum vt_weight_form form,
                            uint32_t groups)
{
    const uint64_t *shape = t->shape + t->rank; /* its end */
    switch (form) {
    case VT_WEIGHT_MATRIX: return vt_graph_matrix(r->g, t->name, shape[-2], shape[-1]);
    case VT_WEIGHT_CONV: {
        const uint32_t kernel[2] = { (uint32_t)shape[-2], (uint32_t)shape[-1] };
        return vt_graph_conv(r->g, t->name, shape[-4], shape[-3], kernel, groups);
    }
    case VT_WEIGHT_VECTOR: return vt_graph_vector(r->g, t->name, shape[-1]);
    case VT_WEIGHT_ROWS: return vt_graph_rows(r->g, t->name, shape[-2], shape[-1]);
    }
    return VT_NO_WEIGHT;
}

/* Groups of a convolution: a row of its weight reads the channels of one of them. */
static uint32_t groups_of(struct vt_node_reader *r, const struct vt_tensor *t, struct vt_view x)
{
    const uint32_t columns = x.columns ? x.columns : r->g->nodes[x.value].columns;
    if (t->shape[1] && columns % t->shape[1] == 0)
        return (uint32_t)(columns / t->shape[1]);
    vt_graph_fail(r->g, VITRT_EFORMAT,
                  "node %s: its input has %u columns, expected a multiple of the %llu that tensor %.160s reads",
                  r->values.node, (unsigned)columns, (unsigned long long)t->shape[1], t->name);
    return 1;
}

static vt_weight read_weight(struct vt_node_reader *r, const char *key, vt_json v, enum vt_weight_form form,
                             const struct vt_view *in)
{
    static const char *const forms[] = { "[out, in]", "[out, in / groups, height, width]", "[n]", "[rows, columns]" };
    struct vt_graph *g = r->g;
    char *name = vt_json_dup_string(&g->alloc, v);
    const struct vt_tensor *t = name ? vt_checkpoint_find(g->checkpoint, name) : NULL;
    if (!name && vt_json_type(v) == VT_JSON_STRING)
        vt_graph_fail(g, VITRT_ENOMEM, "out of memory for a name");
    else if (!name)
        vt_bad_value(&r->values, key, v, "the name of a tensor");
    else if (!t)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: %s: tensor %.160s is missing", r->values.node, key, name);
    else if (!fits(t, form))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: %s: tensor %.160s has rank %u, expected %s", r->values.node, key,
                      t->name, (unsigned)t->rank, forms[form]);
    vt_free(&g->alloc, name, vt_strsize(name));
    if (g->status)
        return VT_NO_WEIGHT;
    const uint32_t groups = form == VT_WEIGHT_CONV ? groups_of(r, t, in[0]) : 1;
    vt_weight *made = &r->made[t - vt_checkpoint_tensor(g->checkpoint, 0)];
    if (*made == VT_NO_WEIGHT || g->weights[*made].form != form || g->weights[*made].groups != groups)
        *made = add_weight(r, t, form, groups);
    return *made;
}

/* ---- Nodes ---- */

static const char *name_list(const struct vt_graph *g)
{
    return g->nodes ? g->nodes->name : "";
}

vt_value vt_find_node(struct vt_node_reader *r, const char *what, vt_json v)
{
    char name[VT_NAME_SIZE];
    if (!vt_read_name(&r->values, what, v, name))
        return VT_NO_VALUE;
    const size_t found = vt_name_table_find(r->names, name_list(r->g), name);
    if (found != VT_NO_NAME)
        return (vt_value)found;
    vt_graph_fail(r->g, VITRT_EFORMAT, "%s%s%s%s is %s, and no node before has that name",
                  r->values.node[0] ? "node " : "the graph", r->values.node, ": ", what, name);
    return VT_NO_VALUE;
}

/* "name", or ["name", first column, columns]. */
static struct vt_view read_view(struct vt_node_reader *r, vt_json v, uint32_t i)
{
    char what[16];
    snprintf(what, sizeof what, "in[%u]", (unsigned)i);
    const bool range = vt_json_type(v) == VT_JSON_ARRAY;
    struct vt_view view = vt_view_of(vt_find_node(r, what, range ? vt_json_at(v, 0) : v));
    if (!range || view.value == VT_NO_VALUE)
        return view;
    const bool whole = r->op->whole >> i & 1 || vt_is_constant(&r->g->nodes[view.value]);
    if (vt_json_count(v) != 3 || whole)
        vt_bad_value(&r->values, what, v, whole ? "the name of a node" : "[name, first column, columns]");
    vt_read_count(&r->values, what, vt_json_at(v, 1), &view.column);
    vt_read_count(&r->values, what, vt_json_at(v, 2), &view.columns);
    if (!view.columns)
        vt_graph_fail(r->g, VITRT_EFORMAT, "node %s: %s has no columns", r->values.node, what);
    return view;
}

static uint32_t read_inputs(struct vt_node_reader *r, vt_json in, struct vt_view views[VT_MAX_INPUTS])
{
    const uint32_t least = r->op->least_inputs, most = r->op->most_inputs;
    const size_t count = vt_json_count(in);
    uint32_t i = 0;
    if (vt_json_type(in) && vt_json_type(in) != VT_JSON_ARRAY)
        vt_bad_value(&r->values, "in", in, "an array");
    else if (count < least || count > most)
        vt_graph_fail(r->g, VITRT_EFORMAT, "node %s: it has %zu inputs, expected %u to %u for %s", r->values.node,
                      count, (unsigned)least, (unsigned)most, r->op->name);
    if (r->g->status)
        return 0;
    for (vt_json_iterator it = vt_json_first(in); it.left && !r->g->status; vt_json_next(&it), i++)
        views[i] = read_view(r, it.value, i);
    return i;
}

static void read_order(struct vt_node_reader *r, const char *what, vt_json v, vt_order *order)
{
    uint64_t n;
    if (vt_json_to_u64(v, &n) && n < r->g->pattern_count)
        *order = (vt_order)n;
    else
        vt_bad_value(&r->values, what, v, "the index of one of the graph's windows");
}

static void read_attribute(struct vt_node_reader *r, vt_json object, const struct vt_attribute *a, struct vt_node *node)
{
    void *to = (char *)node + a->offset;
    const vt_json v = vt_json_get(object, a->key);
    if (!vt_json_type(v) && !a->required) {
        const uint32_t usual[2] = { a->usual, a->usual };
        const float number = (float)a->usual;
        const double share = a->usual;
        if (a->kind == VT_ATTRIBUTE_NUMBER || a->kind == VT_ATTRIBUTE_SIGNED)
            memcpy(to, &number, sizeof number);
        else if (a->kind == VT_ATTRIBUTE_SHARE)
            memcpy(to, &share, sizeof share);
        else if (a->kind != VT_ATTRIBUTE_FLAG)
            memcpy(to, usual, a->kind == VT_ATTRIBUTE_SIDES ? sizeof usual : sizeof *usual);
        return;
    }
    switch (a->kind) {
    case VT_ATTRIBUTE_COUNT: vt_read_count(&r->values, a->key, v, to); break;
    case VT_ATTRIBUTE_SIDES: vt_read_sides(&r->values, a->key, v, to); break;
    case VT_ATTRIBUTE_NUMBER: vt_read_number(&r->values, a->key, v, 0, to); break;
    case VT_ATTRIBUTE_SIGNED: vt_read_number(&r->values, a->key, v, -FLT_MAX, to); break;
    case VT_ATTRIBUTE_SHARE: vt_read_share(&r->values, a->key, v, to); break;
    case VT_ATTRIBUTE_FLAG: vt_read_flag(&r->values, a->key, v, to); break;
    case VT_ATTRIBUTE_CHOICE: vt_read_choice(&r->values, a->key, v, a->names, a->name_count, to); break;
    case VT_ATTRIBUTE_WINDOWS: read_order(r, a->key, v, to); break;
    case VT_ATTRIBUTE_NONE: break;
    }
}

static vt_value build_attention(struct vt_graph *g, const char *name, const struct vt_node *n)
{
    const uint32_t more = (uint32_t)n->u.attention.gated + n->u.attention.key_bias;
    if (n->in_count < 3u + more || n->in_count > 4u + more) {
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: it has %u inputs, expected q, k, v%s%s and possibly a relative bias",
                      name, (unsigned)n->in_count, n->u.attention.gated ? ", the logits of its gate" : "",
                      n->u.attention.key_bias ? ", a bias of its keys" : "");
        return VT_NO_VALUE;
    }
    const vt_value bias = vt_bias_input(n) ? n->in[vt_bias_input(n)].value : VT_NO_VALUE;
    const vt_value v =
        vt_graph_attention(g, name, n->in[0], n->in[1], n->in[2], bias, n->u.attention.heads, n->u.attention.scale);
    vt_graph_set_clip(g, v, n->u.attention.gamma, n->u.attention.zeta);
    if (n->u.attention.gated)
        vt_graph_set_gate(g, v, n->in[vt_gate_input(n)]);
    if (n->u.attention.key_bias)
        vt_graph_set_key_bias(g, v, n->in[vt_key_bias_input(n)]);
    return v;
}

static vt_value build_pool(struct vt_graph *g, const char *name, const struct vt_node *n)
{
    const vt_value v = vt_graph_pool(g, name, n->in[0], n->u.rows.first_row);
    vt_graph_set_pool_form(g, v, n->u.rows.row_count, n->u.rows.sum, n->u.rows.spread);
    if (n->in_count > 1)
        vt_graph_set_pool_weights(g, v, n->in[1]);
    return v;
}

/* The builder's call for a node like n, whose weights and attributes are filled in. */
static vt_value build(struct vt_graph *g, const char *name, const struct vt_node *n)
{
    const struct vt_view x = n->in[0], y = n->in[1];
    const vt_value second = n->in_count > 1 ? y.value : VT_NO_VALUE;
    struct vt_sliding slide;
    switch (n->type) {
    case VT_NODE_INPUT: return vt_graph_input(g, 3);
    case VT_NODE_CONV2D:
        slide = n->u.conv.slide;
        memcpy(slide.kernel, g->weights[n->weight].kernel, sizeof slide.kernel);
        return vt_graph_conv2d(g, name, x, n->weight, n->bias, &slide);
    case VT_NODE_LINEAR: return vt_graph_linear(g, name, x, n->weight, n->bias);
    case VT_NODE_LAYER_NORM:
        return vt_graph_layer_norm(g, name, x, n->weight, n->bias, n->u.norm.groups, n->u.norm.eps);
    case VT_NODE_L2_NORM: return vt_graph_l2_norm(g, name, x, n->weight, n->u.norm.groups);
    case VT_NODE_ATTENTION: return build_attention(g, name, n);
    case VT_NODE_ATTENTION_SCORES: return vt_graph_scores_like(g, name, n);
    case VT_NODE_ACTIVATION: return vt_graph_activation(g, name, x, n->u.activation);
    case VT_NODE_ADD: return vt_graph_add(g, name, x, y);
    case VT_NODE_MUL: return n->in_count > 1 ? vt_graph_mul(g, name, x, y) : vt_graph_scale(g, name, x, n->weight);
    case VT_NODE_POOL: return build_pool(g, name, n);
    case VT_NODE_POOL2D: return vt_graph_pool2d(g, name, x, n->u.pool2d.largest, &n->u.pool2d.slide);
    case VT_NODE_SLICE: return vt_graph_slice(g, name, x, n->u.rows.first_row, n->u.rows.row_count);
    case VT_NODE_TOKENS: return vt_graph_tokens(g, name, n->weight);
    case VT_NODE_CONCAT: return vt_graph_concat(g, name, x, y);
    case VT_NODE_EMBED: return vt_graph_embed(g, name, x.value, n->weight, second, n->u.embed.position_prefix);
    case VT_NODE_HEAD_COMBINE: return vt_graph_head_combine(g, name, x.value, y.value);
    case VT_NODE_WINDOWS: return vt_graph_windows(g, name, x, n->u.order);
    case VT_NODE_UNWINDOWS: return vt_graph_unwindows(g, name, x);
    case VT_NODE_SPACE_TO_DEPTH: return vt_graph_space_to_depth(g, name, x, n->u.space_to_depth.block);
    case VT_NODE_POSITIONS:
        return vt_graph_positions(g, name, x.value, n->weight, n->u.positions.filter, n->u.positions.prefix,
                                  n->u.positions.grid);
    case VT_NODE_RELATIVE_BIAS:
        if (n->weight2 == VT_NO_WEIGHT)
            return vt_graph_bias_table(g, name, x.value, n->u.relative_bias.order, n->weight,
                                       n->u.relative_bias.trained);
        return vt_graph_bias_network(g, name, x.value, n->u.relative_bias.order, n->weight, n->bias, n->weight2,
                                     n->u.relative_bias.trained);
    case VT_NODE_TOKEN_SCORE: return vt_graph_token_score(g, name, n);
    case VT_NODE_SELECT: return vt_graph_select(g, name, n);
    case VT_NODE_APPLY: return vt_graph_apply(g, name, x, second, n->u.apply.sum);
    case VT_NODE_SCATTER:
        return vt_graph_scatter(g, name, x, second, n->in_count > 2 ? n->in[2].value : VT_NO_VALUE);
    case VT_NODE_UPSAMPLE: return vt_graph_upsample(g, name, x, n->u.upsample.factor);
    case VT_NODE_ARGMAX: return vt_graph_argmax(g, name, x);
    case VT_NODE_CONVERT:
    case VT_NODE_TYPE_COUNT: break;
    }
    return VT_NO_VALUE;
}

static bool only_known_members(struct vt_node_reader *r, vt_json v)
{
    const char *known[5 + VT_MAX_SLOTS + VT_MAX_ATTRIBUTES] = { "op", "name", "in", VT_QUANTIZE_KEY, VT_UNIT_KEY };
    size_t count = 5; /* a node whose op has no quantizers says so */
    for (int i = 0; i < VT_MAX_SLOTS; i++)
        if (r->op->slots[i].need != VT_ABSENT)
            known[count++] = vt_slot_keys[i];
    for (const struct vt_attribute *a = r->op->attributes; a->kind; a++)
        known[count++] = a->key;
    return vt_only_known(&r->values, v, known, count);
}

/* A node with all that the file says about it. */
static void fill_template(struct vt_node_reader *r, vt_json v, struct vt_node *node)
{
    vt_weight weights[VT_MAX_SLOTS] = { VT_NO_WEIGHT, VT_NO_WEIGHT, VT_NO_WEIGHT };
    memset(node, 0, sizeof *node);
    node->type = r->op->type;
    node->in_count = read_inputs(r, vt_json_get(v, "in"), node->in);
    for (const struct vt_attribute *a = r->op->attributes; a->kind && !r->g->status; a++)
        read_attribute(r, v, a, node);
    for (int i = 0; i < VT_MAX_SLOTS && !r->g->status; i++) {
        const struct vt_weight_slot *slot = &r->op->slots[i];
        const vt_json name = vt_json_get(v, vt_slot_keys[i]);
        if (slot->need == VT_REQUIRED || vt_json_type(name))
            weights[i] = read_weight(r, vt_slot_keys[i], name, slot->form, node->in);
    }
    node->weight = weights[0];
    node->bias = weights[1];
    node->weight2 = weights[2];
}

/* ---- Quantizers ---- */

/* A number, or the name of a tensor with one for each column. */
static void read_code_numbers(struct vt_node_reader *r, const char *key, vt_json v, float least, float *number,
                              vt_weight *vector)
{
    if (vt_json_type(v) == VT_JSON_STRING)
        *vector = read_weight(r, key, v, VT_WEIGHT_VECTOR, NULL);
    else
        vt_read_number(&r->values, key, v, least, number);
}

static void read_quantizer(struct vt_node_reader *r, vt_json v, vt_value value, uint32_t i)
{
    static const char *const known[] = { "bits", "scale", "zero_point" };
    struct vt_operand_quantizer q = { .scales = VT_NO_WEIGHT, .zeros = VT_NO_WEIGHT };
    if (vt_json_type(v) != VT_JSON_OBJECT) {
        vt_bad_value(&r->values, VT_QUANTIZE_KEY, v, "an object");
        return;
    }
    if (!vt_only_known(&r->values, v, known, sizeof known / sizeof *known))
        return;
    vt_read_count(&r->values, "bits", vt_json_get(v, "bits"), &q.bits);
    read_code_numbers(r, "scale", vt_json_get(v, "scale"), 0, &q.scale, &q.scales);
    read_code_numbers(r, "zero_point", vt_json_get(v, "zero_point"), -FLT_MAX, &q.zero, &q.zeros);
    if (!r->g->status && (q.scales == VT_NO_WEIGHT) != (q.zeros == VT_NO_WEIGHT))
        vt_graph_fail(r->g, VITRT_EFORMAT,
                      "node %s: scale and zero_point are a number and a tensor, expected two "
                      "numbers or two tensors",
                      r->values.node);
    vt_graph_set_quantizer(r->g, value, i, &q);
}

static void read_unit(struct vt_node_reader *r, vt_json v, vt_value value)
{
    float *unit = &r->g->nodes[value].unit;
    if (!vt_json_type(v) || r->g->status)
        return;
    vt_read_number(&r->values, VT_UNIT_KEY, v, 0, unit);
    if (!r->g->status && !vt_is_code_scale(*unit))
        vt_bad_value(&r->values, VT_UNIT_KEY, v, "a number from 1e-30 to 1e30");
}

static void read_quantizers(struct vt_node_reader *r, vt_json v, vt_value value)
{
    if (!vt_json_type(v))
        return;
    const uint32_t count = vt_operand_count(&r->g->nodes[value]);
    if (vt_json_type(v) != VT_JSON_ARRAY || vt_json_count(v) != count) {
        vt_graph_fail(r->g, VITRT_EFORMAT, "node %s: quantize is no array of %u, one for each input that is multiplied",
                      r->values.node, (unsigned)count);
        return;
    }
    uint32_t i = 0;
    for (vt_json_iterator it = vt_json_first(v); it.left && !r->g->status; vt_json_next(&it), i++)
        read_quantizer(r, it.value, value, i);
}

/* What the node says beside its quantizers. */
static void set_precision(struct vt_graph *g, vt_value value, const struct vt_node *said)
{
    struct vt_node *node = &g->nodes[value];
    if (g->status)
        return;
    if (said->float_product != VT_FLOAT_PRODUCT_F32 && vt_is_quantized(node))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: it has codes and a precision, expected one of both", node->name);
    node->float_product = said->float_product;
    if (node->type == VT_NODE_ATTENTION && (said->u.attention.log_bits || said->u.attention.log_scale != 0))
        vt_graph_set_log_codes(g, value, said->u.attention.log_bits, said->u.attention.log_scale);
}

/* ---- Nodes ---- */

static const struct vt_op_schema *find_op(vt_json v)
{
    for (size_t i = 0; i < vt_op_schema_count; i++)
        if (vt_json_is(v, vt_op_schemas[i].name))
            return &vt_op_schemas[i];
    return NULL;
}

void vt_read_node(struct vt_node_reader *r, vt_json v)
{
    struct vt_graph *g = r->g;
    struct vt_node node;
    char what[40], name[VT_NAME_SIZE];
    const size_t index = g->node_count;
    snprintf(what, sizeof what, "the name of nodes[%zu]", index);
    if (!vt_read_name(&r->values, what, vt_json_get(v, "name"), name))
        return;
    memcpy(r->values.node, name, sizeof name);
    r->op = find_op(vt_json_get(v, "op"));
    if (!r->op)
        vt_bad_value(&r->values, "op", vt_json_get(v, "op"), "the name of an operation");
    else if (vt_name_table_find(r->names, name_list(g), name) != VT_NO_NAME)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: there is another node of this name before it", name);
    else if ((r->op->type == VT_NODE_INPUT) != (index == 0))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: its op is %s, expected input for the first node and no other", name,
                      r->op->name);
    if (g->status || !only_known_members(r, v))
        return;
    fill_template(r, v, &node);
    if (g->status)
        return;
    const vt_value value = build(g, name, &node);
    if (!g->status && (size_t)value != index)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: it is the same as node %s", name, g->nodes[value].name);
    if (g->status)
        return;
    memcpy(g->nodes[index].name, name, sizeof name);
    read_quantizers(r, vt_json_get(v, VT_QUANTIZE_KEY), value);
    read_unit(r, vt_json_get(v, VT_UNIT_KEY), value);
    set_precision(g, value, &node);
    vt_name_table_add(r->names, name_list(g), index);
    r->values.node[0] = 0;
}
