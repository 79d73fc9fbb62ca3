/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounds of votes (Zero-TPrune's Weighted PageRank): worked examples with exact numbers (T2) out of a graph's run, one
 * head of every bundle and product against sums in double of the same probabilities, what graphs are refused.
 */
#include "check.h"

#include "attention.h"
#include "graph_text.h"

/* ---- One head ---- */

enum { MOST = 70, HEADS = 3, HEAD = 1, DIM = 20, DIM_V = 9 };

struct head {
    float q[MOST * DIM], k[MOST * DIM], v[MOST * DIM_V], out[MOST * DIM_V];
    vt_bf16 q16[MOST * DIM], k16[MOST * DIM], v16[MOST * DIM_V];
    uint8_t q8[MOST * DIM], k8[MOST * DIM], v8[MOST * DIM_V], zeros[DIM];
    float ones[DIM_V], column[3][MOST * HEADS];
    struct guarded plain_scratch, scratch; /* without and with votes */
    struct vt_attention a;
};

static void fill_codes(const float *x, size_t n, uint8_t *codes)
{
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint8_t)(128 + 40 * x[i]);
}

static void head_new(struct head *h, const struct vt_kernels *kernels, enum vt_product product, size_t tokens)
{
    fill_floats(FILL_UNIFORM, MOST * DIM, h->q, tokens);
    fill_floats(FILL_UNIFORM, MOST * DIM, h->k, tokens + 1);
    fill_floats(FILL_UNIFORM, MOST * DIM_V, h->v, tokens + 2);
    kernels->to_bf16(MOST * DIM, h->q, h->q16);
    kernels->to_bf16(MOST * DIM, h->k, h->k16);
    kernels->to_bf16(MOST * DIM_V, h->v, h->v16);
    fill_codes(h->q, MOST * DIM, h->q8);
    fill_codes(h->k, MOST * DIM, h->k8);
    fill_codes(h->v, MOST * DIM_V, h->v8);
    memset(h->zeros, 128, sizeof h->zeros);
    for (size_t i = 0; i < DIM_V; i++)
        h->ones[i] = 1;
    const void *const operands[][3] = { [VT_PRODUCT_F32] = { h->q, h->k, h->v },
                                        [VT_PRODUCT_BF16] = { h->q16, h->k16, h->v16 },
                                        [VT_PRODUCT_U8S8] = { h->q8, h->k8, h->v8 } };
    h->a = (struct vt_attention){ .kernels = kernels,
                                  .product = product,
                                  .queries = tokens,
                                  .keys = tokens,
                                  .dim = DIM,
                                  .dim_v = DIM_V,
                                  .q = operands[product][0],
                                  .k = operands[product][1],
                                  .v = operands[product][2],
                                  .ldq = DIM,
                                  .ldk = DIM,
                                  .ldv = DIM_V,
                                  .scale = product == VT_PRODUCT_U8S8 ? 1 / 1600.0f : 1,
                                  .out = h->out,
                                  .ldo = DIM_V,
                                  .to = VT_TO_F32,
                                  .query_zero = h->zeros,
                                  .sum_scale = h->ones,
                                  .sum_bias = h->ones,
                                  .ld_scores = HEADS };
    guarded_new(&h->scratch, vt_attention_scratch_bytes(kernels, product, tokens, DIM, DIM_V, true), AT_END);
    guarded_new(&h->plain_scratch, vt_attention_scratch_bytes(kernels, product, tokens, DIM, DIM_V, false), AT_END);
}

static void head_free(struct head *h)
{
    guarded_free(&h->scratch);
    guarded_free(&h->plain_scratch);
}

/* p[tokens, tokens], as it is multiplied with v: of one query after the other. */
static void probabilities(const struct head *h, float *p)
{
    struct vt_attention one = h->a;
    float row[MOST * HEADS];
    const size_t bytes = vt_product_bytes(one.product);
    one.queries = 1;
    one.first_row = row;
    one.column_sums = NULL;
    one.votes = NULL;
    for (size_t i = 0; i < one.keys; i++) {
        one.q = (const char *)h->a.q + i * one.ldq * bytes;
        vt_attention_run(&one, 0, 1, h->plain_scratch.data);
        for (size_t k = 0; k < one.keys; k++)
            p[i * one.keys + k] = row[k * HEADS];
    }
}

