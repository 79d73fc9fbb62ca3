/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention, first one head (attention.h) of every bundle against double precision: outputs, what it gives of the
 * probabilities, pieces, exact cases. Then the same numbers out of a session: a model's own attention with scores asked
 * for, in batches with a failed image.
 */
#include "check.h"

#include "alloc.h"
#include "attention.h"
#include "session.h"
#include "support.h"

struct shape {
    size_t queries, keys, dim, dim_v;
};

/* 1x1; a ViT's and its class token's; Swin's window; tokens that look at another set; sizes that are no multiple of
 * anything; more keys than one panel by one; values wider and narrower than keys. */
static const struct shape shapes[] = { { 1, 1, 1, 1 },     { 1, 1, 64, 64 },   { 197, 197, 64, 64 }, { 1, 197, 64, 64 },
                                       { 49, 49, 32, 32 }, { 50, 13, 24, 40 }, { 7, 101, 40, 24 },   { 2, 33, 3, 65 },
                                       { 31, 31, 17, 5 },  { 13, 2, 80, 1 },   { 3, 65, 2, 33 } };
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* BIASED: with a bias and the mask of a shifted window. ONE_MASK: with a bias and one mask for all queries. LARGE:
 * products of some thousands, so that nearly every row has one probability that is 1. */
enum content { RANDOM, BIASED, ONE_MASK, TINY, SIGNED_ZEROS, EQUAL_ROWS, LARGE, CONTENTS };

/* ---- One call with everything around it ---- */

enum { GAP = 3, HEADS = 3, HEAD = 1 }; /* between rows; scores are a column of several */

struct call {
    struct shape shape;
    uint64_t seed;
    struct guarded queries, tokens, bias, mask, out, first_row, column_sums, scratch;
    struct vt_attention a;
};

static size_t element_bytes(bool bf16)
{
    return bf16 ? sizeof(vt_bf16) : sizeof(float);
}

static void fill_row(enum content content, size_t n, float *x, uint64_t seed)
{
    static const enum fill fills[CONTENTS] = {
        [RANDOM] = FILL_UNIFORM,     [BIASED] = FILL_UNIFORM,     [ONE_MASK] = FILL_UNIFORM, [TINY] = FILL_TINY,
        [SIGNED_ZEROS] = FILL_ZEROS, [EQUAL_ROWS] = FILL_UNIFORM, [LARGE] = FILL_UNIFORM
    };
    static const float factors[CONTENTS] = {
        [RANDOM] = 3, [BIASED] = 3, [ONE_MASK] = 3, [TINY] = 1, [SIGNED_ZEROS] = 1, [EQUAL_ROWS] = 1, [LARGE] = 100
    };
    fill_floats(fills[content], n, x, seed);
    for (size_t i = 0; i < n; i++)
        x[i] *= factors[content];
}

/* Rows that touch the guards, in the product's type; what lies between them is NaN, so that using it shows. */
static void *new_rows(struct guarded *g, enum vt_product product, enum content content, size_t rows, size_t columns,
                      enum place place, uint64_t seed)
{
    const bool bf16 = product == VT_PRODUCT_BF16;
    const size_t ld = columns + GAP, count = (rows - 1) * ld + columns;
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = NAN;
    for (size_t i = 0; i < rows; i++)
        fill_row(content, columns, x + i * ld, content == EQUAL_ROWS ? seed : seed + i);
    void *data = guarded_new(g, count * element_bytes(bf16), place);
    const struct vt_kernels ref = reference_bundle();
    if (bf16)
        ref.to_bf16(count, x, data);
    else
        memcpy(data, x, count * sizeof *x);
    free(x);
    return data;
}

enum { MASK_ROWS = 4 };

