/* SPDX-License-Identifier: Apache-2.0 */
/* See channel_scales.h. */
#include "channel_scales.h"

#include <math.h>

#define USUAL_IMAGES 32.0
#define MOST_MARGIN  2.0

struct vt_spread vt_spread_for(const struct vt_spread *s, size_t images)
{
    const double few = cbrt(USUAL_IMAGES / (double)images), trust = sqrt(few);
    return (struct vt_spread){ .alpha = vt_clamp(1 - (1 - s->alpha) * trust, 0, 1),
                               .margin = vt_clamp(1 + (s->margin - 1) * few, 1, MOST_MARGIN),
                               .deviations = s->deviations,
                               .one_sided = s->one_sided };
}

void vt_columns_add(struct vt_column *columns, size_t n, const float *x, size_t rows, size_t ld)
{
    for (size_t r = 0; r < rows; r++, x += ld)
        for (size_t c = 0; c < n; c++) {
            struct vt_column *column = &columns[c];
            const double v = (double)x[c];
            column->min = x[c] < column->min ? x[c] : column->min;
            column->max = x[c] > column->max ? x[c] : column->max;
            column->sum += v; /* keeps a NaN, which the two above drop */
            column->squares += v * v;
        }
}

struct range {
    double lo, hi;
};

static struct range seen(const struct vt_spread *s, const struct vt_column *c, double rows)
{
    const double mean = c->sum / rows, variance = c->squares / rows - mean * mean;
    const double reach = s->deviations * sqrt(variance > 0 ? variance : 0);
    struct range r = { (double)c->min, (double)c->max };
    if (reach > 0)
        r = (struct range){ fmin(r.lo, mean - reach), fmax(r.hi, mean + reach) };
    vt_widen_constant(&r.lo, &r.hi);
    return r;
}

enum vt_fit vt_spread_columns(const struct vt_spread *s, const struct vt_column *columns, size_t n, uint64_t rows,
                              unsigned bits, struct vt_quantizer *q)
{
    double lowest = INFINITY, widest = 0, widths = 0;
    bool finite = rows > 0;
    for (size_t c = 0; c < n; c++) {
        lowest = fmin(lowest, seen(s, &columns[c], (double)rows).lo);
        finite = finite && isfinite(columns[c].squares);
    }
    for (size_t c = 0; c < n; c++) {
        const struct range r = seen(s, &columns[c], (double)rows);
        const double width = r.hi - (s->one_sided ? lowest : r.lo);
        widest = fmax(widest, width);
        widths += width;
    }
    enum vt_fit worst = finite ? VT_FIT_OK : VT_FIT_NOT_FINITE;
    for (size_t c = 0; c < n; c++) {
        struct range r = seen(s, &columns[c], (double)rows);
        if (s->one_sided)
            r.lo = lowest;
        const double own = r.hi > r.lo ? r.hi - r.lo : widths / (double)n;
        const double width = s->margin * pow(own, s->alpha) * pow(widest, 1 - s->alpha);
        const double middle = (r.lo + r.hi) / 2;
        const double lo = s->one_sided ? lowest : middle - width / 2, hi = lo + width;
        const enum vt_fit fit = finite ? vt_quantizer_of_range(&q[c], lo, hi, bits) : VT_FIT_NOT_FINITE;
        worst = fit > worst ? fit : worst;
    }
    return worst;
}
