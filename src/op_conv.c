/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions, channels last: a block of output positions gathers its windows into the worker's scratch and multiplies
 * them, one group of channels after the other. Depthwise ones are in op_depthwise.c. */
#include "gather.h"
#include "op_depthwise.h"

/* Windows gathered at a time, at least: enough rows for the tile to reuse a panel. */
#define LEAST_ROWS 48

struct conv_job {
    const struct vt_exec *x;
    const struct vt_step *s;
    struct vt_gemm gemm; /* of one group, without a, and for the first row of the pass */
    struct vt_format format; /* of windows */
    size_t groups, channels; /* input channels of each group */
    size_t blocks, rows; /* of one image; rows of a block */
};

/* Columns [first, last) of a map's row, of which `channels` of every `ld` floats are taken, as part of a window. */
static void gather_pixels(const struct conv_job *job, const float *row, size_t ld, size_t first, size_t last, void *window,
                          size_t at)
{
    const struct vt_gemm *g = &job->gemm;
    if (ld == job->channels) {
        vt_put(g->kernels, &job->format, row + first * ld, (last - first) * ld, window, at);
        return;
    }
    for (size_t i = first; i < last; i++, at += job->channels)
        vt_put(g->kernels, &job->format, row + i * ld, job->channels, window, at);
}

static size_t at_most(size_t n, size_t most)
{
    return n < most ? n : most;
}

/* One window [kernel_h, kernel_w, channels] of the map at output position (oy, ox), zeros outside the map. */
static void gather_window(const struct conv_job *job, const struct vt_shape *in, const float *map, size_t ld, size_t oy,
                          size_t ox, void *window)
{
    const struct vt_sliding *slide = &job->s->node->u.conv.slide;
    const struct vt_gemm *g = &job->gemm;
    const size_t x = ox * slide->stride[1], padding = slide->padding[1], width = slide->kernel[1]; /* x: padded */
    const size_t left = x < padding ? at_most(padding - x, width) : 0; /* columns of the window before the map, */
    const size_t end = at_most(in->map[1] + padding > x ? in->map[1] + padding - x : 0, width); /* and up to its end */
    const size_t inside = end > left ? end - left : 0, first = x + left - padding;
    for (size_t ky = 0, at = 0; ky < slide->kernel[0]; ky++, at += width * job->channels) {
        const size_t y = oy * slide->stride[0] + ky; /* in the padded map */
        if (y < slide->padding[0] || y - slide->padding[0] >= in->map[0] || !inside) {
            vt_put(g->kernels, &job->format, NULL, width * job->channels, window, at);
            continue;
        }
        if (left)
            vt_put(g->kernels, &job->format, NULL, left * job->channels, window, at);
        gather_pixels(job, map + (y - slide->padding[0]) * in->map[1] * ld, ld, first, first + inside, window,
                      at + left * job->channels);
        if (left + inside < width)
            vt_put(g->kernels, &job->format, NULL, (width - left - inside) * job->channels, window,
                   at + (left + inside) * job->channels);
    }
}

/* Windows of the output positions [first, first + count) of an image, as rows of the product. */
static void gather_block(const struct conv_job *job, const float *map, size_t first, size_t count, char *windows)
{
    const struct vt_node *node = job->s->node;
    const struct vt_plan *plan = job->x->plan;
    const struct vt_shape *in = &plan->values[node->in[0].value].shape, *out = &plan->values[job->s->out].shape;
    const size_t ld = vt_exec_ld(job->x, node->in[0].value);
    const size_t bytes = job->gemm.lda * vt_product_bytes(job->gemm.product);
    for (size_t i = first; i < first + count; i++, windows += bytes)
        gather_window(job, in, map, ld, i / out->map[1], i % out->map[1], windows);
}

/* The product of one group, whose panels begin a new one; its columns stand behind those of the groups before it. */
static struct vt_gemm gemm_of_group(const struct vt_gemm *whole, size_t group)
{
    const size_t nr = whole->kernels->gemm[whole->product].nr, column = group * whole->n;
    struct vt_gemm g = *whole;
    g.panels = vt_gemm_panel(whole, group * ((whole->n + nr - 1) / nr * nr));
    if (g.bias)
        g.bias = (const float *)g.bias + column;
    if (g.epilogue.sum_scale) {
        g.epilogue.sum_scale += column;
        g.epilogue.sum_bias += column;
    }
    if (g.epilogue.scale)
        g.epilogue.scale += column;
    if (g.epilogue.residual)
        g.epilogue.residual += column;
    g.epilogue.c = (char *)g.epilogue.c + column * vt_gemm_result_bytes(&g);
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
            gemm.epilogue.c = (char *)gemm.epilogue.c + offset * vt_gemm_result_bytes(&gemm);
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

/* Rows of a block: few stay in the first-level cache between being gathered and multiplied; where the weights come from
 * further away, as many as a product's blocks have, but several blocks for each thread. */
static size_t block_rows(const struct vt_plan *p, const struct vt_step *s, const struct vt_gemm *g)
{
    const size_t rows = p->values[s->out].rows, mr = p->kernels->gemm[s->node->product].mr;
    const size_t shared = p->threads == 1 ? rows : rows / (4 * (size_t)p->threads);
    const size_t weights = vt_size_mul(vt_size_mul(g->k, s->node->columns), vt_product_bytes(g->product));
    const size_t most = weights < g->l2_bytes / 4 ? LEAST_ROWS : vt_gemm_block_rows(g);
    const size_t wanted = shared < LEAST_ROWS ? LEAST_ROWS : at_most(shared, most);
    const size_t blocks = rows ? (rows + wanted - 1) / wanted : 1; /* of equal height */
    return ((rows + blocks - 1) / blocks + mr - 1) / mr * mr;
}

/* What a step's product is before a session runs it. */
static struct vt_gemm gemm_of_plan(const struct vt_plan *p, const struct vt_step *s)
{
    const size_t k = window_size(s->node);
    return (struct vt_gemm){ .kernels = p->kernels,
                             .product = s->node->product,
                             .l2_bytes = p->l2_bytes,
                             .k = k,
                             .lda = vt_row_stride(k, vt_product_bytes(s->node->product)) };
}

static void run_conv(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    if (vt_is_depthwise(s->node)) {
        vt_run_depthwise(x, s, w);
        return;
    }
    const struct vt_gemm plan = gemm_of_plan(x->plan, s);
    struct conv_job job = { .x = x,
                            .s = s,
                            .gemm = vt_gemm_of_step(x, s, w),
                            .format = vt_format_of_step(s, w),
                            .groups = s->node->u.conv.groups };
    job.channels = s->node->in[0].columns / job.groups;
    job.rows = block_rows(x->plan, s, &plan);
    job.blocks = (x->plan->values[s->out].rows + job.rows - 1) / job.rows;
    job.gemm.n /= job.groups;
    job.gemm.k = plan.k;
    job.gemm.lda = plan.lda;
    vt_parallel(x->pool, x->images * job.blocks, 1, run_blocks, &job);
}

static size_t conv_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    if (vt_is_depthwise(s->node))
        return vt_depthwise_scratch(p, s);
    const struct vt_gemm g = gemm_of_plan(p, s);
    return vt_size_mul(vt_size_mul(g.lda, block_rows(p, s, &g)), vt_product_bytes(s->node->product));
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
