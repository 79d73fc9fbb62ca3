/* SPDX-License-Identifier: Apache-2.0 */
/* A saved model made by hand: a graph's text and a fixed set of small tensors for it to use. */
#ifndef VT_TESTS_TINY_FILE_H
#define VT_TESTS_TINY_FILE_H

#include <stddef.h>

/* The bytes of a safetensors file with that graph, and that preprocessor_config.json if it is not NULL; free them with
 * free. NULL: no memory. The tensors are listed in tiny_file.c; each is named after its shape. */
unsigned char *tiny_file(const char *graph, size_t size, const char *preprocessor, size_t *file_size);

#endif
