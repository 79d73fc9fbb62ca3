/* SPDX-License-Identifier: Apache-2.0 */
/* Draws an image with what has become of its tokens; see token_panel.h. */
#include "token_panel.h"

#include <stdlib.h>

enum { DARKER = 5 /* by that factor */ };

/* Of a token, numbered from 1 on: the patches that it stands for. Number 0: those that have left. */
struct group {
    uint32_t patches;
    uint64_t pixels, rgb[3]; /* their number and sum */
};

struct drawing {
    const struct token_panel *p;
    uint32_t rows, columns; /* of patches */
    const float *token;     /* [rows, columns] */
    struct group *groups;
};

static size_t token_at(const struct drawing *d, uint32_t y, uint32_t x)
{
    const uint32_t row = y / d->p->patch_height, column = x / d->p->patch_width;
    return row < d->rows && column < d->columns ? (size_t)d->token[(size_t)row * d->columns + column] : 0;
}

static void find_groups(const struct drawing *d)
{
    const uint8_t *pixel = d->p->image;
    for (size_t i = 0; i < (size_t)d->rows * d->columns; i++)
        d->groups[(size_t)d->token[i]].patches++;
    for (uint32_t y = 0; y < d->p->height; y++)
        for (uint32_t x = 0; x < d->p->width; x++, pixel += 3) {
            struct group *g = &d->groups[token_at(d, y, x)];
            g->pixels++;
            for (int i = 0; i < 3; i++)
                g->rgb[i] += pixel[i];
        }
}

static bool is_merged(const struct drawing *d, size_t token)
{
    return token && d->groups[token].patches > 1;
}

/* Whether a pixel of this token is on an outline towards a neighbour of that one. */
static bool divides(const struct drawing *d, size_t token, size_t other)
{
    return token != other && (is_merged(d, token) || is_merged(d, other));
}

static void draw_pixel(const struct drawing *d, uint32_t y, uint32_t x)
{
    const uint8_t *pixel = d->p->image + ((size_t)y * d->p->width + x) * 3;
    uint8_t *to = d->p->rgb + (y * d->p->row_width + x) * 3;
    const size_t token = token_at(d, y, x);
    const struct group *g = &d->groups[token];
    const bool outline =
        (x && divides(d, token, token_at(d, y, x - 1))) || (y && divides(d, token, token_at(d, y - 1, x)));
    for (int i = 0; i < 3; i++) {
        if (outline)
            to[i] = UINT8_MAX;
        else if (is_merged(d, token))
            to[i] = (uint8_t)(g->rgb[i] / g->pixels);
        else
            to[i] = token ? pixel[i] : pixel[i] / DARKER;
    }
}

bool token_panel_draw(const struct token_panel *p, const vitrt_output *tokens)
{
    struct drawing d = { .p = p, .rows = p->height / p->patch_height, .columns = p->width / p->patch_width };
    const size_t patches = (size_t)d.rows * d.columns, all = tokens->offsets[1];
    if (all < patches)
        return false;
    d.token = (const float *)tokens->data + (all - patches); /* the class token and its like come first */
    d.groups = calloc(all + 1, sizeof(*d.groups));
    if (!d.groups)
        return false;
    find_groups(&d);
    for (uint32_t y = 0; y < p->height; y++)
        for (uint32_t x = 0; x < p->width; x++)
            draw_pixel(&d, y, x);
    free(d.groups);
    return true;
}
