/* SPDX-License-Identifier: Apache-2.0 */
/* See layers.h. */
#include "layers.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct vt_name vt_name(const char *format, ...)
{
    struct vt_name n;
    va_list args;
    va_start(args, format);
    vsnprintf(n.text, sizeof n.text, format, args);
    va_end(args);
    return n;
}

bool vt_ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && !memcmp(name + n - m, end, m);
}

static struct vt_name leaf_of(struct vt_name module, const char *leaf)
{
    return vt_name("%s%s", module.text, leaf);
}

const struct vt_tensor *vt_find(const struct vt_graph *g, struct vt_name module, const char *leaf)
{
    return vt_checkpoint_find(g->checkpoint, leaf_of(module, leaf).text);
}

void vt_require(struct vt_graph *g, struct vt_name module, const char *leaf)
{
    if (!vt_find(g, module, leaf))
        vt_graph_fail(g, VITRT_EFORMAT, "tensor %s%s is missing", module.text, leaf);
}

uint32_t vt_extent(const struct vt_tensor *t, uint32_t i)
{
    return t && i < t->rank && t->shape[i] <= UINT32_MAX ? (uint32_t)t->shape[i] : 0;
}

void vt_agree(struct vt_graph *g, const char *what, uint32_t config, uint32_t found)
{
    if (config && config != found)
        vt_graph_fail(g, VITRT_EFORMAT, "the config says %u %s, the tensors have %u", (unsigned)config, what,
                      (unsigned)found);
}

vt_value vt_norm(struct vt_graph *g, const char *label, struct vt_name module, struct vt_view x, uint32_t columns,
                 uint32_t groups, float eps)
{
    const vt_weight gamma = vt_graph_vector(g, leaf_of(module, ".weight").text, columns / groups),
                    beta = vt_graph_vector(g, leaf_of(module, ".bias").text, columns / groups);
    return vt_graph_layer_norm(g, label, x, gamma, beta, groups, eps);
}

static vt_weight bias_of(struct vt_graph *g, struct vt_name module, uint32_t n, bool there)
{
    return there ? vt_graph_vector(g, leaf_of(module, ".bias").text, n) : VT_NO_WEIGHT;
}

vt_value vt_linear(struct vt_graph *g, const char *label, struct vt_name module, struct vt_view x, uint32_t rows,
                   uint32_t columns, bool bias)
{
    const vt_weight weight = vt_graph_matrix(g, leaf_of(module, ".weight").text, rows, columns);
    return vt_graph_linear(g, label, x, weight, bias_of(g, module, rows, bias));
}

vt_value vt_conv(struct vt_graph *g, const char *label, struct vt_name module, vt_value x, uint32_t out, uint32_t in,
                 bool bias, const struct vt_sliding *slide)
{
    const vt_weight kernel = vt_graph_conv(g, leaf_of(module, ".weight").text, out, in, slide->kernel, 1);
    return vt_graph_conv2d(g, label, vt_view_of(x), kernel, bias_of(g, module, out, bias), slide);
}

vt_value vt_mlp(struct vt_graph *g, unsigned block, struct vt_name first, struct vt_name second, vt_value x,
                uint32_t hidden, uint32_t dim, enum vt_activation activation)
{
    vt_value h = vt_linear(g, vt_name("block.%u.fc1", block).text, first, vt_view_of(x), hidden, dim, true);
    h = vt_graph_activation(g, vt_name("block.%u.act", block).text, vt_view_of(h), activation);
    return vt_linear(g, vt_name("block.%u.fc2", block).text, second, vt_view_of(h), dim, hidden, true);
}

vt_value vt_classifier(struct vt_graph *g, const char *label, struct vt_name module, vt_value x, uint32_t columns,
                       uint32_t *classes)
{
    *classes = vt_extent(vt_find(g, module, ".weight"), 0);
    return vt_linear(g, label, module, vt_view_of(x), *classes, columns, true);
}
