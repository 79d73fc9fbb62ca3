/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of integer-only inference of every bundle: "ref" against the scalar arithmetic of src/integer.h and
 * against double precision with derived bounds, all others against "ref" bit by bit; limits, tails, aliases, what is
 * prepared for them.
 */
#include "check.h"

#include "integer_rows.h"
#include "ivit.h"

enum { WIDEST = 150, MOST_ROWS = 9, GAP = 3 };
static const size_t widths[] = { 0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, WIDEST };
enum { WIDTHS = sizeof widths / sizeof widths[0] };

/* A number of up to so many bits, each length as likely, of either sign. */
static int32_t random_number(uint64_t *seed, unsigned bits)
{
    const uint64_t random = random_bits(seed);
    const int32_t magnitude = (int32_t)(random >> (64 - bits) >> random % bits);
    return random & 1 << 8 ? -magnitude : magnitude;
}

static double random_ratio(uint64_t *seed, int lowest, int highest)
{
    const uint64_t bits = random_bits(seed);
    const double f = 0.5 + (double)(bits >> 12) * 0x1p-53;
    return ldexp(bits & 1 ? -f : f, lowest + (int)(bits >> 1 & 0x3FF) % (highest - lowest + 1));
}

/* What kernels are given for a ratio, and the dyadic number that it is. */
static struct vt_word_scale word_scale_of(double ratio, struct vt_dyadic *d)
{
    struct vt_word_scale s;
    assert_true(vt_prepare_word_scale(ratio, &s));
    assert_true(fabs(ldexp(s.multiplier, -s.shift) - ratio) <= 0x1p-15 * fabs(ratio) || fabs(ratio) < 0x1p-17);
    *d = (struct vt_dyadic){ s.multiplier, (unsigned)s.shift };
    return s;
}

/* ---- Epilogues ---- */

enum source { FROM_SUMS, FROM_QUOTIENTS, FROM_WORDS, FROM_BYTES, FROM_NORM, SOURCES };

struct finish_case {
    enum source source;
    enum vt_integer_type to;
    size_t m, n;
    bool residual, in_place;
    enum place place;
    uint64_t seed;
};

/* One call with everything around it; the dyadic numbers that it is made of. */
struct finish_buffers {
    struct guarded x, multiplier, shift, add, residual, c, divisors;
    struct vt_dyadic scale[WIDEST], residual_scale;
};

static size_t bytes_of(enum vt_integer_type to)
{
    return to == VT_TO_CODES ? 1 : to == VT_TO_WORDS ? sizeof(int16_t) : sizeof(int32_t);
}

static size_t bytes_of_source(enum source source)
{
    return source == FROM_BYTES ? 1 : source == FROM_WORDS || source == FROM_NORM ? sizeof(int16_t) : sizeof(int32_t);
}

static size_t count_of(const struct finish_case *t, size_t ld)
{
    return t->m ? (t->m - 1) * ld + t->n : 0;
}

/* Numbers that a source yields have so many bits. */
static unsigned bits_of(enum source source)
{
    static const unsigned bits[SOURCES] = { 24, 30, 15, 8, 31 };
    return bits[source];
}

static void fill_source(const struct finish_case *t, size_t ld, void *x, int32_t *divisors)
{
    uint64_t seed = t->seed;
    for (size_t i = 0; i < t->m && t->n; i++) {
        divisors[i] = 1 + (int32_t)(random_bits(&seed) >> 41 >> random_bits(&seed) % 23);
        for (size_t j = 0; j < t->n; j++) {
            const size_t at = i * ld + j;
            const int32_t number = random_number(&seed, bits_of(t->source) < 31 ? 30 : 31);
            if (t->source == FROM_SUMS)
                ((int32_t *)x)[at] = number >> 6;
            else if (t->source == FROM_QUOTIENTS)
                ((int32_t *)x)[at] = (int32_t)(128 * ((int64_t)divisors[i] * number >> 30));
            else if (t->source == FROM_BYTES)
                ((uint8_t *)x)[at] = (uint8_t)number;
            else
                ((int16_t *)x)[at] = (int16_t)(number >> (t->seed % 16));
        }
    }
}

/* The scales, of which a tenth are far from the others, and the constants. */
static void fill_columns(const struct finish_case *t, struct finish_buffers *b, struct vt_integer_epilogue *e)
{
    static double ratios[WIDEST];
    int32_t *multiplier = guarded_new(&b->multiplier, t->n * 4, t->place),
            *add = guarded_new(&b->add, t->n * 4, t->place);
    int32_t *shift = guarded_new(&b->shift, t->n * 4, t->place);
    uint64_t seed = t->seed + 1;
    const int top = t->to == VT_TO_CODES ? 8 : t->to == VT_TO_WORDS ? 15 : 24, bits = (int)bits_of(t->source);
    const int highest = top - bits < -1 ? top - bits : -1;
    for (size_t j = 0; j < t->n; j++) {
        ratios[j] = random_ratio(&seed, highest - 4, highest + 2);
        if (random_bits(&seed) % 10 == 0)
            ratios[j] = random_bits(&seed) % 2 ? 0 : random_ratio(&seed, -40, highest);
        assert_true(vt_dyadic_of(ratios[j], &b->scale[j]));
        add[j] = vt_prepare_add((double)(random_number(&seed, 9)) / (1 + t->seed % 2));
    }
    const uint32_t most = bits >= 30 ? INT32_MAX : (1u << bits) - 1;
    assert_true(vt_prepare_columns(t->n, ratios, most, multiplier, shift, &e->columns.left));
    e->columns.multiplier = multiplier;
    e->columns.shift = shift;
    e->columns.add = add;
}

