/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a picture's pixels to the model's input, as the checkpoint's own preprocessing does it: convert to RGB, resize
 * bit for bit as Pillow does, crop or pad, rescale, normalise. The rules of the frameworks are in
 * tests/golden/PREPROCESSING.md.
 *
 * The description is plain data read once from the config and fitted to one input size; running it streams the source
 * row by row through a bounded scratch and allocates nothing. All functions here expect the default floating-point
 * environment.
 */
#ifndef VT_PREPROCESS_H
#define VT_PREPROCESS_H

#include "error.h"
#include "json.h"
#include "resample.h"

#include <stdbool.h>

/* How a source of h x w becomes the resized image that is cropped. */
enum vt_resize_mode {
    VT_RESIZE_NONE,
    VT_RESIZE_EXACT,    /* to height x width */
    VT_RESIZE_SHORTEST, /* the shorter side to height, the other in proportion, rounded down */
    VT_RESIZE_COVER,    /* in proportion to the smallest size that covers height x width, rounded to nearest */
    VT_RESIZE_CONTAIN   /* in proportion to the largest size inside height x width, rounded to nearest */
};

struct vt_resize_rule {
    enum vt_resize_mode mode;
    uint32_t height, width;
};

/* Whose rules place the crop and follow the input size. */
enum vt_preprocess_kind {
    VT_PREPROCESS_TIMM, /* resize from crop_pct */
    VT_PREPROCESS_TRANSFORMERS,
    VT_PREPROCESS_CONVNEXT /* transformers, resize from crop_pct below 384 pixels, without a crop from there on */
};

struct vt_preprocess {
    enum vt_preprocess_kind kind;
    enum vt_filter filter;
    bool crop;                     /* false: the resized image is the input */
    double crop_pct;               /* of timm and ConvNeXt */
    enum vt_resize_mode crop_mode; /* of timm: COVER for center, EXACT for squash, CONTAIN for border */

    uint32_t stated_height, stated_width; /* the input size in the config; 0: it does not say */
    struct vt_resize_rule stated_resize;  /* of transformers, for that size */

    uint32_t height, width;       /* the input size; 0: not known yet, vt_preprocess_set_size sets it */
    struct vt_resize_rule resize; /* for that size */

    uint8_t fill[3];             /* of padding where the crop is larger than the image */
    struct vt_level_table table; /* rescaled and normalised value of each 8-bit value */
};

/* Largest input and resize side of a config and of vt_preprocess_set_size. */
#define VT_PREPROCESS_MAX_SIDE 16384u

/* Reads pretrained_cfg (timm) of config.json or else preprocessor_config.json (transformers). config is the root of
 * config.json, processor that of preprocessor_config.json or a VT_JSON_NONE. Without that file, a model_type in
 * config.json stands for the defaults of its image processor. With nothing at all, timm's defaults hold: bicubic resize
 * to 1 / 0.875 of the input size, center crop, ImageNet's mean and standard deviation, and the input size is the
 * caller's to set. where names the checkpoint in errors. */
vitrt_status vt_preprocess_from_config(vt_json config, vt_json processor, const char *where, struct vt_preprocess *out,
                                       vitrt_error *err);

/* The input size that the config asks for; false if it does not say. */
bool vt_preprocess_default_size(const struct vt_preprocess *p, uint32_t *height, uint32_t *width);

/* The same preprocessing for another input size: resize and crop scale together. timm's and ConvNeXt's resize follows
 * from crop_pct as they compute it; transformers' keeps its ratio to the crop, rounded to the nearest pixel. The size
 * in the config gives exactly the config. */
vitrt_status vt_preprocess_set_size(struct vt_preprocess *p, uint32_t height, uint32_t width, vitrt_error *err);

/* Scratch that vt_preprocess_run needs for any source up to max_side x max_side. SIZE_MAX: too large to represent. */
size_t vt_preprocess_scratch_bytes(const struct vt_preprocess *p, uint32_t max_side);

/* Writes the input [height, width, 3] to out. VITRT_FORMAT_F32 images must have exactly that size and finite values;
 * they are copied, unless input is given and they can be used where they are. *input (may be NULL): out, or the image's
 * own memory. The image is checked fully; scratch is 64-byte aligned and must not overlap out, which is allocated
 * memory (see vt_resize_run). */
vitrt_status vt_preprocess_run(const struct vt_preprocess *p, const vitrt_image *image, uint32_t max_side,
                               void *scratch, float *out, const float **input, vitrt_error *err);

#endif
