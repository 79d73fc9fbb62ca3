/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See save.h. The header is made in memory, the numbers stream through a small buffer. A weight keeps the type in which it was published unless something has to be computed (vt_fold, or parts of
 * several types), which gives f32.
 *
 * Tensors begin at multiples of VT_ALIGN. The format forbids gaps, so those whose size is such a multiple come first,
 * and what fills the gaps between the others are tensors, too.
 */
#include "save.h"

#include "float_env.h"
#include "graph_schema.h"
#include "graph_write.h"
#include "source.h"
#include "weight_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_BYTES ((size_t)1 << 18)
#define MAX_HEADER   ((size_t)100000000) /* of the format */
#define MAX_TRIES    1000

/* ---- Tensors of the file ---- */

enum content {
    CONTENT_RAW,    /* bytes as published */
    CONTENT_SCALES, /* of I8 rows */
    CONTENT_F32,    /* computed */
    CONTENT_MADE,   /* codes or numbers of vt_made_weight */
    CONTENT_MADE_SCALES,
    CONTENT_PADDING
};

struct item {
    enum content content;
    vt_weight weight; /* but for padding */
    enum vt_dtype dtype;
    uint64_t bytes;
};

struct save {
    const vitrt_model *model;
    const struct vt_graph *graph;
    const struct vt_made_weight *made; /* [graph->weight_count], or NULL */
    struct vt_graph_names names;
    struct item *items; /* in the order of the file */
    size_t item_count, item_capacity;
    struct vt_text header;
    vt_file file;
    char *memory; /* in place of the file */
    size_t memory_used;
    const char *path; /* for messages */
    unsigned char *buffer;
    size_t used; /* of it */
    vitrt_error *err;
};

/* Can the weight stay as it is stored? I8 of a vector that was published as a matrix has a scale that a vector would
 * not have. */
static bool stays(const struct vt_graph_weight *w, enum vt_dtype *dtype)
{
    const struct vt_tensor *first = NULL;
    for (uint32_t p = 0; p < w->part_count; p++) {
        const struct vt_tensor *t = w->parts[p].tensor;
        first = first ? first : t;
        if (t && (t->dtype != first->dtype || (t->scale && (w->form == VT_WEIGHT_VECTOR || w->parts[p].whole))))
            return false;
    }
    if (w->fold || !first)
        return false;
    *dtype = first->dtype;
    return true;
}

static bool has_scales(const struct vt_graph_weight *w)
{
    return w->parts[0].tensor && w->parts[0].tensor->scale;
}

static vitrt_status add_item(struct save *s, struct item item)
{
    if (!vt_grow(&s->graph->alloc, (void **)&s->items, &s->item_capacity, s->item_count + 1, sizeof *s->items))
        return vt_err_memory(s->err, (s->item_count + 1) * sizeof *s->items, "the list of tensors");
    s->items[s->item_count++] = item;
    return VITRT_OK;
}

/* Adds a tensor if it belongs to those that need no padding behind them, or to the others. */
static vitrt_status add_tensor(struct save *s, bool even, struct item item)
{
    const uint64_t rest = item.bytes % VT_ALIGN;
    if (even != !rest)
        return VITRT_OK;
    const vitrt_status st = add_item(s, item);
    return st || !rest ? st : add_item(s, (struct item){ CONTENT_PADDING, VT_NO_WEIGHT, VT_OTHER, VT_ALIGN - rest });
}

static const struct vt_made_weight *made_of(const struct save *s, vt_weight weight)
{
    const struct vt_made_weight *made = s->made ? &s->made[weight] : NULL;
    return made && (made->codes || made->numbers) ? made : NULL;
}

static bool are_scales(const struct item *item)
{
    return item->content == CONTENT_SCALES || item->content == CONTENT_MADE_SCALES;
}

/* The tensors of a weight, of those that are asked for. */
static vitrt_status add_weight(struct save *s, bool even, vt_weight weight)
{
    const struct vt_graph_weight *w = &s->graph->weights[weight];
    const struct vt_made_weight *made = made_of(s, weight);
    struct item item = { made ? CONTENT_MADE : CONTENT_F32, weight, VT_F32, 0 };
    if (made)
        item.dtype = made->codes ? VT_I8 : VT_F32;
    else if (stays(w, &item.dtype))
        item.content = CONTENT_RAW;
    item.bytes = w->rows * w->columns * vt_dtype_bytes(item.dtype);
    const vitrt_status st = add_tensor(s, even, item);
    const bool scales = made ? made->codes != NULL : item.content == CONTENT_RAW && has_scales(w);
    if (st || !scales)
        return st;
    return add_tensor(
        s, even, (struct item){ made ? CONTENT_MADE_SCALES : CONTENT_SCALES, weight, VT_F32, w->rows * sizeof(float) });
}

