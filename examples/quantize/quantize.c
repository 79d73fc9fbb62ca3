/* SPDX-License-Identifier: Apache-2.0 */
/* quantize: makes an integer model of a float one, from a few images and without training, saves it, and tries both on
 * the same images. Exit status: 0 all went well, 1 something failed, 2 wrong usage. The command line is in
 * quantize_options.c, the comparison in quantize_check.c, the table of nodes in quantize_sensitivity.c. */
#include <stdio.h>
#include <stdlib.h>

#include "progress.h"
#include "quantize.h"
#include "vitrt.h"

struct quantizer {
    struct options options;
    struct sensitivity sensitivity;
    size_t calibration; /* images */
    bool progress;
    vitrt_model *models[2]; /* float, quantized */
    vitrt_model_info info[2];
    vitrt_session *sessions[2];
};

static bool fail(const char *message)
{
    fprintf(stderr, "quantize: %s\n", message);
    return false;
}

/* ---- What the library calls ---- */

/* Image i of those that are not held out. */
static vitrt_status read_image(void *user, size_t i, vitrt_image *image, vitrt_error *err)
{
    const struct quantizer *q = user;
    size_t at = 0;
    while (options_holds_out(&q->options, at) || i--)
        at++;
    return vitrt_image_open(q->options.images.path[at], NULL, image, err);
}

static void release_image(void *user, vitrt_image *image)
{
    (void)user;
    vitrt_image_free(image);
}

static void show_progress(void *user, const char *what, size_t done, size_t total)
{
    const struct quantizer *q = user;
    if (q->progress)
        progress_show(done, total, what);
}

static void add_node(void *user, const char *node, double loss, vitrt_precision precision)
{
    struct quantizer *q = user;
    sensitivity_add(&q->sensitivity, node, loss, precision);
}

/* ---- Steps ---- */

static bool quantize(struct quantizer *q)
{
    const struct options *o = &q->options;
    vitrt_error err;
    for (size_t i = 0; i < o->images.count; i++)
        q->calibration += !options_holds_out(o, i);
    const vitrt_quantize_options options = { .image_count = q->calibration,
                                             .read_image = read_image,
                                             .release_image = release_image,
                                             .progress = show_progress,
                                             .report = o->report ? add_node : NULL,
                                             .user = q,
                                             .weight_bits = o->kind->bits,
                                             .activation_bits = o->kind->bits,
                                             .threads = o->threads,
                                             .flags = o->sequential ? VITRT_QUANTIZE_SEQUENTIAL : 0,
                                             .tolerance = o->tolerance };
    if (vitrt_model_open(o->model, NULL, &q->models[0], &err) != VITRT_OK)
        return fail(err.message);
    const vitrt_status st = vitrt_model_quantize(q->models[0], &options, &q->models[1], &err);
    if (q->progress)
        progress_clear();
    return (st == VITRT_OK && vitrt_model_save(q->models[1], o->out, &err) == VITRT_OK) || fail(err.message);
}

static bool create_sessions(struct quantizer *q)
{
    for (int i = 0; i < 2; i++) {
        const vitrt_session_options options = { .threads = q->options.threads,
                                                .precision = i ? q->options.kind->precision : VITRT_PRECISION_DEFAULT };
        vitrt_error err;
        if (vitrt_session_create(q->models[i], &options, &q->sessions[i], &err) != VITRT_OK)
            return fail(err.message);
        if (vitrt_model_get_info(q->models[i], &q->info[i]) != VITRT_OK)
            return fail("The model does not tell its size.");
    }
    return true;
}

static bool compare(struct quantizer *q)
{
    const struct files *files = &q->options.images;
    struct check checks[2] = { { 0 }, { 0 } }; /* calibration, held out */
    vitrt_error err;
    for (size_t i = 0; i < files->count; i++) {
        struct check *c = &checks[options_holds_out(&q->options, i)];
        if (check_image(q->sessions, files->path[i], c, &err) != VITRT_OK)
            return fail(err.message);
        show_progress(q, "images compared", i + 1, files->count);
    }
    if (q->progress)
        progress_clear();
    if (q->options.report)
        sensitivity_print(&q->sensitivity);
    const double mb[2] = { (double)q->info[0].weight_bytes / 1e6, (double)q->info[1].weight_bytes / 1e6 };
    double ms[2];
    for (int i = 0; i < 2; i++)
        ms[i] = (checks[0].ms[i] + checks[1].ms[i]) / (double)files->count;
    printf("%-17s %9s %9s\n", "", "before", q->options.kind->name);
    printf("%-17s %9.1f %9.1f  (%.2fx)\n", "weights, MB", mb[0], mb[1], mb[1] / mb[0]);
    printf("%-17s %9.2f %9.2f  (%.2fx)\n\n", "ms of an image", ms[0], ms[1], ms[1] / ms[0]);
    check_print(&checks[0], "calibration", q->info[0].classes);
    check_print(&checks[1], "held-out", q->info[0].classes);
    return true;
}

int main(int argc, char **argv)
{
    struct quantizer q = { .options = { .images = { .program = "quantize" } }, .progress = progress_wanted() };
    const bool understood = options_parse(&q.options, argc, argv);
    bool ok = understood;
    if (understood && q.options.help)
        fputs(options_usage, stdout);
    else if (understood)
        ok = quantize(&q) && create_sessions(&q) && compare(&q);
    if (fflush(stdout) != 0 || ferror(stdout))
        ok = fail("The results cannot be written to the standard output.");
    for (int i = 0; i < 2; i++) {
        vitrt_session_free(q.sessions[i]);
        vitrt_model_free(q.models[i]);
    }
    files_free(&q.options.images);
    sensitivity_free(&q.sensitivity);
    return ok ? 0 : understood ? 1 : 2;
}
