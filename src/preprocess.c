/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The geometry of preprocessing (sizes after the resize, place of the crop) in the arithmetic of the framework that
 * the config belongs to, and the run itself. Reading a config is in preprocess_config.c, the resize in resample.c.
 */
#include "preprocess.h"

#include "finite.h"

#include "alloc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Python's round. */
static double round_half_even(double x)
{
    const double below = floor(x), rest = x - below;

    if (rest > 0.5 || (rest == 0.5 && fmod(below, 2.0) != 0.0))
        return below + 1.0;
    return below;
}

/* ---- Input size ---- */

static uint32_t clamp_side(double side)
{
    return side < 1.0 ? 1 : side < VT_RESIZE_MAX_SIDE ? (uint32_t)side : VT_RESIZE_MAX_SIDE;
}

static struct vt_resize_rule proportional(enum vt_resize_mode mode, uint32_t height, uint32_t width)
{
    const bool shortest =
        mode == VT_RESIZE_COVER && height == width; /* both frameworks round differently for a square */

    return (struct vt_resize_rule){ shortest ? VT_RESIZE_SHORTEST : mode, height, width };
}

/* timm: floor(size / crop_pct). */
static struct vt_resize_rule resize_from_crop_pct(const struct vt_preprocess *p, enum vt_resize_mode mode)
{
    return proportional(mode, clamp_side(floor(p->height / p->crop_pct)), clamp_side(floor(p->width / p->crop_pct)));
}

static uint32_t scale_side(uint32_t side, uint32_t size, uint32_t stated)
{
    return clamp_side(floor((double)side * size / stated + 0.5));
}

static struct vt_resize_rule resize_of_transformers(const struct vt_preprocess *p)
{
    const struct vt_resize_rule stated = p->stated_resize;
    const bool same = p->height == p->stated_height && p->width == p->stated_width;

    if (same || stated.mode == VT_RESIZE_NONE)
        return stated;
    return proportional(stated.mode == VT_RESIZE_EXACT ? VT_RESIZE_EXACT : VT_RESIZE_COVER,
                        scale_side(stated.height, p->height, p->stated_height),
                        scale_side(stated.width, p->width, p->stated_width));
}

/* ConvNeXT's processor: below this size it crops, from it on it squashes. */
#define CONVNEXT_SQUASH_SIZE 384u

static void set_size_convnext(struct vt_preprocess *p)
{
    const uint32_t shorter = p->height < p->width ? p->height : p->width;

    p->crop = p->stated_resize.mode != VT_RESIZE_NONE && shorter < CONVNEXT_SQUASH_SIZE;
    if (p->crop)
        p->resize = resize_from_crop_pct(p, VT_RESIZE_COVER);
    else
        p->resize = (struct vt_resize_rule){ p->stated_resize.mode == VT_RESIZE_NONE ? VT_RESIZE_NONE : VT_RESIZE_EXACT,
                                             p->height, p->width };
}

bool vt_preprocess_default_size(const struct vt_preprocess *p, uint32_t *height, uint32_t *width)
{
    *height = p->stated_height;
    *width = p->stated_width;
    return p->stated_height != 0;
}

vitrt_status vt_preprocess_set_size(struct vt_preprocess *p, uint32_t height, uint32_t width, vitrt_error *err)
{
    if (height == 0 || width == 0 || height > VT_PREPROCESS_MAX_SIDE || width > VT_PREPROCESS_MAX_SIDE)
        return vt_err(err, VITRT_EINVAL, "The input size %ux%u is outside 1x1 .. %ux%u.", height, width,
                      VT_PREPROCESS_MAX_SIDE, VT_PREPROCESS_MAX_SIDE);
    p->height = height;
    p->width = width;
    switch (p->kind) {
    case VT_PREPROCESS_TIMM: p->resize = resize_from_crop_pct(p, p->crop_mode); break;
    case VT_PREPROCESS_TRANSFORMERS: p->resize = resize_of_transformers(p); break;
    case VT_PREPROCESS_CONVNEXT: set_size_convnext(p); break;
    }
    return VITRT_OK;
}

/* ---- Geometry of one image ---- */

