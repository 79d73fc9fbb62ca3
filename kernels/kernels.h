/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels: one function type per kernel, which is its contract; every implementation and every test declares from
 * it.
 *
 * Common rules. No allocation, no threads, no libm (but fmaf and sqrtf in "ref"). Nothing outside the stated ranges is
 * read or written, no alignment is needed unless stated. n = 0 (or m = 0) does nothing. Rounding is to nearest and
 * denormals are kept: the caller sets the floating-point environment.
 *
 * Results do not depend on alignment or position, and all implementations give the same bits, apart from the sign and
 * payload of NaN and from bf16 products: products are accumulated by one chain of fused multiply-adds in ascending k
 * that starts at the bias, reductions over a row use 16 lanes (lane i takes the elements whose index is i modulo 16, in
 * ascending order) that are then added pairwise (8+8, 4+4, 2+2, 1+1), and exp and erf are the same sequence of
 * operations everywhere.
 */
#ifndef VT_KERNELS_H
#define VT_KERNELS_H

#include "cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Matrix product of one register tile over packed weights ---- */

/* The upper half of a float; arithmetic on it is arithmetic on that float. */
typedef uint16_t vt_bf16;

/* Types of a product: a and b, sum, c. */
enum vt_product {
    VT_PRODUCT_F32,  /* float x float, float; c float */
    VT_PRODUCT_BF16, /* vt_bf16 x vt_bf16, float; c float */
    VT_PRODUCT_U8S8, /* uint8_t x int8_t, int32_t; c int32_t: exact while |sum| < 2^31 (k up to 65,000) */
    VT_PRODUCT_COUNT
};

/* Bytes of an element of a and of b. */
static inline size_t vt_product_bytes(enum vt_product product)
{
    switch (product) {
    case VT_PRODUCT_BF16: return sizeof(vt_bf16);
    case VT_PRODUCT_U8S8: return 1;
    default: return sizeof(float);
    }
}

/* c[i, j] = sum over k of a[i, k] * b[k, j]  (+ bias[j]) (+ residual[i, j]),  i < m <= mr, j < n <= nr.
 * a: rows of length k, lda elements apart.
 * b: one packed panel, padded with zeros behind column n, 64-byte aligned.
 * bias: [nr], of c's type, padded (all nr are read), or NULL.
 * residual: rows ldr apart, only n columns are read, or NULL; it may be c itself. Always NULL for U8S8.
 * c: rows ldc apart, only n columns are written. k = 0 yields bias + residual.
 * F32: the sum starts from bias and is rounded once per step of k; then residual is added. NaN and infinities go the
 * way of the arithmetic.
 * BF16: products are exact. CPUs with instructions for it (bundle "avx512bf16") add them in pairs in their own way and
 * take denormal operands and results for 0; all others add them one by one as F32 does. So unlike everything else here
 * the bits of this product depend on the bundle; within a bundle they depend on nothing.
 * U8S8: integers, the same on every CPU.
 *
 * How to call it fast: all rows through one panel, then through the next one, with panels one behind the other in
 * memory (a tile prefetches the panel behind its own); as many rows in such a pass as the second-level cache holds, in
 * tiles of equal height: with tiles = ceil(m / mr), tile t starts at row m * t / tiles. */
typedef void vt_gemm_fn(size_t m, size_t n, size_t k, const void *a, size_t lda, const void *b, const void *bias,
                        const float *residual, size_t ldr, void *c, size_t ldc);

/* Packs rows of a weight matrix, w[j * ldw + kk] for j < n <= nr, kk < k, into one panel of panel_k * nr elements,
 * where panel_k is k rounded up to a multiple of kr, in the order that the tile reads; zeros for j >= n. w is of b's
 * type. This is also how keys are packed for the scores of attention. */
typedef void vt_pack_fn(size_t n, size_t k, const void *w, size_t ldw, void *panel);

