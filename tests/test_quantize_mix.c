/* SPDX-License-Identifier: Apache-2.0 */
/* What vitrt_model_quantize leaves in float, because the caller says so or for a tolerance, and what it reports of the
 * loss of nodes: against models that have codes in one node alone, or as the result has them. */
#include "graph_text.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { IMAGES = 3, PIXELS = GRAPH_SIDE * GRAPH_SIDE * 3, MOST_NODES = 16, MOST_NUMBERS = GRAPH_SIDE * GRAPH_SIDE * 8 };

static float pixels[IMAGES][PIXELS];
static vitrt_image images[IMAGES];

static void make_images(void)
{
    for (size_t i = 0; i < IMAGES; i++)
        images[i] = graph_noise((uint32_t)i + 1, pixels[i]);
}

/* ---- What was reported ---- */

struct report {
    size_t count;
    char names[MOST_NODES][64];
    double losses[MOST_NODES];
    vitrt_precision precisions[MOST_NODES];
};

static void add_to_report(void *user, const char *node, double loss, vitrt_precision precision)
{
    struct report *r = user;
    assert_in_range(r->count, 0, MOST_NODES - 1);
    snprintf(r->names[r->count], sizeof *r->names, "%s", node);
    r->losses[r->count] = loss;
    r->precisions[r->count++] = precision;
}

static const struct vt_node *node_named(const vitrt_model *m, const char *name)
{
    for (size_t v = 0; v < m->graph.node_count; v++)
        if (!strcmp(m->graph.nodes[v].name, name))
            return &m->graph.nodes[v];
    fail_msg("there is no node %s", name);
    return NULL;
}

static vitrt_model *quantized(const vitrt_model *m, vitrt_quantize_options o, struct report *report)
{
    vitrt_model *out;
    vitrt_error err;
    o.images = images;
    o.image_count = IMAGES;
    if (report) {
        o.report = add_to_report;
        o.user = report;
        report->count = 0;
    }
    assert_ok(vitrt_model_quantize(m, &o, &out, &err), &err);
    return out;
}

/* ---- Losses ---- */

static size_t run(const vitrt_model *m, float numbers[IMAGES][MOST_NUMBERS])
{
    size_t n = 0;
    vitrt_session *s;
    vitrt_error err;
    assert_ok(vitrt_session_create(m, NULL, &s, &err), &err);
    for (size_t i = 0; i < IMAGES; i++) {
        vitrt_output out = { .buffer = numbers[i], .buffer_bytes = sizeof *numbers };
        assert_ok(vitrt_run(s, &images[i], 1, &out, &err), &err);
        n = out.offsets[1] * out.columns;
    }
    vitrt_session_free(s);
    return n;
}

/* As it is documented: squared differences as a part of the squares. */
static double loss_of(const vitrt_model *q, const vitrt_model *m)
{
    static float wanted[IMAGES][MOST_NUMBERS], found[IMAGES][MOST_NUMBERS];
    double error = 0, sum = 0;
    const size_t n = run(m, wanted);
    assert_int_equal(run(q, found), n);
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t k = 0; k < n; k++) {
            const double y = (double)wanted[i][k], d = (double)found[i][k] - y;
            error += d * d;
            sum += y * y;
        }
    return error / sum;
}

/* Of a model with codes in this node alone. */
static double loss_of_node(const vitrt_model *m, const struct report *r, size_t node)
{
    const char *others[MOST_NODES];
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        if (i != node)
            others[count++] = r->names[i];
    vitrt_model *q = quantized(m, (vitrt_quantize_options){ .float_nodes = others, .float_node_count = count }, NULL);
    const double loss = loss_of(q, m);
    vitrt_model_free(q);
    return loss;
}

/* ---- The report ---- */

/* A line of the steps of a session with all outputs has this name, with spaces around it. */
static void expect_described(const vitrt_model *m, const char *name)
{
    static char text[1 << 14];
    const char *outputs[MOST_NODES];
    const vitrt_session_options options = { .outputs = outputs, .output_count = m->graph.output_count };
    char word[80];
    vitrt_session *s;
    vitrt_error err;
    for (size_t i = 0; i < options.output_count; i++)
        outputs[i] = m->graph.outputs[i].name;
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_in_range(vitrt_describe(s, text, sizeof text), 1, sizeof text - 1);
    vitrt_session_free(s);
    snprintf(word, sizeof word, " %s ", name);
    if (!strstr(text, word))
        fail_msg("\"%s\" is no step of\n%s", name, text);
}

