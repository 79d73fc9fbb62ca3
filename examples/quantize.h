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
    uint32_t bits;             /* of weights and activations */
    vitrt_precision precision; /* that the result is tried in */
};

struct options {
    const char *model, *out;
    const struct kind *kind;
    int32_t threads;
    float tolerance; /* 0: the library's choice of nodes */
    bool report, help;
    struct files images, held_out;
};

/* False: wrong usage; what was wrong was printed to stderr. */
bool options_parse(struct options *o, int argc, char **argv);

extern const char options_usage[];

/* ---- quantize_sensitivity.c ---- */

struct sensitivity_row {
    char node[96];
    char precision[16]; /* that the node got */
    double loss;
};

struct sensitivity {
    struct sensitivity_row *row;
    size_t count, capacity;
    bool incomplete; /* memory ran out */
};

void sensitivity_add(struct sensitivity *s, const char *node, double loss, const char *precision);

/* Prints the nodes, those that cost most first. */
void sensitivity_print(struct sensitivity *s);

/* ---- quantize_check.c ---- */

struct check {
    size_t images, same; /* same: the float model has the same class in front */
    double cosine;       /* mean over the images, of logits or features */
    double ms[2];        /* of an image: float, quantized */
};

/* Runs images through a float and a quantized session, one after the other. False: said on stderr what failed. */
bool check_images(vitrt_session *const sessions[2], const struct files *files, struct check *c);

#endif
