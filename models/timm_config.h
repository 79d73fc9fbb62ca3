/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What configurations of timm have in common: "architecture", the name of an entry point; "pretrained_cfg", which is
 * about images; and sometimes "model_args", what the entry point was called with where that differs from its defaults.
 */
#ifndef VT_MODELS_TIMM_CONFIG_H
#define VT_MODELS_TIMM_CONFIG_H

#include "config.h"

/* Is the architecture of that name? It may carry a tag: "vit_base_patch16_224.augreg_in21k". */
bool vt_timm_is(vt_json config, const char *name);

/* An argument. */
struct vt_member vt_timm_arg(struct vt_graph *g, vt_json config, const char *key);
/* Fails if there are arguments beside those that the family knows (NULL-terminated) and those that only matter for
 * training. */
void vt_timm_check_args(struct vt_graph *g, vt_json config, const char *const *known);

/* The size of images: argument img_size, or pretrained_cfg.input_size, or that of the entry point. */
void vt_timm_image(struct vt_graph *g, vt_json config, uint32_t missing, uint32_t image[2]);
/* global_pool: of the arguments or of the file. */
int vt_timm_pool(struct vt_graph *g, vt_json config, const struct vt_choice *pools, size_t count, int missing);
enum vt_activation vt_timm_activation(struct vt_graph *g, vt_json config, enum vt_activation missing); /* act_layer */
uint32_t vt_timm_classes(struct vt_graph *g, vt_json config); /* num_classes; 0: nothing is said, or none */

#endif
