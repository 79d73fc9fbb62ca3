/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CvT; see cvt.h. Stages of transformer blocks, each behind a convolution that makes its tokens; in the blocks q, k and
 * v come from convolutions of every channel by itself, those of k and v on a coarser grid. Comments beside the calls
 * give the same line in PyTorch.
 */
#include "cvt.h"

#include "hf_config.h"

#include <math.h>
#include <string.h>

#define EPS        1e-5F  /* of nn.LayerNorm and nn.BatchNorm2d, whatever the config says */
#define MAX_DIM    65536u /* channels */
#define MAX_DEPTH  512u   /* blocks of a stage */
#define MAX_KERNEL 256u   /* sides of kernels, strides, paddings */
#define MAX_MLP    64.0   /* mlp_ratio */
#define IMAGE      224    /* the config says none: side of the images that the smallest models were trained on */

struct stage {
    uint32_t depth, heads, dim;
    double mlp_ratio;
    bool qkv_bias, token;            /* token: a class token stands before the map */
    struct vt_sliding embedding;     /* of the convolution that makes the tokens */
    struct vt_sliding query, others; /* of those for q, and for k and v */
};

/* One model being built. */
struct cvt {
    struct vt_graph *g;
    struct vt_name root; /* prefix of all names but those of the head and the norm before it */
    uint32_t stage_count;
    struct stage stages[VT_MAX_STAGES];
};

/* One of its blocks. */
struct block {
    const struct stage *stage;
    unsigned number;     /* in the model */
    struct vt_name name; /* what its modules' names begin with */
};

static struct vt_name stage_name(const struct cvt *c, unsigned stage, const char *leaf)
{
    return vt_name("%sencoder.stages.%u.%s", c->root.text, stage, leaf);
}

static struct vt_name block_name(const struct block *b, const char *leaf)
{
    return vt_name("%s.%s", b->name.text, leaf);
}

static struct vt_name label(const struct block *b, const char *what)
{
    return vt_name("block.%u.%s", b->number, what);
}

/* ---- Configuration: lists with an element for each stage ---- */

/* Lists of cvt-13, which is the config class's default, end after three stages. */
static uint32_t read_count(const struct cvt *c, vt_json config, const char *key, uint32_t stage,
                           const uint32_t missing[3], uint32_t least, uint32_t most)
{
    return vt_member_count(vt_member_at(vt_member_of(c->g, config, key), stage, c->stage_count),
                           missing[stage < 3 ? stage : 2], least, most);
}

static bool read_bool(const struct cvt *c, vt_json config, const char *key, uint32_t stage, bool missing)
{
    return vt_member_bool(vt_member_at(vt_member_of(c->g, config, key), stage, c->stage_count), missing);
}

static struct vt_sliding square(uint32_t kernel, uint32_t stride, uint32_t padding)
{
    return (struct vt_sliding){ .kernel = { kernel, kernel },
                                .stride = { stride, stride },
                                .padding = { padding, padding } };
}

static void read_convolutions(const struct cvt *c, vt_json config, uint32_t i, struct stage *s)
{
    static const uint32_t patch_sizes[3] = { 7, 3, 3 }, patch_stride[3] = { 4, 2, 2 }, patch_padding[3] = { 2, 1, 1 },
                          ones[3] = { 1, 1, 1 }, twos[3] = { 2, 2, 2 }, threes[3] = { 3, 3, 3 };
    const uint32_t kernel = read_count(c, config, "kernel_qkv", i, threes, 1, MAX_KERNEL);
    s->embedding = square(read_count(c, config, "patch_sizes", i, patch_sizes, 1, MAX_KERNEL),
                          read_count(c, config, "patch_stride", i, patch_stride, 1, MAX_KERNEL),
                          read_count(c, config, "patch_padding", i, patch_padding, 0, MAX_KERNEL));
    s->query = square(kernel, read_count(c, config, "stride_q", i, ones, 1, MAX_KERNEL),
                      read_count(c, config, "padding_q", i, ones, 0, MAX_KERNEL));
    s->others = square(kernel, read_count(c, config, "stride_kv", i, twos, 1, MAX_KERNEL),
                       read_count(c, config, "padding_kv", i, ones, 0, MAX_KERNEL));
}

