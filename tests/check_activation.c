/* SPDX-License-Identifier: Apache-2.0 */
/* The activations of every bundle: against libm in double with the bound of the contract, against "ref" bit by bit,
 * at every tail. */
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
        cmocka_unit_test(test_all_floats),
        cmocka_unit_test(test_usual_range),
        cmocka_unit_test(test_tails),
    };
    return cmocka_run_group_tests_name("check_activation", tests, NULL, NULL);
}
