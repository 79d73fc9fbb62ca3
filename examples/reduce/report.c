/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the best schedules; see reduce.h. */
#include "reduce.h"

#include <stdio.h>
#include <stdlib.h>

static void mark_front(struct candidate *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        c[i].front = true;
        for (size_t k = 0; k < n; k++)
            c[i].front &= k == i || compare_quality(&c[k], &c[i]) > 0 || c[k].ms > c[i].ms;
    }
}

static void print_row(const struct candidate *c, const struct dense *d)
{
    char text[1024];
    const double images = (double)c->images, macs = c->run_macs / images;
    reduction_to_text(&c->reduction, text, sizeof(text));
    printf("| %c | %7.3f | %6.3f | %8.3f | %6.3f | %7.2f %% | %8.5f | %s |\n", c->front ? '*' : ' ', macs / 1e9,
           macs / d->macs, c->ms, c->time_share, 100 * (double)c->same / images, c->divergence / images, text);
}

void report_candidates(struct candidate *c, size_t n, const struct dense *d)
{
    mark_front(c, n);
    qsort(c, n, sizeof(*c), compare_quality);
    printf("|   |  GMACs |  share |       ms |  share | agreement |       KL | reduction |\n"
           "|---|--------|--------|----------|--------|-----------|----------|-----------|\n"
           "|   | %6.3f |  1.000 | %8.3f |  1.000 |           |          | none |\n",
           d->macs / 1e9, d->ms);
    for (size_t i = 0; i < n; i++)
        print_row(&c[i], d);
    printf("\n%zu images; multiply-adds: means; ms: medians of runs in turns, without preparing images; agreement:\n"
           "the same class in front; KL: mean divergence of probabilities; *: no better one is as quick\n",
           d->images);
}
