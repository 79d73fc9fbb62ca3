/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pillow's resize for 8-bit images, bit for bit: two separable passes, each rounding to 8 bits. The window of an
 * output pixel widens with the scale when shrinking; its weights are computed in double, normalised, and rounded to
 * 22 fraction bits. Which operations happen in which order is fixed by that bit equality, so this file must be
 * compiled without contraction of a * b + c (-ffp-contract=off). Lanczos and Hamming take sin and cos from the C
 * library as Pillow does; a library whose sin differs in the last place can only matter where a weight falls on a
 * rounding edge.
 *
 * The order of the passes shows in the bits too. Up to Pillow 12 the horizontal one came first; Pillow 13 takes the
 * vertical one first where it removes many more rows than the other removes columns, and so does this file.
 */
#include "resample.h"

#include "alloc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#if defined(__clang__) || !defined(__GNUC__) /* gcc knows only the option */
#pragma STDC FP_CONTRACT OFF
#endif

#define PI 3.14159265358979323846

enum {
    FRACTION_BITS = 32 - 8 - 2, /* of a weight: 8 bits of pixel, and 2 for sums beyond 1 and the sign */
    HALF = 1 << (FRACTION_BITS - 1),
    PAIR = 2 * sizeof(int16_t),
    TAP_BLOCK = 4 /* horizontal windows are padded with zero weights to a multiple of it: a vector of 16 bytes */
};

/* ---- Filters ---- */

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x *= PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic convolution with a = -0.5. */
static double bicubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0.0)
        return 1.0;
    if (x >= 1.0)
        return 0.0;
    x *= PI;
    return sin(x) / x * ((double)0.54f + (double)0.46f * cos(x)); /* Pillow's constants are floats */
}

struct kernel {
    double (*weight)(double x);
    double support; /* weight is 0 beyond this distance */
};

static struct kernel kernel_of(enum vt_filter filter)
{
    switch (filter) {
    case VT_FILTER_LANCZOS: return (struct kernel){ lanczos, 3.0 };
    case VT_FILTER_BICUBIC: return (struct kernel){ bicubic, 2.0 };
    case VT_FILTER_BOX: return (struct kernel){ box, 0.5 };
    case VT_FILTER_HAMMING: return (struct kernel){ hamming, 1.0 };
    case VT_FILTER_NEAREST:
    case VT_FILTER_BILINEAR: break;
    }
    return (struct kernel){ bilinear, 1.0 };
}

/* ---- Windows and weights of one axis ---- */

/* Output i is the weighted sum of the sources begin[i] .. end[i] - 1, with the weights from weights + i * stride. */
struct axis {
    uint32_t in, out, first, count;
    uint32_t stride;
    uint32_t *begin, *end;
    int32_t *weights;
};

