/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain vision transformers: ViT (Dosovitskiy et al. 2020, arXiv:2010.11929), DeiT (arXiv:2012.12877), DeiT III
 * (arXiv:2204.07118), DINOv2 (arXiv:2304.07193) with and without registers (arXiv:2309.16588).
 *
 * vit.c builds the graph; vit_hf.c and vit_timm.c say how each framework's configuration describes it and what its
 * tensors are called; vit_ivit.c adds the quantizers that a model was trained with.
 */
#ifndef VT_MODELS_VIT_H
#define VT_MODELS_VIT_H

#include "family.h"
#include "predictors.h"

enum vit_pool { VT_POOL_NONE, VT_POOL_TOKEN, VT_POOL_AVG, VT_POOL_TOKEN_AND_AVG /* side by side */ };

/* Names of tensors after the root; NULL: this layout has no such thing. Those of a block follow block and its number.
 */
struct vit_names {
    const char *patch, *positions, *tokens[3], *pre_norm, *block;
    const char *norm1, *qkv, *query, *key, *value, *query_norm, *key_norm, *proj, *scale1;
    const char *norm2, *fc1, *gate[2] /* fc1 in two tensors */, *fc2, *scale2;
    const char *norm, *pooler, *pool_norm, *heads[2];
    const char *predictors;
};

/* Parts that a checkpoint may come without; without the flag a missing tensor is an error. What the first block has,
 * every block must have. */
enum vit_optional {
    VIT_MAY_LACK_POSITIONS = 1 << 0,
    VIT_MAY_LACK_QKV_BIAS = 1 << 1,
    VIT_MAY_LACK_BIAS = 1 << 2, /* of the patch embedding, the projection and the MLP */
    VIT_MAY_LACK_SCALE = 1 << 3,
    VIT_MAY_LACK_NORM = 1 << 4, /* after the blocks */
};

/* What a configuration says. What shapes tell (widths, biases, LayerScale, registers) is read from the shapes. */
struct vit_config {
    const struct vit_names *names;
    const char *root;  /* prefix of all names but the heads' */
    unsigned optional; /* vit_optional */
    uint32_t heads;
    uint32_t depth, dim, hidden, classes; /* must agree with the shapes; 0: nothing is said */
    bool may_be_gated; /* an MLP whose first layer is twice as wide as its second one's input is a gated one */
    enum vt_activation activation, gated_activation; /* of a plain MLP, of one with a gate */
    float eps;
    enum vit_pool pool;
    enum vt_positions_filter filter;
    uint32_t image[2];     /* trained size: height, width */
    bool image_is_certain; /* false: positions that do not fit it are a square */
    struct vt_predictors predictors; /* count 0: nothing is said of their blocks */
};

/* Builds the graph; errors stick to it. facts: family and architecture are set already. */
void vt_vit_build(struct vt_graph *g, const struct vit_config *c, struct vt_model_facts *facts);

/* Of the timm family, which another one extends: see vt_family. */
bool vt_vit_timm_matches(vt_json config);
void vt_vit_timm_build(struct vt_graph *g, struct vt_model_facts *facts);

extern const struct vt_family vt_vit_hf_family, vt_vit_ivit_family, vt_vit_timm_family;

#endif
