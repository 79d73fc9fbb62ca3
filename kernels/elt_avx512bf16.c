/* SPDX-License-Identifier: Apache-2.0 */
/* Everything but the matrix product for AVX-512 with the instruction that rounds to bf16: the templates over
 * simd/avx512.h. */
#include "kernels.h"
#define VT_FN(name) name##_avx512bf16
#include "simd/avx512.h"
#include "tmpl/activation.h"
#include "tmpl/depthwise.h"
#include "tmpl/direction.h"
#include "tmpl/elementwise.h"
#include "tmpl/finish.h"
#include "tmpl/l2_norm.h"
#include "tmpl/norm.h"
#include "tmpl/softmax.h"
