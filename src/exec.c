/* SPDX-License-Identifier: Apache-2.0 */
/* What every op needs of a running session, and the table of ops; see ops.h. */
#include "ops.h"

#include "step_integers.h"

enum vt_dtype vt_exec_element(const struct vt_exec *x, vt_value value)
{
    return x->plan->graph->nodes[value].element;
}

static void *element_of(const struct vt_exec *x, struct vt_view view, size_t row)
{
    const size_t element = row * vt_exec_ld(x, view.value) + view.column;
    return x->arena + x->plan->values[view.value].offset + element * vt_dtype_bytes(vt_exec_element(x, view.value));
}

void *vt_exec_row(const struct vt_exec *x, struct vt_view view, size_t row)
{
    const bool whole = x->plan->values[view.value].whole_batch;
    return element_of(x, view, whole ? row : row - vt_exec_offsets(x, view.value)[0]);
}

void *vt_exec_view(const struct vt_exec *x, struct vt_view view)
{
    const bool whole = x->plan->values[view.value].whole_batch;
    return element_of(x, view, whole ? vt_exec_offsets(x, view.value)[0] : 0);
}

const float *vt_exec_image(const struct vt_exec *x, struct vt_view view, size_t image)
{
    if (x->plan->graph->nodes[view.value].type == VT_NODE_INPUT)
        return x->pixels[x->first + image] + view.column;
    return vt_exec_row(x, view, vt_exec_offsets(x, view.value)[image]);
}

struct vt_image_rows vt_exec_image_rows(const struct vt_exec *x, struct vt_view view, size_t image)
{
    const size_t *rows = vt_exec_offsets(x, view.value);
    return (struct vt_image_rows){ .at = vt_exec_row(x, view, rows[image]),
                                   .rows = rows[image + 1] - rows[image],
                                   .ld = vt_exec_ld(x, view.value) };
}

size_t vt_exec_ld(const struct vt_exec *x, vt_value value)
{
    return x->plan->values[value].ld;
}

const size_t *vt_exec_offsets(const struct vt_exec *x, vt_value value)
{
    return x->offsets[x->plan->values[value].row_set] + x->first;
}

void vt_exec_each_image(const struct vt_step_job *j, size_t begin, size_t end,
                        void (*rows)(const struct vt_step_job *j, size_t image, size_t first, size_t last))
{
    const size_t *offsets = vt_exec_offsets(j->x, j->s->out);
    for (size_t image = 0; begin < end; image++) {
        const size_t start = offsets[image] - offsets[0], behind = offsets[image + 1] - offsets[0];
        const size_t last = end < behind ? end : behind;
        if (begin >= last)
            continue;
        rows(j, image, begin - start, last - start);
        begin = last;
    }
}

size_t vt_exec_rows(const struct vt_exec *x, vt_value value)
{
    const size_t *offsets = vt_exec_offsets(x, value);
    return offsets[x->images] - offsets[0];
}

void *vt_exec_scratch(const struct vt_exec *x, size_t worker)
{
    return x->scratch + worker * x->scratch_bytes;
}

enum vt_destination vt_destination_of(enum vt_dtype element)
{
    return element == VT_BF16 ? VT_TO_BF16 : element == VT_U8 ? VT_TO_U8 : VT_TO_F32;
}

struct vt_gemm vt_gemm_of_step(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    const bool codes = s->node->product == VT_PRODUCT_U8S8 && !w->integers;
    struct vt_gemm g = { .kernels = x->plan->kernels,
                         .product = s->node->product,
                         .l2_bytes = x->plan->l2_bytes,
                         .m = vt_exec_rows(x, s->out),
                         .n = s->node->columns,
                         .panels = w->weight,
                         .bias = w->integers ? (const void *)w->integers->bias
                                 : codes     ? (const void *)w->sum_start
                                             : w->bias,
                         .integers = w->integers,
                         .activation = s->activation,
                         .epilogue = { .sum_scale = codes ? w->sum_scale : NULL,
                                       .sum_bias = codes ? w->sum_bias : NULL,
                                       .scale = w->scale,
                                       .c = vt_exec_view(x, vt_view_of(s->out)),
                                       .ldc = vt_exec_ld(x, s->out),
                                       .to = vt_destination_of(vt_exec_element(x, s->out)),
                                       .highest = w->out.highest } };
    if (s->residual.value != VT_NO_VALUE) {
        g.epilogue.residual = vt_exec_view(x, s->residual);
        g.epilogue.ldr = vt_exec_ld(x, s->residual.value);
    } else if (w->out.scale) {
        g.epilogue.scale = w->out.scale;
        g.epilogue.residual = w->out.shift; /* the same row for all */
    }
    return g;
}

const char *vt_gemm_name(const struct vt_plan *p, const struct vt_step *s)
{
    return p->kernels->gemm[s->node->product].name;
}

