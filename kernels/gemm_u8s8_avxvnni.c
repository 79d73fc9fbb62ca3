/* SPDX-License-Identifier: Apache-2.0 */
/* u8 x s8 products with the CPU's own instruction, for CPUs without AVX-512. */
#define VT_FN(name)           name##_avxvnni
#define VT_DOT_BYTES(s, x, y) ((vi)_mm256_dpbusd_avx_epi32((__m256i)(s), (__m256i)(x), (__m256i)(y)))
#include "tmpl/gemm_u8s8_6x16.h"
