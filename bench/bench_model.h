/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of bench_model: options, the model under test, and the reports that have a file of their own. */
#ifndef VT_BENCH_MODEL_H
#define VT_BENCH_MODEL_H

#include "random_model.h"
#include "session.h"

/* What the program answers with. */
enum bench_report { BENCH_SUMMARY, BENCH_LAYERS, BENCH_JSON, BENCH_SERVE, BENCH_SESSIONS, BENCH_REDUCTIONS };

struct bench_options {
    const char *path, *architecture; /* exactly one of them */
    const char *input, *output;      /* files of raw f32, or NULL: noise, nothing */
    const char *reduction;           /* of tokens, or NULL */
    const char *reductions;          /* to compare, with commas in between */
    enum bench_report report;
    uint32_t runs, sessions;
    vitrt_session_options session;
    bool help;
};

/* Fails the program on what it does not know. */
struct bench_options bench_parse_options(int argc, char **argv);
void bench_print_help(void);

/* A model with one session that has run once. */
struct bench {
    const struct bench_options *options;
    struct vt_bench_checkpoint checkpoint; /* of a random model */
    vitrt_model *model;
    vitrt_session *session;
    vitrt_session_info info;
    float *pixels;
    vitrt_image *images; /* [max_batch] */
    enum vt_product product;
    unsigned cpu;   /* the bundles that the session uses */
    double load_ms; /* opening, session, first run */
};

/* The model with its tokens reduced as the n characters at text say, at the size of the options; to be freed. Fails the
 * program on errors. */
vitrt_model *bench_reduced(const struct bench *b, const char *text, size_t n);

/* A session as the options ask for it, run once so that everything is in place. Fails the program on errors. */
vitrt_session *bench_new_session(const struct bench *b);

/* Milliseconds of one run of the whole batch. */
double bench_run(const struct bench *b, vitrt_session *s);

/* The peak of as many threads as the session has. */
double bench_peak(const struct bench *b);

/* A table of all steps, then sums by kind of step. */
void bench_report_layers(const struct bench *b);

/* Images a second of several sessions on one model at the same time, beside those of one. */
void bench_report_sessions(const struct bench *b);

/* Time and multiply-adds of reductions beside those of the model itself, taking turns. */
void bench_report_reductions(const struct bench *b);

#endif