static void vote_in_double(size_t n, const float *p, size_t rounds, double boost, double *votes)
{
    double before[MOST];
    for (size_t i = 0; i < n; i++)
        votes[i] = (i ? 1 : boost) * (double)n / ((double)n - 1 + boost);
    for (size_t round = 0; round < rounds; round++) {
        memcpy(before, votes, n * sizeof *before);
        for (size_t k = 0; k < n; k++) {
            votes[k] = 0;
            for (size_t i = 0; i < n; i++)
                votes[k] += before[i] * (double)p[i * n + k];
        }
    }
}

/* All terms are positive: each round adds a chain of n roundings, those of the factors and of the probabilities, which
 * are products themselves, to the relative error. */
static double votes_bound(size_t n, size_t rounds)
{
    return gamma_of((n + 3) * rounds + 1);
}

static void require_votes(bool ok, const char *what, const struct head *h)
{
    require(ok, what, h->a.kernels->bundle, h->a.kernels->gemm[h->a.product].name, h->a.keys, h->a.rounds, 0, 0);
}

/* By itself, and beside everything else that there is. */
static void check_votes(struct head *h, const float *p, uint32_t rounds, float boost)
{
    const size_t n = h->a.keys;
    double wanted[MOST], root = boost == 0 ? sqrt((double)n) : (double)boost;
    float alone[MOST * HEADS];
    memset(h->column, CANARY, sizeof h->column);
    h->a.rounds = rounds;
    h->a.boost = boost;
    h->a.votes = h->column[2] + HEAD;
    h->a.first_row = h->a.column_sums = NULL;
    vt_attention_run(&h->a, 0, n, h->scratch.data);
    memcpy(alone, h->column[2], sizeof alone);
    vote_in_double(n, p, rounds, root, wanted);
    for (size_t k = 0; k < n * HEADS; k++) {
        const double w = wanted[k / HEADS];
        const bool good = k % HEADS == HEAD ? fabs((double)alone[k] - w) <= votes_bound(n, rounds) * w + (double)FLT_MIN
                                            : untouched(&alone[k]);
        require_votes(good, "votes outside the error bound, or in another head", h);
    }
    memset(h->column, CANARY, sizeof h->column);
    h->a.first_row = h->column[0] + HEAD;
    h->a.column_sums = h->column[1] + HEAD;
    vt_attention_run(&h->a, 0, n, h->scratch.data);
    require_votes(memcmp(alone, h->column[2], sizeof alone) == 0, "votes beside other scores have other bits", h);
    const bool one_vote = rounds == 1 && boost == 1;
    require_votes(!one_vote || memcmp(alone, h->column[1], sizeof alone) == 0, "one vote is no column sum", h);
    require_votes(guarded_intact(&h->scratch), "wrote outside", h);
}

static void check_head(const struct vt_kernels *kernels, enum vt_product product, size_t tokens)
{
    static const uint32_t rounds[] = { 1, 2, 5, 30 };
    static const float boosts[] = { 1, 0, 3.5f };
    static struct head h, plain;
    static float p[MOST * MOST];
    head_new(&h, kernels, product, tokens);
    probabilities(&h, p);
    for (size_t i = 0; i < 12; i++)
        check_votes(&h, p, rounds[i / 3], boosts[i % 3]);
    head_new(&plain, kernels, product, tokens);
    vt_attention_run(&plain.a, 0, tokens, plain.plain_scratch.data);
    require_votes(memcmp(h.out, plain.out, tokens * DIM_V * sizeof(float)) == 0, "votes change the output", &h);
    const struct vt_kernels ref = reference_bundle();
    if (!has_own_arithmetic(&kernels->gemm[product])) {
        head_free(&plain);
        head_new(&plain, &ref, product, tokens);
        probabilities(&plain, p);
        check_votes(&plain, p, 30, 3.5f);
        require_votes(memcmp(h.column, plain.column, sizeof h.column) == 0, "other bits than ref", &h);
    }
    head_free(&plain);
    head_free(&h);
}

