/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of integer-only inference for AVX-512: tmpl/integer.h over simd/avx512.h and simd/integer_avx512.h. */
#include "kernels.h"
#include "simd/avx512.h"
#include "simd/integer_avx512.h"
#include "tmpl/integer.h"
