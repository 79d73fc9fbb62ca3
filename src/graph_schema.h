/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a graph is written as JSON: one table for reading and writing says what stands there of each operation. For
 * people it is docs/graph.md. Whatever is added to the table makes a new version, and must have a default that files of
 * older ones mean.
 */
#ifndef VT_GRAPH_SCHEMA_H
#define VT_GRAPH_SCHEMA_H

#include "graph.h"

#define VT_GRAPH_VERSION 3u

/* Bounds on files. Nodes: 512 blocks of 32. */
#define VT_MAX_NODES    16384u
#define VT_MAX_OUTPUTS  4096u
#define VT_MAX_PATTERNS 256u
#define VT_MAX_COUNT    (UINT32_MAX / 2) /* of numbers that count */

extern const char *const vt_activation_names[VT_ACT_COUNT]; /* [VT_ACT_NONE]: "" */
extern const char *const vt_window_fit_names[3];

enum vt_attribute_kind {
    VT_ATTRIBUTE_NONE, /* ends the list */
    VT_ATTRIBUTE_COUNT,
    VT_ATTRIBUTE_SIDES,  /* [height, width] */
    VT_ATTRIBUTE_NUMBER, /* finite, at least 0 */
    VT_ATTRIBUTE_SIGNED, /* finite */
    VT_ATTRIBUTE_SHARE,  /* a double, over 0 and up to 1, which it is where the file does not say it */
    VT_ATTRIBUTE_FLAG,
    VT_ATTRIBUTE_CHOICE, /* one of names; "" is none of them */
    VT_ATTRIBUTE_WINDOWS /* index of a pattern */
};

/* A member of struct vt_node in the file. */
struct vt_attribute {
    const char *key;
    enum vt_attribute_kind kind;
    bool required;
    uint32_t usual; /* what counts, sides and numbers are where the file does not say it; flags are false */
    size_t offset;  /* of the member in struct vt_node */
    const char *const *names;
    size_t name_count;
};

enum vt_need { VT_ABSENT, VT_OPTIONAL, VT_REQUIRED };

/* A weight that a node may name. */
struct vt_weight_slot {
    enum vt_need need;
    enum vt_weight_form form;
};

#define VT_MAX_SLOTS      3
#define VT_ALL_SLOTS      (VT_MAX_SLOTS + 2 * VT_MAX_CODED) /* with the vectors of quantizers, which stand elsewhere */
#define VT_MAX_ATTRIBUTES 16
#define VT_QUANTIZE_KEY   "quantize"
#define VT_UNIT_KEY       "unit"

extern const char *const vt_slot_keys[VT_ALL_SLOTS]; /* "weight", "bias", "weight2", .. */

struct vt_op_schema {
    const char *name;
    enum vt_node_type type;
    uint32_t least_inputs, most_inputs;
    uint32_t whole; /* bit i: input i is a value with all of its columns */
    struct vt_weight_slot slots[VT_MAX_SLOTS];
    struct vt_attribute attributes[VT_MAX_ATTRIBUTES + 1];
};

extern const struct vt_op_schema vt_op_schemas[];
extern const size_t vt_op_schema_count;

/* The node's; NULL: nodes of this kind are not stored. */
const struct vt_op_schema *vt_schema_of(const struct vt_node *node);

/* The node's weight in a slot. */
vt_weight vt_slot_weight(const struct vt_node *node, int slot);

#endif
