/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalar integer arithmetic and the published integer-only functions: worked examples bit for bit, and what must hold
 * for any argument against long double, against definitions, and at the limits.
 */
#include "check.h"

#include "ivit.h"

static void require_row(size_t n, const int32_t *got, const int32_t *want, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("%s: element %zu is %d, not %d", what, i, (int)got[i], (int)want[i]);
}

static struct vt_dyadic dyadic(double ratio)
{
    struct vt_dyadic d = { 0 };
    assert_true(vt_dyadic_of(ratio, &d));
    return d;
}

static void require_dyadic(double ratio, int64_t b, unsigned c)
{
    const struct vt_dyadic d = dyadic(ratio);
    if (d.b != b || d.c != c)
        fail_msg("%g is %d / 2^%u, not %lld / 2^%u", ratio, (int)d.b, d.c, (long long)b, c);
}

/* ---- Dyadic numbers ---- */

static void test_worked_ratios(void **state)
{
    (void)state;
    require_dyadic(0.0123, 1690499128, 37);
    require_dyadic(-0.0123, -1690499128, 37);
    require_dyadic(0.5, 1 << 30, 31);
    require_dyadic(1.75e-7, 1576259870, 53);
    require_dyadic(3.25, 1744830464, 29);
    require_dyadic(0.0021 / 0.0017, 1326386959, 30);
    require_dyadic(0.0013 / 0.0017, 1642193378, 31);
}

static void require_requantized(double ratio, int32_t z, int64_t half_up, int64_t half_even)
{
    const struct vt_dyadic d = dyadic(ratio);
    if (vt_requantize(z, d) != half_up || vt_requantize_half_even(z, d) != half_even)
        fail_msg("%d * %g: %lld and %lld, not %lld and %lld", (int)z, ratio, (long long)vt_requantize(z, d),
                 (long long)vt_requantize_half_even(z, d), (long long)half_up, (long long)half_even);
}

