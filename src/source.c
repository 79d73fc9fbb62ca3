/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a folder and named buffers behind one face; see source.h. */
#include "source.h"

#include <inttypes.h>
#include <string.h>

static const vitrt_buffer *find_buffer(const struct vt_origin *o, const char *name)
{
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->buffers[i].name, name) == 0)
            return &o->buffers[i];
    return NULL;
}

/* "path/name", or name for a buffer; NULL: no memory. */
static char *make_label(const vitrt_allocator *a, const struct vt_origin *o, const char *name)
{
    if (o->buffers)
        return vt_strndup(a, name, strlen(name));
    const size_t folder = strlen(o->path), file = strlen(name);
    const size_t slash = !file || (folder && o->path[folder - 1] == '/') ? 0 : 1;
    char *label = vt_alloc(a, folder + slash + file + 1);
    if (label) {
        memcpy(label, o->path, folder);
        label[folder] = '/'; /* or the terminator, where the path is the file */
        memcpy(label + folder + slash, name, file + 1);
    }
    return label;
}

vitrt_status vt_origin_has(const vitrt_allocator *a, const struct vt_origin *o, const char *name, bool *has,
                           vitrt_error *err)
{
    if (o->buffers) {
        *has = find_buffer(o, name) != NULL;
        return VITRT_OK;
    }
    char *path = make_label(a, o, name);
    if (!path)
        return vt_err_memory(err, strlen(o->path) + strlen(name) + 2, "a path");
    *has = vt_file_exists(path);
    vt_free(a, path, vt_strsize(path));
    return VITRT_OK;
}

void vt_source_close(const vitrt_allocator *a, struct vt_source *s)
{
    if (s->owns_data)
        vt_free(a, (void *)s->data, (size_t)s->size);
    if (s->mapped)
        vt_file_unmap(s->data, (size_t)s->size);
    vt_file_close(s->file);
    vt_free(a, s->label, vt_strsize(s->label));
}

static vitrt_status open_buffer(const vitrt_allocator *a, const vitrt_buffer *b, bool copy, struct vt_source *s,
                                vitrt_error *err)
{
    static const unsigned char nothing[1];
    s->size = b->size;
    s->data = b->size ? b->data : nothing;
    if (!copy || !b->size)
        return VITRT_OK;
    unsigned char *data = vt_alloc(a, b->size);
    if (!data)
        return vt_err_memory(err, b->size, b->name);
    memcpy(data, b->data, b->size);
    s->data = data;
    s->owns_data = true;
    return VITRT_OK;
}

static vitrt_status map_file(struct vt_source *s, vitrt_error *err)
{
    if (!s->size) /* which cannot be mapped, and there is nothing to read */
        return VITRT_OK;
    s->data = s->size > SIZE_MAX ? NULL : vt_file_map(s->file, (size_t)s->size);
    s->mapped = s->data != NULL;
    return s->mapped ? VITRT_OK
                     : vt_err(err, VITRT_EIO, "%s: the system cannot map the %" PRIu64 " bytes", s->label, s->size);
}

vitrt_status vt_source_open(const vitrt_allocator *a, const struct vt_origin *o, const char *name, unsigned flags,
                            struct vt_source *s, vitrt_error *err)
{
    vitrt_status st = VITRT_OK;
    *s = (struct vt_source){ .file = VT_FILE_NONE };
    s->label = make_label(a, o, name);
    if (!s->label)
        return vt_err_memory(err, strlen(o->path) + strlen(name) + 2, "a path");
    const char *reason = "there is no buffer of this name";
    if (o->buffers) {
        const vitrt_buffer *b = find_buffer(o, name);
        st = b ? open_buffer(a, b, flags & VT_SOURCE_COPY, s, err) : vt_err(err, VITRT_EIO, "%s: %s", name, reason);
    } else if (!vt_file_open(s->label, &s->file, &s->size, &reason)) {
        st = vt_err(err, VITRT_EIO, "%s: %s", s->label, reason);
    } else if (flags & VT_SOURCE_MAP) {
        st = map_file(s, err);
    }
    if (st)
        vt_source_close(a, s);
    return st;
}

vitrt_status vt_source_read(const struct vt_source *s, uint64_t offset, void *dst, size_t n, vitrt_error *err)
{
    if (n && s->data)
        memcpy(dst, s->data + offset, n);
    else if (n && !vt_file_read(s->file, offset, dst, n))
        return vt_err(err, VITRT_EIO,
                      "%s: cannot read %zu bytes at %" PRIu64 ", the file had %" PRIu64 " bytes when it was opened",
                      s->label, n, offset, s->size);
    return VITRT_OK;
}
