/* SPDX-License-Identifier: Apache-2.0 */
/* Token reductions on command lines; see reduction.h. */
#include "reduction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    vitrt_reduction method;
    uint32_t flags;
} methods[] = { { "ats", VITRT_REDUCTION_ATS, 0 },
                { "ats-paper", VITRT_REDUCTION_ATS, VITRT_REDUCE_BY_HEAD },
                { "zero-tprune", VITRT_REDUCTION_ZERO_TPRUNE, 0 },
                { "zero-tprune-uniform", VITRT_REDUCTION_ZERO_TPRUNE, VITRT_REDUCE_UNIFORM_VOTES },
                { "zero-tprune-all-heads", VITRT_REDUCTION_ZERO_TPRUNE, VITRT_REDUCE_ALL_HEADS },
                { "tome", VITRT_REDUCTION_TOME, 0 },
                { "tome-whole-keys", VITRT_REDUCTION_TOME, VITRT_REDUCE_WHOLE_KEYS },
                { "tome-whole-equal-keys", VITRT_REDUCTION_TOME, VITRT_REDUCE_WHOLE_KEYS | VITRT_REDUCE_EQUAL_KEYS },
                { "zero-tprune-whole-keys", VITRT_REDUCTION_ZERO_TPRUNE, VITRT_REDUCE_WHOLE_KEYS },
                { "tome-equal-keys", VITRT_REDUCTION_TOME, VITRT_REDUCE_EQUAL_KEYS },
                { "evit", VITRT_REDUCTION_EVIT, 0 },
                { "evit-fused", VITRT_REDUCTION_EVIT, VITRT_REDUCE_FUSE },
                { "uniform", VITRT_REDUCTION_UNIFORM, 0 },
                { "random", VITRT_REDUCTION_RANDOM, 0 } };

#define COUNT (sizeof(methods) / sizeof(methods[0]))

static bool read_number(const char **p, double *x)
{
    char *end;
    if (**p < '0' || **p > '9')
        return false;
    *x = strtod(*p, &end);
    *p = end;
    return true;
}

/* BLOCK@KEEP or BLOCK@KEEP+SIMILAR */
static bool read_layer(const char **p, vitrt_reduce_layer *layer)
{
    double block, keep, similar = 0;
    if (!read_number(p, &block) || *(*p)++ != '@' || !read_number(p, &keep))
        return false;
    if (**p == '+' && (++*p, !read_number(p, &similar)))
        return false;
    *layer = (vitrt_reduce_layer){ .block = (uint32_t)block, .similar = (uint32_t)similar };
    if (keep > 1)
        layer->count = (uint32_t)keep;
    else
        layer->keep = keep;
    return block < 1e6 && keep < 1e6 && similar < 1e6;
}

static bool read_schedule(const char *p, struct reduction *r)
{
    if (!strchr(p, '@'))
        return read_number(&p, &r->options.budget) && !*p;
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

bool reduction_from_text(const char *text, size_t n, struct reduction *r)
{
    char copy[1024];
    memset(r, 0, sizeof *r);
    if (n >= sizeof copy)
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    char *colon = strchr(copy, ':');
    if (!colon)
        return false;
    *colon = 0;
    for (size_t i = 0; i < COUNT; i++)
        if (!strcmp(methods[i].name, copy)) {
            r->options.method = methods[i].method;
            r->options.flags = methods[i].flags;
            return read_schedule(colon + 1, r);
        }
    return false;
}

const vitrt_reduce_options *reduction_options(struct reduction *r)
{
    r->options.layers = r->options.layer_count ? r->layers : NULL;
    return &r->options;
}
