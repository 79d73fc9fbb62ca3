/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvitrt: inference of vision transformers on CPUs.
 *
 *   vitrt_model_open     a checkpoint as published (folder with config.json and safetensors), or a saved model
 *   vitrt_session_create an executable plan for one image size, batch and thread count
 *   vitrt_image_decode   a JPEG, PNG or BMP file to pixels (or bring your own pixels)
 *   vitrt_run            pixels to logits, features, ...
 *
 * A model is immutable and may be used by any number of threads and sessions; a session belongs to one thread at a
 * time. Nothing here prints, exits, aborts or keeps global state. Functions return a status; with an error struct they
 * also leave one sentence that says what was found and what was expected. Every struct below is valid when zeroed ("=
 * {0}" means the defaults); reserved members must be zero.
 */
#ifndef VITRT_H
#define VITRT_H

#include <stddef.h>
#include <stdint.h>

#define VITRT_VERSION_MAJOR 0
#define VITRT_VERSION_MINOR 1
#define VITRT_VERSION_PATCH 0
#define VITRT_VERSION       (VITRT_VERSION_MAJOR * 10000 + VITRT_VERSION_MINOR * 100 + VITRT_VERSION_PATCH)

#if defined(_WIN32) && defined(VITRT_SHARED)
#ifdef VITRT_BUILDING
#define VITRT_API __declspec(dllexport)
#else
#define VITRT_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define VITRT_API __attribute__((visibility("default")))
#else
#define VITRT_API
#endif

#if defined(__GNUC__)
#define VITRT_NODISCARD __attribute__((warn_unused_result))
#else
#define VITRT_NODISCARD
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status and errors ------------------------------------------------------------------------------------------ */

typedef enum vitrt_status {
    VITRT_OK = 0,
    VITRT_EINVAL,       /* an argument of the call is wrong */
    VITRT_ENOMEM,       /* the allocator returned NULL */
    VITRT_EIO,          /* a file cannot be opened or read */
    VITRT_EFORMAT,      /* a file's content is malformed or contradicts itself */
    VITRT_EUNSUPPORTED, /* well formed, but not something this version can run */
    VITRT_ELIMIT,       /* over a limit that an option or this header states */
    VITRT_ESTATE,       /* not possible now: for example a session used in a forked child */
    VITRT_EIMAGE        /* some images of a batch failed, the others have results; see vitrt_image_status */
} vitrt_status;

/* One complete sentence without control characters, cut at the buffer's end if need be, always terminated. A call that
 * succeeds leaves it as it was. */
typedef struct vitrt_error {
    char message[508];
    vitrt_status status;
} vitrt_error;

/* The version of the library at run time, as VITRT_VERSION. */
VITRT_API int vitrt_version(void);

/* A constant name such as "VITRT_EFORMAT"; "unknown" for values outside the enum. */
VITRT_API const char *vitrt_status_name(vitrt_status status);

/* ---- Limits ----------------------------------------------------------------------------------------------------- */

#define VITRT_MAX_THREADS    256
#define VITRT_MAX_BATCH      65536
#define VITRT_MAX_INPUT_SIDE 16384 /* of the model's input */
#define VITRT_MAX_IMAGE_SIDE 65536 /* of a source image; the default limit of options is 16384 */

/* ---- Allocator, logger, threads --------------------------------------------------------------------------------- */

/* All members or none; a half-filled one is VITRT_EINVAL. alloc returns at least size bytes aligned to align (a power
 * of two >= 8) or NULL, free takes what alloc returned with the same size and align. Called from the thread that calls
 * into the library; must be thread-safe when several threads do. Must outlive every object made with it. */
typedef struct vitrt_allocator {
    void *(*alloc)(void *user, size_t size, size_t align);
    void (*free)(void *user, void *ptr, size_t size, size_t align);
    void *user;
} vitrt_allocator;

/* Notes on unusual but legal input, such as a tensor that is ignored: one line of text without control characters.
 * Thread-safe as above; log NULL: silent. */
typedef struct vitrt_logger {
    void (*log)(void *user, const char *message);
    void *user;
} vitrt_logger;

/* The caller's own thread pool. Must call task(arg, i) once for every i < n, in any order, on any threads, and return
 * when all have returned. */
typedef void (*vitrt_task)(void *arg, size_t i);
typedef void (*vitrt_parallel_for)(void *user, size_t n, vitrt_task task, void *arg);

/* ---- Models ----------------------------------------------------------------------------------------------------- */

typedef struct vitrt_model vitrt_model;

/* vitrt_model_options.flags */
#define VITRT_MODEL_COPY_BUFFERS 1u /* open_memory: copy the buffers instead of referring to them */
#define VITRT_MODEL_MAP_FILES                                                                                          \
    2u /* open: map weight files instead of reading them. A file that becomes shorter \
                                       while the model is open then kills the process that reads it. */

typedef struct vitrt_model_options {
    const vitrt_allocator *allocator; /* NULL: malloc; copied */
    const vitrt_logger *logger;       /* NULL: silent; copied */
    uint32_t flags;
    uint32_t reserved32;
    const void *reserved[4];
} vitrt_model_options;

/* A file given from memory: name as it would stand in the folder ("config.json", "model.safetensors", ...). */
typedef struct vitrt_buffer {
    const char *name;
    const void *data;
    size_t size;
} vitrt_buffer;

/* Opens a checkpoint folder (UTF-8 path): config.json (Hugging Face or timm), model.safetensors or
 * model.safetensors.index.json with its shards, and preprocessor_config.json if there is one. Reads the configuration
 * and checks every tensor's type and shape; weights are read, checked to be finite and packed when the first session
 * needs them, so the folder must stay as it is until then.
 *
 * Or opens a saved model: a safetensors file with a graph in its metadata, from vitrt_model_save or made by hand
 * (docs/graph.md); also a folder with such a file as model.safetensors and without config.json.
 * options may be NULL. *out is NULL on failure. Free with vitrt_model_free. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_model_open(const char *path, const vitrt_model_options *options,
                                                        vitrt_model **out, vitrt_error *err);

/* The same from memory; a single buffer of any name is a saved model. The buffers must outlive the model unless
 * VITRT_MODEL_COPY_BUFFERS is set. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_model_open_memory(const vitrt_buffer *buffers, size_t count,
                                                               const vitrt_model_options *options, vitrt_model **out,
                                                               vitrt_error *err);

/* Writes the model to one safetensors file (UTF-8 path), which opens without the code for its family: the graph as JSON
 * in the metadata, the texts of config.json and preprocessor_config.json for labels and preprocessing, and the weights,
 * in the type they were published in, or f32 where something is computed of them. The file is written beside path
 * and then takes its place, so that a failure leaves what was there, and path may be what the model was opened from.
 * Thread-safe. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_model_save(const vitrt_model *model, const char *path, vitrt_error *err);

/* Sessions keep what they need of a model alive: it may be freed before them. NULL is allowed. */
VITRT_API void vitrt_model_free(vitrt_model *model);

typedef struct vitrt_model_info {
    const char *family;        /* "vit", "deit", "dinov2", ...; lives as long as the model, as all strings here */
    const char *architecture;  /* the checkpoint's own name, such as "ViTForImageClassification" */
    uint64_t parameters;       /* number of weights */
    uint64_t weight_bytes;     /* their size as stored */
    uint32_t height, width;    /* default input size after preprocessing */
    uint32_t channels;         /* of the input: 3 */
    uint32_t blocks;           /* transformer blocks; taps are "block.0" .. */
    uint32_t dim;              /* channels of the features */
    uint32_t classes;          /* 0: no classification head */
    uint32_t size_multiple[2]; /* patch, or CvT's first stride: of a height and width that are no multiples the rest at
                                  the bottom and right is unused, or extended with zeros (transformers' Swin) */
    uint32_t reserved[8];
} vitrt_model_info;

VITRT_API VITRT_NODISCARD vitrt_status vitrt_model_get_info(const vitrt_model *model, vitrt_model_info *info);

/* The name of output i = 0, 1, .. that sessions may ask for, NULL behind the last. Lives as long as the model. */
VITRT_API const char *vitrt_model_output_name(const vitrt_model *model, size_t i);

/* The label of a class (UTF-8, from the config), or NULL if there is none. Lives as long as the model. */
VITRT_API const char *vitrt_model_label(const vitrt_model *model, uint32_t class_index);

/* ---- Quantization ----------------------------------------------------------------------------------------------- */

typedef struct vitrt_image vitrt_image;

typedef enum vitrt_precision {
    VITRT_PRECISION_DEFAULT = 0, /* the model's own; f32 for float checkpoints */
    VITRT_PRECISION_F32,
    /* Weights and what products read as bfloat16, sums and everything else in f32. About half the time and weight
     * memory on CPUs with AVX512-BF16; on others the same products in f32 arithmetic, slower than VITRT_PRECISION_F32.
     * Results differ between CPUs with and without these instructions by what sums in another order differ. */
    VITRT_PRECISION_BF16,
    /* Of quantized models (vitrt_model_quantize), whose default it is: linear layers, convolutions and attention
     * multiply 8-bit codes, of VITRT_FORMAT_F32 images, too, but for nodes that stayed in float; all else is f32. The
     * same bits on every CPU where no node stayed in bf16. In f32 or bf16 the 8-bit weights run in floats. */
    VITRT_PRECISION_I8,
    /* The same models without any floating-point arithmetic between the resized image's 8-bit pixels and the integer
     * outputs (I-ViT: Li and Gu 2023, arXiv:2207.01405): products of 8-bit codes, 16 bits for everything between them,
     * dyadic scales, integer softmax, GELU, LayerNorm and token reduction. ViT, DeiT, DINOv2 and Swin, but for SwiGLU
     * (DINOv2-giant), activations other than GELU, whose tanh form is computed as its erf form, DynamicViT and A-ViT; a
     * session on another model names the node that has no such form. */
    VITRT_PRECISION_I8_STRICT
} vitrt_precision;

/* vitrt_quantize_options.flags */
#define VITRT_QUANTIZE_PERCENTILES 1u /* as published for RepQ-ViT: clip ranges by percentiles; implies ROUND */
#define VITRT_QUANTIZE_TENSORS     2u /* these: one for all columns behind a norm, too, as where it has < 1000 rows */
#define VITRT_QUANTIZE_ROUND       4u /* weights are rounded one by one instead of making up for each other's errors */
#define VITRT_QUANTIZE_SEQUENTIAL  8u /* ranges are of what codes in earlier nodes yield, one node at a time */

/* Everything is only read, and only during the call. */
typedef struct vitrt_quantize_options {
    /* Calibration images, of the kind that the model will see, but none that its accuracy is measured on; 32 are usual,
     * more make it better. Either an array, or a function that gives image i < image_count, in ascending order and
     * twice (SEQUENTIAL: twice for each node besides), with release_image (may be NULL) behind it, also where it
     * failed. A status that it returns ends the call with that; nothing else can end it early. */
    const vitrt_image *images;
    size_t image_count;
    vitrt_status (*read_image)(void *user, size_t i, vitrt_image *image, vitrt_error *err);
    void (*release_image)(void *user, vitrt_image *image);
    /* What is being done ("observe", "compare", "quantize", "rank", "mix") and how far it is; NULL: silent. */
    void (*progress)(void *user, const char *what, size_t done, size_t total);
    /* What codes cost, the greatest loss first; NULL: not wanted. The loss is that of a model with codes in this node
     * alone, whose name lives during the call: squared differences of the usual output to the float model's, as a part
     * of that one's squares, over up to 8 of the images, each of which runs once for each node but the float_nodes. */
    void (*report)(void *user, const char *node, double loss, vitrt_precision precision);
    void *user;                            /* of the functions, which the calling thread calls */
    uint32_t weight_bits, activation_bits; /* 2 to 8; 0: 8, as pixels have. Fewer are not faster: for experiments. */
    uint32_t height, width;                /* of the input for calibration; 0: the model's default */
    int32_t threads;                       /* as in vitrt_session_options, as are parallel_for and parallel_user */
    uint32_t flags;
    /* Linear layers, convolutions and attention that stay in float, by the names that vitrt_describe prints. */
    const char *const *float_nodes;
    size_t float_node_count;
    vitrt_precision float_precision; /* of all nodes that stay so: F32, which is the default, or BF16 */
    /* The largest loss, as above, that the whole may have, 0 to 1; 0: any. Of the nodes by their rank so many stay in
     * float as that takes, by bisection. For measure: with a loss of 0.002 about one answer in 100 changes. */
    float tolerance;
    vitrt_parallel_for parallel_for;
    void *parallel_user;
    const void *reserved[8];
} vitrt_quantize_options;

/* Makes a quantized model of a float one, from a few images and without training. What products read is turned into
 * codes with a scale and a zero point for each column, which the weights take over, so that they cost nothing (after
 * RepQ-ViT, Li et al. 2023, arXiv:2212.08254); ranges are widened towards that of the widest column (SmoothQuant, Xiao
 * et al. 2023, arXiv:2211.10438, with the centres of Outlier Suppression+, Wei et al. 2023, arXiv:2304.09145). Weights
 * become 8-bit codes with a scale for each row; those of a linear layer are rounded so that they make up for each
 * other's errors (GPTQ, Frantar et al. 2022, arXiv:2210.17323), and biases for what the means of inputs lose. With
 * fewer bits, ranges are by percentiles and attention's probabilities have logarithmic codes, as RepQ-ViT's. Attention
 * that clips its probabilities stays in float.
 *
 * *out, NULL on failure, is to be freed with vitrt_model_free; it runs in VITRT_PRECISION_I8 by default and has the
 * model's allocator and logger, which is told of fewer than 8 images. The model is not changed. Thread-safe.
 *
 * Memory does not grow with the images: all values between nodes for one of them, each in a place of its own;
 * statistics of what products read; up to 1 GiB for how inputs of linear layers go together (4 n^2 bytes for n of them;
 * layers that do not fit are as with ROUND); the result twice; for ranks the float weights twice besides.
 *
 * VITRT_EINVAL: no images or only blank ones; a layer's input that is NaN, infinite or needs a scale over 1e30; an
 * unknown float node or none left with codes; a tolerance that cannot be met; a model that is quantized already.
 * VITRT_EFORMAT: a weight that is not finite or needs such a scale. VITRT_EIMAGE: an image that sessions refuse. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_model_quantize(const vitrt_model *model,
                                                            const vitrt_quantize_options *options, vitrt_model **out,
                                                            vitrt_error *err);

/* ---- Token reduction -------------------------------------------------------------------------------------------- */

typedef enum vitrt_reduction {
    /* Adaptive token sampling (Fayyaz et al. 2022, arXiv:2111.15667): samples of what the class token attends to, as
     * many for each image as its scores are spread. */
    VITRT_REDUCTION_ATS = 1,
    /* Zero-TPrune (Wang et al. 2024, arXiv:2305.17328): the tokens that all others attend to most, after those that are
     * most similar to one that gets more of the first votes have left. */
    VITRT_REDUCTION_ZERO_TPRUNE,
    /* Token merging (Bolya et al. 2023, arXiv:2210.09461): the most similar pairs become their mean, which counts as
     * many tokens as it stands for in attention and in a head's mean. */
    VITRT_REDUCTION_TOME,
    /* EViT (Liang et al. 2022, arXiv:2202.07800): the tokens that the class token attends to most. */
    VITRT_REDUCTION_EVIT,
    VITRT_REDUCTION_UNIFORM, /* evenly spread ones, and random ones: to compare with */
    VITRT_REDUCTION_RANDOM,
    /* DToP (Tang et al. 2023, arXiv:2308.01045), of models that name the class of each token, with heads between their
     * blocks: tokens leave where a head is sure of their class, which is then what it said. */
    VITRT_REDUCTION_DTOP,
    /* DynamicViT (Rao et al. 2021, arXiv:2106.02034), of models trained with predictors: "score.K", an output for each
     * block that has one before it, is what it says of the tokens, of which those with the highest scores stay. */
    VITRT_REDUCTION_DYNAMICVIT,
    /* A-ViT (Yin et al. 2022, arXiv:2112.07658), of models trained with it whose class token alone answers: behind
     * every block the first column of a token says how near it is to leaving; with the class token the image is done.
     * What answers is a mean of what the blocks made of it. */
    VITRT_REDUCTION_A_VIT
} vitrt_reduction;

/* What happens in one block: to `keep` of the tokens that there are (over 0, up to 1), or, where that is 0, by count.
 * Class, distillation and register tokens always stay and are not counted. A share that rounds to none keeps one token,
 * or takes two samples. */
typedef struct vitrt_reduce_layer {
    uint32_t block;   /* 0, 1, .. */
    uint32_t count;   /* tokens that stay; ATS: samples, at least 2; ToMe: tokens that are merged into others; DToP: how
                         many stay of each class that "head.K" is sure of, the surest, which is 5 in the paper */
    uint32_t similar; /* Zero-TPrune: of the tokens that leave so many for their similarity */
    uint32_t rounds;  /* Zero-TPrune: of votes, up to 1000; 0: one */
    double keep; /* ATS: samples for each token that there is; ToMe: what is left, half at least */
    double threshold; /* DToP: tokens leave whose class has a greater probability, over 0 and up to 1: none leaves */
    uint64_t reserved64[2];
} vitrt_reduce_layer;

/* vitrt_reduce_options.flags */
#define VITRT_REDUCE_FUSE          1u  /* EViT: those that leave become one token, weighted by the class token */
#define VITRT_REDUCE_BY_HEAD       2u  /* ATS: scores and samples of the paper, not of its released code */
#define VITRT_REDUCE_UNIFORM_VOTES 4u  /* Zero-TPrune: the class token's vote counts as much as others */
#define VITRT_REDUCE_ALL_HEADS     8u  /* Zero-TPrune: heads with votes of small or large variance count, too */
#define VITRT_REDUCE_EQUAL_KEYS    16u /* ToMe: without proportional attention, as for MAE's models */
#define VITRT_REDUCE_WHOLE_KEYS    32u /* ToMe, Zero-TPrune: keys are compared with all heads, not with their mean; costs
                                          more, and is often worth it */
#define VITRT_REDUCE_DROP_EARLY    64u /* ToMe: in the first third of the blocks tokens leave that would be merged, for
                                          there means are unlike any token (Kim et al. 2024, arXiv:2312.01026); what they
                                          stand for is passed on in part */
#define VITRT_REDUCE_VOTE_AGAIN    128u /* Zero-TPrune: those that do not leave for their similarity vote once more,
                                          among themselves, as in the paper; costs another attention in such layers */
#define VITRT_REDUCE_BY_ATTENTION  256u /* ToMe: tokens are merged by 1 - cosine of their keys times the root of what the
                                          class token attends to the one that goes, or all tokens where there is none
                                          (after Lee et al. 2024, arXiv:2403.10030) */

typedef struct vitrt_reduce_options {
    vitrt_reduction method;
    uint32_t flags;
    const vitrt_reduce_layer *layers; /* ascending by block; only read during the call */
    size_t layer_count;
    /* Without layers: the share of the multiply-adds, or with `timed` of the time, (over 0, up to 1) that the model is
     * to have, at most, at height x width. ToMe merges in every block, DynamicViT drops tokens before every block with a
     * predictor, the others drop tokens in four blocks, each the same share, of Zero-TPrune's three quarters for their
     * similarity. None of DToP's; A-ViT has neither layers nor a budget. */
    double budget;
    uint32_t height, width; /* 0: the model's default; schedules work at every size */
    uint32_t seed;          /* of RANDOM */
    uint32_t reserved32;
    /* A-ViT: a block takes a token sigmoid(scale * first column - center) of the way to leaving. 0: 10 and 30. */
    double halting_scale, halting_center;
    /* Not NULL: the budget is of the time of runs of max_batch images, noise, in sessions with these options (but for
     * their size), measured on this machine during the call: some seconds. Not of ATS's, whose time images decide. */
    const struct vitrt_session_options *timed;
    const void *reserved[3];
} vitrt_reduce_options;

/* Makes a model in whose blocks tokens leave, of a float or a quantized one (quantize first), for plain tokens: ViT,
 * DeiT, DINOv2. It shares the weights of the model, which it keeps alive, and is saved, opened and described as any
 * other. Outputs that have rows of tokens ("features", "block.K") have those that are left; "tokens.K", for every block
 * K where tokens leave, is [tokens, 1]: for each token of the input 1 + the row that it is in behind that block, 0 if it
 * has left; DynamicViT's leave before it. A-ViT's "features" are the class token's alone, as is the last block's row.
 * Results do not depend on the batch. *out is to be freed with vitrt_model_free. Thread-safe.
 *
 * VITRT_EINVAL: no layers and no budget (A-ViT: either), a block that there is not or twice, a share or threshold
 * outside of (0, 1], fewer than two samples, over 1000 rounds of votes; a method that needs a class token without one;
 * a block without "head.K", or without a block behind it (DToP); a block without "score.K" (DynamicViT); a budget that
 * cannot be met.
 * VITRT_EUNSUPPORTED: a model whose tokens cannot leave: attention in windows or with a relative bias, convolutions
 * between blocks, a head that does not go token by token, or by the class token alone (A-ViT), or reduced already. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_model_reduce(const vitrt_model *model,
                                                          const vitrt_reduce_options *options, vitrt_model **out,
                                                          vitrt_error *err);

/* The layers of the model that vitrt_model_reduce makes of the same arguments: those that a budget becomes. *count: room
 * at layers, then how many there are, of which no more than there is room for are written; a model has at most one for
 * each of its blocks, A-ViT none. 0 where it fails, as vitrt_model_reduce does. Thread-safe. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_reduce_schedule(const vitrt_model *model,
                                                             const vitrt_reduce_options *options,
                                                             vitrt_reduce_layer *layers, size_t *count,
                                                             vitrt_error *err);

/* ---- Sessions --------------------------------------------------------------------------------------------------- */

typedef struct vitrt_session vitrt_session;

typedef struct vitrt_session_options {
    int32_t threads; /* 0: as many as affinity and cgroup quota give; otherwise that many, 1..256 */
    vitrt_precision precision;
    uint32_t height, width;     /* input size; 0: the model's default. Resize and crop before it scale with it. */
    uint32_t max_batch;         /* largest number of images in one run; 0: 1 */
    uint32_t max_image_side;    /* largest width and height of a source image; 0: 16384 */
    const char *const *outputs; /* names of the outputs, copied; NULL: "logits", or "features" without a head */
    size_t output_count;
    vitrt_parallel_for parallel_for; /* NULL: a pool of the session's own; otherwise threads says how wide it is */
    void *parallel_user;
    const vitrt_allocator *allocator; /* NULL: the model's */
    const void *reserved[6];
} vitrt_session_options;

/* Names of outputs, per image:
 *
 *   "logits"     [1, classes]         before softmax
 *   "embedding"  [1, columns]         what the head reads, pooled: dim columns, or 2 * dim where the head reads the
 *                                     class token beside the mean of the patches (DINOv2); the mean of both tokens
 *                                     where two heads are averaged (DeiT)
 *   "pooler"     [1, dim]             transformers' pooler_output, of checkpoints that have a pooler
 *   "features"   [tokens, dim]        all tokens after the final norm, class and register tokens first; of CvT before
 *                                     it, which belongs to its head
 *   "block.K"    [tokens, channels]   output of block K, counted through all stages
 *   "stage.K"    [map, channels]      of models with stages: the feature map after the last block of stage K, without
 *                                     a class token, before it is made smaller for the next stage
 *   "pixels"     [height * width, 3]  the preprocessed input
 *   "segmentation" [map, classes]     of models that name the class of each token: logits
 *   "head.K"     [map, classes]       the same of a head behind block K
 *   "classmap"   [height * width, 1]  the class of each pixel, a whole number
 *
 * What is not asked for is not computed. options may be NULL. Free with vitrt_session_free.
 *
 * The environment variable VITRT_CPU, if it is set, names a CPU bundle ("ref", "avx2", ...) that caps the choice of
 * kernels, for tests and reports; an unknown name is VITRT_EINVAL. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_session_create(const vitrt_model *model,
                                                            const vitrt_session_options *options, vitrt_session **out,
                                                            vitrt_error *err);

VITRT_API void vitrt_session_free(vitrt_session *session);

typedef struct vitrt_session_info {
    uint32_t height, width; /* input size */
    uint32_t max_batch;
    uint32_t threads;
    uint64_t packed_bytes;           /* weights in the kernels' layout, shared by all sessions of the model */
    uint64_t arena_bytes;            /* activations and scratch of this session */
    uint64_t macs_per_image;         /* multiply-adds of linear layers, convolutions and attention that are executed;
                                        the most where tokens leave by what an image shows */
    uint64_t nominal_macs_per_image; /* if every row were computed, also those that no output needs */
    uint64_t run_macs_per_image;     /* of the last run, in which each image may have kept other tokens: the mean; 0
                                        before the first */
    uint64_t reserved[6];
} vitrt_session_info;