static void read_stage(const struct cvt *c, vt_json config, uint32_t i, struct stage *s)
{
    static const uint32_t depth[3] = { 1, 2, 10 }, heads[3] = { 1, 3, 6 }, dim[3] = { 64, 192, 384 };
    static const struct vt_choice methods[] = { { "dw_bn", 0 } }; /* transformers cannot run others either */
    const struct vt_member ratio = vt_member_at(vt_member_of(c->g, config, "mlp_ratio"), i, c->stage_count),
                           method =
                               vt_member_at(vt_member_of(c->g, config, "qkv_projection_method"), i, c->stage_count);
    s->depth = read_count(c, config, "depth", i, depth, 1, MAX_DEPTH);
    s->heads = read_count(c, config, "num_heads", i, heads, 1, MAX_DIM);
    s->dim = read_count(c, config, "embed_dim", i, dim, 1, MAX_DIM);
    s->mlp_ratio = vt_member_number(ratio, 4, 0, MAX_MLP);
    s->qkv_bias = read_bool(c, config, "qkv_bias", i, true);
    s->token = read_bool(c, config, "cls_token", i, i == 2);
    (void)vt_member_choice(method, methods, sizeof methods / sizeof *methods, 0);
    read_convolutions(c, config, i, s);
    if (s->dim % s->heads)
        vt_graph_fail(c->g, VITRT_EFORMAT, "the config's stage %u has %u channels, no multiple of its %u heads",
                      (unsigned)i, (unsigned)s->dim, (unsigned)s->heads);
}

/* ---- Blocks ---- */

/* linear(batch_norm(convolution(x))): a column range of q, k or v. The class token skips the convolution. */
static vt_value projection(struct cvt *c, const struct block *b, const char *which, vt_value x,
                           const struct vt_sliding *slide)
{
    const uint32_t dim = b->stage->dim;
    const struct vt_name part = vt_name("attention.attention.convolution_projection_%s.convolution_projection", which),
                         kernel = vt_name("%s.convolution.weight", part.text),
                         norm = vt_name("%s.normalization", part.text),
                         linear = vt_name("attention.attention.projection_%s", which),
                         conv_label = vt_name("block.%u.%s_conv", b->number, which);
    vt_weight bias = VT_NO_WEIGHT;
    vt_weight weight = vt_graph_conv(c->g, block_name(b, kernel.text).text, dim, 1, slide->kernel, dim);
    weight = vt_graph_fold_norm(c->g, weight, block_name(b, norm.text).text, EPS, &bias);
    const vt_value y = vt_graph_conv2d(c->g, conv_label.text, vt_view_of(x), weight, bias, slide);
    return vt_linear(c->g, label(b, which).text, block_name(b, linear.text), vt_view_of(y), dim, dim,
                     b->stage->qkv_bias);
}

static vt_value attention(struct cvt *c, const struct block *b, vt_value x)
{
    const struct stage *s = b->stage;
    const vt_value q = projection(c, b, "query", x, &s->query), k = projection(c, b, "key", x, &s->others),
                   v = projection(c, b, "value", x, &s->others);
    const float scale = (float)(1 / sqrt(s->dim)); /* of all heads together */
    const vt_value a = vt_graph_attention(c->g, label(b, "attention").text, vt_view_of(q), vt_view_of(k), vt_view_of(v),
                                          VT_NO_VALUE, s->heads, scale);
    return vt_linear(c->g, label(b, "proj").text, block_name(b, "attention.output.dense"), vt_view_of(a), s->dim,
                     s->dim, true);
}

static vt_value norm(struct cvt *c, const struct block *b, const char *what, const char *leaf, vt_value x)
{
    return vt_norm(c->g, label(b, what).text, block_name(b, leaf), vt_view_of(x), b->stage->dim, 1, EPS);
}

static vt_value transformer_block(struct cvt *c, const struct block *b, vt_value x)
{
    const uint32_t dim = b->stage->dim,
                   hidden = (uint32_t)(dim * b->stage->mlp_ratio); /* int(), as transformers does */
    /* x = x + attention(layernorm_before(x)) */
    vt_value y = attention(c, b, norm(c, b, "norm1", "layernorm_before", x));
    x = vt_graph_add(c->g, label(b, "attn_add").text, vt_view_of(x), vt_view_of(y));
    /* x = x + output(gelu(intermediate(layernorm_after(x)))) */
    y = vt_mlp(c->g, b->number, block_name(b, "intermediate.dense"), block_name(b, "output.dense"),
               norm(c, b, "norm2", "layernorm_after", x), hidden, dim, VT_ACT_GELU);
    return vt_graph_add(c->g, label(b, "mlp_add").text, vt_view_of(x), vt_view_of(y));
}

/* ---- Stages ---- */

