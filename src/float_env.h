/* SPDX-License-Identifier: Apache-2.0 */
/* The floating-point environment around our arithmetic: round to nearest, no flush to zero, whatever the host has set.
 * Every public call that computes enters it and leaves it; so does every task on a thread that is not ours. */
#ifndef VT_FLOAT_ENV_H
#define VT_FLOAT_ENV_H

#include <fenv.h>

typedef fenv_t vt_float_env;

static inline void vt_float_env_enter(vt_float_env *saved)
{
    fegetenv(saved);
    fesetenv(FE_DFL_ENV); /* on x86 this also clears FTZ and DAZ, on AArch64 FZ */
}

static inline void vt_float_env_leave(const vt_float_env *saved)
{
    fesetenv(saved);
}

#endif
