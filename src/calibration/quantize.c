/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vitrt_model_quantize. The model runs in f32 over the calibration images, while what its products read is watched;
 * that makes quantizers of a copy of the graph, and codes of weights; then some nodes may be put back into float.
 */
#include "calibrate.h"
#include "float_env.h"
#include "quantized.h"
#include "sensitivity.h"

#include <string.h>

#define USUAL_BITS 8
#define ALL_FLAGS                                                                                                      \
    (VITRT_QUANTIZE_PERCENTILES | VITRT_QUANTIZE_TENSORS | VITRT_QUANTIZE_ROUND | VITRT_QUANTIZE_SEQUENTIAL)

/* ---- Options ---- */

static vitrt_status check_images(const vitrt_quantize_options *o, vitrt_error *err)
{
    if (!o || !o->image_count || (!o->images && !o->read_image))
        return vt_err(err, VITRT_EINVAL, "there are no calibration images; 32 of the training set are usual");
    if (o->images && o->read_image)
        return vt_err(err, VITRT_EINVAL, "calibration images are given as an array and by a function, expected one");
    return VITRT_OK;
}

static vitrt_status check_numbers(const vitrt_quantize_options *o, vitrt_error *err)
{
    if (o->weight_bits == 1 || o->weight_bits > 8 || o->activation_bits == 1 || o->activation_bits > 8)
        return vt_err(err, VITRT_EINVAL, "codes of %u bits for weights and %u for activations, expected 2 to 8, or 0",
                      (unsigned)o->weight_bits, (unsigned)o->activation_bits);
    if (o->float_precision != VITRT_PRECISION_DEFAULT && o->float_precision != VITRT_PRECISION_F32 &&
        o->float_precision != VITRT_PRECISION_BF16)
        return vt_err(err, VITRT_EINVAL, "float_precision is %d, expected f32 or bf16", (int)o->float_precision);
    if (!(o->tolerance >= 0 && o->tolerance <= 1))
        return vt_err(err, VITRT_EINVAL, "the tolerance is %g, expected a number from 0 to 1", (double)o->tolerance);
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++)
        if (o->reserved[i] || o->flags & ~ALL_FLAGS)
            return vt_err(err, VITRT_EINVAL, "the options have unknown flags or reserved members that are not zero");
    return VITRT_OK;
}

/* Names of nodes that could have codes. */
static vitrt_status check_names(const vitrt_model *m, const vitrt_quantize_options *o, vitrt_error *err)
{
    if (o->float_node_count && !o->float_nodes)
        return vt_err(err, VITRT_EINVAL, "float_node_count is %zu but float_nodes is NULL", o->float_node_count);
    for (size_t i = 0; i < o->float_node_count; i++) {
        bool found = false;
        if (!o->float_nodes[i])
            return vt_err(err, VITRT_EINVAL, "the name of float node %zu is NULL", i);
        for (size_t v = 0; v < m->graph.node_count && !found; v++)
            found = vt_operand_count(&m->graph.nodes[v]) && !strcmp(m->graph.nodes[v].name, o->float_nodes[i]);
        if (!found)
            return vt_err(err, VITRT_EINVAL,
                          "%s has no linear layer, convolution or attention \"%.60s\"; vitrt_describe lists them",
                          vt_checkpoint_path(m->checkpoint), o->float_nodes[i]);
    }
    return VITRT_OK;
}

static vitrt_status check(const vitrt_model *m, const vitrt_quantize_options *o, vitrt_error *err)
{
    if (!m)
        return vt_err(err, VITRT_EINVAL, "the model is NULL");
    vitrt_status st = check_images(o, err);
    if (!st)
        st = check_numbers(o, err);
    if (!st)
        st = check_names(m, o, err);
    if (!st && vt_graph_is_quantized(&m->graph))
        st = vt_err(err, VITRT_EINVAL, "%s: the model is quantized already", vt_checkpoint_path(m->checkpoint));
    return st;
}

/* ---- Steps ---- */

static vitrt_status open_result(struct vt_quantized *q, vitrt_model **out)
{
    char *file = NULL;
    size_t bytes = 0;
    vitrt_status st = vt_quantized_write(q, &file, &bytes);
    if (!st)
        st = vt_quantized_open(q, file, bytes, true, out);
    vt_free(&q->alloc, file, bytes);
    return st;
}

static vitrt_status add_operand(struct vt_quantized *q, const struct vt_calibration *c, size_t i)
{
    struct vt_operand operand;
    const vitrt_status st = vt_calibration_operand(c, i, &operand, q->err);
    return st ? st : vt_quantized_add(q, &operand, vt_calibration_pool(c));
}

