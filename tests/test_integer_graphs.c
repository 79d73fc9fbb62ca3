/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token nodes in integers alone, one by one: what each makes of what it reads, both as outputs of one session, against
 * its definition in double precision or, for which rows stay, against the rules on floats. So each node is held to its
 * own roundings.
 */
#include "graph_text.h"

#include "token_map.h"
#include "token_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 64, IMAGES = 4 };

static const char *const names[] = { "embed", "qkv",   "row",   "values", "stream", "sum", "x",       "sizes", "log",
                                     "proj",  "attn2", "sums",  "row2",   "votes",  "y",   "few",     "mean",  "means",
                                     "z",     "pool",  "early", "late",   "canvas", "up",  "classes", "places" };
enum { OUTPUTS = sizeof names / sizeof *names };

struct matrix {
    const float *at;
    size_t rows, columns;
};

static vitrt_output outputs[OUTPUTS];
static size_t image; /* whose rows are looked at */

static struct matrix of(const char *name)
{
    for (size_t i = 0; i < OUTPUTS; i++)
        if (strcmp(names[i], name) == 0) {
            const size_t *rows = outputs[i].offsets + image;
            return (struct matrix){ (const float *)outputs[i].data + rows[0] * outputs[i].columns, rows[1] - rows[0],
                                    outputs[i].columns };
        }
    fail_msg("there is no output %s", name);
    return (struct matrix){ NULL, 0, 0 };
}

static const float *row(struct matrix m, size_t i)
{
    assert_true(i < m.rows);
    return m.at + i * m.columns;
}

static void expect_row(const char *what, const float *found, const float *wanted, size_t columns)
{
    if (memcmp(found, wanted, columns * sizeof *found))
        fail_msg("image %zu: a row of %s is another one", image, what);
}

static void expect_close(const char *what, double found, double wanted, double bound)
{
    if (!(fabs(found - wanted) <= bound))
        fail_msg("image %zu: %s is %g, expected %g within %g", image, what, found, wanted, bound);
}

/* ---- Rows that stay ---- */

static struct vt_candidates candidates_of(size_t rows, size_t protect)
{
    static uint64_t scratch[2 * MOST_ROWS];
    assert_true(rows <= MOST_ROWS);
    return (struct vt_candidates){ rows, protect, scratch };
}

/* y has the rows of x that stay, in their order. */
static void expect_rows_left(const char *name, struct matrix y, struct matrix x, const uint8_t *stay)
{
    size_t count = 0;
    for (size_t i = 0; i < x.rows; i++)
        if (stay[i])
            expect_row(name, row(y, count++), row(x, i), x.columns);
    assert_int_equal(count, y.rows);
}

/* Of a row's columns as the mean of groups. */
static double cosine(const float *a, const float *b, size_t columns, size_t groups)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t c = 0; c < columns / groups; c++) {
        double x = 0, y = 0;
        for (size_t g = 0; g < groups; g++) {
            x += (double)a[g * columns / groups + c];
            y += (double)b[g * columns / groups + c];
        }
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    return dot / sqrt(aa * bb);
}

/* ---- Nodes ---- */

static void check_sampling(void)
{
    const struct matrix scores = of("values"), p = of("row"), qkv = of("qkv");
    uint8_t stay[MOST_ROWS];
    for (size_t i = 0; i < scores.rows; i++) {
        double squares = 0;
        for (size_t c = 16; c < 24; c++)
            squares += (double)row(qkv, i)[c] * (double)row(qkv, i)[c];
        const double wanted = ((double)row(p, i)[0] + (double)row(p, i)[1]) * sqrt(squares);
        expect_close("a score of values", (double)scores.at[i], wanted, 1e-3 * wanted); /* lengths are whole words */
    }
    const struct vt_candidates c = candidates_of(scores.rows, 1);
    vt_stay_sampled(&c, scores.at, 12, false, stay);
    expect_rows_left("stream", of("stream"), of("embed"), stay);
}

