/* SPDX-License-Identifier: Apache-2.0 */
/* Rows by a token map, and back. */
#include "ops.h"
#include "token_map.h"

#include <string.h>

static const struct vt_token_entry *map_of(const struct vt_step_job *j, size_t image)
{
    return (const struct vt_token_entry *)(const void *)vt_exec_image_rows(j->x, j->s->node->in[1], image).at;
}

/* The sum of the entries [begin, end) of a map. */
static void add_entries(const struct vt_step_job *j, const struct vt_image_rows *in, const struct vt_token_entry *map,
                        size_t begin, size_t end, float *y)
{
    const size_t columns = j->s->node->columns;
    memset(y, 0, columns * sizeof *y);
    for (size_t e = begin; e < end; e++) {
        const float *x = (const float *)(const void *)in->at + (size_t)map[e].source * in->ld;
        j->x->plan->kernels->axpy_f32(columns, j->s->node->u.apply.sum ? 1 : map[e].weight, x, y);
    }
}

static void apply_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_node *node = j->s->node;
    const size_t bytes = vt_dtype_bytes(vt_exec_element(j->x, j->s->out));
    for (size_t image = begin; image < end; image++) {
        const struct vt_image_rows in = vt_exec_image_rows(j->x, node->in[0], image),
                                   out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
        const struct vt_token_entry *map = map_of(j, image);
        for (size_t i = 0, e = 0; i < out.rows; e = (size_t)map[i].end, i++) {
            char *y = out.at + i * out.ld * bytes;
            if ((size_t)map[i].end == e + 1 && (map[e].weight == 1 || node->u.apply.sum))
                memcpy(y, in.at + (size_t)map[e].source * in.ld * bytes, node->columns * bytes);
            else
                add_entries(j, &in, map, e, (size_t)map[i].end, (float *)(void *)y);
        }
    }
}

static void scatter_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_node *node = j->s->node;
    const size_t bytes = vt_dtype_bytes(vt_exec_element(j->x, j->s->out));
    for (size_t image = begin; image < end; image++) {
        const struct vt_image_rows in = vt_exec_image_rows(j->x, node->in[0], image),
                                   out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
        const struct vt_image_rows base = node->in_count > 2 ? vt_exec_image_rows(j->x, node->in[2], image) : out;
        const struct vt_token_entry *map = map_of(j, image);
        for (size_t i = 0; i < out.rows; i++) {
            char *y = out.at + i * out.ld * bytes;
            if (map[i].destination >= 0)
                memcpy(y, in.at + (size_t)map[i].destination * in.ld * bytes, node->columns * bytes);
            else if (node->in_count > 2)
                memcpy(y, base.at + i * base.ld * bytes, node->columns * bytes);
            else
                memset(y, 0, node->columns * bytes);
        }
    }
}

const struct vt_op vt_op_apply = { .name = "apply", .images = apply_images };
const struct vt_op vt_op_scatter = { .name = "scatter", .images = scatter_images };
