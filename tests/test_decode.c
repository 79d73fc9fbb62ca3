/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of image decoding: files of every kind against Pillow's pixels (data/decode, made by data/make_decode.py),
 * damaged and lying files, EXIF, limits, memory that runs out at every point.
 */
#include "vitrt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

#define FOLDER "data/decode/"

/* ---- Helpers ---- */

static const char *path_of(const char *name)
{
    static char path[200];
    assert_in_range(snprintf(path, sizeof(path), FOLDER "%s", name), 1, sizeof(path) - 1);
    return path;
}

static uint8_t *read_file(const char *name, size_t *size)
{
    FILE *file = fopen(path_of(name), "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static unsigned largest_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
    unsigned largest = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned d = (unsigned)abs(a[i] - b[i]);
        largest = d > largest ? d : largest;
    }
    return largest;
}

static const vitrt_decode_options turned = { .flags = VITRT_DECODE_EXIF_ORIENTATION };

/* ---- Good files ---- */

static void check_image(const vitrt_image *image, const char *name, unsigned width, unsigned height, unsigned allowed,
                        const uint8_t *want)
{
    assert_int_equal(image->format, VITRT_FORMAT_RGB8);
    assert_int_equal(image->stride, 0);
    if (image->width != width || image->height != height)
        fail_msg("%s: %ux%u, Pillow's is %ux%u", name, image->width, image->height, width, height);
    const unsigned found = largest_difference(image->data, want, (size_t)width * height * 3);
    if (found > allowed)
        fail_msg("%s: differs from Pillow by %u levels, allowed are %u", name, found, allowed);
}

static void pillow_pixels(void **state)
{
    char name[100], line[200];
    unsigned width, height, allowed, files = 0;
    size_t size;
    uint8_t *expected = read_file("expected.bin", &size);
    const uint8_t *want = expected;
    FILE *list = fopen(FOLDER "expected.txt", "r");
    (void)state;
    assert_non_null(list);
    for (; fgets(line, sizeof(line), list); files++) {
        vitrt_error err;
        vitrt_image image;
        assert_int_equal(sscanf(line, "%99s %u %u %u", name, &width, &height, &allowed), 4);
        assert_true((size_t)(want - expected) + (size_t)width * height * 3 <= size);
        assert_ok(vitrt_image_open(path_of(name), &turned, &image, &err), &err);
        check_image(&image, name, width, height, allowed, want);
        vitrt_image_free(&image);
        assert_null(image.data);
        want += (size_t)width * height * 3;
    }
    fclose(list);
    assert_int_equal((size_t)(want - expected), size);
    assert_true(files > 50);
    free(expected);
}

/* Without the flag, all eight files of the same stored pixels are the same. */
static void exif_is_ignored_by_default(void **state)
{
    vitrt_image first, image;
    (void)state;
    assert_ok(vitrt_image_open(path_of("exif_1.jpg"), NULL, &first, NULL), NULL);
    for (int i = 2; i <= 8; i++) {
        char name[20];
        snprintf(name, sizeof(name), "exif_%d.jpg", i);
        assert_ok(vitrt_image_open(path_of(name), NULL, &image, NULL), NULL);
        assert_int_equal(image.width, first.width);
        assert_memory_equal(image.data, first.data, (size_t)first.width * first.height * 3);
        vitrt_image_free(&image);
    }
    vitrt_image_free(&first);
}

/* ---- Bad files ---- */

