/* SPDX-License-Identifier: Apache-2.0 */
/* The model with all of its tokens; see reduce.h. */
#include "reduce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

static const char *const outputs[] = { "logits", "pixels" };

static vitrt_status open_model(struct dense *d, const struct options *o, vitrt_error *err)
{
    vitrt_model_info model;
    vitrt_session_info session;
    vitrt_status st = vitrt_model_open(o->model, NULL, &d->model, err);
    if (st == VITRT_OK)
        st = vitrt_model_get_info(d->model, &model);
    if (st == VITRT_OK && !model.classes) {
        snprintf(err->message, sizeof(err->message), "%.300s has no classes to compare the answers of.", o->model);
        st = VITRT_EUNSUPPORTED;
    }
    d->options = (vitrt_session_options){ .threads = o->threads,
                                          .precision = o->precision,
                                          .height = (uint32_t)o->side,
                                          .width = (uint32_t)o->side,
                                          .outputs = outputs,
                                          .output_count = 1 };
    if (st == VITRT_OK)
        st = vitrt_session_create(d->model, &d->options, &d->session, err);
    if (st == VITRT_OK)
        st = vitrt_session_get_info(d->session, &session);
    if (st != VITRT_OK)
        return st;
    d->blocks = model.blocks;
    d->classes = model.classes;
    d->height = session.height;
    d->width = session.width;
    d->patches = session.height / model.size_multiple[0] * (session.width / model.size_multiple[1]);
    d->macs = (double)session.macs_per_image;
    return VITRT_OK;
}

static vitrt_status run_image(struct dense *d, vitrt_session *session, const char *path, size_t i, vitrt_error *err)
{
    vitrt_image image;
    vitrt_output out[2] = { { 0 }, { 0 } };
    const size_t pixels = (size_t)d->height * d->width * 3;
    vitrt_status st = vitrt_image_open(path, NULL, &image, err);
    if (st == VITRT_OK)
        st = vitrt_run(session, &image, 1, out, err);
    vitrt_image_free(&image);
    if (st != VITRT_OK)
        return st;
    memcpy(d->logits + i * d->classes, out[0].data, d->classes * sizeof(float));
    memcpy(d->pixels + i * pixels, out[1].data, pixels * sizeof(float));
    return VITRT_OK;
}

static vitrt_status run_images(struct dense *d, vitrt_session *session, const struct files *files, bool progress,
                               vitrt_error *err)
{
    vitrt_status st = VITRT_OK;
    for (size_t i = 0; i < d->images && st == VITRT_OK; i++) {
        st = run_image(d, session, files->path[i * files->count / d->images], i, err);
        if (progress)
            progress_show(i + 1, d->images, "images");
    }
    if (progress)
        progress_clear();
    return st;
}

vitrt_status dense_open(struct dense *d, const struct options *o, bool progress, vitrt_error *err)
{
    vitrt_session *session = NULL; /* as d->session, with the pixels besides */
    vitrt_status st = open_model(d, o, err);
    if (st != VITRT_OK)
        return st;
    vitrt_session_options both = d->options;
    both.output_count = 2;
    d->images = o->images.count < o->limit ? o->images.count : o->limit;
    d->pixels = calloc(d->images, (size_t)d->height * d->width * 3 * sizeof(float));
    d->logits = calloc(d->images, d->classes * sizeof(float));
    if (!d->pixels || !d->logits) {
        snprintf(err->message, sizeof(err->message), "Not enough memory for %zu images (--limit).", d->images);
        return VITRT_ENOMEM;
    }
    st = vitrt_session_create(d->model, &both, &session, err);
    if (st == VITRT_OK)
        st = run_images(d, session, &o->images, progress, err);
    vitrt_session_free(session);
    return st;
}

void dense_free(struct dense *d)
{
    vitrt_session_free(d->session);
    vitrt_model_free(d->model);
    free(d->pixels);
    free(d->logits);
}

vitrt_image dense_image(const struct dense *d, size_t i)
{
    return (vitrt_image){ .data = d->pixels + i * d->height * d->width * 3,
                          .width = d->width,
                          .height = d->height,
                          .format = VITRT_FORMAT_F32 };
}
