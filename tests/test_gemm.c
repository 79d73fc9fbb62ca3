/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking of products: whatever the cache and the threads that a product is split for, its pieces yield each element
 * once, with the bits that one row and one panel at a time would give. Residuals are added in place, so that an element
 * that is computed twice shows.
 */
#include "check_product.h" /* before all others: it asks for more of the system's headers */

#include "gemm.h"
#include "support.h"

/* A product of random shape with a random epilogue. Distances between rows are odd. */
struct problem {
    struct vt_gemm gemm;
    size_t m, bytes; /* bytes: of an element of c */
    struct guarded a, panels, bias, sum_scale, sum_bias, row_scale, scale, shift, c;
    void *initial, *want; /* of c's size */
};

static size_t up_to(uint64_t *seed, size_t most)
{
    return 1 + random_bits(seed) % most;
}

static size_t odd_stride(size_t columns)
{
    return columns + 4 + columns % 2 - 1;
}

static size_t c_bytes(const struct problem *p)
{
    return p->m * p->gemm.epilogue.ldc * p->bytes;
}

static const struct vt_gemm_kernel *kernel_of(const struct problem *p)
{
    return &p->gemm.kernels->gemm[p->gemm.product];
}

static size_t panels_of(const struct problem *p)
{
    return (p->gemm.n + kernel_of(p)->nr - 1) / kernel_of(p)->nr;
}

static float *random_floats(struct guarded *g, size_t n, uint64_t *seed)
{
    float *x = guarded_floats(g, n, AT_END);
    fill_floats(FILL_UNIFORM, n, x, random_bits(seed));
    return x;
}

static void new_operands(struct problem *p, uint64_t *seed)
{
    struct vt_gemm *g = &p->gemm;
    const struct vt_gemm_kernel *kernel = kernel_of(p);
    const size_t bytes = element_bytes(g->product), panel = panel_bytes(g->product, kernel, g->k);
    const size_t columns = panels_of(p) * kernel->nr;
    char *w = malloc(columns * g->k * bytes), *panels = guarded_new(&p->panels, panels_of(p) * panel, AT_START);
    assert_non_null(w);
    void *a = guarded_new(&p->a, p->m * g->lda * bytes, AT_END), *bias = guarded_new(&p->bias, columns * 4, AT_END);
    fill_elements(g->product, OPERAND_A, FILL_UNIFORM, p->m * g->lda, a, random_bits(seed));
    fill_elements(g->product, OPERAND_B, FILL_UNIFORM, g->n * g->k, w, random_bits(seed));
    fill_elements(g->product, RESULT, FILL_UNIFORM, columns, bias, random_bits(seed));
    for (size_t j = 0; j < g->n; j += kernel->nr)
        kernel->pack_rows(g->n - j < kernel->nr ? g->n - j : kernel->nr, g->k, w + j * g->k * bytes, g->k,
                          panels + j / kernel->nr * panel);
    free(w);
    g->a = a;
    g->panels = panels;
    g->bias = random_bits(seed) & 1 ? bias : NULL;
}

/* Integers stay as they are in one of four cases. */
static void choose_epilogue(struct problem *p, uint64_t *seed)
{
    struct vt_epilogue *e = &p->gemm.epilogue;
    const uint64_t choice = random_bits(seed);
    const float *sum_scale = random_floats(&p->sum_scale, p->gemm.n, seed);
    const float *sum_bias = random_floats(&p->sum_bias, p->gemm.n, seed);
    const float *row_scale = random_floats(&p->row_scale, p->m, seed);
    const float *scale = random_floats(&p->scale, p->gemm.n, seed), *shift = random_floats(&p->shift, p->gemm.n, seed);
    e->ldc = odd_stride(p->gemm.n);
    if (p->gemm.product == VT_PRODUCT_U8S8 && choice % 4 == 0)
        return;
    if (p->gemm.product == VT_PRODUCT_U8S8) {
        e->sum_scale = sum_scale;
        e->sum_bias = sum_bias;
        e->row_scale = choice & 64 ? row_scale : NULL;
    }
    e->scale = choice & 4 ? scale : NULL;
    e->to = (enum vt_destination)(choice >> 4) % 3;
    if (e->to == VT_TO_U8 && choice & 128)
        e->residual = shift; /* the same for each row */
    e->highest = choice & 256 ? UINT8_MAX : 63;
    p->gemm.activation = choice & 8 ? VT_ACT_GELU : VT_ACT_NONE;
}

