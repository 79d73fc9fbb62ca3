/* SPDX-License-Identifier: Apache-2.0 */
/* Names of precisions on command lines: one table for all programs. */
#ifndef PRECISION_H
#define PRECISION_H

#include <stdbool.h>
#include <stddef.h>

#include "vitrt.h"

#define PRECISION_NAMES "f32, bf16, i8 or i8-strict" /* for usage texts */

/* False: no precision has the name that the n characters at name are. */
bool precision_from_name(const char *name, size_t n, vitrt_precision *precision);

const char *precision_name(vitrt_precision precision);

#endif
