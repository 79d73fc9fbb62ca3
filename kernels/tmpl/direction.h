/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes as codes of their directions, written once. Include a simd/<isa>.h before; contract in kernels.h.
 *
 * A row is read twice: what its codes stand for is sooner computed again than stored. A maximum is the same in any order,
 * so that several chains of it go side by side.
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

static inline vi square_of_direction(vi code, vf middle)
{
    const vf x = vf_sub(vf_of_vi(code), middle);
    return vi_of_vf(vf_mul(x, x));
}

int32_t VT_FN(vt_direction_u8)(size_t n, const uint8_t *x, const float *scale, const float *shift, uint8_t *y)
{
    const float least = 1e-30f;
    const vf greatest = vf_max(vf_set1(greatest_magnitude(n, x, scale, shift)), vf_set1(least));
    const vf factor = vf_div(vf_set1(127), greatest), middle = vf_set1(128);
    vi squares = vi_set1(0);
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        const vi code = vi_of_vf(vf_fma(number_of_code(x, scale, shift, i), factor, middle));
        squares = vi_add(squares, square_of_direction(code, middle));
        vi_store_u8(y + i, code);
    }
    if (i < n) { /* numbers of the other lanes are 0, as are their squares */
        const vi code = vi_of_vf(vf_fma(number_of_code_n(x, scale, shift, i, n - i), factor, middle));
        squares = vi_add(squares, square_of_direction(code, middle));
        vi_store_u8_n(y + i, code, n - i);
    }
    return vi_sum_of_lanes(squares);
}
