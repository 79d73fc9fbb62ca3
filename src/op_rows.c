/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on each row by itself: LayerNorm, activation, add, mul, concat. One driver splits the rows over threads. */
#include "ops.h"

#include <string.h>

/* Rows of one piece of work: some ten microseconds each. */
#define GRAIN_ROWS 32

struct rows_job {
    const struct vt_kernels *kernels;
    const struct vt_node *node;
    const float *a, *b; /* views of the inputs; b NULL without a second one */
    size_t lda, ldb;
    float *out;
    size_t ldo;
    const float *weight, *bias;
};

static void run_rows(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w, vt_task_fn *fn)
{
    struct rows_job job = { .kernels = x->plan->kernels, .node = s->node, .weight = w->weight, .bias = w->bias };
    job.a = vt_exec_view(x, s->node->in[0]);
    job.lda = vt_exec_ld(x, s->node->in[0].value);
    if (s->node->in_count > 1) {
        job.b = vt_exec_view(x, s->node->in[1]);
        job.ldb = vt_exec_ld(x, s->node->in[1].value);
    }
    job.out = vt_exec_view(x, vt_view_of(s->out));
    job.ldo = vt_exec_ld(x, s->out);
    vt_parallel(x->pool, vt_exec_rows(x, s->out), GRAIN_ROWS, fn, &job);
}

static void layer_norm_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct rows_job *j = arg;
    const size_t groups = j->node->u.norm.groups, n = j->node->columns / groups;
    (void)worker;
    for (size_t r = begin; r < end; r++)
        for (size_t g = 0; g < groups; g++)
            j->kernels->layer_norm_f32(n, j->a + r * j->lda + g * n, j->weight, j->bias, j->node->u.norm.eps, j->out + r * j->ldo + g * n);
}

static void activation_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct rows_job *j = arg;
    (void)worker;
    for (size_t r = begin; r < end; r++)
        j->kernels->activation_f32[j->node->u.activation](j->node->columns, j->a + r * j->lda, j->out + r * j->ldo);
}

static void add_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct rows_job *j = arg;
    (void)worker;
    for (size_t r = begin; r < end; r++)
        j->kernels->add_f32(j->node->columns, j->a + r * j->lda, j->b + r * j->ldb, j->out + r * j->ldo);
}

static void mul_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct rows_job *j = arg;
    (void)worker;
    for (size_t r = begin; r < end; r++)
        j->kernels->mul_f32(j->node->columns, j->a + r * j->lda, j->b ? j->b + r * j->ldb : j->weight, j->out + r * j->ldo);
}

static void concat_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct rows_job *j = arg;
    const size_t left = j->node->in[0].columns, right = j->node->in[1].columns;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        memcpy(j->out + r * j->ldo, j->a + r * j->lda, left * sizeof *j->out);
        memcpy(j->out + r * j->ldo + left, j->b + r * j->ldb, right * sizeof *j->out);
    }
}

static void head_combine_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct rows_job *j = arg;
    (void)worker;
    for (size_t r = begin; r < end; r++)
        for (size_t c = 0; c < j->node->columns; c++)
            j->out[r * j->ldo + c] = (j->a[r * j->lda + c] + j->b[r * j->ldb + c]) / 2;
}

static void run_layer_norm(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    run_rows(x, s, w, layer_norm_rows);
}

static void run_activation(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    run_rows(x, s, w, activation_rows);
}

static void run_add(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    run_rows(x, s, w, add_rows);
}

static void run_mul(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    run_rows(x, s, w, mul_rows);
}

static void run_concat(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    run_rows(x, s, w, concat_rows);
}

static void run_head_combine(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    run_rows(x, s, w, head_combine_rows);
}

const struct vt_op vt_op_layer_norm = { .name = "layer_norm", .run = run_layer_norm };
const struct vt_op vt_op_activation = { .name = "activation", .run = run_activation };
const struct vt_op vt_op_add = { .name = "add", .run = run_add };
const struct vt_op vt_op_mul = { .name = "mul", .run = run_mul };
const struct vt_op vt_op_concat = { .name = "concat", .run = run_concat };
const struct vt_op vt_op_head_combine = { .name = "head_combine", .run = run_head_combine };
