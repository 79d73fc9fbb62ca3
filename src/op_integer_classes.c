/* SPDX-License-Identifier: Apache-2.0 */
/* Maps of classes in integer-only inference; see op_classes.c. */
#include "ops.h"

static void argmax_rows(const struct vt_step_job *j, size_t begin, size_t end)
{
    const struct vt_view in = j->s->node->in[0];
    const size_t ld = vt_exec_ld(j->x, in.value);
    const int16_t *x = (const int16_t *)vt_exec_view(j->x, in) + begin * ld;
    int32_t *y = vt_exec_view(j->x, vt_view_of(j->s->out));
    for (size_t r = begin; r < end; r++, x += ld) {
        y[r] = 0;
        for (size_t c = 1; c < in.columns; c++)
            y[r] = x[c] > x[y[r]] ? (int32_t)c : y[r];
    }
}

/* ---- Upsampling ---- */

enum { PART_BITS = 14 };

/* Between which two of n positions position i of m lies, and how far from the first: (2 i + 1) n / (2 m) - 1/2. */
struct between {
    size_t first, second;
    int32_t part;
};

static struct between between(uint64_t i, uint64_t n, uint64_t m)
{
    const uint64_t twice = (2 * i + 1) * n, at = twice > m ? twice - m : 0; /* in units of 1 / (2 m) */
    const size_t first = (size_t)(at / (2 * m));
    const uint64_t part = ((at % (2 * m) << PART_BITS) + m) / (2 * m);
    return (struct between){ first, first + 1 < n ? first + 1 : first, (int32_t)part };
}

static int32_t mixed(int16_t a, int16_t b, int32_t part)
{
    return ((1 << PART_BITS) - part) * a + part * b;
}

/* Row i of an image's value. */
static void upsample_row(const struct vt_step_job *j, size_t image, size_t i)
{
    const struct vt_view from = j->s->node->in[0];
    const uint32_t *map = j->x->plan->values[from.value].shape.map, *to = j->x->plan->values[j->s->out].shape.map;
    const struct vt_image_rows in = vt_exec_image_rows(j->x, from, image),
                               out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
    const struct between v = between(i / to[1], map[0], to[0]), h = between(i % to[1], map[1], to[1]);
    const int16_t *x = (const int16_t *)(const void *)in.at, *a = x + (v.first * map[1] + h.first) * in.ld,
                  *b = x + (v.first * map[1] + h.second) * in.ld, *c = x + (v.second * map[1] + h.first) * in.ld,
                  *d = x + (v.second * map[1] + h.second) * in.ld;
    int16_t *y = (int16_t *)(void *)out.at + i * out.ld;
    for (size_t k = 0; k < from.columns; k++) {
        const int64_t above = mixed(a[k], b[k], h.part), below = mixed(c[k], d[k], h.part);
        const int64_t sum = ((1 << PART_BITS) - v.part) * above + v.part * below;
        y[k] = (int16_t)((sum + ((int64_t)1 << (2 * PART_BITS - 1))) >> (2 * PART_BITS));
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

const struct vt_op vt_op_integer_upsample = { .name = "upsample", .rows = upsample_rows };
const struct vt_op vt_op_integer_argmax = { .name = "argmax", .rows = argmax_rows };