static void heads_of_bundle(const struct vt_kernels *kernels)
{
    static const size_t tokens[] = { 1, 2, 13, 17, 64, MOST };
    static const enum vt_product products[] = { VT_PRODUCT_F32, VT_PRODUCT_BF16, VT_PRODUCT_U8S8 };
    for (size_t i = 0; i < 18; i++)
        check_head(kernels, products[i % 3], tokens[i / 3]);
}

static void test_heads(void **state)
{
    (void)state;
    for_each_bundle(heads_of_bundle);
}

/* Where no token is left nothing is read or written. */
static void no_tokens_of_bundle(const struct vt_kernels *kernels)
{
    static struct head h;
    head_new(&h, kernels, VT_PRODUCT_F32, 0);
    memset(h.column, CANARY, sizeof h.column);
    h.a.votes = h.column[0];
    h.a.rounds = 5;
    vt_attention_run(&h.a, 0, 0, h.scratch.data);
    assert_true(untouched(h.column[0]));
    head_free(&h);
}

static void test_no_tokens(void **state)
{
    (void)state;
    for_each_bundle(no_tokens_of_bundle);
}

/* ---- Worked examples ---- */

enum { MOST_BYTES = 8192 };

/* A file whose attention has the logits z[heads][n][n], and the rounds and heads that count. */
struct example {
    size_t n, heads, rounds;
    double z[4 * 64], scale;
    const char *boost, *counting; /* further members of both nodes */
};

/* Rows of queries pick the column of keys that has their logits. */
static void fill_tensors(const struct example *e, float *q, float *k)
{
    const size_t columns = e->heads * e->n;
    for (size_t i = 0; i < e->n; i++)
        for (size_t h = 0; h < e->heads; h++)
            for (size_t j = 0; j < e->n; j++) {
                q[i * columns + h * e->n + j] = i == j;
                k[j * columns + h * e->n + i] = (float)e->z[(h * e->n + i) * e->n + j];
            }
}

static size_t write_file(const struct example *e, char file[MOST_BYTES])
{
    static float tensors[2][4 * 64];
    const size_t columns = e->heads * e->n, bytes = e->n * columns * sizeof(float);
    const int header = snprintf(
        file + 8, MOST_BYTES - 8,
        "{\"__metadata__\":{\"vitrt.graph\":\"{\\\"version\\\":3,\\\"size\\\":[8,8],\\\"nodes\\\":["
        "{\\\"op\\\":\\\"input\\\",\\\"name\\\":\\\"x\\\"},"
        "{\\\"op\\\":\\\"tokens\\\",\\\"name\\\":\\\"q\\\",\\\"weight\\\":\\\"q\\\"},"
        "{\\\"op\\\":\\\"tokens\\\",\\\"name\\\":\\\"k\\\",\\\"weight\\\":\\\"k\\\"},"
        "{\\\"op\\\":\\\"attention\\\",\\\"name\\\":\\\"a\\\",\\\"in\\\":[\\\"q\\\",\\\"k\\\",\\\"k\\\"],"
        "\\\"heads\\\":%zu,\\\"scale\\\":%g},"
        "{\\\"op\\\":\\\"attention_scores\\\",\\\"name\\\":\\\"v\\\",\\\"in\\\":[\\\"a\\\"],"
        "\\\"scores\\\":\\\"votes\\\",\\\"rounds\\\":%zu%s},"
        "{\\\"op\\\":\\\"token_score\\\",\\\"name\\\":\\\"s\\\",\\\"in\\\":[\\\"v\\\"],\\\"score\\\":\\\"votes\\\"%s}],"
        "\\\"outputs\\\":{\\\"votes\\\":\\\"v\\\",\\\"score\\\":\\\"s\\\"}}\"},"
        "\"q\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]},"
        "\"k\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[%zu,%zu]}}",
        e->heads, e->scale, e->rounds, e->boost, e->counting, e->n, columns, bytes, e->n, columns, bytes, 2 * bytes);
    assert_in_range(header, 1, MOST_BYTES - 8 - 2 * (int)bytes);
    for (int i = 0; i < 8; i++)
        file[i] = (char)((uint64_t)header >> 8 * i);
    fill_tensors(e, tensors[0], tensors[1]);
    memcpy(file + 8 + header, tensors[0], bytes);
    memcpy(file + 8 + header + bytes, tensors[1], bytes);
    return 8 + (size_t)header + 2 * bytes;
}

