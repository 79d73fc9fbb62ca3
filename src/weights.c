/* SPDX-License-Identifier: Apache-2.0 */
/* The store of packed weights; see weights.h. Rows stream through one panel's worth of memory, so that packing needs
 * little beyond the result. */
#include "weights.h"

#include "os.h"
#include "weight_rows.h"

#include <assert.h>
#include <string.h>

#define READ_SCRATCH_BYTES ((size_t)1 << 18)

struct entry {
    vt_weight weight;
    enum vt_layout layout;
    vt_pack_fn *pack; /* of panels: two kernels that pack alike share them */
    void *data;       /* in a block */
};

/* Memory for many weights, filled from its beginning. */
struct block {
    char *data;
    size_t bytes, used;
};

struct vt_weights {
    vitrt_allocator alloc;
    const struct vt_graph *graph;
    struct entry *entries;
    size_t count, capacity;
    struct block *blocks;
    size_t block_count, block_capacity;
    vt_mutex mutex;
    bool has_mutex;
};

/* Where rows go on their way into the packed form. */
struct staging {
    float *rows;      /* nr rows; int8_t for integer panels */
    vt_bf16 *rounded; /* the same for bf16 panels */
    float *stored;    /* one row in the file's order, for convolutions; int8_t as above */
    void *raw;
    size_t rows_bytes, rounded_bytes, stored_bytes;
};

vitrt_status vt_weights_create(const struct vt_graph *graph, struct vt_weights **out, vitrt_error *err)
{
    struct vt_weights *w = vt_calloc(&graph->alloc, 1, sizeof *w);
    *out = w;
    if (!w)
        return vt_err_memory(err, sizeof *w, "the weight store");
    w->alloc = graph->alloc;
    w->graph = graph;
    w->has_mutex = vt_mutex_init(&w->mutex);
    if (w->has_mutex)
        return VITRT_OK;
    vt_weights_free(w);
    *out = NULL;
    return vt_err(err, VITRT_ENOMEM, "the system has no room for a mutex");
}

void vt_weights_free(struct vt_weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->block_count; i++)
        vt_free(&w->alloc, w->blocks[i].data, w->blocks[i].bytes);
    vt_free(&w->alloc, w->blocks, w->block_capacity * sizeof *w->blocks);
    vt_free(&w->alloc, w->entries, w->capacity * sizeof *w->entries);
    if (w->has_mutex)
        vt_mutex_destroy(&w->mutex);
    vt_free(&w->alloc, w, sizeof *w);
}

enum vt_layout vt_layout_of(enum vt_product product)
{
    switch (product) {
    case VT_PRODUCT_BF16: return VT_LAYOUT_PANELS_BF16;
    case VT_PRODUCT_U8S8: return VT_LAYOUT_PANELS_U8S8;
    default: return VT_LAYOUT_PANELS_F32;
    }
}

/* The kernel whose panels a layout means; NULL for plain ones. */
static const struct vt_gemm_kernel *kernel_of(enum vt_layout layout, const struct vt_kernels *kernels)
{
    switch (layout) {
    case VT_LAYOUT_PANELS_F32: return &kernels->gemm[VT_PRODUCT_F32];
    case VT_LAYOUT_PANELS_BF16: return &kernels->gemm[VT_PRODUCT_BF16];
    case VT_LAYOUT_PANELS_U8S8: return &kernels->gemm[VT_PRODUCT_U8S8];
    case VT_LAYOUT_ROW_SCALES:
    case VT_LAYOUT_PLAIN:
    case VT_LAYOUT_TRANSPOSED: break;
    }
    return NULL;
}

static size_t element_bytes(enum vt_layout layout)
{
    return layout == VT_LAYOUT_PANELS_BF16 ? sizeof(vt_bf16) : layout == VT_LAYOUT_PANELS_U8S8 ? 1 : sizeof(float);
}

