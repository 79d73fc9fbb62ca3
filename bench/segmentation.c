/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mean intersection over union and time of a segmentation model, whole and reduced by DToP with several thresholds, on
 * labelled pictures, each of which goes through all of them in turn. See bench_segmentation -h.
 */
#include "files.h"
#include "measure.h"
#include "model.h"
#include "precision.h"
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "usage: bench_segmentation -m MODEL [OPTION]... PICTURES LABELS\n"
    "Mean intersection over union and time of a segmentation model, whole and reduced by DToP.\n"
    "\n"
    "  PICTURES LABELS  two folders of images that are sorted alike; a grey value of LABELS is a class, or unknown\n"
    "  -p PRECISION     " PRECISION_NAMES " (default: the model's own)\n"
    "  -t THREADS       (default 1)\n"
    "  --exits K[,K]... blocks behind which tokens leave\n"
    "  --dtop P[,P]...  thresholds, of a model each\n"
    "  --context N      surest tokens of each class that stay (default 5)\n"
    "  --limit N        only the first N pictures\n";

enum { MOST_CLASSES = 64, MOST_MODELS = 16, MOST_EXITS = 8 };

struct contestant {
    double threshold; /* 0: the whole model */
    vitrt_session *session;
    uint64_t *confusion; /* [MOST_CLASSES, MOST_CLASSES]: of the label, and of the model */
    double seconds, cpu_seconds, macs; /* cpu: of all threads, which other programs on the machine stretch less */
};

struct bench {
    const char *model_path;
    vitrt_precision precision;
    int32_t threads;
    double exits[MOST_EXITS], thresholds[MOST_MODELS];
    size_t exit_count, threshold_count, classes, limit;
    uint32_t context;
    struct files pictures, labels;
    struct contestant contestants[MOST_MODELS + 1];
    size_t count;
};

/* ---- Models ---- */

static void add_contestant(struct bench *b, const vitrt_model *model, double threshold)
{
    static const char *const outputs[] = { "classmap" };
    const vitrt_session_options options = {
        .threads = b->threads, .precision = b->precision, .outputs = outputs, .output_count = 1
    };
    struct contestant *c = &b->contestants[b->count++];
    vitrt_reduce_layer layers[MOST_EXITS];
    vitrt_model *reduced = NULL;
    vitrt_error err;
    for (size_t i = 0; i < b->exit_count; i++)
        layers[i] = (vitrt_reduce_layer){
            .block = (uint32_t)b->exits[i], .count = b->context, .threshold = threshold
        };
    const vitrt_reduce_options o = { .method = VITRT_REDUCTION_DTOP, .layers = layers, .layer_count = b->exit_count };
    if (threshold > 0 && vitrt_model_reduce(model, &o, &reduced, &err))
        vt_bench_fail("%s", err.message);
    if (vitrt_session_create(reduced ? reduced : model, &options, &c->session, &err))
        vt_bench_fail("%s", err.message);
    vitrt_model_free(reduced);
    c->threshold = threshold;
    c->confusion = calloc(MOST_CLASSES * MOST_CLASSES, sizeof *c->confusion);
    if (!c->confusion)
        vt_bench_fail("out of memory");
}

static void open_models(struct bench *b)
{
    vitrt_model *model;
    vitrt_error err;
    if (vitrt_model_open(b->model_path, NULL, &model, &err))
        vt_bench_fail("%s", err.message);
    const vt_value logits = vt_graph_find_output(&model->graph, "segmentation");
    b->classes = logits == VT_NO_VALUE ? 0 : model->graph.nodes[logits].columns;
    if (!b->classes || b->classes > MOST_CLASSES)
        vt_bench_fail("%s: %zu classes of tokens, expected 1 to %d", b->model_path, b->classes, MOST_CLASSES);
    add_contestant(b, model, 0);
    for (size_t i = 0; i < b->threshold_count; i++)
        add_contestant(b, model, b->thresholds[i]);
    vitrt_model_free(model);
}

/* ---- Pictures ---- */

/* Pixels of labels against those of the map under their centres. */
static void count_pixels(struct contestant *c, size_t classes, const vitrt_image *labels, const vitrt_output *map,
                         const vitrt_session_info *info)
{
    const size_t stride = labels->stride ? labels->stride : (size_t)labels->width * 3;
    for (size_t y = 0; y < labels->height; y++)
        for (size_t x = 0; x < labels->width; x++) {
            const size_t label = ((const uint8_t *)labels->data)[y * stride + 3 * x];
            const size_t row = (2 * y + 1) * info->height / (2 * labels->height),
                         column = (2 * x + 1) * info->width / (2 * labels->width);
            if (label < classes)
                c->confusion[label * MOST_CLASSES + (size_t)((const float *)map->data)[row * info->width + column]]++;
        }
}

