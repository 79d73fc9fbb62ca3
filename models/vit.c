/* SPDX-License-Identifier: Apache-2.0 */
/* The graph of a plain vision transformer; see vit.h. Comments beside the calls give the same line in PyTorch. */
#include "vit.h"

#include "layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_BLOCKS 512
#define MAX_PATCH  256

/* One model being built. */
struct vit {
    struct vt_graph *g;
    const struct vit_config *c;
    const struct vit_names *names;
    uint32_t dim, patch[2], depth, prefix; /* prefix: class, distillation and register tokens */
    uint32_t trained[2];                   /* image that the positions are for */
};

/* ---- Names and optional tensors ---- */

static struct vt_name name_of(const struct vit *v, const char *leaf)
{
    return vt_name("%s%s", v->c->root, leaf);
}

static struct vt_name block_name(const struct vit *v, unsigned block, const char *leaf)
{
    return vt_name("%s%s.%u.%s", v->c->root, v->names->block, block, leaf);
}

/* May this part be left out, and is it? Where a name of the first block is given for one of a block, all blocks answer
 * alike. */
static bool lacks(const struct vit *v, unsigned optional, struct vt_name module, const char *leaf)
{
    return (v->c->optional & optional) && !vt_find(v->g, module, leaf);
}

static vt_weight block_bias(struct vit *v, unsigned optional, unsigned block, const char *leaf, uint32_t n)
{
    if (lacks(v, optional, block_name(v, 0, leaf), ".bias"))
        return VT_NO_WEIGHT;
    return vt_graph_vector(v->g, vt_name("%s.bias", block_name(v, block, leaf).text).text, n);
}

static vt_weight block_matrix(struct vit *v, unsigned block, const char *leaf, uint32_t rows, uint32_t columns)
{
    return vt_graph_matrix(v->g, vt_name("%s.weight", block_name(v, block, leaf).text).text, rows, columns);
}

/* A linear layer of a block that may have no bias. */
static vt_value block_linear(struct vit *v, const char *label, unsigned optional, unsigned block, const char *leaf,
                             vt_value x, uint32_t rows, uint32_t columns)
{
    const bool bias = !lacks(v, optional, block_name(v, 0, leaf), ".bias");
    return vt_linear(v->g, label, block_name(v, block, leaf), vt_view_of(x), rows, columns, bias);
}

static vt_value norm(struct vit *v, const char *label, struct vt_name module, struct vt_view x, uint32_t columns,
                     uint32_t groups)
{
    return vt_norm(v->g, label, module, x, columns, groups, v->c->eps);
}

/* ---- Embedding ---- */

static void read_dimensions(struct vit *v)
{
    const struct vt_name name = vt_name("%s.weight", name_of(v, v->names->patch).text);
    const struct vt_tensor *t = vt_find(v->g, name, "");
    if (!t || t->rank != 4) {
        vt_graph_fail(v->g, VITRT_EFORMAT, "tensor %s is %s, expected [width, 3, patch height, patch width]", name.text,
                      t ? "not of rank 4" : "missing");
        return;
    }
    v->dim = vt_extent(t, 0);
    v->patch[0] = vt_extent(t, 2);
    v->patch[1] = vt_extent(t, 3);
    if (!v->dim || v->dim > 65536 || !v->patch[0] || v->patch[0] > MAX_PATCH || !v->patch[1] || v->patch[1] > MAX_PATCH)
        vt_graph_fail(
            v->g, VITRT_EFORMAT,
            "tensor %s has width %u and patches of %ux%u, expected a width of 1 to 65536 and patches up to %ux%u",
            name.text, (unsigned)v->dim, (unsigned)v->patch[0], (unsigned)v->patch[1], MAX_PATCH, MAX_PATCH);
    else if (v->dim % v->c->heads)
        vt_graph_fail(v->g, VITRT_EFORMAT,
                      "the width %u of tensor %s is no multiple of the %u heads that the config asks for",
                      (unsigned)v->dim, name.text, (unsigned)v->c->heads);
    vt_agree(v->g, "channels", v->c->dim, v->dim);
    while (v->depth < MAX_BLOCKS && vt_find(v->g, block_name(v, v->depth, v->names->norm1), ".weight"))
        v->depth++;
    if (!v->depth)
        vt_require(v->g, block_name(v, 0, v->names->norm1), ".weight");
    vt_agree(v->g, "blocks", v->c->depth, v->depth);
}

