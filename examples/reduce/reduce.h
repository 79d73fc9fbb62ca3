/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of reduce: its command line, the model with all of its tokens, schedules, their budget, the search for the
 * best of them, and what is reported of it. */
#ifndef REDUCE_H
#define REDUCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files.h"
#include "reduction.h"
#include "vitrt.h"

/* ---- reduce_options.c ---- */

struct options {
    const char *model, *out;
    const char *methods; /* with commas */
    const char *plot;    /* NULL: none */
    /* One of these is there: shares, a number of multiply-adds, a schedule without its method. */
    double macs_share, time_share, macs;
    const char *schedule;
    size_t limit, candidates, seed;
    size_t side; /* of the input; 0: the model's default */
    int32_t threads;
    vitrt_precision precision;
    bool help;
    struct files images;
};

/* False: wrong usage; what was wrong was printed to stderr. */
bool options_parse(struct options *o, int argc, char **argv);

extern const char options_usage[];

/* ---- reduce_dense.c ---- */

/* The model with all of its tokens, and what it makes of the images. */
struct dense {
    vitrt_model *model;
    uint32_t blocks, patches;
    vitrt_session_options options; /* of all sessions */
    vitrt_session *session;
    uint32_t height, width; /* of the input */
    double macs;            /* of an image */
    double ms;              /* of an image, beside the candidates that were timed last */
    size_t images, classes;
    float *pixels; /* [images, height * width * 3]: prepared once for all sessions */
    float *logits; /* [images, classes] */
};

/* Opens the model and runs images, at most o->limit, evenly spread. What was set when it fails is freed by dense_free,
 * too. */
vitrt_status dense_open(struct dense *d, const struct options *o, bool progress, vitrt_error *err);
void dense_free(struct dense *d);

/* Image i, prepared. */
vitrt_image dense_image(const struct dense *d, size_t i);

/* ---- reduce_candidates.c ---- */

/* A place where tokens leave. */
struct step {
    uint32_t block;
    uint32_t similar; /* so many quarters of them for their similarity, */
    uint32_t rounds;  /* after so many of votes (Zero-TPrune) */
    double shape;     /* how many, beside other steps: 2^-(shape * strength) of the tokens stay */
};

/* A schedule, what it costs, and how its answers compare with the dense model's. */
struct candidate {
    struct reduction reduction;
    struct step steps[REDUCTION_LAYERS]; /* what the layers are made of, by block */
    size_t step_count;
    bool many_rounds;
    size_t number; /* in the order in which they were drawn */

    double macs;   /* of an image: planned, or of ATS the mean of the first images */
    size_t images; /* that have run, */
    size_t same;   /* to which both give the same answer; sums over all of them: */
    double divergence, run_macs;

    double ms, time_share; /* of an image, and of the dense model's; 0: not measured */
    bool front;            /* no better one is as quick */
};

/* A random number, 0 .. n - 1. *state is the generator's, as of all that draw. */
uint32_t draw(uint64_t *state, uint32_t n);

/* Steps for the method of c->reduction: those that the library has for a budget, a share of multiply-adds, or drawn. */
vitrt_status candidate_usual(struct candidate *c, const struct dense *d, double budget, vitrt_error *err);
void candidate_draw(struct candidate *c, const struct dense *d, uint64_t *random);

/* A new one that is like another, with some steps stronger or weaker, and now and then one more or less. */
void candidate_vary(struct candidate *c, const struct candidate *like, const struct dense *d, uint64_t *random);

/* Makes layers of the steps: the greater strength > 0, the more tokens leave. */
void candidate_scale(struct candidate *c, const struct dense *d, double strength);

/* The reduced model, or a session on it, to be freed. */
vitrt_status candidate_model(struct candidate *c, const struct dense *d, vitrt_model **model, vitrt_error *err);
vitrt_status candidate_session(struct candidate *c, const struct dense *d, vitrt_session **session, vitrt_error *err);

/* ---- reduce_compare.c ---- */

/* Runs images c->images .. end - 1. */
vitrt_status compare_images(struct candidate *c, const struct dense *d, size_t end, vitrt_error *err);

/* For qsort, the best first: of the least mean divergence, which tells more of few images than equal answers do. */
int compare_quality(const void *a, const void *b);

/* ---- reduce_budget.c ---- */

#define MACS_TOLERANCE 0.01
#define TIME_TOLERANCE 0.05 /* what is measured varies */

/* Scales the schedule until its multiply-adds are `macs` within the tolerance; *met: whether that was possible. images:
 * how many ATS is tried on. */
vitrt_status budget_fit(struct candidate *c, const struct dense *d, double macs, size_t images, bool *met,
                        vitrt_error *err);

/* ---- reduce_time.c ---- */

/* Measures ms and time_share of candidates, which take turns with each other and the dense model. */
vitrt_status time_candidates(struct candidate *c, size_t n, struct dense *d, size_t rounds, vitrt_error *err);

/* ---- reduce_search.c ---- */

/* Finds the best schedules of a method within the budget: at c, which has room for o->candidates, the best first.
 * *count: how many, 0 if none meets it. */
vitrt_status search(const struct options *o, struct dense *d, const struct reduction *method, bool progress,
                    struct candidate *c, size_t *count, vitrt_error *err);

/* ---- reduce_report.c, reduce_plot.c ---- */

/* Marks the front, and prints all, the best first. */
void report_candidates(struct candidate *c, size_t n, const struct dense *d);

/* Agreement against time as SVG, once the front is marked. False: the file could not be written; errno says why. */
bool plot_write(const char *path, const struct candidate *c, size_t n, const struct dense *d);

#endif
