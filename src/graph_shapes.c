/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes of all values for one input size. */
#include "graph.h"
#include "row_needs.h"
#include "token_map.h"

#include <string.h>

/* Rows are counted in uint32_t maps; this bound keeps every product of rows, columns and batch far from overflow. */
#define MAX_ROWS ((uint64_t)1 << 28)

size_t vt_shape_rows(const struct vt_shape *s)
{
    if (s->order != VT_RASTER)
        return vt_window_area(&s->windows) * vt_window_count(&s->windows);
    return s->prefix + (size_t)s->map[0] * s->map[1];
}

bool vt_reads_shape_only(const struct vt_node *node)
{
    return vt_is_constant(node) || node->type == VT_NODE_ATTENTION_SCORES;
}

bool vt_is_constant(const struct vt_node *node)
{
    return node->type == VT_NODE_POSITIONS || node->type == VT_NODE_RELATIVE_BIAS;
}

bool vt_is_depthwise(const struct vt_node *node)
{
    return node->type == VT_NODE_CONV2D && node->u.conv.groups == node->in[0].columns &&
           node->u.conv.groups == node->columns;
}

static vitrt_status bad(const struct vt_graph *g, const struct vt_node *node, vitrt_error *err, const char *what,
                        uint64_t found, uint64_t wanted)
{
    return vt_err(err, VITRT_EINVAL, "%s: node %s: %s is %llu, expected %llu", vt_checkpoint_path(g->checkpoint),
                  node->name, what, (unsigned long long)found, (unsigned long long)wanted);
}

static vitrt_status same_rows(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *a,
                              const struct vt_shape *b, vitrt_error *err)
{
    const bool windows = a->order != VT_RASTER || b->order != VT_RASTER;
    if (windows && (a->order != b->order || a->map[0] != b->map[0] || a->map[1] != b->map[1]))
        return vt_err(err, VITRT_EINVAL, "%s: node %s: the rows of its inputs are not in the same order",
                      vt_checkpoint_path(g->checkpoint), node->name);
    if (a->rows_of != b->rows_of)
        return vt_err(err, VITRT_EINVAL, "%s: node %s: its inputs have the rows that different token maps leave",
                      vt_checkpoint_path(g->checkpoint), node->name);
    return vt_shape_rows(a) == vt_shape_rows(b)
               ? VITRT_OK
               : bad(g, node, err, "number of rows of an input", vt_shape_rows(b), vt_shape_rows(a));
}

/* All inputs of a node have the same rows. */
static vitrt_status all_same_rows(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *shapes,
                                  vitrt_error *err)
{
    vitrt_status st = VITRT_OK;
    for (uint32_t k = 1; k < node->in_count && !st; k++)
        st = same_rows(g, node, &shapes[node->in[0].value], &shapes[node->in[k].value], err);
    return st;
}

/* Windows of a convolution or pooling over a map. */
static vitrt_status sliding_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *in,
                                  const struct vt_sliding *slide, struct vt_shape *out, vitrt_error *err)
{
    static const char *const side[2] = { "height", "width" };
    if (in->prefix && !vt_is_depthwise(node))
        return bad(g, node, err, "number of rows before the map", in->prefix, 0);
    for (int i = 0; i < 2; i++) {
        const uint64_t padded = (uint64_t)in->map[i] + 2 * (uint64_t)slide->padding[i], kernel = slide->kernel[i];
        const uint64_t least = slide->cover || kernel <= 2 * slide->padding[i] ? 1 : kernel - 2 * slide->padding[i];
        if (in->map[i] < least)
            return vt_err(err, VITRT_EINVAL, "%s: node %s: the input's %s is %u, expected at least %u",
                          vt_checkpoint_path(g->checkpoint), node->name, side[i], (unsigned)in->map[i],
                          (unsigned)least);
        const uint64_t more = padded < kernel ? 0 : padded - kernel;
        out->map[i] = (uint32_t)((more + (slide->cover ? slide->stride[i] - 1 : 0)) / slide->stride[i] + 1);
    }
    return VITRT_OK;
}