/* Bytes of one panel for weights with k columns. */
static size_t panel_bytes(enum vt_layout layout, const struct vt_gemm_kernel *kernel, size_t k)
{
    return vt_size_mul(vt_size_mul(vt_round_up(k, kernel->kr), kernel->nr), element_bytes(layout));
}

size_t vt_weights_bytes(const struct vt_graph *graph, vt_weight weight, enum vt_layout layout,
                        const struct vt_kernels *kernels)
{
    if (weight == VT_NO_WEIGHT)
        return 0;
    const struct vt_graph_weight *g = &graph->weights[weight];
    const struct vt_gemm_kernel *kernel = kernel_of(layout, kernels);
    if (kernel)
        return vt_size_mul(vt_size_mul(vt_round_up((size_t)g->rows / g->groups, kernel->nr) / kernel->nr, g->groups),
                           panel_bytes(layout, kernel, (size_t)g->columns));
    const size_t columns = layout == VT_LAYOUT_ROW_SCALES ? 1 : (size_t)g->columns;
    const size_t count = vt_size_add(vt_size_mul((size_t)g->rows, columns), VT_PLAIN_PADDING);
    return vt_size_mul(count, element_bytes(layout));
}

/* [in, kh * kw] as stored to [kh * kw, in]: channels last. */
static void channels_last(const float *stored, size_t channels, size_t area, float *row)
{
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < area; i++)
            row[i * channels + c] = stored[c * area + i];
}

static void codes_last(const int8_t *stored, size_t channels, size_t area, int8_t *row)
{
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < area; i++)
            row[i * channels + c] = stored[c * area + i];
}

/* Rows [row, row + n) in the order used. */
static vitrt_status read_rows(const struct vt_weights *w, const struct vt_graph_weight *g, uint64_t row, uint64_t n,
                              const struct staging *s, float *dst, vitrt_error *err)
{
    const struct vt_checkpoint *c = w->graph->checkpoint;
    if (g->form != VT_WEIGHT_CONV)
        return vt_read_weight_rows(c, g, row, n, dst, s->raw, READ_SCRATCH_BYTES, err);
    const size_t area = (size_t)g->kernel[0] * g->kernel[1], columns = (size_t)g->columns;
    for (uint64_t i = 0; i < n; i++) {
        const vitrt_status st = vt_read_weight_rows(c, g, row + i, 1, s->stored, s->raw, READ_SCRATCH_BYTES, err);
        if (st)
            return st;
        channels_last(s->stored, columns / area, area, dst + i * columns);
    }
    return VITRT_OK;
}

/* The same of a weight of type I8. */
static vitrt_status read_codes(const struct vt_weights *w, const struct vt_graph_weight *g, uint64_t row, uint64_t n,
                               const struct staging *s, int8_t *dst, vitrt_error *err)
{
    const struct vt_checkpoint *c = w->graph->checkpoint;
    if (g->form != VT_WEIGHT_CONV)
        return vt_read_weight_codes(c, g, row, n, dst, err);
    const size_t area = (size_t)g->kernel[0] * g->kernel[1], columns = (size_t)g->columns;
    for (uint64_t i = 0; i < n; i++) {
        int8_t *stored = (int8_t *)s->stored;
        const vitrt_status st = vt_read_weight_codes(c, g, row + i, 1, stored, err);
        if (st)
            return st;
        codes_last(stored, columns / area, area, dst + i * columns);
    }
    return VITRT_OK;
}

static vitrt_status fill_panels(const struct vt_weights *w, const struct vt_graph_weight *g, enum vt_layout layout,
                                const struct vt_kernels *kernels, const struct staging *s, char *data, vitrt_error *err)
{
    const struct vt_gemm_kernel *kernel = kernel_of(layout, kernels);
    const size_t k = (size_t)g->columns, bytes = panel_bytes(layout, kernel, k);
    const uint64_t of_group = g->rows / g->groups;
    for (uint64_t row = 0, n; row < g->rows; row += n, data += bytes) {
        const uint64_t left = of_group - row % of_group;
        n = left < kernel->nr ? left : kernel->nr;
        const bool codes = layout == VT_LAYOUT_PANELS_U8S8;
        const vitrt_status st =
            codes ? read_codes(w, g, row, n, s, (int8_t *)s->rows, err) : read_rows(w, g, row, n, s, s->rows, err);
        if (st)
            return st;
        if (s->rounded)
            kernels->to_bf16((size_t)n * k, s->rows, s->rounded);
        kernel->pack_rows((size_t)n, k, s->rounded ? (const void *)s->rounded : s->rows, k, data);
    }
    return VITRT_OK;
}

