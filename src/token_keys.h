/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rules of token_map.h, which compare floats, and of integer_map.h, which compare integers, have in common:
 * rows are sorted by keys, and maps are made of what stays. Nothing here computes with floats, or allocates.
 */
#ifndef VT_TOKEN_KEYS_H
#define VT_TOKEN_KEYS_H

#include "token_map.h"

/* In the high half what a row is sorted by, in the low half which row. */
static inline uint64_t vt_key_of(uint32_t order, bool descending, size_t row)
{
    return (uint64_t)(descending ? ~order : order) << 32 | (uint32_t)row;
}

static inline size_t vt_row_of_key(uint64_t key)
{
    return (uint32_t)key;
}

static inline size_t vt_protected_rows(const struct vt_candidates *c)
{
    return c->protect < c->rows ? c->protect : c->rows;
}

/* Ascending by high halves alone; what is equal stays in its order. scratch: as many. */
void vt_sort_keys(size_t count, uint64_t *keys, uint64_t *scratch);

/* stay[from .. to - 1] = value */
void vt_fill_stay(uint8_t *stay, size_t from, size_t to, uint8_t value);

/* Of the candidates whose keys, `alive` of them, are in the scratch: the `count` with the least keys stay. */
void vt_stay_least(const struct vt_candidates *c, size_t alive, size_t count, uint8_t *stay);

/* The candidates whose keys, `sure` of them, are in the scratch leave, but the `context` with the least keys of each
 * class; class_of[rows]. All others stay. */
void vt_stay_unless_sure(const struct vt_candidates *c, size_t sure, const uint32_t *class_of, size_t context,
                         uint8_t *stay);

/* row[i] leaves for the `leave` least of the keys of i, of which there are `count`. scratch: as many. */
void vt_leave_least(size_t count, uint64_t *keys, uint64_t *scratch, const uint32_t *row, size_t leave, uint8_t *stay);

/* ---- Maps, whose weights are left to the caller: 0 ---- */

/* Rows that stay, in their order; returns how many these are, which are as many entries. */
size_t vt_map_rows(size_t rows, const uint8_t *stay, struct vt_token_entry *map);

/* Behind them, of which there are `left`, one more row of the entries of all others, if there are any. */
size_t vt_map_rest(size_t rows, size_t left, struct vt_token_entry *map);

/* Can row 2 i go to `to`, a row at an odd place that is not protected? */
static inline bool vt_can_match(const struct vt_candidates *c, size_t i, uint32_t to)
{
    return 2 * i >= c->protect && to < c->rows && to >= c->protect && to % 2 == 1;
}

/* The map of vt_map_of_match or, with `drop`, of vt_map_of_dropped. keys: those of i of all rows 2 i, in the scratch, of
 * which the `can_go` least can. */
size_t vt_map_matches(const struct vt_candidates *c, size_t can_go, const uint32_t *to, size_t count, bool drop,
                      struct vt_token_entry *map);

#endif
