/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a graph; see graph_read.h. A node is read in three steps: its inputs are looked up by name, which only finds
 * nodes before it, so that there are no cycles; what the table of graph_schema.h lists is read into a node that serves
 * as a template; and the builder's call for it makes the node. Weights come from tensors, whose shapes say what is not
 * in the text.
 */
#include "graph_read.h"

#include "graph_schema.h"
#include "name_table.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 60 /* characters of a value repeated in a message */

struct reader {
    struct vt_graph *g;
    struct vt_name_table *names; /* of nodes */
    vt_weight *made;             /* [tensors]: the weight that was last made of each, so that nodes share them */
    char name[VT_NAME_SIZE];     /* of the node being read */
    const struct vt_op_schema *op;
};

/* ---- Values ---- */

/* "node NAME: WHAT is VALUE, expected EXPECTED" */
static void bad_value(struct reader *r, const char *what, vt_json v, const char *expected)
{
    size_t n = 0;
    const char *text = vt_json_text(v, &n);
    const enum vt_json_type type = vt_json_type(v);
    if (!text) {
        text = type == VT_JSON_OBJECT ? "an object" : type == VT_JSON_ARRAY ? "an array" : "missing";
        n = strlen(text);
    }
    vt_graph_fail(r->g, VITRT_EFORMAT, "%s%s%s%s is %.*s, expected %s", r->name[0] ? "node " : "the graph", r->name,
                  ": ", what, (int)(n < SHOWN ? n : SHOWN), text, expected);
}

/* A string of 1 to VT_NAME_SIZE - 1 bytes. */
static bool read_name(struct reader *r, const char *what, vt_json v, char name[VT_NAME_SIZE])
{
    char *text = vt_json_dup_string(&r->g->alloc, v);
    const size_t n = text ? strlen(text) : 0;
    const bool good = n && n < VT_NAME_SIZE;
    if (good)
        memcpy(name, text, n + 1);
    else if (vt_json_type(v) == VT_JSON_STRING && !text)
        vt_graph_fail(r->g, VITRT_ENOMEM, "out of memory for a name");
    else
        bad_value(r, what, v, "a name of 1 to 63 bytes");
    vt_free(&r->g->alloc, text, vt_strsize(text));
    return good;
}

