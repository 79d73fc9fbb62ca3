/* SPDX-License-Identifier: Apache-2.0 */
/* Token reductions on command lines: one notation for all programs. */
#ifndef REDUCTION_H
#define REDUCTION_H

#include <stdbool.h>
#include <stddef.h>

#include "vitrt.h"

/* For usage texts. */
#define REDUCTION_FORM  "METHOD:SHARE, METHOD:BLOCK@KEEP/BLOCK@KEEP.., a-vit or a-vit:SCALE/CENTER"
#define REDUCTION_NAMES "ats, zero-tprune, tome, evit, dynamicvit, uniform or random"

enum { REDUCTION_LAYERS = 64 };

struct reduction {
    char name[80]; /* of the method, with its flags */
    vitrt_reduce_options options; /* its layers are those below once reduction_options has been called */
    vitrt_reduce_layer layers[REDUCTION_LAYERS];
};

/* Zeroes r but for name, method and flags. False: no method has the name that the n characters at name are. */
bool reduction_from_name(const char *name, size_t n, struct reduction *r);

/* Reads the n characters at text: "tome:0.7" is a budget, "evit:3@0.7/6@0.7" keeps that share of the tokens in these
 * blocks, a whole number over 1 is a count; "+30" behind it is how many leave for being similar, "v5" behind that how
 * many rounds of votes there are; "a-vit:10/75" are the scale and the center of its halting. False: they are no such
 * thing. */
bool reduction_from_text(const char *text, size_t n, struct reduction *r);

/* As it is read: terminated, cut at size bytes. A count of 1 has no notation. */
void reduction_to_text(const struct reduction *r, char *text, size_t size);

/* Valid as long as r stays where it is. */
const vitrt_reduce_options *reduction_options(struct reduction *r);

#endif
