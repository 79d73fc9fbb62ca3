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

static void apply_row(const struct vt_step_job *j, size_t image, size_t i, size_t bytes)
{
    const struct vt_node *node = j->s->node;
    const struct vt_image_rows in = vt_exec_image_rows(j->x, node->in[0], image),
                               out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
    const struct vt_token_entry *map = map_of(j, image);
    const size_t begin = i ? (size_t)map[i - 1].end : 0, end = (size_t)map[i].end;
    char *y = out.at + i * out.ld * bytes;
    if (end == begin + 1 && (map[begin].weight == 1 || node->u.apply.sum))
        memcpy(y, in.at + (size_t)map[begin].source * in.ld * bytes, node->columns * bytes);
    else
        add_entries(j, &in, map, begin, end, (float *)(void *)y);
}

static void scatter_row(const struct vt_step_job *j, size_t image, size_t i, size_t bytes)
{
    const struct vt_node *node = j->s->node;
    const struct vt_image_rows in = vt_exec_image_rows(j->x, node->in[0], image),
                               out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
    const int32_t from = map_of(j, image)[i].destination;
    char *y = out.at + i * out.ld * bytes;
    if (from >= 0) {
        memcpy(y, in.at + (size_t)from * in.ld * bytes, node->columns * bytes);
    } else if (node->in_count > 2) {
        const struct vt_image_rows base = vt_exec_image_rows(j->x, node->in[2], image);
        memcpy(y, base.at + i * base.ld * bytes, node->columns * bytes);
    } else {
        memset(y, 0, node->columns * bytes);
    }
}

/* Rows of this pass, whichever images they are of. */
static void each_row(const struct vt_step_job *j, size_t begin, size_t end,
                     void (*row)(const struct vt_step_job *j, size_t image, size_t i, size_t bytes))
{
    const size_t *offsets = vt_exec_offsets(j->x, j->s->out);
    const size_t bytes = vt_dtype_bytes(vt_exec_element(j->x, j->s->out));
    for (size_t r = begin, image = 0; r < end; r++) {
        image = vt_exec_image_of(j->x, j->s->out, image, r);
        row(j, image, r - (offsets[image] - offsets[0]), bytes);
    }
}

static void apply_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    each_row(j, begin, end, apply_row);
}

static void scatter_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    each_row(j, begin, end, scatter_row);
}

const struct vt_op vt_op_apply = { .name = "apply", .rows = apply_rows };
const struct vt_op vt_op_scatter = { .name = "scatter", .rows = scatter_rows };
