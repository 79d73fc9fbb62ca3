/* SPDX-License-Identifier: Apache-2.0 */
/* The activations of every bundle: against libm in double with the bound of the contract, against "ref" bit by bit,
 * at every tail. Also the GELUs that epilogues have for bf16 and for codes. */
#include "check.h"

static double gelu(double x)
{
    return 0.5 * x * erfc(-x * sqrt(0.5));
}
static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}
static double quick_gelu(double x)
{
    return x / (1 + exp(-1.702 * x));
}
static double silu(double x)
{
    return x / (1 + exp(-x));
}
static double relu(double x)
{
    return x > 0 ? x : 0;
}

static const struct {
    const char *name;
    double (*exact)(double);
} activations[VT_ACT_COUNT] = {
    [VT_ACT_GELU] = { "gelu_f32", gelu },
    [VT_ACT_GELU_TANH] = { "gelu_tanh_f32", gelu_tanh },
    [VT_ACT_QUICK_GELU] = { "quick_gelu_f32", quick_gelu },
    [VT_ACT_SILU] = { "silu_f32", silu },
    [VT_ACT_RELU] = { "relu_f32", relu },
    [VT_ACT_TANH] = { "tanh_f32", tanh },
};

static void check_values(const struct vt_kernels *k, enum vt_activation act, const float *x, const float *y)
{
    for (size_t i = 0; i < BLOCK; i++) {
        bool ok = isnan(y[i]);
        if (isfinite(x[i]))
            ok = fabs((double)y[i] - activations[act].exact((double)x[i])) <= 2e-7 * fmax(1, fabs((double)x[i]));
        else if (x[i] > 0)
            ok = y[i] == (act == VT_ACT_TANH ? 1 : INFINITY);
        else if (x[i] < 0) /* -inf: the limit, or what the formula gives */
            ok = isnan(y[i]) || y[i] == (act == VT_ACT_TANH ? -1 : 0);
        if (!ok)
            fail_msg("activation %s %s: f(%a) = %a", activations[act].name, k->bundle, (double)x[i], (double)y[i]);
    }
}

static void sweep_of_bundle(const struct vt_kernels *kernels)
{
    const struct vt_kernels ref = reference_bundle();
    static float x[BLOCK], y[BLOCK], want[BLOCK];
    for (enum vt_activation act = VT_ACT_NONE + 1; act < VT_ACT_COUNT; act++) {
        for (uint64_t bits = 0; bits <= UINT32_MAX;) {
            next_floats(&bits, x);
            kernels->activation_f32[act](BLOCK, x, y);
            check_values(kernels, act, x, y);
            ref.activation_f32[act](BLOCK, x, want);
            require(same_bits(BLOCK, y, want), "other bits than ref", activations[act].name, kernels->bundle, 0, BLOCK,
                    0, bits);
        }
    }
}

static void test_all_floats(void **state)
{
    (void)state;
    for_each_bundle(sweep_of_bundle);
}

/* Where most activations lie: the sweep over bit patterns has few there. */
static void usual_range_of_bundle(const struct vt_kernels *kernels)
{
    static float x[BLOCK], y[BLOCK];
    uint64_t seed = 1;
    for (enum vt_activation act = VT_ACT_NONE + 1; act < VT_ACT_COUNT; act++) {
        for (size_t block = 0; block < 50; block++) {
            for (size_t i = 0; i < BLOCK; i++)
                x[i] = 12 * random_float(&seed);
            kernels->activation_f32[act](BLOCK, x, y);
            check_values(kernels, act, x, y);
        }
    }
}

static void test_usual_range(void **state)
{
    (void)state;
    for_each_bundle(usual_range_of_bundle);
}

/* ---- GELU for bf16 ---- */

static float float_of_bf16(vt_bf16 x)
{
    return float_of_bits((uint32_t)x << 16);
}

/* Rounding keeps the order: a result within the bound lies between its rounded ends, moved outwards by their own
 * rounding to float. */
static bool rounded_close(const struct vt_kernels *k, float x, vt_bf16 y)
{
    if (isnan(x) || x == -INFINITY)
        return isnan(float_of_bf16(y)) || (x < 0 && y << 1 == 0);
    if (x == INFINITY)
        return float_of_bf16(y) == INFINITY;
    const double exact = gelu((double)x), bound = 2e-6 * fmax(1, fabs((double)x));
    const float ends[2] = { nextafterf((float)(exact - bound), -INFINITY),
                            nextafterf((float)(exact + bound), INFINITY) };
    vt_bf16 rounded[2];
    k->to_bf16(2, ends, rounded);
    return float_of_bf16(rounded[0]) <= float_of_bf16(y) && float_of_bf16(y) <= float_of_bf16(rounded[1]);
}

static void check_gelu_for_bf16(const struct vt_kernels *k, const float *x)
{
    vt_bf16 y[BLOCK];
    const struct vt_epilogue e = { .c = y, .to = VT_TO_BF16 };
    k->finish[VT_ACT_GELU](1, BLOCK, x, BLOCK, &e);
    for (size_t i = 0; i < BLOCK; i++)
        if (!rounded_close(k, x[i], y[i]))
            fail_msg("GELU for bf16 %s: f(%a) = %a", k->bundle, (double)x[i], (double)float_of_bf16(y[i]));
}

