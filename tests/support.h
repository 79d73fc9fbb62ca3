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
void golden_close(struct golden *g);
const struct vt_tensor *golden_find(const struct golden *g, const char *name); /* NULL: not there */
float *golden_read(const struct golden *g, const struct vt_tensor *t);         /* free() it */

/* The size that a case runs at (case.json); 0 x 0: the model's own. */
void golden_size(const char *name, uint32_t *height, uint32_t *width);

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

#endif
