/* SPDX-License-Identifier: Apache-2.0 */
/* The operations as they stand in files; see graph_schema.h. */
#include "graph_schema.h"

#include <stddef.h>

const char *const vt_activation_names[VT_ACT_COUNT] = { "", "gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "tanh" };
const char *const vt_window_fit_names[3] = { "fixed", "each_side", "shorter_side" };
const char *const vt_slot_keys[VT_ALL_SLOTS] = { "weight",   "bias",    "weight2",  "scales.0", "zeros.0",
                                                 "scales.1", "zeros.1", "scales.2", "zeros.2" };

static const char *const scores_names[VT_SCORES_COUNT] = { "first_row", "column_sums", "votes" };
static const char *const token_score_names[VT_TOKEN_SCORE_COUNT] = {
    "mean", "values", "head_values", "votes", "ones", "logarithm", "number", "difference", "halting"
};
static const char *const selection_names[VT_SELECT_COUNT] = { "top",    "samples", "match", "even",
                                                              "random", "unsure",  "below" };
static const char *const float_product_names[VT_FLOAT_PRODUCT_COUNT] = { "f32", "bf16" };
static const char *const filter_names[2] = { "bicubic", "bicubic_antialias" };

/* Choices are read and written as int. */
_Static_assert(sizeof(enum vt_activation) == sizeof(int) && sizeof(enum vt_attention_scores) == sizeof(int) &&
                   sizeof(enum vt_positions_filter) == sizeof(int) && sizeof(enum vt_token_score) == sizeof(int) &&
                   sizeof(enum vt_selection) == sizeof(int) && sizeof(enum vt_float_product) == sizeof(int),
               "an enum is no int");

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define AT(member)      offsetof(struct vt_node, u.member)
#define COUNT(key, member, usual)                                                                                      \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_COUNT, false, usual, AT(member), NULL, 0                                                     \
    }
#define NEEDED_COUNT(key, member)                                                                                      \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_COUNT, true, 0, AT(member), NULL, 0                                                          \
    }
#define SIDES(key, member, usual)                                                                                      \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_SIDES, false, usual, AT(member), NULL, 0                                                     \
    }
#define NEEDED_SIDES(key, member)                                                                                      \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_SIDES, true, 0, AT(member), NULL, 0                                                          \
    }
#define NUMBER(key, member)                                                                                            \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_NUMBER, true, 0, AT(member), NULL, 0                                                         \
    }
#define MAY_NUMBER(key, member, usual)                                                                                 \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_NUMBER, false, usual, AT(member), NULL, 0                                                        \
    }
#define MAY_SIGNED(key, member, usual)                                                                                 \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_SIGNED, false, usual, AT(member), NULL, 0                                                    \
    }
#define SHARE(key, member)                                                                                             \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_SHARE, false, 1, AT(member), NULL, 0                                                         \
    }
#define FLAG(key, member)                                                                                              \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_FLAG, false, 0, AT(member), NULL, 0                                                          \
    }
#define CHOICE(key, member, names)                                                                                     \
    {                                                                                                                  \
        key, VT_ATTRIBUTE_CHOICE, true, 0, AT(member), names, COUNT_OF(names)                                          \
    }
#define PRECISION                                                                                                      \
    {                                                                                                                  \
        "precision", VT_ATTRIBUTE_CHOICE, false, VT_FLOAT_PRODUCT_F32, offsetof(struct vt_node, float_product),        \
            float_product_names, COUNT_OF(float_product_names)                                                         \
    }
#define WINDOWS(member)                                                                                                \
    {                                                                                                                  \
        "windows", VT_ATTRIBUTE_WINDOWS, true, 0, AT(member), NULL, 0                                                  \
    }

#define NEEDS(form)                                                                                                    \
    {                                                                                                                  \
        VT_REQUIRED, VT_WEIGHT_##form                                                                                  \
    }
#define MAY(form)                                                                                                      \
    {                                                                                                                  \
        VT_OPTIONAL, VT_WEIGHT_##form                                                                                  \
    }

