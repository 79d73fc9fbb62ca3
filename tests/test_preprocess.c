/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of src/preprocess.h: what configs old and new mean, sizes and crops by each framework's rounding, other input
 * sizes, wrong configs, wrong images. The pixels themselves are compared with the frameworks' by test_golden; the
 * resize with Pillow's by test_resample.
 */
#include "preprocess.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define MAX_SIDE 4096u

/* ---- Helpers ---- */

static struct vt_json_document *parse(const char *text)
{
    struct vt_json_document *d = NULL;
    vitrt_error err;
    if (text)
        assert_ok(vt_json_parse(&vt_default_allocator, "test", text, strlen(text), &d, &err), &err);
    return d;
}

/* NULL: no such file. */
static vitrt_status read_config(const char *config, const char *processor, struct vt_preprocess *p, vitrt_error *err)
{
    struct vt_json_document *c = parse(config), *q = parse(processor);
    const vt_json none = { NULL, 0 };
    const vitrt_status status =
        vt_preprocess_from_config(c ? vt_json_root(c) : none, q ? vt_json_root(q) : none, "model", p, err);
    vt_json_free(c);
    vt_json_free(q);
    return status;
}

static struct vt_preprocess timm(const char *pretrained_cfg)
{
    char text[600];
    struct vt_preprocess p;
    vitrt_error err;
    assert_in_range(snprintf(text, sizeof(text), "{\"architecture\": \"a\", \"pretrained_cfg\": %s}", pretrained_cfg),
                    1, sizeof(text) - 1);
    assert_ok(read_config(text, NULL, &p, &err), &err);
    return p;
}

static struct vt_preprocess transformers(const char *processor)
{
    struct vt_preprocess p;
    vitrt_error err;
    assert_ok(read_config("{\"model_type\": \"vit\"}", processor, &p, &err), &err);
    return p;
}

static void set_size(struct vt_preprocess *p, uint32_t height, uint32_t width)
{
    vitrt_error err;
    assert_ok(vt_preprocess_set_size(p, height, width, &err), &err);
}

static void check_rule(const struct vt_preprocess *p, enum vt_resize_mode mode, uint32_t height, uint32_t width)
{
    assert_int_equal(p->resize.mode, mode);
    assert_int_equal(p->resize.height, height);
    assert_int_equal(p->resize.width, width);
}

static void check_default_size(const struct vt_preprocess *p, uint32_t height, uint32_t width)
{
    uint32_t h = 0, w = 0;
    assert_int_equal(vt_preprocess_default_size(p, &h, &w), height != 0);
    assert_int_equal(h, height);
    assert_int_equal(w, width);
}

/* Runs with exactly the scratch and output that are asked for. The output, free() it. */
static float *run(const struct vt_preprocess *p, const vitrt_image *image)
{
    float *out = malloc((size_t)p->height * p->width * 3 * sizeof(*out));
    void *scratch = aligned_alloc(64, vt_preprocess_scratch_bytes(p, MAX_SIDE));
    vitrt_error err;
    assert_true(out && scratch);
    assert_ok(vt_preprocess_run(p, image, MAX_SIDE, scratch, out, NULL, &err), &err);
    free(scratch);
    return out;
}

/* A picture whose pixels say where they are: red the row, green the column, blue 200. */
static vitrt_image picture(uint32_t height, uint32_t width)
{
    uint8_t *pixels = malloc((size_t)height * width * 3);
    assert_non_null(pixels);
    for (uint32_t i = 0; i < height * width; i++) {
        pixels[3 * i] = (uint8_t)(i / width);
        pixels[3 * i + 1] = (uint8_t)(i % width);
        pixels[3 * i + 2] = 200;
    }
    return (vitrt_image){ .data = pixels, .width = width, .height = height };
}

static void free_picture(vitrt_image *image)
{
    free((void *)(uintptr_t)image->data);
}

/* ---- Values ---- */

