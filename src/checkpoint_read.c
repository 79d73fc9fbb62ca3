/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a checkpoint's tensors as f32; see checkpoint.h. Every stored type is converted exactly and with integer
 * arithmetic where a subnormal number could appear, so that the host's floating-point modes change nothing. The one
 * product, I8 times scale, is rounded once. The loops are plain and branch-free so that compilers vectorise them.
 */
#include "checkpoint.h"

#include "finite.h"
#include "source.h"

#include <float.h>
#include <inttypes.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors are little-endian, and this file copies their numbers as they are"
#endif

size_t vt_dtype_bytes(enum vt_dtype dtype)
{
    switch (dtype) {
    case VT_F32:
    case VT_I32: return 4;
    case VT_F16:
    case VT_BF16:
    case VT_I16: return 2;
    case VT_I8:
    case VT_U8: return 1;
    case VT_OTHER: break;
    }
    return 0;
}

static uint64_t column_count(const struct vt_tensor *t)
{
    return t->rank < 2 ? 1 : t->shape[0] ? t->count / t->shape[0] : 0;
}

/* ---- Conversion ---- */

/* A half is 1 sign, 5 exponent (bias 15) and 10 fraction bits; its subnormals are multiples of 2^-24. A mask chooses
 * between the two forms, because gcc turns ?: on floating-point values into a branch, which it cannot vectorise. */
static uint32_t half_to_f32_bits(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t magnitude = h & 0x7fff;
    const uint32_t is_subnormal = 0u - (magnitude < 0x0400);
    const uint32_t is_special = 0u - (magnitude >= 0x7c00); /* infinity and NaN keep a full exponent */
    const uint32_t normal = (magnitude << 13) + ((127 - 15u) << 23) + (is_special & (255 - 31u - (127 - 15u)) << 23);
    const float multiple = (float)(int)magnitude * 0x1p-24f;
    uint32_t subnormal;
    memcpy(&subnormal, &multiple, sizeof subnormal);
    return sign | (is_subnormal & subnormal) | (~is_subnormal & normal);
}

static void convert_f16(const unsigned char *raw, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, raw + 2 * i, sizeof h);
        const uint32_t bits = half_to_f32_bits(h);
        memcpy(dst + i, &bits, sizeof bits);
    }
}

/* The upper half of an f32. */
static void convert_bf16(const unsigned char *raw, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, raw + 2 * i, sizeof h);
        const uint32_t bits = (uint32_t)h << 16;
        memcpy(dst + i, &bits, sizeof bits);
    }
}

static void convert_i8(const unsigned char *raw, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)(int8_t)raw[i];
}

/* ---- Checks ---- */

/* Names the first element of x, which begins at element first of t, that is not finite. */
static vitrt_status not_finite(const struct vt_checkpoint *c, const struct vt_tensor *t, uint64_t first, const float *x,
                               vitrt_error *err)
{
    size_t i = 0;
    while (vt_all_finite(x + i, 1))
        i++;
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    const uint64_t columns = column_count(t);
    return vt_err(err, VITRT_EFORMAT,
                  "%s: tensor %s: row %" PRIu64 ", column %" PRIu64 " is %s, expected finite numbers",
                  vt_checkpoint_source(c, t)->label, t->name, (first + i) / columns, (first + i) % columns,
                  bits & ~(VT_F32_EXPONENT | 0x80000000u) ? "NaN" : "infinite");
}

/* ---- Reading ---- */

/* Elements first .. first + count of the flattened tensor, without the scale. */
static vitrt_status read_elements(const struct vt_checkpoint *c, const struct vt_tensor *t, uint64_t first,
                                  uint64_t count, float *dst, void *scratch, size_t scratch_bytes, vitrt_error *err)
{
    const struct vt_source *source = vt_checkpoint_source(c, t);
    const size_t width = vt_dtype_bytes(t->dtype);
    const size_t most = scratch_bytes / width; /* for F32 too: a piece is checked while it is still in the cache */
    while (count) {
        const size_t n = count < most ? (size_t)count : most;
        void *raw = t->dtype == VT_F32 ? (void *)dst : scratch;
        const vitrt_status st = vt_source_read(source, t->offset + first * width, raw, n * width, err);
        if (st)
            return st;
        if (t->dtype == VT_F16)
            convert_f16(raw, dst, n);
        else if (t->dtype == VT_BF16)
            convert_bf16(raw, dst, n);
        else if (t->dtype == VT_I8)
            convert_i8(raw, dst, n);
        if (t->dtype != VT_I8 && !vt_all_finite(dst, n))
            return not_finite(c, t, first, dst, err);
        dst += n;
        first += n;
        count -= n;
    }
    return VITRT_OK;
}

