/* SPDX-License-Identifier: Apache-2.0 */
/* Linear layers with their fused epilogue. */
#include "ops.h"

struct linear_job {
    struct vt_gemm gemm;
    struct vt_gemm_split split;
};

static void run_pieces(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct linear_job *job = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        vt_gemm_piece(&job->gemm, &job->split, i);
}

static void run_linear(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    const struct vt_view in = s->node->in[0];
    struct linear_job job = { .gemm = vt_gemm_of_step(x, s, w) };
    const size_t first = s->node->u.linear.first;
    job.gemm.k = in.columns;
    job.gemm.panels = vt_gemm_panel(&job.gemm, first);
    job.gemm.bias = w->bias ? w->bias + first : NULL;
    job.gemm.a = vt_exec_view(x, in);
    job.gemm.lda = vt_exec_ld(x, in.value);
    job.split = vt_gemm_split(&job.gemm, vt_pool_size(x->pool));
    vt_parallel(x->pool, job.split.row_blocks * job.split.panel_groups, 1, run_pieces, &job);
}

static uint64_t linear_macs(const struct vt_node *node, const struct vt_shape *shapes, vt_value v)
{
    return (uint64_t)vt_shape_rows(&shapes[v]) * node->in[0].columns * node->columns;
}

const struct vt_op vt_op_linear = {
    .name = "linear", .run = run_linear, .macs = linear_macs, .weight_panels = true, .kernel_name = vt_gemm_name
};
