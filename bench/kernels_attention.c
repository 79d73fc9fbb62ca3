/* SPDX-License-Identifier: Apache-2.0 */
/* Attention with its softmax, through the library's own code, on q, k and v as one layer yields them: [N, 3D]. */
#include "attention.h"
#include "bench_kernels.h"
#include "gemm.h"
#include "graph.h"
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

struct layer {
    const struct vt_kernels *kernels;
    enum vt_product product;
    size_t groups, tokens, heads, dim; /* groups: windows, or one image; dim of a head */
    bool biased, masked;               /* as in windows: a bias of each head, the mask of windows that are shifted */
    bool scored;                       /* with the sums of probabilities, as where tokens are reduced */
    char *qkv;
    float *bias, *mask, *sums; /* sums: [tokens, heads] */
    uint8_t *mask_rows;
    void *out, *scratch;
};

static struct vt_attention head_of(const struct layer *l, size_t i)
{
    const size_t bytes = bench_element_bytes(l->product), width = l->heads * l->dim;
    const size_t ld = vt_row_stride(3 * width, bytes), ldo = vt_row_stride(width, bytes);
    const size_t ld_bias = vt_bias_ld(l->tokens);
    const size_t row = i / l->heads * l->tokens, column = i % l->heads * l->dim;
    const char *q = l->qkv + (row * ld + column) * bytes;
    return (struct vt_attention){ .kernels = l->kernels,
                                  .product = l->product,
                                  .queries = l->tokens,
                                  .keys = l->tokens,
                                  .dim = l->dim,
                                  .dim_v = l->dim,
                                  .q = q,
                                  .k = q + width * bytes,
                                  .v = q + 2 * width * bytes,
                                  .ldq = ld,
                                  .ldk = ld,
                                  .ldv = ld,
                                  .scale = 0.125f,
                                  .bias = l->biased ? l->bias + i % l->heads * l->tokens * ld_bias : NULL,
                                  .ld_bias = ld_bias,
                                  .mask = l->masked ? l->mask : NULL,
                                  .ld_mask = l->tokens,
                                  .mask_rows = l->mask_rows,
                                  .out = (char *)l->out + (row * ldo + column) * bytes,
                                  .ldo = ldo,
                                  .to = l->product == VT_PRODUCT_BF16 ? VT_TO_BF16 : VT_TO_F32,
                                  .column_sums = l->scored ? l->sums + i % l->heads : NULL,
                                  .ld_scores = l->heads };
}

static void attend(const void *arg, size_t round)
{
    const struct layer *l = arg;
    const size_t count = l->groups * l->heads;
    (void)round;
    for (size_t i = 0; i < count; i++) {
        struct vt_attention a = head_of(l, i);
        const struct vt_attention next = head_of(l, i + 1 < count ? i + 1 : i);
        a.next = i + 1 < count ? &next : NULL;
        vt_attention_run(&a, 0, l->tokens, l->scratch);
    }
}

static float *random_values(size_t n)
{
    float *x = vt_bench_alloc(n * sizeof *x);
    uint32_t state = 3;
    vt_bench_noise(n, 1, &state, x);
    return x;
}

static void bench_layer(const struct bench *b, const char *name, struct layer l)
{
    const size_t width = l.heads * l.dim, rows = l.groups * l.tokens;
    l.kernels = &b->kernels;
    l.qkv = bench_operand(b, l.product, true, rows * vt_row_stride(3 * width, bench_element_bytes(l.product)));
    l.out = vt_bench_alloc(rows * vt_row_stride(width, bench_element_bytes(l.product)) * sizeof(float));
    l.bias = random_values(l.heads * l.tokens * vt_bias_ld(l.tokens));
    l.mask = random_values(VT_WINDOW_REGIONS * l.tokens);
    l.sums = vt_bench_alloc(l.tokens * l.heads * sizeof(float));
    l.mask_rows = vt_bench_alloc(l.tokens);
    for (size_t i = 0; i < l.tokens; i++)
        l.mask_rows[i] = (uint8_t)(i % VT_WINDOW_REGIONS);
    l.scratch = vt_bench_alloc(vt_attention_scratch_bytes(l.kernels, l.product, l.tokens, l.dim, l.dim, false));
    const struct bench_case c = {
        .run = attend, .arg = &l, .operations = 4.0 * (double)(rows * l.tokens * width), .product = l.product
    };
    const struct bench_result r = bench_compare(b, &c);
    char text[64];
    snprintf(text, sizeof text, "%zu x %zu tokens, %zu heads of %zu%s%s%s", l.groups, l.tokens, l.heads, l.dim,
             l.biased ? ", bias" : "", l.masked ? ", mask" : "", l.scored ? ", sums" : "");
    bench_print(name, text, &c, &r);
    printf("\n");
    free(l.qkv);
    free(l.out);
    free(l.bias);
    free(l.mask);
    free(l.sums);
    free(l.mask_rows);
    free(l.scratch);
}

void bench_attention(const struct bench *b, enum vt_product product)
{
    /* ViT with 224 and 384 pixels and with patches of 32, and one that reduces tokens; the first stage of Swin-T, as if
     * all windows were cut by a shift at the end, where only those at the edges are; that of Swin V2-T with windows of
     * 8x8 and of 16x16 */
    static const struct layer layers[] = {
        { .groups = 1, .tokens = 197, .heads = 6, .dim = 64 },
        { .groups = 1, .tokens = 197, .heads = 6, .dim = 64, .scored = true },
        { .groups = 1, .tokens = 577, .heads = 6, .dim = 64 },
        { .groups = 1, .tokens = 50, .heads = 12, .dim = 64 },
        { .groups = 64, .tokens = 49, .heads = 3, .dim = 32 },
        { .groups = 64, .tokens = 49, .heads = 3, .dim = 32, .biased = true },
        { .groups = 64, .tokens = 49, .heads = 3, .dim = 32, .biased = true, .masked = true },
        { .groups = 64, .tokens = 64, .heads = 3, .dim = 32, .biased = true },
        { .groups = 16, .tokens = 256, .heads = 3, .dim = 32, .biased = true }
    };
    char name[32];
    snprintf(name, sizeof name, "attention_%s", bench_product_name(product));
    for (size_t i = 0; i < sizeof layers / sizeof *layers && bench_wants(b, name); i++) {
        struct layer l = layers[i];
        l.product = product;
        bench_layer(b, name, l);
    }
}
