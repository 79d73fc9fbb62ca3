/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of a graph: looked up by their published names, their shapes compared with what the family expects. */
#include "graph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* "[384, 3, 16, 16]" */
static const char *shape_text(const uint64_t *shape, uint32_t rank, char *buf, size_t size)
{
    size_t used = (size_t)snprintf(buf, size, "[");
    for (uint32_t i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, i ? ", %llu" : "%llu", (unsigned long long)shape[i]);
    if (used < size)
        snprintf(buf + used, size - used, "]");
    return buf;
}

/* The tensor of that name with that shape, leading extents of 1 in the file ignored when `loose`; NULL after an error.
 */
static const struct vt_tensor *find(struct vt_graph *g, const char *name, const uint64_t *shape, uint32_t rank,
                                    bool loose)
{
    if (g->status)
        return NULL;
    const struct vt_tensor *t = vt_checkpoint_find(g->checkpoint, name);
    char found[96], wanted[96];
    if (!t) {
        vt_graph_fail(g, VITRT_EFORMAT, "tensor %s is missing", name);
        return NULL;
    }
    uint32_t skip = 0;
    while (loose && skip + rank < t->rank && t->shape[skip] == 1)
        skip++;
    if (t->rank - skip != rank || (rank && memcmp(t->shape + skip, shape, rank * sizeof *shape))) {
        vt_graph_fail(g, VITRT_EFORMAT, "tensor %s has shape %s, expected %s", name,
                      shape_text(t->shape, t->rank, found, sizeof found),
                      shape_text(shape, rank, wanted, sizeof wanted));
        return NULL;
    }
    if (!t->count) {
        vt_graph_fail(g, VITRT_EFORMAT, "tensor %s is empty: its shape is %s", name,
                      shape_text(t->shape, t->rank, found, sizeof found));
        return NULL;
    }
    if (t->dtype == VT_OTHER) {
        vt_graph_fail(g, VITRT_EUNSUPPORTED, "tensor %s has type %s, expected F32, F16, BF16 or I8 with a scale", name,
                      t->dtype_name);
        return NULL;
    }
    return t;
}

static vt_weight add_weight(struct vt_graph *g, const struct vt_graph_weight *w)
{
    if (g->status)
        return VT_NO_WEIGHT;
    if (w->rows > UINT32_MAX / 2 || w->columns > UINT32_MAX / 2) {
        vt_graph_fail(g, VITRT_ELIMIT, "weight %s has over 2^31 rows or columns", w->name);
        return VT_NO_WEIGHT;
    }
    if (!vt_grow(&g->alloc, (void **)&g->weights, &g->weight_capacity, g->weight_count + 1, sizeof *g->weights)) {
        g->status = vt_err_memory(g->err, (g->weight_count + 1) * sizeof *g->weights, "graph weights");
        return VT_NO_WEIGHT;
    }
    g->weights[g->weight_count] = *w;
    return (vt_weight)g->weight_count++;
}

/* A weight of one whole tensor, seen as [rows, columns]. */
static vt_weight add_tensor(struct vt_graph *g, const struct vt_tensor *t, enum vt_weight_form form, uint64_t rows,
                            uint64_t columns)
{
    if (!t)
        return VT_NO_WEIGHT;
    struct vt_graph_weight w = {
        .form = form, .rows = rows, .columns = columns, .kernel = { 1, 1 }, .groups = 1, .part_count = 1
    };
    snprintf(w.name, sizeof w.name, "%s", t->name);
    w.parts[0] = (struct vt_weight_part){ t, rows, !t->rank || t->shape[0] != rows };
    return add_weight(g, &w);
}

vt_weight vt_graph_vector(struct vt_graph *g, const char *tensor, uint64_t n)
{
    const uint64_t shape[] = { n };
    return add_tensor(g, find(g, tensor, shape, 1, true), VT_WEIGHT_VECTOR, n, 1);
}

vt_weight vt_graph_matrix(struct vt_graph *g, const char *tensor, uint64_t rows, uint64_t columns)
{
    const uint64_t shape[] = { rows, columns };
    return add_tensor(g, find(g, tensor, shape, 2, false), VT_WEIGHT_MATRIX, rows, columns);
}

