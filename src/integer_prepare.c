/* SPDX-License-Identifier: Apache-2.0 */
/* See integer.h: real numbers of a model turned into integers when it is prepared. */
#include "integer.h"

#include <math.h>

enum { MANTISSA_BITS = 31, MOST_SHIFT = 62 };

bool vt_dyadic_of(double ratio, struct vt_dyadic *d)
{
    int exponent;
    if (!isfinite(ratio))
        return false;
    double b = round(ldexp(frexp(ratio, &exponent), MANTISSA_BITS));
    if (fabs(b) == ldexp(1, MANTISSA_BITS)) { /* rounded up to the next power of 2 */
        b /= 2;
        exponent++;
    }
    const int c = MANTISSA_BITS - exponent;
    if (b != 0 && c < 0)
        return false;
    const bool is_zero = b == 0 || c > MOST_SHIFT;
    *d = (struct vt_dyadic){ .b = is_zero ? 0 : (int32_t)b, .c = is_zero ? 0 : (unsigned)c };
    return true;
}