const struct vt_op_schema vt_op_schemas[] = {
    { "input", VT_NODE_INPUT, 0, 0, 0, { { 0 } }, { { 0 } } },
    { "conv2d",
      VT_NODE_CONV2D,
      1,
      1,
      0,
      { NEEDS(CONV), MAY(VECTOR) },
      { SIDES("stride", conv.slide.stride, 1), SIDES("padding", conv.slide.padding, 0),
        FLAG("cover", conv.slide.cover), PRECISION } },
    { "linear", VT_NODE_LINEAR, 1, 1, 0, { NEEDS(MATRIX), MAY(VECTOR) }, { PRECISION } },
    { "layer_norm",
      VT_NODE_LAYER_NORM,
      1,
      1,
      0,
      { NEEDS(VECTOR), NEEDS(VECTOR) },
      { COUNT("groups", norm.groups, 1), NUMBER("eps", norm.eps) } },
    { "l2_norm", VT_NODE_L2_NORM, 1, 1, 0, { MAY(VECTOR) }, { COUNT("groups", norm.groups, 1) } },
    { "attention",
      VT_NODE_ATTENTION,
      3,
      6,
      0,
      { { 0 } },
      { NEEDED_COUNT("heads", attention.heads), NUMBER("scale", attention.scale),
        COUNT("log_bits", attention.log_bits, 0), MAY_NUMBER("log_scale", attention.log_scale, 0),
        MAY_SIGNED("gamma", attention.gamma, 0), MAY_SIGNED("zeta", attention.zeta, 1), FLAG("gated", attention.gated),
        FLAG("key_bias", attention.key_bias), PRECISION } },
    { "attention_scores",
      VT_NODE_ATTENTION_SCORES,
      1,
      1,
      1,
      { { 0 } },
      { CHOICE("scores", scores.kind, scores_names), COUNT("rounds", scores.rounds, 1),
        MAY_NUMBER("boost", scores.boost, 0) } },
    { "activation", VT_NODE_ACTIVATION, 1, 1, 0, { { 0 } }, { CHOICE("activation", activation, vt_activation_names) } },
    { "add", VT_NODE_ADD, 2, 2, 0, { { 0 } }, { { 0 } } },
    { "mul", VT_NODE_MUL, 2, 2, 0, { { 0 } }, { { 0 } } },
    { "scale", VT_NODE_MUL, 1, 1, 0, { NEEDS(VECTOR) }, { { 0 } } },
    { "pool",
      VT_NODE_POOL,
      1,
      2,
      0,
      { { 0 } },
      { COUNT("first_row", rows.first_row, 0), COUNT("row_count", rows.row_count, 0), FLAG("sum", rows.sum),
        FLAG("spread", rows.spread) } },
    { "pool2d",
      VT_NODE_POOL2D,
      1,
      1,
      0,
      { { 0 } },
      { NEEDED_SIDES("kernel", pool2d.slide.kernel), SIDES("stride", pool2d.slide.stride, 1),
        SIDES("padding", pool2d.slide.padding, 0), FLAG("largest", pool2d.largest) } },
    { "slice",
      VT_NODE_SLICE,
      1,
      1,
      0,
      { { 0 } },
      { COUNT("first_row", rows.first_row, 0), COUNT("row_count", rows.row_count, 0) } },
    { "tokens", VT_NODE_TOKENS, 0, 0, 0, { NEEDS(ROWS) }, { { 0 } } },
    { "concat", VT_NODE_CONCAT, 2, 2, 0, { { 0 } }, { { 0 } } },
    { "embed", VT_NODE_EMBED, 1, 2, 3, { MAY(ROWS) }, { COUNT("position_prefix", embed.position_prefix, 0) } },
    { "head_combine", VT_NODE_HEAD_COMBINE, 2, 2, 3, { { 0 } }, { { 0 } } },
    { "windows", VT_NODE_WINDOWS, 1, 1, 0, { { 0 } }, { WINDOWS(order) } },
    { "unwindows", VT_NODE_UNWINDOWS, 1, 1, 0, { { 0 } }, { { 0 } } },
    { "space_to_depth", VT_NODE_SPACE_TO_DEPTH, 1, 1, 0, { { 0 } }, { NEEDED_SIDES("block", space_to_depth.block) } },
    { "positions",
      VT_NODE_POSITIONS,
      1,
      1,
      1,
      { NEEDS(ROWS) },
      { CHOICE("filter", positions.filter, filter_names), COUNT("prefix", positions.prefix, 0),
        NEEDED_SIDES("grid", positions.grid) } },
    { "bias_table",
      VT_NODE_RELATIVE_BIAS,
      1,
      1,
      1,
      { NEEDS(ROWS) },
      { WINDOWS(relative_bias.order), NEEDED_SIDES("trained", relative_bias.trained) } },
    { "bias_network",
      VT_NODE_RELATIVE_BIAS,
      1,
      1,
      1,
      { NEEDS(MATRIX), MAY(VECTOR), NEEDS(MATRIX) },
      { WINDOWS(relative_bias.order), SIDES("trained", relative_bias.trained, 0) } },
    { "token_score",
      VT_NODE_TOKEN_SCORE,
      1,
      2,
      0,
      { { 0 } },
      { CHOICE("score", token_score.kind, token_score_names), MAY_NUMBER("boost", token_score.boost, 0),
        MAY_NUMBER("lowest", token_score.lowest, 0), MAY_NUMBER("highest", token_score.highest, 0),
        MAY_NUMBER("scale", token_score.scale, 1), MAY_SIGNED("center", token_score.center, 0),
        MAY_NUMBER("limit", token_score.limit, 1) } },
    { "select",
      VT_NODE_SELECT,
      1,
      3,
      0,
      { { 0 } },
      { CHOICE("by", select.by, selection_names), COUNT("protect", select.protect, 0), SHARE("keep", select.keep),
        COUNT("count", select.count, 0), FLAG("up", select.up), COUNT("similar", select.similar, 0),
        COUNT("groups", select.groups, 1), FLAG("fuse", select.fuse), FLAG("in_order", select.in_order),
        FLAG("drop", select.drop), MAY_NUMBER("passed", select.passed, 0), COUNT("seed", select.seed, 0),
        MAY_NUMBER("threshold", select.threshold, 1), COUNT("context", select.context, VT_USUAL_CONTEXT),
        FLAG("with_first", select.with_first) } },
    { "apply", VT_NODE_APPLY, 2, 2, 2, { { 0 } }, { FLAG("sum", apply.sum) } },
    { "scatter", VT_NODE_SCATTER, 2, 3, 6, { { 0 } }, { { 0 } } },
    { "upsample", VT_NODE_UPSAMPLE, 1, 1, 0, { { 0 } }, { SIDES("factor", upsample.factor, 0) } },
    { "argmax", VT_NODE_ARGMAX, 1, 1, 0, { { 0 } }, { { 0 } } },
};