/* A tile, how its panels are packed, and its geometry. Panels are [panel_k / kr][nr][kr]; F32 has kr = 1. */
struct vt_gemm_kernel {
    vt_gemm_fn *tile;
    vt_pack_fn *pack_rows;    /* element (j, kk) is w[j * ldw + kk] */
    vt_pack_fn *pack_columns; /* element (j, kk) is w[kk * ldw + j]: values in attention */
    size_t mr, nr, kr;
    const char *name; /* of the tile's function, such as "vt_gemm_f32_6x16_avx2", for vitrt_describe */
};

/* Bounds on every tile's geometry, for callers' local arrays. */
#define VT_MAX_TILE_ROWS    16
#define VT_MAX_TILE_COLUMNS 64
#define VT_MAX_TILE         1024 /* mr * nr */

/* ---- Element-wise ---- */

/* y[i] = act(x[i]). x == y allowed, other overlap not. NaN in, NaN out; relu keeps -0.
 * gelu (erf form), gelu_tanh, quick_gelu (x * sigmoid(1.702 x)), silu, relu, tanh: |error| <= 2e-7 * max(1, |x|) for
 * finite x. At infinity: x or 1, and for -inf the limit or NaN. */
enum vt_activation {
    VT_ACT_NONE,
    VT_ACT_GELU,
    VT_ACT_GELU_TANH,
    VT_ACT_QUICK_GELU,
    VT_ACT_SILU,
    VT_ACT_RELU,
    VT_ACT_TANH,
    VT_ACT_COUNT
};
typedef void vt_activation_f32_fn(size_t n, const float *x, float *y);

/* What the results of a product become: float, vt_bf16 as by vt_to_bf16_fn, or a code: clamp(round(x), 0, highest), to
 * nearest, ties to even; NaN gives 0. */
enum vt_destination { VT_TO_F32, VT_TO_BF16, VT_TO_U8 };

/* What becomes of a tile of sums s: c[i, j] = act(s[i, j]) * scale[j] + residual[i, j], product and sum rounded once,
 * and then the conversion. Integer sums, |s| < 2^31, first become (float)s * row_scale[i] * sum_scale[j] + sum_bias[j]:
 * the conversion, the product with row_scale, and the other product and the sum together are each rounded. One kernel
 * for each activation, [VT_ACT_NONE] included; act is that of vt_activation_f32_fn, but a GELU has |error| <= 2e-6 *
 * max(1, |x|) where the result is rounded to bf16, and 1e-4 * max(1, |x|) where it becomes a code. */
struct vt_epilogue {
    const float *sum_scale, *sum_bias; /* both [n]: the sums are int32_t; both NULL: float */
    const float *row_scale;            /* [m], or NULL for 1: of integer sums */
    const float *scale;                /* [n], or NULL for 1 */
    const float *residual;             /* rows ldr apart, or NULL for 0; may be c; ldr 0: the same row for all */
    size_t ldr;
    void *c; /* rows ldc apart */
    size_t ldc;
    enum vt_destination to;
    uint8_t highest; /* of VT_TO_U8 */
};

/* sums: m rows of n, ld apart; float or int32_t. */
typedef void vt_finish_fn(size_t m, size_t n, const void *sums, size_t ld, const struct vt_epilogue *e);

/* y[i] = x[i] * scale[i] + residual[i], product and sum rounded once; residual NULL: x[i] * scale[i]. y may be x or
 * residual. */
typedef void vt_scale_add_f32_fn(size_t n, const float *x, const float *scale, const float *residual, float *y);

/* The same of codes as numbers 0..255; with a residual. */
typedef void vt_scale_add_u8_fn(size_t n, const uint8_t *x, const float *scale, const float *residual, float *y);

/* y[i] = a[i] + b[i] ; y[i] = a[i] * b[i]. y may be a or b. */
typedef void vt_binary_f32_fn(size_t n, const float *a, const float *b, float *y);

