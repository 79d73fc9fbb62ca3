/* SPDX-License-Identifier: Apache-2.0 */
/* The graph of a Swin Transformer; see swin.h. Comments beside the calls give the same line in PyTorch. */
#include "swin.h"

#include "layers.h"

#include <math.h>
#include <string.h>

/* One model being built. */
struct swin {
    struct vt_graph *g;
    const struct swin_config *c;
    const struct swin_names *names;
};

/* One of its blocks. */
struct block {
    const struct swin_stage *stage;
    unsigned in_model, in_stage; /* numbers */
    uint32_t dim;
    vt_order order;
    struct vt_name name; /* what its modules' names begin with */
};

/* Channels of a stage. */
static uint32_t dim_of(const struct swin_config *c, uint32_t stage)
{
    return c->dim << stage;
}

static struct vt_name name_of(const struct swin *s, const char *leaf)
{
    return vt_name("%s%s", s->c->root, leaf);
}

static struct vt_name stage_name(const struct swin *s, unsigned stage, const char *leaf)
{
    return vt_name("%s%s.%u.%s", s->c->root, s->names->stages, stage, leaf);
}

static struct vt_name block_name(const struct block *b, const char *leaf)
{
    return vt_name("%s.%s", b->name.text, leaf);
}

static struct vt_name label(const struct block *b, const char *what)
{
    return vt_name("block.%u.%s", b->in_model, what);
}

/* ---- Embedding ---- */

static vt_value embed(struct swin *s, vt_value pixels)
{
    const struct swin_config *c = s->c;
    const struct vt_sliding patches = { .kernel = { c->patch[0], c->patch[1] },
                                        .stride = { c->patch[0], c->patch[1] },
                                        .cover = c->cover };
    /* x = norm(patch_embed(pixels).flatten(2).transpose(1, 2)) */
    vt_value x = vt_conv(s->g, "patch_embed", name_of(s, s->names->patch), pixels, c->dim, 3, true, &patches);
    x = vt_norm(s->g, "patch_norm", name_of(s, s->names->patch_norm), vt_view_of(x), c->dim, 1, c->stem_eps);
    if (!s->names->positions)
        return x;
    /* x = x + positions */
    const uint32_t grid[2] = { c->image[0] / c->patch[0], c->image[1] / c->patch[1] };
    const vt_weight table =
        vt_graph_rows(s->g, name_of(s, s->names->positions).text, (uint64_t)grid[0] * grid[1], c->dim);
    const vt_value positions = vt_graph_positions(s->g, "positions", x, table, VT_POSITIONS_BICUBIC, 0, grid);
    return vt_graph_embed(s->g, "embed", x, VT_NO_WEIGHT, positions, 0);
}

/* The step to the next stage: 2x2 tokens become one of twice as many channels. */
static vt_value patch_merging(struct swin *s, vt_value x, unsigned stage)
{
    static const uint32_t block[2] = { 2, 2 };
    const uint32_t dim = dim_of(s->c, stage - 1);
    const unsigned at = s->c->merge_at_end ? stage - 1 : stage;
    const struct vt_name reduction = stage_name(s, at, s->names->reduction),
                         norm = stage_name(s, at, s->names->reduction_norm),
                         norm_label = vt_name("stage.%u.merge_norm", stage),
                         linear_label = vt_name("stage.%u.reduction", stage);
    /* x = cat([x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]]) */
    x = vt_graph_space_to_depth(s->g, vt_name("stage.%u.merge", stage).text, vt_view_of(x), block);
    if (s->c->v2) { /* x = norm(reduction(x)) */
        x = vt_linear(s->g, linear_label.text, reduction, vt_view_of(x), 2 * dim, 4 * dim, false);
        return vt_norm(s->g, norm_label.text, norm, vt_view_of(x), 2 * dim, 1, s->c->stem_eps);
    }
    /* x = reduction(norm(x)) */
    x = vt_norm(s->g, norm_label.text, norm, vt_view_of(x), 4 * dim, 1, s->c->stem_eps);
    return vt_linear(s->g, linear_label.text, reduction, vt_view_of(x), 2 * dim, 4 * dim, false);
}

