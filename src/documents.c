/* SPDX-License-Identifier: Apache-2.0 */
/* See documents.h. */
#include "documents.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DOCUMENT (UINT64_C(64) << 20) /* of config.json, preprocessor_config.json and the index */
#define NAME         "%.160s"             /* a name may fill the whole message otherwise */

vitrt_status vt_document_parse(const vitrt_allocator *a, const char *label, const char *text, size_t size,
                               struct vt_json_document **out, vitrt_error *err)
{
    const vitrt_status st = vt_json_parse(a, label, text, size, out, err);
    if (st || vt_json_type(vt_json_root(*out)) == VT_JSON_OBJECT)
        return st;
    vt_json_free(*out);
    *out = NULL;
    return vt_err(err, VITRT_EFORMAT, "%s: the document is not an object", label);
}

vitrt_status vt_document_read(const vitrt_allocator *a, const struct vt_origin *o, const char *name,
                              struct vt_json_document **out, vitrt_error *err)
{
    struct vt_source s;
    char *text = NULL;
    vitrt_status st = vt_source_open(a, o, name, 0, &s, err);
    if (st)
        return st;
    const size_t size = s.size > MAX_DOCUMENT ? 0 : (size_t)s.size;
    if (s.size > MAX_DOCUMENT) {
        st = vt_err(err, VITRT_ELIMIT, "%s: %" PRIu64 " bytes, at most %" PRIu64 " can be read", s.label, s.size,
                    MAX_DOCUMENT);
        goto done;
    }
    text = vt_alloc(a, size);
    if (size && !text) {
        st = vt_err_memory(err, size, s.label);
        goto done;
    }
    st = vt_source_read(&s, 0, text, size, err);
    if (!st)
        st = vt_document_parse(a, s.label, text, size, out, err);
done:
    vt_free(a, text, size);
    vt_source_close(a, &s);
    return st;
}

void vt_weight_map_free(const vitrt_allocator *a, struct vt_weight_map *list)
{
    for (size_t i = 0; i < list->count; i++) {
        vt_free(a, list->items[i].name, vt_strsize(list->items[i].name));
        vt_free(a, list->items[i].file, vt_strsize(list->items[i].file));
    }
    vt_free(a, list->items, list->capacity * sizeof *list->items);
}

static int compare_entries(const void *x, const void *y)
{
    const struct vt_weight_place *a = x, *b = y;
    const int files = strcmp(a->file, b->file);
    return files ? files : strcmp(a->name, b->name);
}

/* A name that stays inside of the folder, on every system. */
static bool is_plain_file_name(const char *s)
{
    for (const char *p = s; *p; p++)
        if (*p == '/' || *p == '\\' || *p == ':' || (unsigned char)*p < 0x20)
            return false;
    return *s && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

vitrt_status vt_weight_map_read(const vitrt_allocator *a, const char *label, vt_json map, struct vt_weight_map *list,
                                vitrt_error *err)
{
    if (vt_json_type(map) != VT_JSON_OBJECT)
        return vt_err(err, VITRT_EFORMAT, "%s/" VT_INDEX_FILE ": weight_map is missing or not an object", label);
    for (vt_json_iterator it = vt_json_first(map); it.left; vt_json_next(&it)) {
        if (vt_json_type(it.value) != VT_JSON_STRING)
            return vt_err(err, VITRT_EFORMAT, "%s/" VT_INDEX_FILE ": the file of tensor %.*s is not a string", label,
                          (int)(it.key_size < 160 ? it.key_size : 160), it.key);
        if (!vt_grow(a, (void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items))
            return vt_err_memory(err, (list->count + 1) * sizeof *list->items, "the list of tensors");
        struct vt_weight_place *e = &list->items[list->count++];
        e->name = vt_json_dup_string(a, vt_json_key(&it));
        e->file = vt_json_dup_string(a, it.value);
        if (!e->name || !e->file)
            return vt_err_memory(err, it.key_size, "the name of a tensor");
        if (!is_plain_file_name(e->file))
            return vt_err(err, VITRT_EFORMAT,
                          "%s/" VT_INDEX_FILE ": tensor " NAME " lies in '%.100s', expected a plain file name", label,
                          e->name, e->file);
    }
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, compare_entries);
    return VITRT_OK;
}
