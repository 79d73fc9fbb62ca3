/* SPDX-License-Identifier: Apache-2.0 */
/* Scales and zero points of channels: RepQ-ViT's published identities (worked examples C1 and C2) against the form that
 * they have here, smoothing, and biases that keep means. */
#include "calibration_data.h"

#include "channel_scales.h"
#include "quantizer_search.h"

/* A LayerNorm's last step, a linear layer behind it and its input's quantizers, in published terms: two channels. */
struct repq {
    double gamma[2], beta[2], w[2][2], bias[2], s[2], z[2];
};

/* RepQ-ViT's reparameterization to the one quantizer s, z of both channels. */
static struct repq reparameterized(const struct repq *a, double s, double z)
{
    struct repq b = { .s = { s, s }, .z = { z, z } };
    for (int c = 0; c < 2; c++) {
        const double r1 = a->s[c] / s, r2 = a->z[c] - z;
        b.gamma[c] = a->gamma[c] / r1;
        b.beta[c] = (a->beta[c] + a->s[c] * r2) / r1;
        for (int j = 0; j < 2; j++)
            b.w[j][c] = a->w[j][c] * r1;
    }
    for (int j = 0; j < 2; j++) {
        b.bias[j] = a->bias[j];
        for (int c = 0; c < 2; c++)
            b.bias[j] -= a->s[c] * (a->z[c] - z) * a->w[j][c];
    }
    return b;
}

static double normalized(const struct repq *a, int c, double x)
{
    return a->gamma[c] * x + a->beta[c];
}

static double linear(const struct repq *a, int j, const double x[2])
{
    return a->w[j][0] * normalized(a, 0, x[0]) + a->w[j][1] * normalized(a, 1, x[1]) + a->bias[j];
}

static const struct repq example = { { 1, 2 },      { 0.05, -0.3 }, { { 1, 2 }, { 3, -1 } },
                                     { 0.1, -0.2 }, { 0.1, 0.3 },   { 8, 4 } };
static const double example_x[2] = { 0.37, -0.52 };

/* The code that a channel's quantizer gives, rounded once as ours do. */
static int repq_code(const struct repq *a, int c)
{
    const struct vt_quantizer q = { (float)a->s[c], (float)a->z[c], 4 };
    return vt_quantizer_code(&q, normalized(a, c, example_x[c]));
}

static void test_reparameterization(void **state) /* C1 */
{
    static const double gamma[] = { 2, 1.333333 }, beta[] = { 0.5, -0.6 }, bias[] = { 1.1, -1.4 };
    static const double w[2][2] = { { 0.5, 3 }, { 1.5, -1.5 } }, out[] = { -2.16, 2.4 };
    const struct repq a = reparameterized(&example, (0.1 + 0.3) / 2, (8 + 4) / 2);
    (void)state;
    for (int c = 0; c < 2; c++) {
        assert_near(a.gamma[c], gamma[c], 5e-7);
        assert_near(a.beta[c], beta[c], 1e-12);
        assert_near(a.bias[c], bias[c], 1e-12);
        assert_near(a.w[c][0], w[c][0], 1e-12);
        assert_near(a.w[c][1], w[c][1], 1e-12);
        assert_near(linear(&example, c, example_x), out[c], 1e-12);
        assert_near(linear(&a, c, example_x), out[c], 1e-12);
    }
    assert_near(normalized(&example, 0, 0.37), 0.42, 1e-12);
    assert_near(normalized(&example, 1, -0.52), -1.34, 1e-12);
    assert_near(normalized(&a, 0, 0.37), 1.24, 1e-12);
    assert_near(normalized(&a, 1, -0.52), -1.293333, 5e-7);
    assert_true(repq_code(&example, 0) == 12 && repq_code(&example, 1) == 0);
    assert_true(repq_code(&a, 0) == 12 && repq_code(&a, 1) == 0);
}

static void test_fractional_zero_point(void **state) /* C2 */
{
    static const double codes[] = { 12.5, 0.5 }, beta[] = { 0.4, -0.5 };
    struct repq other = example;
    other.z[1] = 5;
    const struct repq mean = reparameterized(&other, 0.2, 6.5), rounded = reparameterized(&other, 0.2, 6);
    (void)state;
    for (int c = 0; c < 2; c++) { /* published: codes between the integers */
        const double x = normalized(&mean, c, example_x[c]);
        assert_near(mean.beta[c], beta[c], 1e-12);
        assert_true(vt_clamp(vt_round_even(x / 0.2) + 6.5, 0, 15) == codes[c]);
    }
    assert_true(repq_code(&other, 0) == 12 && repq_code(&other, 1) == 1);
    assert_true(repq_code(&rounded, 0) == 12 && repq_code(&rounded, 1) == 1);
}

/* With the mean zero point's bias, integer products of per-channel codes are what the reparameterized layer gives with
 * the same codes and weights. */
static void test_repq_bias(void **state)
{
    static const float w[2][2] = { { 1, 2 }, { 3, -1 } };
    struct vt_quantizer q[2] = { { 0.1f, 8, 4 }, { 0.3f, 4, 4 } };
    const struct repq a = reparameterized(&example, 0.2, 6);
    float mean[2], row[2], scale, scratch[8];
    int8_t codes[2];
    (void)state;
    vt_zero_point_means(q, 2, mean);
    assert_near(mean[0], -0.2, 1e-7);
    assert_near(mean[1], 0.6, 1e-7);
    for (int j = 0; j < 2; j++) {
        vt_scale_row(w[j], q, 2, row);
        assert_int_equal(vt_quantize_row(row, 2, 4, codes, &scale, scratch), VT_FIT_OK);
        const double bias = vt_corrected_bias((float)example.bias[j], w[j], codes, scale, q, mean, 2);
        double ours = bias, theirs = a.bias[j], dot = 0, constant = 0;
        for (int c = 0; c < 2; c++) {
            dot += repq_code(&example, c) * codes[c];
            constant += q[c].zero * codes[c];
            theirs += (repq_code(&a, c) - 6) * 0.2 * (codes[c] * scale / 0.2);
        }
        ours += scale * (dot - constant);
        assert_near(ours, theirs, 1e-6);
    }
}

