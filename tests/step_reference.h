/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized sessions, one step at a time, against double precision: what a step reads is taken from the session's own
 * memory, what it is to make of it follows from the nodes of the graph and from their quantizers, not from the numbers
 * that the session has prepared. So each step is held to its own roundings, however deep the model is.
 */
#ifndef VT_TESTS_STEP_REFERENCE_H
#define VT_TESTS_STEP_REFERENCE_H

#include "session.h"

struct step_counts {
    size_t steps;     /* that were compared: all that read or make codes */
    size_t codes;     /* that they made */
    size_t ambiguous; /* of these, those whose number lies so close to a tie that both neighbours are right */
    size_t clipped;   /* and those that are the smallest or largest there is */
};

/* Runs a session of one image, whose input is `pixels`, and fails the test, naming the model, where a step's value is
 * outside of its error bound. */
struct step_counts check_steps(const char *model, vitrt_session *s, const float *pixels);

#endif
