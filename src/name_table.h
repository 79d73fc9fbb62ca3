/* SPDX-License-Identifier: Apache-2.0 */
/* Finds names in an array of them without comparing with each: files may have many. */
#ifndef VT_NAME_TABLE_H
#define VT_NAME_TABLE_H

#include "alloc.h"

#define VT_NO_NAME SIZE_MAX

/* names: the first of the array's names, stride bytes from one to the next, terminated. The array may grow and move as
 * long as names stay what they were. */
struct vt_name_table {
    vitrt_allocator alloc;
    uint32_t *slots; /* index + 1 of a name, or 0 */
    size_t capacity; /* a power of two */
    size_t stride;
};

/* For at most so many names; false: no memory. */
bool vt_name_table_init(struct vt_name_table *t, const vitrt_allocator *a, size_t most, size_t stride);
void vt_name_table_free(struct vt_name_table *t);

/* The index of an equal name that was added, or VT_NO_NAME. */
size_t vt_name_table_find(const struct vt_name_table *t, const char *names, const char *name);
/* Adds names[index], which no name added equals. */
void vt_name_table_add(struct vt_name_table *t, const char *names, size_t index);

#endif