static uint32_t round_up(uint32_t n, uint32_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* Bound of a window's length for every in and out with a ratio up to in / out. */
static uint32_t max_taps(enum vt_filter filter, uint32_t in, uint32_t out)
{
    const double ratio = (double)in / out;
    const double support = kernel_of(filter).support * (ratio > 1.0 ? ratio : 1.0);
    const double taps = ceil(support) * 2 + 1;

    return taps < in ? (uint32_t)taps : in;
}

/* One source, taken as it is. */
static void set_single(struct axis *a, uint32_t i, uint32_t source)
{
    a->begin[i] = source;
    a->end[i] = source + 1;
    a->weights[(size_t)i * a->stride] = 1 << FRACTION_BITS;
}

static void set_identity(struct axis *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        set_single(a, i, a->first + i);
}

/* Pillow walks the axis by adding the step, and the sum's rounding errors are part of the result. (They cannot lead
 * past the end before there are 2^25 outputs; if they did, Pillow would leave a black pixel.) */
static void set_nearest(struct axis *a)
{
    const double step = (double)a->in / a->out;
    double position = step * 0.5;

    for (uint32_t i = 0; i < a->first; i++)
        position += step;
    for (uint32_t i = 0; i < a->count; i++, position += step)
        set_single(a, i, position < a->in ? (uint32_t)position : a->in - 1);
}

static int32_t to_fixed(double weight)
{
    const double scaled = weight * (1 << FRACTION_BITS);

    return (int32_t)(scaled + (weight < 0 ? -0.5 : 0.5));
}

static void set_filtered(struct axis *a, enum vt_filter filter, double *weight)
{
    const struct kernel kernel = kernel_of(filter);
    const double scale = (double)a->in / a->out;
    const double widening = scale < 1.0 ? 1.0 : scale;
    const double support = kernel.support * widening;
    const double shrink = 1.0 / widening;

    for (uint32_t i = 0; i < a->count; i++) {
        const double center = (a->first + i + 0.5) * scale;
        const double from = center - support + 0.5, to = center + support + 0.5;
        const uint32_t begin = from > 0 ? (uint32_t)from : 0;
        const uint32_t end = to < a->in ? (uint32_t)to : a->in;
        int32_t *fixed = a->weights + (size_t)i * a->stride;
        double sum = 0.0;

        assert(end - begin <= a->stride);
        for (uint32_t j = begin; j < end; j++) {
            weight[j - begin] = kernel.weight(((double)j - center + 0.5) * shrink);
            sum += weight[j - begin];
        }
        for (uint32_t j = 0; j < end - begin; j++)
            fixed[j] = to_fixed(sum != 0.0 ? weight[j] / sum : weight[j]);
        a->begin[i] = begin;
        a->end[i] = end;
    }
}

static void axis_fill(struct axis *a, enum vt_filter filter, double *weight)
{
    memset(a->weights, 0, (size_t)a->count * a->stride * sizeof(*a->weights));
    if (a->in == a->out)
        set_identity(a);
    else if (filter == VT_FILTER_NEAREST)
        set_nearest(a);
    else
        set_filtered(a, filter, weight);
}

/* The sources that any window of the axis needs. Windows move monotonically. */
static uint32_t sources_begin(const struct axis *a)
{
    return a->begin[0];
}

static uint32_t sources_end(const struct axis *a)
{
    return a->end[a->count - 1];
}

/* ---- Scratch ---- */

struct workspace {
    struct axis x, y;
    double *weight;   /* [longest window] of one output pixel */
    int16_t *weights; /* [x.count][x.stride][2] the horizontal weights in two halves, see split_weights */
    int32_t *bias;    /* [x.count] */
    int16_t *levels;  /* [256][2] what a pixel of that value is multiplied as */
    int16_t *source;  /* [3][plane][2] the needed pixels of one source row in that form */
    uint8_t *row;     /* [x.count][3] one row after the horizontal pass */
    int32_t *sums;    /* [in_width][4] one row of the vertical pass, when that comes first */
    uint8_t *column;  /* [in_width][4] and its result */
    size_t plane;     /* pixels from channel to channel of source */
};

/* Hands out parts of a block; with base NULL it only measures. */
struct carver {
    unsigned char *base;
    size_t used;
};

static void *take(struct carver *c, size_t count, size_t size)
{
    const size_t at = c->used;
    const size_t blocks = vt_size_add(vt_size_mul(count, size), VT_ALIGN - 1) / VT_ALIGN;

    c->used = vt_size_add(c->used, vt_size_mul(blocks, VT_ALIGN));
    return c->base ? c->base + at : NULL;
}

static struct axis carve_axis(struct carver *c, enum vt_filter filter, uint32_t in, uint32_t out, uint32_t first,
                              uint32_t count)
{
    struct axis a = { .in = in, .out = out, .first = first, .count = count };

    a.stride = round_up(max_taps(filter, in, out), TAP_BLOCK);
    a.begin = take(c, count, sizeof(*a.begin));
    a.end = take(c, count, sizeof(*a.end));
    a.weights = take(c, vt_size_mul(count, a.stride), sizeof(*a.weights));
    return a;
}

static size_t carve(struct workspace *w, const struct vt_resize *r, void *base)
{
    struct carver c = { base, 0 };

    w->x = carve_axis(&c, r->filter, r->in_width, r->out_width, r->left, r->width);
    w->y = carve_axis(&c, r->filter, r->in_height, r->out_height, r->top, r->height);
    w->weight = take(&c, w->x.stride > w->y.stride ? w->x.stride : w->y.stride, sizeof(*w->weight));
    w->weights = take(&c, vt_size_mul(r->width, w->x.stride), PAIR);
    w->bias = take(&c, r->width, sizeof(*w->bias));
    w->levels = take(&c, 256, PAIR);
    w->plane = round_up(r->in_width, TAP_BLOCK) + TAP_BLOCK; /* a padded window reads past the last pixel */
    w->source = take(&c, vt_size_mul(3, w->plane), PAIR);
    w->row = take(&c, r->width, 3);
    w->sums = take(&c, r->in_width, 4 * sizeof(*w->sums));
    w->column = take(&c, r->in_width, 4);
    return c.used;
}

size_t vt_resize_scratch_bytes(const struct vt_resize *r)
{
    struct workspace w;

    return carve(&w, r, NULL);
}

/* ---- Horizontal pass ---- */

/*
 * The sum of weight * pixel is formed from 16-bit products, which every vector unit adds in pairs and which plain C
 * loops get compiled to:
 *
 *     weight * pixel = weight * 128 + high * (256 * p) + low * p
 *     p = pixel - 128,  high = floor(weight / 256),  low = weight - 256 * high
 *
 * |256 * p| <= 32768 fits 16 bits, and so does high while the weight is below 2: the largest is 1.29, of Lanczos at
 * the border of two pixels. The first terms of a window are known in advance: bias.
 */
static void split_weights(struct workspace *w)
{
    const struct axis *x = &w->x;

    for (uint32_t i = 0; i < x->count; i++) {
        const int32_t *weights = x->weights + (size_t)i * x->stride;
        int16_t *halves = w->weights + (size_t)i * x->stride * 2;
        int32_t sum = 0;

        for (uint32_t k = 0; k < x->stride; k++) {
            const int32_t low = weights[k] & 255;
            halves[2 * k] = (int16_t)((weights[k] - low) / 256);
            halves[2 * k + 1] = (int16_t)low;
            sum += weights[k];
        }
        w->bias[i] = 128 * sum + HALF;
    }
    for (int level = 0; level < 256; level++) {
        w->levels[2 * level] = (int16_t)(256 * (level - 128));
        w->levels[2 * level + 1] = (int16_t)(level - 128);
    }
}

size_t vt_format_bytes(vitrt_format format)
{
    switch (format) {
    case VITRT_FORMAT_GREY8: return 1;
    case VITRT_FORMAT_RGB8:
    case VITRT_FORMAT_BGR8: return 3;
    case VITRT_FORMAT_RGBA8:
    case VITRT_FORMAT_BGRA8: return 4;
    case VITRT_FORMAT_F32: break;
    }
    return 0;
}

static uint8_t to_byte(int32_t fixed)
{
    const int32_t v = fixed >> FRACTION_BITS;

    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static inline void expand(const struct workspace *w, const uint8_t *pixels, size_t bytes, size_t r, size_t g, size_t b,
                          size_t n)
{
    const int16_t *levels = w->levels;
    int16_t *restrict red = w->source, *restrict green = red + 2 * w->plane, *restrict blue = green + 2 * w->plane;

    for (size_t i = 0; i < n; i++) {
        memcpy(red + 2 * i, levels + 2 * (size_t)pixels[bytes * i + r], PAIR);
        memcpy(green + 2 * i, levels + 2 * (size_t)pixels[bytes * i + g], PAIR);
        memcpy(blue + 2 * i, levels + 2 * (size_t)pixels[bytes * i + b], PAIR);
    }
}

/* The needed pixels of one row in three planes. A loop for each format, since this is a third of the time of a
 * resize. */
static void expand_row(const struct workspace *w, const uint8_t *pixels, vitrt_format format, size_t n)
{
    switch (format) {
    case VITRT_FORMAT_RGB8: expand(w, pixels, 3, 0, 1, 2, n); break;
    case VITRT_FORMAT_BGR8: expand(w, pixels, 3, 2, 1, 0, n); break;
    case VITRT_FORMAT_RGBA8: expand(w, pixels, 4, 0, 1, 2, n); break;
    case VITRT_FORMAT_BGRA8: expand(w, pixels, 4, 2, 1, 0, n); break;
    case VITRT_FORMAT_GREY8: expand(w, pixels, 1, 0, 0, 0, n); break;
    case VITRT_FORMAT_F32: break;
    }
}

/* row[i][c] from the needed pixels of one source row. */
static void resize_row(const struct workspace *w, const uint8_t *pixels, vitrt_format format)
{
    const uint32_t count = w->x.count, stride = w->x.stride, origin = sources_begin(&w->x);
    const uint32_t *restrict begin = w->x.begin, *restrict end = w->x.end;
    const int32_t *restrict bias = w->bias;
    const int16_t *restrict weight = w->weights;
    const size_t plane = 2 * w->plane;
    uint8_t *restrict dst = w->row;

    expand_row(w, pixels, format, sources_end(&w->x) - origin);
    for (uint32_t i = 0; i < count; i++, dst += 3, weight += 2 * (size_t)stride) {
        const size_t n = 2 * (size_t)round_up(end[i] - begin[i], TAP_BLOCK);
        const int16_t *restrict red = w->source + 2 * (size_t)(begin[i] - origin);
        const int16_t *restrict green = red + plane, *restrict blue = green + plane;
        int32_t sum_red = bias[i], sum_green = sum_red, sum_blue = sum_red;

        for (size_t k = 0; k < n; k++) {
            sum_red += weight[k] * red[k];
            sum_green += weight[k] * green[k];
            sum_blue += weight[k] * blue[k];
        }
        dst[0] = to_byte(sum_red);
        dst[1] = to_byte(sum_green);
        dst[2] = to_byte(sum_blue);
    }
}

/* ---- Vertical pass ---- */

static void start_sums(int32_t *sums, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sums[i] = HALF;
}

static void add_row(int32_t *restrict sums, const uint8_t *restrict row, size_t n, int32_t weight)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += weight * row[i];
}

static int32_t row_weight(const struct axis *y, uint32_t i, uint32_t source)
{
    return y->weights[(size_t)i * y->stride + (source - y->begin[i])];
}

/* ---- Both passes ---- */

/* What one run works on. */
struct job {
    struct workspace w;
    vitrt_format format;
    const uint8_t *pixels; /* the first needed column of row 0 */
    size_t stride;
    const struct vt_level_table *table;
    float *out;
    size_t out_stride;
};

/* Every source row is resized horizontally and added to the output rows whose windows hold it. Those are few when
 * shrinking, and their sums live where their values will be: in out. */
static void run_horizontal_first(const struct job *j)
{
    const struct axis *y = &j->w.y;
    const size_t n = 3 * (size_t)j->w.x.count;
    uint32_t open = 0, next = 0; /* output rows open .. next - 1 are started and incomplete */

    for (uint32_t source = sources_begin(y); source < sources_end(y); source++) {
        resize_row(&j->w, j->pixels + source * j->stride, j->format);
        for (; next < y->count && y->begin[next] <= source; next++)
            start_sums((int32_t *)(void *)(j->out + next * j->out_stride), n);
        for (uint32_t i = open; i < next; i++)
            add_row((int32_t *)(void *)(j->out + i * j->out_stride), j->w.row, n, row_weight(y, i, source));
        for (; open < next && y->end[open] <= source + 1; open++) {
            float *row = j->out + open * j->out_stride;
            for (size_t i = 0; i < n; i++) {
                int32_t sum;
                memcpy(&sum, &row[i], sizeof(sum));
                row[i] = j->table->value[i % 3][to_byte(sum)];
            }
        }
    }
}

/* Every output row is summed up from the source rows in its window, and then resized horizontally. */
static void run_vertical_first(const struct job *j)
{
    const struct axis *x = &j->w.x, *y = &j->w.y;
    const size_t n = (size_t)(sources_end(x) - sources_begin(x)) * vt_format_bytes(j->format);

    for (uint32_t i = 0; i < y->count; i++) {
        float *row = j->out + i * j->out_stride;

        start_sums(j->w.sums, n);
        for (uint32_t source = y->begin[i]; source < y->end[i]; source++)
            add_row(j->w.sums, j->pixels + source * j->stride, n, row_weight(y, i, source));
        for (size_t k = 0; k < n; k++)
            j->w.column[k] = to_byte(j->w.sums[k]);
        resize_row(&j->w, j->w.column, j->format);
        for (size_t k = 0; k < 3 * (size_t)x->count; k++)
            row[k] = j->table->value[k % 3][j->w.row[k]];
    }
}

/* Pillow 13's rule: the rows that the resize removes are more than twice the columns that it removes. */
static bool vertical_goes_first(const struct vt_resize *r)
{
    return r->out_height < r->in_height &&
           (int64_t)r->in_height - r->out_height > 2 * ((int64_t)r->in_width - r->out_width);
}

void vt_resize_run(const struct vt_resize *r, const vitrt_image *image, const struct vt_level_table *table,
                   void *scratch, float *out, size_t out_stride)
{
    const size_t bytes = vt_format_bytes(image->format);
    struct job j = { .format = image->format, .table = table, .out = out, .out_stride = out_stride };

    carve(&j.w, r, scratch);
    axis_fill(&j.w.x, r->filter, j.w.weight);
    axis_fill(&j.w.y, r->filter, j.w.weight);
    split_weights(&j.w);
    memset(j.w.source, 0, 3 * j.w.plane * PAIR);
    j.pixels = (const uint8_t *)image->data + sources_begin(&j.w.x) * bytes;
    j.stride = image->stride ? image->stride : image->width * bytes;
    if (vertical_goes_first(r))
        run_vertical_first(&j);
    else
        run_horizontal_first(&j);
}
