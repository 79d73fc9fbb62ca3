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
            if (node->in[k].value != v || node->type == VT_NODE_ATTENTION_SCORES) /* which reads no memory */
                continue;
            if (reader || node->in[k].columns != p->graph->nodes[v].columns)
                return NULL;
            reader = node;
            *input = k;
        }
    }
    return reader;
}

/* Can the step's own kernel write its value in another type? */
static bool writes_converted(enum vt_node_type type)
{
    return type == VT_NODE_LINEAR || type == VT_NODE_CONV2D || type == VT_NODE_LAYER_NORM || type == VT_NODE_ATTENTION;
}

/* Takes the node that reads input `input` from a product's step into its epilogue: activation, then LayerScale, then
 * residual, each at most once. */
static bool take_into_epilogue(const struct vt_plan *p, struct vt_step *s, const struct vt_node *next, uint32_t input)
{
    if (s->residual.value != VT_NO_VALUE)
        return false;
    if (next->type == VT_NODE_ACTIVATION && s->activation == VT_ACT_NONE && s->scale == VT_NO_WEIGHT)
        s->activation = next->u.activation;
    else if (next->type == VT_NODE_MUL && next->in_count == 1 && s->scale == VT_NO_WEIGHT)
        s->scale = next->weight;
    else if (next->type == VT_NODE_ADD && next->in[1 - input].value < s->node - p->graph->nodes)
        s->residual = next->in[1 - input];
    else
        return false;
    return true;
}

/* Extends the step by the node that reads its value, if its kernel can do that as well. Nothing follows a conversion.
 * */
static bool fuse_next(struct vt_plan *p, struct vt_step *s, const vt_value *outputs, size_t count)
{
    uint32_t input = 0;
    const struct vt_node *next = only_reader(p, s->out, outputs, count, &input);
    if (!next || p->graph->nodes[s->out].element != VT_F32)
        return false;
    const bool product = s->type == VT_NODE_LINEAR || s->type == VT_NODE_CONV2D;
    const bool converted = next->type == VT_NODE_CONVERT && writes_converted(s->type);
    if (!converted && !(product && take_into_epilogue(p, s, next, input)))
        return false;
    p->values[s->out].live = false; /* never exists in memory */
    s->out = (vt_value)(next - p->graph->nodes);
    return true;
}

/* Scores come with the step of their attention. */
static void attach_scores(struct vt_plan *p, struct vt_step *s)
{
    const vt_value attention = (vt_value)(s->node - p->graph->nodes);
    for (size_t v = (size_t)attention + 1; v < p->graph->node_count && s->type == VT_NODE_ATTENTION; v++) {
        const struct vt_node *node = &p->graph->nodes[v];
        if (node->type == VT_NODE_ATTENTION_SCORES && node->in[0].value == attention)
            s->scores[node->u.scores] = (vt_value)v;
    }
}

void vt_pass_fuse(struct vt_plan *p, const vt_value *outputs, size_t count)
{
    for (int pass = 0; pass < 2; pass++) { /* constants first, then the rest */
        for (size_t v = 0; v < p->graph->node_count; v++) {
            const struct vt_node *node = &p->graph->nodes[v];
            const bool constant = node->type == VT_NODE_POSITIONS;
            if (!p->values[v].live || node->type == VT_NODE_INPUT || node->type == VT_NODE_ATTENTION_SCORES ||
                constant != (pass == 0))
                continue;
            bool made = false; /* by a fused step already */
            for (size_t i = 0; i < p->step_count && !made; i++)
                made = p->steps[i].out == (vt_value)v;
            if (made)
                continue;
            assert(p->step_count < p->step_capacity);
            struct vt_step *s = &p->steps[p->step_count++];
            *s = (struct vt_step){ .type = node->type,
                                   .node = node,
                                   .out = (vt_value)v,
                                   .weight = node->weight,
                                   .bias = node->bias,
                                   .scale = VT_NO_WEIGHT,
                                   .residual = { VT_NO_VALUE, 0, 0 },
                                   .scores = { VT_NO_VALUE, VT_NO_VALUE } };
            attach_scores(p, s);
            while (fuse_next(p, s, outputs, count)) {
            }
            p->values[s->out].constant = constant;
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
        for (uint32_t k = 0; k < s->node->in_count; k++)
            use_until(p, s->node->in[k].value, i);
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
        if (from->last == i && !from->constant && s->node->in[0].value != s->residual.value)
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
