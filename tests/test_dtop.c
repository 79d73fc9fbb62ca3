/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vitrt_model_reduce by VITRT_REDUCTION_DTOP, of a small model with three blocks, heads behind the first two, and three
 * tokens before the map: against a graph with the same nodes written by hand, whose nodes are tested in test_classes.c.
 */
#include "graph_text.h"
#include "temp_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PICTURES = 5, PATCHES = 16, OUTPUTS = 7 };

static const char *const names[OUTPUTS] = { "segmentation", "classmap", "head.0", "head.1",
                                            "features",     "tokens.0", "tokens.1" };
enum { DENSE_OUTPUTS = 5 };

static void add(struct graph *g, const char *text)
{
    assert_true(strlen(g->text) + strlen(text) < sizeof g->text);
    strcat(g->text, text);
}

static void begin(struct graph *g)
{
    strcpy(g->text, "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                    "{\"op\":\"conv2d\",\"name\":\"c\",\"in\":[\"x\"],\"weight\":\"f32.8x3x2x2\",\"stride\":[2,2]},"
                    "{\"op\":\"embed\",\"name\":\"e\",\"in\":[\"c\"],\"weight\":\"f32.3x8\"}");
}

/* Node b<i> from node `from`. */
static void add_block(struct graph *g, int i, const char *from)
{
    char text[1024];
    snprintf(text, sizeof text,
             ",{\"op\":\"layer_norm\",\"name\":\"n%d\",\"in\":[\"%s\"],\"weight\":\"f32.8\",\"bias\":\"bf16.8\","
             "\"eps\":1e-6},{\"op\":\"linear\",\"name\":\"q%d\",\"in\":[\"n%d\"],\"weight\":\"f32.24x8\"},"
             "{\"op\":\"attention\",\"name\":\"a%d\",\"in\":[[\"q%d\",0,8],[\"q%d\",8,8],[\"q%d\",16,8]],\"heads\":2,"
             "\"scale\":0.5},{\"op\":\"linear\",\"name\":\"p%d\",\"in\":[\"a%d\"],\"weight\":\"f32.8x8\"},"
             "{\"op\":\"add\",\"name\":\"m%d\",\"in\":[\"%s\",\"p%d\"]},"
             "{\"op\":\"layer_norm\",\"name\":\"o%d\",\"in\":[\"m%d\"],\"weight\":\"f32.8\",\"bias\":\"f32.8\","
             "\"eps\":1e-6},{\"op\":\"linear\",\"name\":\"f%d\",\"in\":[\"o%d\"],\"weight\":\"i8.8x8\"},"
             "{\"op\":\"activation\",\"name\":\"g%d\",\"in\":[\"f%d\"],\"activation\":\"gelu\"},"
             "{\"op\":\"add\",\"name\":\"b%d\",\"in\":[\"m%d\",\"g%d\"]}",
             i, from, i, i, i, i, i, i, i, i, i, from, i, i, i, i, i, i, i, i, i, i);
    add(g, text);
}

/* Node h<i> from node `from`: logits of four classes, of all tokens. */
static void add_head(struct graph *g, int i, const char *from)
{
    char text[512];
    snprintf(text, sizeof text,
             ",{\"op\":\"layer_norm\",\"name\":\"hn%d\",\"in\":[\"%s\"],\"weight\":\"f32.8\",\"bias\":\"f32.8\","
             "\"eps\":1e-6},{\"op\":\"linear\",\"name\":\"h%d\",\"in\":[\"hn%d\"],\"weight\":\"%s\"}",
             i, from, i, i, i == 1 ? "i8.4x8" : "f32.4x8");
    add(g, text);
}

/* Patches of node `from`, and of the last one their classes. */
static void add_map(struct graph *g, const char *name, const char *from, bool classes)
{
    char text[512];
    snprintf(text, sizeof text, ",{\"op\":\"slice\",\"name\":\"%s\",\"in\":[\"%s\"],\"first_row\":3}", name, from);
    add(g, text);
    if (classes)
        add(g, ",{\"op\":\"upsample\",\"name\":\"up\",\"in\":[\"segmentation\"]},"
               "{\"op\":\"argmax\",\"name\":\"classmap\",\"in\":[\"up\"]}");
}

static void end(struct graph *g, const char *more)
{
    add(g, "],\"outputs\":{\"segmentation\":\"segmentation\",\"classmap\":\"classmap\",\"head.0\":\"head.0\","
           "\"head.1\":\"head.1\",\"features\":\"b2\"");
    add(g, more);
    add(g, "}}");
}

static struct graph dense_graph(bool heads_last)
{
    struct graph g;
    const char *from[] = { "e", "b0", "b1", "b2" }, *maps[] = { "head.0", "head.1", "segmentation" },
               *heads[] = { "h0", "h1", "h2" };
    begin(&g);
    for (int i = 0; i < 3; i++) {
        add_block(&g, i, from[i]);
        if (!heads_last) {
            add_head(&g, i, from[i + 1]);
            add_map(&g, maps[i], heads[i], i == 2);
        }
    }
    for (int i = 2; i >= 0 && heads_last; i--) {
        add_head(&g, i, from[i + 1]);
        add_map(&g, maps[i], heads[i], i == 2);
    }
    end(&g, "");
    return g;
}

static void add_exit(struct graph *g, int i, double threshold, unsigned context)
{
    char text[512];
    snprintf(text, sizeof text,
             ",{\"op\":\"select\",\"name\":\"s%d\",\"in\":[\"h%d\"],\"by\":\"unsure\",\"protect\":3,"
             "\"threshold\":%.9g,\"context\":%u},{\"op\":\"apply\",\"name\":\"c%d\",\"in\":[\"b%d\",\"s%d\"]},"
             "{\"op\":\"token_score\",\"name\":\"t%d\",\"in\":[\"c%d\"],\"score\":\"number\"}",
             i, i, threshold, context, i, i, i, i, i);
    add(g, text);
}

/* Exits behind both blocks. */
static struct graph reduced_graph(const vitrt_reduce_layer *l)
{
    struct graph g;
    begin(&g);
    add_block(&g, 0, "e");
    add_head(&g, 0, "b0");
    add_exit(&g, 0, l[0].threshold, l[0].count);
    add_block(&g, 1, "c0");
    add_head(&g, 1, "b1");
    add_exit(&g, 1, l[1].threshold, l[1].count);
    add_block(&g, 2, "c1");
    add_head(&g, 2, "b2");
    add(&g, ",{\"op\":\"scatter\",\"name\":\"all1\",\"in\":[\"h1\",\"s0\",\"h0\"]},"
            "{\"op\":\"scatter\",\"name\":\"some2\",\"in\":[\"h2\",\"s1\",\"h1\"]},"
            "{\"op\":\"scatter\",\"name\":\"all2\",\"in\":[\"some2\",\"s0\",\"h0\"]},"
            "{\"op\":\"scatter\",\"name\":\"tokens.0\",\"in\":[\"t0\",\"s0\"]},"
            "{\"op\":\"scatter\",\"name\":\"k1\",\"in\":[\"t1\",\"s1\"]},"
            "{\"op\":\"scatter\",\"name\":\"tokens.1\",\"in\":[\"k1\",\"s0\"]}");
    add_map(&g, "head.0", "h0", false);
    add_map(&g, "head.1", "all1", false);
    add_map(&g, "segmentation", "all2", true);
    end(&g, ",\"tokens.0\":\"tokens.0\",\"tokens.1\":\"tokens.1\"");
    return g;
}

/* ---- Running ---- */

static vitrt_model *open_graph(const struct graph *g, struct counting *counting)
{
    vitrt_model *m;
    vitrt_error err;
    assert_ok(graph_open(g, counting, &m, &err), &err);
    return m;
}

static vitrt_model *reduce(const vitrt_model *m, const vitrt_reduce_layer *layers, size_t count)
{
    const vitrt_reduce_options o = { .method = VITRT_REDUCTION_DTOP, .layers = layers, .layer_count = count };
    vitrt_model *reduced;
    vitrt_error err;
    assert_ok(vitrt_model_reduce(m, &o, &reduced, &err), &err);
    return reduced;
}

/* All rows of all outputs of one image, each output behind its number of rows. */
struct answer {
    float values[4096];
    size_t count;
};

static void keep(struct answer *a, const vitrt_output *out, size_t outputs, size_t image)
{
    a->count = 0;
    for (size_t i = 0; i < outputs; i++) {
        const size_t begin_row = out[i].offsets[image], rows = out[i].offsets[image + 1] - begin_row;
        assert_true(a->count + 1 + rows * out[i].columns <= sizeof a->values / sizeof *a->values);
        a->values[a->count++] = (float)rows;
        memcpy(a->values + a->count, (const float *)out[i].data + begin_row * out[i].columns,
               rows * out[i].columns * sizeof *a->values);
        a->count += rows * out[i].columns;
    }
}

static void expect_same(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->values, b->values, a->count * sizeof *a->values);
}

