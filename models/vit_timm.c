/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain vision transformers as timm publishes them: config.json with "architecture", "pretrained_cfg" and sometimes
 * "model_args". What neither these nor the shapes tell (heads, activation, eps, pooling) stands in a table keyed by the
 * architecture's name, vit_timm.inc.
 */
#include "timm_config.h"
#include "vit.h"

#include <stdio.h>
#include <string.h>

static const struct vit_names timm_names = {
    .patch = "patch_embed.proj",
    .positions = "pos_embed",
    .tokens = { "cls_token", "dist_token", "reg_token" },
    .pre_norm = "norm_pre",
    .block = "blocks",
    .norm1 = "norm1",
    .qkv = "attn.qkv",
    .query_norm = "attn.q_norm",
    .key_norm = "attn.k_norm",
    .proj = "attn.proj",
    .scale1 = "ls1.gamma",
    .norm2 = "norm2",
    .fc1 = "mlp.fc1",
    .gate = { "mlp.fc1_g", "mlp.fc1_x" },
    .fc2 = "mlp.fc2",
    .scale2 = "ls2.gamma",
    .norm = "norm",
    .pool_norm = "fc_norm",
    .heads = { "head", "head_dist" },
    .predictors = "score_predictor",
};

struct timm_vit {
    const char *name;
    uint32_t depth, dim, heads;
    enum vt_activation activation;
    float eps;
    enum vit_pool pool;
    unsigned lacks; /* vit_optional */
};

#define VT_TIMM_VIT(name, depth, dim, heads, activation, eps, pool, lacks)                                             \
    { name, depth, dim, heads, activation, eps, pool, lacks },
static const struct timm_vit table[] = {
#include "vit_timm.inc"
};

static const struct timm_vit *entry_of(vt_json config)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (vt_timm_is(config, table[i].name))
            return &table[i];
    return NULL;
}

bool vt_vit_timm_matches(vt_json config)
{
    return entry_of(config) != NULL;
}

/* Those of the second part are told by shapes, or change nothing. */
static const char *const known_args[] = {
    "num_heads",       "depth",      "embed_dim",  "num_classes",    "img_size",    "global_pool", "act_layer",
    "pruning_loc", /* of DynamicViT */

    "patch_size",      "in_chans",   "mlp_ratio",  "qkv_bias",       "proj_bias",   "qk_norm",     "init_values",
    "class_token",     "reg_tokens", "pre_norm",   "no_embed_class", "final_norm",  "fc_norm",     "dynamic_img_size",
    "strict_img_size", "mlp_layer",  "norm_layer", "pos_embed",      "use_fc_norm", NULL
};

static const struct vt_choice pools[] = { { "token", VT_POOL_TOKEN }, { "avg", VT_POOL_AVG }, { "", VT_POOL_NONE } };

static uint32_t read_count(struct vt_graph *g, vt_json config, const char *key, uint32_t missing)
{
    return vt_member_count(vt_timm_arg(g, config, key), missing, 1, VT_MAX_COUNT);
}

/* The blocks that DynamicViT's predictors stand before. */
static struct vt_predictors read_predictors(struct vt_graph *g, vt_json config)
{
    const struct vt_member m = vt_timm_arg(g, config, "pruning_loc");
    struct vt_predictors p = { .count = vt_member_stages(m, 0) };
    for (uint32_t i = 0; i < p.count; i++)
        p.block[i] = vt_member_count(vt_member_at(m, i, p.count), 0, 0, VT_MAX_COUNT);
    return p;
}

void vt_vit_timm_build(struct vt_graph *g, struct vt_model_facts *facts)
{
    const vt_json config = vt_checkpoint_config(g->checkpoint);
    const struct timm_vit *entry = entry_of(config);
    facts->family = !strncmp(entry->name, "deit", 4) ? "deit" : strstr(entry->name, "dinov2") ? "dinov2" : "vit";
    snprintf(facts->architecture, sizeof facts->architecture, "%s", entry->name);
    const enum vt_activation activation = vt_timm_activation(g, config, entry->activation);
    struct vit_config c = { .names = &timm_names,
                            .root = "",
                            .optional = entry->lacks,
                            .heads = read_count(g, config, "num_heads", entry->heads),
                            .depth = read_count(g, config, "depth", entry->depth),
                            .dim = read_count(g, config, "embed_dim", entry->dim),
                            .classes = vt_timm_classes(g, config),
                            .may_be_gated = true,
                            .activation = activation,
                            .gated_activation = activation,
                            .eps = entry->eps,
                            .pool = (enum vit_pool)vt_timm_pool(g, config, pools, sizeof pools / sizeof *pools,
                                                                (int)entry->pool),
                            .filter = VT_POSITIONS_BICUBIC_ANTIALIAS,
                            .predictors = read_predictors(g, config) };
    vt_timm_image(g, config, 224, c.image);
    vt_timm_check_args(g, config, known_args);
    if (vt_json_count(vt_json_get(config, "model_args"))) /* may have added or removed any of them */
        c.optional =
            VIT_MAY_LACK_POSITIONS | VIT_MAY_LACK_QKV_BIAS | VIT_MAY_LACK_BIAS | VIT_MAY_LACK_SCALE | VIT_MAY_LACK_NORM;
    if (c.pool != entry->pool) /* timm then normalises after pooling */
        c.optional |= VIT_MAY_LACK_NORM;
    if (!g->status)
        vt_vit_build(g, &c, facts);
}

static bool ignores(const char *tensor)
{
    (void)tensor;
    return false;
}

const struct vt_family vt_vit_timm_family = { vt_vit_timm_matches, vt_vit_timm_build, ignores, NULL };