/* In the order in which nodes read them, which is the same when the model is saved again. */
static vitrt_status list_items(struct save *s)
{
    const struct vt_graph *g = s->graph;
    vitrt_status st = VITRT_OK;
    for (int even = 1; even >= 0; even--)
        for (size_t v = 0; v < g->node_count; v++)
            for (int slot = 0; slot < VT_ALL_SLOTS && !st; slot++) {
                const vt_weight w = vt_slot_weight(&g->nodes[v], slot);
                const struct vt_weight_use *first = w == VT_NO_WEIGHT ? NULL : &s->names.weights[w];
                if (first && first->node == (vt_value)v && first->slot == slot)
                    st = add_weight(s, even, w);
            }
    if (!st && s->item_count && s->items[s->item_count - 1].content == CONTENT_PADDING)
        s->item_count--; /* nothing follows */
    return st;
}

/* ---- Header ---- */

static void put_shape(struct vt_text *t, const struct vt_graph_weight *w, const struct item *item)
{
    const unsigned long long rows = w->rows, columns = w->columns, area = (uint64_t)w->kernel[0] * w->kernel[1];
    if (are_scales(item) || w->form == VT_WEIGHT_VECTOR)
        vt_text_format(t, "[%llu]", rows);
    else if (w->form == VT_WEIGHT_CONV)
        vt_text_format(t, "[%llu,%llu,%u,%u]", rows, columns / area, (unsigned)w->kernel[0], (unsigned)w->kernel[1]);
    else
        vt_text_format(t, "[%llu,%llu]", rows, columns);
}

