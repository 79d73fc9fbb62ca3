/* SPDX-License-Identifier: Apache-2.0 */
/* Linear layers of ViT and Swin through the library's blocking, f32 beside OpenBLAS. */
#include "bench_kernels.h"
#include "gemm.h"
#include "measure.h"
#include "os.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef VT_WITH_BLAS
#include <cblas.h>
#endif

/* ---- One layer ---- */

enum role { QKV, PROJ, FC1, FC2, MERGING };

struct layer {
    size_t m, k, n;
    enum role role;
    struct vt_gemm gemm; /* with the first copy of the weights */
    struct vt_gemm_split split;
    size_t copies, panel_bytes; /* copies of the weights, used in turn */
    void *a, *w, *c;
    char *panels;
    float *bias, *scale, *residual;
};

static void multiply(const void *arg, size_t round)
{
    const struct layer *l = arg;
    struct vt_gemm g = l->gemm;
    g.panels = l->panels + round % l->copies * l->panel_bytes;
    for (size_t i = 0; i < l->split.row_blocks * l->split.panel_groups; i++)
        vt_gemm_piece(&g, &l->split, i);
}

#ifdef VT_WITH_BLAS
static void multiply_blas(const void *arg, size_t round)
{
    const struct layer *l = arg;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)l->m, (int)l->n, (int)l->k, 1.0f, l->a, (int)l->gemm.lda,
                (const float *)l->w + round % l->copies * l->n * l->k, (int)l->k, 0.0f, l->c,
                (int)l->gemm.epilogue.ldc);
}
static void (*const rival)(const void *arg, size_t round) = multiply_blas;
#else
static void (*const rival)(const void *arg, size_t round) = NULL;
#endif

/* Weights are [n, k], as checkpoints have them. */
static void pack(const struct bench *b, struct layer *l)
{
    const enum vt_product product = l->gemm.product;
    const struct vt_gemm_kernel *kernel = &b->kernels.gemm[product];
    const size_t bytes = bench_element_bytes(product), panel_k = (l->k + kernel->kr - 1) / kernel->kr * kernel->kr;
    l->panel_bytes = (l->n + kernel->nr - 1) / kernel->nr * kernel->nr * panel_k * bytes;
    l->copies = 1 + (b->cold ? ((size_t)96 << 20) / l->panel_bytes : 0);
    l->w = bench_operand(b, product, false, l->copies * l->n * l->k);
    l->panels = vt_bench_alloc(l->copies * l->panel_bytes);
    for (size_t copy = 0; copy < l->copies; copy++)
        for (size_t j = 0; j < l->n; j += kernel->nr)
            kernel->pack_rows(l->n - j < kernel->nr ? l->n - j : kernel->nr, l->k,
                              (const char *)l->w + (copy * l->n + j) * l->k * bytes, l->k,
                              l->panels + copy * l->panel_bytes + j * panel_k * bytes);
}

/* What models fuse into the products: GELU, residuals, the conversion to what the next product reads, and of integers
 * the one to floats. */
static void fuse(struct layer *l)
{
    struct vt_epilogue *e = &l->gemm.epilogue;
    if (l->role == FC1)
        l->gemm.activation = VT_ACT_GELU;
    if (l->role == PROJ || l->role == FC2) {
        e->residual = l->residual;
        e->ldr = e->ldc;
    }
    if (l->gemm.product == VT_PRODUCT_BF16 && (l->role == QKV || l->role == FC1))
        e->to = VT_TO_BF16;
    if (l->gemm.product == VT_PRODUCT_U8S8) {
        e->sum_scale = l->scale;
        e->sum_bias = l->bias;
        e->to = l->role == FC1 || l->role == QKV ? VT_TO_U8 : VT_TO_F32;
        e->highest = UINT8_MAX;
        if (l->role == FC1) { /* what the next product's quantizer is folded into */
            e->scale = l->scale;
            e->residual = l->bias;
        }
    }
}

static struct layer layer_new(const struct bench *b, enum vt_product product, size_t m, size_t k, size_t n,
                              enum role role)
{
    const size_t lda = vt_row_stride(k, bench_element_bytes(product)), ldc = vt_row_stride(n, sizeof(float));
    struct layer l = { .m = m, .k = k, .n = n, .role = role };
    l.a = bench_operand(b, product, true, m * lda);
    l.c = bench_operand(b, VT_PRODUCT_F32, true, m * ldc);
    l.bias = bench_operand(b, VT_PRODUCT_F32, true, n + VT_MAX_TILE); /* a tile reads its whole width */
    l.scale = bench_operand(b, VT_PRODUCT_F32, true, n);
    l.residual = bench_operand(b, VT_PRODUCT_F32, true, m * ldc);
    l.gemm = (struct vt_gemm){ .kernels = &b->kernels,
                               .product = product,
                               .l2_bytes = vt_l2_cache_bytes(),
                               .m = m,
                               .n = n,
                               .k = k,
                               .a = l.a,
                               .lda = lda,
                               .bias = l.bias,
                               .epilogue = { .c = l.c, .ldc = ldc } };
    pack(b, &l);
    if (b->fused)
        fuse(&l);
    l.split = vt_gemm_split(&l.gemm, 1);
    return l;
}

