/* SPDX-License-Identifier: Apache-2.0 */
/* A picture of what becomes of images' tokens: a row of panels for each image, the first as the model sees it, then one
 * for every block where tokens leave, as token_panel.h says. */
#ifndef TOKEN_PICTURE_H
#define TOKEN_PICTURE_H

#include <stdbool.h>

#include "levels.h"
#include "token_panel.h"
#include "vitrt.h"

struct token_picture {
    struct levels levels;
    struct token_panel panel; /* its sizes */
    uint8_t *rgb;
    size_t rows, height, width; /* rows of panels so far; pixels of one, with the gap that follows */
};

/* options: of the session that the outputs will come from. */
vitrt_status token_picture_start(struct token_picture *p, const vitrt_model *model,
                                 const vitrt_session_options *options, vitrt_error *err);

/* Adds a row of an image's "pixels" and "tokens.K" among `count` outputs, which are the same for all images. False: not
 * enough memory. */
bool token_picture_add(struct token_picture *p, const vitrt_output *outputs, size_t count);

/* Writes a PNG file, if there is a row. False: it could not be written; errno says why. */
bool token_picture_write(const struct token_picture *p, const char *path);

void token_picture_free(struct token_picture *p);

#endif
