/* SPDX-License-Identifier: Apache-2.0 */
/* A progress bar on stderr, for programs that work through many images. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Whether somebody sees it: stderr is a terminal. */
bool progress_wanted(void);

/* done of total what ("images"); total > 0. */
void progress_show(size_t done, size_t total, const char *what);
void progress_clear(void);

#endif