/* The epilogue's own words: c as it has to be before the limits. */
static int64_t expected(const struct finish_buffers *b, const struct vt_integer_epilogue *e, int64_t x, size_t i,
                        size_t j)
{
    const struct vt_dyadic d = b->scale[j];
    const int64_t residual = e->residual ? vt_requantize(e->residual[i * e->ldr + j], b->residual_scale) : 0;
    const int32_t add = e->columns.add[j];
    if (add % 2)
        return vt_requantize((int32_t)x, d) + (add - 1) / 2 + residual;
    return (d.c ? (x * d.b) >> d.c : x * d.b) + add / 2 + residual;
}

static int64_t limited(const struct vt_integer_epilogue *e, int64_t v)
{
    if (e->to == VT_TO_NUMBERS)
        return v;
    return vt_limit(v, e->to == VT_TO_CODES ? 0 : INT16_MIN, e->to == VT_TO_CODES ? e->highest : INT16_MAX);
}

static int64_t result(const struct vt_integer_epilogue *e, size_t at)
{
    return e->to == VT_TO_CODES   ? ((const uint8_t *)e->c)[at]
           : e->to == VT_TO_WORDS ? ((const int16_t *)e->c)[at]
                                  : ((const int32_t *)e->c)[at];
}

static void run(const struct vt_integer_kernels *k, const struct finish_case *t, const void *x, size_t ldx,
                const int32_t *divisors, const struct vt_integer_epilogue *e)
{
    switch (t->source) {
    case FROM_SUMS: k->finish(t->m, t->n, x, ldx, NULL, e); break;
    case FROM_QUOTIENTS: k->finish(t->m, t->n, x, ldx, divisors, e); break;
    case FROM_WORDS: k->requantize_s16(t->m, t->n, x, ldx, e); break;
    case FROM_BYTES: k->requantize_u8(t->m, t->n, x, ldx, e); break;
    default: k->layer_norm_s16(t->m, t->n, x, ldx, t->seed % 5, e); break;
    }
}

/* The numbers of row i by other means than the kernels'. */
static void numbers_of(const struct finish_case *t, const void *x, size_t ldx, const int32_t *divisors, size_t i,
                       int64_t *numbers)
{
    int32_t row[WIDEST] = { 0 };
    for (size_t j = 0; j < t->n; j++) {
        const size_t at = i * ldx + j;
        numbers[j] = t->source == FROM_BYTES       ? ((const uint8_t *)x)[at]
                     : t->source <= FROM_QUOTIENTS ? ((const int32_t *)x)[at]
                                                   : ((const int16_t *)x)[at];
        row[j] = (int32_t)numbers[j];
        if (t->source == FROM_QUOTIENTS) {
            unsigned e = 0;
            while (divisors[i] >> e)
                e++;
            const int64_t inverse = ((INT64_C(1) << (30 + e)) - 1) / divisors[i];
            const int64_t quotient = (numbers[j] * (1 << (24 - e)) * inverse) >> 32;
            const double exact = ldexp((double)numbers[j] / divisors[i], 22);
            assert_true(fabs((double)quotient - exact) <= 1 + 0x1p-29 * fabs(exact));
            numbers[j] = quotient;
        }
    }
    if (t->source != FROM_NORM || !t->n)
        return;
    const uint64_t eps = t->seed % 5;
    const struct vt_ivit_norm norm = vt_ivit_norm(t->n, row, VT_ROOT_EXACT, row);
    const uint64_t std = vt_isqrt(norm.variance + eps);
    for (size_t j = 0; j < t->n; j++)
        numbers[j] = std ? (numbers[j] - norm.mean) * (int64_t)(INT32_MAX / std) : 0;
    if (eps == 0)
        for (size_t j = 0; j < t->n; j++)
            assert_true(numbers[j] >> 1 == row[j]);
}

static void check_finish(const struct vt_kernels *kernels, const struct finish_case *t)
{
    const struct vt_kernels ref = reference_bundle();
    struct finish_buffers b;
    struct vt_integer_epilogue e = { .to = t->to, .highest = t->seed % 3 ? 255 : 15, .ldc = t->n + GAP };
    const size_t ldx = t->n + 1, c_bytes = count_of(t, e.ldc) * bytes_of(t->to);
    void *x = guarded_new(&b.x, count_of(t, ldx) * bytes_of_source(t->source), t->place);
    int32_t *divisors = guarded_new(&b.divisors, t->m * sizeof *divisors, t->place);
    int16_t *residual = guarded_new(&b.residual, count_of(t, t->n + 2) * sizeof *residual, t->place);
    unsigned char *c = guarded_new(&b.c, c_bytes, t->place), *want = malloc(c_bytes + 1);
    uint64_t seed = t->seed + 2;
    fill_source(t, ldx, x, divisors);
    fill_columns(t, &b, &e);
    e.c = c;
    if (t->residual) {
        e.residual = t->in_place ? (int16_t *)(void *)c : residual;
        e.ldr = t->in_place ? e.ldc : t->n + 2;
        const double ratio = random_ratio(&seed, -20, 2);
        e.residual_scale = word_scale_of(ratio, &b.residual_scale);
        for (size_t i = 0; i < t->m; i++)
            for (size_t j = 0; j < t->n; j++)
                ((int16_t *)(void *)(t->in_place ? c : (void *)residual))[i * e.ldr + j] = (int16_t)random_bits(&seed);
    }
    memcpy(want, c, c_bytes);
    int64_t(*expect)[WIDEST] = malloc((MOST_ROWS + 1) * sizeof *expect);
    for (size_t i = 0; i < t->m; i++) {
        int64_t numbers[WIDEST];
        numbers_of(t, x, ldx, divisors, i, numbers);
        for (size_t j = 0; j < t->n; j++)
            expect[i][j] = limited(&e, expected(&b, &e, numbers[j], i, j));
    }
    struct vt_integer_epilogue by_ref = e;
    by_ref.c = want;
    by_ref.residual = t->residual && t->in_place ? (const int16_t *)(const void *)want : e.residual;
    run(&ref.integer, t, x, ldx, divisors, &by_ref);
    run(&kernels->integer, t, x, ldx, divisors, &e);
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < t->n; j++)
            require(result(&e, i * e.ldc + j) == expect[i][j], "not what its scales give", "integer epilogue",
                    kernels->bundle, t->m, t->n, t->source * 10 + t->to, t->seed);
    require(memcmp(c, want, c_bytes) == 0, "other bytes than ref, or wrote between rows", "integer epilogue",
            kernels->bundle, t->m, t->n, t->source * 10 + t->to, t->seed);
    require(guarded_intact(&b.c), "wrote outside", "integer epilogue", kernels->bundle, t->m, t->n, t->source, t->seed);
    free(want);
    free(expect);
    struct guarded *const all[] = { &b.x, &b.multiplier, &b.shift, &b.add, &b.residual, &b.c, &b.divisors };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        guarded_free(all[i]);
}

