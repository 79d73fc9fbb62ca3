/* SPDX-License-Identifier: Apache-2.0 */
/* What can be computed in integers alone; see step_integers.h. */
#include "step_integers.h"

#include "step_maker.h"

#include <math.h>

/* ---- What steps read ---- */

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
        if (nodes[s->node->in[k].value].type == VT_NODE_INPUT)
            return true;
    return (s->gather && nodes[s->gather->in[0].value].type == VT_NODE_INPUT) ||
           (s->residual.value != VT_NO_VALUE && nodes[s->residual.value].type == VT_NODE_INPUT);
}

static bool is_element(const struct vt_plan *p, const struct vt_node *node, uint32_t k, enum vt_dtype element)
{
    return p->graph->nodes[node->in[k].value].element == element;
}

/* Input k, which is one of 32 bits; that only convolutions read the image is known. */
static bool may_read_numbers(const struct vt_node *node, uint32_t k)
{
    switch (node->type) {
    case VT_NODE_TOKEN_SCORE:
    case VT_NODE_SELECT:
    case VT_NODE_APPLY:
    case VT_NODE_SCATTER:
    case VT_NODE_SLICE: return true;
    case VT_NODE_ATTENTION: return k && k == vt_key_bias_input(node);
    case VT_NODE_POOL: return k == 1;
    case VT_NODE_CONV2D: return true;
    default: return false;
    }
}

static bool reads_numbers(const struct vt_plan *p, const struct vt_step *s)
{
    for (uint32_t k = 0; k < s->node->in_count; k++)
        if (is_element(p, s->node, k, VT_I32) && !may_read_numbers(s->node, k))
            return true;
    return (s->gather && is_element(p, s->gather, 0, VT_I32)) ||
           (s->residual.value != VT_NO_VALUE && p->graph->nodes[s->residual.value].element == VT_I32);
}

/* ---- Token reduction ---- */

/* Scores of attention, all or of some rows. */
static bool is_attention_score(const struct vt_plan *p, const struct vt_node *node, uint32_t k)
{
    const struct vt_node *from = &p->graph->nodes[node->in[k].value];
    while (vt_keeps_unit(from) || from->type == VT_NODE_SCATTER)
        from = &p->graph->nodes[from->in[0].value];
    return from->type == VT_NODE_ATTENTION_SCORES;
}

/* 1, 1/2, .. 2^-30 */
static bool is_binary(float unit)
{
    int exponent;
    return frexpf(unit, &exponent) == 0.5f && exponent <= 1 && exponent >= -29;
}

static const char *reason_against_score(const struct vt_plan *p, const struct vt_node *node)
{
    const char *const no_scores = "it does not read scores of attention";
    switch (node->u.token_score.kind) {
    case VT_TOKEN_ONES:
    case VT_TOKEN_NUMBER: return NULL;
    case VT_TOKEN_LOGARITHM:
        return is_element(p, node, 0, VT_I32) && is_binary(vt_unit_of(p->graph, node->in[0].value))
                   ? NULL
                   : "the unit of the numbers that it reads is no power of 2";
    case VT_TOKEN_MEAN: return is_attention_score(p, node, 0) ? NULL : no_scores;
    case VT_TOKEN_VALUES:
    case VT_TOKEN_HEAD_VALUES:
        return !is_attention_score(p, node, 0)  ? no_scores
               : is_element(p, node, 1, VT_I16) ? NULL
                                                : "the values that it reads are no words";
    case VT_TOKEN_VOTES:
        if (!is_attention_score(p, node, 0) || (node->in_count > 1 && !is_attention_score(p, node, 1)))
            return no_scores;
        if (node->in_count > 1 && vt_unit_of(p->graph, node->in[0].value) != vt_unit_of(p->graph, node->in[1].value))
            return "it reads scores of attention of different numbers of queries";
        if (node->in[0].columns > VT_MOST_HEADS || node->u.token_score.boost > VT_MOST_BOOST)
            return "sums over so many heads, or of votes with such a boost, do not fit into integers of 64 bits";
        return NULL;
    default: return "such scores are not there yet";
    }
}

