/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions, channels last: a block of output positions gathers its windows into the worker's scratch and multiplies
 * them, one group of channels after the other. Depthwise ones are in op_depthwise.c. */
#include "gather.h"
#include "op_depthwise.h"

/* Windows gathered at a time, at most: enough rows for the tile to reuse a panel, few enough to stay in the
 * second-level cache. */
#define BLOCK_ROWS 48

struct conv_job {
    const struct vt_exec *x;
    const struct vt_step *s;
    struct vt_gemm gemm; /* of one group, without a, and for the first row of the pass */
    size_t groups, channels; /* input channels of each group */
    size_t blocks, rows; /* of one image; rows of a block */
};

/* One window [kernel_h, kernel_w, channels] of the map at output position (oy, ox), zeros outside the map. */
static void gather_window(const struct conv_job *job, const struct vt_shape *in, const float *map, size_t ld, size_t oy,
                          size_t ox, void *window)
{
    const struct vt_sliding *slide = &job->s->node->u.conv.slide;
    const struct vt_gemm *g = &job->gemm;
    size_t at = 0;
    for (size_t ky = 0; ky < slide->kernel[0]; ky++) {
        const size_t y = oy * slide->stride[0] + ky; /* in the padded map */
        const bool inside = y >= slide->padding[0] && y - slide->padding[0] < in->map[0];
        for (size_t kx = 0; kx < slide->kernel[1]; kx++, at += job->channels) {
            const size_t col = ox * slide->stride[1] + kx;
            const bool there = inside && col >= slide->padding[1] && col - slide->padding[1] < in->map[1];
            const float *pixel =
                there ? map + ((y - slide->padding[0]) * in->map[1] + col - slide->padding[1]) * ld : NULL;
            vt_put(g->kernels, g->product == VT_PRODUCT_BF16, pixel, job->channels, window, at);
        }
    }
}

/* Rows of a window that lies inside a map whose channels are packed are contiguous: patch embeddings. */
static void gather_patch(const struct conv_job *job, const struct vt_shape *in, const float *map, size_t oy, size_t ox,
                         void *window)
{
    const struct vt_sliding *slide = &job->s->node->u.conv.slide;
    const size_t width = slide->kernel[1] * job->channels;
    for (size_t ky = 0; ky < slide->kernel[0]; ky++)
        vt_put(job->gemm.kernels, job->gemm.product == VT_PRODUCT_BF16,
               map + ((oy * slide->stride[0] + ky) * in->map[1] + ox * slide->stride[1]) * job->channels, width, window,
               ky * width);
}

/* Does the window at this output position lie inside the map? */
static bool is_inside(const struct vt_sliding *slide, const struct vt_shape *in, size_t oy, size_t ox)
{
    const size_t y = oy * slide->stride[0], x = ox * slide->stride[1];
    return y >= slide->padding[0] && y - slide->padding[0] + slide->kernel[0] <= in->map[0] &&
           x >= slide->padding[1] && x - slide->padding[1] + slide->kernel[1] <= in->map[1];
}

/* Windows of the output positions [first, first + count) of an image, as rows of the product. */
static void gather_block(const struct conv_job *job, const float *map, size_t first, size_t count, char *windows)
{
    const struct vt_node *node = job->s->node;
    const struct vt_plan *plan = job->x->plan;
    const struct vt_shape *in = &plan->values[node->in[0].value].shape, *out = &plan->values[job->s->out].shape;
    const struct vt_sliding *slide = &node->u.conv.slide;
    const size_t ld = vt_exec_ld(job->x, node->in[0].value);
    const size_t bytes = job->gemm.lda * vt_product_bytes(job->gemm.product);
    const bool patches = !slide->padding[0] && !slide->padding[1] && ld == job->channels;
    for (size_t i = first; i < first + count; i++, windows += bytes) {
        const size_t oy = i / out->map[1], ox = i % out->map[1];
        if (patches && is_inside(slide, in, oy, ox))
            gather_patch(job, in, map, oy, ox, windows);
        else
            gather_window(job, in, map, ld, oy, ox, windows);
    }
}