static size_t match(struct matrix sum, struct vt_token_entry *map)
{
    float best[MOST_ROWS / 2];
    uint32_t to[MOST_ROWS / 2];
    for (size_t i = 0; i < (sum.rows + 1) / 2; i++) {
        best[i] = -INFINITY;
        for (size_t k = 1; k < sum.rows && i; k += 2) {
            const float similar = (float)cosine(row(sum, 2 * i), row(sum, k), sum.columns, 2);
            if (similar > best[i]) {
                best[i] = similar;
                to[i] = (uint32_t)k;
            }
        }
    }
    const struct vt_candidates c = candidates_of(sum.rows, 1);
    return vt_map_of_match(&c, best, to, 3, NULL, map);
}

static void check_matching(void)
{
    const struct matrix sum = of("sum"), x = of("x"), sizes = of("sizes"), logs = of("log");
    const double unit = 3e-5;
    struct vt_token_entry map[MOST_ROWS];
    assert_int_equal(match(sum, map), x.rows);
    int32_t e = 0;
    for (size_t i = 0; i < x.rows; i++) {
        double mean[8] = { 0 };
        const int32_t first = e;
        for (; e < map[i].end; e++)
            for (size_t c = 0; c < 8; c++)
                mean[c] += (double)map[e].weight * (double)row(sum, (size_t)map[e].source)[c];
        for (size_t c = 0; c < 8; c++)
            expect_close("a mean", (double)row(x, i)[c], mean[c], 0.51 * unit);
        assert_true(sizes.at[i] == (float)(e - first));
        expect_close("a logarithm", (double)logs.at[i], log(e - first), 2e-7);
    }
}

static void check_votes(void)
{
    const struct matrix sums = of("sums"), first = of("row2"), votes = of("votes"), mean = of("mean");
    const struct vt_head_scores s = { sums.at, 2, sums.rows, 2 };
    const struct vt_vote_options o = { .boost = 0, .lowest = 0.01f, .highest = 0.7f };
    float scratch[2 * MOST_ROWS], wanted[MOST_ROWS];
    vt_score_votes(&s, first.at, &o, scratch, wanted);
    for (size_t i = 0; i < votes.rows; i++) {
        expect_close("a vote", (double)votes.at[i], (double)wanted[i], 1e-6);
        expect_close("a mean of scores", (double)mean.at[i], ((double)row(first, i)[0] + (double)row(first, i)[1]) / 2,
                     0x1p-23);
    }
}

/* The S-stage and the highest votes. */
static void check_top(void)
{
    const struct matrix votes = of("votes"), proj = of("proj");
    const size_t n = votes.rows - 1, half = n / 2;
    const struct vt_candidates c = candidates_of(votes.rows, 1);
    uint64_t keys[2 * MOST_ROWS], scratch[2 * MOST_ROWS];
    uint32_t rows[MOST_ROWS];
    float best[MOST_ROWS];
    uint8_t stay[MOST_ROWS];
    memset(stay, 1, sizeof stay);
    vt_rank_scores(n, votes.at + 1, 1, false, keys, scratch);
    for (size_t i = 0; i < n; i++)
        rows[i] = 1 + (uint32_t)(keys[i] & UINT32_MAX);
    for (size_t i = 0; i < half; i++) {
        best[i] = -2;
        for (size_t k = half; k < n; k++) {
            const float similar = (float)cosine(row(proj, rows[i]), row(proj, rows[k]), 8, 1);
            best[i] = similar > best[i] ? similar : best[i];
        }
    }
    vt_leave_similar(half, best, rows, 2, scratch, stay);
    vt_stay_top(&c, votes.at, vt_keep_count(n, 0.7, false), stay);
    expect_rows_left("y", of("y"), of("attn2"), stay);
    expect_rows_left("few", of("few"), of("sizes"), stay);
    expect_rows_left("means", of("means"), of("mean"), stay);
}

