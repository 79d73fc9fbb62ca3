/* SPDX-License-Identifier: Apache-2.0 */
/* A float and a quantized session on the same images; see quantize.h. */
#define _POSIX_C_SOURCE 200809L

#include "quantize.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

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

vitrt_status check_image(vitrt_session *const sessions[2], const char *path, struct check *c, vitrt_error *err)
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
    const float *x = out[0].data, *y = out[1].data;
    for (size_t i = 0; i < out[0].offsets[1] * out[0].columns; i++) {
        c->error += ((double)y[i] - x[i]) * ((double)y[i] - x[i]);
        c->sum += (double)x[i] * x[i];
    }
    c->same += best(x, out[0].columns) == best(y, out[1].columns);
    c->images++;
    return VITRT_OK;
}

void check_print(const struct check *c, const char *images, bool classes)
{
    if (!c->images)
        return;
    printf("%-11s images  ", images);
    if (classes)
        printf("same answer on %zu of %zu (%.2f %%), ", c->same, c->images, 100 * (double)c->same / (double)c->images);
    printf("relative error %.4f\n", c->sum > 0 ? sqrt(c->error / c->sum) : 0);
}
