/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what each node costs; see quantize.h. */
#include "quantize.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void sensitivity_add(struct sensitivity *s, const char *node, double loss, const char *precision)
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
    snprintf(row->precision, sizeof(row->precision), "%s", precision);
    row->loss = loss;
}

static int by_loss(const void *a, const void *b)
{
    const double x = ((const struct sensitivity_row *)a)->loss, y = ((const struct sensitivity_row *)b)->loss;
    return (x < y) - (x > y);
}

void sensitivity_print(struct sensitivity *s)
{
    static const char bar[] = "####################";
    if (s->count)
        qsort(s->row, s->count, sizeof(*s->row), by_loss);
    printf("%-40s %-10s %s\n", "node", "precision", "relative error of the output that it causes alone");
    for (size_t i = 0; i < s->count; i++) {
        const double share = s->row[0].loss > 0 ? s->row[i].loss / s->row[0].loss : 0;
        printf("%-40s %-10s %.2e  %.*s\n", s->row[i].node, s->row[i].precision, s->row[i].loss, (int)(20 * share + 0.5),
               bar);
    }
    puts(s->incomplete ? "(not enough memory for all nodes)\n" : "");
}
