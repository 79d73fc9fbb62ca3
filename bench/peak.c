/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops are written in assembly: nothing can be left out, spilled or moved, and one file holds all instruction sets
 * without flags of its own. More chains than latency times instructions a cycle (4 x 2 on x86, 4 x 4 on AArch64) keep
 * the units busy. Their values stay normal numbers; what a multiplier consumes depends on the bits it gets.
 */
#include "peak.h"

#include "measure.h"
#include "os.h"

#include <stdatomic.h>

#define STEPS 40000

struct loop {
    enum vt_product product;
    unsigned needs;       /* CPU features */
    size_t multiply_adds; /* of a step */
    void (*run)(size_t steps);
};

#define TWELVE(M, operation, registers)                                                                                \
    M(operation, registers, 0)                                                                                         \
    M(operation, registers, 1) M(operation, registers, 2) M(operation, registers, 3) M(operation, registers, 4)        \
        M(operation, registers, 5) M(operation, registers, 6) M(operation, registers, 7) M(operation, registers, 8)    \
            M(operation, registers, 9) M(operation, registers, 10) M(operation, registers, 11)

#if VT_ISA_AVX2

#define SET(operation, registers, i)  "vbroadcastss %1, %%" registers #i "\n\t"
#define STEP(operation, registers, i) operation " %%" registers "15, %%" registers "14, %%" registers #i "\n\t"
/* Pairs of 16-bit integers: what u8 x s8 takes where there is no instruction for it. */
#define STEP_I16(operation, registers, i)                                                                              \
    "vpmaddwd %%" registers "15, %%" registers "14, %%" registers "13\n\t"                                             \
    "vpaddd %%" registers "13, %%" registers #i ", %%" registers #i "\n\t"

