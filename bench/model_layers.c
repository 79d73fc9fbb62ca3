/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time of a model goes: each step by itself, and by kind of step. */
#include "bench_model.h"
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct layers {
    const struct bench *b;
    struct vt_exec exec;
    const struct vt_plan *plan;
    struct vt_shape *shapes; /* [node_count] */
    double *round;           /* [step_count], milliseconds of this round, all images */
    double *ms;              /* [step_count], the least of all rounds */
    double total, peak;
};

static struct layers layers_new(const struct bench *b)
{
    vitrt_session *s = b->session;
    const struct vt_plan *p = s->plan;
    struct layers l = { .b = b,
                        .plan = p,
                        .exec = { .plan = p,
                                  .pool = s->pool,
                                  .arena = s->arena,
                                  .scratch = s->arena + p->value_bytes,
                                  .scratch_bytes = p->scratch_bytes,
                                  .offsets = s->offsets,
                                  .pixels = s->pixels,
                                  .weights = s->weights },
                        .shapes = vt_bench_alloc(p->graph->node_count * sizeof *l.shapes),
                        .round = vt_bench_alloc(p->step_count * sizeof *l.round),
                        .ms = vt_bench_alloc(p->step_count * sizeof *l.ms) };
    for (size_t v = 0; v < p->graph->node_count; v++)
        l.shapes[v] = p->values[v].shape;
    for (size_t i = 0; i < p->step_count; i++)
        l.ms[i] = 1e9;
    return l;
}

/* All steps in their order, each timed, for the images from exec.first on. */
static void run_pass(struct layers *l)
{
    for (size_t i = l->plan->constant_count; i < l->plan->step_count; i++) {
        const double start = vt_bench_seconds();
        vt_exec_step(&l->exec, &l->plan->steps[i], &l->exec.weights[i]);
        l->round[i] += (vt_bench_seconds() - start) * 1e3;
    }
}

/* As vitrt_run does it, because what runs before a step decides what the caches hold. */
static void run_round(struct layers *l)
{
    const struct vt_plan *p = l->plan;
    const size_t n = p->max_batch, pixels = p->values[0].rows * p->values[0].shape.columns;
    memset(l->round, 0, p->step_count * sizeof *l->round);
    l->exec.first = 0;
    memcpy(vt_exec_view(&l->exec, vt_view_of(0)), l->b->pixels, n * pixels * sizeof(float));
    for (; l->exec.first < n; l->exec.first += l->exec.images) {
        l->exec.images = n - l->exec.first < p->pass_images ? n - l->exec.first : p->pass_images;
        run_pass(l);
    }
    for (size_t i = 0; i < p->step_count; i++)
        l->ms[i] = l->round[i] < l->ms[i] ? l->round[i] : l->ms[i];
}

static void measure(struct layers *l)
{
    for (uint32_t r = 0; r < l->b->options->runs; r++) {
        const double peak = bench_peak(l->b);
        l->peak = peak > l->peak ? peak : l->peak;
        run_round(l);
    }
    for (size_t i = l->plan->constant_count; i < l->plan->step_count; i++)
        l->total += l->ms[i];
}

/* Of the whole batch. */
static double gflop_of(const struct layers *l, const struct vt_step *s)
{
    const struct vt_op *op = vt_op_of(s->type);
    const vt_value node = (vt_value)(s->node - l->plan->graph->nodes);
    return op->macs ? 2e-9 * (double)op->macs(s->node, l->shapes, node) * (double)l->plan->max_batch : 0;
}

/* Of one image: rows x inputs x outputs of a product, queries x keys x columns of attention, else what comes out. */
static void format_shape(const struct layers *l, const struct vt_step *s, char *text, size_t size)
{
    const size_t rows = l->plan->values[s->out].rows;
    const unsigned columns = (unsigned)s->node->columns;
    const struct vt_view in = s->node->in[0];
    if (s->type == VT_NODE_LINEAR)
        snprintf(text, size, "%zu x %u x %u", rows, (unsigned)in.columns, columns);
    else if (s->type == VT_NODE_CONV2D)
        snprintf(text, size, "%zu x %u x %u", rows, (unsigned)l->plan->graph->weights[s->node->weight].columns,
                 columns);
    else if (s->type == VT_NODE_ATTENTION && l->plan->values[in.value].order)
        snprintf(text, size, "%zu * %zu^2 x %u", l->plan->values[in.value].order->count,
                 l->plan->values[in.value].order->area, (unsigned)in.columns);
    else if (s->type == VT_NODE_ATTENTION)
        snprintf(text, size, "%zu x %zu x %u", l->plan->values[in.value].rows,
                 l->plan->values[s->node->in[1].value].rows, (unsigned)in.columns);
    else
        snprintf(text, size, "%zu x %u", rows, columns);
}

enum { DEPTHWISE = VT_NODE_TYPE_COUNT, KINDS };

/* Convolutions of every channel by itself are a kind of their own: they are no matrix product. */
static int kind_of(const struct vt_step *s)
{
    return vt_is_depthwise(s->node) ? DEPTHWISE : (int)s->type;
}

static const char *kind_name(int kind)
{
    return kind == DEPTHWISE ? "depthwise" : vt_op_of((enum vt_node_type)kind)->name;
}

static void print_times(const struct layers *l, double ms, double gflop)
{
    const double rate = gflop / ms * 1e3;
    printf(" %9.4f  %5.1f %%", ms, 100 * ms / l->total);
    if (gflop > 0)
        printf("  %8.1f  %5.1f %%", rate, 100 * rate / l->peak);
    printf("\n");
}

static void print_step(const struct layers *l, size_t i)
{
    const struct vt_step *s = &l->plan->steps[i];
    char shape[48];
    format_shape(l, s, shape, sizeof shape);
    printf("%-26s %-12s %-30s %-18s", s->node->name, kind_name(kind_of(s)), vt_kernel_name(l->plan, s), shape);
    print_times(l, l->ms[i], gflop_of(l, s));
}

static void print_kinds(const struct layers *l)
{
    double ms[KINDS] = { 0 }, gflop[KINDS] = { 0 }, all = 0, rest = 0;
    for (size_t i = l->plan->constant_count; i < l->plan->step_count; i++) {
        const struct vt_step *s = &l->plan->steps[i];
        ms[kind_of(s)] += l->ms[i];
        gflop[kind_of(s)] += gflop_of(l, s);
        all += gflop_of(l, s);
        rest += vt_op_of(s->type)->macs ? 0 : l->ms[i];
    }
    for (int kind = 0; kind < KINDS; kind++)
        if (ms[kind] > 0) {
            printf("%-85s", kind_name(kind));
            print_times(l, ms[kind], gflop[kind]);
        }
    printf("%-85s", "neither product nor attention");
    print_times(l, rest, 0);
    printf("%-85s", "all steps");
    print_times(l, l->total, all);
}

void bench_report_layers(const struct bench *b)
{
    struct layers l = layers_new(b);
    measure(&l);
    printf("\nmilliseconds of %u image%s, least of %u rounds; peak %.1f GFLOP/s\n", (unsigned)b->info.max_batch,
           b->info.max_batch == 1 ? "" : "s", (unsigned)b->options->runs, l.peak);
    printf("%-26s %-12s %-30s %-18s %9s  %7s  %8s  %7s\n", "step", "kind", "kernel", "shape of an image", "ms",
           "of time", "GFLOP/s", "of peak");
    for (size_t i = l.plan->constant_count; i < l.plan->step_count; i++)
        print_step(&l, i);
    printf("\n");
    print_kinds(&l);
    free(l.shapes);
    free(l.round);
    free(l.ms);
}
