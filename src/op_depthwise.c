/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See op_depthwise.h. A piece of work is a row of the output map. Where the kernel sticks out at the top or bottom its
 * outer rows are left out; at the left and right single pixels read zeros instead. Rows before the map, such as a class
 * token, are copied.
 */
#include "op_depthwise.h"

#include "gather.h"

#include <string.h>

struct depthwise_job {
    const struct vt_exec *x;
    const struct vt_step *s;
    const struct vt_step_weights *w;
    const struct vt_shape *in, *out;
};

/* One row of the output of one image. */
struct output_row {
    const float *map; /* the image's */
    size_t ld;
    size_t ky, ky_end; /* rows of the kernel that lie inside of the map, */
    size_t top;        /* and the map's row that the first of them reads */
    char *out;
    size_t ldo;
    struct vt_format format; /* of out */
};

/* Places in a worker's scratch: zeros for a pixel outside of the map, one output row before its activation, pointers
 * to the taps. */
struct scratch {
    float *zeros, *row;
    const float **taps;
};

/* base NULL only measures. */
static size_t carve(const struct vt_node *node, const struct vt_shape *out, char *base, struct scratch *c)
{
    const size_t zeros = vt_round_up(vt_size_mul(node->columns, sizeof(float)), VT_ALIGN);
    const size_t row = vt_round_up(vt_size_mul(zeros, out->map[1]), VT_ALIGN);
    const uint32_t *kernel = node->u.conv.slide.kernel;
    const size_t taps = vt_size_mul((size_t)kernel[0] * kernel[1], sizeof(float *));
    *c = base ? (struct scratch){ (float *)base, (float *)(base + zeros), (const float **)(base + zeros + row) }
              : (struct scratch){ NULL, NULL, NULL };
    return vt_size_add(vt_size_add(zeros, row), taps);
}

size_t vt_depthwise_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    struct scratch c;
    return carve(s->node, &p->values[s->out].shape, NULL, &c);
}

/* Output pixels [first, first + count) of a row, all of whose kernels stick out alike. */
static void convolve(const struct depthwise_job *job, const struct output_row *r, const struct scratch *c, size_t first,
                     size_t count)
{
    const struct vt_node *node = job->s->node;
    const struct vt_sliding *slide = &node->u.conv.slide;
    const struct vt_kernels *kernels = job->x->plan->kernels;
    const size_t n = node->columns, step = slide->stride[1] * r->ld, width = job->in->map[1];
    size_t taps = 0;
    for (size_t ky = r->ky; ky < r->ky_end; ky++)
        for (size_t kx = 0; kx < slide->kernel[1]; kx++) {
            const size_t at = first * slide->stride[1] + kx; /* in the padded row */
            const bool inside = at >= slide->padding[1] && at - slide->padding[1] < width;
            const size_t pixel = (r->top + ky - r->ky) * width + at - slide->padding[1];
            c->taps[taps++] = inside ? r->map + pixel * r->ld : c->zeros;
        }
    const float *w = (const float *)job->w->weight + r->ky * slide->kernel[1] * n, *bias = job->w->bias;
    char *out = r->out + first * r->ldo * vt_dtype_bytes(r->format.element);
    if (job->s->activation) {
        kernels->depthwise_f32(count, n, taps, c->taps, step, w, bias, c->row, n);
        kernels->activation_f32[job->s->activation](count * n, c->row, c->row);
        for (size_t i = 0; i < count; i++)
            vt_put(kernels, &r->format, c->row + i * n, n, out + i * r->ldo * vt_dtype_bytes(r->format.element), 0);
    } else if (r->format.element == VT_U8) {
        kernels->depthwise_u8(count, n, taps, c->taps, step, w, bias, r->format.codes.highest, (uint8_t *)out, r->ldo);
    } else if (r->format.element == VT_BF16) {
        kernels->depthwise_bf16(count, n, taps, c->taps, step, w, bias, (vt_bf16 *)(void *)out, r->ldo);
    } else {
        kernels->depthwise_f32(count, n, taps, c->taps, step, w, bias, (float *)(void *)out, r->ldo);
    }
}