/* Class, distillation and register tokens, one below the other. */
static vt_weight prefix_tokens(struct vit *v)
{
    vt_weight found[3];
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        if (!v->names->tokens[i])
            continue;
        const struct vt_name name = name_of(v, v->names->tokens[i]);
        const struct vt_tensor *t = vt_find(v->g, name, "");
        if (!t && i == 0 && v->c->pool != VT_POOL_AVG && v->c->pool != VT_POOL_NONE)
            vt_graph_fail(v->g, VITRT_EFORMAT, "tensor %s is missing, which the model pools", name.text);
        if (!t)
            continue;
        const uint32_t rows = t->rank >= 2 ? vt_extent(t, t->rank - 2) : 1;
        found[count++] = vt_graph_rows(v->g, name.text, rows, v->dim);
        v->prefix += rows;
    }
    return count ? vt_graph_stack(v->g, found, count, 0) : VT_NO_WEIGHT;
}

/* The grid that the stored positions are for, and how many of them belong to prefix tokens. */
static bool position_grid(struct vit *v, const struct vt_name *name, uint32_t count, uint32_t grid[2], uint32_t *prefix)
{
    for (int i = 0; i < 2; i++)
        grid[i] = v->c->image[i] / v->patch[i];
    for (int attempt = 0; attempt < 2; attempt++) {
        const uint64_t patches = (uint64_t)grid[0] * grid[1];
        if (patches && count >= patches && count - patches <= v->prefix) {
            *prefix = (uint32_t)(count - patches);
            return true;
        }
        if (v->c->image_is_certain)
            break;
        uint32_t side = (uint32_t)sqrt((double)count); /* a square, as the frameworks assume */
        grid[0] = grid[1] = side;
    }
    vt_graph_fail(v->g, VITRT_EFORMAT,
                  "tensor %s has %u positions, expected %ux%u for the patches of a %ux%u image and up to %u more",
                  name->text, (unsigned)count, (unsigned)(v->c->image[0] / v->patch[0]),
                  (unsigned)(v->c->image[1] / v->patch[1]), (unsigned)v->c->image[0], (unsigned)v->c->image[1],
                  (unsigned)v->prefix);
    return false;
}

static vt_value embed(struct vit *v, vt_value pixels)
{
    const struct vt_sliding patches = { .kernel = { v->patch[0], v->patch[1] },
                                        .stride = { v->patch[0], v->patch[1] } };
    const struct vt_name patch = name_of(v, v->names->patch);
    /* x = patch_embed(pixels).flatten(2).transpose(1, 2) */
    vt_value x =
        vt_conv(v->g, "patch_embed", patch, pixels, v->dim, 3, !lacks(v, VIT_MAY_LACK_BIAS, patch, ".bias"), &patches);
    const vt_weight tokens = prefix_tokens(v);
    const struct vt_name name = name_of(v, v->names->positions);
    const struct vt_tensor *table = vt_find(v->g, name, "");
    vt_value positions = VT_NO_VALUE;
    uint32_t grid[2], with_position = 0;
    if (!lacks(v, VIT_MAY_LACK_POSITIONS, name, "")) {
        vt_require(v->g, name, "");
        const uint32_t count = table && table->rank >= 2 ? vt_extent(table, table->rank - 2) : 0;
        if (!position_grid(v, &name, count, grid, &with_position))
            return VT_NO_VALUE;
        const vt_weight weight = vt_graph_rows(v->g, name.text, count, v->dim);
        v->trained[0] = grid[0] * v->patch[0];
        v->trained[1] = grid[1] * v->patch[1];
        positions = vt_graph_positions(v->g, "positions", x, weight, v->c->filter, with_position, grid);
    }
    /* x = cat([tokens, x]) + positions */
    return vt_graph_embed(v->g, "embed", x, tokens, positions, with_position);
}

