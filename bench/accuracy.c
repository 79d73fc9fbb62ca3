/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accuracy of models and precisions side by side on labelled images, each of which is decoded once. Every row of the
 * table is compared with the first one. See bench_accuracy -h.
 */
#include "accuracy.h"

#include "measure.h"
#include "precision.h"
#include "progress.h"
#include "reduction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: bench_accuracy [-p PRECISION[,PRECISION]...] [-m MODEL] ... [OPTION]... FOLDER\n"
    "Top-1 of models and precisions on labelled images, and what the answers have in common with the first one's.\n"
    "\n"
    "  FOLDER          holds one folder of images for each class\n"
    "  -p PRECISION    " PRECISION_NAMES ", or several with commas, of the models named after it (default f32)\n"
    "  -r REDUCTION    of the tokens of the models named after it, or several with commas: none, or\n"
    "                  " REDUCTION_FORM " with\n"
    "                  " REDUCTION_NAMES "\n"
    "  -m MODEL        folder or saved model; may be repeated; without it the bundled model\n"
    "  --size N        of the models' input, N x N; of the models named after it\n"
    "  -t THREADS      of every session (default 0: as many as this process may use)\n"
    "  --tokens        also how many tokens there are behind the blocks where some leave: means; costs some time\n"
    "  --limit N       only N images, spread evenly over the folder\n"
    "  --classes FILE  whose lines begin with the names of the class folders, in the order of the model's classes\n"
    "                  (default: sorted by name)\n"
    "  -h              this text\n"
    "\n"
    "bench_accuracy -m MODEL -p i8,i8-strict -m QUANTIZED FOLDER compares two precisions with a float model.\n";

struct accuracy {
    struct row *rows;
    size_t count;
    const char *precisions; /* of the next model */
    const char *reductions; /* of it; NULL: none */
    uint32_t side;          /* of its input; 0: its own */
    bool tokens;            /* are counted */
    bool pending;           /* they were given and no model followed */
    int32_t threads;
    size_t limit;
    const char *folder, *list;
    uint32_t classes;
};

/* ---- Models ---- */

/* A row for each of the precisions. */
static void add_precisions(struct accuracy *a, const char *path, const char *reduction, size_t n)
{
    for (const char *p = a->precisions, *end; p; p = *end ? end + 1 : NULL) {
        struct row row = { .model = path, .side = a->side };
        if (n >= sizeof row.reduction)
            vt_bench_fail("-r %.*s is too long", (int)n, reduction);
        memcpy(row.reduction, reduction, n);
        end = p + strcspn(p, ",");
        if (!precision_from_name(p, (size_t)(end - p), &row.precision))
            vt_bench_fail("-p is \"%.*s\", expected " PRECISION_NAMES, (int)(end - p), p);
        a->rows = realloc(a->rows, (a->count + 1) * sizeof *a->rows);
        if (!a->rows)
            vt_bench_fail("there is no memory for %zu rows", a->count + 1);
        a->rows[a->count++] = row;
    }
}

/* And for each of the reductions. */
static void add_rows(struct accuracy *a, const char *path)
{
    for (const char *p = a->reductions ? a->reductions : "none", *end; p; p = *end ? end + 1 : NULL) {
        end = p + strcspn(p, ",");
        const bool none = !strncmp(p, "none", (size_t)(end - p));
        add_precisions(a, path, p, none ? 0 : (size_t)(end - p));
    }
    a->pending = false;
}

/* The model itself, or what its tokens are reduced by makes of it; to be freed. */
static vitrt_model *reduced_model(const vitrt_model *model, const struct row *row)
{
    struct reduction r;
    vitrt_model *reduced;
    vitrt_error err;
    if (!reduction_from_text(row->reduction, strlen(row->reduction), &r))
        vt_bench_fail("-r is \"%s\", expected none or " REDUCTION_FORM " with " REDUCTION_NAMES, row->reduction);
    r.options.height = r.options.width = row->side;
    if (vitrt_model_reduce(model, reduction_options(&r), &reduced, &err))
        vt_bench_fail("%s with %s: %s", row->model, row->reduction, err.message);
    return reduced;
}

static vitrt_model *open_model(struct accuracy *a, const char *path)
{
    vitrt_model *model;
    vitrt_model_info info;
    vitrt_error err;
    if (vitrt_model_open(path, NULL, &model, &err))
        vt_bench_fail("%s", err.message);
    if (vitrt_model_get_info(model, &info) || !info.classes)
        vt_bench_fail("%s has no classes", path);
    if (a->classes && info.classes != a->classes)
        vt_bench_fail("%s has %u classes, %s has %u", path, info.classes, a->rows[0].model, a->classes);
    a->classes = info.classes;
    return model;
}

/* Zeros. */
static void *allocate(size_t n, size_t bytes)
{
    void *p = calloc(n, bytes);
    if (!p)
        vt_bench_fail("there is no memory for %zu outputs", n);
    return p;
}

static void open_session(const struct accuracy *a, struct row *row, const vitrt_model *model)
{
    size_t most = 0;
    vitrt_error err;
    while (vitrt_model_output_name(model, most))
        most++;
    const char **names = allocate(most, sizeof *names);
    names[row->output_count++] = "logits";
    for (size_t i = 0; i < most && a->tokens; i++)
        if (!strncmp(vitrt_model_output_name(model, i), "tokens.", 7))
            names[row->output_count++] = vitrt_model_output_name(model, i);
    row->outputs = allocate(row->output_count, sizeof *row->outputs);
    row->tokens = allocate(row->output_count, sizeof *row->tokens);
    const vitrt_session_options options = { .threads = a->threads,
                                            .precision = row->precision,
                                            .height = row->side,
                                            .width = row->side,
                                            .outputs = names,
                                            .output_count = row->output_count };
    if (vitrt_session_create(model, &options, &row->session, &err))
        vt_bench_fail("%s in %s: %s", row->model, precision_name(row->precision), err.message);
    free(names);
}

