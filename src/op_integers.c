/* SPDX-License-Identifier: Apache-2.0 */
/* Integer-only inference: operations on words of 16 bits that are no products and no norms. Rows are copied as in every
 * other precision. */
#include "ops.h"
#include "step_integers.h"

#include <string.h>

/* Columns that are averaged at a time. */
enum { POOLED = 256 };

static const int16_t *words_of(const struct vt_step_job *job, uint32_t k, size_t row)
{
    const struct vt_view in = job->s->node->in[k];
    return (const int16_t *)vt_exec_view(job->x, in) + row * vt_exec_ld(job->x, in.value);
}

static int16_t *out_words(const struct vt_step_job *job, size_t row)
{
    return (int16_t *)vt_exec_view(job->x, vt_view_of(job->s->out)) + row * vt_exec_ld(job->x, job->s->out);
}

static vt_add_s16_fn *add_of(const struct vt_step_job *job)
{
    return job->x->plan->kernels->integer.add_s16;
}

static void add_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct vt_step_integers *n = job->w->integers;
    for (size_t r = begin; r < end; r++)
        add_of(job)(job->s->node->columns, words_of(job, 0, r), n->scale_a, words_of(job, 1, r), n->scale_b,
                    out_words(job, r));
}

/* Words in another unit. */
static void rescale(const struct vt_step_job *job, size_t n, const int16_t *x, struct vt_word_scale scale, int16_t *y)
{
    const struct vt_word_scale none = { 0, 0 };
    add_of(job)(n, x, scale, x, none, y);
}

static void concat_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct vt_step_integers *n = job->w->integers;
    const size_t left = job->s->node->in[0].columns, right = job->s->node->in[1].columns;
    for (size_t r = begin; r < end; r++) {
        rescale(job, left, words_of(job, 0, r), n->scale_a, out_words(job, r));
        rescale(job, right, words_of(job, 1, r), n->scale_b, out_words(job, r) + left);
    }
}

static void convert_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    struct vt_integer_epilogue e = job->w->integers->epilogue;
    e.ldc = vt_exec_ld(job->x, job->s->out);
    e.c = (uint8_t *)vt_exec_view(job->x, vt_view_of(job->s->out)) + begin * e.ldc;
    job->x->plan->kernels->integer.requantize_s16(end - begin, job->s->node->columns, words_of(job, 0, begin),
                                                  vt_exec_ld(job->x, job->s->node->in[0].value), &e);
}

/* Tokens before the map are constants, added to their positions when the session was created. */
static void embed_images(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct vt_step_integers *n = job->w->integers;
    const struct vt_node *node = job->s->node;
    const size_t columns = node->columns, with_position = node->u.embed.position_prefix;
    const int16_t *positions = node->in_count > 1 ? vt_exec_view(job->x, node->in[1]) : NULL;
    const struct vt_view in = node->in[0], out = vt_view_of(job->s->out);
    const size_t *rows_in = vt_exec_offsets(job->x, in.value), *rows_out = vt_exec_offsets(job->x, out.value);
    for (size_t image = begin; image < end; image++) {
        const size_t count = rows_out[image + 1] - rows_out[image],
                     prefix = count - (rows_in[image + 1] - rows_in[image]);
        for (size_t i = 0; i < count; i++) {
            int16_t *y = vt_exec_row(job->x, out, rows_out[image] + i);
            const int16_t *x = i < prefix ? NULL : vt_exec_row(job->x, in, rows_in[image] + i - prefix);
            if (!x)
                memcpy(y, n->tokens + i * columns, columns * sizeof *y);
            else if (positions)
                add_of(job)(columns, x, n->scale_a, positions + (with_position + i - prefix) * columns, n->scale_b, y);
            else
                rescale(job, columns, x, n->scale_a, y);
        }
    }
}

/* Of 32 bits and no sign; NULL: all are 1. */
static uint32_t weight_of(const int32_t *weights, size_t row)
{
    return !weights ? 1 : weights[row] > 0 ? (uint32_t)weights[row] : 0;
}

/* The mean of rows x of n words, times 2^VT_MEAN_BITS, by their weights, rounded to nearest. It is 0 where these are.
 * Weights whose sum has more than 32 bits lose their lowest ones, so that sums have 62. */
static void average(size_t rows, size_t n, const int16_t *x, size_t ld, const int32_t *weights, int32_t *mean)
{
    int64_t sums[POOLED] = { 0 }, total = 0;
    for (size_t i = 0; i < rows; i++)
        total += weight_of(weights, i);
    const unsigned bits = vt_bits_of((uint64_t)total), right = bits > 32 ? bits - 32 : 0;
    total = 0;
    for (size_t i = 0; i < rows; i++) {
        const int64_t weight = weight_of(weights, i) >> right;
        total += weight;
        for (size_t c = 0; c < n; c++)
            sums[c] += weight * x[i * ld + c];
    }
    for (size_t c = 0; c < n; c++) {
        const int64_t sum = sums[c] * ((int64_t)1 << VT_MEAN_BITS), half = sum < 0 ? -total / 2 : total / 2;
        mean[c] = total ? (int32_t)((sum + half) / total) : 0;
    }
}

static void pool_images(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct vt_node *node = job->s->node;
    const struct vt_view in = node->in[0], out = vt_view_of(job->s->out);
    const size_t *rows_in = vt_exec_offsets(job->x, in.value), *rows_out = vt_exec_offsets(job->x, out.value);
    const size_t ld = vt_exec_ld(job->x, in.value), first = node->u.rows.first_row;
    for (size_t image = begin; image < end; image++) {
        if (rows_out[image + 1] == rows_out[image])
            continue; /* an image that could not be read */
        const size_t all = rows_in[image + 1] - rows_in[image], rows = all > first ? all - first : 0;
        const int32_t *weights = node->in_count > 1
                                     ? (const int32_t *)(const void *)vt_exec_image_rows(job->x, node->in[1], image).at
                                     : NULL;
        for (size_t c = 0; c < node->columns; c += POOLED) {
            int32_t sums[POOLED];
            const size_t n = node->columns - c < POOLED ? node->columns - c : POOLED;
            struct vt_integer_epilogue e = job->w->integers->epilogue;
            const int16_t *x = (const int16_t *)vt_exec_row(job->x, in, rows_in[image] + first) + c;
            if (vt_divides(job->x->plan, job->s))
                average(rows, n, x, ld, weights ? weights + first : NULL, sums);
            else
                job->x->plan->kernels->integer.sum_rows_s16(rows, n, x, ld, sums);
            e.columns.multiplier += c;
            e.columns.shift += c;
            e.columns.add += c;
            e.c = (int16_t *)vt_exec_row(job->x, out, rows_out[image]) + c;
            e.ldc = vt_exec_ld(job->x, out.value);
            job->x->plan->kernels->integer.finish(1, n, sums, n, NULL, &e);
        }
    }
}

const struct vt_op vt_op_integer_add = { .name = "add", .rows = add_rows };
const struct vt_op vt_op_integer_concat = { .name = "concat", .rows = concat_rows };
const struct vt_op vt_op_integer_convert = { .name = "convert", .rows = convert_rows };
const struct vt_op vt_op_integer_embed = { .name = "embed", .images = embed_images };
const struct vt_op vt_op_integer_pool = { .name = "pool", .images = pool_images };
