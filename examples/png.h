/* SPDX-License-Identifier: Apache-2.0 */
/* Writes PNG files. */
#ifndef PNG_H
#define PNG_H

#include <stdbool.h>
#include <stdint.h>

/* rgb: [height, width, 3]. False: the file could not be written; errno says why. */
bool png_write(const char *path, const uint8_t *rgb, uint32_t height, uint32_t width);

#endif
