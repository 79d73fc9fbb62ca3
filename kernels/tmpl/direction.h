/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes as codes of their directions, written once. Include a simd/<isa>.h before; contract in kernels.h.
 *
 * A row is read twice: what its codes stand for is sooner computed again than stored. A maximum is the same in any
 * order, so that several chains of it go side by side.
 */
#include "lanes.h"

enum { MAXIMA = 4 };

static inline vf number_of_code(const uint8_t *x, const float *scale, const float *shift, size_t i)
{
    return vf_fma(vf_of_vi(vi_load_u8(x + i)), vf_load(scale + i), vf_load(shift + i));
}
static inline vf number_of_code_n(const uint8_t *x, const float *scale, const float *shift, size_t i, size_t n)
{
    return vf_fma(vf_of_vi(vi_load_u8_n(x + i, n)), vf_load_n(scale + i, n), vf_load_n(shift + i, n));
}

static inline float greatest_magnitude(size_t n, const uint8_t *x, const float *scale, const float *shift)
{
    vf max[MAXIMA][LANE_VECTORS];
    for (size_t c = 0; c < MAXIMA; c++)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            max[c][j] = vf_zero();
    size_t i = 0;
    for (; i + MAXIMA * LANES <= n; i += MAXIMA * LANES)
        for (size_t c = 0; c < MAXIMA; c++)
            for (size_t j = 0; j < LANE_VECTORS; j++)
                max[c][j] = vf_max(vf_abs(number_of_code(x, scale, shift, i + c * LANES + j * VL)), max[c][j]);
    for (; i < n; i += VL)
        max[0][0] = vf_max(vf_abs(number_of_code_n(x, scale, shift, i, lanes_left(n, i))), max[0][0]);
    for (size_t c = 1; c < MAXIMA; c++)
        for (size_t j = 0; j < LANE_VECTORS; j++)
            max[0][j] = vf_max(max[c][j], max[0][j]);
    return vf_max16(max[0]);
}

/* A number below 2^22 added to it has no bits behind the point: it is rounded, and these are the lowest of the sum. */
#define DIRECTION_ZERO (0x1.8p23f + 128)

/* Codes of up to n <= DIRECTION_BLOCK * VL numbers. The sums of so many squares in each lane are exact in float. */
enum { DIRECTION_BLOCK = 1024 };

static inline vf direction_block(size_t n, const uint8_t *x, const float *scale, const float *shift, vf factor,
                                 uint8_t *y)
{
    const vf zero = vf_set1(DIRECTION_ZERO);
    vf squares[2] = { vf_zero(), vf_zero() };
    size_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        for (size_t j = 0; j < 2; j++) {
            const vf sum = vf_fma(number_of_code(x, scale, shift, i + j * VL), factor, zero), code = vf_sub(sum, zero);
            squares[j] = vf_fma(code, code, squares[j]);
            vi_store_u8(y + i + j * VL, vi_of_bits(sum));
        }
    }
    for (; i < n; i += VL) { /* numbers of lanes that there are not are 0 */
        const size_t left = lanes_left(n, i);
        const vf sum = vf_fma(number_of_code_n(x, scale, shift, i, left), factor, zero), code = vf_sub(sum, zero);
        squares[0] = vf_fma(code, code, squares[0]);
        vi_store_u8_n(y + i, vi_of_bits(sum), left);
    }
    return vf_add(squares[0], squares[1]);
}

int32_t VT_FN(vt_direction_u8)(size_t n, const uint8_t *x, const float *scale, const float *shift, uint8_t *y)
{
    const size_t block = DIRECTION_BLOCK * VL;
    const float most = greatest_magnitude(n, x, scale, shift), least = 1e-30f;
    const vf factor = vf_set1(127 / (most > least ? most : least));
    vi squares = vi_set1(0);
    for (size_t i = 0; i < n; i += block) {
        const size_t left = n - i < block ? n - i : block;
        squares = vi_add(squares, vi_of_vf(direction_block(left, x + i, scale + i, shift + i, factor, y + i)));
    }
    return vi_sum_of_lanes(squares);
}
