/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LayerNorm and L2 norm. LayerNorm writes a buffer of its own anyway, so it is also what puts rows into the order of
 * windows, what puts the blocks of a map side by side before it, and what adds a residual behind it.
 */
#include "gather.h"
#include "step_integers.h"

#include <assert.h>

/* Rows that go through scratch at a time: groups of the kernel's four. */
#define CHUNK_ROWS 8

/* One step's output, and what its rows are made of. */
struct norm_job {
    const struct vt_step_job *job;
    size_t groups, n; /* n columns in each */
    void *out;
    size_t ldo;
    enum vt_dtype element, in_element;
};

static struct norm_job norm_of(const struct vt_step_job *job)
{
    const struct vt_node *node = job->s->node;
    const size_t groups = node->u.norm.groups;
    return (struct norm_job){ .job = job,
                              .groups = groups,
                              .n = node->columns / groups,
                              .out = vt_exec_view(job->x, vt_view_of(job->s->out)),
                              .ldo = vt_exec_ld(job->x, job->s->out),
                              .element = vt_exec_element(job->x, job->s->out),
                              .in_element = vt_exec_element(job->x, node->in[0].value) };
}

static void *out_row(const struct norm_job *n, size_t row)
{
    return (char *)n->out + row * n->ldo * vt_dtype_bytes(n->element);
}

/* LayerNorm of m rows of words. */
static void normalise_words(const struct norm_job *n, size_t m, const int16_t *x, size_t ldx, void *y, size_t ldy)
{
    const struct vt_step_integers *integers = n->job->w->integers;
    struct vt_integer_epilogue e = integers->epilogue;
    e.c = y;
    e.ldc = ldy;
    n->job->x->plan->kernels->integer.layer_norm_s16(m, n->n, x, ldx, integers->eps, &e);
}

/* LayerNorm of m rows of floats or words, in the type of the step's value. */
static void normalise(const struct norm_job *n, size_t m, const void *rows, size_t ldx, void *y, size_t ldy)
{
    if (n->in_element == VT_I16) {
        normalise_words(n, m, rows, ldx, y, ldy);
        return;
    }
    assert(n->in_element == VT_F32);
    const float *x = rows;
    const struct vt_kernels *kernels = n->job->x->plan->kernels;
    const struct vt_step_weights *w = n->job->w;
    const float *gamma = w->weight, *beta = w->bias, eps = n->job->s->node->u.norm.eps;
    for (size_t g = 0, at = 0; g < n->groups; g++, at += n->n) {
        if (n->element == VT_U8) /* codes have a gamma and beta for every column */
            kernels->layer_norm_u8(m, n->n, x + at, ldx, gamma + at, beta + at, eps, w->out.highest, (uint8_t *)y + at,
                                   ldy);
        else if (n->element == VT_BF16)
            kernels->layer_norm_bf16(m, n->n, x + at, ldx, gamma, beta, eps, (vt_bf16 *)y + at, ldy);
        else
            kernels->layer_norm_f32(m, n->n, x + at, ldx, gamma, beta, eps, (float *)y + at, ldy);
    }
}

/* Output rows [begin, end) in the order of windows: rows that stand together in both orders go together. */
static void norm_to_windows(const struct norm_job *n, const struct vt_row_order *order, const char *x, size_t ldx,
                            size_t begin, size_t end)
{
    const size_t row_bytes = ldx * vt_dtype_bytes(n->in_element);
    const struct vt_format format = { .element = n->element, .codes = n->job->w->out };
    struct vt_row_run run;
    for (size_t row = begin; row < end; row += run.count) {
        run = vt_row_run_at(order, row, end);
        if (run.to != VT_NOWHERE)
            normalise(n, run.count, x + run.to * row_bytes, ldx, out_row(n, row), n->ldo);
        for (size_t i = 0; i < run.count && run.to == VT_NOWHERE; i++)
            vt_put(n->job->x->plan->kernels, &format, NULL, n->groups * n->n, out_row(n, row + i), 0);
    }
}

/* Through scratch: rows are gathered before, or a residual, whose memory may be the output's, is added after. */
static void norm_chunks(const struct norm_job *n, size_t begin, size_t end)
{
    const struct vt_step_job *job = n->job;
    const struct vt_step *s = job->s;
    const size_t columns = s->node->columns;
    const struct vt_format as_it_is = { .element = n->in_element };
    const size_t in_bytes = vt_dtype_bytes(n->in_element);
    float *gathered = job->scratch, *sums = gathered + CHUNK_ROWS * columns;
    const bool adds = s->residual.value != VT_NO_VALUE;
    for (size_t row = begin; row < end; row += CHUNK_ROWS) {
        const size_t m = end - row < CHUNK_ROWS ? end - row : CHUNK_ROWS;
        const void *x = gathered;
        size_t ldx = columns;
        if (s->gather) {
            vt_gather_rows(job->x, s, row, m, &as_it_is, gathered, columns);
        } else {
            ldx = vt_exec_ld(job->x, s->node->in[0].value);
            x = (const char *)vt_exec_view(job->x, s->node->in[0]) + row * ldx * in_bytes;
        }
        normalise(n, m, x, ldx, adds ? sums : out_row(n, row), adds ? columns : n->ldo);
        const size_t ldr = adds ? vt_exec_ld(job->x, s->residual.value) : 0;
        for (size_t i = 0; i < m && adds; i++)
            job->x->plan->kernels->add_f32(columns, sums + i * columns,
                                           (const float *)vt_exec_view(job->x, s->residual) + (row + i) * ldr,
                                           out_row(n, row + i));
    }
}

static void layer_norm_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct norm_job n = norm_of(job);
    const struct vt_step *s = job->s;
    if (s->gather || s->residual.value != VT_NO_VALUE) {
        norm_chunks(&n, begin, end);
        return;
    }
    const struct vt_view in = s->node->in[0];
    const struct vt_row_order *from = job->x->plan->values[in.value].order, *to = job->x->plan->values[s->out].order;
    const char *x = vt_exec_view(job->x, in);
    const size_t ldx = vt_exec_ld(job->x, in.value);
    if (to && !from)
        norm_to_windows(&n, to, x, ldx, begin, end);
    else
        normalise(&n, end - begin, x + begin * ldx * vt_dtype_bytes(n.in_element), ldx, out_row(&n, begin), n.ldo);
}

static size_t layer_norm_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    (void)p;
    return vt_size_mul(s->node->columns, 2 * CHUNK_ROWS * sizeof(float));
}

static void l2_norm_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct norm_job n = norm_of(job);
    const struct vt_kernels *kernels = job->x->plan->kernels;
    const struct vt_view in = job->s->node->in[0];
    const float *scales = job->w->weight, *x = vt_exec_view(job->x, in);
    const size_t ldx = vt_exec_ld(job->x, in.value);
    for (size_t g = 0, at = 0; g < n.groups; g++, at += n.n) {
        const float scale = scales ? scales[g] : 1, *from = x + begin * ldx + at;
        if (n.element == VT_BF16)
            kernels->l2_norm_bf16(end - begin, n.n, from, ldx, scale, (vt_bf16 *)out_row(&n, begin) + at, n.ldo);
        else
            kernels->l2_norm_f32(end - begin, n.n, from, ldx, scale, (float *)out_row(&n, begin) + at, n.ldo);
    }
}

const struct vt_op vt_op_layer_norm = { .name = "layer_norm",
                                        .rows = layer_norm_rows,
                                        .scratch_bytes = layer_norm_scratch };
const struct vt_op vt_op_l2_norm = { .name = "l2_norm", .rows = l2_norm_rows };
