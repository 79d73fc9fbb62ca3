/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums, products and conversions of every bundle, which are exact or rounded once: equal to the same in double or by
 * fmaf, bit by bit. Also the table itself: every entry of every bundle is there.
 */
#include "check.h"

enum { LONGEST = 70 };

/* The operands of one call, each between guard pages; y is where the result goes. */
struct operands {
    struct guarded memory[4];
    float *a, *b, *c, *y;
};

static struct operands operands_new(size_t n, enum fill fill, enum place place)
{
    struct operands o;
    float **x[4] = { &o.a, &o.b, &o.c, &o.y };
    for (size_t i = 0; i < 4; i++) {
        *x[i] = guarded_floats(&o.memory[i], n, place);
        if (i < 3)
            fill_floats(fill, n, *x[i], n + i);
    }
    return o;
}

static void operands_check(struct operands *o, const char *function, const struct vt_kernels *k, size_t n,
                           const float *y, const float *want)
{
    require(same_bits(n, y, want), "wrong result", function, k->bundle, 0, n, 0, n);
    for (size_t i = 0; i < 4; i++) {
        require(guarded_intact(&o->memory[i]), "wrote outside", function, k->bundle, 0, n, 0, n);
        guarded_free(&o->memory[i]);
    }
}

/* Where the result goes: one of the operands (0: a, 1: b, 2: c) or its own memory (3). */
static float *target(const struct operands *o, unsigned which)
{
    float *const all[4] = { o->a, o->b, o->c, o->y };
    return all[which];
}

/* A sum or product of two floats in double, rounded to float, is the correctly rounded one (53 >= 2 * 24 + 2). */
static void check_add(const struct vt_kernels *k, struct operands o, size_t n, unsigned which)
{
    float want[LONGEST], *y = target(&o, which);
    for (size_t i = 0; i < n; i++)
        want[i] = (float)((double)o.a[i] + (double)o.b[i]);
    k->add_f32(n, o.a, o.b, y);
    operands_check(&o, "add_f32", k, n, y, want);
}

static void check_mul(const struct vt_kernels *k, struct operands o, size_t n, unsigned which)
{
    float want[LONGEST], *y = target(&o, which);
    for (size_t i = 0; i < n; i++)
        want[i] = (float)((double)o.a[i] * (double)o.b[i]);
    k->mul_f32(n, o.a, o.b, y);
    operands_check(&o, "mul_f32", k, n, y, want);
}

static void check_scale_add(const struct vt_kernels *k, struct operands o, size_t n, unsigned which, bool residual)
{
    float want[LONGEST], *y = target(&o, which);
    for (size_t i = 0; i < n; i++)
        want[i] = residual ? fmaf(o.a[i], o.b[i], o.c[i]) : (float)((double)o.a[i] * (double)o.b[i]);
    k->scale_add_f32(n, o.a, o.b, residual ? o.c : NULL, y);
    operands_check(&o, "scale_add_f32", k, n, y, want);
}

static void check_axpy(const struct vt_kernels *k, struct operands o, size_t n)
{
    float want[LONGEST];
    for (size_t i = 0; i < n; i++)
        want[i] = fmaf(0.3f, o.a[i], o.b[i]);
    k->axpy_f32(n, 0.3f, o.a, o.b);
    operands_check(&o, "axpy_f32", k, n, o.b, want);
}

static void arithmetic_of_bundle(const struct vt_kernels *k)
{
    for (size_t n = 0; n <= LONGEST; n++) {
        for (enum fill fill = 0; fill < FILL_COUNT; fill++) {
            for (enum place place = 0; place < PLACES; place++) {
                for (unsigned which = 0; which < 4; which += which == 1 ? 2 : 1) {
                    check_add(k, operands_new(n, fill, place), n, which);
                    check_mul(k, operands_new(n, fill, place), n, which);
                }
                for (unsigned which = 0; which < 4; which += which == 0 ? 2 : 1)
                    check_scale_add(k, operands_new(n, fill, place), n, which, true);
                check_scale_add(k, operands_new(n, fill, place), n, 3, false);
                check_axpy(k, operands_new(n, fill, place), n);
            }
        }
    }
}

