/* SPDX-License-Identifier: Apache-2.0 */
/* What families share when they build a graph: names of tensors, and PyTorch's modules, each with the tensors that
 * stand under its name. Errors stick to the graph. */
#ifndef VT_MODELS_LAYERS_H
#define VT_MODELS_LAYERS_H

#include "family.h"

/* A name of a tensor, a module or a node. Cut at the end of its room: such a name is found in no checkpoint. */
struct vt_name {
    char text[256];
};

struct vt_name vt_name(const char *format, ...) VT_PRINTF(1, 2);

bool vt_ends_with(const char *name, const char *end);

/* The tensor <module><leaf>, or NULL. */
const struct vt_tensor *vt_find(const struct vt_graph *g, struct vt_name module, const char *leaf);

/* Fails if the tensor is not there. */
void vt_require(struct vt_graph *g, struct vt_name module, const char *leaf);

/* shape[i] of a tensor, or 0 if it is missing or has fewer extents. */
uint32_t vt_extent(const struct vt_tensor *t, uint32_t i);

/* A number that the config gives, unless that is 0, must be what the tensors have. */
void vt_agree(struct vt_graph *g, const char *what, uint32_t config, uint32_t found);

/* nn.LayerNorm(columns / groups, eps) of every group of x's columns. */
vt_value vt_norm(struct vt_graph *g, const char *label, struct vt_name module, struct vt_view x, uint32_t columns,
                 uint32_t groups, float eps);

/* nn.Linear(columns, rows, bias) */
vt_value vt_linear(struct vt_graph *g, const char *label, struct vt_name module, struct vt_view x, uint32_t rows,
                   uint32_t columns, bool bias);

/* nn.Conv2d(in, out, kernel, stride, padding, bias) */
vt_value vt_conv(struct vt_graph *g, const char *label, struct vt_name module, vt_value x, uint32_t out, uint32_t in,
                 bool bias, const struct vt_sliding *slide);

/* fc2(activation(fc1(x))), the two named `first` and `second`, of block number `block`. */
vt_value vt_mlp(struct vt_graph *g, unsigned block, struct vt_name first, struct vt_name second, vt_value x,
                uint32_t hidden, uint32_t dim, enum vt_activation activation);

/* nn.Linear(columns, *classes), which the tensor tells. */
vt_value vt_classifier(struct vt_graph *g, const char *label, struct vt_name module, vt_value x, uint32_t columns,
                       uint32_t *classes);

#endif
