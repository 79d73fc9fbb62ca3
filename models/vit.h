/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain vision transformers: ViT (Dosovitskiy et al. 2020, arXiv:2010.11929), DeiT (arXiv:2012.12877), DeiT III (arXiv:2204.07118), DINOv2 (arXiv:2304.07193) with
 * and without registers (arXiv:2309.16588).
 *
 * vit.c builds the graph; vit_hf.c and vit_timm.c say how each framework's configuration describes it and what its tensors are called.
 */
#ifndef VT_MODELS_VIT_H
#define VT_MODELS_VIT_H

#include "family.h"

enum vit_pool { VT_POOL_NONE, VT_POOL_TOKEN, VT_POOL_AVG, VT_POOL_AVG_PREFIX /* prefix tokens included */, VT_POOL_TOKEN_AND_AVG /* side by side */ };

/* Names of tensors after the root; NULL: this layout has no such thing. Those of a block follow block and its number. */
struct vit_names {
    const char *patch, *positions, *tokens[3], *pre_norm, *block;
    const char *norm1, *qkv, *query, *key, *value, *query_norm, *key_norm, *proj, *scale1;
    const char *norm2, *fc1, *gate[2] /* fc1 in two tensors */, *fc2, *scale2;
    const char *norm, *pool_norm, *heads[2];
};

/* What a configuration says. What shapes tell (depth, widths, biases, LayerScale, registers) is read from the shapes. */
struct vit_config {
    const struct vit_names *names;
    const char *root; /* prefix of all names but the heads' */
    uint32_t heads;
    enum vt_activation activation, gated_activation; /* of a plain MLP, of one with a gate */
    float eps;
    enum vit_pool pool;
    enum vt_positions_filter filter;
    uint32_t image[2]; /* trained size: height, width */
    bool image_is_certain; /* false: positions that do not fit it are a square */
};

/* Builds the graph; errors stick to it. facts: family and architecture are set already. */
void vt_vit_build(struct vt_graph *g, const struct vit_config *c, struct vt_model_facts *facts);

extern const struct vt_family vt_vit_hf_family, vt_vit_timm_family;

#endif
