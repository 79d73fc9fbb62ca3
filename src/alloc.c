/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's allocator, and malloc as the default; see alloc.h. */
#include "alloc.h"

#include "os.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* C11 aligned_alloc is missing on Windows and needs a size that is a multiple of the alignment, so the block is
 * over-allocated and its start is kept in front of the aligned pointer. */
static void *default_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    const bool large = size >= VT_LARGE_PAGE;
    if (large && align < VT_LARGE_PAGE)
        align = VT_LARGE_PAGE;
    if (size > SIZE_MAX - align - VT_LARGE_PAGE - sizeof(void *))
        return NULL;
    if (large) /* whole pages: the end of a block is as good as the rest */
        size = vt_round_up(size, VT_LARGE_PAGE);
    char *block = malloc(size + align + sizeof(void *));
    if (!block)
        return NULL;
    const uintptr_t aligned = ((uintptr_t)block + sizeof(void *) + align - 1) & ~(uintptr_t)(align - 1);
    ((void **)aligned)[-1] = block;
    if (large)
        vt_prefer_large_pages((void *)aligned, size);
    return (void *)aligned;
}

static void default_free(void *user, void *ptr, size_t size, size_t align)
{
    (void)user;
    (void)size;
    (void)align;
    free(((void **)ptr)[-1]);
}

const vitrt_allocator vt_default_allocator = { default_alloc, default_free, NULL };

vitrt_allocator vt_allocator_or_default(const vitrt_allocator *a)
{
    return a && a->alloc ? *a : vt_default_allocator;
}

bool vt_allocator_valid(const vitrt_allocator *a)
{
    return !a || !a->alloc == !a->free;
}

void *vt_alloc(const vitrt_allocator *a, size_t size)
{
    return size ? a->alloc(a->user, size, VT_ALIGN) : NULL;
}

void *vt_calloc(const vitrt_allocator *a, size_t count, size_t size)
{
    const size_t bytes = vt_size_mul(count, size);
    void *p = bytes == SIZE_MAX ? NULL : vt_alloc(a, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

void vt_free(const vitrt_allocator *a, void *ptr, size_t size)
{
    if (ptr)
        a->free(a->user, ptr, size, VT_ALIGN);
}

bool vt_grow(const vitrt_allocator *a, void **array, size_t *capacity, size_t count, size_t element_size)
{
    if (count <= *capacity)
        return true;
    size_t wanted = *capacity ? *capacity : 8;
    while (wanted < count)
        wanted = vt_size_mul(wanted, 2);
    void *grown = vt_calloc(a, wanted, element_size);
    if (!grown)
        return false;
    if (*array)
        memcpy(grown, *array, *capacity * element_size);
    vt_free(a, *array, *capacity * element_size);
    *array = grown;
    *capacity = wanted;
    return true;
}

char *vt_strndup(const vitrt_allocator *a, const char *s, size_t n)
{
    char *copy = n == SIZE_MAX ? NULL : vt_alloc(a, n + 1);
    if (copy) {
        memcpy(copy, s, n);
        copy[n] = 0;
    }
    return copy;
}

size_t vt_strsize(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

size_t vt_size_mul(size_t a, size_t b)
{
    return b && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

size_t vt_size_add(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

size_t vt_round_up(size_t n, size_t multiple)
{
    return vt_size_mul(vt_size_add(n, multiple - 1) / multiple, multiple);
}

void *vt_take(char *base, size_t *used, size_t n, size_t bytes)
{
    char *p = base ? base + *used : NULL;
    *used = vt_size_add(*used, vt_round_up(vt_size_mul(n, bytes), VT_ALIGN));
    return p;
}
