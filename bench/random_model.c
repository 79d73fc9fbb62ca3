/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timm's plain vision transformers: the table of models/vit_timm.inc gives depth, width and the parts that are missing;
 * everything else stands in the name, as in "vit_base_patch16_reg4_gap_256" or "deit_tiny_distilled_patch16_224".
 */
#include "random_model.h"

#include "measure.h"
#include "vit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES     1000
#define MAX_TENSORS 1024

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
    *reason = "is no plain ViT or DeiT of timm that the library knows";
    if (!strncmp(name, "swin", 4) || !strncmp(name, "cvt", 3))
        *reason = "is of a family that this version does not read; it knows plain ViT, DeiT and DINOv2";
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

enum values { NOISE, ONES /* of norms, which keep activations at their size */, SMALL /* LayerScale */ };

struct tensor {
    char name[40];
    uint32_t rank, shape[4];
    enum values values;
};

struct tensors {
    struct tensor *list; /* [MAX_TENSORS] */
    size_t count;
};

static size_t element_count(const struct tensor *t)
{
    size_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

static struct tensor *add(struct tensors *t, const char *prefix, const char *name, uint32_t rank, const uint32_t *shape,
                          enum values values)
{
    if (t->count == MAX_TENSORS)
        vt_bench_fail("a model of more than %d tensors", MAX_TENSORS);
    struct tensor *one = &t->list[t->count++];
    *one = (struct tensor){ .rank = rank, .values = values };
    snprintf(one->name, sizeof one->name, "%s%s", prefix, name);
    memcpy(one->shape, shape, rank * sizeof *shape);
    return one;
}

static void add_vector(struct tensors *t, const char *prefix, const char *name, uint32_t n, enum values values)
{
    add(t, prefix, name, 1, &n, values);
}

static void add_rows(struct tensors *t, const char *name, uint32_t rows, uint32_t dim)
{
    if (rows)
        add(t, "", name, 3, (const uint32_t[]){ 1, rows, dim }, NOISE);
}

static void add_norm(struct tensors *t, const char *prefix, const char *name, uint32_t n)
{
    char leaf[24];
    snprintf(leaf, sizeof leaf, "%s.weight", name);
    add_vector(t, prefix, leaf, n, ONES);
    snprintf(leaf, sizeof leaf, "%s.bias", name);
    add_vector(t, prefix, leaf, n, NOISE);
}

static void add_linear(struct tensors *t, const char *prefix, const char *name, uint32_t out, uint32_t in, bool bias)
{
    char leaf[24];
    snprintf(leaf, sizeof leaf, "%s.weight", name);
    add(t, prefix, leaf, 2, (const uint32_t[]){ out, in }, NOISE);
    snprintf(leaf, sizeof leaf, "%s.bias", name);
    if (bias)
        add_vector(t, prefix, leaf, out, NOISE);
}

static void add_block(struct tensors *t, const struct architecture *a, const struct shapes *s, uint32_t number)
{
    const bool scales = !(a->lacks & VIT_MAY_LACK_SCALE);
    char prefix[20];
    snprintf(prefix, sizeof prefix, "blocks.%u.", (unsigned)number);
    add_norm(t, prefix, "norm1", a->dim);
    add_linear(t, prefix, "attn.qkv", 3 * a->dim, a->dim, !(a->lacks & VIT_MAY_LACK_QKV_BIAS));
    add_linear(t, prefix, "attn.proj", a->dim, a->dim, true);
    add_norm(t, prefix, "norm2", a->dim);
    add_linear(t, prefix, "mlp.fc1", s->hidden, a->dim, true);
    add_linear(t, prefix, "mlp.fc2", a->dim, s->hidden, true);
    if (scales) {
        add_vector(t, prefix, "ls1.gamma", a->dim, SMALL);
        add_vector(t, prefix, "ls2.gamma", a->dim, SMALL);
    }
}

static void add_model(struct tensors *t, const struct architecture *a, const struct shapes *s)
{
    add(t, "", "patch_embed.proj.weight", 4, (const uint32_t[]){ a->dim, 3, s->patch, s->patch }, NOISE);
    if (!(a->lacks & VIT_MAY_LACK_BIAS)) /* of all biases that it stands for, timm's names lack this one */
        add_vector(t, "", "patch_embed.proj.bias", a->dim, NOISE);
    add_rows(t, "cls_token", s->class_token, a->dim);
    add_rows(t, "dist_token", s->distilled, a->dim);
    add_rows(t, "reg_token", s->registers, a->dim);
    add_rows(t, "pos_embed", s->positions, a->dim);
    if (s->pre_norm)
        add_norm(t, "", "norm_pre", a->dim);
    for (uint32_t i = 0; i < a->depth; i++)
        add_block(t, a, s, i);
    if (!(a->lacks & VIT_MAY_LACK_NORM))
        add_norm(t, "", "norm", a->dim);
    if (s->pool_norm)
        add_norm(t, "", "fc_norm", a->dim);
    add_linear(t, "", "head", CLASSES, a->dim, true);
    if (s->distilled)
        add_linear(t, "", "head_dist", CLASSES, a->dim, true);
}

/* ---- The files ---- */

static void fill(const struct tensor *t, uint32_t *state, float *x)
{
    const float range = 0.0346f; /* of a uniform distribution with the deviation 0.02 that trained ones start from */
    const size_t n = element_count(t);
    if (t->values == NOISE)
        vt_bench_noise(n, range, state, x);
    else
        for (size_t i = 0; i < n; i++)
            x[i] = t->values == ONES ? 1.0f : 0.1f;
}

/* The JSON header of safetensors, padded with spaces to whole cache lines; returns its length. header NULL: only that.
 */
static size_t write_header(const struct tensors *t, char *header, size_t size)
{
    size_t used = 0, offset = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct tensor *one = &t->list[i];
        char shape[48] = "";
        for (uint32_t d = 0, at = 0; d < one->rank; d++)
            at += (uint32_t)snprintf(shape + at, sizeof shape - at, "%s%u", d ? "," : "", (unsigned)one->shape[d]);
        const size_t end = offset + element_count(one) * sizeof(float);
        used += (size_t)snprintf(header ? header + used : NULL, header ? size - used : 0,
                                 "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                                 i ? ',' : '{', one->name, shape, offset, end);
        offset = end;
    }
    const size_t padded = (used + 1 + 8 + 63) / 64 * 64 - 8; /* behind the 8 bytes of its length */
    if (header) {
        header[used] = '}';
        memset(header + used + 1, ' ', padded - used - 1);
    }
    return padded;
}

static void write_weights(const struct tensors *t, struct vt_bench_checkpoint *c)
{
    const size_t header = write_header(t, NULL, 0);
    size_t floats = 0;
    for (size_t i = 0; i < t->count; i++)
        floats += element_count(&t->list[i]);
    const size_t bytes = 8 + header + floats * sizeof(float);
    unsigned char *file = c->weights = vt_bench_alloc(bytes);
    for (size_t i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)header >> 8 * i);
    write_header(t, (char *)file + 8, header);
    float *x = (float *)(void *)(file + 8 + header);
    uint32_t state = 1;
    for (size_t i = 0; i < t->count; x += element_count(&t->list[i++]))
        fill(&t->list[i], &state, x);
    c->files[1] = (vitrt_buffer){ .name = "model.safetensors", .data = file, .size = bytes };
}

bool vt_bench_random_checkpoint(const char *architecture, struct vt_bench_checkpoint *out, const char **reason)
{
    struct shapes shapes;
    const struct architecture *a = find(architecture, &shapes, reason);
    *out = (struct vt_bench_checkpoint){ 0 };
    if (!a)
        return false;
    const unsigned side = (unsigned)shapes.image;
    snprintf(out->config, sizeof out->config,
             "{\"architecture\": \"%s\", \"pretrained_cfg\": {\"input_size\": [3, %u, %u]}}", a->name, side, side);
    out->files[0] = (vitrt_buffer){ .name = "config.json", .data = out->config, .size = strlen(out->config) };
    struct tensors tensors = { .list = vt_bench_alloc(MAX_TENSORS * sizeof *tensors.list) };
    add_model(&tensors, a, &shapes);
    write_weights(&tensors, out);
    free(tensors.list);
    return true;
}

void vt_bench_checkpoint_free(struct vt_bench_checkpoint *c)
{
    free(c->weights);
    c->weights = NULL;
}
