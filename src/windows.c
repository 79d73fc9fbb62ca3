/* SPDX-License-Identifier: Apache-2.0 */
/* See windows.h. */
#include "windows.h"

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

bool vt_window_patterns_same(const struct vt_window_pattern *a, const struct vt_window_pattern *b)
{
    return a->size[0] == b->size[0] && a->size[1] == b->size[1] && a->shift[0] == b->shift[0] &&
           a->shift[1] == b->shift[1] && a->fit == b->fit && a->shift_first == b->shift_first && a->mask == b->mask;
}

struct vt_window_grid vt_windows_over(const struct vt_window_pattern *p, const uint32_t map[2])
{
    struct vt_window_grid g;
    const uint32_t shorter = smaller(map[0], map[1]);
    const bool both = p->fit == VT_WINDOW_SHORTER_SIDE && shorter <= smaller(p->size[0], p->size[1]);
    for (int i = 0; i < 2; i++) {
        const bool fits = both || (p->fit == VT_WINDOW_EACH_SIDE && map[i] <= p->size[i]);
        g.size[i] = both ? shorter : fits ? map[i] : p->size[i];
        g.shift[i] = fits ? 0 : p->shift[i];
        g.count[i] = (map[i] + g.size[i] - 1) / g.size[i];
    }
    return g;
}

size_t vt_window_area(const struct vt_window_grid *g)
{
    return (size_t)g->size[0] * g->size[1];
}

size_t vt_window_count(const struct vt_window_grid *g)
{
    return (size_t)g->count[0] * g->count[1];
}

/* Where the token at place `at` of the extended and shifted map comes from along one side; >= n: outside. */
static uint32_t source(const struct vt_window_pattern *p, const struct vt_window_grid *g, int side, uint32_t at,
                       uint32_t n)
{
    const uint32_t extended = g->size[side] * g->count[side];
    if (!p->shift_first)
        return (at + g->shift[side]) % extended;
    return at < n ? (at + g->shift[side]) % n : n;
}

void vt_window_rows(const struct vt_window_pattern *p, const uint32_t map[2], uint32_t *rows)
{
    const struct vt_window_grid g = vt_windows_over(p, map);
    for (uint32_t wy = 0; wy < g.count[0]; wy++)
        for (uint32_t wx = 0; wx < g.count[1]; wx++)
            for (uint32_t y = 0; y < g.size[0]; y++)
                for (uint32_t x = 0; x < g.size[1]; x++) {
                    const uint32_t row = source(p, &g, 0, wy * g.size[0] + y, map[0]),
                                   column = source(p, &g, 1, wx * g.size[1] + x, map[1]);
                    *rows++ = row < map[0] && column < map[1] ? row * map[1] + column : VT_NO_ROW;
                }
}

unsigned vt_window_mask_of(const struct vt_window_pattern *p, const struct vt_window_grid *g, size_t i)
{
    const bool bottom = g->shift[0] && i / g->count[1] + 1 == g->count[0];
    const bool right = g->shift[1] && i % g->count[1] + 1 == g->count[1];
    if (p->mask == 0 || !(bottom || right))
        return VT_WINDOW_MASKS;
    return bottom ? (right ? 2 : 1) : 0;
}

/* In the last window of a shifted side the tokens from size - shift on come from the map's other end. */
static bool wrapped(const struct vt_window_grid *g, int side, uint32_t at)
{
    return g->shift[side] && at >= g->size[side] - g->shift[side];
}

static unsigned region_of(const struct vt_window_grid *g, uint32_t token)
{
    return 2u * wrapped(g, 0, token / g->size[1]) + wrapped(g, 1, token % g->size[1]);
}

void vt_window_regions(const struct vt_window_grid *g, uint8_t *regions)
{
    for (uint32_t i = 0; i < vt_window_area(g); i++)
        regions[i] = (uint8_t)region_of(g, i);
}

void vt_window_mask(const struct vt_window_pattern *p, const struct vt_window_grid *g, unsigned number, float *mask)
{
    static const unsigned sides[VT_WINDOW_MASKS] = { 1, 2, 3 }; /* bits of a region that matter at the right, ... */
    for (unsigned region = 0; region < VT_WINDOW_REGIONS; region++)
        for (uint32_t i = 0; i < vt_window_area(g); i++)
            *mask++ = (region ^ region_of(g, i)) & sides[number] ? p->mask : 0;
}
