/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for the files of a test: set-up and tear-down of cmocka, of one test or of a group. */
#ifndef VT_TESTS_TEMP_FOLDER_H
#define VT_TESTS_TEMP_FOLDER_H

#include "support.h"

int temp_folder_make(void **state);
int temp_folder_remove(void **state); /* with all that is in it */

extern char temp_folder[32]; /* its path */

/* The path of that name in it, in a buffer that the next calls reuse in turn (8 of them). */
const char *in_folder(const char *name);

struct bytes {
    char *data; /* free() it */
    size_t size;
};

struct bytes read_file(const char *path);
void write_file(const char *path, const void *data, size_t size);

#endif