static void add_bias_and_mask(struct call *c, size_t mask_rows, enum place place)
{
    static uint8_t rows[256];
    const struct shape s = c->shape;
    float *bias = new_rows(&c->bias, VT_PRODUCT_F32, RANDOM, s.queries, s.keys, place, c->seed + 700);
    float *mask = new_rows(&c->mask, VT_PRODUCT_F32, RANDOM, mask_rows, s.keys, place, c->seed + 900);
    c->a.bias = bias;
    c->a.mask = mask;
    c->a.ld_bias = c->a.ld_mask = s.keys + GAP;
    c->a.mask_rows = mask_rows > 1 ? rows : NULL;
    assert_in_range(s.queries, 1, sizeof rows);
    for (size_t i = 0; i < s.queries; i++)
        rows[i] = (uint8_t)(i * 7 / 3 % MASK_ROWS);
    for (size_t i = 0; i < mask_rows; i++)
        for (size_t k = 0; k < s.keys; k++)
            mask[i * c->a.ld_mask + k] = mask[i * c->a.ld_mask + k] > 0.5f ? -100.0f : 0.0f;
}

/* q, k and v are ranges of columns of one matrix where there are as many queries as keys. */
static struct call new_call(const struct vt_kernels *kernels, enum vt_product product, bool out_is_bf16,
                            enum content content, struct shape s, enum place place)
{
    struct call c = { .shape = s, .seed = 1000 * (uint64_t)content };
    const size_t columns = 2 * s.dim + s.dim_v, bytes = element_bytes(product == VT_PRODUCT_BF16);
    const size_t ldo = s.dim_v + GAP, out_bytes = ((s.queries - 1) * ldo + s.dim_v) * element_bytes(out_is_bf16);
    const size_t score_bytes = s.keys * HEADS * sizeof(float);
    char *tokens = new_rows(&c.tokens, product, content, s.keys, columns, place, c.seed);
    char *others = new_rows(&c.queries, product, content, s.queries, s.dim, place, c.seed + 500);
    const bool self = s.queries == s.keys;
    c.a = (struct vt_attention){ .kernels = kernels,
                                 .product = product,
                                 .queries = s.queries,
                                 .keys = s.keys,
                                 .dim = s.dim,
                                 .dim_v = s.dim_v,
                                 .q = self ? tokens : others,
                                 .k = tokens + s.dim * bytes,
                                 .v = tokens + 2 * s.dim * bytes,
                                 .ldq = self ? columns + GAP : s.dim + GAP,
                                 .ldk = columns + GAP,
                                 .ldv = columns + GAP,
                                 .scale = (float)(1 / sqrt((double)s.dim)),
                                 .out = guarded_new(&c.out, out_bytes, place),
                                 .ldo = ldo,
                                 .to = out_is_bf16 ? VT_TO_BF16 : VT_TO_F32,
                                 .first_row = (float *)guarded_new(&c.first_row, score_bytes, place) + HEAD,
                                 .column_sums = (float *)guarded_new(&c.column_sums, score_bytes, place) + HEAD,
                                 .ld_scores = HEADS };
    guarded_new(&c.scratch, vt_attention_scratch_bytes(kernels, product, s.keys, s.dim, s.dim_v, false), place);
    if (content == BIASED || content == ONE_MASK)
        add_bias_and_mask(&c, content == BIASED ? MASK_ROWS : 1, place);
    return c;
}

static void free_call(struct call *c)
{
    guarded_free(&c->queries);
    guarded_free(&c->tokens);
    if (c->a.bias) {
        guarded_free(&c->bias);
        guarded_free(&c->mask);
    }
    guarded_free(&c->out);
    guarded_free(&c->first_row);
    guarded_free(&c->column_sums);
    guarded_free(&c->scratch);
}

static void require_call(bool ok, const char *what, const struct call *c)
{
    const struct vt_kernels *k = c->a.kernels;
    if (!ok)
        print_error("values of %zu columns, output %s\n", c->shape.dim_v, c->a.to == VT_TO_BF16 ? "bf16" : "f32");
    require(ok, what, k->bundle, k->gemm[c->a.product].name, c->shape.queries, c->shape.keys, c->shape.dim, c->seed);
}

/* ---- Reference ---- */

