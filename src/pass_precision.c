/* SPDX-License-Identifier: Apache-2.0 */
/* Precision: what linear layers and attention read in a narrower type than f32 is converted where it comes from. */
#include "plan.h"
#include "row_needs.h"

#include <string.h>

/* How a node wants an input: as it is, in another type, or as numbers that its quantizer knows. */
struct operand {
    enum vt_dtype element;
    const struct vt_operand_quantizer *quantizer; /* NULL: none */
};

/* What the node's products multiply in. Attention whose probabilities have logarithmic codes only simulates what other
 * hardware does: floats, rounded to what their codes stand for. */
static enum vt_product product_of(enum vt_precision precision, const struct vt_node *node)
{
    if (precision == VT_PRECISION_BF16)
        return VT_PRODUCT_BF16;
    if (precision == VT_PRECISION_F32)
        return VT_PRODUCT_F32;
    if (!vt_is_quantized(node))
        return node->float_product == VT_FLOAT_PRODUCT_BF16 ? VT_PRODUCT_BF16 : VT_PRODUCT_F32;
    return node->type == VT_NODE_ATTENTION && node->u.attention.log_bits ? VT_PRODUCT_F32 : VT_PRODUCT_U8S8;
}

/* Input k of a product; a bias or gate is no operand. Convolutions convert the windows they gather themselves. */
static struct operand operand_of_product(enum vt_precision precision, const struct vt_node *node, uint32_t k)
{
    struct operand o = { VT_F32, NULL };
    if (node->type == VT_NODE_CONV2D || k >= vt_operand_count(node))
        return o;
    const enum vt_product product = product_of(precision, node);
    if (product == VT_PRODUCT_BF16)
        o.element = VT_BF16;
    if (precision >= VT_PRECISION_I8 && node->quantizers[k].bits) {
        o.element = product == VT_PRODUCT_U8S8 ? VT_U8 : VT_F32;
        o.quantizer = &node->quantizers[k];
    }
    return o;
}

static bool is_plain(struct operand o)
{
    return o.element == VT_F32 && !o.quantizer;
}

/* What a value is made of that no conversion yields. Constants are floats until a session has evaluated them; in
 * integers scores and classes have 32 bits, and what moves rows leaves them as they are. nodes: where the inputs are. */
static enum vt_dtype element_of(enum vt_precision precision, const struct vt_node *nodes, const struct vt_node *node)
{
    if (node->type == VT_NODE_SELECT)
        return VT_I32;
    if (precision != VT_PRECISION_STRICT || vt_is_constant(node))
        return VT_F32;
    if (node->type == VT_NODE_INPUT || node->type == VT_NODE_ATTENTION_SCORES || node->type == VT_NODE_TOKEN_SCORE ||
        node->type == VT_NODE_ARGMAX)
        return VT_I32;
    const bool moves = vt_keeps_unit(node) || node->type == VT_NODE_SCATTER;
    return moves && nodes[node->in[0].value].element == VT_I32 ? VT_I32 : VT_I16;
}

static bool same_quantizer(const struct vt_operand_quantizer *a, const struct vt_operand_quantizer *b)
{
    return a->bits == b->bits && a->scales == b->scales && a->zeros == b->zeros &&
           (a->scales != VT_NO_WEIGHT || (a->scale == b->scale && a->zero == b->zero));
}

struct precision_pass {
    const struct vt_graph *g;
    struct vt_graph *out;
    enum vt_precision precision;
    const vt_value *outputs; /* [output_count], in g */
    size_t output_count;
    vt_value *moved;                    /* [node_count]: values of g in out */
    vt_value (*operands)[VT_MAX_CODED]; /* [node_count]: what stands in out for the inputs of a node of g; VT_NO_VALUE:
                                           what `moved` says */
};

static bool same_operand(struct operand a, struct operand b)
{
    return a.element == b.element && !a.quantizer == !b.quantizer &&
           (!a.quantizer || same_quantizer(a.quantizer, b.quantizer));
}

/* Features that a selection compares have no form of their own: they are taken as the first product that multiplies
 * the same columns wants them, so that these need not exist in two. What moves these rows is no product: its form
 * depends on what is asked for. Integers alone have words. */
static struct operand operand_of_features(const struct precision_pass *p, struct vt_view view)
{
    struct operand o = { VT_F32, NULL };
    for (size_t i = (size_t)view.value + 1; i < p->g->node_count && p->precision != VT_PRECISION_STRICT; i++)
        for (uint32_t k = 0; k < vt_operand_count(&p->g->nodes[i]) && is_plain(o); k++) {
            const struct vt_view *in = &p->g->nodes[i].in[k];
            if (in->value == view.value && in->column == view.column && in->columns == view.columns)
                o = operand_of_product(p->precision, &p->g->nodes[i], k);
        }
    return o;
}

