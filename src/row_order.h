/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern of windows made ready for one map: which row comes where, and the masks of shifted windows. */
#ifndef VT_ROW_ORDER_H
#define VT_ROW_ORDER_H

#include "graph.h"

struct vt_row_order {
    const struct vt_window_pattern *pattern;
    uint32_t map[2];
    struct vt_window_grid windows;
    size_t map_count, area, count; /* rows of the map; tokens of a window; windows */
    uint32_t *rows;                /* [area * count]: rows of the map, VT_NO_ROW outside of it */
    uint8_t *regions;              /* [area], of windows with a mask */
    float *masks;                  /* [VT_WINDOW_MASKS][VT_WINDOW_REGIONS][area], or NULL: windows are not shifted */
};

vitrt_status vt_row_order_init(struct vt_row_order *o, const struct vt_window_pattern *pattern, const uint32_t map[2],
                               const vitrt_allocator *a, vitrt_error *err);
void vt_row_order_free(struct vt_row_order *o, const vitrt_allocator *a); /* also of one whose init failed */

/* The mask of a window, [VT_WINDOW_REGIONS][area], or NULL. */
const float *vt_row_order_mask(const struct vt_row_order *o, size_t window);

#define VT_NOWHERE SIZE_MAX

/* Rows of several images in this order that stand together in the map's order, too. */
struct vt_row_run {
    size_t row, count;
    size_t to; /* the first one's among the rows of the maps, or VT_NOWHERE: none of them is in the map */
};

/* The run that begins at `row` and ends before `end` at the latest. */
struct vt_row_run vt_row_run_at(const struct vt_row_order *o, size_t row, size_t end);

#endif