static double element(const void *x, bool bf16, size_t i)
{
    return bf16 ? float_of_bits((uint32_t)((const vt_bf16 *)x)[i] << 16) : ((const float *)x)[i];
}

static double operand(const struct vt_attention *a, const void *x, size_t i)
{
    return element(x, a->product == VT_PRODUCT_BF16, i);
}

static const double bf16_roundoff = 0x1p-8; /* as unit_roundoff, of 8 bits */

/* Scores of query i over their largest, in t[keys], and by how much the argument of each exponential may be off
 * together with its own error, in error[keys]. A score is a chain of dim products that are rounded or, in bf16, flushed
 * to zero (kernels.h), then a bias is added and a mask over the scale, which is rounded, too. The exponential is
 * within 2 ulp, which are at most 4 roundings, of an argument that is rounded twice; that of bf16 says its own bound.
 * That all scores are taken over a maximum that is off, too, cancels. */
static void exponents(const struct vt_attention *a, size_t i, double *t, double *error)
{
    const double scale = (double)a->scale;
    double largest = -INFINITY, worst = 0;
    for (size_t k = 0; k < a->keys; k++) {
        double magnitude = 0;
        t[k] = 0;
        for (size_t d = 0; d < a->dim; d++) {
            const double product = operand(a, a->q, i * a->ldq + d) * operand(a, a->k, k * a->ldk + d);
            t[k] += scale * product;
            magnitude += scale * fabs(product);
        }
        const double bias = a->bias ? scale * (double)a->bias[i * a->ld_bias + k] : 0;
        const size_t mask_row = a->mask_rows ? a->mask_rows[i] : 0;
        const double mask = a->mask ? (double)a->mask[mask_row * a->ld_mask + k] : 0;
        t[k] += bias + mask;
        magnitude += fabs(bias) + fabs(mask);
        error[k] = gamma_of(a->dim + 1 + (a->bias ? 3 : 0)) * magnitude;
        error[k] += (double)(a->dim + 1) * scale * (double)FLT_MIN;
        worst = fmax(worst, error[k]);
        largest = fmax(largest, t[k]);
    }
    for (size_t k = 0; k < a->keys; k++) {
        t[k] -= largest;
        const double argument = fabs(t[k]) + error[k] + worst;
        if (a->product == VT_PRODUCT_BF16)
            error[k] += 4e-6 + 0x1p-23 * argument + 0x1p-23 * (fabs(largest) + worst);
        else
            error[k] += (2 * argument + 4) * unit_roundoff;
    }
}

/* Probabilities of query i and bounds on their errors. The sum of exponentials is over 16 lanes, then over the lanes;
 * its inverse and the product with it are rounded; in bf16 the exponentials are, too. Denormal ones are 0. */
static void probabilities(const struct vt_attention *a, size_t i, double *p, double *error)
{
    const double roundings = gamma_of(a->keys / 16 + 5 + 2) + (a->product == VT_PRODUCT_BF16 ? bf16_roundoff : 0);
    double sum = 0, least = 0, most = 0;
    exponents(a, i, p, error);
    for (size_t k = 0; k < a->keys; k++) {
        sum += exp(p[k]);
        least += exp(p[k] - error[k]);
        most += exp(p[k] + error[k]);
    }
    for (size_t k = 0; k < a->keys; k++) {
        const double low = exp(p[k] - error[k]) / most * (1 - roundings);
        const double high = exp(p[k] + error[k]) / least * (1 + roundings);
        p[k] = exp(p[k]) / sum;
        error[k] = fmax(p[k] - low, high - p[k]) + 2 * (double)FLT_MIN;
    }
}

/* A chain of keys products, which may be rounded to bf16. */
static bool output_close(const struct vt_attention *a, size_t i, const double *p, const double *error)
{
    for (size_t d = 0; d < a->dim_v; d++) {
        double sum = 0, bound = (double)(a->keys + 2) * (double)FLT_MIN;
        for (size_t k = 0; k < a->keys; k++) {
            const double v = operand(a, a->v, k * a->ldv + d);
            sum += p[k] * v;
            bound += (error[k] + (p[k] + error[k]) * gamma_of(a->keys + 1)) * fabs(v);
        }
        if (a->to == VT_TO_BF16)
            bound += (fabs(sum) + bound) * bf16_roundoff + (double)FLT_MIN;
        if (!(fabs(element(a->out, a->to == VT_TO_BF16, i * a->ldo + d) - sum) <= bound))
            return false;
    }
    return true;
}