/* The pictures in batches of so many. */
static void run(const vitrt_model *m, size_t outputs, int32_t threads, size_t batch, vitrt_precision precision,
                struct answer *answers)
{
    const vitrt_session_options options = { .threads = threads,
                                            .precision = precision,
                                            .max_batch = (uint32_t)batch,
                                            .outputs = names,
                                            .output_count = outputs };
    float pixels[PICTURES][GRAPH_SIDE * GRAPH_SIDE * 3];
    vitrt_image images[PICTURES];
    vitrt_session *s;
    vitrt_error err;
    for (size_t i = 0; i < PICTURES; i++) {
        images[i] = graph_noise((uint32_t)i + 7, pixels[i]);
        for (size_t k = 0; k < sizeof pixels[i] / sizeof *pixels[i]; k++)
            pixels[i][k] *= (float)(i + 1);
    }
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    for (size_t i = 0; i < PICTURES; i += batch) {
        vitrt_output out[OUTPUTS] = { { 0 } };
        const size_t n = PICTURES - i < batch ? PICTURES - i : batch;
        assert_ok(vitrt_run(s, images + i, n, out, &err), &err);
        for (size_t k = 0; k < n; k++)
            keep(&answers[i + k], out, outputs, k);
    }
    vitrt_session_free(s);
}