/* The whole row: pixels at its ends one by one, those between them together. */
static void convolve_row(const struct depthwise_job *job, const struct output_row *r, const struct scratch *c)
{
    const struct vt_sliding *slide = &job->s->node->u.conv.slide;
    const size_t width = job->out->map[1], stride = slide->stride[1], reach = job->in->map[1] + slide->padding[1];
    size_t left = (slide->padding[1] + stride - 1) / stride; /* first pixel whose kernel begins inside of the map, */
    size_t right = reach < slide->kernel[1] ? 0 : (reach - slide->kernel[1]) / stride + 1; /* and behind the last one */
    left = left < width ? left : width;
    right = right < left ? left : right < width ? right : width;
    for (size_t i = 0; i < left; i++)
        convolve(job, r, c, i, 1);
    if (right > left)
        convolve(job, r, c, left, right - left);
    for (size_t i = right; i < width; i++)
        convolve(job, r, c, i, 1);
}

static struct output_row row_of(const struct depthwise_job *job, size_t image, size_t oy)
{
    const struct vt_view in = job->s->node->in[0], out = vt_view_of(job->s->out);
    const struct vt_sliding *slide = &job->s->node->u.conv.slide;
    const size_t y = oy * slide->stride[0], height = job->in->map[0]; /* y in the padded map */
    struct output_row r = { .ld = vt_exec_ld(job->x, in.value),
                            .ldo = vt_exec_ld(job->x, out.value),
                            .format = { .element = vt_exec_element(job->x, out.value),
                                        .codes = job->w->out } };
    r.map = vt_exec_image(job->x, in, image) + job->in->prefix * r.ld;
    r.out =
        vt_exec_row(job->x, out, vt_exec_offsets(job->x, out.value)[image] + job->out->prefix + oy * job->out->map[1]);
    const size_t begin = slide->padding[0], end = begin + height; /* of the map's rows in the padded map */
    r.ky = y < begin ? begin - y : 0;
    r.ky_end = y >= end ? 0 : end - y < slide->kernel[0] ? end - y : slide->kernel[0];
    if (r.ky < r.ky_end)
        r.top = y + r.ky - begin;
    else
        r.ky = r.ky_end = 0; /* the kernel lies outside of the map: nothing but the bias is left */
    return r;
}

/* Rows before the map: the activation is for all rows. */
static void copy_prefix(const struct depthwise_job *job, const struct scratch *c, size_t image)
{
    const struct vt_view in = job->s->node->in[0], out = vt_view_of(job->s->out);
    const struct vt_kernels *kernels = job->x->plan->kernels;
    const struct vt_format format = { .element = vt_exec_element(job->x, out.value), .codes = job->w->out };
    for (size_t i = 0; i < job->in->prefix; i++) {
        const float *row = vt_exec_row(job->x, in, vt_exec_offsets(job->x, in.value)[image] + i);
        if (job->s->activation) {
            kernels->activation_f32[job->s->activation](in.columns, row, c->row);
            row = c->row;
        }
        vt_put(kernels, &format, row, in.columns,
               vt_exec_row(job->x, out, vt_exec_offsets(job->x, out.value)[image] + i), 0);
    }
}

static void run_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct depthwise_job *job = arg;
    const size_t *rows = vt_exec_offsets(job->x, job->s->out), height = job->out->map[0];
    struct scratch c;
    carve(job->s->node, job->out, vt_exec_scratch(job->x, worker), &c);
    memset(c.zeros, 0, job->s->node->columns * sizeof *c.zeros);
    for (size_t i = begin; i < end; i++) {
        const size_t image = i / height;
        if (rows[image + 1] == rows[image])
            continue; /* an image that could not be read */
        if (i % height == 0)
            copy_prefix(job, &c, image);
        const struct output_row r = row_of(job, image, i % height);
        convolve_row(job, &r, &c);
    }
}

void vt_run_depthwise(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    const struct vt_plan_value *values = x->plan->values;
    struct depthwise_job job = { x, s, w, &values[s->node->in[0].value].shape, &values[s->out].shape };
    const size_t rows = x->images * job.out->map[0];
    const size_t shares = vt_pool_size(x->pool) == 1 ? 1 : 4 * vt_pool_size(x->pool); /* for cores of different speed */
    vt_parallel(x->pool, rows, rows / shares ? rows / shares : 1, run_rows, &job);
}
