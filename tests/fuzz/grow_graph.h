/* SPDX-License-Identifier: Apache-2.0 */
/* Makes graphs out of bytes, most of which are valid: text that is changed at random hardly ever is. */
#ifndef VT_FUZZ_GROW_GRAPH_H
#define VT_FUZZ_GROW_GRAPH_H

#include <stddef.h>
#include <stdint.h>

/* Writes a graph over the tensors of tiny_file.c for inputs of 8 x 8; returns its length, less than room. */
size_t grow_graph(const uint8_t *data, size_t size, char *text, size_t room);

#endif