/* ---- Blocks ---- */

/* q, k and v as one product [N, 3D], whether the checkpoint stores them together or apart. */
static vt_value qkv(struct vit *v, const char *label, vt_value x, unsigned block)
{
    const struct vit_names *n = v->names;
    const uint32_t dim = v->dim;
    if (n->qkv)
        return block_linear(v, label, VIT_MAY_LACK_QKV_BIAS, block, n->qkv, x, 3 * dim, dim);
    const char *leaves[3] = { n->query, n->key, n->value };
    vt_weight weights[3], biases[3];
    for (int i = 0; i < 3; i++) {
        weights[i] = block_matrix(v, block, leaves[i], dim, dim);
        biases[i] = block_bias(v, VIT_MAY_LACK_QKV_BIAS, block, leaves[i], dim);
    }
    return vt_graph_linear(v->g, label, vt_view_of(x), vt_graph_stack(v->g, weights, 3, dim),
                           vt_graph_stack(v->g, biases, 3, dim));
}

/* Normalises each head's part of q or k, where the checkpoint has weights for it. */
static struct vt_view head_norm(struct vit *v, const char *label, const char *leaf, struct vt_view x, unsigned block)
{
    if (!leaf || v->g->status || !vt_find(v->g, block_name(v, 0, leaf), ".weight"))
        return x;
    return vt_view_of(norm(v, label, block_name(v, block, leaf), x, v->dim, v->c->heads));
}

static vt_value attention(struct vit *v, vt_value x, unsigned block)
{
    char label[VT_NAME_SIZE];
    snprintf(label, sizeof label, "block.%u.qkv", block);
    const vt_value y = qkv(v, label, x, block);
    snprintf(label, sizeof label, "block.%u.q_norm", block);
    const struct vt_view q = head_norm(v, label, v->names->query_norm, vt_view_columns(y, 0, v->dim), block);
    snprintf(label, sizeof label, "block.%u.k_norm", block);
    const struct vt_view k = head_norm(v, label, v->names->key_norm, vt_view_columns(y, v->dim, v->dim), block);
    snprintf(label, sizeof label, "block.%u.attention", block);
    const float scale = (float)(1 / sqrt((double)v->dim / v->c->heads));
    const vt_value a =
        vt_graph_attention(v->g, label, q, k, vt_view_columns(y, 2 * v->dim, v->dim), VT_NO_VALUE, v->c->heads, scale);
    snprintf(label, sizeof label, "block.%u.proj", block);
    return block_linear(v, label, VIT_MAY_LACK_BIAS, block, v->names->proj, a, v->dim, v->dim);
}

/* The first layer of an MLP: a matrix of its own, or the two of a gated one stacked; *rows says how many it has. */
static vt_value mlp_first(struct vit *v, const char *label, vt_value x, unsigned block, uint32_t *rows)
{
    const struct vit_names *n = v->names;
    if (!n->gate[0] || !vt_find(v->g, block_name(v, 0, n->gate[0]), ".weight")) {
        *rows = vt_extent(vt_find(v->g, block_name(v, block, n->fc1), ".weight"), 0);
        return block_linear(v, label, VIT_MAY_LACK_BIAS, block, n->fc1, x, *rows, v->dim);
    }
    vt_weight weights[2], biases[2];
    const uint32_t half = vt_extent(vt_find(v->g, block_name(v, block, n->gate[0]), ".weight"), 0);
    for (int i = 0; i < 2; i++) {
        weights[i] = block_matrix(v, block, n->gate[i], half, v->dim);
        biases[i] = block_bias(v, VIT_MAY_LACK_BIAS, block, n->gate[i], half);
    }
    *rows = 2 * half;
    return vt_graph_linear(v->g, label, vt_view_of(x), vt_graph_stack(v->g, weights, 2, half),
                           vt_graph_stack(v->g, biases, 2, half));
}

