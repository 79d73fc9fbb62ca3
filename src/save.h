/* SPDX-License-Identifier: Apache-2.0 */
/* A model as one safetensors file: what vitrt_model_save writes. Also into memory, with another graph than the model's
 * and weights that no file has yet. */
#ifndef VT_SAVE_H
#define VT_SAVE_H

#include "model.h"

/* A weight that takes the place of the checkpoint's; all NULL: it does not. */
struct vt_made_weight {
    const int8_t *codes;     /* [rows, columns] in the order in which they are stored, with */
    const float *row_scales; /* [rows]; */
    const float *numbers;    /* or [rows, columns] as they are */
};

/* made: [graph->weight_count]. *out, of *bytes from the graph's allocator, is the file. */
vitrt_status vt_save_to_memory(const vitrt_model *model, const struct vt_graph *graph,
                               const struct vt_made_weight *made, char **out, size_t *bytes, vitrt_error *err);

#endif
