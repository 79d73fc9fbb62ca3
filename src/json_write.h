/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows, and JSON's strings and numbers in it. Errors stick: after one nothing is added any more. */
#ifndef VT_JSON_WRITE_H
#define VT_JSON_WRITE_H

#include "alloc.h"
#include "error.h"

struct vt_text {
    vitrt_allocator alloc;
    char *data; /* not terminated */
    size_t size, capacity;
    bool failed; /* no memory */
};

void vt_text_init(struct vt_text *t, const vitrt_allocator *a);
void vt_text_free(struct vt_text *t);

void vt_text_put(struct vt_text *t, const char *s, size_t n);
/* At most 200 characters, and no floating-point conversions. */
void vt_text_format(struct vt_text *t, const char *format, ...) VT_PRINTF(2, 3);
/* The bytes as a JSON string. What is not UTF-8 becomes U+FFFD. */
void vt_text_string(struct vt_text *t, const char *s, size_t n);
/* Finite numbers so that reading yields the same bits, whatever the locale. Rounding mode: to nearest. */
void vt_text_float(struct vt_text *t, float x);
void vt_text_double(struct vt_text *t, double x);

#endif