static void test_arithmetic(void **state)
{
    (void)state;
    for_each_bundle(arithmetic_of_bundle);
}

/* ---- Conversions ---- */

static double value_of_f16(unsigned bits)
{
    const double sign = bits & 0x8000 ? -1 : 1;
    const int exponent = bits >> 10 & 31, fraction = bits & 0x3FF;
    if (exponent == 31)
        return fraction ? (double)NAN : sign * (double)INFINITY;
    return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static double value_of_bf16(unsigned bits)
{
    const double sign = bits & 0x8000 ? -1 : 1;
    const int exponent = bits >> 7 & 255, fraction = bits & 0x7F;
    if (exponent == 255)
        return fraction ? (double)NAN : sign * (double)INFINITY;
    return sign * (exponent ? ldexp(128 + fraction, exponent - 134) : ldexp(fraction, -133));
}

static void check_conversion(const struct vt_kernels *k, const char *name, vt_f16_to_f32_fn *convert,
                             double (*value)(unsigned), size_t first, size_t n, enum place place)
{
    struct guarded x_memory, y_memory;
    uint16_t *x = guarded_new(&x_memory, n * sizeof *x, place);
    float *y = guarded_floats(&y_memory, n, place);
    for (size_t i = 0; i < n; i++)
        x[i] = (uint16_t)(first + i);
    convert(n, x, y);
    for (size_t i = 0; i < n; i++) {
        const float want = (float)value(x[i]);
        require(same_bits(1, y + i, &want), "wrong value", name, k->bundle, 0, n, 0, x[i]);
    }
    require(guarded_intact(&y_memory), "wrote outside", name, k->bundle, 0, n, 0, first);
    guarded_free(&x_memory);
    guarded_free(&y_memory);
}

static void conversions_of_bundle(const struct vt_kernels *k)
{
    const struct {
        const char *name;
        vt_f16_to_f32_fn *convert;
        double (*value)(unsigned);
    } types[] = { { "f16_to_f32", k->f16_to_f32, value_of_f16 }, { "bf16_to_f32", k->bf16_to_f32, value_of_bf16 } };
    for (size_t t = 0; t < 2; t++) {
        check_conversion(k, types[t].name, types[t].convert, types[t].value, 0, 65536, AT_END);
        for (size_t n = 0; n <= 40; n++)
            for (enum place place = 0; place < PLACES; place++)
                check_conversion(k, types[t].name, types[t].convert, types[t].value, 0x3C00 + 97 * n, n, place);
    }
}

static void test_conversions(void **state)
{
    (void)state;
    for_each_bundle(conversions_of_bundle);
}

/* ---- The table ---- */

static void entries_of_bundle(const struct vt_kernels *k)
{
    unsigned mask = 0;
    assert_true(vt_cpu_from_name(k->bundle, &mask));
    assert_string_equal(vt_cpu_bundle(mask), k->bundle);
    assert_non_null(strstr(k->gemm_f32.name, k->bundle));
    assert_true(k->gemm_f32.mr > 0 && k->gemm_f32.nr > 0 && k->gemm_f32.pack_rows && k->gemm_f32.pack_columns);
    for (enum vt_activation act = VT_ACT_NONE + 1; act < VT_ACT_COUNT; act++)
        assert_non_null(k->activation_f32[act]);
    assert_null(k->activation_f32[VT_ACT_NONE]);
    assert_true(k->scale_add_f32 && k->add_f32 && k->mul_f32 && k->axpy_f32 && k->layer_norm_f32 && k->softmax_f32);
    assert_true(k->f16_to_f32 && k->bf16_to_f32);
}

static void test_table(void **state)
{
    (void)state;
    unsigned mask = 77;
    for_each_bundle(entries_of_bundle);
    assert_false(vt_cpu_from_name("no such bundle", &mask));
    assert_int_equal(mask, 77);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_conversions),
    };
    return cmocka_run_group_tests_name("check_elementwise", tests, NULL, NULL);
}
