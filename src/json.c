/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON; see json.h. Three steps: vt_json_check compares the whole text with the grammar and counts tokens, jsmn then
 * makes the tokens of a text that is known to be valid, and one pass turns its parent links into links to the next
 * sibling, so that a walk skips a subtree in one step. The check goes first because jsmn alone takes time quadratic in
 * the nesting depth.
 */
#include "json.h"

#include "os.h"

#include <assert.h>
#include <float.h>
#include <limits.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#define MAX_TOKENS ((size_t)1 << 22)      /* 80 MiB of them; a checkpoint has some ten per tensor */
#define MAX_TEXT   ((size_t)INT_MAX - 16) /* jsmn counts in int */

struct vt_json_document {
    vitrt_allocator allocator;
    char *text; /* with a space and a terminator appended */
    size_t text_bytes;
    jsmntok_t *tokens; /* after parsing, parent holds the index of the token after the subtree */
    size_t token_count;
};

/* ---- Documents ---- */

/* Replaces parent by the index of the first token behind the subtree. Tokens are in the order of the text, so a
 * subtree is complete at the first token that starts behind its end. */
static void link_siblings(jsmntok_t *tokens, size_t count)
{
    int open[VT_JSON_MAX_DEPTH + 1];
    size_t depth = 0;
    for (size_t i = 0; i < count; i++) {
        while (depth && tokens[i].start >= tokens[open[depth - 1]].end)
            tokens[open[--depth]].parent = (int)i;
        assert(depth <= VT_JSON_MAX_DEPTH);
        open[depth++] = (int)i;
    }
    while (depth)
        tokens[open[--depth]].parent = (int)count;
}

vitrt_status vt_json_parse(const vitrt_allocator *a, const char *file, const char *text, size_t size,
                           struct vt_json_document **out, vitrt_error *err)
{
    *out = NULL;
    if (size > MAX_TEXT)
        return vt_err(err, VITRT_ELIMIT, "%s: %zu bytes of JSON, at most %zu can be read", file, size, MAX_TEXT);
    vitrt_status st = VITRT_OK;
    struct vt_json_document *d = vt_calloc(a, 1, sizeof *d);
    if (!d)
        return vt_err_memory(err, sizeof *d, file);
    d->allocator = *a;
    d->text_bytes = size + 2;
    d->text = vt_alloc(a, d->text_bytes);
    if (!d->text) {
        st = vt_err_memory(err, d->text_bytes, file);
        goto fail;
    }
    if (size)
        memcpy(d->text, text, size);
    d->text[size] = d->text[size + 1] = 0;
    st = vt_json_check(file, d->text, size, &d->token_count, err);
    if (st)
        goto fail;
    if (d->token_count > MAX_TOKENS) {
        st =
            vt_err(err, VITRT_ELIMIT, "%s: %zu JSON tokens, at most %zu can be read", file, d->token_count, MAX_TOKENS);
        goto fail;
    }
    d->tokens = vt_calloc(a, d->token_count, sizeof *d->tokens);
    if (!d->tokens) {
        st = vt_err_memory(err, d->token_count * sizeof *d->tokens, file);
        goto fail;
    }
    d->text[size] = ' '; /* jsmn wants one behind a number that is the whole document */
    jsmn_parser parser;
    jsmn_init(&parser);
    const int made = jsmn_parse(&parser, d->text, size + 1, d->tokens, (unsigned)d->token_count);
    assert(made == (int)d->token_count);
    (void)made;
    link_siblings(d->tokens, d->token_count);
    *out = d;
    return VITRT_OK;
fail:
    vt_json_free(d);
    return st;
}

void vt_json_free(struct vt_json_document *document)
{
    if (!document)
        return;
    const vitrt_allocator a = document->allocator;
    vt_free(&a, document->tokens, document->token_count * sizeof *document->tokens);
    vt_free(&a, document->text, document->text_bytes);
    vt_free(&a, document, sizeof *document);
}

const char *vt_json_document_text(const struct vt_json_document *document, size_t *n)
{
    *n = document->text_bytes - 2;
    return document->text;
}

