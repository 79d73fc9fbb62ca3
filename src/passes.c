/* SPDX-License-Identifier: Apache-2.0 */
/* Passes from graph to steps; see plan.h. */
#include "plan.h"

#include <assert.h>

/* The only live node that reads v, and which of its inputs that is; NULL if there are several readers, one of only some
 * columns, or v is an output. */
static const struct vt_node *only_reader(const struct vt_plan *p, vt_value v, const vt_value *outputs, size_t count,
                                         uint32_t *input)
{
    if (vt_is_output(outputs, count, v))
        return NULL;
    const struct vt_node *reader = NULL;
    for (size_t i = (size_t)v + 1; i < p->graph->node_count; i++) {
        const struct vt_node *node = &p->graph->nodes[i];
        for (uint32_t k = 0; p->values[i].live && k < node->in_count; k++) {
            if (node->in[k].value != v || vt_reads_shape_only(node))
                continue;
            if (reader || node->in[k].columns != p->graph->nodes[v].columns)
                return NULL;
            reader = node;
            *input = k;
        }
    }
    return reader;
}

/* Can the step's own kernel write its value as the conversion gives it? */
static bool writes_converted(const struct vt_step *s, const struct vt_node *conversion)
{
    if (conversion->element == VT_F32) /* rounded to what codes stand for */
        return false;
    const bool codes = conversion->element == VT_U8;
    switch (s->type) {
    case VT_NODE_LINEAR:
    case VT_NODE_CONV2D: return !codes || s->residual.value == VT_NO_VALUE;
    case VT_NODE_LAYER_NORM: return s->residual.value == VT_NO_VALUE;
    case VT_NODE_L2_NORM:
    case VT_NODE_WINDOWS:
    case VT_NODE_SPACE_TO_DEPTH: return !codes;
    case VT_NODE_ATTENTION: return true;
    default: return false;
    }
}

/* Is `add` the sum of the step's value, which is its input `input`, and of something computed before the step? */
static bool adds_earlier(const struct vt_plan *p, const struct vt_step *s, const struct vt_node *add, uint32_t input)
{
    return add->type == VT_NODE_ADD && s->residual.value == VT_NO_VALUE &&
           add->in[1 - input].value < s->node - p->graph->nodes;
}

/* Takes the node that reads input `input` from a product's step into its epilogue: back from the order of windows, then
 * activation, then LayerScale, then residual, each at most once. */
static bool take_into_epilogue(const struct vt_plan *p, struct vt_step *s, const struct vt_node *next, uint32_t input)
{
    if (s->residual.value != VT_NO_VALUE)
        return false;
    if (next->type == VT_NODE_UNWINDOWS)
        return s->type == VT_NODE_LINEAR && !s->gather;
    if (next->type == VT_NODE_ACTIVATION && s->activation == VT_ACT_NONE && s->scale == VT_NO_WEIGHT)
        s->activation = next->u.activation;
    else if (next->type == VT_NODE_MUL && next->in_count == 1 && s->scale == VT_NO_WEIGHT)
        s->scale = next->weight;
    else if (adds_earlier(p, s, next, input))
        s->residual = next->in[1 - input];
    else
        return false;
    return true;
}

/* A norm writes its rows in the order of windows, or adds a residual to them. */
static bool take_into_norm(const struct vt_plan *p, struct vt_step *s, const struct vt_node *next, uint32_t input)
{
    const bool in_map_order = !p->values[s->out].order;
    if (next->type == VT_NODE_WINDOWS)
        return in_map_order && !s->gather && s->residual.value == VT_NO_VALUE;
    if (!in_map_order || !adds_earlier(p, s, next, input))
        return false;
    s->residual = next->in[1 - input];
    return true;
}

/* Extends the step by the node that reads its value, if its kernel can do that as well. Nothing follows a conversion.
 * */
static bool fuse_next(struct vt_plan *p, struct vt_step *s, const vt_value *outputs, size_t count)
{
    uint32_t input = 0;
    const struct vt_node *next = only_reader(p, s->out, outputs, count, &input);
    if (!next || p->graph->nodes[s->out].type == VT_NODE_CONVERT)
        return false;
    bool taken = next->type == VT_NODE_CONVERT && writes_converted(s, next);
    if (!taken && vt_is_depthwise(s->node))
        taken = next->type == VT_NODE_ACTIVATION && take_into_epilogue(p, s, next, input);
    else if (!taken && (s->type == VT_NODE_LINEAR || s->type == VT_NODE_CONV2D))
        taken = take_into_epilogue(p, s, next, input);
    else if (!taken && s->type == VT_NODE_LAYER_NORM)
        taken = take_into_norm(p, s, next, input);
    if (!taken)
        return false;
    p->values[s->out].live = false; /* never exists in memory */
    s->out = (vt_value)(next - p->graph->nodes);
    return true;
}

