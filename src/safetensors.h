/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of one safetensors file: 8 bytes little-endian length, that many bytes of JSON {"name": {"dtype": "F32",
 * "shape": [..], "data_offsets": [begin, end]}, .., "__metadata__": {"key": "value", ..}}, then the data.
 *
 * Accepted is what the reference implementation accepts (github.com/huggingface/safetensors): a header of at most 100
 * MB, data that the tensors cover without overlap, hole or rest, and byte sizes that follow from dtype and shape. More
 * strictly, a name may stand there once only and the rank is limited; less strictly, names may have bytes that are not
 * UTF-8, and 12.0 is as good as 12.
 */
#ifndef VT_SAFETENSORS_H
#define VT_SAFETENSORS_H

#include "checkpoint.h"
#include "source.h"

struct vt_tensor_list {
    struct vt_tensor *items; /* owns the names */
    size_t count, capacity;
};

/* Reads and checks the header and appends its tensors to list (empty before), sorted by name, all with the given
 * shard number. On failure the list is left for the caller to free. */
vitrt_status vt_safetensors_read(const vitrt_allocator *a, const struct vt_source *s, uint32_t shard,
                                 struct vt_tensor_list *list, vitrt_error *err);

/* The same; *header is the whole header, whose "__metadata__", if there is one, is an object of strings. Free it with
 * vt_json_free. */
vitrt_status vt_safetensors_open(const vitrt_allocator *a, const struct vt_source *s, uint32_t shard,
                                 struct vt_tensor_list *list, struct vt_json_document **header, vitrt_error *err);

void vt_tensor_list_free(const vitrt_allocator *a, struct vt_tensor_list *list);

/* Sorts by name; VITRT_EFORMAT if two tensors share one. */
vitrt_status vt_tensor_list_sort(struct vt_tensor_list *list, const char *label, vitrt_error *err);

#endif