static void epilogues_of_bundle(const struct vt_kernels *kernels)
{
    uint64_t seed = 1;
    for (enum source source = 0; source < SOURCES; source++)
        for (enum vt_integer_type to = VT_TO_CODES; to <= VT_TO_NUMBERS; to++)
            for (size_t w = 0; w < WIDTHS; w++)
                for (unsigned choice = 0; choice < 8; choice++) {
                    const uint64_t random = random_bits(&seed);
                    const bool residual = choice & 1, in_place = residual && to == VT_TO_WORDS && choice & 2;
                    check_finish(kernels, &(struct finish_case){ .source = source,
                                                                 .to = to,
                                                                 .m = random % (MOST_ROWS + 1),
                                                                 .n = widths[w],
                                                                 .residual = residual,
                                                                 .in_place = in_place,
                                                                 .place = (enum place)(random >> 16) % PLACES,
                                                                 .seed = seed });
                }
}

static void test_epilogues(void **state)
{
    (void)state;
    for_each_bundle(epilogues_of_bundle);
}

/* Words may take the place of the words that they are made of. */
static void in_place_of_bundle(const struct vt_kernels *kernels)
{
    enum { ROWS = 11, N = 77 };
    static int16_t x[ROWS * N], want[ROWS * N];
    int32_t multiplier[N], shift[N], add[N];
    uint64_t seed = 2;
    for (int norm = 0; norm < 2; norm++) {
        for (size_t i = 0; i < N; i++) {
            multiplier[i] = (int32_t)(random_bits(&seed) >> 33);
            shift[i] = norm ? 10 : 0;
            add[i] = 1;
        }
        for (size_t i = 0; i < ROWS * N; i++)
            x[i] = (int16_t)random_bits(&seed);
        struct vt_integer_epilogue e = { { multiplier, shift, add, norm ? 0 : 15 }, .ldc = N, .to = VT_TO_WORDS };
        for (int place = 0; place < 2; place++) {
            e.c = place ? x : want;
            if (norm)
                kernels->integer.layer_norm_s16(ROWS, N, x, N, 0, &e);
            else
                kernels->integer.requantize_s16(ROWS, N, x, N, &e);
        }
        assert_memory_equal(x, want, sizeof x);
    }
}

static void test_in_place(void **state)
{
    (void)state;
    for_each_bundle(in_place_of_bundle);
}

/* ---- Limits of layer norm ---- */

/* One long row, whose numbers before the scale are compared with those of "ref". */
static void check_long_row(const struct vt_kernels *kernels, size_t n, const int16_t *row)
{
    const struct vt_kernels ref = reference_bundle();
    static int32_t multiplier[65536], shift[65536], add[65536], y[65536], want[65536];
    for (size_t i = 0; i < n; i++) {
        multiplier[i] = INT32_MAX;
        add[i] = 1;
    }
    struct vt_integer_epilogue e = { .columns = { multiplier, shift, add, 0 }, .c = y, .ldc = n, .to = VT_TO_NUMBERS };
    kernels->integer.layer_norm_s16(1, n, row, n, 0, &e);
    e.c = want;
    ref.integer.layer_norm_s16(1, n, row, n, 0, &e);
    require(memcmp(y, want, n * sizeof *y) == 0, "other bits than ref", "layer_norm_s16", kernels->bundle, 1, n, 0, 0);
}

static void long_rows_of_bundle(const struct vt_kernels *kernels)
{
    static int16_t row[65536];
    uint64_t seed = 1;
    static const size_t lengths[] = { 65536, 65535, 3072, 1000, 1 };
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
        for (int kind = 0; kind < 7; kind++) {
            for (size_t i = 0; i < lengths[l]; i++) {
                const int16_t random = (int16_t)random_bits(&seed);
                const int16_t kinds[7] = { INT16_MIN,
                                           INT16_MAX,
                                           i % 2 ? INT16_MIN : INT16_MAX,
                                           random,
                                           (int16_t)(random & 1),
                                           i ? 0 : 1,
                                           i ? INT16_MIN : INT16_MAX };
                row[i] = kinds[kind];
            }
            check_long_row(kernels, lengths[l], row);
        }
}

