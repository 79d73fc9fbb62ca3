/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Epilogues of every bundle: bit by bit what the kernels of "ref" for their parts give one after the other, which other
 * checks compare with double precision. The parts that no other kernel has, GELU for bf16 and for codes, are in
 * check_activation.c.
 */
#include "check.h"

enum { WIDEST = 70, MOST_ROWS = 5 };

/* One call with everything around it. */
struct finish_case {
    enum vt_activation activation;
    enum vt_destination to;
    size_t m, n;
    bool integers, row_scale, scale, residual, in_place, same_row; /* in place: the residual is c; same: for all rows */
    uint8_t highest;
    enum fill fill;
    enum place place;
    uint64_t seed;
};

struct finish_buffers {
    struct guarded sums, sum_scale, sum_bias, row_scale, scale, residual, c;
};

/* Distances between rows, all of them different. */
static size_t ld_of_sums(const struct finish_case *t)
{
    return t->n + 1;
}
static size_t ld_of_c(const struct finish_case *t)
{
    return t->n + 2;
}
static size_t ld_of_residual(const struct finish_case *t)
{
    return t->same_row ? 0 : t->in_place ? ld_of_c(t) : t->n + 3;
}

static size_t bytes_of(enum vt_destination to)
{
    return to == VT_TO_F32 ? sizeof(float) : to == VT_TO_BF16 ? sizeof(vt_bf16) : sizeof(uint8_t);
}

static void *new_matrix(struct guarded *g, const struct finish_case *t, size_t ld, size_t bytes)
{
    return guarded_new(g, t->m ? ((t->m - 1) * ld + t->n) * bytes : 0, t->place);
}

/* Codes are whole numbers up to highest. */
static void spread_over_codes(const struct finish_case *t, size_t n, float *x)
{
    for (size_t i = 0; i < n && t->to == VT_TO_U8; i++)
        x[i] *= 60;
}

static float *new_vector(struct guarded *g, const struct finish_case *t, uint64_t seed)
{
    float *x = guarded_floats(g, t->n, t->place);
    fill_floats(t->fill, t->n, x, seed);
    spread_over_codes(t, t->n, x);
    return x;
}

/* Floats, or integers of any size: each has a random number of low bits, and either sign. */
static void *new_sums(struct guarded *g, const struct finish_case *t)
{
    float *sums = new_matrix(g, t, ld_of_sums(t), sizeof *sums);
    uint64_t seed = t->seed;
    for (size_t i = 0; i < t->m; i++) {
        float *row = sums + i * ld_of_sums(t);
        fill_floats(t->fill, t->n, row, t->seed + i);
        spread_over_codes(t, t->n, row);
        for (size_t j = 0; j < t->n && t->integers; j++) {
            const uint64_t random = random_bits(&seed);
            const int32_t magnitude = (int32_t)(random >> 33 >> random % 31);
            const int32_t number = random & 1 << 8 ? -magnitude : magnitude;
            memcpy(row + j, &number, sizeof number);
        }
    }
    return sums;
}

/* Fills rows of the residual and leaves what lies between them. */
static void fill_residual(const struct finish_case *t, float *residual)
{
    for (size_t i = 0; i < t->m; i++) {
        fill_floats(t->fill, t->n, residual + i * ld_of_residual(t), t->seed + 50 + i);
        spread_over_codes(t, t->n, residual + i * ld_of_residual(t));
    }
}

/* One row in float, before its conversion. */
static void compose(const struct finish_case *t, const struct vt_kernels *ref, const void *sums, size_t i,
                    const struct vt_epilogue *e, float *row)
{
    const float *residual = e->residual ? e->residual + i * e->ldr : NULL;
    const int32_t *integers = (const int32_t *)sums + i * ld_of_sums(t);
    memcpy(row, integers, t->n * sizeof *row);
    for (size_t j = 0; j < t->n && t->integers; j++) {
        const float scaled = e->row_scale ? (float)((double)(float)integers[j] * (double)e->row_scale[i]) /* exact */
                                          : (float)integers[j];
        row[j] = fmaf(scaled, e->sum_scale[j], e->sum_bias[j]);
    }
    if (t->activation != VT_ACT_NONE)
        ref->activation_f32[t->activation](t->n, row, row);
    if (e->scale)
        ref->scale_add_f32(t->n, row, e->scale, residual, row);
    else if (residual)
        ref->add_f32(t->n, row, residual, row);
}