/* Rows of one model, which follow one another, share it. */
static void open_sessions(struct accuracy *a)
{
    vitrt_model *model = NULL;
    for (size_t i = 0; i < a->count; i++) {
        struct row *row = &a->rows[i];
        if (!i || row->model != row[-1].model) {
            vitrt_model_free(model);
            model = open_model(a, row->model);
        }
        vitrt_model *reduced = *row->reduction ? reduced_model(model, row) : NULL;
        open_session(a, row, reduced ? reduced : model);
        vitrt_model_free(reduced);
    }
    vitrt_model_free(model);
}

/* ---- Images ---- */

/* The last row that a token is in tells how many there are. */
static size_t count_tokens(const vitrt_output *places)
{
    const float *row = places->data;
    float last = 0;
    for (size_t i = 0; i < places->offsets[1]; i++)
        last = row[i] > last ? row[i] : last;
    return (size_t)last;
}

static void run_row(struct row *row, const vitrt_image *image, const char *path)
{
    vitrt_error err;
    memset(row->outputs, 0, row->output_count * sizeof *row->outputs);
    const double start = vt_bench_seconds();
    if (vitrt_run(row->session, image, 1, row->outputs, &err))
        vt_bench_fail("%s: %s", path, err.message);
    row->ms += 1e3 * (vt_bench_seconds() - start);
    vitrt_session_info info;
    if (!vitrt_session_get_info(row->session, &info))
        row->macs += (double)info.run_macs_per_image;
    row->logits = row->outputs[0].data;
    for (size_t i = 1; i < row->output_count; i++)
        row->tokens[i] += (double)count_tokens(&row->outputs[i]);
}

static void run_image(struct accuracy *a, const char *path, uint32_t label)
{
    vitrt_image image;
    vitrt_error err;
    if (vitrt_image_open(path, NULL, &image, &err))
        vt_bench_fail("%s", err.message);
    for (size_t i = 0; i < a->count; i++)
        run_row(&a->rows[i], &image, path);
    vitrt_image_free(&image);
    rows_count(a->rows, a->count, a->classes, label);
}

static void run_all(struct accuracy *a)
{
    struct labelled images = labelled_open(a->folder, a->list);
    if (images.classes != a->classes)
        vt_bench_fail("%s has %u classes, the model %u%s", a->list ? a->list : a->folder, images.classes, a->classes,
                      a->list ? "" : "; --classes says which ones the folders are");
    const bool progress = progress_wanted();
    const size_t all = images.files.count, n = a->limit && a->limit < all ? a->limit : all;
    for (size_t i = 0; i < n; i++) {
        const size_t k = i * all / n;
        run_image(a, images.files.path[k], images.label[k]);
        if (progress)
            progress_show(i + 1, n, "images");
    }
    if (progress)
        progress_clear();
    char text[512];
    vitrt_describe(a->rows[0].session, text, sizeof text);
    printf("%zu images of %u classes; first row: %.*s\n\n", n, images.classes, (int)strcspn(text, "\n"), text);
    rows_print(a->rows, a->count, n);
    labelled_free(&images);
}

/* ---- Command line ---- */

static size_t number(const char *option, const char *text, unsigned long most)
{
    char *end;
    const unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || n > most)
        vt_bench_fail("%s is \"%s\", expected a number up to %lu", option, text, most);
    return n;
}

static void read_option(struct accuracy *a, const char *option, const char *value)
{
    if (!value)
        vt_bench_fail("%s needs a value, or is no option; -h lists them", option);
    if (!strcmp(option, "-p")) {
        a->precisions = value;
        a->pending = true;
    } else if (!strcmp(option, "-r")) {
        a->reductions = value;
        a->pending = true;
    } else if (!strcmp(option, "--size")) {
        a->side = (uint32_t)number(option, value, VITRT_MAX_INPUT_SIDE);
    } else if (!strcmp(option, "-m")) {
        add_rows(a, value);
    } else if (!strcmp(option, "-t")) {
        a->threads = (int32_t)number(option, value, VITRT_MAX_THREADS);
    } else if (!strcmp(option, "--limit")) {
        a->limit = number(option, value, 1000000000);
    } else if (!strcmp(option, "--classes")) {
        a->list = value;
    } else {
        vt_bench_fail("there is no option \"%s\"; -h lists them", option);
    }
}

int main(int argc, char **argv)
{
    struct accuracy a = { .precisions = "f32" };
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--tokens")) {
            a.tokens = true;
        } else if (argv[i][0] == '-') {
            read_option(&a, argv[i], argv[i + 1]);
            i++;
        } else if (a.folder) {
            vt_bench_fail("%s and %s: expected one folder", a.folder, argv[i]);
        } else {
            a.folder = argv[i];
        }
    }
    if (!a.folder)
        vt_bench_fail("no folder was named\n\n%s", usage);
    if (!a.count)
        add_rows(&a, VITRT_BUNDLED_MODEL);
    if (a.pending)
        vt_bench_fail("-p %s comes after the last -m; it is for the models named after it", a.precisions);
    open_sessions(&a);
    run_all(&a);
    for (size_t i = 0; i < a.count; i++) {
        vitrt_session_free(a.rows[i].session);
        free(a.rows[i].outputs);
        free(a.rows[i].tokens);
    }
    free(a.rows);
    return 0;
}
