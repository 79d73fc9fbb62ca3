/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows as an order of rows, against what the frameworks do step by step on a map of row numbers: pad, roll and
 * partition, in the order of transformers and in timm's, and the mask of regions drawn on the padded map.
 */
#include "support.h"

#include "row_order.h"

#include <stdlib.h>
#include <string.h>

/* A map of row numbers that grows and turns as theirs do. */
struct plane {
    uint32_t height, width;
    uint32_t *at;
};

static struct plane plane_new(uint32_t height, uint32_t width)
{
    struct plane p = { height, width, malloc((size_t)height * width * sizeof *p.at) };
    assert_non_null(p.at);
    return p;
}

static struct plane padded(struct plane p, const uint32_t window[2])
{
    struct plane q = plane_new((p.height + window[0] - 1) / window[0] * window[0],
                               (p.width + window[1] - 1) / window[1] * window[1]);
    for (uint32_t y = 0; y < q.height; y++)
        for (uint32_t x = 0; x < q.width; x++)
            q.at[y * q.width + x] = y < p.height && x < p.width ? p.at[y * p.width + x] : VT_NO_ROW;
    free(p.at);
    return q;
}

/* torch.roll(p, (-shift[0], -shift[1])) */
static struct plane rolled(struct plane p, const uint32_t shift[2])
{
    struct plane q = plane_new(p.height, p.width);
    for (uint32_t y = 0; y < q.height; y++)
        for (uint32_t x = 0; x < q.width; x++)
            q.at[y * q.width + x] = p.at[(y + shift[0]) % p.height * p.width + (x + shift[1]) % p.width];
    free(p.at);
    return q;
}

static struct plane rows_of_map(const uint32_t map[2])
{
    struct plane p = plane_new(map[0], map[1]);
    for (uint32_t i = 0; i < map[0] * map[1]; i++)
        p.at[i] = i;
    return p;
}

/* timm's img_mask: regions counted through all pairs of slices; a later one overwrites an earlier one. */
static struct plane regions(const struct vt_window_grid *g)
{
    struct plane p = plane_new(g->size[0] * g->count[0], g->size[1] * g->count[1]);
    const uint32_t ends[2] = { p.height, p.width };
    uint32_t from[2][3], to[2][3], number = 0;
    for (int i = 0; i < 2; i++) { /* slices (0, -window), (-window, -shift), (-shift, None); -0 is 0 */
        const uint32_t shift = g->shift[i] ? ends[i] - g->shift[i] : 0;
        from[i][0] = 0;
        to[i][0] = from[i][1] = ends[i] - g->size[i];
        to[i][1] = from[i][2] = shift;
        to[i][2] = ends[i];
    }
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++, number++)
            for (uint32_t y = from[0][i]; y < to[0][i]; y++)
                for (uint32_t x = from[1][j]; x < to[1][j]; x++)
                    p.at[y * p.width + x] = number;
    return p;
}

/* window_partition: the place in the padded map of token t of window w. */
static size_t place_of(const struct vt_window_grid *g, size_t w, size_t t)
{
    const size_t y = w / g->count[1] * g->size[0] + t / g->size[1], x = w % g->count[1] * g->size[1] + t % g->size[1];
    return y * g->size[1] * g->count[1] + x;
}

static void check_rows(const struct vt_row_order *o)
{
    const struct vt_window_grid *g = &o->windows;
    struct plane p = rows_of_map(o->map);
    p = o->pattern->shift_first ? padded(rolled(p, g->shift), g->size) : rolled(padded(p, g->size), g->shift);
    for (size_t w = 0; w < o->count; w++)
        for (size_t t = 0; t < o->area; t++)
            assert_int_equal(o->rows[w * o->area + t], p.at[place_of(g, w, t)]);
    free(p.at);
}

static void check_masks(const struct vt_row_order *o)
{
    const struct vt_window_grid *g = &o->windows;
    const bool shifted = g->shift[0] || g->shift[1];
    struct plane p = regions(g);
    for (size_t w = 0; w < o->count; w++) {
        const float *mask = vt_row_order_mask(o, w);
        for (size_t i = 0; i < o->area; i++)
            for (size_t j = 0; j < o->area; j++) {
                const bool apart = shifted && p.at[place_of(g, w, i)] != p.at[place_of(g, w, j)];
                assert_true((mask ? mask[o->regions[i] * o->area + j] : 0) == (apart ? -100.0f : 0.0f));
            }
    }
    free(p.at);
}

static void check(const struct vt_window_pattern *p, const uint32_t map[2])
{
    struct vt_row_order o;
    vitrt_error err;
    assert_ok(vt_row_order_init(&o, p, map, &vt_default_allocator, &err), &err);
    assert_int_equal(o.map_count, map[0] * map[1]);
    check_rows(&o);
    check_masks(&o);
    vt_row_order_free(&o, &vt_default_allocator);
}

static void test_against_frameworks(void **state)
{
    static const uint32_t maps[][2] = { { 1, 1 }, { 4, 4 }, { 8, 8 }, { 9, 7 }, { 5, 13 }, { 3, 12 }, { 18, 18 } };
    static const uint32_t windows[][2] = { { 4, 4 }, { 7, 7 }, { 3, 5 }, { 1, 1 } };
    (void)state;
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        for (size_t k = 0; k < sizeof windows / sizeof *windows; k++)
            for (unsigned variant = 0; variant < 24; variant++) {
                const uint32_t *w = windows[k];
                const struct vt_window_pattern p = { .size = { w[0], w[1] },
                                                     .shift = { variant & 1 ? w[0] / 2 : 0,
                                                                variant & 2 ? w[1] / 2 : 0 },
                                                     .fit = (enum vt_window_fit)(variant / 8),
                                                     .shift_first = variant & 4,
                                                     .mask = -100 };
                check(&p, maps[i]);
            }
}

/* What becomes of windows where the map is not larger. */
static void test_fit(void **state)
{
    static const uint32_t wide[2] = { 3, 12 }, same[2] = { 7, 14 }, large[2] = { 8, 9 };
    struct vt_window_pattern p = { .size = { 7, 7 }, .shift = { 3, 3 } };
    (void)state;
    struct vt_window_grid g = vt_windows_over(&p, wide);
    assert_true(g.size[0] == 7 && g.size[1] == 7 && g.shift[0] == 3 && g.count[0] == 1 && g.count[1] == 2);
    p.fit = VT_WINDOW_EACH_SIDE;
    g = vt_windows_over(&p, wide);
    assert_true(g.size[0] == 3 && g.size[1] == 7 && g.shift[0] == 0 && g.shift[1] == 3);
    g = vt_windows_over(&p, same);
    assert_true(g.size[0] == 7 && g.shift[0] == 0 && g.shift[1] == 3);
    p.fit = VT_WINDOW_SHORTER_SIDE;
    g = vt_windows_over(&p, wide);
    assert_true(g.size[0] == 3 && g.size[1] == 3 && g.shift[0] == 0 && g.shift[1] == 0 && g.count[1] == 4);
    g = vt_windows_over(&p, large);
    assert_true(g.size[0] == 7 && g.shift[0] == 3 && g.shift[1] == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_frameworks), cmocka_unit_test(test_fit) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
