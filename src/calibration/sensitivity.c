/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sensitivity.h. All trials are sessions of one model, whose file has the products with codes and, beside them, the
 * same products in float, which nothing reads. A trial chooses from them, so that no weight is read or packed twice.
 */
#include "sensitivity.h"

#include "session.h"

#include <math.h>
#include <stdlib.h>

struct trials {
    struct vt_quantized *q;
    const struct vt_calibration *c;
    const vitrt_quantize_options *o;
    struct vt_candidate *candidates;
    size_t count;
    vitrt_model *model;
    struct vt_node *nodes; /* [2][count]: with codes, in float */
    float *reference;      /* [images][numbers]: outputs of the float model */
    size_t numbers;
    vitrt_error *err;
};

/* ---- The model ---- */

static vitrt_status open_model(struct trials *t, char **file, size_t *bytes)
{
    struct vt_graph *g = &t->q->graph;
    const size_t nodes = g->node_count;
    for (size_t i = 0; i < t->count; i++) {
        const struct vt_node *node = &t->q->model->graph.nodes[t->candidates[i].node];
        if (vt_operand_count(node) == 1)
            vt_graph_append(g, node);
    }
    vitrt_status st = vt_quantized_write(t->q, file, bytes);
    g->node_count = nodes;
    return st ? st : vt_quantized_open(t->q, *file, *bytes, false, &t->model);
}

/* What a node of the opened model is with codes and in float. */
static vitrt_status list_nodes(struct trials *t)
{
    size_t next = t->q->graph.node_count;
    t->nodes = vt_calloc(&t->q->alloc, 2 * t->count, sizeof *t->nodes);
    if (!t->nodes)
        return vt_err_memory(t->err, 2 * t->count * sizeof *t->nodes, "the trials");
    for (size_t i = 0; i < t->count; i++) {
        const struct vt_node *node = &t->model->graph.nodes[t->candidates[i].node];
        struct vt_node *plain = &t->nodes[t->count + i];
        t->candidates[i].index = i;
        t->nodes[i] = *plain = *node;
        for (uint32_t k = 0; k < vt_operand_count(node); k++)
            plain->quantizers[k].bits = 0;
        if (vt_operand_count(node) == 1) {
            plain->weight = t->model->graph.nodes[next].weight;
            plain->bias = t->model->graph.nodes[next++].bias;
        }
        plain->float_product = t->q->float_product;
    }
    return VITRT_OK;
}

static void choose(struct trials *t, size_t i, bool in_float)
{
    const struct vt_candidate *c = &t->candidates[i];
    t->model->graph.nodes[c->node] = t->nodes[in_float ? t->count + c->index : c->index];
}

/* ---- Runs ---- */

static vitrt_status create_session(const struct trials *t, const vitrt_model *m, vitrt_session **s)
{
    const vitrt_session_options options = { .threads = t->o->threads,
                                            .height = t->o->height,
                                            .width = t->o->width,
                                            .parallel_for = t->o->parallel_for,
                                            .parallel_user = t->o->parallel_user };
    return vt_session_create(m, &options, NULL, 0, s, t->err);
}

/* The output for image i, which is the session's until it runs again. */
static vitrt_status run(const struct trials *t, vitrt_session *s, size_t i, vitrt_output *out)
{
    const vitrt_image image = vt_calibration_image(t->c, i);
    const vitrt_status st = vitrt_run(s, &image, 1, NULL, t->err);
    return st ? st : vitrt_session_output(s, 0, out);
}

static vitrt_status make_reference(struct trials *t)
{
    const size_t images = vt_calibration_images(t->c);
    vitrt_session *s;
    vitrt_output out = { 0 };
    vitrt_status st = create_session(t, t->q->model, &s);
    for (size_t i = 0; i < images && !st; i++) {
        st = run(t, s, i, &out);
        if (!st && !t->reference) {
            t->numbers = out.offsets[1] * out.columns;
            t->reference = vt_calloc(&t->q->alloc, images * t->numbers, sizeof(float));
            if (!t->reference)
                st = vt_err_memory(t->err, images * t->numbers * sizeof(float), "the outputs");
        }
        for (size_t k = 0; k < t->numbers && !st; k++)
            t->reference[i * t->numbers + k] = ((const float *)out.data)[k];
    }
    vitrt_session_free(s);
    return st;
}

