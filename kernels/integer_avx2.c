/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of integer-only inference for AVX2: tmpl/integer.h over simd/avx2.h and simd/integer_avx2.h. */
#include "kernels.h"
#include "simd/avx2.h"
#include "simd/integer_avx2.h"
#include "tmpl/integer.h"
