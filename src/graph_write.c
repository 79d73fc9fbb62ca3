/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a graph's JSON; see graph_write.h. What has its usual value is left out, and what tensors tell. */
#include "graph_write.h"

#include "graph_schema.h"
#include "name_table.h"

#include <stdio.h>
#include <string.h>

/* ---- Names ---- */

/* Node number i's name, with "#2", "#3", .. for want of another difference. */
static void name_node(struct vt_graph_names *names, const struct vt_name_table *table, size_t i, const char *wanted)
{
    char suffix[16] = "";
    for (unsigned k = 2;; k++) {
        size_t n = strlen(wanted);
        while (n + strlen(suffix) >= VT_NAME_SIZE || (n && ((unsigned char)wanted[n] & 0xc0) == 0x80))
            n--; /* down to the beginning of a character */
        memcpy(names->nodes[i], wanted, n);
        strcpy(names->nodes[i] + n, suffix);
        if (vt_name_table_find(table, names->nodes[0], names->nodes[i]) == VT_NO_NAME)
            return;
        snprintf(suffix, sizeof suffix, "#%u", k);
    }
}

static void find_uses(const struct vt_graph *g, struct vt_graph_names *names)
{
    for (size_t w = 0; w < g->weight_count; w++)
        names->weights[w] = (struct vt_weight_use){ VT_NO_VALUE, 0 };
    for (size_t v = 0; v < g->node_count; v++)
        for (int slot = 0; slot < VT_ALL_SLOTS; slot++) {
            const vt_weight w = vt_slot_weight(&g->nodes[v], slot);
            if (w != VT_NO_WEIGHT && names->weights[w].node == VT_NO_VALUE)
                names->weights[w] = (struct vt_weight_use){ (vt_value)v, slot };
        }
}

vitrt_status vt_graph_names_create(const struct vt_graph *g, struct vt_graph_names *names, vitrt_error *err)
{
    struct vt_name_table table;
    *names = (struct vt_graph_names){ .alloc = g->alloc, .node_count = g->node_count, .weight_count = g->weight_count };
    const bool room = vt_name_table_init(&table, &g->alloc, g->node_count, VT_NAME_SIZE);
    names->nodes = vt_calloc(&g->alloc, g->node_count, sizeof *names->nodes);
    names->weights = vt_calloc(&g->alloc, g->weight_count, sizeof *names->weights);
    const bool good = room && names->nodes && (names->weights || !g->weight_count);
    for (size_t i = 0; i < g->node_count && good; i++) {
        name_node(names, &table, i, g->nodes[i].name);
        vt_name_table_add(&table, names->nodes[0], i);
    }
    if (good)
        find_uses(g, names);
    else
        vt_graph_names_free(names);
    vt_name_table_free(&table);
    return good ? VITRT_OK : vt_err_memory(err, g->node_count * sizeof *names->nodes, "the names of nodes");
}

void vt_graph_names_free(struct vt_graph_names *names)
{
    vt_free(&names->alloc, names->nodes, names->node_count * sizeof *names->nodes);
    vt_free(&names->alloc, names->weights, names->weight_count * sizeof *names->weights);
}

void vt_weight_name(const struct vt_graph_names *names, vt_weight w, char name[VT_WEIGHT_NAME_SIZE])
{
    const struct vt_weight_use *use = &names->weights[w];
    snprintf(name, VT_WEIGHT_NAME_SIZE, "%s.%s", names->nodes[use->node], vt_slot_keys[use->slot]);
}

/* ---- JSON ---- */

static void put(struct vt_text *t, const char *s)
{
    vt_text_put(t, s, strlen(s));
}

static void put_string(struct vt_text *t, const char *s)
{
    vt_text_string(t, s, strlen(s));
}

/* A member behind another one, up to the colon. */
static void put_key(struct vt_text *t, const char *key)
{
    put(t, ",");
    put_string(t, key);
    put(t, ":");
}

static void put_sides(struct vt_text *t, const uint32_t sides[2])
{
    vt_text_format(t, "[%u,%u]", (unsigned)sides[0], (unsigned)sides[1]);
}

