/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantizers: worked examples with exact numbers (lettered A to E: small inputs through the published procedures of
 * RepQ-ViT and I-ViT; A2 is in test_observer.c), rows of weights against a search that sorts and tries everything, and
 * data that has no range.
 */
#include "calibration_data.h"

#include "quantizer_search.h"
#include "tails.h"

/* One row of weights: codes[n] that stand for code * *scale. */
static enum vt_fit quantize_row(const float *w, size_t n, unsigned bits, int8_t *codes, float *scale, float *scratch)
{
    struct vt_quantizer q;
    unsigned top;
    const enum vt_fit fit = vt_row_quantizer(w, n, bits, &q, &top, scratch);
    *scale = q.scale;
    if (fit != VT_FIT_NOT_FINITE)
        vt_row_codes(&q, top, w, n, codes);
    return fit;
}

/* ---- Worked examples ---- */

static void test_uniform_codes(void **state) /* A1 */
{
    static const float x[] = { -1.5f, -1, -0.5f, -0.125f, 0, 0.125f, 0.375f, 0.625f, 1, 2.75f, 3.5f };
    static const uint8_t codes[] = { 0, 0, 2, 4, 4, 4, 6, 6, 8, 15, 15 };
    static const double values[] = { -1, -1, -0.5, 0, 0, 0, 0.5, 0.5, 1, 2.75, 2.75 };
    struct vt_quantizer q;
    (void)state;
    assert_int_equal(vt_quantizer_of_range(&q, -1, 2.75, 4), VT_FIT_OK);
    assert_true(q.scale == 0.25f && q.zero == 4 && q.bits == 4);
    for (size_t i = 0; i < COUNT(x); i++) {
        assert_int_equal(code_of(&q, x[i]), codes[i]);
        assert_true(value_of(&q, codes[i]) == values[i]);
    }
    assert_int_equal(code_of(&q, NAN), 0);
    assert_int_equal(code_of(&q, INFINITY), 15);
    assert_int_equal(code_of(&q, -INFINITY), 0);
}

static void test_quantiles(void **state) /* A1 */
{
    float storage[2 * 11];
    struct vt_tails t;
    (void)state;
    assert_int_equal(vt_tails_capacity(11), 3);
    vt_tails_init(&t, vt_tails_capacity(11), storage);
    for (int i = 0; i < 11; i++)
        vt_tails_add(&t, (float)(i * 7 % 11));
    vt_tails_sort(&t);
    assert_near(vt_tails_quantile(&t, 11, 0.999), 9.99, 1e-12);
    assert_near(vt_tails_quantile(&t, 11, 1 - 0.999), 0.01, 1e-12);
    assert_near(vt_tails_quantile(&t, 11, 0.9999), 9.999, 1e-12);
    assert_near(vt_tails_quantile(&t, 11, 0.99999), 9.9999, 1e-12);
    assert_true(vt_tails_quantile(&t, 11, 0) == 0 && vt_tails_quantile(&t, 11, 1) == 10);
}

static void test_log_codes(void **state) /* B1 */
{
    static const struct {
        double x;
        unsigned code;
        double value;
    } cases[] = { { 1.5, 0, 1 },
                  { 1, 0, 1 },
                  { 0.9, 0, 1 },
                  { 0.84, 1, 0.707107 },
                  { 0.8, 1, 0.707107 },
                  { 0.71, 1, 0.707107 },
                  { 0.5, 2, 0.5 },
                  { 0.35, 3, 0.353553 },
                  { 0.3, 3, 0.353553 },
                  { 0.1, 7, 0.088388 },
                  { 0.01, 13, 0.011049 },
                  { 0.006, 15, 0.005524 },
                  { 0.0047, 15, 0.005524 },
                  { 0.0045, 16, 0 },
                  { 0, 16, 0 },
                  { -1, 16, 0 },
                  { NAN, 16, 0 },
                  { INFINITY, 0, 1 } };
    const struct vt_log_quantizer q = { 1, 4 };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(vt_log_code(&q, cases[i].x), cases[i].code);
        assert_near(vt_log_value(&q, cases[i].code), cases[i].value, 5e-7);
    }
    for (int i = 0; i < 100000; i++) {
        const double x = exp(-30 * uniform());
        assert_int_equal(vt_log_steps(x, 1000), (unsigned)nearbyint(-2 * log2(x)));
    }
    assert_int_equal(vt_log_steps(DBL_MIN, 5000), 2044);
    assert_int_equal(vt_log_steps(DBL_MIN / 2, 5000), 5000);
    for (unsigned i = 0; i <= 2000; i++)
        assert_near(vt_log_power(i), pow(2, -0.5 * i), 4 * DBL_EPSILON * pow(2, -0.5 * i));
    const struct vt_log_quantizer scaled = { 0.25f, 6 };
    assert_int_equal(vt_log_code(&scaled, 0.125), 2);
    assert_true(vt_log_value(&scaled, 2) == 0.125 && vt_log_value(&scaled, 64) == 0);
    assert_int_equal(vt_log_code(&scaled, 0.25 * pow(2, -31.5)), 63);
    assert_int_equal(vt_log_code(&scaled, 0.25 * pow(2, -31.76)), 64);
}

