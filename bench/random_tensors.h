/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a random checkpoint: their names, shapes and kinds of values, which each architecture's file lists. */
#ifndef VT_BENCH_RANDOM_TENSORS_H
#define VT_BENCH_RANDOM_TENSORS_H

#include "error.h"
#include "random_model.h"

#include <stddef.h>
#include <stdint.h>

#define RANDOM_CLASSES     1000
#define RANDOM_MAX_TENSORS 1024

/* Activations keep a sane size: they decide what softmax makes of them, and no speed may depend on denormals. */
enum random_values {
    RANDOM_NOISE,    /* of the deviation 0.02 that trained ones start from */
    RANDOM_NINTHS,   /* of a deviation that keeps the size of what a kernel of 3x3 over one channel reads */
    RANDOM_ONES,     /* of norms, which keep it as well */
    RANDOM_TENTHS,   /* LayerScale */
    RANDOM_VARIANCE, /* from 0.5 to 1.5 */
    RANDOM_LOG_TEN   /* the logarithm of the scale that Swin V2's cosine attention starts with */
};

struct random_tensor {
    char name[144];
    uint32_t rank, shape[4];
    enum random_values values;
};

struct random_tensors {
    struct random_tensor *list; /* [RANDOM_MAX_TENSORS] */
    size_t count;
    char prefix[64]; /* of the names that are added */
};

/* What the names of the tensors that are added next begin with. */
void random_within(struct random_tensors *t, const char *format, ...) VT_PRINTF(2, 3);
void random_at_root(struct random_tensors *t); /* with nothing, as in the beginning */

void random_add(struct random_tensors *t, const char *name, enum random_values values, uint32_t rank,
                const uint32_t *shape);
void random_vector(struct random_tensors *t, const char *name, enum random_values values, uint32_t n);
/* [1, rows, dim], nothing without rows. */
void random_rows(struct random_tensors *t, const char *name, uint32_t rows, uint32_t dim);

/* Those of a module: .weight and .bias. */
void random_norm(struct random_tensors *t, const char *module, uint32_t n);
void random_linear(struct random_tensors *t, const char *module, uint32_t out, uint32_t in, bool bias);
void random_conv(struct random_tensors *t, const char *module, uint32_t out, uint32_t in, uint32_t kernel, bool bias);
/* And .running_mean and .running_var. */
void random_batch_norm(struct random_tensors *t, const char *module, uint32_t n);

/* Fills a safetensors file of them all, which free frees. */
void random_write(const struct random_tensors *t, vitrt_buffer *file);

/* Each knows some architectures: adds the tensors of the named one and writes the
 * configuration. False: it knows the name not at all, or it does not tell all shapes, which then *reason says. */
bool random_vit(const char *name, struct random_tensors *t, struct vt_bench_texts *texts, const char **reason);
bool random_swin(const char *name, struct random_tensors *t, struct vt_bench_texts *texts);
bool random_cvt(const char *name, struct random_tensors *t, struct vt_bench_texts *texts);

#endif
