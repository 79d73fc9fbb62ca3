/* SPDX-License-Identifier: Apache-2.0 */
/* The packing of every bundle and type against its definition: panels are [panel_k / kr][nr][kr]. */
#include "check_product.h"

struct pack_case {
    bool rows; /* pack_rows, or pack_columns */
    size_t n, k, gap;
    enum place place;
};

/* Every byte of the panel is the one that its definition says. */
static bool panel_right(const struct vt_gemm_kernel *gemm, const struct pack_case *p, size_t bytes, const char *w,
                        size_t ld, const char *panel)
{
    static const char zero[sizeof(float)] = { 0 };
    for (size_t unit = 0; unit < p->k; unit += gemm->kr) {
        for (size_t j = 0; j < gemm->nr; j++) {
            for (size_t kk = unit; kk < unit + gemm->kr; kk++, panel += bytes) {
                const bool inside = j < p->n && kk < p->k;
                const char *want = inside ? w + (p->rows ? j * ld + kk : kk * ld + j) * bytes : zero;
                if (memcmp(panel, want, bytes) != 0)
                    return false;
            }
        }
    }
    return true;
}

static void check_case(enum vt_product product, const struct vt_gemm_kernel *gemm, struct pack_case p)
{
    struct guarded w_memory, panel_memory;
    const size_t rows = p.rows ? p.n : p.k, columns = p.rows ? p.k : p.n, ld = columns + p.gap;
    const size_t count = rows ? (rows - 1) * ld + columns : 0, bytes = element_bytes(product);
    void *w = guarded_new(&w_memory, count * bytes, p.place);
    void *panel = guarded_new(&panel_memory, panel_bytes(product, gemm, p.k), p.place);
    fill_elements(product, OPERAND_B, FILL_UNIFORM, count, w, p.n + p.k);
    (p.rows ? gemm->pack_rows : gemm->pack_columns)(p.n, p.k, w, ld, panel);
    const char *function = p.rows ? "pack_rows" : "pack_columns";
    require(panel_right(gemm, &p, bytes, w, ld, panel), "wrong element", function, gemm->name, 0, p.n, p.k, p.n + p.k);
    require(guarded_intact(&panel_memory), "wrote outside the panel", function, gemm->name, 0, p.n, p.k, p.n + p.k);
    guarded_free(&w_memory);
    guarded_free(&panel_memory);
}

static void check_packing(enum vt_product product, const struct vt_gemm_kernel *gemm)
{
    static const size_t lengths[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 32, 33, 49, 63, 64, 65, 197 };
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
        for (size_t n = 0; n <= gemm->nr; n++)
            for (unsigned choice = 0; choice < 8; choice++)
                check_case(product, gemm,
                           (struct pack_case){ .rows = choice & 1,
                                               .n = n,
                                               .k = lengths[l],
                                               .gap = choice & 2 ? 5 : 0,
                                               .place = choice & 4 ? AT_END : AT_START });
}

static void test_packing(void **state)
{
    (void)state;
    for_each_gemm(check_packing);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),
    };
    return cmocka_run_group_tests_name("check_pack", tests, NULL, NULL);
}