static void put_item(struct save *s, const struct item *item, size_t number, uint64_t offset)
{
    static const char *const dtypes[] = { "F32", "F16", "BF16", "I8", "U8", "I16", "I32", "U8" };
    char name[VT_WEIGHT_NAME_SIZE + sizeof "_scale"];
    struct vt_text *t = &s->header;
    if (item->content == CONTENT_PADDING) {
        snprintf(name, sizeof name, VT_PADDING_PREFIX "%zu", number);
    } else {
        vt_weight_name(&s->names, item->weight, name);
        strcat(name, are_scales(item) ? "_scale" : "");
    }
    vt_text_put(t, ",", 1);
    vt_text_string(t, name, strlen(name));
    vt_text_format(t, ":{\"dtype\":\"%s\",\"shape\":", dtypes[item->dtype]);
    if (item->content == CONTENT_PADDING)
        vt_text_format(t, "[%" PRIu64 "]", item->bytes);
    else
        put_shape(t, &s->graph->weights[item->weight], item);
    vt_text_format(t, ",\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset, offset + item->bytes);
}

static void put_document(struct vt_text *t, const char *key, vt_json root)
{
    size_t n;
    if (!vt_json_type(root))
        return;
    const char *text = vt_json_document_text(root.document, &n);
    vt_text_format(t, ",\"%s\":", key);
    vt_text_string(t, text, n);
}

/* The length of the header, the header, and spaces up to a multiple of VT_ALIGN. */
static vitrt_status make_header(struct save *s)
{
    struct vt_text graph, *t = &s->header;
    const vitrt_model *m = s->model;
    vt_text_init(&graph, &m->alloc);
    vt_graph_write(s->graph, &s->names, &m->facts, &graph);
    vt_text_put(t, "\0\0\0\0\0\0\0\0", 8);
    vt_text_format(t, "{\"__metadata__\":{\"%s\":", VT_GRAPH_KEY);
    vt_text_string(t, graph.data, graph.size);
    t->failed = t->failed || graph.failed;
    vt_text_free(&graph);
    put_document(t, VT_CONFIG_KEY, vt_checkpoint_config(m->checkpoint));
    put_document(t, VT_PREPROCESSOR_KEY, vt_checkpoint_preprocessor(m->checkpoint));
    vt_text_put(t, "}", 1);
    uint64_t offset = 0;
    for (size_t i = 0; i < s->item_count; offset += s->items[i++].bytes)
        put_item(s, &s->items[i], i, offset);
    vt_text_put(t, "}", 1);
    while (t->size % VT_ALIGN && !t->failed)
        vt_text_put(t, " ", 1);
    if (t->failed)
        return vt_err_memory(s->err, t->capacity, "the header");
    const uint64_t n = t->size - 8;
    if (n > MAX_HEADER)
        return vt_err(s->err, VITRT_ELIMIT, "%s: a header of %" PRIu64 " bytes, at most %zu are allowed", s->path, n,
                      MAX_HEADER);
    for (int i = 0; i < 8; i++)
        t->data[i] = (char)(n >> 8 * i);
    return VITRT_OK;
}

/* ---- Data ---- */

static vitrt_status append(struct save *s, const void *data, size_t n)
{
    const char *reason = "";
    if (s->memory) {
        memcpy(s->memory + s->memory_used, data, n);
        s->memory_used += n;
        return VITRT_OK;
    }
    return vt_file_append(s->file, data, n, &reason)
               ? VITRT_OK
               : vt_err(s->err, VITRT_EIO, "%s: cannot be written: %s", s->path, reason);
}

static vitrt_status append_zeros(struct save *s, uint64_t bytes)
{
    vitrt_status st = VITRT_OK;
    memset(s->buffer, 0, bytes < BUFFER_BYTES ? (size_t)bytes : BUFFER_BYTES);
    for (size_t n; bytes && !st; bytes -= n) {
        n = bytes < BUFFER_BYTES ? (size_t)bytes : BUFFER_BYTES;
        st = append(s, s->buffer, n);
    }
    return st;
}

static vitrt_status append_tensor(struct save *s, const struct vt_tensor *t)
{
    const struct vt_source *source = vt_checkpoint_source(s->graph->checkpoint, t);
    vitrt_status st = VITRT_OK;
    for (uint64_t at = 0; at < t->bytes && !st;) {
        const size_t n = t->bytes - at < BUFFER_BYTES ? (size_t)(t->bytes - at) : BUFFER_BYTES;
        st = vt_source_read(source, t->offset + at, s->buffer, n, s->err);
        if (!st)
            st = append(s, s->buffer, n);
        at += n;
    }
    return st;
}

static vitrt_status append_raw(struct save *s, const struct vt_graph_weight *w, const struct item *item)
{
    vitrt_status st = VITRT_OK;
    for (uint32_t p = 0; p < w->part_count && !st; p++) {
        const struct vt_tensor *t = w->parts[p].tensor;
        if (t)
            st = append_tensor(s, item->content == CONTENT_SCALES ? t->scale : t);
        else
            st = append_zeros(s, w->parts[p].rows * w->columns * vt_dtype_bytes(item->dtype));
    }
    return st;
}

/* As many rows at a time as the buffer holds; a tensor that can only be read as a whole as that. */
static vitrt_status append_computed(struct save *s, const struct vt_graph_weight *w)
{
    const vitrt_allocator *a = &s->graph->alloc;
    const size_t row_bytes = vt_size_mul((size_t)w->columns, sizeof(float));
    uint64_t most = row_bytes < BUFFER_BYTES ? BUFFER_BYTES / row_bytes : 1;
    for (uint32_t p = 0; p < w->part_count; p++)
        most = w->parts[p].whole ? w->rows : most;
    most = most < w->rows ? most : w->rows;
    const size_t bytes = vt_size_mul((size_t)most, row_bytes);
    float *rows = vt_alloc(a, bytes);
    vitrt_status st = rows ? VITRT_OK : vt_err_memory(s->err, bytes, "rows of a weight");
    for (uint64_t row = 0; row < w->rows && !st; row += most) {
        const uint64_t n = w->rows - row < most ? w->rows - row : most;
        st = vt_read_weight_rows(s->graph->checkpoint, w, row, n, rows, s->buffer, BUFFER_BYTES, s->err);
        if (!st)
            st = append(s, rows, (size_t)n * row_bytes);
    }
    vt_free(a, rows, bytes);
    return st;
}

static vitrt_status append_item(struct save *s, const struct item *item)
{
    const struct vt_graph_weight *w = item->content == CONTENT_PADDING ? NULL : &s->graph->weights[item->weight];
    const struct vt_made_weight *made = w && s->made ? &s->made[item->weight] : NULL;
    switch (item->content) {
    case CONTENT_PADDING: return append_zeros(s, item->bytes);
    case CONTENT_F32: return append_computed(s, w);
    case CONTENT_MADE: return append(s, made->codes ? (const void *)made->codes : made->numbers, (size_t)item->bytes);
    case CONTENT_MADE_SCALES: return append(s, made->row_scales, (size_t)item->bytes);
    default: return append_raw(s, w, item);
    }
}

static vitrt_status append_all(struct save *s)
{
    vitrt_status st = append(s, s->header.data, s->header.size);
    for (size_t i = 0; i < s->item_count && !st; i++)
        st = append_item(s, &s->items[i]);
    return st;
}

/* ---- The file ---- */

/* Creates a file beside path under a name that nobody uses. */
static vitrt_status create_temporary(struct save *s, char *name, size_t size)
{
    const char *reason = "";
    bool exists = true;
    for (unsigned i = 0; i < MAX_TRIES && exists; i++) {
        snprintf(name, size, "%s.%" PRIu64 "-%" PRIu64 ".tmp", s->path, vt_process_id(), vt_clock_ns() + i);
        if (vt_file_create(name, &s->file, &exists, &reason))
            return VITRT_OK;
    }
    return vt_err(s->err, VITRT_EIO, "%s: cannot be written: %s", s->path, reason);
}

static vitrt_status write_file(struct save *s)
{
    const size_t size = strlen(s->path) + 64;
    const char *reason = "";
    char *name = vt_alloc(&s->graph->alloc, size);
    if (!name)
        return vt_err_memory(s->err, size, "a path");
    vitrt_status st = create_temporary(s, name, size);
    if (st)
        goto done;
    st = append_all(s);
    const bool on_disk = st || vt_file_sync(s->file, &reason);
    vt_file_close(s->file);
    if (!st && !(on_disk && vt_file_rename(name, s->path, &reason)))
        st = vt_err(s->err, VITRT_EIO, "%s: cannot be written: %s", s->path, reason);
    if (st)
        vt_file_remove(name);
done:
    vt_free(&s->graph->alloc, name, size);
    return st;
}

/* Into memory of the right size. */
static vitrt_status write_memory(struct save *s, char **out, size_t *bytes)
{
    *bytes = s->header.size;
    for (size_t i = 0; i < s->item_count; i++)
        *bytes = vt_size_add(*bytes, (size_t)s->items[i].bytes);
    s->memory = vt_alloc(&s->graph->alloc, *bytes);
    if (!s->memory)
        return vt_err_memory(s->err, *bytes, "the model");
    const vitrt_status st = append_all(s);
    if (st)
        vt_free(&s->graph->alloc, s->memory, *bytes);
    else
        *out = s->memory;
    return st;
}

/* memory NULL: to the file. */
static vitrt_status save(struct save *s, char **memory, size_t *bytes)
{
    if (s->graph->node_count > VT_MAX_NODES || s->graph->output_count > VT_MAX_OUTPUTS)
        return vt_err(s->err, VITRT_ELIMIT, "%s: %zu nodes and %zu outputs, at most %u and %u can be saved", s->path,
                      s->graph->node_count, s->graph->output_count, VT_MAX_NODES, VT_MAX_OUTPUTS);
    vitrt_status st = vt_graph_names_create(s->graph, &s->names, s->err);
    if (st)
        return st;
    st = list_items(s);
    vt_text_init(&s->header, &s->graph->alloc);
    if (!st)
        st = make_header(s);
    if (!st && !(s->buffer = vt_alloc(&s->graph->alloc, BUFFER_BYTES)))
        st = vt_err_memory(s->err, BUFFER_BYTES, "reading weights");
    if (!st)
        st = memory ? write_memory(s, memory, bytes) : write_file(s);
    vt_free(&s->graph->alloc, s->buffer, BUFFER_BYTES);
    vt_free(&s->graph->alloc, s->items, s->item_capacity * sizeof *s->items);
    vt_text_free(&s->header);
    vt_graph_names_free(&s->names);
    return st;
}

vitrt_status vt_save_to_memory(const vitrt_model *model, const struct vt_graph *graph,
                               const struct vt_made_weight *made, char **out, size_t *bytes, vitrt_error *err)
{
    struct save s = { .model = model,
                      .graph = graph,
                      .made = made,
                      .path = vt_checkpoint_path(graph->checkpoint),
                      .err = err,
                      .file = VT_FILE_NONE };
    *out = NULL;
    return save(&s, out, bytes);
}

vitrt_status vitrt_model_save(const vitrt_model *model, const char *path, vitrt_error *err)
{
    if (!model || !path || !*path)
        return vt_err(err, VITRT_EINVAL, "%s is missing", model ? "the path" : "the model");
    struct save s = { .model = model, .graph = &model->graph, .path = path, .err = err, .file = VT_FILE_NONE };
    vt_float_env env;
    vt_float_env_enter(&env);
    const vitrt_status st = save(&s, NULL, NULL);
    vt_float_env_leave(&env);
    return st;
}