enum vt_layout vt_gemm_layout(const struct vt_plan *p, const struct vt_step *s)
{
    (void)p;
    return vt_layout_of(s->node->product);
}

const struct vt_op *vt_op_of_step(const struct vt_plan *p, const struct vt_step *s)
{
    if (p->precision != VT_PRECISION_STRICT)
        return vt_op_of(s->type);
    switch (s->type) {
    case VT_NODE_ADD:
    case VT_NODE_HEAD_COMBINE: return &vt_op_integer_add;
    case VT_NODE_CONCAT: return &vt_op_integer_concat;
    case VT_NODE_CONVERT: return &vt_op_integer_convert;
    case VT_NODE_EMBED: return &vt_op_integer_embed;
    case VT_NODE_POOL: return &vt_op_integer_pool;
    case VT_NODE_TOKEN_SCORE: return &vt_op_integer_token_score;
    case VT_NODE_SELECT: return &vt_op_integer_select;
    case VT_NODE_APPLY: return &vt_op_integer_apply;
    case VT_NODE_SCATTER: return &vt_op_integer_scatter;
    case VT_NODE_UPSAMPLE: return &vt_op_integer_upsample;
    case VT_NODE_ARGMAX: return &vt_op_integer_argmax;
    default: return vt_op_of(s->type);
    }
}

static void run_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    struct vt_step_job job = *(const struct vt_step_job *)arg;
    job.scratch = vt_exec_scratch(job.x, worker);
    vt_op_of_step(job.x->plan, job.s)->rows(&job, begin, end);
}

static void run_images(void *arg, size_t begin, size_t end, size_t worker)
{
    struct vt_step_job job = *(const struct vt_step_job *)arg;
    job.scratch = vt_exec_scratch(job.x, worker);
    vt_op_of_step(job.x->plan, job.s)->images(&job, begin, end);
}

/* The offsets of the rows that the map of each image leaves, whose numbers stand where they end. */
static void add_up_rows(const struct vt_exec *x, const struct vt_step *s)
{
    size_t *offsets = x->offsets[x->plan->values[s->out].result_set] + x->first;
    for (size_t i = 0; i < x->images; i++)
        offsets[i + 1] += offsets[i];
}

/* Rows of one piece of work: equal pieces, a few for each thread, none too small to be worth handing out, which takes
 * some microseconds. */
static size_t rows_grain(size_t rows, size_t columns, unsigned threads)
{
    enum { LEAST_ROWS = 8, LEAST_NUMBERS = 2048 };
    const size_t pieces = threads == 1 ? 1 : 3 * (size_t)threads, grain = (rows + pieces - 1) / pieces;
    const size_t least = LEAST_NUMBERS / columns > LEAST_ROWS ? LEAST_NUMBERS / columns : LEAST_ROWS;
    return grain < least ? least : grain;
}

void vt_exec_step(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    const struct vt_op *op = vt_op_of_step(x->plan, s);
    struct vt_step_job job = { .x = x, .s = s, .w = w };
    if (op->run)
        op->run(x, s, w);
    else if (op->rows)
        vt_parallel(x->pool, vt_exec_rows(x, s->out),
                    rows_grain(vt_exec_rows(x, s->out), s->node->columns, vt_pool_size(x->pool)), run_rows, &job);
    else if (op->images)
        vt_parallel(x->pool, x->images, 1, run_images, &job);
    if (s->type == VT_NODE_SELECT)
        add_up_rows(x, s);
}

const char *vt_kernel_name(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_op *op = vt_op_of(s->type);
    return op->kernel_name ? op->kernel_name(p, s) : "";
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
    case VT_NODE_CONVERT: return &vt_op_convert;
    case VT_NODE_L2_NORM: return &vt_op_l2_norm;
    case VT_NODE_POOL2D: return &vt_op_pool2d;
    case VT_NODE_TOKENS: return &vt_op_tokens;
    case VT_NODE_WINDOWS: return &vt_op_windows;
    case VT_NODE_UNWINDOWS: return &vt_op_unwindows;
    case VT_NODE_SPACE_TO_DEPTH: return &vt_op_space_to_depth;
    case VT_NODE_RELATIVE_BIAS: return &vt_op_relative_bias;
    case VT_NODE_POSITIONS: return &vt_op_positions;
    case VT_NODE_TOKEN_SCORE: return &vt_op_token_score;
    case VT_NODE_SELECT: return &vt_op_select;
    case VT_NODE_APPLY: return &vt_op_apply;
    case VT_NODE_SCATTER: return &vt_op_scatter;
    case VT_NODE_UPSAMPLE: return &vt_op_upsample;
    case VT_NODE_ARGMAX: return &vt_op_argmax;
    case VT_NODE_ATTENTION_SCORES: return &vt_op_attention_scores;
    case VT_NODE_INPUT:
    case VT_NODE_TYPE_COUNT: break;
    }
    return &input;
}
