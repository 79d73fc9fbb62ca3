/* SPDX-License-Identifier: Apache-2.0 */
/* Layer norm and L2 norm of every bundle: against double precision with a derived bound, against "ref" bit by bit, in
 * place, tails. Directions of codes: against their contract, step by step. */
#include "check.h"

static const size_t lengths[] = { 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 96, 127, 192, 197, 384, 768, 1024, 3072 };
enum { LENGTHS = sizeof lengths / sizeof lengths[0], LONGEST = 3072 };

struct statistics {
    double mean, magnitude, variance;
};

static struct statistics statistics_of(size_t n, const float *x)
{
    struct statistics s = { 0 };
    for (size_t i = 0; i < n; i++) {
        s.mean += (double)x[i] / (double)n;
        s.magnitude += fabs((double)x[i]) / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        s.variance += ((double)x[i] - s.mean) * ((double)x[i] - s.mean) / (double)n;
    return s;
}

/*
 * A sum in 16 lanes rounds n / 16 + 4 times, the mean once more by its division: mean_error. A difference d = x - mean
 * is then off by mean_error + u |d|. In the variance the common shift enters as its square, for the exact differences
 * add up to 0; the rest is 2 roundings of d, one of the square, those of the sum, of the division and of adding eps.
 * The root halves its relative error; root and division round once each, and so do the product with d and the last fma.
 */
static bool row_close(size_t n, const float *x, const float *gamma, const float *beta, float eps, const float *y)
{
    const double u = unit_roundoff;
    const struct statistics s = statistics_of(n, x);
    const double mean_error = gamma_of(n / 16 + 5) * s.magnitude + FLT_TRUE_MIN;
    const double variance_error = mean_error * mean_error + gamma_of(n / 16 + 9) * (s.variance + (double)eps);
    const double root = sqrt(s.variance + (double)eps);
    const double root_error = fmax(0.5 * variance_error / (s.variance + (double)eps), 0) + 2 * u;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)x[i] - s.mean, scaled = fabs((double)gamma[i]) / root;
        const double exact = d / root * (double)gamma[i] + (double)beta[i];
        const double d_error = mean_error + u * fabs(d);
        double bound = scaled * (d_error + (fabs(d) + d_error) * (root_error + u)) * (1 + 8 * u) +
                       FLT_TRUE_MIN * (2 + fabs((double)gamma[i]));
        bound += u * (fabs(exact) + bound);
        if (!(fabs(y[i] - exact) <= bound))
            return false;
    }
    return true;
}

enum { MOST_ROWS = 9, GAP = 3 }; /* more rows than any kernel takes side by side; elements between rows */

/* m rows: each within its bound, with the bits that "ref" gives for it alone, nothing written between them. */
static void check_rows(const struct vt_kernels *kernels, size_t m, size_t n, float eps, float shift, enum fill fill,
                       enum place place)
{
    const struct vt_kernels ref = reference_bundle();
    const uint64_t seed = n * 10 + (uint64_t)fill;
    const size_t ld = n + GAP, count = m ? (m - 1) * ld + n : 0;
    struct guarded memory[4];
    float *x = guarded_floats(&memory[0], count, place), *gamma = guarded_floats(&memory[1], n, place);
    float *beta = guarded_floats(&memory[2], n, place), *y = guarded_floats(&memory[3], count, place), want[LONGEST];
    fill_floats(fill, count, x, seed);
    fill_floats(FILL_UNIFORM, n, gamma, seed + 1);
    fill_floats(FILL_UNIFORM, n, beta, seed + 2);
    for (size_t i = 0; i < count; i++)
        x[i] += shift;
    kernels->layer_norm_f32(m, n, x, ld, gamma, beta, eps, y, ld);
    for (size_t r = 0; r < m; r++) {
        ref.layer_norm_f32(1, n, x + r * ld, ld, gamma, beta, eps, want, ld);
        require(row_close(n, x + r * ld, gamma, beta, eps, y + r * ld), "outside the error bound", "layer_norm_f32",
                kernels->bundle, m, n, 0, seed);
        require(same_bits(n, y + r * ld, want), "other bits than ref", "layer_norm_f32", kernels->bundle, m, n, 0,
                seed);
        for (size_t i = n; i < ld && r + 1 < m; i++)
            require(untouched(y + r * ld + i), "wrote between rows", "layer_norm_f32", kernels->bundle, m, n, 0, seed);
    }
    require(guarded_intact(&memory[3]), "wrote outside", "layer_norm_f32", kernels->bundle, m, n, 0, seed);
    for (size_t i = 0; i < 4; i++)
        guarded_free(&memory[i]);
}

