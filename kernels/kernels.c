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
#define VT_GEMM_F32(tile, pack_rows, pack_columns, mr, nr, needs)                                                      \
    if (has(cpu, needs))                                                                                               \
        k->gemm_f32 = (struct vt_gemm_f32){ tile, pack_rows, pack_columns, mr, nr, #tile };
#include "kernels.inc"
}
