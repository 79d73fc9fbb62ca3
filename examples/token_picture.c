/* SPDX-License-Identifier: Apache-2.0 */
/* Puts panels side by side and below each other; see token_picture.h. */
#include "token_picture.h"

#include <stdlib.h>
#include <string.h>

#include "outputs.h"
#include "png.h"

enum { GAP = 4 };

vitrt_status token_picture_start(struct token_picture *p, const vitrt_model *model,
                                 const vitrt_session_options *options, vitrt_error *err)
{
    vitrt_session_info info;
    vitrt_model_info model_info;
    vitrt_status st = vitrt_session_measure(model, options, &info, err);
    if (st == VITRT_OK)
        st = vitrt_model_get_info(model, &model_info);
    if (st == VITRT_OK)
        p->panel = (struct token_panel){ .height = info.height,
                                         .width = info.width,
                                         .patch_height = model_info.size_multiple[0],
                                         .patch_width = model_info.size_multiple[1] };
    return st == VITRT_OK ? levels_find(&p->levels, model, options, err) : st;
}

/* The panels of a row, from its first pixel on. */
static bool draw_row(const struct token_picture *p, const uint8_t *image, const vitrt_output *outputs, size_t count,
                     uint8_t *rgb)
{
    struct token_panel panel = p->panel;
    const size_t bytes = (size_t)panel.width * 3;
    panel.image = image;
    panel.row_width = p->width;
    for (size_t y = 0; y < panel.height; y++)
        memcpy(rgb + y * p->width * 3, image + y * bytes, bytes);
    for (size_t i = 0; i < count; i++) {
        unsigned block;
        if (!outputs_is_tokens(&outputs[i], &block))
            continue;
        rgb += bytes + GAP * 3;
        panel.rgb = rgb;
        if (!token_panel_draw(&panel, &outputs[i]))
            return false;
    }
    return true;
}

/* A white row behind the others, or NULL. */
static uint8_t *add_row(struct token_picture *p, size_t panels)
{
    p->height = p->panel.height + GAP;
    p->width = panels * (p->panel.width + GAP) - GAP;
    const size_t bytes = p->height * p->width * 3;
    uint8_t *grown = bytes <= SIZE_MAX / (p->rows + 1) ? realloc(p->rgb, (p->rows + 1) * bytes) : NULL;
    if (!grown)
        return NULL;
    p->rgb = grown;
    return memset(grown + p->rows++ * bytes, UINT8_MAX, bytes);
}

bool token_picture_add(struct token_picture *p, const vitrt_output *outputs, size_t count)
{
    const size_t pixels = (size_t)p->panel.height * p->panel.width;
    size_t panels = 1;
    uint8_t *image = malloc(pixels * 3);
    for (size_t i = 0; i < count && image; i++) {
        unsigned block;
        if (!strcmp(outputs[i].name, "pixels"))
            levels_to_rgb(&p->levels, outputs[i].data, pixels, image);
        panels += outputs_is_tokens(&outputs[i], &block);
    }
    uint8_t *row = image ? add_row(p, panels) : NULL;
    const bool ok = row && draw_row(p, image, outputs, count, row);
    free(image);
    return ok;
}

bool token_picture_write(const struct token_picture *p, const char *path)
{
    return !p->rows ||
           png_write(path, p->rgb, (uint32_t)(p->rows * p->height - GAP), (uint32_t)p->width); /* no gap at the end */
}

void token_picture_free(struct token_picture *p)
{
    free(p->rgb);
}