/* The product of one group, whose panels begin a new one; its columns stand behind those of the groups before it. */
static struct vt_gemm gemm_of_group(const struct vt_gemm *whole, size_t group)
{
    const size_t nr = whole->kernels->gemm[whole->product].nr, column = group * whole->n;
    struct vt_gemm g = *whole;
    g.panels = vt_gemm_panel(whole, group * ((whole->n + nr - 1) / nr * nr));
    if (g.bias)
        g.bias = (const float *)g.bias + column;
    if (g.epilogue.scale)
        g.epilogue.scale += column;
    if (g.epilogue.residual)
        g.epilogue.residual += column;
    g.epilogue.c = (char *)g.epilogue.c + column * vt_destination_bytes(g.epilogue.to);
    return g;
}

static void run_blocks(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct conv_job *job = arg;
    const struct vt_view in = job->s->node->in[0], out = vt_view_of(job->s->out);
    const size_t *rows_out = vt_exec_offsets(job->x, out.value);
    const size_t rows = job->x->plan->values[out.value].rows, nr = job->gemm.kernels->gemm[job->gemm.product].nr;
    char *windows = vt_exec_scratch(job->x, worker);
    for (size_t i = begin; i < end; i++) {
        const size_t image = i / job->blocks, row = i % job->blocks * job->rows;
        const size_t count = rows - row < job->rows ? rows - row : job->rows, first = rows_out[image] + row;
        if (rows_out[image + 1] == rows_out[image])
            continue; /* an image that could not be read */
        const float *map = vt_exec_image(job->x, in, image);
        for (size_t group = 0; group < job->groups; group++) {
            struct vt_gemm gemm = gemm_of_group(&job->gemm, group);
            const size_t offset = (first - rows_out[0]) * gemm.epilogue.ldc;
            gather_block(job, map + group * job->channels, row, count, windows);
            gemm.a = windows;
            gemm.epilogue.c = (char *)gemm.epilogue.c + offset * vt_destination_bytes(gemm.epilogue.to);
            if (gemm.epilogue.residual)
                gemm.epilogue.residual += (first - rows_out[0]) * gemm.epilogue.ldr;
            vt_gemm_block(&gemm, 0, count, 0, (gemm.n + nr - 1) / nr);
        }
    }
}

static size_t window_size(const struct vt_node *node)
{
    const uint32_t *kernel = node->u.conv.slide.kernel;
    return (size_t)kernel[0] * kernel[1] * (node->in[0].columns / node->u.conv.groups);
}

static void run_conv(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    if (vt_is_depthwise(s->node)) {
        vt_run_depthwise(x, s, w);
        return;
    }
    struct conv_job job = { .x = x, .s = s, .gemm = vt_gemm_of_step(x, s, w), .groups = s->node->u.conv.groups };
    const size_t rows = x->plan->values[s->out].rows, mr = x->plan->kernels->gemm[job.gemm.product].mr;
    const size_t equal = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS; /* blocks of equal height */
    job.channels = s->node->in[0].columns / job.groups;
    job.rows = ((rows + equal - 1) / equal + mr - 1) / mr * mr;
    job.rows = job.rows < BLOCK_ROWS ? job.rows : BLOCK_ROWS;
    job.blocks = (rows + job.rows - 1) / job.rows;
    job.gemm.n /= job.groups;
    job.gemm.k = window_size(s->node);
    job.gemm.lda = vt_row_stride(job.gemm.k, vt_product_bytes(job.gemm.product));
    vt_parallel(x->pool, x->images * job.blocks, 1, run_blocks, &job);
}

static size_t conv_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    const size_t bytes = vt_product_bytes(p->product);
    if (vt_is_depthwise(s->node))
        return vt_depthwise_scratch(p, s);
    return vt_size_mul(vt_size_mul(vt_row_stride(window_size(s->node), bytes), BLOCK_ROWS), bytes);
}

static uint64_t conv_macs(const struct vt_node *node, const struct vt_shape *shapes, vt_value v)
{
    return (uint64_t)shapes[v].map[0] * shapes[v].map[1] * window_size(node) * node->columns;
}

static enum vt_layout conv_layout(const struct vt_plan *p, const struct vt_step *s)
{
    return vt_is_depthwise(s->node) ? VT_LAYOUT_TRANSPOSED : vt_gemm_layout(p, s);
}

static const char *conv_kernel(const struct vt_plan *p, const struct vt_step *s)
{
    return vt_is_depthwise(s->node) ? "" : vt_gemm_name(p, s);
}

const struct vt_op vt_op_conv2d = { .name = "conv2d",
                                    .run = run_conv,
                                    .scratch_bytes = conv_scratch,
                                    .macs = conv_macs,
                                    .layout = conv_layout,
                                    .kernel_name = conv_kernel };
