/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Position tables resized to the session's map, as torch.nn.functional.interpolate does with align_corners=False and a
 * given output size: bicubic (Keys' kernel with a = -0.75, four taps, edges clamped) or antialiased bicubic (a = -0.5,
 * support widened by the scale when shrinking, taps outside dropped and the rest normalised, as in Pillow). Runs once
 * per session, so it is plain double arithmetic.
 */
#include "ops.h"

#include <math.h>
#include <string.h>

static double keys_cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

/* Weight of input i for output o along one side, before normalisation. Clamped kernels address inputs outside [0, in).
 */
static double tap_weight(enum vt_positions_filter filter, double center, double scale, long i)
{
    switch (filter) {
    case VT_POSITIONS_BICUBIC: return keys_cubic((double)i - center, -0.75);
    case VT_POSITIONS_BICUBIC_ANTIALIAS: return keys_cubic(((double)i - center) / scale, -0.5);
    }
    return 0;
}

/* One side of the map. */
struct axis {
    enum vt_positions_filter filter;
    size_t in, out;
};

/* Range of inputs that output o reads, and the divisor that normalises them. */
static void axis_range(const struct axis *axis, size_t o, double *center, double *scale, long *first, long *last,
                       double *norm)
{
    const double ratio = (double)axis->in / (double)axis->out;
    const bool antialias = axis->filter == VT_POSITIONS_BICUBIC_ANTIALIAS;
    *center = ((double)o + 0.5) * ratio - 0.5;
    *scale = antialias && ratio > 1 ? ratio : 1;
    *norm = 1;
    if (!antialias) {
        const long base = (long)floor(*center);
        *first = base - 1;
        *last = base + 2;
        return;
    }
    const double support = 2 * *scale;
    *first = (long)floor(*center + 0.5 - support + 0.5);
    *last = (long)floor(*center + 0.5 + support + 0.5) - 1;
    *first = *first < 0 ? 0 : *first;
    *last = *last > (long)axis->in - 1 ? (long)axis->in - 1 : *last;
    *norm = 0;
    for (long i = *first; i <= *last; i++)
        *norm += tap_weight(axis->filter, *center, *scale, i);
}

static size_t clamp(long i, size_t n)
{
    return i < 0 ? 0 : (size_t)i >= n ? n - 1 : (size_t)i;
}

/* Resizes along one side: in [outer][axis->in][inner] to out [outer][axis->out][inner]. */
static void resize_axis(const struct axis *axis, vt_axpy_f32_fn *axpy, const float *in, float *out, size_t outer,
                        size_t inner)
{
    for (size_t o = 0; o < axis->out; o++) {
        double center, scale, norm;
        long first, last;
        axis_range(axis, o, &center, &scale, &first, &last, &norm);
        for (size_t n = 0; n < outer; n++) {
            float *dst = out + (n * axis->out + o) * inner;
            memset(dst, 0, inner * sizeof *dst);
            for (long i = first; i <= last; i++) {
                const float weight = (float)(tap_weight(axis->filter, center, scale, i) / norm);
                const float *src = in + (n * axis->in + clamp(i, axis->in)) * inner;
                axpy(inner, weight, src, dst);
            }
        }
    }
}

static void run_positions(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    const struct vt_node *node = s->node;
    const struct vt_shape *shape = &x->plan->values[s->out].shape;
    const size_t columns = node->columns, prefix = node->u.positions.prefix * columns;
    const uint32_t *grid = node->u.positions.grid;
    vt_axpy_f32_fn *axpy = x->plan->kernels->axpy_f32;
    const float *table = w->weight;
    float *out = vt_exec_view(x, vt_view_of(s->out)), *between = vt_exec_scratch(x, 0);
    memcpy(out, table, prefix * sizeof *out);
    if (grid[0] == shape->map[0] && grid[1] == shape->map[1]) {
        memcpy(out + prefix, table + prefix, (size_t)grid[0] * grid[1] * columns * sizeof *out);
        return;
    }
    const struct axis wide = { node->u.positions.filter, grid[1], shape->map[1] },
                      high = { node->u.positions.filter, grid[0], shape->map[0] };
    resize_axis(&wide, axpy, table + prefix, between, grid[0], columns);
    resize_axis(&high, axpy, between, out + prefix, 1, shape->map[1] * columns);
}

/* The table resized along its width only. */
static size_t positions_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    return vt_size_mul(vt_size_mul(s->node->u.positions.grid[0], p->values[s->out].shape.map[1]),
                       s->node->columns * sizeof(float));
}

const struct vt_op vt_op_positions = { .name = "positions", .run = run_positions, .scratch_bytes = positions_scratch };
