/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU bundles: sets of instruction-set extensions that kernels are written for. A build knows "ref" and the bundles
 * whose files it compiles: it defines VT_ISA_<BUNDLE> as 1 for each of them, such as VT_ISA_AVX2.
 */
#ifndef VT_CPU_H
#define VT_CPU_H

/* Bits of a feature mask. Each is set only when the CPU has every instruction of the bundle and the operating system
 * saves its registers. */
#define VT_CPU_AVX2       (1u << 0) /* AVX2, FMA, F16C */
#define VT_CPU_AVXVNNI    (1u << 1) /* AVX-VNNI: u8 x s8 products in 256-bit registers, without AVX-512 */
#define VT_CPU_AVX512     (1u << 2) /* AVX-512 F, BW, DQ, VL */
#define VT_CPU_AVX512VNNI (1u << 3)
#define VT_CPU_AVX512BF16 (1u << 4)
#define VT_CPU_NEON       (1u << 5) /* Advanced SIMD: every AArch64 CPU */

/* What this CPU has, whether this build has kernels for it or not. Needs no initialisation; the same answer each time;
 * 0 means "ref" only. */
unsigned vt_cpu_detect(void);

/* The mask that a bundle's name stands for: itself and its parents ("ref": 0). Returns 0 when this build has no such
 * bundle. */
int vt_cpu_from_name(const char *name, unsigned *mask);

/* The name of the best bundle that is wholly in the mask. */
const char *vt_cpu_bundle(unsigned mask);

/* "ref, avx2": the names of this build's bundles in ascending order, for messages. */
const char *vt_cpu_names(void);

#endif
