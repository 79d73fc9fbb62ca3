/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs that are written by hand, and what can be wrong with them: each mistake yields a status and a sentence that
 * names the node, and leaves nothing behind. The good ones are examples of the fuzz target; they use the tensors of
 * tiny_file.c. */
#include "graph_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Good ones ---- */

static void test_examples_open(void **state)
{
    static const char *const names[] = { "vit",    "windows",      "conv",       "classes",
                                         "tokens", "tokens_codes", "tokens_few", "tokens_halting" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct graph g = graph_load(names[i]);
        struct counting counting;
        vitrt_model *m;
        vitrt_session *s;
        vitrt_error err;
        float pixels[8 * 8 * 3] = { 1 };
        const char *outputs[] = { "features" };
        const vitrt_session_options options = { .threads = 1, .outputs = outputs, .output_count = 1 };
        const vitrt_image image = { .data = pixels, .width = 8, .height = 8, .format = VITRT_FORMAT_F32 };
        assert_ok(graph_open(&g, &counting, &m, &err), &err);
        assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
        assert_ok(vitrt_run(s, &image, 1, NULL, &err), &err);
        vitrt_session_free(s);
        vitrt_model_free(m);
        assert_int_equal(counting.live, 0);
    }
}

/* The first output that is named, for 8 x 8 pixels whose rows are so many bytes apart. */
static void run(const char *graph, const char *const *outputs, size_t count, size_t stride, float *answer, size_t size)
{
    struct graph g;
    struct counting counting;
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    float pixels[8 * 32] = { 0 };
    vitrt_output out[2] = { { .buffer = answer, .buffer_bytes = size } };
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; k < 24; k++)
            pixels[i * stride / sizeof *pixels + k] = (float)(i * 7 + k * 5 % 13) - 30;
    strcpy(g.text, graph);
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    const vitrt_session_options options = { .threads = 1, .outputs = outputs, .output_count = count };
    const vitrt_image image = { .data = pixels, .width = 8, .height = 8, .stride = stride, .format = VITRT_FORMAT_F32 };
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, &image, 1, out, &err), &err);
    assert_int_equal(out[0].offsets[1] * out[0].columns * sizeof(float), size);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

