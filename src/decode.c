/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files to pixels: the public calls around stb_image, which is compiled here and nowhere else.
 *
 * stb_image asks for memory through macros without a context. A thread-local pointer names the pool of the running
 * call; the pool hands out zeroed blocks (stb_image reads some memory that it has not written), counts them against
 * the caller's limit, and keeps them in a list, so that a decoder that gives up leaves nothing behind. The block that
 * holds the pixels leaves the list and belongs to the image from then on; it knows its allocator.
 *
 * Differences from Pillow's convert("RGB"): JPEG samples may differ by rounding (and in the last two columns by more
 * where colours have half the width only); 16-bit grey is reduced to its high byte where Pillow clips it; 16-bit BMP
 * pixels are widened by repeating bits. CMYK JPEGs with Adobe's marker come out as Pillow has them, those without are
 * refused.
 */
#include "alloc.h"
#include "error.h"
#include "image_check.h"
#include "os.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define DEFAULT_MAX_SIDE  16384u
#define DEFAULT_MAX_BYTES ((uint64_t)1 << 30)

/* ---- Memory ---- */

struct block {
    struct block *previous, *next;
    size_t bytes; /* of block and payload */
    vitrt_allocator allocator;
};

enum { HEADER_BYTES = (sizeof(struct block) + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN };

struct pool {
    vitrt_allocator allocator;
    uint64_t used, limit;
    struct block *blocks;
    size_t refused; /* size of the first allocation that failed, 0: none did */
    int refused_by_limit;
};

static void *payload(struct block *b)
{
    return (unsigned char *)b + HEADER_BYTES;
}

static struct block *block_of(void *p)
{
    return (struct block *)(void *)((unsigned char *)p - HEADER_BYTES);
}

static void *pool_alloc(struct pool *pool, size_t size)
{
    const size_t bytes = vt_size_add(size, HEADER_BYTES);
    const int over = bytes > pool->limit - pool->used;
    struct block *b = over ? NULL : vt_calloc(&pool->allocator, 1, bytes);

    if (!b) {
        if (!pool->refused) {
            pool->refused = size ? size : 1;
            pool->refused_by_limit = over;
        }
        return NULL;
    }
    b->bytes = bytes;
    b->allocator = pool->allocator;
    b->next = pool->blocks;
    if (b->next)
        b->next->previous = b;
    pool->blocks = b;
    pool->used += bytes;
    return payload(b);
}

/* Takes a block out of the pool without freeing it. */
static struct block *pool_release(struct pool *pool, void *p)
{
    struct block *b = block_of(p);

