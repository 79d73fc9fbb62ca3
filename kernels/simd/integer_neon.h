/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of 32, 16 and 8 bits for AArch64: what tmpl/integer.h needs beside simd/neon.h, which has to be included
 * before. simd/integer_avx512.h says what each function means.
 */
#ifndef VT_SIMD_INTEGER_H
#define VT_SIMD_INTEGER_H

/* clang-format off */

typedef uint16x8_t vw;
typedef uint8x16_t vb;

/* ---- VL integers of 32 bits ---- */

static inline vi vi_mul(vi a, vi b) { return vmulq_s32(a, b); }
static inline vi vi_min(vi a, vi b) { return vminq_s32(a, b); }
static inline vi vi_shift_left(vi a, unsigned n) { return vshlq_s32(a, vdupq_n_s32((int32_t)n)); }
static inline vi vi_shift_right(vi a, unsigned n) { return vshlq_s32(a, vdupq_n_s32(-(int32_t)n)); }
static inline vi vi_half(vi a) { return vshrq_n_s32(a, 1); }
static inline vi vi_shift_right_each(vi a, vi n) { return vshlq_s32(a, vnegq_s32(n)); }

/* The instruction doubles: a * b / 2^31, which saturates for -2^31 * -2^31 only. */
typedef struct { vi b; } vm;
static inline vm vm_of(vi b) { return (vm){ b }; }
static inline vi vi_mul_high(vi a, vm b) { return vshrq_n_s32(vqdmulhq_s32(a, b.b), 1); }

static inline vi vi_load_s16(const int16_t *p) { return vmovl_s16(vld1_s16(p)); }
static inline vi vi_load_s16_n(const int16_t *p, size_t n)
{
    int16_t lanes[4] = { 0 };
    memcpy(lanes, p, n * sizeof *p);
    return vi_load_s16(lanes);
}
static inline vi vi_load_or(const int32_t *p, vi other, size_t n)
{
    return vbslq_s32(vf_mask(n), vi_load_n(p, n), other);
}

static inline vi vi_add_where(vi a, vi b, vi mask)
{
    return vaddq_s32(a, vandq_s32(b, vreinterpretq_s32_u32(vtstq_s32(mask, mask))));
}

static inline int32_t vi_sum(vi a) { return vaddvq_s32(a); }
static inline int32_t vi_largest(vi a) { return vmaxvq_s32(a); }

/* ---- Words ---- */

static inline vw vw_set1(int x) { return vdupq_n_u16((uint16_t)x); }
static inline vw vw_load(const int16_t *p) { return vreinterpretq_u16_s16(vld1q_s16(p)); }
static inline vw vw_load_n(const int16_t *p, size_t n)
{
    int16_t lanes[8] = { 0 };
    memcpy(lanes, p, n * sizeof *p);
    return vw_load(lanes);
}
static inline void vw_store(int16_t *p, vi a, vi b) { vst1q_s16(p, vqmovn_high_s32(vqmovn_s32(a), b)); }
static inline void vw_store_n(int16_t *p, vi a, vi b, size_t n)
{
    int16_t lanes[8];
    vw_store(lanes, a, b);
    memcpy(p, lanes, n * sizeof *p);
}
static inline vw vw_limited(vi a, vi b) { return vqmovun_high_s32(vqmovun_s32(a), b); }
static inline vw vw_sub(vw a, vw b) { return vsubq_u16(a, b); }
static inline vw vw_min(vw a, vw b) { return vminq_u16(a, b); }
static inline vw vw_mul_high(vw a, vw b)
{
    const uint32x4_t low = vmull_u16(vget_low_u16(a), vget_low_u16(b)), high = vmull_high_u16(a, b);
    return vuzp2q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
}
static inline vw vw_shift_left(vw a, unsigned n) { return vshlq_u16(a, vdupq_n_s16((int16_t)n)); }
static inline vw vw_add(vw a, vw b) { return vaddq_u16(a, b); }

static inline vw vw_words(vi a, vi b) { return vreinterpretq_u16_s16(vqmovn_high_s32(vqmovn_s32(a), b)); }
static inline vw vw_abs(vw a) { return vreinterpretq_u16_s16(vabsq_s16(vreinterpretq_s16_u16(a))); }
static inline vw vw_positive(vw a)
{
    return vreinterpretq_u16_s16(vmaxq_s16(vreinterpretq_s16_u16(a), vdupq_n_s16(0)));
}
static inline vw vw_add_limited(vw a, vw b)
{
    return vreinterpretq_u16_s16(vqaddq_s16(vreinterpretq_s16_u16(a), vreinterpretq_s16_u16(b)));
}
static inline vw vw_mul_round(vw a, vw b)
{
    return vreinterpretq_u16_s16(vqrdmulhq_s16(vreinterpretq_s16_u16(a), vreinterpretq_s16_u16(b)));
}

