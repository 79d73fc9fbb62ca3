/* SPDX-License-Identifier: Apache-2.0 */
/* Dense convolutions, channels last: a block of output positions gathers its windows into the worker's scratch and
 * multiplies them. */
#include "ops.h"

#include <string.h>

/* Windows gathered at a time, at most: enough rows for the tile to reuse a panel, few enough to stay in the
 * second-level cache. */
#define BLOCK_ROWS 48

struct conv_job {
    const struct vt_exec *x;
    const struct vt_step *s;
    struct vt_gemm gemm; /* without a, and for the first row of the pass */
    size_t blocks, rows; /* of one image; rows of a block */
};

/* Copies n floats into element `at` of a window, in the type of the product; src NULL: zeros. */
static void put(const struct vt_gemm *g, const float *src, size_t n, void *window, size_t at)
{
    if (g->product == VT_PRODUCT_BF16) {
        vt_bf16 *dst = (vt_bf16 *)window + at;
        if (src)
            g->kernels->to_bf16(n, src, dst);
        else
            memset(dst, 0, n * sizeof *dst);
        return;
    }
    float *dst = (float *)window + at;
    if (src)
        memcpy(dst, src, n * sizeof *dst);
    else
        memset(dst, 0, n * sizeof *dst);
}

/* One window [kernel_h, kernel_w, channels] of the map at output position (oy, ox), zeros outside the map. */
static void gather_window(const struct conv_job *job, const struct vt_shape *in, const float *map, size_t ld, size_t oy,
                          size_t ox, void *window)
{
    const struct vt_node *node = job->s->node;
    const uint32_t *kernel = node->u.conv.kernel, *stride = node->u.conv.stride, *padding = node->u.conv.padding;
    const size_t channels = node->in[0].columns;
    size_t at = 0;
    for (size_t ky = 0; ky < kernel[0]; ky++) {
        const size_t y = oy * stride[0] + ky; /* in the padded map */
        const bool inside = y >= padding[0] && y - padding[0] < in->map[0];
        for (size_t kx = 0; kx < kernel[1]; kx++, at += channels) {
            const size_t col = ox * stride[1] + kx;
            const bool there = inside && col >= padding[1] && col - padding[1] < in->map[1];
            const float *pixel = there ? map + ((y - padding[0]) * in->map[1] + col - padding[1]) * ld : NULL;
            put(&job->gemm, pixel, channels, window, at);
        }
    }
}

/* Rows of a window that lies inside a map whose channels are packed are contiguous: patch embeddings. */
static void gather_patch(const struct conv_job *job, const struct vt_shape *in, const float *map, size_t oy, size_t ox,
                         void *window)
{
    const struct vt_node *node = job->s->node;
    const uint32_t *kernel = node->u.conv.kernel, *stride = node->u.conv.stride;
    const size_t channels = node->in[0].columns, width = kernel[1] * channels;
    for (size_t ky = 0; ky < kernel[0]; ky++)
        put(&job->gemm, map + ((oy * stride[0] + ky) * in->map[1] + ox * stride[1]) * channels, width, window,
            ky * width);
}

/* Windows of the output positions [first, first + count) of an image, as rows of the product. */
static void gather_block(const struct conv_job *job, const float *map, size_t first, size_t count, char *windows)
{
    const struct vt_node *node = job->s->node;
    const struct vt_plan *plan = job->x->plan;
    const struct vt_shape *in = &plan->values[node->in[0].value].shape, *out = &plan->values[job->s->out].shape;
    const size_t ld = vt_exec_ld(job->x, node->in[0].value);
    const size_t bytes = job->gemm.lda * vt_product_bytes(job->gemm.product);
    const bool patches = !node->u.conv.padding[0] && !node->u.conv.padding[1] && ld == node->in[0].columns;
    for (size_t i = first; i < first + count; i++, windows += bytes) {
        const size_t oy = i / out->map[1], ox = i % out->map[1];
        if (patches)
            gather_patch(job, in, map, oy, ox, windows);
        else
            gather_window(job, in, map, ld, oy, ox, windows);
    }
}

static void run_blocks(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct conv_job *job = arg;
    const struct vt_view in = job->s->node->in[0], out = vt_view_of(job->s->out);
    const size_t *rows_in = vt_exec_offsets(job->x, in.value), *rows_out = vt_exec_offsets(job->x, out.value);
    const size_t rows = job->x->plan->values[out.value].rows, nr = job->gemm.kernels->gemm[job->gemm.product].nr;
    for (size_t i = begin; i < end; i++) {
        const size_t image = i / job->blocks, row = i % job->blocks * job->rows;
        const size_t count = rows - row < job->rows ? rows - row : job->rows, first = rows_out[image] + row;
        if (rows_out[image + 1] == rows_out[image])
            continue; /* an image that could not be read */
        struct vt_gemm gemm = job->gemm;
        char *windows = vt_exec_scratch(job->x, worker);
        gemm.a = windows;
        const bool is_input = job->x->plan->graph->nodes[in.value].type == VT_NODE_INPUT;
        const float *map = is_input ? job->x->pixels[job->x->first + image] : vt_exec_row(job->x, in, rows_in[image]);
        gather_block(job, map, row, count, windows);
        gemm.epilogue.c = vt_exec_row(job->x, out, first);
        if (gemm.epilogue.residual)
            gemm.epilogue.residual += (first - rows_out[0]) * gemm.epilogue.ldr;
        vt_gemm_block(&gemm, 0, count, 0, (gemm.n + nr - 1) / nr);
    }
}

static size_t window_size(const struct vt_node *node)
{
    return (size_t)node->u.conv.kernel[0] * node->u.conv.kernel[1] * node->in[0].columns;
}

static void run_conv(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    struct conv_job job = { .x = x, .s = s, .gemm = vt_gemm_of_step(x, s, w) };
    const size_t rows = x->plan->values[s->out].rows, mr = x->plan->kernels->gemm[job.gemm.product].mr;
    const size_t equal = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS; /* blocks of equal height */
    job.rows = ((rows + equal - 1) / equal + mr - 1) / mr * mr;
    job.rows = job.rows < BLOCK_ROWS ? job.rows : BLOCK_ROWS;
    job.blocks = (rows + job.rows - 1) / job.rows;
    job.gemm.k = window_size(s->node);
    job.gemm.lda = vt_row_stride(job.gemm.k, vt_product_bytes(job.gemm.product));
    vt_parallel(x->pool, x->images * job.blocks, 1, run_blocks, &job);
}

static size_t conv_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    const size_t bytes = vt_product_bytes(p->product);
    return vt_size_mul(vt_size_mul(vt_row_stride(window_size(s->node), bytes), BLOCK_ROWS), bytes);
}

static uint64_t conv_macs(const struct vt_node *node, const struct vt_shape *shapes, vt_value v)
{
    return (uint64_t)vt_shape_rows(&shapes[v]) * window_size(node) * node->columns;
}

const struct vt_op vt_op_conv2d = { .name = "conv2d",
                                    .run = run_conv,
                                    .scratch_bytes = conv_scratch,
                                    .macs = conv_macs,
                                    .weight_panels = true,
                                    .kernel_name = vt_gemm_name };