/* y[i, j] = a[i] * x[i, j] for each of m rows of n, which are ldx and ldy apart. x == y allowed where ldx == ldy. */
typedef void vt_scale_rows_f32_fn(size_t m, size_t n, const float *a, const float *x, size_t ldx, float *y, size_t ldy);

/* The same rounded to bf16 as by vt_to_bf16_fn. */
typedef void vt_scale_rows_bf16_fn(size_t m, size_t n, const float *a, const float *x, size_t ldx, vt_bf16 *y,
                                   size_t ldy);

/* y[i] = a * x[i] + y[i], rounded once. For pooling. */
typedef void vt_axpy_f32_fn(size_t n, float a, const float *x, float *y);

/* The same for each of m rows of n, which are ldx apart, with an a of its own: y[j] becomes the end of a chain of fused
 * multiply-adds of a[i] * x[i, j] in ascending i that starts from y[j]. y is no part of x. For sums over queries. */
typedef void vt_axpy_rows_f32_fn(size_t m, size_t n, const float *a, const float *x, size_t ldx, float *y);

/* The same of bf16, and of codes as numbers 0..255. */
typedef void vt_axpy_rows_bf16_fn(size_t m, size_t n, const float *a, const vt_bf16 *x, size_t ldx, float *y);
typedef void vt_axpy_rows_u8_fn(size_t m, size_t n, const float *a, const uint8_t *x, size_t ldx, float *y);

/* Asks for m rows of so many bytes, ld_bytes apart, to be brought into the second-level cache: what comes next is
 * fetched while something else is computed. */
typedef void vt_prefetch_fn(size_t m, size_t bytes, const void *p, size_t ld_bytes);

/* ---- Conversions ---- */

/* y[i] = x[i] rounded to nearest, ties to even; denormal x gives 0 of its sign; a NaN stays one. */
typedef void vt_to_bf16_fn(size_t n, const float *x, vt_bf16 *y);

/* Codes: y[i] = clamp(round(x[i] * scale[i] + shift[i]), 0, highest), product and sum rounded once, then to nearest,
 * ties to even. NaN gives 0. */
typedef void vt_quantize_u8_fn(size_t n, const float *x, const float *scale, const float *shift, uint8_t highest,
                               uint8_t *y);

/* ---- Rows ---- */

/* y = (x - mean) / sqrt(var + eps) * gamma + beta over each of m rows of n, which are ldx and ldy apart and do not
 * overlap; mean and biased variance in two passes. gamma, beta: [n]. The inverse of the root is rounded after the root
 * and after the division; then y = fma((x - mean) * inverse, gamma, beta). */
typedef void vt_layer_norm_f32_fn(size_t m, size_t n, const float *x, size_t ldx, const float *gamma, const float *beta,
                                  float eps, float *y, size_t ldy);

/* The same rounded to bf16 as by vt_to_bf16_fn. */
typedef void vt_layer_norm_bf16_fn(size_t m, size_t n, const float *x, size_t ldx, const float *gamma,
                                   const float *beta, float eps, vt_bf16 *y, size_t ldy);

/* The same as codes, clamp(round(y), 0, highest) as by vt_quantize_u8_fn: gamma and beta are in units of a code. */
typedef void vt_layer_norm_u8_fn(size_t m, size_t n, const float *x, size_t ldx, const float *gamma, const float *beta,
                                 float eps, uint8_t highest, uint8_t *y, size_t ldy);

/* For each of m rows of n, which are ldx and ldy apart: y[i] = exp(scale * (x[i] - max x)), sums[row] = the sum of y.
 * scale > 0. x == y allowed where ldx == ldy. n = 0 gives the sum 0.
 * exp is within 2 ulp for its argument, which is rounded after the difference and after the product, and 0 for an
 * argument below -87.3359375 (a result that would be denormal). -inf gives 0; a NaN, +inf, or a row of -inf only gives
 * NaN, there and in the sum. */