static void test_log_product(void **state) /* B2: codes times numbers by shifts, even and odd codes apart */
{
    static const unsigned codes[] = { 0, 1, 2, 3, 6, 15 };
    static const int v[] = { 10, -20, 30, -40, 7, 50 };
    const struct vt_log_quantizer q = { 1, 4 };
    int sums[2] = { 0, 0 };
    double values = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(codes); i++) {
        sums[codes[i] & 1] += v[i] * (1 << (8 - (codes[i] + 1) / 2));
        values += vt_log_value(&q, codes[i]) * v[i];
    }
    assert_int_equal(sums[0], 6624);
    assert_int_equal(sums[1], -5070);
    assert_near((sums[0] + sqrt(2) * sums[1]) / 256, -2.1330577, 5e-8);
    assert_near((sums[0] + 181.0 / 128 * sums[1]) / 256, -2.1300659, 5e-8);
    assert_near(values, -2.1330577, 5e-8);
    /* The same codes as a table of bytes for ordinary integer products. */
    static const int bytes[] = { 255, 180, 128, 90, 64, 45, 32, 23, 16, 11, 8, 6, 4, 3, 2, 1 };
    for (unsigned i = 0; i < COUNT(bytes); i++)
        assert_int_equal(vt_round_even(255 * vt_log_value(&q, i)), bytes[i]);
}

/* D: a product of codes, both with zero points. Weights are stored less theirs, so that only the activations' is left,
 * and that is a constant of the row. */
static void test_zero_points(void **state)
{
    static const int a[] = { 3, 7, 250 }, w[] = { 10, 128, 255 };
    const int za = 5, zw = 120;
    int direct = 0, raw = 0, sum_a = 0, sum_w = 0, stored = 0, shifted = 0, sum_shifted = 0, less_zero = 0,
        sum_less = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(a); i++) {
        direct += (a[i] - za) * (w[i] - zw);
        raw += a[i] * w[i];
        sum_a += a[i];
        sum_w += w[i];
        shifted += a[i] * (w[i] - 128); /* as s8, whose zero point is -8 */
        sum_shifted += w[i] - 128;
        less_zero += a[i] * (w[i] - zw); /* as libvitrt stores them */
        sum_less += w[i] - zw;
        stored += w[i] - 128 >= INT8_MIN && w[i] - 128 <= INT8_MAX;
    }
    assert_true(direct == 33311 && raw == 64676 && sum_a == 260 && sum_w == 393 && shifted == 31396 && stored == 3);
    assert_int_equal(raw - za * sum_w - zw * sum_a + 3 * za * zw, direct);
    assert_int_equal(shifted - za * sum_shifted - (zw - 128) * sum_a + 3 * za * (zw - 128), direct);
    assert_int_equal(less_zero - za * sum_less, direct);
}

