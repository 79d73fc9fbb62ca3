/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph: what a model computes, at the level of a paper's figure.
 *
 * A node yields one value: for every image some rows (tokens) of `columns` numbers. Activations are token-major,
 * channels last; a feature map is rows in raster order behind `prefix` rows (class and register tokens). How many rows
 * there are depends on the input size and is worked out when a session is planned; graphs do not know it. Nodes read
 * views, column ranges of a value, so that q, k and v of one product need no copies.
 *
 * Families build graphs through the calls below. Errors stick: after the first one every call does nothing and returns
 * VT_NO_VALUE, so that a family reads like the paper and checks once at the end.
 */
#ifndef VT_GRAPH_H
#define VT_GRAPH_H

#include "checkpoint.h"
#include "kernels.h"
#include "windows.h"

#include <stdbool.h>

typedef int32_t vt_value;  /* index of the node that yields it */
typedef int32_t vt_weight; /* index into the graph's weights */
typedef int32_t vt_order;  /* index into the graph's window patterns: an order of rows */

#define VT_NO_VALUE   (-1)
#define VT_NO_WEIGHT  (-1)
#define VT_RASTER     (-1) /* the order of a map's rows that is no pattern's */
#define VT_MAX_INPUTS 6
#define VT_MAX_PARTS  4
#define VT_MAP_COLUMNS 4     /* of a token map: the 32-bit numbers of an entry */
#define VT_MAX_CODED  3      /* inputs that a product multiplies */
#define VT_MAX_TERMS  65000u /* of a sum of products of codes, which 32 bits hold exactly; of a score, half as many */
#define VT_NAME_SIZE  64
#define VT_MAX_SAMPLES (1u << 20) /* of tokens */
#define VT_MAX_ROUNDS  1000u      /* of votes */
#define VT_USUAL_CONTEXT 5u /* of selections by "unsure": DToP's */
#define VT_MAX_SIDE   65536u /* of kernels, strides, paddings, blocks and grids */

/* Of values that have more columns than what they read, so that a chain of a few nodes does not grow beyond measure. */
#define VT_MAX_COLUMNS (1u << 20)

/* ---- Weights ---- */

enum vt_weight_form {
    VT_WEIGHT_MATRIX, /* [out, in] */
    VT_WEIGHT_CONV,   /* stored [out, in / groups, kh, kw], used as [out, kh * kw * in / groups]: channels last */
    VT_WEIGHT_VECTOR, /* [columns]: bias, gamma, beta, LayerScale */
    VT_WEIGHT_ROWS    /* [rows, columns]: tokens and position tables, used as they are */
};

/* The rows of one tensor; NULL: that many rows of zeros. */
struct vt_weight_part {
    const struct vt_tensor *tensor;
    uint64_t rows;
    bool whole; /* the file's first extent is not the number of rows, as for [1, tokens, width]: can only be read as a
                   whole */
};

/* What is computed from the stored numbers when a weight is read. s below is gamma / sqrt(variance + eps). */
enum vt_fold {
    VT_FOLD_NONE,
    VT_FOLD_NORM_SCALE, /* batch norm after a product: rows times s */
    VT_FOLD_NORM_SHIFT, /* and the bias b, which may be zeros, as beta + (b - mean) * s */
    VT_FOLD_LOGIT_SCALE /* exp(min(x, ln 100)): SwinV2 stores the logarithm (Liu et al. 2022, arXiv:2111.09883, 3.2) */
};

/* The tensors of a batch norm, each [rows]. */
struct vt_batch_norm {
    const struct vt_tensor *gamma, *beta, *mean, *variance;
    float eps;
};

/* Parts one below the other: q, k and v of three tensors are one matrix. */
struct vt_graph_weight {
    char name[VT_NAME_SIZE]; /* of its first tensor, for messages */
    enum vt_weight_form form;
    uint64_t rows, columns; /* VECTOR: rows is its length, columns 1 */
    uint32_t kernel[2];     /* CONV: height, width, else 1 */
    uint32_t groups;        /* CONV: rows are that many groups, one for each group of input channels; else 1 */
    enum vt_fold fold;
    struct vt_batch_norm norm; /* of VT_FOLD_NORM_... */
    uint32_t part_count;
    struct vt_weight_part parts[VT_MAX_PARTS];
    /* The scales [columns] of the codes that it is multiplied with, which the stored numbers have been multiplied by;
     * NULL: none. */
    const struct vt_tensor *absorbed;
};

