/* SPDX-License-Identifier: Apache-2.0 */
/* Building a graph: the nodes by which tokens leave, and those that make maps of classes. */
#include "graph_build.h"

#include <string.h>

/* ---- What attention gives beside its output ---- */

/* The node by which it gives such scores already, or NULL. */
static const struct vt_node *find_scores(const struct vt_graph *g, vt_value attention, enum vt_attention_scores kind)
{
    for (size_t v = 0; v < g->node_count; v++)
        if (g->nodes[v].type == VT_NODE_ATTENTION_SCORES && g->nodes[v].in[0].value == attention &&
            g->nodes[v].u.scores.kind == kind)
            return &g->nodes[v];
    return NULL;
}

static void expect_votes(struct vt_graph *g, const char *name, const struct vt_scores *scores)
{
    if (scores->kind != VT_SCORES_VOTES && (scores->rounds != 1 || scores->boost != 0))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: \"rounds\" and \"boost\" are of scores \"votes\" alone", name);
    if (!scores->rounds || scores->rounds > VT_MAX_ROUNDS)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: it has %u rounds of votes, expected 1 to %u", name,
                      (unsigned)scores->rounds, VT_MAX_ROUNDS);
}

/* The same ones are given once. */
vt_value vt_graph_scores_like(struct vt_graph *g, const char *name, const struct vt_node *like)
{
    const struct vt_scores scores = like->u.scores;
    const vt_value attention = like->in[0].value;
    expect_votes(g, name, &scores);
    if (g->status)
        return VT_NO_VALUE;
    const struct vt_node *made = find_scores(g, attention, scores.kind);
    if (made && made->u.scores.rounds == scores.rounds && made->u.scores.boost == scores.boost)
        return vt_build_value(g, made);
    if (made)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: %s gives other votes in node %s, of %u rounds and the boost %g", name,
                      g->nodes[attention].name, made->name, (unsigned)made->u.scores.rounds,
                      (double)made->u.scores.boost);
    struct vt_node *node = vt_build_node(g, VT_NODE_ATTENTION_SCORES, name);
    if (!node)
        return VT_NO_VALUE;
    vt_build_input(g, node, vt_view_of(attention));
    if (g->nodes[attention].type != VT_NODE_ATTENTION)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: its input %s is no attention", node->name, g->nodes[attention].name);
    node->columns = g->nodes[attention].u.attention.heads;
    node->u.scores = scores;
    return vt_build_value(g, node);
}

vt_value vt_graph_attention_scores(struct vt_graph *g, const char *name, vt_value attention,
                                   enum vt_attention_scores scores)
{
    const struct vt_node like = { .in = { vt_view_of(attention) }, .u.scores = { .kind = scores, .rounds = 1 } };
    return vt_graph_scores_like(g, name, &like);
}

/* ---- Scores of tokens, and maps of them ---- */

/* Inputs that a score takes beside in[0]. */
static void expect_score_inputs(struct vt_graph *g, const struct vt_node *node)
{
    static const struct {
        uint32_t least, most;
    } counts[VT_TOKEN_SCORE_COUNT] = { { 1, 1 }, { 2, 2 }, { 2, 2 }, { 1, 2 }, { 1, 1 },
                                       { 1, 1 }, { 1, 1 }, { 2, 2 }, { 1, 2 } };
    const enum vt_token_score kind = node->u.token_score.kind;
    if (node->in_count < counts[kind].least || node->in_count > counts[kind].most)
        vt_expect(g, node, "number of inputs", node->in_count, counts[kind].most);
    else if (kind == VT_TOKEN_HEAD_VALUES)
        vt_expect_parts(g, node, "columns of the values", node->in[1].columns, node->in[0].columns);
    else if (kind == VT_TOKEN_VOTES && node->in_count == 2)
        vt_expect(g, node, "number of columns of the first row", node->in[1].columns, node->in[0].columns);
    else if (kind == VT_TOKEN_LOGARITHM || kind == VT_TOKEN_DIFFERENCE || kind == VT_TOKEN_HALTING)
        for (uint32_t k = 0; k < node->in_count; k++)
            vt_expect(g, node, "number of columns of its input", node->in[k].columns, 1);
}