static void test_symmetric_codes(void **state) /* E */
{
    static const struct {
        double x;
        int code;
    } cases[] = { { 0.5, 32 },      { -2, -128 },     { 1.984375, 127 }, { -1.984375, -127 },
                  { 1.0 / 128, 0 }, { 3.0 / 128, 2 }, { -2.5, -128 } };
    static const float row[] = { 0.5f, -1.27f, 0.3f };
    const struct vt_quantizer q = { vt_symmetric_scale(127.0 / 64, 8), 128, 8 };
    int8_t codes[3];
    float scale, scratch[6];
    (void)state;
    assert_true(q.scale == 1.0f / 64);
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal((int)code_of(&q, cases[i].x) - 128, cases[i].code);
    assert_true(vt_search_scratch(3) <= COUNT(scratch));
    assert_int_equal(quantize_row(row, 3, 8, codes, &scale, scratch), VT_FIT_OK);
    assert_near(scale, 0.01, 1e-9);
    assert_true(codes[0] == 50 && codes[1] == -127 && codes[2] == 30);
    assert_int_equal(vt_round_even(0.1 / ((double)scale * 0.02)), 500); /* a bias in units of the products */
    assert_true(vt_symmetric_scale(32767, 16) == 1 && vt_symmetric_scale(7, 4) == 1);
    assert_true(vt_symmetric_scale(0, 8) == VT_MIN_SCALE && vt_symmetric_scale(NAN, 8) == VT_MIN_SCALE);
    assert_true(vt_symmetric_scale(INFINITY, 8) == VT_MIN_SCALE);
}

/* ---- Against references ---- */

static void test_tails_against_sorting(void **state)
{
    static const size_t counts[] = { 1, 2, 3, 4, 5, 11, 768, 999, 1000, 1001, 1002, 2001, 3072, 50000 };
    static const double ps[] = { 0.999, 0.9999, 0.99999, 1 - 0.999, 1 - 0.9999, 1 - 0.99999, 0, 1 };
    (void)state;
    for (size_t k = 0; k < COUNT(counts); k++)
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            const size_t n = counts[k], capacity = vt_tails_capacity(n);
            float *x = numbers((enum data)kind, n), *sorted = sorted_copy(x, n);
            float *storage = malloc(2 * capacity * sizeof *storage);
            struct vt_tails t;
            vt_tails_init(&t, capacity, storage);
            for (size_t i = 0; i < n; i++)
                vt_tails_add(&t, x[i]);
            vt_tails_sort(&t);
            for (size_t p = 0; p < COUNT(ps); p++)
                assert_true(vt_tails_quantile(&t, n, ps[p]) == sorted_quantile(sorted, n, ps[p]));
            free(storage);
            free(sorted);
            free(x);
        }
    for (uint64_t n = 1; n < 200000; n += 1 + n / 97) /* room for what the percentiles ask for */
        assert_true(
            n - 1 - (uint64_t)(0.999 * (double)(n - 1)) < vt_tails_capacity(n) &&
            ((uint64_t)((1 - 0.999) * (double)(n - 1)) + 1 < vt_tails_capacity(n) || vt_tails_capacity(n) == n));
}

/* ---- Ranges that are none ---- */

static void test_degenerate_ranges(void **state)
{
    static const double constants[] = { 1, -1, 3.7f, -1e-6f, 1e30f, FLT_MAX, -FLT_MAX, 1e-25f };
    struct vt_quantizer q;
    (void)state;
    for (unsigned bits = 2; bits <= 8; bits++) {
        const float top = (float)vt_top_code(bits);
        for (size_t i = 0; i < COUNT(constants); i++) {
            const double x = constants[i], same = x * (1 - 1e-7), close = x * (1 - 2e-5);
            assert_int_equal(vt_quantizer_of_range(&q, x, x, bits), VT_FIT_WIDENED);
            assert_near(value_of(&q, code_of(&q, x)), x, fabs(x) * FLT_EPSILON);
            assert_true(q.scale == (float)(fabs(x) / top) && q.zero == (x > 0 ? 0 : top)); /* as far as 0 */
            assert_int_equal(vt_quantizer_of_range(&q, fmin(x, same), fmax(x, same), bits), VT_FIT_WIDENED);
            assert_true(q.scale == (float)(fabs(x) / top) && q.zero == (x > 0 ? 0 : top));
            assert_int_equal(vt_quantizer_of_range(&q, fmin(x, close), fmax(x, close), bits), VT_FIT_WIDENED);
            assert_true(q.scale == (float)(fabs(x) / VT_MAX_ZERO) && fabs(fabs(q.zero) - VT_MAX_ZERO) <= 2);
        }
        assert_int_equal(vt_quantizer_of_range(&q, 0, 0, bits), VT_FIT_WIDENED);
        assert_true(q.scale == 1 / top && q.zero == 0 && !signbit(q.zero));
        assert_int_equal(vt_quantizer_of_range(&q, -1e-44, 1e-44, bits), VT_FIT_WIDENED);
        assert_true(q.scale == VT_MIN_SCALE && q.zero == 0);
        assert_int_equal(vt_quantizer_of_range(&q, -FLT_MAX, FLT_MAX, bits), VT_FIT_OK);
        assert_true(isfinite(q.scale) && isfinite(1 / q.scale));
        assert_int_equal(vt_quantizer_of_range(&q, 5, 7, bits), VT_FIT_OK); /* 0 outside: the zero point is no code */
        assert_true(q.zero < 0 && fabs(value_of(&q, code_of(&q, 6)) - 6) <= q.scale * 0.5001);
        const double bad[] = { NAN, INFINITY, -INFINITY, 1e39 };
        for (size_t i = 0; i < COUNT(bad); i++) {
            assert_int_equal(vt_quantizer_of_range(&q, bad[i], 1, bits), VT_FIT_NOT_FINITE);
            assert_true(q.scale == VT_MIN_SCALE && q.zero == 0);
            assert_int_equal(vt_quantizer_of_range(&q, 0, bad[i], bits), VT_FIT_NOT_FINITE);
        }
    }
}

