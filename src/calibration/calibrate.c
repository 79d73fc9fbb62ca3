/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate.h. What is seen of each input is in watch.c. */
#include "calibrate.h"

#include "calibrate_units.h"
#include "watch.h"

#include <stdio.h>
#include <string.h>

/* For products of inputs, of all layers together: those of a ViT-B take 0.6 GB. */
#define PRODUCT_BYTES ((size_t)1 << 30)

/* Fewer images than this are worth a note. */
#define FEW_IMAGES 8

struct vt_calibration {
    vitrt_allocator alloc;
    const vitrt_model *model;
    const vitrt_quantize_options *o;
    uint32_t bits;
    vt_value only; /* node that is looked at, or VT_NO_VALUE for all */
    struct vt_watch *watches;
    size_t count;
    vt_value *taps; /* values that the session keeps */
    size_t tap_count, capacity, tap_capacity;
    float *largest;     /* [node_count]: magnitude in each value that has a unit */
    size_t *value_taps; /* [node_count] */
    vitrt_session *session;
    bool second;  /* pass */
    size_t blank; /* images, in the first pass */
    float *kept;  /* [kept_count][kept_numbers]: pixels */
    size_t kept_count, kept_numbers;
};

/* ---- What to watch ---- */

/* Has the caller said so, or will another calibration look at it? */
static bool is_left_out(const struct vt_calibration *c, vt_value v)
{
    const struct vt_node *node = &c->model->graph.nodes[v];
    if (c->only != VT_NO_VALUE)
        return v != c->only;
    for (size_t i = 0; i < c->o->float_node_count; i++)
        if (!strcmp(node->name, c->o->float_nodes[i]))
            return true;
    return false;
}

/* Do other layers multiply the same weight? */
static bool shares_weight(const struct vt_graph *g, const struct vt_node *node)
{
    size_t readers = 0;
    for (size_t v = 0; v < g->node_count && node->weight != VT_NO_WEIGHT; v++)
        readers += g->nodes[v].weight == node->weight || g->nodes[v].bias == node->weight;
    return readers > 1;
}

static size_t tap_of(struct vt_calibration *c, vt_value v)
{
    for (size_t i = 0; i < c->tap_count; i++)
        if (c->taps[i] == v)
            return i;
    c->taps[c->tap_count] = v;
    return c->tap_count++;
}

static void watch(struct vt_calibration *c, vt_value v, uint32_t k)
{
    struct vt_watch *w = &c->watches[c->count++];
    vt_watch_choose(w, c->model, c->o, c->bits, v, k);
    w->tap = tap_of(c, w->view.value);
    if (w->way == VT_WAY_BALANCED)
        w->other = k ? w - 1 : w + 1;
}

/* Says so if what a few images show is likely to be too little. */
static void note_few_images(const struct vt_calibration *c)
{
    char text[128];
    if (!c->model->logger.log || c->o->image_count >= FEW_IMAGES)
        return;
    snprintf(text, sizeof text, "calibration with %zu image%s, expected 32 or more for the usual accuracy",
             c->o->image_count, c->o->image_count == 1 ? "" : "s");
    c->model->logger.log(c->model->logger.user, text);
}

static vitrt_status list_watches(struct vt_calibration *c, vitrt_error *err)
{
    const struct vt_graph *g = &c->model->graph;
    size_t most = 0;
    for (size_t v = 0; v < g->node_count; v++)
        most += vt_operand_count(&g->nodes[v]) + (g->nodes[v].type == VT_NODE_ATTENTION);
    c->capacity = ++most;
    c->watches = vt_calloc(&c->alloc, most, sizeof *c->watches);
    c->tap_capacity = most + g->node_count;
    c->taps = vt_calloc(&c->alloc, c->tap_capacity, sizeof *c->taps);
    c->largest = vt_calloc(&c->alloc, g->node_count, sizeof *c->largest);
    c->value_taps = vt_calloc(&c->alloc, g->node_count, sizeof *c->value_taps);
    if (!c->watches || !c->taps || !c->largest || !c->value_taps)
        return vt_err_memory(err, c->tap_capacity * sizeof *c->watches, "the calibration");
    tap_of(c, 0); /* is looked at, too */
    for (size_t v = 0; v < g->node_count; v++) {
        if (is_left_out(c, (vt_value)v) || !vt_may_have_codes(&g->nodes[v]))
            continue;
        for (uint32_t k = 0; k < vt_operand_count(&g->nodes[v]) && !shares_weight(g, &g->nodes[v]); k++)
            watch(c, (vt_value)v, k);
        if (g->nodes[v].type == VT_NODE_ATTENTION && c->bits < 8)
            watch(c, (vt_value)v, VT_PROBABILITIES);
    }
    for (size_t v = 0; v < g->node_count && c->only == VT_NO_VALUE; v++)
        if (vt_has_unit(&g->nodes[v]))
            c->value_taps[v] = tap_of(c, (vt_value)v);
    if (!c->count)
        return vt_err(err, VITRT_EINVAL, "%s: the model has no product %s", vt_checkpoint_path(c->model->checkpoint),
                      c->o->float_node_count ? "that is not to stay in float" : "that could be quantized");
    return VITRT_OK;
}