/* Pixels that lie as the input does stay where the caller has them; others are copied into the arena. */
static void test_depthwise_reads_pixels(void **state)
{
    static const char graph[] = "{\"version\":1,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                                "{\"op\":\"conv2d\",\"name\":\"d\",\"in\":[\"x\"],\"weight\":\"f32.3x1x3x3\","
                                "\"padding\":[1,1]}],\"outputs\":{\"d\":\"d\"}}";
    static const char *const names[] = { "d" };
    float stay[64 * 3], copied[64 * 3];
    (void)state;
    run(graph, names, 1, 24 * sizeof(float), stay, sizeof stay);
    run(graph, names, 1, 32 * sizeof(float), copied, sizeof copied);
    assert_memory_equal(stay, copied, sizeof stay);
    assert_true(stay[0] != 0);
}

/* The activation behind a depthwise convolution is for the rows before the map, too, in the same step (where nobody
 * else reads the sums) and in one of its own. */
static void test_activation_of_rows_before_a_map(void **state)
{
    static const char graph[] = "{\"version\":1,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
                                "{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"x\"],\"weight\":\"f32.8x3x2x2\","
                                "\"stride\":[2,2]},"
                                "{\"op\":\"embed\",\"name\":\"e\",\"in\":[\"p\"],\"weight\":\"f32.3x8\"},"
                                "{\"op\":\"conv2d\",\"name\":\"d\",\"in\":[\"e\"],\"weight\":\"f32.8x1x3x3\","
                                "\"padding\":[1,1]},"
                                "{\"op\":\"activation\",\"name\":\"a\",\"in\":[\"d\"],\"activation\":\"gelu\"}],"
                                "\"outputs\":{\"a\":\"a\",\"d\":\"d\"}}";
    static const char *const names[] = { "a", "d" };
    float one_step[19 * 8], two_steps[19 * 8];
    (void)state;
    run(graph, names, 1, 24 * sizeof(float), one_step, sizeof one_step);
    run(graph, names, 2, 24 * sizeof(float), two_steps, sizeof two_steps);
    assert_memory_equal(one_step, two_steps, sizeof one_step);
}

/* A side of 0 is the window's own, whatever the other one is. */
static void test_sides_of_a_bias_network(void **state)
{
    static const char graph[] = "{\"version\":1,\"size\":[8,8],\"windows\":[{\"size\":[2,3]}],\"nodes\":["
                                "{\"op\":\"input\",\"name\":\"x\"},"
                                "{\"op\":\"windows\",\"name\":\"w\",\"in\":[\"x\"],\"windows\":0},"
                                "{\"op\":\"linear\",\"name\":\"l\",\"in\":[\"w\"],\"weight\":\"f32.8x3\"},"
                                "{\"op\":\"l2_norm\",\"name\":\"n\",\"in\":[\"l\"]},"
                                "{\"op\":\"bias_network\",\"name\":\"b\",\"in\":[\"x\"],\"windows\":0,"
                                "\"weight\":\"f32.4x2\",\"weight2\":\"f32.2x4\",\"trained\":[%d,%d]},"
                                "{\"op\":\"attention\",\"name\":\"a\",\"in\":[\"n\",\"n\",\"n\",\"b\"],"
                                "\"heads\":2,\"scale\":1},"
                                "{\"op\":\"unwindows\",\"name\":\"u\",\"in\":[\"a\"]}],"
                                "\"outputs\":{\"u\":\"u\"}}";
    static const char *const names[] = { "u" };
    static const int sides[][2] = { { 2, 3 }, { 2, 0 }, { 0, 3 }, { 0, 0 }, { 2, 5 } };
    enum { SIDES = sizeof sides / sizeof *sides };
    float answers[SIDES][64 * 8];
    (void)state;
    for (size_t i = 0; i < SIDES; i++) {
        char text[sizeof graph];
        snprintf(text, sizeof text, graph, sides[i][0], sides[i][1]);
        run(text, names, 1, 24 * sizeof(float), answers[i], sizeof answers[i]);
    }
    for (size_t i = 1; i < 4; i++)
        assert_memory_equal(answers[i], answers[0], sizeof *answers);
    assert_memory_not_equal(answers[4], answers[0], sizeof *answers);
}

static void test_graph_without_weights(void **state)
{
    static const char header[] = "{\"__metadata__\":{\"vitrt.graph\":\"{\\\"version\\\":1,\\\"size\\\":[8,8],"
                                 "\\\"nodes\\\":[{\\\"op\\\":\\\"input\\\",\\\"name\\\":\\\"x\\\"}],"
                                 "\\\"outputs\\\":{\\\"pixels\\\":\\\"x\\\"}}\"}}";
    char file[8 + sizeof header - 1] = { (char)(sizeof header - 1) };
    const vitrt_buffer buffer = { "model.safetensors", file, sizeof file };
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    assert_in_range(sizeof header - 1, 1, 255);
    memcpy(file + 8, header, sizeof header - 1);
    assert_ok(vitrt_model_open_memory(&buffer, 1, NULL, &m, &err), &err);
    vitrt_model_free(m);
}

/* ---- One mistake each ---- */

struct mistake {
    const char *graph, *from, *to, *sentence;
    vitrt_status status;
};

/* Rows that are no map, read by a node whose value only `places` are made of. */
#define NUMBER_NODE "\"op\": \"token_score\", \"name\": \"number\", \"in\": [\"x3\"], \"score\": \"number\""

static const struct mistake mistakes[] = {
    /* versions */
    { "vit", "{\"version\": 1, ", "{", "version is missing", VITRT_EFORMAT },
    { "vit", "\"version\": 1", "\"version\": 0", "version is missing or no number from 1 on", VITRT_EFORMAT },
    { "vit", "\"version\": 1", "\"version\": 4", "version is 4, this library reads versions up to 3",
      VITRT_EUNSUPPORTED },
    { "vit", "\"version\": 1", "\"version\": 1, \"nodse\": 0", "the graph: unknown member \"nodse\"", VITRT_EFORMAT },

    /* names: no node before has it (a cycle, a node behind, none at all), twice, none */
    { "vit", "\"in\": [\"norm1\"]", "\"in\": [\"attn\"]", "node qkv: in[0] is attn, and no node before has that name",
      VITRT_EFORMAT },
    { "vit", "\"in\": [\"norm1\"]", "\"in\": [\"qkv\"]", "node qkv: in[0] is qkv, and no node before", VITRT_EFORMAT },
    { "vit", "\"in\": [\"norm1\"]", "\"in\": [\"norm\"]", "node qkv: in[0] is norm, and no node before",
      VITRT_EFORMAT },
    { "vit", "\"in\": [\"norm1\"]", "\"in\": [5]", "node qkv: in[0] is 5, expected a name", VITRT_EFORMAT },
    { "vit", "\"in\": [\"norm1\"]", "\"in\": \"norm1\"", "node qkv: in is norm1, expected an array", VITRT_EFORMAT },
    { "vit", "\"in\": [\"norm1\"]", "\"in\": []", "node qkv: it has 0 inputs, expected 1 to 1 for linear",
      VITRT_EFORMAT },
    { "vit", "\"in\": [\"add1\"]", "\"in\": [\"add1\", \"add1\"]", "node norm2: it has 2 inputs", VITRT_EFORMAT },
    { "vit", "\"name\": \"proj\"", "\"name\": \"qkv\"", "node qkv: there is another node of this name", VITRT_EFORMAT },
    { "vit", "\"name\": \"proj\", ", "", "the name of nodes[7] is missing", VITRT_EFORMAT },
    { "vit", "\"proj\"", "\"0123456789012345678901234567890123456789012345678901234567890123\"",
      "expected a name of 1 to 63 bytes", VITRT_EFORMAT },
    { "vit", "\"proj\"", "\"\"", "the name of nodes[7] is , expected a name", VITRT_EFORMAT },

    /* operations and their members */
    { "vit", "\"op\": \"scale\"", "\"op\": \"scales\"", "node ls1: op is scales, expected the name of an operation",
      VITRT_EFORMAT },
    { "vit", "\"op\": \"scale\"", "\"op\": \"convert\"", "node ls1: op is convert", VITRT_EFORMAT },
    { "vit", "\"op\": \"scale\", ", "", "node ls1: op is missing", VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 2, \"head\": 2", "node attn: unknown member \"head\"", VITRT_EFORMAT },
    { "vit", "\"groups\": 2", "\"bais\": \"f32.4\"", "node norm2: unknown member \"bais\"", VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 3", "node attn: 8 query columns are no multiple of 3", VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 0", "node attn: 8 query columns are no multiple of 0", VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": -2", "node attn: heads is -2, expected a number from 0", VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 4294967298", "node attn: heads is 4294967298, expected", VITRT_EFORMAT },
    { "vit", "\"heads\": 2, ", "", "node attn: heads is missing", VITRT_EFORMAT },
    { "vit", "\"scale\": 0.5", "\"scale\": 0", "node attn: its scale is no number from 1e-20 to 1e20", VITRT_EFORMAT },
    { "vit", "\"scale\": 0.5", "\"scale\": 1e-30", "node attn: its scale is no number", VITRT_EFORMAT },
    { "conv", "\"bias\":\"f32.8\",\"padding\":[1,1]", "\"bias\":\"f32.8\",\"padding\":[4000,4000]",
      "the graph: its values have over", VITRT_ELIMIT },
    { "vit", "\"scale\": 0.5", "\"scale\": 1e39", "node attn: scale is 1e39, expected", VITRT_EFORMAT },
    { "vit", "\"scale\": 0.5", "\"scale\": \"0.5\"", "node attn: scale is 0.5, expected a number", VITRT_EFORMAT },
    { "vit", "\"eps\": 1e-06", "\"eps\": -1", "node norm1: eps is -1, expected", VITRT_EFORMAT },
    { "vit", ", \"eps\": 1e-06", "", "node norm1: eps is missing", VITRT_EFORMAT },
    { "vit", "\"groups\": 2", "\"groups\": 3", "node norm2: 8 columns are no multiple of 3", VITRT_EFORMAT },
    { "vit", "\"groups\": 2", "\"groups\": 0", "node norm2: 8 columns are no multiple of 0", VITRT_EFORMAT },
    { "vit", "\"activation\": \"gelu\"", "\"activation\": \"swish\"",
      "node act: activation is swish, expected gelu, gelu_tanh, quick_gelu, silu, relu, tanh", VITRT_EFORMAT },
    { "vit", "\"activation\": \"gelu\"", "\"activation\": \"\"", "node act: activation is , expected gelu",
      VITRT_EFORMAT },
    { "vit", "\"stride\": [2, 2]", "\"stride\": [2]", "node patches: stride is an array, expected [height, width]",
      VITRT_EFORMAT },
    { "vit", "\"stride\": [2, 2]", "\"stride\": 2", "node patches: stride is 2, expected [height, width]",
      VITRT_EFORMAT },
    { "vit", "\"stride\": [2, 2]", "\"stride\": [0, 2]", "node patches: the stride is 0x2, expected sides from 1",
      VITRT_EFORMAT },
    { "vit", "\"stride\": [2, 2]", "\"padding\": [65537, 0]", "node patches: the padding is 65537x0", VITRT_EFORMAT },
    { "conv", "\"cover\":true", "\"cover\":1", "node f: cover is 1, expected true or false", VITRT_EFORMAT },
    { "conv", "\"padding\":[1,1],\"largest\"", "\"padding\":[1,3],\"largest\"", "node m: padding is 3, expected 2",
      VITRT_EFORMAT },

    /* weights */
    { "vit", "\"weight\": \"i8.8x8\", ", "", "node proj: weight is missing", VITRT_EFORMAT },
    { "vit", "\"weight\": \"i8.8x8\"", "\"weight\": 8", "node proj: weight is 8, expected the name of a tensor",
      VITRT_EFORMAT },
    { "vit", "\"weight\": \"i8.8x8\"", "\"weight\": \"none\"", "node proj: weight: tensor none is missing",
      VITRT_EFORMAT },
    { "vit", "\"weight\": \"i8.8x8\"", "\"weight\": \"f32.8\"",
      "node proj: weight: tensor f32.8 has rank 1, expected [out, in]", VITRT_EFORMAT },
    { "vit", "\"weight\": \"i8.8x8\"", "\"weight\": \"f32.8x3\"",
      "node proj: number of weight columns is 3, expected 8", VITRT_EFORMAT },
    { "vit", "\"weight\": \"i8.8x8\"", "\"weight\": \"i64.8x8\"", "tensor i64.8x8 has type I64", VITRT_EUNSUPPORTED },
    { "vit", "\"bias\": \"i8.8\"", "\"bias\": \"f32.0\"", "tensor f32.0 is empty", VITRT_EFORMAT },
    { "vit", "\"bias\": \"i8.8\"", "\"bias\": \"f32.4\"", "node proj: number of weight rows is 4, expected 8",
      VITRT_EFORMAT },
    { "vit", "\"bias\": \"i8.8\"", "\"bias\": \"f32.3x8\"", "tensor f32.3x8 has shape [3, 8], expected [8]",
      VITRT_EFORMAT },
    { "vit", "\"weight\": \"f32.8x3x2x2\"", "\"weight\": \"f32.8x8x3x3\"",
      "node patches: its input has 3 columns, expected a multiple of the 8 that tensor f32.8x8x3x3 reads",
      VITRT_EFORMAT },
    { "vit", "\"weight\": \"f32.17x8\"", "\"weight\": \"f32.1x16x8\"",
      "node positions: number of positions is 16, expected 17", VITRT_EFORMAT },

    /* columns */
    { "vit", "[\"qkv\", 16, 8]", "[\"qkv\", 17, 8]", "node attn reads columns 17 to 25 of qkv, which has 24",
      VITRT_EFORMAT },
    { "vit", "[\"qkv\", 16, 8]", "[\"qkv\", 16, 0]", "node attn: in[2] has no columns", VITRT_EFORMAT },
    { "vit", "[\"qkv\", 16, 8]", "[\"qkv\", 16]",
      "node attn: in[2] is an array, expected [name, first column, columns]", VITRT_EFORMAT },
    { "vit", "[\"qkv\", 16, 8]", "[\"qkv\", 2147483647, 2147483647]", "node attn reads columns 2147483647",
      VITRT_EFORMAT },
    { "vit", "[\"qkv\", 0, 8]", "[\"qkv\", 0, 4]", "node attn: number of key columns is 8, expected 4", VITRT_EFORMAT },
    { "vit", "\"in\": [\"class\", \"mean\"]", "\"in\": [\"class\", [\"mean\", 0, 8]]",
      "node both: in[1] is an array, expected the name of a node", VITRT_EFORMAT },
    { "vit", "\"in\": [\"act\", \"fc1\"]", "\"in\": [\"act\", \"qkv\"]",
      "node gate: number of columns of the second input is 24, expected 8", VITRT_EFORMAT },

    /* kinds of values */
    { "vit", "\"in\": [\"norm1\"]", "\"in\": [\"positions\"]",
      "node qkv: its input positions yields positions, expected rows of tokens", VITRT_EFORMAT },
    { "vit", "\"in\": [\"patches\", \"positions\"]", "\"in\": [\"patches\", \"patches\"]",
      "node embed: its input patches yields rows of tokens, expected positions", VITRT_EFORMAT },
    { "vit", "\"in\": [\"patches\", \"positions\"]", "\"in\": [\"positions\", \"positions\"]",
      "node embed: its input positions yields positions", VITRT_EFORMAT },
    { "windows", "\"bt\"], \"heads\"", "\"qkv\"], \"heads\"",
      "node a: its input qkv yields rows of tokens, expected a relative bias", VITRT_EFORMAT },
    { "windows", "\"w0\", \"w0\", \"w0\", \"bn\"", "\"w0\", \"w0\", \"w0\", \"bt\"",
      "node a0: its bias bt is another attention's already", VITRT_EFORMAT },
    { "conv", "\"in\":[\"a\"],\"scores\"", "\"in\":[\"f\"],\"scores\"", "node s: its input f is no attention",
      VITRT_EFORMAT },

    /* clipped probabilities and gates of attention */
    { "vit", "\"heads\": 2", "\"heads\": 2, \"gamma\": 0.25",
      "node attn: probabilities clipped with gamma 0.25 and zeta 1, expected gamma from -1000 to 0 and zeta from 1 to "
      "1000",
      VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 2, \"gamma\": -1001", "probabilities clipped with gamma -1001",
      VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 2, \"gamma\": -1e39", "node attn: gamma is -1e39, expected a number",
      VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 2, \"zeta\": 0.5", "probabilities clipped with gamma 0 and zeta 0.5",
      VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 2, \"zeta\": 1001", "probabilities clipped with gamma 0 and zeta 1001",
      VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 2, \"zeta\": null", "node attn: zeta is null, expected a number",
      VITRT_EFORMAT },
    { "vit", "\"heads\": 2", "\"heads\": 2, \"gated\": true",
      "node attn: it has 3 inputs, expected q, k, v, the logits of its gate and possibly a relative bias",
      VITRT_EFORMAT },
    { "vit", "8]], \"heads\": 2", "8], [\"qkv\", 0, 2], [\"qkv\", 0, 2]], \"heads\": 2",
      "node attn: it has 5 inputs, expected q, k, v and possibly a relative bias", VITRT_EFORMAT },
    { "vit", "8]], \"heads\": 2", "8], [\"qkv\", 0, 2], [\"qkv\", 0, 2]], \"heads\": 2, \"gated\": true",
      "node attn: its input qkv yields rows of tokens, expected a relative bias", VITRT_EFORMAT },
    { "vit", "8]], \"heads\": 2", "8], [\"qkv\", 0, 3]], \"heads\": 2, \"gated\": true",
      "node attn: number of gate columns is 3, expected 2", VITRT_EFORMAT },
    { "vit", "8]], \"heads\": 2", "8], \"positions\"], \"heads\": 2, \"gated\": true",
      "node attn: its input positions yields positions, expected rows of tokens", VITRT_EFORMAT },
    { "vit", "8]], \"heads\": 2", "8], [\"patches\", 0, 2]], \"heads\": 2, \"gated\": true",
      "node attn: number of rows of an input is 16, expected 19", VITRT_EFORMAT },
    { "windows", "\"bt\"], \"heads\": 2", "[\"bt\", 0, 1]], \"heads\": 2",
      "node a: in[3] is an array, expected the name of a node", VITRT_EFORMAT },
    { "windows", "\"bt\"], \"heads\": 2", "\"bt\", [\"n\", 0, 2]], \"heads\": 2, \"gated\": true",
      "node a: the rows of its inputs are not in the same order", VITRT_EFORMAT },

    /* rows and maps at the size of the file */
    { "vit", "\"size\": [8, 8]", "\"size\": [1, 8]", "node patches: the input's height is 1, expected at least 2",
      VITRT_EFORMAT },
    { "vit", "\"size\": [8, 8]", "\"size\": [0, 8]", "size is 0x8, expected sides from 1 to 16384", VITRT_EFORMAT },
    { "vit", "\"size\": [8, 8]", "\"size\": [16384, 16384]", "size is 16384x16384, which is too large for",
      VITRT_ELIMIT },
    { "vit", "\"size\": [8, 8], ", "", "size is missing", VITRT_EFORMAT },
    { "vit", "\"size_multiple\": [2, 2]", "\"size_multiple\": [0, 2]", "size_multiple is 0x2", VITRT_EFORMAT },
    { "vit", "\"position_prefix\": 1", "\"position_prefix\": 4",
      "node embed: number of tokens with a position is 4, expected 3", VITRT_EFORMAT },
    { "vit", "\"position_prefix\": 1", "\"position_prefix\": 0", "node embed: number of positions is 17, expected 16",
      VITRT_EFORMAT },
    { "vit", "\"prefix\": 1, \"grid\": [4, 4]", "\"prefix\": 17, \"grid\": [0, 4]",
      "node positions: the grid is 0x4, expected sides from 1", VITRT_EFORMAT },
    { "vit", "\"row_count\": 1", "\"row_count\": 20", "node class: number of rows is 19, expected 20", VITRT_EFORMAT },
    { "vit", "\"first_row\": 3", "\"first_row\": 19", "node mean: first row to average is 19, expected 18",
      VITRT_EFORMAT },
    { "vit", "\"in\": [\"act\", \"fc1\"]", "\"in\": [\"act\", \"patches\"]",
      "node gate: number of rows of an input is 16, expected 19", VITRT_EFORMAT },
    { "conv", "\"stride\":[2,2],\"padding\":[1,1],\"largest\"", "\"stride\":[0,2],\"padding\":[1,1],\"largest\"",
      "node m: the stride is 0x2", VITRT_EFORMAT },
    { "conv", "\"stride\":[1,1]", "\"padding\":[65536,65536]", "node c would have over 2^28 rows at 8x8",
      VITRT_ELIMIT },
    { "windows", "\"block\": [2, 2]", "\"block\": [65536, 65536]", "node s would have 34359738368 columns",
      VITRT_ELIMIT },
    { "windows", "\"block\": [2, 2]", "\"block\": [0, 2]", "node s: the block is 0x2", VITRT_EFORMAT },

    /* windows */
    { "windows", "{\"size\": [2, 2]}", "{\"size\": [0, 2]}", "windows of 0x2 shifted by 0x0, expected sides from 1",
      VITRT_EFORMAT },
    { "windows", "\"shift\": [1, 1]", "\"shift\": [2, 1]", "windows of 2x2 shifted by 2x1", VITRT_EFORMAT },
    { "windows", "\"shift\": [1, 1]", "\"shfit\": [1, 1]", "the graph: unknown member \"shfit\"", VITRT_EFORMAT },
    { "windows", "\"fit\": \"each_side\"", "\"fit\": \"both\"",
      "the fit of windows is both, expected fixed, each_side, shorter_side", VITRT_EFORMAT },
    { "windows", "\"mask\": -100", "\"mask\": -1e39", "the mask of windows is -1e39", VITRT_EFORMAT },
    { "windows", "{\"size\": [2, 2]}", "5", "windows[0] is 5, expected an object", VITRT_EFORMAT },
    { "windows", "{\"size\": [2, 2]}", "{\"size\": [2, 2]}, {\"size\": [2, 2]}", "windows[1] is the same as windows[0]",
      VITRT_EFORMAT },
    { "windows", "\"in\": [\"n\"], \"windows\": 1", "\"in\": [\"n\"], \"windows\": 2",
      "node w: windows is 2, expected the index of one of the graph's windows", VITRT_EFORMAT },
    { "windows", "\"in\": [\"n\"], \"windows\": 1", "\"in\": [\"n\"], \"windows\": 0",
      "node a: its bias bt is for windows over another map or of another pattern", VITRT_EFORMAT },
    { "windows", "\"trained\": [2, 2]", "\"trained\": [2, 3]", "node bt: number of rows of the table is 9, expected 15",
      VITRT_EFORMAT },
    { "windows", "\"in\": [\"r\"], \"windows\": 0", "\"in\": [\"w\"], \"windows\": 0",
      "node w0: the rows of its input w are in the order of windows", VITRT_EFORMAT },
    { "windows", "\"in\": [\"a0\"]", "\"in\": [\"r\"]",
      "node u0: the rows of its input are not in the order of windows", VITRT_EFORMAT },
    { "windows", "\"in\": [\"p\", \"u\"]", "\"in\": [\"p\", \"o\"]",
      "node r: the rows of its inputs are not in the same order", VITRT_EFORMAT },

    /* selections by how sure classes are, maps of classes */
    { "classes", "\"threshold\":0.5", "\"threshold\":1.5", "node s0: the threshold is 1.5, expected 0 to 1",
      VITRT_EFORMAT },
    { "classes", "\"threshold\":0.5", "\"threshold\":-0.5", "node s0: threshold is -0.5, expected", VITRT_EFORMAT },
    { "classes", "\"context\":1", "\"context\":-1", "node s0: context is -1, expected", VITRT_EFORMAT },
    { "classes", "\"context\":1", "\"count\":1", "node s0: selections by \"unsure\" have no \"keep\" and no \"count\"",
      VITRT_EFORMAT },
    { "classes", "\"context\":1", "\"keep\":0.5", "node s0: selections by \"unsure\" have no \"keep\"", VITRT_EFORMAT },
    { "classes", "\"context\":1", "\"similar\":1", "node s0: number of inputs is 1, expected 2", VITRT_EFORMAT },
    { "classes", "\"in\":[\"h0\"],\"by\"", "\"in\":[\"h0\",\"h0\"],\"by\"",
      "node s0: number of inputs is 2, expected 1", VITRT_EFORMAT },
    { "classes", "\"protect\":3", "\"protect\":20", "node s0: number of protected rows is 20, expected 19",
      VITRT_EFORMAT },
    { "classes", "\"factor\":[3,2]", "\"factor\":[0,2]", "node some: the factor is 0x2, expected sides from 1",
      VITRT_EFORMAT },
    { "classes", "\"factor\":[3,2]", "\"factor\":[3,65537]", "node some: the factor is 3x65537", VITRT_EFORMAT },
    { "classes", "\"factor\":[3,2]", "\"factor\":[65536,65536]", "node some would have over 2^28 rows at 8x8",
      VITRT_ELIMIT },
    { "classes", "\"in\":[\"map\"]", "\"in\":[\"all\"]", "node u: number of rows before the map is 3, expected 0",
      VITRT_EFORMAT },
    { "classes", "\"in\":[\"map\"]", "\"in\":[\"b0\"]", "node u: number of rows before the map is 19, expected 0",
      VITRT_EFORMAT },
    { "classes", "\"in\":[\"u\"]", "\"in\":[\"u\",\"u\"]", "node class: it has 2 inputs, expected 1 to 1 for argmax",
      VITRT_EFORMAT },
    /* token reduction: maps and rows */
    { "tokens", "\"in\": [\"x2\"], \"weight\"", "\"in\": [\"pairs\"], \"weight\"",
      "node qkv2: its input pairs yields a token map, expected rows of tokens", VITRT_EFORMAT },
    { "tokens", "\"in\": [\"x2\"], \"weight\"", "\"in\": [[\"pairs\", 0, 1]], \"weight\"",
      "node qkv2: its input pairs yields a token map, expected rows of tokens", VITRT_EFORMAT },
    { "tokens", "[\"x1\", \"pairs\"]", "[\"x1\", \"ones\"]",
      "node x2: its input ones yields rows of tokens, expected a token map", VITRT_EFORMAT },
    { "tokens", "[\"x1\", \"pairs\"]", "[\"pairs\", \"pairs\"]",
      "node x2: its input pairs yields a token map, expected rows of tokens", VITRT_EFORMAT },
    { "tokens", "[\"x1\", \"pairs\"]", "[\"x1\", [\"pairs\", 0, 1]]",
      "node x2: in[1] is an array, expected the name of a node", VITRT_EFORMAT },
    { "tokens", "[\"x1\", \"pairs\"]", "[\"x1\"]", "node x2: it has 1 inputs, expected 2 to 2 for apply",
      VITRT_EFORMAT },
    { "tokens", "[\"places1\", \"samples\"]", "[\"places1\", \"rest\"]",
      "node places: its input rest yields rows of tokens, expected a token map", VITRT_EFORMAT },
    { "tokens", "\"places\": \"places\"", "\"places\": \"pairs\"",
      "output places is node pairs, which is no value of an image", VITRT_EFORMAT },
    { "tokens", "[\"x1\", \"pairs\"]", "[\"embed\", \"pairs\"]",
      "node x2: its inputs have the rows that different token maps leave", VITRT_EFORMAT },
    { "tokens", "[\"embed\", \"samples\"]", "[\"patches\", \"samples\"]",
      "node rest: number of rows of an input is 16, expected 19", VITRT_EFORMAT },
    { "tokens", "[\"rest\", \"attn\"]", "[\"rest\", \"embed\"]",
      "node x1: its inputs have the rows that different token maps leave", VITRT_EFORMAT },
    { "tokens", "[\"number\", \"pruned\"]", "[\"number\", \"few\"]",
      "node places2: the rows of number are not those that the map few leaves", VITRT_EFORMAT },
    { "tokens", "[\"cross\", \"even\", \"patches\"]", "[\"cross\", \"even\", \"embed\"]",
      "node map: number of rows of an input is 19, expected 16", VITRT_EFORMAT },
    { "tokens", "[\"cross\", \"even\", \"patches\"]", "[\"cross\", \"even\", \"pixels\"]",
      "node map: number of columns of what rows are otherwise is 3, expected 8", VITRT_EFORMAT },
    { "tokens", "[\"cross\", \"even\", \"patches\"]", "[\"cross\", \"even\", [\"patches\", 0, 8]]",
      "node map: in[2] is an array, expected the name of a node", VITRT_EFORMAT },
    { "tokens", "\"in\": [\"x3\"], \"row_count\": 1", "\"in\": [\"x3\"], \"first_row\": 1",
      "node class: number of rows is 1, expected 2", VITRT_EFORMAT },
    { "tokens", "\"name\": \"class\", \"in\": [\"x3\"], \"row_count\": 1",
      "\"name\": \"class\", \"in\": [\"best\"], \"first_row\": 1",
      "node class: the rows from 1 on of an input with another number of rows for each image, expected a number of them",
      VITRT_EFORMAT },
    { "tokens", "\"in\": [\"x3\"], \"row_count\": 1", "\"in\": [\"x3\"], \"row_count\": 2",
      "node class: number of rows is 1, expected 2", VITRT_EFORMAT },
    { "tokens", "\"by\": \"even\"", "\"by\": \"even\", \"protect\": 17",
      "node even: number of protected rows is 17, expected 16", VITRT_EFORMAT },
    { "tokens", "\"by\": \"match\", \"protect\": 2", "\"by\": \"match\", \"protect\": 3",
      "node pairs: number of protected rows is 3, expected 2", VITRT_EFORMAT },
    { "tokens", "[\"x3\", \"sizes3\"], \"first_row\": 1", "[\"x3\", \"sizes3\"], \"first_row\": 15",
      "node mean: first row to average is 15, expected 13", VITRT_EFORMAT },
    { "tokens", "[\"x3\", \"sizes3\"]", "[\"x3\", \"sizes\"]",
      "node mean: its inputs have the rows that different token maps leave", VITRT_EFORMAT },
    { "tokens", "[\"x3\", \"sizes3\"]", "[\"x3\", \"x3\"]",
      "node mean: number of columns of the weights is 8, expected 1", VITRT_EFORMAT },
    { "tokens", "\"log\"], \"heads\": 2", "[\"qkv2\", 0, 2]], \"heads\": 2",
      "node attn2: number of columns of the bias of keys is 2, expected 1", VITRT_EFORMAT },
    { "tokens", "\"log\"], \"heads\": 2", "\"ones\"], \"heads\": 2",
      "node attn2: its inputs have the rows that different token maps leave", VITRT_EFORMAT },
    { "tokens", ", \"log\"], \"heads\": 2", "], \"heads\": 2",
      "node attn2: it has 3 inputs, expected q, k, v, a bias of its keys and possibly a relative bias", VITRT_EFORMAT },
    { "windows", "\"bt\"], \"heads\": 2", "\"bt\", [\"n\", 0, 1]], \"heads\": 2, \"key_bias\": true",
      "node a: number of biases of keys in windows is 1, expected 0", VITRT_EFORMAT },

    /* token reduction: selections and scores */
    { "tokens", "\"by\": \"even\"", "\"by\": \"odd\"",
      "node even: by is odd, expected top, samples, match, even, random", VITRT_EFORMAT },
    { "tokens", "\"score\": \"mean\"", "\"score\": \"median\"",
      "node mean_score: score is median, expected mean, values, head_values, votes, ones, logarithm, number",
      VITRT_EFORMAT },
    { "tokens", "\"keep\": 0.3", "\"keep\": 0", "node even: keep is 0, expected a number over 0 and up to 1",
      VITRT_EFORMAT },
    { "tokens", "\"keep\": 0.3", "\"keep\": 1.5", "node even: keep is 1.5, expected a number over 0 and up to 1",
      VITRT_EFORMAT },
    { "tokens", "\"keep\": 0.3", "\"keep\": -0.5", "node even: keep is -0.5, expected", VITRT_EFORMAT },
    { "tokens", "\"keep\": 0.3", "\"keep\": NaN", "not valid JSON", VITRT_EFORMAT },
    { "tokens", "\"keep\": 0.3", "\"keep\": 1e999", "node even: keep is 1e999, expected", VITRT_EFORMAT },
    { "tokens", "\"keep\": 0.3", "\"keep\": \"all\"", "node even: keep is all, expected", VITRT_EFORMAT },
    { "tokens", "\"count\": 5", "\"count\": 4294967296", "node random: count is 4294967296, expected", VITRT_EFORMAT },
    { "tokens", "\"count\": 4, \"in_order\": true", "\"count\": 1", "node ordered: number of samples is 1, expected 2",
      VITRT_EFORMAT },
    { "tokens", "\"count\": 4, \"in_order\"", "\"count\": 1048577, \"in_order\"",
      "node ordered: number of samples is 1048577, expected 1048576", VITRT_EFORMAT },
    { "tokens", "\"by\": \"match\"", "\"by\": \"match\", \"fuse\": true",
      "node pairs: \"fuse\" and \"similar\" are of selections by \"top\" alone", VITRT_EFORMAT },
    { "tokens", "\"by\": \"even\"", "\"by\": \"even\", \"drop\": true",
      "node even: \"drop\" is of selections by \"match\" alone", VITRT_EFORMAT },
    { "tokens", "\"by\": \"match\"", "\"by\": \"match\", \"drop\": true, \"passed\": 1.5",
      "node pairs: \"passed\" is 1.5, expected 0 to 1, and 0 without \"drop\"", VITRT_EFORMAT },
    { "tokens", "\"by\": \"match\"", "\"by\": \"match\", \"passed\": 0.5",
      "node pairs: \"passed\" is 0.5, expected 0 to 1, and 0 without \"drop\"", VITRT_EFORMAT },
    { "tokens", "[\"patches\"], \"by\": \"even\"", "[\"patches\", \"patches\"], \"similar\": 1, \"by\": \"even\"",
      "node even: \"fuse\" and \"similar\" are of selections by \"top\" alone", VITRT_EFORMAT },
    { "tokens", "\"attn2\", \"votes\"]", "\"attn2\", \"sums2\"]",
      "node pruned: number of columns of the scores that halves are by is 2, expected 1", VITRT_EFORMAT },
    { "tokens", "[\"rank\", \"attn2\", \"votes\"]", "[\"rank\"]", "node pruned: number of inputs is 1, expected 2",
      VITRT_EFORMAT },
    { "tokens", "\"similar\": 2, ", "", "node pruned: number of inputs is 3, expected 1", VITRT_EFORMAT },
    { "tokens", "\"attn2\", \"votes\"]", "\"embed\", \"votes\"]",
      "node pruned: its inputs have the rows that different token maps leave", VITRT_EFORMAT },
    { "tokens", "\"attn2\", \"votes\"]", "\"attn2\", [\"embed\", 0, 1]]",
      "node pruned: its inputs have the rows that different token maps leave", VITRT_EFORMAT },
    { "tokens", "\"groups\": 4", "\"groups\": 3", "node pruned: 8 columns of the features are no multiple of 3",
      VITRT_EFORMAT },
    { "tokens", "\"groups\": 2", "\"groups\": 0", "node pairs: 8 columns of the features are no multiple of 0",
      VITRT_EFORMAT },
    { "tokens", "[\"lengths\"]", "[\"first2\"]", "node few: number of columns of the scores is 2, expected 1",
      VITRT_EFORMAT },
    { "tokens", "[\"x1\", \"ones\"]", "[\"x1\", \"x1\"]", "node pairs: number of columns of the sizes is 8, expected 1",
      VITRT_EFORMAT },
    { "tokens", "[\"patches\"], \"by\": \"even\"", "[\"patches\", \"patches\"], \"by\": \"even\"",
      "node even: number of inputs is 2, expected 1", VITRT_EFORMAT },
    { "tokens", "[\"class_row\", [\"qkv\", 16, 8]]", "[\"class_row\"]",
      "node significance: number of inputs is 1, expected 2", VITRT_EFORMAT },
    { "tokens", "[\"first2\"], \"score\": \"mean\"", "[\"first2\", \"first2\"], \"score\": \"mean\"",
      "node mean_score: number of inputs is 2, expected 1", VITRT_EFORMAT },
    { "tokens", "[\"first2\", [\"qkv2\", 16, 8]]", "[\"first2\", [\"qkv2\", 16, 7]]",
      "node lengths: 7 columns of the values are no multiple of 2", VITRT_EFORMAT },
    { "tokens", "[\"sums2\", \"first2\"]", "[\"sums2\", \"x2\"]",
      "node votes: number of columns of the first row is 8, expected 2", VITRT_EFORMAT },
    { "tokens", "[\"sums2\", \"first2\"]", "[\"sums2\", \"class_row\"]",
      "node votes: its inputs have the rows that different token maps leave", VITRT_EFORMAT },
    { "tokens", "\"lowest\": 0.01, ", "\"lowest\": 0.75, ",
      "node votes: the variances of heads that count are from 0.75 to 0.7", VITRT_EFORMAT },
    { "tokens", "[\"sizes\"], \"score\"", "[\"x2\"], \"score\"",
      "node log: number of columns of its input is 8, expected 1", VITRT_EFORMAT },

    { "tokens_halting", "\"keep\": 0.8", "\"keep\": 0.8, \"with_first\": true",
      "node scored: \"with_first\" is of selections by \"below\" alone", VITRT_EFORMAT },
    { "tokens_halting", "\"with_first\": true", "\"count\": 2",
      "node going1: selections by \"below\" have no \"keep\" and no \"count\"", VITRT_EFORMAT },
    { "tokens_halting", "\"threshold\": 0.7", "\"keep\": 0.7", "node low: selections by \"below\" have no \"keep\"",
      VITRT_EFORMAT },
    { "tokens_halting", "[\"halting2\"], \"by\"", "[\"x3\"], \"by\"",
      "node low: number of columns of the scores is 8, expected 1", VITRT_EFORMAT },
    { "tokens_halting", "\"limit\": 0.75", "\"limit\": 0", "node halting1: the limit is 0, expected over 0 and up to 1",
      VITRT_EFORMAT },
    { "tokens_halting", "[[\"x1\", 0, 1]]", "[[\"x1\", 0, 2]]",
      "node halting1: number of columns of its input is 2, expected 1", VITRT_EFORMAT },
    { "tokens_halting", "[[\"x3\", 0, 1], \"sums1\"]", "[[\"x3\", 0, 1], \"x3\"]",
      "node halting2: number of columns of its input is 8, expected 1", VITRT_EFORMAT },
    { "tokens_halting", "[[\"x3\", 0, 1], \"sums1\"]", "[[\"x3\", 0, 1], \"halting1\"]",
      "node halting2: its inputs have the rows that different token maps leave", VITRT_EFORMAT },
    { "tokens_halting", "[\"halting2\", \"sums1\"]", "[\"halting2\"]", "node parts2: number of inputs is 1, expected 2",
      VITRT_EFORMAT },
    { "tokens_halting", "[[\"predicted\", 1, 1], [\"predicted\", 3, 1]]", "[[\"predicted\", 1, 1], \"predicted\"]",
      "node score: number of columns of its input is 4, expected 1", VITRT_EFORMAT },
    { "tokens_halting", "\"first_row\": 3, \"spread\"", "\"first_row\": 19, \"spread\"",
      "node patch_mean: first row to average is 19, expected 18", VITRT_EFORMAT },

    /* token reduction: nodes that need a map */
    { "tokens", NUMBER_NODE, "\"op\": \"conv2d\", \"name\": \"number\", \"in\": [\"x3\"], \"weight\": \"f32.8x8x3x3\"",
      "node number: number of rows before the map is 14, expected 0", VITRT_EFORMAT },
    { "tokens", NUMBER_NODE,
      "\"op\": \"conv2d\", \"name\": \"number\", \"in\": [\"x3\"], \"weight\": \"f32.8x1x3x3\", \"padding\": [1, 1]",
      "node number: the input's height is 0, expected at least 1", VITRT_EFORMAT },
    { "tokens", NUMBER_NODE, "\"op\": \"pool2d\", \"name\": \"number\", \"in\": [\"x3\"], \"kernel\": [1, 1]",
      "node number: number of rows before the map is 14, expected 0", VITRT_EFORMAT },
    { "tokens", NUMBER_NODE, "\"op\": \"embed\", \"name\": \"number\", \"in\": [\"x3\"]",
      "node number: number of rows before the map is 14, expected 0", VITRT_EFORMAT },
    { "tokens", NUMBER_NODE, "\"op\": \"space_to_depth\", \"name\": \"number\", \"in\": [\"x3\"], \"block\": [2, 2]",
      "node number: number of rows before the map is 14, expected 0", VITRT_EFORMAT },
    { "windows", "{\"op\": \"pool\", \"name\": \"mean\", \"in\": [\"m\"]",
      "{\"op\": \"token_score\", \"score\": \"ones\", \"name\": \"mean\", \"in\": [\"a\"]",
      "node mean: the rows of its input a are in the order of windows, expected a map's", VITRT_EFORMAT },

    /* parts of the graph */
    { "vit", "\"op\": \"input\"", "\"op\": \"linear\"",
      "node pixels: its op is linear, expected input for the first node", VITRT_EFORMAT },
    { "vit", "{\"op\": \"slice\", \"name\": \"class\", \"in\": [\"add2\"], \"row_count\": 1}",
      "{\"op\": \"input\", \"name\": \"class\"}", "node class: its op is input, expected", VITRT_EFORMAT },
    { "vit", "\"logits\": \"head\"", "\"logits\": \"heads\"", "output logits is heads, and no node", VITRT_EFORMAT },
    { "vit", "\"logits\": \"head\"", "\"logits\": \"positions\"",
      "output logits is node positions, which is no value of an image", VITRT_EFORMAT },
    { "windows", "\"features\": \"m\"", "\"features\": \"a\"",
      "output features is node a, whose rows are in the order of windows", VITRT_EFORMAT },
    { "vit", "\"outputs\"", "\"output\"", "unknown member \"output\"", VITRT_EFORMAT },
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct graph g = graph_load(mistakes[i].graph);
        graph_replace(&g, mistakes[i].from, mistakes[i].to);
        graph_refused(&g, mistakes[i].status, mistakes[i].sentence);
    }
}

/* Documents that are no graphs at all. */
static void test_other_documents(void **state)
{
    static const struct mistake documents[] = {
        { "", "", "", "not valid JSON", VITRT_EFORMAT },
        { "[]", "", "", "the document is not an object", VITRT_EFORMAT },
        { "{\"version\": 1, \"size\": [8, 8]}", "", "", "nodes is missing, expected an array", VITRT_EFORMAT },
        { "{\"version\": 1, \"size\": [8, 8], \"nodes\": []}", "", "", "nodes is an array, expected an array that is",
          VITRT_EFORMAT },
        { "{\"version\": 1, \"size\": [8, 8], \"nodes\": [7]}", "", "", "the name of nodes[0] is missing",
          VITRT_EFORMAT },
        { "{\"version\": 1, \"size\": [8, 8], \"windows\": {}}", "", "", "windows is an object, expected",
          VITRT_EFORMAT },
        { "{\"version\": 1, \"size\": [8, 8], \"nodes\": [{\"op\": \"input\", \"name\": \"x\"}]}", "", "",
          "outputs is missing, expected an object", VITRT_EFORMAT },
        { "{\"version\": 1, \"size\": [8, 8], \"family\": 1}", "", "", "family is 1, expected a string",
          VITRT_EFORMAT },
    };
    (void)state;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        struct graph g;
        strcpy(g.text, documents[i].graph);
        graph_refused(&g, documents[i].status, documents[i].sentence);
    }
}

/* Column counts that double from node to node, and more nodes than there may be. */
static void test_growth(void **state)
{
    static struct graph g;
    (void)state;
    strcpy(g.text, "{\"version\":1,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"n0\"}");
    for (int i = 1; i < 40; i++)
        snprintf(g.text + strlen(g.text), 100, ",{\"op\":\"concat\",\"name\":\"n%d\",\"in\":[\"n%d\",\"n%d\"]}", i,
                 i - 1, i - 1);
    strcat(g.text, "],\"outputs\":{\"x\":\"n1\"}}");
    graph_refused(&g, VITRT_ELIMIT, "node n19 would have 1572864 columns, at most 1048576 are possible");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_open),
        cmocka_unit_test(test_depthwise_reads_pixels),
        cmocka_unit_test(test_activation_of_rows_before_a_map),
        cmocka_unit_test(test_sides_of_a_bias_network),
        cmocka_unit_test(test_graph_without_weights),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_other_documents),
        cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