/* ---- Tests ---- */

static const vitrt_reduce_layer both[2] = { { .block = 0, .threshold = 0.6, .count = 1 },
                                            { .block = 1, .threshold = 0.5, .count = 0 } };

/* How many tokens are left behind a block: the largest of their numbers. */
static size_t tokens_left(const struct answer *a, size_t output)
{
    const float *p = a->values;
    static const size_t columns[OUTPUTS] = { 4, 1, 4, 4, 8, 1, 1 };
    for (size_t i = 0; i < output; i++)
        p += 1 + (size_t)*p * columns[i];
    float most = 0;
    for (size_t i = 1; i <= (size_t)*p; i++)
        most = p[i] > most ? p[i] : most;
    return (size_t)most;
}

static void test_same_as_by_hand(void **state)
{
    const struct graph written = reduced_graph(both);
    struct counting a, b;
    struct answer wanted[PICTURES], found[PICTURES];
    vitrt_model *by_hand = open_graph(&written, &a);
    size_t least = PATCHES, most = 0;
    (void)state;
    run(by_hand, OUTPUTS, 1, 1, VITRT_PRECISION_F32, wanted);
    for (int last = 0; last < 2; last++) {
        const struct graph dense = dense_graph(last);
        vitrt_model *m = open_graph(&dense, &b), *reduced = reduce(m, both, 2);
        vitrt_model_free(m);
        for (int32_t threads = 1; threads <= 3; threads++)
            for (size_t batch = 1; batch <= PICTURES; batch += 2) {
                run(reduced, OUTPUTS, threads, batch, VITRT_PRECISION_F32, found);
                for (size_t i = 0; i < PICTURES; i++)
                    expect_same(&found[i], &wanted[i]);
            }
        vitrt_model_free(reduced);
        assert_int_equal(b.live, 0);
    }
    for (size_t i = 0; i < PICTURES; i++) {
        const size_t first = tokens_left(&wanted[i], 5), second = tokens_left(&wanted[i], 6);
        assert_true(first <= 3 + PATCHES && second <= first && second >= 3);
        least = first < least ? first : least;
        most = second > most ? second : most;
    }
    assert_true(least < 3 + PATCHES && most > 3); /* some leave, some do not */
    vitrt_model_free(by_hand);
    assert_int_equal(a.live, 0);
}