    if (b->previous)
        b->previous->next = b->next;
    else
        pool->blocks = b->next;
    if (b->next)
        b->next->previous = b->previous;
    b->previous = b->next = NULL;
    pool->used -= b->bytes;
    return b;
}

static void block_free(struct block *b)
{
    const vitrt_allocator a = b->allocator;

    vt_free(&a, b, b->bytes);
}

static void pool_free(struct pool *pool, void *p)
{
    if (p)
        block_free(pool_release(pool, p));
}

static void *pool_realloc(struct pool *pool, void *p, size_t size)
{
    void *grown = pool_alloc(pool, size);

    if (grown && p) {
        const size_t old = block_of(p)->bytes - HEADER_BYTES;
        memcpy(grown, p, old < size ? old : size);
        pool_free(pool, p);
    }
    return grown;
}

static void pool_free_all(struct pool *pool)
{
    while (pool->blocks)
        pool_free(pool, payload(pool->blocks));
}

/* ---- stb_image ---- */

static _Thread_local struct pool *current_pool;

/*
 * The assertions say: 8 or 16 bits per channel, a conversion that exists (always to 3 channels here), alpha added
 * only to 1 or 3 channels (a tRNS chunk, which stb_image refuses elsewhere), code lengths up to 16, BMP masks of at
 * most 8 bits shifted into a byte. These follow from the checks in front of them for every input. One does not: that
 * a Huffman code found the symbol it stands for. It fails harmlessly for the last of 256 symbols, where the index is
 * wrong but stays below 256, given tables of at most 256 symbols (image_check.c) and no uninitialised memory
 * (pool_alloc).
 */
#define STBI_ASSERT(x)        ((void)0)
#define STBI_MALLOC(size)     pool_alloc(current_pool, size)
#define STBI_REALLOC(p, size) pool_realloc(current_pool, p, size)
#define STBI_FREE(p)          pool_free(current_pool, p)
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_NO_FAILURE_STRINGS /* one of them is a buffer shared by all threads */
#define STBI_MAX_DIMENSIONS     (1 << 24)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION

/* On damaged JPEG data the sums of DC differences overflow, and once a scan has run out of bits its zeros are shifted
 * by more than 31. Both end in pixel values, never in an index; the sanitizer need not stop there. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((no_sanitize("signed-integer-overflow", "shift"))), apply_to = function)
#endif
#if defined(__GNUC__)
/* gcc reports declarations without a definition at the end of the file, where "pop" has long been. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wcast-qual"
#endif
#include <stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#if defined(__clang__)
#pragma clang attribute pop
#endif

/* ---- Decoding ---- */

/* The file with a full palette, see struct vt_image_facts. */
static uint8_t *repair_palette(struct pool *pool, const struct vt_image_facts *facts, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = pool_alloc(pool, size + facts->insert_bytes);
    uint32_t length = 0;

    if (!copy)
        return NULL;
    memcpy(copy, bytes, facts->insert_at);
    memcpy(copy + facts->insert_at + facts->insert_bytes, bytes + facts->insert_at, size - facts->insert_at);
    for (unsigned i = 0; i < 4; i++)
        length |= (uint32_t)bytes[facts->length_at + i] << (facts->length_is_big_endian ? 24 - 8 * i : 8 * i);
    length += (uint32_t)facts->insert_bytes;
    for (unsigned i = 0; i < 4; i++)
        copy[facts->length_at + i] = (uint8_t)(length >> (facts->length_is_big_endian ? 24 - 8 * i : 8 * i));
    return copy;
}

/* [height][width][3] in the pool, or NULL. */
static uint8_t *decode_pixels(struct pool *pool, const struct vt_image_facts *facts, const uint8_t *bytes, size_t size)
{
    uint8_t *repaired = NULL, *pixels;
    int width = 0, height = 0, channels = 0;

    if (facts->insert_bytes) {
        repaired = repair_palette(pool, facts, bytes, size);
        if (!repaired)
            return NULL;
        bytes = repaired;
        size += facts->insert_bytes;
    }
    current_pool = pool;
    pixels = stbi_load_from_memory(bytes, (int)size, &width, &height, &channels, 3);
    current_pool = NULL;
    pool_free(pool, repaired);
    if (pixels && ((uint32_t)width != facts->width || (uint32_t)height != facts->height)) {
        pool_free(pool, pixels);
        return NULL;
    }
    return pixels;
}

/* Pixel (x, y) of the turned image is pixel (source_x, source_y) of the stored one. */
static void orient(const uint8_t *from, uint8_t *to, uint32_t from_width, uint32_t from_height, unsigned orientation)
{
    const int transposed = orientation >= 5;
    const int flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const int flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const uint32_t width = transposed ? from_height : from_width, height = transposed ? from_width : from_height;

    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++, to += 3) {
            const uint32_t u = transposed ? y : x, v = transposed ? x : y;
            const size_t source_x = flip_x ? from_width - 1 - u : u, source_y = flip_y ? from_height - 1 - v : v;
            memcpy(to, from + (source_y * from_width + source_x) * 3, 3);
        }
    }
}

/* Replaces *pixels by the turned image; the size in facts follows. False: no memory. */
static int apply_orientation(struct pool *pool, struct vt_image_facts *facts, uint8_t **pixels)
{
    uint8_t *turned = pool_alloc(pool, (size_t)facts->width * facts->height * 3);

    if (!turned)
        return 0;
    orient(*pixels, turned, facts->width, facts->height, facts->orientation);
    pool_free(pool, *pixels);
    *pixels = turned;
    if (facts->orientation >= 5) {
        const uint32_t width = facts->width;
        facts->width = facts->height;
        facts->height = width;
    }
    return 1;
}

static vitrt_status check_limits(const struct pool *pool, const struct vt_image_facts *facts, uint32_t max_side,
                                 vitrt_error *err)
{
    const uint64_t pixels = (uint64_t)facts->width * facts->height;

    if (pixels == 0)
        return vt_err(err, VITRT_EFORMAT, "The image is %ux%u pixels wide and high, both must be at least 1.",
                      facts->width, facts->height);
    if (facts->width > max_side || facts->height > max_side)
        return vt_err(err, VITRT_ELIMIT, "The image is %ux%u pixels wide and high, at most %u are allowed.",
                      facts->width, facts->height, max_side);
    if (pixels > (pool->limit - pool->used) / 3)
        return vt_err(err, VITRT_ELIMIT, "The image of %ux%u pixels does not fit into the %llu bytes allowed.",
                      facts->width, facts->height, (unsigned long long)pool->limit);
    return VITRT_OK;
}

/* Why decoding failed after the checks passed. */
static vitrt_status decode_error(const struct pool *pool, vitrt_error *err)
{
    if (!pool->refused)
        return vt_err(err, VITRT_EFORMAT, "The image is damaged: its compressed data cannot be decoded.");
    if (!pool->refused_by_limit)
        return vt_err_memory(err, pool->refused, "decoding an image");
    return vt_err(err, VITRT_ELIMIT,
                  "Decoding the image needs %zu bytes more than the %llu allowed, of which %llu are in use.",
                  pool->refused, (unsigned long long)pool->limit, (unsigned long long)pool->used);
}

