/* SPDX-License-Identifier: Apache-2.0 */
/* Lists images in a folder (of class folders); see files.h. POSIX directories, which mingw has too. */
#define _POSIX_C_SOURCE 200809L

#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool append(struct files *f, char *path)
{
    if (f->count == f->capacity) {
        const size_t capacity = f->capacity ? f->capacity * 2 : 64;
        char **grown = capacity <= SIZE_MAX / sizeof(*grown) ? realloc(f->path, capacity * sizeof(*grown)) : NULL;
        if (!grown)
            return false;
        f->path = grown;
        f->capacity = capacity;
    }
    f->path[f->count++] = path;
    return true;
}

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static bool is_image(const char *path)
{
    static const char *const endings[] = { ".jpg", ".jpeg", ".png", ".bmp" };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t k = 0;
        while (dot[k] && endings[i][k] && (dot[k] | 0x20) == (endings[i][k] | 0x20))
            k++;
        if (!dot[k] && !endings[i][k])
            return true;
    }
    return false;
}

/* folder/name in new memory; with an empty folder a copy of name. */
static char *join(const char *folder, const char *name)
{
    const size_t n = strlen(folder);
    const char *slash = n == 0 || folder[n - 1] == '/' ? "" : "/";
    const size_t size = n + strlen(slash) + strlen(name) + 1;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s%s%s", folder, slash, name);
    return path;
}

/* depth: how many levels of subfolders to enter. */
static bool add_folder(struct files *f, const char *folder, int depth)
{
    DIR *d = opendir(folder);
    if (!d) {
        fprintf(stderr, "%s: %s: the folder cannot be read: %s\n", f->program, folder, strerror(errno));
        return false;
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        char *path = join(folder, e->d_name);
        const bool keep = path && is_image(path) && !is_folder(path);
        if (path && depth > 0 && is_folder(path))
            ok = add_folder(f, path, depth - 1);
        if (!path || (keep && !append(f, path))) {
            fprintf(stderr, "%s: %s: not enough memory for the list of images\n", f->program, folder);
            ok = false;
        }
        if (!keep || !ok)
            free(path);
    }
    closedir(d);
    return ok;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool files_add(struct files *f, const char *path)
{
    const size_t before = f->count;
    if (!is_folder(path)) {
        char *copy = join("", path);
        if (copy && append(f, copy))
            return true;
        free(copy);
        fprintf(stderr, "%s: %s: not enough memory for the list of images\n", f->program, path);
        return false;
    }
    if (!add_folder(f, path, 1))
        return false;
    if (f->count == before) {
        fprintf(stderr, "%s: %s: the folder and its subfolders hold no .jpg, .jpeg, .png or .bmp file\n", f->program,
                path);
        return false;
    }
    qsort(f->path + before, f->count - before, sizeof(*f->path), compare);
    return true;
}

void files_free(struct files *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->path[i]);
    free(f->path);
}
