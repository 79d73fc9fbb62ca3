/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a checkpoint, whether they lie in a folder or come as named buffers. */
#ifndef VT_SOURCE_H
#define VT_SOURCE_H

#include "alloc.h"
#include "error.h"
#include "os.h"

/* Where files are looked for: named buffers, or the folder path when buffers is NULL. The name "" is the path itself,
 * which is a file then. */
struct vt_origin {
    const char *path; /* "memory" with buffers: for messages */
    const vitrt_buffer *buffers;
    size_t count;
};

/* The bytes of one file. */
struct vt_source {
    char *label; /* the path, or the buffer's name: for messages */
    uint64_t size;
    const unsigned char *data; /* NULL: on disk */
    bool owns_data;            /* a copy of size bytes */
    bool mapped;               /* data is the file in memory */
    vt_file file;
};

/* Is there a file of this name, readable or not? Fails for want of memory only. */
vitrt_status vt_origin_has(const vitrt_allocator *a, const struct vt_origin *o, const char *name, bool *has,
                           vitrt_error *err);

/* copy: a buffer is copied instead of referred to. map: a file is mapped instead of read. On failure nothing is left
 * open. */
enum vt_source_flags { VT_SOURCE_COPY = 1, VT_SOURCE_MAP = 2 };
vitrt_status vt_source_open(const vitrt_allocator *a, const struct vt_origin *o, const char *name, unsigned flags,
                            struct vt_source *s, vitrt_error *err);
void vt_source_close(const vitrt_allocator *a, struct vt_source *s);

/* Copies n bytes at offset to dst; the caller has checked offset + n against size. VITRT_EIO if the file has become
 * shorter since. Thread-safe. */
vitrt_status vt_source_read(const struct vt_source *s, uint64_t offset, void *dst, size_t n, vitrt_error *err);

#endif