typedef void vt_softmax_f32_fn(size_t m, size_t n, float scale, const float *x, size_t ldx, float *y, size_t ldy,
                               float *sums);

/* The same rounded to bf16 as by vt_to_bf16_fn, from exponentials within 4e-6 + 2^-22 |scale * (x[i] - max x)| of the
 * exact ones, relatively (four roundings of the argument), of whose float values it gives the sums; they are 0 below
 * 2^-126. */
typedef void vt_softmax_bf16_fn(size_t m, size_t n, float scale, const float *x, size_t ldx, vt_bf16 *y, size_t ldy,
                                float *sums);

/* Probabilities as codes, not normalised, so that the largest one of a row is always 255: for each of m rows of n
 * y[i] = round(255 * exp(s[i] - max s)), s[i] = (float)x[i] * scale + bias[i], and sums[row] = the sum of the codes,
 * exact for n <= 65,000. Without bias (NULL) s[i] - max s is scale * (float)(x[i] - max x). |x[i]| < 2^30;
 * 0 < scale < 2^60. bias: rows ld_bias apart. exp is within 1e-3 of its result, relatively, and may be 0 below 2^-16.
 * The code of a NaN is 0, as are all of a row whose largest s, NaN aside, is infinite. n = 0 gives the sum 0. Rows are
 * done in fours: fewer take as long. */
typedef void vt_softmax_u8_fn(size_t m, size_t n, float scale, const int32_t *x, size_t ldx, const float *bias,
                              size_t ld_bias, uint8_t *y, size_t ldy, float *sums);

/* For each of m rows of n, which are ldx and ldy apart: y = x * (scale / max(sqrt(sum of x^2), 1e-12)), which is what
 * torch.nn.functional.normalize gives, times scale. x == y allowed where ldx == ldy. A square and the sum that it is
 * added to are rounded once together, then root, quotient and product are. A NaN in a row gives NaN in all of it; where
 * the sum overflows y is 0, or NaN for an infinity. */
typedef void vt_l2_norm_f32_fn(size_t m, size_t n, const float *x, size_t ldx, float scale, float *y, size_t ldy);

/* The same rounded to bf16 as by vt_to_bf16_fn. */
typedef void vt_l2_norm_bf16_fn(size_t m, size_t n, const float *x, size_t ldx, float scale, vt_bf16 *y, size_t ldy);

/* The direction of a row of codes, again as codes. With the numbers z[i] = x[i] * scale[i] + shift[i], product and sum
 * rounded once, which are finite, y[i] = 128 + round(z[i] * f), the exact product to nearest, ties to even, where f is
 * 127 / max(max |z|, 1e-30) rounded: the greatest |z| becomes 1 or 255, and 0 becomes 128. Returns the sum of
 * (y[i] - 128)^2, exact for n <= 65,000. x == y allowed. */
typedef int32_t vt_direction_u8_fn(size_t n, const uint8_t *x, const float *scale, const float *shift, uint8_t *y);

/* ---- Depthwise convolution ---- */

/* y[i * ldy + c] = bias[c] + sum over t of x[t][i * step + c] * w[t * n + c], for m outputs i of a row of pixels and n
 * channels c: one chain of fused multiply-adds in ascending t that starts at the bias. NaN and infinities go the way of
 * the arithmetic.
 * x: [taps], for each tap where the pixel lies that it reads for output 0. Nothing here knows the edges of the map: a
 * tap that lies outside is pointed at zeros. step: elements from one output's pixel to the next one's (the width of a
 * pixel times the stride). Pixels may be the same in any number of taps, and are where windows overlap.
 * w: [taps, n]. bias: [n], or NULL for 0. taps = 0 yields the bias.
 * y: overlaps nothing else.
 *
 * How to call it fast: one call for all pixels of a row whose taps are inside. Then a window of 3 x 3 (9 taps, each
 * row's pixels in ascending order) at stride 1 or 2 loads a pixel once for all outputs it is part of. */