/* ---- Codes ---- */

/*
 * How column c of an input becomes whole numbers from 0 to 2^bits - 1, and what they stand for:
 * code = clamp(round(x / scale[c] + zero[c])), (code - zero[c]) * scale[c]. A layer's weight is stored times the scales
 * where these are a vector, so that its integer products need no others: RepQ-ViT's reparameterisation (Li et al. 2023,
 * arXiv:2212.08254, eq. 6 to 9) with equal codes, and without a change to what stands before.
 */
struct vt_operand_quantizer {
    uint32_t bits;           /* 2 to 8; 0: the input stays as it is */
    float scale, zero;       /* of all columns, where there are no vectors */
    vt_weight scales, zeros; /* both VECTOR [columns], or VT_NO_WEIGHT */
};

/* ---- Nodes ---- */

/* Of products without quantizers in a quantized model. */
enum vt_float_product { VT_FLOAT_PRODUCT_F32, VT_FLOAT_PRODUCT_BF16, VT_FLOAT_PRODUCT_COUNT };

enum vt_node_type {
    VT_NODE_INPUT,  /* pixels: rows of the image in raster order */
    VT_NODE_CONV2D, /* of in[0]'s map; rows before the map pass unchanged, which only depthwise ones can */
    VT_NODE_LINEAR,
    VT_NODE_LAYER_NORM, /* over every group of columns / groups */
    VT_NODE_L2_NORM,    /* every group of columns / groups divided by its length, times weight[group] if there is one */
    VT_NODE_ATTENTION,  /* in: q, k, v, then a relative bias or nothing, then the logits of a gate or nothing; rows in
                           the order of windows attend within each window, all others within the image; last, if
                           there is one, a number for each key that is added to its scores behind the scale */
    VT_NODE_ATTENTION_SCORES, /* in[0]: an attention, which yields this value beside its own */
    VT_NODE_ACTIVATION,
    VT_NODE_ADD,    /* in[0] + in[1] */
    VT_NODE_MUL,    /* in[0] * in[1], or in[0] * weight (LayerScale) without a second input */
    VT_NODE_POOL,   /* mean or sum of the rows from first_row on, or of row_count of them if there are more, weighted by
                       in[1] if it is there: one row, or spread over all rows of in[0] */
    VT_NODE_POOL2D, /* largest or mean value in windows of in[0], a map without prefix; what lies outside does not
                       count */
    VT_NODE_SLICE,  /* row_count rows from first_row on; row_count 0: all of them, with the map */
    VT_NODE_TOKENS, /* weight's rows for every image */
    VT_NODE_CONCAT, /* in[0] | in[1], columns side by side */
    VT_NODE_EMBED,  /* weight's rows, then in[0]'s; plus the positions in[1] on the first position_prefix and all of
                       in[0]'s rows */
    VT_NODE_HEAD_COMBINE,   /* mean of in[0] and in[1] */
    VT_NODE_CONVERT,        /* in[0] in another element type, or rounded to what its codes stand for: put in by
                             vt_pass_precision, not by families */
    VT_NODE_WINDOWS,        /* a map's rows in the order of windows, zeros where windows stick out of it */
    VT_NODE_UNWINDOWS,      /* rows in the order of windows back in the map's */
    VT_NODE_SPACE_TO_DEPTH, /* block[0] x block[1] rows of a map side by side, the rows of the first column first; zeros
                               where blocks stick out of it */
    VT_NODE_POSITIONS,      /* plan-time constant: a table of positions resized to in[0]'s map, of which only the shape
                              is read */
    VT_NODE_RELATIVE_BIAS,  /* plan-time constant: what attention in windows over in[0]'s map adds to its scores; only
                              the shape of in[0] is read */
    VT_NODE_TOKEN_SCORE, /* a number for each row of in[0] */
    VT_NODE_SELECT,      /* the token map (token_map.h) of in[0]'s rows: no rows of numbers */
    VT_NODE_APPLY,       /* in[0]'s rows as the map in[1] has it; each image has a number of its own of these */
    VT_NODE_SCATTER, /* back: the rows that the map in[1] is made for, each being the row of in[0] that it went to, or
                        else its row of in[2], or zeros */
    VT_NODE_UPSAMPLE,    /* in[0], a map without prefix, resized to one `factor` as large, or to the input's size */
    VT_NODE_ARGMAX,      /* of each row the number of its greatest column, the first of equal ones */
    VT_NODE_TYPE_COUNT
};