static void test_long_rows(void **state)
{
    (void)state;
    for_each_bundle(long_rows_of_bundle);
}

/* The largest sums and scales that there may be. */
static void extremes_of_bundle(const struct vt_kernels *kernels)
{
    enum { N = 70 };
    int32_t x[N], multiplier[N], shift[N] = { 0 }, add[N], y[N], want[N], divisors[1] = { (1 << 24) - 1 };
    const int32_t numbers[5] = { INT32_MAX, -INT32_MAX, 0, -1, 1 << 30 };
    for (size_t i = 0; i < N; i++) {
        x[i] = numbers[i % 5];
        multiplier[i] = i / 5 % 2 ? INT32_MAX : -INT32_MAX;
        add[i] = i / 10 % 2 ? (1 << 30) - 1 : -(1 << 30) + 1;
        shift[i] = i / 20 % 2 ? 31 : 0;
    }
    struct vt_integer_epilogue e = { .columns = { multiplier, shift, add, 0 }, .c = y, .ldc = N, .to = VT_TO_NUMBERS };
    const struct vt_kernels ref = reference_bundle();
    for (int divided = 0; divided < 2; divided++) {
        for (size_t i = 0; i < N && divided; i++)
            x[i] = x[i] > 1 ? 127 * divisors[0] : x[i] < -1 ? -128 * divisors[0] : x[i];
        e.c = y;
        kernels->integer.finish(1, N, x, N, divided ? divisors : NULL, &e);
        e.c = want;
        ref.integer.finish(1, N, x, N, divided ? divisors : NULL, &e);
        assert_memory_equal(y, want, sizeof y);
    }
    divisors[0] = 0;
    kernels->integer.finish(1, N, x, N, divisors, &e);
    for (size_t i = 0; i < N; i++)
        assert_true(want[i] == add[i] >> 1);
}

static void test_extremes(void **state)
{
    (void)state;
    for_each_bundle(extremes_of_bundle);
}

/* ---- GELU ---- */

static int64_t rounded_product(int64_t p, int64_t q)
{
    return (2 * p * q + 65536 / 2) >> 16;
}

/* One code by other means than the kernel's own: what its contract says, in 64 bits. */
static int64_t gelu_code(const struct vt_integer_gelu *k, size_t j, int32_t sum, uint8_t highest, int64_t *word)
{
    static const int coefficients[6] = { VT_GELU_0, VT_GELU_1, VT_GELU_2, VT_GELU_3, VT_GELU_4, VT_GELU_5 };
    const int64_t s = vt_limit((int64_t)sum * (1 << k->left) >> k->right[j], INT16_MIN, INT16_MAX);
    const int64_t x = vt_limit(s + rounded_product(s, k->fraction[j]), INT16_MIN, INT16_MAX);
    const int64_t near = llabs(x) < k->limit ? llabs(x) : k->limit;
    const int64_t h = (near << k->up) * k->multiplier >> 16;
    assert_true(h < 1 << 15);
    int64_t root = 0;
    for (size_t i = 6; i-- > 0;)
        root = coefficients[i] + rounded_product((1 << 15) - 1 - h, root);
    assert_true(4 * root <= INT16_MAX && 4 * root >= INT16_MIN);
    const int64_t v = rounded_product(h, rounded_product(4 * root, 4 * root));
    const int32_t of_tail = k->factors[j] >> 16, of_word = k->factors[j] - of_tail * 65536;
    const int64_t y = (x > 0 ? x : 0) * (of_word > INT16_MAX ? of_word - 65536 : of_word) + v * of_tail + k->add[j];
    assert_true(llabs(y) <= INT32_MAX);
    *word = x;
    return vt_limit(y >> k->shift[j], 0, highest);
}

/* Columns as a session prepares them: sums of so many bits that stand for numbers up to `most`. */
struct gelu_case {
    size_t m, n;
    unsigned bits;
    double most, range; /* of the sums; of the codes: scales are down to a 255th of it */
    enum place place;
    uint64_t seed;
};

struct gelu_buffers {
    struct guarded sums, right, fraction, factors, add, shift, c;
    int32_t half[WIDEST];
    double scale[WIDEST], zero[WIDEST], unit;
};

static void prepare_gelu(const struct gelu_case *t, struct gelu_buffers *b, struct vt_integer_gelu *k)
{
    const size_t bytes = t->n * sizeof(int32_t);
    uint64_t seed = t->seed;
    double ratio[WIDEST];
    int32_t *right = guarded_new(&b->right, bytes, t->place), *fraction = guarded_new(&b->fraction, bytes, t->place);
    int32_t *factors = guarded_new(&b->factors, bytes, t->place), *add = guarded_new(&b->add, bytes, t->place);
    int32_t *shift = guarded_new(&b->shift, bytes, t->place);
    b->unit = t->most / 32767;
    assert_true(vt_prepare_gelu(b->unit, k));
    for (size_t j = 0; j < t->n; j++) {
        ratio[j] = ldexp(1, 15 - (int)t->bits) * fabs(random_ratio(&seed, -2, 1));
        if (random_bits(&seed) % 10 == 0)
            ratio[j] = random_bits(&seed) % 2 ? 0 : fabs(random_ratio(&seed, -40, 0));
        b->scale[j] = t->range / 255 * fabs(random_ratio(&seed, 0, 3));
        b->zero[j] = random_bits(&seed) % 20 ? (double)(random_bits(&seed) % 256) : random_number(&seed, 22);
        vt_prepare_gelu_codes(b->unit, b->scale[j], b->zero[j], &factors[j], &add[j], &shift[j]);
    }
    assert_true(vt_prepare_gelu_sums(t->n, ratio, (1u << t->bits) - 1, right, fraction, b->half, &k->left));
    k->right = right;
    k->fraction = fraction;
    k->factors = factors;
    k->add = add;
    k->shift = shift;
}