static vitrt_status a_map(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *in,
                          vitrt_error *err)
{
    return in->map[0] && in->map[1]
               ? VITRT_OK
               : vt_err(err, VITRT_EINVAL, "%s: node %s: its input is no map, expected one",
                        vt_checkpoint_path(g->checkpoint), node->name);
}

/* A node that works on a map in its own order without rows before it. */
static vitrt_status plain_map(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *in,
                              vitrt_error *err)
{
    return in->prefix ? bad(g, node, err, "number of rows before the map", in->prefix, 0) : a_map(g, node, in, err);
}

static vitrt_status windows_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *in,
                                  struct vt_shape *out, vitrt_error *err)
{
    const vitrt_status st = plain_map(g, node, in, err);
    if (st)
        return st;
    out->order = node->u.order;
    out->windows = vt_windows_over(&g->patterns[node->u.order], in->map);
    return VITRT_OK;
}

/* A row for each element: [heads, tokens of a window, the same padded to vt_bias_ld]. */
static vitrt_status bias_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *in,
                               struct vt_shape *out, vitrt_error *err)
{
    const vitrt_status st = plain_map(g, node, in, err);
    if (st)
        return st;
    const struct vt_window_grid windows = vt_windows_over(&g->patterns[node->u.relative_bias.order], in->map);
    const size_t area = vt_window_area(&windows);
    const uint64_t rows = (uint64_t)area * vt_bias_ld(area) * node->u.relative_bias.heads;
    *out = (struct vt_shape){ .prefix = rows > MAX_ROWS ? UINT32_MAX : (uint32_t)rows, .order = VT_RASTER };
    return VITRT_OK;
}

/* Queries, keys and values stand in the same windows, and a bias is made for them; a gate stands as the queries do. */
static vitrt_status attention_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *shapes,
                                    vitrt_error *err)
{
    const struct vt_shape *q = &shapes[node->in[0].value], *k = &shapes[node->in[1].value];
    vitrt_status st = same_rows(g, node, k, &shapes[node->in[2].value], err);
    if (!st && (q->order != VT_RASTER || k->order != VT_RASTER))
        st = same_rows(g, node, q, k, err);
    if (!st && vt_gate_input(node))
        st = same_rows(g, node, q, &shapes[node->in[vt_gate_input(node)].value], err);
    if (!st && vt_key_bias_input(node))
        st = k->order == VT_RASTER ? same_rows(g, node, k, &shapes[node->in[vt_key_bias_input(node)].value], err)
                                   : bad(g, node, err, "number of biases of keys in windows", 1, 0);
    if (st || !vt_bias_input(node))
        return st;
    const struct vt_node *bias = &g->nodes[node->in[vt_bias_input(node)].value];
    const uint32_t *map = shapes[bias->in[0].value].map;
    if (q->order != bias->u.relative_bias.order || q->map[0] != map[0] || q->map[1] != map[1])
        return vt_err(err, VITRT_EINVAL,
                      "%s: node %s: its bias %s is for windows over another map or of another pattern",
                      vt_checkpoint_path(g->checkpoint), node->name, bias->name);
    return VITRT_OK;
}

/* A row for each key; those who vote are those that are voted for. */
static vitrt_status scores_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *shapes,
                                 struct vt_shape *out, vitrt_error *err)
{
    const struct vt_node *attention = &g->nodes[node->in[0].value];
    *out = shapes[attention->in[1].value];
    if (node->u.scores.kind == VT_SCORES_VOTES && out->order == VT_RASTER)
        return same_rows(g, node, out, &shapes[attention->in[0].value], err);
    return out->order == VT_RASTER
               ? VITRT_OK
               : vt_err(err, VITRT_EINVAL, "%s: node %s: %s attends in windows, expected attention within the image",
                        vt_checkpoint_path(g->checkpoint), node->name, attention->name);
}