static void test_worked_requantization(void **state)
{
    (void)state;
    static const struct {
        double ratio;
        int32_t z;
        int64_t half_up, half_even;
    } cases[] = {
        { 0.0123, 1000, 12, 12 },
        { 0.0123, -1000, -12, -12 },
        { 0.0123, 5000, 62, 62 },
        { 0.0123, 12345, 152, 152 },
        { 0.0123, 2000000, 24600, 24600 },
        { 0.5, 1, 1, 0 },
        { 0.5, 3, 2, 2 },
        { 0.5, 5, 3, 2 },
        { 0.5, -1, 0, 0 },
        { 0.5, -3, -1, -2 },
        { 1.75e-7, 1 << 28, 47, 47 },
        { 1.75e-7, 987654321, 173, 173 },
        { 3.25, 7, 23, 23 },
        { 3.25, -9, -29, -29 },
        { 3.25, 50, 163, 162 },
        { -0.0123, 1000, -12, -12 },
        { -0.0123, -5000, 62, 62 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        require_requantized(cases[i].ratio, cases[i].z, cases[i].half_up, cases[i].half_even);
    assert_int_equal(vt_limit(vt_requantize(12345, dyadic(0.0123)), -128, 127), 127);
    assert_int_equal(vt_limit(vt_requantize(12345, dyadic(0.0123)), INT16_MIN, INT16_MAX), 152);
    assert_int_equal(vt_limit(vt_requantize(50, dyadic(3.25)), -128, 127), 127);
}

static void test_worked_residual(void **state)
{
    (void)state;
    const struct vt_dyadic x = dyadic(0.0021 / 0.0017), y = dyadic(0.0013 / 0.0017);
    assert_int_equal(vt_requantize(1000, x), 1235);
    assert_int_equal(vt_requantize(-2000, y), -1529);
    assert_int_equal(vt_requantize(20000, x), 24706);
    assert_int_equal(vt_requantize(25000, y), 19118);
    assert_int_equal(vt_requantize_sum(1000, x, -2000, y, INT16_MIN, INT16_MAX), -294);
    assert_int_equal(vt_requantize_sum(20000, x, 25000, y, INT16_MIN, INT16_MAX), 32767);
    assert_int_equal(vt_requantize_sum(-7, x, 3, y, INT16_MIN, INT16_MAX), -7);
}

static void test_limits_of_ratios(void **state)
{
    (void)state;
    struct vt_dyadic d = { 7, 7 };
    static const double refused[] = { 0x1p31, -0x1p31, 1e300, INFINITY, -INFINITY, NAN };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(vt_dyadic_of(refused[i], &d));
    assert_true(d.b == 7 && d.c == 7);
    assert_false(vt_dyadic_of(nextafter(0x1p31, 0), &d)); /* rounds to 2^31 */
    require_dyadic(0x1p31 - 1, INT32_MAX, 0);
    require_dyadic(-(0x1p31 - 1), -INT32_MAX, 0);
    require_dyadic(1, 1 << 30, 30);
    require_dyadic(nextafter(1, 0), 1 << 30, 30);
    require_dyadic(nextafter(1, 2), 1 << 30, 30);
    require_dyadic(0, 0, 0);
    require_dyadic(0x1p-32, 1 << 30, 62);
    require_dyadic(nextafter(0x1p-32, 0), 1 << 30, 62);
    require_dyadic(0x1p-33, 0, 0);
    require_dyadic(5e-324, 0, 0);
    const struct vt_dyadic tiny = dyadic(0x1.fp-32), huge = dyadic(0x1p31 - 1);
    assert_int_equal(vt_requantize(INT32_MIN, tiny), -1); /* -0.97 */
    assert_int_equal(vt_requantize(INT32_MAX, tiny), 1);
    assert_true(vt_requantize(INT32_MIN, huge) == INT64_C(-0x80000000) * INT32_MAX);
    assert_true(vt_requantize_half_even(INT32_MIN, huge) == INT64_C(-0x80000000) * INT32_MAX);
}

/* A double anywhere between 2^-40 and 2^31, of either sign. */
static double random_ratio(uint64_t *seed)
{
    const uint64_t bits = random_bits(seed);
    const double f = 0.5 + (double)(bits >> 12) * 0x1p-53;
    return ldexp(bits & 1 ? -f : f, (int)(bits >> 1 & 0x7FF) % 71 - 39);
}

/* A number with a random count of low bits, of either sign. */
static int32_t random_number(uint64_t *seed)
{
    const uint64_t bits = random_bits(seed);
    const int32_t magnitude = (int32_t)(bits >> 33 >> bits % 31);
    return bits & 1 << 8 ? -magnitude - 1 : magnitude;
}

/* Division of twice the product, plus the half, by twice the power: rounds as the definition says, in long double,
 * which holds any number of 63 bits. */
static void test_requantization_by_definition(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 300000; i++) {
        const double ratio = random_ratio(&seed);
        struct vt_dyadic d;
        if (!vt_dyadic_of(ratio, &d))
            continue;
        const double value = ldexp(d.b, -(int)d.c);
        assert_true(d.b == 0 ? fabs(ratio) <= 0x1p-32 : fabs(value - ratio) <= 0x1p-31 * fabs(ratio));
        assert_true(d.b == 0 || (d.c <= 62 && (d.b >= 1 << 30 || d.b <= -(1 << 30)) && d.b != INT32_MIN));
        const int32_t z = random_number(&seed);
        const long double product = ldexpl((long double)z * (long double)d.b, -(int)d.c);
        const long double below = floorl(product), fraction = product - below;
        const int64_t up = (int64_t)below + (fraction >= 0.5L);
        const int64_t even = fraction == 0.5L ? (int64_t)below + ((int64_t)below & 1) : up;
        assert_true(vt_requantize(z, d) == up);
        assert_true(vt_requantize_half_even(z, d) == even);
    }
}

/* ---- Roots ---- */

static void require_root(uint64_t v)
{
    const uint64_t r = vt_isqrt(v);
    if (r * r > v || (r < UINT32_MAX && (r + 1) * (r + 1) <= v))
        fail_msg("root of %llu: %llu", (unsigned long long)v, (unsigned long long)r);
}

static void test_roots(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (uint64_t v = 0; v < 100000; v++)
        require_root(v);
    for (int i = 0; i < 1000000; i++) {
        const uint64_t bits = random_bits(&seed), r = bits & UINT32_MAX;
        require_root(bits >> (bits % 64));
        require_root(r * r);
        require_root(r * r - (r > 0));
    }
    require_root(UINT64_MAX);
    assert_int_equal(vt_isqrt(UINT64_MAX), UINT32_MAX);
}

/* The published root, which is the exact one from about 187 on or 1 more: V = m^2 - 1 goes to and fro. */
static void test_published_root(void **state)
{
    (void)state;
    static const uint64_t worked[][2] = { { 113000000, 10630 }, { 11300, 113 },  { 100 * 100, 108 }, { 64 * 64, 83 },
                                          { 32 * 32, 68 },      { 16 * 16, 65 }, { 187 * 187, 187 } };
    for (size_t i = 0; i < sizeof worked / sizeof worked[0]; i++)
        assert_int_equal(vt_ivit_root(worked[i][0]), worked[i][1]);
    for (uint64_t m = 187; m < 70000; m++) {
        assert_int_equal(vt_ivit_root(m * m), m);
        const uint64_t below = vt_ivit_root(m * m - 1);
        assert_true(below == m - 1 || below == m);
    }
    assert_true(vt_ivit_root(0) == 64);
}

/* ---- ShiftExp and Shiftmax ---- */

static struct vt_shift_exp shift_exp(enum vt_ivit_semantics semantics, double s, unsigned n, int32_t x0)
{
    struct vt_shift_exp e = { 0 };
    assert_true(vt_shift_exp_of(semantics, s, n, &e));
    if (x0)
        e.x0 = x0;
    return e;
}

static void require_exponentials(size_t n, const int32_t *x, const uint64_t *want, const struct vt_shift_exp *e)
{
    for (size_t i = 0; i < n; i++)
        if (vt_shift_exp(x[i], e) != want[i])
            fail_msg("exponential %zu is %llu, not %llu", i, (unsigned long long)vt_shift_exp(x[i], e),
                     (unsigned long long)want[i]);
}

static void test_worked_bases(void **state)
{
    (void)state;
    assert_int_equal(shift_exp(VT_IVIT_PYTORCH, 0.11, 15, 0).x0, -10);
    assert_int_equal(shift_exp(VT_IVIT_TVM, 0.11, 16, 0).x0, -10);
    assert_int_equal(shift_exp(VT_IVIT_PAPER, 0.11, 15, 0).x0, -9);
    assert_int_equal(shift_exp(VT_IVIT_PAPER, 0.05, 15, 0).x0, -20);
    assert_int_equal(shift_exp(VT_IVIT_PYTORCH, 0.125, 15, 0).x0, -8);
    assert_int_equal(shift_exp(VT_IVIT_TVM, 0.125, 15, 0).x0, -9);
    struct vt_shift_exp e;
    assert_false(vt_shift_exp_of(VT_IVIT_PYTORCH, 0, 15, &e));
    assert_false(vt_shift_exp_of(VT_IVIT_PYTORCH, -1, 15, &e));
    assert_false(vt_shift_exp_of(VT_IVIT_PYTORCH, NAN, 15, &e));
    assert_false(vt_shift_exp_of(VT_IVIT_PAPER, 3, 15, &e)); /* nearest(1/3) is 0 */
    assert_false(vt_shift_exp_of(VT_IVIT_PYTORCH, 1e-9, 15, &e));
}

static void test_worked_shiftmax(void **state)
{
    (void)state;
    static const int32_t row[5] = { 10, 4, 0, -20, -128 }, delta[5] = { 0, -6, -10, -30, -138 };
    static const uint64_t pytorch[5] = { 327680, 196608, 131072, 17408, 10 };
    static const uint64_t paper[5] = { 327680, 196608, 131072, 16384, 10 };
    static const uint64_t tvm[5] = { 655360, 393216, 262144, 32768, 10 };
    static const int32_t words[5] = { 15955, 9573, 6382, 847, 0 }, bytes[5] = { 62, 37, 24, 3, 0 };
    int32_t y[5];
    struct vt_shift_exp e = shift_exp(VT_IVIT_PYTORCH, 0.11, 15, 0);
    require_exponentials(5, delta, pytorch, &e);
    vt_shiftmax(5, row, &e, 16, y);
    require_row(5, y, words, "Shiftmax of 16 bits");
    vt_shiftmax(5, row, &e, 8, y);
    require_row(5, y, bytes, "Shiftmax of 8 bits");
    e = shift_exp(VT_IVIT_PAPER, 0.11, 15, -10);
    require_exponentials(5, delta, paper, &e);
    vt_shiftmax(5, row, &e, 8, y);
    require_row(5, y, bytes, "Shiftmax of the paper");
    e = shift_exp(VT_IVIT_TVM, 0.11, 16, 0);
    require_exponentials(5, delta, tvm, &e);
    vt_shiftmax(5, row, &e, 8, y);
    require_row(5, y, bytes, "Shiftmax of TVM");
}

static void test_flat_row(void **state)
{
    (void)state;
    enum { N = 197 };
    int32_t row[N], y[N];
    const struct vt_shift_exp e = shift_exp(VT_IVIT_PYTORCH, 1 / 16.0, 15, 0), wide = vt_shift_exp_wide(e);
    assert_int_equal(e.x0, -16);
    for (size_t i = 0; i < N; i++)
        row[i] = 5;
    vt_shiftmax(N, row, &e, 16, y);
    assert_true(y[0] == 160 && y[N - 1] == 160);
    vt_shiftmax(N, row, &e, 8, y);
    assert_true(y[0] == 0);
    vt_shiftmax(N, row, &wide, 16, y);
    assert_true(y[0] == 166);
}

/* The line is within 6.15 % of the exponential above, 1.4375 for log2(e) and the floors make the exponent of 2 smaller
 * in magnitude by 0.36 % and, in units of |x0|, by up to 2. */
static void test_shift_exp_against_exp(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        const double s = ldexp(1, -4 - i % 8) * (1 + i / 100.0);
        const struct vt_shift_exp e = shift_exp(VT_IVIT_PYTORCH, s, 31, 0);
        const double one = ldexp(-e.x0, 31), unit = 1.0 / -e.x0;
        for (int32_t x = 0; s * x > -12; x--) {
            const double exact = exp(s * x), got = (double)vt_shift_exp(x, &e) / one;
            const double slack = exp2(2 * unit) * (1 + 1e-6), slope = exp(-0.0037 * s * x + unit * s * -x);
            assert_true(got <= exact * 1.0616 * slope * slack && got >= exact / slope / slack);
        }
    }
}

