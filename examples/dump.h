/* SPDX-License-Identifier: Apache-2.0 */
/* Collects outputs of runs and writes them as one safetensors file, for comparison with another implementation. */
#ifndef DUMP_H
#define DUMP_H

#include <stdbool.h>

#include "vitrt.h"

struct dump {
    struct dump_tensor *tensor;
    size_t count, capacity;
};

/* Copies output o (f32) of image number image as tensor "<image>/<name>": pixels as [height, width, 3], logits as
 * [classes], the rest as [rows, columns]. False: not enough memory. */
bool dump_add(struct dump *d, size_t image, const vitrt_output *o, const vitrt_session_info *info);

/* False: the file could not be written; errno says why. */
bool dump_write(const struct dump *d, const char *path);

void dump_free(struct dump *d);

#endif