static struct problem problem_new(const struct vt_kernels *kernels, enum vt_product product, uint64_t *seed)
{
    struct problem p = { .gemm = { .kernels = kernels, .product = product }, .m = up_to(seed, 400) };
    p.gemm.m = p.m;
    p.gemm.n = up_to(seed, 400);
    p.gemm.k = up_to(seed, 200);
    p.gemm.lda = odd_stride(p.gemm.k);
    new_operands(&p, seed);
    choose_epilogue(&p, seed);
    struct vt_epilogue *e = &p.gemm.epilogue;
    p.bytes = e->to == VT_TO_F32 ? sizeof(float) : e->to == VT_TO_BF16 ? sizeof(vt_bf16) : sizeof(uint8_t);
    e->c = guarded_new(&p.c, c_bytes(&p), AT_END);
    p.initial = malloc(c_bytes(&p));
    p.want = malloc(c_bytes(&p));
    assert_true(p.initial && p.want);
    memset(p.initial, CANARY, c_bytes(&p));
    if (e->to == VT_TO_F32 && (product != VT_PRODUCT_U8S8 || e->sum_scale)) {
        fill_floats(FILL_UNIFORM, p.m * e->ldc, p.initial, random_bits(seed));
        e->residual = e->c;
        e->ldr = e->ldc;
    }
    return p;
}

static void problem_free(struct problem *p)
{
    struct guarded *const all[] = { &p->a,         &p->panels, &p->bias,  &p->sum_scale, &p->sum_bias,
                                    &p->row_scale, &p->scale,  &p->shift, &p->c };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(guarded_intact(all[i]));
        guarded_free(all[i]);
    }
    free(p->initial);
    free(p->want);
}

/* The results by one row and one panel at a time, and then the epilogue of the whole row. */
static void compute_row(const struct problem *p, size_t i)
{
    const struct vt_gemm *g = &p->gemm;
    const struct vt_gemm_kernel *kernel = kernel_of(p);
    struct vt_epilogue e = g->epilogue;
    float sums[512]; /* or int32_t */
    for (size_t j = 0; j < g->n; j += kernel->nr)
        kernel->tile(1, g->n - j < kernel->nr ? g->n - j : kernel->nr, g->k,
                     (const char *)g->a + i * g->lda * element_bytes(g->product), g->lda,
                     (const char *)g->panels + j / kernel->nr * panel_bytes(g->product, kernel, g->k),
                     g->bias ? (const float *)g->bias + j : NULL, NULL, 0, sums + j, 0);
    e.c = (char *)p->want + i * e.ldc * p->bytes;
    if (e.residual && e.ldr > 0)
        e.residual = e.c;
    if (e.row_scale)
        e.row_scale += i;
    if (g->product == VT_PRODUCT_U8S8 && !e.sum_scale)
        memcpy(e.c, sums, g->n * sizeof *sums);
    else
        g->kernels->finish[g->activation](1, g->n, sums, g->n, &e);
}

static void check_problem(const struct problem *p)
{
    static const unsigned threads[] = { 1, 2, 3, 16 };
    static const size_t caches[] = { 0, 40000, (size_t)1 << 20 };
    struct vt_gemm g = p->gemm;
    memcpy(p->want, p->initial, c_bytes(p));
    for (size_t i = 0; i < p->m; i++)
        compute_row(p, i);
    for (size_t choice = 0; choice < 12; choice++) {
        g.l2_bytes = caches[choice / 4];
        const struct vt_gemm_split s = vt_gemm_split(&g, threads[choice % 4]);
        memcpy(g.epilogue.c, p->initial, c_bytes(p));
        for (size_t i = s.row_blocks * s.panel_groups; i > 0; i--)
            vt_gemm_piece(&g, &s, i - 1);
        require(memcmp(g.epilogue.c, p->want, c_bytes(p)) == 0, "other bits than row by row", "vt_gemm_piece",
                kernel_of(p)->name, p->m, g.n, g.k, choice);
    }
}

static void pieces_of_bundle(const struct vt_kernels *kernels)
{
    for (enum vt_product product = 0; product < VT_PRODUCT_COUNT; product++) {
        uint64_t seed = product;
        for (size_t i = 0; i < 8; i++) {
            struct problem p = problem_new(kernels, product, &seed);
            check_problem(&p);
            problem_free(&p);
        }
    }
}

static void test_pieces(void **state)
{
    (void)state;
    for_each_bundle(pieces_of_bundle);
}

