/* SPDX-License-Identifier: Apache-2.0 */
/* Reads safetensors headers; see safetensors.h. Every number of the file is compared with its bound before it is
 * used. */
#include "safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 8
#define MAX_HEADER   UINT64_C(100000000)
#define NAME         "%.160s" /* a name may fill the whole message otherwise */

/* ---- Lists of tensors ---- */

void vt_tensor_list_free(const vitrt_allocator *a, struct vt_tensor_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        vt_free(a, (char *)list->items[i].name, vt_strsize(list->items[i].name));
    vt_free(a, list->items, list->capacity * sizeof *list->items);
    *list = (struct vt_tensor_list){ 0 };
}

static int compare_names(const void *x, const void *y)
{
    const struct vt_tensor *a = x, *b = y;
    return strcmp(a->name, b->name);
}

static int compare_offsets(const void *x, const void *y)
{
    const struct vt_tensor *a = x, *b = y;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return (a->bytes != 0) - (b->bytes != 0); /* an empty tensor stands before the one that starts at its offset */
}

vitrt_status vt_tensor_list_sort(struct vt_tensor_list *list, const char *label, vitrt_error *err)
{
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, compare_names);
    for (size_t i = 1; i < list->count; i++)
        if (strcmp(list->items[i - 1].name, list->items[i].name) == 0)
            return vt_err(err, VITRT_EFORMAT, "%s: tensor " NAME " is there twice", label, list->items[i].name);
    return VITRT_OK;
}

/* ---- One tensor ---- */

struct dtype {
    const char *name;
    enum vt_dtype dtype;
    unsigned bits;
};

static const struct dtype dtypes[] = {
    { "F32", VT_F32, 32 },      { "F16", VT_F16, 16 },      { "BF16", VT_BF16, 16 },    { "I8", VT_I8, 8 },
    { "F64", VT_OTHER, 64 },    { "C64", VT_OTHER, 64 },    { "I64", VT_OTHER, 64 },    { "U64", VT_OTHER, 64 },
    { "I32", VT_OTHER, 32 },    { "U32", VT_OTHER, 32 },    { "I16", VT_OTHER, 16 },    { "U16", VT_OTHER, 16 },
    { "U8", VT_OTHER, 8 },      { "BOOL", VT_OTHER, 8 },    { "F8_E5M2", VT_OTHER, 8 }, { "F8_E4M3", VT_OTHER, 8 },
    { "F8_E8M0", VT_OTHER, 8 }, { "F6_E2M3", VT_OTHER, 6 }, { "F6_E3M2", VT_OTHER, 6 }, { "F4", VT_OTHER, 4 },
};

/* What the functions below read from and report about. */
struct reader {
    const struct vt_source *source;
    uint64_t data_begin; /* offset of the data section in the file */
    uint64_t data_size;
    vitrt_error *err;
};

static vitrt_status read_dtype(const struct reader *r, vt_json v, struct vt_tensor *t, unsigned *bits)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (vt_json_is(v, dtypes[i].name)) {
            t->dtype = dtypes[i].dtype;
            strcpy(t->dtype_name, dtypes[i].name);
            *bits = dtypes[i].bits;
            return VITRT_OK;
        }
    size_t n;
    const char *text = vt_json_text(v, &n);
    return vt_err(r->err, VITRT_EFORMAT,
                  "%s: tensor " NAME ": unknown dtype '%.*s', expected F32, F16, BF16, I8 or another of safetensors",
                  r->source->label, t->name, (int)(n < 40 ? n : 40), text ? text : "");
}

static vitrt_status read_shape(const struct reader *r, vt_json v, struct vt_tensor *t)
{
    const size_t rank = vt_json_count(v);
    if (vt_json_type(v) != VT_JSON_ARRAY)
        return vt_err(r->err, VITRT_EFORMAT, "%s: tensor " NAME ": shape is missing or not a list", r->source->label,
                      t->name);
    if (rank > VT_MAX_RANK)
        return vt_err(r->err, VITRT_EUNSUPPORTED, "%s: tensor " NAME ": rank %zu, expected at most %d",
                      r->source->label, t->name, rank, VT_MAX_RANK);
    uint64_t product = 1; /* of the extents that are not 0, so that a 0 hides no overflow */
    bool empty = false;
    t->rank = 0;
    for (vt_json_iterator it = vt_json_first(v); it.left; vt_json_next(&it)) {
        uint64_t extent;
        if (!vt_json_to_u64(it.value, &extent))
            return vt_err(r->err, VITRT_EFORMAT,
                          "%s: tensor " NAME ": extent %u of the shape is not a number from 0 to 2^64 - 1",
                          r->source->label, t->name, t->rank);
        if (extent && product > INT64_MAX / extent)
            return vt_err(r->err, VITRT_EFORMAT, "%s: tensor " NAME ": the product of the shape is over 2^63",
                          r->source->label, t->name);
        product *= extent ? extent : 1;
        empty = empty || extent == 0;
        t->shape[t->rank++] = extent;
    }
    t->count = empty ? 0 : product;
    return VITRT_OK;
}