static void test_shiftmax_sums(void **state)
{
    (void)state;
    uint64_t seed = 3;
    int32_t x[700], y[700];
    for (int round = 0; round < 500; round++) {
        const size_t n = 1 + random_bits(&seed) % 700;
        const struct vt_shift_exp e = vt_shift_exp_wide(shift_exp(VT_IVIT_PYTORCH, 0.03, 15, 0));
        for (size_t i = 0; i < n; i++)
            x[i] = random_number(&seed) >> (round % 30);
        vt_shiftmax(n, x, &e, 16, y);
        int64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            assert_true(y[i] >= 0 && y[i] <= 1 << 15);
            sum += y[i];
        }
        assert_true(sum <= 1 << 15 && sum >= (1 << 15) - (int64_t)n - 1); /* each rounded down */
    }
}

/* ---- ShiftGELU ---- */

static void require_gelu(const int32_t *row, size_t n, const int32_t *sigmoid, const struct vt_shift_exp *e)
{
    int32_t got[16];
    vt_shift_gelu_row(n, row, e, 8, got);
    require_row(n, got, sigmoid, "ShiftGELU");
}

static void test_worked_gelu(void **state)
{
    (void)state;
    const double s = 1.702 * 0.05;
    static const int32_t row[5] = { 40, 20, 0, -10, -40 }, delta[5] = { 0, -20, -40, -50, -80 };
    static const uint64_t pytorch[5] = { 100663296, 20971520, 3932160, 1703936, 139264 };
    static const uint64_t tvm[5] = { 100663296, 20971520, 3670016, 1572864, 131072 };
    static const int32_t factors[5] = { 20, 86, 273, 381, 527 }, sigmoids[5] = { 120, 107, 63, 38, 4 };
    static const int32_t products[5] = { 4800, 2140, 0, -380, -160 };
    struct vt_shift_exp e = shift_exp(VT_IVIT_PYTORCH, s, 23, 0);
    assert_int_equal(e.x0, -12);
    require_exponentials(5, delta, pytorch, &e);
    require_gelu(row, 5, sigmoids, &e);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(e.division / (pytorch[i] + vt_shift_exp(-40, &e)), (uint64_t)factors[i]);
        assert_int_equal(row[i] * sigmoids[i], products[i]);
    }
    e = shift_exp(VT_IVIT_TVM, s, 23, 0);
    assert_int_equal(e.x0, -12);
    require_exponentials(5, delta, tvm, &e);
    require_gelu(row, 5, (const int32_t[]){ 120, 108, 63, 38, 4 }, &e);
    e = shift_exp(VT_IVIT_PAPER, 0.05, 23, 0);
    int32_t times[5];
    for (size_t i = 0; i < 5; i++)
        times[i] = vt_times_1_1011(row[i]);
    require_row(5, times, (const int32_t[]){ 67, 33, 0, -18, -68 }, "1.6875 x");
    require_gelu(times, 5, (const int32_t[]){ 120, 106, 63, 36, 4 }, &e);
}

