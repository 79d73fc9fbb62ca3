/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swin Transformers as timm publishes them. What their entry points are called with stands in a table keyed by the
 * architecture's name, swin_timm.inc.
 */
#include "swin.h"

#include "layers.h"
#include "timm_config.h"

#include <stdio.h>

#define TIMM_NAMES                                                                                                     \
    .patch = "patch_embed.proj", .patch_norm = "patch_embed.norm", .norm = "norm", .stages = "layers",                 \
    .reduction = "downsample.reduction", .reduction_norm = "downsample.norm", .blocks = "blocks", .norm1 = "norm1",    \
    .norm2 = "norm2", .proj = "attn.proj", .fc1 = "mlp.fc1", .fc2 = "mlp.fc2", .head = "head.fc",                      \
    .qkv = { "attn.qkv.weight" }

static const struct swin_names swin_names = {
    TIMM_NAMES,
    .qkv_bias = { "attn.qkv.bias" },
    .bias_table = "attn.relative_position_bias_table",
};

static const struct swin_names swinv2_names = {
    TIMM_NAMES,
    .qkv_bias = { "attn.q_bias", NULL, "attn.v_bias" },
    .bias_network = { "attn.cpb_mlp.0", "attn.cpb_mlp.2" },
    .logit_scale = "attn.logit_scale",
};

#define TIMM_STAGES 4 /* of every entry point */

struct timm_swin {
    const char *name;
    unsigned version;
    uint32_t image, dim, depths[TIMM_STAGES], heads[TIMM_STAGES], windows[TIMM_STAGES], pretrained[TIMM_STAGES];
};

#define FOUR(a, b, c, d)                                                                                               \
    {                                                                                                                  \
        a, b, c, d                                                                                                     \
    }
#define VT_TIMM_SWIN(name, version, image, dim, depths, heads, windows, pretrained)                                    \
    { name, version, image, dim, FOUR depths, FOUR heads, FOUR windows, FOUR pretrained },
static const struct timm_swin table[] = {
#include "swin_timm.inc"
};

static const struct timm_swin *entry_of(vt_json config)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (vt_timm_is(config, table[i].name))
            return &table[i];
    return NULL;
}

static bool matches(vt_json config)
{
    return entry_of(config) != NULL;
}

/* ---- Arguments ---- */

static const char *const known_args[] = { "img_size",
                                          "patch_size",
                                          "in_chans", /* shapes tell */
                                          "num_classes",
                                          "global_pool",
                                          "embed_dim",
                                          "depths",
                                          "num_heads",
                                          "head_dim",
                                          "window_size",
                                          "always_partition",
                                          "strict_img_size",
                                          "dynamic_img_size",
                                          "mlp_ratio",
                                          "qkv_bias",
                                          "act_layer",
                                          "pretrained_window_sizes",
                                          NULL };

/* An argument that is one value or a list with one for each stage. */
static struct vt_member of_stage(struct vt_member m, uint32_t stage, uint32_t stages)
{
    return vt_json_type(m.value) == VT_JSON_ARRAY ? vt_member_at(m, stage, stages) : m;
}

/* window_size is an integer or [height, width], for all stages, or a list of either, for each stage. */
static void read_window_sizes(struct vt_graph *g, vt_json config, struct swin_config *c)
{
    const struct vt_member m = vt_timm_arg(g, config, "window_size");
    const bool pair = vt_json_count(m.value) == 2 && vt_json_type(vt_json_at(m.value, 0)) != VT_JSON_ARRAY;
    for (uint32_t i = 0; i < c->stage_count; i++) {
        struct vt_window_pattern *p = &c->stages[i].windows;
        vt_member_size(pair ? m : of_stage(m, i, c->stage_count), p->size[0], VT_MAX_WINDOW_SIDE, p->size);
    }
}

/* Where windows lie. Tables are for the windows that images of the trained size allow. */
static void set_windows(struct vt_graph *g, vt_json config, struct swin_config *c)
{
    const bool always = vt_member_bool(vt_timm_arg(g, config, "always_partition"), false),
               strict = vt_member_bool(vt_timm_arg(g, config, "strict_img_size"), true),
               dynamic = vt_member_bool(vt_timm_arg(g, config, "dynamic_img_size"), false);
    const bool keep = dynamic || !strict; /* windows are those of the trained size, for images of any size */
    for (uint32_t i = 0; i < c->stage_count; i++) {
        struct vt_window_pattern *p = &c->stages[i].windows;
        p->fit = always || keep ? VT_WINDOW_FIXED : VT_WINDOW_EACH_SIDE;
        p->shift_first = true;
        p->mask = -100;
        for (int side = 0; side < 2; side++) {
            const uint32_t grid = c->image[side] / c->patch[side], map = (grid + (1u << i) - 1) >> i; /* rounded up */
            const bool whole = !always && map <= p->size[side];
            const uint32_t trained = whole ? map : p->size[side];
            p->shift[side] = whole && keep ? 0 : p->size[side] / 2;
            if (keep)
                p->size[side] = trained;
            if (!c->v2)
                c->stages[i].trained[side] = trained;
        }
    }
}

