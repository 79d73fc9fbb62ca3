/* SPDX-License-Identifier: Apache-2.0 */
/* What a session of classify is asked for. */
#ifndef OUTPUTS_H
#define OUTPUTS_H

#include <stdbool.h>

#include "vitrt.h"

struct outputs_wanted {
    bool pixels, blocks; /* "pixels"; "block.0", "block.1", .. */
    bool tokens;         /* "tokens.K" for every block K where tokens leave, which sessions are not able to list */
};

/* Names of the outputs that are wanted, then "logits", or "features" without a head, in one allocation to be freed;
 * NULL: not enough memory. options: of the session. */
const char **outputs_names(const vitrt_model *model, const vitrt_session_options *options,
                           const struct outputs_wanted *wanted, size_t *count);

/* Whether an output is one of "tokens.K", and which. */
bool outputs_is_tokens(const vitrt_output *output, unsigned *block);

#endif
