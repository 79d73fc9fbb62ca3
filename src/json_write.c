/* SPDX-License-Identifier: Apache-2.0 */
/* See json_write.h. */
#include "json_write.h"

#include "json.h"
#include "os.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void vt_text_init(struct vt_text *t, const vitrt_allocator *a)
{
    *t = (struct vt_text){ .alloc = *a };
}

void vt_text_free(struct vt_text *t)
{
    vt_free(&t->alloc, t->data, t->capacity);
}

void vt_text_put(struct vt_text *t, const char *s, size_t n)
{
    t->failed = t->failed || !vt_grow(&t->alloc, (void **)&t->data, &t->capacity, vt_size_add(t->size, n), 1);
    if (t->failed || !n)
        return;
    memcpy(t->data + t->size, s, n);
    t->size += n;
}

void vt_text_format(struct vt_text *t, const char *format, ...)
{
    char text[201];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vt_text_put(t, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

void vt_text_string(struct vt_text *t, const char *s, size_t n)
{
    size_t used = 0;
    vt_text_put(t, "\"", 1);
    for (size_t i = 0; i < n && !t->failed; i += used) {
        const uint32_t c = vt_read_utf8(s + i, n - i, &used);
        if (c == '"' || c == '\\')
            vt_text_format(t, "\\%c", (char)c);
        else if (c == '\n')
            vt_text_put(t, "\\n", 2);
        else if (c < 0x20)
            vt_text_format(t, "\\u%04x", (unsigned)c);
        else if (c == VT_NO_CHARACTER)
            vt_text_put(t, "\xef\xbf\xbd", 3);
        else
            vt_text_put(t, s + i, used);
    }
    vt_text_put(t, "\"", 1);
}

/* As few digits as tell it from other numbers, at most 9. */
/* As many digits as tell it from other numbers of its type, from 6 on. */
static void put_number(struct vt_text *t, double x, bool single)
{
    const int most = single ? 9 : 17;
    char text[40], number[40];
    size_t n = 0;
    double same = 0;
    for (int digits = 6; digits <= most; digits++) {
        n = 0;
        snprintf(text, sizeof text, "%.*g", digits, x);
        for (const char *p = text; *p; p++) { /* the locale's decimal point may have several bytes */
            const bool digit = (*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == 'e';
            if (digit || !n || number[n - 1] != '.')
                number[n++] = digit ? *p : '.';
        }
        if (digits == most ||
            (vt_parse_double(number, n, &same) && (single ? (float)same == (float)x : same == x)))
            break;
    }
    vt_text_put(t, number, n);
}

void vt_text_float(struct vt_text *t, float x)
{
    put_number(t, (double)x, true);
}

void vt_text_double(struct vt_text *t, double x)
{
    put_number(t, x, false);
}
