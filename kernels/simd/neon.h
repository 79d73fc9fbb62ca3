/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vector type of the templates for AArch64: 4 floats. simd/scalar.h says what each function means.
 *
 * Only for files of that bundle. Everything is static, so that no such code can be chosen by the linker for another
 * file.
 */
#ifndef VT_SIMD_H
#define VT_SIMD_H

#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* clang-format off */

#define VT_FN(name) name##_neon
#define VL 4

typedef float32x4_t vf;

/* All ones in the first n lanes, 0 <= n <= 4. */
static inline uint32x4_t vf_mask(size_t n)
{
    static const uint32_t index[VL] = { 0, 1, 2, 3 };
    return vcltq_u32(vld1q_u32(index), vdupq_n_u32((uint32_t)n));
}

static inline vf vf_set1(float x) { return vdupq_n_f32(x); }
static inline vf vf_zero(void) { return vdupq_n_f32(0.0f); }
static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf x) { vst1q_f32(p, x); }

/* Loaded into a register: where a load has several uses gcc 12 else makes it an operand of each, once more. */
static inline vf vf_load_shared(const float *p)
{
    vf x = vf_load(p);
    __asm__("" : "+w"(x));
    return x;
}

/* Fetches the line that lies so many bytes behind p into the second-level cache; it may lie outside of any object,
 * hence the integer. */
static inline void vf_prefetch(const void *p, size_t bytes)
{
    __builtin_prefetch((const void *)((uintptr_t)p + bytes), 0, 2);
}

/* The first n lanes of any 4 bytes: there are no masked loads and stores, so by halves and single lanes. */
static inline uint8x16_t vt_load_lanes(const void *p, size_t n)
{
    const uint8_t *bytes = p;
    if (n >= VL)
        return vld1q_u8(bytes);
    uint32_t last = 0;
    if (n & 1)
        memcpy(&last, bytes + (n & 2) * sizeof last, sizeof last);
    const uint8x8_t rest = vcreate_u8(last);
    return n & 2 ? vcombine_u8(vld1_u8(bytes), rest) : vcombine_u8(rest, vdup_n_u8(0));
}
static inline void vt_store_lanes(void *p, uint8x16_t x, size_t n)
{
    uint8_t *bytes = p;
    if (n >= VL) {
        vst1q_u8(bytes, x);
        return;
    }
    if (n & 2)
        vst1_u8(bytes, vget_low_u8(x));
    if (n & 1) {
        const uint8x8_t rest = n & 2 ? vget_high_u8(x) : vget_low_u8(x);
        const uint32_t last = vget_lane_u32(vreinterpret_u32_u8(rest), 0);
        memcpy(bytes + (n & 2) * sizeof last, &last, sizeof last);
    }
}
static inline vf vf_load_n(const float *p, size_t n) { return vreinterpretq_f32_u8(vt_load_lanes(p, n)); }
static inline void vf_store_n(float *p, vf x, size_t n) { vt_store_lanes(p, vreinterpretq_u8_f32(x), n); }

static inline vf vf_load_bf16_even(const uint16_t *p)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u16(vld1q_u16(p)), 16));
}
static inline vf vf_load_bf16_odd(const uint16_t *p)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_u16(vld1q_u16(p)), vdupq_n_u32(0xFFFFu)));
}

static inline vf vf_load_bf16(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
static inline vf vf_load_bf16_n(const uint16_t *p, size_t n)
{
    uint64_t lanes = 0;
    memcpy(&lanes, p, n * sizeof *p);
    return vreinterpretq_f32_u32(vshll_n_u16(vcreate_u16(lanes), 16));
}

static inline uint16x4_t vf_to_bf16(vf x)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(x), high = vshrq_n_u32(bits, 16);
    const uint32x4_t half = vaddq_u32(vdupq_n_u32(0x7FFF), vandq_u32(high, vdupq_n_u32(1)));
    const uint32x4_t normal = vtstq_u32(bits, vdupq_n_u32(0x7F800000));
    uint32x4_t r = vshrq_n_u32(vaddq_u32(bits, half), 16);
    r = vbslq_u32(normal, r, vandq_u32(high, vdupq_n_u32(0x8000)));
    r = vbslq_u32(vceqq_f32(x, x), r, vorrq_u32(high, vdupq_n_u32(0x40)));
    return vmovn_u32(r);
}
static inline void vf_store_bf16(uint16_t *p, vf x) { vst1_u16(p, vf_to_bf16(x)); }
static inline void vf_store_bf16_n(uint16_t *p, vf x, size_t n)
{
    const uint64_t lanes = vget_lane_u64(vreinterpret_u64_u16(vf_to_bf16(x)), 0);
    memcpy(p, &lanes, n * sizeof *p);
}