/* Contract and error: half a code's rounding, 3e-4, that of 16-bit factors, and what a tail's factor is rounded. */
static void check_gelu(const struct vt_kernels *kernels, const struct gelu_case *t)
{
    struct gelu_buffers b;
    struct vt_integer_gelu k;
    const size_t ld = t->n + 1, ldc = t->n + GAP, last = t->m ? t->m - 1 : 0, bytes = t->m ? last * ldc + t->n : 0;
    const uint8_t highest = t->seed % 3 ? 255 : 15;
    int32_t *sums = guarded_new(&b.sums, t->m ? (last * ld + t->n) * sizeof *sums : 0, t->place);
    uint8_t *c = guarded_new(&b.c, bytes, t->place), *want = malloc(bytes + 1);
    uint64_t seed = t->seed + 1;
    prepare_gelu(t, &b, &k);
    memcpy(want, c, bytes);
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < t->n; j++) {
            int64_t x;
            const int32_t sum = random_bits(&seed) % 50 ? random_number(&seed, t->bits) : (1 << t->bits) - 1;
            sums[i * ld + j] = seed % 2 ? sum : -sum;
            want[i * ldc + j] = (uint8_t)gelu_code(&k, j, sums[i * ld + j], highest, &x);
            const double exact = vt_gelu_of((double)x * b.unit) / b.scale[j] + b.zero[j];
            const double bound = 0.5 + 3e-4 / b.scale[j] + 0x1p-15 * (fabs(exact) + fabs(b.zero[j])) +
                                 0.5 * 0.17 * 0x1p14 * ldexp(1, -k.shift[j]);
            require(fabs(want[i * ldc + j] - fmin(fmax(exact, 0), highest)) <= bound, "outside the error bound",
                    "finish_gelu", kernels->bundle, i, j, k.shift[j], t->seed);
        }
    kernels->integer.finish_gelu(t->m, t->n, sums, ld, &k, highest, c, ldc);
    require(memcmp(c, want, bytes) == 0, "other bytes, or wrote between rows", "finish_gelu", kernels->bundle, t->m,
            t->n, 0, t->seed);
    require(guarded_intact(&b.c), "wrote outside", "finish_gelu", kernels->bundle, t->m, t->n, 0, t->seed);
    free(want);
    struct guarded *const all[] = { &b.sums, &b.right, &b.fraction, &b.factors, &b.add, &b.shift, &b.c };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        guarded_free(all[i]);
}

static void gelu_of_bundle(const struct vt_kernels *kernels)
{
    static const double most[] = { 0.01, 3, 12, 40, 1000 }, ranges[] = { 0.2, 2, 10, 500 };
    uint64_t seed = 1;
    for (size_t w = 0; w < WIDTHS; w++)
        for (unsigned choice = 0; choice < 20; choice++) {
            const uint64_t random = random_bits(&seed);
            check_gelu(kernels, &(struct gelu_case){ .m = random % (MOST_ROWS + 5),
                                                     .n = widths[w],
                                                     .bits = random >> 8 & 1 ? 23 : 10 + (random >> 9) % 21,
                                                     .most = most[choice % 5],
                                                     .range = ranges[choice / 5],
                                                     .place = (enum place)(random >> 16) % PLACES,
                                                     .seed = seed });
        }
}

/* Every word, in codes of a width in which the whole error is seen: within 3e-4 beside half a code. */
static void all_words_of_bundle(const struct vt_kernels *kernels)
{
    enum { N = 64 };
    static const double units[] = { 2e-6, 1e-4, 0x1p-13, 1e-3, 0.02 };
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        int32_t right[N] = { 0 }, fraction[N] = { 0 }, factors[N], add[N], shift[N], sums[N];
        double middle[N];
        struct vt_integer_gelu k = { right, fraction, factors, add, shift, .left = 0 };
        uint8_t codes[N];
        assert_true(vt_prepare_gelu(units[u], &k));
        for (int32_t first = INT16_MIN; first <= INT16_MAX; first += N) {
            for (size_t j = 0; j < N; j++) {
                sums[j] = first + (int32_t)j;
                middle[j] = vt_gelu_of(sums[j] * units[u]) / 1e-4; /* such that its code is about 128 */
                vt_prepare_gelu_codes(units[u], 1e-4, 128 - middle[j], &factors[j], &add[j], &shift[j]);
            }
            kernels->integer.finish_gelu(1, N, sums, N, &k, 255, codes, N);
            for (size_t j = 0; j < N; j++)
                require(fabs(codes[j] - 128.0) <=
                            0.5 + 3 + 0x1p-15 * fabs(middle[j]) + 0.5 * 0.17 * 0x1p14 * ldexp(1, -shift[j]),
                        "outside the error bound", "finish_gelu", kernels->bundle, 1, j, (size_t)u, (uint64_t)sums[j]);
        }
    }
}

static void test_gelu(void **state)
{
    (void)state;
    for_each_bundle(gelu_of_bundle);
    for_each_bundle(all_words_of_bundle);
}

