/* SPDX-License-Identifier: Apache-2.0 */
/* An image with what has become of its tokens up to some block. */
#ifndef TOKEN_PANEL_H
#define TOKEN_PANEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vitrt.h"

struct token_panel {
    uint32_t height, width;             /* of the image, in pixels */
    uint32_t patch_height, patch_width; /* of what a token sees; the rest at the bottom and right none does */
    const uint8_t *image;               /* [height, width, 3] */
    uint8_t *rgb;                       /* where to draw it, */
    size_t row_width;                   /* with so many pixels from row to row */
};

/* Draws patches that have left dark, and those that have become one token with their mean colour and an outline.
 * tokens: an output "tokens.K" of one image. False: not enough memory, or too few tokens. */
bool token_panel_draw(const struct token_panel *p, const vitrt_output *tokens);

#endif
