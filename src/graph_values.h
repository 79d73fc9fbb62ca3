/* SPDX-License-Identifier: Apache-2.0 */
/* Values out of a graph's JSON, checked. What is wrong goes to the graph, with a sentence that names the node. */
#ifndef VT_GRAPH_VALUES_H
#define VT_GRAPH_VALUES_H

#include "graph.h"

struct vt_value_reader {
    struct vt_graph *g;
    char node[VT_NAME_SIZE]; /* the name of the node being read; "": something else of the graph */
};

/* "node NAME: WHAT is VALUE, expected EXPECTED" */
void vt_bad_value(struct vt_value_reader *r, const char *what, vt_json v, const char *expected);

/* A string of 1 to VT_NAME_SIZE - 1 bytes; false: it is not, or there is no memory. */
bool vt_read_name(struct vt_value_reader *r, const char *what, vt_json v, char name[VT_NAME_SIZE]);
/* A string that is cut at the end of a character if need be; buf is left as it is where it is missing. */
void vt_read_text(struct vt_value_reader *r, const char *what, vt_json v, char *buf, size_t size);
void vt_read_count(struct vt_value_reader *r, const char *what, vt_json v, uint32_t *count);
void vt_read_sides(struct vt_value_reader *r, const char *what, vt_json v, uint32_t sides[2]);
void vt_read_number(struct vt_value_reader *r, const char *what, vt_json v, float least, float *number);
void vt_read_share(struct vt_value_reader *r, const char *what, vt_json v, double *share);
void vt_read_flag(struct vt_value_reader *r, const char *what, vt_json v, bool *flag);
/* The index of one of the names, "" being none of them. */
void vt_read_choice(struct vt_value_reader *r, const char *what, vt_json v, const char *const *names, size_t count,
                    int *choice);
/* Complains of members that nobody reads: a slip of the pen would otherwise be a default. */
bool vt_only_known(struct vt_value_reader *r, vt_json object, const char *const *known, size_t count);

#endif
