/* SPDX-License-Identifier: Apache-2.0 */
/* Rows by a token map, and back. */
#include "ops.h"
#include "token_map.h"

#include <string.h>

/* What rows of one image are moved between. */
struct move {
    struct vt_image_rows in, out, base; /* base: of scatter, if it has one */
    const struct vt_token_entry *map;
    size_t row_bytes, element_bytes;
    bool whole, weighted; /* of apply: see vt_moves_rows and vt_weighs_rows */
};

static struct move move_of(const struct vt_step_job *j, size_t image)
{
    const struct vt_node *node = j->s->node;
    const size_t bytes = vt_dtype_bytes(vt_exec_element(j->x, j->s->out));
    struct move m = { .in = vt_exec_image_rows(j->x, node->in[0], image),
                      .out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image),
                      .map = (const void *)vt_exec_image_rows(j->x, node->in[1], image).at,
                      .row_bytes = node->columns * bytes,
                      .element_bytes = bytes };
    if (node->type == VT_NODE_SCATTER && node->in_count > 2)
        m.base = vt_exec_image_rows(j->x, node->in[2], image);
    m.whole = node->type == VT_NODE_APPLY && vt_moves_rows(j->x->plan->graph, node);
    m.weighted = node->type == VT_NODE_APPLY && vt_weighs_rows(j->x->plan->graph, node);
    return m;
}

static char *row_at(const struct move *m, const struct vt_image_rows *rows, size_t i)
{
    return rows->at + i * rows->ld * m->element_bytes;
}

/* The sum of the entries [begin, end) of a map. */
static void add_entries(const struct vt_step_job *j, const struct move *m, size_t begin, size_t end, float *y)
{
    const size_t columns = j->s->node->columns;
    memset(y, 0, columns * sizeof *y);
    for (size_t e = begin; e < end; e++) {
        const float *x = (const float *)(const void *)row_at(m, &m->in, (size_t)m->map[e].source);
        j->x->plan->kernels->axpy_f32(columns, m->weighted ? m->map[e].weight : 1, x, y);
    }
}

static void apply_row(const struct vt_step_job *j, const struct move *m, size_t i)
{
    const size_t begin = i ? (size_t)m->map[i - 1].end : 0, end = (size_t)m->map[i].end;
    char *y = row_at(m, &m->out, i);
    if (m->whole || (end == begin + 1 && (m->map[begin].weight == 1 || !m->weighted)))
        memcpy(y, row_at(m, &m->in, (size_t)m->map[begin].source), m->row_bytes);
    else
        add_entries(j, m, begin, end, (float *)(void *)y);
}

static void scatter_row(const struct move *m, size_t i)
{
    const int32_t from = m->map[i].destination;
    char *y = row_at(m, &m->out, i);
    if (from >= 0)
        memcpy(y, row_at(m, &m->in, (size_t)from), m->row_bytes);
    else if (m->base.at)
        memcpy(y, row_at(m, &m->base, i), m->row_bytes);
    else
        memset(y, 0, m->row_bytes);
}

static void apply_image(const struct vt_step_job *j, size_t image, size_t first, size_t last)
{
    const struct move m = move_of(j, image);
    for (size_t i = first; i < last; i++)
        apply_row(j, &m, i);
}

static void scatter_image(const struct vt_step_job *j, size_t image, size_t first, size_t last)
{
    const struct move m = move_of(j, image);
    for (size_t i = first; i < last; i++)
        scatter_row(&m, i);
}

static void apply_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    vt_exec_each_image(j, begin, end, apply_image);
}

static void scatter_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    vt_exec_each_image(j, begin, end, scatter_image);
}

const struct vt_op vt_op_apply = { .name = "apply", .rows = apply_rows };
const struct vt_op vt_op_scatter = { .name = "scatter", .rows = scatter_rows };
