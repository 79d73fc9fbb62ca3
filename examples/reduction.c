/* SPDX-License-Identifier: Apache-2.0 */
/* Token reductions on command lines; see reduction.h. */
#include "reduction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    vitrt_reduction method;
} methods[] = { { "ats", VITRT_REDUCTION_ATS },
                { "zero-tprune", VITRT_REDUCTION_ZERO_TPRUNE },
                { "tome", VITRT_REDUCTION_TOME },
                { "evit", VITRT_REDUCTION_EVIT },
                { "uniform", VITRT_REDUCTION_UNIFORM },
                { "random", VITRT_REDUCTION_RANDOM },
                { "dynamicvit", VITRT_REDUCTION_DYNAMICVIT },
                { "a-vit", VITRT_REDUCTION_A_VIT } };

/* Behind a method's name, as many as it has. */
static const struct {
    const char *name;
    uint32_t flag;
} flags[] = { { "-paper", VITRT_REDUCE_BY_HEAD },
              { "-uniform", VITRT_REDUCE_UNIFORM_VOTES },
              { "-vote-again", VITRT_REDUCE_VOTE_AGAIN },
              { "-all-heads", VITRT_REDUCE_ALL_HEADS },
              { "-drop-early", VITRT_REDUCE_DROP_EARLY },
              { "-whole-keys", VITRT_REDUCE_WHOLE_KEYS },
              { "-by-attention", VITRT_REDUCE_BY_ATTENTION },
              { "-equal-keys", VITRT_REDUCE_EQUAL_KEYS },
              { "-fused", VITRT_REDUCE_FUSE } };

enum { METHODS = sizeof(methods) / sizeof(methods[0]), FLAGS = sizeof(flags) / sizeof(flags[0]) };

static bool read_number(const char **p, double *x)
{
    char *end;
    if (**p < '0' || **p > '9')
        return false;
    *x = strtod(*p, &end);
    *p = end;
    return true;
}

/* BLOCK@KEEP, and possibly +SIMILAR and vROUNDS */
static bool read_layer(const char **p, vitrt_reduce_layer *layer)
{
    double block, keep, similar = 0, rounds = 0;
    if (!read_number(p, &block) || *(*p)++ != '@' || !read_number(p, &keep))
        return false;
    if (**p == '+' && (++*p, !read_number(p, &similar)))
        return false;
    if (**p == 'v' && (++*p, !read_number(p, &rounds)))
        return false;
    if (block >= 1e6 || keep >= 1e6 || similar >= 1e6 || rounds >= 1e6)
        return false;
    *layer = (vitrt_reduce_layer){ .block = (uint32_t)block, .similar = (uint32_t)similar, .rounds = (uint32_t)rounds };
    if (keep > 1)
        layer->count = (uint32_t)keep;
    else
        layer->keep = keep;
    return true;
}

static bool read_schedule(const char *p, struct reduction *r)
{
    if (!strchr(p, '@'))
        return read_number(&p, &r->options.budget) && !*p && r->options.budget > 0;
    while (r->options.layer_count < REDUCTION_LAYERS) {
        if (!read_layer(&p, &r->layers[r->options.layer_count++]))
            return false;
        if (!*p)
            return true;
        if (*p++ != '/')
            return false;
    }
    return false;
}

/* Nothing, or ":SCALE/CENTER", of which 0 is what it is without. */
static bool read_halting(const char *p, struct reduction *r)
{
    if (!*p)
        return true;
    if (*p++ != ':' || !read_number(&p, &r->options.halting_scale) || *p++ != '/')
        return false;
    const bool negative = *p == '-';
    p += negative;
    if (!read_number(&p, &r->options.halting_center) || *p)
        return false;
    if (negative)
        r->options.halting_center = -r->options.halting_center;
    return true;
}

/* Moves behind the word if the text begins with it. */
static bool skip(const char **text, const char *word)
{
    const size_t n = strlen(word);
    const bool there = !strncmp(*text, word, n);
    *text += there ? n : 0;
    return there;
}

static bool skip_flag(const char **text, struct reduction *r)
{
    for (size_t i = 0; i < FLAGS; i++)
        if (skip(text, flags[i].name)) {
            r->options.flags |= flags[i].flag;
            return true;
        }
    return false;
}

bool reduction_from_name(const char *name, size_t n, struct reduction *r)
{
    memset(r, 0, sizeof *r);
    if (n >= sizeof r->name)
        return false;
    memcpy(r->name, name, n);
    const char *p = r->name;
    size_t i = 0;
    while (i < METHODS && !skip(&p, methods[i].name))
        i++;
    if (i == METHODS)
        return false;
    r->options.method = methods[i].method;
    while (*p)
        if (!skip_flag(&p, r))
            return false;
    return true;
}

bool reduction_from_text(const char *text, size_t n, struct reduction *r)
{
    char copy[1024];
    if (n >= sizeof copy)
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    const size_t name = strcspn(copy, ":");
    if (!reduction_from_name(copy, name, r))
        return false;
    return r->options.method == VITRT_REDUCTION_A_VIT ? read_halting(copy + name, r)
                                                      : copy[name] && read_schedule(copy + name + 1, r);
}

void reduction_to_text(const struct reduction *r, char *text, size_t size)
{
    const bool halts = r->options.method == VITRT_REDUCTION_A_VIT;
    size_t n = (size_t)snprintf(text, size, "%s:", r->name);
    if (halts && n < size)
        snprintf(text + n, size - n, "%g/%g", r->options.halting_scale, r->options.halting_center);
    else if (!r->options.layer_count && n < size)
        snprintf(text + n, size - n, "%g", r->options.budget);
    for (size_t i = 0; i < r->options.layer_count && n < size; i++) {
        const vitrt_reduce_layer *l = &r->layers[i];
        n += (size_t)snprintf(text + n, size - n, "%s%u@%g", i ? "/" : "", (unsigned)l->block,
                              l->count ? l->count : l->keep);
        if (l->similar && n < size)
            n += (size_t)snprintf(text + n, size - n, "+%u", (unsigned)l->similar);
        if (l->rounds && n < size)
            n += (size_t)snprintf(text + n, size - n, "v%u", (unsigned)l->rounds);
    }
}

const vitrt_reduce_options *reduction_options(struct reduction *r)
{
    r->options.layers = r->options.layer_count ? r->layers : NULL;
    return &r->options;
}