typedef void vt_depthwise_f32_fn(size_t m, size_t n, size_t taps, const float *const *x, size_t step, const float *w,
                                 const float *bias, float *y, size_t ldy);

/* The same rounded to bf16 as by vt_to_bf16_fn. */
typedef void vt_depthwise_bf16_fn(size_t m, size_t n, size_t taps, const float *const *x, size_t step, const float *w,
                                  const float *bias, vt_bf16 *y, size_t ldy);

/* The same as codes, clamp(round(y), 0, highest) as by vt_quantize_u8_fn: w and bias are in units of a code. */
typedef void vt_depthwise_u8_fn(size_t m, size_t n, size_t taps, const float *const *x, size_t step, const float *w,
                                const float *bias, uint8_t highest, uint8_t *y, size_t ldy);

/* ---- Integer-only inference ---- */

/* Nothing here computes with floating-point numbers, so the rules above on rounding have no meaning for it. */

/* Numbers x of any rows scaled by one dyadic number for each column j:
 *     y = floor(x * 2^left * multiplier[j] / 2^(33 + shift[j]) + add[j] / 2)
 * For add[j] = 2 a + 1 this is a more than x * multiplier[j] / 2^c rounded to nearest, ties upwards, where c = 33 +
 * shift[j] - left. It has the precision of multipliers of 31 bits, but takes only the upper half of one product of 32
 * bits; scales of 1/4 and above need the shift to the left, for which numbers of less than 32 bits have room.
 * multiplier, shift, add: [n]; |multiplier[j]| < 2^31, 0 <= shift[j] <= 31, |add[j]| < 2^30. |x| * 2^left < 2^31. */
struct vt_columns {
    const int32_t *multiplier, *shift, *add;
    unsigned left;
};

/* One dyadic number for 16-bit x: floor(x * multiplier / 2^shift + 1/2), |multiplier| < 2^15, 0 <= shift <= 31. */
struct vt_word_scale {
    int32_t multiplier, shift;
};

/* uint8_t: limited to 0..highest; int16_t: to -2^15..2^15 - 1; int32_t: |y| < 2^31 is the caller's affair. */
enum vt_integer_type { VT_TO_CODES, VT_TO_WORDS, VT_TO_NUMBERS };

/* What becomes of a tile of numbers x: y of vt_columns, to which scaled residuals are added before the limits. */
struct vt_integer_epilogue {
    struct vt_columns columns;
    const int16_t *residual; /* rows ldr apart, or NULL for 0; may be c */
    size_t ldr;
    struct vt_word_scale residual_scale;
    void *c; /* rows ldc apart */
    size_t ldc;
    enum vt_integer_type to;
    uint8_t highest; /* of VT_TO_CODES */
};

/* The end of a product. sums: m rows of n, ld apart.
 * divisors: NULL, or [m], what the sums of each row are divided by, 1 <= divisors[i] < 2^24, |sums[i, j]| <= 128
 * divisors[i]: x is the quotient times 2^22, |error| <= 1 + 2^-29 |x|. With e = the bits of divisors[i],
 *     x = floor(sums[i, j] * 2^(24 - e) * floor((2^(30 + e) - 1) / divisors[i]) / 2^32)
 * A divisor of 0 gives x = 0. */
typedef void vt_finish_integer_fn(size_t m, size_t n, const int32_t *sums, size_t ld, const int32_t *divisors,
                                  const struct vt_integer_epilogue *e);

/* The same epilogue for m rows of words or bytes, which are ldx apart: other scales and zero points. */
typedef void vt_requantize_s16_fn(size_t m, size_t n, const int16_t *x, size_t ldx,
                                  const struct vt_integer_epilogue *e);
typedef void vt_requantize_u8_fn(size_t m, size_t n, const uint8_t *x, size_t ldx, const struct vt_integer_epilogue *e);

