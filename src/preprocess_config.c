/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads preprocessing from the two places where checkpoints state it: pretrained_cfg in timm's config.json, and
 * transformers' preprocessor_config.json in its present and older forms. Keys that a file lacks have the framework's
 * defaults; a null counts as lacking.
 */
#include "preprocess.h"

#include <math.h>
#include <string.h>

/* An object being read, and what errors call it. */
struct reader {
    vt_json object;
    const char *where, *file;
    vitrt_error *err;
};

/* ---- Values ---- */

/* The member, or a VT_JSON_NONE where it is null. */
static vt_json member(vt_json object, const char *key)
{
    const vt_json v = vt_json_get(object, key);

    return vt_json_type(v) == VT_JSON_NULL ? vt_json_get(v, key) : v; /* a null has no members */
}

static bool missing(vt_json v)
{
    return vt_json_type(v) == VT_JSON_NONE;
}

#define MAX_QUOTED 60 /* characters of a value repeated in a message */

/* "<where>: <file>: <key> is <value>, expected <expected>." */
static vitrt_status bad_value(const struct reader *r, const char *key, vt_json v, vitrt_status status,
                              const char *expected)
{
    const bool is_object = vt_json_type(v) == VT_JSON_OBJECT;
    size_t n = 0;
    const char *text = vt_json_text(v, &n);

    if (missing(v)) {
        text = "missing";
        n = strlen(text);
    } else if (!text) {
        text = is_object ? "an object" : "an array";
        n = strlen(text);
    }
    return vt_err(r->err, status, "%s: %s: %s is %.*s, expected %s.", r->where, r->file, key,
                  (int)(n < MAX_QUOTED ? n : MAX_QUOTED), text, expected);
}

static vitrt_status read_flag(const struct reader *r, const char *key, bool *flag)
{
    const vt_json v = member(r->object, key);

    if (missing(v) || vt_json_to_bool(v, flag))
        return VITRT_OK;
    return bad_value(r, key, v, VITRT_EFORMAT, "true or false");
}

static vitrt_status read_side(const struct reader *r, const char *key, vt_json v, uint32_t *side)
{
    uint64_t n;

    if (!vt_json_to_u64(v, &n) || n == 0 || n > VT_PREPROCESS_MAX_SIDE)
        return bad_value(r, key, v, VITRT_EFORMAT, "an integer from 1 to 16384");
    *side = (uint32_t)n;
    return VITRT_OK;
}

/* Three numbers that floats hold, or one for all channels. */
static vitrt_status read_triple(const struct reader *r, const char *key, double values[3])
{
    const vt_json v = member(r->object, key);
    const bool is_array = vt_json_type(v) == VT_JSON_ARRAY;
    const size_t n = vt_json_count(v);

    if (missing(v) || (is_array && n == 0))
        return VITRT_OK;
    for (size_t c = 0; c < 3; c++) {
        const vt_json e = is_array ? vt_json_at(v, n == 1 ? 0 : c) : v;
        if ((is_array && n != 1 && n != 3) || !vt_json_to_double(e, &values[c]) || !isfinite((float)values[c]))
            return bad_value(r, key, v, VITRT_EFORMAT, "three numbers");
    }
    return VITRT_OK;
}

static vitrt_status read_mean_std(const struct reader *r, const char *mean_key, const char *std_key, double mean[3],
                                  double std[3])
{
    vitrt_status status = read_triple(r, mean_key, mean);

    if (status == VITRT_OK)
        status = read_triple(r, std_key, std);
    for (size_t c = 0; c < 3 && status == VITRT_OK; c++)
        if (!((float)std[c] > 0.0f))
            status = vt_err(r->err, VITRT_EFORMAT, "%s: %s: %s of channel %zu is zero or negative, expected above 0.",
                            r->where, r->file, std_key, c);
    return status;
}

static vitrt_status read_crop_pct(const struct reader *r, double *crop_pct)
{
    const vt_json v = member(r->object, "crop_pct");
    double value;

    if (missing(v))
        return VITRT_OK;
    if (!vt_json_to_double(v, &value) || !(value == 0.0 || (value >= 0.01 && value <= 10.0)))
        return bad_value(r, "crop_pct", v, VITRT_EFORMAT, "a number from 0.01 to 10");
    if (value != 0.0) /* both frameworks read 0 as not given */
        *crop_pct = value;
    return VITRT_OK;
}

