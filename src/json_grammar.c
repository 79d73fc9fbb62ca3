/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of JSON (RFC 8259), checked by recursive descent over the text. Recursion is bounded by the depth
 * limit. Whether strings are valid UTF-8 is not looked at. */
#include "json.h"

#include <string.h>

#define MAX_DEPTH VT_JSON_MAX_DEPTH

struct scanner {
    const char *p; /* the text ends with a terminator, which no rule accepts */
    size_t depth;
    size_t tokens;
    const char *expected; /* what should have stood at p */
};

static bool fail(struct scanner *s, const char *expected)
{
    s->expected = expected;
    return false;
}

static void skip_space(struct scanner *s)
{
    while (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')
        s->p++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool scan_digits(struct scanner *s)
{
    if (!is_digit(*s->p))
        return fail(s, "a digit");
    while (is_digit(*s->p))
        s->p++;
    return true;
}

static bool scan_number(struct scanner *s)
{
    s->p += *s->p == '-';
    if (*s->p == '0')
        s->p++;
    else if (!scan_digits(s))
        return false;
    if (*s->p == '.') {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (*s->p == 'e' || *s->p == 'E') {
        s->p++;
        s->p += *s->p == '+' || *s->p == '-';
        return scan_digits(s);
    }
    return true;
}

static bool scan_literal(struct scanner *s, const char *literal)
{
    const size_t n = strlen(literal);
    if (strncmp(s->p, literal, n) != 0)
        return fail(s, "a value");
    s->p += n;
    return true;
}

static bool scan_escape(struct scanner *s)
{
    s->p++;
    if (*s->p == 'u') {
        for (int i = 1; i <= 4; i++)
            if (!is_hex(s->p[i])) {
                s->p += i;
                return fail(s, "a hexadecimal digit");
            }
        s->p += 5;
        return true;
    }
    if (!*s->p || !strchr("\"\\/bfnrt", *s->p))
        return fail(s, "an escape character");
    s->p++;
    return true;
}

static bool scan_string(struct scanner *s)
{
    s->tokens++;
    if (*s->p != '"')
        return fail(s, "a string");
    s->p++;
    while (*s->p != '"') {
        if (*s->p == '\\') {
            if (!scan_escape(s))
                return false;
        } else if ((unsigned char)*s->p < 0x20) {
            return fail(s, "a character of a string or its closing quote");
        } else {
            s->p++;
        }
    }
    s->p++;
    return true;
}

static bool scan_value(struct scanner *s);

static bool scan_member(struct scanner *s)
{
    skip_space(s);
    if (!scan_string(s))
        return false;
    skip_space(s);
    if (*s->p != ':')
        return fail(s, "':'");
    s->p++;
    return scan_value(s);
}

static bool scan_container(struct scanner *s)
{
    const bool object = *s->p == '{';
    const char close = object ? '}' : ']';
    if (s->depth == MAX_DEPTH)
        return fail(s, "no deeper nesting than 64");
    s->depth++;
    s->p++;
    skip_space(s);
    if (*s->p != close) {
        for (;;) {
            if (!(object ? scan_member(s) : scan_value(s)))
                return false;
            skip_space(s);
            if (*s->p != ',')
                break;
            s->p++;
        }
        if (*s->p != close)
            return fail(s, object ? "',' or '}'" : "',' or ']'");
    }
    s->p++;
    s->depth--;
    return true;
}

static bool scan_value(struct scanner *s)
{
    skip_space(s);
    if (*s->p == '"')
        return scan_string(s);
    s->tokens++;
    switch (*s->p) {
    case '{':
    case '[': return scan_container(s);
    case 't': return scan_literal(s, "true");
    case 'f': return scan_literal(s, "false");
    case 'n': return scan_literal(s, "null");
    default: return *s->p == '-' || is_digit(*s->p) ? scan_number(s) : fail(s, "a value");
    }
}

vitrt_status vt_json_check(const char *file, const char *text, size_t size, size_t *tokens, vitrt_error *err)
{
    struct scanner s = { .p = text };
    bool valid = scan_value(&s);
    if (valid) {
        skip_space(&s);
        valid = s.p == text + size || fail(&s, "nothing after the document");
    }
    *tokens = s.tokens;
    if (valid)
        return VITRT_OK;
    const size_t at = (size_t)(s.p - text);
    const unsigned char found = (unsigned char)*s.p;
    if (at == size)
        return vt_err(err, VITRT_EFORMAT, "%s: not valid JSON: it ends after %zu bytes, expected %s", file, size,
                      s.expected);
    if (found > 0x20 && found < 0x7f)
        return vt_err(err, VITRT_EFORMAT, "%s: not valid JSON: found '%c' at byte %zu, expected %s", file, found, at,
                      s.expected);
    return vt_err(err, VITRT_EFORMAT, "%s: not valid JSON: found character code %u at byte %zu, expected %s", file,
                  found, at, s.expected);
}
