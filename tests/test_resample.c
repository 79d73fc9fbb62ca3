/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of src/resample.h: the bits of Pillow for many sizes and all filters (data/resample.txt, made by
 * data/make_resample.py), the same bits for any part of the result and any pixel format, and a scratch whose stated
 * bound holds.
 */
#include "resample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CANARY 0xA5

/* ---- Helpers ---- */

/* Byte i of the test image of this size; the same as in make_resample.py. */
static uint8_t source_byte(uint32_t width, uint32_t height, uint32_t i)
{
    uint32_t v = i * 2654435761u + (width * 65537u + height);
    v ^= v >> 15;
    return (uint8_t)(v * 2246822519u >> 24);
}

static uint8_t *source_image(uint32_t width, uint32_t height)
{
    uint8_t *pixels = malloc((size_t)width * height * 3);
    assert_non_null(pixels);
    for (uint32_t i = 0; i < width * height * 3; i++)
        pixels[i] = source_byte(width, height, i);
    return pixels;
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    return ~crc;
}

static const struct vt_level_table *identity(void)
{
    static struct vt_level_table table;
    for (size_t c = 0; c < 3; c++)
        for (size_t level = 0; level < 256; level++)
            table.value[c][level] = (float)level;
    return &table;
}

/* The part that r asks for as bytes [height][width][3]; free() it. The scratch is exactly as large as stated and
 * neither it nor the output are overrun. */
static uint8_t *resize(const struct vt_resize *r, const vitrt_image *image)
{
    const size_t scratch_bytes = vt_resize_scratch_bytes(r), n = (size_t)r->width * r->height * 3;
    uint8_t *scratch = aligned_alloc(64, scratch_bytes + 64);
    float *out = malloc((n + 1) * sizeof(*out));
    uint8_t *bytes = malloc(n);
    assert_true(scratch && out && bytes);
    memset(scratch, CANARY, scratch_bytes + 64);
    memset(out, CANARY, (n + 1) * sizeof(*out));

    vt_resize_run(r, image, identity(), scratch, out, (size_t)r->width * 3);

    for (size_t i = 0; i < 64; i++)
        assert_int_equal(scratch[scratch_bytes + i], CANARY);
    assert_int_equal(((uint8_t *)(out + n))[0], CANARY);
    for (size_t i = 0; i < n; i++) {
        assert_true(out[i] >= 0 && out[i] <= 255);
        bytes[i] = (uint8_t)out[i];
    }
    free(scratch);
    free(out);
    return bytes;
}

/* ---- Pillow's bits ---- */

static void check_line(const char *line)
{
    unsigned filter, width, height, new_width, new_height, crc;
    char hex[200] = "";
    assert_in_range(
        sscanf(line, "%u %u %u %u %u %x %199s", &filter, &width, &height, &new_width, &new_height, &crc, hex), 6, 7);
    const struct vt_resize r = { .filter = (enum vt_filter)filter,
                                 .in_height = height,
                                 .in_width = width,
                                 .out_height = new_height,
                                 .out_width = new_width,
                                 .height = new_height,
                                 .width = new_width };
    uint8_t *pixels = source_image(width, height);
    const vitrt_image image = { .data = pixels, .width = width, .height = height };
    const size_t n = (size_t)new_width * new_height * 3;
    uint8_t *got = resize(&r, &image);

    for (size_t i = 0; 2 * i < strlen(hex); i++) {
        unsigned want;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &want), 1);
        if (got[i] != want)
            fail_msg("filter %u, %ux%u to %ux%u: byte %zu is %u, Pillow's is %u", filter, width, height, new_width,
                     new_height, i, got[i], want);
    }
    if (crc32_of(got, n) != crc)
        fail_msg("filter %u, %ux%u to %ux%u: other bytes than Pillow's", filter, width, height, new_width, new_height);
    free(got);
    free(pixels);
}

static void pillow_bits(void **state)
{
    char line[512];
    size_t lines = 0;
    FILE *file = fopen("data/resample.txt", "r");
    (void)state;
    assert_non_null(file);
    for (; fgets(line, sizeof(line), file); lines++)
        check_line(line);
    fclose(file);
    assert_true(lines > 100);
}

/* ---- Parts ---- */

/* Any part of a result has the bits of the whole. */
static void parts(void **state)
{
    static const struct {
        uint32_t in_width, in_height, out_width, out_height, left, top, width, height;
    } cases[] = {
        { 90, 60, 40, 30, 8, 5, 24, 20 },   { 90, 60, 40, 30, 39, 29, 1, 1 },  { 20, 15, 80, 60, 3, 58, 70, 2 },
        { 40, 200, 30, 50, 10, 20, 5, 30 }, { 40, 200, 60, 50, 0, 49, 60, 1 }, { 33, 33, 33, 33, 5, 6, 7, 8 },
    };
    (void)state;
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        uint8_t *pixels = source_image(cases[k].in_width, cases[k].in_height);
        const vitrt_image image = { .data = pixels, .width = cases[k].in_width, .height = cases[k].in_height };
        for (unsigned filter = VT_FILTER_NEAREST; filter <= VT_FILTER_HAMMING; filter++) {
            struct vt_resize r = { .filter = (enum vt_filter)filter,
                                   .in_height = image.height,
                                   .in_width = image.width,
                                   .out_height = cases[k].out_height,
                                   .out_width = cases[k].out_width,
                                   .height = cases[k].out_height,
                                   .width = cases[k].out_width };
            uint8_t *whole = resize(&r, &image);
            r.top = cases[k].top;
            r.left = cases[k].left;
            r.height = cases[k].height;
            r.width = cases[k].width;
            uint8_t *part = resize(&r, &image);
            for (size_t y = 0; y < r.height; y++)
                assert_memory_equal(part + y * r.width * 3, whole + ((y + r.top) * cases[k].out_width + r.left) * 3,
                                    r.width * 3);
            free(part);
            free(whole);
        }
        free(pixels);
    }
}

