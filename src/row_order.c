/* SPDX-License-Identifier: Apache-2.0 */
/* See row_order.h. */
#include "row_order.h"

static size_t row_bytes(const struct vt_row_order *o)
{
    return o->area * o->count * sizeof *o->rows;
}

static size_t mask_floats(const struct vt_row_order *o)
{
    return VT_WINDOW_REGIONS * o->area;
}

static size_t masks_bytes(const struct vt_row_order *o)
{
    return VT_WINDOW_MASKS * mask_floats(o) * sizeof *o->masks;
}

vitrt_status vt_row_order_init(struct vt_row_order *o, const struct vt_window_pattern *pattern, const uint32_t map[2],
                               const vitrt_allocator *a, vitrt_error *err)
{
    *o = (struct vt_row_order){ .pattern = pattern, .map = { map[0], map[1] } };
    o->windows = vt_windows_over(pattern, map);
    o->map_count = (size_t)map[0] * map[1];
    o->area = vt_window_area(&o->windows);
    o->count = vt_window_count(&o->windows);
    const bool masked = pattern->mask != 0 && (o->windows.shift[0] || o->windows.shift[1]);
    o->rows = vt_alloc(a, row_bytes(o));
    o->regions = masked ? vt_alloc(a, o->area) : NULL;
    o->masks = masked ? vt_alloc(a, masks_bytes(o)) : NULL;
    if (!o->rows || (masked && (!o->regions || !o->masks)))
        return vt_err_memory(err, row_bytes(o) + (masked ? o->area + masks_bytes(o) : 0), "the order of windows");
    vt_window_rows(pattern, map, o->rows);
    if (!masked)
        return VITRT_OK;
    vt_window_regions(&o->windows, o->regions);
    for (unsigned i = 0; i < VT_WINDOW_MASKS; i++)
        vt_window_mask(pattern, &o->windows, i, o->masks + i * mask_floats(o));
    return VITRT_OK;
}

void vt_row_order_free(struct vt_row_order *o, const vitrt_allocator *a)
{
    vt_free(a, o->rows, row_bytes(o));
    vt_free(a, o->regions, o->area);
    vt_free(a, o->masks, masks_bytes(o));
}

struct vt_row_run vt_row_run_at(const struct vt_row_order *o, size_t row, size_t end)
{
    const size_t of_image = o->area * o->count, image = row / of_image, first = row - image * of_image;
    const size_t left = of_image - first, most = end - row < left ? end - row : left;
    const uint32_t *rows = o->rows + first;
    const bool inside = rows[0] != VT_NO_ROW;
    size_t count = 1;
    while (count < most && rows[count] == (inside ? rows[0] + count : VT_NO_ROW))
        count++;
    return (struct vt_row_run){ row, count, inside ? image * o->map_count + rows[0] : VT_NOWHERE };
}

const float *vt_row_order_mask(const struct vt_row_order *o, size_t window)
{
    const unsigned number = o->masks ? vt_window_mask_of(o->pattern, &o->windows, window) : VT_WINDOW_MASKS;
    return number == VT_WINDOW_MASKS ? NULL : o->masks + number * mask_floats(o);
}
