/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one head on codes (attention.h) of every bundle: outputs in each type and what it gives of the
 * probabilities against double precision, then the same bits as "ref", in pieces, between guards. What floats make of
 * codes is here as well: outputs that are codes, probabilities that are rounded to logarithmic ones.
 */
#include "check.h"

#include "attention.h"
#include "integer.h"
#include "quantizer.h"

struct shape {
    size_t queries, keys, dim, dim_v;
};

/* As in test_attention.c: one of each, a class token's, a ViT's, a window's, multiples of nothing; a wide head. */
static const struct shape shapes[] = { { 1, 1, 1, 1 },     { 1, 197, 64, 64 }, { 65, 65, 64, 64 }, { 49, 49, 32, 32 },
                                       { 50, 13, 24, 40 }, { 7, 101, 40, 24 }, { 2, 33, 3, 65 },   { 31, 31, 17, 5 },
                                       { 13, 2, 80, 1 },   { 3, 65, 2, 33 },   { 5, 0, 16, 24 },   { 3, 3, 900, 8 } };
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* ONE_MASK and ONE_BOTH: the same mask for all queries. */
enum content { PLAIN, BIASED, MASKED, BOTH, ONE_MASK, ONE_BOTH, EXTREME, CONTENTS };

enum { GAP = 3, HEADS = 3, HEAD = 1, MASK_ROWS = 4, MOST_QUERIES = 128 };

struct call {
    struct shape shape;
    uint64_t seed;
    struct guarded q, k, v, bias, mask, out, first_row, column_sums, scratch, zeros, scales, shifts, codes;
    uint8_t mask_rows[MOST_QUERIES];
    struct vt_attention a;
};

static uint8_t *random_codes(struct guarded *g, size_t n, enum content content, enum place place, uint64_t *seed)
{
    uint8_t *x = guarded_new(g, n, place);
    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)(content == EXTREME ? random_bits(seed) % 2 * 255 : random_bits(seed));
    return x;
}

static float *random_numbers(struct guarded *g, size_t n, float low, float high, enum place place, uint64_t *seed)
{
    float *x = guarded_floats(g, n, place);
    for (size_t i = 0; i < n; i++)
        x[i] = low + (high - low) * (random_float(seed) + 1) / 2;
    return x;
}

static size_t rows_of(size_t rows, size_t columns)
{
    return rows ? (rows - 1) * (columns + GAP) + columns : 0;
}

