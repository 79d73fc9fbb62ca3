/* SPDX-License-Identifier: Apache-2.0 */
/* Names of outputs; see outputs.h. */
#include "outputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those of the model whose names begin so. */
static void add_names(const vitrt_model *model, const char *prefix, const char **names, size_t *count)
{
    const char *name;
    for (size_t i = 0; (name = vitrt_model_output_name(model, i)); i++)
        if (!strncmp(name, prefix, strlen(prefix)))
            names[(*count)++] = name;
}

const char **outputs_names(const vitrt_model *model, const struct outputs_wanted *wanted, size_t *count)
{
    vitrt_model_info info;
    size_t most = 0;
    if (vitrt_model_get_info(model, &info) != VITRT_OK)
        return NULL;
    while (vitrt_model_output_name(model, most))
        most++;
    const char **names = malloc((most + 2) * sizeof(*names));
    if (!names)
        return NULL;
    *count = 0;
    if (wanted->pixels)
        names[(*count)++] = "pixels";
    if (wanted->blocks)
        add_names(model, "block.", names, count);
    if (wanted->tokens)
        add_names(model, "tokens.", names, count);
    names[(*count)++] = info.classes ? "logits" : "features";
    return names;
}

bool outputs_is_tokens(const vitrt_output *output, unsigned *block)
{
    return sscanf(output->name, "tokens.%u", block) == 1;
}
