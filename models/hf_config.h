/* SPDX-License-Identifier: Apache-2.0 */
/* What configurations of Hugging Face transformers have in common. */
#ifndef VT_MODELS_HF_CONFIG_H
#define VT_MODELS_HF_CONFIG_H

#include "config.h"
#include "layers.h"

bool vt_hf_is(vt_json config, const char *model_type);

/* The class that wrote the file into facts, or the model type where the file names none. */
void vt_hf_architecture(vt_json config, const char *model_type, struct vt_model_facts *facts);
/* Is it a class with a classification head? */
bool vt_hf_classifies(const struct vt_model_facts *facts);

/* "<model_type>." if tensor stands under that prefix, as in models with a head; otherwise "", as in bare ones. */
struct vt_name vt_hf_root(const struct vt_graph *g, const char *model_type, const char *tensor);
/* Is a tensor `leaf` in a model of that type, bare or not? */
bool vt_hf_is_tensor(const char *tensor, const char *model_type, const char *leaf);

enum vt_activation vt_hf_activation(struct vt_graph *g, vt_json config); /* hidden_act */
float vt_hf_eps(struct vt_graph *g, vt_json config, double missing);     /* layer_norm_eps */
uint32_t vt_hf_classes(struct vt_graph *g, vt_json config);              /* 0: nothing is said */

#endif