/* Scores of some units, or of hundreds where content is EXTREME; outputs that fill the range of codes. */
static void call_new(struct call *c, const struct vt_kernels *kernels, enum vt_destination to, enum content content,
                     struct shape s, enum place place)
{
    static const size_t bytes[] = { [VT_TO_F32] = 4, [VT_TO_BF16] = 2, [VT_TO_U8] = 1 };
    const bool biased = content == BIASED || content == BOTH || content == ONE_BOTH;
    const bool one_mask = content == ONE_MASK || content == ONE_BOTH;
    const bool masked = content == MASKED || content == BOTH || one_mask;
    const size_t mask_rows = one_mask ? 1 : MASK_ROWS;
    *c = (struct call){ .shape = s, .seed = 100 * (uint64_t)content + s.keys };
    uint64_t seed = c->seed;
    struct vt_attention *a = &c->a;
    *a = (struct vt_attention){ .kernels = kernels,
                                .product = VT_PRODUCT_U8S8,
                                .queries = s.queries,
                                .keys = s.keys,
                                .dim = s.dim,
                                .dim_v = s.dim_v };
    a->q = random_codes(&c->q, rows_of(s.queries, s.dim), content, place, &seed);
    a->k = random_codes(&c->k, rows_of(s.keys, s.dim), content, place, &seed);
    a->v = random_codes(&c->v, rows_of(s.keys, s.dim_v), content, place, &seed);
    a->ldq = a->ldk = s.dim + GAP;
    a->ldv = a->ldo = s.dim_v + GAP;
    a->query_zero = random_codes(&c->zeros, s.dim, PLAIN, place, &seed);
    a->scale = (float)(0.0003 / sqrt((double)s.dim));
    const float range = to == VT_TO_U8 ? 1.2f : 0.05f;
    a->sum_scale = random_numbers(&c->scales, s.dim_v, range / 2, range, place, &seed);
    a->sum_bias =
        random_numbers(&c->shifts, s.dim_v, to == VT_TO_U8 ? 100 : -2, to == VT_TO_U8 ? 150 : 2, place, &seed);
    a->bias = biased ? random_numbers(&c->bias, rows_of(s.queries, s.keys), -3, 3, place, &seed) : NULL;
    a->ld_bias = a->ld_mask = s.keys + GAP;
    if (masked) {
        float *mask = random_numbers(&c->mask, rows_of(mask_rows, s.keys), -1, 1, place, &seed);
        for (size_t i = 0; i < rows_of(mask_rows, s.keys); i++)
            mask[i] = mask[i] > 0.5f ? -100.0f : 0.0f;
        a->mask = mask;
    }
    for (size_t i = 0; i < s.queries; i++)
        c->mask_rows[i] = (uint8_t)(i * 7 / 3 % MASK_ROWS);
    a->mask_rows = one_mask ? NULL : c->mask_rows;
    a->to = to;
    a->out = guarded_new(&c->out, rows_of(s.queries, s.dim_v) * bytes[to], place);
    a->highest = content == PLAIN ? 255 : 63;
    a->zero_codes = random_codes(&c->codes, s.dim_v, PLAIN, place, &seed);
    a->first_row = guarded_floats(&c->first_row, s.keys * HEADS, place) + HEAD;
    a->column_sums = guarded_floats(&c->column_sums, s.keys * HEADS, place) + HEAD;
    a->ld_scores = HEADS;
    const size_t scratch = vt_attention_scratch_bytes(kernels, VT_PRODUCT_U8S8, s.keys, s.dim, s.dim_v, false);
    int32_t *numbers = guarded_new(&c->scratch, scratch, place);
    for (size_t i = 0; i < scratch / sizeof *numbers; i++) /* to which nothing can be added that is below 0 */
        numbers[i] = INT32_MIN;
}

static void call_free(struct call *c)
{
    struct guarded *const all[] = { &c->q,      &c->k,         &c->v,           &c->bias,    &c->mask,
                                    &c->out,    &c->first_row, &c->column_sums, &c->scratch, &c->zeros,
                                    &c->scales, &c->shifts,    &c->codes };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->map)
            guarded_free(all[i]);
}

static void require_call(bool ok, const char *what, const struct call *c)
{
    const struct vt_kernels *k = c->a.kernels;
    require(ok, what, k->bundle, k->gemm[VT_PRODUCT_U8S8].name, c->shape.queries, c->shape.keys, c->shape.dim, c->seed);
}

/* ---- Reference ---- */

/* Codes of probabilities of query i: between low and high, which differ where 255 times the exponential is close to a
 * tie. An exact sum is multiplied, bias and mask are added, each rounded; then kernels.h bounds the exponential. */
static void probabilities(const struct call *c, size_t i, double *low, double *high)
{
    const struct vt_attention *a = &c->a;
    const uint8_t *q = (const uint8_t *)a->q + i * a->ldq, *k = a->k;
    const size_t mask_row = a->mask_rows ? a->mask_rows[i] : 0;
    double largest = -INFINITY, size = 0;
    for (size_t n = 0; n < a->keys; n++) {
        double sum = 0;
        for (size_t d = 0; d < a->dim; d++)
            sum += ((double)q[d] - a->query_zero[d]) * ((double)k[n * a->ldk + d] - 128);
        low[n] = sum * (double)a->scale + (a->bias ? (double)a->bias[i * a->ld_bias + n] : 0);
        low[n] += a->mask ? (double)a->mask[mask_row * a->ld_mask + n] : 0;
        size = fmax(size, fabs(sum * (double)a->scale) + fabs(low[n]));
        largest = fmax(largest, low[n]);
    }
    for (size_t n = 0; n < a->keys; n++) {
        const double t = 255 * exp(low[n] - largest), off = 1e-3 + 8 * unit_roundoff * (size + 104);
        low[n] = t < 255 * 0x1p-15 ? 0 : nearbyint(t * (1 - off));
        high[n] = fmin(nearbyint(t * (1 + off)), 255);
    }
}

