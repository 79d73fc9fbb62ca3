/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of token_map.h on integers, of which higher ones are better, too: for inference without floating-point
 * numbers. Weights of a map's entries are whole numbers of its share unit, 1 / whole.
 */
#ifndef VT_INTEGER_MAP_H
#define VT_INTEGER_MAP_H

#include "token_map.h"

/* The unit of shares is 2^-30, but in maps that fuse rows, whose shares are scores: there it is that of the scores. How
 * many tokens a row stands for is counted in units of 2^-10, since rows that leave may pass on a part of theirs. */
#define VT_SHARE_BITS 30
#define VT_SIZE_BITS  10

/* part / total to the nearest share, 0 for a total of 0; part <= total < 2^63. */
int32_t vt_share_of(uint32_t part, uint64_t total);

/* keys[count], in the order of vt_rank_scores, ascending. scratch: as many. */
void vt_integer_rank(size_t count, const int32_t *score, uint64_t *keys, uint64_t *scratch);

/* vt_stay_top. */
void vt_integer_stay_top(const struct vt_candidates *c, const int32_t *scores, size_t count, uint8_t *stay);

/* vt_stay_sampled, exactly, and all rows stay also where 4 samples times the sum of scores is 2^64 or more. */
void vt_integer_stay_sampled(const struct vt_candidates *c, const int32_t *scores, size_t samples, bool in_order,
                             uint8_t *stay);

/* vt_leave_similar. */
void vt_integer_leave_similar(size_t count, const int32_t *best, const uint32_t *row, size_t leave, uint64_t *scratch,
                              uint8_t *stay);

/* vt_stay_unsure: inverse[i] is that of the row's confidence, in any unit; rows where it is below `limit` are sure. */
void vt_integer_stay_unsure(const struct vt_candidates *c, const uint32_t *inverse, const uint32_t *class_of,
                            uint32_t limit, size_t context, uint8_t *stay);

/* vt_map_of_stay; whole: what stands for the weight 1. */
size_t vt_integer_map_of_stay(size_t rows, const uint8_t *stay, int32_t whole, struct vt_token_entry *map);

/* vt_map_of_fused: whole is 1 in the unit of the scores. */
size_t vt_integer_map_of_fused(size_t rows, const uint8_t *stay, const int32_t *scores, int32_t whole,
                               struct vt_token_entry *map);

/* vt_map_of_match: best[i] is INT32_MIN of a row that is not to go. Sizes below 0 count as 0; size NULL: all are 1. */
size_t vt_integer_map_of_match(const struct vt_candidates *c, const int32_t *best, const uint32_t *to, size_t count,
                               const int32_t *size, struct vt_token_entry *map);

/* vt_map_of_dropped; passed: a share. */
size_t vt_integer_map_of_dropped(const struct vt_candidates *c, const int32_t *best, const uint32_t *to, size_t count,
                                 int32_t passed, struct vt_token_entry *map);

#endif