/* What VT_NODE_ATTENTION_SCORES gives of the probabilities of each head: one column for each head, one row for each
 * key. */
enum vt_attention_scores {
    VT_SCORES_FIRST_ROW,   /* of the first query, such as a class token */
    VT_SCORES_COLUMN_SUMS, /* summed over the queries */
    VT_SCORES_VOTES,       /* what `rounds` of votes leave each of the tokens, which are queries as well as keys */
    VT_SCORES_COUNT
};

struct vt_scores {
    enum vt_attention_scores kind;
    uint32_t rounds; /* of votes; else 1 */
    float boost;     /* of votes: as many are the first query's for each that others have before the first round; 0:
                        the root of the number of tokens, as in all other kinds */
};

enum vt_token_score {
    VT_TOKEN_MEAN,        /* of attention scores over the heads */
    VT_TOKEN_VALUES,      /* of attention scores, times the length of in[1], the attention's values */
    VT_TOKEN_HEAD_VALUES, /* the same for each head by itself */
    VT_TOKEN_VOTES,       /* of column sums, and of the first row in in[1] if it is there: vt_score_votes */
    VT_TOKEN_ONES,        /* 1: how many tokens a row stands for, before any are merged */
    VT_TOKEN_LOGARITHM,   /* ln of in[0], which is one column of such numbers */
    VT_TOKEN_NUMBER,      /* 1, 2, .. within the image */
    VT_TOKEN_DIFFERENCE,  /* in[0] - in[1], one column each */
    VT_TOKEN_HALTING,     /* of a column, and of what the block before gave if it is there: vt_score_halting */
    VT_TOKEN_SCORE_COUNT
};

/* By what rows are selected behind the protected ones. */
enum vt_selection {
    VT_SELECT_TOP,     /* scores, and with `similar` features in in[1]: so many leave first for being similar to one of
                          the half that has higher scores, or is better by the scores in in[2] if they are there */
    VT_SELECT_SAMPLES, /* scores: vt_stay_sampled, `count` samples */
    VT_SELECT_MATCH,   /* features, and sizes in in[1] and importance in in[2] if they are there: `count` rows are merged
                          into others */
    VT_SELECT_EVEN,
    VT_SELECT_RANDOM,
    VT_SELECT_UNSURE, /* logits of classes: vt_stay_unsure */
    VT_SELECT_BELOW,  /* scores: vt_stay_below */
    VT_SELECT_COUNT
};

enum vt_positions_filter {
    VT_POSITIONS_BICUBIC,          /* torch interpolate(mode="bicubic", align_corners=False), a = -0.75 */
    VT_POSITIONS_BICUBIC_ANTIALIAS /* with antialias=True, a = -0.5 */
};

/* Where a relative bias comes from. */
enum vt_bias_source {
    /* A table [(2 * height - 1) * (2 * width - 1), heads] for windows of the size `trained`, one row for each offset
     * (Liu et al. 2021, arXiv:2103.14030, eq. 4). For smaller windows it is resized as timm's
     * resize_rel_pos_bias_table does. */
    VT_BIAS_TABLE,
    /* 16 * sigmoid(weight2 * relu(weight * c + bias)) of the log-spaced offset c in windows of the size `trained`, or
     * of its own size where that is 0 (arXiv:2111.09883, eq. 4). weight: [hidden, 2], weight2: [heads, hidden]. */
    VT_BIAS_NETWORK
};

/* How a convolution or pooling goes over a map: height, width. */
struct vt_sliding {
    uint32_t kernel[2], stride[2], padding[2]; /* padding with zeros, or nothing, at both ends */
    bool cover; /* more zeros at the bottom and right make the last windows whole; otherwise such rows are left out */
};

/* columns 0: all of them (resolved when the node is added). */
struct vt_view {
    vt_value value;
    uint32_t column, columns;
};