/* Where no token leaves, all is as it was. */
static void test_none_leaves(void **state)
{
    static const vitrt_reduce_layer sure[2] = { { .block = 0, .threshold = 1, .count = 0 },
                                                { .block = 1, .threshold = 1, .count = 5 } },
                                    context[1] = { { .block = 1, .threshold = 1e-9, .count = 3 + PATCHES } };
    const struct graph g = dense_graph(false);
    struct counting counting;
    struct answer wanted[PICTURES], found[PICTURES];
    vitrt_model *m = open_graph(&g, &counting);
    static const vitrt_precision precisions[] = { VITRT_PRECISION_F32, VITRT_PRECISION_BF16 };
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        run(m, DENSE_OUTPUTS, 1, 1, precisions[p], wanted);
        for (size_t i = 0; i < 2; i++) {
            vitrt_model *reduced = i ? reduce(m, context, 1) : reduce(m, sure, 2);
            run(reduced, DENSE_OUTPUTS, 2, PICTURES, precisions[p], found);
            for (size_t k = 0; k < PICTURES; k++)
                expect_same(&found[k], &wanted[k]);
            vitrt_model_free(reduced);
        }
    }
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_all_leave(void **state)
{
    static const vitrt_reduce_layer none[1] = { { .block = 0, .threshold = 1e-9, .count = 0 } };
    const struct graph g = dense_graph(true);
    struct counting counting;
    struct answer a[PICTURES];
    vitrt_model *m = open_graph(&g, &counting), *reduced = reduce(m, none, 1);
    (void)state;
    vitrt_model_free(m);
    run(reduced, OUTPUTS - 1, 2, 2, VITRT_PRECISION_F32, a);
    for (size_t i = 0; i < PICTURES; i++) {
        const size_t patches = 1 + PATCHES * 4;
        assert_int_equal(tokens_left(&a[i], 5), 3);
        /* segmentation and both heads are the first head's */
        assert_memory_equal(a[i].values, a[i].values + patches + 65, patches * sizeof(float));
        assert_memory_equal(a[i].values, a[i].values + 2 * patches + 65, patches * sizeof(float));
    }
    vitrt_model_free(reduced);
    assert_int_equal(counting.live, 0);
}

/* ---- Integers ---- */

#define CODES "\"quantize\":[{\"bits\":8,\"scale\":%g,\"zero_point\":128}]"
#define QUERY "{\"bits\":8,\"scale\":0.01,\"zero_point\":128}"

/* Two blocks without an MLP and a head behind each, all of codes; the units of the heads are not the same. */
static struct graph graph_of_codes(void)
{
    struct graph g;
    char text[1536];
    strcpy(g.text, "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                   "{\"op\":\"conv2d\",\"name\":\"c\",\"in\":[\"x\"],\"weight\":\"i8.8x3x2x2\",\"stride\":[2,2],"
                   "\"unit\":1e-4,\"quantize\":[{\"bits\":8,\"scale\":0.008,\"zero_point\":126}]},"
                   "{\"op\":\"embed\",\"name\":\"b\",\"in\":[\"c\"],\"weight\":\"f32.3x8\",\"unit\":1e-4}");
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text,
                 ",{\"op\":\"layer_norm\",\"name\":\"n%d\",\"in\":[\"%s\"],\"weight\":\"f32.8\",\"bias\":\"f32.8\","
                 "\"eps\":1e-6,\"unit\":1e-4},{\"op\":\"linear\",\"name\":\"q%d\",\"in\":[\"n%d\"],"
                 "\"weight\":\"i8.24x8\",\"unit\":5e-5," CODES "},{\"op\":\"attention\",\"name\":\"a%d\","
                 "\"in\":[[\"q%d\",0,8],[\"q%d\",8,8],[\"q%d\",16,8]],\"heads\":2,\"scale\":9,\"unit\":5e-5,"
                 "\"quantize\":[" QUERY "," QUERY "," QUERY "]},{\"op\":\"linear\",\"name\":\"p%d\",\"in\":[\"a%d\"],"
                 "\"weight\":\"i8.8x8\",\"unit\":5e-5," CODES "},{\"op\":\"add\",\"name\":\"m%d\","
                 "\"in\":[\"%s\",\"p%d\"],\"unit\":1e-4},{\"op\":\"linear\",\"name\":\"h%d\",\"in\":[\"m%d\"],"
                 "\"weight\":\"i8.4x8\",\"unit\":%g," CODES "}",
                 i, i ? "m0" : "b", i, i, 0.02, i, i, i, i, i, i, 0.01, i, i ? "m0" : "b", i, i, i, i ? 1e-5 : 2e-5,
                 0.01);
        add(&g, text);
    }
    add_map(&g, "head.0", "h0", false);
    add_map(&g, "segmentation", "h1", true);
    add(&g, "],\"outputs\":{\"segmentation\":\"segmentation\",\"classmap\":\"classmap\",\"head.0\":\"head.0\","
            "\"head.1\":\"segmentation\",\"features\":\"m1\"}}");
    return g;
}