/* ---- Checks of one call ---- */

static void check_numbers(const struct call *c)
{
    const struct vt_attention *a = &c->a;
    double *p = calloc(4 * a->keys, sizeof *p), *error = p + a->keys, *sums = error + a->keys, *bounds = sums + a->keys;
    assert_non_null(p);
    for (size_t i = 0; i < a->queries; i++) {
        probabilities(a, i, p, error);
        require_call(output_close(a, i, p, error), "output outside the error bound", c);
        for (size_t k = 0; k < a->keys; k++) {
            const bool close = i > 0 || fabs((double)a->first_row[k * HEADS] - p[k]) <= error[k];
            require_call(close, "first row outside the error bound", c);
            sums[k] += p[k];
            bounds[k] += error[k] + gamma_of(a->queries) * (p[k] + error[k]);
        }
    }
    for (size_t k = 0; k < a->keys; k++)
        require_call(fabs((double)a->column_sums[k * HEADS] - sums[k]) <= bounds[k], "sum outside the error bound", c);
    free(p);
}

static void check_surroundings(const struct call *c)
{
    const size_t row = c->a.ldo * element_bytes(c->a.to == VT_TO_BF16),
                 gap = GAP * element_bytes(c->a.to == VT_TO_BF16);
    bool untouched_gaps = true;
    for (size_t i = 1; i < c->shape.queries; i++)
        for (size_t b = 0; b < gap; b++)
            untouched_gaps &= c->out.data[i * row - gap + b] == CANARY;
    for (size_t k = 0; k < c->shape.keys * HEADS; k++)
        if (k % HEADS != HEAD)
            untouched_gaps &= untouched((float *)(void *)c->first_row.data + k) &&
                              untouched((float *)(void *)c->column_sums.data + k);
    require_call(untouched_gaps, "wrote between rows or into another head's scores", c);
    const bool intact = guarded_intact(&c->out) && guarded_intact(&c->scratch) && guarded_intact(&c->first_row) &&
                        guarded_intact(&c->column_sums);
    require_call(intact, "wrote outside", c);
}

/* The same without scores, in pieces of `rows`, last one first. */
static void check_pieces(const struct call *c, size_t rows)
{
    struct vt_attention a = c->a;
    const size_t pieces = (a.queries + rows - 1) / rows;
    unsigned char *whole = malloc(c->out.data_bytes);
    assert_non_null(whole);
    memcpy(whole, c->out.data, c->out.data_bytes);
    memset(c->out.data, CANARY, c->out.data_bytes);
    a.first_row = a.column_sums = NULL;
    for (size_t i = pieces; i-- > 0;)
        vt_attention_run(&a, i * rows, i + 1 < pieces ? (i + 1) * rows : a.queries, c->scratch.data);
    require_call(memcmp(whole, c->out.data, c->out.data_bytes) == 0, "pieces give other bits", c);
    free(whole);
}

/* Each of the scores without the other. */
static void check_scores_alone(const struct call *c)
{
    const size_t bytes = c->column_sums.data_bytes;
    unsigned char *both = malloc(2 * bytes);
    assert_non_null(both);
    memcpy(both, c->first_row.data, bytes);
    memcpy(both + bytes, c->column_sums.data, bytes);
    for (int sums = 0; sums < 2; sums++) {
        struct vt_attention a = c->a;
        *(sums ? &a.first_row : &a.column_sums) = NULL;
        memset(c->first_row.data, CANARY, bytes);
        memset(c->column_sums.data, CANARY, bytes);
        vt_attention_run(&a, 0, a.queries, c->scratch.data);
        require_call(memcmp(sums ? c->column_sums.data : c->first_row.data, both + (sums ? bytes : 0), bytes) == 0,
                     "scores alone have other bits", c);
        require_call(untouched(sums ? c->a.first_row : c->a.column_sums), "wrote scores that nobody asked for", c);
    }
    memcpy(c->first_row.data, both, bytes);
    memcpy(c->column_sums.data, both + bytes, bytes);
    free(both);
}