/* What a session with these options would cost, without packing a weight or taking its arena. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_session_measure(const vitrt_model *model,
                                                             const vitrt_session_options *options,
                                                             vitrt_session_info *info, vitrt_error *err);

VITRT_API VITRT_NODISCARD vitrt_status vitrt_session_get_info(const vitrt_session *session, vitrt_session_info *info);

/* Writes what runs (CPU bundle, every step with the kernel of its products, threads, bytes, multiply-adds) as text, at
 * most size bytes with the terminator. Returns the length of the whole text without terminator; buf may be NULL when
 * size is 0. */
VITRT_API size_t vitrt_describe(const vitrt_session *session, char *buf, size_t size);

/* ---- Images ----------------------------------------------------------------------------------------------------- */

typedef enum vitrt_format {
    VITRT_FORMAT_RGB8 = 0,
    VITRT_FORMAT_BGR8,
    VITRT_FORMAT_RGBA8, /* alpha is dropped, as Pillow's convert("RGB") does */
    VITRT_FORMAT_BGRA8,
    VITRT_FORMAT_GREY8, /* replicated */
    VITRT_FORMAT_F32    /* [height, width, 3] already resized and normalised: exactly the session's input size. In i8
                           and i8-strict rounded to what 8-bit pixels become, and clipped to their range */
} vitrt_format;

