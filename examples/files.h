/* SPDX-License-Identifier: Apache-2.0 */
/* The images that the command line names: files as they are, folders by what they hold. */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>

struct files {
    const char *program; /* what its messages begin with */
    char **path;
    size_t count, capacity;
};

/* Adds a file, or the images (.jpg, .jpeg, .png, .bmp) of a folder and of its direct subfolders, sorted by name. Says
 * on stderr what is wrong and returns false if a folder cannot be read or holds no image. */
bool files_add(struct files *f, const char *path);

void files_free(struct files *f);

#endif