static void put_attribute(struct vt_text *t, const struct vt_node *node, const struct vt_attribute *a)
{
    const void *from = (const char *)node + a->offset;
    uint32_t sides[2];
    float number;
    double share;
    bool flag;
    int choice;
    switch (a->kind) {
    case VT_ATTRIBUTE_WINDOWS:
    case VT_ATTRIBUTE_COUNT:
        memcpy(sides, from, sizeof *sides);
        if (a->required || sides[0] != a->usual) {
            put_key(t, a->key);
            vt_text_format(t, "%u", (unsigned)sides[0]);
        }
        break;
    case VT_ATTRIBUTE_SIDES:
        memcpy(sides, from, sizeof sides);
        if (a->required || sides[0] != a->usual || sides[1] != a->usual) {
            put_key(t, a->key);
            put_sides(t, sides);
        }
        break;
    case VT_ATTRIBUTE_NUMBER:
    case VT_ATTRIBUTE_SIGNED:
        memcpy(&number, from, sizeof number);
        if (a->required || number != (float)a->usual) {
            put_key(t, a->key);
            vt_text_float(t, number);
        }
        break;
    case VT_ATTRIBUTE_SHARE:
        memcpy(&share, from, sizeof share);
        if (share != (double)a->usual) {
            put_key(t, a->key);
            vt_text_double(t, share);
        }
        break;
    case VT_ATTRIBUTE_FLAG:
        memcpy(&flag, from, sizeof flag);
        if (flag) {
            put_key(t, a->key);
            put(t, "true");
        }
        break;
    case VT_ATTRIBUTE_CHOICE:
        memcpy(&choice, from, sizeof choice);
        if (a->required || choice != (int)a->usual) {
            put_key(t, a->key);
            put_string(t, a->names[choice]);
        }
        break;
    case VT_ATTRIBUTE_NONE: break;
    }
}

static void put_view(struct vt_text *t, const struct vt_graph *g, const struct vt_graph_names *names,
                     const struct vt_view *view)
{
    const bool all = !view->column && view->columns == g->nodes[view->value].columns;
    put(t, all ? "" : "[");
    put_string(t, names->nodes[view->value]);
    if (!all)
        vt_text_format(t, ",%u,%u]", (unsigned)view->column, (unsigned)view->columns);
}

/* A number, or the name of the tensor that has one for each column. */
static void put_code_numbers(struct vt_text *t, const struct vt_graph_names *names, const char *key, float number,
                             vt_weight vector)
{
    char name[VT_WEIGHT_NAME_SIZE];
    put_key(t, key);
    if (vector == VT_NO_WEIGHT) {
        vt_text_float(t, number);
        return;
    }
    vt_weight_name(names, vector, name);
    put_string(t, name);
}

static void put_quantizers(struct vt_text *t, const struct vt_node *node, const struct vt_graph_names *names)
{
    if (!vt_is_quantized(node))
        return;
    put_key(t, VT_QUANTIZE_KEY);
    for (uint32_t i = 0; i < vt_operand_count(node); i++) {
        const struct vt_operand_quantizer *q = &node->quantizers[i];
        vt_text_format(t, "%s{\"bits\":%u", i ? "," : "[", (unsigned)q->bits);
        put_code_numbers(t, names, "scale", q->scale, q->scales);
        put_code_numbers(t, names, "zero_point", q->zero, q->zeros);
        put(t, "}");
    }
    put(t, "]");
}