static vt_value mlp(struct vit *v, vt_value x, unsigned block)
{
    char label[VT_NAME_SIZE];
    const uint32_t hidden = vt_extent(vt_find(v->g, block_name(v, block, v->names->fc2), ".weight"), 1);
    uint32_t rows = 0;
    snprintf(label, sizeof label, "block.%u.fc1", block);
    vt_value h = mlp_first(v, label, x, block, &rows);
    if (v->g->status)
        return VT_NO_VALUE;
    snprintf(label, sizeof label, "block.%u.act", block);
    vt_require(v->g, block_name(v, block, v->names->fc2), ".weight");
    vt_agree(v->g, "hidden channels", v->c->hidden, hidden);
    if (v->c->may_be_gated && hidden &&
        rows == 2 * hidden) { /* SwiGLU: h = silu(h[:, :F]) * h[:, F:] (arXiv:2002.05202) */
        const vt_value gate = vt_graph_activation(v->g, label, vt_view_columns(h, 0, hidden), v->c->gated_activation);
        snprintf(label, sizeof label, "block.%u.gate", block);
        h = vt_graph_mul(v->g, label, vt_view_of(gate), vt_view_columns(h, hidden, hidden));
    } else {
        h = vt_graph_activation(v->g, label, vt_view_of(h), v->c->activation);
    }
    snprintf(label, sizeof label, "block.%u.fc2", block);
    return block_linear(v, label, VIT_MAY_LACK_BIAS, block, v->names->fc2, h, v->dim, hidden);
}

/* x + scale * y, scale being LayerScale's vector where the checkpoint has one (arXiv:2103.17239). */
static vt_value residual(struct vit *v, vt_value x, vt_value y, const char *leaf, unsigned block, const char *what)
{
    char label[VT_NAME_SIZE];
    if (leaf && !v->g->status && !lacks(v, VIT_MAY_LACK_SCALE, block_name(v, 0, leaf), "")) {
        snprintf(label, sizeof label, "block.%u.%s_scale", block, what);
        y = vt_graph_scale(v->g, label, vt_view_of(y), vt_graph_vector(v->g, block_name(v, block, leaf).text, v->dim));
    }
    snprintf(label, sizeof label, "block.%u.%s_add", block, what);
    return vt_graph_add(v->g, label, vt_view_of(x), vt_view_of(y));
}

static vt_value block_norm(struct vit *v, vt_value x, const char *leaf, unsigned block, const char *what)
{
    char label[VT_NAME_SIZE];
    snprintf(label, sizeof label, "block.%u.%s", block, what);
    return norm(v, label, block_name(v, block, leaf), vt_view_of(x), v->dim, 1);
}

static vt_value transformer_block(struct vit *v, vt_value x, unsigned block)
{
    /* x = x + ls1(attn(norm1(x))) */
    vt_value y = attention(v, block_norm(v, x, v->names->norm1, block, "norm1"), block);
    x = residual(v, x, y, v->names->scale1, block, "attn");
    /* x = x + ls2(mlp(norm2(x))) */
    y = mlp(v, block_norm(v, x, v->names->norm2, block, "norm2"), block);
    return residual(v, x, y, v->names->scale2, block, "mlp");
}

/* ---- Head ---- */

static vt_value pool(struct vit *v, vt_value x)
{
    const struct vt_view all = vt_view_of(x);
    if (v->c->pool == VT_POOL_AVG)
        return vt_graph_pool(v->g, "pool", all, v->prefix);
    const vt_value token = vt_graph_slice(v->g, "class_token", all, 0, 1);
    if (v->c->pool == VT_POOL_TOKEN)
        return token;
    return vt_graph_concat(v->g, "pool", vt_view_of(token),
                           vt_view_of(vt_graph_pool(v->g, "patch_mean", all, v->prefix)));
}

