/* SPDX-License-Identifier: Apache-2.0 */
/* What every op needs of a running session, and the table of ops; see ops.h. */
#include "ops.h"

float *vt_exec_view(const struct vt_exec *x, struct vt_view view)
{
    return (float *)(x->arena + x->plan->values[view.value].offset) + view.column;
}

size_t vt_exec_ld(const struct vt_exec *x, vt_value value)
{
    return x->plan->values[value].shape.columns;
}

const size_t *vt_exec_offsets(const struct vt_exec *x, vt_value value)
{
    return x->offsets[x->plan->values[value].row_set];
}

size_t vt_exec_rows(const struct vt_exec *x, vt_value value)
{
    return vt_exec_offsets(x, value)[x->images];
}

void *vt_exec_scratch(const struct vt_exec *x, size_t worker)
{
    return x->arena + x->plan->value_bytes + worker * x->plan->scratch_bytes;
}

struct vt_gemm vt_gemm_of_step(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    struct vt_gemm g = { .kernels = x->plan->kernels,
                         .n = s->node->columns,
                         .panels = w->weight,
                         .bias = w->bias,
                         .activation = s->activation,
                         .scale = w->scale,
                         .c = vt_exec_view(x, vt_view_of(s->out)),
                         .ldc = vt_exec_ld(x, s->out) };
    if (s->residual.value != VT_NO_VALUE) {
        g.residual = vt_exec_view(x, s->residual);
        g.ldr = vt_exec_ld(x, s->residual.value);
    }
    return g;
}

const char *vt_gemm_name(const struct vt_plan *p)
{
    return p->kernels->gemm_f32.name;
}

const struct vt_op *vt_op_of(enum vt_node_type type)
{
    static const struct vt_op input = { .name = "input" };
    switch (type) {
    case VT_NODE_CONV2D: return &vt_op_conv2d;
    case VT_NODE_LINEAR: return &vt_op_linear;
    case VT_NODE_LAYER_NORM: return &vt_op_layer_norm;
    case VT_NODE_ATTENTION: return &vt_op_attention;
    case VT_NODE_ACTIVATION: return &vt_op_activation;
    case VT_NODE_ADD: return &vt_op_add;
    case VT_NODE_MUL: return &vt_op_mul;
    case VT_NODE_POOL: return &vt_op_pool;
    case VT_NODE_SLICE: return &vt_op_slice;
    case VT_NODE_CONCAT: return &vt_op_concat;
    case VT_NODE_EMBED: return &vt_op_embed;
    case VT_NODE_HEAD_COMBINE: return &vt_op_head_combine;
    case VT_NODE_POSITIONS: return &vt_op_positions;
    case VT_NODE_INPUT:
    case VT_NODE_TYPE_COUNT: break;
    }
    return &input;
}