static void test_constants(void **state)
{
    static const struct {
        double lo, hi;
        bool constant;
        double widened_lo, widened_hi;
    } cases[] = { { 3, 3, true, 0, 3 },
                  { -3, -3, true, -3, 0 },
                  { 0, 0, true, 0, 0 },
                  { 5, 5.00007, true, 0, 5.00007 },
                  { 5, 5.0001, false, 5, 5.0001 },
                  { 1, 2, false, 1, 2 },
                  { -1, 1, false, -1, 1 },
                  { 0, 1e-40, false, 0, 1e-40 } };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        double lo = cases[i].lo, hi = cases[i].hi;
        assert_int_equal(vt_widen_constant(&lo, &hi), cases[i].constant);
        assert_true(lo == cases[i].widened_lo && hi == cases[i].widened_hi);
    }
}

static void test_degenerate_rows(void **state)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    float x[100], scratch[8];
    int8_t codes[100];
    float scale;
    (void)state;
    assert_true(vt_search_scratch(100) <= COUNT(scratch) && vt_search_scratch(0) == 0);
    for (unsigned bits = 4; bits <= 8; bits += 2) {
        assert_int_equal(quantize_row(NULL, 0, bits, codes, &scale, NULL), VT_FIT_WIDENED);
        assert_true(scale == VT_MIN_SCALE);
        memset(x, 0, sizeof x);
        assert_int_equal(quantize_row(x, 100, bits, codes, &scale, scratch), VT_FIT_WIDENED);
        assert_true(scale == VT_MIN_SCALE && codes[0] == 0 && codes[99] == 0);
        for (size_t k = 0; k < COUNT(bad); k++) {
            x[99] = bad[k];
            assert_int_equal(quantize_row(x, 100, bits, codes, &scale, scratch), VT_FIT_NOT_FINITE);
            assert_true(scale == VT_MIN_SCALE);
        }
    }
}

/* ---- Rows of weights ---- */

static double row_error(const float *w, size_t n, const int8_t *codes, float scale)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = w[i] - (double)codes[i] * scale;
        sum += d * d;
    }
    return sum;
}

/* 8 bits: better than the maximum, or that. */
static void check_symmetric_row(const float *w, size_t n, const int8_t *codes, float scale)
{
    float max_abs = 0;
    int8_t *plain = malloc(n);
    for (size_t i = 0; i < n; i++)
        max_abs = fabsf(w[i]) > max_abs ? fabsf(w[i]) : max_abs;
    const float plain_scale = vt_symmetric_scale(max_abs, 8);
    for (size_t i = 0; i < n; i++) {
        plain[i] = (int8_t)vt_round_even(vt_clamp(w[i] / (double)plain_scale, -127, 127));
        assert_true(codes[i] >= -127);
        assert_int_equal(codes[i], (int)nearbyint(vt_clamp(w[i] / (double)scale, -127, 127)));
    }
    const double error = row_error(w, n, codes, scale), plain_error = row_error(w, n, plain, plain_scale);
    assert_true(scale <= plain_scale && error <= plain_error * (1 + 1e-9) + 1e-18 * scale * scale);
    free(plain);
}