static void check_fusing(void)
{
    const struct matrix mean = of("mean"), from = of("attn2"), z = of("z");
    const struct vt_candidates c = candidates_of(mean.rows, 1);
    double fused[8] = { 0 };
    uint8_t stay[MOST_ROWS];
    memset(stay, 1, sizeof stay);
    vt_stay_top(&c, mean.at, vt_keep_count(mean.rows - 1, 0.5, false), stay);
    for (size_t i = 0; i < from.rows; i++)
        for (size_t k = 0; k < 8 && !stay[i]; k++)
            fused[k] += (double)mean.at[i] * (double)row(from, i)[k];
    for (size_t k = 0; k < 8; k++)
        expect_close("a fused row", (double)row(z, z.rows - 1)[k], fused[k], 0.51e-5);
    expect_rows_left("z", (struct matrix){ z.at, z.rows - 1, z.columns }, from, stay);
}

static void check_pool(void)
{
    const struct matrix y = of("y"), few = of("few"), pool = of("pool");
    for (size_t k = 0; k < 8; k++) {
        double sum = 0, total = 0;
        for (size_t i = 1; i < y.rows; i++) {
            sum += (double)few.at[i] * (double)row(y, i)[k];
            total += (double)few.at[i];
        }
        expect_close("a weighted mean", (double)pool.at[k], sum / total, 0.51e-5);
    }
}

/* ---- DToP and maps of classes ---- */

static void find_unsure(struct matrix logits, uint8_t *stay)
{
    float confidence[MOST_ROWS];
    uint32_t class_of[MOST_ROWS];
    for (size_t i = 0; i < logits.rows; i++) {
        double sum = 0;
        class_of[i] = 0;
        for (uint32_t k = 1; k < 4; k++)
            class_of[i] = row(logits, i)[k] > row(logits, i)[class_of[i]] ? k : class_of[i];
        for (size_t k = 0; k < 4; k++)
            sum += exp((double)row(logits, i)[k] - (double)row(logits, i)[class_of[i]]);
        confidence[i] = (float)(1 / sum);
    }
    const struct vt_candidates c = candidates_of(logits.rows, 3);
    vt_stay_unsure(&c, confidence, class_of, 0.26f, 1, stay);
}

/* Rows of both heads in the unit of the second, which is twice as large. */
static size_t check_canvas(void)
{
    const struct matrix early = of("early"), late = of("late"), canvas = of("canvas"), places = of("places");
    uint8_t stay[MOST_ROWS];
    size_t count = 0;
    find_unsure(early, stay);
    for (size_t i = 0; i < canvas.rows; i++) {
        if (stay[i])
            expect_row("canvas", row(canvas, i), row(late, count), 4);
        for (size_t k = 0; k < 4 && !stay[i]; k++)
            expect_close("a canvas", (double)row(canvas, i)[k], (double)row(early, i)[k], 1.01e-5);
        count += stay[i];
        assert_true(places.at[i] == (stay[i] ? (float)count : 0));
    }
    assert_int_equal(count, late.rows);
    return canvas.rows - count;
}

/* A map of 4 x 4 at twice its size: halves are a quarter away from the nearest. */
static void check_classes(void)
{
    const struct matrix canvas = of("canvas"), up = of("up"), classes = of("classes");
    for (size_t i = 0; i < 64; i++) {
        const double y = fmin(fmax(((double)(i / 8) - 0.5) / 2, 0), 3),
                     x = fmin(fmax(((double)(i % 8) - 0.5) / 2, 0), 3);
        const size_t top = (size_t)y, left = (size_t)x, down = top < 3 ? 1 : 0, right = left < 3 ? 1 : 0;
        size_t most = 0;
        for (size_t k = 0; k < 4; k++) {
            double sum = 0;
            for (size_t c = 0; c < 4; c++)
                sum += (c / 2 ? y - (double)top : 1 - y + (double)top) *
                       (c % 2 ? x - (double)left : 1 - x + (double)left) *
                       (double)row(canvas, 3 + (top + c / 2 * down) * 4 + left + c % 2 * right)[k];
            expect_close("an upsampled number", (double)row(up, i)[k], sum, 1.01e-5);
            most = row(up, i)[k] > row(up, i)[most] ? k : most;
        }
        assert_true(classes.at[i] == (float)most);
    }
}

