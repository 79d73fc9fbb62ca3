/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values: a status and one sentence. The callee that notices the problem fills the struct, callers only pass
 * it on. */
#ifndef VT_ERROR_H
#define VT_ERROR_H

#include "vitrt.h"

#if defined(__MINGW32__)
#define VT_PRINTF(f, a) __attribute__((format(gnu_printf, f, a))) /* knows %zu */
#elif defined(__GNUC__)
#define VT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define VT_PRINTF(f, a)
#endif

/* Fills err (may be NULL) with status and the formatted sentence, and returns status. Floating-point conversions are
 * not allowed in the format: their text depends on the locale. */
vitrt_status vt_err(vitrt_error *err, vitrt_status status, const char *format, ...) VT_PRINTF(3, 4);

/* Replaces control characters: text of hostile files reaches messages, and messages reach terminals. */
void vt_blank_controls(char *text);

/* VITRT_ENOMEM with a sentence that says how many bytes were wanted and for what. */
vitrt_status vt_err_memory(vitrt_error *err, size_t bytes, const char *what);

#endif
