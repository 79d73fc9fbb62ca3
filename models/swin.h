/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swin Transformers: Swin (Liu et al. 2021, arXiv:2103.14030) and Swin V2 (Liu et al. 2022, arXiv:2111.09883).
 *
 * swin.c builds the graph; swin_hf.c and swin_timm.c say how each framework's configuration describes it, how it lays
 * windows over a map, and what its tensors are called.
 */
#ifndef VT_MODELS_SWIN_H
#define VT_MODELS_SWIN_H

#include "config.h"
#include "family.h"

#define VT_SWIN_MAX_DIM   65536u /* channels of any stage */
#define VT_SWIN_MAX_DEPTH 512u   /* blocks of a stage */
#define VT_SWIN_MAX_MLP   64.0   /* mlp_ratio */

/* Names of modules and tensors; NULL: this layout, or this version of Swin, has no such thing. */
struct swin_names {
    const char *patch, *patch_norm, *positions, *norm; /* after the root */
    const char *stages;                                /* after the root; a stage's number, and one of these, follow: */
    const char *reduction, *reduction_norm, *blocks;
    /* Of a block, after its number. */
    const char *norm1, *norm2, *proj, *fc1, *fc2;
    const char *qkv[3];          /* tensors of the weight: one of q, k and v, or three */
    const char *qkv_bias[3];     /* and of the bias; a missing part is zeros */
    const char *bias_table;      /* of Swin */
    const char *bias_network[2]; /* of Swin V2: the layers of the network */
    const char *logit_scale;     /* of Swin V2 */
    const char *head;            /* without the root */
};

struct swin_stage {
    uint32_t depth, heads;
    double mlp_ratio;                 /* hidden channels of the MLP for each channel */
    struct vt_window_pattern windows; /* of every other block, from the second on; the others do not shift */
    uint32_t trained[2];              /* window that the relative bias is for */
};

/* What a configuration says. */
struct swin_config {
    const struct swin_names *names;
    const char *root;  /* prefix of all names but the head's */
    bool v2;           /* Swin V2's blocks and patch merging */
    bool qkv_bias;     /* is there one? */
    bool merge_at_end; /* patch merging is named after the stage before it */
    bool cover;        /* images are extended with zeros to whole patches; otherwise the rest is left out */
    bool pooled;       /* the mean of the features is an answer */
    uint32_t dim;      /* channels of the first stage */
    uint32_t classes;  /* must agree with the shapes; 0: nothing is said */
    uint32_t image[2]; /* trained size: height, width */
    uint32_t patch[2];
    enum vt_activation activation;
    float eps;      /* of the blocks' norms and the last one */
    float stem_eps; /* of the norms of the patch embedding and of patch merging */
    uint32_t stage_count;
    struct swin_stage stages[VT_MAX_STAGES];
};

/* Reads depths and num_heads, lists with an element for each stage; c keeps what it has where they are missing. */
void vt_swin_read_stages(struct swin_config *c, struct vt_member depths, struct vt_member heads);
/* Reads what the relative biases of Swin V2 are for, where that is not the stage's own window: list elements of 0. */
void vt_swin_read_pretrained(struct swin_config *c, struct vt_member sizes);

/* Builds the graph; errors stick to it. facts: family and architecture are set already. */
void vt_swin_build(struct vt_graph *g, const struct swin_config *c, struct vt_model_facts *facts);

/* Is it an index or a mask that Swin computes when it is made, and old checkpoints hold? */
bool vt_swin_is_buffer(const char *tensor);

extern const struct vt_family vt_swin_hf_family, vt_swin_timm_family;

#endif
