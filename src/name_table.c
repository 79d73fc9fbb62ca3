/* SPDX-License-Identifier: Apache-2.0 */
/* See name_table.h. Open addressing in a table that is at most half full. */
#include "name_table.h"

#include <string.h>

bool vt_name_table_init(struct vt_name_table *t, const vitrt_allocator *a, size_t most, size_t stride)
{
    *t = (struct vt_name_table){ .alloc = *a, .capacity = 16, .stride = stride };
    while (t->capacity < vt_size_mul(most, 2))
        t->capacity *= 2;
    t->slots = vt_calloc(a, t->capacity, sizeof *t->slots);
    return t->slots != NULL;
}

void vt_name_table_free(struct vt_name_table *t)
{
    vt_free(&t->alloc, t->slots, t->capacity * sizeof *t->slots);
}

/* The slot that holds the name or where it is to be put. */
static size_t slot_of(const struct vt_name_table *t, const char *names, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *p = name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
    size_t i = (size_t)(hash ^ hash >> 32) & (t->capacity - 1);
    while (t->slots[i] && strcmp(names + (t->slots[i] - 1) * t->stride, name))
        i = (i + 1) & (t->capacity - 1);
    return i;
}

size_t vt_name_table_find(const struct vt_name_table *t, const char *names, const char *name)
{
    const uint32_t found = t->slots[slot_of(t, names, name)];
    return found ? found - 1 : VT_NO_NAME;
}

void vt_name_table_add(struct vt_name_table *t, const char *names, size_t index)
{
    t->slots[slot_of(t, names, names + index * t->stride)] = (uint32_t)index + 1;
}
