/* SPDX-License-Identifier: Apache-2.0 */
/* The table of kernels: kernels.inc turned into assignments. */
#include "kernels.h"

static bool has(unsigned cpu, unsigned needs)
{
    return (cpu & needs) == needs;
}

void vt_kernels_init(struct vt_kernels *k, unsigned cpu)
{
    *k = (struct vt_kernels){ .bundle = vt_cpu_bundle(cpu) };
#define VT_KERNEL(entry, type, function, needs)                                                                        \
    if (has(cpu, needs))                                                                                               \
        k->entry = function;
#define VT_GEMM(product, tile, pack_rows, pack_columns, mr, nr, kr, needs)                                             \
    _Static_assert((mr) <= VT_MAX_TILE_ROWS && (nr) <= VT_MAX_TILE_COLUMNS && (mr) * (nr) <= VT_MAX_TILE, #tile);      \
    if (has(cpu, needs))                                                                                               \
        k->gemm[product] = (struct vt_gemm_kernel){ tile, pack_rows, pack_columns, mr, nr, kr, #tile };
#include "kernels.inc"
}