static void put_node(struct vt_text *t, const struct vt_graph *g, const struct vt_graph_names *names, size_t v)
{
    const struct vt_node *node = &g->nodes[v];
    const struct vt_op_schema *op = vt_schema_of(node);
    put(t, v ? ",\n{\"op\":" : "\n{\"op\":");
    put_string(t, op->name);
    put_key(t, "name");
    put_string(t, names->nodes[v]);
    for (uint32_t i = 0; i < node->in_count; i++) {
        put(t, i ? "," : ",\"in\":[");
        put_view(t, g, names, &node->in[i]);
    }
    put(t, node->in_count ? "]" : "");
    for (int slot = 0; slot < VT_MAX_SLOTS; slot++) {
        char name[VT_WEIGHT_NAME_SIZE];
        const vt_weight w = vt_slot_weight(node, slot);
        if (w == VT_NO_WEIGHT)
            continue;
        vt_weight_name(names, w, name);
        put_key(t, vt_slot_keys[slot]);
        put_string(t, name);
    }
    for (const struct vt_attribute *a = op->attributes; a->kind; a++)
        put_attribute(t, node, a);
    put_quantizers(t, node, names);
    if (node->unit > 0) {
        put_key(t, VT_UNIT_KEY);
        vt_text_float(t, node->unit);
    }
    put(t, "}");
}

static void put_pattern(struct vt_text *t, const struct vt_window_pattern *p, bool first)
{
    put(t, first ? "\n{\"size\":" : ",\n{\"size\":");
    put_sides(t, p->size);
    put_key(t, "shift");
    put_sides(t, p->shift);
    put_key(t, "fit");
    put_string(t, vt_window_fit_names[p->fit]);
    put_key(t, "shift_first");
    put(t, p->shift_first ? "true" : "false");
    put_key(t, "mask");
    vt_text_float(t, p->mask);
    put(t, "}");
}

static bool is_plain_pool(const struct vt_node *node)
{
    return node->in_count == 1 && !node->u.rows.row_count && !node->u.rows.sum && !node->u.rows.spread;
}

static unsigned version_of_node(const struct vt_node *node)
{
    const bool reduces = node->type == VT_NODE_TOKEN_SCORE || node->type == VT_NODE_SELECT ||
                         node->type == VT_NODE_APPLY || node->type == VT_NODE_SCATTER,
               maps_classes = node->type == VT_NODE_UPSAMPLE || node->type == VT_NODE_ARGMAX;
    const bool votes = node->type == VT_NODE_ATTENTION_SCORES && node->u.scores.kind == VT_SCORES_VOTES;
    if (reduces || maps_classes || votes || vt_key_bias_input(node) ||
        (node->type == VT_NODE_POOL && !is_plain_pool(node)))
        return 3;
    if (vt_is_quantized(node) || node->unit > 0 || node->float_product != VT_FLOAT_PRODUCT_F32 ||
        (node->type == VT_NODE_ATTENTION && node->u.attention.log_bits) || vt_is_clipped(node) || vt_gate_input(node))
        return 2;
    return 1;
}

/* Older libraries go on reading what they know. */
static unsigned version_of(const struct vt_graph *g)
{
    unsigned version = 1;
    for (size_t v = 0; v < g->node_count; v++) {
        const unsigned wanted = version_of_node(&g->nodes[v]);
        version = wanted > version ? wanted : version;
    }
    return version;
}

void vt_graph_write(const struct vt_graph *g, const struct vt_graph_names *names, const struct vt_model_facts *facts,
                    struct vt_text *out)
{
    vt_text_format(out, "{\"version\":%u", version_of(g));
    put_key(out, "family");
    put_string(out, facts->family);
    put_key(out, "architecture");
    put_string(out, facts->architecture);
    put_key(out, "size");
    put_sides(out, facts->trained_size);
    put_key(out, "size_multiple");
    put_sides(out, facts->size_multiple);
    for (size_t i = 0; i < g->pattern_count; i++) {
        put(out, i ? "" : ",\n\"windows\":[");
        put_pattern(out, &g->patterns[i], !i);
    }
    put(out, g->pattern_count ? "],\n\"nodes\":[" : ",\n\"nodes\":[");
    for (size_t v = 0; v < g->node_count; v++)
        put_node(out, g, names, v);
    put(out, "],\n\"outputs\":{");
    for (size_t i = 0; i < g->output_count; i++) {
        put(out, i ? ",\n" : "\n");
        put_string(out, g->outputs[i].name);
        put(out, ":");
        put_string(out, names->nodes[g->outputs[i].value]);
    }
    put(out, "}}\n");
}
