/* SPDX-License-Identifier: Apache-2.0 */
/* Models of a given architecture with random weights, for measuring without a download. */
#ifndef VT_BENCH_RANDOM_MODEL_H
#define VT_BENCH_RANDOM_MODEL_H

#include "vitrt.h"

#include <stdbool.h>

/* A checkpoint's files of text. */
struct vt_bench_texts {
    char config[1024], preprocessor[384]; /* preprocessor: empty where the framework writes none */
};

/* A checkpoint in memory, for vitrt_model_open_memory. */
struct vt_bench_checkpoint {
    vitrt_buffer files[3]; /* model.safetensors, config.json, preprocessor_config.json */
    size_t file_count;
    struct vt_bench_texts *texts;
};

/* Makes the checkpoint that timm would publish for this architecture, or transformers for a CvT, with 1000 classes:
 * shapes as the real one's, small values that are the same each time. False: the name is not one that tells all shapes,
 * and *reason says so, as what follows the name in a sentence. */
bool vt_bench_random_checkpoint(const char *architecture, struct vt_bench_checkpoint *out, const char **reason);

void vt_bench_checkpoint_free(struct vt_bench_checkpoint *c);

#endif
