/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a checkpoint: finds its files, parses its documents, collects its tensors; see checkpoint.h. How rows are read
 * is in checkpoint_read.c.
 */
#include "checkpoint.h"

#include "documents.h"
#include "safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHARDS 4096
#define NAME       "%.160s"

#define CONFIG       "config.json"
#define PREPROCESSOR "preprocessor_config.json"
#define WEIGHTS      "model.safetensors"
#define INDEX        VT_INDEX_FILE
#define PICKLE       "pytorch_model.bin"
#define SCALE_SUFFIX "_scale"

struct vt_checkpoint {
    vitrt_allocator allocator;
    char *path;
    struct vt_json_document *config, *preprocessor, *graph;
    struct vt_source *shards;
    size_t shard_count, shard_capacity;
    unsigned source_flags;         /* of weight files */
    struct vt_tensor_list tensors; /* sorted by name */
};

/* Opens a safetensors file as the next shard and reads its tensors and its header, if that is wanted. */
static vitrt_status open_shard(struct vt_checkpoint *c, const struct vt_origin *o, const char *name,
                               struct vt_tensor_list *tensors, struct vt_json_document **header, vitrt_error *err)
{
    const vitrt_allocator *a = &c->allocator;
    if (c->shard_count == MAX_SHARDS)
        return vt_err(err, VITRT_ELIMIT, "%s: more than %d weight files", o->path, MAX_SHARDS);
    if (!vt_grow(a, (void **)&c->shards, &c->shard_capacity, c->shard_count + 1, sizeof *c->shards))
        return vt_err_memory(err, (c->shard_count + 1) * sizeof *c->shards, "the list of weight files");
    struct vt_source *s = &c->shards[c->shard_count];
    const vitrt_status st = vt_source_open(a, o, name, c->source_flags, s, err);
    if (st)
        return st;
    const uint32_t shard = (uint32_t)c->shard_count++;
    return header ? vt_safetensors_open(a, s, shard, tensors, header, err)
                  : vt_safetensors_read(a, s, shard, tensors, err);
}

/* ---- Sharded checkpoints ---- */

/* Moves the tensors that entries (all of one file, sorted) name out of the file's sorted list. */
static vitrt_status take_tensors(struct vt_checkpoint *c, const struct vt_weight_place *entries, size_t count,
                                 struct vt_tensor_list *from, vitrt_error *err)
{
    if (!vt_grow(&c->allocator, (void **)&c->tensors.items, &c->tensors.capacity, c->tensors.count + count,
                 sizeof *from->items))
        return vt_err_memory(err, (c->tensors.count + count) * sizeof *from->items, "the list of tensors");
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        const struct vt_weight_place *e = &entries[i];
        if (i && strcmp(e->name, entries[i - 1].name) == 0)
            return vt_err(err, VITRT_EFORMAT, "%s/" INDEX ": tensor " NAME " is there twice", c->path, e->name);
        while (next < from->count && strcmp(from->items[next].name, e->name) < 0)
            next++;
        if (next == from->count || strcmp(from->items[next].name, e->name) != 0)
            return vt_err(err, VITRT_EFORMAT, "%s/" INDEX ": tensor " NAME " is not in %.100s, where it should be",
                          c->path, e->name, e->file);
        c->tensors.items[c->tensors.count++] = from->items[next];
        from->items[next++].name = NULL;
    }
    return VITRT_OK;
}

static vitrt_status open_sharded(struct vt_checkpoint *c, const struct vt_origin *o, vitrt_error *err)
{
    const vitrt_allocator *a = &c->allocator;
    struct vt_json_document *index = NULL;
    struct vt_weight_map entries = { 0 };
    vitrt_status st = vt_document_read(a, o, INDEX, &index, err);
    if (st)
        return st;
    st = vt_weight_map_read(a, c->path, vt_json_get(vt_json_root(index), "weight_map"), &entries, err);
    for (size_t i = 0, n = 0; !st && i < entries.count; i += n) {
        const struct vt_weight_place *e = &entries.items[i];
        for (n = 1; i + n < entries.count && strcmp(e[n].file, e->file) == 0;)
            n++;
        struct vt_tensor_list tensors = { 0 };
        st = open_shard(c, o, e->file, &tensors, NULL, err);
        if (!st)
            st = take_tensors(c, e, n, &tensors, err);
        vt_tensor_list_free(a, &tensors);
    }
    if (!st)
        st = vt_tensor_list_sort(&c->tensors, c->path, err);
    vt_weight_map_free(a, &entries);
    vt_json_free(index);
    return st;
}

/* ---- Opening ---- */

