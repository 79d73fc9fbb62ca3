/* SPDX-License-Identifier: Apache-2.0 */
/* Swin Transformers as Hugging Face transformers publishes them: config.json's model_type swin, swinv2. */
#include "swin.h"

#include "hf_config.h"

#define HF_NAMES                                                                                                       \
    .patch = "embeddings.patch_embeddings.projection", .patch_norm = "embeddings.norm", .norm = "layernorm",           \
    .stages = "encoder.layers", .reduction = "downsample.reduction", .reduction_norm = "downsample.norm",              \
    .blocks = "blocks", .norm1 = "layernorm_before", .norm2 = "layernorm_after", .proj = "attention.output.dense",     \
    .fc1 = "intermediate.dense", .fc2 = "output.dense", .head = "classifier",                                          \
    .qkv = { "attention.self.query.weight", "attention.self.key.weight", "attention.self.value.weight" }

static const struct swin_names swin_names = {
    HF_NAMES,
    .qkv_bias = { "attention.self.query.bias", "attention.self.key.bias", "attention.self.value.bias" },
    .bias_table = "attention.self.relative_position_bias_table",
};

static const struct swin_names swinv2_names = {
    HF_NAMES,
    .qkv_bias = { "attention.self.query.bias", NULL, "attention.self.value.bias" },
    .bias_network = { "attention.self.continuous_position_bias_mlp.0",
                      "attention.self.continuous_position_bias_mlp.2" },
    .logit_scale = "attention.self.logit_scale",
};

static bool matches(vt_json config)
{
    return vt_hf_is(config, "swin") || vt_hf_is(config, "swinv2");
}

/* Swin: windows that are not smaller than the map become squares of its shorter side; tables are for the configured
 * windows. */
static void set_windows(struct swin_config *c, uint32_t window)
{
    for (uint32_t i = 0; i < c->stage_count; i++) {
        c->stages[i].windows = (struct vt_window_pattern){
            .size = { window, window }, .shift = { window / 2, window / 2 }, .fit = VT_WINDOW_SHORTER_SIDE, .mask = -100
        };
        c->stages[i].trained[0] = c->stages[i].trained[1] = window;
    }
}

/* Swin V2: the image's height in the configuration fixes windows and shifts for maps of any size. The mask of -100 is
 * added twice. */
static void set_fixed_windows(struct vt_graph *g, struct swin_config *c, uint32_t window)
{
    for (uint32_t i = 0; i < c->stage_count; i++) {
        const uint32_t side = c->image[0] / c->patch[0] >> i;
        if (!side)
            vt_graph_fail(g, VITRT_EFORMAT, "the config's images of %ux%u leave no window for stage %u",
                          (unsigned)c->image[0], (unsigned)c->image[1], (unsigned)i);
        const uint32_t size = side < window ? side : window, shift = side <= window ? 0 : window / 2;
        c->stages[i].windows = (struct vt_window_pattern){
            .size = { size, size }, .shift = { shift, shift }, .fit = VT_WINDOW_FIXED, .mask = -200
        };
    }
}

static void read_config(struct vt_graph *g, vt_json config, struct swin_names *names, struct swin_config *c)
{
    const uint32_t window = vt_member_count(vt_member_of(g, config, "window_size"), 7, 1, VT_MAX_WINDOW_SIDE);
    const struct vt_member absolute = vt_member_of(g, config, "use_absolute_embeddings");
    const double mlp_ratio = vt_member_number(vt_member_of(g, config, "mlp_ratio"), 4, 0, VT_SWIN_MAX_MLP);
    vt_member_size(vt_member_of(g, config, "image_size"), 224, VT_MAX_IMAGE, c->image);
    vt_member_size(vt_member_of(g, config, "patch_size"), 4, VT_MAX_IMAGE, c->patch);
    vt_swin_read_stages(c, vt_member_of(g, config, "depths"), vt_member_of(g, config, "num_heads"));
    for (uint32_t i = 0; i < c->stage_count; i++)
        c->stages[i].mlp_ratio = mlp_ratio;
    if (c->v2) {
        set_fixed_windows(g, c, window);
        vt_swin_read_pretrained(c, vt_member_of(g, config, "pretrained_window_sizes"));
    } else {
        set_windows(c, window);
    }
    if (!vt_member_bool(absolute, false))
        return;
    if (c->v2) /* the class has a position too many for them, and fails */
        vt_member_fail(&absolute, VITRT_EUNSUPPORTED, "false, as transformers cannot run such a Swin V2 either");
    names->positions = "embeddings.position_embeddings";
}

static void build(struct vt_graph *g, struct vt_model_facts *facts)
{
    const vt_json config = vt_checkpoint_config(g->checkpoint);
    const bool v2 = vt_hf_is(config, "swinv2");
    struct swin_names names = v2 ? swinv2_names : swin_names;
    facts->family = v2 ? "swinv2" : "swin";
    vt_hf_architecture(config, facts->family, facts);
    const struct vt_name root = vt_hf_root(g, facts->family, vt_name("%s.weight", names.patch).text);
    struct swin_config c = { .names = &names,
                             .root = root.text,
                             .v2 = v2,
                             .qkv_bias = vt_member_bool(vt_member_of(g, config, "qkv_bias"), true),
                             .merge_at_end = true,
                             .cover = true,
                             .pooled = true,
                             .dim = vt_member_count(vt_member_of(g, config, "embed_dim"), 96, 1, VT_SWIN_MAX_DIM),
                             .classes = vt_hf_classes(g, config),
                             .activation = vt_hf_activation(g, config),
                             .eps = vt_hf_eps(g, config, 1e-5),
                             .stem_eps = 1e-5F, /* nn.LayerNorm's own, whatever the config says */
                             .stage_count = 4,
                             .stages = { { .depth = 2, .heads = 3 },
                                         { .depth = 2, .heads = 6 },
                                         { .depth = 6, .heads = 12 },
                                         { .depth = 2, .heads = 24 } } };
    read_config(g, config, &names, &c);
    if (vt_hf_classifies(facts))
        vt_require(g, vt_name("%s", names.head), ".weight");
    if (g->status)
        return;
    vt_swin_build(g, &c, facts);
    vt_graph_output(g, "pooler", vt_graph_find_output(g, "embedding"));
}

/* The mask token serves training. */
static bool ignores(const char *tensor)
{
    return vt_swin_is_buffer(tensor) || vt_hf_is_tensor(tensor, "swin", "embeddings.mask_token") ||
           vt_hf_is_tensor(tensor, "swinv2", "embeddings.mask_token");
}

const struct vt_family vt_swin_hf_family = { matches, build, ignores, NULL };