/* ---- Blocks ---- */

/* q, k and v as one product [N, 3D], whether the checkpoint stores them together or apart. */
static vt_value qkv(struct swin *s, const struct block *b, vt_value x)
{
    const struct swin_names *n = s->names;
    const bool apart = n->qkv[2], biases_apart = n->qkv_bias[2];
    vt_weight weights[3], biases[3] = { VT_NO_WEIGHT, VT_NO_WEIGHT, VT_NO_WEIGHT };
    for (int i = 0; i < (apart ? 3 : 1); i++)
        weights[i] = vt_graph_matrix(s->g, block_name(b, n->qkv[i]).text, apart ? b->dim : 3 * b->dim, b->dim);
    for (int i = 0; i < 3 && s->c->qkv_bias; i++)
        if (n->qkv_bias[i])
            biases[i] = vt_graph_vector(s->g, block_name(b, n->qkv_bias[i]).text, biases_apart ? b->dim : 3 * b->dim);
    const vt_weight weight = apart ? vt_graph_stack(s->g, weights, 3, b->dim) : weights[0];
    const vt_weight bias = biases_apart ? vt_graph_stack(s->g, biases, 3, b->dim) : biases[0];
    return vt_graph_linear(s->g, label(b, "qkv").text, vt_view_of(x), weight, bias);
}

/* The relative bias of a block's windows over the map x. */
static vt_value relative_bias(struct swin *s, const struct block *b, vt_value x)
{
    const uint32_t *trained = b->stage->trained;
    const struct vt_name name = label(b, "relative_bias");
    if (!s->c->v2) {
        const uint64_t offsets = (2 * (uint64_t)trained[0] - 1) * (2 * (uint64_t)trained[1] - 1);
        const vt_weight table = vt_graph_rows(s->g, block_name(b, s->names->bias_table).text, offsets, b->stage->heads);
        return vt_graph_bias_table(s->g, name.text, x, b->order, table, trained);
    }
    /* 16 * sigmoid(linear2(relu(linear1(coordinates)))) */
    const struct vt_name first = block_name(b, s->names->bias_network[0]),
                         second = block_name(b, s->names->bias_network[1]);
    const uint32_t hidden = vt_extent(vt_find(s->g, first, ".weight"), 0);
    const vt_weight weight = vt_graph_matrix(s->g, vt_name("%s.weight", first.text).text, hidden, 2),
                    bias = vt_graph_vector(s->g, vt_name("%s.bias", first.text).text, hidden),
                    weight2 = vt_graph_matrix(s->g, vt_name("%s.weight", second.text).text, b->stage->heads, hidden);
    return vt_graph_bias_network(s->g, name.text, x, b->order, weight, bias, weight2, trained);
}

/* proj(attention(qkv(w))), w being tokens of the map x in the order of windows. */
static vt_value attention(struct swin *s, const struct block *b, vt_value x, vt_value w)
{
    const uint32_t dim = b->dim, heads = b->stage->heads;
    const vt_value y = qkv(s, b, w);
    const vt_value bias = relative_bias(s, b, x);
    struct vt_view q = vt_view_columns(y, 0, dim), k = vt_view_columns(y, dim, dim);
    float scale = (float)(1 / sqrt((double)dim / heads));
    if (s->c->v2) { /* cosine attention: q, k = normalize(q) * exp(min(logit_scale, ln 100)), normalize(k) */
        const vt_weight logit_scale = vt_graph_logit_scale(s->g, block_name(b, s->names->logit_scale).text, heads);
        q = vt_view_of(vt_graph_l2_norm(s->g, label(b, "q_norm").text, q, logit_scale, heads));
        k = vt_view_of(vt_graph_l2_norm(s->g, label(b, "k_norm").text, k, VT_NO_WEIGHT, heads));
        scale = 1;
    }
    const vt_value a = vt_graph_attention(s->g, label(b, "attention").text, q, k, vt_view_columns(y, 2 * dim, dim),
                                          bias, heads, scale);
    return vt_linear(s->g, label(b, "proj").text, block_name(b, s->names->proj), vt_view_of(a), dim, dim, true);
}

