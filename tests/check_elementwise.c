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

/* Of codes; the result may go to the residual. */
static void check_scale_add_u8(const struct vt_kernels *k, struct operands o, size_t n, enum place place,
                               unsigned which)
{
    struct guarded memory;
    uint8_t *codes = guarded_new(&memory, n, place);
    float want[LONGEST], *y = target(&o, which);
    uint64_t seed = n;
    for (size_t i = 0; i < n; i++) {
        codes[i] = (uint8_t)random_bits(&seed);
        want[i] = fmaf(codes[i], o.b[i], o.c[i]);
    }
    k->scale_add_u8(n, codes, o.b, o.c, y);
    require(guarded_intact(&memory), "wrote outside", "scale_add_u8", k->bundle, 0, n, 0, n);
    guarded_free(&memory);
    operands_check(&o, "scale_add_u8", k, n, y, want);
}

/* Factors of rows. */
static const float factors[] = { 0.3f, -7, 1e-30f };
enum { ROWS = sizeof factors / sizeof *factors };

/* One row, or several with a gap between them where there is room. */
static void check_scale_rows(const struct vt_kernels *k, struct operands o, size_t n, unsigned which)
{
    float want[LONGEST], *y = target(&o, which);
    const size_t m = n < 3 * ROWS ? 1 : ROWS, ld = n / m, columns = m == 1 ? n : ld - 1;
    memcpy(want, y, n * sizeof *want);
    for (size_t r = 0; r < m; r++)
        for (size_t i = r * ld; i < r * ld + columns; i++)
            want[i] = (float)((double)factors[r] * (double)o.a[i]);
    k->scale_rows_f32(m, columns, factors, o.a, ld, y, ld);
    operands_check(&o, "scale_rows_f32", k, n, y, want);
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
                check_scale_add_u8(k, operands_new(n, fill, place), n, place, 2);
                check_scale_add_u8(k, operands_new(n, fill, place), n, place, 3);
                check_scale_rows(k, operands_new(n, fill, place), n, 0);
                check_scale_rows(k, operands_new(n, fill, place), n, 3);
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

/* ---- Sums of rows ---- */

enum { MOST_ROWS = 13 };

/* m rows of n in the type of a product, with one element between them, in memory and as floats. */
struct rows {
    struct guarded memory;
    size_t ld;
    float x[MOST_ROWS * (LONGEST + 1)];
};

static void *rows_new(struct rows *o, enum vt_product product, size_t m, size_t n, enum fill fill, enum place place)
{
    const size_t count = m ? (m - 1) * (n + 1) + n : 0;
    uint64_t seed = n + m;
    void *data = guarded_new(&o->memory, count * vt_product_bytes(product), place);
    o->ld = n + 1;
    fill_floats(fill, count, o->x, seed);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &o->x[i], sizeof bits);
        if (product == VT_PRODUCT_U8S8) {
            ((uint8_t *)data)[i] = (uint8_t)random_bits(&seed);
            o->x[i] = ((uint8_t *)data)[i];
        } else if (product == VT_PRODUCT_BF16) { /* denormal ones, too */
            ((vt_bf16 *)data)[i] = (vt_bf16)(bits >> 16);
            o->x[i] = float_of_bits(bits & 0xFFFF0000u);
        } else {
            ((float *)data)[i] = o->x[i];
        }
    }
    return data;
}

static void check_axpy_rows(const struct vt_kernels *k, enum vt_product product, size_t m, size_t n, enum fill fill,
                            enum place place)
{
    static struct rows o;
    struct guarded memory;
    float want[LONGEST], a[MOST_ROWS], *y = guarded_floats(&memory, n, place);
    const void *x = rows_new(&o, product, m, n, fill, place);
    for (size_t r = 0; r < m; r++)
        a[r] = factors[r % ROWS];
    fill_floats(fill, n, y, 3 * n + m);
    memcpy(want, y, n * sizeof *want);
    for (size_t r = 0; r < m; r++)
        for (size_t i = 0; i < n; i++)
            want[i] = fmaf(a[r], o.x[r * o.ld + i], want[i]);
    switch (product) {
    case VT_PRODUCT_BF16: k->axpy_rows_bf16(m, n, a, x, o.ld, y); break;
    case VT_PRODUCT_U8S8: k->axpy_rows_u8(m, n, a, x, o.ld, y); break;
    default: k->axpy_rows_f32(m, n, a, x, o.ld, y); break;
    }
    require(same_bits(n, y, want), "wrong result", "axpy_rows", k->bundle, m, n, product, 0);
    require(guarded_intact(&memory) && guarded_intact(&o.memory), "wrote outside", "axpy_rows", k->bundle, m, n,
            product, 0);
    guarded_free(&memory);
    guarded_free(&o.memory);
}

