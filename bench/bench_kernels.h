/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of bench_kernels. */
#ifndef VT_BENCH_KERNELS_H
#define VT_BENCH_KERNELS_H

#include "kernels.h"

struct bench {
    const char *only; /* lines whose name contains it; NULL: all */
    bool cold;        /* weights come from memory at each call, as in a model that is larger than the caches */
    bool fused;       /* linear layers with the activations and residuals that models give them */
    unsigned cpu;
    struct vt_kernels kernels;
};

bool bench_wants(const struct bench *b, const char *name);

/* ---- A comparison that takes turns ---- */

/* What is measured: one call and its operations, two for each multiply-add. rival: somebody else's call that does the
 * same, or NULL. round counts the calls. */
struct bench_case {
    void (*run)(const void *arg, size_t round);
    void (*rival)(const void *arg, size_t round);
    const void *arg;
    double operations;
    enum vt_product product;
};

/* Seconds are the least. A share is the median over the rounds of each one's rate to its peak; best_share is that of
 * the best rate to the best peak, which short disturbances do not touch. */
struct bench_result {
    double seconds, share, best_share, rival_share;
};

/* Peak, call and rival in turn, in many short rounds: other load on the machine and changes of the clock meet all of
 * them alike. */
struct bench_result bench_compare(const struct bench *b, const struct bench_case *c);

/* "name  text  time  rate  shares of peak", without the end of the line. */
void bench_print(const char *name, const char *text, const struct bench_case *c, const struct bench_result *r);

/* ---- What there is to measure ---- */

const char *bench_product_name(enum vt_product product);
size_t bench_element_bytes(enum vt_product product); /* of both operands */

/* n random values of a product's first or second operand, which free frees. */
void *bench_operand(const struct bench *b, enum vt_product product, bool first, size_t n);

/* Best seconds of one call. Calls are repeated within a round to about 20 microseconds: long against the clock, short
 * against a time slice. */
double bench_best_seconds(void (*run)(const void *arg), const void *arg);

/* A line about n elements, for each of which so many bytes are read and written. */
void bench_print_elements(const char *name, size_t n, size_t bytes, double seconds);

void bench_integer(const struct bench *b); /* kernels of integer-only inference */
void bench_rows(const struct bench *b);    /* element-wise kernels and those over rows */
void bench_depthwise(const struct bench *b);
void bench_linear(const struct bench *b, enum vt_product product);
void bench_attention(const struct bench *b, enum vt_product product);

#endif
