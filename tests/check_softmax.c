/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax of every bundle, to float, to bf16 and to codes: its exp in ulp over the whole range, rows against double
 * precision with a derived bound, masks (-inf), NaN, "ref" bit by bit, rows at any distance, tails.
 */
#include "check.h"

/* One row; its sum. */
static float softmax_row(const struct vt_kernels *k, size_t n, float scale, const float *x, float *y)
{
    float sum;
    k->softmax_f32(1, n, scale, x, n, y, n, &sum);
    return sum;
}

static const size_t lengths[] = { 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 49, 50, 197, 257, 577, 785 };
enum { LENGTHS = sizeof lengths / sizeof lengths[0], LONGEST = 785 };

/* Below it exp is 0 by contract: the result would be denormal, or nearly. */
static const float lowest_argument = -87.3359375f;

/* Distance of floats next to a normal number. */
static double ulp(double x)
{
    return ldexp(1, ilogb(x) - 23);
}

/* Rows {0, t}: the argument of the second exp is t itself, without rounding. */
static void exp_of_bundle(const struct vt_kernels *kernels)
{
    const uint32_t step = (uint32_t)(check_exhaustive ? 1 : 997);
    for (uint64_t bits = 0x80000000; bits <= 0xFF800000; bits += step) {
        const float row[2] = { 0, float_of_bits((uint32_t)bits) };
        float y[2];
        const float sum = softmax_row(kernels, 2, 1, row, y);
        const double exact = exp((double)row[1]);
        const bool ok = row[1] < lowest_argument ? y[1] == 0 : fabs(y[1] - exact) <= 2 * ulp(exact);
        if (!ok || y[0] != 1 || sum != y[0] + y[1])
            fail_msg("softmax_f32 %s: exp(%a) = %a, sum %a", kernels->bundle, (double)row[1], (double)y[1],
                     (double)sum);
    }
}

static void test_exp(void **state)
{
    (void)state;
    for_each_bundle(exp_of_bundle);
}

static float largest(size_t n, const float *x)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

/* Of a sum in 16 lanes, then four additions of lanes. */
static double sum_error(size_t n)
{
    return gamma_of(n / 16 + 5);
}

/* u = scale (x - max) is rounded twice, so exp(u) is off by 2 |u| roundings relatively, and by 2 ulp <= 4 roundings
 * of its own. */
static bool row_close_f32(size_t n, float scale, const float *x, const void *result, float sum)
{
    const double max = (double)largest(n, x);
    const float *y = result;
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        const double u = (double)scale * ((double)x[i] - max), exact = exp(u);
        const double bound = exp(u + (2 * fabs(u) + 4) * unit_roundoff) - exact + FLT_MIN;
        if (!(fabs(y[i] - exact) <= bound))
            return false;
        total += (double)y[i];
    }
    return fabs(sum - total) <= sum_error(n) * total;
}

static float float_of_bf16(vt_bf16 x)
{
    return float_of_bits((uint32_t)x << 16);
}

/* Rounding keeps the order: a result lies between the rounded ends of the contract's bound, which are moved outwards by
 * their own rounding to float. The sum is one of floats that are not seen, each within the bound. */
static bool row_close_bf16(size_t n, float scale, const float *x, const void *result, float sum)
{
    const struct vt_kernels ref = reference_bundle();
    const double max = (double)largest(n, x);
    const vt_bf16 *y = result;
    double least = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        const double u = (double)scale * ((double)x[i] - max), exact = exp(u);
        const double error = exact * (4e-6 + 4 * unit_roundoff * fabs(u));
        const double low = exact - error < (double)FLT_MIN ? 0 : exact - error, high = exact + error;
        const float ends[2] = { nextafterf((float)low, -1), nextafterf((float)high, 2) };
        vt_bf16 rounded[2];
        ref.to_bf16(2, ends, rounded);
        if (float_of_bf16(y[i]) < float_of_bf16(rounded[0]) || float_of_bf16(y[i]) > float_of_bf16(rounded[1]))
            return false;
        least += low;
        most += high;
    }
    return sum >= least * (1 - sum_error(n)) && sum <= most * (1 + sum_error(n));
}

/* ---- Several rows ---- */

enum { MOST_ROWS = 9 }; /* more than any kernel takes side by side */

struct rows_case {
    bool to_bf16, in_place;
    size_t m, n;
    float scale;
    enum fill fill;
    enum place place;
};

static void run_case(const struct vt_kernels *k, const struct rows_case *t, size_t m, const float *x, size_t ldx,
                     void *y, size_t ldy, float *sums)
{
    if (t->to_bf16)
        k->softmax_bf16(m, t->n, t->scale, x, ldx, y, ldy, sums);
    else
        k->softmax_f32(m, t->n, t->scale, x, ldx, y, ldy, sums);
}

