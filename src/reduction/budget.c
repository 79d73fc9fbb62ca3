/* SPDX-License-Identifier: Apache-2.0 */
/* See budget.h. */
#include "budget.h"

#include "model.h"
#include "os.h"
#include "reduced_model.h"
#include "schedule.h"

#include <stdlib.h>

enum {
    MACS_STEPS = 12, /* shares of tokens are found to one in 2^12; */
    TIME_STEPS = 7,  /* what is measured varies by more than one in 2^7 */
    ROUNDS = 9       /* of which the median counts */
};

/* ---- Multiply-adds ---- */

static vitrt_status count_macs(const vitrt_model *m, const uint32_t size[2], double *macs, vitrt_error *err)
{
    const vitrt_session_options o = { .height = size[0], .width = size[1], .threads = 1 };
    vitrt_session_info info;
    const vitrt_status st = vitrt_session_measure(m, &o, &info, err);
    if (!st)
        *macs = (double)info.macs_per_image;
    return st;
}

/* ---- Time ---- */

/* The model as it is, on one image as often as a batch has it. */
struct contest {
    vitrt_session_options options;
    vitrt_session *dense;
    float *pixels;
    size_t pixel_count;
    vitrt_image *images;
    size_t batch;
};

/* Numbers as normalized pixels are: -2 to 2. */
static void fill_with_noise(size_t n, float *x)
{
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / (1 << 22) - 2;
    }
}

static void contest_close(const vitrt_model *m, struct contest *c)
{
    vitrt_session_free(c->dense);
    vt_free(&m->alloc, c->pixels, c->pixel_count * sizeof *c->pixels);
    vt_free(&m->alloc, c->images, c->batch * sizeof *c->images);
}

static vitrt_status contest_open(const vitrt_model *m, const struct vt_budget *b, struct contest *c, vitrt_error *err)
{
    *c = (struct contest){ .options = *b->timed, .batch = b->timed->max_batch ? b->timed->max_batch : 1 };
    c->options.height = b->size[0];
    c->options.width = b->size[1];
    const vitrt_status st = vitrt_session_create(m, &c->options, &c->dense, err);
    if (st)
        return st;
    c->pixel_count = (size_t)b->size[0] * b->size[1] * 3;
    c->pixels = vt_calloc(&m->alloc, c->pixel_count, sizeof *c->pixels);
    c->images = vt_calloc(&m->alloc, c->batch, sizeof *c->images);
    if (!c->pixels || !c->images)
        return vt_err_memory(err, c->pixel_count * sizeof *c->pixels, "images to measure time with");
    fill_with_noise(c->pixel_count, c->pixels);
    for (size_t i = 0; i < c->batch; i++)
        c->images[i] = (vitrt_image){ .data = c->pixels, .width = b->size[1], .height = b->size[0],
                                      .format = VITRT_FORMAT_F32 };
    return VITRT_OK;
}

static vitrt_status time_run(const struct contest *c, vitrt_session *s, double *time, vitrt_error *err)
{
    const uint64_t start = vt_clock_ns();
    const vitrt_status st = vitrt_run(s, c->images, c->batch, NULL, err);
    *time = (double)(vt_clock_ns() - start);
    return st;
}

static int compare_numbers(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of quotients of runs beside each other, for a machine's speed changes. Round 0 is not counted. */
static vitrt_status time_share(const struct contest *c, const vitrt_model *reduced, double *share, vitrt_error *err)
{
    vitrt_session *s;
    double quotients[ROUNDS], dense, time;
    vitrt_status st = vitrt_session_create(reduced, &c->options, &s, err);
    if (st)
        return st;
    for (int i = 0; i <= ROUNDS && !st; i++) {
        st = time_run(c, c->dense, &dense, err);
        if (!st)
            st = time_run(c, s, &time, err);
        if (!st && i)
            quotients[i - 1] = time / dense;
    }
    vitrt_session_free(s);
    qsort(quotients, st ? 0 : ROUNDS, sizeof *quotients, compare_numbers);
    *share = st ? 0 : quotients[ROUNDS / 2];
    return st;
}

/* ---- Search ---- */

struct search {
    const vitrt_model *m;
    struct vt_reduction *r;
    const struct vt_budget *budget;
    vitrt_reduce_layer *layers;
    double dense; /* multiply-adds of the model */
    struct contest contest;
};

static void set_layers(struct search *s, double keep)
{
    s->r->layers = s->layers;
    s->r->layer_count = vt_usual_layers(&s->m->graph, s->r, s->budget->share, keep, s->layers);
}

/* A model of that share of tokens, and its share of what the budget is of. */
static vitrt_status try_share(struct search *s, double keep, vitrt_model **d, double *share, vitrt_error *err)
{
    set_layers(s, keep);
    const vitrt_status st = vt_reduced_model(s->m, s->r, s->budget->size, d, err);
    if (st)
        return st;
    if (s->budget->timed)
        return time_share(&s->contest, *d, share, err);
    const vitrt_status counted = count_macs(*d, s->budget->size, share, err);
    *share /= s->dense;
    return counted;
}

/* The largest share of tokens that meets the budget, bit by bit. */
static vitrt_status search(struct search *s, vitrt_model **out, vitrt_error *err)
{
    const int steps = s->budget->timed ? TIME_STEPS : MACS_STEPS;
    uint32_t most = 0; /* of 2^steps */
    double share = 0;
    vitrt_status st = VITRT_OK;
    for (uint32_t step = 1u << steps; step && !st; step >>= 1) {
        vitrt_model *d = NULL;
        if (most + step > 1u << steps)
            continue;
        st = try_share(s, (double)(most + step) / (1u << steps), &d, &share, err);
        if (!st && share <= s->budget->share) {
            most += step;
            vitrt_model_free(*out);
            *out = d;
        } else {
            vitrt_model_free(d);
        }
    }
    set_layers(s, (double)most / (1u << steps));
    return st || *out ? st
                      : vt_err(err, VITRT_EINVAL,
                               "%s: no schedule has %g of the %s or less: with a single token it is %g",
                               vt_checkpoint_path(s->m->checkpoint), s->budget->share,
                               s->budget->timed ? "time" : "multiply-adds", share);
}

static vitrt_status measure_and_search(struct search *s, vitrt_model **out, vitrt_error *err)
{
    if (!vt_usual_layers(&s->m->graph, s->r, s->budget->share, 1, s->layers))
        return vt_err(err, VITRT_EINVAL,
                      "%s: there is no output score.K, what a predictor before block K says of tokens",
                      vt_checkpoint_path(s->m->checkpoint));
    const vitrt_status st = s->budget->timed ? contest_open(s->m, s->budget, &s->contest, err)
                                             : count_macs(s->m, s->budget->size, &s->dense, err);
    return st ? st : search(s, out, err);
}

vitrt_status vt_meet_budget(const vitrt_model *m, struct vt_reduction *r, const struct vt_budget *budget,
                            vitrt_reduce_layer *layers, vitrt_model **out, vitrt_error *err)
{
    struct search s = { .m = m, .r = r, .budget = budget, .layers = layers };
    const vitrt_status st = measure_and_search(&s, out, err);
    if (st) {
        vitrt_model_free(*out);
        *out = NULL;
    }
    contest_close(m, &s.contest);
    return st;
}