/* ---- Values of pixels ---- */

struct pixel_math {
    bool rescale, normalise;
    bool divide; /* timm: by 255 in float; transformers: times a double factor */
    double factor;
    double mean[3], std[3];
};

/* The value of each 8-bit level, every step rounded as the framework rounds it. */
static vitrt_status fill_table(const struct reader *r, const struct pixel_math *m, struct vt_level_table *table)
{
    for (int c = 0; c < 3; c++) {
        const float mean = (float)m->mean[c], std = (float)m->std[c];

        for (int level = 0; level < 256; level++) {
            float x = (float)level;
            if (m->rescale)
                x = m->divide ? x / 255.0f : (float)(level * m->factor);
            if (m->normalise) {
                x -= mean;
                x /= std;
            }
            if (!isfinite(x))
                return vt_err(r->err, VITRT_EFORMAT,
                              "%s: %s: rescaling and normalising turn pixel value %d of channel %d into infinity.",
                              r->where, r->file, level, c);
            table->value[c][level] = x;
        }
    }
    return VITRT_OK;
}

/* Sets the stated size, or waits for the caller's when there is none. */
static vitrt_status finish(struct vt_preprocess *p, vitrt_error *err)
{
    return p->stated_height ? vt_preprocess_set_size(p, p->stated_height, p->stated_width, err) : VITRT_OK;
}

/* ---- timm ---- */

static vitrt_status timm_input_size(const struct reader *r, struct vt_preprocess *p)
{
    const vt_json v = member(r->object, "input_size");
    uint64_t channels;
    vitrt_status status;

    if (missing(v))
        return VITRT_OK;
    if (vt_json_count(v) != 3 || !vt_json_to_u64(vt_json_at(v, 0), &channels))
        return bad_value(r, "input_size", v, VITRT_EFORMAT, "[channels, height, width]");
    if (channels != 3)
        return bad_value(r, "input_size[0]", vt_json_at(v, 0), VITRT_EUNSUPPORTED, "3 channels");
    status = read_side(r, "input_size[1]", vt_json_at(v, 1), &p->stated_height);
    return status != VITRT_OK ? status : read_side(r, "input_size[2]", vt_json_at(v, 2), &p->stated_width);
}

/* A string out of names, as its index; the value stays where the key is missing or empty. */
static vitrt_status read_name(const struct reader *r, const char *key, const char *const *names, size_t count,
                              size_t *index, const char *expected)
{
    const vt_json v = member(r->object, key);

    if (missing(v) || vt_json_is(v, ""))
        return VITRT_OK;
    for (size_t i = 0; i < count; i++) {
        if (vt_json_is(v, names[i])) {
            *index = i;
            return VITRT_OK;
        }
    }
    return bad_value(r, key, v, VITRT_EUNSUPPORTED, expected);
}

static vitrt_status timm_filter(const struct reader *r, struct vt_preprocess *p)
{
    /* In enum vt_filter's order. */
    static const char *const names[] = { "nearest", "lanczos", "bilinear", "bicubic", "box", "hamming" };
    size_t i = VT_FILTER_BICUBIC;
    const vitrt_status status =
        read_name(r, "interpolation", names, 6, &i, "nearest, lanczos, bilinear, bicubic, box or hamming");

    p->filter = (enum vt_filter)i;
    return status;
}

static vitrt_status timm_crop_mode(const struct reader *r, struct vt_preprocess *p)
{
    static const char *const names[] = { "center", "squash", "border" };
    static const enum vt_resize_mode modes[] = { VT_RESIZE_COVER, VT_RESIZE_EXACT, VT_RESIZE_CONTAIN };
    size_t i = 0;
    const vitrt_status status = read_name(r, "crop_mode", names, 3, &i, "center, squash or border");

    p->crop_mode = modes[i];
    return status;
}