/* votes: [n, heads], or NULL; score: [n]. */
static void run_example(const struct example *e, vitrt_precision precision, float *votes, float *score)
{
    static const char *const names[] = { "score", "votes" };
    char file[MOST_BYTES];
    float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image image = graph_noise(1, pixels);
    const vitrt_buffer buffer = { "votes.safetensors", file, write_file(e, file) };
    const vitrt_session_options options = {
        .threads = 2, .precision = precision, .outputs = names, .output_count = votes ? 2 : 1
    };
    vitrt_output outputs[2] = { { 0 } };
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    assert_ok(vitrt_model_open_memory(&buffer, 1, NULL, &m, &err), &err);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, &image, 1, outputs, &err), &err);
    memcpy(score, outputs[0].data, e->n * sizeof *score);
    if (votes)
        memcpy(votes, outputs[1].data, e->n * e->heads * sizeof *votes);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static void expect_near(const float *found, size_t stride, double factor, const double *wanted, size_t n, double bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(factor * (double)found[i * stride] - wanted[i]) <= bound))
            fail_msg("number %zu is %.7g, expected %.7g", i, factor * (double)found[i * stride], wanted[i]);
}

static const double examples[4][16] = {
    { 0.4, 0.3, 0.2, 0.1, 0.1, 0.5, 0.3, 0.1, 0.2, 0.4, 0.3, 0.1, 0.1, 0.2, 0.3, 0.4 },
    { 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25 },
    { 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 },
    { 0.1, 0.2, 0.1, 0.6, 0.1, 0.3, 0.2, 0.4, 0.2, 0.2, 0.2, 0.4, 0.1, 0.1, 0.1, 0.7 }
};

#define FILTERED  ",\\\"lowest\\\":0.01,\\\"highest\\\":0.7"
#define UNIFORM   ",\\\"boost\\\":1"
#define ROOT_OF_N ""

static struct example four_heads(size_t rounds, const char *boost, const char *counting)
{
    struct example e = { .n = 4, .heads = 4, .rounds = rounds, .scale = 1, .boost = boost, .counting = counting };
    for (size_t i = 0; i < 64; i++)
        e.z[i] = examples[i / 16][i % 16] > 0 ? log(examples[i / 16][i % 16]) : -200;
    return e;
}

/* T2 a to c. The last digit of an example is a unit of 1e-6. */
static void test_examples(void **state)
{
    static const struct {
        size_t rounds;
        const char *boost, *counting;
        double score[4];
    } cases[] = { { 1, UNIFORM, "", { 0.171847, 0.237171, 0.200390, 0.584968 } },
                  { 1, UNIFORM, FILTERED, { 0.166771, 0.285044, 0.221501, 0.391312 } },
                  { 1, ROOT_OF_N, FILTERED, { 0.189737, 0.278927, 0.208806, 0.398246 } },
                  { 1, ",\\\"boost\\\":2", FILTERED, { 0.189737, 0.278927, 0.208806, 0.398246 } },
                  { 5, ROOT_OF_N, FILTERED, { 0.152258, 0.298197, 0.218858, 0.438402 } },
                  { 5, UNIFORM, FILTERED, { 0.152147, 0.298203, 0.218910, 0.438377 } },
                  { 30, ROOT_OF_N, FILTERED, { 0.152080, 0.298339, 0.218887, 0.438647 } },
                  { 30, UNIFORM, FILTERED, { 0.152080, 0.298339, 0.218887, 0.438647 } } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct example e = four_heads(cases[i].rounds, cases[i].boost, cases[i].counting);
        float score[4];
        run_example(&e, VITRT_PRECISION_F32, NULL, score);
        expect_near(score, 1, 1, cases[i].score, 4, 2e-6);
        run_example(&e, VITRT_PRECISION_BF16, NULL, score);
        expect_near(score, 1, 1, cases[i].score, 4, 8e-3); /* of logits up to 2.3, and of probabilities */
    }
}