static void run_picture(struct bench *b, size_t i)
{
    vitrt_image picture, labels;
    vitrt_error err;
    if (vitrt_image_open(b->pictures.path[i], NULL, &picture, &err) ||
        vitrt_image_open(b->labels.path[i], NULL, &labels, &err))
        vt_bench_fail("%s", err.message);
    for (size_t k = 0; k < b->count; k++) {
        struct contestant *c = &b->contestants[(i + k) % b->count];
        vitrt_output map = { 0 };
        vitrt_session_info info;
        const double start = vt_bench_seconds();
        const clock_t cpu_start = clock();
        if (vitrt_run(c->session, &picture, 1, &map, &err))
            vt_bench_fail("%s", err.message);
        c->cpu_seconds += (double)(clock() - cpu_start) / CLOCKS_PER_SEC;
        c->seconds += vt_bench_seconds() - start;
        if (vitrt_session_get_info(c->session, &info))
            vt_bench_fail("no information on a session");
        c->macs += (double)info.run_macs_per_image;
        count_pixels(c, b->classes, &labels, &map, &info);
    }
    vitrt_image_free(&labels);
    vitrt_image_free(&picture);
}

/* ---- Figures ---- */

static double mean_iou(const struct contestant *c, size_t classes)
{
    double sum = 0;
    size_t found = 0;
    for (size_t k = 0; k < classes; k++) {
        uint64_t all = 0;
        for (size_t i = 0; i < classes; i++)
            all += c->confusion[k * MOST_CLASSES + i] + c->confusion[i * MOST_CLASSES + k];
        const uint64_t both = c->confusion[k * MOST_CLASSES + k];
        sum += all ? (double)both / (double)(all - both) : 0;
        found += all > 0;
    }
    return found ? 100 * sum / (double)found : 0;
}

static void print_table(const struct bench *b, size_t pictures)
{
    const struct contestant *whole = &b->contestants[0];
    printf("threshold    mIoU  ms/image  speed-up  CPU ms  speed-up    MACs\n");
    for (size_t i = 0; i < b->count; i++) {
        const struct contestant *c = &b->contestants[i];
        if (c->threshold > 0)
            printf("%-9g", c->threshold);
        else
            printf("%-9s", "whole");
        printf("  %6.2f  %8.1f  %8.2f  %6.1f  %8.2f  %5.1f %%\n", mean_iou(c, b->classes),
               1e3 * c->seconds / (double)pictures, whole->seconds / c->seconds,
               1e3 * c->cpu_seconds / (double)pictures, whole->cpu_seconds / c->cpu_seconds,
               100 * c->macs / whole->macs);
    }
}

/* ---- Command line ---- */

static size_t read_numbers(const char *text, double *numbers, size_t most)
{
    size_t n = 0;
    for (char *end; n < most; text = end + 1) {
        numbers[n++] = strtod(text, &end);
        if (end == text || (*end && *end != ','))
            break;
        if (!*end)
            return n;
    }
    vt_bench_fail("%s: expected up to %zu numbers with commas", text, most);
}

static bool read_option(struct bench *b, const char *name, const char *value)
{
    if (!strcmp(name, "-m"))
        b->model_path = value;
    else if (!strcmp(name, "-p"))
        return precision_from_name(value, strlen(value), &b->precision);
    else if (!strcmp(name, "-t"))
        b->threads = (int32_t)strtol(value, NULL, 10);
    else if (!strcmp(name, "--exits"))
        b->exit_count = read_numbers(value, b->exits, MOST_EXITS);
    else if (!strcmp(name, "--dtop"))
        b->threshold_count = read_numbers(value, b->thresholds, MOST_MODELS);
    else if (!strcmp(name, "--context"))
        b->context = (uint32_t)strtoul(value, NULL, 10);
    else if (!strcmp(name, "--limit"))
        b->limit = strtoul(value, NULL, 10);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    static struct bench b = { .threads = 1, .context = 5 };
    const char *folders[2] = { NULL };
    size_t folder_count = 0;
    b.pictures.program = b.labels.program = "bench_segmentation";
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-' && folder_count < 2)
            folders[folder_count++] = argv[i];
        else if (i + 1 == argc || !read_option(&b, argv[i], argv[i + 1])) {
            fputs(usage, strcmp(argv[i], "-h") ? stderr : stdout);
            return strcmp(argv[i], "-h") ? 2 : 0;
        } else
            i++;
    if (folder_count < 2 || !b.model_path || (b.threshold_count && !b.exit_count)) {
        fputs(usage, stderr);
        return 2;
    }
    if (!files_add(&b.pictures, folders[0]) || !files_add(&b.labels, folders[1]))
        return 1;
    if (b.pictures.count != b.labels.count)
        vt_bench_fail("%zu pictures and %zu labels", b.pictures.count, b.labels.count);
    const size_t n = b.limit && b.limit < b.pictures.count ? b.limit : b.pictures.count;
    open_models(&b);
    for (size_t i = 0; i < n; i++) {
        run_picture(&b, i);
        if (progress_wanted())
            progress_show(i + 1, n, "pictures");
    }
    print_table(&b, n);
    for (size_t i = 0; i < b.count; i++) {
        vitrt_session_free(b.contestants[i].session);
        free(b.contestants[i].confusion);
    }
    files_free(&b.pictures);
    files_free(&b.labels);
    return 0;
}