static void check_sums(const struct vt_kernels *k, size_t n, enum fill fill, enum place place)
{
    static const size_t heights[] = { 0, 1, 2, MOST_ROWS };
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++)
        for (enum vt_product product = 0; product < VT_PRODUCT_COUNT; product++)
            check_axpy_rows(k, product, heights[i], n, fill, place);
}

static void sums_of_bundle(const struct vt_kernels *k)
{
    for (size_t n = 0; n <= LONGEST; n++)
        for (enum fill fill = 0; fill < FILL_COUNT; fill++)
            for (enum place place = 0; place < PLACES; place++)
                check_sums(k, n, fill, place);
}

static void test_sums_of_rows(void **state)
{
    (void)state;
    for_each_bundle(sums_of_bundle);
}

/* ---- Conversions ---- */

/* As a number; infinity as the next power of two, where one more bf16 would be. */
static double bf16_value(uint32_t bf16)
{
    const float x = float_of_bits(bf16 << 16);
    return isinf(x) ? copysign(0x1p128, (double)x) : (double)x;
}

/* The nearer one of the two that enclose x, or the even one. */
static uint32_t nearest_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t inner = bits >> 16, outer = inner + 1;
    if (fabsf(x) < FLT_MIN)
        return inner & 0x8000u;
    if (isinf(x))
        return inner;
    const double to_inner = fabs((double)x - bf16_value(inner)), to_outer = fabs(bf16_value(outer) - (double)x);
    return to_inner < to_outer || (to_inner == to_outer && inner % 2 == 0) ? inner : outer;
}

static void check_to_bf16(const struct vt_kernels *k, size_t n, const float *x, enum place place)
{
    struct guarded memory;
    vt_bf16 *y = guarded_new(&memory, n * sizeof *y, place);
    k->to_bf16(n, x, y);
    for (size_t i = 0; i < n; i++) {
        const bool ok = isnan(x[i]) ? isnan(float_of_bits((uint32_t)y[i] << 16)) : y[i] == nearest_bf16(x[i]);
        if (!ok)
            fail_msg("to_bf16 %s: %a gives %04x", k->bundle, (double)x[i], y[i]);
    }
    require(guarded_intact(&memory), "wrote outside", "to_bf16", k->bundle, 0, n, 0, 0);
    guarded_free(&memory);
}

/* A product in double is exact, so it is rounded to float once. */
static void check_scale_rows_bf16(const struct vt_kernels *k, size_t n, const float *x, enum place place)
{
    const size_t m = n % ROWS ? 1 : ROWS, columns = n / m;
    struct guarded memory;
    vt_bf16 *y = guarded_new(&memory, n * sizeof *y, place);
    k->scale_rows_bf16(m, columns, factors, x, columns, y, columns);
    for (size_t i = 0; i < n; i++) {
        const bool ok = isnan(x[i]) ? isnan(float_of_bits((uint32_t)y[i] << 16))
                                    : y[i] == nearest_bf16((float)((double)factors[i / columns] * (double)x[i]));
        if (!ok)
            fail_msg("scale_rows_bf16 %s: %a gives %04x", k->bundle, (double)x[i], y[i]);
    }
    require(guarded_intact(&memory), "wrote outside", "scale_rows_bf16", k->bundle, 0, n, 0, 0);
    guarded_free(&memory);
}