static vitrt_status decode(struct pool *pool, const uint8_t *bytes, size_t size, const vitrt_decode_options *o,
                           vitrt_image *out, vitrt_error *err)
{
    struct vt_image_facts facts;
    uint8_t *pixels;
    vitrt_status status;

    if (size > INT_MAX - 1024) /* stb_image counts in int; a repaired palette comes on top */
        return vt_err(err, VITRT_ELIMIT, "The image file has %zu bytes, at most %d can be read.", size, INT_MAX - 1024);
    status = vt_image_check(bytes, size, &facts, err);
    if (status == VITRT_OK)
        status = check_limits(pool, &facts, o->max_side ? o->max_side : DEFAULT_MAX_SIDE, err);
    if (status != VITRT_OK)
        return status;
    pixels = decode_pixels(pool, &facts, bytes, size);
    if (!pixels)
        return decode_error(pool, err);
    if ((o->flags & VITRT_DECODE_EXIF_ORIENTATION) && facts.orientation > 1 &&
        !apply_orientation(pool, &facts, &pixels))
        return decode_error(pool, err);
    out->data = pixels;
    out->width = facts.width;
    out->height = facts.height;
    out->format = VITRT_FORMAT_RGB8;
    out->reserved[0] = pool_release(pool, pixels);
    return VITRT_OK;
}

/* Zeroes *out and makes a pool from the options. */
static vitrt_status begin(const vitrt_decode_options *o, vitrt_image *out, struct pool *pool, vitrt_error *err)
{
    if (!out)
        return vt_err(err, VITRT_EINVAL, "The image to fill is NULL.");
    memset(out, 0, sizeof(*out));
    if (o->flags & ~VITRT_DECODE_EXIF_ORIENTATION)
        return vt_err(err, VITRT_EINVAL, "The decode flags are 0x%x, known is only 0x%x.", o->flags,
                      VITRT_DECODE_EXIF_ORIENTATION);
    for (size_t i = 0; i < sizeof(o->reserved) / sizeof(o->reserved[0]); i++)
        if (o->reserved[i])
            return vt_err(err, VITRT_EINVAL, "A reserved member of the decode options is not zero.");
    *pool = (struct pool){ .allocator = vt_allocator_or_default(o->allocator),
                           .limit = o->max_bytes ? o->max_bytes : DEFAULT_MAX_BYTES };
    return VITRT_OK;
}

static const vitrt_decode_options default_options = { 0 };

vitrt_status vitrt_image_decode(const void *bytes, size_t size, const vitrt_decode_options *options, vitrt_image *out,
                                vitrt_error *err)
{
    const vitrt_decode_options *o = options ? options : &default_options;
    struct pool pool;
    vitrt_status status = begin(o, out, &pool, err);

    if (status != VITRT_OK)
        return status;
    if (!bytes)
        return vt_err(err, VITRT_EINVAL, "The image to decode is NULL.");
    status = decode(&pool, bytes, size, o, out, err);
    pool_free_all(&pool);
    return status;
}

/* Puts the path before a message. */
static vitrt_status name_file(vitrt_status status, const char *path, vitrt_error *err)
{
    if (status != VITRT_OK && err) {
        const vitrt_error inner = *err;
        vt_err(err, status, "%s: %s", path, inner.message);
    }
    return status;
}

/* The whole file in the pool. */
static vitrt_status read_file(struct pool *pool, const char *path, uint8_t **bytes, size_t *size, vitrt_error *err)
{
    const char *reason = "";
    uint64_t file_size = 0;
    vt_file file;
    vitrt_status status = VITRT_OK;

    if (!vt_file_open(path, &file, &file_size, &reason))
        return vt_err(err, VITRT_EIO, "The image cannot be opened: %s.", reason);
    if (file_size > pool->limit) {
        status = vt_err(err, VITRT_ELIMIT, "The image file has %llu bytes, more than the %llu allowed.",
                        (unsigned long long)file_size, (unsigned long long)pool->limit);
    } else {
        *size = (size_t)file_size;
        *bytes = pool_alloc(pool, *size);
        if (!*bytes)
            status = decode_error(pool, err);
        else if (*size && !vt_file_read(file, 0, *bytes, *size))
            status = vt_err(err, VITRT_EIO, "The image cannot be read to its end.");
    }
    vt_file_close(file);
    return status;
}

vitrt_status vitrt_image_open(const char *path, const vitrt_decode_options *options, vitrt_image *out, vitrt_error *err)
{
    const vitrt_decode_options *o = options ? options : &default_options;
    struct pool pool;
    uint8_t *bytes = NULL;
    size_t size = 0;
    vitrt_status status = begin(o, out, &pool, err);

    if (status != VITRT_OK)
        return status;
    if (!path)
        return vt_err(err, VITRT_EINVAL, "The path of the image is NULL.");
    status = read_file(&pool, path, &bytes, &size, err);
    if (status == VITRT_OK)
        status = decode(&pool, bytes, size, o, out, err);
    pool_free_all(&pool);
    return name_file(status, path, err);
}

void vitrt_image_free(vitrt_image *image)
{
    if (!image)
        return;
    if (image->reserved[0]) {
        block_free((struct block *)image->reserved[0]);
        memset(image, 0, sizeof(*image));
    }
}