static vitrt_status fill_transposed(const struct vt_weights *w, const struct vt_graph_weight *g,
                                    const struct staging *s, float *data, vitrt_error *err)
{
    for (uint64_t row = 0; row < g->rows; row++) {
        const vitrt_status st = read_rows(w, g, row, 1, s, s->rows, err);
        if (st)
            return st;
        for (uint64_t c = 0; c < g->columns; c++)
            data[c * g->rows + row] = s->rows[c];
    }
    return VITRT_OK;
}

static vitrt_status fill(const struct vt_weights *w, struct entry *e, const struct vt_kernels *kernels,
                         vitrt_error *err)
{
    const struct vt_graph_weight *g = &w->graph->weights[e->weight];
    const struct vt_gemm_kernel *kernel = kernel_of(e->layout, kernels);
    struct staging s = { 0 };
    vitrt_status st = VITRT_OK;
    if (e->layout != VT_LAYOUT_PLAIN)
        s.rows_bytes = vt_size_mul(vt_size_mul((size_t)g->columns, kernel ? kernel->nr : 1), sizeof(float));
    if (e->layout == VT_LAYOUT_PANELS_BF16)
        s.rounded_bytes = s.rows_bytes / 2;
    if (g->form == VT_WEIGHT_CONV)
        s.stored_bytes = vt_size_mul((size_t)g->columns, sizeof(float));
    s.raw = vt_alloc(&w->alloc, READ_SCRATCH_BYTES);
    s.rows = vt_alloc(&w->alloc, s.rows_bytes);
    s.rounded = vt_alloc(&w->alloc, s.rounded_bytes);
    s.stored = vt_alloc(&w->alloc, s.stored_bytes);
    if (!s.raw || (s.rows_bytes && !s.rows) || (s.rounded_bytes && !s.rounded) || (s.stored_bytes && !s.stored))
        st =
            vt_err_memory(err, READ_SCRATCH_BYTES + s.rows_bytes + s.rounded_bytes + s.stored_bytes, "reading weights");
    else if (kernel)
        st = fill_panels(w, g, e->layout, kernels, &s, e->data, err);
    else if (e->layout == VT_LAYOUT_TRANSPOSED)
        st = fill_transposed(w, g, &s, e->data, err);
    else if (e->layout == VT_LAYOUT_ROW_SCALES)
        st = vt_read_row_scales(w->graph->checkpoint, g, e->data, s.raw, READ_SCRATCH_BYTES, err);
    else
        st = read_rows(w, g, 0, g->rows, &s, e->data, err);
    vt_free(&w->alloc, s.raw, READ_SCRATCH_BYTES);
    vt_free(&w->alloc, s.rows, s.rows_bytes);
    vt_free(&w->alloc, s.rounded, s.rounded_bytes);
    vt_free(&w->alloc, s.stored, s.stored_bytes);
    return st;
}

static const struct entry *find(const struct vt_weights *w, const struct vt_weight_request *r,
                                const struct vt_kernels *kernels)
{
    const struct vt_gemm_kernel *kernel = kernel_of(r->layout, kernels);
    for (size_t i = 0; i < w->count; i++) {
        const struct entry *e = &w->entries[i];
        if (e->weight == r->weight && e->layout == r->layout && e->pack == (kernel ? kernel->pack_rows : NULL))
            return e;
    }
    return NULL;
}