static void test_worked_clip_failure(void **state)
{
    (void)state;
    static const int32_t row[6] = { 127, 40, 20, 10, 0, -10 };
    struct vt_shift_exp e = shift_exp(VT_IVIT_PYTORCH, 1.702 * 0.1, 23, 0);
    assert_int_equal(e.x0, -6);
    require_gelu(row, 6, (const int32_t[]){ 126, 105, 63, 63, 63, 63 }, &e);
    e.n = 31;
    require_gelu(row, 6, (const int32_t[]){ 768, 127, 123, 107, 63, 51 }, &e);
    const struct vt_shift_exp wide = vt_shift_exp_wide(shift_exp(VT_IVIT_PYTORCH, 1.702 * 0.1, 15, 0));
    static const int32_t alone[6] = { 127, 127, 122, 105, 63, 22 };
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(vt_shift_sigmoid(row[i], &wide, 8), alone[i]);
}

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

static void test_worked_elementwise(void **state)
{
    (void)state;
    const double s = 0.05;
    const struct vt_shift_exp e = vt_shift_exp_wide(shift_exp(VT_IVIT_PYTORCH, 1.702 * s, 15, 0));
    static const int32_t x[13] = { -127, -64, -32, -16, -8, -1, 0, 1, 8, 16, 32, 64, 127 };
    static const int32_t sigmoids[13] = { 0, 0, 8, 27, 44, 62, 63, 65, 83, 100, 119, 127, 127 };
    static const int32_t products[13] = { 0, 0, -256, -432, -352, -62, 0, 65, 664, 1600, 3808, 8128, 16129 };
    for (size_t i = 0; i < 13; i++) {
        assert_int_equal(vt_shift_sigmoid(x[i], &e, 8), sigmoids[i]);
        assert_int_equal(x[i] * vt_shift_sigmoid(x[i], &e, 8), products[i]);
    }
    double worst8 = 0, worst16 = 0;
    for (int32_t code = -128; code < 128; code++) {
        const double exact = gelu(code * s);
        worst8 = fmax(worst8, fabs(code * vt_shift_sigmoid(code, &e, 8) * s / 128 - exact));
        worst16 = fmax(worst16, fabs(code * vt_shift_sigmoid(code, &e, 16) * s / 32768 - exact));
    }
    assert_true(fabs(worst8 - 0.0496) < 5e-5 && fabs(worst16 - 0.0306) < 5e-5);
}