/* Layer norm of m rows of n <= 65536, which are ldx apart, and the epilogue: with the mean rounded to nearest, ties to
 * even, std = floor(sqrt(sum of (x - mean)^2 + eps)) and F = floor((2^31 - 1) / std),
 *     number = (x - mean) * F, about (x - mean) / (standard deviation) * 2^31 / sqrt(n)
 * |number| < 2^31, so left is 0. std = 0 gives numbers 0. eps < 2^62 is the model's times n / (scale of x)^2.
 * c is not x, unless it is of words in rows as far apart. */
typedef void vt_layer_norm_s16_fn(size_t m, size_t n, const int16_t *x, size_t ldx, uint64_t eps,
                                  const struct vt_integer_epilogue *e);

/* What a product that GELU (erf form) follows has for each column, all [n], and in common. See vt_finish_integer_gelu_fn.
 * right, shift: 0..31; fraction: 0..2^15 - 1; factors: two of 16 bits with a sign, of x in the lower half, of the tail in
 * the upper one. limit * 2^up < 2^16; min(|x|, limit) * 2^up * multiplier < 2^31. */
struct vt_integer_gelu {
    const int32_t *right, *fraction, *factors, *add, *shift;
    unsigned left, up;
    uint16_t limit, multiplier;
};

/* The end of a product that GELU follows, as codes, in words of 16 bits. With p * q for floor(p q / 2^15 + 1/2)
 *     s = floor(sum * 2^left / 2^right[j]), limited to 16 bits
 *     x = s + s * fraction[j], limited to 16 bits
 *     h = floor(min(|x|, limit) * 2^up * multiplier / 2^16), the real number |x| in units of 2^-13
 *     v = h * tail(h), about |x| Phi(-|x|) in units of 2^-14; |error| <= 3e-4 in real numbers; the tail is that of
 *         integer_rows.h
 *     c[i, j] = floor((max(x, 0) * lower factor + v * upper factor + add[j]) / 2^shift[j]), limited to 0..highest,
 *         where products of numbers and factors are those of integers
 * |sum| * 2^left and what is shifted last are below 2^31. sums: m rows of n, ld apart. */
typedef void vt_finish_integer_gelu_fn(size_t m, size_t n, const int32_t *sums, size_t ld,
                                       const struct vt_integer_gelu *k, uint8_t highest, uint8_t *c, size_t ldc);

/* A scale of scores, as vt_prepare_exp makes it: a difference d >= 0 of scores is an exponent of 2
 *     t = floor(min(d >> right, limit) * 2^left * multiplier / 2^16), in units of 2^-11.
 * limit * 2^left < 2^16, right <= 31. From t = 9 * 2^11 on codes are 0, as that of d = 2^31 - 1 has to be. */
struct vt_exp_scale {
    unsigned right, left;
    uint16_t limit, multiplier;
};

/* For each of m rows of n scores x + bias: y[i] = 255 * exp(scale * (x[i] - max x)) rounded, and sums[row] = the sum of
 * y. |error| of a code <= 0.75 (a cubic for powers of 2 between 0 and -1, 16 bits). Rows are ldx, ldb and ldy apart;
 * bias: NULL for 0. |x + bias| < 2^30, n < 2^23. n = 0 gives the sum 0. */
typedef void vt_softmax_s32_fn(size_t m, size_t n, const struct vt_exp_scale *scale, const int32_t *x, size_t ldx,
                               const int32_t *bias, size_t ldb, uint8_t *y, size_t ldy, int32_t *sums);

/* y[i] = table[x[i]], a table of 256. x == y allowed. */
typedef void vt_lookup_u8_fn(size_t n, const uint8_t *table, const uint8_t *x, uint8_t *y);

/* y[i] = a[i] and b[i] scaled, each rounded, and their sum limited to 16 bits. y may be a or b. */
typedef void vt_add_s16_fn(size_t n, const int16_t *a, struct vt_word_scale scale_a, const int16_t *b,
                           struct vt_word_scale scale_b, int16_t *y);

