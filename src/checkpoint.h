/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint as published: the files of a folder (or named buffers), their tensors by name, and their rows as f32. Or
 * a saved model: one safetensors file whose metadata has the graph and, if they are there, the two other documents.
 *
 * Opening reads and checks every safetensors header (offsets inside the file, no overlap, sizes that match dtype and
 * shape), never the data. Data is read piecewise into its packed form when a session needs it.
 */
#ifndef VT_CHECKPOINT_H
#define VT_CHECKPOINT_H

#include "alloc.h"
#include "error.h"
#include "json.h"

#define VT_MAX_RANK      8
#define VT_SCRATCH_BYTES ((size_t)64 << 10) /* least scratch of vt_checkpoint_read_rows */

enum vt_dtype {
    VT_F32,
    VT_F16,
    VT_BF16,
    VT_I8,
    VT_U8, /* codes, words and pixels, which only values in memory have */
    VT_I16,
    VT_I32,
    VT_OTHER /* legal in the file, not readable as numbers */
};

/* Bytes of one element; 0 for VT_OTHER. */
size_t vt_dtype_bytes(enum vt_dtype dtype);

struct vt_tensor {
    const char *name; /* unescaped, lives as long as the checkpoint */
    enum vt_dtype dtype;
    char dtype_name[8]; /* as in the file, for messages */
    uint32_t rank;
    uint64_t shape[VT_MAX_RANK];   /* every extent may be 0 */
    uint64_t count;                /* product of shape */
    uint64_t bytes;                /* in the file */
    uint32_t shard;                /* index of the file it lies in */
    uint64_t offset;               /* of its first byte in that file */
    const struct vt_tensor *scale; /* "<name>_scale", F32 [shape[0]], of an I8 tensor of rank >= 2; else NULL */
};

struct vt_checkpoint;

/* Keys of the metadata of a saved model, and what begins the names of tensors that only fill gaps. */
#define VT_GRAPH_KEY        "vitrt.graph"
#define VT_CONFIG_KEY       "vitrt.config"
#define VT_PREPROCESSOR_KEY "vitrt.preprocessor"
#define VT_PADDING_PREFIX   "vitrt.padding."

/* path: a folder with config.json and model.safetensors or model.safetensors.index.json; or a saved model, or a folder
 * with one as model.safetensors and without config.json. map: weight files are mapped. Free with vt_checkpoint_free. */
vitrt_status vt_checkpoint_open(const vitrt_allocator *a, const char *path, bool map, struct vt_checkpoint **out,
                                vitrt_error *err);
/* The same files as buffers; a single one, of whatever name but config.json, is a saved model. */
vitrt_status vt_checkpoint_open_memory(const vitrt_allocator *a, const vitrt_buffer *buffers, size_t count, bool copy,
                                       struct vt_checkpoint **out, vitrt_error *err);
void vt_checkpoint_free(struct vt_checkpoint *c); /* NULL is allowed */

/* The folder or the saved model, or "memory": for messages. */
const char *vt_checkpoint_path(const struct vt_checkpoint *c);
/* Roots of config.json, of preprocessor_config.json and of a saved model's graph: objects, or VT_JSON_NONE where they
 * are not there. There is a config or a graph. */
vt_json vt_checkpoint_config(const struct vt_checkpoint *c);
vt_json vt_checkpoint_preprocessor(const struct vt_checkpoint *c);
vt_json vt_checkpoint_graph(const struct vt_checkpoint *c);

size_t vt_checkpoint_tensor_count(const struct vt_checkpoint *c);
const struct vt_tensor *vt_checkpoint_tensor(const struct vt_checkpoint *c, size_t i);       /* sorted by name */
const struct vt_tensor *vt_checkpoint_find(const struct vt_checkpoint *c, const char *name); /* binary search; NULL */

/* The file that a tensor lies in. */
struct vt_source;
const struct vt_source *vt_checkpoint_source(const struct vt_checkpoint *c, const struct vt_tensor *t);

/* Reads rows [row, row + rows) of the tensor seen as [shape[0], count / shape[0]] (a vector or scalar: [count, 1])
 * as f32 into dst. I8 rows are multiplied by their scale. scratch of scratch_bytes (>= VT_SCRATCH_BYTES, from
 * vt_alloc) holds raw bytes in between: no allocation. Values are converted exactly; a NaN or infinity is
 * VITRT_EFORMAT and names tensor and index. Thread-safe. */
vitrt_status vt_checkpoint_read_rows(const struct vt_checkpoint *c, const struct vt_tensor *t, uint64_t row,
                                     uint64_t rows, float *dst, void *scratch, size_t scratch_bytes, vitrt_error *err);

/* Rows of an I8 tensor as they are stored. Thread-safe. */
vitrt_status vt_checkpoint_read_codes(const struct vt_checkpoint *c, const struct vt_tensor *t, uint64_t row,
                                      uint64_t rows, int8_t *dst, vitrt_error *err);

#endif
