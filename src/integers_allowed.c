/* SPDX-License-Identifier: Apache-2.0 */
/* What can be computed in integers alone; see step_integers.h. */
#include "step_integers.h"

#include "step_maker.h"

static vitrt_status refuse(const struct vt_plan *p, const struct vt_node *node, const char *why, vitrt_error *err)
{
    return vt_err(err, VITRT_EUNSUPPORTED, "%s: node %s has no integer-only form: %s",
                  vt_checkpoint_path(p->graph->checkpoint), node->name, why);
}

static bool is_gelu(enum vt_activation a)
{
    return a == VT_ACT_GELU || a == VT_ACT_GELU_TANH;
}

/* Only convolutions know how to read pixels, which are neither words nor codes. */
static bool reads_pixels(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_node *nodes = p->graph->nodes;
    if (vt_reads_shape_only(s->node) || s->type == VT_NODE_CONV2D)
        return false;
    for (uint32_t k = 0; k < s->node->in_count; k++)
        if (nodes[s->node->in[k].value].element == VT_I32)
            return true;
    return (s->gather && nodes[s->gather->in[0].value].element == VT_I32) ||
           (s->residual.value != VT_NO_VALUE && nodes[s->residual.value].element == VT_I32);
}

/* Do scores, with a bias and a mask of a quarter of the bound each, stay below it? */
static bool scores_fit(const struct vt_plan *p, const struct vt_node *node)
{
    const uint64_t dim = node->in[0].columns / node->u.attention.heads;
    const uint32_t added = (vt_bias_input(node) ? 1 : 0) + (p->values[node->in[0].value].order ? 1 : 0);
    return VT_MOST_PRODUCT * dim + added * VT_MOST_ADDED < VT_MOST_SCORE;
}

static const char *reason_against(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_node *node = s->node, *coding = vt_coding_of(p, s);
    if (reads_pixels(p, s))
        return "it reads the image, as only convolutions do";
    if (vt_is_clipped(node))
        return "its probabilities are clipped";
    if (vt_gate_input(node))
        return "it has a gate";
    if (s->type == VT_NODE_LINEAR || s->type == VT_NODE_CONV2D || s->type == VT_NODE_ATTENTION) {
        if (vt_is_depthwise(node))
            return "convolutions of every channel by itself are not there yet";
        if (!vt_step_multiplies_codes(s))
            return "its products are kept in float";
    }
    if (s->type == VT_NODE_CONV2D && node->in[0].value != 0)
        return "convolutions of anything but the image are not there yet";
    if (s->type == VT_NODE_CONV2D && (node->u.conv.groups > 1 || s->residual.value != VT_NO_VALUE))
        return "convolutions of groups, or with a residual, are not there yet";
    if (s->type == VT_NODE_LINEAR && s->gather)
        return "it puts together the rows that it reads";
    if (s->activation != VT_ACT_NONE && !is_gelu(s->activation))
        return "of activations only gelu has one";
    if (s->activation != VT_ACT_NONE && (!coding || s->residual.value != VT_NO_VALUE || s->scale != VT_NO_WEIGHT))
        return "gelu must be followed by another layer";
    if (s->type == VT_NODE_LAYER_NORM && (node->u.norm.groups > 1 || s->residual.value != VT_NO_VALUE))
        return "norms of heads, and those that a residual is added to, are not there yet";
    if (s->type == VT_NODE_LAYER_NORM && node->columns > VT_MOST_NORMALISED)
        return "sums over so many columns do not fit into integers of 32 bits";
    if (s->type == VT_NODE_POOL && (node->u.rows.row_count || node->u.rows.sum || node->u.rows.spread))
        return "of pools only the mean over all rows from one on is there";
    if (s->type == VT_NODE_POOL && p->values[node->in[0].value].rows - node->u.rows.first_row > VT_MOST_POOLED)
        return "sums over so many rows do not fit into integers of 32 bits";
    if (s->type == VT_NODE_ATTENTION && !scores_fit(p, node))
        return "scores of heads with so many columns do not fit into integers of 32 bits beside a bias or a mask";
    for (size_t k = 0; k < VT_SCORES_COUNT; k++)
        if (s->scores[k] != VT_NO_VALUE)
            return "its probabilities are asked for";
    switch (s->type) {
    case VT_NODE_LINEAR:
    case VT_NODE_CONV2D:
    case VT_NODE_ATTENTION:
    case VT_NODE_LAYER_NORM:
    case VT_NODE_ADD:
    case VT_NODE_POOL:
    case VT_NODE_SLICE:
    case VT_NODE_CONCAT:
    case VT_NODE_EMBED:
    case VT_NODE_HEAD_COMBINE:
    case VT_NODE_WINDOWS:
    case VT_NODE_UNWINDOWS:
    case VT_NODE_SPACE_TO_DEPTH:
    case VT_NODE_POSITIONS:
    case VT_NODE_RELATIVE_BIAS: return NULL;
    case VT_NODE_CONVERT: return coding ? NULL : "it rounds floats";
    default: return "its operation is not there yet";
    }
}

vitrt_status vt_check_integers(const struct vt_plan *p, vitrt_error *err)
{
    for (size_t i = 0; i < p->step_count; i++) {
        const struct vt_step *s = &p->steps[i];
        const char *reason = reason_against(p, s);
        if (reason)
            return refuse(p, s->node, reason, err);
        const bool words = p->graph->nodes[s->out].element == VT_I16;
        if ((words && !(vt_unit_of(p->graph, s->out) > 0)) ||
            (s->activation && !(vt_unit_of(p->graph, (vt_value)(s->node - p->graph->nodes)) > 0)))
            return refuse(p, s->node, "the model was quantized without the unit of its value", err);
    }
    return VITRT_OK;
}
