/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs as texts, which use the tensors of tiny_file.c: examples of the fuzz target, and what becomes of them with a
 * mistake. */
#ifndef VT_TESTS_GRAPH_TEXT_H
#define VT_TESTS_GRAPH_TEXT_H

#include "support.h"

struct graph {
    char text[8192];
};

enum { GRAPH_SIDE = 8 };

/* An image for graphs of that size, in the caller's memory: GRAPH_SIDE * GRAPH_SIDE * 3 numbers. */
vitrt_image graph_noise(uint32_t seed, float *pixels);

/* fuzz/corpus_graph/<name>.json */
struct graph graph_load(const char *name);

/* Replaces the first occurrence; there must be one. */
void graph_replace(struct graph *g, const char *from, const char *to);

/* Opens it, with a new allocator. */
vitrt_status graph_open(const struct graph *g, struct counting *counting, vitrt_model **m, vitrt_error *err);

/* Numbers [first, first + count) of a tensor of type F32 that are another one. */
struct change {
    const char *tensor;
    size_t first, count;
    float number;
};

/* The same with changes, up to one without a tensor. */
vitrt_status graph_open_changed(const struct graph *g, const struct change *changes, struct counting *counting,
                                vitrt_model **m, vitrt_error *err);

/* Opening must fail with that status and a sentence that contains this one, and leave nothing behind. */
void graph_refused(const struct graph *g, vitrt_status status, const char *sentence);

#endif
