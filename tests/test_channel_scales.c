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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reparameterization), cmocka_unit_test(test_fractional_zero_point)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