/* Heads of other sizes than channels / heads would make q, k and v narrower or wider than the block. */
static void check_head_dim(struct vt_graph *g, vt_json config, const struct swin_config *c)
{
    const struct vt_member m = vt_timm_arg(g, config, "head_dim");
    for (uint32_t i = 0; i < c->stage_count && !g->status; i++) {
        const struct vt_member one = of_stage(m, i, c->stage_count);
        const uint64_t channels = ((uint64_t)c->dim << i) / c->stages[i].heads;
        if (vt_member_count(one, (uint32_t)channels, 1, VT_SWIN_MAX_DIM) != channels)
            vt_member_fail(&one, VITRT_EUNSUPPORTED, "the stage's channels divided by its heads, %u",
                           (unsigned)channels);
    }
}

static void read_args(struct vt_graph *g, vt_json config, const struct timm_swin *entry, struct swin_config *c)
{
    for (uint32_t i = 0; i < VT_MAX_STAGES; i++) {
        const uint32_t at = i < TIMM_STAGES ? i : TIMM_STAGES - 1;
        const uint32_t window = entry->windows[at], pretrained = c->v2 ? entry->pretrained[at] : 0;
        c->stages[i] = (struct swin_stage){ .depth = entry->depths[at],
                                            .heads = entry->heads[at],
                                            .windows = { .size = { window, window } },
                                            .trained = { pretrained, pretrained } };
    }
    vt_timm_check_args(g, config, known_args);
    vt_timm_image(g, config, entry->image, c->image);
    vt_member_size(vt_timm_arg(g, config, "patch_size"), 4, VT_MAX_IMAGE, c->patch);
    vt_swin_read_stages(c, vt_timm_arg(g, config, "depths"), vt_timm_arg(g, config, "num_heads"));
    check_head_dim(g, config, c);
    for (uint32_t i = 0; i < c->stage_count; i++)
        c->stages[i].mlp_ratio =
            vt_member_number(of_stage(vt_timm_arg(g, config, "mlp_ratio"), i, c->stage_count), 4, 0, VT_SWIN_MAX_MLP);
    read_window_sizes(g, config, c);
    set_windows(g, config, c);
    if (c->v2)
        vt_swin_read_pretrained(c, vt_timm_arg(g, config, "pretrained_window_sizes"));
}

/* ---- Building ---- */

static void build(struct vt_graph *g, struct vt_model_facts *facts)
{
    static const struct vt_choice pools[] = { { "avg", true }, { "", false } };
    const vt_json config = vt_checkpoint_config(g->checkpoint);
    const struct timm_swin *entry = entry_of(config);
    const bool v2 = entry->version == 2;
    struct swin_names names = v2 ? swinv2_names : swin_names;
    /* Files older than timm's reader of features, and the authors' own: patch merging ends a stage. */
    const bool old = vt_checkpoint_find(g->checkpoint, "layers.0.downsample.reduction.weight") != NULL;
    if (old)
        names.head = "head";
    facts->family = v2 ? "swinv2" : "swin";
    snprintf(facts->architecture, sizeof facts->architecture, "%s", entry->name);
    struct swin_config c = { .names = &names,
                             .root = "",
                             .v2 = v2,
                             .qkv_bias = vt_member_bool(vt_timm_arg(g, config, "qkv_bias"), true),
                             .merge_at_end = old,
                             .pooled = vt_timm_pool(g, config, pools, sizeof pools / sizeof *pools, true),
                             .dim =
                                 vt_member_count(vt_timm_arg(g, config, "embed_dim"), entry->dim, 1, VT_SWIN_MAX_DIM),
                             .classes = vt_timm_classes(g, config),
                             .activation = vt_timm_activation(g, config, VT_ACT_GELU),
                             .eps = 1e-5F,
                             .stem_eps = 1e-5F,
                             .stage_count = TIMM_STAGES };
    read_args(g, config, entry, &c);
    if (!g->status)
        vt_swin_build(g, &c, facts);
}

const struct vt_family vt_swin_timm_family = { matches, build, vt_swin_is_buffer, NULL };