/* The kernel that rounds to bf16 gives what rounding the floats gives. */
static void bf16_of_bundle(const struct vt_kernels *kernels)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        for (enum fill fill = 0; fill < FILL_COUNT; fill++) {
            for (enum place place = 0; place < PLACES; place++) {
                const size_t n = lengths[l];
                struct guarded memory;
                float x[LONGEST], gamma[LONGEST], beta[LONGEST], y[LONGEST];
                vt_bf16 want[LONGEST], *rounded = guarded_new(&memory, n * sizeof *rounded, place);
                fill_floats(fill, n, x, n);
                fill_floats(FILL_UNIFORM, n, gamma, n + 1);
                fill_floats(fill, n, beta, n + 2);
                kernels->layer_norm_f32(1, n, x, n, gamma, beta, 1e-6f, y, n);
                kernels->to_bf16(n, y, want);
                kernels->layer_norm_bf16(1, n, x, n, gamma, beta, 1e-6f, rounded, n);
                require(memcmp(rounded, want, n * sizeof *want) == 0, "other bits than rounded floats",
                        "layer_norm_bf16", kernels->bundle, 0, n, 0, n);
                require(guarded_intact(&memory), "wrote outside", "layer_norm_bf16", kernels->bundle, 0, n, 0, n);
                guarded_free(&memory);
            }
        }
    }
}

static void test_bf16(void **state)
{
    (void)state;
    for_each_bundle(bf16_of_bundle);
}

/* The kernel that makes codes gives those of the floats, row by row. */
static void check_codes(const struct vt_kernels *kernels, size_t m, size_t n, enum fill fill, enum place place,
                        uint8_t highest)
{
    const size_t ldx = n + GAP, ldy = n + 1, count = m ? (m - 1) * ldy + n : 0;
    struct guarded memory;
    static float x[MOST_ROWS * (LONGEST + GAP)], gamma[LONGEST], beta[LONGEST], y[LONGEST];
    uint8_t *codes = guarded_new(&memory, count, place);
    fill_floats(fill, m * ldx, x, n);
    fill_floats(FILL_UNIFORM, n, gamma, n + 1);
    fill_floats(fill, n, beta, n + 2);
    for (size_t i = 0; i < n; i++) { /* most codes are between the limits */
        gamma[i] *= 60;
        beta[i] = beta[i] * 60 + 120;
    }
    x[n / 2] = fill == FILL_EQUAL ? NAN : x[n / 2];
    kernels->layer_norm_u8(m, n, x, ldx, gamma, beta, 1e-6f, highest, codes, ldy);
    for (size_t r = 0; r < m; r++) {
        kernels->layer_norm_f32(1, n, x + r * ldx, ldx, gamma, beta, 1e-6f, y, n);
        for (size_t i = 0; i < ldy && r * ldy + i < count; i++) {
            const uint8_t want =
                i == n ? CANARY : (uint8_t)(isnan(y[i]) ? 0 : fmin(fmax(rint((double)y[i]), 0), highest));
            require(codes[r * ldy + i] == want, i == n ? "wrote between rows" : "other codes than those of the floats",
                    "layer_norm_u8", kernels->bundle, m, n, 0, fill);
        }
    }
    require(guarded_intact(&memory), "wrote outside", "layer_norm_u8", kernels->bundle, m, n, 0, n);
    guarded_free(&memory);
}

