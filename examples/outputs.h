/* SPDX-License-Identifier: Apache-2.0 */
/* What a session of classify is asked for. */
#ifndef OUTPUTS_H
#define OUTPUTS_H

#include <stdbool.h>

#include "vitrt.h"

struct outputs_wanted {
    bool pixels, blocks; /* "pixels"; "block.0", "block.1", .. */
    bool tokens;         /* "tokens.K" for every block K where tokens leave */
};

/* Names of the outputs that are wanted, then "logits", or "features" without a head: an array to be freed of names that
 * live as long as the model; NULL: not enough memory. */
const char **outputs_names(const vitrt_model *model, const struct outputs_wanted *wanted, size_t *count);

/* Whether an output is one of "tokens.K", and which. */
bool outputs_is_tokens(const vitrt_output *output, unsigned *block);

#endif