/* A string that is cut at the end of a character if need be; left as it is where it is missing. */
static void read_text(struct reader *r, const char *what, vt_json v, char *buf, size_t size)
{
    if (!vt_json_type(v))
        return;
    char *text = vt_json_dup_string(&r->g->alloc, v);
    if (text) {
        size_t n = strlen(text);
        for (n = n < size ? n : size - 1; text[n] && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
        memcpy(buf, text, n);
        buf[n] = 0;
    } else if (vt_json_type(v) == VT_JSON_STRING) {
        vt_graph_fail(r->g, VITRT_ENOMEM, "out of memory for a text");
    } else {
        bad_value(r, what, v, "a string");
    }
    vt_free(&r->g->alloc, text, vt_strsize(text));
}

static void read_count(struct reader *r, const char *what, vt_json v, uint32_t *count)
{
    uint64_t n;
    if (vt_json_to_u64(v, &n) && n <= VT_MAX_COUNT)
        *count = (uint32_t)n;
    else
        bad_value(r, what, v, "a number from 0 to 2147483647");
}

static void read_sides(struct reader *r, const char *what, vt_json v, uint32_t sides[2])
{
    if (vt_json_type(v) != VT_JSON_ARRAY || vt_json_count(v) != 2) {
        bad_value(r, what, v, "[height, width]");
        return;
    }
    for (size_t i = 0; i < 2; i++)
        read_count(r, what, vt_json_at(v, i), &sides[i]);
}

static void read_number(struct reader *r, const char *what, vt_json v, float least, float *number)
{
    double x;
    if (vt_json_to_double(v, &x) && x >= (double)least && x <= (double)FLT_MAX)
        *number = (float)x;
    else
        bad_value(r, what, v, least < 0 ? "a number that f32 can hold" : "a number of at least 0 that f32 can hold");
}

static void read_flag(struct reader *r, const char *what, vt_json v, bool *flag)
{
    if (!vt_json_to_bool(v, flag))
        bad_value(r, what, v, "true or false");
}

/* The index of one of the names, "" being none of them. */
static void read_choice(struct reader *r, const char *what, vt_json v, const char *const *names, size_t count,
                        int *choice)
{
    char list[200];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (*names[i] && vt_json_is(v, names[i])) {
            *choice = (int)i;
            return;
        }
        if (*names[i] && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", names[i]);
    }
    bad_value(r, what, v, list);
}

/* Complains of members that nobody reads: a slip of the pen would otherwise be a default. */
static bool only_known(struct reader *r, vt_json object, const char *const *known, size_t count)
{
    for (vt_json_iterator it = vt_json_first(object); it.left; vt_json_next(&it)) {
        size_t i = 0;
        while (i < count && !vt_json_is(vt_json_key(&it), known[i]))
            i++;
        if (i < count)
            continue;
        vt_graph_fail(r->g, VITRT_EFORMAT, "%s%s: unknown member \"%.*s\"", r->name[0] ? "node " : "the graph", r->name,
                      (int)(it.key_size < SHOWN ? it.key_size : SHOWN), it.key);
        return false;
    }
    return true;
}

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

static vt_weight add_weight(struct reader *r, const struct vt_tensor *t, enum vt_weight_form form, uint32_t groups)
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
static uint32_t groups_of(struct reader *r, const struct vt_tensor *t, struct vt_view x)
{
    const uint32_t columns = x.columns ? x.columns : r->g->nodes[x.value].columns;
    if (t->shape[1] && columns % t->shape[1] == 0)
        return (uint32_t)(columns / t->shape[1]);
    vt_graph_fail(r->g, VITRT_EFORMAT,
                  "node %s: its input has %u columns, expected a multiple of the %llu that tensor %.160s reads", r->name,
                  (unsigned)columns, (unsigned long long)t->shape[1], t->name);
    return 1;
}

static vt_weight read_weight(struct reader *r, const char *key, vt_json v, enum vt_weight_form form,
                             const struct vt_view *in)
{
    static const char *const forms[] = { "[out, in]", "[out, in / groups, height, width]", "[n]", "[rows, columns]" };
    struct vt_graph *g = r->g;
    char *name = vt_json_dup_string(&g->alloc, v);
    const struct vt_tensor *t = name ? vt_checkpoint_find(g->checkpoint, name) : NULL;
    if (!name && vt_json_type(v) == VT_JSON_STRING)
        vt_graph_fail(g, VITRT_ENOMEM, "out of memory for a name");
    else if (!name)
        bad_value(r, key, v, "the name of a tensor");
    else if (!t)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: %s: tensor %.160s is missing", r->name, key, name);
    else if (!fits(t, form))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: %s: tensor %.160s has rank %u, expected %s", r->name, key, t->name,
                      (unsigned)t->rank, forms[form]);
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

static vt_value find_node(struct reader *r, const char *what, vt_json v)
{
    char name[VT_NAME_SIZE];
    if (!read_name(r, what, v, name))
        return VT_NO_VALUE;
    const size_t found = vt_name_table_find(r->names, name_list(r->g), name);
    if (found != VT_NO_NAME)
        return (vt_value)found;
    vt_graph_fail(r->g, VITRT_EFORMAT, "%s%s%s%s is %s, and no node before has that name", r->name[0] ? "node " : "the graph",
                  r->name, ": ", what, name);
    return VT_NO_VALUE;
}

/* "name", or ["name", first column, columns]. */
static struct vt_view read_view(struct reader *r, vt_json v, uint32_t i)
{
    char what[16];
    snprintf(what, sizeof what, "in[%u]", (unsigned)i);
    const bool range = vt_json_type(v) == VT_JSON_ARRAY;
    struct vt_view view = vt_view_of(find_node(r, what, range ? vt_json_at(v, 0) : v));
    if (!range || view.value == VT_NO_VALUE)
        return view;
    if (vt_json_count(v) != 3 || r->op->whole >> i & 1)
        bad_value(r, what, v, r->op->whole >> i & 1 ? "the name of a node" : "[name, first column, columns]");
    read_count(r, what, vt_json_at(v, 1), &view.column);
    read_count(r, what, vt_json_at(v, 2), &view.columns);
    if (!view.columns)
        vt_graph_fail(r->g, VITRT_EFORMAT, "node %s: %s has no columns", r->name, what);
    return view;
}

static uint32_t read_inputs(struct reader *r, vt_json in, struct vt_view views[VT_MAX_INPUTS])
{
    const uint32_t least = r->op->least_inputs, most = r->op->most_inputs;
    const size_t count = vt_json_count(in);
    uint32_t i = 0;
    if (vt_json_type(in) && vt_json_type(in) != VT_JSON_ARRAY)
        bad_value(r, "in", in, "an array");
    else if (count < least || count > most)
        vt_graph_fail(r->g, VITRT_EFORMAT, "node %s: it has %zu inputs, expected %u to %u for %s", r->name, count,
                      (unsigned)least, (unsigned)most, r->op->name);
    if (r->g->status)
        return 0;
    for (vt_json_iterator it = vt_json_first(in); it.left && !r->g->status; vt_json_next(&it), i++)
        views[i] = read_view(r, it.value, i);
    return i;
}

static void read_order(struct reader *r, const char *what, vt_json v, vt_order *order)
{
    uint64_t n;
    if (vt_json_to_u64(v, &n) && n < r->g->pattern_count)
        *order = (vt_order)n;
    else
        bad_value(r, what, v, "the index of one of the graph's windows");
}

static void read_attribute(struct reader *r, vt_json object, const struct vt_attribute *a, struct vt_node *node)
{
    void *to = (char *)node + a->offset;
    const vt_json v = vt_json_get(object, a->key);
    if (!vt_json_type(v) && !a->required) {
        const uint32_t usual[2] = { a->usual, a->usual };
        if (a->kind != VT_ATTRIBUTE_FLAG)
            memcpy(to, usual, a->kind == VT_ATTRIBUTE_SIDES ? sizeof usual : sizeof *usual);
        return;
    }
    switch (a->kind) {
    case VT_ATTRIBUTE_COUNT: read_count(r, a->key, v, to); break;
    case VT_ATTRIBUTE_SIDES: read_sides(r, a->key, v, to); break;
    case VT_ATTRIBUTE_NUMBER: read_number(r, a->key, v, 0, to); break;
    case VT_ATTRIBUTE_FLAG: read_flag(r, a->key, v, to); break;
    case VT_ATTRIBUTE_CHOICE: read_choice(r, a->key, v, a->names, a->name_count, to); break;
    case VT_ATTRIBUTE_WINDOWS: read_order(r, a->key, v, to); break;
    case VT_ATTRIBUTE_NONE: break;
    }
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
    case VT_NODE_ATTENTION:
        return vt_graph_attention(g, name, x, y, n->in[2], n->in_count > 3 ? n->in[3].value : VT_NO_VALUE,
                                  n->u.attention.heads, n->u.attention.scale);
    case VT_NODE_ATTENTION_SCORES: return vt_graph_attention_scores(g, name, x.value, n->u.scores);
    case VT_NODE_ACTIVATION: return vt_graph_activation(g, name, x, n->u.activation);
    case VT_NODE_ADD: return vt_graph_add(g, name, x, y);
    case VT_NODE_MUL: return n->in_count > 1 ? vt_graph_mul(g, name, x, y) : vt_graph_scale(g, name, x, n->weight);
    case VT_NODE_POOL: return vt_graph_pool(g, name, x, n->u.rows.first_row);
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
            return vt_graph_bias_table(g, name, x.value, n->u.relative_bias.order, n->weight, n->u.relative_bias.trained);
        return vt_graph_bias_network(g, name, x.value, n->u.relative_bias.order, n->weight, n->bias, n->weight2,
                                     n->u.relative_bias.trained);
    case VT_NODE_CONVERT:
    case VT_NODE_TYPE_COUNT: break;
    }
    return VT_NO_VALUE;
}

