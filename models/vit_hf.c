/* SPDX-License-Identifier: Apache-2.0 */
/* Plain vision transformers as Hugging Face transformers publishes them: config.json's model_type vit, deit, dinov2,
 * dinov2_with_registers. */
#include "vit.h"

#include <stdio.h>
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
        if (vt_json_is(vt_json_get(config, "model_type"), variants[i].model_type))
            return &variants[i];
    return NULL;
}

static bool matches(vt_json config)
{
    return variant_of(config) != NULL;
}

/* ---- Configuration ---- */

/* An integer member in [1, max], `missing` if it is not there. */
static uint32_t read_count(struct vt_graph *g, vt_json config, const char *key, uint32_t missing, uint32_t max)
{
    const vt_json v = vt_json_get(config, key);
    uint64_t n = missing;
    size_t size = 0;
    const char *text = vt_json_text(v, &size);
    if (vt_json_type(v) != VT_JSON_NONE && (!vt_json_to_u64(v, &n) || n < 1 || n > max))
        vt_graph_fail(g, VITRT_EFORMAT, "config.json: \"%s\" is %.*s, expected an integer from 1 to %u", key,
                      (int)(size < 40 ? size : 40), text ? text : "", (unsigned)max);
    return (uint32_t)n;
}

/* One number or [height, width]. */
static void read_size(struct vt_graph *g, vt_json config, const char *key, uint32_t missing, uint32_t size[2])
{
    const vt_json v = vt_json_get(config, key);
    if (vt_json_type(v) != VT_JSON_ARRAY) {
        size[0] = size[1] = read_count(g, config, key, missing, 65536);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        uint64_t n = 0;
        if (vt_json_count(v) != 2 || !vt_json_to_u64(vt_json_at(v, i), &n) || n < 1 || n > 65536)
            vt_graph_fail(g, VITRT_EFORMAT, "config.json: \"%s\" is a list of other than two integers from 1 to 65536",
                          key);
        size[i] = (uint32_t)n;
    }
}

static enum vt_activation read_activation(struct vt_graph *g, vt_json config)
{
    static const struct {
        const char *name;
        enum vt_activation activation;
    } known[] = {
        { "gelu", VT_ACT_GELU },
        { "gelu_python", VT_ACT_GELU },
        { "gelu_new", VT_ACT_GELU_TANH },
        { "gelu_pytorch_tanh", VT_ACT_GELU_TANH },
        { "gelu_python_tanh", VT_ACT_GELU_TANH },
        { "gelu_fast", VT_ACT_GELU_TANH },
        { "gelu_accurate", VT_ACT_GELU_TANH },
        { "quick_gelu", VT_ACT_QUICK_GELU },
        { "silu", VT_ACT_SILU },
        { "swish", VT_ACT_SILU },
        { "relu", VT_ACT_RELU },
    };
    const vt_json v = vt_json_get(config, "hidden_act");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (vt_json_is(v, known[i].name))
            return known[i].activation;
    size_t n = 0;
    const char *text = vt_json_text(v, &n);
    if (vt_json_type(v) != VT_JSON_NONE)
        vt_graph_fail(
            g, VITRT_EUNSUPPORTED,
            "config.json: \"hidden_act\" is %.*s, expected one of gelu, gelu_new, quick_gelu, silu, relu and their aliases",
            (int)(n < 40 ? n : 40), text ? text : "no string");
    return VT_ACT_GELU;
}

static float read_eps(struct vt_graph *g, vt_json config, double missing)
{
    const vt_json v = vt_json_get(config, "layer_norm_eps");
    double eps = missing;
    if (vt_json_type(v) != VT_JSON_NONE && (!vt_json_to_double(v, &eps) || !(eps >= 0) || eps > 1))
        vt_graph_fail(g, VITRT_EFORMAT, "config.json: \"layer_norm_eps\" is no number from 0 to 1");
    return (float)eps;
}

/* Classes: as many as have a label. */
static uint32_t read_classes(struct vt_graph *g, vt_json config)
{
    const size_t labels = vt_json_count(vt_json_get(config, "id2label"));
    return labels ? (uint32_t)(labels < UINT32_MAX ? labels : UINT32_MAX)
                  : read_count(g, config, "num_labels", 0, 1u << 24);
}

