/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks of matrix products of all types share: their elements as doubles, fills, the functions to go
 * through. */
#ifndef VT_CHECK_PRODUCT_H
#define VT_CHECK_PRODUCT_H

#include "check.h"

#ifdef VT_WITH_EVEX_TILE
#include "gemm_u8s8_evex.h"
#endif

/* ---- Elements ---- */

/* The operands of a product, and what has the type of its result: c and bias. */
enum operand { OPERAND_A, OPERAND_B, RESULT };

/* Of a and b. Those of results have 4 for every product. */
static inline size_t element_bytes(enum vt_product product)
{
    return product == VT_PRODUCT_F32 ? sizeof(float) : product == VT_PRODUCT_BF16 ? sizeof(vt_bf16) : 1;
}

static inline double element(enum vt_product product, enum operand operand, const void *x, size_t i)
{
    if (product == VT_PRODUCT_U8S8)
        return operand == RESULT      ? ((const int32_t *)x)[i]
               : operand == OPERAND_A ? ((const uint8_t *)x)[i]
                                      : ((const int8_t *)x)[i];
    if (product == VT_PRODUCT_BF16 && operand != RESULT)
        return (double)float_of_bits((uint32_t)((const vt_bf16 *)x)[i] << 16);
    return (double)((const float *)x)[i];
}

/* Bytes, of which these fills have those whose products exceed 16 bits most: all of one sign, and in turn. */
static inline int byte_of(enum fill fill, enum operand operand, size_t i, uint64_t random)
{
    const bool a = operand == OPERAND_A;
    switch (fill) {
    case FILL_TINY: return (int)(random % 2) - !a;
    case FILL_HUGE: return a ? UINT8_MAX : INT8_MIN;
    case FILL_ZEROS: return 0;
    case FILL_DENORMAL: return a ? UINT8_MAX : i % 2 ? INT8_MIN : INT8_MAX;
    case FILL_EQUAL: return a ? UINT8_MAX : INT8_MAX;
    default: return (int)(random % 256) + (a ? 0 : INT8_MIN);
    }
}

static inline void fill_elements(enum vt_product product, enum operand operand, enum fill fill, size_t n, void *x,
                                 uint64_t seed)
{
    if (product == VT_PRODUCT_F32 || (product == VT_PRODUCT_BF16 && operand == RESULT)) {
        fill_floats(fill, n, x, seed);
        return;
    }
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) {
        const uint64_t random = random_bits(&state);
        float number;
        if (product == VT_PRODUCT_BF16) {
            uint32_t bits;
            fill_floats(fill, 1, &number, fill == FILL_EQUAL ? seed : random);
            memcpy(&bits, &number, sizeof bits);
            ((vt_bf16 *)x)[i] = (vt_bf16)(bits >> 16);
        } else if (operand == RESULT) {
            ((int32_t *)x)[i] = (int32_t)(random % ((uint64_t)1 << 30)) - (1 << 29);
        } else {
            ((unsigned char *)x)[i] = (unsigned char)byte_of(fill, operand, i, random);
        }
    }
}

/* Equal bits of results; a NaN equals any NaN. */
static inline bool same_results(enum vt_product product, size_t n, const void *a, const void *b)
{
    return product == VT_PRODUCT_U8S8 ? memcmp(a, b, n * sizeof(int32_t)) == 0 : same_bits(n, a, b);
}

/* ---- Functions ---- */

static inline size_t panel_bytes(enum vt_product product, const struct vt_gemm_kernel *gemm, size_t k)
{
    return (k + gemm->kr - 1) / gemm->kr * gemm->kr * gemm->nr * element_bytes(product);
}

typedef void check_gemm_fn(enum vt_product product, const struct vt_gemm_kernel *gemm);

static struct {
    check_gemm_fn *check;
    const char *seen[32];
    size_t count;
} gemm_loop;

static inline void check_unless_seen(enum vt_product product, const struct vt_gemm_kernel *gemm)
{
    for (size_t i = 0; i < gemm_loop.count; i++)
        if (strcmp(gemm_loop.seen[i], gemm->name) == 0)
            return;
    assert_true(gemm_loop.count < sizeof gemm_loop.seen / sizeof gemm_loop.seen[0]);
    gemm_loop.seen[gemm_loop.count++] = gemm->name;
    gemm_loop.check(product, gemm);
}

static inline void check_products_of(const struct vt_kernels *kernels)
{
    for (enum vt_product product = 0; product < VT_PRODUCT_COUNT; product++)
        check_unless_seen(product, &kernels->gemm[product]);
}

/* Calls check for every tile that this CPU can run. */
static inline void for_each_gemm(check_gemm_fn *check)
{
    gemm_loop.check = check;
    gemm_loop.count = 0;
    for_each_bundle(check_products_of);
#ifdef VT_WITH_EVEX_TILE
    const struct vt_gemm_kernel evex = {
        vt_gemm_u8s8_6x16_evex,  vt_pack_rows_u8s8_16_evex, vt_pack_columns_u8s8_16_evex, 6, 16, 4,
        "vt_gemm_u8s8_6x16_evex"
    };
    if (vt_cpu_detect() & VT_CPU_AVX512VNNI)
        check_unless_seen(VT_PRODUCT_U8S8, &evex);
#endif
}

#endif
