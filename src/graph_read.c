/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a graph; see graph_read.h. Its nodes are read in graph_read_node.c. */
#include "graph_read.h"

#include "graph_read_node.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

static void read_pattern(struct vt_node_reader *r, vt_json v, size_t index)
{
    static const char *const known[] = { "size", "shift", "fit", "shift_first", "mask" };
    struct vt_window_pattern p = { { 0, 0 }, { 0, 0 }, VT_WINDOW_FIXED, false, 0 };
    char what[40];
    int fit = 0;
    snprintf(what, sizeof what, "windows[%zu]", index);
    if (vt_json_type(v) != VT_JSON_OBJECT)
        vt_bad_value(&r->values, what, v, "an object");
    if (!vt_only_known(&r->values, v, known, sizeof known / sizeof *known))
        return;
    vt_read_sides(&r->values, "the size of windows", vt_json_get(v, "size"), p.size);
    if (vt_json_type(vt_json_get(v, "shift")))
        vt_read_sides(&r->values, "the shift of windows", vt_json_get(v, "shift"), p.shift);
    if (vt_json_type(vt_json_get(v, "fit")))
        vt_read_choice(&r->values, "the fit of windows", vt_json_get(v, "fit"), vt_window_fit_names, 3, &fit);
    if (vt_json_type(vt_json_get(v, "shift_first")))
        vt_read_flag(&r->values, "the shift_first of windows", vt_json_get(v, "shift_first"), &p.shift_first);
    if (vt_json_type(vt_json_get(v, "mask")))
        vt_read_number(&r->values, "the mask of windows", vt_json_get(v, "mask"), -FLT_MAX, &p.mask);
    p.fit = (enum vt_window_fit)fit;
    const vt_order order = vt_graph_order(r->g, &p);
    if (!r->g->status && (size_t)order != index)
        vt_graph_fail(r->g, VITRT_EFORMAT, "the graph: windows[%zu] is the same as windows[%d]", index, (int)order);
}

static void read_output(struct vt_node_reader *r, const vt_json_iterator *it)
{
    char name[VT_NAME_SIZE], what[VT_NAME_SIZE + 16];
    if (!vt_read_name(&r->values, "the name of an output", vt_json_key(it), name))
        return;
    snprintf(what, sizeof what, "output %s", name);
    const vt_value value = vt_find_node(r, what, it->value);
    if (value == VT_NO_VALUE)
        return;
    if (vt_graph_find_output(r->g, name) != VT_NO_VALUE)
        vt_graph_fail(r->g, VITRT_EFORMAT, "the graph: %s is there twice", what);
    vt_graph_output(r->g, name, value);
}

/* An array or object with 1 to most elements. */
static bool has_elements(struct vt_node_reader *r, const char *what, vt_json v, enum vt_json_type type, size_t most)
{
    const size_t count = vt_json_count(v);
    if (vt_json_type(v) != type || !count)
        vt_bad_value(&r->values, what, v,
                     type == VT_JSON_ARRAY ? "an array that is not empty" : "an object that is not empty");
    else if (count > most)
        vt_graph_fail(r->g, VITRT_ELIMIT, "the graph: %zu %s, at most %zu can be read", count, what, most);
    return !r->g->status;
}

static void read_parts(struct vt_node_reader *r, vt_json root)
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
        vt_read_node(r, it.value);
    if (g->status || !has_elements(r, "outputs", outputs, VT_JSON_OBJECT, VT_MAX_OUTPUTS))
        return;
    for (vt_json_iterator it = vt_json_first(outputs); it.left && !g->status; vt_json_next(&it))
        read_output(r, &it);
}

static void read_input_sides(struct vt_node_reader *r, const char *key, vt_json v, uint32_t sides[2])
{
    vt_read_sides(&r->values, key, v, sides);
    for (int i = 0; i < 2; i++)
        if (!r->g->status && (sides[i] < 1 || sides[i] > VITRT_MAX_INPUT_SIDE))
            vt_graph_fail(r->g, VITRT_EFORMAT, "the graph: %s is %ux%u, expected sides from 1 to %d", key,
                          (unsigned)sides[0], (unsigned)sides[1], VITRT_MAX_INPUT_SIDE);
}

