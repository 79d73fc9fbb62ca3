/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON documents of a checkpoint, and what the index of a sharded one says. */
#ifndef VT_DOCUMENTS_H
#define VT_DOCUMENTS_H

#include "json.h"
#include "source.h"

#define VT_INDEX_FILE "model.safetensors.index.json"

/* Parses a text whose root must be an object. */
vitrt_status vt_document_parse(const vitrt_allocator *a, const char *label, const char *text, size_t size,
                               struct vt_json_document **out, vitrt_error *err);
/* The same for a file. */
vitrt_status vt_document_read(const vitrt_allocator *a, const struct vt_origin *o, const char *name,
                              struct vt_json_document **out, vitrt_error *err);

/* A line of the index's weight_map: a tensor and the file it lies in. */
struct vt_weight_place {
    char *name, *file;
};

struct vt_weight_map {
    struct vt_weight_place *items;
    size_t count, capacity;
};

/* Reads an index's weight_map, sorted by file, then by name. label: the folder. On failure the map is left for the
 * caller to free. */
vitrt_status vt_weight_map_read(const vitrt_allocator *a, const char *label, vt_json weights, struct vt_weight_map *map,
                                vitrt_error *err);
void vt_weight_map_free(const vitrt_allocator *a, struct vt_weight_map *map);

#endif