static void codes_of_bundle(const struct vt_kernels *kernels)
{
    static const uint8_t highest[] = { 255, 63, 15 };
    for (size_t l = 0; l < LENGTHS; l++)
        for (enum fill fill = 0; fill < FILL_COUNT; fill++)
            for (enum place place = 0; place < PLACES; place++)
                check_codes(kernels, (l + fill + place) % (MOST_ROWS + 1), lengths[l], fill, place,
                            highest[(l + fill) % 3]);
    const float x = 1;
    uint8_t y = 77;
    kernels->layer_norm_u8(1, 0, &x, 0, &x, &x, 1e-6f, 255, &y, 0);
    kernels->layer_norm_u8(0, 1, NULL, 1, NULL, NULL, 1e-6f, 255, NULL, 1);
    assert_int_equal(y, 77);
}

static void test_codes(void **state)
{
    (void)state;
    for_each_bundle(codes_of_bundle);
}

static void rows_of_bundle(const struct vt_kernels *kernels)
{
    static const float eps[] = { 1e-5f, 1e-6f, 1e-12f }, shifts[] = { 0, 3, -100 };
    for (size_t l = 0; l < LENGTHS; l++)
        for (enum fill fill = 0; fill < FILL_COUNT; fill++)
            for (unsigned choice = 0; choice < 12; choice++)
                check_rows(kernels, (choice + l) % (MOST_ROWS + 1), lengths[l], eps[choice / 4],
                           shifts[(choice + fill) % 3], fill, choice & 1 ? AT_END : AT_START);
}

static void test_rows(void **state)
{
    (void)state;
    for_each_bundle(rows_of_bundle);
}

static void nan_of_bundle(const struct vt_kernels *kernels)
{
    float x[20], ones[20], y[20];
    for (size_t i = 0; i < 20; i++) {
        x[i] = (float)i;
        ones[i] = 1;
    }
    x[17] = NAN;
    kernels->layer_norm_f32(1, 20, x, 20, ones, ones, 1e-6f, y, 20);
    for (size_t i = 0; i < 20; i++)
        assert_true(isnan(y[i]));
    kernels->layer_norm_f32(1, 0, x, 0, ones, ones, 1e-6f, y, 0);
    kernels->layer_norm_f32(0, 20, NULL, 20, NULL, NULL, 1e-6f, NULL, 20);
}

static void test_nan_and_empty_row(void **state)
{
    (void)state;
    for_each_bundle(nan_of_bundle);
}

/* ---- L2 norm ---- */

static const double shortest = 1e-12;

/*
 * A sum of squares in 16 lanes rounds ceil(n / 16) + 4 times, and its root halves that; root, quotient and product
 * round once each. Where the shortest length takes the place of the root, it is what was rounded. Squares below FLT_MIN
 * are off by up to FLT_TRUE_MIN each.
 */
static bool l2_close(size_t n, const float *x, float scale, const float *y)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    const double length = fmax(sqrt(sum), shortest);
    const double lost = (double)n * FLT_TRUE_MIN / (length * length);
    const double error = gamma_of((n + 15) / 32 + 2 + 4) + lost;
    for (size_t i = 0; i < n; i++) {
        const double exact = (double)x[i] * (double)scale / length;
        if (!(fabs((double)y[i] - exact) <= error * fabs(exact) + FLT_TRUE_MIN))
            return false;
    }
    return true;
}