static vitrt_status embed_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *shapes,
                                struct vt_shape *out, vitrt_error *err)
{
    const struct vt_shape *map = &shapes[node->in[0].value];
    if (map->prefix)
        return bad(g, node, err, "number of rows before the map", map->prefix, 0);
    *out = *map;
    if (node->in_count == 2) {
        const size_t found = vt_shape_rows(&shapes[node->in[1].value]),
                     wanted = node->u.embed.position_prefix + vt_shape_rows(map);
        if (found != wanted)
            return bad(g, node, err, "number of positions", found, wanted);
    }
    out->prefix = node->weight == VT_NO_WEIGHT ? 0 : (uint32_t)g->weights[node->weight].rows;
    return VITRT_OK;
}

/* How many rows every image surely has. */
static uint64_t sure_rows(const struct vt_graph *g, const struct vt_shape *s)
{
    return s->rows_of ? g->nodes[s->rows_of].u.select.protect : vt_shape_rows(s);
}

static vitrt_status slice_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *in,
                                struct vt_shape *out, vitrt_error *err)
{
    const uint64_t rows = sure_rows(g, in), first = node->u.rows.first_row, count = node->u.rows.row_count;
    const uint64_t last = first + (count ? count : 1);
    if (in->rows_of && !first && !count)
        return VITRT_OK;
    if (last > rows)
        return bad(g, node, err, "number of rows", rows, last);
    if (in->rows_of && !count)
        return vt_err(err, VITRT_EINVAL,
                      "%s: node %s: the rows from %llu on of an input with another number of rows for each image, "
                      "expected a number of them",
                      vt_checkpoint_path(g->checkpoint), node->name, (unsigned long long)first);
    if (!count && first <= in->prefix)
        out->prefix = in->prefix - (uint32_t)first; /* the map as it is */
    else
        *out = (struct vt_shape){ .prefix = (uint32_t)(count ? count : rows - first), .order = VT_RASTER };
    return VITRT_OK;
}

static vitrt_status unwindows_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *in,
                                    struct vt_shape *out, vitrt_error *err)
{
    out->order = VT_RASTER;
    return in->order != VT_RASTER
               ? VITRT_OK
               : vt_err(err, VITRT_EINVAL, "%s: node %s: the rows of its input are not in the order of windows",
                        vt_checkpoint_path(g->checkpoint), node->name);
}

static vitrt_status space_to_depth_shape(const struct vt_graph *g, const struct vt_node *node,
                                         const struct vt_shape *in, struct vt_shape *out, vitrt_error *err)
{
    const uint32_t *block = node->u.space_to_depth.block;
    for (int i = 0; i < 2; i++)
        out->map[i] = in->map[i] / block[i] + (in->map[i] % block[i] ? 1 : 0);
    return plain_map(g, node, in, err);
}

/* At least one stays, and there are two samples. */
size_t vt_share_count(size_t candidates, const struct vt_node *select)
{
    const size_t share = vt_keep_count(candidates, select->u.select.keep, select->u.select.up),
                 least = select->u.select.by == VT_SELECT_SAMPLES ? 2 : 1;
    return share >= least ? share : least < candidates ? least : candidates;
}

/* The most rows that selecting leaves of `rows`. */
static size_t rows_left(const struct vt_node *select, size_t rows)
{
    const size_t protect = select->u.select.protect, count = select->u.select.count, candidates = rows - protect;
    const size_t share = vt_share_count(candidates, select);
    const size_t kept = count && count < candidates ? count : count ? candidates : share;
    switch (select->u.select.by) {
    case VT_SELECT_MATCH: {
        const size_t merged = count ? count : candidates - share;
        return rows - (merged < candidates / 2 ? merged : candidates / 2);
    }
    case VT_SELECT_TOP: {
        const size_t similar = select->u.select.similar, most = candidates / 2;
        const size_t rest = candidates - (similar < most ? similar : most), stay = kept < rest ? kept : rest;
        return protect + stay + (select->u.select.fuse && stay < candidates);
    }
    case VT_SELECT_UNSURE:
    case VT_SELECT_BELOW: return rows;
    case VT_SELECT_SAMPLES:
    case VT_SELECT_EVEN:
    case VT_SELECT_RANDOM:
    case VT_SELECT_COUNT: break;
    }
    return protect + kept;
}