static void resized_size(const struct vt_resize_rule *rule, uint32_t h, uint32_t w, uint32_t *height, uint32_t *width)
{
    *height = rule->mode == VT_RESIZE_NONE ? h : rule->height;
    *width = rule->mode == VT_RESIZE_NONE ? w : rule->width;
    if (rule->mode == VT_RESIZE_SHORTEST) {
        if (w <= h)
            *height = clamp_side((double)((uint64_t)rule->height * h / w));
        else
            *width = clamp_side((double)((uint64_t)rule->height * w / h));
    } else if (rule->mode == VT_RESIZE_COVER || rule->mode == VT_RESIZE_CONTAIN) {
        const double ratio_h = (double)h / rule->height, ratio_w = (double)w / rule->width;
        const bool by_height = rule->mode == VT_RESIZE_COVER ? ratio_h < ratio_w : ratio_h > ratio_w;
        const double ratio = by_height ? ratio_h : ratio_w;

        /* A side that timm would round to 0, which its resize refuses, becomes 1. */
        *height = clamp_side(round_half_even(h / ratio));
        *width = clamp_side(round_half_even(w / ratio));
    }
}

/* Position of the crop in the resized image along one axis; negative: that much padding comes first. */
static int64_t crop_origin(enum vt_preprocess_kind kind, uint32_t resized, uint32_t crop)
{
    const int64_t difference = (int64_t)resized - crop;

    if (kind != VT_PREPROCESS_TIMM) /* floor, also of negative halves */
        return difference >= 0 ? difference / 2 : -((1 - difference) / 2);
    return difference >= 0 ? (int64_t)round_half_even((double)difference / 2.0) : -(-difference / 2);
}

/* The part of an axis of the input that image pixels fill: input pixels pad .. pad + count - 1 are resized pixels
 * first .. */
struct span {
    uint32_t pad, first, count;
};

static struct span span_of(const struct vt_preprocess *p, uint32_t resized, uint32_t size)
{
    const int64_t origin = p->crop ? crop_origin(p->kind, resized, size) : 0;
    struct span s = { .pad = origin < 0 ? (uint32_t)-origin : 0, .first = origin > 0 ? (uint32_t)origin : 0 };

    s.count = resized - s.first < size - s.pad ? resized - s.first : size - s.pad;
    return s;
}

/* ---- Run ---- */

size_t vt_preprocess_scratch_bytes(const struct vt_preprocess *p, uint32_t max_side)
{
    const uint32_t shorter = p->resize.height < p->resize.width ? p->resize.height : p->resize.width;
    /* Rounding to nearest turns 1.5 into 1 at worst, so no axis shrinks by more than twice the nominal ratio. */
    const uint32_t smallest = p->resize.mode == VT_RESIZE_NONE ? max_side : shorter > 1 ? shorter / 2 : 1;

    return vt_resize_scratch_bytes(&(struct vt_resize){ .filter = p->filter,
                                                        .in_height = max_side,
                                                        .in_width = max_side,
                                                        .out_height = smallest,
                                                        .out_width = smallest,
                                                        .height = p->height,
                                                        .width = p->width });
}

static vitrt_status check_image(const vitrt_image *image, uint32_t max_side, vitrt_error *err)
{
    const size_t pixel = image->format == VITRT_FORMAT_F32 ? 3 * sizeof(float) : vt_format_bytes(image->format);
    const size_t row = vt_size_mul(image->width, pixel);

    if (pixel == 0)
        return vt_err(err, VITRT_EINVAL, "The image's format is %d, which is none of vitrt_format.",
                      (int)image->format);
    if (image->width == 0 || image->height == 0)
        return vt_err(err, VITRT_EINVAL, "The image is %ux%u pixels wide and high, both must be at least 1.",
                      image->width, image->height);
    if (image->width > max_side || image->height > max_side)
        return vt_err(err, VITRT_ELIMIT, "The image is %ux%u pixels wide and high, the session takes at most %u.",
                      image->width, image->height, max_side);
    if (!image->data)
        return vt_err(err, VITRT_EINVAL, "The image of %ux%u pixels has no data (NULL).", image->width, image->height);
    if (image->stride && image->stride < row)
        return vt_err(err, VITRT_EINVAL, "The image's stride is %zu bytes, a row of %u pixels takes %zu.",
                      image->stride, image->width, row);
    if (vt_size_mul(image->stride ? image->stride : row, image->height) == SIZE_MAX)
        return vt_err(err, VITRT_EINVAL, "The image's stride of %zu bytes times %u rows is more than an address space.",
                      image->stride, image->height);
    return VITRT_OK;
}