static void test_nodes(void **state)
{
    const struct graph g = graph_load("tokens_integers");
    const vitrt_session_options options = { .threads = 2,
                                            .precision = VITRT_PRECISION_I8_STRICT,
                                            .max_batch = IMAGES,
                                            .outputs = names,
                                            .output_count = OUTPUTS };
    struct counting counting;
    float pixels[IMAGES][GRAPH_SIDE * GRAPH_SIDE * 3];
    vitrt_image images[IMAGES];
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    size_t left = 0;
    (void)state;
    for (size_t i = 0; i < IMAGES; i++)
        images[i] = graph_noise((uint32_t)i + 1, pixels[i]);
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, images, IMAGES, outputs, &err), &err);
    for (image = 0; image < IMAGES; image++) {
        check_sampling();
        check_matching();
        check_votes();
        check_top();
        check_fusing();
        check_pool();
        left += check_canvas();
        check_classes();
    }
    assert_in_range(left, 1, IMAGES * 16 - 1);
    vitrt_session_free(s);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* ---- Refused ---- */

/* An output of the graph in which `from` has become `to`. */
static void expect_refused(const char *output, const char *from, const char *to, const char *sentence)
{
    const vitrt_session_options options = {
        .threads = 1, .precision = VITRT_PRECISION_I8_STRICT, .outputs = &output, .output_count = 1
    };
    struct graph g = graph_load("tokens_integers");
    struct counting counting;
    vitrt_model *m;
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    graph_replace(&g, from, to);
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    const vitrt_status st = vitrt_session_create(m, &options, &s, &err);
    if (!strstr(err.message, sentence))
        fail_msg("\"%s\" does not say \"%s\"", err.message, sentence);
    assert_int_equal(st, VITRT_EUNSUPPORTED);
    assert_null(s);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("stream", "\"in\": [\"values\"], \"by\": \"samples\"",
                   "\"in\": [[\"qkv\", 0, 1]], \"by\": \"samples\"",
                   "node sampled has no integer-only form: it selects by numbers that are no scores");
    expect_refused("log", "[\"sizes\"], \"score\"", "[[\"x\", 0, 1]], \"score\"",
                   "node log has no integer-only form: the unit of the numbers that it reads is no power of 2");
    expect_refused("mean", "[\"row2\"], \"score\"", "[\"attn2\"], \"score\"",
                   "node mean has no integer-only form: it does not read scores of attention");
    expect_refused("values", "[\"row\", [\"qkv\", 16, 8]], \"score\"", "[\"row\", \"row\"], \"score\"",
                   "node values has no integer-only form: the values that it reads are no words");
    expect_refused("votes", "\"lowest\": 0.01", "\"boost\": 40000", "such a boost");
    expect_refused("y", "\"votes\", \"proj\"], \"by\"", "\"votes\", \"sums\"], \"by\"",
                   "node top has no integer-only form: the features that it compares are no words");
    expect_refused("x", "[\"sum\"], \"by\": \"match\"", "[\"sum\", [\"sum\", 0, 1]], \"by\": \"match\"",
                   "node pairs has no integer-only form: the sizes, or the importance, that it reads are no scores");
    expect_refused("z", "[\"mean\"], \"by\"", "[\"votes\"], \"by\"",
                   "node fused has no integer-only form: it fuses rows by something else than the mean");
    expect_refused("z", "[\"attn2\", \"fused\"]", "[\"mean\", \"fused\"]",
                   "node z has no integer-only form: it fuses scores");
    expect_refused("logits", "[\"y\", \"few\"]", "[\"y\", [\"y\", 0, 1]]",
                   "node pool has no integer-only form: its weights are no scores of tokens");
    expect_refused("attn2", "\"proj\", \"log\"]", "\"proj\", [\"x\", 0, 1]]",
                   "node attn2 has no integer-only form: the bias of its keys is no score of tokens");
    expect_refused("late", "[\"early\"], \"by\"", "[\"values\"], \"by\"",
                   "node unsure has no integer-only form: the logits that it reads are no words");
    expect_refused("up", "{\"op\": \"upsample\", \"name\": \"up\", \"in\": [\"map\"]}",
                   "{\"op\": \"head_combine\", \"name\": \"up\", \"in\": [\"values\", \"values\"]}",
                   "node up has no integer-only form: it reads scores of tokens, which are no words");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_nodes), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