static unsigned read_optional(vt_json config)
{
    bool qkv_bias = true;
    (void)vt_json_to_bool(vt_json_get(config, "qkv_bias"), &qkv_bias);
    return qkv_bias ? 0 : VIT_MAY_LACK_QKV_BIAS;
}

/* ---- Building ---- */

/* Models with a head keep the backbone under a prefix; bare ones do not. */
static const char *find_root(const struct vt_graph *g, const struct variant *v, char *buf, size_t size)
{
    char name[128];
    snprintf(buf, size, "%s.", v->model_type);
    snprintf(name, sizeof name, "%s%s.weight", buf, v->names->patch);
    return vt_checkpoint_find(g->checkpoint, name) ? buf : "";
}

static void require_tensor(struct vt_graph *g, const char *root, const char *leaf)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", root, leaf);
    if (!vt_checkpoint_find(g->checkpoint, name))
        vt_graph_fail(g, VITRT_EFORMAT, "tensor %s is missing", name);
}

static void build(struct vt_graph *g, struct vt_model_facts *facts)
{
    const vt_json config = vt_checkpoint_config(g->checkpoint);
    const struct variant *v = variant_of(config);
    struct vit_names names = *v->names;
    char root[64];
    size_t n = 0;
    const char *architecture = vt_json_text(vt_json_at(vt_json_get(config, "architectures"), 0), &n);
    snprintf(facts->architecture, sizeof facts->architecture, "%.*s", (int)(n < 100 ? n : 100),
             architecture ? architecture : v->model_type);
    facts->family = v->model_type;
    if (vt_checkpoint_find(g->checkpoint,
                           "distillation_classifier.weight")) { /* DeiTForImageClassificationWithTeacher */
        names.heads[0] = "cls_classifier";
        names.heads[1] = "distillation_classifier";
    }
    bool swiglu = false;
    (void)vt_json_to_bool(vt_json_get(config, "use_swiglu_ffn"), &swiglu);
    if (swiglu) {
        names.fc1 = "mlp.weights_in";
        names.fc2 = "mlp.weights_out";
    }
    struct vit_config c = { .names = &names,
                            .root = find_root(g, v, root, sizeof root),
                            .optional = read_optional(config),
                            .heads = read_count(g, config, "num_attention_heads", 12, 4096),
                            .depth = read_count(g, config, "num_hidden_layers", 12, 4096),
                            .dim = read_count(g, config, "hidden_size", 768, 1u << 20),
                            .hidden = read_count(g, config, "intermediate_size", 0, 1u << 24),
                            .classes = read_classes(g, config),
                            .may_be_gated = swiglu,
                            .activation = read_activation(g, config),
                            .gated_activation = VT_ACT_SILU,
                            .eps = read_eps(g, config, v->default_eps),
                            .pool = v->pool,
                            .filter = v->filter,
                            .image_is_certain = true };
    uint32_t patch[2];
    read_size(g, config, "image_size", 224, c.image);
    read_size(g, config, "patch_size", v->default_patch, patch);
    if (!vt_checkpoint_find(g->checkpoint, "classifier.weight") && c.pool == VT_POOL_TOKEN_AND_AVG)
        c.pool = VT_POOL_TOKEN; /* a bare backbone's pooled output is the class token */
    if (v->more_tokens)
        require_tensor(g, c.root, names.tokens[1]);
    if (strstr(facts->architecture, "ForImageClassification"))
        require_tensor(g, names.heads[0], ".weight");
    if (g->status)
        return;
    vt_vit_build(g, &c, facts);
    if (!g->status && memcmp(patch, facts->size_multiple, sizeof patch))
        vt_graph_fail(g, VITRT_EFORMAT, "config.json: \"patch_size\" is %ux%u, the patch embedding's tensor has %ux%u",
                      (unsigned)patch[0], (unsigned)patch[1], (unsigned)facts->size_multiple[0],
                      (unsigned)facts->size_multiple[1]);
}

/* The mask token serves training. It stands under the root as the class token does. */
static bool ignores(const char *tensor)
{
    static const char *const names[] = { "embeddings.mask_token", "vit.embeddings.mask_token",
                                         "deit.embeddings.mask_token", "dinov2.embeddings.mask_token",
                                         "dinov2_with_registers.embeddings.mask_token" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(tensor, names[i]))
            return true;
    return false;
}

const struct vt_family vt_vit_hf_family = { matches, build, ignores };