struct vitrt_image {
    const void *data; /* top row first; only read, and not within what a session gave as an output */
    uint32_t width, height;
    size_t stride; /* bytes from row to row; 0: rows are packed */
    vitrt_format format;
    uint32_t reserved32;
    const void *reserved[4]; /* used by decoded images */
};

/* vitrt_decode_options.flags */
#define VITRT_DECODE_EXIF_ORIENTATION 1u /* turn and mirror as the EXIF orientation tag of a JPEG says */

typedef struct vitrt_decode_options {
    uint32_t max_side; /* largest width and height; 0: 16384 */
    uint32_t flags;
    uint64_t max_bytes;               /* of memory at any time; 0: 1 GiB */
    const vitrt_allocator *allocator; /* NULL: malloc */
    const void *reserved[4];
} vitrt_decode_options;

/* Decodes JPEG, PNG or BMP bytes to RGB8 as Pillow's convert("RGB") would (grey replicated, palette looked up, alpha
 * dropped, 16-bit samples by their high byte). Free with vitrt_image_free. options may be NULL. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_image_decode(const void *bytes, size_t size,
                                                          const vitrt_decode_options *options, vitrt_image *out,
                                                          vitrt_error *err);

/* The same from a file (UTF-8 path). */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_image_open(const char *path, const vitrt_decode_options *options,
                                                        vitrt_image *out, vitrt_error *err);

