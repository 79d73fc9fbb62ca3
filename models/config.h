/* SPDX-License-Identifier: Apache-2.0 */
/* Members of config.json, which is untrusted: values within bounds, errors that name the member, what it is and what
 * was expected. A member that is missing or null leaves the value that the caller says it then has. */
#ifndef VT_MODELS_CONFIG_H
#define VT_MODELS_CONFIG_H

#include "graph.h"

#define VT_MAX_STAGES 16u
#define VT_MAX_IMAGE  65536u     /* side of an image, and of a patch before the tensors are seen */
#define VT_MAX_COUNT  (1u << 24) /* of anything else */

/* A member and where it stands: errors go to the graph. */
struct vt_member {
    struct vt_graph *g;
    const char *object; /* that it is in: " of \"model_args\"", or "" for the file */
    const char *key;
    vt_json value;
};

struct vt_member vt_member_of(struct vt_graph *g, vt_json config, const char *key);
bool vt_member_missing(const struct vt_member *m);
/* Fails: the member is what it is, expected what the format says. */
void vt_member_fail(const struct vt_member *m, vitrt_status status, const char *expected, ...) VT_PRINTF(3, 4);

/* An integer from least to most. */
uint32_t vt_member_count(struct vt_member m, uint32_t missing, uint32_t least, uint32_t most);
double vt_member_number(struct vt_member m, double missing, double least, double most);
bool vt_member_bool(struct vt_member m, bool missing);

/* One integer from 1 to most, or [height, width]. */
void vt_member_size(struct vt_member m, uint32_t missing, uint32_t most, uint32_t size[2]);

/* One of several strings. */
struct vt_choice {
    const char *name;
    int value;
};
int vt_member_choice(struct vt_member m, const struct vt_choice *choices, size_t count, int missing);

/* How many stages a list tells of: 1 to VT_MAX_STAGES. */
uint32_t vt_member_stages(struct vt_member m, uint32_t missing);
/* Element `stage` of a list that has one for each of `stages`; a missing list is one of missing elements. */
struct vt_member vt_member_at(struct vt_member m, uint32_t stage, uint32_t stages);

#endif