static void check_same_as_ref(const struct call *c, enum content content, enum place place)
{
    const struct vt_kernels ref = reference_bundle();
    struct call other = new_call(&ref, c->a.product, c->a.to == VT_TO_BF16, content, c->shape, place);
    vt_attention_run(&other.a, 0, c->shape.queries, other.scratch.data);
    require_call(memcmp(c->out.data, other.out.data, c->out.data_bytes) == 0, "other bits than ref", c);
    const bool same = memcmp(c->first_row.data, other.first_row.data, c->first_row.data_bytes) == 0 &&
                      memcmp(c->column_sums.data, other.column_sums.data, c->first_row.data_bytes) == 0;
    require_call(same, "other scores than ref", c);
    free_call(&other);
}

static void check_call(const struct vt_kernels *kernels, enum vt_product product, bool out_is_bf16,
                       enum content content, struct shape s, enum place place)
{
    struct call c = new_call(kernels, product, out_is_bf16, content, s, place);
    const size_t mr = kernels->gemm[product].mr;
    vt_attention_run(&c.a, 0, 0, c.scratch.data); /* no rows: nothing happens */
    require_call(c.out.data[0] == CANARY, "wrote without rows", &c);
    vt_attention_run(&c.a, 0, s.queries, c.scratch.data);
    check_numbers(&c);
    check_surroundings(&c);
    check_scores_alone(&c);
    if (!has_own_arithmetic(&kernels->gemm[product]))
        check_same_as_ref(&c, content, place);
    if (content == RANDOM || content == BIASED || content == ONE_MASK) {
        check_pieces(&c, 1 + s.queries / 2);
        check_pieces(&c, mr + 1);
        if (s.queries < 64) /* or it takes long: each piece packs all keys */
            check_pieces(&c, 1);
    }
    free_call(&c);
}

static void numbers_of_bundle(const struct vt_kernels *kernels)
{
    for (size_t i = 0; i < SHAPES; i++) {
        for (enum content content = 0; content < CONTENTS; content++) {
            const enum place place = (i + content) % PLACES;
            if (shapes[i].queries > 100 && content != RANDOM && content != LARGE)
                continue; /* nothing that the small ones do not see */
            check_call(kernels, VT_PRODUCT_F32, false, content, shapes[i], place);
            check_call(kernels, VT_PRODUCT_BF16, false, content, shapes[i], place);
            check_call(kernels, VT_PRODUCT_BF16, true, content, shapes[i], place);
        }
    }
}

static void test_numbers(void **state)
{
    (void)state;
    for_each_bundle(numbers_of_bundle);
}

/* For statistics: a sum of exponentials that is added up in another order. */
static void check_statistics(enum content content, struct shape s)
{
    const struct vt_kernels ref = reference_bundle();
    struct call c = new_call(&ref, VT_PRODUCT_F32, false, content, s, AT_END);
    double *p = malloc(2 * s.keys * sizeof *p), *error = p + s.keys;
    float *found = malloc(s.keys * sizeof *found);
    assert_true(p && found);
    for (size_t i = 0; i < s.queries; i++) {
        probabilities(&c.a, i, p, error);
        vt_attention_probabilities(&c.a, i, found);
        for (size_t k = 0; k < s.keys; k++)
            require_call(fabs((double)found[k] - p[k]) <= error[k] + gamma_of(s.keys) * (p[k] + error[k]),
                         "probability outside the error bound", &c);
    }
    free(p);
    free(found);
    free_call(&c);
}

