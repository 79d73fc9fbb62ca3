/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relative biases: from a table of offsets, or from SwinV2's network over log-spaced offsets, to the matrix that a
 * window's scores are added to. Runs once per session, so it is plain arithmetic.
 */
#include "ops.h"

#include <math.h>
#include <string.h>

/* Offsets between two tokens of a window: [2 * height - 1][2 * width - 1], a number for each head. */
struct offsets {
    size_t height, width, heads;
};

static struct offsets offsets_of(const uint32_t window[2], size_t heads)
{
    return (struct offsets){ 2 * (size_t)window[0] - 1, 2 * (size_t)window[1] - 1, heads };
}

static size_t offsets_floats(const struct offsets *o)
{
    return vt_size_mul(vt_size_mul(o->height, o->width), o->heads);
}

static struct vt_window_grid windows_of(const struct vt_plan *p, const struct vt_node *node)
{
    return vt_windows_over(&p->graph->patterns[node->u.relative_bias.order], p->values[node->in[0].value].shape.map);
}

/* ---- A table for windows of another size ---- */

/* Places of a side's offsets when a table is stretched: gaps grow geometrically with the distance from 0, by the ratio
 * that makes the outermost offset the other table's (BEiT, arXiv:2106.08254, as timm does it). Ascending, n odd. */
static void stretched_places(double *places, size_t n, size_t wanted)
{
    const double half = (double)(n / 2), reach = (double)(wanted / 2);
    double low = 1.01, high = 1.5, ratio = low;
    while (high - low > 1e-6) {
        ratio = (low + high) / 2;
        if ((1 - pow(ratio, half)) / (1 - ratio) > reach)
            high = ratio;
        else
            low = ratio;
    }
    double at = 0, step = 1;
    places[n / 2] = 0;
    for (size_t i = 1; i <= n / 2; i++, step *= ratio) {
        at += step;
        places[n / 2 + i] = at;
        places[n / 2 - i] = -at;
    }
}

/* Where x lies among the places: between `left` and the next one, or at an end. */
static double locate(const double *places, size_t n, double x, size_t *left)
{
    *left = 0;
    if (n < 2 || x <= places[0])
        return 0;
    while (*left + 2 < n && places[*left + 1] < x)
        ++*left;
    return x >= places[n - 1] ? 1 : (x - places[*left]) / (places[*left + 1] - places[*left]);
}

/* Linear in both directions. places has room for both sides of `from`. */
static void stretch(const struct offsets *from, const float *table, const struct offsets *to, float *out,
                    double *places)
{
    double *columns = places + from->height;
    stretched_places(places, from->height, to->height);
    stretched_places(columns, from->width, to->width);
    for (size_t i = 0; i < to->height; i++)
        for (size_t j = 0; j < to->width; j++, out += to->heads) {
            size_t y, x;
            const double dy = locate(places, from->height, (double)i - (double)(to->height / 2), &y),
                         dx = locate(columns, from->width, (double)j - (double)(to->width / 2), &x);
            const size_t right = from->width > 1 ? from->heads : 0,
                         below = from->height > 1 ? from->width * from->heads : 0;
            const float *at = table + (y * from->width + x) * from->heads;
            for (size_t h = 0; h < to->heads; h++) {
                const double above = at[h] * (1 - dx) + at[right + h] * dx,
                             under = at[below + h] * (1 - dx) + at[below + right + h] * dx;
                out[h] = (float)(above * (1 - dy) + under * dy);
            }
        }
}

/* ---- SwinV2's network ---- */

/* sign(c) * log2(1 + |8 c|) / log2(8), c being the offset in windows (arXiv:2111.09883, eq. 5). */
static double log_spaced(double offset, uint32_t window)
{
    const double c = 8 * offset / (window > 1 ? window - 1 : 1);
    return copysign(log2(fabs(c) + 1) / 3, c);
}

static void run_network(const struct vt_exec *x, const struct vt_node *node, const struct vt_step_weights *w,
                        const struct vt_window_grid *windows, const struct offsets *o, float *out)
{
    const uint32_t *trained = node->u.relative_bias.trained;
    const uint32_t unit[2] = { trained[0] ? trained[0] : windows->size[0],
                               trained[1] ? trained[1] : windows->size[1] };
    const float *first = w->weight, *second = w->weight2;
    const size_t hidden = (size_t)x->plan->graph->weights[node->weight].rows;
    for (size_t i = 0; i < o->height; i++)
        for (size_t j = 0; j < o->width; j++, out += o->heads) {
            const float dy = (float)log_spaced((double)i - (double)(o->height / 2), unit[0]),
                        dx = (float)log_spaced((double)j - (double)(o->width / 2), unit[1]);
            memset(out, 0, o->heads * sizeof *out);
            for (size_t k = 0; k < hidden; k++) {
                const float sum = first[2 * k] * dy + first[2 * k + 1] * dx + (w->bias ? w->bias[k] : 0);
                if (sum > 0)
                    x->plan->kernels->axpy_f32(o->heads, sum, second + k * o->heads, out);
            }
            for (size_t h = 0; h < o->heads; h++)
                out[h] = (float)(16 / (1 + exp(-(double)out[h])));
        }
}

/* ---- The step ---- */

/* [heads][area][vt_bias_ld(area)]: for query i and key j the number of their offset. */
static void spread(const struct vt_window_grid *windows, const struct offsets *o, const float *table, float divisor,
                   float *out)
{
    const size_t area = vt_window_area(windows), ld = vt_bias_ld(area), width = windows->size[1];
    for (size_t h = 0; h < o->heads; h++)
        for (size_t i = 0; i < area; i++, out += ld) {
            memset(out, 0, ld * sizeof *out);
            for (size_t j = 0; j < area; j++) {
                const size_t dy = i / width + windows->size[0] - 1 - j / width, dx = i % width + width - 1 - j % width;
                out[j] = table[(dy * o->width + dx) * o->heads + h] / divisor;
            }
        }
}

static void run_bias(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    const struct vt_node *node = s->node;
    const struct vt_window_grid windows = windows_of(x->plan, node);
    const struct offsets to = offsets_of(windows.size, node->u.relative_bias.heads);
    float *made = vt_exec_scratch(x, 0);
    const float *table = made;
    if (node->u.relative_bias.source == VT_BIAS_NETWORK) {
        run_network(x, node, w, &windows, &to, made);
    } else {
        const struct offsets from = offsets_of(node->u.relative_bias.trained, to.heads);
        if (from.height == to.height && from.width == to.width)
            table = w->weight;
        else
            stretch(&from, w->weight, &to, made, (double *)(void *)(made + vt_round_up(offsets_floats(&to), VT_ALIGN)));
    }
    const float divisor = node->u.relative_bias.divisor;
    spread(&windows, &to, table, divisor > 0 ? divisor : 1, vt_exec_view(x, vt_view_of(s->out)));
}

static size_t bias_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_window_grid windows = windows_of(p, s->node);
    const struct offsets to = offsets_of(windows.size, s->node->u.relative_bias.heads);
    const uint32_t *trained = s->node->u.relative_bias.trained;
    return vt_size_add(vt_size_mul(vt_round_up(offsets_floats(&to), VT_ALIGN), sizeof(float)),
                       2 * ((size_t)trained[0] + trained[1]) * sizeof(double));
}

const struct vt_op vt_op_relative_bias = { .name = "relative_bias", .run = run_bias, .scratch_bytes = bias_scratch };
