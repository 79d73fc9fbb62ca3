/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens leave behind all blocks that have a head; see segment.h. */
#include "segment.h"

#include <stdio.h>

/* As in DToP's paper. */
#define CONTEXT 5

static bool has_head(const vitrt_model *model, uint32_t block)
{
    char name[32];
    const char *const outputs[] = { name };
    const vitrt_session_options options = { .threads = 1, .outputs = outputs, .output_count = 1 };
    vitrt_session_info info;
    snprintf(name, sizeof name, "head.%u", (unsigned)block);
    return vitrt_session_measure(model, &options, &info, NULL) == VITRT_OK;
}

vitrt_status reduce(const vitrt_model *model, const struct options *o, uint32_t blocks[MOST_EXITS], size_t *count,
                    vitrt_model **out, vitrt_error *err)
{
    vitrt_reduce_layer layers[MOST_EXITS];
    vitrt_model_info info;
    vitrt_status st = vitrt_model_get_info(model, &info);
    *count = 0;
    for (uint32_t k = 0; !st && k + 1 < info.blocks && *count < MOST_EXITS; k++) {
        if (!has_head(model, k))
            continue;
        const size_t last = o->threshold_count - 1, i = *count < last ? *count : last;
        layers[*count] = (vitrt_reduce_layer){ .block = k, .count = CONTEXT, .threshold = o->thresholds[i] };
        blocks[(*count)++] = k;
    }
    const vitrt_reduce_options options = { .method = VITRT_REDUCTION_DTOP, .layers = layers, .layer_count = *count };
    if (!st && !*count) {
        snprintf(err->message, sizeof err->message, "%s: no block has a head by which tokens could leave", o->model);
        st = VITRT_EUNSUPPORTED;
    }
    return st ? st : vitrt_model_reduce(model, &options, out, err);
}