static bool only_known_members(struct reader *r, vt_json v)
{
    const char *known[3 + VT_MAX_SLOTS + VT_MAX_ATTRIBUTES] = { "op", "name", "in" };
    size_t count = 3;
    for (int i = 0; i < VT_MAX_SLOTS; i++)
        if (r->op->slots[i].need != VT_ABSENT)
            known[count++] = vt_slot_keys[i];
    for (const struct vt_attribute *a = r->op->attributes; a->kind; a++)
        known[count++] = a->key;
    return only_known(r, v, known, count);
}

/* A node with all that the file says about it. */
static void fill_template(struct reader *r, vt_json v, struct vt_node *node)
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

static const struct vt_op_schema *find_op(vt_json v)
{
    for (size_t i = 0; i < vt_op_schema_count; i++)
        if (vt_json_is(v, vt_op_schemas[i].name))
            return &vt_op_schemas[i];
    return NULL;
}

static void read_node(struct reader *r, vt_json v)
{
    struct vt_graph *g = r->g;
    struct vt_node node;
    char what[40], name[VT_NAME_SIZE];
    const size_t index = g->node_count;
    snprintf(what, sizeof what, "the name of nodes[%zu]", index);
    if (!read_name(r, what, vt_json_get(v, "name"), name))
        return;
    memcpy(r->name, name, sizeof name);
    r->op = find_op(vt_json_get(v, "op"));
    if (!r->op)
        bad_value(r, "op", vt_json_get(v, "op"), "the name of an operation of version 1");
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
    vt_name_table_add(r->names, name_list(g), index);
    r->name[0] = 0;
}