/* The minimum of a NaN is one; the conversion gives 0 for it and for what is negative. */
static inline uint16x4_t vf_to_code(vf x, vf highest) { return vmovn_u32(vcvtnq_u32_f32(vminq_f32(x, highest))); }
static inline void vf_store_u8_pair(uint8_t *p, vf first, vf second, vf highest)
{
    vst1_u8(p, vmovn_u16(vcombine_u16(vf_to_code(first, highest), vf_to_code(second, highest))));
}
static inline void vf_store_u8_n(uint8_t *p, vf x, vf highest, size_t n)
{
    const uint16x4_t words = vf_to_code(x, highest);
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(words, words));
    const uint32_t lanes = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    memcpy(p, &lanes, n);
}
static inline void vf_store_u8(uint8_t *p, vf x, vf highest) { vf_store_u8_n(p, x, highest, VL); }

static inline vf vf_keep_n(vf x, vf other, size_t n) { return vbslq_f32(vf_mask(n), x, other); }

static inline vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf vf_sqrt(vf a) { return vsqrtq_f32(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf vf_abs(vf a) { return vabsq_f32(a); }
static inline vf vf_copysign(vf magnitude, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }

/* The instructions fmax and fmin treat NaN and the sign of zero in another way. */
static inline vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }

static inline vf vf_minus_abs_from(vf x, float end) { return vnegq_f32(vminq_f32(vabsq_f32(x), vdupq_n_f32(end))); }

static inline vf vf_zero_below(vf x, vf key, vf limit)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), vcltq_f32(key, limit)));
}
static inline vf vf_select_negative(vf key, vf if_negative, vf otherwise)
{
    return vbslq_f32(vcltzq_f32(key), if_negative, otherwise);
}

static inline vf vf_scale_by_power(vf x, vf biased)
{
    const uint32x4_t n = vshlq_n_u32(vreinterpretq_u32_f32(biased), 23);
    return vmulq_f32(x, vreinterpretq_f32_u32(vaddq_u32(n, vdupq_n_u32(127u << 23))));
}

/* ---- Integers ---- */

typedef int32x4_t vi;

static inline vi vi_set1(int32_t x) { return vdupq_n_s32(x); }
static inline vi vi_load(const int32_t *p) { return vld1q_s32(p); }
static inline void vi_store(int32_t *p, vi x) { vst1q_s32(p, x); }
static inline vi vi_load_n(const int32_t *p, size_t n) { return vreinterpretq_s32_u8(vt_load_lanes(p, n)); }
static inline void vi_store_n(int32_t *p, vi x, size_t n) { vt_store_lanes(p, vreinterpretq_u8_s32(x), n); }

static inline vi vi_load_u8_n(const uint8_t *p, size_t n)
{
    uint32_t lanes = 0;
    memcpy(&lanes, p, n);
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(lanes)))));
}
static inline vi vi_load_u8(const uint8_t *p) { return vi_load_u8_n(p, VL); }
static inline void vi_store_u8_n(uint8_t *p, vi x, size_t n)
{
    const uint16x4_t words = vmovn_u32(vreinterpretq_u32_s32(x));
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(words, words));
    const uint32_t lanes = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    memcpy(p, &lanes, n);
}
static inline void vi_store_u8(uint8_t *p, vi x) { vi_store_u8_n(p, x, VL); }

static inline vi vi_keep_n(vi x, vi other, size_t n) { return vbslq_s32(vf_mask(n), x, other); }

static inline vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
static inline vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
static inline vi vi_max(vi a, vi b) { return vmaxq_s32(a, b); }
static inline int32_t vi_max_of_lanes(vi x) { return vmaxvq_s32(x); }
static inline int32_t vi_sum_of_lanes(vi x) { return vaddvq_s32(x); }

static inline vf vf_of_vi(vi x) { return vcvtq_f32_s32(x); }
static inline vi vi_of_vf(vf x) { return vcvtnq_s32_f32(x); }
static inline vi vi_of_bits(vf x) { return vreinterpretq_s32_f32(x); }
static inline vf vf_of_bits(vi x) { return vreinterpretq_f32_s32(x); }
static inline vf vf_of_fraction(vi x)
{
    return vreinterpretq_f32_s32(vorrq_s32(vandq_s32(x, vdupq_n_s32(0x7FFFFF)), vdupq_n_s32(0x3F800000)));
}

static inline float vf_sum16(const vf *lane)
{
    const vf sum4 = vaddq_f32(vaddq_f32(lane[0], lane[2]), vaddq_f32(lane[1], lane[3]));
    return vpadds_f32(vadd_f32(vget_low_f32(sum4), vget_high_f32(sum4)));
}
static inline float vf_max16(const vf *lane)
{
    const vf max4 = vf_max(vf_max(lane[0], lane[2]), vf_max(lane[1], lane[3]));
    return vmaxvq_f32(max4);
}

#endif
