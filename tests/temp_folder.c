/* SPDX-License-Identifier: Apache-2.0 */
/* See temp_folder.h. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "temp_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char temp_folder[32];

int temp_folder_make(void **state)
{
    (void)state;
    strcpy(temp_folder, "/tmp/vitrt_test_XXXXXX");
    return mkdtemp(temp_folder) ? 0 : -1;
}

int temp_folder_remove(void **state)
{
    char command[sizeof temp_folder + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", temp_folder);
    return system(command);
}

const char *in_folder(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", temp_folder, name);
    return path;
}

struct bytes read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    struct bytes b = { .size = (size_t)ftell(f) };
    b.data = malloc(b.size + 1); /* also of nothing */
    assert_non_null(b.data);
    rewind(f);
    assert_int_equal(fread(b.data, 1, b.size, f), b.size);
    fclose(f);
    return b;
}

void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}
