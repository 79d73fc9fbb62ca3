/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's allocator behind three calls. Blocks do not remember their size: who frees says it again. */
#ifndef VT_ALLOC_H
#define VT_ALLOC_H

#include <stdbool.h>

#include "vitrt.h"

#define VT_ALIGN 64 /* cache line, and the widest vector */

/* The allocator used when a caller gives none: malloc. */
extern const vitrt_allocator vt_default_allocator;

/* *a, or the default for NULL and an empty one. */
vitrt_allocator vt_allocator_or_default(const vitrt_allocator *a);

/* NULL, empty or complete. */
bool vt_allocator_valid(const vitrt_allocator *a);

/* size bytes aligned to VT_ALIGN, or NULL. size 0 yields NULL. */
void *vt_alloc(const vitrt_allocator *a, size_t size);

/* The same for count elements of size bytes, all zero; NULL also on overflow. */
void *vt_calloc(const vitrt_allocator *a, size_t count, size_t size);

/* size as it was allocated. NULL is allowed. */
void vt_free(const vitrt_allocator *a, void *ptr, size_t size);

/* Grows an array of *capacity elements to hold at least count; keeps the content, zeroes the rest. False: no memory,
 * the old array stays. */
bool vt_grow(const vitrt_allocator *a, void **array, size_t *capacity, size_t count, size_t element_size);

/* A copy of a string of length n with a terminator (block size n + 1), or NULL. */
char *vt_strndup(const vitrt_allocator *a, const char *s, size_t n);

/* strlen(s) + 1; 0 for NULL: the block size of a vt_strndup copy without embedded zeros. */
size_t vt_strsize(const char *s);

/* a * b and a + b that saturate at SIZE_MAX instead of wrapping, for sizes that are checked later. */
size_t vt_size_mul(size_t a, size_t b);
size_t vt_size_add(size_t a, size_t b);

/* The least multiple that is not below n; saturates, too. */
size_t vt_round_up(size_t n, size_t multiple);

/* A place for n elements in a block, aligned to VT_ALIGN, behind the *used bytes that are taken; base NULL only
 * measures. */
void *vt_take(char *base, size_t *used, size_t n, size_t bytes);

#endif
