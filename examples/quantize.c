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

static vitrt_status read_image(void *user, size_t i, vitrt_image *image, vitrt_error *err)
{
    const struct quantizer *q = user;
    return vitrt_image_open(q->options.images.path[i], NULL, image, err);
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

static void add_node(void *user, const char *node, double loss, const char *precision)
{
    struct quantizer *q = user;
    sensitivity_add(&q->sensitivity, node, loss, precision);
}

/* ---- Steps ---- */

static bool quantize(struct quantizer *q)
{
    const struct options *o = &q->options;
    const vitrt_quant_options options = { .image_count = o->images.count,
                                          .read_image = read_image,
                                          .release_image = release_image,
                                          .progress = show_progress,
                                          .sensitivity = o->report ? add_node : NULL,
                                          .user = q,
                                          .weight_bits = o->kind->bits,
                                          .activation_bits = o->kind->bits,
                                          .threads = o->threads,
                                          .tolerance = o->tolerance };
    vitrt_error err;
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
                                                .precision = i ? q->options.kind->precision : VITRT_PRECISION_F32 };
        vitrt_error err;
        if (vitrt_session_create(q->models[i], &options, &q->sessions[i], &err) != VITRT_OK)
            return fail(err.message);
        if (vitrt_model_get_info(q->models[i], &q->info[i]) != VITRT_OK)
            return fail("The model does not tell its size.");
    }
    return true;
}

static void print_agreement(const struct quantizer *q, const struct check *c, const char *images)
{
    printf("%-11s images  ", images);
    if (q->info[0].classes)
        printf("same answer on %zu of %zu (%.2f %%), ", c->same, c->images, 100 * (double)c->same / (double)c->images);
    printf("mean cosine %.6f\n", c->cosine);
}

static bool report(struct quantizer *q)
{
    struct check calibration, held_out = { 0 };
    if (!create_sessions(q) || !check_images(q->sessions, &q->options.images, &calibration) ||
        (q->options.held_out.count && !check_images(q->sessions, &q->options.held_out, &held_out)))
        return false;
    if (q->options.report)
        sensitivity_print(&q->sensitivity);
    const struct check *timed = held_out.images > calibration.images ? &held_out : &calibration;
    const double mb[2] = { (double)q->info[0].weight_bytes / 1e6, (double)q->info[1].weight_bytes / 1e6 };
    printf("%-17s %9s %9s\n", "", "before", q->options.kind->name);
    printf("%-17s %9.1f %9.1f  (%.2fx)\n", "weights, MB", mb[0], mb[1], mb[1] / mb[0]);
    printf("%-17s %9.2f %9.2f  (%.2fx)\n\n", "ms of an image", timed->ms[0], timed->ms[1], timed->ms[1] / timed->ms[0]);
    print_agreement(q, &calibration, "calibration");
    if (held_out.images)
        print_agreement(q, &held_out, "held-out");
    return true;
}

int main(int argc, char **argv)
{
    struct quantizer q = { .options = { .images = { .program = "quantize" }, .held_out = { .program = "quantize" } },
                           .progress = progress_wanted() };
    const bool understood = options_parse(&q.options, argc, argv);
    bool ok = understood;
    if (understood && q.options.help)
        fputs(options_usage, stdout);
    else if (understood)
        ok = quantize(&q) && report(&q);
    if (fflush(stdout) != 0 || ferror(stdout))
        ok = fail("The results cannot be written to the standard output.");
    for (int i = 0; i < 2; i++) {
        vitrt_session_free(q.sessions[i]);
        vitrt_model_free(q.models[i]);
    }
    files_free(&q.options.images);
    files_free(&q.options.held_out);
    free(q.sensitivity.row);
    return ok ? 0 : understood ? 1 : 2;
}
