/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of every kernel on one core, of products and attention through the library's own blocking, as shares of the
 * peak that is measured in the same rounds.
 *
 * With OpenBLAS in the build, it multiplies the same f32 matrices. It is only a fair rival with kernels for the CPU at
 * hand and one thread: OPENBLAS_NUM_THREADS=1, and on CPUs with AVX-512 OPENBLAS_CORETYPE=SkylakeX, because versions
 * older than the CPU fall back to AVX2.
 */
#include "bench_kernels.h"

#include "measure.h"
#include "peak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bench_wants(const struct bench *b, const char *name)
{
    return !b->only || strstr(name, b->only);
}

const char *bench_product_name(enum vt_product product)
{
    static const char *const names[VT_PRODUCT_COUNT] = { "f32", "bf16", "u8s8" };
    return names[product];
}

size_t bench_element_bytes(enum vt_product product)
{
    static const size_t bytes[VT_PRODUCT_COUNT] = { sizeof(float), sizeof(vt_bf16), 1 };
    return bytes[product];
}

void *bench_operand(const struct bench *b, enum vt_product product, bool first, size_t n)
{
    uint32_t state = first ? 1 : 2;
    float *x = vt_bench_alloc(n * sizeof *x);
    vt_bench_noise(n, 1, &state, x);
    if (product == VT_PRODUCT_F32)
        return x;
    void *y = vt_bench_alloc(n * bench_element_bytes(product));
    if (product == VT_PRODUCT_BF16)
        b->kernels.to_bf16(n, x, y);
    else
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)y)[i] = (uint8_t)(int8_t)(x[i] * 127);
    free(x);
    return y;
}

static double rate_of(void (*run)(const void *arg, size_t round), const struct bench_case *c, size_t round)
{
    const double start = vt_bench_seconds();
    run(c->arg, round);
    return c->operations * 1e-9 / (vt_bench_seconds() - start);
}

struct bench_result bench_compare(const struct bench *b, const struct bench_case *c)
{
    enum { LEAST_ROUNDS = 15, MOST_ROUNDS = 400 };
    const double budget = 0.2; /* seconds */
    double shares[MOST_ROUNDS], rivals[MOST_ROUNDS], best = 0, best_peak = 0;
    const double start = vt_bench_seconds();
    size_t n = 0;
    while (n < LEAST_ROUNDS || (n < MOST_ROUNDS && vt_bench_seconds() - start < budget)) {
        const double peak = vt_bench_peak(c->product, b->cpu, 1), rate = rate_of(c->run, c, n);
        best = fmax(best, rate);
        best_peak = fmax(best_peak, peak);
        shares[n] = rate / peak;
        rivals[n] = c->rival ? rate_of(c->rival, c, n) / peak : 0;
        n++;
    }
    return (struct bench_result){ .seconds = c->operations * 1e-9 / best,
                                  .share = vt_bench_median(shares, n),
                                  .best_share = best / best_peak,
                                  .rival_share = vt_bench_median(rivals, n) };
}

void bench_print(const char *name, const char *text, const struct bench_case *c, const struct bench_result *r)
{
    printf("%-16s %-42s %10.1f us  %7.1f G/s  %5.1f %% of peak (best %5.1f %%)", name, text, r->seconds * 1e6,
           c->operations / r->seconds * 1e-9, 100 * r->share, 100 * r->best_share);
}

/* ---- Options ---- */

static void cap(struct bench *b, const char *bundle)
{
    unsigned mask;
    if (!vt_cpu_from_name(bundle, &mask))
        vt_bench_fail("there is no bundle \"%s\"; this build has %s", bundle, vt_cpu_names());
    if ((mask & vt_cpu_detect()) != mask)
        vt_bench_fail("this CPU does not have the bundle \"%s\"", bundle);
    b->cpu = mask;
}

static void print_help(void)
{
    printf("usage: bench_kernels [OPTION]...\n\n"
           "  --only=TEXT    lines whose name contains TEXT, such as linear_bf16, attention or gelu\n"
           "  --bundle=NAME  kernels for a lesser CPU, as the environment variable VITRT_CPU: %s\n"
           "  --cold         weights that come from memory at each call\n"
           "  --fused        linear layers with the activations and residuals that models give them\n",
           vt_cpu_names());
}

static bool parse(int argc, char **argv, struct bench *b)
{
    const char *bundle = getenv("VITRT_CPU");
    *b = (struct bench){ .cpu = vt_cpu_detect() };
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--only=", 7))
            b->only = argv[i] + 7;
        else if (!strncmp(argv[i], "--bundle=", 9))
            bundle = argv[i] + 9;
        else if (!strcmp(argv[i], "--cold"))
            b->cold = true;
        else if (!strcmp(argv[i], "--fused"))
            b->fused = true;
        else if (!strcmp(argv[i], "-h"))
            return false;
        else
            vt_bench_fail("there is no option \"%s\"; -h lists them", argv[i]);
    }
    if (bundle && *bundle)
        cap(b, bundle);
    vt_kernels_init(&b->kernels, b->cpu);
    return true;
}

static void print_what_runs(const struct bench *b)
{
    printf("bundle %s\n", b->kernels.bundle);
    for (int product = 0; product < VT_PRODUCT_COUNT; product++) {
        double peak = 0;
        for (int i = 0; i < 50; i++)
            peak = fmax(peak, vt_bench_peak((enum vt_product)product, b->cpu, 1));
        printf("%-5s peak %6.1f G/s, tile %s\n", bench_product_name((enum vt_product)product), peak,
               b->kernels.gemm[product].tile ? b->kernels.gemm[product].name : "none");
    }
}

int main(int argc, char **argv)
{
    struct bench b;
    if (!parse(argc, argv, &b)) {
        print_help();
        return 0;
    }
    print_what_runs(&b);
    bench_rows(&b);
    bench_integer(&b);
    bench_depthwise(&b);
    for (int product = 0; product < VT_PRODUCT_COUNT; product++)
        if (b.kernels.gemm[product].tile) {
            bench_linear(&b, (enum vt_product)product);
            if (product != VT_PRODUCT_U8S8) /* attention multiplies floats */
                bench_attention(&b, (enum vt_product)product);
        }
    return 0;
}