static void timm_values(void **state)
{
    const struct vt_preprocess p =
        timm("{\"input_size\": [3, 64, 64], \"mean\": [0.5, 0.25, 0.1], \"std\": [0.5, 0.2, 0.3]}");
    static const float mean[3] = { 0.5f, 0.25f, 0.1f }, std[3] = { 0.5f, 0.2f, 0.3f };
    (void)state;
    for (int c = 0; c < 3; c++) {
        for (int level = 0; level < 256; level++) {
            const volatile float x = (float)level / 255.0f, centred = x - mean[c];
            assert_true(p.table.value[c][level] == centred / std[c]);
        }
    }
}

static void transformers_values(void **state)
{
    const char *const flags[4] = { "true", "true", "false", "false" };
    char text[300];
    (void)state;
    for (int k = 0; k < 4; k++) {
        snprintf(text, sizeof(text),
                 "{\"do_rescale\": %s, \"do_normalize\": %s, \"rescale_factor\": 0.0078125, "
                 "\"image_mean\": 0.25, \"image_std\": [1, 2, 4]}",
                 flags[k], flags[k * 2 % 4]);
        const struct vt_preprocess p = transformers(text);
        for (int c = 0; c < 3; c++) {
            float want = k < 2 ? 100 * 0.0078125f : 100.0f; /* exact */
            if (k % 2 == 0)
                want = (want - 0.25f) / (float)(1 << c);
            assert_true(p.table.value[c][100] == want);
        }
    }
}

/* The product of the pixel and 1 / 255 is rounded once, from double. */
static void rescale_is_double(void **state)
{
    const struct vt_preprocess p = transformers("{\"do_normalize\": false}");
    (void)state;
    for (int level = 0; level < 256; level++)
        assert_true(p.table.value[1][level] == (float)(level * (1.0 / 255.0)));
}

/* ---- Configs ---- */

static void timm_defaults(void **state)
{
    const struct vt_preprocess empty = timm("{}");
    struct vt_preprocess p =
        timm("{\"input_size\": null, \"interpolation\": \"\", \"crop_pct\": 0, \"mean\": [], \"crop_mode\": null}");
    (void)state;
    assert_memory_equal(&p, &empty, sizeof(p));
    check_default_size(&p, 0, 0);
    assert_int_equal(p.filter, VT_FILTER_BICUBIC);
    set_size(&p, 224, 224);
    check_rule(&p, VT_RESIZE_SHORTEST, 256, 256);
    assert_true(p.table.value[0][255] == (1.0f - 0.485f) / 0.229f);
}

static void timm_configs(void **state)
{
    struct vt_preprocess p = timm("{\"input_size\": [3, 224, 224], \"crop_pct\": 0.9, \"interpolation\": \"bilinear\", "
                                  "\"test_input_size\": [3, 288, 288], "
                                  "\"test_crop_pct\": 1.0}");
    (void)state;
    check_default_size(&p, 224, 224);
    check_rule(&p, VT_RESIZE_SHORTEST, 248, 248);
    assert_int_equal(p.filter, VT_FILTER_BILINEAR);
    set_size(&p, 384, 384);
    check_rule(&p, VT_RESIZE_SHORTEST, 426, 426);
    set_size(&p, 224, 384);
    check_rule(&p, VT_RESIZE_COVER, 248, 426);
    set_size(&p, 224, 224);
    check_rule(&p, VT_RESIZE_SHORTEST, 248, 248);

    p = timm("{\"input_size\": [3, 100, 50], \"crop_pct\": 0.95, \"crop_mode\": \"squash\"}");
    check_rule(&p, VT_RESIZE_EXACT, 105, 52);
    p = timm("{\"input_size\": [3, 100, 100], \"crop_pct\": 1, \"crop_mode\": \"border\", \"mean\": [0.5, 0.1, 1.5]}");
    check_rule(&p, VT_RESIZE_CONTAIN, 100, 100);
    assert_int_equal(p.fill[0], 128); /* 127.5, half to even */
    assert_int_equal(p.fill[1], 26);  /* 25.5 as well */
    assert_int_equal(p.fill[2], 255);
}