static void gelu_for_bf16_of_bundle(const struct vt_kernels *kernels)
{
    static float x[BLOCK];
    uint64_t seed = 1;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        next_floats(&bits, x);
        check_gelu_for_bf16(kernels, x);
    }
    for (size_t block = 0; block < 50; block++) {
        for (size_t i = 0; i < BLOCK; i++)
            x[i] = 12 * random_float(&seed);
        check_gelu_for_bf16(kernels, x);
    }
}

static void test_gelu_for_bf16(void **state)
{
    (void)state;
    for_each_bundle(gelu_for_bf16_of_bundle);
}

/* ---- GELU for codes ---- */

/* A result y within the bound becomes y * scale + shift, both rounded, whose code is that of a number that far away at
 * most. Scales so large that the bound is several codes. */
static bool code_close(float x, float scale, float shift, uint8_t code)
{
    if (isnan(x))
        return code == 0;
    const double exact = isinf(x) ? fmax((double)x, 0) : gelu((double)x), bound = 1e-4 * fmax(1, fabs((double)x));
    if (isinf(x) && x < 0)
        return true; /* the limit, or NaN */
    const double value = exact * (double)scale + (double)shift;
    const double slack = bound * (double)scale * (1 + 2 * unit_roundoff) + unit_roundoff * fabs(value) + 0.5;
    return isinf(value) ? code == UINT8_MAX
                        : (double)code >= fmin(fmax(value - slack, 0), UINT8_MAX) &&
                              (double)code <= fmin(fmax(value + slack, 0), UINT8_MAX);
}

static void check_gelu_for_codes(const struct vt_kernels *k, const float *x, float middle)
{
    static float scale[BLOCK], shift[BLOCK];
    const struct vt_kernels ref = reference_bundle();
    uint8_t y[BLOCK], want[BLOCK];
    struct vt_epilogue e = { .scale = scale, .residual = shift, .c = y, .to = VT_TO_U8, .highest = UINT8_MAX };
    for (size_t i = 0; i < BLOCK; i++) { /* the exact result is in the middle of the codes, or as it comes */
        const bool centre = middle > 0 && fabsf(x[i]) < 1e30f;
        scale[i] = centre ? middle : 20;
        shift[i] = centre ? (float)(127.5 - gelu((double)x[i]) * (double)middle) : 17;
    }
    k->finish[VT_ACT_GELU](1, BLOCK, x, BLOCK, &e);
    e.c = want;
    ref.finish[VT_ACT_GELU](1, BLOCK, x, BLOCK, &e);
    require(memcmp(y, want, sizeof y) == 0, "other codes than ref", "GELU for codes", k->bundle, 0, BLOCK, 0, 0);
    for (size_t i = 0; i < BLOCK; i++)
        if (!code_close(x[i], scale[i], shift[i], y[i]))
            fail_msg("GELU for codes %s: f(%a) * %a + %a gives %d", k->bundle, (double)x[i], (double)scale[i],
                     (double)shift[i], y[i]);
}

static void gelu_for_codes_of_bundle(const struct vt_kernels *kernels)
{
    static float x[BLOCK];
    uint64_t seed = 1;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        next_floats(&bits, x);
        check_gelu_for_codes(kernels, x, 0);
        check_gelu_for_codes(kernels, x, 1e5f);
    }
    for (size_t block = 0; block < 50; block++) {
        for (size_t i = 0; i < BLOCK; i++)
            x[i] = 12 * random_float(&seed);
        check_gelu_for_codes(kernels, x, 0);
        check_gelu_for_codes(kernels, x, 1e5f);
    }
}

static void test_gelu_for_codes(void **state)
{
    (void)state;
    for_each_bundle(gelu_for_codes_of_bundle);
}

/* ---- Places ---- */

/* A row of any length, in place or not, equals its elements computed alone by "ref", and nothing else is written. */
static void check_tail(const struct vt_kernels *kernels, enum vt_activation act, size_t n, enum place place,
                       bool in_place)
{
    const struct vt_kernels ref = reference_bundle();
    struct guarded x_memory, y_memory;
    float *x = guarded_floats(&x_memory, n, place), *y = in_place ? x : guarded_floats(&y_memory, n, place), want[64];
    fill_floats(FILL_UNIFORM, n, x, n);
    for (size_t i = 0; i < n; i++)
        ref.activation_f32[act](1, x + i, want + i);
    kernels->activation_f32[act](n, x, y);
    require(same_bits(n, y, want), "depends on the position", activations[act].name, kernels->bundle, 0, n, 0, n);
    require(guarded_intact(in_place ? &x_memory : &y_memory), "wrote outside", activations[act].name, kernels->bundle,
            0, n, 0, n);
    guarded_free(&x_memory);
    if (!in_place)
        guarded_free(&y_memory);
}

static void tails_of_bundle(const struct vt_kernels *kernels)
{
    for (enum vt_activation act = VT_ACT_NONE + 1; act < VT_ACT_COUNT; act++)
        for (size_t n = 0; n <= 64; n++)
            for (unsigned choice = 0; choice < 4; choice++)
                check_tail(kernels, act, n, choice & 1 ? AT_END : AT_START, choice & 2);
}

static void test_tails(void **state)
{
    (void)state;
    for_each_bundle(tails_of_bundle);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_floats),     cmocka_unit_test(test_usual_range), cmocka_unit_test(test_gelu_for_bf16),
        cmocka_unit_test(test_gelu_for_codes), cmocka_unit_test(test_tails),
    };
    return cmocka_run_group_tests_name("check_activation", tests, NULL, NULL);
}