/* Each row is within its bound and has the bits that "ref" gives for it alone. */
static void check_results(const struct vt_kernels *kernels, const struct rows_case *t, const float *x, size_t ldx,
                          const unsigned char *y, size_t row_bytes, const float *sums)
{
    const struct vt_kernels ref = reference_bundle();
    const size_t y_bytes = t->n * (t->to_bf16 ? sizeof(vt_bf16) : sizeof(float));
    const char *const family = t->to_bf16 ? "softmax_bf16" : "softmax_f32";
    for (size_t i = 0; i < t->m; i++) {
        float want[LONGEST], want_sum;
        const unsigned char *row = y + i * row_bytes;
        bool (*const row_close)(size_t, float, const float *, const void *, float) =
            t->to_bf16 ? row_close_bf16 : row_close_f32;
        require(row_close(t->n, t->scale, x + i * ldx, row, sums[i]), "outside the error bound", family,
                kernels->bundle, t->m, t->n, t->fill, 0);
        run_case(&ref, t, 1, x + i * ldx, 0, want, 0, &want_sum);
        require(memcmp(row, want, y_bytes) == 0 && same_bits(1, sums + i, &want_sum), "other bits than ref", family,
                kernels->bundle, t->m, t->n, t->fill, 0);
        for (size_t at = y_bytes; at < row_bytes && i + 1 < t->m; at++)
            require(row[at] == CANARY, "wrote between rows", family, kernels->bundle, t->m, t->n, t->fill, 0);
    }
}

static void check_rows(const struct vt_kernels *kernels, struct rows_case t)
{
    const size_t ldx = t.n + 2, ldy = t.in_place ? ldx : t.n + 3;
    const size_t bytes = t.to_bf16 ? sizeof(vt_bf16) : sizeof(float), last = t.m ? t.m - 1 : 0;
    struct guarded memory[3];
    float *x = guarded_floats(&memory[0], last * ldx + t.n, t.place), *sums = guarded_floats(&memory[1], t.m, t.place);
    unsigned char *y = guarded_new(&memory[2], (last * ldy + t.n) * bytes, t.place);
    for (size_t i = 0; i < t.m; i++) {
        fill_floats(t.fill, t.n, x + i * ldx, t.n + i);
        if (t.in_place)
            memcpy((float *)(void *)y + i * ldy, x + i * ldx, t.n * sizeof *x);
    }
    run_case(kernels, &t, t.m, t.in_place ? (const float *)(void *)y : x, ldx, y, ldy, sums);
    check_results(kernels, &t, x, ldx, y, ldy * bytes, sums);
    for (size_t i = 0; i < 3; i++) {
        require(guarded_intact(&memory[i]), "wrote outside", "softmax", kernels->bundle, t.m, t.n, t.fill, t.to_bf16);
        guarded_free(&memory[i]);
    }
}

static void rows_of_bundle(const struct vt_kernels *kernels)
{
    static const float scales[] = { 0.125f, 1.0f, 30.0f };
    for (size_t l = 0; l < LENGTHS; l++)
        for (size_t s = 0; s < 3; s++)
            for (enum fill fill = 0; fill < FILL_COUNT; fill++)
                for (unsigned choice = 0; choice < 6; choice++) {
                    const struct rows_case t = { .to_bf16 = choice >= 4,
                                                 .in_place = choice < 4 && choice & 2,
                                                 .m = (l + s + choice) % (MOST_ROWS + 1),
                                                 .n = lengths[l],
                                                 .scale = scales[s],
                                                 .fill = fill,
                                                 .place = choice & 1 ? AT_END : AT_START };
                    if (!t.to_bf16 || fill != FILL_HUGE) /* beyond what softmax_bf16 is for */
                        check_rows(kernels, t);
                }
}

static void test_rows(void **state)
{
    (void)state;
    for_each_bundle(rows_of_bundle);
}

static void masks_of_bundle(const struct vt_kernels *kernels)
{
    float x[40], y[40];
    for (size_t n = 2; n <= 40; n++) {
        for (size_t i = 0; i < n; i++)
            x[i] = i % 3 == 1 ? -INFINITY : (float)i;
        const float sum = softmax_row(kernels, n, 1, x, y);
        assert_true(isfinite(sum) && sum >= 1);
        for (size_t i = 1; i < n; i += 3)
            assert_true(y[i] == 0);

        x[n / 2] = NAN;
        assert_true(isnan(softmax_row(kernels, n, 1, x, y)) && isnan(y[n / 2]));

        for (size_t i = 0; i < n; i++)
            x[i] = -INFINITY;
        assert_true(isnan(softmax_row(kernels, n, 1, x, y)) && isnan(y[n - 1]));
    }
    assert_true(softmax_row(kernels, 0, 1, x, y) == 0);
}