struct vt_node {
    enum vt_node_type type;
    char name[VT_NAME_SIZE];
    struct vt_view in[VT_MAX_INPUTS];
    uint32_t in_count;
    uint32_t columns;        /* of its value */
    enum vt_dtype element;   /* of its value: F32, or BF16 or U8 of CONVERT and of slices of it */
    float unit;              /* what 1 of its value's 16-bit numbers is in integer-only inference; 0: not known */
    enum vt_product product; /* of linear, conv2d, attention and select in a plan: what they multiply in */
    enum vt_float_product float_product; /* of those: what that is where a quantized model has no codes for them */
    /* Of products: of each input; of CONVERT: of its parts; of SELECT in a plan: of features that are codes. */
    struct vt_operand_quantizer quantizers[VT_MAX_CODED];
    /* Of linear, conv2d and a relative bias's network; LayerNorm's gamma and beta; L2 norm's scales, mul's vector, the
     * rows of tokens and embed, the tables of positions and of a relative bias */
    vt_weight weight, bias;
    vt_weight weight2; /* relative bias from a network: of its second layer */
    union {
        struct {
            uint32_t first; /* row of the weight that yields the first column; a multiple of the tile's width */
        } linear;
        struct {
            struct vt_sliding slide;
            uint32_t groups;
        } conv;
        struct {
            struct vt_sliding slide; /* cover is false */
            bool largest;
        } pool2d;
        vt_order order; /* of windows */
        struct {
            uint32_t part_count; /* columns that have a quantizer of their own */
            struct {
                uint32_t column, columns;
            } parts[VT_MAX_CODED];
        } convert;
        struct {
            uint32_t block[2];
        } space_to_depth;
        struct {
            vt_order order;
            enum vt_bias_source source;
            uint32_t heads, trained[2];
            float divisor; /* the bias is divided by this: attention adds it before it multiplies by its scale */
        } relative_bias;
        struct {
            uint32_t groups;
            float eps; /* of LayerNorm */
        } norm;
        struct {
            uint32_t heads;
            float scale;
            /* Codes of the probabilities in simulations of few bits, log_scale * sqrt(2)^-code (arXiv:2212.08254, eq. 12
             * and 13): of so many bits; 0: none, floats or those of kernels.h's softmax. */
            uint32_t log_bits;
            float log_scale;
            /* Bondarenko et al. 2023, arXiv:2306.12929: probabilities p become clip((zeta - gamma) * p + gamma, 0, 1)
             * (eq. 4), which is p for 0 and 1; and each head's output row is multiplied by sigmoid(logit) (eq. 5), the
             * last input having a logit for each query in the column of the head. */
            float gamma, zeta;
            bool gated;
            bool key_bias; /* the last input is one */
        } attention;
        struct vt_scores scores;
        struct {
            enum vt_token_score kind;
            float boost, lowest, highest; /* of votes; highest 0: all heads count */
            float scale, center, limit;   /* halting */
        } token_score;
        struct {
            enum vt_selection by;
            uint32_t protect;
            double keep;    /* share of the rows behind the protected ones that stay, or are left; samples: so many; */
            uint32_t count; /* or this number of them, of merged ones, or of samples; 0: what keep says */
            bool up;        /* a share is rounded up, not down */
            uint32_t similar, groups; /* columns of features are in groups, whose mean is compared */
            bool fuse;                /* rows that leave become one, their sum weighted by the scores */
            bool drop;                /* match: rows leave that would become one with others; */
            float passed;             /* of what sums count, this share of a row that leaves is passed on to the other */
            bool in_order;            /* samples: the paper's variant */
            bool with_first;          /* below: none stay where the first candidate does not */
            uint32_t seed;            /* random */
            float threshold;          /* unsure: rows of a class that is more probable leave; below: scores */
            uint32_t context;         /* unsure: but so many of the surest of each class */
        } select;
        struct {
            bool sum; /* rows that become one are added, without weights but what rows that leave pass on */
        } apply;
        struct {
            uint32_t factor[2]; /* 0, 0: what makes it the input's size */
        } upsample;
        enum vt_activation activation;
        struct {
            uint32_t first_row, row_count;
            bool sum, spread; /* of pool */
        } rows;
        struct {
            uint32_t position_prefix;
        } embed;
        struct {
            enum vt_positions_filter filter;
            uint32_t prefix, grid[2];
        } positions; /* table: prefix rows, then grid[0] x grid[1] */
    } u;
};

/* A value that a session can be asked for by name. */
struct vt_graph_output {
    char name[VT_NAME_SIZE];
    vt_value value;
};

struct vt_graph {
    vitrt_allocator alloc;
    const struct vt_checkpoint *checkpoint;
    struct vt_node *nodes;
    size_t node_count, node_capacity;
    struct vt_graph_weight *weights;
    size_t weight_count, weight_capacity;
    struct vt_graph_output *outputs;
    size_t output_count, output_capacity;
    struct vt_window_pattern *patterns;
    size_t pattern_count, pattern_capacity;
    vitrt_status status; /* of building; sticky */
    vitrt_error *err;    /* where the first error goes while building */
};

