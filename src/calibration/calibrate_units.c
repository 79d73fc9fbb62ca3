/* SPDX-License-Identifier: Apache-2.0 */
/* The units of values in integer-only inference, from the largest numbers that calibration has seen. */
#include "calibrate_units.h"

#include "quantizer.h"

#include <math.h>

/* 16 bits have room for numbers that a few images do not show. */
#define UNIT_MARGIN 1.5

bool vt_has_unit(const struct vt_node *node)
{
    switch (node->type) {
    case VT_NODE_INPUT:
    case VT_NODE_ATTENTION_SCORES:
    case VT_NODE_TOKENS:
    case VT_NODE_TOKEN_SCORE:
    case VT_NODE_SELECT:
    case VT_NODE_SCATTER:
    case VT_NODE_ARGMAX:
    case VT_NODE_CONVERT:
    case VT_NODE_TYPE_COUNT: return false;
    default: return !vt_is_constant(node) && !vt_keeps_unit(node);
    }
}

void vt_unit_observe(float *largest, const float *x, size_t rows, size_t columns, size_t ld)
{
    float most = *largest;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            const float magnitude = fabsf(x[r * ld + c]);
            most = magnitude > most ? magnitude : most;
        }
    *largest = most;
}

float vt_unit_of_largest(float largest)
{
    const float unit = vt_symmetric_scale(UNIT_MARGIN * (largest > 0 ? (double)largest : 1), 16);
    return unit < VT_MAX_SCALE ? unit : VT_MAX_SCALE;
}