static void test_statistics(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++)
        for (enum content content = RANDOM; content <= ONE_MASK; content++)
            check_statistics(content, shapes[i]);
}

/* ---- Exact cases ---- */

/* Where the second score is over 88 below the largest, its exponential is 0: the output is the value itself. */
static void one_hot_of_bundle(const struct vt_kernels *kernels)
{
    enum { ROWS = 20, WIDTH = 24 };
    const struct shape s = { ROWS, ROWS, WIDTH, WIDTH };
    for (enum vt_product product = VT_PRODUCT_F32; product <= VT_PRODUCT_BF16; product++) {
        const bool bf16 = product == VT_PRODUCT_BF16;
        struct call c = new_call(kernels, product, bf16, RANDOM, s, AT_END);
        float q[ROWS * WIDTH] = { 0 };
        vt_bf16 rounded[ROWS * WIDTH];
        for (size_t i = 0; i < ROWS; i++)
            q[i * WIDTH + i] = 64;
        kernels->to_bf16(ROWS * WIDTH, q, rounded);
        c.a.q = c.a.k = bf16 ? (const void *)rounded : q; /* scores: 4096 on the diagonal, 0 elsewhere */
        c.a.ldq = c.a.ldk = WIDTH;
        c.a.scale = 1;
        vt_attention_run(&c.a, 0, ROWS, c.scratch.data);
        for (size_t i = 0; i < ROWS; i++)
            for (size_t d = 0; d < WIDTH; d++)
                require_call(element(c.a.out, bf16, i * c.a.ldo + d) == operand(&c.a, c.a.v, i * c.a.ldv + d),
                             "one-hot row is not the value", &c);
        for (size_t k = 0; k < ROWS && !bf16; k++) /* whose exp(0) may be off */
            require_call(c.a.first_row[k * HEADS] == (k == 0) && c.a.column_sums[k * HEADS] == 1,
                         "one-hot probabilities", &c);
        free_call(&c);
    }
}

/* Token reduction may take all keys away. */
static void no_keys_of_bundle(const struct vt_kernels *kernels)
{
    const struct shape s = { 5, 3, 24, 24 };
    for (enum vt_product product = VT_PRODUCT_F32; product <= VT_PRODUCT_BF16; product++) {
        const bool bf16 = product == VT_PRODUCT_BF16;
        struct call c = new_call(kernels, product, bf16, RANDOM, s, AT_END);
        c.a.keys = 0;
        c.a.first_row = c.a.column_sums = NULL;
        vt_attention_run(&c.a, 0, c.a.queries, c.scratch.data);
        for (size_t i = 0; i < c.a.queries; i++)
            for (size_t d = 0; d < c.a.dim_v; d++)
                require_call(element(c.a.out, bf16, i * c.a.ldo + d) == 0, "not zero without keys", &c);
        free_call(&c);
    }
}

static void test_no_keys(void **state)
{
    (void)state;
    for_each_bundle(no_keys_of_bundle);
}

static void test_one_hot_is_exact(void **state)
{
    (void)state;
    for_each_bundle(one_hot_of_bundle);
}

/* ---- Scores as outputs of a session ---- */

#define CASE "hf_vit"

enum { IMAGES = 3, BAD = 1, TOKENS = 65, MODEL_HEADS = 3, MODEL_DIM = 48, CLASSES = 10 };
enum { FIRST_ROW, COLUMN_SUMS, QKV, LOGITS, OUTPUTS };

static const char *const output_names[OUTPUTS] = { "first_row", "column_sums", "qkv", "logits" };

/* The case with what the last block's attention reads and its scores as further outputs. */
static vitrt_model *open_scored(void)
{
    vitrt_model *m;
    vitrt_error err;
    assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
    struct vt_graph *g = &m->graph;
    vt_value last = VT_NO_VALUE;
    for (size_t v = 0; v < g->node_count; v++)
        if (g->nodes[v].type == VT_NODE_ATTENTION)
            last = (vt_value)v;
    assert_int_not_equal(last, VT_NO_VALUE);
    assert_int_equal(g->nodes[last].u.attention.heads, MODEL_HEADS);
    vt_graph_output(g, "qkv", g->nodes[last].in[0].value);
    vt_graph_output(g, "first_row", vt_graph_attention_scores(g, "first_row", last, VT_SCORES_FIRST_ROW));
    vt_graph_output(g, "column_sums", vt_graph_attention_scores(g, "column_sums", last, VT_SCORES_COLUMN_SUMS));
    assert_int_equal(g->status, VITRT_OK);
    return m;
}