/* The inputs of a node as they are behind nodes that have codes already. */
static vitrt_status add_node(struct vt_quantized *q, vt_value v, const vitrt_quantize_options *o, uint32_t bits)
{
    struct vt_calibration *c = NULL;
    vitrt_model *m = NULL;
    vitrt_status st = open_result(q, &m);
    if (!st)
        st = vt_calibrate_node(m, v, o, bits, &c, q->err);
    for (size_t i = 0; !st && i < vt_calibration_count(c); i++)
        st = add_operand(q, c, i);
    vt_calibration_free(c);
    vitrt_model_free(m);
    return st;
}

static vitrt_status make_codes(struct vt_quantized *q, const struct vt_calibration *c, const vitrt_quantize_options *o,
                               uint32_t bits)
{
    const size_t count = vt_calibration_count(c);
    vitrt_status st = VITRT_OK;
    for (size_t v = 0; v < q->graph.node_count; v++) /* what stays so is in the caller's precision */
        if (vt_operand_count(&q->graph.nodes[v]))
            vt_quantized_restore(q, (vt_value)v);
    for (size_t i = 0; i < count && !st; i++) {
        const vt_value node = vt_calibration_node(c, i);
        if (!(o->flags & VITRT_QUANTIZE_SEQUENTIAL) || node == vt_calibration_node(c, 0))
            st = add_operand(q, c, i);
        else if (node != vt_calibration_node(c, i - 1))
            st = add_node(q, node, o, bits);
        if (!st && o->progress)
            o->progress(o->user, "quantize", i + 1, count);
    }
    return st;
}

/* Puts nodes into float for the tolerance, and tells what each costs. */
static vitrt_status rank(struct vt_quantized *q, const struct vt_calibration *c, const vitrt_quantize_options *o)
{
    const struct vt_graph *g = &q->graph;
    struct vt_candidate *candidates = vt_calloc(&q->alloc, g->node_count, sizeof *candidates);
    size_t count = 0;
    if (!candidates)
        return vt_err_memory(q->err, g->node_count * sizeof *candidates, "the ranks of nodes");
    for (size_t v = 0; v < g->node_count; v++)
        if (vt_is_quantized(&g->nodes[v]))
            candidates[count++].node = (vt_value)v;
    const vitrt_status st = vt_rank_candidates(q, c, o, candidates, count);
    for (size_t i = 0; i < count && !st; i++) {
        if (candidates[i].in_float)
            vt_quantized_restore(q, candidates[i].node);
        if (o->report)
            o->report(o->user, g->nodes[candidates[i].node].name, candidates[i].loss,
                      !candidates[i].in_float                     ? VITRT_PRECISION_I8
                      : q->float_product == VT_FLOAT_PRODUCT_BF16 ? VITRT_PRECISION_BF16
                                                                  : VITRT_PRECISION_F32);
    }
    vt_free(&q->alloc, candidates, g->node_count * sizeof *candidates);
    return st;
}

static vitrt_status quantize(const vitrt_model *m, const vitrt_quantize_options *o, vitrt_model **out, vitrt_error *err)
{
    const bool ranks = o->report || o->tolerance > 0;
    const uint32_t activation_bits = o->activation_bits ? o->activation_bits : USUAL_BITS;
    struct vt_calibration *c = NULL;
    struct vt_quantized q;
    vitrt_status st = vt_quantized_init(&q, m, o->weight_bits ? o->weight_bits : USUAL_BITS, err);
    q.float_product = o->float_precision == VITRT_PRECISION_BF16 ? VT_FLOAT_PRODUCT_BF16 : VT_FLOAT_PRODUCT_F32;
    if (!st)
        st = vt_calibrate(m, o, activation_bits, ranks, &c, err);
    if (!st)
        st = make_codes(&q, c, o, activation_bits);
    if (!st && ranks)
        st = rank(&q, c, o);
    if (!st)
        vt_calibration_units(c, &q.graph);
    if (!st)
        st = open_result(&q, out);
    vt_calibration_free(c);
    vt_quantized_free(&q);
    return st;
}

vitrt_status vitrt_model_quantize(const vitrt_model *m, const vitrt_quantize_options *o, vitrt_model **out,
                                  vitrt_error *err)
{
    vt_float_env env;
    if (!out)
        return vt_err(err, VITRT_EINVAL, "out is NULL");
    *out = NULL;
    const vitrt_status st = check(m, o, err);
    if (st)
        return st;
    vt_float_env_enter(&env);
    const vitrt_status done = quantize(m, o, out, err);
    vt_float_env_leave(&env);
    return done;
}
