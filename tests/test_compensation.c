/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a weight's rounding error others take over, against elimination in double of covariances that are centred
 * first; and what that does to a row. */
#include "calibration_data.h"

#include "alloc.h"
#include "compensation.h"

enum { N = 24, ROWS = 700, LD = N + 3 };

static float x[ROWS][LD];
static float scales[N];

/* Columns that go together, of different sizes, each `away` deviations from 0. */
static void make_columns(double away)
{
    seed = 1;
    for (size_t r = 0; r < ROWS; r++) {
        double common[3];
        for (int k = 0; k < 3; k++)
            common[k] = normal();
        for (size_t c = 0; c < N; c++) {
            const double size = pow(2, (double)(c % 7) - 3);
            x[r][c] = (float)(size * (away + common[c % 3] + 0.5 * common[c % 2] + 0.3 * normal()));
            scales[c] = (float)(size / 30);
        }
    }
}

static void init(struct vt_compensation *c, size_t scale_count)
{
    struct vt_kernels kernels;
    struct vt_products p;
    struct vt_pool *pool;
    vitrt_error err;
    assert_ok(vt_pool_create(&vt_default_allocator, 1, NULL, NULL, &pool, &err), &err);
    vt_kernels_init(&kernels, 0);
    assert_ok(vt_products_init(&p, N, &kernels, &vt_default_allocator, &err), &err);
    vt_products_add(&p, &kernels, x[0], 300, LD); /* any number of rows at a time */
    vt_products_add(&p, &kernels, x[300], ROWS - 300, LD);
    assert_ok(vt_compensation_init(c, &p, scales, scale_count, pool, &vt_default_allocator, &err), &err);
    vt_pool_free(pool);
    vt_products_free(&p, &vt_default_allocator);
}

static double covariance_of(size_t a, size_t b, size_t scale_count)
{
    double means[2] = { 0, 0 }, sum = 0;
    for (size_t r = 0; r < ROWS; r++) {
        means[0] += (double)x[r][a] / ROWS;
        means[1] += (double)x[r][b] / ROWS;
    }
    for (size_t r = 0; r < ROWS; r++)
        sum += ((double)x[r][a] - means[0]) * ((double)x[r][b] - means[1]);
    return sum / ROWS / (double)scales[scale_count > 1 ? a : 0] / (double)scales[scale_count > 1 ? b : 0];
}

/* out: columns that count as constant. The order of columns is taken from c. */
static void expect_shares(const struct vt_compensation *c, size_t scale_count, bool (*out)(size_t))
{
    static double a[N][N];
    double damping = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            const bool none = out(c->order[i]) || out(c->order[j]);
            a[i][j] = (none ? 0 : covariance_of(c->order[i], c->order[j], scale_count)) + (i == j ? 1.0 / 12 : 0);
            damping += i == j ? 0.01 / N * a[i][i] : 0;
        }
    for (size_t i = 0; i < N; i++) {
        assert_true(!i || a[i][i] <= a[i - 1][i - 1] * (1 + 1e-5));
        a[i][i] += damping;
    }
    for (size_t k = N; k-- > 0;) {
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < k; j++)
                a[i][j] -= a[i][k] * a[k][j] / a[k][k];
        for (size_t i = 0; i < k; i++) /* rounded some hundred times in float, and divided by what is left of it */
            assert_near((double)c->shares[k * N + i], a[i][k] / a[k][k], 1e-3);
    }
}

static bool none(size_t c)
{
    (void)c;
    return false;
}

static bool first_three(size_t c)
{
    return c < 3;
}

/* As far from 0 as ten thousand deviations: their squares have 24 bits, and 27 are equal. */
static void test_shares(void **state)
{
    static const double away[] = { 0, 1, 100, 10000 };
    (void)state;
    for (size_t i = 0; i < COUNT(away); i++)
        for (size_t scale_count = 1; scale_count <= N; scale_count += N - 1) {
            struct vt_compensation c;
            make_columns(away[i]);
            init(&c, scale_count);
            expect_shares(&c, scale_count, none);
            vt_compensation_free(&c, &vt_default_allocator);
        }
}

/* Constants, also as far as a float can tell, and numbers whose squares are infinite, have no part in it. */
static void test_columns_that_are_left_out(void **state)
{
    static const float odd[][2] = { { 0, 0 }, { 5, 5 }, { 5, 5.000001f }, { -3e20f, 3e20f }, { -3e38f, 3e38f } };
    (void)state;
    for (size_t i = 0; i < COUNT(odd); i++) {
        struct vt_compensation c;
        make_columns(1);
        for (size_t k = 0; k < 3; k++) {
            for (size_t r = 0; r < ROWS; r++)
                x[r][k] = odd[i][r * (k + 1) / 5 % 2];
            scales[k] = fmaxf(fabsf(odd[i][0]), 1) / 100;
        }
        init(&c, N);
        expect_shares(&c, N, first_three);
        vt_compensation_free(&c, &vt_default_allocator);
    }
}

/* The error of a row's outputs, as what inputs go with it, is no larger than when each weight is rounded by itself. */
static void test_rows(void **state)
{
    static const double away[] = { 0, 10000 };
    (void)state;
    for (size_t i = 0; i < COUNT(away); i++) {
        struct vt_compensation c;
        double errors[2] = { 0, 0 };
        make_columns(away[i]);
        init(&c, N);
        for (size_t row = 0; row < 20; row++) {
            const struct vt_quantizer q = { 1.0f / 127, 127, 8 };
            float w[N], scratch[N];
            int8_t codes[N];
            for (size_t k = 0; k < N; k++)
                w[k] = (float)(2 * uniform() - 1);
            vt_compensate_row(&c, &q, 254, w, scratch, codes);
            for (size_t a = 0; a < N; a++)
                for (size_t b = 0; b < N; b++) {
                    const double covariance = covariance_of(a, b, N);
                    const double plain_a = (double)w[a] - ((double)code_of(&q, (double)w[a]) - 127) / 127;
                    const double plain_b = (double)w[b] - ((double)code_of(&q, (double)w[b]) - 127) / 127;
                    errors[0] += plain_a * plain_b * covariance;
                    errors[1] += ((double)w[a] - codes[a] / 127.0) * ((double)w[b] - codes[b] / 127.0) * covariance;
                }
        }
        assert_true(errors[1] < 0.5 * errors[0]);
        vt_compensation_free(&c, &vt_default_allocator);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_columns_that_are_left_out),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests_name("test_compensation", tests, NULL, NULL);
}
