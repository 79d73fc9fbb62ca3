/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain vision transformers as timm publishes them: config.json with "architecture", "pretrained_cfg" and sometimes
 * "model_args". What neither these nor the shapes tell (heads, activation, eps, pooling) stands in a table keyed by the
 * architecture's name, vit_timm.inc.
 */
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

/* The entry of an architecture's name, which may carry a tag: "vit_base_patch16_224.augreg_in21k". */
static const struct timm_vit *entry_of(vt_json config)
{
    size_t n = 0;
    const char *name = vt_json_text(vt_json_get(config, "architecture"), &n);
    if (!name)
        return NULL;
    const char *tag = memchr(name, '.', n);
    if (tag)
        n = (size_t)(tag - name);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].name) == n && !memcmp(table[i].name, name, n))
            return &table[i];
    return NULL;
}

static bool matches(vt_json config)
{
    return entry_of(config) != NULL;
}

/* ---- model_args: what the architecture was created with, where that differs from its defaults ---- */

static void read_pool(struct vt_graph *g, vt_json v, enum vit_pool *pool)
{
    size_t n = 0;
    const char *text = vt_json_text(v, &n);
    if (vt_json_type(v) == VT_JSON_NONE || vt_json_type(v) == VT_JSON_NULL)
        return;
    if (vt_json_is(v, "token"))
        *pool = VT_POOL_TOKEN;
    else if (vt_json_is(v, "avg"))
        *pool = VT_POOL_AVG;
    else if (vt_json_is(v, ""))
        *pool = VT_POOL_NONE;
    else
        vt_graph_fail(g, VITRT_EUNSUPPORTED,
                      "config.json: \"global_pool\" is %.*s, expected token, avg or an empty string",
                      (int)(n < 40 ? n : 40), text ? text : "no string");
}

static void read_activation(struct vt_graph *g, vt_json v, struct vit_config *c)
{
    static const struct {
        const char *name;
        enum vt_activation activation;
    } known[] = {
        { "gelu", VT_ACT_GELU }, { "gelu_tanh", VT_ACT_GELU_TANH }, { "quick_gelu", VT_ACT_QUICK_GELU },
        { "silu", VT_ACT_SILU }, { "swish", VT_ACT_SILU },          { "relu", VT_ACT_RELU },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (vt_json_is(v, known[i].name)) {
            c->activation = c->gated_activation = known[i].activation;
            return;
        }
    vt_graph_fail(g, VITRT_EUNSUPPORTED,
                  "config.json: \"act_layer\" of \"model_args\" is not one of gelu, gelu_tanh, quick_gelu, silu, relu");
}

/* One number or [height, width]. */
static void read_size(struct vt_graph *g, const char *key, vt_json v, uint32_t size[2])
{
    const bool pair = vt_json_type(v) == VT_JSON_ARRAY;
    for (size_t i = 0; i < 2; i++) {
        uint64_t n = 0;
        if ((pair && vt_json_count(v) != 2) || !vt_json_to_u64(pair ? vt_json_at(v, i) : v, &n) || n < 1 || n > 65536)
            vt_graph_fail(g, VITRT_EFORMAT, "config.json: \"%s\" is neither an integer from 1 to 65536 nor two of them",
                          key);
        size[i] = (uint32_t)n;
    }
}

/* Arguments that shapes show, or that only matter for training. */
static bool needs_no_reading(const char *key, size_t n)
{
    static const char *const known[] = { "patch_size",     "in_chans",         "mlp_ratio",       "qkv_bias",
                                         "proj_bias",      "qk_norm",          "init_values",     "class_token",
                                         "reg_tokens",     "no_embed_class",   "pre_norm",        "final_norm",
                                         "fc_norm",        "dynamic_img_size", "strict_img_size", "drop_rate",
                                         "pos_drop_rate",  "patch_drop_rate",  "proj_drop_rate",  "attn_drop_rate",
                                         "drop_path_rate", "weight_init",      "fix_init",        "mlp_layer",
                                         "norm_layer",     "pos_embed",        "use_fc_norm" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == n && !memcmp(known[i], key, n))
            return true;
    return false;
}

/* Where an argument that is a plain number goes; NULL for others. */
static uint32_t *counted(const char *key, size_t n, struct vit_config *c)
{
    const struct {
        const char *name;
        uint32_t *to;
    } known[] = {
        { "num_heads", &c->heads }, { "depth", &c->depth }, { "embed_dim", &c->dim }, { "num_classes", &c->classes }
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == n && !memcmp(known[i].name, key, n))
            return known[i].to;
    return NULL;
}

static bool key_is(const vt_json_iterator *it, const char *key)
{
    return it->key_size == strlen(key) && !memcmp(it->key, key, it->key_size);
}

static void read_model_args(struct vt_graph *g, vt_json args, struct vit_config *c)
{
    for (vt_json_iterator it = vt_json_first(args); vt_json_type(it.value) && it.key; vt_json_next(&it)) {
        uint64_t n = 0;
        uint32_t *count = counted(it.key, it.key_size, c);
        if (count) {
            if (!vt_json_to_u64(it.value, &n) || (n < 1 && count != &c->classes) || n > 1u << 24)
                vt_graph_fail(g, VITRT_EFORMAT, "config.json: \"%.*s\" of \"model_args\" is no integer from 1 to 2^24",
                              (int)it.key_size, it.key);
            *count = (uint32_t)n;
        } else if (key_is(&it, "img_size")) {
            read_size(g, "img_size", it.value, c->image);
        } else if (key_is(&it, "global_pool")) {
            read_pool(g, it.value, &c->pool);
        } else if (key_is(&it, "act_layer")) {
            read_activation(g, it.value, c);
        } else if (!needs_no_reading(it.key, it.key_size)) {
            vt_graph_fail(g, VITRT_EUNSUPPORTED,
                          "config.json: \"%.*s\" of \"model_args\" is nothing that this version knows",
                          (int)(it.key_size < 60 ? it.key_size : 60), it.key);
        }
    }
}

/* ---- Building ---- */

/* pretrained_cfg.input_size: [channels, height, width]. */
static void read_input_size(vt_json config, uint32_t image[2])
{
    const vt_json v = vt_json_get(vt_json_get(config, "pretrained_cfg"), "input_size");
    for (size_t i = 0; i < 2; i++) {
        uint64_t n = 0;
        image[i] = vt_json_to_u64(vt_json_at(v, i + 1), &n) && n >= 1 && n <= 65536 ? (uint32_t)n : 224;
    }
}

static void build(struct vt_graph *g, struct vt_model_facts *facts)
{
    const vt_json config = vt_checkpoint_config(g->checkpoint);
    const struct timm_vit *entry = entry_of(config);
    facts->family = !strncmp(entry->name, "deit", 4) ? "deit" : strstr(entry->name, "dinov2") ? "dinov2" : "vit";
    snprintf(facts->architecture, sizeof facts->architecture, "%s", entry->name);
    struct vit_config c = { .names = &timm_names,
                            .root = "",
                            .optional = entry->lacks,
                            .heads = entry->heads,
                            .depth = entry->depth,
                            .dim = entry->dim,
                            .may_be_gated = true,
                            .activation = entry->activation,
                            .gated_activation = entry->activation,
                            .eps = entry->eps,
                            .pool = entry->pool,
                            .filter = VT_POSITIONS_BICUBIC_ANTIALIAS };
    read_input_size(config, c.image);
    read_pool(g, vt_json_get(config, "global_pool"), &c.pool);
    read_model_args(g, vt_json_get(config, "model_args"), &c);
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

const struct vt_family vt_vit_timm_family = { matches, build, ignores };