/* Finds the scale of every tensor that needs one. */
static vitrt_status link_scales(struct vt_checkpoint *c, vitrt_error *err)
{
    const vitrt_allocator *a = &c->allocator;
    for (size_t i = 0; i < c->tensors.count; i++) {
        struct vt_tensor *t = &c->tensors.items[i];
        if (t->dtype != VT_I8 || t->rank < 2)
            continue;
        const size_t n = strlen(t->name);
        char *name = vt_alloc(a, n + sizeof SCALE_SUFFIX);
        if (!name)
            return vt_err_memory(err, n + sizeof SCALE_SUFFIX, "the name of a tensor");
        memcpy(name, t->name, n);
        memcpy(name + n, SCALE_SUFFIX, sizeof SCALE_SUFFIX);
        const struct vt_tensor *scale = vt_checkpoint_find(c, name);
        vt_free(a, name, n + sizeof SCALE_SUFFIX);
        if (!scale)
            return vt_err(err, VITRT_EFORMAT,
                          "%s: tensor " NAME " is I8 and has no scale, expected a tensor of its name with " SCALE_SUFFIX
                          " appended",
                          c->path, t->name);
        if (scale->dtype != VT_F32 || scale->rank != 1 || scale->shape[0] != t->shape[0])
            return vt_err(err, VITRT_EFORMAT,
                          "%s: tensor " NAME ": %s of rank %u and %" PRIu64
                          " elements, expected the F32 scales [%" PRIu64 "] of an I8 tensor",
                          c->path, scale->name, scale->dtype_name, scale->rank, scale->count, t->shape[0]);
        t->scale = scale;
    }
    return VITRT_OK;
}

static vitrt_status open_weights(struct vt_checkpoint *c, const struct vt_origin *o, vitrt_error *err)
{
    const vitrt_allocator *a = &c->allocator;
    bool single = false, sharded = false, pickle = false;
    vitrt_status st = vt_origin_has(a, o, WEIGHTS, &single, err);
    if (!st)
        st = vt_origin_has(a, o, INDEX, &sharded, err);
    if (!st)
        st = vt_origin_has(a, o, PICKLE, &pickle, err);
    if (st)
        return st;
    if (single)
        return open_shard(c, o, WEIGHTS, &c->tensors, NULL, err);
    if (sharded)
        return open_sharded(c, o, err);
    if (pickle)
        return vt_err(err, VITRT_EUNSUPPORTED,
                      "%s: the weights are a Python pickle (" PICKLE "), which can run any code when read; "
                      "expected " WEIGHTS,
                      c->path);
    return vt_err(err, VITRT_EIO, "%s: no weights there, expected " WEIGHTS " or " INDEX, c->path);
}

static vitrt_status open_documents(struct vt_checkpoint *c, const struct vt_origin *o, vitrt_error *err)
{
    const vitrt_allocator *a = &c->allocator;
    bool has_preprocessor = false;
    vitrt_status st = vt_origin_has(a, o, PREPROCESSOR, &has_preprocessor, err);
    if (!st)
        st = vt_document_read(a, o, CONFIG, &c->config, err);
    if (!st && has_preprocessor)
        st = vt_document_read(a, o, PREPROCESSOR, &c->preprocessor, err);
    return st;
}

static vitrt_status open_published(struct vt_checkpoint *c, const struct vt_origin *o, vitrt_error *err)
{
    const vitrt_status st = open_documents(c, o, err);
    return st ? st : open_weights(c, o, err);
}

/* ---- Saved models ---- */

/* Parses a text that the metadata may have under that key. */
static vitrt_status read_embedded(const struct vt_checkpoint *c, vt_json metadata, const char *key,
                                  struct vt_json_document **out, vitrt_error *err)
{
    const vitrt_allocator *a = &c->allocator;
    const char *file = c->shards[0].label;
    const vt_json v = vt_json_get(metadata, key);
    if (!vt_json_type(v))
        return VITRT_OK;
    vitrt_status st = VITRT_OK;
    const size_t label_bytes = strlen(file) + strlen(key) + sizeof ": ";
    char *text = vt_json_dup_string(a, v), *label = vt_alloc(a, label_bytes);
    if (text && label) {
        snprintf(label, label_bytes, "%s: %s", file, key);
        st = vt_document_parse(a, label, text, strlen(text), out, err);
    } else {
        st = vt_err_memory(err, label_bytes, file);
    }
    vt_free(a, text, vt_strsize(text));
    vt_free(a, label, label_bytes);
    return st;
}

/* name: the file with the graph. */
static vitrt_status open_saved(struct vt_checkpoint *c, const struct vt_origin *o, const char *name, vitrt_error *err)
{
    struct vt_json_document *header = NULL;
    vitrt_status st = open_shard(c, o, name, &c->tensors, &header, err);
    const vt_json metadata = vt_json_get(vt_json_root(header), "__metadata__");
    if (!st)
        st = read_embedded(c, metadata, VT_GRAPH_KEY, &c->graph, err);
    if (!st)
        st = read_embedded(c, metadata, VT_CONFIG_KEY, &c->config, err);
    if (!st)
        st = read_embedded(c, metadata, VT_PREPROCESSOR_KEY, &c->preprocessor, err);
    if (!st && !c->graph)
        st = vt_err(err, VITRT_EUNSUPPORTED,
                    "%s is a weight file without " VT_GRAPH_KEY
                    " in its metadata, expected a saved model, or a folder with weights and " CONFIG,
                    c->shards[0].label);
    vt_json_free(header);
    return st;
}