static double output(const struct vt_attention *a, size_t at)
{
    if (a->to == VT_TO_U8)
        return ((const uint8_t *)a->out)[at];
    if (a->to == VT_TO_F32)
        return (double)((const float *)a->out)[at];
    return (double)float_of_bits((uint32_t)((const vt_bf16 *)a->out)[at] << 16);
}

static double clamped(double x, double highest)
{
    return fmin(fmax(nearbyint(x), 0), highest);
}

/* The weighted mean of the values, whose weights may each be off; three roundings, then that of the type. */
static bool output_close(const struct vt_attention *a, size_t i, const double *low, const double *high)
{
    for (size_t d = 0; d < a->dim_v; d++) {
        const double scale = (double)a->sum_scale[d], shift = (double)a->sum_bias[d], found = output(a, i * a->ldo + d);
        double sum = 0, size = 0, weight = 0, slack = 0, error = 0;
        for (size_t n = 0; n < a->keys; n++) {
            const double v = (double)((const uint8_t *)a->v)[n * a->ldv + d] - 128, p = (low[n] + high[n]) / 2;
            sum += p * v;
            size += p * fabs(v);
            weight += p;
            slack += (high[n] - low[n]) / 2;
        }
        for (size_t n = 0; n < a->keys; n++)
            error +=
                (high[n] - low[n]) / 2 * fabs((double)((const uint8_t *)a->v)[n * a->ldv + d] - 128 - sum / weight);
        const double wanted = scale * sum / weight + shift;
        double bound = scale * error / (weight - slack) + 6 * unit_roundoff * (scale * size / weight + fabs(shift));
        if (a->to == VT_TO_BF16)
            bound += (fabs(wanted) + bound) * 0x1p-8;
        if (a->to != VT_TO_U8 && !(fabs(found - wanted) <= bound))
            return false;
        if (a->to == VT_TO_U8 &&
            !(found >= clamped(wanted - bound, a->highest) && found <= clamped(wanted + bound, a->highest)))
            return false;
    }
    return true;
}

/* ---- Checks of one call ---- */

static void check_numbers(const struct call *c)
{
    const struct vt_attention *a = &c->a;
    double *low = calloc(4 * a->keys + 1, sizeof *low), *high = low + a->keys, *least = high + a->keys,
           *most = least + a->keys;
    assert_non_null(low);
    for (size_t i = 0; i < a->queries && a->keys; i++) {
        double from = 0, to = 0;
        probabilities(c, i, low, high);
        require_call(output_close(a, i, low, high), "output outside the error bound", c);
        for (size_t n = 0; n < a->keys; n++) {
            from += low[n];
            to += high[n];
        }
        for (size_t n = 0; n < a->keys; n++) {
            const double p = low[n] / to * (1 - 4 * unit_roundoff), q = high[n] / from * (1 + 4 * unit_roundoff);
            const double found = (double)a->first_row[n * HEADS];
            require_call(i > 0 || (found >= p && found <= q), "first row outside the error bound", c);
            least[n] += p;
            most[n] += q;
        }
    }
    for (size_t n = 0; n < a->keys; n++) {
        const double found = (double)a->column_sums[n * HEADS], off = gamma_of(a->queries) * most[n];
        require_call(found >= least[n] - off && found <= most[n] + off, "sum outside the error bound", c);
    }
    free(low);
}

