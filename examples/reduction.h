/* SPDX-License-Identifier: Apache-2.0 */
/* Token reductions on command lines: one notation for all programs. */
#ifndef REDUCTION_H
#define REDUCTION_H

#include <stdbool.h>
#include <stddef.h>

#include "vitrt.h"

/* For usage texts. */
#define REDUCTION_FORM  "METHOD:SHARE, or METHOD:BLOCK@KEEP/BLOCK@KEEP.."
#define REDUCTION_NAMES "ats, zero-tprune, tome, evit, uniform or random"

enum { REDUCTION_LAYERS = 64 };

struct reduction {
    vitrt_reduce_options options; /* its layers are those below once reduction_options has been called */
    vitrt_reduce_layer layers[REDUCTION_LAYERS];
};

/* Reads the n characters at text: "tome:0.7" is a budget, "evit:3@0.7/6@0.7" keeps that share of the tokens in these
 * blocks, a whole number over 1 is a count; "+30" behind it is how many leave for being similar. False: they are no
 * such thing. */
bool reduction_from_text(const char *text, size_t n, struct reduction *r);

/* Valid as long as r stays where it is. */
const vitrt_reduce_options *reduction_options(struct reduction *r);

#endif