/* ---- The graph ---- */

static void read_pattern(struct reader *r, vt_json v, size_t index)
{
    static const char *const known[] = { "size", "shift", "fit", "shift_first", "mask" };
    struct vt_window_pattern p = { { 0, 0 }, { 0, 0 }, VT_WINDOW_FIXED, false, 0 };
    char what[40];
    int fit = 0;
    snprintf(what, sizeof what, "windows[%zu]", index);
    if (vt_json_type(v) != VT_JSON_OBJECT)
        bad_value(r, what, v, "an object");
    if (!only_known(r, v, known, sizeof known / sizeof *known))
        return;
    read_sides(r, "the size of windows", vt_json_get(v, "size"), p.size);
    if (vt_json_type(vt_json_get(v, "shift")))
        read_sides(r, "the shift of windows", vt_json_get(v, "shift"), p.shift);
    if (vt_json_type(vt_json_get(v, "fit")))
        read_choice(r, "the fit of windows", vt_json_get(v, "fit"), vt_window_fit_names, 3, &fit);
    if (vt_json_type(vt_json_get(v, "shift_first")))
        read_flag(r, "the shift_first of windows", vt_json_get(v, "shift_first"), &p.shift_first);
    if (vt_json_type(vt_json_get(v, "mask")))
        read_number(r, "the mask of windows", vt_json_get(v, "mask"), -FLT_MAX, &p.mask);
    p.fit = (enum vt_window_fit)fit;
    const vt_order order = vt_graph_order(r->g, &p);
    if (!r->g->status && (size_t)order != index)
        vt_graph_fail(r->g, VITRT_EFORMAT, "the graph: windows[%zu] is the same as windows[%d]", index, (int)order);
}