static void check_bad(const char *name, vitrt_status status, const char *words)
{
    size_t size;
    uint8_t *bytes = read_file(name, &size);
    vitrt_image image;
    vitrt_error err;
    struct counting heap;
    counting_init(&heap);
    const vitrt_decode_options options = { .allocator = &heap.allocator };

    if (vitrt_image_decode(bytes, size, &options, &image, &err) != status)
        fail_msg("%s: status %s, expected %s", name, vitrt_status_name(err.status), vitrt_status_name(status));
    if (!strstr(err.message, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", name, err.message, words);
    assert_null(image.data);
    assert_int_equal(heap.live, 0);
    assert_true(heap.peak_bytes <= 1200 * (size + 64)); /* in proportion to the file, whatever its header says */

    assert_int_equal(vitrt_image_open(path_of(name), NULL, &image, &err), status);
    assert_non_null(strstr(err.message, path_of(name)));
    free(bytes);
}

static void bad_files(void **state)
{
    static const struct {
        const char *name;
        vitrt_status status;
        const char *words;
    } files[] = {
        { "format_empty", VITRT_EFORMAT, "0 bytes" },
        { "format_jpeg_cut.jpg", VITRT_EFORMAT, "ends early" },
        { "format_jpeg_no_end.jpg", VITRT_EFORMAT, "ends early" },
        { "format_jpeg_header.jpg", VITRT_EFORMAT, "ends early" },
        { "format_jpeg_huffman_overrun.jpg", VITRT_EFORMAT, "Huffman table" },
        { "format_jpeg_lying_size.jpg", VITRT_EFORMAT, "ends early" },
        { "unsupported_jpeg_arithmetic.jpg", VITRT_EUNSUPPORTED, "coding" },
        { "unsupported_jpeg_12_bit.jpg", VITRT_EUNSUPPORTED, "8 bits" },
        { "format_png_cut.png", VITRT_EFORMAT, "ends early" },
        { "format_png_checksum.png", VITRT_EFORMAT, "checksum" },
        { "format_png_lying_size.png", VITRT_EFORMAT, "ends early" },
        { "format_png_few_rows.png", VITRT_EFORMAT, "cannot be decoded" },
        { "format_png_depth.png", VITRT_EFORMAT, "depth" },
        { "format_png_no_palette.png", VITRT_EFORMAT, "palette" },
        { "format_png_zero.png", VITRT_EFORMAT, "0x1" },
        { "limit_png_huge.png", VITRT_ELIMIT, "16384" },
        { "unsupported_png_chunk.png", VITRT_EUNSUPPORTED, "critical chunk" },
        { "format_bmp_cut.bmp", VITRT_EFORMAT, "ends early" },
        { "format_bmp_no_palette.bmp", VITRT_EFORMAT, "palette" },
        { "format_bmp_int_min.bmp", VITRT_EFORMAT, "negative" },
        { "unsupported_bmp_rle.bmp", VITRT_EUNSUPPORTED, "compressed" },
        { "unsupported_gif.gif", VITRT_EUNSUPPORTED, "47 49 46 38" },
        { "unsupported_webp.webp", VITRT_EUNSUPPORTED, "52 49 46 46" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        check_bad(files[i].name, files[i].status, files[i].words);
}

/* Cutting a file anywhere gives an error and nothing else. BMP rows may lack their last padding, which is no loss. */
static void every_cut(void **state)
{
    static const char *const names[] = { "jpeg_420.jpg", "jpeg_progressive.jpg", "png_2_8_interlaced.png",
                                         "png_3_4.png",  "bmp_24.bmp",           "bmp_4.bmp" };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t size;
        uint8_t *bytes = read_file(names[i], &size);
        const size_t padding = names[i][0] == 'b' ? 3 : 0;
        for (size_t n = 0; n + padding < size; n++) {
            uint8_t *cut = malloc(n ? n : 1); /* so that a sanitizer sees a read behind it */
            vitrt_image image;
            memcpy(cut, bytes, n);
            assert_int_equal(vitrt_image_decode(cut, n, NULL, &image, NULL), VITRT_EFORMAT);
            assert_null(image.data);
            free(cut);
        }
        free(bytes);
    }
}

/* Every single wrong byte gives pixels or an error, and leaks nothing. */
static void every_wrong_byte(void **state)
{
    static const char *const names[] = { "jpeg_420.jpg",   "jpeg_progressive.jpg", "png_3_8.png",
                                         "bmp_8_core.bmp", "bmp_16_565.bmp",       "exif_6.jpg" };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t size;
        uint8_t *bytes = read_file(names[i], &size);
        for (size_t at = 0; at < size && at < 1000; at++) {
            struct counting heap;
            counting_init(&heap);
            vitrt_decode_options options = turned;
            options.allocator = &heap.allocator;
            vitrt_image image;
            bytes[at] ^= 0xFF;
            const vitrt_status status = vitrt_image_decode(bytes, size, &options, &image, NULL);
            assert_int_equal(status == VITRT_OK, image.data != NULL);
            vitrt_image_free(&image);
            assert_int_equal(heap.live, 0);
            bytes[at] ^= 0xFF;
        }
        free(bytes);
    }
}

/* ---- Limits, memory, arguments ---- */

static void limits(void **state)
{
    vitrt_image image;
    vitrt_error err;
    const vitrt_decode_options side = { .max_side = 44 };
    (void)state;
    assert_int_equal(vitrt_image_open(path_of("jpeg_420.jpg"), &side, &image, &err), VITRT_ELIMIT); /* 45 x 33 */
    assert_non_null(strstr(err.message, "at most 44"));
    for (uint64_t bytes = 1;; bytes *= 2) {
        struct counting heap;
        counting_init(&heap);
        const vitrt_decode_options memory = { .max_bytes = bytes, .allocator = &heap.allocator };
        const vitrt_status status = vitrt_image_open(path_of("png_6_16_interlaced.png"), &memory, &image, &err);
        assert_true(heap.peak_bytes <= bytes);
        vitrt_image_free(&image);
        assert_int_equal(heap.live, 0);
        if (status == VITRT_OK)
            break;
        assert_int_equal(status, VITRT_ELIMIT);
        assert_true(bytes < 1 << 20);
    }
}

static void no_memory(void **state)
{
    static const char *const names[] = { "exif_6.jpg", "jpeg_progressive.jpg", "png_6_16_interlaced.png",
                                         "png_short_palette.png", "bmp_4_core.bmp" };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t n = 1;; n++) {
            struct counting heap;
            counting_init(&heap);
            heap.fail_at = n;
            vitrt_decode_options options = turned;
            options.allocator = &heap.allocator;
            vitrt_image image;
            const vitrt_status status = vitrt_image_open(path_of(names[i]), &options, &image, NULL);
            vitrt_image_free(&image);
            assert_int_equal(heap.live, 0);
            assert_int_equal(heap.live_bytes, 0);
            if (status == VITRT_OK) {
                assert_true(n > 3);
                break;
            }
            assert_int_equal(status, VITRT_ENOMEM);
        }
    }
}

static void arguments(void **state)
{
    vitrt_image image = { .data = "by hand", .width = 1 };
    vitrt_error err;
    const vitrt_decode_options flags = { .flags = 2 }, reserved = { .reserved = { "" } };
    (void)state;
    vitrt_image_free(NULL);
    vitrt_image_free(&image); /* not a decoded one: stays */
    assert_int_equal(image.width, 1);
    assert_int_equal(vitrt_image_decode(NULL, 5, NULL, &image, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_image_decode("", 0, NULL, NULL, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_image_decode("", 0, &flags, &image, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_image_decode("", 0, &reserved, &image, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_image_open(NULL, NULL, &image, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_image_open("no/such/file.jpg", NULL, &image, &err), VITRT_EIO);
    assert_non_null(strstr(err.message, "no/such/file.jpg"));
    assert_int_equal(vitrt_image_open("data", NULL, &image, &err), VITRT_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pillow_pixels),    cmocka_unit_test(exif_is_ignored_by_default),
        cmocka_unit_test(bad_files),        cmocka_unit_test(every_cut),
        cmocka_unit_test(every_wrong_byte), cmocka_unit_test(limits),
        cmocka_unit_test(no_memory),        cmocka_unit_test(arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
