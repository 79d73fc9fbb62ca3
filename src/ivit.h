/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer-only functions of I-ViT (Li and Gu 2023, arXiv:2207.01405) in the semantics of its paper and of its two
 * published implementations, PyTorch and TVM, in exact integers; i-exp of I-BERT (Kim et al. 2021, arXiv:2101.01321).
 * They are the yardstick of the kernels of integer-only inference, which differ from them where that is more accurate.
 *
 * The PyTorch implementation computes with integers that it holds in floats, so it differs from these exact ones in the
 * last place now and then. Pure functions; intermediate results have 64 bits.
 */
#ifndef VT_IVIT_H
#define VT_IVIT_H

#include "integer.h"

/* ---- ShiftExp, Shiftmax, ShiftGELU ---- */

enum vt_ivit_semantics { VT_IVIT_PYTORCH, VT_IVIT_PAPER, VT_IVIT_TVM };

/* How an exponential of numbers x of scale s is computed, and a division by sums of it. */
struct vt_shift_exp {
    int32_t x0;             /* about -1 / s, below 0 */
    unsigned n;             /* bits that the exponential of 0 is shifted by, 1..31; |x0| << n < 2^46 */
    bool halves;            /* the half of r / 2 is kept (PyTorch) */
    uint64_t division;      /* the numerator of the factor of a division: 2^31 - 1, 2^31 or 2^46 */
    unsigned division_bits; /* M: 31 or 46 */
};

/* x0 for a scale s > 0: floor(-1/s) (PyTorch), -nearest(1/s) (paper), trunc(-1/s - 1) (TVM), and the published
 * division: 2^M (paper) or 2^31 - 1. n is given: 15 (PyTorch) or 16 (TVM) for Shiftmax, 23 for ShiftGELU, whose s is
 * 1.702 times that of its input. False where x0 would be 0 or above, or below -2^24. */
bool vt_shift_exp_of(enum vt_ivit_semantics semantics, double s, unsigned n, struct vt_shift_exp *e);

/* The same with divisions of 46 bits, whose results are not a few per cent low. */
struct vt_shift_exp vt_shift_exp_wide(struct vt_shift_exp e);

/* About exp(s x) * |x0| * 2^n, for x <= 0; at least |x0| / 2. */
uint64_t vt_shift_exp(int64_t x, const struct vt_shift_exp *e);

/* y[i] = softmax(s x)[i] * 2^(bits - 1), rounded down, bits = 8 or 16; n >= 1, |x[i]| < 2^30. */
void vt_shiftmax(size_t n, const int32_t *x, const struct vt_shift_exp *e, unsigned bits, int32_t *y);

/* sigmoid[i] = sigmoid(1.702 x[i]) * 2^(bits - 1) with exponentials relative to the largest x[i] of the row, which is
 * taken as 0 if it is negative; GELU is then x[i] * sigmoid[i], at a scale of s / 2^(bits - 1). n >= 1. */
void vt_shift_gelu_row(size_t n, const int32_t *x, const struct vt_shift_exp *e, unsigned bits, int32_t *sigmoid);

/* The same without a row: no exponential is cut off, whatever the other elements are. */
int32_t vt_shift_sigmoid(int32_t x, const struct vt_shift_exp *e, unsigned bits);

/* The paper's 1.702 x: x times binary 1.1011. */
int32_t vt_times_1_1011(int32_t x);

/* ---- I-LayerNorm ---- */

enum vt_ivit_root { VT_ROOT_EXACT, VT_ROOT_PUBLISHED };

/* Ten iterations k = (k + v / k) / 2 from k = 2^16, which have not converged below sqrt(v) = 187 or so and may end 1
 * too large. */
uint64_t vt_ivit_root(uint64_t v);

struct vt_ivit_norm {
    int32_t mean;           /* rounded to nearest, ties to even */
    uint64_t variance, std; /* the sum of squares and its root */
    int32_t factor;         /* floor((2^31 - 1) / std), 0 for std = 0 */
};

/* y[i] = floor((x[i] - mean) * factor / 2), which is (x[i] - mean) / standard deviation * 2^30 / sqrt(n). 1 <= n <=
 * 2^16, 16-bit x. x == y allowed. */
struct vt_ivit_norm vt_ivit_norm(size_t n, const int32_t *x, enum vt_ivit_root root, int32_t *y);

/* The bias in units of y: floor(beta / gamma * 2^30 / sqrt(n)), limited to +-2^62; 0 for gamma = 0. */
int64_t vt_ivit_norm_bias(double gamma, double beta, size_t n);

/* ---- i-exp of I-BERT ---- */

struct vt_ibert_exp {
    int32_t x0; /* floor(-ln 2 / s) */
    int64_t b, c;
    double scale; /* of the result, for n = 30 */
};

/* For a scale s in (2^-15, 0.69]; false outside. */
bool vt_ibert_exp_of(double s, struct vt_ibert_exp *e);

/* exp(s x) = (the result) * e->scale, for x <= 0; *z: the value of the polynomial before the shift, or NULL. */
int64_t vt_ibert_exp(int64_t x, const struct vt_ibert_exp *e, int64_t *z);

#endif
