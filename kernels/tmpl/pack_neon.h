/* SPDX-License-Identifier: Apache-2.0 */
/* Packing for tiles of 8 columns with NEON: rows, see pack_rows.h. Include simd/neon.h before. */
#ifndef VT_TMPL_PACK_NEON_H
#define VT_TMPL_PACK_NEON_H

#include <stddef.h>

static inline vf load_units(const void *p)
{
    return vreinterpretq_f32_u8(vld1q_u8(p));
}

static inline void transpose_units(vf x[VL])
{
    const float32x4x2_t even = vzipq_f32(x[0], x[2]), odd = vzipq_f32(x[1], x[3]); /* 00 20 01 21, 02 22 03 23 */
    const float32x4x2_t low = vzipq_f32(even.val[0], odd.val[0]), high = vzipq_f32(even.val[1], odd.val[1]);
    x[0] = low.val[0];
    x[1] = low.val[1];
    x[2] = high.val[0];
    x[3] = high.val[1];
}

#include "pack_rows.h"

#endif