static void bf16_masks_of_bundle(const struct vt_kernels *kernels)
{
    float x[40], sum;
    vt_bf16 y[40];
    for (size_t n = 2; n <= 40; n++) {
        for (size_t i = 0; i < n; i++)
            x[i] = i % 3 == 1 ? -INFINITY : (float)i;
        kernels->softmax_bf16(1, n, 1, x, n, y, n, &sum);
        assert_true(isfinite(sum) && sum >= 1 - 4e-6f);
        for (size_t i = 1; i < n; i += 3)
            assert_int_equal(y[i], 0);

        x[n / 2] = NAN;
        kernels->softmax_bf16(1, n, 1, x, n, y, n, &sum);
        assert_true(isnan(sum) && isnan(float_of_bf16(y[n / 2])));

        for (size_t i = 0; i < n; i++)
            x[i] = -INFINITY;
        kernels->softmax_bf16(1, n, 1, x, n, y, n, &sum);
        assert_true(isnan(sum) && isnan(float_of_bf16(y[n - 1])));
    }
    kernels->softmax_bf16(1, 0, 1, x, 0, y, 0, &sum);
    assert_true(sum == 0);
}

static void test_masks_and_nan(void **state)
{
    (void)state;
    for_each_bundle(masks_of_bundle);
    for_each_bundle(bf16_masks_of_bundle);
}

/* ---- Codes ---- */

struct code_case {
    size_t m, n;
    float scale;
    int bits; /* scores have at most so many */
    bool bias;
    enum place place;
};

static int32_t random_score(uint64_t *seed, int bits)
{
    const int32_t magnitude = (int32_t)(random_bits(seed) >> 34 >> (30 - bits));
    return random_bits(seed) & 1 ? magnitude : -magnitude;
}

static double score(const struct code_case *t, const int32_t *x, const float *bias, size_t i)
{
    return (double)t->scale * x[i] + (bias ? (double)bias[i] : 0);
}

/* Codes within the contract's bound of the exponential, and half a code of rounding. Scores with bias are rounded once
 * each, and so is their difference, by which the exponent is off absolutely. Maxima without fmax: gcc 12 for AArch64
 * cannot compile such a loop. */
static bool codes_close(const struct code_case *t, const int32_t *x, const float *bias, const uint8_t *y, float sum)
{
    double max = -INFINITY, largest = 0, total = 0;
    int most = 0;
    for (size_t i = 0; i < t->n; i++) {
        const double s = score(t, x, bias, i);
        max = s > max ? s : max;
        largest = fabs(s) > largest ? fabs(s) : largest;
    }
    for (size_t i = 0; i < t->n; i++) {
        const double s = score(t, x, bias, i) - max, code = 255 * exp(s);
        const double off = (bias ? 4 * unit_roundoff * largest : 0) + 4 * unit_roundoff * fabs(s);
        if (!(fabs(y[i] - code) <= 0.5 + code * (1e-3 + expm1(off < 1 ? off : 1)) + 255 * 0x1p-16))
            return false;
        total += y[i];
        most = y[i] > most ? y[i] : most;
    }
    return (double)sum == total && (t->n == 0 || most == UINT8_MAX);
}

static void check_codes(const struct vt_kernels *k, struct code_case t, uint64_t seed)
{
    const struct vt_kernels ref = reference_bundle();
    const size_t ldx = t.n + 2, ldy = t.n + 3, ld_bias = t.n + 1, last = t.m ? t.m - 1 : 0;
    struct guarded memory[4];
    int32_t *x = guarded_new(&memory[0], (last * ldx + t.n) * sizeof *x, t.place);
    float *bias = guarded_floats(&memory[1], last * ld_bias + t.n, t.place);
    float *sums = guarded_floats(&memory[2], t.m, t.place);
    uint8_t *y = guarded_new(&memory[3], last * ldy + t.n, t.place), want[LONGEST];
    for (size_t i = 0; i < t.m; i++) {
        for (size_t j = 0; j < t.n; j++) {
            x[i * ldx + j] = random_score(&seed, t.bits);
            bias[i * ld_bias + j] = j % 7 == 3 ? -100 : random_float(&seed);
        }
    }
    k->softmax_u8(t.m, t.n, t.scale, x, ldx, t.bias ? bias : NULL, ld_bias, y, ldy, sums);
    for (size_t i = 0; i < t.m; i++) {
        float want_sum;
        const float *row_bias = t.bias ? bias + i * ld_bias : NULL;
        require(codes_close(&t, x + i * ldx, row_bias, y + i * ldy, sums[i]), "outside the error bound", "softmax_u8",
                k->bundle, t.m, t.n, (size_t)t.bits, seed);
        ref.softmax_u8(1, t.n, t.scale, x + i * ldx, 0, row_bias, 0, want, 0, &want_sum);
        require(memcmp(y + i * ldy, want, t.n) == 0 && same_bits(1, sums + i, &want_sum), "other codes than ref",
                "softmax_u8", k->bundle, t.m, t.n, (size_t)t.bits, seed);
        for (size_t j = t.n; j < ldy && i + 1 < t.m; j++)
            require(y[i * ldy + j] == CANARY, "wrote between rows", "softmax_u8", k->bundle, t.m, t.n, (size_t)t.bits,
                    seed);
    }
    for (size_t i = 0; i < 4; i++) {
        require(guarded_intact(&memory[i]), "wrote outside", "softmax_u8", k->bundle, t.m, t.n, (size_t)t.bits, seed);
        guarded_free(&memory[i]);
    }
}