static void read_output(struct reader *r, const vt_json_iterator *it)
{
    char name[VT_NAME_SIZE], what[VT_NAME_SIZE + 16];
    if (!read_name(r, "the name of an output", vt_json_key(it), name))
        return;
    snprintf(what, sizeof what, "output %s", name);
    const vt_value value = find_node(r, what, it->value);
    if (value == VT_NO_VALUE)
        return;
    if (vt_graph_find_output(r->g, name) != VT_NO_VALUE)
        vt_graph_fail(r->g, VITRT_EFORMAT, "the graph: %s is there twice", what);
    vt_graph_output(r->g, name, value);
}

/* An array or object with 1 to most elements. */
static bool has_elements(struct reader *r, const char *what, vt_json v, enum vt_json_type type, size_t most)
{
    const size_t count = vt_json_count(v);
    if (vt_json_type(v) != type || !count)
        bad_value(r, what, v, type == VT_JSON_ARRAY ? "an array that is not empty" : "an object that is not empty");
    else if (count > most)
        vt_graph_fail(r->g, VITRT_ELIMIT, "the graph: %zu %s, at most %zu can be read", count, what, most);
    return !r->g->status;
}

static void read_parts(struct reader *r, vt_json root)
{
    const vt_json patterns = vt_json_get(root, "windows"), nodes = vt_json_get(root, "nodes"),
                  outputs = vt_json_get(root, "outputs");
    struct vt_graph *g = r->g;
    if (vt_json_type(patterns) && !has_elements(r, "windows", patterns, VT_JSON_ARRAY, VT_MAX_PATTERNS))
        return;
    size_t i = 0;
    for (vt_json_iterator it = vt_json_first(patterns); it.left && !g->status; vt_json_next(&it), i++)
        read_pattern(r, it.value, i);
    if (g->status || !has_elements(r, "nodes", nodes, VT_JSON_ARRAY, VT_MAX_NODES))
        return;
    for (vt_json_iterator it = vt_json_first(nodes); it.left && !g->status; vt_json_next(&it))
        read_node(r, it.value);
    if (g->status || !has_elements(r, "outputs", outputs, VT_JSON_OBJECT, VT_MAX_OUTPUTS))
        return;
    for (vt_json_iterator it = vt_json_first(outputs); it.left && !g->status; vt_json_next(&it))
        read_output(r, &it);
}

static void read_input_sides(struct reader *r, const char *key, vt_json v, uint32_t sides[2])
{
    read_sides(r, key, v, sides);
    for (int i = 0; i < 2; i++)
        if (!r->g->status && (sides[i] < 1 || sides[i] > VITRT_MAX_INPUT_SIDE))
            vt_graph_fail(r->g, VITRT_EFORMAT, "the graph: %s is %ux%u, expected sides from 1 to %d", key,
                          (unsigned)sides[0], (unsigned)sides[1], VITRT_MAX_INPUT_SIDE);
}

/* What a session takes by default must be in proportion to the file: a caller may ask for a large input, a few bytes
 * of JSON may not. */
static void check_area(struct vt_graph *g, const uint32_t size[2])
{
    const uint64_t usual = 1024 * 1024, area = (uint64_t)size[0] * size[1];
    uint64_t bytes = 0;
    for (size_t i = 0; i < vt_checkpoint_tensor_count(g->checkpoint); i++)
        bytes += vt_checkpoint_tensor(g->checkpoint, i)->bytes;
    if (area > usual && area > bytes)
        vt_graph_fail(g, VITRT_ELIMIT, "the graph: size is %ux%u, which is too large for %llu bytes of weights",
                      (unsigned)size[0], (unsigned)size[1], (unsigned long long)bytes);
}

static void read_facts(struct reader *r, vt_json root, struct vt_model_facts *facts)
{
    struct vt_graph *g = r->g;
    facts->family = strcpy(facts->stored_family, "graph");
    facts->size_multiple[0] = facts->size_multiple[1] = 1;
    read_text(r, "family", vt_json_get(root, "family"), facts->stored_family, sizeof facts->stored_family);
    read_text(r, "architecture", vt_json_get(root, "architecture"), facts->architecture, sizeof facts->architecture);
    read_input_sides(r, "size", vt_json_get(root, "size"), facts->trained_size);
    if (vt_json_type(vt_json_get(root, "size_multiple")))
        read_input_sides(r, "size_multiple", vt_json_get(root, "size_multiple"), facts->size_multiple);
    if (!g->status)
        check_area(g, facts->trained_size);
}