static struct operand operand_of(const struct precision_pass *p, const struct vt_node *node, uint32_t k)
{
    if (vt_compares_features(node) && k == vt_feature_input(node))
        return operand_of_features(p, node->in[k]);
    return operand_of_product(p->precision, node, k);
}

/* Inputs, counted from the first, that may have to be converted. */
static uint32_t readable_operands(const struct vt_node *node)
{
    if (vt_compares_features(node))
        return vt_feature_input(node) + 1;
    return node->type == VT_NODE_APPLY ? 1 : vt_operand_count(node);
}

/* Is this the application of a map that moves rows, of any type, and adds none? Outputs are floats. */
static bool moves_rows(const struct precision_pass *p, vt_value v)
{
    const struct vt_node *node = &p->g->nodes[v];
    return node->type == VT_NODE_APPLY && vt_moves_rows(p->g, node) &&
           !vt_is_output(p->outputs, p->output_count, v);
}

/* Where all readers of moved rows want them alike, the input of the application is converted, which others may want
 * converted, too. */
static struct operand operand_of_apply(const struct precision_pass *p, vt_value apply)
{
    const struct operand plain = { VT_F32, NULL };
    const bool moves = moves_rows(p, apply);
    struct operand wanted = plain;
    for (size_t i = (size_t)apply + 1; i < p->g->node_count && moves; i++) {
        const struct vt_node *node = &p->g->nodes[i];
        for (uint32_t k = 0; k < node->in_count; k++) {
            if (node->in[k].value != apply)
                continue;
            const struct operand o = operand_of(p, node, k);
            const bool first = is_plain(wanted), whole = node->in[k].columns == p->g->nodes[apply].columns;
            if (is_plain(o) || !whole || (!first && !same_operand(wanted, o)))
                return plain;
            wanted = o;
        }
    }
    return wanted;
}

/* Makes room in a conversion for columns with a quantizer, which may be there already. */
static bool takes_part(struct vt_node *convert, const struct vt_view *view, const struct vt_operand_quantizer *q)
{
    for (uint32_t i = 0; i < convert->u.convert.part_count; i++) {
        const uint32_t first = convert->u.convert.parts[i].column, count = convert->u.convert.parts[i].columns;
        if (first == view->column && count == view->columns)
            return same_quantizer(&convert->quantizers[i], q);
        if (first < view->column + view->columns && view->column < first + count)
            return false;
    }
    const uint32_t n = convert->u.convert.part_count;
    if (n == VT_MAX_CODED || (n && convert->quantizers[0].bits != q->bits))
        return false;
    convert->u.convert.parts[n].column = view->column;
    convert->u.convert.parts[n].columns = view->columns;
    convert->quantizers[n] = *q;
    convert->u.convert.part_count++;
    return true;
}

static vt_value append_conversion(struct precision_pass *p, vt_value from, enum vt_dtype element)
{
    struct vt_node node = p->out->nodes[from]; /* for its name and columns */
    node.type = VT_NODE_CONVERT;
    node.in[0] = (struct vt_view){ from, 0, node.columns };
    node.in_count = 1;
    node.element = element;
    node.weight = node.bias = node.weight2 = VT_NO_WEIGHT;
    node.u.convert.part_count = 0;
    return vt_graph_append(p->out, &node);
}

/* The conversion of value v, appended behind it, that gives a reader what it wants: one of those from `first` on, or a
 * new one. */
static vt_value convert(struct precision_pass *p, vt_value v, vt_value first, const struct vt_view *view,
                        struct operand o)
{
    for (vt_value c = first; c < (vt_value)p->out->node_count; c++) {
        struct vt_node *node = &p->out->nodes[c];
        if (node->type == VT_NODE_CONVERT && node->element == o.element &&
            (node->u.convert.part_count > 0) == (o.quantizer != NULL) &&
            (!o.quantizer || takes_part(node, view, o.quantizer)))
            return c;
    }
    if (p->out->node_count == p->out->node_capacity)
        return VT_NO_VALUE;
    const vt_value c = append_conversion(p, p->moved[v], o.element);
    if (o.quantizer)
        takes_part(&p->out->nodes[c], view, o.quantizer);
    return c;
}

/* Appends what the readers of v want of it, if it is not that already. False: no room. */
static bool convert_for_readers(struct precision_pass *p, vt_value v)
{
    const vt_value first = (vt_value)p->out->node_count;
    if (!is_plain(operand_of_apply(p, v)))
        return true;
    for (size_t i = (size_t)v + 1; i < p->g->node_count; i++) {
        const struct vt_node *node = &p->g->nodes[i];
        for (uint32_t k = 0; k < readable_operands(node); k++) {
            if (node->in[k].value != v) /* first: the next line looks at all nodes again */
                continue;
            const struct operand o =
                node->type == VT_NODE_APPLY ? operand_of_apply(p, (vt_value)i) : operand_of(p, node, k);
            if (is_plain(o))
                continue;
            p->operands[i][k] = convert(p, v, first, &node->in[k], o);
            if (p->operands[i][k] == VT_NO_VALUE)
                return false;
        }
    }
    return true;
}