/* timm pads with the mean colour in border mode and with black otherwise. */
static uint8_t border_level(double mean)
{
    const double level = nearbyint(255 * mean); /* half to even, as Python's round */

    return (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
}

static vitrt_status from_timm(const struct reader *r, struct vt_preprocess *p)
{
    struct pixel_math m = { .rescale = true,
                            .normalise = true,
                            .divide = true,
                            .mean = { 0.485, 0.456, 0.406 },
                            .std = { 0.229, 0.224, 0.225 } };
    vitrt_status status;

    p->kind = VT_PREPROCESS_TIMM;
    p->crop = true;
    p->crop_pct = 0.875;
    status = timm_input_size(r, p);
    if (status == VITRT_OK)
        status = timm_filter(r, p);
    if (status == VITRT_OK)
        status = timm_crop_mode(r, p);
    if (status == VITRT_OK)
        status = read_crop_pct(r, &p->crop_pct);
    if (status == VITRT_OK)
        status = read_mean_std(r, "mean", "std", m.mean, m.std);
    if (status == VITRT_OK)
        status = fill_table(r, &m, &p->table);
    if (status != VITRT_OK)
        return status;
    for (size_t c = 0; c < 3; c++)
        p->fill[c] = p->crop_mode == VT_RESIZE_CONTAIN ? border_level(m.mean[c]) : 0;
    return finish(p, r->err);
}

/* ---- transformers ---- */

/* What a processor class assumes for keys that its file lacks. */
struct processor {
    const char *name;        /* up to "ImageProcessor" or "FeatureExtractor" */
    const char *model_types; /* of config.json, for files that name no class; space-separated */
    enum vt_filter filter;
    uint32_t size, crop_size; /* crop_size 0: no center crop */
    bool shortest_edge;       /* size, and any plain integer in its place, is the shorter side */
    bool clip_colours;        /* CLIP's mean and standard deviation, else 0.5 */
};

static const struct processor processors[] = {
    { "ViT", " vit swin swinv2 ", VT_FILTER_BILINEAR, 224, 0, false, false },
    { "DeiT", " deit ", VT_FILTER_BICUBIC, 256, 224, false, false },
    { "Bit", " bit dinov2 dinov2_with_registers ", VT_FILTER_BICUBIC, 224, 224, true, true },
    { "ConvNext", " cvt convnext convnextv2 ", VT_FILTER_BICUBIC, 384, 0, true, false },
    { "CLIP", " clip ", VT_FILTER_BICUBIC, 224, 224, true, true },
    { "Siglip", " siglip ", VT_FILTER_BICUBIC, 224, 0, false, false },
};

enum { PROCESSOR_COUNT = sizeof(processors) / sizeof(processors[0]), CONVNEXT = 3 };

static bool ends_with(const char *s, size_t n, const char *suffix)
{
    const size_t m = strlen(suffix);

    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* The class name without the suffixes that mean nothing here; "" for a name of another form. */
static size_t class_stem(const char *name, size_t n)
{
    static const char *const variants[] = { "Fast", "Pil" }, *const kinds[] = { "ImageProcessor", "FeatureExtractor" };

    for (size_t i = 0; i < 2; i++)
        if (ends_with(name, n, variants[i]))
            n -= strlen(variants[i]);
    for (size_t i = 0; i < 2; i++)
        if (ends_with(name, n, kinds[i]))
            return n - strlen(kinds[i]);
    return 0;
}

static bool has_word(const char *words, const char *word, size_t n)
{
    for (const char *w = words; (w = strchr(w, ' ')) && w[1]; w++)
        if (strncmp(w + 1, word, n) == 0 && w[1 + n] == ' ')
            return true;
    return false;
}

static vitrt_status find_processor(const struct reader *r, vt_json config, const struct processor **out)
{
    const char *key = "image_processor_type";
    vt_json v = member(r->object, key);
    size_t n = 0;

    if (missing(v))
        v = member(r->object, key = "feature_extractor_type");
    const bool by_model = missing(v);
    if (by_model)
        v = member(config, key = "model_type");
    const char *name = vt_json_type(v) == VT_JSON_STRING ? vt_json_text(v, &n) : NULL;
    const size_t stem = by_model || !name ? 0 : class_stem(name, n);

    for (size_t i = 0; name && i < PROCESSOR_COUNT; i++) {
        const struct processor *p = &processors[i];
        if (by_model ? has_word(p->model_types, name, n)
                     : stem == strlen(p->name) && memcmp(name, p->name, stem) == 0) {
            *out = p;
            return VITRT_OK;
        }
    }
    return bad_value(r, key, v, VITRT_EUNSUPPORTED,
                     by_model ? "the type of a model whose image processor is known, since the file names none"
                              : "ViT, DeiT, Bit, ConvNext, CLIP or SiglipImageProcessor");
}

/* size or crop_size: n, [height, width], {"height", "width"} or {"shortest_edge"}. *shortest says in which sense
 * height is to be read; on entry, what a plain integer means. */
static vitrt_status read_size(const struct reader *r, const char *key, uint32_t *height, uint32_t *width,
                              bool *shortest)
{
    const vt_json v = member(r->object, key);
    vt_json h = v, w = v;
    vitrt_status status;

    if (missing(v))
        return VITRT_OK;
    if (vt_json_type(v) == VT_JSON_ARRAY) {
        if (vt_json_count(v) != 2)
            return bad_value(r, key, v, VITRT_EFORMAT, "[height, width]");
        h = vt_json_at(v, 0);
        w = vt_json_at(v, 1);
        *shortest = false;
    } else if (vt_json_type(v) == VT_JSON_OBJECT) {
        const vt_json edge = member(v, "shortest_edge");

        *shortest = !missing(edge);
        h = *shortest ? edge : member(v, "height");
        w = *shortest ? edge : member(v, "width");
        if (missing(h) || missing(w) || !missing(member(v, "longest_edge")))
            return bad_value(r, key, v, VITRT_EUNSUPPORTED, "height and width, or shortest_edge alone");
    }
    status = read_side(r, key, h, height);
    return status != VITRT_OK ? status : read_side(r, key, w, width);
}

static vitrt_status read_resample(const struct reader *r, enum vt_filter *filter)
{
    const vt_json v = member(r->object, "resample");
    uint64_t n;

    if (missing(v))
        return VITRT_OK;
    if (!vt_json_to_u64(v, &n) || n > VT_FILTER_HAMMING)
        return bad_value(r, "resample", v, VITRT_EFORMAT, "one of Pillow's filters, 0 to 5");
    *filter = (enum vt_filter)n;
    return VITRT_OK;
}

static vitrt_status read_pixel_math(const struct reader *r, const struct processor *class, struct pixel_math *m)
{
    static const double clip_mean[3] = { 0.48145466, 0.4578275, 0.40821073 },
                        clip_std[3] = { 0.26862954, 0.26130258, 0.27577711 };
    const vt_json factor = member(r->object, "rescale_factor");
    vitrt_status status;

    *m = (struct pixel_math){ .rescale = true, .normalise = true, .factor = 1.0 / 255.0 };
    for (size_t c = 0; c < 3; c++) {
        m->mean[c] = class->clip_colours ? clip_mean[c] : 0.5;
        m->std[c] = class->clip_colours ? clip_std[c] : 0.5;
    }
    status = read_flag(r, "do_rescale", &m->rescale);
    if (status == VITRT_OK)
        status = read_flag(r, "do_normalize", &m->normalise);
    if (status == VITRT_OK && !missing(factor) && !vt_json_to_double(factor, &m->factor))
        status = bad_value(r, "rescale_factor", factor, VITRT_EFORMAT, "a number");
    return status != VITRT_OK ? status : read_mean_std(r, "image_mean", "image_std", m->mean, m->std);
}

/* Resize and crop of all classes but ConvNext. */
static vitrt_status read_geometry(const struct reader *r, const struct processor *class, struct vt_preprocess *p)
{
    uint32_t height = class->size, width = class->size;
    bool resize = true, shortest = class->shortest_edge, crop_shortest = false;
    vitrt_status status;

    p->kind = VT_PREPROCESS_TRANSFORMERS;
    p->crop = class->crop_size != 0;
    p->stated_height = p->stated_width = class->crop_size;
    status = read_flag(r, "do_resize", &resize);
    if (status == VITRT_OK)
        status = read_size(r, "size", &height, &width, &shortest);
    if (status == VITRT_OK)
        status = read_flag(r, "do_center_crop", &p->crop);
    if (status == VITRT_OK && p->crop)
        status = read_size(r, "crop_size", &p->stated_height, &p->stated_width, &crop_shortest);
    if (status != VITRT_OK)
        return status;
    if (p->crop && (p->stated_height == 0 || crop_shortest))
        return bad_value(r, "crop_size", member(r->object, "crop_size"), VITRT_EFORMAT,
                         "height and width, since do_center_crop is true");
    if (!p->crop && resize && shortest)
        return vt_err(r->err, VITRT_EUNSUPPORTED,
                      "%s: %s: size has a shortest_edge and there is no center crop, so that every image would have "
                      "its own input size; expected height and width.",
                      r->where, r->file);
    if (!p->crop) {
        p->stated_height = resize ? height : 0;
        p->stated_width = resize ? width : 0;
    }
    const enum vt_resize_mode mode = !resize ? VT_RESIZE_NONE : shortest ? VT_RESIZE_SHORTEST : VT_RESIZE_EXACT;
    p->stated_resize = p->resize = (struct vt_resize_rule){ mode, height, width };
    return VITRT_OK;
}

/* ConvNext: shortest_edge is the input size, and the crop follows from it. */
static vitrt_status read_geometry_convnext(const struct reader *r, const struct processor *class,
                                           struct vt_preprocess *p)
{
    uint32_t height = class->size, width = class->size;
    bool resize = true, crop = false, shortest = true;
    vitrt_status status;

    p->kind = VT_PREPROCESS_CONVNEXT;
    p->crop_pct = 224.0 / 256.0;
    status = read_flag(r, "do_resize", &resize);
    if (status == VITRT_OK)
        status = read_flag(r, "do_center_crop", &crop);
    if (status == VITRT_OK)
        status = read_size(r, "size", &height, &width, &shortest);
    if (status == VITRT_OK)
        status = read_crop_pct(r, &p->crop_pct);
    if (status != VITRT_OK)
        return status;
    if (crop)
        return bad_value(r, "do_center_crop", member(r->object, "do_center_crop"), VITRT_EUNSUPPORTED,
                         "false for a ConvNextImageProcessor");
    if (!shortest)
        return bad_value(r, "size", member(r->object, "size"), VITRT_EUNSUPPORTED,
                         "shortest_edge for a ConvNextImageProcessor");
    p->stated_height = p->stated_width = resize ? height : 0;
    p->stated_resize.mode = resize ? VT_RESIZE_SHORTEST : VT_RESIZE_NONE;
    return VITRT_OK;
}

static vitrt_status from_transformers(const struct reader *r, vt_json config, struct vt_preprocess *p)
{
    const struct processor *class = NULL;
    struct pixel_math m;
    bool pad = false;
    vitrt_status status = find_processor(r, config, &class);

    if (status != VITRT_OK)
        return status;
    p->filter = class->filter;
    status = read_resample(r, &p->filter);
    if (status == VITRT_OK)
        status = class == &processors[CONVNEXT] ? read_geometry_convnext(r, class, p) : read_geometry(r, class, p);
    if (status == VITRT_OK)
        status = read_pixel_math(r, class, &m);
    if (status == VITRT_OK)
        status = read_flag(r, "do_pad", &pad);
    if (status == VITRT_OK && pad)
        status = bad_value(r, "do_pad", member(r->object, "do_pad"), VITRT_EUNSUPPORTED, "false");
    if (status == VITRT_OK)
        status = fill_table(r, &m, &p->table);
    return status != VITRT_OK ? status : finish(p, r->err);
}

/* ---- Which of them ---- */

vitrt_status vt_preprocess_from_config(vt_json config, vt_json processor, const char *where, struct vt_preprocess *out,
                                       vitrt_error *err)
{
    const vt_json timm = member(config, "pretrained_cfg");
    struct reader r = { .object = timm, .where = where, .file = "pretrained_cfg of config.json", .err = err };

    memset(out, 0, sizeof(*out));
    if (!missing(timm)) {
        if (vt_json_type(timm) != VT_JSON_OBJECT) {
            r.file = "config.json";
            return bad_value(&r, "pretrained_cfg", timm, VITRT_EFORMAT, "an object");
        }
        return from_timm(&r, out);
    }
    /* Without the file a model of transformers gets what its image processor does by default. */
    if (vt_json_type(processor) == VT_JSON_OBJECT || (missing(processor) && !missing(member(config, "model_type")))) {
        r.object = processor;
        r.file = "preprocessor_config.json";
        return from_transformers(&r, config, out);
    }
    if (!missing(processor))
        return vt_err(err, VITRT_EFORMAT, "%s: preprocessor_config.json does not hold a JSON object.", where);
    r.object = config; /* old timm files have the keys at the top level, and other files have none of them */
    r.file = "config.json";
    return from_timm(&r, out);
}
