/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain vision transformers that were trained with I-ViT's quantizers (Li and Gu 2023, arXiv:2207.01405), as
 * models/zoo/ivit_checkpoint.py writes them: the configuration and the tensors of timm's ViT and DeiT, layers' weights
 * as I8, and scales under the names of I-ViT's quantizers. These are symmetric, one scale for all columns.
 *
 * Those of 8 bits are quantizers of what the next product multiplies, those of 16 bits units. A value that I-ViT has in
 * 8 bits only has the same range in 16 here; for the outputs of the last norm and of the head, which it does not round
 * at all, the script finds one. Not used are its 8 bits for scores and for what GELU reads, which have more here.
 */
#include "vit.h"
#include "layers.h"
#include "quantizer.h"

#include <string.h>

#define ZERO_CODE 128

/* A scale of 8 bits, 127 of which are the largest number, as one of 16. */
#define WIDER (127.0f / 32767.0f)

#define SCALE ".act_scaling_factor"

/* What a node of the graph gets from a scale of I-ViT. Both names follow those of a block where they are of one. */
struct assignment {
    const char *node, *scale;
};

static const struct assignment codes[] = { { "patch_embed", "qact_input" }, { "head", "qact2" } };
static const struct assignment codes_of_block[] = {
    { "qkv", "qact1" }, { "attention", "attn.qact1" }, { "proj", "attn.qact2" },
    { "fc1", "qact3" }, { "fc2", "mlp.qact1" },
};

static const struct assignment units[] = { { "patch_embed", "patch_embed.qact" }, { "embed", "qact1" } };
static const struct assignment units_of_block[] = {
    { "proj", "attn.qact3" }, { "attn_add", "qact2" }, { "fc2", "mlp.qact2" }, { "mlp_add", "qact4" }
};

static const struct assignment ranges_of_block[] = {
    { "norm1", "qact1" }, { "qkv", "attn.qact1" },    { "attention", "attn.qact2" },
    { "norm2", "qact3" }, { "fc1", "mlp.qact_gelu" }, { "act", "mlp.qact1" },
};

static vt_value node_named(struct vt_graph *g, struct vt_name name)
{
    for (size_t v = 0; v < g->node_count; v++)
        if (!strcmp(g->nodes[v].name, name.text))
            return (vt_value)v;
    vt_graph_fail(g, VITRT_EUNSUPPORTED, "I-ViT's models have a %s, this one has none", name.text);
    return VT_NO_VALUE;
}

static void set_codes(struct vt_graph *g, struct vt_name node, struct vt_name scale)
{
    const vt_value v = node_named(g, node);
    const struct vt_operand_quantizer q = { .bits = 8,
                                            .scale = vt_graph_read_scale(g, scale.text),
                                            .zero = ZERO_CODE,
                                            .scales = VT_NO_WEIGHT,
                                            .zeros = VT_NO_WEIGHT };
    for (uint32_t i = 0; !g->status && i < vt_operand_count(&g->nodes[v]); i++)
        vt_graph_set_quantizer(g, v, i, &q);
}

static void set_unit(struct vt_graph *g, struct vt_name node, struct vt_name scale, float factor)
{
    const vt_value v = node_named(g, node);
    const float unit = vt_graph_read_scale(g, scale.text) * factor;
    if (!g->status) /* what is below the least scale is as good as zero */
        g->nodes[v].unit = unit > VT_MIN_SCALE ? unit : VT_MIN_SCALE;
}

static struct vt_name node_of_block(unsigned block, const char *node)
{
    return vt_name("block.%u.%s", block, node);
}

static struct vt_name scale_of_block(unsigned block, const char *scale)
{
    return vt_name("blocks.%u.%s" SCALE, block, scale);
}

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static void set_block(struct vt_graph *g, unsigned block)
{
    for (size_t i = 0; i < COUNT_OF(codes_of_block); i++)
        set_codes(g, node_of_block(block, codes_of_block[i].node), scale_of_block(block, codes_of_block[i].scale));
    for (size_t i = 0; i < COUNT_OF(units_of_block); i++)
        set_unit(g, node_of_block(block, units_of_block[i].node), scale_of_block(block, units_of_block[i].scale), 1);
    for (size_t i = 0; i < COUNT_OF(ranges_of_block); i++)
        set_unit(g, node_of_block(block, ranges_of_block[i].node), scale_of_block(block, ranges_of_block[i].scale),
                 WIDER);
}

/* An architecture that I-ViT does not have may have products that are none of these. */
static void expect_codes(struct vt_graph *g)
{
    for (size_t v = 0; v < g->node_count && !g->status; v++)
        if (vt_operand_count(&g->nodes[v]) && !vt_is_quantized(&g->nodes[v]))
            vt_graph_fail(g, VITRT_EUNSUPPORTED, "node %s: I-ViT has no scale for what it reads", g->nodes[v].name);
}

static void build(struct vt_graph *g, struct vt_model_facts *facts)
{
    vt_vit_timm_build(g, facts);
    for (size_t i = 0; i < COUNT_OF(codes) && !g->status; i++)
        set_codes(g, vt_name("%s", codes[i].node), vt_name("%s" SCALE, codes[i].scale));
    for (size_t i = 0; i < COUNT_OF(units) && !g->status; i++)
        set_unit(g, vt_name("%s", units[i].node), vt_name("%s" SCALE, units[i].scale), 1);
    for (unsigned block = 0; block < facts->blocks && !g->status; block++)
        set_block(g, block);
    if (g->status)
        return;
    set_unit(g, vt_name("norm"), vt_name("norm.unit"), 1);
    set_unit(g, vt_name("head"), vt_name("head.unit"), 1);
    expect_codes(g);
    vt_graph_link_quantizers(g);
}

static bool matches(vt_json config)
{
    return vt_json_is(vt_json_get(config, "quantization"), "i-vit") && vt_vit_timm_matches(config);
}

static bool ignores(const char *tensor)
{
    (void)tensor;
    return false;
}

static bool reads(const char *tensor)
{
    return vt_ends_with(tensor, SCALE) || !strcmp(tensor, "norm.unit") || !strcmp(tensor, "head.unit");
}

const struct vt_family vt_vit_ivit_family = { matches, build, ignores, reads };