static void layer_free(struct layer *l)
{
    free(l->a);
    free(l->w);
    free(l->c);
    free(l->panels);
    free(l->bias);
    free(l->scale);
    free(l->residual);
}

/* ---- All of them ---- */

enum { MOST_LAYERS = 128 };

struct group {
    double medians[MOST_LAYERS], bests[MOST_LAYERS]; /* shares of the peak */
    size_t count;
};

/* Large layers take the bulk of a model's time; those with few rows or a short k have less work for each tile to be set
 * up for. */
struct summary {
    struct group large, small;
    double against_rival[MOST_LAYERS];
    size_t count;
};

static void join(struct group *g, const struct bench_result *r)
{
    g->medians[g->count] = r->share;
    g->bests[g->count++] = r->best_share;
}

static void bench_layer(const struct bench *b, enum vt_product product, size_t m, size_t k, size_t n, enum role role,
                        struct summary *summary)
{
    static const char *const roles[] = { "qkv", "proj", "fc1", "fc2", "merging" };
    struct layer l = layer_new(b, product, m, k, n, role);
    const struct bench_case c = { .run = multiply,
                                  .rival = product == VT_PRODUCT_F32 ? rival : NULL,
                                  .arg = &l,
                                  .operations = 2.0 * (double)m * (double)n * (double)k,
                                  .product = product };
    const struct bench_result r = bench_compare(b, &c);
    char name[32], text[48];
    snprintf(name, sizeof name, "linear_%s", bench_product_name(product));
    snprintf(text, sizeof text, "%4zu x %4zu x %4zu %s", m, k, n, roles[role]);
    bench_print(name, text, &c, &r);
    if (c.rival)
        printf("  OpenBLAS %5.1f %%", 100 * r.rival_share);
    printf("\n");
    join(m >= 100 && k >= 192 ? &summary->large : &summary->small, &r);
    summary->against_rival[summary->count++] = r.share / r.rival_share;
    layer_free(&l);
}

static void print_group(const char *what, struct group *g)
{
    const double median = vt_bench_median(g->medians, g->count), best = vt_bench_median(g->bests, g->count); /* sorts */
    printf("  %s: of %zu shapes least %.1f %%, median %.1f %% of peak; best rounds %.1f %%, %.1f %%\n", what, g->count,
           100 * g->medians[0], 100 * median, 100 * g->bests[0], 100 * best);
}

static void print_summary(enum vt_product product, struct summary *s)
{
    printf("linear_%s in short:\n", bench_product_name(product));
    print_group("M >= 100 and K >= 192", &s->large);
    print_group("M <  100 or  K <  192", &s->small);
    const double against_rival = vt_bench_median(s->against_rival, s->count);
    if (product == VT_PRODUCT_F32 && rival)
        printf("  speed against OpenBLAS: median %.2f times, least %.2f times\n", against_rival, s->against_rival[0]);
}

static void print_blas_note(const struct bench *b)
{
    const char *core = getenv("OPENBLAS_CORETYPE"), *threads = getenv("OPENBLAS_NUM_THREADS");
    if (!rival)
        printf("note: built without OpenBLAS\n");
    else if (!threads || !core)
        printf("note: for a fair rival, set OPENBLAS_NUM_THREADS=1%s\n",
               b->cpu & VT_CPU_AVX512 ? " and OPENBLAS_CORETYPE=SkylakeX" : "");
}

void bench_linear(const struct bench *b, enum vt_product product)
{
    /* Rows and width of the blocks: ViT-Ti, S, B with patches of 16, 32 and 8; the stages of Swin-T and S, and of B. */
    static const size_t blocks[][2] = { { 197, 192 },  { 785, 192 }, { 50, 384 },  { 197, 384 },
                                        { 785, 384 },  { 50, 768 },  { 197, 768 }, { 785, 768 },
                                        { 3136, 96 },  { 784, 192 }, { 196, 384 }, { 49, 768 },
                                        { 3136, 128 }, { 784, 256 }, { 196, 512 }, { 49, 1024 } };
    static const size_t mergings[][2] = { { 784, 192 }, { 196, 384 }, { 49, 768 },
                                          { 784, 256 }, { 196, 512 }, { 49, 1024 } }; /* rows and width behind them */
    char name[32];
    snprintf(name, sizeof name, "linear_%s", bench_product_name(product));
    if (!bench_wants(b, name))
        return;
    if (product == VT_PRODUCT_F32)
        print_blas_note(b);
    struct summary s = { 0 };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        const size_t m = blocks[i][0], d = blocks[i][1];
        bench_layer(b, product, m, d, 3 * d, QKV, &s);
        bench_layer(b, product, m, d, d, PROJ, &s);
        bench_layer(b, product, m, d, 4 * d, FC1, &s);
        bench_layer(b, product, m, 4 * d, d, FC2, &s);
    }
    for (size_t i = 0; i < sizeof mergings / sizeof *mergings; i++)
        bench_layer(b, product, mergings[i][0], 2 * mergings[i][1], mergings[i][1], MERGING, &s);
    print_summary(product, &s);
}
