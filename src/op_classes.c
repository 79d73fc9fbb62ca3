/* SPDX-License-Identifier: Apache-2.0 */
/* Maps of classes: scores of tokens resized to pixels, and the greatest of each. */
#include "ops.h"

/* The first of the largest of n > 0 numbers. Their value is found first, in lanes that compilers make vectors of. */
size_t vt_largest(const float *x, size_t n)
{
    enum { LANES = 16 };
    float lanes[LANES], most = x[0];
    size_t i = 0;
    for (size_t l = 0; l < LANES; l++)
        lanes[l] = x[0];
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t l = 0; l < LANES; l++)
        most = lanes[l] > most ? lanes[l] : most;
    for (i = 0; i < n && x[i] != most; i++) {
    }
    return i < n ? i : 0; /* 0: NaN */
}

static void argmax_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_view in = j->s->node->in[0];
    const size_t ld = vt_exec_ld(j->x, in.value);
    const float *x = vt_exec_view(j->x, in);
    float *y = vt_exec_view(j->x, vt_view_of(j->s->out));
    for (size_t r = begin; r < end; r++)
        y[r] = (float)vt_largest(x + r * ld, in.columns);
}

/* ---- Upsampling ---- */

/* Between which two of n positions one of m lies, and how far from the first: as PyTorch's interpolate with
 * align_corners=False, whose positions are the centres of pixels. */
struct between {
    size_t first, second;
    float part;
};

static struct between between(size_t i, double scale, size_t n)
{
    const double at = ((double)i + 0.5) * scale - 0.5, inside = at > 0 ? at : 0;
    const size_t first = inside < (double)(n - 1) ? (size_t)inside : n - 1;
    return (struct between){ first, first + 1 < n ? first + 1 : first, (float)(inside - (double)first) };
}

/* Row i of an image's value. */
static void upsample_row(const struct vt_step_job *j, size_t image, size_t i)
{
    const struct vt_view from = j->s->node->in[0];
    const uint32_t *map = j->x->plan->values[from.value].shape.map, *to = j->x->plan->values[j->s->out].shape.map;
    const struct vt_image_rows in = vt_exec_image_rows(j->x, from, image),
                               out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
    const struct between v = between(i / to[1], (double)map[0] / to[0], map[0]),
                         h = between(i % to[1], (double)map[1] / to[1], map[1]);
    const float *x = (const float *)(const void *)in.at, *a = x + (v.first * map[1] + h.first) * in.ld,
                *b = x + (v.first * map[1] + h.second) * in.ld, *c = x + (v.second * map[1] + h.first) * in.ld,
                *d = x + (v.second * map[1] + h.second) * in.ld;
    float *y = (float *)(void *)out.at + i * out.ld;
    for (size_t k = 0; k < from.columns; k++) {
        const float above = (1 - h.part) * a[k] + h.part * b[k], below = (1 - h.part) * c[k] + h.part * d[k];
        y[k] = (1 - v.part) * above + v.part * below;
    }
}

static void upsample_image(const struct vt_step_job *j, size_t image, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        upsample_row(j, image, i);
}

static void upsample_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    vt_exec_each_image(j, begin, end, upsample_image);
}

const struct vt_op vt_op_upsample = { .name = "upsample", .rows = upsample_rows };
const struct vt_op vt_op_argmax = { .name = "argmax", .rows = argmax_rows };