static void check_report(const char *graph)
{
    const struct graph g = graph_load(graph);
    struct report r;
    struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    size_t with_codes = 0;
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    vitrt_model *q = quantized(m, (vitrt_quantize_options){ .threads = 2 }, &r);
    for (size_t v = 0; v < q->graph.node_count; v++)
        with_codes += vt_is_quantized(&q->graph.nodes[v]);
    assert_int_equal(r.count, with_codes);
    assert_in_range(with_codes, 3, MOST_NODES);
    for (size_t i = 0; i < r.count; i++) {
        assert_int_equal(r.precisions[i], VITRT_PRECISION_I8);
        assert_true(vt_is_quantized(node_named(q, r.names[i])));
        expect_described(m, r.names[i]);
        for (size_t k = 0; k < i; k++) /* once, the greatest loss first */
            assert_string_not_equal(r.names[i], r.names[k]);
        assert_true(r.losses[i] >= 0 && (!i || r.losses[i] <= r.losses[i - 1]));
        const double loss = loss_of_node(m, &r, i);
        if (!(fabs(r.losses[i] - loss) <= 1e-9 * loss))
            fail_msg("%s: the loss is %g, reported %g", r.names[i], loss, r.losses[i]);
    }
    vitrt_model_free(q);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_report(void **state)
{
    (void)state;
    make_images();
    check_report("vit");
    check_report("windows");
    check_report("conv");
}

/* ---- A tolerance ---- */

static void expect_refused(const vitrt_model *m, vitrt_quantize_options o, const char *sentence)
{
    vitrt_model *out;
    vitrt_error err = { 0 };
    o.images = images;
    o.image_count = IMAGES;
    const vitrt_status st = vitrt_model_quantize(m, &o, &out, &err);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    assert_int_equal(st, VITRT_EINVAL);
    assert_null(out);
}

/* The loss with the first n nodes of a report in float. */
static double loss_of_mix(const vitrt_model *m, const struct report *r, size_t n, vitrt_precision precision)
{
    const char *names[MOST_NODES];
    for (size_t i = 0; i < n; i++)
        names[i] = r->names[i];
    vitrt_model *q = quantized(
        m, (vitrt_quantize_options){ .float_nodes = names, .float_node_count = n, .float_precision = precision }, NULL);
    const double loss = loss_of(q, m);
    vitrt_model_free(q);
    return loss;
}

/* With what n nodes in float lose as tolerance: the costliest nodes, and no others, are so. */
static void check_tolerance(const vitrt_model *m, const struct report *ranks, size_t n, vitrt_precision precision)
{
    struct report r;
    const vitrt_quantize_options o = { .tolerance = (float)(1.001 * loss_of_mix(m, ranks, n, precision)),
                                       .float_precision = precision };
    vitrt_model *q = quantized(m, o, &r);
    assert_true(loss_of(q, m) <= (double)o.tolerance);
    assert_int_equal(r.count, ranks->count);
    for (size_t i = 0; i < r.count; i++) {
        assert_string_equal(r.names[i], ranks->names[i]);
        assert_int_equal(r.precisions[i], i < n ? precision : VITRT_PRECISION_I8);
        assert_int_equal(vt_is_quantized(node_named(q, r.names[i])), i >= n);
    }
    vitrt_model_free(q);
}

/* A block whose parts all count. */
static const char block[] =
    "{\"version\":1,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
    "{\"op\":\"conv2d\",\"name\":\"patches\",\"in\":[\"x\"],\"weight\":\"f32.8x3x2x2\",\"stride\":[2,2]},"
    "{\"op\":\"layer_norm\",\"name\":\"n\",\"in\":[\"patches\"],\"weight\":\"scale.8\",\"bias\":\"f32.8\",\"eps\":1e-6},"
    "{\"op\":\"linear\",\"name\":\"qkv\",\"in\":[\"n\"],\"weight\":\"f32.24x8\",\"bias\":\"f32.24\"},"
    "{\"op\":\"attention\",\"name\":\"attn\",\"in\":[[\"qkv\",0,8],[\"qkv\",8,8],[\"qkv\",16,8]],\"heads\":2,"
    "\"scale\":0.5},"
    "{\"op\":\"linear\",\"name\":\"proj\",\"in\":[\"attn\"],\"weight\":\"f32.8x8\"},"
    "{\"op\":\"add\",\"name\":\"sum\",\"in\":[\"patches\",\"proj\"]},"
    "{\"op\":\"linear\",\"name\":\"fc1\",\"in\":[\"sum\"],\"weight\":\"f16.8x8\"},"
    "{\"op\":\"activation\",\"name\":\"act\",\"in\":[\"fc1\"],\"activation\":\"gelu\"},"
    "{\"op\":\"linear\",\"name\":\"fc2\",\"in\":[\"act\"],\"weight\":\"bf16.24x8\"}],\"outputs\":{\"logits\":\"fc2\"}}";

static void test_tolerance(void **state)
{
    struct graph g;
    struct report ranks;
    struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    make_images();
    strcpy(g.text, block);
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    for (vitrt_precision p = VITRT_PRECISION_F32; p <= VITRT_PRECISION_BF16; p++) {
        vitrt_model_free(quantized(m, (vitrt_quantize_options){ .float_precision = p }, &ranks));
        /* the attention's nodes lose less than bf16 does */
        for (size_t n = 0; n < (p == VITRT_PRECISION_BF16 ? 3 : ranks.count); n++)
            check_tolerance(m, &ranks, n, p);
    }
    expect_refused(m, (vitrt_quantize_options){ .tolerance = 1e-12f }, "the loss is over the tolerance of 1e-12");
    expect_refused(m, (vitrt_quantize_options){ .tolerance = -0.1f }, "the tolerance is -0.1, expected a number");
    expect_refused(m, (vitrt_quantize_options){ .tolerance = 1.5f }, "the tolerance is 1.5, expected a number");
    expect_refused(m, (vitrt_quantize_options){ .tolerance = NAN }, "expected a number from 0 to 1");
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* ---- Nodes that stay in float ---- */

static void test_unknown_float_nodes(void **state)
{
    static const char *const strange[] = { "qkv", "ckv" }, *const norm[] = { "norm1" }, *const nothing[] = { NULL };
    static const char *const all[] = { "patches", "qkv", "attn", "proj", "fc1", "head" };
    const struct graph g = graph_load("vit");
    struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    make_images();
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
#define FLOAT_NODES(names)                                                                                             \
    (vitrt_quantize_options){ .float_nodes = names, .float_node_count = sizeof names / sizeof *names }
    expect_refused(m, FLOAT_NODES(strange), "has no linear layer, convolution or attention \"ckv\"");
    expect_refused(m, FLOAT_NODES(norm), "has no linear layer, convolution or attention \"norm1\"");
    expect_refused(m, FLOAT_NODES(nothing), "the name of float node 0 is NULL");
    expect_refused(m, FLOAT_NODES(all), "has no product that is not to stay in float");
    expect_refused(m, (vitrt_quantize_options){ .float_node_count = 1 }, "float_nodes is NULL");
    expect_refused(m, (vitrt_quantize_options){ .float_precision = VITRT_PRECISION_I8 }, "expected f32 or bf16");
#undef FLOAT_NODES
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* They keep their numbers and weights, and are in no report; all others have codes. */
static void test_float_nodes(void **state)
{
    static const char *const names[] = { "attn", "fc1", "attn" };
    const struct graph g = graph_load("vit");
    struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    make_images();
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    for (vitrt_precision p = VITRT_PRECISION_DEFAULT; p <= VITRT_PRECISION_BF16; p++) {
        const vitrt_quantize_options o = { .float_nodes = names, .float_node_count = 3, .float_precision = p };
        const bool bf16 = p == VITRT_PRECISION_BF16;
        struct report r;
        vitrt_model *q = quantized(m, o, &r);
        for (size_t v = 0; v < q->graph.node_count; v++) {
            const struct vt_node *node = &q->graph.nodes[v];
            const bool stays = !strcmp(node->name, "attn") || !strcmp(node->name, "fc1");
            bool reported = false;
            for (size_t i = 0; i < r.count; i++)
                reported = reported || !strcmp(r.names[i], node->name);
            assert_int_equal(reported, vt_is_quantized(node));
            assert_int_equal(vt_is_quantized(node), vt_operand_count(node) > 0 && !stays);
            if (stays)
                assert_int_equal(node->float_product, bf16 ? VT_FLOAT_PRODUCT_BF16 : VT_FLOAT_PRODUCT_F32);
            if (node->weight != VT_NO_WEIGHT && stays) /* F16, as it was */
                assert_int_equal(q->graph.weights[node->weight].parts[0].tensor->dtype, VT_F16);
        }
        assert_true(loss_of(q, m) < 0.01);
        vitrt_model_free(q);
    }
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_tolerance),
        cmocka_unit_test(test_unknown_float_nodes),
        cmocka_unit_test(test_float_nodes),
    };
    return cmocka_run_group_tests_name("test_quantize_mix", tests, NULL, NULL);
}
