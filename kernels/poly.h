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

/* 2^f = 1 + F1 f + ... + F4 f^4, |f| <= 1/2, for results that are rounded to bf16: the fit's relative error is 3.6e-6,
 * a 500th of that rounding. Below EXP2_LOWEST 0 is taken. */
#define EXP2_LOWEST (-126.0f)
#define EXP2_F1     0x1.62dfcap-1f
#define EXP2_F2     0x1.ebf1b4p-3f
#define EXP2_F3     0x1.ca900ep-5f
#define EXP2_F4     0x1.40910ap-7f

/* 255 * 2^f = m C(m), m = 1 + f, 0 <= f < 1, C(m) = C0 + C1 m + ... + C3 m^3, for results that become codes: 2^n m is
 * the float whose bits are those of (n + 127 + f) * 2^23, and C makes 255 * 2^(n + f) of it. The fit's relative error
 * is 6.7e-4, a third of the code 255's rounding. */
#define EXP2_CODE_C0 0x1.c4c822p+8f
#define EXP2_CODE_C1 (-0x1.5f36a4p+8f)
#define EXP2_CODE_C2 0x1.68d00cp+7f
#define EXP2_CODE_C3 (-0x1.b24c68p+4f)

/* Adding it to |x| < 2^22 rounds x to an integer, which then stands in the low bits of the sum. */
#define ROUND_BIAS 12582912.0f /* 1.5 * 2^23 */

/* gelu(x) = max(x, 0) + b U(b)^8 with b = -|x|: Phi(b) = U(b)^8 for b <= 0, Phi the normal distribution; U(b) = G0 +
 * G1 b + ... + G8 b^8, which reaches 0 just before b = -GELU_END. The power lets a short polynomial follow the decay of
 * Phi. The fit's error of b Phi(b) is 4e-9 * max(1, |b|). */
#define GELU_END 8.0f
#define GELU_G0  0x1.d5818ep-1f
#define GELU_G1  0x1.769c6cp-4f
#define GELU_G2  (-0x1.058b7ep-5f)
#define GELU_G3  0x1.6150a8p-11f
#define GELU_G4  0x1.8ac792p-10f
#define GELU_G5  (-0x1.19ec8ep-15f)
#define GELU_G6  (-0x1.f854e0p-15f)
#define GELU_G7  (-0x1.f581e0p-18f)
#define GELU_G8  (-0x1.3e9e94p-22f)

/* The same for results that are rounded to bf16: the fit's error is 1.8e-6 * max(1, |b|), a 500th of the rounding of a
 * result near 1. */
#define GELU_BF16_END 6.0f
#define GELU_BF16_G0  0x1.d5818ep-1f
#define GELU_BF16_G1  0x1.76cb06p-4f
#define GELU_BF16_G2  (-0x1.0386d8p-5f)
#define GELU_BF16_G3  0x1.31080ep-10f
#define GELU_BF16_G4  0x1.023d6cp-9f
#define GELU_BF16_G5  0x1.9c8376p-13f

/* The same with U(b)^2 for results that become codes: the fit's error is 8.3e-5 * max(1, |b|). */
#define GELU_CODE_END 3.55f
#define GELU_CODE_G0  0x1.6991a8p-1f
#define GELU_CODE_G1  0x1.18d97ep-2f
#define GELU_CODE_G2  (-0x1.415a88p-4f)
#define GELU_CODE_G3  (-0x1.a42a82p-5f)
#define GELU_CODE_G4  (-0x1.a8311cp-8f)

/* gelu_tanh(x) = x sigmoid(x (LINEAR + CUBIC x^2)), since (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x +
 * 0.044715 x^3). */
#define GELU_TANH_LINEAR 1.5957691216057308f
#define GELU_TANH_CUBIC  0.07135481627260025f
#define QUICK_GELU_SLOPE 1.702f

#endif
