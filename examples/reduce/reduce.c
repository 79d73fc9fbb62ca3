/* SPDX-License-Identifier: Apache-2.0 */
/* reduce: finds, without labels or training, in which blocks how many tokens of a model should leave, so that it keeps
 * to a budget and answers as it did with all of them; saves the model that does. Exit status: 0 all went well, 1
 * something failed, 2 wrong usage. The command line is in reduce_options.c, the model as it was in reduce_dense.c,
 * schedules in reduce_candidates.c, what they cost in reduce_budget.c and reduce_time.c, how good they are in
 * reduce_compare.c, the search in reduce_search.c, what it found in reduce_report.c and reduce_plot.c. */
#include "reduce.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

enum { TIME_ROUNDS = 25 };

struct reducer {
    struct options options;
    struct dense dense;
    struct candidate *candidates; /* the best of each method; room for all of another one behind them */
    size_t count;
    bool progress;
};

static bool fail(const char *message)
{
    fprintf(stderr, "reduce: %s\n", message);
    return false;
}

/* The best of a method, whose name has n characters, behind those of the others. */
static bool search_method(struct reducer *r, const char *name, int n)
{
    struct reduction method;
    char text[1024];
    vitrt_error err;
    size_t found;
    const int length = snprintf(text, sizeof(text), "%.*s:%s", n, name,
                                r->options.schedule ? r->options.schedule : "1");
    if (length >= (int)sizeof(text) || !reduction_from_text(text, (size_t)length, &method)) {
        fprintf(stderr, "reduce: --keep %s: expected BLOCK@KEEP/BLOCK@KEEP..\n", r->options.schedule);
        return false;
    }
    struct candidate *grown = realloc(r->candidates, (r->count + r->options.candidates) * sizeof(*grown));
    if (!grown)
        return fail("Not enough memory for the schedules.");
    r->candidates = grown;
    if (search(&r->options, &r->dense, &method, r->progress, grown + r->count, &found, &err) != VITRT_OK)
        return fail(err.message);
    if (!found)
        fprintf(stderr, "reduce: %.*s: none of the schedules that were drawn meets the budget\n", n, name);
    r->count += found;
    return found > 0;
}

/* A method that a model is not made for is left out, if there are others. */
static bool search_all(struct reducer *r)
{
    for (const char *p = r->options.methods, *end; p; p = *end ? end + 1 : NULL) {
        end = p + strcspn(p, ",");
        search_method(r, p, (int)(end - p));
    }
    return r->count > 0;
}

static bool save(struct reducer *r)
{
    vitrt_model *model = NULL;
    vitrt_error err;
    vitrt_status st = candidate_model(&r->candidates[0], &r->dense, &model, &err);
    if (st == VITRT_OK)
        st = vitrt_model_save(model, r->options.out, &err);
    vitrt_model_free(model);
    return st == VITRT_OK || fail(err.message);
}

static bool report(struct reducer *r)
{
    char text[1024];
    vitrt_error err;
    if (time_candidates(r->candidates, r->count, &r->dense, TIME_ROUNDS, &err) != VITRT_OK)
        return fail(err.message);
    report_candidates(r->candidates, r->count, &r->dense);
    if (!save(r))
        return false;
    reduction_to_text(&r->candidates[0].reduction, text, sizeof(text));
    printf("\nsaved in %s: %s\n", r->options.out, text);
    if (r->options.plot && !plot_write(r->options.plot, r->candidates, r->count, &r->dense)) {
        fprintf(stderr, "reduce: %s: the plot cannot be written: %s\n", r->options.plot, strerror(errno));
        return false;
    }
    return true;
}

static bool reduce(struct reducer *r)
{
    vitrt_error err;
    if (dense_open(&r->dense, &r->options, r->progress, &err) != VITRT_OK)
        return fail(err.message);
    return search_all(r) && report(r);
}

int main(int argc, char **argv)
{
    struct reducer r = {
        .options = { .methods = "ats,zero-tprune,tome,evit",
                     .limit = 256,
                     .candidates = 64,
                     .seed = 1,
                     .images = { .program = "reduce" } },
        .progress = progress_wanted()
    };
    const bool understood = options_parse(&r.options, argc, argv);
    bool ok = understood;
    if (understood && r.options.help)
        fputs(options_usage, stdout);
    else if (understood)
        ok = reduce(&r);
    if (fflush(stdout) != 0 || ferror(stdout))
        ok = fail("The results cannot be written to the standard output.");
    dense_free(&r.dense);
    free(r.candidates);
    files_free(&r.options.images);
    return ok ? 0 : understood ? 1 : 2;
}