/* m rows into y, or into x itself: each with the bits that "ref" gives for it alone, and as floats within its bound. */
static void check_l2_rows(const struct vt_kernels *kernels, size_t m, size_t n, enum fill fill, enum place place,
                          bool in_place)
{
    const struct vt_kernels ref = reference_bundle();
    const float scale = 10.0f;
    const size_t ld = n + GAP, count = m ? (m - 1) * ld + n : 0;
    struct guarded memory[3];
    static float copy[MOST_ROWS * (LONGEST + GAP)], want[LONGEST];
    vt_bf16 want_rounded[LONGEST];
    float *x = guarded_floats(&memory[0], count, place), *y = guarded_floats(&memory[1], count, place);
    vt_bf16 *rounded = guarded_new(&memory[2], count * sizeof *rounded, place);
    for (size_t r = 0; r < m; r++)
        fill_floats(fill, n, x + r * ld, n * 10 + r);
    memcpy(copy, x, count * sizeof *x);
    kernels->l2_norm_bf16(m, n, x, ld, scale, rounded, ld);
    y = in_place ? x : y;
    kernels->l2_norm_f32(m, n, x, ld, scale, y, ld);
    for (size_t r = 0; r < m; r++) {
        ref.l2_norm_f32(1, n, copy + r * ld, ld, scale, want, ld);
        ref.to_bf16(n, want, want_rounded);
        require(l2_close(n, copy + r * ld, scale, y + r * ld), "outside the error bound", "l2_norm_f32",
                kernels->bundle, m, n, 0, fill);
        require(same_bits(n, y + r * ld, want), "other bits than ref", "l2_norm_f32", kernels->bundle, m, n, 0, fill);
        require(memcmp(rounded + r * ld, want_rounded, n * sizeof *rounded) == 0, "other bits than rounded floats",
                "l2_norm_bf16", kernels->bundle, m, n, 0, fill);
        for (size_t i = n; i < ld && r + 1 < m; i++)
            require(untouched(y + r * ld + i), "wrote between rows", "l2_norm_f32", kernels->bundle, m, n, 0, fill);
    }
    for (size_t i = 0; i < 3; i++) {
        require(guarded_intact(&memory[i]), "wrote outside", "l2_norm", kernels->bundle, m, n, 0, fill);
        guarded_free(&memory[i]);
    }
}

static void l2_of_bundle(const struct vt_kernels *kernels)
{
    for (size_t m = 0; m <= MOST_ROWS; m++) {
        for (size_t n = 1; n <= 33; n++)
            for (enum fill fill = 0; fill < FILL_COUNT; fill++)
                check_l2_rows(kernels, m, n, fill, n % 2 ? AT_END : AT_START, (n / 2 + fill) % 2);
        for (size_t l = 0; l < LENGTHS; l++)
            check_l2_rows(kernels, m, lengths[l], FILL_UNIFORM, AT_END, l % 2);
    }
}

static void test_l2_rows(void **state)
{
    (void)state;
    for_each_bundle(l2_of_bundle);
}

/* A row of zeros stays one, so do rows that are too short; what PyTorch does with NaN, infinity and overflow. */
static void special_l2_of_bundle(const struct vt_kernels *kernels)
{
    enum { N = 20 };
    float x[N] = { 0 }, y[N];
    kernels->l2_norm_f32(1, N, x, N, 1, y, N);
    for (size_t i = 0; i < N; i++)
        assert_true(y[i] == 0);
    x[17] = 1e-14f;
    kernels->l2_norm_f32(1, N, x, N, 1, y, N);
    assert_true(fabs((double)y[17] - 0.01) < 1e-8);
    x[17] = 1e30f;
    kernels->l2_norm_f32(1, N, x, N, 1, y, N);
    assert_true(y[17] == 0);
    x[17] = INFINITY;
    kernels->l2_norm_f32(1, N, x, N, 1, y, N);
    assert_true(isnan(y[17]) && y[16] == 0);
    x[17] = NAN;
    kernels->l2_norm_f32(1, N, x, N, 1, y, N);
    for (size_t i = 0; i < N; i++)
        assert_true(isnan(y[i]));
    kernels->l2_norm_f32(1, 0, x, 0, 1, y, 0);
    kernels->l2_norm_f32(0, N, NULL, N, 1, NULL, N);
}

static void test_special_l2(void **state)
{
    (void)state;
    for_each_bundle(special_l2_of_bundle);
}

/* ---- Directions of codes ---- */

/* Scales and zero points of columns as sessions have them, those of columns far from 0 too; or so small that the least
 * magnitude takes the place of the greatest; or zeros. */
enum numbers { USUAL, SHIFTED, TINY, LARGE, NOTHING, NUMBERS };

