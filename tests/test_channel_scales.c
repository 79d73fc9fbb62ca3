/* SPDX-License-Identifier: Apache-2.0 */
/* Scales and zero points of channels: RepQ-ViT's published identities (worked examples C1 and C2) against the form that
 * they have here, and how ranges spread over columns. */
#include "calibration_data.h"

#include "channel_scales.h"

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
    return (int)code_of(&q, normalized(a, c, example_x[c]));
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

/* ---- Ranges of columns ---- */

enum { COLUMNS = 5, ROWS = 40 };

/* Columns of different widths and centres; number 3 is constant. */
static float sample(size_t row, size_t c)
{
    static const float width[COLUMNS] = { 1, 8, 0.25f, 0, 3 }, centre[COLUMNS] = { 0, -2, 1, 0.75f, 30 };
    return centre[c] + width[c] * (float)((row * 7 + c * 3) % 11) / 11;
}

static void see(struct vt_column columns[COLUMNS])
{
    float x[ROWS][COLUMNS + 2];
    for (size_t i = 0; i < ROWS; i++)
        for (size_t c = 0; c < COLUMNS; c++)
            x[i][c] = sample(i, c);
    for (size_t c = 0; c < COLUMNS; c++)
        columns[c] = (struct vt_column){ INFINITY, -INFINITY, 0, 0 };
    vt_columns_add(columns, COLUMNS, x[0], ROWS / 4, COLUMNS + 2); /* any number of rows at a time */
    vt_columns_add(columns, COLUMNS, x[ROWS / 4], ROWS - ROWS / 4, COLUMNS + 2);
    vt_columns_add(columns, COLUMNS, x[0], 0, COLUMNS + 2);
}

static void test_columns_are_seen(void **state)
{
    struct vt_column columns[COLUMNS];
    (void)state;
    see(columns);
    for (size_t c = 0; c < COLUMNS; c++) {
        float min = INFINITY, max = -INFINITY;
        double sum = 0, squares = 0;
        for (size_t i = 0; i < ROWS; i++) {
            min = fminf(min, sample(i, c));
            max = fmaxf(max, sample(i, c));
            sum += (double)sample(i, c);
            squares += (double)sample(i, c) * (double)sample(i, c);
        }
        assert_true(columns[c].min == min && columns[c].max == max);
        assert_near(columns[c].sum, sum, 1e-9);
        assert_near(columns[c].squares, squares, 1e-9);
    }
}

static double reach(const struct vt_quantizer *q)
{
    return (double)q->scale * vt_top_code(q->bits);
}

/* Whatever the spread, nothing that was seen is further than a rounding from what its code stands for. */
static void expect_covered(const struct vt_spread *s, struct vt_quantizer q[COLUMNS], unsigned bits)
{
    struct vt_column columns[COLUMNS];
    see(columns);
    assert_true(vt_spread_columns(s, columns, COLUMNS, ROWS, bits, q) != VT_FIT_NOT_FINITE);
    for (size_t c = 0; c < COLUMNS; c++) {
        assert_int_equal(q[c].bits, bits);
        assert_true(q[c].scale > 0 && q[c].zero == nearbyintf(q[c].zero));
        for (size_t i = 0; i < ROWS; i++) {
            const double x = (double)sample(i, c), found = value_of(&q[c], code_of(&q[c], x));
            assert_true(fabs(found - x) <= (double)q[c].scale * (1 + 1e-6)); /* the zero point is rounded, too */
        }
    }
}

static void test_spread(void **state)
{
    static const unsigned bits[] = { 8, 6, 4 };
    struct vt_quantizer q[COLUMNS], wide[COLUMNS];
    (void)state;
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        expect_covered(&(struct vt_spread){ .alpha = 1, .margin = 1 }, q, bits[i]); /* each its own */
        assert_near(reach(&q[1]), 8.0 * 10 / 11, 1e-4);
        assert_near(reach(&q[2]), 0.25 * 10 / 11, 1e-4);
        expect_covered(&(struct vt_spread){ .alpha = 0, .margin = 1 }, q, bits[i]); /* the widest one's */
        for (size_t c = 0; c < COLUMNS; c++)
            assert_near(reach(&q[c]), 8.0 * 10 / 11, 1e-4);
        expect_covered(&(struct vt_spread){ .alpha = 0.5, .margin = 1 }, q,
                       bits[i]); /* half of the way, in exponents */
        assert_near(reach(&q[2]), sqrt(0.25 * 8) * 10 / 11, 1e-4);
        expect_covered(&(struct vt_spread){ .alpha = 0.5, .margin = 1.5 }, wide, bits[i]);
        for (size_t c = 0; c < COLUMNS; c++)
            assert_true(reach(&wide[c]) >= reach(&q[c]));
        assert_near(reach(&wide[2]), 1.5 * reach(&q[2]), 1e-4);
        expect_covered(&(struct vt_spread){ .alpha = 1, .margin = 1, .deviations = 5 }, q, bits[i]);
        assert_true(reach(&q[1]) > 16); /* ten deviations of an even distribution are three times its width */
    }
}