/* No vector, no row beside it: the general path for one element at a time. */
static void expect_by_ref(const struct finish_case *t, const struct vt_kernels *ref, const void *sums, size_t i,
                          const struct vt_epilogue *e, void *want)
{
    struct vt_epilogue one_row = *e;
    one_row.residual = e->residual ? e->residual + i * e->ldr : NULL;
    one_row.ldr = 1;
    one_row.row_scale = e->row_scale ? e->row_scale + i : NULL;
    one_row.c = want;
    ref->finish[t->activation](1, t->n, (const char *)sums + i * ld_of_sums(t) * sizeof(float), 0, &one_row);
}

/* What row i has to be, in the type of c. */
static void expect(const struct finish_case *t, const void *sums, size_t i, const struct vt_epilogue *e, void *want)
{
    const struct vt_kernels ref = reference_bundle();
    float row[WIDEST];
    if (t->activation == VT_ACT_GELU && t->to != VT_TO_F32) { /* has a polynomial of its own */
        expect_by_ref(t, &ref, sums, i, e, want);
        return;
    }
    compose(t, &ref, sums, i, e, row);
    if (t->to == VT_TO_F32)
        memcpy(want, row, t->n * sizeof *row);
    else if (t->to == VT_TO_BF16)
        ref.to_bf16(t->n, row, want);
    else
        for (size_t j = 0; j < t->n; j++)
            ((uint8_t *)want)[j] = (uint8_t)fmin(fmax(rint((double)row[j]), 0), e->highest);
}

static bool gaps_untouched(const struct finish_case *t, const unsigned char *c)
{
    const size_t bytes = bytes_of(t->to);
    for (size_t i = 0; i + 1 < t->m; i++)
        for (size_t at = t->n * bytes; at < ld_of_c(t) * bytes; at++)
            if (c[i * ld_of_c(t) * bytes + at] != CANARY)
                return false;
    return true;
}

static void check_case(const struct vt_kernels *kernels, struct finish_case t)
{
    struct finish_buffers b;
    float want[MOST_ROWS][WIDEST];
    const size_t row_bytes = ld_of_c(&t) * bytes_of(t.to);
    const void *sums = new_sums(&b.sums, &t);
    unsigned char *c = new_matrix(&b.c, &t, ld_of_c(&t), bytes_of(t.to));
    float *residual = new_matrix(&b.residual, &t, ld_of_residual(&t), sizeof(float));
    float *row_scale = guarded_floats(&b.row_scale, t.m, t.place);
    fill_floats(t.fill, t.m, row_scale, t.seed + 99);
    const float *sum_scale = new_vector(&b.sum_scale, &t, t.seed + 100);
    const float *sum_bias = new_vector(&b.sum_bias, &t, t.seed + 101), *scale = new_vector(&b.scale, &t, t.seed + 102);
    if (t.in_place)
        residual = (float *)(void *)c;
    if (t.residual)
        fill_residual(&t, residual);
    const struct vt_epilogue e = { .sum_scale = t.integers ? sum_scale : NULL,
                                   .sum_bias = t.integers ? sum_bias : NULL,
                                   .row_scale = t.row_scale ? row_scale : NULL,
                                   .scale = t.scale ? scale : NULL,
                                   .residual = t.residual ? residual : NULL,
                                   .ldr = ld_of_residual(&t),
                                   .c = c,
                                   .ldc = ld_of_c(&t),
                                   .to = t.to,
                                   .highest = t.highest };
    for (size_t i = 0; i < t.m; i++)
        expect(&t, sums, i, &e, want[i]);

    kernels->finish[t.activation](t.m, t.n, sums, ld_of_sums(&t), &e);

    for (size_t i = 0; i < t.m; i++) {
        const bool same = memcmp(c + i * row_bytes, want[i], t.n * bytes_of(t.to)) == 0;
        require(same, "other bits than its parts", "finish", kernels->bundle, t.m, t.n, t.activation, t.seed);
    }
    require(gaps_untouched(&t, c) && guarded_intact(&b.c), "wrote outside", "finish", kernels->bundle, t.m, t.n,
            t.activation, t.seed);
    struct guarded *const all[] = { &b.sums, &b.sum_scale, &b.sum_bias, &b.row_scale, &b.scale, &b.residual, &b.c };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        guarded_free(all[i]);
}