void vt_graph_init(struct vt_graph *g, const vitrt_allocator *a, const struct vt_checkpoint *c, vitrt_error *err);
void vt_graph_free(struct vt_graph *g);

/* Records an error if there is none yet. */
void vt_graph_fail(struct vt_graph *g, vitrt_status status, const char *format, ...) VT_PRINTF(3, 4);

/* ---- Building: weights. Every name is looked up in the checkpoint, its shape compared with what the family expects.
 * ---- */

/* rank 1, or all but one extent 1. */
vt_weight vt_graph_vector(struct vt_graph *g, const char *tensor, uint64_t n);
vt_weight vt_graph_matrix(struct vt_graph *g, const char *tensor, uint64_t rows, uint64_t columns);
/* in: channels that each output reads, those of one of the groups. */
vt_weight vt_graph_conv(struct vt_graph *g, const char *tensor, uint64_t out, uint64_t in, const uint32_t kernel[2],
                        uint32_t groups);
/* The convolution with the batch norm behind it; *bias becomes the vector that goes with it. norm: the name that
 * .weight, .bias, .running_mean and .running_var follow. */
vt_weight vt_graph_fold_norm(struct vt_graph *g, vt_weight conv, const char *norm, float eps, vt_weight *bias);
/* A vector of logarithms of which exp(min(x, ln 100)) is used. */
vt_weight vt_graph_logit_scale(struct vt_graph *g, const char *tensor, uint64_t n);
/* [.., rows, columns] with leading extents of 1. */
vt_weight vt_graph_rows(struct vt_graph *g, const char *tensor, uint64_t rows, uint64_t columns);
/* The weights one below the other. VT_NO_WEIGHT among vectors stands for `rows` zeros; all missing: VT_NO_WEIGHT. */
vt_weight vt_graph_stack(struct vt_graph *g, const vt_weight *weights, size_t count, uint64_t rows);

/* ---- Building: nodes. name appears in messages and vitrt_describe. ---- */

struct vt_view vt_view_of(vt_value value);                                         /* all columns */
struct vt_view vt_view_columns(vt_value value, uint32_t column, uint32_t columns); /* a range of them */

vt_value vt_graph_input(struct vt_graph *g, uint32_t channels);
/* slide's kernel is the weight's, as the groups are. */
vt_value vt_graph_conv2d(struct vt_graph *g, const char *name, struct vt_view x, vt_weight weight, vt_weight bias,
                         const struct vt_sliding *slide);
vt_value vt_graph_linear(struct vt_graph *g, const char *name, struct vt_view x, vt_weight weight, vt_weight bias);
vt_value vt_graph_layer_norm(struct vt_graph *g, const char *name, struct vt_view x, vt_weight gamma, vt_weight beta,
                             uint32_t groups, float eps);
/* scales: [groups], or VT_NO_WEIGHT for 1. */
vt_value vt_graph_l2_norm(struct vt_graph *g, const char *name, struct vt_view x, vt_weight scales, uint32_t groups);
/* bias: a relative bias of its own, or VT_NO_VALUE. */
vt_value vt_graph_attention(struct vt_graph *g, const char *name, struct vt_view q, struct vt_view k, struct vt_view v,
                            vt_value bias, uint32_t heads, float scale);
/* Lets a head give nothing: its probabilities are stretched to gamma..zeta and clipped, gamma <= 0 and zeta >= 1; its
 * rows are multiplied by a gate [rows of q, heads]. Before the quantizers. */
void vt_graph_set_clip(struct vt_graph *g, vt_value attention, float gamma, float zeta);
void vt_graph_set_gate(struct vt_graph *g, vt_value attention, struct vt_view logits);
/* Adds bias [rows of k, 1] to the scores, behind everything else that is set but quantizers. */
void vt_graph_set_key_bias(struct vt_graph *g, vt_value attention, struct vt_view bias);
vt_value vt_graph_attention_scores(struct vt_graph *g, const char *name, vt_value attention,
                                   enum vt_attention_scores scores);