/* A constant's range is its distance from 0, and a column of zeros is as wide as columns are on average. */
static void test_columns_that_never_change(void **state)
{
    enum { WIDE, MINUS_THREE, SEVEN, ZERO, N };
    const struct vt_spread ways[] = { { .alpha = 1, .margin = 1 },
                                      { .alpha = 1, .margin = 1, .deviations = 5 },
                                      { .alpha = 1, .margin = 1, .one_sided = true } };
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        float x[ROWS][N];
        struct vt_column columns[N];
        struct vt_quantizer q[N];
        for (size_t c = 0; c < N; c++)
            columns[c] = (struct vt_column){ INFINITY, -INFINITY, 0, 0 };
        for (size_t r = 0; r < ROWS; r++) {
            x[r][WIDE] = (float)(r % 2);
            x[r][MINUS_THREE] = -3;
            x[r][SEVEN] = 7 + 1e-6f * (float)(r % 3); /* rounding */
            x[r][ZERO] = 0;
        }
        vt_columns_add(columns, N, x[0], ROWS, N);
        vt_spread_columns(&ways[i], columns, N, ROWS, 8, q);
        const double lowest = ways[i].one_sided ? -3 : 0, wide = reach(&q[WIDE]);
        assert_near(reach(&q[MINUS_THREE]), 3, 1e-4);
        assert_near(reach(&q[SEVEN]), 7 - lowest, 1e-4);
        assert_near(value_of(&q[MINUS_THREE], 0), -3, 3.0 / 255);
        assert_near(value_of(&q[SEVEN], 0), lowest, 10.0 / 255);
        assert_near(reach(&q[ZERO]), ways[i].one_sided ? 3 : (wide + 3 + 7) / 4, 1e-4);
        assert_near(value_of(&q[ZERO], code_of(&q[ZERO], 0)), 0, 0);
    }
}

/* All begin at the smallest number of any column. */
static void test_one_sided(void **state)
{
    const struct vt_spread s = { .alpha = 0.3, .margin = 1.5, .one_sided = true };
    struct vt_quantizer q[COLUMNS];
    (void)state;
    expect_covered(&s, q, 8);
    for (size_t c = 0; c < COLUMNS; c++)
        assert_near(value_of(&q[c], 0), -2, (double)q[c].scale);
}

static void test_what_gives_no_range(void **state)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY };
    const struct vt_spread s = { .alpha = 0.5, .margin = 1.1 };
    struct vt_quantizer q[2];
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        const float x[3][2] = { { 1, 2 }, { 3, odd[i] }, { 4, 5 } };
        struct vt_column columns[2] = { { INFINITY, -INFINITY, 0, 0 }, { INFINITY, -INFINITY, 0, 0 } };
        vt_columns_add(columns, 2, x[0], 3, 2);
        assert_int_equal(vt_spread_columns(&s, columns, 2, 3, 8, q), VT_FIT_NOT_FINITE);
    }
    const float zeros[2][2] = { { 0, 0 }, { 0, 0 } };
    struct vt_column columns[2] = { { INFINITY, -INFINITY, 0, 0 }, { INFINITY, -INFINITY, 0, 0 } };
    assert_int_equal(vt_spread_columns(&s, columns, 2, 0, 8, q), VT_FIT_NOT_FINITE); /* nothing was seen */
    vt_columns_add(columns, 2, zeros[0], 2, 2);
    assert_int_equal(vt_spread_columns(&s, columns, 2, 2, 8, q), VT_FIT_WIDENED);
    for (size_t c = 0; c < 2; c++)
        assert_true(q[c].scale > 0 && value_of(&q[c], code_of(&q[c], 0)) == 0);
}

/* The more images, the less room and the more trust in each column. */
static void test_images(void **state)
{
    const struct vt_spread s = { .alpha = 0.4, .margin = 1.5, .deviations = 5, .one_sided = true };
    (void)state;
    const struct vt_spread usual = vt_spread_for(&s, 32);
    assert_near(usual.alpha, s.alpha, 1e-12);
    assert_near(usual.margin, s.margin, 1e-12);
    assert_true(usual.deviations == 5 && usual.one_sided);
    struct vt_spread before = vt_spread_for(&s, 1);
    assert_true(before.alpha >= 0 && before.margin <= 2);
    for (size_t images = 2; images < 100000; images *= 2) {
        const struct vt_spread next = vt_spread_for(&s, images);
        assert_true(next.alpha >= before.alpha && next.alpha <= 1);
        assert_true(next.margin <= before.margin && next.margin >= 1);
        before = next;
    }
    assert_near(vt_spread_for(&s, 256).margin, 1.25, 1e-12); /* eight times as many: half of the room */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reparameterization),        cmocka_unit_test(test_fractional_zero_point),
        cmocka_unit_test(test_columns_are_seen),          cmocka_unit_test(test_spread),
        cmocka_unit_test(test_columns_that_never_change), cmocka_unit_test(test_one_sided),
        cmocka_unit_test(test_what_gives_no_range),       cmocka_unit_test(test_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