/* A row whose numbers are all negative has 0 as its largest one: nothing overflows. */
static void test_negative_gelu_row(void **state)
{
    (void)state;
    static const int32_t row[3] = { -10, -40, -100 };
    const struct vt_shift_exp e = shift_exp(VT_IVIT_PYTORCH, 1.702 * 0.05, 23, 0);
    int32_t y[3];
    vt_shift_gelu_row(3, row, &e, 8, y);
    for (size_t i = 0; i < 3; i++)
        assert_true(abs(y[i] - vt_shift_sigmoid(row[i], &e, 8)) <= 1);
}

/* ---- I-LayerNorm ---- */

static void test_worked_norm(void **state)
{
    (void)state;
    enum { C = 4 };
    static const int32_t row[C] = { 10000, -5000, 3000, 2000 };
    static const int32_t want[C] = { 757578750, -757578750, 50505250, -50505250 };
    static const double gamma[C] = { 0.5, -0.25, 1, 2 }, beta[C] = { 0.1, 0, -0.2, 0.3 };
    static const int64_t biases[C] = { 107374182, 0, -107374183, 80530636 };
    static const int32_t sums[C] = { 864952932, -757578750, -56868933, 30025386 };
    static const int32_t b[C] = { 1 << 30, -(1 << 30), 1 << 30, 1 << 30 }, codes[C] = { 52, 23, -7, 7 };
    static const unsigned c[C] = { 54, 55, 53, 52 };
    int32_t y[C];
    const struct vt_ivit_norm s = vt_ivit_norm(C, row, VT_ROOT_PUBLISHED, y);
    assert_true(s.mean == 2500 && s.variance == 113000000 && s.std == 10630 && s.factor == 202021);
    require_row(C, y, want, "I-LayerNorm");
    for (size_t i = 0; i < C; i++) {
        assert_true(vt_ivit_norm_bias(gamma[i], beta[i], C) == biases[i]);
        const int32_t sum = y[i] + (int32_t)biases[i];
        assert_int_equal(sum, sums[i]);
        const double ratio = sqrt(C) * 0x1p-30 * gamma[i] * 64;
        require_dyadic(ratio, b[i], c[i]);
        assert_int_equal(vt_limit(vt_requantize(sum, dyadic(ratio)), -128, 127), codes[i]);
    }
}

