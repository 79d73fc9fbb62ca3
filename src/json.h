/* SPDX-License-Identifier: Apache-2.0 */
/* Reads JSON (RFC 8259) with jsmn for the tokens. Strict: jsmn alone accepts text that is no JSON. A document is a
 * flat token array; a vt_json is a cursor into it, cheap to copy; a cursor of type VT_JSON_NONE (a missing member)
 * may be asked anything and answers "missing". */
#ifndef VT_JSON_H
#define VT_JSON_H

#include "alloc.h"
#include "error.h"

#include <stdbool.h>

struct vt_json_document; /* keeps a copy of the text */

enum vt_json_type {
    VT_JSON_NONE, /* a missing member */
    VT_JSON_NULL,
    VT_JSON_BOOL,
    VT_JSON_NUMBER,
    VT_JSON_STRING,
    VT_JSON_ARRAY,
    VT_JSON_OBJECT
};

typedef struct vt_json {
    const struct vt_json_document *document;
    size_t index; /* of the token */
} vt_json;

#define VT_JSON_MAX_DEPTH 64

/* file names the text in errors. Nesting over VT_JSON_MAX_DEPTH is VITRT_EFORMAT, more than 4 Mi tokens (20 bytes
 * each) are VITRT_ELIMIT. Duplicate keys: the last one counts, as in Python. Free with vt_json_free. */
vitrt_status vt_json_parse(const vitrt_allocator *a, const char *file, const char *text, size_t size,
                           struct vt_json_document **out, vitrt_error *err);
void vt_json_free(struct vt_json_document *document); /* NULL is allowed */
/* The text it was made from. */
const char *vt_json_document_text(const struct vt_json_document *document, size_t *n);

/* The first step of parsing: is text[0..size), which a terminator must follow, a JSON document, and of how many
 * tokens (values and keys)? */
vitrt_status vt_json_check(const char *file, const char *text, size_t size, size_t *tokens, vitrt_error *err);

vt_json vt_json_root(const struct vt_json_document *document);
enum vt_json_type vt_json_type(vt_json v);
size_t vt_json_count(vt_json v); /* members of an object, elements of an array, else 0 */
vt_json vt_json_get(vt_json object, const char *key);
vt_json vt_json_at(vt_json array, size_t i); /* linear in i: walk with an iterator instead */

/* Walks an object or array: it = vt_json_first(v); vt_json_type(it.value) != VT_JSON_NONE; vt_json_next(&it). key is
 * the raw (still escaped) key text for objects, NULL for arrays. */
typedef struct vt_json_iterator {
    vt_json value;
    const char *key;
    size_t key_size;
    size_t left;
} vt_json_iterator;
vt_json_iterator vt_json_first(vt_json v);
void vt_json_next(vt_json_iterator *it);
/* The key as a string value, to compare or copy it with its escapes resolved. */
vt_json vt_json_key(const vt_json_iterator *it);

/* Value of a scalar. False: another type, or out of the target's range. */
bool vt_json_to_u64(vt_json v, uint64_t *out); /* an integer without sign, fraction or exponent; also 12.0 */
bool vt_json_to_double(vt_json v, double *out);
bool vt_json_to_bool(vt_json v, bool *out);
/* The raw text of a string (escapes not resolved), number or literal; *n its length. NULL for other types. */
const char *vt_json_text(vt_json v, size_t *n);
bool vt_json_is(vt_json v, const char *string); /* a string with exactly this content (which needs no escapes) */
/* A string with escapes resolved to UTF-8, to be freed with vt_free(a, s, vt_strsize(s)). Lone surrogates become
 * U+FFFD and an escaped NUL too. */
char *vt_json_dup_string(const vitrt_allocator *a, vt_json v);

/* The UTF-8 character at s, of n > 0 bytes; *used its length. A byte that starts none is VT_NO_CHARACTER, U+FFFD. */
#define VT_NO_CHARACTER 0xfffdu
uint32_t vt_read_utf8(const char *s, size_t n, size_t *used);

#endif