vt_weight vt_graph_conv(struct vt_graph *g, const char *tensor, uint64_t out, uint64_t in, const uint32_t kernel[2],
                        uint32_t groups)
{
    const uint64_t shape[] = { out, in, kernel[0], kernel[1] };
    const vt_weight w = add_tensor(g, find(g, tensor, shape, 4, false), VT_WEIGHT_CONV, out,
                                   in * kernel[0] * kernel[1]);
    if (w == VT_NO_WEIGHT)
        return w;
    memcpy(g->weights[w].kernel, kernel, sizeof g->weights[w].kernel);
    g->weights[w].groups = groups;
    return w;
}

/* One of the vectors of a batch norm. */
static const struct vt_tensor *norm_vector(struct vt_graph *g, const char *norm, const char *leaf, uint64_t n)
{
    char name[256];
    snprintf(name, sizeof name, "%s.%s", norm, leaf);
    return find(g, name, &n, 1, false);
}

vt_weight vt_graph_fold_norm(struct vt_graph *g, vt_weight conv, const char *norm, float eps, vt_weight *bias)
{
    if (g->status)
        return VT_NO_WEIGHT;
    struct vt_graph_weight scaled = g->weights[conv];
    const uint64_t n = scaled.rows;
    scaled.fold = VT_FOLD_NORM_SCALE;
    scaled.norm = (struct vt_batch_norm){ norm_vector(g, norm, "weight", n), norm_vector(g, norm, "bias", n),
                                          norm_vector(g, norm, "running_mean", n),
                                          norm_vector(g, norm, "running_var", n), eps };
    if (g->status)
        return VT_NO_WEIGHT;
    struct vt_graph_weight shift = { .form = VT_WEIGHT_VECTOR,
                                     .rows = n,
                                     .columns = 1,
                                     .kernel = { 1, 1 },
                                     .groups = 1,
                                     .part_count = 1,
                                     .parts = { { .rows = n } } };
    if (*bias != VT_NO_WEIGHT)
        shift = g->weights[*bias];
    snprintf(shift.name, sizeof shift.name, "%s", scaled.norm.beta->name);
    shift.fold = VT_FOLD_NORM_SHIFT;
    shift.norm = scaled.norm;
    *bias = add_weight(g, &shift);
    return add_weight(g, &scaled);
}

vt_weight vt_graph_logit_scale(struct vt_graph *g, const char *tensor, uint64_t n)
{
    const uint64_t shape[] = { n, 1, 1 };
    const vt_weight w = add_tensor(g, find(g, tensor, shape, 3, false), VT_WEIGHT_VECTOR, n, 1);
    if (w != VT_NO_WEIGHT)
        g->weights[w].fold = VT_FOLD_LOGIT_SCALE;
    return w;
}

vt_weight vt_graph_rows(struct vt_graph *g, const char *tensor, uint64_t rows, uint64_t columns)
{
    const uint64_t shape[] = { rows, columns };
    return add_tensor(g, find(g, tensor, shape, 2, true), VT_WEIGHT_ROWS, rows, columns);
}

vt_weight vt_graph_stack(struct vt_graph *g, const vt_weight *weights, size_t count, uint64_t rows)
{
    if (g->status)
        return VT_NO_WEIGHT;
    struct vt_graph_weight stack = { .columns = 1, .form = VT_WEIGHT_VECTOR, .kernel = { 1, 1 }, .groups = 1 };
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        assert(stack.part_count < VT_MAX_PARTS);
        if (weights[i] == VT_NO_WEIGHT) {
            stack.parts[stack.part_count++] = (struct vt_weight_part){ .rows = rows };
            stack.rows += rows;
            continue;
        }
        const struct vt_graph_weight *w = &g->weights[weights[i]];
        assert(w->part_count == 1 && !w->fold && (!any || (w->form == stack.form && w->columns == stack.columns)));
        stack.form = w->form;
        stack.columns = w->columns;
        stack.parts[stack.part_count++] = w->parts[0];
        stack.rows += w->rows;
        if (!any)
            snprintf(stack.name, sizeof stack.name, "%s", w->name);
        any = true;
    }
    return any ? add_weight(g, &stack) : VT_NO_WEIGHT;
}