/* Keys at the top level, and no config at all. */
static void old_timm_and_nothing(void **state)
{
    struct vt_preprocess p;
    vitrt_error err;
    (void)state;
    assert_ok(read_config("{\"architecture\": \"a\", \"input_size\": [3, 32, 48], \"crop_pct\": 1.0}", NULL, &p, &err),
              &err);
    check_default_size(&p, 32, 48);
    check_rule(&p, VT_RESIZE_COVER, 32, 48);
    assert_ok(read_config(NULL, NULL, &p, &err), &err);
    check_default_size(&p, 0, 0);
    set_size(&p, 224, 224);
    check_rule(&p, VT_RESIZE_SHORTEST, 256, 256);
}

struct expected {
    const char *processor;
    uint32_t height, width;
    enum vt_resize_mode mode;
    uint32_t resize_height, resize_width;
    bool crop;
    enum vt_filter filter;
};

static void transformers_configs(void **state)
{
    static const struct expected all[] = {
        { "{}", 224, 224, VT_RESIZE_EXACT, 224, 224, false, VT_FILTER_BILINEAR }, /* model_type says ViT */
        { "{\"feature_extractor_type\": \"ViTFeatureExtractor\", \"size\": 384, \"resample\": 2}", 384, 384,
          VT_RESIZE_EXACT, 384, 384, false, VT_FILTER_BILINEAR },
        { "{\"image_processor_type\": \"ViTImageProcessorFast\", \"resample\": 3, "
          "\"size\": {\"height\": 96, \"width\": 128}}",
          96, 128, VT_RESIZE_EXACT, 96, 128, false, VT_FILTER_BICUBIC },
        { "{\"image_processor_type\": \"ViTImageProcessorPil\", \"size\": [96, 128], \"crop_size\": 64}", 96, 128,
          VT_RESIZE_EXACT, 96, 128, false, VT_FILTER_BILINEAR },
        { "{\"image_processor_type\": \"DeiTImageProcessor\"}", 224, 224, VT_RESIZE_EXACT, 256, 256, true,
          VT_FILTER_BICUBIC },
        { "{\"feature_extractor_type\": \"DeiTFeatureExtractor\", \"size\": 438, \"crop_size\": 384}", 384, 384,
          VT_RESIZE_EXACT, 438, 438, true, VT_FILTER_BICUBIC },
        { "{\"image_processor_type\": \"BitImageProcessor\", \"size\": {\"shortest_edge\": 256}}", 224, 224,
          VT_RESIZE_SHORTEST, 256, 256, true, VT_FILTER_BICUBIC },
        { "{\"image_processor_type\": \"BitImageProcessor\", \"size\": 256, \"do_resize\": null, "
          "\"crop_size\": {\"height\": 98, \"width\": 112}}",
          98, 112, VT_RESIZE_SHORTEST, 256, 256, true, VT_FILTER_BICUBIC },
        { "{\"image_processor_type\": \"CLIPImageProcessor\", \"size\": 224, \"crop_size\": 224, \"do_resize\": false}",
          224, 224, VT_RESIZE_NONE, 224, 224, true, VT_FILTER_BICUBIC },
        { "{\"image_processor_type\": \"SiglipImageProcessor\"}", 224, 224, VT_RESIZE_EXACT, 224, 224, false,
          VT_FILTER_BICUBIC },
        { "{\"image_processor_type\": \"ConvNextImageProcessor\", \"crop_pct\": 0.875, "
          "\"size\": {\"shortest_edge\": 224}}",
          224, 224, VT_RESIZE_SHORTEST, 256, 256, true, VT_FILTER_BICUBIC },
        { "{\"feature_extractor_type\": \"ConvNextFeatureExtractor\", \"size\": 384}", 384, 384, VT_RESIZE_EXACT, 384,
          384, false, VT_FILTER_BICUBIC },
        { "{\"do_resize\": false}", 0, 0, VT_RESIZE_NONE, 224, 224, false, VT_FILTER_BILINEAR },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const struct vt_preprocess p = transformers(all[i].processor);
        check_default_size(&p, all[i].height, all[i].width);
        check_rule(&p, all[i].mode, all[i].resize_height, all[i].resize_width);
        assert_int_equal(p.crop, all[i].crop);
        assert_int_equal(p.filter, all[i].filter);
    }
}