/* Only one kind has them; none of the others writes them. */
static void settle_halting(struct vt_graph *g, struct vt_node *node)
{
    if (node->u.token_score.kind != VT_TOKEN_HALTING) {
        node->u.token_score.scale = node->u.token_score.limit = 1;
        node->u.token_score.center = 0;
    } else if (!(node->u.token_score.limit > 0 && node->u.token_score.limit <= 1)) {
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: the limit is %g, expected over 0 and up to 1", node->name,
                      (double)node->u.token_score.limit);
    }
}

/* A node of that type with the inputs and numbers of `like`. */
static struct vt_node *add_like(struct vt_graph *g, enum vt_node_type type, const char *name,
                                const struct vt_node *like)
{
    struct vt_node *node = vt_build_node(g, type, name);
    for (uint32_t i = 0; node && i < like->in_count; i++)
        vt_build_input(g, node, like->in[i]);
    if (node)
        node->u = like->u;
    return node;
}

vt_value vt_graph_token_score(struct vt_graph *g, const char *name, const struct vt_node *like)
{
    struct vt_node *node = add_like(g, VT_NODE_TOKEN_SCORE, name, like);
    if (!node || g->status)
        return VT_NO_VALUE;
    node->columns = 1;
    expect_score_inputs(g, node);
    settle_halting(g, node);
    if (!(node->u.token_score.lowest <= node->u.token_score.highest))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: the variances of heads that count are from %g to %g", node->name,
                      (double)node->u.token_score.lowest, (double)node->u.token_score.highest);
    return vt_build_value(g, node);
}

/* Scores are one column, features fall into groups. */
static void expect_select_inputs(struct vt_graph *g, const struct vt_node *node)
{
    const enum vt_selection by = node->u.select.by;
    const bool match = by == VT_SELECT_MATCH, second = match ? node->in_count > 1 : node->u.select.similar > 0;
    const bool third = (match || (by == VT_SELECT_TOP && second)) && node->in_count == 3;
    const uint32_t features = vt_feature_input(node);
    if (node->in_count != 1u + second + third)
        vt_expect(g, node, "number of inputs", node->in_count, 1 + second);
    else if (by == VT_SELECT_TOP || by == VT_SELECT_SAMPLES || by == VT_SELECT_BELOW)
        vt_expect(g, node, "number of columns of the scores", node->in[0].columns, 1);
    if (third)
        vt_expect_one_column(g, node, match ? "number of columns of the importance"
                                            : "number of columns of the scores that halves are by");
    if (match && second)
        vt_expect(g, node, "number of columns of the sizes", node->in[1].columns, 1);
    if (!g->status && features < node->in_count && (match || second))
        vt_expect_parts(g, node, "columns of the features", node->in[features].columns, node->u.select.groups);
}

/* Two kinds have a threshold, which says how many stay, one a context; none of the others writes them. */
static void settle_threshold(struct vt_graph *g, struct vt_node *node)
{
    const bool unsure = node->u.select.by == VT_SELECT_UNSURE, below = node->u.select.by == VT_SELECT_BELOW;
    if (!unsure)
        node->u.select.context = VT_USUAL_CONTEXT;
    if (!unsure && !below)
        node->u.select.threshold = 1;
    else if (unsure && !(node->u.select.threshold >= 0 && node->u.select.threshold <= 1))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: the threshold is %g, expected 0 to 1", node->name,
                      (double)node->u.select.threshold);
    else if (node->u.select.count || node->u.select.keep < 1)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: selections by \"%s\" have no \"keep\" and no \"count\"", node->name,
                      unsure ? "unsure" : "below");
    if (node->u.select.with_first && !below)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: \"with_first\" is of selections by \"below\" alone", node->name);
}