/* ---- Cursors ---- */

static const vt_json none = { NULL, 0 };

static const jsmntok_t *token_of(vt_json v)
{
    return &v.document->tokens[v.index];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static vt_json after(vt_json v, size_t tokens)
{
    v.index += tokens;
    return v;
}

static vt_json next_sibling(vt_json v)
{
    v.index = (size_t)token_of(v)->parent;
    return v;
}

vt_json vt_json_root(const struct vt_json_document *document)
{
    return (vt_json){ document, 0 };
}

enum vt_json_type vt_json_type(vt_json v)
{
    if (!v.document)
        return VT_JSON_NONE;
    switch (token_of(v)->type) {
    case JSMN_OBJECT: return VT_JSON_OBJECT;
    case JSMN_ARRAY: return VT_JSON_ARRAY;
    case JSMN_STRING: return VT_JSON_STRING;
    default: break;
    }
    switch (v.document->text[token_of(v)->start]) {
    case 'n': return VT_JSON_NULL;
    case 't':
    case 'f': return VT_JSON_BOOL;
    default: return VT_JSON_NUMBER;
    }
}

size_t vt_json_count(vt_json v)
{
    const enum vt_json_type type = vt_json_type(v);
    return type == VT_JSON_OBJECT || type == VT_JSON_ARRAY ? (size_t)token_of(v)->size : 0;
}

vt_json_iterator vt_json_first(vt_json v)
{
    vt_json_iterator it = { .value = none, .left = vt_json_count(v) };
    if (it.left) {
        const bool object = vt_json_type(v) == VT_JSON_OBJECT;
        it.value = after(v, object ? 2 : 1);
        if (object)
            it.key = vt_json_text(after(v, 1), &it.key_size);
    }
    return it;
}

void vt_json_next(vt_json_iterator *it)
{
    if (it->left <= 1) {
        *it = (vt_json_iterator){ .value = none };
        return;
    }
    it->left--;
    it->value = next_sibling(it->value);
    if (it->key) {
        it->key = vt_json_text(it->value, &it->key_size);
        it->value = after(it->value, 1);
    }
}

vt_json vt_json_key(const vt_json_iterator *it)
{
    return it->key ? (vt_json){ it->value.document, it->value.index - 1 } : none;
}

vt_json vt_json_get(vt_json object, const char *key)
{
    vt_json found = none;
    if (vt_json_type(object) != VT_JSON_OBJECT)
        return none;
    for (vt_json_iterator it = vt_json_first(object); it.left; vt_json_next(&it))
        if (vt_json_is(vt_json_key(&it), key))
            found = it.value;
    return found;
}

vt_json vt_json_at(vt_json array, size_t i)
{
    if (vt_json_type(array) != VT_JSON_ARRAY || i >= vt_json_count(array))
        return none;
    vt_json v = after(array, 1);
    while (i--)
        v = next_sibling(v);
    return v;
}

/* ---- Scalars ---- */

const char *vt_json_text(vt_json v, size_t *n)
{
    const enum vt_json_type type = vt_json_type(v);
    *n = 0;
    if (type == VT_JSON_NONE || type == VT_JSON_ARRAY || type == VT_JSON_OBJECT)
        return NULL;
    *n = (size_t)(token_of(v)->end - token_of(v)->start);
    return v.document->text + token_of(v)->start;
}

bool vt_json_to_u64(vt_json v, uint64_t *out)
{
    size_t n, i;
    const char *s = vt_json_text(v, &n);
    uint64_t value = 0;
    if (vt_json_type(v) != VT_JSON_NUMBER)
        return false;
    for (i = 0; i < n && is_digit(s[i]); i++) {
        const unsigned digit = (unsigned)(s[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (i == 0)
        return false;
    if (i < n && s[i] == '.')
        for (i++; i < n && s[i] == '0';)
            i++;
    if (i < n)
        return false;
    *out = value;
    return true;
}

bool vt_json_to_double(vt_json v, double *out)
{
    size_t n;
    double value;
    const char *s = vt_json_text(v, &n);
    if (vt_json_type(v) != VT_JSON_NUMBER || !vt_parse_double(s, n, &value) || value > DBL_MAX || value < -DBL_MAX)
        return false;
    *out = value;
    return true;
}

bool vt_json_to_bool(vt_json v, bool *out)
{
    if (vt_json_type(v) != VT_JSON_BOOL)
        return false;
    *out = v.document->text[token_of(v)->start] == 't';
    return true;
}

/* ---- Strings ---- */

#define REPLACEMENT VT_NO_CHARACTER /* also for NUL, which would end a C string */

/* The code unit of the escape \uXXXX at s. */
static uint32_t code_unit(const char *s)
{
    uint32_t unit = 0;
    for (int i = 2; i < 6; i++) {
        const char c = s[i];
        unit = unit * 16 + (uint32_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return unit;
}

/* The character that an escape at s stands for; *used its length. A surrogate without its other half becomes
 * REPLACEMENT. */
static uint32_t read_escape(const char *s, size_t n, size_t *used)
{
    static const char letters[] = "bfnrt", meaning[] = "\b\f\n\r\t";
    *used = 2;
    if (s[1] != 'u') {
        const char *letter = strchr(letters, s[1]);
        return (unsigned char)(letter ? meaning[letter - letters] : s[1]);
    }
    *used = 6;
    const uint32_t high = code_unit(s);
    if (high == 0 || (high & 0xfc00) == 0xdc00)
        return REPLACEMENT;
    if ((high & 0xfc00) != 0xd800)
        return high;
    if (n < 12 || s[6] != '\\' || s[7] != 'u' || (code_unit(s + 6) & 0xfc00) != 0xdc00)
        return REPLACEMENT;
    *used = 12;
    return 0x10000 + ((high & 0x3ff) << 10) + (code_unit(s + 6) & 0x3ff);
}

uint32_t vt_read_utf8(const char *s, size_t n, size_t *used)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 }; /* a longer form than needed is not valid */
    const unsigned char lead = (unsigned char)s[0];
    *used = 1;
    if (lead < 0x80)
        return lead;
    const size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || n <= more)
        return REPLACEMENT;
    uint32_t c = lead & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return REPLACEMENT;
        c = c << 6 | ((unsigned char)s[i] & 0x3f);
    }
    if (c < least[more] || c > 0x10ffff || (c & 0xfffff800) == 0xd800)
        return REPLACEMENT;
    *used = more + 1;
    return c;
}

static size_t write_utf8(uint32_t c, char out[4])
{
    static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
    const size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    out[0] = (char)(lead[more] | c >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3f));
    return more + 1;
}

/* Takes one character of raw string text from *s and writes it as UTF-8; returns its length there. */
static size_t decode(const char **s, const char *end, char out[4])
{
    size_t used;
    const size_t n = (size_t)(end - *s);
    const uint32_t c = **s == '\\' ? read_escape(*s, n, &used) : vt_read_utf8(*s, n, &used);
    *s += used;
    return write_utf8(c, out);
}

bool vt_json_is(vt_json v, const char *string)
{
    size_t n;
    char c[4];
    const char *s = vt_json_text(v, &n);
    if (vt_json_type(v) != VT_JSON_STRING)
        return false;
    const char *end = s + n;
    while (s < end) {
        const size_t length = decode(&s, end, c);
        if (strncmp(string, c, length) != 0)
            return false;
        string += length;
    }
    return *string == 0;
}

char *vt_json_dup_string(const vitrt_allocator *a, vt_json v)
{
    size_t n, length = 0;
    char c[4];
    const char *raw = vt_json_text(v, &n);
    if (vt_json_type(v) != VT_JSON_STRING)
        return NULL;
    for (const char *s = raw; s < raw + n;)
        length += decode(&s, raw + n, c);
    char *string = vt_alloc(a, length + 1);
    if (!string)
        return NULL;
    char *p = string;
    for (const char *s = raw; s < raw + n;) {
        const size_t k = decode(&s, raw + n, c);
        memcpy(p, c, k);
        p += k;
    }
    *p = 0;
    return string;
}
