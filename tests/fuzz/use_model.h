/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets do with a model that opens. */
#ifndef VT_FUZZ_USE_MODEL_H
#define VT_FUZZ_USE_MODEL_H

#include "model.h"

#define MAX_ANSWERS 8

/* Gives so little memory that hostile sizes cannot trouble the machine. in_use: bytes of it. */
extern const vitrt_allocator limited_allocator;
extern size_t in_use;

/* Aborts unless the condition holds; unless a failure has left its sentence. */
void check(bool condition);
void check_error(vitrt_status st, const vitrt_error *err);

/* What one image gives, or nothing where that costs much or is not possible. */
struct answers {
    size_t count;
    struct {
        size_t bytes;
        void *data;
    } of[MAX_ANSWERS];
};

/* Measures a batch at the model's own size; runs one image through the first outputs. height 0: the model's own size,
 * an image of bytes is prepared; otherwise an input of that size. */
struct answers run_model(const vitrt_model *m, vitrt_precision precision, uint32_t height, uint32_t width);
void free_answers(struct answers *a);

/* The same for count outputs from one on. */
struct answers run_outputs(const vitrt_model *m, vitrt_precision precision, uint32_t height, uint32_t width,
                           size_t first, size_t count);

/* Aborts unless several images give, with one thread and with two, the bits that each has alone; one of them is broken.
 * Nothing where that costs much or is not possible. */
void check_batches(const vitrt_model *m, vitrt_precision precision, uint32_t height, uint32_t width);

/* Aborts unless they have the same bits, but for those of NaN, or one has nothing. */
void check_same(const struct answers *a, const struct answers *b);

/* The model quantized on the same image, or NULL where that costs much or is not possible. */
vitrt_model *quantize_model(const vitrt_model *m, uint32_t height, uint32_t width);

#endif
