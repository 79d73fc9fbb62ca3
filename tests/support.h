/* SPDX-License-Identifier: Apache-2.0 */
/* What several tests need: the golden cases, an allocator that counts and fails on request. */
#ifndef VT_TESTS_SUPPORT_H
#define VT_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "safetensors.h"
#include "vitrt.h"

/* Fails the test with the error's sentence unless the status is VITRT_OK. */
#define assert_ok(status, err) check_ok(status, err, __FILE__, __LINE__)
void check_ok(vitrt_status status, const vitrt_error *err, const char *file, int line);

/* ---- Golden cases: folders of golden/cases, relative to the tests' working directory ---- */

/* "golden/cases/<name><suffix>" in a buffer that the next calls reuse in turn (8 of them). */
const char *golden_path(const char *name, const char *suffix);

/* Calls visit for every case, in the order of their names. */
void for_each_golden(void (*visit)(const char *name));

/* The answers of one case. */
struct golden {
    struct vt_source source;
    struct vt_tensor_list tensors;
};
void golden_open(struct golden *g, const char *name);
void golden_open_file(struct golden *g, const char *name, const char *file); /* instead of golden.safetensors */
void golden_close(struct golden *g);
const struct vt_tensor *golden_find(const struct golden *g, const char *name); /* NULL: not there */
float *golden_read(const struct golden *g, const struct vt_tensor *t);         /* free() it */

/* The size that a case runs at (case.json); 0 x 0: the model's own. */
void golden_size(const char *name, uint32_t *height, uint32_t *width);

/* 2 t^2 / E of Swin V2's first blocks, averaged over heads and summed over blocks: how the scales t of its scores let
 * errors of unit vectors of E channels grow, in roundings. 0 of others. */
double score_roundings(const vitrt_model *m, uint32_t blocks);

/* Sets a locale with a decimal comma, building one if none is installed; false: it cannot be had, and the locale is
 * "C". */
bool use_comma_locale(void);

/* ---- Allocator that counts, for any number of threads ---- */

struct counting {
    size_t calls;   /* of alloc so far */
    size_t fail_at; /* the call that returns NULL, from 1 on; 0: none */
    size_t live, live_bytes, peak_bytes;
    vitrt_allocator allocator;
    pthread_mutex_t mutex;
};
void counting_init(struct counting *c);

/* ---- Models of the golden cases ---- */

/* Opens a case's folder and makes a session; both or none. options may be NULL. */
void open_session(const char *name, const vitrt_session_options *options, vitrt_model **model, vitrt_session **session);

/* Image i of a case, decoded. Free with vitrt_image_free. */
vitrt_image golden_image(const char *name, int i);

/* The case's model quantized on its first image and on noise; options may be NULL, and what they say of images
 * and sizes is filled in. */
vitrt_model *quantized_case(const char *name, const vitrt_quantize_options *options);

/* ---- A case's files in memory, to be changed before they are opened ---- */

enum { CONFIG, TENSORS };
struct changed_case {
    char *data[2]; /* of config.json and model.safetensors, with room for 1024 more bytes */
    size_t size[2];
};
void changed_load(struct changed_case *c, const char *name);
void changed_free(struct changed_case *c);
vitrt_status changed_open(const struct changed_case *c, struct counting *counting, vitrt_model **m, vitrt_error *err);

/* The first occurrence; there must be one. */
char *changed_find(char *data, size_t size, const char *text);
/* Replaces the first occurrence; the file grows or shrinks, but tensor names keep their length. */
void changed_replace(struct changed_case *c, int file, const char *from, const char *to);

/* Opening must fail with that status and a sentence that contains both parts. */
void changed_refused(const struct changed_case *c, vitrt_status status, const char *part, const char *other);
/* The same after one change of one file. */
void refused_after(const char *name, int file, const char *from, const char *to, vitrt_status status, const char *part,
                   const char *other);
/* The tensor under another name: it is missed, or the other name is a stranger. */
void missing_tensor(const char *name, const char *tensor);

#endif