/* Twelve chains; a and b are the bits of 32 bits of the operands, which are repeated. */
#define X86_LOOP(name, step, operation, registers, a, b)                                                               \
    static void name(size_t steps)                                                                                     \
    {                                                                                                                  \
        const uint32_t x = a, y = b;                                                                                   \
        __asm__ volatile("vbroadcastss %1, %%" registers "14\n\tvbroadcastss %2, %%" registers                         \
                         "15\n\t" TWELVE(SET, , registers) "1:\n\t" TWELVE(step, operation,                            \
                                                                           registers) "dec %0\n\tjnz 1b\n\tvzeroupper" \
                         : "+r"(steps)                                                                                 \
                         : "m"(x), "m"(y)                                                                              \
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",    \
                           "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc");                                         \
    }

#define F32_FACTOR 0x3f7fbe77 /* 0.999f; with this factor and addend a chain goes to 1 */
#define F32_ADDEND 0x3a83126f /* 0.001f */
#define BF16_PAIR  0x3dcc3e99 /* 0.0996 and 0.299 */
#define I8_FOUR    0x15b3276d
#define I16_PAIR   0x1b37f12d

X86_LOOP(run_f32_avx2, STEP, "vfmadd213ps", "ymm", F32_FACTOR, F32_ADDEND)
X86_LOOP(run_u8s8_avx2, STEP_I16, , "ymm", I16_PAIR, I16_PAIR)
#if VT_ISA_AVXVNNI
X86_LOOP(run_u8s8_avxvnni, STEP, "%{vex%} vpdpbusd", "ymm", I8_FOUR, I8_FOUR)
#endif
#if VT_ISA_AVX512
X86_LOOP(run_f32_avx512, STEP, "vfmadd213ps", "zmm", F32_FACTOR, F32_ADDEND)
X86_LOOP(run_u8s8_avx512, STEP_I16, , "zmm", I16_PAIR, I16_PAIR)
#endif
#if VT_ISA_AVX512VNNI
X86_LOOP(run_u8s8_avx512vnni, STEP, "vpdpbusd", "zmm", I8_FOUR, I8_FOUR)
#endif
#if VT_ISA_AVX512BF16
X86_LOOP(run_bf16_avx512bf16, STEP, "vdpbf16ps", "zmm", BF16_PAIR, BF16_PAIR)
#endif

#elif VT_ISA_NEON

#define STEP_LOW(operation, registers, i)  operation " v" #i registers ", v30" registers ", v31" registers "\n\t"
#define STEP_HIGH(operation, registers, i) operation " v1" #i registers ", v30" registers ", v31" registers "\n\t"

static void run_f32_neon(size_t steps)
{
    /* v0 to v11, and v16 to v19 as well */
    __asm__ volatile("fmov v30.4s, #0.5\n\tfmov v31.4s, #0.25\n\t"
                     "1:\n\t" TWELVE(STEP_LOW, "fmla", ".4s") STEP_HIGH("fmla", ".4s", 6) STEP_HIGH("fmla", ".4s", 7)
                         STEP_HIGH("fmla", ".4s", 8) STEP_HIGH("fmla", ".4s", 9) "subs %0, %0, #1\n\tb.ne 1b"
                     : "+r"(steps)
                     :
                     : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v16", "v17", "v18",
                       "v19", "v30", "v31", "cc");
}

#endif

/* What the compiler makes of plain C for the oldest CPU of the architecture. */
static void run_f32_ref(size_t steps)
{
    enum { CHAINS = 64 };
    volatile float factor = 0.999f, addend = 0.001f; /* unknown to the compiler */
    const float a = factor, b = addend;
    float chain[CHAINS];
    for (size_t i = 0; i < CHAINS; i++)
        chain[i] = b;
    for (size_t s = 0; s < steps / 16; s++)
        for (size_t i = 0; i < CHAINS; i++)
            chain[i] = chain[i] * a + b;
    for (size_t i = 0; i < CHAINS; i++) {
        volatile float used = chain[i]; /* or the loop above would be left out */
        (void)used;
    }
}

/* Ascending, as kernels.inc. */
static const struct loop loops[] = {
    { VT_PRODUCT_F32, 0, 64 / 16, run_f32_ref },
#if VT_ISA_AVX2
    { VT_PRODUCT_F32, VT_CPU_AVX2, 12 * 8, run_f32_avx2 },
    { VT_PRODUCT_U8S8, VT_CPU_AVX2, 12 * 16, run_u8s8_avx2 },
#endif
#if VT_ISA_AVXVNNI
    { VT_PRODUCT_U8S8, VT_CPU_AVXVNNI, 12 * 32, run_u8s8_avxvnni },
#endif
#if VT_ISA_AVX512
    { VT_PRODUCT_F32, VT_CPU_AVX512, 12 * 16, run_f32_avx512 },
    { VT_PRODUCT_U8S8, VT_CPU_AVX512, 12 * 32, run_u8s8_avx512 },
#endif
#if VT_ISA_AVX512VNNI
    { VT_PRODUCT_U8S8, VT_CPU_AVX512VNNI, 12 * 64, run_u8s8_avx512vnni },
#endif
#if VT_ISA_AVX512BF16
    { VT_PRODUCT_BF16, VT_CPU_AVX512BF16, 12 * 32, run_bf16_avx512bf16 },
#endif
#if VT_ISA_NEON
    { VT_PRODUCT_F32, VT_CPU_NEON, 16 * 4, run_f32_neon },
#endif
};

static const struct loop *loop_of(enum vt_product product, unsigned cpu)
{
    const struct loop *best = NULL;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (loops[i].product == product && (loops[i].needs & cpu) == loops[i].needs)
            best = &loops[i];
    return best ? best : loop_of(VT_PRODUCT_F32, cpu);
}

/* ---- Threads ---- */

struct runner {
    const struct loop *loop;
    atomic_uint *missing; /* threads that have not come to the start yet */
    double rate;
};

static void run(void *arg)
{
    struct runner *r = arg;
    atomic_fetch_sub(r->missing, 1);
    while (atomic_load(r->missing))
        vt_relax();
    const double start = vt_bench_seconds();
    r->loop->run(STEPS);
    r->rate = 2e-9 * (double)(r->loop->multiply_adds * STEPS) / (vt_bench_seconds() - start);
}

double vt_bench_peak(enum vt_product product, unsigned cpu, unsigned threads)
{
    struct runner runners[VITRT_MAX_THREADS];
    vt_thread others[VITRT_MAX_THREADS];
    atomic_uint missing = threads;
    double sum = 0;
    for (unsigned i = 0; i < threads; i++)
        runners[i] = (struct runner){ .loop = loop_of(product, cpu), .missing = &missing };
    for (unsigned i = 1; i < threads; i++)
        if (!vt_thread_start(&others[i], run, &runners[i]))
            vt_bench_fail("thread %u of %u could not be started", i + 1, threads);
    run(&runners[0]);
    for (unsigned i = 1; i < threads; i++)
        vt_thread_join(others[i]);
    for (unsigned i = 0; i < threads; i++)
        sum += runners[i].rate;
    return sum;
}
