/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target for vitrt_image_decode: any bytes give an image or a status, without leaks, within the memory
 * limit, and the pixels can be read. Build with clang -fsanitize=fuzzer,address,undefined and
 * -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION (libFuzzer's own name: PNG checksums are then not compared); the folder
 * corpus_decode holds one small file of each kind.
 */
#include "vitrt.h"

#include <stdlib.h>

#define MAX_BYTES (64u << 20)

struct counter {
    size_t used;
};

static void *counted_alloc(void *user, size_t size, size_t align)
{
    struct counter *c = user;
    void *p = aligned_alloc(align, (size + align - 1) / align * align);

    if (p)
        c->used += size;
    if (c->used > MAX_BYTES)
        abort();
    return p;
}

static void counted_free(void *user, void *ptr, size_t size, size_t align)
{
    struct counter *c = user;

    (void)align;
    c->used -= size;
    free(ptr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct counter counter = { 0 };
    const vitrt_allocator allocator = { counted_alloc, counted_free, &counter };
    const vitrt_decode_options options = {
        .max_side = 4096, .max_bytes = MAX_BYTES, .flags = VITRT_DECODE_EXIF_ORIENTATION, .allocator = &allocator
    };
    vitrt_error err = { .status = VITRT_OK };
    vitrt_image image;
    const vitrt_status status = vitrt_image_decode(data, size, &options, &image, &err);

    if (status != VITRT_OK) {
        if (status != err.status || !err.message[0] || image.data)
            abort();
    } else {
        const volatile uint8_t *pixels = image.data;
        unsigned sum = 0;
        for (size_t i = 0; i < (size_t)image.width * image.height * 3; i++)
            sum += pixels[i];
        (void)sum;
    }
    vitrt_image_free(&image);
    if (counter.used)
        abort();
    return 0;
}