static vitrt_status select_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *shapes,
                                 vitrt_error *err)
{
    const struct vt_shape *in = &shapes[node->in[0].value];
    if (node->u.select.protect > sure_rows(g, in))
        return bad(g, node, err, "number of protected rows", node->u.select.protect, sure_rows(g, in));
    return all_same_rows(g, node, shapes, err);
}

static vitrt_status apply_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *shapes,
                                struct vt_shape *out, vitrt_error *err)
{
    const struct vt_shape *x = &shapes[node->in[0].value], *map = &shapes[node->in[1].value];
    *out = (struct vt_shape){ .prefix = (uint32_t)rows_left(&g->nodes[node->in[1].value], vt_shape_rows(map)),
                              .rows_of = node->in[1].value,
                              .order = VT_RASTER };
    return same_rows(g, node, map, x, err);
}

static vitrt_status scatter_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *shapes,
                                  struct vt_shape *out, vitrt_error *err)
{
    *out = shapes[node->in[1].value];
    if (shapes[node->in[0].value].rows_of != node->in[1].value)
        return vt_err(err, VITRT_EINVAL, "%s: node %s: the rows of %s are not those that the map %s leaves",
                      vt_checkpoint_path(g->checkpoint), node->name, g->nodes[node->in[0].value].name,
                      g->nodes[node->in[1].value].name);
    return node->in_count > 2 ? same_rows(g, node, out, &shapes[node->in[2].value], err) : VITRT_OK;
}

static vitrt_status upsample_shape(const struct vt_graph *g, const struct vt_node *node, const uint32_t input[2],
                                   const struct vt_shape *in, struct vt_shape *out, vitrt_error *err)
{
    const uint32_t *factor = node->u.upsample.factor;
    for (int i = 0; i < 2; i++) {
        const uint64_t side = factor[0] ? (uint64_t)in->map[i] * factor[i] : input[i];
        out->map[i] = side > UINT32_MAX ? UINT32_MAX : (uint32_t)side; /* both are too many rows */
    }
    return plain_map(g, node, in, err);
}

/* Rows in the order of windows pass through what works row by row, attention, and the way back. */
static bool takes_windows(const struct vt_node *node)
{
    return vt_row_by_row(node, 0) || node->type == VT_NODE_UNWINDOWS;
}

static vitrt_status check_orders(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *shapes,
                                 vitrt_error *err)
{
    for (uint32_t k = 0; k < node->in_count; k++)
        if (!takes_windows(node) && shapes[node->in[k].value].order != VT_RASTER)
            return vt_err(err, VITRT_EINVAL,
                          "%s: node %s: the rows of its input %s are in the order of windows, expected a map's",
                          vt_checkpoint_path(g->checkpoint), node->name, g->nodes[node->in[k].value].name);
    return VITRT_OK;
}

