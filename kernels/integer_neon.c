/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of integer-only inference for AArch64: tmpl/integer.h over simd/neon.h and simd/integer_neon.h. */
#include "kernels.h"
#include "simd/neon.h"
#include "simd/integer_neon.h"
#include "tmpl/integer.h"
