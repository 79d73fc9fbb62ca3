/* SPDX-License-Identifier: Apache-2.0 */
/* classify: says what is on photos. One model, one session, one image at a time; an image that cannot be used is
 * reported on stderr, the others are still classified. Exit status: 0 all went well, 1 something failed, 2 wrong usage.
 * The command line is in options.c, model and session in classify_open.c, the output in report.c, folders in files.c,
 * safetensors in dump.c, the picture of tokens in token_picture.c. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "classify.h"
#include "progress.h"

#define MANY_IMAGES 8 /* more than these get a progress bar */

bool classify_fail(const char *message)
{
    fprintf(stderr, "classify: %s\n", message);
    return false;
}

static bool fail_to_write(const char *path, const char *what)
{
    fprintf(stderr, "classify: %s: the %s cannot be written: %s\n", path, what, strerror(errno));
    return false;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static bool report(struct classifier *c, size_t i, double ms_prepare, double ms_run)
{
    const vitrt_output *last = &c->outputs[c->output_count - 1];
    const size_t found = report_top(last->data, last->columns, c->top, c->options.top);
    const struct report r = { c->options.files.path[i], c->options.model, c->model, c->top, found, ms_prepare, ms_run };
    if (c->progress)
        progress_clear();
    (c->options.json ? report_json : report_table)(&r);
    if (c->options.picture && !token_picture_add(&c->picture, c->outputs, c->output_count))
        return classify_fail("Not enough memory for the picture.");
    for (size_t k = 0; c->options.dump && k < c->output_count; k++) {
        if (!dump_add(&c->dump, i, &c->outputs[k], &c->info))
            return classify_fail("Not enough memory for the dump.");
    }
    return true;
}

static bool classify(struct classifier *c, size_t i)
{
    vitrt_error err = { 0 };
    vitrt_image image = { 0 };
    const double start = now_ms();
    if (vitrt_image_open(c->options.files.path[i], NULL, &image, &err) != VITRT_OK)
        return classify_fail(err.message);
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
    if (c->options.dump && !dump_write(&c->dump, c->options.dump))
        ok = fail_to_write(c->options.dump, "dump");
    if (c->options.picture && !token_picture_write(&c->picture, c->options.picture))
        ok = fail_to_write(c->options.picture, "picture");
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
        ok = classify_open(&c) && classify_all(&c);
    if (c.session && !c.options.json)
        report_session(c.session);
    if (fflush(stdout) != 0 || ferror(stdout))
        ok = classify_fail("The results cannot be written to the standard output.");
    vitrt_session_free(c.session);
    vitrt_model_free(c.model);
    dump_free(&c.dump);
    token_picture_free(&c.picture);
    files_free(&c.options.files);
    free(c.outputs);
    free(c.top);
    return ok ? 0 : understood ? 1 : 2;
}