/* A block writes its own rows and panels only. */
static void block_of_bundle(const struct vt_kernels *kernels)
{
    for (enum vt_product product = 0; product < VT_PRODUCT_COUNT; product++) {
        uint64_t seed = 100 + product;
        struct problem p = problem_new(kernels, product, &seed);
        const struct vt_epilogue *e = &p.gemm.epilogue;
        const size_t row = p.m / 3, row_end = p.m - p.m / 4, panel = panels_of(&p) / 2, panel_end = panels_of(&p);
        const size_t column = panel * kernel_of(&p)->nr;
        memcpy(p.want, p.initial, c_bytes(&p));
        for (size_t i = row; i < row_end; i++)
            compute_row(&p, i);
        for (size_t i = 0; i < p.m; i++) /* columns before the block */
            memcpy((char *)p.want + i * e->ldc * p.bytes, (char *)p.initial + i * e->ldc * p.bytes, column * p.bytes);
        memcpy(e->c, p.initial, c_bytes(&p));
        vt_gemm_block(&p.gemm, row, row_end, panel, panel_end);
        vt_gemm_block(&p.gemm, row, row, panel, panel_end);
        vt_gemm_block(&p.gemm, row, row_end, panel, panel);
        assert_memory_equal(e->c, p.want, c_bytes(&p));
        problem_free(&p);
    }
}

static void test_block(void **state)
{
    (void)state;
    for_each_bundle(block_of_bundle);
}

/* Rows that go back from the order of windows: the same as in their own order, moved. */
static void order_of_bundle(const struct vt_kernels *kernels)
{
    enum { MAP = 9, WINDOW = 4 }; /* windows stick out of the map */
    const struct vt_window_pattern pattern = { .size = { WINDOW, WINDOW }, .shift = { 2, 1 } };
    const uint32_t map[2] = { MAP, MAP };
    struct vt_row_order order;
    vitrt_error err;
    assert_ok(vt_row_order_init(&order, &pattern, map, &vt_default_allocator, &err), &err);
    for (enum vt_product product = 0; product < VT_PRODUCT_COUNT; product++)
        for (uint64_t seed = 200; seed < 208; seed++) {
            uint64_t random = seed;
            struct problem p = problem_new(kernels, product, &random);
            const size_t row = p.gemm.epilogue.ldc * p.bytes, rows = order.area * order.count;
            if (p.m < rows) { /* of one image */
                problem_free(&p);
                continue;
            }
            p.gemm.m = rows;
            p.gemm.epilogue.residual = p.gemm.epilogue.row_scale = NULL;
            memcpy(p.want, p.initial, c_bytes(&p));
            for (size_t i = 0; i < rows; i++)
                compute_row(&p, i);
            memcpy(p.gemm.epilogue.c, p.initial, c_bytes(&p));
            p.gemm.order = &order;
            vt_gemm_block(&p.gemm, 0, rows, 0, panels_of(&p));
            for (size_t i = 0; i < rows; i++)
                if (order.rows[i] != VT_NO_ROW)
                    assert_memory_equal((char *)p.gemm.epilogue.c + order.rows[i] * row, (char *)p.want + i * row,
                                        p.gemm.n * p.bytes);
            assert_memory_equal((char *)p.gemm.epilogue.c + order.map_count * row,
                                (char *)p.initial + order.map_count * row, c_bytes(&p) - order.map_count * row);
            problem_free(&p);
        }
    vt_row_order_free(&order, &vt_default_allocator);
}

static void test_order(void **state)
{
    (void)state;
    for_each_bundle(order_of_bundle);
}

static void test_nothing_to_do(void **state)
{
    const struct vt_kernels kernels = reference_bundle();
    (void)state;
    for (enum vt_product product = 0; product < VT_PRODUCT_COUNT; product++) {
        const struct vt_gemm g = { .kernels = &kernels, .product = product, .n = 5, .k = 0, .l2_bytes = 1000 };
        const struct vt_gemm_split s = vt_gemm_split(&g, 4);
        assert_int_equal(s.row_blocks * s.panel_groups, 0);
    }
}

static void test_row_stride(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= sizeof(float); bytes *= 2)
        for (size_t columns = 1; columns <= 3 * 4096; columns++) {
            const size_t stride = vt_row_stride(columns, bytes);
            assert_true(stride >= columns && (stride - columns) * bytes <= 64 && stride * bytes % 4096 != 0);
            assert_true(stride == columns || columns * bytes % 4096 == 0);
        }
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),        cmocka_unit_test(test_block),      cmocka_unit_test(test_order),
        cmocka_unit_test(test_nothing_to_do), cmocka_unit_test(test_row_stride),
    };
    return cmocka_run_group_tests_name("test_gemm", tests, NULL, NULL);
}
