/* SPDX-License-Identifier: Apache-2.0 */
/* Constants in integers; see step_integers.h. */
#include "step_integers.h"

#include <math.h>
#include <string.h>

static int32_t rounded(float x, double unit, double most)
{
    const double y = nearbyint((double)x / unit);
    return (int32_t)(y < -most ? -most : y > most ? most : y);
}

static const struct vt_step *reader_of(const struct vt_plan *p, vt_value v, size_t *index)
{
    for (*index = p->constant_count; *index < p->step_count; ++*index) {
        const struct vt_step *s = &p->steps[*index];
        for (uint32_t k = 0; k < s->node->in_count; k++)
            if (s->node->in[k].value == v)
                return s;
    }
    return NULL;
}

/* Tokens before the map with their positions, as long as these are floats. */
static void round_tokens(const struct vt_exec *x, size_t index)
{
    const struct vt_step *s = &x->plan->steps[index];
    const size_t columns = s->node->columns, tokens = vt_embed_tokens(x->plan, s);
    const float *weight = x->weights[index].weight;
    const float *position = s->node->in_count > 1 ? vt_exec_view(x, s->node->in[1]) : NULL;
    int16_t *words = (int16_t *)(void *)x->weights[index].integers->tokens; /* the session's own memory */
    for (size_t i = 0; i < tokens * columns; i++) {
        const bool has = position && i / columns < s->node->u.embed.position_prefix;
        words[i] =
            (int16_t)rounded(weight[i] + (has ? position[i] : 0), (double)vt_unit_of(x->plan->graph, s->out), 32767);
    }
}

/* Words of the embedding's unit, in the first half of where the floats were. */
static void round_positions(const struct vt_exec *x, const struct vt_step *constant, const struct vt_step *reader)
{
    const struct vt_plan_value *of = &x->plan->values[constant->out];
    const double unit = (double)vt_unit_of(x->plan->graph, reader->out);
    const float *from = vt_exec_view(x, vt_view_of(constant->out));
    int16_t *to = vt_exec_view(x, vt_view_of(constant->out));
    for (size_t i = 0; i < of->rows * of->ld; i++) {
        float number;
        memcpy(&number, from + i, sizeof number); /* before a word takes its place, or that of one before it */
        const int16_t word = (int16_t)rounded(number, unit, 32767);
        memcpy(to + i, &word, sizeof word);
    }
}

static void round_bias(const struct vt_exec *x, const struct vt_step *constant, const struct vt_step *reader,
                       size_t index)
{
    const struct vt_plan_value *of = &x->plan->values[constant->out];
    const size_t heads = reader->node->u.attention.heads, count = of->rows * of->ld / heads;
    char *at = vt_exec_view(x, vt_view_of(constant->out));
    for (size_t i = 0; i < heads * count; i++, at += sizeof(float)) {
        float number;
        memcpy(&number, at, sizeof number);
        const int32_t units = rounded(number, (double)x->weights[index].score_scale[i / count], VT_MOST_ADDED);
        memcpy(at, &units, sizeof units);
    }
}

void vt_integers_of_constants(const struct vt_exec *x)
{
    const struct vt_plan *p = x->plan;
    for (size_t i = p->constant_count; i < p->step_count; i++)
        if (p->steps[i].type == VT_NODE_EMBED)
            round_tokens(x, i);
    for (size_t i = 0; i < p->constant_count; i++) {
        size_t index;
        const struct vt_step *constant = &p->steps[i], *reader = reader_of(p, constant->out, &index);
        if (reader && constant->type == VT_NODE_POSITIONS)
            round_positions(x, constant, reader);
        else if (reader)
            round_bias(x, constant, reader, index);
    }
}