/* The same bits in any batch and number of threads; the head that all tokens see says what it did, and where none
 * leaves all is as it was, but for a rounding to the larger of the heads' units. */
static void test_integers(void **state)
{
    static const double thresholds[] = { 1, 0.255 };
    static struct answer dense[PICTURES], wanted[PICTURES], found[PICTURES];
    const struct graph g = graph_of_codes();
    const size_t maps = 1 + PATCHES * 4, head = maps + 65;
    struct counting counting;
    vitrt_model *m = open_graph(&g, &counting);
    (void)state;
    run(m, DENSE_OUTPUTS, 1, 1, VITRT_PRECISION_I8_STRICT, dense);
    for (size_t k = 0; k < 2; k++) {
        const vitrt_reduce_layer layer = { .block = 0, .threshold = thresholds[k], .count = 1 };
        vitrt_model *reduced = reduce(m, &layer, 1);
        size_t left = 0;
        run(reduced, OUTPUTS - 1, 1, 1, VITRT_PRECISION_I8_STRICT, wanted);
        for (int32_t threads = 1; threads <= 3; threads++)
            for (size_t batch = 1; batch <= PICTURES; batch += 2) {
                run(reduced, OUTPUTS - 1, threads, batch, VITRT_PRECISION_I8_STRICT, found);
                for (size_t i = 0; i < PICTURES; i++)
                    expect_same(&found[i], &wanted[i]);
            }
        for (size_t i = 0; i < PICTURES; i++) {
            assert_memory_equal(wanted[i].values + head, dense[i].values + head, maps * sizeof(float));
            for (size_t n = 1; n < maps && k == 0; n++)
                assert_true(fabs((double)wanted[i].values[n] - (double)dense[i].values[n]) <= 1.01e-5);
            left += tokens_left(&wanted[i], 5);
        }
        assert_in_range(left, k ? 3 * PICTURES + 1 : (3 + PATCHES) * PICTURES, (3 + PATCHES) * PICTURES - (k ? 1 : 0));
        vitrt_model_free(reduced);
    }
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_saved(void **state)
{
    const struct graph g = dense_graph(false);
    struct counting counting;
    struct answer wanted[PICTURES], found[PICTURES];
    vitrt_model *m = open_graph(&g, &counting), *reduced = reduce(m, both, 2), *again;
    vitrt_error err;
    (void)state;
    run(reduced, OUTPUTS, 1, PICTURES, VITRT_PRECISION_F32, wanted);
    assert_ok(vitrt_model_save(reduced, in_folder("model.safetensors"), &err), &err);
    assert_ok(vitrt_model_open(in_folder("model.safetensors"), NULL, &again, &err), &err);
    run(again, OUTPUTS, 1, PICTURES, VITRT_PRECISION_F32, found);
    for (size_t i = 0; i < PICTURES; i++)
        expect_same(&found[i], &wanted[i]);
    const vitrt_reduce_options o = { .method = VITRT_REDUCTION_DTOP, .layers = both, .layer_count = 1 };
    vitrt_model_free(m);
    assert_int_equal(vitrt_model_reduce(again, &o, &m, &err), VITRT_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "reduces them already"));
    vitrt_model_free(again);
    vitrt_model_free(reduced);
    assert_int_equal(counting.live, 0);
}

/* ---- Refused ---- */