/* Like the node `like`, whose input and numbers are filled in: votes, too, of which an attention gives one kind. */
vt_value vt_graph_scores_like(struct vt_graph *g, const char *name, const struct vt_node *like);
vt_value vt_graph_activation(struct vt_graph *g, const char *name, struct vt_view x, enum vt_activation activation);
vt_value vt_graph_add(struct vt_graph *g, const char *name, struct vt_view a, struct vt_view b);
vt_value vt_graph_mul(struct vt_graph *g, const char *name, struct vt_view a, struct vt_view b);
vt_value vt_graph_scale(struct vt_graph *g, const char *name, struct vt_view x, vt_weight vector);
vt_value vt_graph_pool(struct vt_graph *g, const char *name, struct vt_view x, uint32_t first_row);
/* Weights the mean of a pool by a value [rows, 1]. */
void vt_graph_set_pool_weights(struct vt_graph *g, vt_value pool, struct vt_view weights);
/* Of row_count rows at most (0: all); a sum in place of the mean; spread: as many rows as x has, all alike. */
void vt_graph_set_pool_form(struct vt_graph *g, vt_value pool, uint32_t row_count, bool sum, bool spread);
vt_value vt_graph_slice(struct vt_graph *g, const char *name, struct vt_view x, uint32_t first_row, uint32_t row_count);
vt_value vt_graph_pool2d(struct vt_graph *g, const char *name, struct vt_view x, bool largest,
                         const struct vt_sliding *slide);
vt_value vt_graph_tokens(struct vt_graph *g, const char *name, vt_weight rows);
vt_value vt_graph_concat(struct vt_graph *g, const char *name, struct vt_view a, struct vt_view b);
vt_value vt_graph_positions(struct vt_graph *g, const char *name, vt_value map, vt_weight table,
                            enum vt_positions_filter filter, uint32_t prefix, const uint32_t grid[2]);
vt_value vt_graph_embed(struct vt_graph *g, const char *name, vt_value map, vt_weight tokens, vt_value positions,
                        uint32_t position_prefix);
vt_value vt_graph_head_combine(struct vt_graph *g, const char *name, vt_value a, vt_value b);
/* An order of rows; the same pattern gives the same one. */
vt_order vt_graph_order(struct vt_graph *g, const struct vt_window_pattern *pattern);
vt_value vt_graph_windows(struct vt_graph *g, const char *name, struct vt_view x, vt_order order);
vt_value vt_graph_unwindows(struct vt_graph *g, const char *name, struct vt_view x);
vt_value vt_graph_space_to_depth(struct vt_graph *g, const char *name, struct vt_view x, const uint32_t block[2]);
vt_value vt_graph_bias_table(struct vt_graph *g, const char *name, vt_value map, vt_order order, vt_weight table,
                             const uint32_t trained[2]);
vt_value vt_graph_bias_network(struct vt_graph *g, const char *name, vt_value map, vt_order order, vt_weight weight,
                               vt_weight bias, vt_weight weight2, const uint32_t trained[2]);
/* Like the node `like`, whose inputs and numbers are filled in. */
vt_value vt_graph_token_score(struct vt_graph *g, const char *name, const struct vt_node *like);
vt_value vt_graph_select(struct vt_graph *g, const char *name, const struct vt_node *like);
vt_value vt_graph_apply(struct vt_graph *g, const char *name, struct vt_view x, vt_value map, bool sum);
/* base: a value with as many columns, or VT_NO_VALUE. */
vt_value vt_graph_scatter(struct vt_graph *g, const char *name, struct vt_view x, vt_value map, vt_value base);
vt_value vt_graph_upsample(struct vt_graph *g, const char *name, struct vt_view x, const uint32_t factor[2]);
vt_value vt_graph_argmax(struct vt_graph *g, const char *name, struct vt_view x);
void vt_graph_output(struct vt_graph *g, const char *name, vt_value value);

/* ---- Building: quantizers ---- */

/* Can these be numbers of a quantizer? A scale is from 1e-30 to 1e30, as is a unit. */
bool vt_is_code_scale(float scale);
bool vt_is_code_zero(float zero);

/* The one number of a tensor, which a checkpoint has beside its weights: a scale from 1e-30 to 1e30; 0 after an error. */
float vt_graph_read_scale(struct vt_graph *g, const char *tensor);

/* Gives input i of a product a quantizer. */
void vt_graph_set_quantizer(struct vt_graph *g, vt_value value, uint32_t i, const struct vt_operand_quantizer *q);

