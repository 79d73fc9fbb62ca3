/* SPDX-License-Identifier: Apache-2.0 */
/* Images with their classes; see accuracy.h. */
#include "accuracy.h"

#include "measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A name that is not ended by a terminator: part of a path or of a text. */
struct name {
    const char *text;
    size_t n;
};

struct names {
    struct name *name;
    size_t count, capacity;
};

static void append(struct names *names, struct name name)
{
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? names->capacity * 2 : 128;
        names->name = realloc(names->name, names->capacity * sizeof *names->name);
        if (!names->name)
            vt_bench_fail("there is no memory for %zu classes", names->capacity);
    }
    names->name[names->count++] = name;
}

static int compare(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    const int order = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* FOLDER/CLASS/FILE: the class. */
static struct name class_of(const char *path, const char *folder)
{
    const char *start = path + strlen(folder);
    start += strspn(start, "/");
    const char *end = strchr(start, '/');
    if (!end)
        vt_bench_fail("%s is in no class folder, which is expected of every image in %s", path, folder);
    return (struct name){ start, (size_t)(end - start) };
}

/* Classes by the sorted names of the folders that hold images, which follow one another in files. */
static struct names folder_classes(const struct files *files, const char *folder)
{
    struct names classes = { 0 };
    for (size_t i = 0; i < files->count; i++) {
        const struct name name = class_of(files->path[i], folder);
        if (!classes.count || compare(&name, &classes.name[classes.count - 1]))
            append(&classes, name);
    }
    qsort(classes.name, classes.count, sizeof *classes.name, compare);
    return classes;
}

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        vt_bench_fail("%s: the list of classes cannot be read: %s", path, strerror(errno));
    const long size = ftell(f);
    char *text = size < 0 ? NULL : malloc((size_t)size + 1);
    rewind(f);
    if (!text || fread(text, 1, (size_t)size, f) != (size_t)size)
        vt_bench_fail("%s: the list of classes cannot be read", path);
    text[size] = '\0';
    fclose(f);
    return text;
}

/* The first word of each line. */
static struct names listed_classes(const char *text)
{
    struct names classes = { 0 };
    while (*text) {
        const size_t line = strcspn(text, "\n");
        append(&classes, (struct name){ text, strcspn(text, " \t\r\n") });
        text += line + (text[line] == '\n');
    }
    return classes;
}

static uint32_t find(const struct names *classes, struct name name, const char *list)
{
    for (size_t i = 0; i < classes->count; i++) {
        if (compare(&classes->name[i], &name) == 0)
            return (uint32_t)i;
    }
    vt_bench_fail("the class folder %.*s is not in the list %s", (int)name.n, name.text, list);
}

struct labelled labelled_open(const char *folder, const char *list)
{
    struct labelled images = { .files = { .program = "bench" } };
    if (!files_add(&images.files, folder))
        exit(1);
    char *text = list ? read_text(list) : NULL;
    struct names classes = list ? listed_classes(text) : folder_classes(&images.files, folder);
    images.classes = (uint32_t)classes.count;
    images.label = malloc(images.files.count * sizeof *images.label);
    if (!images.label)
        vt_bench_fail("there is no memory for %zu images", images.files.count);
    for (size_t i = 0; i < images.files.count; i++)
        images.label[i] = find(&classes, class_of(images.files.path[i], folder), list);
    free(classes.name);
    free(text);
    return images;
}

void labelled_free(struct labelled *images)
{
    files_free(&images->files);
    free(images->label);
}
