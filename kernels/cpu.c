/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU detection. On x86, CPUID says which instructions there are and XGETBV which registers the operating system saves;
 * a bundle needs all the bits that are named below.
 */
#include "cpu.h"

#include <stddef.h>
#include <string.h>

/* Ascending; each mask includes those of the bundle's parents. */
static const struct {
    const char *name;
    unsigned mask;
} bundles[] = {
    { "ref", 0 },
#if VT_ISA_AVX2
    { "avx2", VT_CPU_AVX2 },
#endif
#if VT_ISA_AVXVNNI
    { "avxvnni", VT_CPU_AVX2 | VT_CPU_AVXVNNI },
#endif
#if VT_ISA_AVX512
    { "avx512", VT_CPU_AVX2 | VT_CPU_AVX512 },
#endif
#if VT_ISA_AVX512VNNI
    { "avx512vnni", VT_CPU_AVX2 | VT_CPU_AVX512 | VT_CPU_AVX512VNNI },
#endif
#if VT_ISA_AVX512BF16
    { "avx512bf16", VT_CPU_AVX2 | VT_CPU_AVX512 | VT_CPU_AVX512VNNI | VT_CPU_AVX512BF16 },
#endif
#if VT_ISA_NEON
    { "neon", VT_CPU_NEON },
#endif
};

enum { BUNDLES = sizeof bundles / sizeof bundles[0] };

#ifdef __x86_64__
#include <cpuid.h>

struct cpuid {
    unsigned eax, ebx, ecx, edx;
};

/* All zero where the CPU has no such leaf. */
static struct cpuid cpuid(unsigned leaf, unsigned subleaf)
{
    struct cpuid r = { 0 };
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

/* Which register sets the operating system saves. Only valid when CPUID says OSXSAVE. */
static unsigned xcr0(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int all(unsigned value, unsigned bits)
{
    return (value & bits) == bits;
}

static int has_avx2(struct cpuid leaf1, struct cpuid leaf7)
{
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29; /* leaf 1, ECX */
    const unsigned avx2 = 1u << 5;                                                      /* leaf 7, EBX */
    const unsigned xmm = 1u << 1, ymm = 1u << 2;                                        /* XCR0 */
    return all(leaf1.ecx, fma | osxsave | avx | f16c) && all(leaf7.ebx, avx2) && all(xcr0(), xmm | ymm);
}

/* Asked only where AVX2 is there, so that XGETBV is, too. */
static int has_avx512(struct cpuid leaf7)
{
    const unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31; /* leaf 7, EBX */
    const unsigned opmask = 1u << 5, zmm_low = 1u << 6, zmm_high = 1u << 7;   /* XCR0 */
    return all(leaf7.ebx, f | dq | bw | vl) && all(xcr0(), opmask | zmm_low | zmm_high);
}

unsigned vt_cpu_detect(void)
{
    const unsigned avx512vnni = 1u << 11;             /* leaf 7, ECX */
    const unsigned avxvnni = 1u << 4, bf16 = 1u << 5; /* leaf 7.1, EAX */
    const struct cpuid leaf1 = cpuid(1, 0), leaf7 = cpuid(7, 0);
    const struct cpuid leaf7_1 = leaf7.eax >= 1 ? cpuid(7, 1) : (struct cpuid){ 0 };
    unsigned mask = 0;
    if (!has_avx2(leaf1, leaf7))
        return mask;
    mask |= VT_CPU_AVX2;
    if (all(leaf7_1.eax, avxvnni))
        mask |= VT_CPU_AVXVNNI;
    if (!has_avx512(leaf7))
        return mask;
    mask |= VT_CPU_AVX512;
    if (all(leaf7.ecx, avx512vnni))
        mask |= VT_CPU_AVX512VNNI;
    if (all(leaf7_1.eax, bf16))
        mask |= VT_CPU_AVX512BF16;
    return mask;
}
#elif VT_ISA_NEON
unsigned vt_cpu_detect(void)
{
    return VT_CPU_NEON; /* part of the architecture's baseline */
}
#else
unsigned vt_cpu_detect(void)
{
    return 0;
}
#endif

int vt_cpu_from_name(const char *name, unsigned *mask)
{
    for (size_t i = 0; i < BUNDLES; i++) {
        if (strcmp(name, bundles[i].name) == 0) {
            *mask = bundles[i].mask;
            return 1;
        }
    }
    return 0;
}

const char *vt_cpu_bundle(unsigned mask)
{
    size_t best = 0;
    for (size_t i = 0; i < BUNDLES; i++)
        if ((mask & bundles[i].mask) == bundles[i].mask)
            best = i;
    return bundles[best].name;
}

const char *vt_cpu_names(void)
{
    return "ref"
#if VT_ISA_AVX2
           ", avx2"
#endif
#if VT_ISA_AVXVNNI
           ", avxvnni"
#endif
#if VT_ISA_AVX512
           ", avx512"
#endif
#if VT_ISA_AVX512VNNI
           ", avx512vnni"
#endif
#if VT_ISA_AVX512BF16
           ", avx512bf16"
#endif
#if VT_ISA_NEON
           ", neon"
#endif
        ;
}