static void test_worked_norm_not_converged(void **state)
{
    (void)state;
    enum { C = 4 };
    static const int32_t row[C] = { 100, -50, 30, 20 };
    int32_t y[C];
    struct vt_ivit_norm s = vt_ivit_norm(C, row, VT_ROOT_PUBLISHED, y);
    assert_true(s.mean == 25 && s.variance == 11300 && s.std == 113 && s.factor == 19004280);
    require_row(C, y, (const int32_t[]){ 712660500, -712660500, 47510700, -47510700 }, "published root");
    s = vt_ivit_norm(C, row, VT_ROOT_EXACT, y);
    assert_true(s.std == 106 && s.factor == 20259279);
    require_row(C, y, (const int32_t[]){ 759722962, -759722963, 50648197, -50648198 }, "exact root");
}

static void require_mean(int32_t a, int32_t b, int32_t c, int32_t d, int32_t mean)
{
    int32_t y[4];
    assert_int_equal(vt_ivit_norm(4, (const int32_t[]){ a, b, c, d }, VT_ROOT_EXACT, y).mean, mean);
}

static void test_means_and_constant_rows(void **state)
{
    (void)state;
    require_mean(100, 2, 0, 0, 26);
    require_mean(-100, -2, 0, 0, -26);
    require_mean(1, 1, 0, 0, 0);
    require_mean(2, 2, 1, 1, 2);
    require_mean(-1, -1, 0, 0, 0);
    require_mean(1, 2, 1, 1, 1);
    require_mean(-1, -2, -1, -1, -1);
    enum { C = 1 << 16 };
    static int32_t x[C], y[C];
    for (size_t i = 0; i < C; i++)
        x[i] = INT16_MIN;
    struct vt_ivit_norm s = vt_ivit_norm(C, x, VT_ROOT_EXACT, y);
    assert_true(s.mean == INT16_MIN && s.std == 0 && s.factor == 0 && y[0] == 0 && y[C - 1] == 0);
    for (size_t i = 0; i < C; i++)
        x[i] = i % 2 ? INT16_MIN : INT16_MAX;
    s = vt_ivit_norm(C, x, VT_ROOT_EXACT, y);
    assert_true(s.mean == 0 && s.std == 8388480 && s.factor == 256);
    assert_true(vt_ivit_norm_bias(0, 1, 4) == 0 && vt_ivit_norm_bias(1e-300, 1, 4) == INT64_C(1) << 62);
}

