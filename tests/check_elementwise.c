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

/* ---- The table ---- */

static void entries_of_bundle(const struct vt_kernels *k)
{
    unsigned mask = 0;
    assert_true(vt_cpu_from_name(k->bundle, &mask));
    assert_string_equal(vt_cpu_bundle(mask), k->bundle);
    for (int product = 0; product < VT_PRODUCT_U8S8; product++) {
        const struct vt_gemm_kernel *gemm = &k->gemm[product];
        assert_true(gemm->tile && gemm->pack_rows && gemm->pack_columns && gemm->mr > 0 && gemm->nr > 0 && gemm->kr > 0);
        assert_true(gemm->mr <= VT_MAX_TILE_ROWS && gemm->mr * gemm->nr <= VT_MAX_TILE);
    }
    for (enum vt_activation act = VT_ACT_NONE + 1; act < VT_ACT_COUNT; act++)
        assert_non_null(k->activation_f32[act]);
    assert_null(k->activation_f32[VT_ACT_NONE]);
    assert_true(k->scale_add_f32 && k->add_f32 && k->mul_f32 && k->axpy_f32 && k->layer_norm_f32 && k->softmax_f32);
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
    };
    return cmocka_run_group_tests_name("check_elementwise", tests, NULL, NULL);
}