static bool gathers(const struct vt_node *node)
{
    return node->type == VT_NODE_WINDOWS || node->type == VT_NODE_SPACE_TO_DEPTH;
}

/* Rows that are put together from others while their only reader, a linear layer or a norm, reads them are never in
 * memory, nor is what they are converted to. */
static bool is_seen_through(struct vt_plan *p, vt_value v, const vt_value *outputs, size_t count)
{
    uint32_t input = 0;
    if (!gathers(&p->graph->nodes[v]))
        return false;
    const struct vt_node *reader = only_reader(p, v, outputs, count, &input);
    vt_value converted = VT_NO_VALUE;
    if (reader && reader->type == VT_NODE_CONVERT && reader->element != VT_F32) {
        converted = (vt_value)(reader - p->graph->nodes);
        reader = only_reader(p, converted, outputs, count, &input);
    }
    if (!reader || (reader->type != VT_NODE_LINEAR && reader->type != VT_NODE_LAYER_NORM))
        return false;
    p->values[v].live = false;
    if (converted != VT_NO_VALUE)
        p->values[converted].live = false;
    return true;
}

/* What the rows of a node's first input are gathered from, or NULL. */
static const struct vt_node *seen_through(const struct vt_plan *p, const struct vt_node *node)
{
    if (gathers(node)) /* as a step of its own */
        return node;
    if (node->type != VT_NODE_LINEAR && node->type != VT_NODE_LAYER_NORM)
        return NULL;
    const struct vt_node *from = &p->graph->nodes[node->in[0].value];
    if (from->type == VT_NODE_CONVERT && !p->values[node->in[0].value].live)
        from = &p->graph->nodes[from->in[0].value];
    return gathers(from) && !p->values[from - p->graph->nodes].live ? from : NULL;
}

/* Scores come with the step of their attention. */
static void attach_scores(struct vt_plan *p, struct vt_step *s)
{
    const vt_value attention = (vt_value)(s->node - p->graph->nodes);
    for (size_t v = (size_t)attention + 1; v < p->graph->node_count && s->type == VT_NODE_ATTENTION; v++) {
        const struct vt_node *node = &p->graph->nodes[v];
        if (node->type == VT_NODE_ATTENTION_SCORES && node->in[0].value == attention)
            s->scores[node->u.scores.kind] = (vt_value)v;
    }
}

/* Is the value made by a step that there is already? */
static bool is_made(const struct vt_plan *p, vt_value v)
{
    for (size_t i = 0; i < p->step_count; i++)
        if (p->steps[i].out == v)
            return true;
    return false;
}

static void make_step(struct vt_plan *p, vt_value v, const vt_value *outputs, size_t count)
{
    const struct vt_node *node = &p->graph->nodes[v];
    assert(p->step_count < p->step_capacity);
    struct vt_step *s = &p->steps[p->step_count++];
    *s = (struct vt_step){ .type = node->type,
                           .node = node,
                           .out = v,
                           .gather = seen_through(p, node),
                           .weight = node->weight,
                           .bias = node->bias,
                           .weight2 = node->weight2,
                           .scale = VT_NO_WEIGHT,
                           .residual = { VT_NO_VALUE, 0, 0 },
                           .scores = { VT_NO_VALUE, VT_NO_VALUE, VT_NO_VALUE } };
    attach_scores(p, s);
    while (fuse_next(p, s, outputs, count)) {
    }
    p->values[s->out].constant = vt_is_constant(node);
}

void vt_pass_fuse(struct vt_plan *p, const vt_value *outputs, size_t count)
{
    for (int pass = 0; pass < 2; pass++) { /* constants first, then the rest */
        for (size_t v = 0; v < p->graph->node_count; v++) {
            const struct vt_node *node = &p->graph->nodes[v];
            if (p->values[v].live && node->type != VT_NODE_INPUT && node->type != VT_NODE_ATTENTION_SCORES &&
                vt_is_constant(node) == (pass == 0) && !is_made(p, (vt_value)v) &&
                !is_seen_through(p, (vt_value)v, outputs, count))
                make_step(p, (vt_value)v, outputs, count);
        }
        if (pass == 0)
            p->constant_count = p->step_count;
    }
}

/* ---- Places in the arena ---- */

