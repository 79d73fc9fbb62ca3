/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what each node costs; see quantize.h. */
#include "quantize.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "precision.h"

void sensitivity_add(struct sensitivity *s, const char *node, double loss, vitrt_precision precision)
{
    if (s->count == s->capacity) {
        const size_t capacity = s->capacity ? s->capacity * 2 : 64;
        struct sensitivity_row *grown =
            capacity <= SIZE_MAX / sizeof(*grown) ? realloc(s->row, capacity * sizeof(*grown)) : NULL;
        s->incomplete |= !grown;
        if (!grown)
            return;
        s->row = grown;
        s->capacity = capacity;
    }
    struct sensitivity_row *row = &s->row[s->count++];
    snprintf(row->node, sizeof(row->node), "%s", node);
    row->precision = precision;
    row->loss = loss;
}

void sensitivity_print(const struct sensitivity *s)
{
    static const char bar[] = "####################";
    printf("%-36s %-9s %s\n", "node", "precision", "loss that its codes cause alone");
    for (size_t i = 0; i < s->count; i++) {
        const struct sensitivity_row *row = &s->row[i];
        const double share = s->row[0].loss > 0 ? row->loss / s->row[0].loss : 0;
        printf("%-36s %-9s %.2e  %.*s\n", row->node, precision_name(row->precision), row->loss, (int)(20 * share + 0.5),
               bar);
    }
    puts(s->incomplete ? "(not enough memory for all nodes)\n" : "");
}

void sensitivity_free(struct sensitivity *s)
{
    free(s->row);
}
