/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of segment share: options, and the picture with its classes over it. */
#ifndef SEGMENT_H
#define SEGMENT_H

#include "vitrt.h"

#include <stdbool.h>
#include <stddef.h>

enum { MOST_EXITS = 8 };

struct options {
    const char *model, *overlay; /* overlay NULL: none */
    double thresholds[MOST_EXITS];
    size_t threshold_count; /* 0: no tokens leave */
    char **images;
    size_t image_count;
    bool help;
};

/* False: wrong usage; what was wrong and the usage text were printed to stderr. */
bool options_parse(struct options *o, int argc, char **argv);
extern const char options_usage[];

/* The model whose tokens leave behind the blocks with a head, the first of them by the first threshold; the last
 * threshold is for all that follow. blocks: which these are, as many as *count. *out is the caller's. */
vitrt_status reduce(const vitrt_model *model, const struct options *o, uint32_t blocks[MOST_EXITS], size_t *count,
                    vitrt_model **out, vitrt_error *err);

/* Writes a PNG: the picture, with the classes of height x width pixels over all of it in colours of their own. */
bool overlay_write(const char *path, const vitrt_image *image, const float *classes, uint32_t height, uint32_t width);

#endif