/* The range of least error among three candidates, extended to 0 where codes less the zero point would not fit. */
static void check_asymmetric_row(const float *w, size_t n, unsigned bits, float *scratch)
{
    float *sorted = sorted_copy(w, n);
    int8_t *codes = malloc(n);
    struct vt_quantizer found, candidates[3];
    double errors[3], error = NAN;
    unsigned top;
    const enum vt_fit fit = vt_row_quantizer(w, n, bits, &found, &top, scratch);
    assert_true(found.bits == bits && top == vt_top_code(bits));
    for (int p = 0; p < 3; p++) {
        struct vt_quantizer *q = &candidates[p];
        enum vt_fit candidate_fit = percentile_candidate(q, sorted, n, p, bits);
        if (q->zero > 128 || vt_top_code(bits) - q->zero > 127) {
            candidate_fit = VT_FIT_WIDENED;
            vt_quantizer_of_range(q, fmin(sorted_quantile(sorted, n, 1 - percentiles[p]), 0),
                                  fmax(sorted_quantile(sorted, n, percentiles[p]), 0), bits);
        }
        errors[p] = slow_error(q, w, n);
        if (isnan(error) && q->scale == found.scale && q->zero == found.zero) {
            error = errors[p];
            assert_int_equal(fit, candidate_fit);
        }
    }
    if (sorted[0] == 0 && sorted[n - 1] == 0) /* has no range */
        assert_true(found.scale == VT_MIN_SCALE && found.zero == 0);
    else
        assert_least(error, errors, found.scale);
    vt_row_codes(&found, top, w, n, codes);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(codes[i], (int)code_of(&found, w[i]) - (int)found.zero);
    free(codes);
    free(sorted);
}

static void test_rows(void **state)
{
    static const size_t counts[] = { 1, 2, 5, 192, 768, 3072 };
    (void)state;
    for (size_t k = 0; k < COUNT(counts); k++)
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            const size_t n = counts[k];
            float *w = numbers((enum data)kind, n), *scratch = malloc(vt_search_scratch(n) * sizeof *scratch), scale;
            int8_t *codes = malloc(n);
            const enum vt_fit fit = quantize_row(w, n, 8, codes, &scale, scratch);
            if (kind == LARGE) /* for any scale */
                assert_int_equal(fit, VT_FIT_NOT_FINITE);
            else
                check_symmetric_row(w, n, codes, scale);
            for (unsigned bits = 4; bits <= 6 && kind != LARGE; bits++)
                check_asymmetric_row(w, n, bits, scratch);
            free(codes);
            free(scratch);
            free(w);
        }
}

/* A row far away from 0: its codes less zero point would not fit. */
static void test_row_far_from_zero(void **state)
{
    static const float w[] = { 10, 10.5f, 11 }, minus[] = { -10, -10.5f, -11 }, same[] = { 4, 4, 4 };
    float scale, scratch[6];
    int8_t codes[3];
    (void)state;
    assert_int_equal(quantize_row(w, 3, 4, codes, &scale, scratch), VT_FIT_WIDENED);
    assert_true(codes[0] == 14 && codes[2] == 15 && fabs(scale - 11.0 / 15) < 1e-3);
    assert_int_equal(quantize_row(minus, 3, 4, codes, &scale, scratch), VT_FIT_WIDENED);
    assert_true(codes[0] == -14 && codes[2] == -15);
    assert_int_equal(quantize_row(same, 3, 6, codes, &scale, scratch), VT_FIT_WIDENED);
    assert_true(codes[0] == 63 && fabs(63.0 * scale - 4) <= 4 * FLT_EPSILON);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_uniform_codes),
                                        cmocka_unit_test(test_quantiles),
                                        cmocka_unit_test(test_log_codes),
                                        cmocka_unit_test(test_log_product),
                                        cmocka_unit_test(test_zero_points),
                                        cmocka_unit_test(test_symmetric_codes),
                                        cmocka_unit_test(test_tails_against_sorting),
                                        cmocka_unit_test(test_degenerate_ranges),
                                        cmocka_unit_test(test_constants),
                                        cmocka_unit_test(test_degenerate_rows),
                                        cmocka_unit_test(test_rows),
                                        cmocka_unit_test(test_row_far_from_zero) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