/* T2 a and b, of single heads. Votes are as many as there are tokens. */
static void test_votes_of_heads(void **state)
{
    static const double uniform[2][4] = { { 0.2, 0.35, 0.275, 0.175 }, { 0.125, 0.2, 0.15, 0.525 } };
    static const double root[2][4] = { { 0.24, 0.34, 0.26, 0.16 }, { 0.12, 0.2, 0.14, 0.54 } };
    float votes[16], score[4];
    (void)state;
    for (int boosted = 0; boosted < 2; boosted++) {
        const struct example e = four_heads(1, boosted ? ROOT_OF_N : UNIFORM, "");
        run_example(&e, VITRT_PRECISION_F32, votes, score);
        expect_near(votes, 4, 0.25, boosted ? root[0] : uniform[0], 4, 1e-6);
        expect_near(votes + 3, 4, 0.25, boosted ? root[1] : uniform[1], 4, 1e-6);
    }
}

/* T2 d: probabilities that are squared and brought to a sum of 1 are those of twice the scale. */
static void test_sharpened(void **state)
{
    static const struct {
        double scale;
        size_t rounds;
        double score[3];
    } cases[] = { { 1, 1, { 0.298188, 0.298188, 0.403623 } },
                  { 2, 1, { 0.303720, 0.303720, 0.392559 } },
                  { 2, 5, { 0.221726, 0.221726, 0.556549 } } };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct example e = { .n = 3,
                                   .heads = 1,
                                   .rounds = cases[i].rounds,
                                   .z = { 0, 1, 0, 1, 0, 0, 0, 0, 2 },
                                   .scale = cases[i].scale,
                                   .boost = UNIFORM,
                                   .counting = "" };
        float score[3];
        run_example(&e, VITRT_PRECISION_F32, NULL, score);
        expect_near(score, 1, 1, cases[i].score, 3, 1e-6);
    }
}

/* T2 e. */
static void test_eight_tokens(void **state)
{
    static const struct {
        size_t rounds;
        double score[8];
    } cases[] = { { 1, { 0.141310, 0.149579, 0.144177, 0.097629, 0.105737, 0.097239, 0.154808, 0.136132 } },
                  { 5, { 0.131153, 0.137934, 0.132379, 0.129363, 0.096677, 0.103835, 0.167680, 0.161571 } },
                  { 30, { 0.131300, 0.137740, 0.132903, 0.129117, 0.096223, 0.103355, 0.168772, 0.161121 } } };
    uint32_t lcg = 12345;
    struct example e = { .n = 8, .heads = 2, .scale = 1, .boost = ROOT_OF_N, .counting = "" };
    (void)state;
    for (size_t i = 0; i < 128; i++) {
        lcg = (1103515245u * lcg + 12345u) & 0x7fffffffu;
        e.z[i] = 4 * (lcg / 2147483648.0);
    }
    for (size_t i = 0; i < 3; i++) {
        float score[8];
        e.rounds = cases[i].rounds;
        run_example(&e, VITRT_PRECISION_F32, NULL, score);
        expect_near(score, 1, 1, cases[i].score, 8, 2e-6);
    }
}

/* ---- Refused ---- */

