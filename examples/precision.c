/* SPDX-License-Identifier: Apache-2.0 */
/* Names of precisions; see precision.h. */
#include "precision.h"

#include <string.h>

static const struct {
    const char *name;
    vitrt_precision precision;
} precisions[] = { { "default", VITRT_PRECISION_DEFAULT },
                   { "f32", VITRT_PRECISION_F32 },
                   { "bf16", VITRT_PRECISION_BF16 },
                   { "i8", VITRT_PRECISION_I8 } };

#define COUNT (sizeof(precisions) / sizeof(precisions[0]))

bool precision_from_name(const char *name, size_t n, vitrt_precision *precision)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strlen(precisions[i].name) == n && strncmp(precisions[i].name, name, n) == 0) {
            *precision = precisions[i].precision;
            return true;
        }
    }
    return false;
}

const char *precision_name(vitrt_precision precision)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (precisions[i].precision == precision)
            return precisions[i].name;
    }
    return "?";
}