vt_value vt_graph_select(struct vt_graph *g, const char *name, const struct vt_node *like)
{
    struct vt_node *node = add_like(g, VT_NODE_SELECT, name, like);
    if (!node || g->status)
        return VT_NO_VALUE;
    const enum vt_selection by = node->u.select.by;
    node->columns = VT_MAP_COLUMNS;
    expect_select_inputs(g, node);
    if (!(node->u.select.keep > 0 && node->u.select.keep <= 1))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: the share of tokens to keep is %g, expected over 0 and up to 1",
                      node->name, node->u.select.keep);
    if ((node->u.select.fuse || node->u.select.similar) && by != VT_SELECT_TOP)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: \"fuse\" and \"similar\" are of selections by \"top\" alone",
                      node->name);
    if (node->u.select.drop && by != VT_SELECT_MATCH)
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: \"drop\" is of selections by \"match\" alone", node->name);
    if (!(node->u.select.passed >= 0 && node->u.select.passed <= (node->u.select.drop ? 1 : 0)))
        vt_graph_fail(g, VITRT_EFORMAT, "node %s: \"passed\" is %g, expected 0 to 1, and 0 without \"drop\"",
                      node->name, (double)node->u.select.passed);
    if (by == VT_SELECT_SAMPLES && node->u.select.count == 1 && !node->u.select.in_order)
        vt_expect(g, node, "number of samples", 1, 2);
    if (by == VT_SELECT_SAMPLES && node->u.select.count > VT_MAX_SAMPLES)
        vt_expect(g, node, "number of samples", node->u.select.count, VT_MAX_SAMPLES);
    settle_threshold(g, node);
    return vt_build_value(g, node);
}

/* x by a map, or back. */
static struct vt_node *add_mapped(struct vt_graph *g, enum vt_node_type type, const char *name, struct vt_view x,
                                  vt_value map)
{
    struct vt_node *node = vt_build_node(g, type, name);
    if (!node)
        return NULL;
    vt_build_input(g, node, x);
    vt_build_input_of_kind(g, node, vt_view_of(map), VT_TOKEN_MAP);
    node->columns = node->in[0].columns;
    return node;
}

vt_value vt_graph_apply(struct vt_graph *g, const char *name, struct vt_view x, vt_value map, bool sum)
{
    struct vt_node *node = add_mapped(g, VT_NODE_APPLY, name, x, map);
    if (!node)
        return VT_NO_VALUE;
    node->u.apply.sum = sum;
    return vt_build_value(g, node);
}

bool vt_moves_rows(const struct vt_graph *g, const struct vt_node *apply)
{
    const struct vt_node *select = &g->nodes[apply->in[1].value];
    if (select->u.select.by == VT_SELECT_MATCH)
        return select->u.select.drop && !apply->u.apply.sum;
    return !select->u.select.fuse;
}

bool vt_weighs_rows(const struct vt_graph *g, const struct vt_node *apply)
{
    return !apply->u.apply.sum || g->nodes[apply->in[1].value].u.select.drop;
}

vt_value vt_graph_scatter(struct vt_graph *g, const char *name, struct vt_view x, vt_value map, vt_value base)
{
    struct vt_node *node = add_mapped(g, VT_NODE_SCATTER, name, x, map);
    if (!node)
        return VT_NO_VALUE;
    if (base != VT_NO_VALUE) {
        vt_build_input(g, node, vt_view_of(base));
        vt_expect(g, node, "number of columns of what rows are otherwise", node->in[2].columns, node->columns);
    }
    return vt_build_value(g, node);
}

vt_value vt_graph_upsample(struct vt_graph *g, const char *name, struct vt_view x, const uint32_t factor[2])
{
    struct vt_node *node = vt_build_unary(g, VT_NODE_UPSAMPLE, name, x);
    if (!node)
        return VT_NO_VALUE;
    memcpy(node->u.upsample.factor, factor, sizeof node->u.upsample.factor);
    vt_expect_sides(g, node, "the factor", factor, factor[0] || factor[1]);
    return vt_build_value(g, node);
}

vt_value vt_graph_argmax(struct vt_graph *g, const char *name, struct vt_view x)
{
    struct vt_node *node = vt_build_unary(g, VT_NODE_ARGMAX, name, x);
    if (node)
        node->columns = 1;
    return node ? vt_build_value(g, node) : VT_NO_VALUE;
}