static void refuse(const char *scores, const char *sentence)
{
    static const char text[] = "{\"version\":3,\"size\":[8,8],\"windows\":[{\"size\":[2,2]}],\"nodes\":["
                               "{\"op\":\"input\",\"name\":\"pixels\"},"
                               "{\"op\":\"conv2d\",\"name\":\"x\",\"in\":[\"pixels\"],\"weight\":\"f32.8x3x2x2\","
                               "\"stride\":[2,2]},"
                               "{\"op\":\"slice\",\"name\":\"few\",\"in\":[\"x\"],\"row_count\":3},"
                               "{\"op\":\"select\",\"name\":\"s\",\"in\":[\"x\"],\"by\":\"even\",\"keep\":0.5},"
                               "{\"op\":\"apply\",\"name\":\"half\",\"in\":[\"x\",\"s\"]},"
                               "{\"op\":\"windows\",\"name\":\"w\",\"in\":[\"x\"],\"windows\":0},"
                               "{\"op\":\"attention\",\"name\":\"a\",\"in\":[\"x\",\"x\",\"x\"],\"heads\":2,"
                               "\"scale\":1},"
                               "{\"op\":\"attention\",\"name\":\"of_few\",\"in\":[\"few\",\"x\",\"x\"],\"heads\":2,"
                               "\"scale\":1},"
                               "{\"op\":\"attention\",\"name\":\"of_half\",\"in\":[\"half\",\"x\",\"x\"],\"heads\":2,"
                               "\"scale\":1},"
                               "{\"op\":\"attention\",\"name\":\"in_windows\",\"in\":[\"w\",\"w\",\"w\"],\"heads\":2,"
                               "\"scale\":1},"
                               "{\"op\":\"attention_scores\",\"name\":\"good\",\"in\":[\"a\"],\"scores\":\"votes\","
                               "\"rounds\":5},"
                               "{\"op\":\"attention_scores\",\"name\":\"bad\",%s}],"
                               "\"outputs\":{\"good\":\"good\",\"bad\":\"bad\"}}";
    struct graph g;
    snprintf(g.text, sizeof g.text, text, scores);
    graph_refused(&g, VITRT_EFORMAT, sentence);
}

static void test_refused(void **state)
{
    (void)state;
    refuse("\"in\":[\"x\"],\"scores\":\"votes\"", "node bad: its input x is no attention");
    refuse("\"in\":[\"of_few\"],\"scores\":\"votes\",\"rounds\":0",
           "node bad: it has 0 rounds of votes, expected 1 to 1000");
    refuse("\"in\":[\"of_few\"],\"scores\":\"votes\",\"rounds\":1001",
           "node bad: it has 1001 rounds of votes, expected 1 to 1000");
    refuse("\"in\":[\"of_few\"],\"scores\":\"votes\",\"rounds\":4294967297", "node bad: rounds is 4294967297");
    refuse("\"in\":[\"of_few\"],\"scores\":\"votes\",\"boost\":-1", "node bad: boost is -1");
    refuse("\"in\":[\"of_few\"],\"scores\":\"votes\",\"boost\":1e39", "node bad: boost is 1e39");
    refuse("\"in\":[\"a\"],\"scores\":\"first_row\",\"rounds\":2",
           "node bad: \"rounds\" and \"boost\" are of scores \"votes\" alone");
    refuse("\"in\":[\"a\"],\"scores\":\"column_sums\",\"boost\":2",
           "node bad: \"rounds\" and \"boost\" are of scores \"votes\" alone");
    refuse("\"in\":[\"a\"],\"scores\":\"votes\",\"rounds\":6",
           "node bad: a gives other votes in node good, of 5 rounds and the boost 0");
    refuse("\"in\":[\"a\"],\"scores\":\"votes\",\"rounds\":5,\"boost\":2",
           "node bad: a gives other votes in node good");
    refuse("\"in\":[\"a\"],\"scores\":\"votes\",\"rounds\":5", "node bad: it is the same as node good");
    refuse("\"in\":[\"of_few\"],\"scores\":\"votes\"", "node bad: number of rows of an input is 3, expected 16");
    refuse("\"in\":[\"of_half\"],\"scores\":\"votes\"",
           "node bad: its inputs have the rows that different token maps leave");
    refuse("\"in\":[\"in_windows\"],\"scores\":\"votes\"",
           "node bad: the rows of its input in_windows are in the order of windows, expected a map's");
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),          cmocka_unit_test(test_no_tokens), cmocka_unit_test(test_examples),
        cmocka_unit_test(test_votes_of_heads), cmocka_unit_test(test_sharpened), cmocka_unit_test(test_eight_tokens),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("test_attention_votes", tests, NULL, NULL);
}