/* Runs n pictures, the second of them a bad one; results[i] is a copy of what output i has of the good ones. */
static void run_batch(const vitrt_model *m, vitrt_precision precision, int threads, size_t n, const char *const *names,
                      size_t count, float **results)
{
    const vitrt_session_options options = {
        .threads = threads, .precision = precision, .max_batch = IMAGES, .outputs = names, .output_count = count
    };
    vitrt_session *s;
    vitrt_output outputs[OUTPUTS] = { 0 };
    vitrt_error err;
    vitrt_image images[IMAGES] = { golden_image(CASE, 0), { 0 }, golden_image(CASE, 1) };
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_int_equal(vitrt_run(s, images, n, outputs, &err), n > BAD ? VITRT_EIMAGE : VITRT_OK);
    for (size_t i = 0; i < count; i++) {
        const size_t rows = strcmp(names[i], "logits") == 0 ? 1 : TOKENS, wanted[] = { 0, rows, rows, 2 * rows };
        assert_memory_equal(outputs[i].offsets, wanted, (n + 1) * sizeof *wanted);
        if (strcmp(names[i], "first_row") == 0 || strcmp(names[i], "column_sums") == 0)
            assert_int_equal(outputs[i].columns, MODEL_HEADS); /* rows are keys */
        const size_t bytes = wanted[n] * outputs[i].columns * sizeof(float);
        results[i] = malloc(bytes);
        assert_non_null(results[i]);
        memcpy(results[i], outputs[i].data, bytes);
    }
    for (int i = 0; i < IMAGES; i++)
        vitrt_image_free(&images[i]);
    vitrt_session_free(s);
}

static void free_results(float **results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(results[i]);
}

/* Scores of one head of one image against its rows of q, k and v. */
static void check_scores(const struct vt_attention *a, const float *first_row, const float *column_sums)
{
    double p[TOKENS], error[TOKENS], sums[TOKENS] = { 0 }, bounds[TOKENS] = { 0 };
    for (size_t i = 0; i < TOKENS; i++) {
        probabilities(a, i, p, error);
        for (size_t k = 0; k < TOKENS; k++) {
            if (i == 0)
                assert_true(fabs((double)first_row[k * MODEL_HEADS] - p[k]) <= error[k]);
            sums[k] += p[k];
            bounds[k] += error[k] + gamma_of(TOKENS) * (p[k] + error[k]);
        }
    }
    for (size_t k = 0; k < TOKENS; k++)
        assert_true(fabs((double)column_sums[k * MODEL_HEADS] - sums[k]) <= bounds[k]);
}

static void check_session_scores(vitrt_precision precision)
{
    const size_t head_dim = MODEL_DIM / MODEL_HEADS, row = 3 * MODEL_DIM;
    const bool bf16 = precision == VITRT_PRECISION_BF16;
    const struct vt_kernels ref = reference_bundle();
    float *results[OUTPUTS];
    vitrt_model *m = open_scored();
    run_batch(m, precision, 1, IMAGES, output_names, OUTPUTS, results);
    vt_bf16 rounded[2 * TOKENS * 3 * MODEL_DIM];
    ref.to_bf16(2 * TOKENS * row, results[QKV], rounded);
    for (size_t image = 0; image < 2; image++) {
        for (size_t head = 0; head < MODEL_HEADS; head++) {
            const size_t q = image * TOKENS * row + head * head_dim, k = q + MODEL_DIM;
            const struct vt_attention a = { .product = bf16 ? VT_PRODUCT_BF16 : VT_PRODUCT_F32,
                                            .keys = TOKENS,
                                            .dim = head_dim,
                                            .q = bf16 ? (const void *)(rounded + q) : results[QKV] + q,
                                            .k = bf16 ? (const void *)(rounded + k) : results[QKV] + k,
                                            .ldq = row,
                                            .ldk = row,
                                            .scale = (float)(1 / sqrt((double)head_dim)) };
            const size_t column = image * TOKENS * MODEL_HEADS + head;
            check_scores(&a, results[FIRST_ROW] + column, results[COLUMN_SUMS] + column);
        }
    }
    free_results(results, OUTPUTS);
    vitrt_model_free(m);
}