static uint64_t weight_bytes(const struct vt_graph *g)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < vt_checkpoint_tensor_count(g->checkpoint); i++)
        bytes += vt_checkpoint_tensor(g->checkpoint, i)->bytes;
    return bytes;
}

/* A caller may ask for a large input, a few bytes of JSON may not. */
static void check_area(struct vt_graph *g, const uint32_t size[2])
{
    const uint64_t usual = 1024 * 1024, area = (uint64_t)size[0] * size[1], bytes = weight_bytes(g);
    if (area > usual && area > bytes)
        vt_graph_fail(g, VITRT_ELIMIT, "the graph: size is %ux%u, which is too large for %llu bytes of weights",
                      (unsigned)size[0], (unsigned)size[1], (unsigned long long)bytes);
}

static void read_facts(struct vt_node_reader *r, vt_json root, struct vt_model_facts *facts)
{
    struct vt_graph *g = r->g;
    facts->family = strcpy(facts->stored_family, "graph");
    facts->size_multiple[0] = facts->size_multiple[1] = 1;
    vt_read_text(&r->values, "family", vt_json_get(root, "family"), facts->stored_family, sizeof facts->stored_family);
    vt_read_text(&r->values, "architecture", vt_json_get(root, "architecture"), facts->architecture,
                 sizeof facts->architecture);
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

/* What a session takes by default must be in proportion to the file: values of a GiB, and of more where weights are
 * large. */
static void check_values(struct vt_graph *g, const struct vt_shape *shapes)
{
    const uint64_t most = ((uint64_t)1 << 28) + 16 * weight_bytes(g);
    uint64_t numbers = 0;
    for (size_t i = 0; i < g->node_count && numbers <= most; i++)
        numbers += (uint64_t)vt_shape_rows(&shapes[i]) * shapes[i].columns; /* less than 2^59 each */
    if (numbers > most)
        vt_graph_fail(g, VITRT_ELIMIT, "the graph: its values have over %llu numbers at its own size, expected at most "
                      "that many for %llu bytes of weights", (unsigned long long)most,
                      (unsigned long long)weight_bytes(g));
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
    if (!g->status)
        check_values(g, shapes);
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
    static const char *const known[] = { "version",       "family",  "architecture", "size",
                                         "size_multiple", "windows", "nodes",        "outputs" };
    const vt_json root = vt_checkpoint_graph(g->checkpoint);
    const size_t tensors = vt_checkpoint_tensor_count(g->checkpoint), nodes = vt_json_count(vt_json_get(root, "nodes"));
    struct vt_name_table names;
    check_version(g, root);
    struct vt_node_reader r = { .g = g, .values = { .g = g }, .names = &names };
    if (g->status || !vt_only_known(&r.values, root, known, sizeof known / sizeof *known))
        return;
    r.made = vt_alloc(&g->alloc, tensors * sizeof *r.made);
    for (size_t i = 0; i < tensors && r.made; i++)
        r.made[i] = VT_NO_WEIGHT;
    const bool room =
        vt_name_table_init(&names, &g->alloc, nodes < VT_MAX_NODES ? nodes : VT_MAX_NODES, sizeof(struct vt_node));
    if (!room || (tensors && !r.made))
        g->status = vt_err_memory(g->err, tensors * sizeof *r.made, "reading the graph");
    else
        read_facts(&r, root, facts);
    if (!g->status)
        read_parts(&r, root);
    vt_graph_link_quantizers(g);
    if (!g->status)
        check_shapes(g, facts->trained_size);
    if (!g->status)
        count_outputs(g, facts);
    vt_name_table_free(&names);
    vt_free(&g->alloc, r.made, tensors * sizeof *r.made);
}
