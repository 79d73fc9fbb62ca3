/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of bench_accuracy; see accuracy.h. */
#include "accuracy.h"

#include "precision.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Counting ---- */

static uint32_t best(const float *logits, size_t classes)
{
    size_t k = 0;
    for (size_t i = 1; i < classes; i++)
        k = logits[i] > logits[k] ? i : k;
    return (uint32_t)k;
}

static void compare_logits(struct row *row, const float *first, size_t classes)
{
    double product = 0, square = 0, first_square = 0, difference = 0;
    for (size_t i = 0; i < classes; i++) {
        const double x = row->logits[i], y = first[i];
        product += x * y;
        square += x * x;
        first_square += y * y;
        difference += (x - y) * (x - y);
    }
    row->cosine += product / sqrt(square * first_square);
    row->error += sqrt(difference / first_square);
}

void rows_count(struct row *rows, size_t n, size_t classes, uint32_t label)
{
    for (size_t i = 0; i < n; i++) {
        struct row *row = &rows[i];
        row->answer = best(row->logits, classes);
        row->right += row->answer == label;
        row->same += row->answer == rows->answer;
        row->gained += row->answer == label && rows->answer != label;
        row->lost += row->answer != label && rows->answer == label;
        compare_logits(row, rows->logits, classes);
    }
}

/* ---- Printing ---- */

static double percent(size_t part, size_t whole)
{
    return 100.0 * (double)part / (double)whole;
}

/* Percentage points by which top-1 differs from the first row's. */
static double difference(const struct row *row, size_t images)
{
    return percent(row->gained, images) - percent(row->lost, images);
}

/* Its standard error, paired: images that both get right or wrong add nothing to it. */
static double paired_error(const struct row *row, size_t images)
{
    const double n = (double)images, mean = difference(row, images) / 100;
    const double variance = ((double)(row->gained + row->lost) / n - mean * mean) * n / (n > 1 ? n - 1 : 1);
    return 100 * sqrt(fmax(variance, 0) / n);
}

/* Mean and standard deviation of figure(row) over the rows after the first that have a precision. */
static void mean_and_spread(const struct row *rows, size_t n, vitrt_precision precision, size_t images,
                            double (*figure)(const struct row *row, size_t images), double *mean, double *spread)
{
    double sum = 0, square = 0, count = 0;
    for (size_t i = 1; i < n; i++) {
        if (rows[i].precision == precision) {
            sum += figure(&rows[i], images);
            count++;
        }
    }
    *mean = sum / count;
    for (size_t i = 1; i < n; i++) {
        if (rows[i].precision == precision)
            square += (figure(&rows[i], images) - *mean) * (figure(&rows[i], images) - *mean);
    }
    *spread = sqrt(square / (count - 1));
}

static double top1(const struct row *row, size_t images)
{
    return percent(row->right, images);
}

static double agreement(const struct row *row, size_t images)
{
    return percent(row->same, images);
}

/* Of the precision of row i, at its first row, if it has several. */
static void print_mean(const struct row *rows, size_t n, size_t i, size_t images)
{
    enum { SEVERAL = 3 };
    size_t before = 0, count = 0;
    for (size_t k = 1; k < n; k++) {
        before += k < i && rows[k].precision == rows[i].precision;
        count += rows[k].precision == rows[i].precision;
    }
    if (before || count < SEVERAL)
        return;
    double right, right_spread, same, same_spread;
    mean_and_spread(rows, n, rows[i].precision, images, top1, &right, &right_spread);
    mean_and_spread(rows, n, rows[i].precision, images, agreement, &same, &same_spread);
    printf("%s, mean and standard deviation of %zu models: top-1 %.2f +- %.2f %%, same answer as the first %.2f +- "
           "%.2f %%\n",
           precision_name(rows[i].precision), count, right, right_spread, same, same_spread);
}

static void print_tokens(const struct row *row, size_t images)
{
    const char *kind = *row->reduction ? row->reduction : "all";
    if (row->output_count > 1)
        printf("%s, %s: tokens behind block", row->model, kind);
    for (size_t i = 1; i < row->output_count; i++)
        printf("%s %s: %.1f", i > 1 ? "," : "", row->outputs[i].name + strlen("tokens."),
               row->tokens[i] / (double)images);
    if (row->output_count > 1)
        putchar('\n');
}

void rows_print(const struct row *rows, size_t n, size_t images)
{
    int width = (int)strlen("model");
    for (size_t i = 0; i < n; i++) {
        const int length = (int)strlen(rows[i].model);
        width = length > width ? length : width;
    }
    printf("| %-*s | precision | top-1 %% | same %% | points |   +- |   cosine |  error | GMACs |     ms | tokens\n",
           width, "model");
    fputs("|-", stdout);
    for (int i = 0; i < width; i++)
        putchar('-');
    printf("-|-----------|---------|--------|--------|------|----------|--------|-------|--------|-------\n");
    for (size_t i = 0; i < n; i++) {
        const struct row *row = &rows[i];
        printf("| %-*s | %-9s | %7.2f | %6.2f | %+6.2f | %4.2f | %8.6f | %6.4f | %5.3f | %6.2f | %s\n", width, row->model,
               precision_name(row->precision), top1(row, images), agreement(row, images), difference(row, images),
               paired_error(row, images), row->cosine / (double)images, row->error / (double)images,
               row->macs / (double)images / 1e9, row->ms / (double)images, *row->reduction ? row->reduction : "all");
    }
    printf("\nsame: the answer of the first row; points: top-1 beside the first row's, +- its paired standard error;\n"
           "cosine and error: of the logits against the first row's, means; GMACs: 10^9 executed multiply-adds of an\n"
           "image, ms: its resizing and network; tokens: what they are reduced by\n");
    for (size_t i = 0; i < n; i++)
        print_tokens(&rows[i], images);
    for (size_t i = 1; i < n; i++)
        print_mean(rows, n, i, images);
}