/* Finds out what there is to open. */
static vitrt_status open_files(struct vt_checkpoint *c, const struct vt_origin *o, bool is_file, vitrt_error *err)
{
    const vitrt_allocator *a = &c->allocator;
    bool has_config = false, has_weights = false;
    if (is_file)
        return open_saved(c, o, "", err);
    vitrt_status st = vt_origin_has(a, o, CONFIG, &has_config, err);
    if (!st && !has_config)
        st = vt_origin_has(a, o, WEIGHTS, &has_weights, err);
    if (st)
        return st;
    if (has_config)
        return open_published(c, o, err);
    if (has_weights)
        return open_saved(c, o, WEIGHTS, err);
    if (o->count == 1)
        return open_saved(c, o, o->buffers[0].name, err);
    return vt_err(err, VITRT_EIO, "%s: no " CONFIG " there, expected a checkpoint with " CONFIG " and " WEIGHTS,
                  c->path);
}

static vitrt_status open_checkpoint(const vitrt_allocator *a, const struct vt_origin *o, bool is_file,
                                    unsigned source_flags, struct vt_checkpoint **out, vitrt_error *err)
{
    struct vt_checkpoint *c = vt_calloc(a, 1, sizeof *c);
    if (!c)
        return vt_err_memory(err, sizeof *c, o->path);
    vitrt_status st = VITRT_OK;
    c->allocator = *a;
    c->source_flags = source_flags;
    c->path = vt_strndup(a, o->path, strlen(o->path));
    if (!c->path)
        st = vt_err_memory(err, strlen(o->path) + 1, "a path");
    if (!st)
        st = open_files(c, o, is_file, err);
    if (!st)
        st = link_scales(c, err);
    if (st)
        vt_checkpoint_free(c);
    else
        *out = c;
    return st;
}

vitrt_status vt_checkpoint_open(const vitrt_allocator *a, const char *path, bool map, struct vt_checkpoint **out,
                                vitrt_error *err)
{
    *out = NULL;
    if (!path || !*path)
        return vt_err(err, VITRT_EINVAL, "no path of a checkpoint folder or of a saved model was given");
    if (!vt_file_exists(path))
        return vt_err(err, VITRT_EIO, "%s: no such folder or file", path);
    return open_checkpoint(a, &(struct vt_origin){ .path = path }, !vt_is_directory(path), map ? VT_SOURCE_MAP : 0, out,
                           err);
}

vitrt_status vt_checkpoint_open_memory(const vitrt_allocator *a, const vitrt_buffer *buffers, size_t count, bool copy,
                                       struct vt_checkpoint **out, vitrt_error *err)
{
    *out = NULL;
    if (!buffers || !count)
        return vt_err(err, VITRT_EINVAL,
                      "no buffers were given, expected " CONFIG " and " WEIGHTS ", or a saved model");
    for (size_t i = 0; i < count; i++)
        if (!buffers[i].name || (!buffers[i].data && buffers[i].size))
            return vt_err(err, VITRT_EINVAL, "buffer %zu has no %s", i, buffers[i].name ? "data" : "name");
    return open_checkpoint(a, &(struct vt_origin){ "memory", buffers, count }, false, copy ? VT_SOURCE_COPY : 0, out,
                           err);
}

void vt_checkpoint_free(struct vt_checkpoint *c)
{
    if (!c)
        return;
    const vitrt_allocator a = c->allocator;
    for (size_t i = 0; i < c->shard_count; i++)
        vt_source_close(&a, &c->shards[i]);
    vt_free(&a, c->shards, c->shard_capacity * sizeof *c->shards);
    vt_tensor_list_free(&a, &c->tensors);
    vt_json_free(c->graph);
    vt_json_free(c->preprocessor);
    vt_json_free(c->config);
    vt_free(&a, c->path, vt_strsize(c->path));
    vt_free(&a, c, sizeof *c);
}

/* ---- Looking at it ---- */

const char *vt_checkpoint_path(const struct vt_checkpoint *c)
{
    return c->path;
}

vt_json vt_checkpoint_config(const struct vt_checkpoint *c)
{
    return vt_json_root(c->config);
}

vt_json vt_checkpoint_preprocessor(const struct vt_checkpoint *c)
{
    return vt_json_root(c->preprocessor);
}

vt_json vt_checkpoint_graph(const struct vt_checkpoint *c)
{
    return vt_json_root(c->graph);
}

size_t vt_checkpoint_tensor_count(const struct vt_checkpoint *c)
{
    return c->tensors.count;
}

const struct vt_tensor *vt_checkpoint_tensor(const struct vt_checkpoint *c, size_t i)
{
    return &c->tensors.items[i];
}

const struct vt_tensor *vt_checkpoint_find(const struct vt_checkpoint *c, const char *name)
{
    size_t low = 0, high = c->tensors.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, c->tensors.items[middle].name);
        if (order == 0)
            return &c->tensors.items[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct vt_source *vt_checkpoint_source(const struct vt_checkpoint *c, const struct vt_tensor *t)
{
    return &c->shards[t->shard];
}
