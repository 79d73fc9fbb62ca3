/* SPDX-License-Identifier: Apache-2.0 */
/* CPU bundles: sets of instruction-set extensions that kernels are written for. */
#ifndef VT_CPU_H
#define VT_CPU_H

/* Bits of a feature mask. Each is set only when the CPU has every instruction of the bundle and the operating system saves its registers. */
#define VT_CPU_AVX2 (1u << 0) /* AVX2, FMA, F16C */

/* What this CPU has. Needs no initialisation; the same answer each time. */
unsigned vt_cpu_detect(void);

/* The mask that a bundle's name stands for: itself and its parents ("ref": 0). False: no such bundle on this architecture. */
int vt_cpu_from_name(const char *name, unsigned *mask);

/* "ref, avx2": the names on this architecture, for messages. */
const char *vt_cpu_names(void);

#endif