static void use_until(struct vt_plan *p, vt_value v, size_t step)
{
    struct vt_plan_value *value = &p->values[v];
    if (value->last < step)
        value->last = step;
}

static void find_lifetimes(struct vt_plan *p, const vt_value *outputs, size_t count)
{
    for (size_t i = 0; i < p->step_count; i++) {
        const struct vt_step *s = &p->steps[i];
        p->values[s->out].first = p->values[s->out].constant ? 0 : i;
        use_until(p, s->out, i);
        for (size_t k = 0; k < VT_SCORES_COUNT; k++) {
            if (s->scores[k] == VT_NO_VALUE)
                continue;
            p->values[s->scores[k]].first = i;
            use_until(p, s->scores[k], i);
        }
        for (uint32_t k = 0; k < s->node->in_count && !vt_is_constant(s->node); k++)
            use_until(p, k ? s->node->in[k].value : vt_step_input(s).value, i);
        if (s->residual.value != VT_NO_VALUE)
            use_until(p, s->residual.value, i);
    }
    for (size_t i = 0; i < count; i++)
        use_until(p, outputs[i], p->step_count);
    for (size_t v = 0; v < p->graph->node_count && p->pass_images < p->max_batch; v++) {
        if (!p->values[v].whole_batch)
            continue;
        p->values[v].first = 0; /* other passes have filled it before, or are still to read it */
        use_until(p, (vt_value)v, p->step_count);
    }
    for (size_t v = 0; v < p->graph->node_count; v++)
        if (p->values[v].constant)
            use_until(p, (vt_value)v, p->step_count);
}

/* Every element of the residual lies where that of the sum is to lie. */
static bool lies_alike(const struct vt_plan *p, struct vt_view residual, vt_value sum)
{
    const struct vt_plan_value *from = &p->values[residual.value], *to = &p->values[sum];
    return residual.column == 0 && residual.columns == from->shape.columns &&
           from->shape.columns == to->shape.columns && from->ld == to->ld && from->rows == to->rows &&
           from->whole_batch == to->whole_batch &&
           p->graph->nodes[residual.value].element == p->graph->nodes[sum].element;
}

/* A residual stream that ends in its own addition hands its memory to the sum. */
static void share_residuals(struct vt_plan *p)
{
    for (size_t i = 0; i < p->step_count; i++) {
        const struct vt_step *s = &p->steps[i];
        if (s->residual.value == VT_NO_VALUE || !lies_alike(p, s->residual, s->out))
            continue;
        const struct vt_plan_value *from = &p->values[s->residual.value];
        if (from->last == i && !from->constant && vt_step_input(s).value != s->residual.value)
            p->values[s->out].shares = from->shares;
    }
    for (size_t v = 0; v < p->graph->node_count; v++)
        if (p->values[v].live && p->values[v].shares != (vt_value)v)
            use_until(p, p->values[v].shares, p->values[v].last);
}

/* The lowest place for v that overlaps no placed value alive at the same time. Placed values are marked in offset. */
static size_t lowest_place(const struct vt_plan *p, size_t v)
{
    const struct vt_plan_value *value = &p->values[v];
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < p->graph->node_count; i++) {
            const struct vt_plan_value *other = &p->values[i];
            const bool placed = i != v && other->live && other->offset != SIZE_MAX && other->shares == (vt_value)i;
            if (placed && other->first <= value->last && value->first <= other->last &&
                at < other->offset + other->bytes && other->offset < at + value->bytes) {
                at = other->offset + other->bytes;
                moved = true;
            }
        }
    }
    return at;
}

void vt_pass_place(struct vt_plan *p, const vt_value *outputs, size_t count)
{
    const size_t n = p->graph->node_count;
    find_lifetimes(p, outputs, count);
    share_residuals(p);
    for (size_t v = 0; v < n; v++)
        p->values[v].offset = SIZE_MAX;
    for (;;) { /* largest first: small values fill the gaps */
        size_t largest = n;
        for (size_t v = 0; v < n; v++) {
            const struct vt_plan_value *value = &p->values[v];
            if (value->live && value->shares == (vt_value)v && value->offset == SIZE_MAX &&
                (largest == n || value->bytes > p->values[largest].bytes))
                largest = v;
        }
        if (largest == n)
            break;
        struct vt_plan_value *value = &p->values[largest];
        value->offset = lowest_place(p, largest);
        if (p->value_bytes < value->offset + value->bytes)
            p->value_bytes = value->offset + value->bytes;
    }
    for (size_t v = 0; v < n; v++)
        if (p->values[v].live)
            p->values[v].offset = p->values[p->values[v].shares].offset;
}