/* The convolution that makes a stage's tokens of a map, and the class token before them. */
static vt_value embed(struct cvt *c, unsigned stage, vt_value x)
{
    const struct stage *s = &c->stages[stage];
    const uint32_t in = stage ? s[-1].dim : 3;
    /* x = normalization(projection(x)) */
    x = vt_conv(c->g, vt_name("stage.%u.embed", stage).text,
                stage_name(c, stage, "embedding.convolution_embeddings.projection"), x, s->dim, in, true,
                &s->embedding);
    x = vt_norm(c->g, vt_name("stage.%u.embed_norm", stage).text,
                stage_name(c, stage, "embedding.convolution_embeddings.normalization"), vt_view_of(x), s->dim, 1, EPS);
    if (!s->token)
        return x;
    /* x = cat([cls_token, x]) */
    const vt_weight token = vt_graph_rows(c->g, stage_name(c, stage, "cls_token").text, 1, s->dim);
    return vt_graph_embed(c->g, vt_name("stage.%u.token", stage).text, x, token, VT_NO_VALUE, 0);
}

static vt_value blocks(struct cvt *c, unsigned stage, vt_value x, unsigned *number)
{
    struct block b = { .stage = &c->stages[stage] };
    for (unsigned i = 0; i < b.stage->depth && !c->g->status; i++, ++*number) {
        b.number = *number;
        b.name = vt_name("%s.%u", stage_name(c, stage, "layers").text, i);
        x = transformer_block(c, &b, x);
        vt_graph_output(c->g, vt_name("block.%u", b.number).text, x);
    }
    return x;
}

/* A bare model ends without the norm. */
static vt_value final_norm(struct cvt *c, vt_value x)
{
    const struct vt_name module = vt_name("layernorm");
    if (!vt_find(c->g, module, ".weight"))
        return x;
    return vt_norm(c->g, "norm", module, vt_view_of(x), c->stages[c->stage_count - 1].dim, 1, EPS);
}

/* tokens: of the last stage, the class token among them if there is one. */
static void head(struct cvt *c, vt_value tokens, struct vt_model_facts *facts)
{
    const struct vt_name classifier = vt_name("classifier");
    vt_value x;
    if (c->stages[c->stage_count - 1].token)
        x = final_norm(c, vt_graph_slice(c->g, "class_token", vt_view_of(tokens), 0, 1));
    else
        x = vt_graph_pool(c->g, "pool", vt_view_of(final_norm(c, tokens)), 0);
    vt_graph_output(c->g, "embedding", x);
    if (!vt_find(c->g, classifier, ".weight"))
        return;
    const vt_value logits = vt_classifier(c->g, "head", classifier, x, facts->dim, &facts->classes);
    vt_agree(c->g, "classes", vt_hf_classes(c->g, vt_checkpoint_config(c->g->checkpoint)), facts->classes);
    vt_graph_output(c->g, "logits", logits);
}

static void build_graph(struct cvt *c, struct vt_model_facts *facts)
{
    struct vt_graph *g = c->g;
    vt_value x = vt_graph_input(g, 3), tokens = VT_NO_VALUE;
    vt_graph_output(g, "pixels", x);
    for (unsigned i = 0; i < c->stage_count && !g->status; i++) {
        tokens = blocks(c, i, embed(c, i, x), &facts->blocks);
        /* cls_token, x = split(x, [1, height * width]): the next stage goes on with the map alone */
        x = c->stages[i].token ? vt_graph_slice(g, vt_name("stage.%u.map", i).text, vt_view_of(tokens), 1, 0) : tokens;
        vt_graph_output(g, vt_name("stage.%u", i).text, x);
    }
    /* The norm behind them belongs to the head. */
    vt_graph_output(g, "features", tokens);
    head(c, tokens, facts);
}

/* ---- The family ---- */

static bool matches(vt_json config)
{
    return vt_hf_is(config, "cvt");
}

static void build(struct vt_graph *g, struct vt_model_facts *facts)
{
    const vt_json config = vt_checkpoint_config(g->checkpoint);
    struct cvt c = { .g = g,
                     .root =
                         vt_hf_root(g, "cvt", "encoder.stages.0.embedding.convolution_embeddings.projection.weight"),
                     .stage_count = vt_member_stages(vt_member_of(g, config, "depth"), 3) };
    facts->family = "cvt";
    vt_hf_architecture(config, facts->family, facts);
    for (uint32_t i = 0; i < c.stage_count; i++)
        read_stage(&c, config, i, &c.stages[i]);
    if (vt_hf_classifies(facts)) {
        vt_require(g, vt_name("layernorm"), ".weight");
        vt_require(g, vt_name("classifier"), ".weight");
    }
    if (g->status)
        return;
    facts->dim = c.stages[c.stage_count - 1].dim;
    facts->trained_size[0] = facts->trained_size[1] = IMAGE;
    memcpy(facts->size_multiple, c.stages[0].embedding.stride, sizeof facts->size_multiple);
    build_graph(&c, facts);
}

/* Training counts batches. */
static bool ignores(const char *tensor)
{
    return vt_ends_with(tensor, ".normalization.num_batches_tracked");
}

const struct vt_family vt_cvt_family = { matches, build, ignores, NULL };