static vitrt_status check_size(const struct vt_preprocess *p, uint32_t width, uint32_t height, const char *why,
                               vitrt_error *err)
{
    if (width == p->width && height == p->height)
        return VITRT_OK;
    return vt_err(err, VITRT_EINVAL, "The image is %ux%u pixels wide and high, expected exactly %ux%u: %s.", width,
                  height, p->width, p->height, why);
}

/* Row y of an already normalised image. */
static const void *float_row(const struct vt_preprocess *p, const vitrt_image *image, size_t y)
{
    const size_t stride = image->stride ? image->stride : (size_t)p->width * 3 * sizeof(float);
    return (const char *)image->data + y * stride;
}

/* Rows that lie one behind the other as floats may: the image is the input as it stands. */
static bool is_input_already(const struct vt_preprocess *p, const vitrt_image *image)
{
    const bool packed = !image->stride || image->stride == (size_t)p->width * 3 * sizeof(float);
    return packed && (uintptr_t)image->data % sizeof(float) == 0;
}

static vitrt_status take_floats(const struct vt_preprocess *p, const vitrt_image *image, float *out,
                                const float **input, vitrt_error *err)
{
    const size_t row = (size_t)p->width * 3;
    const bool in_place = input && is_input_already(p, image);
    for (size_t y = 0; y < p->height; y++) {
        const float *pixels =
            in_place ? float_row(p, image, y) : memcpy(out + y * row, float_row(p, image, y), row * sizeof *out);
        if (vt_all_finite(pixels, row))
            continue;
        size_t i = 0;
        while (isfinite(pixels[i]))
            i++;
        return vt_err(err, VITRT_EINVAL,
                      "The image's value at row %zu, column %zu, channel %zu is not a finite number.", y, i / 3, i % 3);
    }
    if (in_place)
        *input = image->data;
    return VITRT_OK;
}

static void fill_padding(const struct vt_preprocess *p, float *out)
{
    float colour[3];

    for (size_t c = 0; c < 3; c++)
        colour[c] = p->table.value[c][p->fill[c]];
    for (size_t i = 0; i < (size_t)p->height * p->width * 3; i++)
        out[i] = colour[i % 3];
}

vitrt_status vt_preprocess_run(const struct vt_preprocess *p, const vitrt_image *image, uint32_t max_side,
                               void *scratch, float *out, const float **input, vitrt_error *err)
{
    vitrt_status status = check_image(image, max_side, err);
    uint32_t height, width;

    assert(p->height && p->width);
    if (input)
        *input = out;
    if (status != VITRT_OK)
        return status;
    if (image->format == VITRT_FORMAT_F32) {
        status = check_size(p, image->width, image->height, "a normalised image is used as it is", err);
        return status != VITRT_OK ? status : take_floats(p, image, out, input, err);
    }
    resized_size(&p->resize, image->height, image->width, &height, &width);
    if (!p->crop) {
        status = check_size(p, width, height, "the checkpoint's preprocessing neither resizes nor crops", err);
        if (status != VITRT_OK)
            return status;
    }

    const struct span rows = span_of(p, height, p->height), columns = span_of(p, width, p->width);
    const struct vt_resize resize = { .filter = p->filter,
                                      .in_height = image->height,
                                      .in_width = image->width,
                                      .out_height = height,
                                      .out_width = width,
                                      .top = rows.first,
                                      .left = columns.first,
                                      .height = rows.count,
                                      .width = columns.count };

    assert(vt_resize_scratch_bytes(&resize) <= vt_preprocess_scratch_bytes(p, max_side));
    if (rows.count < p->height || columns.count < p->width)
        fill_padding(p, out);
    vt_resize_run(&resize, image, &p->table, scratch, out + ((size_t)rows.pad * p->width + columns.pad) * 3,
                  (size_t)p->width * 3);
    return VITRT_OK;
}
