/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of golden/reduced and their schedules, models that tokens leave, and all that such a model says of one
 * picture. */
#ifndef VT_TESTS_REDUCED_CASES_H
#define VT_TESTS_REDUCED_CASES_H

#include "reduction.h"
#include "support.h"

enum {
    REDUCED_SIDE = 32,
    REDUCED_PATCHES = 64,
    REDUCED_CLASSES = 10,
    REDUCED_BLOCKS = 4,
    REDUCED_WIDTH = 48,
    REDUCED_PICTURES = 3, /* stored ones; */
    PICTURES = 8,         /* with those that are computed */
    SCHEDULE_LAYERS = 4
};

enum { HF_VIT, HF_DEIT_DISTILLED, HF_DINOV2_REGISTERS, TIMM_VIT_AVG_NOCLS, TIMM_DEIT, REDUCED_CASES };
extern const char *const reduced_cases[REDUCED_CASES]; /* names for golden_path and all that take a case's name */

/* A schedule and the names of what comes out. */
struct schedule {
    char text[96];
    struct reduction reduction;
    char tokens[SCHEDULE_LAYERS][12]; /* "tokens.K" */
    const char *outputs[SCHEDULE_LAYERS + 2]; /* "logits", "features", then those */
    size_t output_count;
};

void schedule_read(struct schedule *s, const char *text);

/* Has it a form in integers alone? Predictors of DynamicViT and sigmoids of A-ViT have none. */
bool schedule_has_integers(const struct schedule *s);

/* Calls visit for every schedule of the case's answers. */
void for_each_schedule(const char *name, void (*visit)(const char *name, const struct golden *g, struct schedule *s));

/* The case's model, reduced; nothing else of it stays open. */
vitrt_model *reduced_model(const char *name, struct schedule *s);

/* RGB8, REDUCED_SIDE on each side; the stored ones first. Valid until the next call. */
const vitrt_image *reduced_pictures(const char *name);

/* One picture's rows of all outputs, one behind the other, each behind its number of rows. */
struct answer {
    float values[16000];
    size_t count;
};
void answer_read(struct answer *a, const vitrt_output *outputs, size_t output_count, size_t image);
void assert_same_answer(const struct answer *a, const struct answer *b, const char *what);

/* The answers for each of n pictures, alone and in one thread. */
void answers_alone(const vitrt_model *m, vitrt_session_options options, const vitrt_image *pictures, size_t n,
                   struct answer *answers);

/* With each bundle of kernels of this CPU the case's pictures, PICTURES of them, have these answers alone. */
void assert_same_on_all_bundles(const vitrt_model *m, vitrt_session_options options, const char *name,
                                const struct answer *wanted, const char *what);

#endif