static vitrt_status read_offsets(const struct reader *r, vt_json v, struct vt_tensor *t, unsigned bits)
{
    uint64_t begin, end;
    if (vt_json_count(v) != 2 || !vt_json_to_u64(vt_json_at(v, 0), &begin) || !vt_json_to_u64(vt_json_at(v, 1), &end))
        return vt_err(r->err, VITRT_EFORMAT,
                      "%s: tensor " NAME ": data_offsets is missing or not a list of two numbers", r->source->label,
                      t->name);
    if (begin > end || end > r->data_size)
        return vt_err(r->err, VITRT_EFORMAT,
                      "%s: tensor " NAME ": data_offsets [%" PRIu64 ", %" PRIu64 "] outside of the %" PRIu64
                      " bytes of data",
                      r->source->label, t->name, begin, end, r->data_size);
    if (t->count > UINT64_MAX / bits || t->count * bits % 8 || t->count * bits / 8 != end - begin)
        return vt_err(r->err, VITRT_EFORMAT,
                      "%s: tensor " NAME ": data_offsets span %" PRIu64 " bytes, expected %" PRIu64
                      " elements of %s (%u bits each)",
                      r->source->label, t->name, end - begin, t->count, t->dtype_name, bits);
    t->offset = r->data_begin + begin;
    t->bytes = end - begin;
    return VITRT_OK;
}

static vitrt_status read_tensor(const struct reader *r, vt_json v, struct vt_tensor *t)
{
    unsigned bits = 0;
    if (vt_json_type(v) != VT_JSON_OBJECT)
        return vt_err(r->err, VITRT_EFORMAT, "%s: tensor " NAME ": its entry is not an object", r->source->label,
                      t->name);
    vitrt_status st = read_dtype(r, vt_json_get(v, "dtype"), t, &bits);
    if (!st)
        st = read_shape(r, vt_json_get(v, "shape"), t);
    if (!st)
        st = read_offsets(r, vt_json_get(v, "data_offsets"), t, bits);
    return st;
}

/* ---- The header ---- */

static vitrt_status check_metadata(const struct reader *r, vt_json v)
{
    if (vt_json_type(v) != VT_JSON_OBJECT)
        return vt_err(r->err, VITRT_EFORMAT, "%s: __metadata__ is not an object", r->source->label);
    for (vt_json_iterator it = vt_json_first(v); it.left; vt_json_next(&it))
        if (vt_json_type(it.value) != VT_JSON_STRING)
            return vt_err(r->err, VITRT_EFORMAT, "%s: __metadata__ has a member that is not a string: %.*s",
                          r->source->label, (int)(it.key_size < 100 ? it.key_size : 100), it.key);
    return VITRT_OK;
}

