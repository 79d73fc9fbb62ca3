/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention in windows, as an order of rows: a map's rows are laid out window by window, so that each window's tokens
 * stand together, and attention looks at equal groups of consecutive rows. Partition, cyclic shift, padding and their
 * inverses are one list of row numbers. A new scheme of windows is a new pattern here.
 *
 * Windows may be shifted cyclically by some rows and columns (Liu et al. 2021, arXiv:2103.14030, 3.2); then those at
 * the map's end hold tokens of both of its ends, which a mask keeps apart.
 */
#ifndef VT_WINDOWS_H
#define VT_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happens where the map is not larger than a window. */
enum vt_window_fit {
    VT_WINDOW_FIXED,       /* nothing: the window sticks out */
    VT_WINDOW_EACH_SIDE,   /* that side becomes the map's, and is not shifted (timm) */
    VT_WINDOW_SHORTER_SIDE /* both sides become the map's shorter one, and are not shifted (transformers' Swin) */
};

/* A scheme of windows for maps of any size. */
struct vt_window_pattern {
    uint32_t size[2], shift[2]; /* height, width; shift < size */
    enum vt_window_fit fit;
    bool shift_first; /* the map is shifted, then extended to whole windows (timm); otherwise the other way round */
    float mask;       /* added to scores between tokens that only the shift has brought together */
};

/* The windows over one map. */
struct vt_window_grid {
    uint32_t size[2], shift[2], count[2]; /* height, width */
};

/* Bounds on a pattern: a window has at most 2^12 tokens. */
#define VT_MAX_WINDOW_SIDE 1024u
#define VT_MAX_WINDOW_AREA 4096u

#define VT_NO_ROW UINT32_MAX

bool vt_window_patterns_same(const struct vt_window_pattern *a, const struct vt_window_pattern *b);

/* Windows of a pattern over a map of at least one row. */
struct vt_window_grid vt_windows_over(const struct vt_window_pattern *p, const uint32_t map[2]);

/* Tokens of one window; windows; rows of all of them. */
size_t vt_window_area(const struct vt_window_grid *g);
size_t vt_window_count(const struct vt_window_grid *g);

/* rows[area * count]: the row of the map that comes to each place in the order of windows, or VT_NO_ROW outside of the
 * map. Within a window tokens are in raster order, as windows are within the map. */
void vt_window_rows(const struct vt_window_pattern *p, const uint32_t map[2], uint32_t *rows);

/* Masks that the windows have: none, or those of windows at the right, at the bottom and in the corner. */
#define VT_WINDOW_MASKS 3

/* Number of window i's mask, 0..VT_WINDOW_MASKS - 1, or VT_WINDOW_MASKS if it needs none. */
unsigned vt_window_mask_of(const struct vt_window_pattern *p, const struct vt_window_grid *g, size_t i);

/* Tokens of a window at the map's end come from one of the map's two ends along each side. */
#define VT_WINDOW_REGIONS 4

/* regions[area]: which of them each token of such a window comes from, 0..VT_WINDOW_REGIONS - 1. */
void vt_window_regions(const struct vt_window_grid *g, uint8_t *regions);

/* mask[VT_WINDOW_REGIONS][area]: row r is what that mask adds to the scores of a query from region r, p->mask for keys
 * from others, else 0. */
void vt_window_mask(const struct vt_window_pattern *p, const struct vt_window_grid *g, unsigned number, float *mask);

#endif
