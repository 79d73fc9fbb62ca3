/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a reduced model beside those of the model with all of its tokens; see reduce.h. */
#include "reduce.h"

#include <math.h>

static size_t best(const float *x, size_t n)
{
    size_t k = 0;
    for (size_t i = 1; i < n; i++)
        k = x[i] > x[k] ? i : k;
    return k;
}

/* The logarithm of what softmax divides by. */
static double log_sum(const float *x, size_t n)
{
    const double most = x[best(x, n)];
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - most);
    return most + log(sum);
}

/* Kullback and Leibler's, of the probabilities of y from those of x. */
static double divergence(const float *x, const float *y, size_t n)
{
    const double x_sum = log_sum(x, n), y_sum = log_sum(y, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - x_sum) * ((x[i] - x_sum) - (y[i] - y_sum));
    return sum;
}

static vitrt_status compare_image(struct candidate *c, const struct dense *d, vitrt_session *session, vitrt_error *err)
{
    const vitrt_image image = dense_image(d, c->images);
    const float *x = d->logits + c->images * d->classes;
    vitrt_output out = { 0 };
    vitrt_session_info info;
    vitrt_status st = vitrt_run(session, &image, 1, &out, err);
    if (st == VITRT_OK)
        st = vitrt_session_get_info(session, &info);
    if (st != VITRT_OK)
        return st;
    c->same += best(x, d->classes) == best(out.data, d->classes);
    c->divergence += divergence(x, out.data, d->classes);
    c->run_macs += (double)info.run_macs_per_image;
    c->images++;
    return VITRT_OK;
}

vitrt_status compare_images(struct candidate *c, const struct dense *d, size_t end, vitrt_error *err)
{
    vitrt_session *session = NULL;
    vitrt_status st = c->images < end ? candidate_session(c, d, &session, err) : VITRT_OK;
    while (st == VITRT_OK && c->images < end)
        st = compare_image(c, d, session, err);
    vitrt_session_free(session);
    return st;
}

int compare_quality(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->divergence != y->divergence) /* not a number comes last */
        return x->divergence < y->divergence || isnan(y->divergence) ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}
