/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution of every bundle: against double precision with a derived bound, against "ref" bit by bit, with
 * taps that lie to each other as those of 3 x 3 at both strides and as nobody expects, each row of pixels between guard
 * pages.
 */
#include "check.h"

enum { MOST_TAPS = 25, GAP = 3 }; /* elements between outputs */

enum arrangement {
    STRIDE_1, /* rows of 3 taps, each tap a pixel behind the one before */
    STRIDE_2,
    STRIDE_3,
    APART, /* each tap in memory of its own */
    MIXED, /* 3 x 3 at stride 1 but for the last tap */
    ARRANGEMENTS
};

struct convolution {
    size_t m, n, taps, step;
    struct guarded memory[MOST_TAPS + 5];
    size_t used; /* of memory */
    const float *x[MOST_TAPS];
    float *w, *bias; /* bias may be NULL */
    float *y;
    vt_bf16 *rounded;
    uint8_t *codes, highest;
    size_t ldy;
};

static void *take(struct convolution *c, size_t bytes, enum place place)
{
    return guarded_new(&c->memory[c->used++], bytes, place);
}

/* pixels pixels of n channels that touch a guard page. */
static const float *take_pixels(struct convolution *c, size_t pixels, enum fill fill, enum place place)
{
    float *x = take(c, pixels * c->n * sizeof *x, place);
    fill_floats(fill, pixels * c->n, x, c->n + c->used);
    return x;
}

static void place_taps(struct convolution *c, enum arrangement arrangement, enum fill fill, enum place place)
{
    const size_t stride = arrangement == STRIDE_2 ? 2 : arrangement == STRIDE_3 ? 3 : 1;
    const size_t last = c->m ? (c->m - 1) * stride : 0; /* pixel of the last output's first tap */
    c->step = stride * c->n;
    if (arrangement == APART)
        for (size_t t = 0; t < c->taps; t++)
            c->x[t] = take_pixels(c, last + 1, fill, place);
    else
        for (size_t t = 0; t < c->taps; t++)
            c->x[t] = t % 3 ? c->x[t - 1] + c->n : take_pixels(c, last + 3, fill, place);
    if (arrangement == MIXED)
        c->x[c->taps - 1] = take_pixels(c, last + 1, fill, place);
}

/* The sum is rounded once for each tap; what that loses of a denormal number is an absolute error. */
static bool close_to_exact(const struct convolution *c, size_t i)
{
    for (size_t ch = 0; ch < c->n; ch++) {
        double sum = c->bias ? (double)c->bias[ch] : 0, magnitude = fabs(sum);
        for (size_t t = 0; t < c->taps; t++) {
            const double product = (double)c->x[t][i * c->step + ch] * (double)c->w[t * c->n + ch];
            sum += product;
            magnitude += fabs(product);
        }
        const double bound = gamma_of(c->taps + 1) * magnitude + (double)c->taps * FLT_TRUE_MIN;
        if (!(fabs((double)c->y[i * c->ldy + ch] - sum) <= bound))
            return false;
    }
    return true;
}

static void check_output(const struct vt_kernels *k, const struct convolution *c, size_t i,
                         enum arrangement arrangement)
{
    const struct vt_kernels ref = reference_bundle();
    float want[1024];
    vt_bf16 want_rounded[1024];
    const float *y = c->y + i * c->ldy, *x[MOST_TAPS];
    for (size_t t = 0; t < c->taps; t++)
        x[t] = c->x[t] + i * c->step;
    ref.depthwise_f32(1, c->n, c->taps, x, c->step, c->w, c->bias, want, c->ldy);
    ref.to_bf16(c->n, want, want_rounded);
    require(close_to_exact(c, i), "outside the error bound", "depthwise_f32", k->bundle, c->m, c->n, c->taps,
            arrangement);
    require(same_bits(c->n, y, want), "other bits than ref", "depthwise_f32", k->bundle, c->m, c->n, c->taps,
            arrangement);
    require(memcmp(c->rounded + i * c->ldy, want_rounded, c->n * sizeof *want_rounded) == 0,
            "other bits than rounded floats", "depthwise_bf16", k->bundle, c->m, c->n, c->taps, arrangement);
    for (size_t ch = 0; ch < c->n; ch++)
        require(c->codes[i * c->ldy + ch] == (uint8_t)fmin(fmax(rint((double)y[ch]), 0), c->highest),
                "other codes than those of the floats", "depthwise_u8", k->bundle, c->m, c->n, c->taps, arrangement);
    for (size_t gap = c->n; gap < c->ldy && i + 1 < c->m; gap++)
        require(untouched(y + gap) && c->codes[i * c->ldy + gap] == CANARY, "wrote between outputs", "depthwise_f32",
                k->bundle, c->m, c->n, c->taps, arrangement);
}

