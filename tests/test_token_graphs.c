/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs of token nodes as a person can write them, beyond those that vitrt_model_reduce makes: what a graph says in two
 * ways has the same bits, whatever else is asked for, and calibration sees only rows that an image has. */
#include "graph_text.h"

#include "model.h"
#include "tiny_file.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OUTPUTS = 6, MOST_NUMBERS = 64 * 8 };

struct answer {
    size_t rows, columns;
    float numbers[MOST_NUMBERS];
};

static vitrt_model *open_graph(const struct graph *g)
{
    static struct counting counting; /* of models that are alive one after the other */
    vitrt_model *m;
    vitrt_error err;
    assert_ok(graph_open(g, &counting, &m, &err), &err);
    return m;
}

/* These outputs of one image. */
static void run(const vitrt_model *m, vitrt_precision precision, const char *const *names, size_t count,
                struct answer *answers)
{
    float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image image = graph_noise(5, pixels);
    const vitrt_session_options options = {
        .threads = 1, .precision = precision, .outputs = names, .output_count = count
    };
    vitrt_output outputs[MOST_OUTPUTS] = { { 0 } };
    vitrt_session *s;
    vitrt_error err;
    assert_true(count <= MOST_OUTPUTS);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, &image, 1, outputs, &err), &err);
    for (size_t i = 0; i < count; i++) {
        answers[i] = (struct answer){ .rows = outputs[i].offsets[1], .columns = outputs[i].columns };
        assert_in_range(answers[i].rows * answers[i].columns, 1, MOST_NUMBERS);
        memcpy(answers[i].numbers, outputs[i].data, answers[i].rows * answers[i].columns * sizeof(float));
    }
    vitrt_session_free(s);
}

static void expect_same(const struct answer *a, const struct answer *b, const char *name)
{
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->columns, b->columns);
    if (memcmp(a->numbers, b->numbers, a->rows * a->columns * sizeof *a->numbers))
        fail_msg("output %s has other bits", name);
}

/* Scores, sizes, weights and biases of keys may be one of several columns. */
static void test_one_of_several_columns(void **state)
{
    static const char graph[] = "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"pixels\"},"
                                "{\"op\":\"conv2d\",\"name\":\"x\",\"in\":[\"pixels\"],\"weight\":\"f32.8x3x2x2\","
                                "\"stride\":[2,2]},"
                                "{\"op\":\"activation\",\"name\":\"y\",\"in\":[\"x\"],\"activation\":\"relu\"},"
                                "{\"op\":\"slice\",\"name\":\"one\",\"in\":[[\"y\",5,1]]},"
                                "{\"op\":\"pool\",\"name\":\"pool\",\"in\":[\"x\",%s]},"
                                "{\"op\":\"attention\",\"name\":\"attention\",\"in\":[\"x\",\"x\",\"x\",%s],"
                                "\"heads\":2,\"scale\":0.5,\"key_bias\":true},"
                                "{\"op\":\"select\",\"name\":\"t\",\"in\":[%s],\"by\":\"top\",\"count\":5},"
                                "{\"op\":\"apply\",\"name\":\"top\",\"in\":[\"x\",\"t\"]},"
                                "{\"op\":\"select\",\"name\":\"s\",\"in\":[%s],\"by\":\"samples\",\"count\":5},"
                                "{\"op\":\"apply\",\"name\":\"samples\",\"in\":[\"x\",\"s\"]},"
                                "{\"op\":\"select\",\"name\":\"m\",\"in\":[\"x\",%s],\"by\":\"match\",\"count\":5},"
                                "{\"op\":\"apply\",\"name\":\"match\",\"in\":[\"x\",\"m\"]}],"
                                "\"outputs\":{\"one\":\"one\",\"pool\":\"pool\",\"attention\":\"attention\","
                                "\"top\":\"top\",\"samples\":\"samples\",\"match\":\"match\"}}";
    static const char *const names[] = { "one", "pool", "attention", "top", "samples", "match" };
    static const char *const ways[] = { "\"one\"", "[\"y\",5,1]" };
    static struct answer answers[2][MOST_OUTPUTS];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct graph g;
        snprintf(g.text, sizeof g.text, graph, ways[i], ways[i], ways[i], ways[i], ways[i]);
        vitrt_model *m = open_graph(&g);
        run(m, VITRT_PRECISION_F32, names, MOST_OUTPUTS, answers[i]);
        vitrt_model_free(m);
    }
    for (size_t i = 0; i < MOST_OUTPUTS; i++)
        expect_same(&answers[0][i], &answers[1][i], names[i]);
}

