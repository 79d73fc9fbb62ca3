/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes of all values for one input size. */
#include "graph.h"

#include <string.h>

/* Rows are counted in uint32_t maps; this bound keeps every product of rows, columns and batch far from overflow. */
#define MAX_ROWS ((uint64_t)1 << 28)

size_t vt_shape_rows(const struct vt_shape *s)
{
    return s->prefix + (size_t)s->map[0] * s->map[1];
}

static vitrt_status bad(const struct vt_graph *g, const struct vt_node *node, vitrt_error *err, const char *what,
                        uint64_t found, uint64_t wanted)
{
    return vt_err(err, VITRT_EINVAL, "%s: node %s: %s is %llu, expected %llu", vt_checkpoint_path(g->checkpoint),
                  node->name, what, (unsigned long long)found, (unsigned long long)wanted);
}

static vitrt_status conv_shape(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *in,
                               struct vt_shape *out, vitrt_error *err)
{
    static const char *const side[2] = { "height", "width" };
    if (in->prefix)
        return bad(g, node, err, "number of rows before the map", in->prefix, 0);
    for (int i = 0; i < 2; i++) {
        const uint64_t padded = (uint64_t)in->map[i] + 2 * (uint64_t)node->u.conv.padding[i];
        if (padded < node->u.conv.kernel[i])
            return vt_err(err, VITRT_EINVAL, "%s: node %s: the input's %s is %u, expected at least %u",
                          vt_checkpoint_path(g->checkpoint), node->name, side[i], (unsigned)in->map[i],
                          (unsigned)node->u.conv.kernel[i]);
        out->map[i] = (uint32_t)((padded - node->u.conv.kernel[i]) / node->u.conv.stride[i] + 1);
    }
    return VITRT_OK;
}

static vitrt_status same_rows(const struct vt_graph *g, const struct vt_node *node, const struct vt_shape *a,
                              const struct vt_shape *b, vitrt_error *err)
{
    return vt_shape_rows(a) == vt_shape_rows(b)
               ? VITRT_OK
               : bad(g, node, err, "number of rows of an input", vt_shape_rows(b), vt_shape_rows(a));
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

static vitrt_status node_shape(const struct vt_graph *g, const struct vt_node *node, const uint32_t input[2],
                               const struct vt_shape *shapes, struct vt_shape *out, vitrt_error *err)
{
    const struct vt_shape *in = node->in_count ? &shapes[node->in[0].value] : NULL;
    vitrt_status st = VITRT_OK;
    if (in)
        *out = *in;
    switch (node->type) {
    case VT_NODE_INPUT: *out = (struct vt_shape){ .map = { input[0], input[1] } }; break;
    case VT_NODE_CONV2D: st = conv_shape(g, node, in, out, err); break;
    case VT_NODE_ATTENTION: st = same_rows(g, node, &shapes[node->in[1].value], &shapes[node->in[2].value], err); break;
    case VT_NODE_ATTENTION_SCORES: *out = shapes[g->nodes[node->in[0].value].in[1].value]; break; /* that of the keys */
    case VT_NODE_ADD:
    case VT_NODE_CONCAT:
    case VT_NODE_HEAD_COMBINE:
    case VT_NODE_MUL:
        if (node->in_count == 2)
            st = same_rows(g, node, in, &shapes[node->in[1].value], err);
        break;
    case VT_NODE_POOL:
        if (node->u.rows.first_row >= vt_shape_rows(in))
            return bad(g, node, err, "first row to average", node->u.rows.first_row, vt_shape_rows(in) - 1);
        *out = (struct vt_shape){ .prefix = 1 };
        break;
    case VT_NODE_SLICE:
        if ((uint64_t)node->u.rows.first_row + node->u.rows.row_count > vt_shape_rows(in))
            return bad(g, node, err, "number of rows", vt_shape_rows(in),
                       (uint64_t)node->u.rows.first_row + node->u.rows.row_count);
        *out = (struct vt_shape){ .prefix = node->u.rows.row_count };
        break;
    case VT_NODE_EMBED: st = embed_shape(g, node, shapes, out, err); break;
    case VT_NODE_POSITIONS: out->prefix = node->u.positions.prefix; break;
    case VT_NODE_LINEAR:
    case VT_NODE_LAYER_NORM:
    case VT_NODE_ACTIVATION:
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
        if (map > MAX_ROWS || shapes[i].prefix > MAX_ROWS)
            return vt_err(err, VITRT_ELIMIT, "%s: node %s would have over 2^28 rows at %ux%u",
                          vt_checkpoint_path(g->checkpoint), g->nodes[i].name, (unsigned)input_height,
                          (unsigned)input_width);
    }
    return VITRT_OK;
}