static vitrt_status node_shape(const struct vt_graph *g, const struct vt_node *node, const uint32_t input[2],
                               const struct vt_shape *shapes, struct vt_shape *out, vitrt_error *err)
{
    const struct vt_shape *in = node->in_count ? &shapes[node->in[0].value] : NULL;
    vitrt_status st = check_orders(g, node, shapes, err);
    if (st)
        return st;
    *out = in ? *in : (struct vt_shape){ .order = VT_RASTER };
    switch (node->type) {
    case VT_NODE_INPUT: memcpy(out->map, input, sizeof out->map); break;
    case VT_NODE_CONV2D: st = sliding_shape(g, node, in, &node->u.conv.slide, out, err); break;
    case VT_NODE_POOL2D: st = sliding_shape(g, node, in, &node->u.pool2d.slide, out, err); break;
    case VT_NODE_ATTENTION: st = attention_shape(g, node, shapes, err); break;
    case VT_NODE_ATTENTION_SCORES: st = scores_shape(g, node, shapes, out, err); break;
    case VT_NODE_ADD:
    case VT_NODE_CONCAT:
    case VT_NODE_HEAD_COMBINE:
    case VT_NODE_MUL:
        if (node->in_count == 2)
            st = same_rows(g, node, in, &shapes[node->in[1].value], err);
        break;
    case VT_NODE_POOL:
        st = all_same_rows(g, node, shapes, err);
        if (!st && node->u.rows.first_row >= vt_shape_rows(in))
            return bad(g, node, err, "first row to average", node->u.rows.first_row, vt_shape_rows(in) - 1);
        if (!node->u.rows.spread)
            *out = (struct vt_shape){ .prefix = 1, .order = VT_RASTER };
        break;
    case VT_NODE_SLICE: st = slice_shape(g, node, in, out, err); break;
    case VT_NODE_TOKENS: out->prefix = (uint32_t)g->weights[node->weight].rows; break;
    case VT_NODE_EMBED: st = embed_shape(g, node, shapes, out, err); break;
    case VT_NODE_WINDOWS: st = windows_shape(g, node, in, out, err); break;
    case VT_NODE_UNWINDOWS: st = unwindows_shape(g, node, in, out, err); break;
    case VT_NODE_SPACE_TO_DEPTH: st = space_to_depth_shape(g, node, in, out, err); break;
    case VT_NODE_RELATIVE_BIAS: st = bias_shape(g, node, in, out, err); break;
    case VT_NODE_POSITIONS:
        st = a_map(g, node, in, err);
        out->prefix = node->u.positions.prefix;
        break;
    case VT_NODE_TOKEN_SCORE: st = all_same_rows(g, node, shapes, err); break;
    case VT_NODE_SELECT: st = select_shape(g, node, shapes, err); break;
    case VT_NODE_APPLY: st = apply_shape(g, node, shapes, out, err); break;
    case VT_NODE_SCATTER: st = scatter_shape(g, node, shapes, out, err); break;
    case VT_NODE_UPSAMPLE: st = upsample_shape(g, node, input, in, out, err); break;
    case VT_NODE_LINEAR:
    case VT_NODE_LAYER_NORM:
    case VT_NODE_L2_NORM:
    case VT_NODE_ACTIVATION:
    case VT_NODE_ARGMAX:
    case VT_NODE_CONVERT:
    case VT_NODE_TYPE_COUNT: break;
    }
    out->columns = node->columns;
    return st;
}

vitrt_status vt_graph_shapes(const struct vt_graph *g, uint32_t input_height, uint32_t input_width,
                             struct vt_shape *shapes, vitrt_error *err)
{
    const uint32_t input[2] = { input_height, input_width };
    for (size_t i = 0; i < g->node_count; i++) {
        const vitrt_status st = node_shape(g, &g->nodes[i], input, shapes, &shapes[i], err);
        if (st)
            return st;
        const uint64_t map = (uint64_t)shapes[i].map[0] * shapes[i].map[1];
        if (map > MAX_ROWS || shapes[i].prefix > MAX_ROWS || vt_shape_rows(&shapes[i]) > MAX_ROWS)
            return vt_err(err, VITRT_ELIMIT, "%s: node %s would have over 2^28 rows at %ux%u",
                          vt_checkpoint_path(g->checkpoint), g->nodes[i].name, (unsigned)input_height,
                          (unsigned)input_width);
    }
    return VITRT_OK;
}
