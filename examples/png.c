/* SPDX-License-Identifier: Apache-2.0 */
/* PNG files by stb_image_write; see png.h. */
#include "png.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>

struct target {
    FILE *file;
    bool ok;
};

static void write_bytes(void *user, void *bytes, int n)
{
    struct target *t = user;
    t->ok = t->ok && fwrite(bytes, 1, (size_t)n, t->file) == (size_t)n;
}

bool png_write(const char *path, const uint8_t *rgb, uint32_t height, uint32_t width)
{
    /* The encoder counts bytes, of which it adds one to each row, in an int. */
    if ((uint64_t)height * ((uint64_t)width * 3 + 1) > INT_MAX / 2) {
        errno = EFBIG;
        return false;
    }
    struct target t = { fopen(path, "wb"), true };
    if (!t.file)
        return false;
    errno = ENOMEM; /* the encoder says only that it failed */
    const bool encoded = stbi_write_png_to_func(write_bytes, &t, (int)width, (int)height, 3, rgb, (int)width * 3) != 0;
    return fclose(t.file) == 0 && encoded && t.ok;
}