/* y[i] = a[i] + b where mask[i] is not 0, y[i] = a[i] elsewhere, |y[i]| < 2^31. y may be a. */
typedef void vt_add_where_s32_fn(size_t n, const int32_t *a, int32_t b, const int32_t *mask, int32_t *y);

/* y[j] = the sum of column j of m <= 65536 rows of n, which are ldx apart: for means, which the scale of an epilogue
 * divides by m. */
typedef void vt_sum_rows_s16_fn(size_t m, size_t n, const int16_t *x, size_t ldx, int32_t *y);
typedef void vt_sum_rows_u8_fn(size_t m, size_t n, const uint8_t *x, size_t ldx, int32_t *y);

struct vt_integer_kernels {
    vt_finish_integer_fn *finish;
    vt_finish_integer_gelu_fn *finish_gelu;
    vt_requantize_s16_fn *requantize_s16;
    vt_requantize_u8_fn *requantize_u8;
    vt_layer_norm_s16_fn *layer_norm_s16;
    vt_softmax_s32_fn *softmax_s32;
    vt_lookup_u8_fn *lookup_u8;
    vt_add_s16_fn *add_s16;
    vt_add_where_s32_fn *add_where_s32;
    vt_sum_rows_s16_fn *sum_rows_s16;
    vt_sum_rows_u8_fn *sum_rows_u8;
};

struct vt_kernels {
    struct vt_gemm_kernel gemm[VT_PRODUCT_COUNT];
    vt_activation_f32_fn *activation_f32[VT_ACT_COUNT]; /* [VT_ACT_NONE] is NULL */
    vt_finish_fn *finish[VT_ACT_COUNT];
    vt_scale_add_f32_fn *scale_add_f32;
    vt_scale_add_u8_fn *scale_add_u8;
    vt_binary_f32_fn *add_f32, *mul_f32;
    vt_scale_rows_f32_fn *scale_rows_f32;
    vt_scale_rows_bf16_fn *scale_rows_bf16;
    vt_axpy_f32_fn *axpy_f32;
    vt_axpy_rows_f32_fn *axpy_rows_f32;
    vt_axpy_rows_bf16_fn *axpy_rows_bf16;
    vt_axpy_rows_u8_fn *axpy_rows_u8;
    vt_prefetch_fn *prefetch;
    vt_to_bf16_fn *to_bf16;
    vt_quantize_u8_fn *quantize_u8;
    vt_layer_norm_f32_fn *layer_norm_f32;
    vt_layer_norm_bf16_fn *layer_norm_bf16;
    vt_layer_norm_u8_fn *layer_norm_u8;
    vt_softmax_f32_fn *softmax_f32;
    vt_softmax_bf16_fn *softmax_bf16;
    vt_softmax_u8_fn *softmax_u8;
    vt_l2_norm_f32_fn *l2_norm_f32;
    vt_l2_norm_bf16_fn *l2_norm_bf16;
    vt_direction_u8_fn *direction_u8;
    vt_depthwise_f32_fn *depthwise_f32;
    vt_depthwise_bf16_fn *depthwise_bf16;
    vt_depthwise_u8_fn *depthwise_u8;

    struct vt_integer_kernels integer;
    const char *bundle; /* name of the best bundle in use: "ref", "avx2", ... */
};

/* Fills the table for a CPU with these features: a pure function of its argument. */
void vt_kernels_init(struct vt_kernels *k, unsigned cpu);

/* The declarations of all kernels of this architecture. Calling one directly is for checks and benchmarks. */
#define VT_KERNEL(entry, type, function, needs) type function;
#define VT_GEMM(product, tile, pack_rows, pack_columns, mr, nr, kr, needs)                                             \
    vt_gemm_fn tile;                                                                                                   \
    vt_pack_fn pack_rows, pack_columns;
#include "kernels.inc"

#endif
