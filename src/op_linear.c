/* SPDX-License-Identifier: Apache-2.0 */
/* Linear layers with their fused epilogue. */
#include "gather.h"

/* Rows gathered at a time; as in a convolution. */
#define GATHER_ROWS 48

struct linear_job {
    const struct vt_exec *x;
    const struct vt_step *s;
    struct vt_gemm gemm;
    struct vt_gemm_split split;
    struct vt_format format; /* of gathered rows */
};

static void run_pieces(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct linear_job *job = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        vt_gemm_piece(&job->gemm, &job->split, i);
}

/* Rows [begin, end), put together in scratch a block at a time. */
static void run_gathered(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct linear_job *job = arg;
    const size_t nr = job->gemm.kernels->gemm[job->gemm.product].nr, panels = (job->gemm.n + nr - 1) / nr;
    void *rows = vt_exec_scratch(job->x, worker);
    for (size_t row = begin; row < end; row += GATHER_ROWS) {
        const size_t count = end - row < GATHER_ROWS ? end - row : GATHER_ROWS;
        struct vt_gemm gemm = job->gemm;
        gemm.a = rows;
        gemm.epilogue.c =
            (char *)gemm.epilogue.c + row * gemm.epilogue.ldc * vt_destination_bytes(gemm.epilogue.to);
        if (gemm.epilogue.residual)
            gemm.epilogue.residual += row * gemm.epilogue.ldr;
        vt_gather_rows(job->x, job->s, row, count, &job->format, rows, gemm.lda);
        vt_gemm_block(&gemm, 0, count, 0, panels);
    }
}

static size_t gathered_ld(const struct vt_plan *p, const struct vt_step *s)
{
    (void)p;
    return vt_row_stride(s->node->in[0].columns, vt_product_bytes(s->node->product));
}

static void run_linear(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    const struct vt_view in = s->node->in[0];
    struct linear_job job = { .x = x, .s = s, .gemm = vt_gemm_of_step(x, s, w) };
    const size_t first = s->node->u.linear.first;
    job.gemm.m = vt_exec_rows(x, (vt_value)(s->node - x->plan->graph->nodes));
    job.gemm.k = in.columns;
    job.gemm.panels = vt_gemm_panel(&job.gemm, first);
    if (job.gemm.bias && s->node->product != VT_PRODUCT_U8S8)
        job.gemm.bias = w->bias + first;
    if (s->gather) {
        job.format = vt_format_of_step(s, w);
        job.gemm.lda = gathered_ld(x->plan, s);
        vt_parallel(x->pool, job.gemm.m, GATHER_ROWS, run_gathered, &job);
        return;
    }
    const struct vt_row_order *from = x->plan->values[in.value].order, *to = x->plan->values[s->out].order;
    job.gemm.order = from && !to ? from : NULL;
    job.gemm.a = vt_exec_view(x, in);
    job.gemm.lda = vt_exec_ld(x, in.value);
    job.split = vt_gemm_split(&job.gemm, vt_pool_size(x->pool));
    vt_parallel(x->pool, job.split.row_blocks * job.split.panel_groups, 1, run_pieces, &job);
}

static size_t linear_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    return s->gather ? vt_size_mul(gathered_ld(p, s), GATHER_ROWS * vt_product_bytes(s->node->product)) : 0;
}

static uint64_t linear_macs(const struct vt_node *node, const struct vt_shape *shapes, vt_value v)
{
    return (uint64_t)vt_shape_rows(&shapes[v]) * node->in[0].columns * node->columns;
}

const struct vt_op vt_op_linear = { .name = "linear",
                                    .run = run_linear,
                                    .scratch_bytes = linear_scratch,
                                    .macs = linear_macs,
                                    .layout = vt_gemm_layout,
                                    .kernel_name = vt_gemm_name };
