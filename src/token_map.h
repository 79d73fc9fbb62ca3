/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token maps: which of an image's rows stay, and which of them become one. A map is computed by selecting (below),
 * makes new rows of old ones (apply), and brings rows back to where they came from (scatter).
 *
 * Rows before `protect` (class, distillation and register tokens) always stay, and stay where they are. Where two rows
 * are equally good, the earlier one counts as the better one. Nothing here allocates.
 */
#ifndef VT_TOKEN_MAP_H
#define VT_TOKEN_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One of `rows` elements of a map, at most INT32_MAX. What destinations are made of stands one behind the other: entry
 * e is row `source` times `weight`. A row is in one entry at most. In maps of vt_map_of_dropped a destination is its
 * first entry alone; the others are of rows that leave, and count where numbers of tokens are added up. */
struct vt_token_entry {
    int32_t source; /* -1 behind the last entry */
    union {
        float weight;  /* 0 there; */
        int32_t share; /* or the same in integers: see integer_map.h */
    };
    int32_t end;         /* of destination i: one past its last entry; its first is where the one before it ends. 0
                            behind the last destination */
    int32_t destination; /* of source i: the row it goes to, or -1: it leaves */
};

/* Rows of one image that are to be selected from. */
struct vt_candidates {
    size_t rows, protect; /* protect may be greater: all are protected */
    void *scratch;        /* vt_select_scratch_bytes(rows), aligned to 8 bytes */
};

size_t vt_select_scratch_bytes(size_t rows);

/* How many `count` rows are with a share `keep` (0 to 1) of them: in double, up or down to a whole number. Out of range
 * it is none or all of them, and none of a NaN. */
size_t vt_keep_count(size_t count, double keep, bool up);

/* keys[count], by ascending or descending score[i * ld]: in the low 32 bits of each its i. Equal scores, 0 and -0 too,
 * are in the order of i. scratch: as many. A NaN is worse than any number: first or last. */
void vt_rank_scores(size_t count, const float *score, size_t ld, bool descending, uint64_t *keys, uint64_t *scratch);

/* ---- Which rows stay: stay[rows] is filled with 0 and 1 ---- */

/* The `count` candidates with the highest scores, all where there are fewer; scores[rows], here and below those of
 * protected rows are not read. A row that is 0 in stay before the call (1 in all others) is no candidate. */
void vt_stay_top(const struct vt_candidates *c, const float *scores, size_t count, uint8_t *stay);

/* Adaptive token sampling (Fayyaz et al. 2022, arXiv:2111.15667; spec 1.1): `samples` >= 2 equispaced points of the
 * cumulated scores in ascending order pick the rows that stay. in_order: the paper's variant, scores cumulated in the
 * order of rows and points in the middle of `samples` >= 1 equal parts. All rows stay where a score is negative or a
 * NaN, where their sum is not positive and finite, and where there are less than 2 candidates or less samples than
 * said. The time taken grows with rows + samples. */
void vt_stay_sampled(const struct vt_candidates *c, const float *scores, size_t samples, bool in_order, uint8_t *stay);

/* Zero-TPrune's S-stage (Wang et al. 2024, arXiv:2305.17328; spec 2.1): of `count` rows, best[i] being the greatest
 * similarity of row[i] to one of the more important half, those `leave` with the greatest leave (all where they are
 * fewer): 0 in stay, where others are not written. Of equals it is the one that stands first; row ascends in
 * importance, so the least important. scratch: 2 * count. */
void vt_leave_similar(size_t count, const float *best, const uint32_t *row, size_t leave, uint64_t *scratch,
                      uint8_t *stay);

/* DToP's rule at an auxiliary head (Tang et al. 2023, arXiv:2308.01045; spec 3.2): rows whose confidence is above p0
 * leave, but the `context` most confident of each class. confidence[rows], class_of[rows] (any numbers). */
void vt_stay_unsure(const struct vt_candidates *c, const float *confidence, const uint32_t *class_of, float p0,
                    size_t context, uint8_t *stay);

/* Those whose score is below `threshold`, as no NaN is. with_first: none of them where the first candidate is not. */
void vt_stay_below(const struct vt_candidates *c, const float *scores, float threshold, bool with_first, uint8_t *stay);

/* `count` of the candidates evenly spread: the i-th is number floor((i + 1/2) n / count) of n. All where there are
 * fewer. */
void vt_stay_even(const struct vt_candidates *c, size_t count, uint8_t *stay);

/* `count` of the candidates that only the seed and the number of candidates tell, all where there are fewer; each such
 * choice contains the smaller ones. */
void vt_stay_random(const struct vt_candidates *c, size_t count, uint32_t seed, uint8_t *stay);

/* ---- Maps ---- */

/* Rows that stay, in their order, each with the weight 1; returns how many these are. */
size_t vt_map_of_stay(size_t rows, const uint8_t *stay, struct vt_token_entry *map);

/* The same, and one row more behind them that is the sum of all others, each times its score (EViT: Liang et al. 2022,
 * arXiv:2202.07800); without others as without it. */
size_t vt_map_of_fused(size_t rows, const uint8_t *stay, const float *scores, struct vt_token_entry *map);

/* ToMe's bipartite soft matching (Bolya et al. 2023, arXiv:2210.09461; spec 4.1). Rows at even places are A, at odd
 * places B. best[i], to[i]: of row 2 i the greatest similarity to a row of B, and which row that is; of protected rows
 * of A and where there is no row of B it could go to, -INFINITY. Such a row is not merged, nor is one whose best[i] is
 * a NaN or whose to[i] is no row of B or a protected one. Of the others, the min(count, candidates / 2) with the
 * greatest similarity are merged into the rows that they go to, means by size[rows] (positive; NULL: all 1). Without
 * protected rows, unmerged rows of A stand by descending similarity as published (those not to be merged last),
 * otherwise in their order; then those of B, but protected rows first of all, in their order. With nothing to merge
 * rows stay where they are. In a destination, the row of B comes first, then those merged into it by descending
 * similarity. Returns how many rows are left. */
size_t vt_map_of_match(const struct vt_candidates *c, const float *best, const uint32_t *to, size_t count,
                       const float *size, struct vt_token_entry *map);

/* The same rows leave that vt_map_of_match would merge, and the others stay as they are, in their order (the pruned
 * merging of Token Fusion: Kim et al. 2024, arXiv:2312.01026). What they go to is of their destinations' entries with
 * the weight `passed`, so that a part of the tokens that they stand for is not lost. */
size_t vt_map_of_dropped(const struct vt_candidates *c, const float *best, const uint32_t *to, size_t count,
                         float passed, struct vt_token_entry *map);

#endif