static void fill_quantizers(enum numbers numbers, size_t n, float *scale, float *shift)
{
    static const float sizes[NUMBERS] = { 0.04f, 0.04f, 1e-33f, 1e30f, 0 };
    uint64_t seed = n;
    for (size_t i = 0; i < n; i++) {
        const float zero = numbers == SHIFTED && i % 7 == 0 ? -700 : 128;
        scale[i] = sizes[numbers] * (1.5f + random_float(&seed));
        shift[i] = -zero * scale[i];
    }
}

/* As kernels.h says. */
static int32_t direction(size_t n, const uint8_t *x, const float *scale, const float *shift, uint8_t *y)
{
    float greatest = 1e-30f;
    int32_t squares = 0;
    for (size_t i = 0; i < n; i++) {
        const float magnitude = fabsf(fmaf(x[i], scale[i], shift[i]));
        greatest = magnitude > greatest ? magnitude : greatest;
    }
    for (size_t i = 0; i < n; i++) {
        const double code = 128 + rint((double)fmaf(x[i], scale[i], shift[i]) * (double)(127 / greatest)); /* exact */
        assert_true(code >= 1 && code <= 255);
        y[i] = (uint8_t)code;
        squares += (y[i] - 128) * (y[i] - 128);
    }
    return squares;
}

static void check_direction(const struct vt_kernels *kernels, size_t n, enum numbers numbers, enum place place,
                            bool in_place)
{
    struct guarded memory[4];
    uint8_t *x = guarded_new(&memory[0], n, place), *y = guarded_new(&memory[1], n, place), want[LONGEST];
    float *scale = guarded_floats(&memory[2], n, place), *shift = guarded_floats(&memory[3], n, place);
    uint64_t seed = n * 10 + (uint64_t)numbers;
    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)random_bits(&seed);
    fill_quantizers(numbers, n, scale, shift);
    const int32_t squares = direction(n, x, scale, shift, want);
    y = in_place ? x : y;
    const int32_t found = kernels->direction_u8(n, x, scale, shift, y);
    require(found == squares, "wrong sum of squares", "direction_u8", kernels->bundle, 0, n, 0, numbers);
    require(memcmp(y, want, n) == 0, "other codes", "direction_u8", kernels->bundle, 0, n, 0, numbers);
    for (size_t i = 0; i < n && numbers == NOTHING; i++)
        assert_true(want[i] == 128);
    for (size_t i = 0; i < 4; i++) {
        require(guarded_intact(&memory[i]), "wrote outside", "direction_u8", kernels->bundle, 0, n, 0, numbers);
        guarded_free(&memory[i]);
    }
}

static void directions_of_bundle(const struct vt_kernels *kernels)
{
    for (enum numbers numbers = 0; numbers < NUMBERS; numbers++) {
        for (size_t n = 0; n <= 140; n++)
            check_direction(kernels, n, numbers, n % 2 ? AT_END : AT_START, n / 2 % 2);
        for (size_t l = 0; l < LENGTHS; l++)
            check_direction(kernels, lengths[l], numbers, AT_END, l % 2);
    }
}

static void test_directions(void **state)
{
    (void)state;
    for_each_bundle(directions_of_bundle);
}

/* The most terms that products of codes have: the sum of squares is exact. */
static void longest_direction_of_bundle(const struct vt_kernels *kernels)
{
    enum { N = 65000 };
    static uint8_t x[N], y[N];
    static float scale[N], shift[N];
    for (size_t i = 0; i < N; i++) {
        x[i] = i % 2 ? 255 : 1;
        scale[i] = 1;
        shift[i] = -128;
    }
    assert_true(kernels->direction_u8(N, x, scale, shift, y) == N * 127 * 127);
    assert_true(memcmp(x, y, N) == 0);
}

static void test_longest_direction(void **state)
{
    (void)state;
    for_each_bundle(longest_direction_of_bundle);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_codes),   cmocka_unit_test(test_nan_and_empty_row),
        cmocka_unit_test(test_l2_rows), cmocka_unit_test(test_special_l2),
        cmocka_unit_test(test_directions), cmocka_unit_test(test_longest_direction),
    };
    return cmocka_run_group_tests_name("check_norm", tests, NULL, NULL);
}
