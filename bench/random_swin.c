/* SPDX-License-Identifier: Apache-2.0 */
/* timm's Swin Transformers, versions 1 and 2: models/swin_timm.inc tells all shapes. */
#include "random_tensors.h"

#include <stdio.h>
#include <string.h>

#define STAGES 4   /* of every architecture */
#define PATCH  4   /* side, of every architecture */
#define HIDDEN 512 /* of the network that yields relative biases */

struct architecture {
    const char *name;
    unsigned version;
    uint32_t image, dim, depths[STAGES], heads[STAGES], windows[STAGES];
};

#define FOUR(a, b, c, d)                                                                                               \
    {                                                                                                                  \
        a, b, c, d                                                                                                     \
    }
#define VT_TIMM_SWIN(name, version, image, dim, depths, heads, windows, pretrained)                                    \
    { name, version, image, dim, FOUR depths, FOUR heads, FOUR windows },
static const struct architecture architectures[] = {
#include "swin_timm.inc"
};

/* [(2 * window - 1)^2, heads]; a window is no larger than the map of its stage. */
static void add_bias_table(struct random_tensors *t, const struct architecture *a, uint32_t stage)
{
    const uint32_t map = a->image / PATCH >> stage, window = a->windows[stage] < map ? a->windows[stage] : map;
    const uint32_t offsets = 2 * window - 1;
    random_add(t, "attn.relative_position_bias_table", RANDOM_NOISE, 2,
               (const uint32_t[]){ offsets * offsets, a->heads[stage] });
}

static void add_cosine_attention(struct random_tensors *t, uint32_t dim, uint32_t heads)
{
    random_add(t, "attn.logit_scale", RANDOM_LOG_TEN, 3, (const uint32_t[]){ heads, 1, 1 });
    random_vector(t, "attn.q_bias", RANDOM_NOISE, dim);
    random_vector(t, "attn.v_bias", RANDOM_NOISE, dim);
    random_linear(t, "attn.cpb_mlp.0", HIDDEN, 2, true);
    random_linear(t, "attn.cpb_mlp.2", heads, HIDDEN, false);
}

static void add_block(struct random_tensors *t, const struct architecture *a, uint32_t stage, uint32_t number)
{
    const uint32_t dim = a->dim << stage;
    random_within(t, "layers.%u.blocks.%u.", (unsigned)stage, (unsigned)number);
    random_norm(t, "norm1", dim);
    if (a->version == 2)
        add_cosine_attention(t, dim, a->heads[stage]);
    else
        add_bias_table(t, a, stage);
    random_linear(t, "attn.qkv", 3 * dim, dim, a->version == 1);
    random_linear(t, "attn.proj", dim, dim, true);
    random_norm(t, "norm2", dim);
    random_linear(t, "mlp.fc1", 4 * dim, dim, true);
    random_linear(t, "mlp.fc2", dim, 4 * dim, true);
}

/* The step from the stage before: its norm comes first in version 1 and last in version 2. */
static void add_merging(struct random_tensors *t, const struct architecture *a, uint32_t stage)
{
    const uint32_t dim = a->dim << stage;
    random_within(t, "layers.%u.downsample.", (unsigned)stage);
    random_linear(t, "reduction", dim, 2 * dim, false);
    random_norm(t, "norm", a->version == 2 ? dim : 2 * dim);
}

static void add_model(struct random_tensors *t, const struct architecture *a)
{
    const uint32_t last = a->dim << (STAGES - 1);
    random_conv(t, "patch_embed.proj", a->dim, 3, PATCH, true);
    random_norm(t, "patch_embed.norm", a->dim);
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        if (stage)
            add_merging(t, a, stage);
        for (uint32_t i = 0; i < a->depths[stage]; i++)
            add_block(t, a, stage, i);
    }
    random_at_root(t);
    random_norm(t, "norm", last);
    random_linear(t, "head.fc", RANDOM_CLASSES, last, true);
}

bool random_swin(const char *name, struct random_tensors *t, struct vt_bench_texts *texts)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        const struct architecture *a = &architectures[i];
        if (strcmp(a->name, name) != 0)
            continue;
        const unsigned side = (unsigned)a->image;
        snprintf(texts->config, sizeof texts->config,
                 "{\"architecture\": \"%s\", \"pretrained_cfg\": {\"input_size\": [3, %u, %u]}}", name, side, side);
        add_model(t, a);
        return true;
    }
    return false;
}
