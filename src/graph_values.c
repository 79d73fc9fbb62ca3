/* SPDX-License-Identifier: Apache-2.0 */
/* See graph_values.h. */
#include "graph_values.h"

#include "graph_schema.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 60 /* characters of a value repeated in a message */

void vt_bad_value(struct vt_value_reader *r, const char *what, vt_json v, const char *expected)
{
    size_t n = 0;
    const char *text = vt_json_text(v, &n);
    const enum vt_json_type type = vt_json_type(v);
    if (!text) {
        text = type == VT_JSON_OBJECT ? "an object" : type == VT_JSON_ARRAY ? "an array" : "missing";
        n = strlen(text);
    }
    vt_graph_fail(r->g, VITRT_EFORMAT, "%s%s%s%s is %.*s, expected %s", r->node[0] ? "node " : "the graph", r->node,
                  ": ", what, (int)(n < SHOWN ? n : SHOWN), text, expected);
}

bool vt_read_name(struct vt_value_reader *r, const char *what, vt_json v, char name[VT_NAME_SIZE])
{
    char *text = vt_json_dup_string(&r->g->alloc, v);
    const size_t n = text ? strlen(text) : 0;
    const bool good = n && n < VT_NAME_SIZE;
    if (good)
        memcpy(name, text, n + 1);
    else if (vt_json_type(v) == VT_JSON_STRING && !text)
        vt_graph_fail(r->g, VITRT_ENOMEM, "out of memory for a name");
    else
        vt_bad_value(r, what, v, "a name of 1 to 63 bytes");
    vt_free(&r->g->alloc, text, vt_strsize(text));
    return good;
}

void vt_read_text(struct vt_value_reader *r, const char *what, vt_json v, char *buf, size_t size)
{
    if (!vt_json_type(v))
        return;
    char *text = vt_json_dup_string(&r->g->alloc, v);
    if (text) {
        size_t n = strlen(text);
        for (n = n < size ? n : size - 1; text[n] && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
        memcpy(buf, text, n);
        buf[n] = 0;
    } else if (vt_json_type(v) == VT_JSON_STRING) {
        vt_graph_fail(r->g, VITRT_ENOMEM, "out of memory for a text");
    } else {
        vt_bad_value(r, what, v, "a string");
    }
    vt_free(&r->g->alloc, text, vt_strsize(text));
}

void vt_read_count(struct vt_value_reader *r, const char *what, vt_json v, uint32_t *count)
{
    uint64_t n;
    if (vt_json_to_u64(v, &n) && n <= VT_MAX_COUNT)
        *count = (uint32_t)n;
    else
        vt_bad_value(r, what, v, "a number from 0 to 2147483647");
}

void vt_read_sides(struct vt_value_reader *r, const char *what, vt_json v, uint32_t sides[2])
{
    if (vt_json_type(v) != VT_JSON_ARRAY || vt_json_count(v) != 2) {
        vt_bad_value(r, what, v, "[height, width]");
        return;
    }
    for (size_t i = 0; i < 2; i++)
        vt_read_count(r, what, vt_json_at(v, i), &sides[i]);
}

void vt_read_number(struct vt_value_reader *r, const char *what, vt_json v, float least, float *number)
{
    double x;
    if (vt_json_to_double(v, &x) && x >= (double)least && x <= (double)FLT_MAX)
        *number = (float)x;
    else
        vt_bad_value(r, what, v, least < 0 ? "a number that f32 can hold" : "a number of at least 0 that f32 can hold");
}

void vt_read_share(struct vt_value_reader *r, const char *what, vt_json v, double *share)
{
    double x;
    if (vt_json_to_double(v, &x) && x > 0 && x <= 1)
        *share = x;
    else
        vt_bad_value(r, what, v, "a number over 0 and up to 1");
}

void vt_read_flag(struct vt_value_reader *r, const char *what, vt_json v, bool *flag)
{
    if (!vt_json_to_bool(v, flag))
        vt_bad_value(r, what, v, "true or false");
}

void vt_read_choice(struct vt_value_reader *r, const char *what, vt_json v, const char *const *names, size_t count,
                    int *choice)
{
    char list[200];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (*names[i] && vt_json_is(v, names[i])) {
            *choice = (int)i;
            return;
        }
        if (*names[i] && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", names[i]);
    }
    vt_bad_value(r, what, v, list);
}

bool vt_only_known(struct vt_value_reader *r, vt_json object, const char *const *known, size_t count)
{
    for (vt_json_iterator it = vt_json_first(object); it.left; vt_json_next(&it)) {
        size_t i = 0;
        while (i < count && !vt_json_is(vt_json_key(&it), known[i]))
            i++;
        if (i < count)
            continue;
        vt_graph_fail(r->g, VITRT_EFORMAT, "%s%s: unknown member \"%.*s\"", r->node[0] ? "node " : "the graph", r->node,
                      (int)(it.key_size < SHOWN ? it.key_size : SHOWN), it.key);
        return false;
    }
    return true;
}