/* ---- Softmax ---- */

/* Of a row with a bias or without: each code within 0.75 of 255 exp, the bits of "ref", sums of the codes. */
static void check_softmax(const struct vt_kernels *kernels, size_t m, size_t n, double scale, bool with_bias,
                          enum place place, uint64_t seed)
{
    const struct vt_kernels ref = reference_bundle();
    const size_t ldx = n + 1, ldb = n + 2, ldy = n + 3, last = m ? m - 1 : 0;
    struct guarded memory[4];
    int32_t *x = guarded_new(&memory[0], m ? (last * ldx + n) * 4 : 0, place);
    int32_t *bias = guarded_new(&memory[1], m ? (last * ldb + n) * 4 : 0, place);
    int32_t *sums = guarded_new(&memory[2], m * 4, place), want_sums[MOST_ROWS] = { 0 };
    const size_t bytes = m ? last * ldy + n : 0;
    uint8_t *y = guarded_new(&memory[3], bytes, place), *want = malloc(bytes + 1);
    struct vt_exp_scale s;
    assert_true(vt_prepare_exp(scale, &s));
    const unsigned bits = (unsigned)fmin(fmax(log2(12 / scale), 1), 28);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            x[i * ldx + j] = random_number(&seed, seed % 3 ? bits : 28);
            bias[i * ldb + j] = random_bits(&seed) % 5 ? random_number(&seed, bits) : -(1 << 28);
        }
    memcpy(want, y, bytes);
    const int32_t *added = with_bias ? bias : NULL;
    ref.integer.softmax_s32(m, n, &s, x, ldx, added, ldb, want, ldy, want_sums);
    kernels->integer.softmax_s32(m, n, &s, x, ldx, added, ldb, y, ldy, sums);
    for (size_t i = 0; i < m; i++) {
        int32_t max = INT32_MIN, sum = 0;
        for (size_t j = 0; j < n; j++) {
            const int32_t score = x[i * ldx + j] + (with_bias ? bias[i * ldb + j] : 0);
            max = score > max ? score : max;
        }
        for (size_t j = 0; j < n; j++) {
            const int32_t score = x[i * ldx + j] + (with_bias ? bias[i * ldb + j] : 0);
            const double exact = 255 * exp(scale * ((double)score - max));
            const double bound = scale * 1.44269504 >= 8 ? 1 : 0.75;
            require(fabs(y[i * ldy + j] - exact) <= bound, "outside the error bound", "softmax_s32", kernels->bundle, m,
                    n, 0, seed);
            sum += y[i * ldy + j];
        }
        require(sums[i] == sum && want_sums[i] == sum, "not the sum of the codes", "softmax_s32", kernels->bundle, m, n,
                0, seed);
    }
    require(memcmp(y, want, bytes) == 0, "other bytes than ref", "softmax_s32", kernels->bundle, m, n, 0, seed);
    require(guarded_intact(&memory[2]) && guarded_intact(&memory[3]), "wrote outside", "softmax_s32", kernels->bundle,
            m, n, 0, seed);
    for (size_t i = 0; i < 4; i++)
        guarded_free(&memory[i]);
    free(want);
}

static void softmax_of_bundle(const struct vt_kernels *kernels)
{
    uint64_t seed = 1;
    for (size_t w = 0; w < WIDTHS; w++)
        for (int power = -26; power < 8; power++) {
            const uint64_t random = random_bits(&seed);
            const double scale = ldexp(1 + (double)(random >> 40) * 0x1p-24, power);
            check_softmax(kernels, random % 4, widths[w], scale, random & 8, random & 16 ? AT_END : AT_START, seed);
        }
}

/* Every difference that matters, at scales all over the range; the largest code is 255. */
static void codes_of_bundle(const struct vt_kernels *kernels)
{
    enum { N = 4096 };
    static int32_t x[N];
    static uint8_t y[N];
    uint64_t seed = 7;
    for (int round = 0; round < 300; round++) {
        const double scale = ldexp(0.5 + (double)(random_bits(&seed) >> 40) * 0x1p-25, 2 - round % 28);
        struct vt_exp_scale s;
        int32_t sum;
        assert_true(vt_prepare_exp(scale, &s));
        const double step = fmax(1, 7 / scale / (N - 1));
        for (size_t i = 0; i < N; i++)
            x[i] = 1000 - (int32_t)(step * (double)i);
        kernels->integer.softmax_s32(1, N, &s, x, N, NULL, 0, y, N, &sum);
        assert_true(y[0] == 255);
        for (size_t i = 0; i < N; i++) {
            const double exact = 255 * exp(scale * ((double)x[i] - x[0]));
            require(fabs(y[i] - exact) <= 0.75, "outside the error bound", "softmax_s32", kernels->bundle, 1, N, i,
                    (uint64_t)round);
        }
    }
}

static void test_softmax(void **state)
{
    (void)state;
    for_each_bundle(softmax_of_bundle);
    for_each_bundle(codes_of_bundle);
    struct vt_exp_scale s;
    static const double refused[] = { 0, -1, 0x1p-27, 0x1p30, INFINITY, NAN };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(vt_prepare_exp(refused[i], &s));
}

/* ---- Elements ---- */

