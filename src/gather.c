/* SPDX-License-Identifier: Apache-2.0 */
/* See gather.h. */
#include "gather.h"

#include "step_integers.h"

#include <string.h>

struct vt_format vt_format_of_step(const struct vt_step *s, const struct vt_step_weights *w)
{
    switch (s->node->product) {
    case VT_PRODUCT_BF16: return (struct vt_format){ .element = VT_BF16 };
    case VT_PRODUCT_U8S8:
        return (struct vt_format){ .element = VT_U8,
                                   .codes = w->in,
                                   .are_codes = w->integers != NULL,
                                   .pixel_codes = w->integers ? w->integers->pixel_codes : NULL,
                                   .channels = s->node->in[0].columns };
    default: return (struct vt_format){ .element = VT_F32 };
    }
}

/* Pixels to codes. */
static void narrow(size_t n, const void *src, uint8_t *dst)
{
    const unsigned char *bytes = src;
    for (size_t i = 0; i < n; i++)
        dst[i] = bytes[4 * i]; /* the lowest: numbers below 256 as this machine, a little-endian one, has them */
}

/* The same for pixels that are no codes, from element `at` of a row on. */
static void look_up(const struct vt_format *f, size_t n, size_t at, const void *src, uint8_t *dst)
{
    const unsigned char *bytes = src;
    size_t channel = at % f->channels;
    for (size_t i = 0; i < n; i++, channel = channel + 1 < f->channels ? channel + 1 : 0)
        dst[i] = f->pixel_codes[channel][bytes[4 * i]];
}

void vt_put(const struct vt_kernels *kernels, const struct vt_format *f, const void *src, size_t n, void *row,
            size_t at)
{
    const size_t bytes = vt_dtype_bytes(f->element);
    char *dst = (char *)row + at * bytes;
    if (!src && f->element == VT_U8)
        memcpy(dst, f->codes.zero + at, n);
    else if (src && f->pixel_codes)
        look_up(f, n, at, src, (uint8_t *)dst);
    else if (src && f->are_codes)
        narrow(n, src, (uint8_t *)dst);
    else if (!src)
        memset(dst, 0, n * bytes);
    else if (f->element == VT_U8)
        kernels->quantize_u8(n, src, f->codes.scale + at, f->codes.shift + at, f->codes.highest, (uint8_t *)dst);
    else if (f->element == VT_BF16)
        kernels->to_bf16(n, src, (vt_bf16 *)(void *)dst);
    else
        memcpy(dst, src, n * bytes);
}

static void gather_windows(const struct vt_exec *x, const struct vt_step *s, size_t row, const struct vt_format *f,
                           void *out)
{
    const struct vt_view in = s->gather->in[0];
    const size_t from = vt_row_run_at(x->plan->values[s->gather - x->plan->graph->nodes].order, row, row + 1).to;
    const char *src = vt_exec_view(x, in);
    const size_t row_bytes = vt_exec_ld(x, in.value) * vt_dtype_bytes(vt_exec_element(x, in.value));
    vt_put(x->plan->kernels, f, from == VT_NOWHERE ? NULL : src + from * row_bytes, in.columns, out, 0);
}

static void gather_block(const struct vt_exec *x, const struct vt_step *s, size_t row, const struct vt_format *f,
                         void *out)
{
    const struct vt_view in = s->gather->in[0];
    const uint32_t *block = s->gather->u.space_to_depth.block, *map = x->plan->values[in.value].shape.map;
    const struct vt_plan_value *value = &x->plan->values[s->gather - x->plan->graph->nodes];
    const size_t image = row / value->rows, at = row % value->rows, width = value->shape.map[1];
    const size_t top = at / width * block[0], left = at % width * block[1];
    const size_t row_bytes = vt_exec_ld(x, in.value) * vt_dtype_bytes(vt_exec_element(x, in.value));
    const char *src = (const char *)vt_exec_view(x, in) + image * x->plan->values[in.value].rows * row_bytes;
    size_t column = 0;
    for (size_t i = left; i < left + block[1]; i++)
        for (size_t j = top; j < top + block[0]; j++, column += in.columns)
            vt_put(x->plan->kernels, f, j < map[0] && i < map[1] ? src + (j * map[1] + i) * row_bytes : NULL,
                   in.columns, out, column);
}

void vt_gather_rows(const struct vt_exec *x, const struct vt_step *s, size_t first, size_t count,
                    const struct vt_format *f, void *rows, size_t ld)
{
    const size_t bytes = ld * vt_dtype_bytes(f->element);
    for (size_t i = 0; i < count; i++) {
        if (s->gather->type == VT_NODE_WINDOWS)
            gather_windows(x, s, first + i, f, (char *)rows + i * bytes);
        else
            gather_block(x, s, first + i, f, (char *)rows + i * bytes);
    }
}
