/* SPDX-License-Identifier: Apache-2.0 */
/* classify: says what is on photos. One model, one session, one image at a time; an image that cannot be used is
 * reported on stderr, the others are still classified. Exit status: 0 all went well, 1 something failed, 2 wrong usage.
 * The command line is in options.c, the output in report.c, folders in files.c, safetensors in dump.c. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dump.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "vitrt.h"

#define MANY_IMAGES 8 /* more than these get a progress bar */

struct classifier {
    struct options options;
    vitrt_model *model;
    vitrt_model_info model_info;
    vitrt_session *session;
    vitrt_session_info info;
    vitrt_output *outputs; /* the last one is logits or features */
    size_t output_count;
    struct top *top; /* room for options.top */
    bool progress;
    struct dump dump;
};

static bool fail(const char *message)
{
    fprintf(stderr, "classify: %s\n", message);
    return false;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Asks for the logits (without a head: the features), and for a dump also for the input and every block before them. */
static vitrt_status create_session(struct classifier *c, vitrt_error *err)
{
    const char *last = c->model_info.classes ? "logits" : "features";
    const char **all = c->options.dump ? dump_outputs(c->model_info.blocks, last) : NULL;
    c->output_count = c->options.dump ? (size_t)c->model_info.blocks + 2 : 1;
    c->outputs = calloc(c->output_count, sizeof(*c->outputs));
    c->top = calloc(c->options.top + 1, sizeof(*c->top));
    vitrt_status st = VITRT_ENOMEM;
    snprintf(err->message, sizeof(err->message), "Not enough memory for %zu outputs.", c->output_count);
    if (c->outputs && c->top && (all || !c->options.dump)) {
        c->options.session.outputs = all ? all : &last;
        c->options.session.output_count = c->output_count;
        st = vitrt_session_create(c->model, &c->options.session, &c->session, err);
    }
    free(all);
    return st ? st : vitrt_session_get_info(c->session, &c->info);
}

static bool open_model(struct classifier *c)
{
    vitrt_error err = { 0 };
    if (vitrt_model_open(c->options.model, NULL, &c->model, &err) != VITRT_OK ||
        vitrt_model_get_info(c->model, &c->model_info) != VITRT_OK)
        return fail(err.message);
    if (c->options.top > c->model_info.classes)
        c->options.top = c->model_info.classes;
    return create_session(c, &err) == VITRT_OK || fail(err.message);
}

static bool report(struct classifier *c, size_t i, double ms_prepare, double ms_run)
{
    const vitrt_output *last = &c->outputs[c->output_count - 1];
    const size_t found = report_top(last->data, last->columns, c->top, c->options.top);
    const struct report r = { c->options.files.path[i], c->options.model, c->model, c->top, found, ms_prepare, ms_run };
    if (c->progress)
        progress_clear();
    (c->options.json ? report_json : report_table)(&r);
    for (size_t k = 0; c->options.dump && k < c->output_count; k++) {
        if (!dump_add(&c->dump, i, &c->outputs[k], &c->info))
            return fail("Not enough memory for the dump.");
    }
    return true;
}

static bool classify(struct classifier *c, size_t i)
{
    vitrt_error err = { 0 };
    vitrt_image image = { 0 };
    const double start = now_ms();
    if (vitrt_image_open(c->options.files.path[i], NULL, &image, &err) != VITRT_OK)
        return fail(err.message);
    const double decoded = now_ms();
    const vitrt_status st = vitrt_run(c->session, &image, 1, c->outputs, &err);
    const double done = now_ms();
    vitrt_image_free(&image);
    if (st != VITRT_OK) {
        fprintf(stderr, "classify: %s: %s\n", c->options.files.path[i], err.message);
        return false;
    }
    return report(c, i, decoded - start, done - decoded);
}

static bool classify_all(struct classifier *c)
{
    const size_t n = c->options.files.count;
    bool ok = !c->options.files_failed;
    c->progress = n > MANY_IMAGES && progress_wanted();
    for (size_t i = 0; i < n; i++) {
        ok &= classify(c, i);
        if (c->progress)
            progress_show(i + 1, n, "images");
    }
    if (c->progress)
        progress_clear();
    if (c->options.dump && !dump_write(&c->dump, c->options.dump)) {
        fprintf(stderr, "classify: %s: the dump cannot be written: %s\n", c->options.dump, strerror(errno));
        ok = false;
    }
    return ok;
}

int main(int argc, char **argv)
{
    struct classifier c = { .options = { .model = VITRT_BUNDLED_MODEL, .top = 5, .files = { .program = "classify" } } };
    const bool understood = options_parse(&c.options, argc, argv);
    bool ok = understood;
    if (understood && c.options.help)
        fputs(options_usage, stdout);
    else if (understood)
        ok = open_model(&c) && classify_all(&c);
    if (c.session && !c.options.json)
        report_session(c.session);
    if (fflush(stdout) != 0 || ferror(stdout))
        ok = fail("The results cannot be written to the standard output.");
    vitrt_session_free(c.session);
    vitrt_model_free(c.model);
    dump_free(&c.dump);
    files_free(&c.options.files);
    free(c.outputs);
    free(c.top);
    return ok ? 0 : understood ? 1 : 2;
}
