/* SPDX-License-Identifier: Apache-2.0 */
/* segment: says which classes the pixels of images have, and lets tokens leave a model that knows theirs early. Exit
 * status: 0 all went well, 1 something failed, 2 wrong usage. */
#define _POSIX_C_SOURCE 200809L

#include "segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_CLASSES = 256 };

struct segmenter {
    struct options options;
    vitrt_model *model;
    vitrt_session *session;
    vitrt_session_info info;
    uint32_t exits[MOST_EXITS]; /* blocks behind which tokens leave */
    size_t exit_count;
    vitrt_output outputs[1 + MOST_EXITS]; /* classes, and for each exit the tokens that are left */
};

static bool fail(const char *message)
{
    fprintf(stderr, "segment: %s\n", message);
    return false;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static bool create_session(struct segmenter *s)
{
    char names[1 + MOST_EXITS][16] = { "classmap" };
    const char *outputs[1 + MOST_EXITS] = { names[0] };
    const vitrt_session_options options = { .outputs = outputs, .output_count = 1 + s->exit_count };
    vitrt_error err;
    for (size_t i = 0; i < s->exit_count; i++) {
        snprintf(names[1 + i], sizeof names[1 + i], "tokens.%u", (unsigned)s->exits[i]);
        outputs[1 + i] = names[1 + i];
    }
    if (vitrt_session_create(s->model, &options, &s->session, &err))
        return fail(err.message);
    return vitrt_session_get_info(s->session, &s->info) == VITRT_OK;
}

static bool start(struct segmenter *s)
{
    vitrt_error err;
    vitrt_model *whole;
    if (vitrt_model_open(s->options.model, NULL, &s->model, &err))
        return fail(err.message);
    if (s->options.threshold_count) {
        whole = s->model;
        s->model = NULL;
        const vitrt_status st = reduce(whole, &s->options, s->exits, &s->exit_count, &s->model, &err);
        vitrt_model_free(whole);
        if (st)
            return fail(err.message);
    }
    return create_session(s);
}

/* The largest share first. */
static void print_classes(const struct segmenter *s, const float *classes, size_t pixels)
{
    size_t counts[MOST_CLASSES] = { 0 };
    for (size_t i = 0; i < pixels; i++)
        counts[(size_t)classes[i] % MOST_CLASSES]++;
    for (const char *between = "";; between = ", ") {
        size_t most = 0;
        for (size_t c = 1; c < MOST_CLASSES; c++)
            most = counts[c] > counts[most] ? c : most;
        if (!counts[most])
            break;
        const char *label = vitrt_model_label(s->model, (uint32_t)most);
        printf("%s%s %.1f %%", between, label ? label : "?", 100 * (double)counts[most] / (double)pixels);
        counts[most] = 0;
    }
}

static void print_tokens(const struct segmenter *s, double ms)
{
    printf("\n  %zu tokens", s->outputs[1].offsets[1]);
    for (size_t i = 0; i < s->exit_count; i++) {
        const float *places = s->outputs[1 + i].data;
        size_t left = 0;
        for (size_t k = 0; k < s->outputs[1 + i].offsets[1]; k++)
            left += places[k] > 0;
        printf(", %zu behind block %u", left, (unsigned)s->exits[i]);
    }
    printf(", %.1f ms", ms);
}

static bool segment(struct segmenter *s, const char *path)
{
    vitrt_image image;
    vitrt_error err;
    if (vitrt_image_open(path, NULL, &image, &err))
        return fail(err.message);
    const double start_ms = now_ms();
    bool good = vitrt_run(s->session, &image, 1, s->outputs, &err) == VITRT_OK || fail(err.message);
    const double ms = now_ms() - start_ms;
    if (good) {
        printf("%s: ", path);
        print_classes(s, s->outputs[0].data, s->outputs[0].offsets[1]);
        if (s->exit_count)
            print_tokens(s, ms);
        putchar('\n');
    }
    if (good && s->options.overlay &&
        !overlay_write(s->options.overlay, &image, s->outputs[0].data, s->info.height, s->info.width))
        good = fail("the overlay cannot be written");
    vitrt_image_free(&image);
    return good;
}

int main(int argc, char **argv)
{
    static struct segmenter s;
    if (!options_parse(&s.options, argc, argv))
        return 2;
    if (s.options.help) {
        fputs(options_usage, stdout);
        return 0;
    }
    bool good = start(&s);
    for (size_t i = 0; good && i < s.options.image_count; i++)
        good = segment(&s, s.options.images[i]);
    vitrt_session_free(s.session);
    vitrt_model_free(s.model);
    return !good;
}