static vt_value norm(struct swin *s, const struct block *b, const char *what, const char *leaf, vt_value x)
{
    return vt_norm(s->g, label(b, what).text, block_name(b, leaf), vt_view_of(x), b->dim, 1, s->c->eps);
}

static vt_value mlp(struct swin *s, const struct block *b, vt_value x)
{
    const uint32_t hidden = (uint32_t)(b->dim * b->stage->mlp_ratio); /* int(), as the frameworks do */
    return vt_mlp(s->g, b->in_model, block_name(b, s->names->fc1), block_name(b, s->names->fc2), x, hidden, b->dim,
                  s->c->activation);
}

/* The norms before each part. */
static vt_value block_v1(struct swin *s, const struct block *b, vt_value x)
{
    struct vt_graph *g = s->g;
    /* x = x + reverse(attn(partition(norm1(x)))) */
    vt_value y = norm(s, b, "norm1", s->names->norm1, x);
    y = vt_graph_windows(g, label(b, "windows").text, vt_view_of(y), b->order);
    y = vt_graph_unwindows(g, label(b, "unwindows").text, vt_view_of(attention(s, b, x, y)));
    x = vt_graph_add(g, label(b, "attn_add").text, vt_view_of(x), vt_view_of(y));
    /* x = x + mlp(norm2(x)) */
    y = mlp(s, b, norm(s, b, "norm2", s->names->norm2, x));
    return vt_graph_add(g, label(b, "mlp_add").text, vt_view_of(x), vt_view_of(y));
}

/* The norms after each part. */
static vt_value block_v2(struct swin *s, const struct block *b, vt_value x)
{
    struct vt_graph *g = s->g;
    /* x = x + norm1(reverse(attn(partition(x)))) */
    vt_value y = vt_graph_windows(g, label(b, "windows").text, vt_view_of(x), b->order);
    y = vt_graph_unwindows(g, label(b, "unwindows").text, vt_view_of(attention(s, b, x, y)));
    y = norm(s, b, "norm1", s->names->norm1, y);
    x = vt_graph_add(g, label(b, "attn_add").text, vt_view_of(x), vt_view_of(y));
    /* x = x + norm2(mlp(x)) */
    y = norm(s, b, "norm2", s->names->norm2, mlp(s, b, x));
    return vt_graph_add(g, label(b, "mlp_add").text, vt_view_of(x), vt_view_of(y));
}

/* Windows of a stage's even blocks, or of its odd ones, which are shifted. */
static vt_order windows_of(struct vt_graph *g, const struct swin_stage *stage, bool odd)
{
    struct vt_window_pattern p = stage->windows;
    if (!odd)
        p.shift[0] = p.shift[1] = 0;
    return vt_graph_order(g, &p);
}

static vt_value blocks(struct swin *s, vt_value x, unsigned stage, unsigned *in_model)
{
    struct block b = { .stage = &s->c->stages[stage], .dim = dim_of(s->c, stage) };
    for (; b.in_stage < b.stage->depth && !s->g->status; b.in_stage++, ++*in_model) {
        b.in_model = *in_model;
        b.order = windows_of(s->g, b.stage, b.in_stage % 2);
        b.name = vt_name("%s.%u", stage_name(s, stage, s->names->blocks).text, b.in_stage);
        x = s->c->v2 ? block_v2(s, &b, x) : block_v1(s, &b, x);
        vt_graph_output(s->g, vt_name("block.%u", b.in_model).text, x);
    }
    return x;
}

/* ---- Configuration ---- */

void vt_swin_read_stages(struct swin_config *c, struct vt_member depths, struct vt_member heads)
{
    const uint32_t stages = vt_member_stages(depths, c->stage_count);
    if (stages != c->stage_count && vt_member_missing(&heads))
        vt_member_fail(&heads, VITRT_EFORMAT, "a list of %u elements, one for each stage", (unsigned)stages);
    c->stage_count = stages;
    for (uint32_t i = 0; i < stages; i++) {
        struct swin_stage *s = &c->stages[i];
        s->depth = vt_member_count(vt_member_at(depths, i, stages), s->depth, 1, VT_SWIN_MAX_DEPTH);
        s->heads = vt_member_count(vt_member_at(heads, i, stages), s->heads, 1, VT_SWIN_MAX_DIM);
    }
}