static void expect_refused(const struct graph *g, const vitrt_reduce_options *o, vitrt_status status,
                           const char *sentence)
{
    struct counting counting;
    vitrt_model *m = open_graph(g, &counting), *out = m;
    const size_t live = counting.live;
    vitrt_error err = { 0 };
    const vitrt_status st = vitrt_model_reduce(m, o, &out, &err);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    assert_int_equal(st, status);
    assert_null(out);
    assert_int_equal(counting.live, live);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* l: two layers that can be; `from` in the graph becomes `to`. */
#define REFUSED(status, sentence, from, to, ...)                                                                       \
    do {                                                                                                               \
        vitrt_reduce_layer l[2] = { both[0], both[1] };                                                                \
        vitrt_reduce_options o = { .method = VITRT_REDUCTION_DTOP, .layers = l, .layer_count = 2 };                    \
        struct graph g = dense_graph(false);                                                                           \
        graph_replace(&g, from, to);                                                                                   \
        __VA_ARGS__;                                                                                                   \
        expect_refused(&g, &o, status, sentence);                                                                      \
    } while (0)
#define INVALID(sentence, ...) REFUSED(VITRT_EINVAL, sentence, "}", "}", __VA_ARGS__)

static void test_refused(void **state)
{
    (void)state;
    INVALID("layer 0 has the threshold 0, expected over 0 and up to 1", l[0].threshold = 0);
    INVALID("layer 1 has the threshold 1.01, expected", l[1].threshold = 1.01);
    INVALID("layer 1 has the threshold nan, expected", l[1].threshold = NAN);
    INVALID("layer 0 has members that are not of this method", l[0].keep = 0.5);
    INVALID("layer 0 has members that are not of this method", l[0].similar = 1);
    INVALID("layer 0 has members that are not of this method", l[0].reserved64[0] = 1);
    INVALID("layer 1 is for block 3, the model has blocks 0 to 2", l[1].block = 3);
    INVALID("layer 1 is for block 0 behind one for block 0", l[1].block = 0);
    INVALID("layer 1 is for block 2, but there is no output head.2", l[1].block = 2);
    INVALID("expected layers, not a budget", o.layer_count = 0; o.budget = 0.5);
    INVALID("flags that are not of this method", o.flags = 1);
    REFUSED(VITRT_EINVAL, "layer 1 is for block 2, behind which there is no other", "\"head.1\":", "\"head.2\":",
            l[1].block = 2);
    REFUSED(VITRT_EUNSUPPORTED, "there is no output segmentation", "\"segmentation\":\"segmentation\"",
            "\"logits\":\"segmentation\"", (void)0);
    REFUSED(VITRT_EUNSUPPORTED, "behind block 0: node h1 does not go by each of its tokens alone",
            "\"head.0\":\"head.0\",\"head.1\":\"head.1\"", "\"head.1\":\"head.0\",\"head.0\":\"head.1\"",
            o.layer_count = 1);
    REFUSED(VITRT_EUNSUPPORTED, "behind block 1: node h0 does not go by each of its tokens alone",
            "\"head.0\":\"head.0\",\"head.1\":\"head.1\"", "\"head.1\":\"head.0\",\"head.0\":\"head.1\"",
            o.layers = l + 1; o.layer_count = 1);
    REFUSED(VITRT_EFORMAT, "number of columns of what rows are otherwise", "i8.4x8", "f32.8x8", (void)0);
}

static void test_every_allocation_may_fail(void **state)
{
    const vitrt_reduce_options o = { .method = VITRT_REDUCTION_DTOP, .layers = both, .layer_count = 2 };
    const struct graph g = dense_graph(true);
    struct counting c;
    vitrt_model *m = open_graph(&g, &c), *reduced = NULL;
    const size_t live = c.live;
    vitrt_status st = VITRT_ENOMEM;
    (void)state;
    for (size_t n = 1; st; n++) {
        vitrt_error err = { 0 };
        c.fail_at = c.calls + n;
        st = vitrt_model_reduce(m, &o, &reduced, &err);
        c.fail_at = 0;
        if (st) {
            assert_int_equal(st, VITRT_ENOMEM);
            assert_null(reduced);
            assert_int_equal(c.live, live);
        }
    }
    vitrt_model_free(reduced);
    vitrt_model_free(m);
    assert_int_equal(c.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_by_hand),
        cmocka_unit_test(test_none_leaves),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_all_leave),
        cmocka_unit_test_setup_teardown(test_saved, temp_folder_make, temp_folder_remove),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
