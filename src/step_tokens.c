/* SPDX-License-Identifier: Apache-2.0 */
/* Token reduction in integers, as far as it is prepared: units of scores, and how many rows stay of how many. See
 * step_integers.h. */
#include "step_integers.h"

#include "integer_map.h"

#include <math.h>

/* ---- Units: those of scores are powers of 2, but where lengths of values are part of them ---- */

/* A sum over the queries has 31 bits. */
static double unit_of_probabilities(const struct vt_plan *p, const struct vt_node *attention)
{
    const size_t queries = p->values[attention->in[0].value].rows;
    return ldexp(1, (int)vt_bits_of(queries > 1 ? queries - 1 : 0) - 30);
}

static double unit_of_score(const struct vt_plan *p, const struct vt_node *node)
{
    const double unit = (double)vt_unit_of(p->graph, node->in[0].value);
    const size_t heads = node->in[0].columns;
    switch (node->u.token_score.kind) {
    case VT_TOKEN_MEAN: return unit;
    case VT_TOKEN_VALUES:
    case VT_TOKEN_HEAD_VALUES: {
        const bool by_head = node->u.token_score.kind == VT_TOKEN_HEAD_VALUES;
        const unsigned bits = vt_length_bits(by_head ? node->in[1].columns / heads : node->in[1].columns);
        return ldexp(unit * (double)vt_unit_of(p->graph, node->in[1].value) * (double)heads, (int)bits);
    }
    case VT_TOKEN_VOTES: return ldexp(1, -VT_VOTE_BITS);
    case VT_TOKEN_LOGARITHM: return ldexp(1, -VT_LOGARITHM_BITS);
    case VT_TOKEN_ONES: return ldexp(1, -VT_SIZE_BITS);
    case VT_TOKEN_NUMBER: return 1;
    default: return 0;
    }
}

void vt_give_token_units(struct vt_plan *p)
{
    for (size_t v = 0; v < p->graph->node_count; v++) {
        struct vt_node *node = &p->graph_storage.nodes[v];
        if (node->type == VT_NODE_ATTENTION_SCORES)
            node->unit = (float)unit_of_probabilities(p, &p->graph->nodes[node->in[0].value]);
        else if (node->type == VT_NODE_TOKEN_SCORE)
            node->unit = (float)unit_of_score(p, node);
        else if (node->type == VT_NODE_ARGMAX)
            node->unit = 1;
        else if (node->type == VT_NODE_SCATTER && node->in_count > 2)
            node->unit = fmaxf(vt_unit_of(p->graph, node->in[0].value), vt_unit_of(p->graph, node->in[2].value));
        else if (node->type == VT_NODE_SELECT)
            node->unit = node->u.select.fuse ? vt_unit_of(p->graph, node->in[0].value) : 0x1p-30f;
    }
}

/* Of a unit that is 2 to the minus so many. */
static unsigned bits_of_unit(float unit)
{
    int exponent;
    (void)frexp((double)unit, &exponent);
    return (unsigned)(1 - exponent);
}

/* ---- Steps ---- */

size_t vt_count_table(const struct vt_plan *p, const struct vt_step *s)
{
    return s->type == VT_NODE_SELECT ? p->values[s->node->in[0].value].rows + 1 : 0;
}

static uint64_t variance_units(double variance)
{
    return (uint64_t)fmin(rint(ldexp(1 + variance, 20)), 0x1p62);
}

static struct vt_integer_votes votes_of(const struct vt_node *node)
{
    const double boost = (double)node->u.token_score.boost, highest = (double)node->u.token_score.highest;
    return (struct vt_integer_votes){ .root = boost == 0,
                                      .more = (int64_t)rint(ldexp(boost - 1, 16)),
                                      .lowest = variance_units((double)node->u.token_score.lowest),
                                      .highest = variance_units(highest > 0 ? highest : HUGE_VAL) };
}

static void find_powers(double unit, struct vt_powers *powers)
{
    for (int i = 0; i < 256; i++) {
        powers->high[i] = (uint32_t)rint(ldexp(exp(-unit * 256 * i), 31));
        powers->low[i] = (uint32_t)rint(ldexp(exp(-unit * i), 31));
    }
}

void vt_make_token_step(const struct vt_plan *p, const struct vt_step *s, struct vt_step_integers *to, uint32_t *counts,
                        struct vt_powers *powers)
{
    const struct vt_node *node = s->node;
    to->counts = counts;
    to->powers = powers;
    if (powers) {
        find_powers((double)vt_unit_of(p->graph, node->in[0].value), powers);
        to->limit = (uint32_t)fmin(ceil(0x1p24 / (double)node->u.select.threshold), UINT32_MAX);
    }
    for (size_t i = 0; i < vt_count_table(p, s); i++)
        counts[i] = (uint32_t)vt_wanted_count(node, i);
    if (s->type == VT_NODE_SELECT) {
        to->share_bits = bits_of_unit(node->unit);
        to->passed = (int32_t)ldexp((double)node->u.select.passed, VT_SHARE_BITS);
    } else if (s->type == VT_NODE_APPLY) {
        to->share_bits = bits_of_unit(vt_unit_of(p->graph, node->in[1].value));
    } else {
        to->score_bits = bits_of_unit(vt_unit_of(p->graph, node->in[0].value));
        to->votes = votes_of(node);
    }
}

void vt_make_scores(const struct vt_plan *p, const struct vt_step *attention, struct vt_step_integers *to)
{
    for (size_t k = 0; k < VT_SCORES_COUNT; k++)
        if (attention->scores[k] != VT_NO_VALUE)
            to->score_bits = bits_of_unit(vt_unit_of(p->graph, attention->scores[k]));
    if (attention->scores[VT_SCORES_VOTES] == VT_NO_VALUE)
        return;
    const double boost = (double)p->graph->nodes[attention->scores[VT_SCORES_VOTES]].u.scores.boost;
    to->boost = boost == 0 ? -1 : (int64_t)rint(ldexp(boost, 16));
}