/* Multiplies rows by their scales. A scale above FLT_MAX / 128 could overflow a product. */
static vitrt_status scale_rows(const struct vt_checkpoint *c, const struct vt_tensor *t, uint64_t row, uint64_t rows,
                               float *dst, void *scratch, size_t scratch_bytes, vitrt_error *err)
{
    float *scales = scratch;
    const size_t columns = (size_t)column_count(t);
    while (rows) {
        const size_t n = rows < scratch_bytes / sizeof *scales ? (size_t)rows : scratch_bytes / sizeof *scales;
        const vitrt_status st = read_elements(c, t->scale, row, n, scales, NULL, scratch_bytes, err);
        if (st)
            return st;
        for (size_t i = 0; i < n; i++) {
            if (!(scales[i] >= 0 && scales[i] <= FLT_MAX / 128))
                return vt_err(err, VITRT_EFORMAT,
                              "%s: tensor %s: the scale of row %" PRIu64 " is %s, expected 0 or more",
                              vt_checkpoint_source(c, t)->label, t->scale->name, row + i,
                              scales[i] < 0 ? "negative" : "far too large");
            for (size_t j = 0; j < columns; j++)
                dst[j] *= scales[i];
            dst += columns;
        }
        row += n;
        rows -= n;
    }
    return VITRT_OK;
}

static vitrt_status check_rows(const struct vt_checkpoint *c, const struct vt_tensor *t, uint64_t row, uint64_t rows,
                               vitrt_error *err)
{
    const uint64_t there = t->rank >= 2 ? t->shape[0] : t->count;
    if (rows <= there && row <= there - rows)
        return VITRT_OK;
    return vt_err(err, VITRT_EINVAL, "%s: tensor %s: rows %" PRIu64 " + %" PRIu64 " of %" PRIu64 " asked for",
                  vt_checkpoint_source(c, t)->label, t->name, row, rows, there);
}

vitrt_status vt_checkpoint_read_codes(const struct vt_checkpoint *c, const struct vt_tensor *t, uint64_t row,
                                      uint64_t rows, int8_t *dst, vitrt_error *err)
{
    const uint64_t columns = column_count(t);
    const vitrt_status st = check_rows(c, t, row, rows, err);
    if (st)
        return st;
    if (t->dtype != VT_I8)
        return vt_err(err, VITRT_EFORMAT, "%s: tensor %s is of type %s, expected I8", vt_checkpoint_source(c, t)->label,
                      t->name, t->dtype_name);
    return vt_source_read(vt_checkpoint_source(c, t), t->offset + row * columns, dst, (size_t)(rows * columns), err);
}

vitrt_status vt_checkpoint_read_rows(const struct vt_checkpoint *c, const struct vt_tensor *t, uint64_t row,
                                     uint64_t rows, float *dst, void *scratch, size_t scratch_bytes, vitrt_error *err)
{
    vitrt_status st = check_rows(c, t, row, rows, err);
    if (st)
        return st;
    if (scratch_bytes < VT_SCRATCH_BYTES)
        return vt_err(err, VITRT_EINVAL, "%s: tensor %s is to be read with %zu bytes of scratch, expected %zu",
                      vt_checkpoint_source(c, t)->label, t->name, scratch_bytes, VT_SCRATCH_BYTES);
    if (t->dtype == VT_OTHER)
        return vt_err(err, VITRT_EUNSUPPORTED, "%s: tensor %s is of type %s, expected F32, F16, BF16 or I8",
                      vt_checkpoint_source(c, t)->label, t->name, t->dtype_name);
    const uint64_t columns = column_count(t);
    st = read_elements(c, t, row * columns, rows * columns, dst, scratch, scratch_bytes, err);
    if (!st && t->scale)
        st = scale_rows(c, t, row, rows, dst, scratch, scratch_bytes, err);
    return st;
}