static void check_case(const struct vt_kernels *k, size_t m, size_t n, size_t taps, enum arrangement arrangement,
                       unsigned choice)
{
    const enum place place = choice & 1 ? AT_END : AT_START;
    const enum fill fill = (enum fill)(choice % FILL_COUNT);
    struct convolution c = { .m = m, .n = n, .taps = taps, .ldy = n + GAP, .highest = choice & 4 ? 255 : 15 };
    const size_t count = m ? (m - 1) * c.ldy + n : 0;
    place_taps(&c, arrangement, fill, place);
    c.w = take(&c, taps * n * sizeof *c.w, place);
    fill_floats(FILL_UNIFORM, taps * n, c.w, n);
    for (size_t i = 0; i < taps * n; i++)
        c.w[i] *= 20; /* for codes of more than 1 */
    if (choice & 2) {
        c.bias = take(&c, n * sizeof *c.bias, place);
        fill_floats(fill, n, c.bias, n + 1);
    }
    c.y = take(&c, count * sizeof *c.y, place);
    c.rounded = take(&c, count * sizeof *c.rounded, place);
    c.codes = take(&c, count, place);
    k->depthwise_f32(m, n, taps, c.x, c.step, c.w, c.bias, c.y, c.ldy);
    k->depthwise_u8(m, n, taps, c.x, c.step, c.w, c.bias, c.highest, c.codes, c.ldy);
    k->depthwise_bf16(m, n, taps, c.x, c.step, c.w, c.bias, c.rounded, c.ldy);
    for (size_t i = 0; i < m; i++)
        check_output(k, &c, i, arrangement);
    for (size_t i = 0; i < c.used; i++) {
        require(guarded_intact(&c.memory[i]), "wrote outside", "depthwise", k->bundle, m, n, taps, arrangement);
        guarded_free(&c.memory[i]);
    }
}

/* One more and one less than vectors, than vectors side by side and than what is done in one go. */
static const size_t channels[] = { 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 67, 127, 129, 144, 384 };
enum { CHANNELS = sizeof channels / sizeof channels[0] };

static void windows_of_bundle(const struct vt_kernels *k)
{
    unsigned choice = 0;
    for (size_t l = 0; l < CHANNELS; l++)
        for (size_t m = 0; m <= 18; m++)
            for (enum arrangement a = 0; a < ARRANGEMENTS; a++, choice += 5) /* coprime to fills, places and biases */
                check_case(k, m, channels[l], 9, a, choice);
    for (enum arrangement a = 0; a < ARRANGEMENTS; a++)
        check_case(k, 54, 64, 9, a, 3);
}

static void test_windows(void **state)
{
    (void)state;
    for_each_bundle(windows_of_bundle);
}

static void taps_of_bundle(const struct vt_kernels *k)
{
    static const size_t taps[] = { 0, 1, 2, 3, 6, 8, 12, 25 };
    unsigned choice = 0;
    for (size_t i = 0; i < sizeof taps / sizeof taps[0]; i++)
        for (size_t l = 0; l < CHANNELS; l += 3)
            for (size_t m = 1; m <= 9; m++)
                for (enum arrangement a = 0; a < MIXED; a++, choice += 5)
                    check_case(k, m, channels[l], taps[i], a, choice);
}

static void test_numbers_of_taps(void **state)
{
    (void)state;
    for_each_bundle(taps_of_bundle);
}

/* A NaN reaches the outputs whose window it lies in, and no others; zeros times infinity are NaN. */
static void nan_of_bundle(const struct vt_kernels *k)
{
    enum { OUTPUTS = 12, AT = 5, N = 20 };
    static float x[(OUTPUTS + 2) * N], y[OUTPUTS * N];
    static uint8_t codes[OUTPUTS * N];
    float w[9 * N];
    const float *taps[9];
    for (size_t i = 0; i < 9 * N; i++)
        w[i] = i < N ? INFINITY : 1;
    for (size_t i = 0; i < (OUTPUTS + 2) * N; i++)
        x[i] = 1;
    for (size_t t = 0; t < 9; t++)
        taps[t] = x + t % 3 * N;
    x[AT * N + 17] = NAN;
    x[9 * N + 2] = 0;
    k->depthwise_f32(OUTPUTS, N, 9, taps, N, w, NULL, y, N);
    k->depthwise_u8(OUTPUTS, N, 9, taps, N, w, NULL, 200, codes, N);
    for (size_t i = 0; i < OUTPUTS; i++)
        for (size_t c = 0; c < N; c++) {
            const bool reached = (c == 17 && i <= AT && i + 2 >= AT) || (c == 2 && i == 9);
            assert_true(reached ? isnan(y[i * N + c]) : isinf(y[i * N + c]));
            assert_int_equal(codes[i * N + c], reached ? 0 : 200);
        }
}

static void test_nan(void **state)
{
    (void)state;
    for_each_bundle(nan_of_bundle);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_numbers_of_taps),
        cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests_name("check_depthwise", tests, NULL, NULL);
}
