/* SPDX-License-Identifier: Apache-2.0 */
/* See config.h. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

struct vt_member vt_member_of(struct vt_graph *g, vt_json config, const char *key)
{
    return (struct vt_member){ g, "", key, vt_json_get(config, key) };
}

bool vt_member_missing(const struct vt_member *m)
{
    return vt_json_type(m->value) == VT_JSON_NONE || vt_json_type(m->value) == VT_JSON_NULL;
}

void vt_member_fail(const struct vt_member *m, vitrt_status status, const char *expected, ...)
{
    char wanted[256], is[48];
    size_t n = 0;
    const enum vt_json_type type = vt_json_type(m->value);
    const char *text = vt_json_text(m->value, &n);
    if (text)
        snprintf(is, sizeof is, "%.*s", (int)(n < 40 ? n : 40), text);
    else if (type == VT_JSON_ARRAY)
        snprintf(is, sizeof is, "a list of %zu elements", vt_json_count(m->value));
    else
        snprintf(is, sizeof is, "%s", type == VT_JSON_OBJECT ? "an object" : "missing");
    va_list args;
    va_start(args, expected);
    vsnprintf(wanted, sizeof wanted, expected, args);
    va_end(args);
    vt_graph_fail(m->g, status, "config.json: \"%s\"%s is %s, expected %s", m->key, m->object, is, wanted);
}

uint32_t vt_member_count(struct vt_member m, uint32_t missing, uint32_t least, uint32_t most)
{
    uint64_t n = missing;
    if (!vt_member_missing(&m) && (!vt_json_to_u64(m.value, &n) || n < least || n > most))
        vt_member_fail(&m, VITRT_EFORMAT, "an integer from %u to %u", (unsigned)least, (unsigned)most);
    return m.g->status ? missing : (uint32_t)n;
}

double vt_member_number(struct vt_member m, double missing, double least, double most)
{
    double x = missing;
    if (!vt_member_missing(&m) && (!vt_json_to_double(m.value, &x) || !(x >= least && x <= most)))
        vt_member_fail(&m, VITRT_EFORMAT, "a number from %g to %g", least, most);
    return m.g->status ? missing : x;
}

bool vt_member_bool(struct vt_member m, bool missing)
{
    bool b = missing;
    if (!vt_member_missing(&m) && !vt_json_to_bool(m.value, &b))
        vt_member_fail(&m, VITRT_EFORMAT, "true or false");
    return b;
}

void vt_member_size(struct vt_member m, uint32_t missing, uint32_t most, uint32_t size[2])
{
    const bool pair = vt_json_type(m.value) == VT_JSON_ARRAY;
    if (pair && vt_json_count(m.value) != 2)
        vt_member_fail(&m, VITRT_EFORMAT, "an integer from 1 to %u or two integers: height and width", (unsigned)most);
    for (uint32_t i = 0; i < 2; i++) {
        struct vt_member side = m;
        if (pair)
            side.value = vt_json_at(m.value, i);
        size[i] = vt_member_count(side, missing, 1, most);
    }
}

int vt_member_choice(struct vt_member m, const struct vt_choice *choices, size_t count, int missing)
{
    if (vt_member_missing(&m))
        return missing;
    for (size_t i = 0; i < count; i++)
        if (vt_json_is(m.value, choices[i].name))
            return choices[i].value;
    char names[200];
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, i ? ", %s" : "%s",
                                 *choices[i].name ? choices[i].name : "an empty string");
    vt_member_fail(&m, VITRT_EUNSUPPORTED, "one of %s", names);
    return missing;
}

uint32_t vt_member_stages(struct vt_member m, uint32_t missing)
{
    const size_t count = vt_json_count(m.value);
    if (vt_member_missing(&m))
        return missing;
    if (vt_json_type(m.value) == VT_JSON_ARRAY && count >= 1 && count <= VT_MAX_STAGES)
        return (uint32_t)count;
    vt_member_fail(&m, VITRT_EFORMAT, "a list of 1 to %u elements, one for each stage", VT_MAX_STAGES);
    return missing;
}

struct vt_member vt_member_at(struct vt_member m, uint32_t stage, uint32_t stages)
{
    if (vt_member_missing(&m))
        return m;
    if (vt_json_type(m.value) != VT_JSON_ARRAY || vt_json_count(m.value) != stages)
        vt_member_fail(&m, VITRT_EFORMAT, "a list of %u elements, one for each stage", (unsigned)stages);
    m.value = vt_json_at(m.value, stage);
    return m;
}
