/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of classify that share its state: what runs, and the images that go through it. */
#ifndef CLASSIFY_H
#define CLASSIFY_H

#include <stdbool.h>

#include "dump.h"
#include "options.h"
#include "report.h"
#include "token_picture.h"
#include "vitrt.h"

struct classifier {
    struct options options;
    vitrt_model *model;
    vitrt_model_info model_info;
    vitrt_session *session;
    vitrt_session_info info;
    vitrt_output *outputs; /* the last one is logits or features */
    size_t output_count;
    struct top *top; /* room for options.top */
    bool progress;
    struct dump dump;
    struct token_picture picture;
};

/* Prints the sentence; returns false. */
bool classify_fail(const char *message);

/* Opens the model, reduces its tokens if that is wanted, and creates the session. False: a sentence was printed. */
bool classify_open(struct classifier *c);

#endif