/* Without a key there is nothing but the code of 0. */
static void check_no_keys(const struct call *c)
{
    for (size_t i = 0; i < c->a.queries; i++)
        for (size_t d = 0; d < c->a.dim_v; d++)
            require_call(output(&c->a, i * c->a.ldo + d) == (c->a.to == VT_TO_U8 ? c->a.zero_codes[d] : 0),
                         "not zero without keys", c);
}

static void check_surroundings(const struct call *c)
{
    const size_t element = c->out.data_bytes / rows_of(c->shape.queries, c->shape.dim_v);
    bool gaps = true;
    for (size_t i = 1; i < c->shape.queries; i++)
        for (size_t b = 0; b < GAP * element; b++)
            gaps &= c->out.data[(i * c->a.ldo - GAP) * element + b] == CANARY;
    require_call(gaps, "wrote between rows", c);
    require_call(guarded_intact(&c->out) && guarded_intact(&c->scratch) && guarded_intact(&c->first_row) &&
                     guarded_intact(&c->column_sums),
                 "wrote outside", c);
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

static void check_call(const struct vt_kernels *kernels, enum vt_destination to, enum content content, struct shape s,
                       enum place place)
{
    const struct vt_kernels ref = reference_bundle();
    struct call c, other;
    call_new(&c, kernels, to, content, s, place);
    call_new(&other, &ref, to, content, s, place);
    vt_attention_run(&c.a, 0, s.queries, c.scratch.data);
    vt_attention_run(&other.a, 0, s.queries, other.scratch.data);
    check_surroundings(&c);
    if (s.keys)
        check_numbers(&c);
    else
        check_no_keys(&c);
    require_call(memcmp(c.out.data, other.out.data, c.out.data_bytes) == 0 &&
                     memcmp(c.first_row.data, other.first_row.data, c.first_row.data_bytes) == 0 &&
                     memcmp(c.column_sums.data, other.column_sums.data, c.first_row.data_bytes) == 0,
                 "other bits than ref", &c);
    check_pieces(&c, 1 + s.queries / 2);
    check_pieces(&c, kernels->gemm[VT_PRODUCT_U8S8].mr + 1);
    check_pieces(&c, 1);
    call_free(&c);
    call_free(&other);
}

static void codes_of_bundle(const struct vt_kernels *kernels)
{
    for (size_t i = 0; i < SHAPES; i++)
        for (enum content content = 0; content < CONTENTS; content++)
            for (enum vt_destination to = VT_TO_F32; to <= VT_TO_U8; to++)
                check_call(kernels, to, content, shapes[i], (i + content) % PLACES);
}

static void test_codes(void **state)
{
    (void)state;
    for_each_bundle(codes_of_bundle);
}

/* ---- Integers ---- */

enum { ROWS = 37, WIDTH = 24, SCORE_BITS = 20 };

/* What a call without an exp scale has in floats. Outputs are the means of codes of values. */
struct integers {
    struct vt_exp_scale exp;
    int32_t bias[ROWS * ROWS], multiplier[WIDTH], shift[WIDTH], add[WIDTH];
};

static void use_integers(struct call *c, struct integers *n)
{
    uint64_t seed = 5;
    assert_true(vt_prepare_exp((double)c->a.scale, &n->exp));
    for (size_t i = 0; i < ROWS * ROWS; i++)
        n->bias[i] = (int32_t)(random_bits(&seed) % 20000);
    for (size_t d = 0; d < WIDTH; d++) { /* the quotient over 2^22, and 128 */
        n->multiplier[d] = 1 << 30;
        n->shift[d] = 52 - 33;
        n->add[d] = 2 * 128 + 1;
    }
    c->a.exp = &n->exp;
    c->a.masked = -(int32_t)(20 / c->a.scale);
    c->a.bias = (const float *)(const void *)n->bias;
    c->a.ld_bias = ROWS;
    c->a.score_bits = SCORE_BITS;
    c->a.epilogue =
        (struct vt_integer_epilogue){ .columns = { n->multiplier, n->shift, n->add, 0 }, .highest = UINT8_MAX };
}

/* Codes of the probabilities of query i; returns their sum. */
static int32_t integer_probabilities(const struct vt_attention *a, const struct integers *n, size_t i, uint8_t *codes)
{
    int32_t scores[ROWS], sum = 0;
    const uint8_t *q = (const uint8_t *)a->q + i * a->ldq, *k = a->k;
    for (size_t r = 0; r < ROWS; r++, k += a->ldk) {
        scores[r] = n->bias[i * ROWS + r];
        for (size_t d = 0; d < WIDTH; d++)
            scores[r] += (q[d] - a->query_zero[d]) * (k[d] - 128);
    }
    vt_softmax_s32_ref(1, ROWS, &n->exp, scores, ROWS, NULL, 0, codes, ROWS, &sum);
    return sum;
}

/* The bias has everything that is added to scores. */
static void check_integer_scores(const struct call *c, const struct integers *n)
{
    const double unit = ldexp(1, -SCORE_BITS);
    const int32_t *first = (const int32_t *)(const void *)c->a.first_row,
                  *sums = (const int32_t *)(const void *)c->a.column_sums;
    double wanted[ROWS] = { 0 };
    for (size_t i = 0; i < ROWS; i++) {
        uint8_t codes[ROWS];
        const int32_t sum = integer_probabilities(&c->a, n, i, codes);
        for (size_t r = 0; r < ROWS; r++) {
            const double p = (double)codes[r] / sum;
            wanted[r] += p;
            require_call(i > 0 || fabs(first[r * HEADS] * unit - p) <= 0x1p-15 * p + unit, "first row", c);
        }
    }
    for (size_t r = 0; r < ROWS; r++)
        require_call(fabs(sums[r * HEADS] * unit - wanted[r]) <= 0x1p-15 * wanted[r] + ROWS * unit, "sums", c);
}

/* Rounds of votes: each round adds its roundings, and has those of the one before. */
static void check_integer_votes(const struct call *c, const struct integers *n)
{
    static _Alignas(64) unsigned char scratch[1 << 16];
    static const double boosts[] = { 0, 1, 2.5 };
    const double unit = ldexp(1, -SCORE_BITS);
    struct vt_attention a = c->a;
    int32_t votes[ROWS * HEADS];
    assert_in_range(vt_attention_scratch_bytes(a.kernels, VT_PRODUCT_U8S8, ROWS, WIDTH, WIDTH, true), 0,
                    sizeof scratch);
    a.votes = (float *)(void *)votes + HEAD;
    for (uint32_t rounds = 0; rounds < 6; rounds++) {
        const double boost = rounds % 3 ? boosts[rounds % 3] : sqrt(ROWS);
        double wanted[ROWS];
        a.rounds = rounds;
        a.integer_boost = rounds % 3 ? (int64_t)ldexp(boost, 16) : -1;
        vt_attention_run(&a, 0, ROWS, scratch);
        for (size_t r = 0; r < ROWS; r++)
            wanted[r] = (r ? 1 : boost) * ROWS / (ROWS - 1 + boost);
        for (uint32_t round = 0; round < rounds; round++) {
            double given[ROWS] = { 0 };
            for (size_t i = 0; i < ROWS; i++) {
                uint8_t codes[ROWS];
                const int32_t sum = integer_probabilities(&c->a, n, i, codes);
                for (size_t r = 0; r < ROWS; r++)
                    given[r] += wanted[i] * codes[r] / sum;
            }
            memcpy(wanted, given, sizeof wanted);
        }
        for (size_t r = 0; r < ROWS; r++)
            require_call(fabs(votes[r * HEADS + HEAD] * unit - wanted[r]) <=
                             (rounds + 1) * (0x1p-15 * wanted[r] + ROWS * unit),
                         "votes", c);
    }
}

/* The bias of keys is added to the scores of all queries, in units of scores. */
static void check_key_bias(const struct call *c, const struct integers *n)
{
    static int32_t numbers[ROWS];
    static struct integers biased;
    const struct vt_dyadic scale = { INT32_C(1) << 30, 29 }; /* twice as many units */
    struct call other;
    call_new(&other, c->a.kernels, VT_TO_U8, PLAIN, c->shape, AT_END);
    biased = *n;
    for (size_t k = 0; k < ROWS; k++) {
        numbers[k] = (int32_t)(k * k * 20) - 9000;
        for (size_t i = 0; i < ROWS; i++)
            biased.bias[i * ROWS + k] = 2 * numbers[k];
    }
    struct vt_attention a = c->a, b = c->a;
    a.bias = (const float *)(const void *)biased.bias;
    a.mask = NULL;
    vt_attention_run(&a, 0, ROWS, c->scratch.data);
    b.bias = NULL;
    b.mask = (const float *)(const void *)numbers;
    b.key_scale = &scale;
    b.out = other.a.out;
    vt_attention_run(&b, 0, ROWS, other.scratch.data);
    require_call(memcmp(c->out.data, other.out.data, c->out.data_bytes) == 0, "bias and that of keys differ", c);
    call_free(&other);
}

/* No query gives nothing. */
static void check_no_queries(const struct call *c)
{
    struct vt_attention a = c->a;
    a.queries = 0;
    vt_attention_run(&a, 0, 0, c->scratch.data);
    for (size_t k = 0; k < ROWS; k++)
        require_call(a.first_row[k * HEADS] == 0 && a.column_sums[k * HEADS] == 0, "scores of nothing", c);
}

/* A mask for all queries is what a bias that has it already is. */
static void integers_of_bundle(const struct vt_kernels *kernels)
{
    const struct shape s = { ROWS, ROWS, WIDTH, WIDTH };
    struct integers n;
    struct call c, other;
    call_new(&c, kernels, VT_TO_U8, ONE_MASK, s, AT_END);
    call_new(&other, kernels, VT_TO_U8, PLAIN, s, AT_END);
    use_integers(&c, &n);
    vt_attention_run(&c.a, 0, ROWS, c.scratch.data);
    struct vt_attention a = c.a;
    size_t masked = 0;
    for (size_t k = 0; k < ROWS; k++) {
        masked += a.mask[k] != 0;
        for (size_t i = 0; i < ROWS; i++)
            n.bias[i * ROWS + k] += a.mask[k] != 0 ? a.masked : 0;
    }
    a.mask = NULL;
    a.out = other.a.out;
    vt_attention_run(&a, 0, ROWS, other.scratch.data);
    require_call(masked > 0 && masked < ROWS, "a mask of nothing", &c);
    require_call(memcmp(c.out.data, other.out.data, c.out.data_bytes) == 0, "mask and bias differ", &c);
    check_integer_scores(&c, &n);
    check_integer_votes(&c, &n);
    for (size_t k = 0; k < ROWS * HEADS; k++)
        require_call(k % HEADS == HEAD || (untouched((float *)(void *)c.first_row.data + k) &&
                                           untouched((float *)(void *)c.column_sums.data + k)),
                     "wrote scores of other heads", &c);
    check_key_bias(&c, &n);
    check_no_queries(&c);
    call_free(&c);
    call_free(&other);
}

static void test_integers(void **state)
{
    (void)state;
    for_each_bundle(integers_of_bundle);
}

/* ---- Floats ---- */

/* Attention of floats whose output becomes something else, or whose probabilities are rounded. */
static void attend_floats(const struct vt_kernels *kernels, struct vt_attention a, void *out)
{
    static _Alignas(64) unsigned char scratch[1 << 16];
    a.kernels = kernels;
    a.queries = a.keys = ROWS;
    a.dim = a.dim_v = WIDTH;
    a.ldq = a.ldk = a.ldv = a.ldo = WIDTH;
    a.out = out;
    assert_in_range(vt_attention_scratch_bytes(kernels, a.product, ROWS, WIDTH, WIDTH, false), 0, sizeof scratch);
    vt_attention_run(&a, 0, ROWS, scratch);
}

static float operands[3][ROWS * WIDTH];

static struct vt_attention floats(void)
{
    uint64_t seed = 11;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < ROWS * WIDTH; i++)
            operands[k][i] = 2 * random_float(&seed);
    return (struct vt_attention){ .q = operands[0], .k = operands[1], .v = operands[2], .scale = 0.4f };
}

