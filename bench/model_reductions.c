/* SPDX-License-Identifier: Apache-2.0 */
/* A model with its tokens reduced beside the model itself: whether multiply-adds that are saved are time that is saved. */
#include "bench_model.h"

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 32 };

struct contestant {
    const char *name; /* "none" or a reduction, up to a comma */
    int length;
    vitrt_session *session;
    double *ms; /* [runs] */
    double macs;
};

static void start(const struct bench *b, struct contestant *c, const char *name, size_t n)
{
    vitrt_error err;
    vitrt_model *reduced = n ? bench_reduced(b, name, n) : NULL;
    *c = (struct contestant){ .name = n ? name : "none", .length = n ? (int)n : 4 };
    if (vitrt_session_create(reduced ? reduced : b->model, &b->options->session, &c->session, &err))
        vt_bench_fail("%.*s: %s", c->length, c->name, err.message);
    vitrt_model_free(reduced);
    c->ms = vt_bench_alloc(b->options->runs * sizeof *c->ms);
    bench_run(b, c->session);
    vitrt_session_info info;
    if (vitrt_session_get_info(c->session, &info))
        vt_bench_fail("the session does not tell its size");
    c->macs = (double)info.run_macs_per_image;
}

static size_t start_all(const struct bench *b, struct contestant *all)
{
    size_t count = 0;
    start(b, &all[count++], NULL, 0);
    for (const char *p = b->options->reductions, *end; p; p = *end ? end + 1 : NULL) {
        end = p + strcspn(p, ",");
        if (count == MOST)
            vt_bench_fail("there are more than %d reductions", MOST - 1);
        start(b, &all[count++], p, (size_t)(end - p));
    }
    return count;
}

/* The median of the quotients of the model's own runs and those beside them. */
static double speed_up(const struct contestant *own, const struct contestant *c, size_t runs)
{
    double *quotients = vt_bench_alloc(runs * sizeof *quotients);
    for (size_t i = 0; i < runs; i++)
        quotients[i] = own->ms[i] / c->ms[i];
    const double median = vt_bench_median(quotients, runs);
    free(quotients);
    return median;
}

void bench_report_reductions(const struct bench *b)
{
    struct contestant all[MOST];
    const size_t count = start_all(b, all), runs = b->options->runs;
    for (size_t i = 0; i < runs; i++)
        for (size_t k = 0; k < count; k++)
            all[k].ms[i] = bench_run(b, all[k].session);
    printf("| tokens                   | GMACs |  share |       ms | speed-up | of the multiply-adds' |\n"
           "|--------------------------|-------|--------|----------|----------|-----------------------|\n");
    for (size_t k = 0; k < count; k++) {
        const double quicker = speed_up(&all[0], &all[k], runs), fewer = all[0].macs / all[k].macs;
        printf("| %-24.*s | %5.3f | %6.4f | %8.3f | %8.3f | %21.3f |\n", all[k].length, all[k].name,
               all[k].macs / 1e9, 1 / fewer, vt_bench_median(all[k].ms, runs) / b->info.max_batch, quicker,
               quicker / fewer);
    }
    for (size_t k = 0; k < count; k++) {
        free(all[k].ms);
        vitrt_session_free(all[k].session);
    }
    printf("\nms of an image, medians; speed-up: the median over %zu rounds of the model's own time over that beside it;\n"
           "the last column: the speed-up over that of the multiply-adds\n",
           runs);
}