static vitrt_status read_members(const vitrt_allocator *a, const struct reader *r, vt_json root, uint32_t shard,
                                 struct vt_tensor_list *list)
{
    for (vt_json_iterator it = vt_json_first(root); it.left; vt_json_next(&it)) {
        vitrt_status st;
        if (vt_json_is(vt_json_key(&it), "__metadata__")) {
            st = check_metadata(r, it.value);
        } else {
            /* Grown one by one, so that memory follows the entries that are well formed. */
            if (!vt_grow(a, (void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items))
                return vt_err_memory(r->err, vt_size_mul(list->count + 1, sizeof *list->items), "the list of tensors");
            struct vt_tensor *t = &list->items[list->count];
            t->name = vt_json_dup_string(a, vt_json_key(&it));
            if (!t->name)
                return vt_err_memory(r->err, it.key_size + 1, "the name of a tensor");
            t->shard = shard;
            list->count++;
            st = read_tensor(r, it.value, t);
        }
        if (st)
            return st;
    }
    return VITRT_OK;
}

/* The tensors, sorted by offset, must follow each other from the first to the last byte of the data. */
static vitrt_status check_coverage(const struct reader *r, struct vt_tensor_list *list)
{
    const char *label = r->source->label;
    uint64_t covered = 0;
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, compare_offsets);
    for (size_t i = 0; i < list->count; i++) {
        const struct vt_tensor *t = &list->items[i];
        const uint64_t begin = t->offset - r->data_begin;
        if (begin < covered)
            return vt_err(r->err, VITRT_EFORMAT,
                          "%s: tensor " NAME ": its data begins at %" PRIu64
                          " inside of another tensor, which ends at %" PRIu64,
                          label, t->name, begin, covered);
        if (begin > covered)
            return vt_err(r->err, VITRT_EFORMAT,
                          "%s: tensor " NAME ": its data begins at %" PRIu64 ", expected %" PRIu64
                          ", where the tensor before it ends",
                          label, t->name, begin, covered);
        covered += t->bytes;
    }
    if (covered != r->data_size)
        return vt_err(r->err, VITRT_EFORMAT, "%s: %" PRIu64 " bytes of data, but the tensors end at %" PRIu64, label,
                      r->data_size, covered);
    return VITRT_OK;
}

static vitrt_status read_length(struct reader *r, size_t *length)
{
    const struct vt_source *s = r->source;
    unsigned char raw[LENGTH_BYTES];
    uint64_t n = 0;
    if (s->size < LENGTH_BYTES)
        return vt_err(r->err, VITRT_EFORMAT, "%s: %" PRIu64 " bytes, a safetensors file has at least %d", s->label,
                      s->size, LENGTH_BYTES);
    const vitrt_status st = vt_source_read(s, 0, raw, sizeof raw, r->err);
    if (st)
        return st;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n = n << 8 | raw[i];
    if (n > s->size - LENGTH_BYTES)
        return vt_err(r->err, VITRT_EFORMAT,
                      "%s: a header of %" PRIu64 " bytes does not fit into the file of %" PRIu64
                      " bytes; it is cut off or no safetensors",
                      s->label, n, s->size);
    if (n > MAX_HEADER)
        return vt_err(r->err, VITRT_ELIMIT, "%s: a header of %" PRIu64 " bytes, at most %" PRIu64 " can be read",
                      s->label, n, MAX_HEADER);
    r->data_begin = LENGTH_BYTES + n;
    r->data_size = s->size - r->data_begin;
    *length = (size_t)n;
    return VITRT_OK;
}

static vitrt_status parse_header(const vitrt_allocator *a, const struct reader *r, size_t length,
                                 struct vt_json_document **out)
{
    const struct vt_source *s = r->source;
    char *text = vt_alloc(a, length);
    if (length && !text)
        return vt_err_memory(r->err, length, s->label);
    vitrt_status st = vt_source_read(s, LENGTH_BYTES, text, length, r->err);
    if (!st &&
        (!length || text[0] != '{')) /* the format rules out even a space here; and a scalar would be no object */
        st = vt_err(r->err, VITRT_EFORMAT,
                    "%s: the header of %zu bytes does not begin with '{'; this is no safetensors file", s->label,
                    length);
    if (!st)
        st = vt_json_parse(a, s->label, text, length, out, r->err);
    vt_free(a, text, length);
    return st;
}

vitrt_status vt_safetensors_open(const vitrt_allocator *a, const struct vt_source *s, uint32_t shard,
                                 struct vt_tensor_list *list, struct vt_json_document **header, vitrt_error *err)
{
    struct reader r = { .source = s, .err = err };
    size_t length = 0;
    *header = NULL;
    vitrt_status st = read_length(&r, &length);
    if (!st)
        st = parse_header(a, &r, length, header);
    if (!st)
        st = read_members(a, &r, vt_json_root(*header), shard, list);
    if (!st)
        st = check_coverage(&r, list);
    if (!st)
        st = vt_tensor_list_sort(list, s->label, err);
    if (st) {
        vt_json_free(*header);
        *header = NULL;
    }
    return st;
}

vitrt_status vt_safetensors_read(const vitrt_allocator *a, const struct vt_source *s, uint32_t shard,
                                 struct vt_tensor_list *list, vitrt_error *err)
{
    struct vt_json_document *header;
    const vitrt_status st = vt_safetensors_open(a, s, shard, list, &header, err);
    vt_json_free(header);
    return st;
}