static vitrt_status allocate(struct vt_calibration *c, bool keep, vitrt_error *err)
{
    vitrt_status st = VITRT_OK;
    if (keep) {
        c->kept_count = c->o->image_count < VT_MAX_KEPT_IMAGES ? c->o->image_count : VT_MAX_KEPT_IMAGES;
        c->kept_numbers = c->session->plan->values[0].rows * c->session->plan->values[0].shape.columns;
        c->kept = vt_calloc(&c->alloc, c->kept_count * c->kept_numbers, sizeof *c->kept);
        if (!c->kept)
            return vt_err_memory(err, c->kept_count * c->kept_numbers * sizeof *c->kept, "images for trials");
    }
    size_t room = c->o->flags & (VITRT_QUANTIZE_PERCENTILES | VITRT_QUANTIZE_ROUND) ? 0 : PRODUCT_BYTES;
    for (size_t i = 0; i < c->count && !st; i++)
        st = vt_watch_allocate(&c->watches[i], c->session, c->o->image_count, &room, err);
    return st;
}

static void see(void *arg, size_t begin, size_t end, size_t worker)
{
    struct vt_calibration *c = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        vt_watch_see(&c->watches[i], c->session, c->second);
}

/* The values of the image that has just run. */
static void observe_units(void *arg, size_t begin, size_t end, size_t worker)
{
    struct vt_calibration *c = arg;
    (void)worker;
    for (size_t v = begin; v < end; v++) {
        if (!vt_has_unit(&c->model->graph.nodes[v]))
            continue;
        const size_t tap = c->value_taps[v];
        const struct vt_plan_value *of = &c->session->plan->values[c->session->outputs[tap].value];
        vt_unit_observe(&c->largest[v], (const float *)(const void *)(c->session->arena + of->offset),
                        vt_output_rows(c->session, tap), of->shape.columns, of->ld);
    }
}

void vt_calibration_units(const struct vt_calibration *c, struct vt_graph *g)
{
    for (size_t v = 0; v < g->node_count; v++)
        if (vt_has_unit(&g->nodes[v]))
            g->nodes[v].unit = vt_unit_of_largest(c->largest[v]);
}

/* ---- Images ---- */

/* Are all pixels of the image the same? */
static bool is_blank(const vitrt_session *s)
{
    const size_t count = s->plan->values[0].rows * s->plan->values[0].shape.columns;
    const float *x = s->pixels[0];
    for (size_t i = 3; i < count; i++)
        if (x[i] != x[i % 3])
            return false;
    return true;
}

/* Image i of n is number i * kept / n of those that are kept if it is the first one with that number. */
static void keep_image(struct vt_calibration *c, size_t i)
{
    const size_t n = c->o->image_count, number = i * c->kept_count / n;
    if (c->kept && (!i || (i - 1) * c->kept_count / n < number))
        memcpy(c->kept + number * c->kept_numbers, c->session->pixels[0], c->kept_numbers * sizeof *c->kept);
}

static vitrt_status run_image(struct vt_calibration *c, const vitrt_image *image, size_t i, vitrt_error *err)
{
    const vitrt_status st = vitrt_run(c->session, image, 1, NULL, err);
    if (st)
        return st;
    vt_parallel(c->session->pool, c->count, 1, see, c);
    if (c->only != VT_NO_VALUE)
        return VITRT_OK;
    if (c->second)
        return VITRT_OK;
    c->blank += is_blank(c->session);
    keep_image(c, i);
    vt_parallel(c->session->pool, c->model->graph.node_count, 8, observe_units, c);
    return VITRT_OK;
}

static vitrt_status run_images(struct vt_calibration *c, vitrt_error *err)
{
    const vitrt_quantize_options *o = c->o;
    vitrt_status st = VITRT_OK;
    for (size_t i = 0; i < o->image_count && !st; i++) {
        vitrt_image image;
        if (o->images) {
            st = run_image(c, &o->images[i], i, err);
        } else {
            memset(&image, 0, sizeof image);
            st = o->read_image(o->user, i, &image, err);
            if (!st)
                st = run_image(c, &image, i, err);
            if (o->release_image)
                o->release_image(o->user, &image);
        }
        if (!st && o->progress && c->only == VT_NO_VALUE)
            o->progress(o->user, c->second ? "compare" : "observe", i + 1, o->image_count);
    }
    return st;
}

