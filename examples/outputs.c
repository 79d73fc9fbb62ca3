/* SPDX-License-Identifier: Apache-2.0 */
/* Names of outputs; see outputs.h. */
#include "outputs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 24 };

/* A name that a model does not have is an error of the measurement, which costs next to nothing. */
static bool has_output(const vitrt_model *model, const vitrt_session_options *options, const char *name)
{
    vitrt_session_options one = *options;
    vitrt_session_info info;
    one.outputs = &name;
    one.output_count = 1;
    return vitrt_session_measure(model, &one, &info, NULL) == VITRT_OK;
}

const char **outputs_names(const vitrt_model *model, const vitrt_session_options *options,
                           const struct outputs_wanted *wanted, size_t *count)
{
    vitrt_model_info info;
    if (vitrt_model_get_info(model, &info) != VITRT_OK)
        return NULL;
    const size_t most = 2 * (size_t)info.blocks + 2;
    const char **names = malloc(most * (sizeof(*names) + LENGTH));
    if (!names)
        return NULL;
    char *text = (char *)(names + most);
    size_t n = 0;
    if (wanted->pixels)
        names[n++] = "pixels";
    for (uint32_t i = 0; wanted->blocks && i < info.blocks; i++, text += LENGTH) {
        snprintf(text, LENGTH, "block.%" PRIu32, i);
        names[n++] = text;
    }
    for (uint32_t i = 0; wanted->tokens && i < info.blocks; i++) {
        snprintf(text, LENGTH, "tokens.%" PRIu32, i);
        if (!has_output(model, options, text))
            continue;
        names[n++] = text;
        text += LENGTH;
    }
    names[n++] = info.classes ? "logits" : "features";
    *count = n;
    return names;
}

bool outputs_is_tokens(const vitrt_output *output, unsigned *block)
{
    return sscanf(output->name, "tokens.%u", block) == 1;
}