const size_t vt_op_schema_count = sizeof vt_op_schemas / sizeof *vt_op_schemas;

/* Two kinds of nodes have two names. */
static bool describes(const struct vt_op_schema *s, const struct vt_node *node)
{
    if (s->type != node->type)
        return false;
    if (node->type == VT_NODE_MUL)
        return node->in_count == s->most_inputs;
    if (node->type == VT_NODE_RELATIVE_BIAS)
        return (s->slots[2].need == VT_ABSENT) == (node->u.relative_bias.source == VT_BIAS_TABLE);
    return true;
}

const struct vt_op_schema *vt_schema_of(const struct vt_node *node)
{
    for (size_t i = 0; i < vt_op_schema_count; i++)
        if (describes(&vt_op_schemas[i], node))
            return &vt_op_schemas[i];
    return NULL;
}

vt_weight vt_slot_weight(const struct vt_node *node, int slot)
{
    if (slot < VT_MAX_SLOTS)
        return slot == 0 ? node->weight : slot == 1 ? node->bias : node->weight2;
    const struct vt_operand_quantizer *q = &node->quantizers[(slot - VT_MAX_SLOTS) / 2];
    return !q->bits ? VT_NO_WEIGHT : (slot - VT_MAX_SLOTS) % 2 ? q->zeros : q->scales;
}