static const char *reason_against_selection(const struct vt_plan *p, const struct vt_node *node)
{
    const bool compares = vt_compares_features(node);
    const struct vt_view features = node->in[vt_feature_input(node)];
    const struct vt_node *scores = &p->graph->nodes[node->in[0].value];
    if (compares && p->graph->nodes[features.value].element != VT_I16)
        return "the features that it compares are no words";
    if (compares && (uint64_t)features.columns * node->u.select.groups > INT32_MAX)
        return "sums over so many columns do not fit into integers of 64 bits";
    if (node->u.select.fuse && (scores->type != VT_NODE_TOKEN_SCORE || scores->u.token_score.kind != VT_TOKEN_MEAN))
        return "it fuses rows by something else than the mean of attention's scores";
    switch (node->u.select.by) {
    case VT_SELECT_TOP:
    case VT_SELECT_SAMPLES: return is_element(p, node, 0, VT_I32) ? NULL : "it selects by numbers that are no scores";
    case VT_SELECT_MATCH:
        for (uint32_t k = 1; k < node->in_count; k++)
            if (!is_element(p, node, k, VT_I32))
                return "the sizes, or the importance, that it reads are no scores";
        return NULL;
    case VT_SELECT_UNSURE: return is_element(p, node, 0, VT_I16) ? NULL : "the logits that it reads are no words";
    case VT_SELECT_EVEN:
    case VT_SELECT_RANDOM: return NULL;
    default: return "such selections are not there yet";
    }
}

static const char *reason_against_move(const struct vt_plan *p, const struct vt_node *node)
{
    const vt_value x = node->in[0].value, base = node->in_count > 2 ? node->in[2].value : x;
    const enum vt_dtype element = p->graph->nodes[x].element;
    const struct vt_node *map = &p->graph->nodes[node->in[1].value];
    if (node->type == VT_NODE_APPLY && map->u.select.fuse && !node->u.apply.sum && is_element(p, node, 0, VT_I32))
        return "it fuses scores";
    if (p->graph->nodes[base].element != element ||
        (element == VT_I32 && vt_unit_of(p->graph, base) != vt_unit_of(p->graph, x)))
        return "the rows that it puts together are not of the same kind";
    return NULL;
}

/* ---- All steps ---- */

/* Do scores, with a bias and a mask of a quarter of the bound each, stay below it? */
static bool scores_fit(const struct vt_plan *p, const struct vt_node *node)
{
    const uint64_t dim = node->in[0].columns / node->u.attention.heads;
    const uint32_t added = (vt_bias_input(node) ? 1 : 0) + (p->values[node->in[0].value].order ? 1 : 0) +
                           (vt_key_bias_input(node) ? 1 : 0);
    return VT_MOST_PRODUCT * dim + added * VT_MOST_ADDED < VT_MOST_SCORE;
}

static const char *reason_against(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_node *node = s->node, *coding = vt_coding_of(p, s);
    if (reads_pixels(p, s))
        return "it reads the image, as only convolutions do";
    if (reads_numbers(p, s))
        return "it reads scores of tokens, which are no words";
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
    if (s->scores[VT_SCORES_VOTES] != VT_NO_VALUE &&
        p->graph->nodes[s->scores[VT_SCORES_VOTES]].u.scores.boost > VT_MOST_BOOST)
        return "sums of votes with such a boost do not fit into integers of 64 bits";
    if (s->type == VT_NODE_ATTENTION && vt_key_bias_input(node) &&
        !is_element(p, node, vt_key_bias_input(node), VT_I32))
        return "the bias of its keys is no score of tokens";
    if (s->type == VT_NODE_POOL && node->in_count > 1 && !is_element(p, node, 1, VT_I32))
        return "its weights are no scores of tokens";
    switch (s->type) {
    case VT_NODE_TOKEN_SCORE: return reason_against_score(p, node);
    case VT_NODE_SELECT: return reason_against_selection(p, node);
    case VT_NODE_APPLY:
    case VT_NODE_SCATTER: return reason_against_move(p, node);
    case VT_NODE_LINEAR:
    case VT_NODE_CONV2D:
    case VT_NODE_ATTENTION:
    case VT_NODE_LAYER_NORM:
    case VT_NODE_ADD:
    case VT_NODE_POOL:
    case VT_NODE_UPSAMPLE:
    case VT_NODE_ARGMAX:
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
