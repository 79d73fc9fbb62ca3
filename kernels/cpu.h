/* SPDX-License-Identifier: Apache-2.0 */
/* CPU bundles: sets of instruction-set extensions that kernels are written for. */
#ifndef VT_CPU_H
#define VT_CPU_H

#if defined(__x86_64__) || defined(_M_X64)
#define VT_X86_64 1
#else
#define VT_X86_64 0
#endif

/* Bits of a feature mask. Each is set only when the CPU has every instruction of the bundle and the operating system saves its registers. */
#define VT_CPU_AVX2 (1u << 0) /* AVX2, FMA, F16C */

/* What this CPU has. Needs no initialisation; the same answer each time; 0 means "ref" only. */
unsigned vt_cpu_detect(void);

/* The mask that a bundle's name stands for: itself and its parents ("ref": 0). 0: no such bundle on this architecture, *mask untouched. */
int vt_cpu_from_name(const char *name, unsigned *mask);

/* The name of the best bundle that is wholly in the mask. */
const char *vt_cpu_bundle(unsigned mask);

/* "ref, avx2": the names on this architecture in ascending order, for messages. */
const char *vt_cpu_names(void);

#endif
