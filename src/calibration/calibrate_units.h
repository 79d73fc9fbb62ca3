/* SPDX-License-Identifier: Apache-2.0 */
/* What calibration adds for integer-only inference: the unit of every value, which is 16-bit numbers there. */
#ifndef VT_CALIBRATE_UNITS_H
#define VT_CALIBRATE_UNITS_H

#include "graph.h"

/* Does the node's value have a unit of its own? */
bool vt_has_unit(const struct vt_node *node);

/* The largest magnitude among rows of x, ld apart, and *largest. */
void vt_unit_observe(float *largest, const float *x, size_t rows, size_t columns, size_t ld);

/* A unit that reaches so far, and further. Of a value that was always 0 it is as if that had reached 1: no unit is so
 * large or small that it cannot be added to others. */
float vt_unit_of_largest(float largest);

#endif