static bool is_read(const struct vt_graph *g, vt_value v)
{
    for (size_t i = (size_t)v + 1; i < g->node_count; i++)
        for (uint32_t k = 0; k < g->nodes[i].in_count; k++)
            if (g->nodes[i].in[k].value == v)
                return true;
    return false;
}

/* Positions become words in the unit of the embedding that reads them, so that each has some of its own. */
static void own_positions(struct precision_pass *p, struct vt_node *node)
{
    if (p->precision == VT_PRECISION_STRICT && node->type == VT_NODE_EMBED && node->in_count > 1 &&
        is_read(p->out, node->in[1].value)) {
        const struct vt_node copy = p->out->nodes[node->in[1].value];
        node->in[1].value = vt_graph_append(p->out, &copy);
    }
}

/* A bias stands beside integer scores as it is; attention in floats multiplies it by its scale. */
static void keep_bias(struct precision_pass *p, const struct vt_node *node)
{
    if (node->type == VT_NODE_ATTENTION && node->product == VT_PRODUCT_U8S8 && vt_bias_input(node))
        p->out->nodes[node->in[vt_bias_input(node)].value].u.relative_bias.divisor = 1;
}

/* A selection multiplies its features in the type that they have, and has to know what codes stand for. Sums of groups
 * have floats: they are so much shorter than rows that their product takes little. */
static void settle_features(const struct precision_pass *p, struct vt_node *node)
{
    const uint32_t k = vt_feature_input(node);
    const struct operand o = operand_of(p, node, k);
    const bool whole = node->u.select.groups == 1;
    if (o.element == VT_U8)
        node->quantizers[k] = *o.quantizer;
    if (whole && o.element == VT_U8 && node->in[k].columns <= VT_MAX_TERMS)
        node->product = VT_PRODUCT_U8S8;
    else if (whole && o.element == VT_BF16)
        node->product = VT_PRODUCT_BF16;
}

static bool rewrite(struct precision_pass *p)
{
    for (size_t v = 0; v < p->g->node_count; v++)
        for (uint32_t k = 0; k < VT_MAX_CODED; k++)
            p->operands[v][k] = VT_NO_VALUE;
    for (size_t v = 0; v < p->g->node_count; v++) {
        struct vt_node node = p->g->nodes[v];
        if (vt_operand_count(&node))
            node.product = product_of(p->precision, &node);
        if (vt_compares_features(&node))
            settle_features(p, &node);
        for (uint32_t k = 0; k < node.in_count; k++) {
            const vt_value converted = k < VT_MAX_CODED ? p->operands[v][k] : VT_NO_VALUE;
            node.in[k].value = converted == VT_NO_VALUE ? p->moved[node.in[k].value] : converted;
        }
        own_positions(p, &node);
        keep_bias(p, &node);
        const struct operand moved = operand_of_apply(p, (vt_value)v);
        node.element = is_plain(moved) ? element_of(p->precision, p->out->nodes, &node) : moved.element;
        if (p->out->node_count == p->out->node_capacity)
            return false;
        p->moved[v] = vt_graph_append(p->out, &node);
        if (!convert_for_readers(p, (vt_value)v))
            return false;
    }
    return true;
}

vitrt_status vt_pass_precision(const struct vt_graph *g, enum vt_precision precision, vt_value *outputs, size_t count,
                               struct vt_graph *out, vitrt_error *err)
{
    const size_t n = g->node_count;
    struct precision_pass p = { .g = g, .out = out, .precision = precision, .outputs = outputs, .output_count = count };
    size_t more = 0; /* conversions, and copies of positions */
    for (size_t v = 0; v < n; v++)
        more += readable_operands(&g->nodes[v]) + (g->nodes[v].type == VT_NODE_EMBED ? 1 : 0);
    p.moved = vt_calloc(&out->alloc, n, sizeof *p.moved);
    p.operands = vt_calloc(&out->alloc, n, sizeof *p.operands);
    const bool room = p.moved && p.operands && vt_graph_reserve(out, n + more) && rewrite(&p);
    for (size_t i = 0; i < count && room; i++)
        outputs[i] = p.moved[outputs[i]];
    vt_free(&out->alloc, p.moved, n * sizeof *p.moved);
    vt_free(&out->alloc, p.operands, n * sizeof *p.operands);
    return room ? VITRT_OK : vt_err_memory(err, (n + more) * sizeof *out->nodes, "the plan");
}