static void elements_of_bundle(const struct vt_kernels *kernels)
{
    const struct vt_integer_kernels *k = &kernels->integer;
    uint64_t seed = 3;
    for (size_t n = 0; n <= 200; n++)
        for (enum place place = 0; place < PLACES; place++) {
            struct guarded memory[7];
            uint8_t *x = guarded_new(&memory[0], n, place), *table = guarded_new(&memory[1], 256, place);
            int16_t *a = guarded_new(&memory[2], 2 * n, place), *b = guarded_new(&memory[3], 2 * n, place);
            int32_t *c = guarded_new(&memory[4], 4 * n, place), *d = guarded_new(&memory[5], 4 * n, place);
            int32_t *others = guarded_new(&memory[6], 4 * n, place);
            const int32_t added = random_number(&seed, 30);
            uint8_t looked_up[200];
            int16_t words[200];
            const double ratio[2] = { random_ratio(&seed, -19, 3), random_ratio(&seed, -3, 1) };
            struct vt_word_scale scale[2];
            struct vt_dyadic dyadic[2];
            int32_t sums[200];
            for (size_t i = 0; i < 2; i++)
                scale[i] = word_scale_of(ratio[i], &dyadic[i]);
            for (size_t i = 0; i < 256; i++)
                table[i] = (uint8_t)random_bits(&seed);
            for (size_t i = 0; i < n; i++) {
                x[i] = (uint8_t)random_bits(&seed);
                a[i] = (int16_t)(i % 7 ? (int16_t)random_bits(&seed) : INT16_MIN);
                b[i] = (int16_t)(random_bits(&seed) >> (i % 8));
                c[i] = random_number(&seed, 30);
                d[i] = random_number(&seed, 30);
                looked_up[i] = table[x[i]];
                words[i] = (int16_t)vt_requantize_sum(a[i], dyadic[0], b[i], dyadic[1], INT16_MIN, INT16_MAX);
                d[i] = d[i] % 3 ? d[i] : 0;
                sums[i] = c[i] + (d[i] ? added : 0);
            }
            k->lookup_u8(n, table, x, x);
            k->add_s16(n, a, scale[0], b, scale[1], n % 2 ? a : b);
            k->add_where_s32(n, c, added, d, n % 2 ? c : others);
            require(memcmp(x, looked_up, n) == 0, "wrong bytes", "lookup_u8", kernels->bundle, 0, n, 0, seed);
            require(memcmp(n % 2 ? a : b, words, 2 * n) == 0, "wrong words", "add_s16", kernels->bundle, 0, n, 0, seed);
            require(memcmp(n % 2 ? c : others, sums, 4 * n) == 0, "wrong sums", "add_where_s32", kernels->bundle, 0, n,
                    0, seed);
            for (size_t i = 0; i < 7; i++) {
                require(guarded_intact(&memory[i]), "wrote outside", "elements", kernels->bundle, i, n, 0, seed);
                guarded_free(&memory[i]);
            }
        }
}

/* Every byte through a table in which no two are the same. */
static void table_of_bundle(const struct vt_kernels *kernels)
{
    uint8_t table[256], x[256], y[256];
    for (size_t i = 0; i < 256; i++) {
        x[i] = (uint8_t)i;
        table[i] = (uint8_t)(i * 167 + 13);
    }
    kernels->integer.lookup_u8(256, table, x, y);
    assert_memory_equal(y, table, 256);
}

static void row_sums_of_bundle(const struct vt_kernels *kernels)
{
    static int16_t words[MOST_ROWS * WIDEST];
    static uint8_t bytes[MOST_ROWS * WIDEST];
    uint64_t seed = 4;
    for (size_t i = 0; i < MOST_ROWS * WIDEST; i++) {
        words[i] = (int16_t)random_bits(&seed);
        bytes[i] = (uint8_t)random_bits(&seed);
    }
    for (size_t w = 0; w < WIDTHS; w++)
        for (size_t m = 0; m <= MOST_ROWS; m++) {
            const size_t n = widths[w];
            struct guarded memory[2];
            int32_t *of_words = guarded_new(&memory[0], 4 * n, AT_END),
                    *of_bytes = guarded_new(&memory[1], 4 * n, AT_END);
            const size_t from = (size_t)MOST_ROWS * WIDEST - (m ? (m - 1) * WIDEST + n : 0);
            kernels->integer.sum_rows_s16(m, n, words + from, WIDEST, of_words);
            kernels->integer.sum_rows_u8(m, n, bytes + from, WIDEST, of_bytes);
            for (size_t j = 0; j < n; j++) {
                int32_t sums[2] = { 0, 0 };
                for (size_t i = 0; i < m; i++) {
                    sums[0] += words[from + i * WIDEST + j];
                    sums[1] += bytes[from + i * WIDEST + j];
                }
                require(of_words[j] == sums[0] && of_bytes[j] == sums[1], "wrong sum", "sum_rows", kernels->bundle, m,
                        n, j, 4);
            }
            for (size_t i = 0; i < 2; i++) {
                require(guarded_intact(&memory[i]), "wrote outside", "sum_rows", kernels->bundle, m, n, i, 4);
                guarded_free(&memory[i]);
            }
        }
}

static void test_elements(void **state)
{
    (void)state;
    for_each_bundle(elements_of_bundle);
    for_each_bundle(table_of_bundle);
    for_each_bundle(row_sums_of_bundle);
}

/* ---- What is prepared ---- */

