/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time of a whole model: opening, packing, running; as a share of the peak measured in the same run; and by kind of
 * step.
 *
 *   bench_model [-t THREADS] [-b BATCH] [-n RUNS] [-s HxW] [--profile] MODEL
 *   bench_model ... --serve MODEL     runs once for each line read from standard input and answers with the
 * milliseconds: bench/compare.py alternates it with other runtimes this way
 */
#include "peak.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
    const char *model;
    vitrt_session_options session;
    int runs;
    bool serve, profile;
};

static bool parse(int argc, char **argv, struct arguments *a)
{
    *a = (struct arguments){ .runs = 20, .session = { .threads = 1, .max_batch = 1 } };
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "-t"))
            a->session.threads = atoi(next), i++;
        else if (!strcmp(argv[i], "-p"))
            a->session.precision = !strcmp(next, "bf16") ? VITRT_PRECISION_BF16 : VITRT_PRECISION_F32, i++;
        else if (!strcmp(argv[i], "-b"))
            a->session.max_batch = (uint32_t)atoi(next), i++;
        else if (!strcmp(argv[i], "-n"))
            a->runs = atoi(next), i++;
        else if (!strcmp(argv[i], "-s") && sscanf(next, "%ux%u", &a->session.height, &a->session.width) == 2)
            i++;
        else if (!strcmp(argv[i], "--serve"))
            a->serve = true;
        else if (!strcmp(argv[i], "--profile"))
            a->profile = true;
        else if (argv[i][0] != '-' && !a->model)
            a->model = argv[i];
        else
            return false;
    }
    return a->model && a->runs > 0;
}

static double ms_since(double start)
{
    return (vt_bench_seconds() - start) * 1e3;
}

/* Normalised noise: the time does not depend on the values. */
static vitrt_image noise_image(uint32_t height, uint32_t width)
{
    float *pixels = malloc((size_t)height * width * 3 * sizeof *pixels);
    uint32_t state = 1;
    for (size_t i = 0; pixels && i < (size_t)height * width * 3; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
    return (vitrt_image){ .data = pixels, .width = width, .height = height, .format = VITRT_FORMAT_F32 };
}

static double run_once(vitrt_session *s, const vitrt_image *images, size_t n)
{
    vitrt_error err;
    const double start = vt_bench_seconds();
    if (vitrt_run(s, images, n, NULL, &err)) {
        fprintf(stderr, "bench_model: %s\n", err.message);
        exit(1);
    }
    return ms_since(start);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(vitrt_session *s, const vitrt_image *images, size_t n, int runs, unsigned threads, double macs)
{
    double *ms = malloc((size_t)runs * sizeof *ms), peak = 0;
    if (!ms)
        exit(1);
    for (int i = 0; i < runs; i++) {
        const double p = vt_bench_peak_f32();
        peak = p > peak ? p : peak;
        ms[i] = run_once(s, images, n);
    }
    qsort(ms, (size_t)runs, sizeof *ms, by_value);
    const double rate = 2 * macs * (double)n / ms[0] * 1e-6;
    printf("run: min %.2f ms, median %.2f ms for %zu image%s; %.1f GFLOP/s, %.0f %% of %u x %.1f GFLOP/s\n", ms[0],
           ms[runs / 2], n, n == 1 ? "" : "s", rate, 100 * rate / (peak * threads), threads, peak);
    free(ms);
}

/* The least time of each step, summed by kind of op. */
static void profile(vitrt_session *s, size_t n, int runs)
{
    const struct vt_plan *p = s->plan;
    const struct vt_exec x = { .plan = p,
                               .pool = s->pool,
                               .arena = s->arena,
                               .scratch = s->arena + p->value_bytes,
                               .scratch_bytes = p->scratch_bytes,
                               .images = n,
                               .offsets = s->offsets,
                               .weights = s->weights };
    double kind[VT_NODE_TYPE_COUNT] = { 0 }, total = 0;
    for (size_t i = p->constant_count; i < p->step_count; i++) {
        double least = 1e9;
        for (int r = 0; r < runs; r++) {
            const double start = vt_bench_seconds();
            vt_exec_step(&x, &p->steps[i], &s->weights[i]);
            const double ms = ms_since(start);
            least = ms < least ? ms : least;
        }
        kind[p->steps[i].type] += least;
        total += least;
    }
    for (int type = 0; type < VT_NODE_TYPE_COUNT; type++)
        if (kind[type] > 0)
            printf("  %-14s %8.3f ms  %5.1f %%\n", vt_op_of((enum vt_node_type)type)->name, kind[type],
                   100 * kind[type] / total);
}

static void serve(vitrt_session *s, const vitrt_image *images, size_t n)
{
    char line[64];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%.4f\n", run_once(s, images, n));
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct arguments a;
    vitrt_model *model = NULL;
    vitrt_session *session = NULL;
    vitrt_session_info info;
    vitrt_error err;
    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "usage: bench_model [-t THREADS] [-b BATCH] [-n RUNS] [-s HxW] [--profile | --serve] MODEL\n");
        return 2;
    }
    const double start = vt_bench_seconds();
    vitrt_status st = vitrt_model_open(a.model, NULL, &model, &err);
    const double opened = ms_since(start);
    if (!st)
        st = vitrt_session_create(model, &a.session, &session, &err);
    const double created = ms_since(start);
    if (st || vitrt_session_get_info(session, &info)) {
        fprintf(stderr, "bench_model: %s\n", err.message);
        vitrt_model_free(model);
        return 1;
    }
    vitrt_image *images = malloc(info.max_batch * sizeof *images);
    const vitrt_image image = noise_image(info.height, info.width);
    for (uint32_t i = 0; i < info.max_batch; i++)
        images[i] = image;
    if (a.serve) {
        serve(session, images, info.max_batch);
    } else {
        char text[512];
        vitrt_describe(session, text, sizeof text);
        printf("%.*s\n", (int)strcspn(text, "\n"), text);
        printf(
            "open %.1f ms, session %.1f ms; packed weights %.1f MiB, arena %.1f MiB, %.2f G multiply-adds an image\n",
            opened, created - opened, (double)info.packed_bytes / (1 << 20), (double)info.arena_bytes / (1 << 20),
            (double)info.macs_per_image * 1e-9);
        measure(session, images, info.max_batch, a.runs, info.threads, (double)info.macs_per_image);
        if (a.profile)
            profile(session, info.max_batch, a.runs);
    }
    free((void *)image.data);
    free(images);
    vitrt_session_free(session);
    vitrt_model_free(model);
    return 0;
}