/* The session's own settings and the caller's. */
static vitrt_status create_session(struct vt_calibration *c, vitrt_error *err)
{
    const vitrt_session_options options = { .threads = c->o->threads,
                                            .precision =
                                                c->only == VT_NO_VALUE ? VITRT_PRECISION_F32 : VITRT_PRECISION_I8,
                                            .height = c->o->height,
                                            .width = c->o->width,
                                            .max_batch = 1,
                                            .parallel_for = c->o->parallel_for,
                                            .parallel_user = c->o->parallel_user };
    return vt_session_create(c->model, &options, c->taps, c->tap_count, &c->session, err);
}

static vitrt_status run_passes(struct vt_calibration *c, vitrt_error *err)
{
    vitrt_status st = run_images(c, err);
    if (!st && c->blank == c->o->image_count)
        return vt_err(err, VITRT_EINVAL, "the calibration images are blank: all pixels of each are the same");
    for (size_t i = 0; i < c->count && !st; i++) {
        struct vt_watch *w = &c->watches[i];
        if (w->has_observer)
            vt_observer_end_collecting(&w->observer);
        else
            st = vt_watch_finish(w, c->model, err);
    }
    c->second = true;
    return st ? st : run_images(c, err);
}

static vitrt_status calibrate(const vitrt_model *m, vt_value only, const vitrt_quantize_options *o, uint32_t bits,
                              bool keep, struct vt_calibration **out, vitrt_error *err)
{
    struct vt_calibration *c = vt_calloc(&m->alloc, 1, sizeof *c);
    *out = c;
    if (!c)
        return vt_err_memory(err, sizeof *c, "the calibration");
    c->alloc = m->alloc;
    c->model = m;
    c->o = o;
    c->bits = bits;
    c->only = only;
    vitrt_status st = list_watches(c, err);
    if (!st)
        st = create_session(c, err);
    if (!st)
        st = allocate(c, keep, err);
    return st ? st : run_passes(c, err);
}

vitrt_status vt_calibrate(const vitrt_model *m, const vitrt_quantize_options *o, uint32_t bits, bool keep,
                          struct vt_calibration **out, vitrt_error *err)
{
    const vitrt_status st = calibrate(m, VT_NO_VALUE, o, bits, keep, out, err);
    if (!st)
        note_few_images(*out);
    return st;
}

vitrt_status vt_calibrate_node(const vitrt_model *m, vt_value v, const vitrt_quantize_options *o, uint32_t bits,
                               struct vt_calibration **out, vitrt_error *err)
{
    return calibrate(m, v, o, bits, false, out, err);
}

void vt_calibration_free(struct vt_calibration *c)
{
    if (!c)
        return;
    const vitrt_allocator alloc = c->alloc;
    for (size_t i = 0; i < c->count; i++)
        vt_watch_free(&c->watches[i], &alloc);
    vitrt_session_free(c->session);
    vt_free(&alloc, c->kept, c->kept_count * c->kept_numbers * sizeof *c->kept);
    vt_free(&alloc, c->watches, c->capacity * sizeof *c->watches);
    vt_free(&alloc, c->taps, c->tap_capacity * sizeof *c->taps);
    vt_free(&alloc, c->largest, c->model->graph.node_count * sizeof *c->largest);
    vt_free(&alloc, c->value_taps, c->model->graph.node_count * sizeof *c->value_taps);
    vt_free(&alloc, c, sizeof *c);
}

/* ---- Results ---- */

struct vt_pool *vt_calibration_pool(const struct vt_calibration *c)
{
    return c->session->pool;
}

size_t vt_calibration_images(const struct vt_calibration *c)
{
    return c->kept_count;
}

vitrt_image vt_calibration_image(const struct vt_calibration *c, size_t i)
{
    return (vitrt_image){ .data = c->kept + i * c->kept_numbers,
                          .width = c->session->plan->width,
                          .height = c->session->plan->height,
                          .format = VITRT_FORMAT_F32 };
}

size_t vt_calibration_count(const struct vt_calibration *c)
{
    return c->count;
}

vt_value vt_calibration_node(const struct vt_calibration *c, size_t i)
{
    return c->watches[i].operand.node;
}

vitrt_status vt_calibration_operand(const struct vt_calibration *c, size_t i, struct vt_operand *out, vitrt_error *err)
{
    struct vt_watch *w = &c->watches[i];
    const vitrt_status st = w->has_observer ? vt_watch_finish(w, c->model, err) : VITRT_OK;
    *out = w->operand;
    return st;
}
