/* SPDX-License-Identifier: Apache-2.0 */
/* Everything but the matrix product for AVX2 + FMA + F16C: the templates over simd/avx2.h. */
#include "kernels.h"
#include "simd/avx2.h"
#include "tmpl/activation.h"
#include "tmpl/depthwise.h"
#include "tmpl/direction.h"
#include "tmpl/elementwise.h"
#include "tmpl/finish.h"
#include "tmpl/l2_norm.h"
#include "tmpl/norm.h"
#include "tmpl/softmax.h"
