/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a picture's pixels to the model's input, as the checkpoint's own preprocessing does it: convert to RGB, resize bit for bit as
 * Pillow does, crop or pad, rescale, normalise.
 *
 * The description is plain data read once from the config; a plan fits it to one input size; running a plan streams the source row by
 * row through a bounded scratch and allocates nothing.
 */
#ifndef VT_PREPROCESS_H
#define VT_PREPROCESS_H

#include "error.h"
#include "json.h"

#include <stdbool.h>

enum vt_filter { VT_FILTER_NEAREST, VT_FILTER_LANCZOS, VT_FILTER_BILINEAR, VT_FILTER_BICUBIC, VT_FILTER_BOX, VT_FILTER_HAMMING }; /* Pillow's numbers */

/* How source size becomes resized size, and how the crop is placed: the frameworks differ (see tests/golden/PREPROCESSING.md). The fields are
 * the implementer's; zero-initialised means: no resize, no crop, rescale 1/255, mean 0, std 1. */
struct vt_preprocess;

#endif
