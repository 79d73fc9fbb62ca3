/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of bench_accuracy: labelled images, and the figures of each model in each precision. */
#ifndef VT_BENCH_ACCURACY_H
#define VT_BENCH_ACCURACY_H

#include "files.h"
#include "vitrt.h"

/* ---- Labelled images ---- */

struct labelled {
    struct files files;
    uint32_t *label; /* [files.count] */
    uint32_t classes;
};

/* The images of a folder of class folders. The classes are numbered by the sorted names of the folders, or, with a
 * list (a file whose lines begin with the name of a class folder), by its lines. Fails the program on what is amiss. */
struct labelled labelled_open(const char *folder, const char *list);
void labelled_free(struct labelled *images);

/* ---- Figures ---- */

/* A model in a precision, and what was counted of its answers; "first": the first row's. */
struct row {
    const char *model; /* as it was named */
    vitrt_precision precision;
    uint32_t side;          /* of the input; 0: the model's own */
    char reduction[256]; /* of tokens, as it was named; "": none */
    vitrt_session *session;
    const float *logits; /* of the image at hand */
    uint32_t answer;
    size_t right, same;   /* images with the right answer, with the answer of the first */
    size_t gained, lost;  /* right where the first is wrong, and the other way round */
    double cosine, error; /* sums: cosine with the first's logits, |difference| / |first| */
    double ms;            /* sum */
    double macs;          /* sum, of what was executed */
    vitrt_output *outputs; /* [output_count]: logits, then, if they are wanted, where tokens are, "tokens.K"; */
    size_t output_count;
    double *tokens; /* [output_count]: sums of how many there are behind block K, class and register tokens with them */
};

/* Counts the answers of all rows to an image. */
void rows_count(struct row *rows, size_t n, size_t classes, uint32_t label);

/* A table with a line for each row; then, of precisions with several rows, their mean and spread. */
void rows_print(const struct row *rows, size_t n, size_t images);

#endif