/* y is within 2^30 and close to the normalised row: the mean is off by half a unit at most, the root and the factor
 * are rounded down. */
static void test_norm_against_double(void **state)
{
    (void)state;
    uint64_t seed = 5;
    int32_t x[300], y[300];
    for (int round = 0; round < 2000; round++) {
        const size_t n = 2 + random_bits(&seed) % 298;
        double mean = 0, square = 0;
        for (size_t i = 0; i < n; i++) {
            x[i] = (int16_t)random_bits(&seed) >> (round % 12);
            mean += x[i] / (double)n;
        }
        for (size_t i = 0; i < n; i++)
            square += (x[i] - mean) * (x[i] - mean);
        const struct vt_ivit_norm s = vt_ivit_norm(n, x, VT_ROOT_EXACT, y);
        if (s.std == 0)
            continue;
        const double root = sqrt(square), factor_error = 1.0 / s.factor, root_error = 1.5 / (double)s.std;
        for (size_t i = 0; i < n; i++) {
            assert_true(y[i] <= 1 << 30 && y[i] >= -(1 << 30));
            const double exact = (x[i] - mean) / root, got = y[i] * 0x1p-30;
            const double shift = (0.5 + sqrt((double)n) * 0.5 * fabs(exact)) / root; /* both of the mean's error */
            assert_true(fabs(got - exact) <= fabs(exact) * (factor_error + root_error) * 1.5 + 2 * shift + 0x1p-29);
        }
    }
}

/* ---- i-exp ---- */

static void test_worked_ibert(void **state)
{
    (void)state;
    static const int32_t x[3] = { 0, -6, -30 };
    static const int64_t z[3] = { 230, 122, 186 };
    static const double value[3] = { 0.99674, 0.52870, 0.05038 };
    struct vt_ibert_exp e;
    assert_true(vt_ibert_exp_of(0.11, &e));
    assert_true(e.x0 == -7 && e.b == 24 && e.c == 230);
    for (size_t i = 0; i < 3; i++) {
        int64_t got;
        const int64_t result = vt_ibert_exp(x[i], &e, &got);
        assert_true(got == z[i]);
        assert_true(fabs((double)result * e.scale - value[i]) < 5e-6);
    }
    assert_true(vt_ibert_exp(-1000000, &e, NULL) >= 0);
    assert_false(vt_ibert_exp_of(0.7, &e));
    assert_false(vt_ibert_exp_of(0, &e));
    assert_true(vt_ibert_exp_of(0.001, &e));
    for (int32_t i = 0; i > -10000; i--)
        assert_true(fabs((double)vt_ibert_exp(i, &e, NULL) * e.scale - exp(0.001 * i)) < 0.006);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_ratios),
        cmocka_unit_test(test_worked_requantization),
        cmocka_unit_test(test_worked_residual),
        cmocka_unit_test(test_limits_of_ratios),
        cmocka_unit_test(test_requantization_by_definition),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_published_root),
        cmocka_unit_test(test_worked_bases),
        cmocka_unit_test(test_worked_shiftmax),
        cmocka_unit_test(test_flat_row),
        cmocka_unit_test(test_shift_exp_against_exp),
        cmocka_unit_test(test_shiftmax_sums),
        cmocka_unit_test(test_worked_gelu),
        cmocka_unit_test(test_worked_clip_failure),
        cmocka_unit_test(test_worked_elementwise),
        cmocka_unit_test(test_negative_gelu_row),
        cmocka_unit_test(test_worked_norm),
        cmocka_unit_test(test_worked_norm_not_converged),
        cmocka_unit_test(test_means_and_constant_rows),
        cmocka_unit_test(test_norm_against_double),
        cmocka_unit_test(test_worked_ibert),
    };
    return cmocka_run_group_tests_name("test_integer", tests, NULL, NULL);
}