/* Bytes of a request in a block. */
static size_t room_of(const struct vt_weights *w, const struct vt_weight_request *r, const struct vt_kernels *kernels)
{
    return vt_round_up(vt_weights_bytes(w->graph, r->weight, r->layout, kernels), VT_ALIGN);
}

/* Bytes of what is not there yet, each weight counted once. */
static size_t missing_bytes(const struct vt_weights *w, const struct vt_weight_request *requests, size_t count,
                            const struct vt_kernels *kernels)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const struct vt_weight_request *r = &requests[i];
        bool known = r->weight == VT_NO_WEIGHT || find(w, r, kernels);
        for (size_t k = 0; k < i && !known; k++)
            known = requests[k].weight == r->weight && requests[k].layout == r->layout;
        bytes = known ? bytes : vt_size_add(bytes, room_of(w, r, kernels));
    }
    return bytes;
}

/* Sees to it that the last block has so much room. */
static vitrt_status make_room(struct vt_weights *w, size_t bytes, vitrt_error *err)
{
    const struct block *last = w->block_count ? &w->blocks[w->block_count - 1] : NULL;
    if (!bytes || (last && last->bytes - last->used >= bytes))
        return VITRT_OK;
    if (!vt_grow(&w->alloc, (void **)&w->blocks, &w->block_capacity, w->block_count + 1, sizeof *w->blocks))
        return vt_err_memory(err, (w->block_count + 1) * sizeof *w->blocks, "the weight store");
    const struct block b = { .data = vt_alloc(&w->alloc, bytes), .bytes = bytes };
    if (!b.data)
        return vt_err_memory(err, bytes, "packed weights");
    w->blocks[w->block_count++] = b;
    return VITRT_OK;
}

/* Fills a new entry from the last block, which has room for it. */
static vitrt_status add_entry(struct vt_weights *w, const struct vt_weight_request *r, const struct vt_kernels *kernels,
                              vitrt_error *err)
{
    const struct vt_graph_weight *g = &w->graph->weights[r->weight];
    const struct vt_gemm_kernel *kernel = kernel_of(r->layout, kernels);
    if (!vt_grow(&w->alloc, (void **)&w->entries, &w->capacity, w->count + 1, sizeof *w->entries))
        return vt_err_memory(err, (w->count + 1) * sizeof *w->entries, "the weight store");
    struct block *b = &w->blocks[w->block_count - 1];
    assert(b->bytes - b->used >= room_of(w, r, kernels));
    struct entry e = {
        .weight = r->weight, .layout = r->layout, .pack = kernel ? kernel->pack_rows : NULL, .data = b->data + b->used
    };
    if (!kernel) {
        const size_t columns = r->layout == VT_LAYOUT_ROW_SCALES ? 1 : (size_t)g->columns;
        const size_t used = (size_t)g->rows * columns * sizeof(float);
        memset((char *)e.data + used, 0, vt_weights_bytes(w->graph, r->weight, r->layout, kernels) - used);
    }
    const vitrt_status st = fill(w, &e, kernels, err);
    if (st)
        return st;
    b->used += room_of(w, r, kernels);
    w->entries[w->count++] = e;
    return VITRT_OK;
}

vitrt_status vt_weights_load(struct vt_weights *w, struct vt_weight_request *requests, size_t count,
                             const struct vt_kernels *kernels, vitrt_error *err)
{
    vt_mutex_lock(&w->mutex);
    vitrt_status st = make_room(w, missing_bytes(w, requests, count, kernels), err);
    for (size_t i = 0; i < count && !st; i++) {
        struct vt_weight_request *r = &requests[i];
        r->data = NULL;
        if (r->weight == VT_NO_WEIGHT)
            continue;
        const struct entry *e = find(w, r, kernels);
        if (!e)
            st = add_entry(w, r, kernels, err);
        if (!st)
            r->data = e ? e->data : w->entries[w->count - 1].data;
    }
    vt_mutex_unlock(&w->mutex);
    return st;
}