/* Of the model as it is chosen now. */
static vitrt_status measure(const struct trials *t, double *loss)
{
    double error = 0, sum = 0;
    vitrt_session *s;
    vitrt_output out = { 0 };
    vitrt_status st = create_session(t, t->model, &s);
    for (size_t i = 0; i < vt_calibration_images(t->c) && !st; i++) {
        st = run(t, s, i, &out);
        for (size_t k = 0; k < t->numbers && !st; k++) {
            const double y = (double)t->reference[i * t->numbers + k];
            const double d = (double)((const float *)out.data)[k] - y;
            error += d * d;
            sum += y * y;
        }
    }
    vitrt_session_free(s);
    *loss = error > 0 || !(error <= 0) ? error / sum : 0;
    return st;
}

static void show(const struct trials *t, const char *what, size_t done, size_t total)
{
    if (t->o->progress)
        t->o->progress(t->o->user, what, done, total);
}

/* ---- Ranks ---- */

static vitrt_status rank(struct trials *t)
{
    vitrt_status st = VITRT_OK;
    for (size_t i = 0; i < t->count; i++)
        choose(t, i, true);
    for (size_t i = 0; i < t->count && !st; i++) {
        choose(t, i, false);
        st = measure(t, &t->candidates[i].loss);
        choose(t, i, true);
        if (!st)
            show(t, "rank", i + 1, t->count);
    }
    return st;
}

static int by_loss(const void *a, const void *b)
{
    const struct vt_candidate *x = a, *y = b;
    const double left = isfinite(x->loss) ? x->loss : INFINITY, right = isfinite(y->loss) ? y->loss : INFINITY;
    return left != right ? (left < right) - (left > right) : (x->node > y->node) - (x->node < y->node);
}

/* ---- The mix ---- */

/* With the first n in float: is the loss within the tolerance? */
static vitrt_status try_mix(struct trials *t, size_t n, bool *good)
{
    double loss;
    for (size_t i = 0; i < t->count; i++)
        choose(t, i, i < n);
    const vitrt_status st = measure(t, &loss);
    *good = !st && loss <= (double)t->o->tolerance;
    return st;
}

static vitrt_status choose_mix(struct trials *t)
{
    size_t low = 0, high = t->count, tried = 0, most = 2; /* fewer than low are not enough; high are, or the whole */
    for (size_t n = t->count; n > 1; n = (n + 1) / 2)
        most++;
    while (low < high) {
        const size_t n = high == t->count ? (low ? t->count - 1 : 0) : (low + high) / 2;
        bool good;
        const vitrt_status st = try_mix(t, n, &good);
        if (st)
            return st;
        show(t, "mix", ++tried, most);
        if (good)
            high = n;
        else
            low = n + 1;
    }
    show(t, "mix", most, most);
    if (high == t->count)
        return vt_err(t->err, VITRT_EINVAL, "%s: the loss is over the tolerance of %g even with one node in codes",
                      vt_checkpoint_path(t->q->model->checkpoint), (double)t->o->tolerance);
    for (size_t i = 0; i < high; i++)
        t->candidates[i].in_float = true;
    return VITRT_OK;
}

vitrt_status vt_rank_candidates(struct vt_quantized *q, const struct vt_calibration *c, const vitrt_quantize_options *o,
                                struct vt_candidate *candidates, size_t count)
{
    struct trials t = { .q = q, .c = c, .o = o, .candidates = candidates, .count = count, .err = q->err };
    char *file = NULL;
    size_t bytes = 0;
    vitrt_status st = open_model(&t, &file, &bytes);
    if (!st)
        st = list_nodes(&t);
    if (!st)
        st = make_reference(&t);
    if (!st)
        st = rank(&t);
    qsort(candidates, count, sizeof *candidates, by_loss);
    if (!st && o->tolerance > 0)
        st = choose_mix(&t);
    vitrt_model_free(t.model);
    vt_free(&q->alloc, t.reference, vt_calibration_images(c) * t.numbers * sizeof(float));
    vt_free(&q->alloc, t.nodes, 2 * count * sizeof *t.nodes);
    vt_free(&q->alloc, file, bytes);
    return st;
}
