/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on each row by itself: activation, add, mul, concat, head_combine, convert. */
#include "gather.h"

#include <string.h>

/* Codes in between. */
enum { CODES = 64 };

/* Where a step's rows are. b is NULL without a second input. */
struct row_views {
    const struct vt_kernels *kernels;
    const float *a, *b;
    size_t lda, ldb;
    float *out; /* of another type where the step's value is */
    size_t ldo, columns;
};

static struct row_views views_of(const struct vt_step_job *job)
{
    const struct vt_node *node = job->s->node;
    struct row_views v = { .kernels = job->x->plan->kernels, .columns = node->columns };
    v.a = vt_exec_view(job->x, node->in[0]);
    v.lda = vt_exec_ld(job->x, node->in[0].value);
    if (node->in_count > 1) {
        v.b = vt_exec_view(job->x, node->in[1]);
        v.ldb = vt_exec_ld(job->x, node->in[1].value);
    }
    v.out = vt_exec_view(job->x, vt_view_of(job->s->out));
    v.ldo = vt_exec_ld(job->x, job->s->out);
    return v;
}

/* The numbers that codes stand for. */
static void round_to_codes(const struct vt_step_job *job, const struct row_views *v, size_t row)
{
    const struct vt_codes *codes = &job->w->out;
    const float *x = v->a + row * v->lda;
    float *y = v->out + row * v->ldo;
    for (size_t c = 0; c < v->columns; c += CODES) {
        uint8_t code[CODES];
        const size_t n = v->columns - c < CODES ? v->columns - c : CODES;
        v->kernels->quantize_u8(n, x + c, codes->scale + c, codes->shift + c, codes->highest, code);
        for (size_t i = 0; i < n; i++)
            y[c + i] = (float)code[i] * job->w->sum_scale[c + i] + job->w->sum_bias[c + i];
    }
}

static void convert_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct row_views v = views_of(job);
    const struct vt_format format = { .element = vt_exec_element(job->x, job->s->out), .codes = job->w->out };
    const size_t bytes = vt_dtype_bytes(format.element);
    for (size_t r = begin; r < end; r++)
        if (format.element == VT_F32)
            round_to_codes(job, &v, r);
        else
            vt_put(v.kernels, &format, v.a + r * v.lda, v.columns, (char *)v.out + r * v.ldo * bytes, 0);
}

static void activation_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct row_views v = views_of(job);
    for (size_t r = begin; r < end; r++)
        v.kernels->activation_f32[job->s->node->u.activation](v.columns, v.a + r * v.lda, v.out + r * v.ldo);
}

static void add_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct row_views v = views_of(job);
    for (size_t r = begin; r < end; r++)
        v.kernels->add_f32(v.columns, v.a + r * v.lda, v.b + r * v.ldb, v.out + r * v.ldo);
}

static void mul_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct row_views v = views_of(job);
    for (size_t r = begin; r < end; r++)
        v.kernels->mul_f32(v.columns, v.a + r * v.lda, v.b ? v.b + r * v.ldb : (const float *)job->w->weight,
                           v.out + r * v.ldo);
}

static void concat_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct row_views v = views_of(job);
    const size_t left = job->s->node->in[0].columns, right = job->s->node->in[1].columns;
    for (size_t r = begin; r < end; r++) {
        memcpy(v.out + r * v.ldo, v.a + r * v.lda, left * sizeof *v.out);
        memcpy(v.out + r * v.ldo + left, v.b + r * v.ldb, right * sizeof *v.out);
    }
}

static void head_combine_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct row_views v = views_of(job);
    for (size_t r = begin; r < end; r++)
        for (size_t c = 0; c < v.columns; c++)
            v.out[r * v.ldo + c] = (v.a[r * v.lda + c] + v.b[r * v.ldb + c]) / 2;
}

const struct vt_op vt_op_activation = { .name = "activation", .rows = activation_rows };
const struct vt_op vt_op_add = { .name = "add", .rows = add_rows };
const struct vt_op vt_op_mul = { .name = "mul", .rows = mul_rows };
const struct vt_op vt_op_concat = { .name = "concat", .rows = concat_rows };
const struct vt_op vt_op_convert = { .name = "convert", .rows = convert_rows };
const struct vt_op vt_op_head_combine = { .name = "head_combine", .rows = head_combine_rows };