static void test_scores_are_the_models(void **state)
{
    (void)state;
    check_session_scores(VITRT_PRECISION_F32);
    check_session_scores(VITRT_PRECISION_BF16);
}

/* Scores alone, with nobody to read the attention's own output, and beside logits, which need one row of it; of one
 * image, whose heads are too few to go round and would be cut if there were no sums, and of several. */
static void check_scores_bits(const vitrt_model *m, vitrt_precision precision, int threads, size_t n, float **wanted)
{
    const size_t good = n > BAD ? n - 1 : n, score_bytes = good * TOKENS * MODEL_HEADS * sizeof(float);
    for (size_t count = 1; count <= OUTPUTS; count++) {
        float *found[OUTPUTS];
        run_batch(m, precision, threads, n, output_names, count, found);
        assert_memory_equal(found[FIRST_ROW], wanted[FIRST_ROW], score_bytes);
        if (count > COLUMN_SUMS)
            assert_memory_equal(found[COLUMN_SUMS], wanted[COLUMN_SUMS], score_bytes);
        if (count > LOGITS)
            assert_memory_equal(found[LOGITS], wanted[LOGITS], good * CLASSES * sizeof(float));
        free_results(found, count);
    }
}

static void test_scores_change_no_bit(void **state)
{
    vitrt_model *m = open_scored();
    (void)state;
    for (vitrt_precision precision = VITRT_PRECISION_F32; precision <= VITRT_PRECISION_BF16; precision++) {
        float *wanted[OUTPUTS], *logits[1];
        run_batch(m, precision, 1, IMAGES, output_names, OUTPUTS, wanted);
        run_batch(m, precision, 1, IMAGES, &output_names[LOGITS], 1, logits);
        assert_memory_equal(logits[0], wanted[LOGITS], 2 * CLASSES * sizeof(float));
        for (int threads = 1; threads <= 4; threads++) {
            check_scores_bits(m, precision, threads, 1, wanted);
            check_scores_bits(m, precision, threads, IMAGES, wanted);
        }
        free_results(wanted, OUTPUTS);
        free_results(logits, 1);
    }
    vitrt_model_free(m);
}

static size_t steps_of(const vitrt_model *m, vitrt_precision precision, size_t count)
{
    const char *const names[] = { "features", "first_row", "column_sums" };
    const vitrt_session_options options = { .precision = precision, .outputs = names, .output_count = count };
    vitrt_session *s;
    vitrt_error err;
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    const size_t steps = s->plan->step_count;
    vitrt_session_free(s);
    return steps;
}

/* They come with the attention, which still writes what its projection reads in that one's type. */
static void test_scores_are_no_steps(void **state)
{
    vitrt_model *m = open_scored();
    (void)state;
    for (vitrt_precision precision = VITRT_PRECISION_F32; precision <= VITRT_PRECISION_BF16; precision++)
        assert_int_equal(steps_of(m, precision, 3), steps_of(m, precision, 1));
    vitrt_model_free(m);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_one_hot_is_exact),
        cmocka_unit_test(test_no_keys),
        cmocka_unit_test(test_scores_are_the_models),
        cmocka_unit_test(test_scores_change_no_bit),
        cmocka_unit_test(test_scores_are_no_steps),
    };
    return cmocka_run_group_tests_name("test_attention", tests, NULL, NULL);
}