static inline vi vw_first_of(vw low, vw high) { return vreinterpretq_s32_u16(vzip1q_u16(low, high)); }
static inline vi vw_second_of(vw low, vw high) { return vreinterpretq_s32_u16(vzip2q_u16(low, high)); }
static inline vi vi_dot(vi a, vi b)
{
    const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
}

static inline vw vw_exponent(vw t) { return vshrq_n_u16(t, 11); }
static inline vw vw_fraction(vw t) { return vshlq_n_u16(t, 5); }
static inline vw vw_scale_down(vw p, vw n) /* a shift to the left by a negative count, rounding */
{
    return vrshlq_u16(p, vsubq_s16(vdupq_n_s16(-8), vreinterpretq_s16_u16(n)));
}

static inline vi vi_add_pairs(vi acc, vw w) { return vpadalq_s16(acc, vreinterpretq_s16_u16(w)); }
typedef struct { uint64x2_t sums; } vq;
static inline vq vq_zero(void) { return (vq){ vdupq_n_u64(0) }; }
static inline vq vq_add_squares(vq acc, vw w)
{
    const int16x8_t x = vreinterpretq_s16_u16(w);
    const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(x)), high = vmull_high_s16(x, x);
    acc.sums = vpadalq_u32(acc.sums, vreinterpretq_u32_s32(low));
    acc.sums = vpadalq_u32(acc.sums, vreinterpretq_u32_s32(high));
    return acc;
}
static inline uint64_t vq_sum(vq acc) { return vaddvq_u64(acc.sums); }

/* ---- Bytes ---- */

static inline vb vb_set1(int x) { return vdupq_n_u8((uint8_t)x); }
static inline vb vb_min(vb a, vb b) { return vminq_u8(a, b); }
static inline vb vb_of_vi(vi a, vi b, vi c, vi d)
{
    const int16x8_t low = vqmovn_high_s32(vqmovn_s32(a), b), high = vqmovn_high_s32(vqmovn_s32(c), d);
    return vqmovun_high_s16(vqmovun_s16(low), high);
}
static inline vb vb_of_vw(vw a, vw b) { return vmovn_high_u16(vmovn_u16(a), b); }
static inline void vb_store(uint8_t *p, vb x) { vst1q_u8(p, x); }
static inline void vb_store_n(uint8_t *p, vb x, size_t n)
{
    uint8_t lanes[16];
    vb_store(lanes, x);
    memcpy(p, lanes, n);
}
static inline void vb_store_halves(uint8_t *low, uint8_t *high, vb x)
{
    vst1_u8(low, vget_low_u8(x));
    vst1_u8(high, vget_high_u8(x));
}
static inline void vb_store_halves_n(uint8_t *low, uint8_t *high, vb x, size_t n)
{
    uint8_t lanes[16];
    vb_store(lanes, x);
    memcpy(low, lanes, n);
    memcpy(high, lanes + 8, n);
}

typedef uint32x4_t vs;
static inline vs vs_zero(void) { return vdupq_n_u32(0); }
static inline vs vs_add(vs acc, vb x) { return vpadalq_u16(acc, vpaddlq_u8(x)); }
static inline int32_t vs_sum(vs acc) { return (int32_t)vaddvq_u32(acc); }

static inline vb vb_load(const uint8_t *p) { return vld1q_u8(p); }
static inline vb vb_load_n(const uint8_t *p, size_t n)
{
    uint8_t lanes[16] = { 0 };
    memcpy(lanes, p, n);
    return vb_load(lanes);
}

/* A table instruction sees 64 bytes, and 0 or what was there before for an index outside of them. */
typedef struct { uint8x16x4_t part[4]; } vt_byte_table;
static inline vt_byte_table vb_table(const uint8_t *p)
{
    vt_byte_table t;
    for (int i = 0; i < 4; i++)
        t.part[i] = vld1q_u8_x4(p + 64 * i);
    return t;
}
static inline vb vb_lookup(const vt_byte_table *t, vb x)
{
    const uint8x16_t step = vdupq_n_u8(64);
    uint8x16_t y = vqtbl4q_u8(t->part[0], x);
    for (int i = 1; i < 4; i++) {
        x = vsubq_u8(x, step);
        y = vqtbx4q_u8(y, t->part[i], x);
    }
    return y;
}

#endif