/* transformers' pooler_output: tanh(dense(class token)). */
static void pooler(struct vit *v, vt_value token)
{
    if (!v->names->pooler || v->g->status || !vt_find(v->g, name_of(v, v->names->pooler), ".weight"))
        return;
    const vt_value dense =
        vt_linear(v->g, "pooler.dense", name_of(v, v->names->pooler), vt_view_of(token), v->dim, v->dim, true);
    vt_graph_output(v->g, "pooler", vt_graph_activation(v->g, "pooler", vt_view_of(dense), VT_ACT_TANH));
}

static bool has_head(const struct vit *v, size_t i)
{
    return v->names->heads[i] && vt_find(v->g, vt_name("%s", v->names->heads[i]), ".weight");
}

static void head(struct vit *v, vt_value features, struct vt_model_facts *facts)
{
    if (v->c->pool == VT_POOL_NONE)
        return; /* all tokens are the answer */
    vt_value x = pool(v, features);
    const uint32_t columns = v->c->pool == VT_POOL_TOKEN_AND_AVG ? 2 * v->dim : v->dim;
    if (v->names->pool_norm && vt_find(v->g, name_of(v, v->names->pool_norm), ".weight"))
        x = norm(v, "fc_norm", name_of(v, v->names->pool_norm), vt_view_of(x), columns, 1);
    pooler(v, x);
    const bool distilled = has_head(v, 1); /* DeiT: a second head on the distillation token, averaged at inference */
    const vt_value second =
        distilled ? vt_graph_slice(v->g, "distillation_token", vt_view_of(features), 1, 1) : VT_NO_VALUE;
    vt_graph_output(v->g, "embedding", distilled ? vt_graph_head_combine(v->g, "token_mean", x, second) : x);
    if (!has_head(v, 0) || v->g->status)
        return;
    vt_value logits = vt_classifier(v->g, "head", vt_name("%s", v->names->heads[0]), x, columns, &facts->classes);
    if (distilled) {
        uint32_t classes;
        const vt_value other =
            vt_classifier(v->g, "head_distillation", vt_name("%s", v->names->heads[1]), second, columns, &classes);
        logits = vt_graph_head_combine(v->g, "head_mean", logits, other);
    }
    vt_agree(v->g, "classes", v->c->classes, facts->classes);
    vt_graph_output(v->g, "logits", logits);
}

void vt_vit_build(struct vt_graph *g, const struct vit_config *c, struct vt_model_facts *facts)
{
    struct vit v = { .g = g, .c = c, .names = c->names };
    read_dimensions(&v);
    if (g->status)
        return;
    const vt_value pixels = vt_graph_input(g, 3);
    vt_graph_output(g, "pixels", pixels);
    vt_value x = embed(&v, pixels);
    if (c->names->pre_norm && vt_find(g, name_of(&v, c->names->pre_norm), ".weight"))
        x = norm(&v, "norm_pre", name_of(&v, c->names->pre_norm), vt_view_of(x), v.dim, 1);
    const struct vt_predictors predictors = vt_find_predictors(g, c->names->predictors, &c->predictors, v.depth);
    uint32_t predictor = 0;
    for (unsigned i = 0; i < v.depth; i++) {
        char name[VT_NAME_SIZE];
        if (predictor < predictors.count && predictors.block[predictor] == i)
            vt_add_predictor(g, c->names->predictors, &predictors, predictor++, x, v.dim, v.prefix);
        x = transformer_block(&v, x, i);
        snprintf(name, sizeof name, "block.%u", i);
        vt_graph_output(g, name, x);
    }
    if (!lacks(&v, VIT_MAY_LACK_NORM, name_of(&v, c->names->norm), ".weight"))
        x = norm(&v, "norm", name_of(&v, c->names->norm), vt_view_of(x), v.dim, 1);
    vt_graph_output(g, "features", x);
    head(&v, x, facts);
    facts->blocks = v.depth;
    facts->dim = v.dim;
    memcpy(facts->trained_size, v.trained[0] ? v.trained : c->image, sizeof facts->trained_size);
    memcpy(facts->size_multiple, v.patch, sizeof facts->size_multiple);
}
