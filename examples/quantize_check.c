/* SPDX-License-Identifier: Apache-2.0 */
/* A float and a quantized session on the same images; see quantize.h. */
#define _POSIX_C_SOURCE 200809L

#include "quantize.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "progress.h"

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static size_t best(const float *x, size_t n)
{
    size_t k = 0;
    for (size_t i = 1; i < n; i++)
        k = x[i] > x[k] ? i : k;
    return k;
}

static double cosine(const float *x, const float *y, size_t n)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xy += (double)x[i] * y[i];
        xx += (double)x[i] * x[i];
        yy += (double)y[i] * y[i];
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : xx == yy;
}

static vitrt_status check_image(vitrt_session *const sessions[2], const char *path, struct check *c, vitrt_error *err)
{
    vitrt_image image;
    vitrt_output out[2] = { { 0 }, { 0 } };
    vitrt_status st = vitrt_image_open(path, NULL, &image, err);
    for (int i = 0; i < 2 && st == VITRT_OK; i++) {
        const double start = now_ms();
        st = vitrt_run(sessions[i], &image, 1, &out[i], err);
        c->ms[i] += now_ms() - start;
    }
    vitrt_image_free(&image);
    if (st != VITRT_OK)
        return st;
    c->same += best(out[0].data, out[0].columns) == best(out[1].data, out[1].columns);
    c->cosine += cosine(out[0].data, out[1].data, out[0].offsets[1] * out[0].columns);
    return VITRT_OK;
}

bool check_images(vitrt_session *const sessions[2], const struct files *files, struct check *c)
{
    const bool progress = progress_wanted();
    vitrt_status st = VITRT_OK;
    vitrt_error err;
    *c = (struct check){ .images = files->count };
    for (size_t i = 0; i < files->count && st == VITRT_OK; i++) {
        st = check_image(sessions, files->path[i], c, &err);
        if (progress)
            progress_show(i + 1, files->count, "images compared");
    }
    if (progress)
        progress_clear();
    if (st != VITRT_OK) {
        fprintf(stderr, "quantize: %s\n", err.message);
        return false;
    }
    c->cosine /= (double)files->count;
    c->ms[0] /= (double)files->count;
    c->ms[1] /= (double)files->count;
    return true;
}
