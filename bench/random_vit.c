/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timm's plain vision transformers: the table of models/vit_timm.inc gives depth, width and the parts that are missing;
 * everything else stands in the name, as in "vit_base_patch16_reg4_gap_256" or "deit_tiny_distilled_patch16_224".
 */
#include "random_tensors.h"

#include "vit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct architecture {
    const char *name;
    uint32_t depth, dim;
    enum vit_pool pool;
    unsigned lacks; /* vit_optional */
};

#define VT_TIMM_VIT(name, depth, dim, heads, activation, eps, pool, lacks) { name, depth, dim, pool, lacks },
static const struct architecture architectures[] = {
#include "vit_timm.inc"
};

/* ---- What a name tells ---- */

struct shapes {
    uint32_t patch, image, registers, hidden;
    bool class_token, distilled, pre_norm, pool_norm;
    uint32_t positions;
};

/* The number behind a word of the name, or 0. */
static uint32_t number_after(const char *name, const char *word)
{
    const char *at = strstr(name, word);
    return at ? (uint32_t)strtoul(at + strlen(word), NULL, 10) : 0;
}

static uint32_t image_side(const char *name)
{
    if (strstr(name, "dinov2"))
        return 518;
    if (strstr(name, "tipsv2"))
        return 448;
    const char *last = strrchr(name, '_');
    char *end = NULL;
    const unsigned long side = last ? strtoul(last + 1, &end, 10) : 0;
    return end && !*end ? (uint32_t)side : 0;
}

/* An MLP four times as wide as the model is the rule; these families do otherwise or have a gate. */
static bool has_usual_mlp(const char *name)
{
    static const char *const others[] = { "_giant_",  "_gigantic_", "_intern300m_", "_little_",
                                          "_so150m_", "_so150m2_",  "_so400m_",     "_wee_" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(name, others[i]))
            return false;
    return true;
}

static bool read_name(const struct architecture *a, struct shapes *s)
{
    const char *name = a->name;
    *s = (struct shapes){ .patch = number_after(name, "_patch"),
                          .image = image_side(name),
                          .registers = number_after(name, "_reg"),
                          .hidden = 4 * a->dim,
                          .class_token = !strstr(name, "_gap_"),
                          .distilled = strstr(name, "_distilled_"),
                          .pre_norm = strstr(name, "_clip_"),
                          .pool_norm = a->pool == VT_POOL_AVG && (a->lacks & VIT_MAY_LACK_NORM) };
    if (!s->patch || s->image < s->patch || !has_usual_mlp(name))
        return false;
    s->positions = s->image / s->patch * (s->image / s->patch);
    if (strncmp(name, "deit3_", 6) && !s->registers) /* with these, tokens other than patches have no position */
        s->positions += (uint32_t)s->class_token + (uint32_t)s->distilled;
    return true;
}

static const struct architecture *find(const char *name, struct shapes *shapes, const char **reason)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        if (strcmp(architectures[i].name, name) != 0)
            continue;
        if (read_name(&architectures[i], shapes))
            return &architectures[i];
        *reason = "does not tell all shapes; give a checkpoint of it with -m";
    }
    return NULL;
}

/* ---- The tensors ---- */

static void add_block(struct random_tensors *t, const struct architecture *a, const struct shapes *s, uint32_t number)
{
    const bool scales = !(a->lacks & VIT_MAY_LACK_SCALE);
    random_within(t, "blocks.%u.", (unsigned)number);
    random_norm(t, "norm1", a->dim);
    random_linear(t, "attn.qkv", 3 * a->dim, a->dim, !(a->lacks & VIT_MAY_LACK_QKV_BIAS));
    random_linear(t, "attn.proj", a->dim, a->dim, true);
    random_norm(t, "norm2", a->dim);
    random_linear(t, "mlp.fc1", s->hidden, a->dim, true);
    random_linear(t, "mlp.fc2", a->dim, s->hidden, true);
    if (scales) {
        random_vector(t, "ls1.gamma", RANDOM_TENTHS, a->dim);
        random_vector(t, "ls2.gamma", RANDOM_TENTHS, a->dim);
    }
}

static void add_model(struct random_tensors *t, const struct architecture *a, const struct shapes *s)
{
    /* of all biases that VIT_MAY_LACK_BIAS stands for, timm's names lack this one */
    random_conv(t, "patch_embed.proj", a->dim, 3, s->patch, !(a->lacks & VIT_MAY_LACK_BIAS));
    random_rows(t, "cls_token", s->class_token, a->dim);
    random_rows(t, "dist_token", s->distilled, a->dim);
    random_rows(t, "reg_token", s->registers, a->dim);
    random_rows(t, "pos_embed", s->positions, a->dim);
    if (s->pre_norm)
        random_norm(t, "norm_pre", a->dim);
    for (uint32_t i = 0; i < a->depth; i++)
        add_block(t, a, s, i);
    random_at_root(t);
    if (!(a->lacks & VIT_MAY_LACK_NORM))
        random_norm(t, "norm", a->dim);
    if (s->pool_norm)
        random_norm(t, "fc_norm", a->dim);
    random_linear(t, "head", RANDOM_CLASSES, a->dim, true);
    if (s->distilled)
        random_linear(t, "head_dist", RANDOM_CLASSES, a->dim, true);
}

bool random_vit(const char *name, struct random_tensors *t, struct vt_bench_texts *texts, const char **reason)
{
    struct shapes shapes;
    const struct architecture *a = find(name, &shapes, reason);
    if (!a)
        return false;
    const unsigned side = (unsigned)shapes.image;
    snprintf(texts->config, sizeof texts->config,
             "{\"architecture\": \"%s\", \"pretrained_cfg\": {\"input_size\": [3, %u, %u]}}", a->name, side, side);
    add_model(t, a, &shapes);
    return true;
}
