/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of quantize: its command line, the sensitivity table, and what the quantized model does to images. */
#ifndef QUANTIZE_H
#define QUANTIZE_H

#include <stdbool.h>

#include "files.h"
#include "vitrt.h"

/* ---- quantize_options.c ---- */

struct kind {
    const char *name;
    uint32_t bits; /* of weights and activations */
    vitrt_precision precision;
};

struct options {
    const char *model, *out;
    const struct kind *kind;
    int32_t threads;
    float tolerance; /* of the loss; 0: all nodes get codes */
    bool report, sequential, help;
    struct files images;
};

/* False: wrong usage; what was wrong was printed to stderr. */
bool options_parse(struct options *o, int argc, char **argv);

/* Of enough images every fourth is left for the comparison: is i one of them? */
bool options_holds_out(const struct options *o, size_t i);

extern const char options_usage[];

/* ---- quantize_sensitivity.c ---- */

struct sensitivity_row {
    char node[96];
    vitrt_precision precision; /* that the node got */
    double loss;
};

struct sensitivity {
    struct sensitivity_row *row;
    size_t count, capacity;
    bool incomplete; /* memory ran out */
};

void sensitivity_add(struct sensitivity *s, const char *node, double loss, vitrt_precision precision);

/* Prints the nodes in the order in which they came, which is by their loss. */
void sensitivity_print(const struct sensitivity *s);

void sensitivity_free(struct sensitivity *s);

/* ---- quantize_check.c ---- */

struct check {
    size_t images, same; /* same: the float model has the same class in front */
    double error, sum;   /* squared difference of the outputs, and the float model's squares */
    double ms[2];        /* of all images: float, quantized */
};

/* Runs an image through a float and a quantized session, one after the other, and adds to c. */
vitrt_status check_image(vitrt_session *const sessions[2], const char *path, struct check *c, vitrt_error *err);

void check_print(const struct check *c, const char *images, bool classes);

#endif
