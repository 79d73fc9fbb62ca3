/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of classify. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

#include "files.h"
#include "reduction.h"
#include "vitrt.h"

struct options {
    const char *model;
    const char *dump;    /* NULL: none */
    const char *picture; /* of tokens; NULL: none */
    size_t top;
    bool json;
    bool help;
    vitrt_session_options session; /* threads, precision, height, width */
    struct reduction reduction;    /* without a method: none */
    struct files files;            /* in the order they were named */
    bool files_failed;             /* a folder could not be read; the sentence was printed */
};

/* False: wrong usage; what was wrong and the usage text were printed to stderr. */
bool options_parse(struct options *o, int argc, char **argv);

extern const char options_usage[];

#endif
