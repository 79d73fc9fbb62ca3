/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of a matrix product with its fused epilogue: what linear and conv2d share. */
#ifndef VT_GEMM_H
#define VT_GEMM_H

#include "row_order.h"

/* What the epilogue makes of the sums a * B + bias. See kernels.h for the packed form of B and bias, and for epilogues,
 * whose arrays here are those of the whole c. U8S8 without sum_scale and sum_bias yields the int32_t sums as they are,
 * and then the epilogue has nothing but c. */
struct vt_step_integers;

struct vt_gemm {
    const struct vt_kernels *kernels;
    enum vt_product product; /* the type of a and of the panels */
    size_t l2_bytes;         /* second-level cache that vt_gemm_split makes blocks for */
    size_t m, n, k;          /* m: all rows, whatever part of them vt_gemm_block is asked for */
    const void *a;
    size_t lda;
    const void *panels;
    const void *bias; /* float, or int32_t where the sums are */
    enum vt_activation activation;
    struct vt_epilogue epilogue;
    /* Of U8S8: what becomes of the sums in integers, in place of activation and epilogue, of which only the places of c
     * and the residual are meant; NULL: nothing. */
    const struct vt_step_integers *integers;
    /* Where rows of a belong in c and the residual; NULL: row i is row i. Rows that belong nowhere are dropped. */
    const struct vt_row_order *order;
};

/* Bytes of an element of c. */
size_t vt_destination_bytes(enum vt_destination to);

/* Bytes of an element of c as the product leaves it, and of the residual in integers. */
size_t vt_gemm_result_bytes(const struct vt_gemm *g);

/* The panel that begins at this column, a multiple of the tile's width. */
const void *vt_gemm_panel(const struct vt_gemm *g, size_t column);

/* Elements from row to row that suit a matrix of so many columns: a tile reads a dozen rows side by side, and rows
 * whose distance is a multiple of 4 KiB would take turns in the same 8 lines of the first-level cache. */
size_t vt_row_stride(size_t columns, size_t element_bytes);

/* Rows that a block of a high matrix should have. */
size_t vt_gemm_block_rows(const struct vt_gemm *g);

/* Rows [row, row_end) by panels [panel, panel_end) of the kernel's nr columns. */
void vt_gemm_block(const struct vt_gemm *g, size_t row, size_t row_end, size_t panel, size_t panel_end);

/* How a product is cut into equal pieces of work: blocks of rows by groups of panels. */
struct vt_gemm_split {
    size_t rows, panels;             /* of one piece */
    size_t row_blocks, panel_groups; /* pieces in each direction */
};
struct vt_gemm_split vt_gemm_split(const struct vt_gemm *g, unsigned threads);

/* Piece i < row_blocks * panel_groups. */
void vt_gemm_piece(const struct vt_gemm *g, const struct vt_gemm_split *s, size_t i);

#endif