/* One destination with and without everything that an epilogue may have. */
static void check_choices(const struct vt_kernels *kernels, enum vt_activation activation, enum vt_destination to)
{
    static const size_t widths[] = { 0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, WIDEST };
    static const uint8_t highest[] = { UINT8_MAX, 63, 15 };
    uint64_t seed = 1;
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        for (unsigned choice = 0; choice < 64; choice++) {
            const uint64_t random = random_bits(&seed);
            const bool integers = choice & 1, residual = choice & 4, in_place = choice & 8, same_row = choice & 16;
            const bool row_scale = choice & 32;
            if ((in_place && (!residual || to != VT_TO_F32)) || (same_row && (!residual || in_place)) ||
                (row_scale && !integers))
                continue;
            check_case(kernels, (struct finish_case){ .activation = activation,
                                                      .to = to,
                                                      .m = random % (MOST_ROWS + 1),
                                                      .n = widths[w],
                                                      .integers = integers,
                                                      .row_scale = row_scale,
                                                      .scale = choice & 2,
                                                      .residual = residual,
                                                      .in_place = in_place,
                                                      .same_row = same_row,
                                                      .highest = highest[(random >> 24) % 3],
                                                      .fill = (enum fill)(random >> 8) % FILL_COUNT,
                                                      .place = (enum place)(random >> 16) % PLACES,
                                                      .seed = seed });
        }
    }
}

static void epilogues_of_bundle(const struct vt_kernels *kernels)
{
    for (enum vt_activation activation = 0; activation < VT_ACT_COUNT; activation++)
        for (enum vt_destination to = VT_TO_F32; to <= VT_TO_U8; to++)
            check_choices(kernels, activation, to);
}

static void test_epilogues(void **state)
{
    (void)state;
    for_each_bundle(epilogues_of_bundle);
}

/* What is no number is the code 0, and what is too large the highest one, wherever in a row it stands; the codes of an
 * activation are those of what it makes of such numbers. */
static void special_codes_of_bundle(const struct vt_kernels *kernels)
{
    static const float special[] = { NAN,           INFINITY, -INFINITY, 1e30f, -1e30f, 2147483648.0f, -2147483904.0f,
                                     4294967296.0f, 255.5f,   254.5f,    0.5f,  1.5f,   -0.5f,         -0.0f };
    static const uint8_t codes[] = { 0, 200, 0, 200, 0, 200, 0, 200, 200, 200, 0, 2, 0, 0 };
    enum { SPECIAL = sizeof special / sizeof special[0] };
    float ones[WIDEST], bias[WIDEST], zeros[WIDEST] = { 0 };
    uint8_t c[WIDEST];
    const int32_t sums[WIDEST] = { 0 };
    for (size_t n = 1; n <= WIDEST; n++) {
        for (size_t j = 0; j < n; j++) {
            ones[j] = 1;
            bias[j] = special[(j + n) % SPECIAL];
        }
        const struct vt_epilogue integers = {
            .sum_scale = ones, .sum_bias = bias, .c = c, .to = VT_TO_U8, .highest = 200
        };
        struct vt_epilogue shifted = integers, floats = { .c = c, .to = VT_TO_U8, .highest = 200 };
        shifted.scale = ones;
        shifted.residual = zeros;
        const struct {
            const struct vt_epilogue *e;
            const void *sums;
            enum vt_activation activation;
        } cases[] = {
            { &integers, sums, VT_ACT_NONE }, { &shifted, sums, VT_ACT_NONE }, { &floats, bias, VT_ACT_NONE },
            { &integers, sums, VT_ACT_RELU }, { &shifted, sums, VT_ACT_GELU }, { &floats, bias, VT_ACT_GELU },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            kernels->finish[cases[i].activation](1, n, cases[i].sums, 0, cases[i].e);
            for (size_t j = 0; j < n; j++) {
                const uint8_t want = codes[(j + n) % SPECIAL]; /* GELU of 1.5 is 1.4 */
                if (c[j] != (cases[i].activation == VT_ACT_GELU && want == 2 ? 1 : want))
                    fail_msg("finish %s, case %zu: %a gives code %d", kernels->bundle, i, (double)bias[j], c[j]);
            }
        }
    }
}

static void test_special_codes(void **state)
{
    (void)state;
    for_each_bundle(special_codes_of_bundle);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_special_codes),
    };
    return cmocka_run_group_tests_name("check_finish", tests, NULL, NULL);
}
