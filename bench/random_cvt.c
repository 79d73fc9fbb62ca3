/* SPDX-License-Identifier: Apache-2.0 */
/* CvT as transformers saves it, but for the counts of training batches, which nothing reads, and the classes' names. */
#include "random_tensors.h"

#include <stdio.h>
#include <string.h>

#define STAGES 3 /* of every architecture */

struct architecture {
    const char *name; /* behind "microsoft/", which may be there */
    uint32_t image;   /* the checkpoint's images; other sizes fit as well */
    uint32_t depths[STAGES], dims[STAGES], heads[STAGES];
};

/* Wu et al. 2021, arXiv:2103.15808, table 2. */
static const struct architecture architectures[] = {
    { "cvt-13", 224, { 1, 2, 10 }, { 64, 192, 384 }, { 1, 3, 6 } },
    { "cvt-21", 224, { 1, 4, 16 }, { 64, 192, 384 }, { 1, 3, 6 } },
    { "cvt-w24", 384, { 2, 2, 20 }, { 192, 768, 1024 }, { 3, 12, 16 } },
};

/* ---- The tensors ---- */

static void add_projection(struct random_tensors *t, const char *which, uint32_t dim)
{
    char module[112];
    snprintf(module, sizeof module, "attention.attention.convolution_projection_%s.convolution_projection.convolution",
             which);
    random_conv(t, module, dim, 1, 3, false);
    snprintf(module, sizeof module,
             "attention.attention.convolution_projection_%s.convolution_projection.normalization", which);
    random_batch_norm(t, module, dim);
    snprintf(module, sizeof module, "attention.attention.projection_%s", which);
    random_linear(t, module, dim, dim, true);
}

static void add_block(struct random_tensors *t, uint32_t stage, uint32_t number, uint32_t dim)
{
    random_within(t, "cvt.encoder.stages.%u.layers.%u.", (unsigned)stage, (unsigned)number);
    add_projection(t, "query", dim);
    add_projection(t, "key", dim);
    add_projection(t, "value", dim);
    random_linear(t, "attention.output.dense", dim, dim, true);
    random_linear(t, "intermediate.dense", 4 * dim, dim, true);
    random_linear(t, "output.dense", dim, 4 * dim, true);
    random_norm(t, "layernorm_before", dim);
    random_norm(t, "layernorm_after", dim);
}

static void add_embedding(struct random_tensors *t, const struct architecture *a, uint32_t stage)
{
    const uint32_t dim = a->dims[stage], in = stage ? a->dims[stage - 1] : 3;
    random_within(t, "cvt.encoder.stages.%u.", (unsigned)stage);
    random_rows(t, "cls_token", stage == STAGES - 1, dim);
    random_conv(t, "embedding.convolution_embeddings.projection", dim, in, stage ? 3 : 7, true);
    random_norm(t, "embedding.convolution_embeddings.normalization", dim);
}

static void add_model(struct random_tensors *t, const struct architecture *a)
{
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        add_embedding(t, a, stage);
        for (uint32_t i = 0; i < a->depths[stage]; i++)
            add_block(t, stage, i, a->dims[stage]);
    }
    random_at_root(t);
    random_norm(t, "layernorm", a->dims[STAGES - 1]);
    random_linear(t, "classifier", RANDOM_CLASSES, a->dims[STAGES - 1], true);
}

/* ---- The configuration ---- */

/* "key": [n, n, n], */
static void append(struct vt_bench_texts *texts, const char *key, const uint32_t values[STAGES])
{
    const size_t used = strlen(texts->config);
    snprintf(texts->config + used, sizeof texts->config - used, "\"%s\": [%u, %u, %u], ", key, (unsigned)values[0],
             (unsigned)values[1], (unsigned)values[2]);
}

static void write_texts(struct vt_bench_texts *texts, const struct architecture *a)
{
    static const struct {
        const char *key;
        uint32_t values[STAGES];
    } same_for_all[] = { { "patch_sizes", { 7, 3, 3 } },   { "patch_stride", { 4, 2, 2 } },
                         { "patch_padding", { 2, 1, 1 } }, { "kernel_qkv", { 3, 3, 3 } },
                         { "stride_q", { 1, 1, 1 } },      { "padding_q", { 1, 1, 1 } },
                         { "stride_kv", { 2, 2, 2 } },     { "padding_kv", { 1, 1, 1 } } };
    snprintf(texts->config, sizeof texts->config,
             "{\"model_type\": \"cvt\", \"architectures\": [\"CvtForImageClassification\"], \"num_channels\": 3, "
             "\"mlp_ratio\": [4.0, 4.0, 4.0], \"qkv_bias\": [true, true, true], \"cls_token\": [false, false, true], "
             "\"qkv_projection_method\": [\"dw_bn\", \"dw_bn\", \"dw_bn\"], ");
    append(texts, "depth", a->depths);
    append(texts, "embed_dim", a->dims);
    append(texts, "num_heads", a->heads);
    for (size_t i = 0; i < sizeof same_for_all / sizeof *same_for_all; i++)
        append(texts, same_for_all[i].key, same_for_all[i].values);
    const size_t used = strlen(texts->config);
    snprintf(texts->config + used, sizeof texts->config - used, "\"layer_norm_eps\": 1e-12}");
    snprintf(texts->preprocessor, sizeof texts->preprocessor,
             "{\"image_processor_type\": \"ConvNextImageProcessor\", \"size\": {\"shortest_edge\": %u}, "
             "\"crop_pct\": 0.875, \"resample\": 3, \"image_mean\": [0.485, 0.456, 0.406], "
             "\"image_std\": [0.229, 0.224, 0.225]}",
             (unsigned)a->image);
}

bool random_cvt(const char *name, struct random_tensors *t, struct vt_bench_texts *texts)
{
    static const char owner[] = "microsoft/";
    if (!strncmp(name, owner, sizeof owner - 1))
        name += sizeof owner - 1;
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        const struct architecture *a = &architectures[i];
        if (strcmp(a->name, name) != 0)
            continue;
        write_texts(texts, a);
        add_model(t, a);
        return true;
    }
    return false;
}
