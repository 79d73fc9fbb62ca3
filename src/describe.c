/* SPDX-License-Identifier: Apache-2.0 */
/* vitrt_describe: what runs, as text that people paste into reports. Integers only: no locale can change it. */
#include "graph_schema.h"
#include "session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
    char *buf;
    size_t size, length; /* length of the whole text, also what did not fit */
};

static void put(struct text *t, const char *format, ...) VT_PRINTF(2, 3);

static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const size_t left = t->length < t->size ? t->size - t->length : 0;
    const int n = vsnprintf(left ? t->buf + t->length : NULL, left, format, args);
    va_end(args);
    if (n > 0)
        t->length += (size_t)n;
}

/* "12.3": a quotient with one decimal, rounded. */
static void put_tenths(struct text *t, uint64_t value, uint64_t unit, const char *suffix)
{
    const uint64_t tenths = value / unit * 10 + (value % unit * 10 + unit / 2) / unit;
    put(t, "%llu.%llu%s", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10), suffix);
}

static void put_windows(struct text *t, const char *what, const struct vt_row_order *order)
{
    const struct vt_window_grid *w = &order->windows;
    put(t, " %s windows of %ux%u", what, (unsigned)w->size[0], (unsigned)w->size[1]);
    if (w->shift[0] || w->shift[1])
        put(t, " shifted by %ux%u", (unsigned)w->shift[0], (unsigned)w->shift[1]);
}

/* How the step changes the order of rows, or that it goes by windows. */
static void put_order(struct text *t, const struct vt_plan *p, const struct vt_step *s)
{
    const vt_value own = (vt_value)(s->node - p->graph->nodes);
    const struct vt_row_order *order = p->values[own].order, *out = p->values[s->out].order;
    const struct vt_row_order *in = s->node->in_count ? p->values[vt_step_input(s).value].order : NULL;
    if (vt_is_depthwise(s->node))
        put(t, " depthwise");
    if (s->gather && s->gather->type == VT_NODE_SPACE_TO_DEPTH)
        put(t, " of blocks of %ux%u", (unsigned)s->gather->u.space_to_depth.block[0],
            (unsigned)s->gather->u.space_to_depth.block[1]);
    if (out && !in)
        put_windows(t, "to", out);
    else if (order && !out)
        put_windows(t, "from", order);
    else if (order && s->type == VT_NODE_ATTENTION)
        put_windows(t, "in", order);
    if (vt_bias_input(s->node))
        put(t, " + bias");
    if (vt_is_clipped(s->node))
        put(t, ", clipped");
    if (vt_gate_input(s->node))
        put(t, ", gated");
}

static void put_step(struct text *t, const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_op *op = vt_op_of(s->type);
    const struct vt_plan_value *out = &p->values[s->out];
    put(t, "  %-12s %-28s [%zu, %u]", op->name, s->node->name, out->rows, (unsigned)out->shape.columns);
    put_order(t, p, s);
    if (s->type == VT_NODE_ACTIVATION)
        put(t, " %s", vt_activation_names[s->node->u.activation]);
    if (s->activation)
        put(t, " + %s", vt_activation_names[s->activation]);
    if (s->scale != VT_NO_WEIGHT)
        put(t, " + scale");
    if (s->residual.value != VT_NO_VALUE)
        put(t, " + residual");
    if (p->graph->nodes[s->out].type == VT_NODE_CONVERT && p->graph->nodes[s->out].element != VT_F32)
        put(t, p->graph->nodes[s->out].element == VT_BF16 ? " to bf16" : " to codes");
    if (*vt_kernel_name(p, s))
        put(t, "  %s", vt_kernel_name(p, s));
    put(t, "\n");
}

/* Measured with one of Zen 5's cores, ViT-S: 3.5 times as fast as f32 with such instructions, 1.35 (AVX2) and 1.45
 * (AVX-512) times without, portable C 4 times. */
static bool multiplies_bytes(const struct vt_kernels *kernels)
{
    return strstr(kernels->gemm[VT_PRODUCT_U8S8].name, "vnni") != NULL;
}

size_t vitrt_describe(const vitrt_session *s, char *buf, size_t size)
{
    static const char *const precisions[] = { "f32", "bf16", "i8", "i8-strict" };
    struct text t = { buf, size, 0 };
    if (size)
        buf[0] = 0;
    if (!s)
        return 0;
    const struct vt_plan *p = s->plan;
    put(&t, "libvitrt %d.%d.%d, %s (%s), %s on %s, %ux%u, batch %u, %u thread%s\n", VITRT_VERSION_MAJOR,
        VITRT_VERSION_MINOR, VITRT_VERSION_PATCH, s->model->facts.family, s->model->facts.architecture,
        precisions[p->precision], p->kernels->bundle, (unsigned)p->height, (unsigned)p->width,
        (unsigned)p->max_batch, p->threads, p->threads == 1 ? "" : "s");
    put_tenths(&t, s->model->parameters, 1000000, " M parameters, packed weights ");
    put_tenths(&t, vt_plan_packed_bytes(p), 1 << 20, " MiB, arena ");
    put_tenths(&t, p->arena_bytes, 1 << 20, " MiB, ");
    put_tenths(&t, p->macs, 1000000000, " G multiply-adds an image (");
    put_tenths(&t, p->nominal_macs, 1000000000, " G with rows that no output needs)\n");
    if (p->precision >= VT_PRECISION_I8 && !multiplies_bytes(p->kernels))
        put(&t, "This CPU or bundle has no instructions for products of bytes (VNNI): codes are multiplied as words, which is "
                "still faster than f32, but by less.\n");
    if (p->pass_images < p->max_batch)
        put(&t, "%zu image%s at a time through these steps:\n", p->pass_images, p->pass_images == 1 ? "" : "s");
    for (size_t i = 0; i < p->step_count; i++)
        put_step(&t, p, &p->steps[i]);
    return t.length;
}
