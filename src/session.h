/* SPDX-License-Identifier: Apache-2.0 */
/* A session: the plan of a model with its memory, threads and outputs. */
#ifndef VT_SESSION_H
#define VT_SESSION_H

#include "model.h"
#include "ops.h"

struct vt_session_output {
    char name[VT_NAME_SIZE];
    vt_value value; /* in the plan's graph */
};

struct vitrt_session {
    vitrt_allocator alloc;
    vitrt_model *model; /* retained */
    struct vt_kernels kernels;
    struct vt_preprocess preprocess; /* for this session's size */
    uint32_t max_image_side;
    struct vt_plan *plan;
    struct vt_pool *pool;
    struct vt_session_output *outputs;
    size_t output_count;
    struct vt_step_weights *weights; /* [plan->step_count] */
    char *codes;                     /* the numbers of quantized steps; NULL: there are none */
    size_t codes_bytes;
    float *numbers;            /* outputs of integer-only inference as floats, one behind the other */
    char *arena;               /* plan->arena_bytes */
    size_t **offsets;          /* [row_set][max_batch + 1] */
    size_t *offset_table;      /* what offsets points into */
    const float **pixels;      /* [max_batch]: the input of each image, here or in the caller's memory */
    bool input_stays;          /* normalised images may be read where they are */
    vitrt_error *image_errors; /* [max_batch]: status and sentence of each image of the last run */
    size_t images;             /* of the last run */
};

/* Numbers of output i for a whole batch. */
size_t vt_output_numbers(const vitrt_session *s, size_t i);

/* vitrt_session_create, and with taps, values of the model's graph that it keeps in place of the options' outputs. The
 * caller has set the floating-point environment. */
vitrt_status vt_session_create(const vitrt_model *m, const vitrt_session_options *options, const vt_value *taps,
                               size_t tap_count, vitrt_session **out, vitrt_error *err);

/* How many rows of output i the last run has made, of all its images. */
size_t vt_output_rows(const vitrt_session *s, size_t i);

/* The session's state while it runs, or has run: of all passes; the first one's images are still to be said. */
struct vt_exec vt_session_exec(const vitrt_session *s);

#endif