static void transformers_sizes(void **state)
{
    struct vt_preprocess p = transformers("{\"image_processor_type\": \"DeiTImageProcessor\"}"); /* 256 to 224 */
    (void)state;
    set_size(&p, 384, 112);
    check_rule(&p, VT_RESIZE_EXACT, 439, 128); /* 438.86 */
    set_size(&p, 224, 224);
    check_rule(&p, VT_RESIZE_EXACT, 256, 256);

    p = transformers("{\"image_processor_type\": \"BitImageProcessor\", \"size\": {\"shortest_edge\": 256}}");
    set_size(&p, 448, 448);
    check_rule(&p, VT_RESIZE_SHORTEST, 512, 512);
    set_size(&p, 448, 336);
    check_rule(&p, VT_RESIZE_COVER, 512, 384);

    p = transformers("{}");
    set_size(&p, 100, 333);
    check_rule(&p, VT_RESIZE_EXACT, 100, 333);

    p = transformers("{\"image_processor_type\": \"ConvNextImageProcessor\", \"size\": {\"shortest_edge\": 224}}");
    set_size(&p, 384, 384); /* from here on ConvNeXT's processor squashes */
    check_rule(&p, VT_RESIZE_EXACT, 384, 384);
    assert_false(p.crop);
    set_size(&p, 383, 383);
    check_rule(&p, VT_RESIZE_SHORTEST, 437, 437);
    assert_true(p.crop);
}

/* The class comes from config.json's model_type when the file names none or is not there. */
static void class_by_model_type(void **state)
{
    static const struct {
        const char *type;
        uint32_t resize;
    } types[] = { { "deit", 256 }, { "dinov2", 224 }, { "swin", 224 }, { "cvt", 384 } };
    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char config[64];
        struct vt_preprocess p;
        vitrt_error err;
        snprintf(config, sizeof(config), "{\"model_type\": \"%s\"}", types[i].type);
        assert_ok(read_config(config, "{}", &p, &err), &err);
        assert_int_equal(p.resize.height, types[i].resize);
        assert_ok(read_config(config, NULL, &p, &err), &err);
        assert_int_equal(p.resize.height, types[i].resize);
    }
}