static void test_prepared_columns(void **state)
{
    (void)state;
    int32_t multiplier[3], shift[3];
    unsigned left;
    assert_true(vt_prepare_columns(2, (const double[]){ 0.0123, -0.2 }, INT32_MAX, multiplier, shift, &left));
    assert_true(left == 0 && multiplier[0] == 1690499128 && shift[0] == 37 - 33 && multiplier[1] < 0 && shift[1] == 0);
    assert_true(vt_prepare_columns(2, (const double[]){ 0.0123, 3.25 }, 1 << 26, multiplier, shift, &left));
    assert_true(left == 4 && shift[0] == 37 - 33 + 4 && shift[1] == 0);
    assert_false(vt_prepare_columns(1, (const double[]){ 3.25 }, 1 << 27, multiplier, shift, &left));
    assert_false(vt_prepare_columns(1, (const double[]){ NAN }, 1, multiplier, shift, &left));
    assert_true(vt_prepare_columns(3, (const double[]){ 0, 0x1p-31, 0x1p-32 }, INT32_MAX, multiplier, shift, &left));
    assert_true(left == 0 && multiplier[0] == 0 && multiplier[1] == 1 << 30 && shift[1] == 61 - 33 && shift[2] == 29);
    assert_true(vt_prepare_columns(2, (const double[]){ 0x1p20, 0x1p-31 }, 100, multiplier, shift, &left));
    assert_true(left == 23 && multiplier[1] == 0);
    assert_true(vt_prepare_add(3) == 7 && vt_prepare_add(-0.5) == 0 && vt_prepare_add(-1) == -1);
    assert_true(vt_prepare_add(NAN) == 1 && vt_prepare_add(1e30) == 2 * ((1 << 29) - 1) + 1);
    struct vt_word_scale s;
    assert_true(vt_prepare_word_scale(1, &s) && s.multiplier == 1 << 14 && s.shift == 14);
    assert_true(vt_prepare_word_scale(0x1p-30, &s) && s.multiplier == 0);
    assert_false(vt_prepare_word_scale(0x1p13, &s));
    assert_true(vt_prepare_word_scale(0x1p13 - 1, &s));
}

static void test_prepared_gelu(void **state)
{
    (void)state;
    int32_t right[4], fraction[4], half[4], factors, add, shift;
    unsigned left;
    const double ratios[4] = { 1.5 * 0x1p-10, 0, 0x1p-40, 1 };
    assert_true(vt_prepare_gelu_sums(4, ratios, INT32_MAX, right, fraction, half, &left));
    assert_true(left == 0 && right[0] == 10 && fraction[0] == 1 << 14 && half[0] == 1 << 9);
    assert_true(right[1] == 31 && fraction[1] == 0 && right[2] == 31 && fraction[2] == 0);
    assert_true(right[3] == 0 && fraction[3] == 0 && half[3] == 0);
    assert_true(vt_prepare_gelu_sums(2, (const double[]){ 5, 1 }, 1000, right, fraction, half, &left));
    assert_true(left == 2 && right[0] == 0 && fraction[0] == 1 << 13 && half[0] == 0 && right[1] == 2);
    assert_true(vt_prepare_gelu_sums(1, (const double[]){ 2 - 0x1p-30 }, 1000, right, fraction, half, &left));
    assert_true(left == 0 && right[0] == 0 && fraction[0] == INT16_MAX);
    static const double refused[] = { -1, 0x1p31, NAN, 4 };
    for (size_t i = 0; i < 4; i++)
        assert_false(vt_prepare_gelu_sums(1, &refused[i], INT32_MAX, right, fraction, half, &left));
    vt_prepare_gelu_codes(0x1p-10, 0x1p-5, 8, &factors, &add, &shift);
    assert_true(shift == 19 && factors == (1 << 14) - (1 << 10) * 65536 && add == 17 << 18);
    vt_prepare_gelu_codes(0x1p-10, 0x1p-5, 4e6, &factors, &add, &shift); /* whose codes are all the highest one */
    assert_true(shift == 7 && add > 1 << 28);
    vt_prepare_gelu_codes(1, 1e-9, 0, &factors, &add, &shift); /* far finer than the words */
    assert_true(shift == 0 && factors == INT16_MAX - INT16_MAX * 65536 && add == 0);
}

static void test_prepared_tables(void **state)
{
    (void)state;
    const struct vt_code_scale in = { 0.05, 128, 255 }, out = { 0.025, 8, 255 }, few = { 0.5, 3, 15 };
    uint8_t table[256];
    vt_prepare_table(VT_ACT_GELU, &in, &out, table);
    assert_true(table[128] == 8 && table[255] == 255 && table[0] == 8);
    for (int code = 0; code < 256; code++) {
        const double x = (code - 128) * 0.05, y = 0.5 * x * (1 + erf(x / sqrt(2)));
        assert_true(fabs(table[code] - fmin(y / 0.025 + 8, 255)) <= 0.5 + 1e-9);
    }
    vt_prepare_table(VT_ACT_NONE, &few, &few, table);
    for (int code = 0; code < 256; code++)
        assert_int_equal(table[code], code < 15 ? code : 15);
    static const double at_one[VT_ACT_COUNT] = { 1, 0.8413447, 0.8411920, 0.8457957, 0.7310586, 1, 0.7615942 };
    const struct vt_code_scale one = { 1, 0, 255 }, fine = { 0.01, 0, 255 };
    for (enum vt_activation a = 0; a < VT_ACT_COUNT; a++) {
        vt_prepare_table(a, &one, &fine, table);
        assert_int_equal(table[1], (int)rint(100 * at_one[a]));
    }
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epilogues),     cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_long_rows),     cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_gelu),          cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_elements),      cmocka_unit_test(test_prepared_columns),
        cmocka_unit_test(test_prepared_gelu), cmocka_unit_test(test_prepared_tables),
    };
    return cmocka_run_group_tests_name("check_integer", tests, NULL, NULL);
}
