/* SPDX-License-Identifier: Apache-2.0 */
/* How many tokens have to leave for a budget; see reduce.h. */
#include "reduce.h"

#include <math.h>

/* Strengths are 2^-RANGE to 2^RANGE. */
enum { RANGE = 5, STEPS = 14 };

static vitrt_status plan_macs(struct candidate *c, const struct dense *d, vitrt_error *err)
{
    vitrt_model *model = NULL;
    vitrt_session_info info;
    vitrt_status st = candidate_model(c, d, &model, err);
    if (st == VITRT_OK)
        st = vitrt_session_measure(model, &d->options, &info, err);
    if (st == VITRT_OK)
        c->macs = (double)info.macs_per_image;
    vitrt_model_free(model);
    return st;
}

/* How many samples hit another token than the one before depends on the image. */
static vitrt_status run_macs(struct candidate *c, const struct dense *d, size_t images, vitrt_error *err)
{
    c->images = c->same = 0;
    c->divergence = c->run_macs = 0;
    const vitrt_status st = compare_images(c, d, images, err);
    c->macs = c->run_macs / (double)images;
    return st;
}

static vitrt_status find_macs(struct candidate *c, const struct dense *d, size_t images, vitrt_error *err)
{
    c->macs = d->macs;
    if (!c->reduction.options.layer_count)
        return VITRT_OK;
    return c->reduction.options.method == VITRT_REDUCTION_ATS ? run_macs(c, d, images, err) : plan_macs(c, d, err);
}

/* Where between two strengths the multiply-adds may be what is wanted, if they fell evenly; not too near to an end. */
static double between(double low, double high, double most, double least, double macs)
{
    const double share = (most - macs) / (most - least);
    return low + fmin(fmax(share, 0.1), 0.9) * (high - low);
}

vitrt_status budget_fit(struct candidate *c, const struct dense *d, double macs, size_t images, bool *met,
                        vitrt_error *err)
{
    double low = -RANGE, high = RANGE, most = d->macs, least = 0;
    *met = false;
    for (int i = 0; i < STEPS; i++) {
        const double at = between(low, high, most, least, macs);
        candidate_scale(c, d, exp2(at));
        const vitrt_status st = find_macs(c, d, images, err);
        if (st != VITRT_OK)
            return st;
        *met = c->reduction.options.layer_count && fabs(c->macs - macs) <= MACS_TOLERANCE * macs;
        if (*met)
            return VITRT_OK;
        if (c->macs > macs) {
            low = at;
            most = c->macs;
        } else {
            high = at;
            least = c->macs;
        }
    }
    return VITRT_OK;
}