/* Biases that are no numbers: the code of a NaN is 0, and of all in a row of an infinity. */
static void wild_codes_of_bundle(const struct vt_kernels *k)
{
    enum { N = 37, ROWS = 4 };
    int32_t x[ROWS * N];
    float bias[ROWS * N] = { 0 }, sums[ROWS];
    uint8_t y[ROWS * N];
    uint64_t seed = 7;
    for (size_t i = 0; i < ROWS * N; i++)
        x[i] = random_score(&seed, 8);
    bias[5] = bias[N - 1] = NAN;
    bias[N + 20] = INFINITY;
    bias[2 * N + 36] = -INFINITY;
    for (size_t i = 3 * N; i < 4 * N; i++)
        bias[i] = i % 2 ? NAN : -INFINITY;
    k->softmax_u8(ROWS, N, 0.5f, x, N, bias, N, y, N, sums);
    for (size_t i = 0; i < ROWS * N; i++) {
        const bool none = i / N % 2 == 1 || !isfinite(bias[i]);
        if (none ? y[i] != 0 : sums[i / N] < UINT8_MAX)
            fail_msg("softmax_u8 %s: bias %g gives code %d", k->bundle, (double)bias[i], y[i]);
    }
    assert_true(sums[1] == 0 && sums[3] == 0);
}

static void test_wild_codes(void **state)
{
    (void)state;
    for_each_bundle(wild_codes_of_bundle);
}

/* Scores from a few to all bits, with scales that make exponents of a few units of them, or much more. */
static void codes_of_bundle(const struct vt_kernels *k)
{
    uint64_t seed = 1;
    for (size_t l = 0; l < LENGTHS; l++)
        for (int bits = 0; bits <= 30; bits += 5)
            for (unsigned choice = 0; choice < 12; choice++) {
                const struct code_case t = { .m = (l + choice) % (MOST_ROWS + 1),
                                             .n = lengths[l],
                                             .scale = ldexpf(choice / 4 == 2   ? 70
                                                             : choice / 4 == 1 ? 6
                                                                               : 1,
                                                             -bits),
                                             .bits = bits,
                                             .bias = choice & 2,
                                             .place = choice & 1 ? AT_END : AT_START };
                check_codes(k, t, random_bits(&seed));
            }
    check_codes(k, (struct code_case){ .m = 3, .n = 197, .scale = 1e6f, .bits = 30, .place = AT_END }, 1);
    check_codes(k, (struct code_case){ .m = 3, .n = 197, .scale = 1e-12f, .bits = 30, .place = AT_END }, 1);
    for (size_t n = 0; n <= 40; n++)
        check_codes(k, (struct code_case){ .m = 2, .n = n, .scale = 1, .bits = 3, .bias = n & 1, .place = AT_END }, n);
}

static void test_codes(void **state)
{
    (void)state;
    for_each_bundle(codes_of_bundle);
}

/* Every exponent down to where all codes are 0, in steps of which a code has many. */
static void exp_codes_of_bundle(const struct vt_kernels *k)
{
    const struct code_case t = { .n = 2, .scale = 0x1p-15f };
    for (int32_t x = 0; x <= 20 << 15; x += check_exhaustive ? 1 : 13) {
        const int32_t row[2] = { 0, -x };
        uint8_t y[2];
        float sum;
        k->softmax_u8(1, 2, t.scale, row, 2, NULL, 0, y, 2, &sum);
        if (!codes_close(&t, row, NULL, y, sum))
            fail_msg("softmax_u8 %s: exp(%a) gives code %d, sum %a", k->bundle, ldexp(-x, -15), y[1], (double)sum);
    }
}

static void test_exp_codes(void **state)
{
    (void)state;
    for_each_bundle(exp_codes_of_bundle);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),   cmocka_unit_test(test_rows),      cmocka_unit_test(test_masks_and_nan),
        cmocka_unit_test(test_codes), cmocka_unit_test(test_exp_codes), cmocka_unit_test(test_wild_codes),
    };
    return cmocka_run_group_tests_name("check_softmax", tests, NULL, NULL);
}
