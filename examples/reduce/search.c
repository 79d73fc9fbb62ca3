/* SPDX-License-Identifier: Apache-2.0 */
/* The search for the best schedules of a method: candidates that meet the budget, the usual one, some drawn at random,
 * others like the best of those before, then successive halving, or rather quartering, on more and more images. See
 * reduce.h. */
#include "reduce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

enum {
    RUNGS = 3,
    QUARTER = 4,
    LEAST_IMAGES = 16, /* of a rung */
    GENERATIONS = 4,   /* of candidates, the first at random */
    TRIES = 20,        /* to draw a schedule, for each candidate */
    TIME_ROUNDS = 9
};

struct searching {
    const struct options *o;
    struct dense *d;
    bool progress;
    uint64_t random;
    double macs; /* to look for; where time counts, those that have lately taken the time that is wanted */
};

/* Of all images. */
static size_t images_of(const struct dense *d, int rung)
{
    size_t n = d->images;
    for (int i = rung + 1; i < RUNGS; i++)
        n /= QUARTER;
    const size_t least = d->images < LEAST_IMAGES ? d->images : LEAST_IMAGES;
    return n < least ? least : n;
}

/* ---- Candidates ---- */

/* Whether the time is what is wanted, too, and what multiply-adds the next one should have. */
static vitrt_status check_time(struct searching *s, struct candidate *c, bool *met, vitrt_error *err)
{
    const double wanted = s->o->time_share;
    const vitrt_status st = time_candidates(c, 1, s->d, TIME_ROUNDS, err);
    if (st != VITRT_OK)
        return st;
    const double macs = c->macs * wanted / c->time_share;
    s->macs = (s->macs + (macs < s->d->macs ? macs : s->d->macs)) / 2; /* half way: measurements vary */
    *met = c->time_share > wanted * (1 - TIME_TOLERANCE) && c->time_share < wanted * (1 + TIME_TOLERANCE);
    return VITRT_OK;
}

static bool is_known(const struct candidate *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].reduction.options.layer_count == c[n].reduction.options.layer_count &&
            !memcmp(c[i].reduction.layers, c[n].reduction.layers, sizeof(c->reduction.layers)))
            return true;
    return false;
}

/* One like one of the best quarter of those before; the first ones are like none, the very first is the usual one. */
static vitrt_status draw_candidate(struct searching *s, const struct reduction *method, struct candidate *c, size_t n,
                                   size_t before, bool first, vitrt_error *err)
{
    const size_t best = (before + QUARTER - 1) / QUARTER;
    c[n].reduction = *method;
    const vitrt_status st = first ? candidate_usual(&c[n], s->d, s->macs / s->d->macs, err) : VITRT_EINVAL;
    if (st != VITRT_EINVAL) /* there is one for the budget, or a failure */
        return st;
    if (before)
        candidate_vary(&c[n], &c[draw(&s->random, (uint32_t)best)], s->d, &s->random);
    else
        candidate_draw(&c[n], s->d, &s->random);
    return VITRT_OK;
}

/* Draws candidates that meet the budget, until there are `wanted`; *n: how many there are, of which some were there
 * `before`, the best first. */
static vitrt_status draw_candidates(struct searching *s, const struct reduction *method, struct candidate *c,
                                    size_t before, size_t wanted, size_t *n, vitrt_error *err)
{
    vitrt_status st = VITRT_OK;
    char what[128];
    snprintf(what, sizeof(what), "schedules of %s within the budget", method->name);
    *n = before;
    for (size_t tries = 0; tries < TRIES * (wanted - before) && *n < wanted && st == VITRT_OK; tries++) {
        bool met = false;
        st = draw_candidate(s, method, c, *n, before, !before && !tries, err);
        if (st == VITRT_OK)
            st = budget_fit(&c[*n], s->d, s->macs, images_of(s->d, 0), &met, err);
        if (st == VITRT_OK && met && s->o->time_share > 0)
            st = check_time(s, &c[*n], &met, err);
        c[*n].number = *n;
        if (st == VITRT_OK && met && !is_known(c, *n))
            ++*n;
        if (s->progress)
            progress_show(*n, s->o->candidates, what);
    }
    return st;
}

/* ---- Rungs ---- */

/* Runs all that have not run yet on the images of the rung and puts the best ones first. */
static vitrt_status run_rung(const struct searching *s, struct candidate *c, size_t n, int rung, vitrt_error *err)
{
    const size_t images = images_of(s->d, rung);
    char what[128];
    snprintf(what, sizeof(what), "schedules of %s on %zu images", c->reduction.name, images);
    for (size_t i = 0; i < n; i++) {
        const vitrt_status st = compare_images(&c[i], s->d, images, err);
        if (st != VITRT_OK)
            return st;
        if (s->progress)
            progress_show(i + 1, n, what);
    }
    qsort(c, n, sizeof(*c), compare_quality);
    return VITRT_OK;
}

/* Each generation is as large as the others, and but for the last one also goes through the first rung. */
static vitrt_status draw_generations(struct searching *s, const struct reduction *method, struct candidate *c,
                                     size_t *n, vitrt_error *err)
{
    vitrt_status st = VITRT_OK;
    for (size_t i = 1; i <= GENERATIONS && st == VITRT_OK; i++) {
        const size_t wanted = s->o->candidates * i / GENERATIONS, before = *n;
        if (wanted > before)
            st = draw_candidates(s, method, c, before, wanted, n, err);
        if (st == VITRT_OK && i < GENERATIONS)
            st = run_rung(s, c, *n, 0, err);
    }
    return st;
}

vitrt_status search(const struct options *o, struct dense *d, const struct reduction *method, bool progress,
                    struct candidate *c, size_t *count, vitrt_error *err)
{
    struct searching s = { .o = o, .d = d, .progress = progress, .random = o->seed };
    size_t n = 0;
    vitrt_status st = VITRT_OK;
    s.macs = o->macs > 0 ? o->macs : d->macs * (o->macs_share > 0 ? o->macs_share : o->time_share);
    if (method->options.layer_count)
        c[n++] = (struct candidate){ .reduction = *method };
    else
        st = draw_generations(&s, method, c, &n, err);
    *count = 0;
    for (int rung = 0; rung < RUNGS && n && st == VITRT_OK; rung++) {
        st = run_rung(&s, c, n, rung, err);
        *count = n;
        n = n < QUARTER ? 1 : n / QUARTER;
    }
    if (progress)
        progress_clear();
    return st;
}
