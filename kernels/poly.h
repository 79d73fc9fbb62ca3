/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coefficients shared by all instruction sets: the same numbers in the same order of operations give the same bits.
 * Fitted by tools/fit_polynomials.py, which states the error of each fit.
 */
#ifndef VT_POLY_H
#define VT_POLY_H

/* exp(x) = 2^n exp(r), n = round(x / ln 2), r = x - n ln 2 with ln 2 in two parts, exp(r) = 1 + r + E2 r^2 + ... +
 * E6 r^6. The fit's relative error is 4e-9. Below EXP_LOWEST the result would be denormal, and 0 is taken instead. */
#define EXP_LOWEST   (-0x1.5d58p+6f) /* -87.3359375; the least normal number is exp(-87.33655) */
#define EXP_LOG2_E   0x1.715476p+0f
#define EXP_LN2_HIGH 0x1.62e430p-1f
#define EXP_LN2_LOW  (-0x1.05c610p-29f)
#define EXP_E2       0x1.fffffcp-2f
#define EXP_E3       0x1.555492p-3f
#define EXP_E4       0x1.5558f2p-5f
#define EXP_E5       0x1.1239d6p-7f
#define EXP_E6       0x1.6a244ap-10f

/* 2^f = 1 + F1 f + ... + F4 f^4, |f| <= 1/2, for results that are rounded to bf16: the fit's relative error is 3.6e-6, a
 * 500th of that rounding. Below EXP2_LOWEST 0 is taken. */
#define EXP2_LOWEST (-126.0f)
#define EXP2_F1     0x1.62dfcap-1f
#define EXP2_F2     0x1.ebf1b4p-3f
#define EXP2_F3     0x1.ca900ep-5f
#define EXP2_F4     0x1.40910ap-7f

/* Adding it to |x| < 2^22 rounds x to an integer, which then stands in the low bits of the sum. */
#define ROUND_BIAS 12582912.0f /* 1.5 * 2^23 */

/* Phi(-a) = T(a)^8 / 2 for a >= 0, Phi the normal distribution; T(a) = 1 + G1 a + ... + G8 a^8, which reaches 0 just
 * before a = GELU_END. The power lets a short polynomial follow the decay of Phi. The fit's error of a Phi(-a) is
 * 4e-9 * max(1, a). */
#define GELU_END 8.0f
#define GELU_G1  (-0x1.988426p-4f)
#define GELU_G2  (-0x1.1d377cp-5f)
#define GELU_G3  (-0x1.814af6p-11f)
#define GELU_G4  0x1.ae829cp-10f
#define GELU_G5  0x1.3370bap-15f
#define GELU_G6  (-0x1.12fd1cp-14f)
#define GELU_G7  0x1.1172e6p-17f
#define GELU_G8  (-0x1.5b74fcp-22f)

/* gelu_tanh(x) = x sigmoid(x (LINEAR + CUBIC x^2)), since (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x +
 * 0.044715 x^3). */
#define GELU_TANH_LINEAR 1.5957691216057308f
#define GELU_TANH_CUBIC  0.07135481627260025f
#define QUICK_GELU_SLOPE 1.702f

#endif
