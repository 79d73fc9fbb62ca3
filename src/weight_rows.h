/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a graph's weight, read from the checkpoint: parts one below the other, folds applied. */
#ifndef VT_WEIGHT_ROWS_H
#define VT_WEIGHT_ROWS_H

#include "graph.h"

/* Reads rows [row, row + n) into dst, w->columns numbers each, in the order in which they are stored (a convolution's:
 * input channel, then kernel). scratch as for vt_checkpoint_read_rows. Thread-safe. */
vitrt_status vt_read_weight_rows(const struct vt_checkpoint *c, const struct vt_graph_weight *w, uint64_t row,
                                 uint64_t n, float *dst, void *scratch, size_t scratch_bytes, vitrt_error *err);

/* The same rows of a weight of type I8 as they are stored, without their scales; and the scales of all its rows. */
vitrt_status vt_read_weight_codes(const struct vt_checkpoint *c, const struct vt_graph_weight *w, uint64_t row,
                                  uint64_t n, int8_t *dst, vitrt_error *err);
vitrt_status vt_read_row_scales(const struct vt_checkpoint *c, const struct vt_graph_weight *w, float *dst,
                                void *scratch, size_t scratch_bytes, vitrt_error *err);

#endif