/* Frees a decoded image and zeroes the struct; does nothing to an image that was filled in by hand. NULL is allowed. */
VITRT_API void vitrt_image_free(vitrt_image *image);

/* ---- Running ---------------------------------------------------------------------------------------------------- */

typedef enum vitrt_type { VITRT_TYPE_F32 = 0, VITRT_TYPE_I32, VITRT_TYPE_U8 } vitrt_type;

/* One output of a run for the whole batch: image i owns rows offsets[i] .. offsets[i + 1] of a [offsets[n], columns]
 * matrix. An image that failed owns no rows. */
typedef struct vitrt_output {
    void *buffer;          /* in: the caller's own memory to fill, or NULL */
    size_t buffer_bytes;   /* in: its size */
    const char *name;      /* out, as all below */
    const void *data;      /* buffer, or the session's memory, valid until its next run or its end */
    const size_t *offsets; /* [n + 1] rows; the session's memory */
    size_t columns;
    vitrt_type type;
    uint32_t map_height, map_width; /* of the patch grid, when the rows end with one; else 0 */
    uint32_t reserved[5];
} vitrt_output;

/* Runs n images (1..max_batch). outputs has one element for each output of the session, in the order they were asked
 * for in; NULL when they are fetched later with vitrt_session_output. Allocates nothing. The floating-point environment
 * of the caller is saved, set to the default and restored; results have the same bits for every thread count, batch and
 * position in the batch.
 * VITRT_EIMAGE: at least one image failed (err names the first); the others have results. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_run(vitrt_session *session, const vitrt_image *images, size_t n,
                                                 vitrt_output *outputs, vitrt_error *err);

/* The status of image i of the last run, and its sentence in err (may be NULL). VITRT_EINVAL if there was no such
 * image. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_image_status(const vitrt_session *session, size_t i, vitrt_error *err);

VITRT_API size_t vitrt_session_output_count(const vitrt_session *session);

/* Output number i of the last run, without a caller's buffer. */
VITRT_API VITRT_NODISCARD vitrt_status vitrt_session_output(const vitrt_session *session, size_t i, vitrt_output *out);

#ifdef __cplusplus
}
#endif

#endif