/* Of what is no size, too: the logarithm of 0 is -infinity, that of less is none. */
static void test_logarithm(void **state)
{
    static const char graph[] = "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                                "{\"op\":\"activation\",\"name\":\"y\",\"in\":[\"x\"],\"activation\":\"relu\"},"
                                "{\"op\":\"token_score\",\"name\":\"a\",\"in\":[[\"x\",1,1]],\"score\":\"logarithm\"},"
                                "{\"op\":\"token_score\",\"name\":\"b\",\"in\":[[\"y\",1,1]],\"score\":\"logarithm\"}],"
                                "\"outputs\":{\"x\":\"x\",\"a\":\"a\",\"b\":\"b\"}}";
    static const char *const names[] = { "x", "a", "b" };
    static struct answer answers[3];
    struct graph g;
    (void)state;
    strcpy(g.text, graph);
    vitrt_model *m = open_graph(&g);
    run(m, VITRT_PRECISION_F32, names, 3, answers);
    vitrt_model_free(m);
    for (size_t i = 0; i < answers[0].rows; i++) {
        const double x = (double)answers[0].numbers[3 * i + 1], wanted = log(x), bound = 2 * FLT_EPSILON * fabs(wanted);
        const float a = answers[1].numbers[i], b = answers[2].numbers[i];
        assert_true(x < 0 ? isnan(a) && b == -INFINITY : fabs((double)a - wanted) <= bound && b == a);
    }
}

/* A map that nothing can leave by changes nothing, and its rows are as many as they were where a slice says so. */
static void test_all_rows_protected(void **state)
{
    static const char graph[] = "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"pixels\"},"
                                "{\"op\":\"tokens\",\"name\":\"x\",\"weight\":\"f32.3x8\"},"
                                "{\"op\":\"select\",\"name\":\"all\",\"in\":[\"x\"],\"by\":\"even\",\"protect\":3},"
                                "{\"op\":\"apply\",\"name\":\"a\",\"in\":[\"x\",\"all\"]},"
                                "{\"op\":\"linear\",\"name\":\"l\",\"in\":[\"a\"],\"weight\":\"f32.8x8\"},"
                                "{\"op\":\"scatter\",\"name\":\"back\",\"in\":[\"l\",\"all\"]},"
                                "{\"op\":\"slice\",\"name\":\"three\",\"in\":[\"l\"],\"row_count\":3},"
                                "{\"op\":\"add\",\"name\":\"sum\",\"in\":[\"three\",\"x\"]},"
                                "{\"op\":\"slice\",\"name\":\"part\",\"in\":[[\"l\",2,4]]},"
                                "{\"op\":\"scatter\",\"name\":\"part_back\",\"in\":[\"part\",\"all\"]},"
                                "{\"op\":\"linear\",\"name\":\"l0\",\"in\":[\"x\"],\"weight\":\"f32.8x8\"},"
                                "{\"op\":\"add\",\"name\":\"sum0\",\"in\":[\"l0\",\"x\"]},"
                                "{\"op\":\"slice\",\"name\":\"part0\",\"in\":[[\"l0\",2,4]]}],"
                                "\"outputs\":{\"back\":\"back\",\"back0\":\"l0\",\"sum\":\"sum\",\"sum0\":\"sum0\","
                                "\"part\":\"part_back\",\"part0\":\"part0\"}}";
    static const char *const names[] = { "back", "back0", "sum", "sum0", "part", "part0" };
    static struct answer answers[MOST_OUTPUTS];
    struct graph g;
    (void)state;
    strcpy(g.text, graph);
    vitrt_model *m = open_graph(&g);
    run(m, VITRT_PRECISION_F32, names, MOST_OUTPUTS, answers);
    for (size_t i = 0; i < MOST_OUTPUTS; i += 2)
        expect_same(&answers[i], &answers[i + 1], names[i]);
    for (size_t i = 0; i < MOST_OUTPUTS; i += 2) { /* each by itself, so that other nodes read the rest */
        struct answer alone;
        run(m, VITRT_PRECISION_F32, &names[i], 1, &alone);
        expect_same(&alone, &answers[i], names[i]);
    }
    vitrt_model_free(m);
}

static double sum_of_column(const struct answer *x, size_t column, size_t first, size_t end, const struct answer *by)
{
    double sum = 0;
    for (size_t i = first; i < end && i < x->rows; i++)
        sum += (double)x->numbers[i * x->columns + column] * (by ? (double)by->numbers[i] : 1);
    return sum;
}

/* Means that stand beside every row, sums of so many rows at most, weighted ones that may add up to 0 or less. */
static void test_forms_of_pools(void **state)
{
    static const char graph[] = "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"pixels\"},"
                                "{\"op\":\"conv2d\",\"name\":\"x\",\"in\":[\"pixels\"],\"weight\":\"f32.8x3x2x2\","
                                "\"stride\":[2,2]},"
                                "{\"op\":\"slice\",\"name\":\"by\",\"in\":[[\"x\",3,1]]},"
                                "{\"op\":\"pool\",\"name\":\"spread\",\"in\":[\"x\"],\"first_row\":5,\"spread\":true},"
                                "{\"op\":\"pool\",\"name\":\"some\",\"in\":[\"x\"],\"first_row\":2,\"row_count\":7,"
                                "\"sum\":true},"
                                "{\"op\":\"pool\",\"name\":\"rest\",\"in\":[\"x\"],\"first_row\":12,"
                                "\"row_count\":2147483647},"
                                "{\"op\":\"pool\",\"name\":\"weighted\",\"in\":[\"x\",\"by\"],\"row_count\":3,"
                                "\"sum\":true,\"spread\":true}],"
                                "\"outputs\":{\"x\":\"x\",\"by\":\"by\",\"spread\":\"spread\",\"some\":\"some\","
                                "\"rest\":\"rest\",\"weighted\":\"weighted\"}}";
    static const char *const names[] = { "x", "by", "spread", "some", "rest", "weighted" };
    static const struct {
        size_t first, end;
        double divisor;
        bool spread, weighted;
    } pools[] = {
        { 5, 16, 11, true, false }, { 2, 9, 1, false, false }, { 12, 16, 4, false, false }, { 0, 3, 1, true, true }
    };
    static struct answer a[MOST_OUTPUTS];
    struct graph g;
    (void)state;
    strcpy(g.text, graph);
    vitrt_model *m = open_graph(&g);
    run(m, VITRT_PRECISION_F32, names, MOST_OUTPUTS, a);
    vitrt_model_free(m);
    for (size_t k = 0; k < 4; k++) {
        const struct answer *pool = &a[2 + k];
        assert_int_equal(pool->rows, pools[k].spread ? a[0].rows : 1);
        for (size_t i = 0; i < pool->rows * 8; i++) {
            double size = 0; /* of the terms, each rounded as often as there are some */
            const double wanted =
                sum_of_column(&a[0], i % 8, pools[k].first, pools[k].end, pools[k].weighted ? &a[1] : NULL);
            for (size_t r = pools[k].first; r < pools[k].end; r++)
                size += fabs((double)a[0].numbers[r * 8 + i % 8] * (pools[k].weighted ? (double)a[1].numbers[r] : 1));
            assert_true(fabs((double)pool->numbers[i] * pools[k].divisor - wanted) <= 20 * (FLT_EPSILON / 2) * size);
        }
    }
}

/* Nothing is below 0: all that reads no rows gives none, or 0. */
static void test_no_row_stays(void **state)
{
    static const char graph[] =
        "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"pixels\"},"
        "{\"op\":\"tokens\",\"name\":\"x\",\"weight\":\"f32.3x8\"},"
        "{\"op\":\"token_score\",\"name\":\"ones\",\"in\":[\"x\"],\"score\":\"ones\"},"
        "{\"op\":\"select\",\"name\":\"none\",\"in\":[\"ones\"],\"by\":\"below\",\"threshold\":0},"
        "{\"op\":\"apply\",\"name\":\"y\",\"in\":[\"x\",\"none\"]},"
        "{\"op\":\"attention\",\"name\":\"a\",\"in\":[\"y\",\"y\",\"y\"],\"heads\":2,\"scale\":0.5},"
        "{\"op\":\"add\",\"name\":\"z\",\"in\":[\"y\",\"a\"]},"
        "{\"op\":\"token_score\",\"name\":\"h\",\"in\":[[\"z\",0,1]],\"score\":\"halting\"},"
        "{\"op\":\"select\",\"name\":\"still\",\"in\":[\"h\"],\"by\":\"below\",\"with_first\":true},"
        "{\"op\":\"apply\",\"name\":\"w\",\"in\":[\"z\",\"still\"]},"
        "{\"op\":\"pool\",\"name\":\"sum\",\"in\":[\"w\"],\"sum\":true,\"row_count\":1},"
        "{\"op\":\"pool\",\"name\":\"mean\",\"in\":[\"w\"]},"
        "{\"op\":\"pool\",\"name\":\"spread\",\"in\":[\"w\"],\"spread\":true},"
        "{\"op\":\"scatter\",\"name\":\"back\",\"in\":[\"spread\",\"still\"]},"
        "{\"op\":\"scatter\",\"name\":\"all\",\"in\":[\"back\",\"none\"]}],"
        "\"outputs\":{\"sum\":\"sum\",\"mean\":\"mean\",\"all\":\"all\"}}";
    static const char *const names[] = { "sum", "mean", "all" };
    static struct answer answers[3];
    struct graph g;
    (void)state;
    strcpy(g.text, graph);
    vitrt_model *m = open_graph(&g);
    run(m, VITRT_PRECISION_F32, names, 3, answers);
    vitrt_model_free(m);
    for (size_t k = 0; k < 3; k++) {
        assert_int_equal(answers[k].rows, k < 2 ? 1 : 3);
        for (size_t i = 0; i < answers[k].rows * answers[k].columns; i++)
            assert_true(answers[k].numbers[i] == 0);
    }
}

/* An output is the same whatever else is asked for, in every precision: rows that a map moves are converted before,
 * where only products read them, but not those that it adds up, or that are asked for themselves. */
static void test_outputs_alone_and_together(void **state)
{
    static const char *const graphs[] = { "tokens", "tokens_codes", "tokens_few", "tokens_halting" };
    static const vitrt_precision precisions[] = { VITRT_PRECISION_F32, VITRT_PRECISION_BF16, VITRT_PRECISION_I8 };
    static struct answer together[MOST_OUTPUTS];
    (void)state;
    for (size_t i = 0; i < 3 * sizeof graphs / sizeof *graphs; i++) {
        const struct graph g = graph_load(graphs[i / 3]);
        const bool codes = i / 3 == 1;
        const char *names[MOST_OUTPUTS];
        size_t count = 0;
        if (precisions[i % 3] == VITRT_PRECISION_I8 && !codes)
            continue;
        vitrt_model *m = open_graph(&g);
        for (; count < MOST_OUTPUTS && count < m->graph.output_count; count++)
            names[count] = m->graph.outputs[count].name;
        run(m, precisions[i % 3], names, count, together);
        for (size_t k = 0; k < count; k++) {
            struct answer alone;
            run(m, precisions[i % 3], &names[k], 1, &alone);
            expect_same(&alone, &together[k], names[k]);
        }
        vitrt_model_free(m);
    }
}

/* ---- Calibration ---- */

/* Memory of NaN. */
static void *poisoned_alloc(void *user, size_t size, size_t align)
{
    void *p = aligned_alloc(align, (size + align - 1) / align * align);
    (void)user;
    return p ? memset(p, 0xff, size) : NULL;
}

static void poisoned_free(void *user, void *p, size_t size, size_t align)
{
    (void)user;
    (void)size;
    (void)align;
    free(p);
}

static void calibrate(const struct graph *g)
{
    static const vitrt_allocator allocator = { poisoned_alloc, poisoned_free, NULL };
    float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image image = graph_noise(5, pixels);
    const vitrt_quantize_options options = { .images = &image, .image_count = 1, .threads = 1 };
    size_t size;
    vitrt_model *m, *quantized;
    vitrt_error err;
    unsigned char *file = tiny_file(g->text, strlen(g->text), NULL, &size);
    assert_non_null(file);
    const vitrt_buffer buffer = { "tiny.safetensors", file, size };
    assert_ok(vitrt_model_open_memory(&buffer, 1, &(vitrt_model_options){ .allocator = &allocator }, &m, &err), &err);
    assert_ok(vitrt_model_quantize(m, &options, &quantized, &err), &err);
    vitrt_model_free(quantized);
    vitrt_model_free(m);
    free(file);
}

/* Samples leave fewer rows than there is room for. */
static void test_calibration(void **state)
{
    const struct graph g = graph_load("tokens");
    (void)state;
    calibrate(&g);
}

/* Nothing becomes of a map that is never applied. */
static void test_calibration_with_idle_map(void **state)
{
    struct graph g = graph_load("tokens");
    (void)state;
    graph_replace(&g, "{\"op\": \"token_score\", \"name\": \"number\"",
                  "{\"op\": \"select\", \"name\": \"idle\", \"in\": [\"x3\"], \"by\": \"even\"},\n"
                  "{\"op\": \"token_score\", \"name\": \"number\"");
    calibrate(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_several_columns),
        cmocka_unit_test(test_logarithm),
        cmocka_unit_test(test_all_rows_protected),
        cmocka_unit_test(test_forms_of_pools),
        cmocka_unit_test(test_no_row_stays),
        cmocka_unit_test(test_outputs_alone_and_together),
        cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_calibration_with_idle_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
