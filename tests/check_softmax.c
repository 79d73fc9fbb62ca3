/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax of every bundle: its exp in ulp over the whole range, rows against double precision with a derived bound,
 * masks (-inf), NaN, "ref" bit by bit, tails.
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

/* u = scale (x - max) is rounded twice, so exp(u) is off by 2 |u| roundings relatively, and by 2 ulp <= 4 roundings
 * of its own. */
static bool row_close(size_t n, float scale, const float *x, const float *y, float sum)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        const double u = (double)scale * ((double)x[i] - (double)max), exact = exp(u);
        const double bound = exp(u + (2 * fabs(u) + 4) * unit_roundoff) - exact + FLT_MIN;
        if (!(fabs(y[i] - exact) <= bound))
            return false;
        total += (double)y[i];
    }
    return fabs(sum - total) <= gamma_of(n / 16 + 5) * total; /* 16 lanes, then four additions of lanes */
}

static void check_row(const struct vt_kernels *kernels, size_t n, float scale, enum fill fill, enum place place,
                      bool in_place)
{
    const struct vt_kernels ref = reference_bundle();
    const uint64_t seed = n + (uint64_t)fill;
    struct guarded x_memory, y_memory;
    float *x = guarded_floats(&x_memory, n, place), *y = guarded_floats(&y_memory, n, place), original[LONGEST],
          want[LONGEST];
    fill_floats(fill, n, x, seed);
    memcpy(original, x, n * sizeof *x);
    if (in_place)
        memcpy(y, x, n * sizeof *x);
    const float sum = softmax_row(kernels, n, scale, in_place ? y : x, y),
                want_sum = softmax_row(&ref, n, scale, x, want);
    require(row_close(n, scale, original, y, sum), "outside the error bound", "softmax_f32", kernels->bundle, 0, n, 0,
            seed);
    const bool same = same_bits(n, y, want) && same_bits(1, &sum, &want_sum);
    require(same, "other bits than ref", "softmax_f32", kernels->bundle, 0, n, 0, seed);
    require(guarded_intact(&y_memory), "wrote outside", "softmax_f32", kernels->bundle, 0, n, 0, seed);
    guarded_free(&x_memory);
    guarded_free(&y_memory);
}

static void rows_of_bundle(const struct vt_kernels *kernels)
{
    static const float scales[] = { 0.125f, 1.0f, 30.0f };
    for (size_t l = 0; l < LENGTHS; l++)
        for (size_t s = 0; s < 3; s++)
            for (enum fill fill = 0; fill < FILL_COUNT; fill++)
                for (unsigned choice = 0; choice < 4; choice++)
                    check_row(kernels, lengths[l], scales[s], fill, choice & 1 ? AT_END : AT_START, choice & 2);
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

static void test_masks_and_nan(void **state)
{
    (void)state;
    for_each_bundle(masks_of_bundle);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_masks_and_nan),
    };
    return cmocka_run_group_tests_name("check_softmax", tests, NULL, NULL);
}