/* What the outputs tell. */
static void count_outputs(const struct vt_graph *g, struct vt_model_facts *facts)
{
    char block[24];
    const vt_value features = vt_graph_find_output(g, "features"), logits = vt_graph_find_output(g, "logits");
    facts->dim = features == VT_NO_VALUE ? 0 : g->nodes[features].columns;
    facts->classes = logits == VT_NO_VALUE ? 0 : g->nodes[logits].columns;
    for (facts->blocks = 0;; facts->blocks++) {
        snprintf(block, sizeof block, "block.%u", (unsigned)facts->blocks);
        if (vt_graph_find_output(g, block) == VT_NO_VALUE)
            return;
    }
}

/* The graph must work at the size it says. */
static void check_shapes(struct vt_graph *g, const uint32_t size[2])
{
    struct vt_shape *shapes = vt_calloc(&g->alloc, g->node_count, sizeof *shapes);
    const vitrt_status st = shapes ? vt_graph_shapes(g, size[0], size[1], shapes, g->err)
                                   : vt_err_memory(g->err, g->node_count * sizeof *shapes, "shapes");
    g->status = st == VITRT_EINVAL ? VITRT_EFORMAT : st; /* the file's fault, not the caller's */
    if (st && g->err)
        g->err->status = g->status;
    for (size_t i = 0; i < g->output_count && !g->status; i++)
        if (shapes[g->outputs[i].value].order != VT_RASTER)
            vt_graph_fail(g, VITRT_EFORMAT, "the graph: output %s is node %s, whose rows are in the order of windows",
                          g->outputs[i].name, g->nodes[g->outputs[i].value].name);
    vt_free(&g->alloc, shapes, g->node_count * sizeof *shapes);
}

static void check_version(struct vt_graph *g, vt_json root)
{
    uint64_t version;
    if (!vt_json_to_u64(vt_json_get(root, "version"), &version) || !version)
        vt_graph_fail(g, VITRT_EFORMAT, "the graph: version is missing or no number from 1 on");
    else if (version > VT_GRAPH_VERSION)
        vt_graph_fail(g, VITRT_EUNSUPPORTED, "the graph: version is %llu, this library reads versions up to %u",
                      (unsigned long long)version, VT_GRAPH_VERSION);
}

void vt_graph_read(struct vt_graph *g, struct vt_model_facts *facts)
{
    static const char *const known[] = { "version", "family", "architecture", "size", "size_multiple", "windows",
                                         "nodes", "outputs" };
    const vt_json root = vt_checkpoint_graph(g->checkpoint);
    const size_t tensors = vt_checkpoint_tensor_count(g->checkpoint), nodes = vt_json_count(vt_json_get(root, "nodes"));
    struct vt_name_table names;
    check_version(g, root);
    struct reader r = { .g = g, .names = &names };
    if (g->status || !only_known(&r, root, known, sizeof known / sizeof *known))
        return;
    r.made = vt_alloc(&g->alloc, tensors * sizeof *r.made);
    for (size_t i = 0; i < tensors && r.made; i++)
        r.made[i] = VT_NO_WEIGHT;
    const bool room = vt_name_table_init(&names, &g->alloc, nodes < VT_MAX_NODES ? nodes : VT_MAX_NODES,
                                         sizeof(struct vt_node));
    if (!room || (tensors && !r.made))
        g->status = vt_err_memory(g->err, tensors * sizeof *r.made, "reading the graph");
    else
        read_facts(&r, root, facts);
    if (!g->status)
        read_parts(&r, root);
    if (!g->status)
        check_shapes(g, facts->trained_size);
    if (!g->status)
        count_outputs(g, facts);
    vt_name_table_free(&names);
    vt_free(&g->alloc, r.made, tensors * sizeof *r.made);
}