static void wrong_configs(void **state)
{
    static const struct {
        const char *config, *processor;
        vitrt_status status;
        const char *words;
    } all[] = {
        { "{\"pretrained_cfg\": 5}", NULL, VITRT_EFORMAT, "pretrained_cfg is 5" },
        { "{\"pretrained_cfg\": {\"input_size\": [3, 224]}}", NULL, VITRT_EFORMAT, "input_size is an array" },
        { "{\"pretrained_cfg\": {\"input_size\": [3, 0, 224]}}", NULL, VITRT_EFORMAT, "input_size[1] is 0" },
        { "{\"pretrained_cfg\": {\"input_size\": [3, 224, 1e9]}}", NULL, VITRT_EFORMAT, "input_size[2] is 1e9" },
        { "{\"pretrained_cfg\": {\"input_size\": [1, 28, 28]}}", NULL, VITRT_EUNSUPPORTED, "input_size[0] is 1" },
        { "{\"pretrained_cfg\": {\"interpolation\": \"random\"}}", NULL, VITRT_EUNSUPPORTED,
          "interpolation is random" },
        { "{\"pretrained_cfg\": {\"crop_mode\": \"corner\"}}", NULL, VITRT_EUNSUPPORTED, "crop_mode is corner" },
        { "{\"pretrained_cfg\": {\"crop_pct\": -0.9}}", NULL, VITRT_EFORMAT, "crop_pct is -0.9" },
        { "{\"pretrained_cfg\": {\"crop_pct\": 1e-9}}", NULL, VITRT_EFORMAT, "crop_pct is 1e-9" },
        { "{\"pretrained_cfg\": {\"mean\": [1, 2]}}", NULL, VITRT_EFORMAT, "mean is an array" },
        { "{\"pretrained_cfg\": {\"mean\": [1, 2, 1e300]}}", NULL, VITRT_EFORMAT, "mean is an array" },
        { "{\"pretrained_cfg\": {\"std\": [0.1, 0.0, 0.1]}}", NULL, VITRT_EFORMAT, "std of channel 1" },
        { "{\"pretrained_cfg\": {\"std\": [0.1, 0.1, -1]}}", NULL, VITRT_EFORMAT, "std of channel 2" },
        { "{\"pretrained_cfg\": {\"std\": [1e-39, 1, 1], \"mean\": [-1, 0, 0]}}", NULL, VITRT_EFORMAT, "infinity" },
        { "{}", "[]", VITRT_EFORMAT, "JSON object" },
        { "{\"model_type\": \"yolo\"}", "{}", VITRT_EUNSUPPORTED, "model_type is yolo" },
        { "{}", "{}", VITRT_EUNSUPPORTED, "model_type is missing" },
        { "{}", "{\"image_processor_type\": \"SamImageProcessor\"}", VITRT_EUNSUPPORTED, "SamImageProcessor" },
        { "{}", "{\"image_processor_type\": \"ImageProcessor\"}", VITRT_EUNSUPPORTED, "ImageProcessor" },
        { "{}", "{\"image_processor_type\": 7}", VITRT_EUNSUPPORTED, "image_processor_type is 7" },
#define VIT "\"image_processor_type\": \"ViTImageProcessor\""
        { "{}", "{" VIT ", \"size\": 0}", VITRT_EFORMAT, "size is 0" },
        { "{}", "{" VIT ", \"size\": -224}", VITRT_EFORMAT, "size is -224" },
        { "{}", "{" VIT ", \"size\": \"224\"}", VITRT_EFORMAT, "size is 224" },
        { "{}", "{" VIT ", \"size\": {\"height\": 224}}", VITRT_EUNSUPPORTED, "size is an object" },
        { "{}", "{" VIT ", \"size\": {\"shortest_edge\": 224, \"longest_edge\": 300}}", VITRT_EUNSUPPORTED,
          "size is an object" },
        { "{}", "{" VIT ", \"size\": {\"shortest_edge\": 224}}", VITRT_EUNSUPPORTED, "no center crop" },
        { "{}", "{" VIT ", \"do_center_crop\": true}", VITRT_EFORMAT, "crop_size is missing" },
        { "{}", "{" VIT ", \"do_center_crop\": true, \"crop_size\": {\"shortest_edge\": 8}}", VITRT_EFORMAT,
          "crop_size is an object" },
        { "{}", "{" VIT ", \"do_resize\": 1}", VITRT_EFORMAT, "do_resize is 1" },
        { "{}", "{" VIT ", \"do_pad\": true}", VITRT_EUNSUPPORTED, "do_pad is true" },
        { "{}", "{" VIT ", \"resample\": 6}", VITRT_EFORMAT, "resample is 6" },
        { "{}", "{" VIT ", \"resample\": \"bicubic\"}", VITRT_EFORMAT, "resample is bicubic" },
        { "{}", "{" VIT ", \"image_std\": 0}", VITRT_EFORMAT, "image_std of channel 0" },
        { "{}", "{" VIT ", \"image_mean\": [\"a\", 0, 0]}", VITRT_EFORMAT, "image_mean is an array" },
        { "{}", "{" VIT ", \"rescale_factor\": \"1/255\"}", VITRT_EFORMAT, "rescale_factor is 1/255" },
        { "{}", "{" VIT ", \"rescale_factor\": 1e300}", VITRT_EFORMAT, "infinity" },
        { "{}", "{\"image_processor_type\": \"ConvNextImageProcessor\", \"size\": {\"height\": 8, \"width\": 8}}",
          VITRT_EUNSUPPORTED, "shortest_edge" },
        { "{}", "{\"image_processor_type\": \"ConvNextImageProcessor\", \"do_center_crop\": true}", VITRT_EUNSUPPORTED,
          "do_center_crop is true" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct vt_preprocess p;
        vitrt_error err = { .status = VITRT_OK };
        if (read_config(all[i].config, all[i].processor, &p, &err) != all[i].status ||
            !strstr(err.message, all[i].words) || strncmp(err.message, "model: ", 7) != 0)
            fail_msg("case %zu: %s \"%s\", expected %s \"%s\"", i, vitrt_status_name(err.status), err.message,
                     vitrt_status_name(all[i].status), all[i].words);
    }
}

static void wrong_sizes(void **state)
{
    static const uint32_t sizes[][2] = { { 0, 1 }, { 1, 0 }, { VT_PREPROCESS_MAX_SIDE + 1, 1 }, { 1, UINT32_MAX } };
    struct vt_preprocess p = timm("{}");
    vitrt_error err;
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(vt_preprocess_set_size(&p, sizes[i][0], sizes[i][1], &err), VITRT_EINVAL);
}

/* ---- Crop ---- */

/* Top left pixel of the crop of an image one to five pixels larger or smaller than the crop, in the frameworks'
 * rounding; negative: padding. */
static void crop_placement(void **state)
{
    static const struct {
        int difference, timm, transformers;
    } all[] = {
        { 0, 0, 0 }, { 1, 0, 0 },   { 2, 1, 1 },    { 3, 2, 1 },    { 4, 2, 2 },    { 5, 2, 2 },
        { 7, 4, 3 }, { -1, 0, -1 }, { -2, -1, -1 }, { -3, -1, -2 }, { -5, -2, -3 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (int hf = 0; hf < 2; hf++) {
            struct vt_preprocess p =
                hf ? transformers("{\"image_processor_type\": \"BitImageProcessor\", \"do_resize\": false, "
                                  "\"do_rescale\": false, "
                                  "\"do_normalize\": false, \"crop_size\": 20}")
                   : timm("{\"input_size\": [3, 20, 20], \"crop_pct\": 1, \"mean\": [0, 0, 0], \"std\": [1, 1, 1]}");
            p.resize.mode = VT_RESIZE_NONE;
            const int want = hf ? all[i].transformers : all[i].timm;
            vitrt_image image = picture((uint32_t)(20 + all[i].difference), 20);
            float *out = run(&p, &image);
            for (int y = 0; y < 20; y++) {
                const int row = y + want;
                const bool inside = row >= 0 && row < (int)image.height;
                const float *pixel = out + (y * 20 + 7) * 3, scale = hf ? 1.0f : 255.0f;
                assert_true(pixel[0] == (float)(inside ? row : 0) / scale);
                assert_true(pixel[1] == (float)(inside ? 7 : 0) / scale);
                assert_true(pixel[2] == (float)(inside ? 200 : 0) / scale);
            }
            free(out);
            free_picture(&image);
        }
    }
}

static void border_is_filled_with_the_mean(void **state)
{
    const struct vt_preprocess p =
        timm("{\"input_size\": [3, 16, 16], \"crop_pct\": 1, \"crop_mode\": \"border\", \"mean\": [0.2, 0.4, 0.6]}");
    vitrt_image image = picture(4, 8); /* becomes 8 x 16 in the middle */
    float *out = run(&p, &image);
    (void)state;
    for (int c = 0; c < 3; c++) {
        assert_true(out[3 * 16 * 3 + c] == p.table.value[c][51 * (c + 1)]);
        assert_true(out[12 * 16 * 3 + c] == p.table.value[c][51 * (c + 1)]);
    }
    assert_true(out[4 * 16 * 3 + 2] == p.table.value[2][200]);
    free(out);
    free_picture(&image);
}

/* ---- Images ---- */

static void float_images(void **state)
{
    const struct vt_preprocess p = timm("{\"input_size\": [3, 2, 2]}");
    float pixels[2][8] = { { 1, -2, 3, 4, 5, 6, NAN, NAN }, { 7, 8, 9, 10, 11, 12, 0, 0 } };
    vitrt_image image = {
        .data = pixels, .width = 2, .height = 2, .stride = sizeof(pixels[0]), .format = VITRT_FORMAT_F32
    };
    float *out = run(&p, &image);
    vitrt_error err;
    (void)state;
    assert_memory_equal(out, pixels[0], 6 * sizeof(float));
    assert_memory_equal(out + 6, pixels[1], 6 * sizeof(float));
    pixels[1][4] = INFINITY;
    assert_int_equal(vt_preprocess_run(&p, &image, MAX_SIDE, NULL, out, NULL, &err), VITRT_EINVAL);
    assert_non_null(strstr(err.message, "row 1, column 1, channel 1"));
    image.height = 1;
    assert_int_equal(vt_preprocess_run(&p, &image, MAX_SIDE, NULL, out, NULL, &err), VITRT_EINVAL);
    assert_non_null(strstr(err.message, "2x2"));
    free(out);
}

static void wrong_images(void **state)
{
    static const uint8_t pixels[4 * 4 * 4] = { 0 };
    const vitrt_image good = { .data = pixels, .width = 4, .height = 4 };
    const struct vt_preprocess p = timm("{\"input_size\": [3, 8, 8]}");
    struct vt_preprocess fixed = transformers("{\"do_resize\": false}");
    vitrt_image bad[9];
    vitrt_error err;
    (void)state;
    for (size_t i = 0; i < 9; i++)
        bad[i] = good;
    bad[0].data = NULL;
    bad[1].width = 0;
    bad[2].height = 0;
    bad[3].stride = 11;
    bad[4].format = (vitrt_format)6;
    bad[5].format = (vitrt_format)-1;
    bad[6].stride = SIZE_MAX / 2;
    bad[7].width = MAX_SIDE + 1;
    bad[8].height = MAX_SIDE + 1;
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(vt_preprocess_run(&p, &bad[i], MAX_SIDE, NULL, NULL, NULL, &err),
                         i < 7 ? VITRT_EINVAL : VITRT_ELIMIT);
        assert_true(err.message[0] == 'T' && strlen(err.message) > 20);
    }
    set_size(&fixed, 8, 8);
    assert_int_equal(vt_preprocess_run(&fixed, &good, MAX_SIDE, NULL, NULL, NULL, &err), VITRT_EINVAL);
    assert_non_null(strstr(err.message, "8x8"));
}

/* No source overruns the scratch that is stated for the largest one. Sanitizers watch the exact block. */
static void scratch_is_enough(void **state)
{
    static const char *const configs[] = {
        "{\"input_size\": [3, 8, 8]}",
        "{\"input_size\": [3, 8, 17]}",
        "{\"input_size\": [3, 9, 2], \"crop_mode\": \"squash\"}",
        "{\"input_size\": [3, 5, 7], \"crop_mode\": \"border\"}",
        "{\"input_size\": [3, 1, 1], \"crop_mode\": \"border\"}",
        "{\"input_size\": [3, 30, 3], \"crop_mode\": \"border\", \"interpolation\": \"lanczos\"}",
        "{\"input_size\": [3, 40, 40], \"crop_pct\": 10}",
        "{\"input_size\": [3, 40, 40], \"crop_pct\": 0.1, \"interpolation\": \"nearest\"}",
    };
    static const uint32_t sides[] = { 1, 2, 3, 7, 8, 9, 16, 31, 100, 257 };
    (void)state;
    for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
        const struct vt_preprocess p = timm(configs[i]);
        for (size_t k = 0; k < 100; k++) {
            vitrt_image image = picture(sides[k / 10], sides[k % 10]);
            const uint32_t max_side = image.width > image.height ? image.width : image.height;
            float *out = malloc((size_t)p.height * p.width * 3 * sizeof(*out));
            void *scratch = aligned_alloc(64, vt_preprocess_scratch_bytes(&p, max_side));
            vitrt_error err;
            assert_ok(vt_preprocess_run(&p, &image, max_side, scratch, out, NULL, &err), &err);
            for (size_t n = 0; n < (size_t)p.height * p.width * 3; n++)
                assert_true(out[n] > -3.0f && out[n] < 3.0f);
            free(scratch);
            free(out);
            free_picture(&image);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timm_values),
        cmocka_unit_test(transformers_values),
        cmocka_unit_test(rescale_is_double),
        cmocka_unit_test(timm_defaults),
        cmocka_unit_test(timm_configs),
        cmocka_unit_test(old_timm_and_nothing),
        cmocka_unit_test(transformers_configs),
        cmocka_unit_test(transformers_sizes),
        cmocka_unit_test(class_by_model_type),
        cmocka_unit_test(wrong_configs),
        cmocka_unit_test(wrong_sizes),
        cmocka_unit_test(crop_placement),
        cmocka_unit_test(border_is_filled_with_the_mean),
        cmocka_unit_test(float_images),
        cmocka_unit_test(wrong_images),
        cmocka_unit_test(scratch_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