/* Codes of what the output is as floats. */
static void codes_of_floats(const struct vt_kernels *kernels)
{
    struct vt_attention a = floats();
    float wanted[ROWS * WIDTH], scale[WIDTH], shift[WIDTH];
    uint8_t codes[ROWS * WIDTH], expected[WIDTH];
    for (size_t c = 0; c < WIDTH; c++) {
        scale[c] = 20 + (float)c;
        shift[c] = 30 - (float)c / 3;
    }
    attend_floats(kernels, a, wanted);
    a.to = VT_TO_U8;
    a.out_scale = scale;
    a.out_shift = shift;
    a.highest = 63;
    attend_floats(kernels, a, codes);
    for (size_t i = 0; i < ROWS; i++) {
        kernels->quantize_u8(WIDTH, wanted + i * WIDTH, scale, shift, 63, expected);
        assert_memory_equal(codes + i * WIDTH, expected, WIDTH);
    }
}

/* Probabilities are rounded to log_scale * sqrt(2)^-code, and are not divided by their sum again. */
static void logarithms(const struct vt_kernels *kernels)
{
    const struct vt_log_quantizer q = { 0.3f, 4 };
    struct vt_attention a = floats();
    float found[ROWS * WIDTH];
    size_t clear = 0;
    a.log_bits = q.bits;
    a.log_scale = q.delta;
    attend_floats(kernels, a, found);
    for (size_t i = 0; i < ROWS; i++) {
        double p[ROWS], sum = 0, out[WIDTH] = { 0 }, size[WIDTH] = { 0 };
        bool close = false;
        for (size_t k = 0; k < ROWS; k++) {
            double score = 0;
            for (size_t d = 0; d < WIDTH; d++)
                score += (double)operands[0][i * WIDTH + d] * (double)operands[1][k * WIDTH + d];
            p[k] = exp((double)a.scale * score);
            sum += p[k];
        }
        for (size_t k = 0; k < ROWS; k++) {
            close |= vt_log_code(&q, p[k] / sum * (1 - 1e-5)) != vt_log_code(&q, p[k] / sum * (1 + 1e-5));
            for (size_t d = 0; d < WIDTH; d++) {
                const double x = vt_log_value(&q, vt_log_code(&q, p[k] / sum)) * (double)operands[2][k * WIDTH + d];
                out[d] += x;
                size[d] += fabs(x);
            }
        }
        for (size_t d = 0; d < WIDTH && !close; d++)
            assert_true(fabs((double)found[i * WIDTH + d] - out[d]) <= gamma_of(ROWS + 2) * size[d]);
        clear += !close;
    }
    assert_true(clear > ROWS / 2);
}

static void floats_of_bundle(const struct vt_kernels *kernels)
{
    codes_of_floats(kernels);
    logarithms(kernels);
}

static void test_floats(void **state)
{
    (void)state;
    for_each_bundle(floats_of_bundle);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_codes), cmocka_unit_test(test_integers),
                                        cmocka_unit_test(test_floats) };
    return cmocka_run_group_tests_name("test_attention_codes", tests, NULL, NULL);
}