void vt_swin_read_pretrained(struct swin_config *c, struct vt_member sizes)
{
    const uint32_t given = vt_member_stages(sizes, c->stage_count), /* the frameworks do not mind more of them */
        count = given > c->stage_count ? given : c->stage_count;
    for (uint32_t i = 0; i < c->stage_count; i++) {
        uint32_t *trained = c->stages[i].trained;
        trained[0] = trained[1] = vt_member_count(vt_member_at(sizes, i, count), trained[0], 0, VT_MAX_WINDOW_SIDE);
    }
}

/* What the bounds of single members do not see: sizes that must fit each other. */
static void check(struct vt_graph *g, const struct swin_config *c)
{
    if (c->image[0] < c->patch[0] || c->image[1] < c->patch[1])
        vt_graph_fail(g, VITRT_EFORMAT, "the config's images of %ux%u are smaller than a patch of %ux%u",
                      (unsigned)c->image[0], (unsigned)c->image[1], (unsigned)c->patch[0], (unsigned)c->patch[1]);
    for (uint32_t i = 0; i < c->stage_count; i++) {
        const uint64_t dim = (uint64_t)c->dim << i;
        if (dim > VT_SWIN_MAX_DIM)
            vt_graph_fail(g, VITRT_EFORMAT, "the config's stage %u has %llu channels, expected at most %u", (unsigned)i,
                          (unsigned long long)dim, VT_SWIN_MAX_DIM);
        else if (dim % c->stages[i].heads)
            vt_graph_fail(g, VITRT_EFORMAT, "the config's stage %u has %u channels, no multiple of its %u heads",
                          (unsigned)i, (unsigned)dim, (unsigned)c->stages[i].heads);
    }
}

bool vt_swin_is_buffer(const char *tensor)
{
    return vt_ends_with(tensor, ".relative_position_index") || vt_ends_with(tensor, ".relative_coords_table") ||
           vt_ends_with(tensor, ".attn_mask");
}

/* ---- The model ---- */

static void head(struct swin *s, vt_value features, struct vt_model_facts *facts)
{
    const struct vt_name classifier = vt_name("%s", s->names->head);
    if (!s->c->pooled)
        return; /* all tokens are the answer */
    const vt_value x = vt_graph_pool(s->g, "pool", vt_view_of(features), 0);
    vt_graph_output(s->g, "embedding", x);
    if (!vt_find(s->g, classifier, ".weight"))
        return;
    const vt_value logits = vt_classifier(s->g, "head", classifier, x, facts->dim, &facts->classes);
    vt_agree(s->g, "classes", s->c->classes, facts->classes);
    vt_graph_output(s->g, "logits", logits);
}

void vt_swin_build(struct vt_graph *g, const struct swin_config *c, struct vt_model_facts *facts)
{
    struct swin s = { .g = g, .c = c, .names = c->names };
    unsigned block_count = 0;
    check(g, c);
    if (g->status)
        return;
    facts->dim = dim_of(c, c->stage_count - 1);
    memcpy(facts->trained_size, c->image, sizeof facts->trained_size);
    memcpy(facts->size_multiple, c->patch, sizeof facts->size_multiple);
    const vt_value pixels = vt_graph_input(g, 3);
    vt_graph_output(g, "pixels", pixels);
    vt_value x = embed(&s, pixels);
    for (unsigned i = 0; i < c->stage_count && !g->status; i++) {
        if (i)
            x = patch_merging(&s, x, i);
        x = blocks(&s, x, i, &block_count);
        vt_graph_output(g, vt_name("stage.%u", i).text, x);
    }
    x = vt_norm(g, "norm", name_of(&s, c->names->norm), vt_view_of(x), facts->dim, 1, c->eps);
    vt_graph_output(g, "features", x);
    facts->blocks = block_count;
    head(&s, x, facts);
}