/* Neighbouring elements have different ones. */
struct quantizer {
    float scale, shift;
    uint8_t highest;
};
static const struct quantizer quantizers[] = {
    { 1, 0, 255 },   { 12.75f, 128, 255 }, { 0.37f, -7, 63 },     { 1e-3f, 300.5f, 255 },    { 1e30f, 3, 200 },
    { 0, 255, 255 }, { -2, 100, 15 },      { INFINITY, 9, 255 },  { 1, 4194303.5f, 255 },    { 1, -1e30f, 255 },
    { 1, NAN, 255 }, { 1, 0.5f, 1 },       { 1, -INFINITY, 255 }, { 1e-38f, INFINITY, 254 },
};
enum { QUANTIZERS = sizeof quantizers / sizeof quantizers[0] };

static uint8_t code_of(float x, const struct quantizer *q, uint8_t highest)
{
    const float code = fmaf(x, q->scale, q->shift);
    return isnan(code) ? 0 : (uint8_t)fmin(fmax(rint((double)code), 0), highest);
}

/* Element i has the quantizer first + i, or all have the first one. */
static void check_quantize(const struct vt_kernels *k, size_t n, const float *x, size_t first, bool all_same,
                           enum place place)
{
    const uint8_t highest = quantizers[first].highest;
    struct guarded memory[3];
    float *scale = guarded_floats(&memory[0], n, place), *shift = guarded_floats(&memory[1], n, place);
    uint8_t *y = guarded_new(&memory[2], n, place);
    for (size_t i = 0; i < n; i++) {
        const struct quantizer *q = &quantizers[(first + (all_same ? 0 : i)) % QUANTIZERS];
        scale[i] = q->scale;
        shift[i] = q->shift;
    }
    k->quantize_u8(n, x, scale, shift, highest, y);
    for (size_t i = 0; i < n; i++) {
        const struct quantizer *q = &quantizers[(first + (all_same ? 0 : i)) % QUANTIZERS];
        if (y[i] != code_of(x[i], q, highest))
            fail_msg("quantize_u8 %s: %a * %a + %a gives %d", k->bundle, (double)x[i], (double)q->scale,
                     (double)q->shift, y[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        require(guarded_intact(&memory[i]), "wrote outside", "quantize_u8", k->bundle, 0, n, 0, 0);
        guarded_free(&memory[i]);
    }
}

static void check_conversions(const struct vt_kernels *k, size_t n, const float *x, enum place place)
{
    check_to_bf16(k, n, x, place);
    check_scale_rows_bf16(k, n, x, place);
    for (size_t q = 0; q < QUANTIZERS; q++)
        check_quantize(k, n, x, q, n % 2, place);
}

static void sweep_of_bundle(const struct vt_kernels *k)
{
    static float x[BLOCK];
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        next_floats(&bits, x);
        check_conversions(k, BLOCK, x, AT_END);
    }
    for (size_t q = 0; q < QUANTIZERS; q++) { /* codes, what is halfway between them, and the limits */
        for (size_t i = 0; i < BLOCK; i++)
            x[i] = (float)i / 4 - 300 - quantizers[q].shift;
        check_quantize(k, BLOCK, x, q, true, AT_END);
    }
}

static void test_conversions_of_all_floats(void **state)
{
    (void)state;
    for_each_bundle(sweep_of_bundle);
}

/* Ends of ranges, ties and their neighbours, NaN with a payload that bf16 has no room for. */
static void special_conversions_of_bundle(const struct vt_kernels *k)
{
    static const uint32_t special[] = { 0,          1,          0x007FFFFF, 0x00800000, 0x3F000000, 0x3F7F8000,
                                        0x3F7FFFFF, 0x3F807FFF, 0x3F808000, 0x3F808001, 0x3F818000, 0x3FC00000,
                                        0x40200000, 0x437E8000, 0x437F0000, 0x437F8000, 0x4A800000, 0x4F000000,
                                        0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000 };
    enum { SPECIAL = sizeof special / sizeof special[0] };
    struct guarded memory;
    for (size_t n = 0; n <= LONGEST; n++) {
        for (enum place place = 0; place < PLACES; place++) {
            float *x = guarded_floats(&memory, n, place);
            for (size_t i = 0; i < n; i++)
                x[i] = float_of_bits(special[(i + n) % SPECIAL] | (i / SPECIAL % 2 ? 0x80000000u : 0));
            check_conversions(k, n, x, place);
            guarded_free(&memory);
        }
    }
}

static void test_special_conversions(void **state)
{
    (void)state;
    for_each_bundle(special_conversions_of_bundle);
}

/* ---- Prefetch ---- */

/* Nothing can be seen of it but that it does not fault, wherever it points. */
static void prefetch_of_bundle(const struct vt_kernels *k)
{
    struct guarded memory;
    const char *page = guarded_new(&memory, page_bytes(), AT_START);
    k->prefetch(0, 0, NULL, 0);
    k->prefetch(3, 1000, NULL, 64);
    k->prefetch(3, 1000, page, page_bytes());
    k->prefetch(3, page_bytes(), page - page_bytes() / 2, 100);
    k->prefetch(3, page_bytes(), (const void *)(UINTPTR_MAX - 100), SIZE_MAX / 2);
    assert_true(guarded_intact(&memory));
    guarded_free(&memory);
}

static void test_prefetch(void **state)
{
    (void)state;
    for_each_bundle(prefetch_of_bundle);
}

/* ---- The table ---- */

static void entries_of_bundle(const struct vt_kernels *k)
{
    unsigned mask = 0;
    assert_true(vt_cpu_from_name(k->bundle, &mask));
    assert_string_equal(vt_cpu_bundle(mask), k->bundle);
    for (int product = 0; product < VT_PRODUCT_COUNT; product++) {
        const struct vt_gemm_kernel *gemm = &k->gemm[product];
        assert_true(gemm->tile && gemm->pack_rows && gemm->pack_columns);
        assert_true(gemm->mr > 0 && gemm->nr > 0 && gemm->kr > 0);
        assert_true(gemm->mr <= VT_MAX_TILE_ROWS && gemm->mr * gemm->nr <= VT_MAX_TILE);
    }
    for (enum vt_activation act = VT_ACT_NONE + 1; act < VT_ACT_COUNT; act++)
        assert_non_null(k->activation_f32[act]);
    assert_null(k->activation_f32[VT_ACT_NONE]);
    for (enum vt_activation act = VT_ACT_NONE; act < VT_ACT_COUNT; act++)
        assert_non_null(k->finish[act]);
    assert_true(k->scale_add_f32 && k->add_f32 && k->mul_f32 && k->scale_rows_f32 && k->scale_rows_bf16 && k->axpy_f32);
    assert_true(k->axpy_rows_f32 && k->axpy_rows_bf16 && k->axpy_rows_u8);
    assert_true(k->prefetch && k->to_bf16 && k->quantize_u8);
    assert_true(k->layer_norm_f32 && k->layer_norm_bf16 && k->layer_norm_u8);
    assert_true(k->softmax_f32 && k->softmax_bf16 && k->softmax_u8 && k->l2_norm_f32 && k->l2_norm_bf16);
    assert_true(k->scale_add_u8 && k->direction_u8);
    assert_true(k->depthwise_f32 && k->depthwise_bf16 && k->depthwise_u8);
}

static void test_table(void **state)
{
    (void)state;
    unsigned mask = 77;
    for_each_bundle(entries_of_bundle);
    assert_false(vt_cpu_from_name("no such bundle", &mask));
    assert_int_equal(mask, 77);
}

/* The environment may say which bundle is the best one of this CPU, for instance where it is emulated. */
static void test_detection(void **state)
{
    (void)state;
    const char *expected = getenv("VITRT_TEST_BUNDLE");
    if (!expected)
        skip();
    assert_string_equal(vt_cpu_bundle(vt_cpu_detect()), expected);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_detection),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_sums_of_rows),
        cmocka_unit_test(test_conversions_of_all_floats),
        cmocka_unit_test(test_special_conversions),
        cmocka_unit_test(test_prefetch),
    };
    return cmocka_run_group_tests_name("check_elementwise", tests, NULL, NULL);
}
