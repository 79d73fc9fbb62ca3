/* SPDX-License-Identifier: Apache-2.0 */
/* What classify prints about an image: a table for people or a line of JSON for programs. */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>

#include "vitrt.h"

struct top {
    uint32_t class_index;
    double score; /* softmax probability */
};

struct report {
    const char *image, *model_path;
    const vitrt_model *model;
    const struct top *top; /* best first */
    size_t top_count;
    double ms_prepare; /* reading and decoding the file */
    double ms_run;     /* vitrt_run: resize, crop, normalise and the network */
};

/* The k classes with the highest logits, best first, and their probabilities; returns how many there are (no more than
 * classes, none that is not a number). top: [k]. */
size_t report_top(const float *logits, size_t classes, struct top *top, size_t k);

void report_table(const struct report *r);
void report_json(const struct report *r);

/* What ran: the first line of the session's description. */
void report_session(const vitrt_session *session);

#endif
