/* SPDX-License-Identifier: Apache-2.0 */
/* The tile of the bundle "avxvnni" with the instruction's other encoding, so that CPUs with AVX-512 can check it. */
#include "gemm_u8s8_evex.h"

#define VT_FN(name)           name##_evex
#define VT_DOT_BYTES(s, x, y) ((vi)_mm256_dpbusd_epi32((__m256i)(s), (__m256i)(x), (__m256i)(y)))
#include "../kernels/tmpl/gemm_u8s8_6x16.h"