/* Corrected with the channels' means, outputs keep theirs, also where a channel is far from 0. */
static void test_bias_correction(void **state)
{
    enum { C = 96, N = 400 };
    static float x[N][C], w[C], row[C], mean[C];
    static const float offsets[] = { 0, 5, -300, 0.01f };
    struct vt_quantizer q[C];
    float scale, scratch[16];
    int8_t codes[C];
    double plain = 0, corrected = 0, wanted = 0;
    (void)state;
    for (int c = 0; c < C; c++) {
        double sum = 0;
        float lo = INFINITY, hi = -INFINITY;
        w[c] = (float)normal();
        for (int i = 0; i < N; i++) {
            x[i][c] = offsets[c % 4] + (float)normal();
            sum += x[i][c];
            lo = fminf(lo, x[i][c]);
            hi = fmaxf(hi, x[i][c]);
        }
        mean[c] = (float)(sum / N);
        assert_int_equal(vt_quantizer_of_range(&q[c], lo, hi, 8), VT_FIT_OK);
        wanted += w[c] * (sum / N);
    }
    vt_scale_row(w, q, C, row);
    assert_int_equal(vt_quantize_row(row, C, 8, codes, &scale, scratch), VT_FIT_OK);
    const double bias = vt_corrected_bias(0, w, codes, scale, q, mean, C);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < C; c++)
            plain += scale * codes[c] * (vt_quantizer_code(&q[c], x[i][c]) - (double)q[c].zero) / N;
    corrected = plain + bias;
    assert_true(fabs(plain - wanted) > 0.1); /* the reason for all this */
    assert_near(corrected, wanted, 0.02);    /* what is left: rounding of the inputs, averaged */
}

static void test_smooth_factor(void **state)
{
    (void)state;
    assert_near(vt_smooth_factor(16, 0.25, 0.5), 8, 1e-12);
    assert_near(vt_smooth_factor(16, 0.25, 1), 16, 1e-12);
    assert_near(vt_smooth_factor(16, 0.25, 0), 4, 1e-12);
    assert_true(vt_smooth_factor(0, 1, 0.5) == 1 && vt_smooth_factor(1, 0, 0.5) == 1);
    assert_true(vt_smooth_factor(NAN, 1, 0.5) == 1 && vt_smooth_factor(INFINITY, 1, 0.5) == 1);
    assert_true(vt_smooth_factor(1e30, 1e-30, 0.5) == 1e5 && vt_smooth_factor(1e-30, 1e30, 0.5) == 1e-5);
}

static void test_smooth_quantizers(void **state)
{
    static const float lo[] = { -1, 2, -40, 7, -1000, 0 }, hi[] = { 3, 10, 60, 7, 1000, 0 };
    static const float w_max[] = { 0.5f, 0.1f, 0.2f, 1, 0, 0.3f };
    struct vt_quantizer q[6], own;
    (void)state;
    for (int a = 0; a <= 4; a++) {
        const double alpha = a / 4.0;
        bool touched = false;
        assert_int_equal(vt_smooth_quantizers(6, lo, hi, w_max, alpha, 8, q), VT_FIT_WIDENED);
        for (int c = 0; c < 3; c++) {
            const double factor = vt_smooth_factor((hi[c] - lo[c]) / 2, w_max[c], alpha);
            const double first = vt_smooth_factor((hi[0] - lo[0]) / 2, w_max[0], alpha);
            assert_near(q[c].scale / q[0].scale, factor / first, 1e-6 * factor / first);
            assert_near(vt_quantizer_value(&q[c], vt_quantizer_code(&q[c], lo[c])), lo[c], 1.01 * q[c].scale);
            assert_near(vt_quantizer_value(&q[c], vt_quantizer_code(&q[c], hi[c])), hi[c], 1.01 * q[c].scale);
            touched |= q[c].scale * 254.9 < hi[c] - lo[c];
        }
        assert_true(touched);         /* one channel uses all codes */
        for (int c = 3; c < 6; c++) { /* constant; not read; nothing at all */
            vt_quantizer_of_range(&own, lo[c], hi[c], 8);
            assert_true(q[c].scale == own.scale && q[c].zero == own.zero);
        }
    }
    for (int c = 0; c < 3; c++) { /* alpha 1, as each by itself */
        vt_quantizer_of_range(&own, lo[c], hi[c], 8);
        assert_near(q[c].scale, own.scale, 1e-6 * own.scale);
    }
    const float bad = INFINITY, low = 0, one = 1;
    assert_int_equal(vt_smooth_quantizers(1, &low, &bad, &one, 0.5, 8, q), VT_FIT_NOT_FINITE);
    assert_true(q[0].scale == VT_MIN_SCALE);
    assert_int_equal(vt_smooth_quantizers(0, NULL, NULL, NULL, 0.5, 8, NULL), VT_FIT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reparameterization), cmocka_unit_test(test_fractional_zero_point),
        cmocka_unit_test(test_repq_bias),          cmocka_unit_test(test_bias_correction),
        cmocka_unit_test(test_smooth_factor),      cmocka_unit_test(test_smooth_quantizers)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
