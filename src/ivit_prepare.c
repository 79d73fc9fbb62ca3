/* SPDX-License-Identifier: Apache-2.0 */
/* See ivit.h: what its functions need to know about scales. */
#include "ivit.h"

#include <math.h>

bool vt_shift_exp_of(enum vt_ivit_semantics semantics, double s, unsigned n, struct vt_shift_exp *e)
{
    const double lowest = -16777216;
    const bool paper = semantics == VT_IVIT_PAPER;
    const double x0 = semantics == VT_IVIT_PYTORCH ? floor(-1 / s) : paper ? -round(1 / s) : trunc(-1 / s - 1);
    if (!(s > 0 && x0 < 0 && x0 >= lowest))
        return false;
    *e = (struct vt_shift_exp){ .x0 = (int32_t)x0,
                                .n = n,
                                .halves = semantics == VT_IVIT_PYTORCH,
                                .division = (UINT64_C(1) << 31) - !paper,
                                .division_bits = 31 };
    return true;
}

struct vt_shift_exp vt_shift_exp_wide(struct vt_shift_exp e)
{
    e.division_bits = 46;
    e.division = UINT64_C(1) << e.division_bits;
    return e;
}

int64_t vt_ivit_norm_bias(double gamma, double beta, size_t n)
{
    const double most = 0x1p62, bias = gamma == 0 ? 0 : floor(beta / gamma * 0x1p30 / sqrt((double)n));
    return bias > most ? (int64_t)most : bias < -most ? -(int64_t)most : (int64_t)bias;
}

/* exp on (-ln 2, 0] is taken as 0.35815147 (r^2 + B r + C), B and C in units of s. */
bool vt_ibert_exp_of(double s, struct vt_ibert_exp *e)
{
    const double a = 0.35815147, b = 0.96963238, ln2 = 0.6931;
    if (!(s > 0x1p-15 && s <= 0.69))
        return false;
    *e = (struct vt_ibert_exp){ .x0 = (int32_t)floor(-ln2 / s),
                                .b = (int64_t)floor(b / a / s),
                                .c = (int64_t)floor(1 / a / (s * s)),
                                .scale = a * s * s / 0x1p30 };
    return true;
}