/* Gives attention's probabilities logarithmic codes. */
void vt_graph_set_log_codes(struct vt_graph *g, vt_value value, uint32_t bits, float scale);

/* Has any node quantizers? */
bool vt_graph_is_quantized(const struct vt_graph *g);

/* Once all nodes are there: weights learn of the scales that they have absorbed. */
void vt_graph_link_quantizers(struct vt_graph *g);

/* A copy of another graph's node, whose inputs are values of g. */
vt_value vt_graph_copy_node(struct vt_graph *g, const struct vt_node *node);

/* ---- Rewriting: a graph that a pass fills with copies of another one's nodes ---- */

/* Room for so many nodes; false: no memory. */
bool vt_graph_reserve(struct vt_graph *g, size_t nodes);
/* A copy of a node, whose inputs are values of g; there is room. */
vt_value vt_graph_append(struct vt_graph *g, const struct vt_node *node);

/* The output of that name, or VT_NO_VALUE. */
vt_value vt_graph_find_output(const struct vt_graph *g, const char *name);

/* ---- Shapes for one input size ---- */

struct vt_shape {
    uint32_t prefix; /* rows before the map; with rows_of, the most that there can be */
    vt_value rows_of; /* the select node that says for each image how many rows there are; 0: all have the same */
    uint32_t map[2]; /* height, width; 0 x 0: no map */
    uint32_t columns;
    vt_order order;                /* of the map's rows; prefix is 0 where it is that of windows, */
    struct vt_window_grid windows; /* these, whose rows are more than the map's where they stick out of it */
};

/* Rows of one image. */
size_t vt_shape_rows(const struct vt_shape *s);

/* Elements from row to row of a relative bias in memory, for windows of so many tokens. */
static inline size_t vt_bias_ld(size_t area)
{
    return (area + 15) / 16 * 16;
}

/* Does the node read nothing of its input but the shape? */
bool vt_reads_shape_only(const struct vt_node *node);

/* Is its value the same for all images, evaluated when a session is created? */
bool vt_is_constant(const struct vt_node *node);

/* Does the node only move rows about, or lies its value between them, so that it has the unit of its input's? */
bool vt_keeps_unit(const struct vt_node *node);

/* Does the application of a token map only move rows, each of which stays as it is or leaves? */
bool vt_moves_rows(const struct vt_graph *g, const struct vt_node *apply);

/* Does it, where it makes one row of several, weigh them as the map says? Otherwise it adds them up. */
bool vt_weighs_rows(const struct vt_graph *g, const struct vt_node *apply);

/* The unit of a value; 0: not known. */
float vt_unit_of(const struct vt_graph *g, vt_value v);

/* Inputs that the node multiplies as one operand of products with many terms: 1 of linear and conv2d but depthwise ones,
 * 3 of attention, else 0. */
uint32_t vt_operand_count(const struct vt_node *node);

/* Those inputs may have quantizers, unless the node is attention with clipped probabilities, whose sum is not 1: its
 * products stay in float. */
bool vt_may_have_codes(const struct vt_node *node);

/* Does the node, a selection, compare features of its rows? Which input are they, and how many columns has each of the
 * groups whose sum is compared? */
bool vt_compares_features(const struct vt_node *node);
uint32_t vt_feature_input(const struct vt_node *select);
uint32_t vt_feature_columns(const struct vt_node *select);

/* Which inputs of attention are its relative bias, its gate and its keys' bias; 0: it has none. Of other nodes 0. */
uint32_t vt_bias_input(const struct vt_node *node);
uint32_t vt_gate_input(const struct vt_node *node);
uint32_t vt_key_bias_input(const struct vt_node *node);

/* Does attention clip its probabilities? Of other nodes false. */
bool vt_is_clipped(const struct vt_node *node);

/* Do its products multiply codes when a quantized model runs in its own precision? */
bool vt_is_quantized(const struct vt_node *node);

/* Is it a convolution of every channel by itself? */
bool vt_is_depthwise(const struct vt_node *node);

/* Works out shapes[node_count] for input_height x input_width. Fails with a sentence naming the node where the size
 * does not fit. */
vitrt_status vt_graph_shapes(const struct vt_graph *g, uint32_t input_height, uint32_t input_width,
                             struct vt_shape *shapes, vitrt_error *err);

/* Of as many candidates, those that stay by their share (samples: that are taken). */
size_t vt_share_count(size_t candidates, const struct vt_node *select);

#endif
