/* SPDX-License-Identifier: Apache-2.0 */
/* Plain vision transformers as Hugging Face transformers publishes them: config.json's model_type vit, deit, dinov2,
 * dinov2_with_registers. */
#include "hf_config.h"
#include "vit.h"

#include <string.h>

/* What all of them share; the blocks of ViT and DeiT are named otherwise than those of DINOv2. */
#define HF_NAMES                                                                                                       \
    .patch = "embeddings.patch_embeddings.projection", .positions = "embeddings.position_embeddings",                  \
    .block = "encoder.layer", .query = "attention.attention.query", .key = "attention.attention.key",                  \
    .value = "attention.attention.value", .proj = "attention.output.dense", .norm = "layernorm",                       \
    .heads = { "classifier" }

static const struct vit_names vit_deit_names = {
    HF_NAMES,
    .tokens = { "embeddings.cls_token", "embeddings.distillation_token" },
    .norm1 = "layernorm_before",
    .norm2 = "layernorm_after",
    .fc1 = "intermediate.dense",
    .fc2 = "output.dense",
    .pooler = "pooler.dense",
};

/* clang-format off: one name a line, as above */
static const struct vit_names dinov2_names = {
    HF_NAMES,
    .tokens = { "embeddings.cls_token", "embeddings.register_tokens" },
    .norm1 = "norm1",
    .scale1 = "layer_scale1.lambda1",
    .norm2 = "norm2",
    .fc1 = "mlp.fc1",
    .fc2 = "mlp.fc2",
    .scale2 = "layer_scale2.lambda1",
};
/* clang-format on */

struct variant {
    const char *model_type;
    const struct vit_names *names;
    double default_eps; /* of the config class, where the file says nothing */
    enum vit_pool pool;
    enum vt_positions_filter filter;
    uint32_t default_patch;
    bool more_tokens; /* has a distillation token or registers, too */
};

static const struct variant variants[] = {
    { "vit", &vit_deit_names, 1e-12, VT_POOL_TOKEN, VT_POSITIONS_BICUBIC, 16, false },
    { "deit", &vit_deit_names, 1e-12, VT_POOL_TOKEN, VT_POSITIONS_BICUBIC, 16, true },
    { "dinov2", &dinov2_names, 1e-6, VT_POOL_TOKEN_AND_AVG, VT_POSITIONS_BICUBIC, 14, false },
    { "dinov2_with_registers", &dinov2_names, 1e-6, VT_POOL_TOKEN_AND_AVG, VT_POSITIONS_BICUBIC_ANTIALIAS, 14, true },
};

static const struct variant *variant_of(vt_json config)
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (vt_hf_is(config, variants[i].model_type))
            return &variants[i];
    return NULL;
}

static bool matches(vt_json config)
{
    return variant_of(config) != NULL;
}

/* ---- Building ---- */

static uint32_t read_count(struct vt_graph *g, vt_json config, const char *key, uint32_t missing, uint32_t most)
{
    return vt_member_count(vt_member_of(g, config, key), missing, 1, most);
}

static void build(struct vt_graph *g, struct vt_model_facts *facts)
{
    const vt_json config = vt_checkpoint_config(g->checkpoint);
    const struct variant *v = variant_of(config);
    struct vit_names names = *v->names;
    const struct vt_name root = vt_hf_root(g, v->model_type, vt_name("%s.weight", names.patch).text);
    vt_hf_architecture(config, v->model_type, facts);
    facts->family = v->model_type;
    if (vt_checkpoint_find(g->checkpoint,
                           "distillation_classifier.weight")) { /* DeiTForImageClassificationWithTeacher */
        names.heads[0] = "cls_classifier";
        names.heads[1] = "distillation_classifier";
    }
    const bool swiglu = vt_member_bool(vt_member_of(g, config, "use_swiglu_ffn"), false);
    const bool qkv_bias = vt_member_bool(vt_member_of(g, config, "qkv_bias"), true);
    if (swiglu) {
        names.fc1 = "mlp.weights_in";
        names.fc2 = "mlp.weights_out";
    }
    struct vit_config c = { .names = &names,
                            .root = root.text,
                            .optional = qkv_bias ? 0 : VIT_MAY_LACK_QKV_BIAS,
                            .heads = read_count(g, config, "num_attention_heads", 12, 4096),
                            .depth = read_count(g, config, "num_hidden_layers", 12, 4096),
                            .dim = read_count(g, config, "hidden_size", 768, 1u << 20),
                            .hidden = read_count(g, config, "intermediate_size", 0, VT_MAX_COUNT),
                            .classes = vt_hf_classes(g, config),
                            .may_be_gated = swiglu,
                            .activation = vt_hf_activation(g, config),
                            .gated_activation = VT_ACT_SILU,
                            .eps = vt_hf_eps(g, config, v->default_eps),
                            .pool = v->pool,
                            .filter = v->filter,
                            .image_is_certain = true };
    uint32_t patch[2];
    vt_member_size(vt_member_of(g, config, "image_size"), 224, VT_MAX_IMAGE, c.image);
    vt_member_size(vt_member_of(g, config, "patch_size"), v->default_patch, VT_MAX_IMAGE, patch);
    if (!vt_checkpoint_find(g->checkpoint, "classifier.weight") && c.pool == VT_POOL_TOKEN_AND_AVG)
        c.pool = VT_POOL_TOKEN; /* a bare backbone's pooled output is the class token */
    if (v->more_tokens)
        vt_require(g, root, names.tokens[1]);
    if (vt_hf_classifies(facts))
        vt_require(g, vt_name("%s", names.heads[0]), ".weight");
    if (g->status)
        return;
    vt_vit_build(g, &c, facts);
    if (!g->status && memcmp(patch, facts->size_multiple, sizeof patch))
        vt_graph_fail(g, VITRT_EFORMAT, "config.json: \"patch_size\" is %ux%u, the patch embedding's tensor has %ux%u",
                      (unsigned)patch[0], (unsigned)patch[1], (unsigned)facts->size_multiple[0],
                      (unsigned)facts->size_multiple[1]);
}

/* The mask token serves training. */
static bool ignores(const char *tensor)
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (vt_hf_is_tensor(tensor, variants[i].model_type, "embeddings.mask_token"))
            return true;
    return false;
}

const struct vt_family vt_vit_hf_family = { matches, build, ignores, NULL };
