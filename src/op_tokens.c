/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the token dimension of each image: embed, tokens, slice, pool, pool2d. */
#include "ops.h"

#include <string.h>

/* One image's rows of the input and of the output. */
struct image_rows {
    const float *in;
    float *out;
    size_t in_rows, out_rows, ld_in, ld_out;
};

static struct image_rows rows_of_image(const struct vt_step_job *j, size_t image)
{
    const struct vt_view in = j->s->node->in[0];
    const size_t *rows_in = vt_exec_offsets(j->x, in.value), *rows_out = vt_exec_offsets(j->x, j->s->out);
    struct image_rows r = { .ld_in = vt_exec_ld(j->x, in.value), .ld_out = vt_exec_ld(j->x, j->s->out) };
    r.in = vt_exec_row(j->x, in, rows_in[image]);
    r.out = vt_exec_row(j->x, vt_view_of(j->s->out), rows_out[image]);
    r.in_rows = rows_in[image + 1] - rows_in[image];
    r.out_rows = rows_out[image + 1] - rows_out[image];
    return r;
}

static void embed_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_node *node = j->s->node;
    const struct vt_kernels *kernels = j->x->plan->kernels;
    const size_t columns = node->columns, with_position = node->u.embed.position_prefix;
    const float *tokens = j->w->weight;
    const float *position = node->in_count > 1 ? vt_exec_view(j->x, node->in[1]) : NULL;
    for (size_t image = begin; image < end; image++) {
        const struct image_rows r = rows_of_image(j, image);
        const size_t prefix = r.out_rows - r.in_rows;
        for (size_t i = 0; i < r.out_rows; i++) {
            const float *row = i < prefix ? tokens + i * columns : r.in + (i - prefix) * r.ld_in;
            if (position && i < with_position)
                kernels->add_f32(columns, row, position + i * columns, r.out + i * r.ld_out);
            else if (position && i >= prefix)
                kernels->add_f32(columns, row, position + (with_position + i - prefix) * columns, r.out + i * r.ld_out);
            else
                memcpy(r.out + i * r.ld_out, row, columns * sizeof *row);
        }
    }
}

static void tokens_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_view out = vt_view_of(j->s->out);
    const size_t *rows = vt_exec_offsets(j->x, out.value), columns = j->s->node->columns;
    for (size_t image = begin; image < end; image++)
        for (size_t i = 0; i < rows[image + 1] - rows[image]; i++)
            memcpy(vt_exec_row(j->x, out, rows[image] + i), (const float *)j->w->weight + i * columns,
                   columns * sizeof(float));
}

/* Copies of rows, whatever their elements are. */
static void slice_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_view in = j->s->node->in[0], out = vt_view_of(j->s->out);
    const size_t *rows_in = vt_exec_offsets(j->x, in.value), *rows_out = vt_exec_offsets(j->x, out.value);
    const size_t bytes = j->s->node->columns * vt_dtype_bytes(vt_exec_element(j->x, out.value));
    for (size_t image = begin; image < end; image++)
        for (size_t i = 0; i < rows_out[image + 1] - rows_out[image]; i++)
            memcpy(vt_exec_row(j->x, out, rows_out[image] + i),
                   vt_exec_row(j->x, in, rows_in[image] + j->s->node->u.rows.first_row + i), bytes);
}

/* The sum of the rows that are pooled, each times its weight if there are any; returns what the weights add up to. */
static float add_rows(const struct vt_step_job *j, const struct image_rows *r, const float *weights)
{
    const size_t columns = j->s->node->columns, first = j->s->node->u.rows.first_row;
    const size_t most = j->s->node->u.rows.row_count;
    const size_t end = most && most < r->in_rows && first < r->in_rows - most ? first + most : r->in_rows;
    float total = 0;
    memset(r->out, 0, columns * sizeof *r->out);
    for (size_t i = first; i < end; i++) {
        if (weights)
            j->x->plan->kernels->axpy_f32(columns, weights[i], r->in + i * r->ld_in, r->out);
        else
            j->x->plan->kernels->add_f32(columns, r->out, r->in + i * r->ld_in, r->out);
        total += weights ? weights[i] : 1;
    }
    return total;
}

/* The mean of no rows is 0. */
static void pool_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_node *node = j->s->node;
    for (size_t image = begin; image < end; image++) {
        const struct image_rows r = rows_of_image(j, image);
        const float *weights =
            node->in_count > 1 ? (const float *)(const void *)vt_exec_image_rows(j->x, node->in[1], image).at : NULL;
        if (!r.out_rows)
            continue;
        const float total = add_rows(j, &r, weights);
        for (size_t c = 0; c < node->columns && total > 0 && !node->u.rows.sum; c++)
            r.out[c] /= total;
        for (size_t i = 1; i < r.out_rows; i++) /* spread */
            memcpy(r.out + i * r.ld_out, r.out, node->columns * sizeof *r.out);
    }
}

/* Adds one row of the map to what a window has found so far. */
static void pool_row(bool largest, size_t n, const float *row, float *out)
{
    for (size_t c = 0; c < n; c++)
        out[c] = largest ? (out[c] > row[c] ? out[c] : row[c]) : out[c] + row[c];
}

/* One window, of which at least one row lies inside of the map. */
static void pool_window(const struct vt_node *node, const uint32_t map[2], const float *in, size_t ld, size_t oy,
                        size_t ox, float *out)
{
    const struct vt_sliding *slide = &node->u.pool2d.slide;
    size_t count = 0;
    for (size_t ky = 0; ky < slide->kernel[0]; ky++)
        for (size_t kx = 0; kx < slide->kernel[1]; kx++) {
            const size_t y = oy * slide->stride[0] + ky, x = ox * slide->stride[1] + kx; /* in the padded map */
            if (y < slide->padding[0] || y - slide->padding[0] >= map[0] || x < slide->padding[1] ||
                x - slide->padding[1] >= map[1])
                continue;
            const float *row = in + ((y - slide->padding[0]) * map[1] + x - slide->padding[1]) * ld;
            if (count++)
                pool_row(node->u.pool2d.largest, node->columns, row, out);
            else
                memcpy(out, row, node->columns * sizeof *out);
        }
    for (size_t c = 0; c < node->columns && !node->u.pool2d.largest; c++)
        out[c] /= (float)count;
}

static void pool2d_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_node *node = j->s->node;
    const uint32_t *map = j->x->plan->values[node->in[0].value].shape.map;
    const size_t width = j->x->plan->values[j->s->out].shape.map[1];
    for (size_t image = begin; image < end; image++) {
        const struct image_rows r = rows_of_image(j, image);
        for (size_t i = 0; i < r.out_rows; i++)
            pool_window(node, map, r.in, r.ld_in, i / width, i % width, r.out + i * r.ld_out);
    }
}

const struct vt_op vt_op_embed = { .name = "embed", .images = embed_images };
const struct vt_op vt_op_tokens = { .name = "tokens", .images = tokens_images };
const struct vt_op vt_op_slice = { .name = "slice", .images = slice_images };
const struct vt_op vt_op_pool = { .name = "pool", .images = pool_images };
const struct vt_op vt_op_pool2d = { .name = "pool2d", .images = pool2d_images };