/* ---- Formats ---- */

enum { W = 23, H = 37, STRIDE = 4 * W + 5 };

/* The RGB picture in another format and with a stride. */
static void store(uint8_t *dst, const uint8_t *rgb, vitrt_format format)
{
    const size_t n = vt_format_bytes(format);
    const int bgr = format == VITRT_FORMAT_BGR8 || format == VITRT_FORMAT_BGRA8;
    for (size_t y = 0; y < H; y++) {
        for (size_t x = 0; x < W; x++) {
            for (size_t c = 0; c < 3 && c < n; c++)
                dst[y * STRIDE + x * n + (bgr ? 2 - c : c)] = rgb[(y * W + x) * 3 + c];
            if (n == 4)
                dst[y * STRIDE + x * n + 3] = (uint8_t)(x * y);
        }
    }
}

static void formats(void **state)
{
    static const vitrt_format all[] = { VITRT_FORMAT_RGB8, VITRT_FORMAT_BGR8, VITRT_FORMAT_RGBA8, VITRT_FORMAT_BGRA8,
                                        VITRT_FORMAT_GREY8 };
    uint8_t *rgb = source_image(W, H);
    (void)state;
    for (size_t k = 0; k < 2 * sizeof(all) / sizeof(all[0]); k++) {
        const vitrt_format format = all[k / 2];
        /* The two sizes take the passes in different order. */
        const struct vt_resize r = { .filter = VT_FILTER_BICUBIC,
                                     .in_height = H,
                                     .in_width = W,
                                     .out_height = k % 2 ? 36 : 5,
                                     .out_width = 11,
                                     .height = 5,
                                     .width = 9,
                                     .left = 1 };
        uint8_t *grey = malloc((size_t)W * H * 3), *stored = malloc((size_t)STRIDE * H);
        for (size_t i = 0; i < (size_t)W * H * 3; i++)
            grey[i] = format == VITRT_FORMAT_GREY8 ? rgb[i / 3 * 3] : rgb[i];
        store(stored, rgb, format);
        const vitrt_image packed = { .data = grey, .width = W, .height = H };
        const vitrt_image other = { .data = stored, .width = W, .height = H, .stride = STRIDE, .format = format };
        uint8_t *want = resize(&r, &packed), *got = resize(&r, &other);
        assert_memory_equal(got, want, (size_t)r.width * r.height * 3);
        free(want);
        free(got);
        free(grey);
        free(stored);
    }
    assert_int_equal(vt_format_bytes(VITRT_FORMAT_F32), 0);
    free(rgb);
}

/* ---- Scratch ---- */

/* The scratch of a large source is enough for every smaller one and every larger result. */
static void scratch_is_monotonic(void **state)
{
    uint32_t seed = 1;
    (void)state;
    for (int k = 0; k < 20000; k++) {
        uint32_t v[6];
        for (size_t i = 0; i < 6; i++)
            v[i] = 1 + (seed = seed * 1664525 + 1013904223) / (1u << 20) % (i < 2 ? 4000 : 300);
        struct vt_resize r = { .filter = (enum vt_filter)(k % 6),
                               .in_height = v[0],
                               .in_width = v[1],
                               .out_height = v[2],
                               .out_width = v[3],
                               .height = v[2],
                               .width = v[3] };
        const size_t bound = vt_resize_scratch_bytes(&r);
        r.in_height -= (uint32_t)((uint64_t)v[0] * v[4] / 400);
        r.in_width -= (uint32_t)((uint64_t)v[1] * v[5] / 400);
        r.out_height += v[4];
        r.out_width += v[5];
        assert_true(vt_resize_scratch_bytes(&r) <= bound);
    }
    /* Linear in the source: a 16384 x 16384 image, 805 MB of pixels, to 224 x 224. */
    const struct vt_resize large = { .filter = VT_FILTER_LANCZOS,
                                     .in_height = 16384,
                                     .in_width = 16384,
                                     .out_height = 224,
                                     .out_width = 224,
                                     .height = 224,
                                     .width = 224 };
    assert_true(vt_resize_scratch_bytes(&large) < (size_t)2 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pillow_bits),
        cmocka_unit_test(parts),
        cmocka_unit_test(formats),
        cmocka_unit_test(scratch_is_monotonic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
