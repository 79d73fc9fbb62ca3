/* SPDX-License-Identifier: Apache-2.0 */
/* Swin, Swin V2 and CvT: checkpoints that are wrong, and ones of older layouts; test_model.c has what all families
 * share. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_tensors(void **state)
{
    (void)state;
    missing_tensor("hf_swin", "swin.embeddings.norm.weight");
    missing_tensor("hf_swin", "swin.encoder.layers.0.downsample.reduction.weight");
    missing_tensor("hf_swin", "swin.encoder.layers.1.blocks.1.attention.self.key.bias");
    missing_tensor("hf_swin", "swin.encoder.layers.2.blocks.0.attention.self.relative_position_bias_table");
    missing_tensor("hf_swin", "swin.layernorm.weight");
    missing_tensor("hf_swin", "classifier.weight");
    missing_tensor("hf_swin_absolute", "swin.embeddings.position_embeddings");
    missing_tensor("hf_swinv2", "swinv2.encoder.layers.0.blocks.1.attention.self.logit_scale");
    missing_tensor("hf_swinv2", "swinv2.encoder.layers.1.blocks.0.attention.self.value.bias");
    missing_tensor("hf_swinv2",
                   "swinv2.encoder.layers.0.blocks.0.attention.self.continuous_position_bias_mlp.2.weight");
    missing_tensor("timm_swin", "layers.1.downsample.norm.bias");
    missing_tensor("timm_swin", "layers.0.blocks.1.attn.qkv.bias");
    missing_tensor("timm_swinv2", "layers.1.blocks.0.attn.q_bias");
    missing_tensor("timm_swinv2", "layers.0.blocks.0.attn.cpb_mlp.0.bias");
    missing_tensor("hf_cvt", "cvt.encoder.stages.2.cls_token");
    missing_tensor("hf_cvt", "cvt.encoder.stages.1.embedding.convolution_embeddings.projection.weight");
    missing_tensor("hf_cvt", "cvt.encoder.stages.0.layers.0.attention.attention.convolution_projection_key."
                             "convolution_projection.normalization.running_var");
    missing_tensor("hf_cvt", "layernorm.weight");
    refused_after("timm_swin", TENSORS, "head.fc.weight", "head.fc.weighs", VITRT_EUNSUPPORTED, "head.fc.bias",
                  "belongs to nothing");
    refused_after("timm_swin", TENSORS, "[49,2]", "[2,49]", VITRT_EFORMAT, "relative_position_bias_table",
                  "expected [49, 2]");
    refused_after("timm_swinv2", TENSORS, "[2,1,1]", "[1,1,2]", VITRT_EFORMAT, "logit_scale", "expected [2, 1, 1]");
    refused_after("hf_cvt", TENSORS, "[8,1,3,3]", "[1,8,3,3]", VITRT_EFORMAT, "convolution.weight", "[8, 1, 3, 3]");
}

static void test_swin_config(void **state)
{
    (void)state;
    refused_after("hf_swin", CONFIG, "\"window_size\": 4", "\"window_size\": 0", VITRT_EFORMAT, "window_size", "is 0");
    refused_after("hf_swin", CONFIG, "\"window_size\": 4", "\"window_size\": 999", VITRT_EFORMAT, "999x999",
                  "at most 4096 tokens");
    refused_after("hf_swin", CONFIG, "\"window_size\": 4", "\"window_size\": 5", VITRT_EFORMAT,
                  "relative_position_bias_table", "expected [81, 2]");
    refused_after("hf_swin", CONFIG, "\"depths\": [", "\"depths\": [2, ", VITRT_EFORMAT, "num_heads", "of 4 elements");
    refused_after("hf_swin", CONFIG, "\"depths\": [", "\"depths\": [], \"was\": [", VITRT_EFORMAT, "depths",
                  "1 to 16 elements");
    refused_after("hf_swin", CONFIG, "\"depths\": [", "\"depths\": 3, \"was\": [", VITRT_EFORMAT, "depths", "is 3");
    refused_after("hf_swin", CONFIG, "\"depths\": [", "\"depths\": [0, 2, 2], \"was\": [", VITRT_EFORMAT, "depths",
                  "is 0");
    refused_after("hf_swin", CONFIG, "\"depths\": [", "\"depths\": [3, 2, 2], \"was\": [", VITRT_EFORMAT,
                  "layers.0.blocks.2", "missing");
    refused_after("hf_swin", CONFIG, "\"depths\": [", "\"depths\": [1, 2, 2], \"was\": [", VITRT_EUNSUPPORTED,
                  "layers.0.blocks.1", "belongs to nothing");
    refused_after("hf_swin", CONFIG, "\"num_heads\": [", "\"num_heads\": [2, 3, 4], \"was\": [", VITRT_EFORMAT,
                  "16 channels", "3 heads");
    refused_after("hf_swin", CONFIG, "\"num_heads\": [", "\"num_heads\": null, \"depths\": [2, 2], \"was\": [",
                  VITRT_EFORMAT, "num_heads", "is null");
    refused_after("hf_swin", CONFIG, "\"embed_dim\": 8", "\"embed_dim\": 65536", VITRT_EFORMAT, "131072 channels",
                  "at most 65536");
    refused_after("hf_swin", CONFIG, "\"embed_dim\": 8", "\"embed_dim\": 16", VITRT_EFORMAT, "projection.weight",
                  "expected [16, 3, 4, 4]");
    refused_after("hf_swin", CONFIG, "\"image_size\": 64", "\"image_size\": [3, 64]", VITRT_EFORMAT, "3x64",
                  "smaller than a patch");
    refused_after("hf_swin", CONFIG, "\"mlp_ratio\": 4", "\"mlp_ratio\": -4", VITRT_EFORMAT, "mlp_ratio", "-4");
    refused_after("hf_swinv2", CONFIG, "\"image_size\": 64", "\"image_size\": 8", VITRT_EFORMAT, "8x8",
                  "no window for stage 2");
    refused_after("hf_swinv2", CONFIG, "\"use_absolute_embeddings\": false", "\"use_absolute_embeddings\": true",
                  VITRT_EUNSUPPORTED, "use_absolute_embeddings", "expected false");
    refused_after("hf_swinv2", CONFIG, "\"pretrained_window_sizes\": [", "\"pretrained_window_sizes\": [-1, ",
                  VITRT_EFORMAT, "pretrained_window_sizes", "is -1");
}

static void test_timm_swin_config(void **state)
{
    (void)state;
    refused_after("timm_swin", CONFIG, "\"window_size\": 4", "\"window_size\": [4, 4, 4, 4]", VITRT_EFORMAT,
                  "window_size", "of 3 elements");
    refused_after("timm_swin", CONFIG, "\"window_size\": 4", "\"window_size\": [0, 4]", VITRT_EFORMAT, "window_size",
                  "is 0");
    refused_after("timm_swin", CONFIG, "\"window_size\": 4", "\"window_size\": [4, [4, 4, 4], 4]", VITRT_EFORMAT,
                  "window_size", "two integers");
    refused_after("timm_swin", CONFIG, "\"window_size\": 4", "\"window_size\": 4, \"head_dim\": 32", VITRT_EUNSUPPORTED,
                  "head_dim", "is 32");
    refused_after("timm_swin", CONFIG, "\"window_size\": 4", "\"window_size\": 4, \"norm_layer\": \"rmsnorm\"",
                  VITRT_EUNSUPPORTED, "norm_layer", "nothing that this version knows");
    refused_after("timm_swin", CONFIG, "\"mlp_ratio\": 4", "\"mlp_ratio\": [4, 4]", VITRT_EFORMAT, "mlp_ratio",
                  "of 3 elements");
    refused_after("timm_swin", CONFIG, "\"global_pool\": \"avg\"", "\"global_pool\": \"max\"", VITRT_EUNSUPPORTED,
                  "global_pool", "avg, an empty string");
    refused_after("timm_swin", CONFIG, "\"depths\": [", "\"depths\": [2, 2, ", VITRT_EFORMAT, "num_heads",
                  "of 5 elements");
    refused_after("timm_swin", CONFIG, "swin_tiny_patch4_window7_224", "swin_tiny_patch4_window7_225",
                  VITRT_EUNSUPPORTED, "swin_tiny_patch4_window7_225", "not supported");
}

static void test_cvt_config(void **state)
{
    (void)state;
    refused_after("hf_cvt", CONFIG, "\"dw_bn\"", "\"avg\"", VITRT_EUNSUPPORTED, "qkv_projection_method", "dw_bn");
    refused_after("hf_cvt", CONFIG, "\"depth\": [", "\"depth\": [1, ", VITRT_EFORMAT, "mlp_ratio", "of 4 elements");
    refused_after("hf_cvt", CONFIG, "\"embed_dim\": [", "\"embed_dim\": [8, 15, 24], \"was\": [", VITRT_EFORMAT,
                  "15 channels", "2 heads");
    refused_after("hf_cvt", CONFIG, "\"cls_token\": [", "\"cls_token\": [0, ", VITRT_EFORMAT, "cls_token",
                  "is a list of 4 elements");
    refused_after("hf_cvt", CONFIG, "\"stride_q\": [", "\"stride_q\": [0, 1, 1], \"was\": [", VITRT_EFORMAT, "stride_q",
                  "is 0");
    refused_after("hf_cvt", CONFIG, "\"kernel_qkv\": [", "\"kernel_qkv\": [5, 3, 3], \"was\": [", VITRT_EFORMAT,
                  "convolution.weight", "expected [8, 1, 5, 5]");
}

/* ---- Old layouts ---- */

/* The logits of the case's first picture, of 7 classes. */
static void run_logits(const struct changed_case *c, const char *name, float logits[7])
{
    static const char *const names[] = { "logits" };
    const vitrt_session_options options = { .outputs = (const char **)names, .output_count = 1 };
    struct counting counting;
    vitrt_model *m;
    vitrt_session *s;
    vitrt_output out = { 0 };
    vitrt_error err;
    assert_ok(changed_open(c, &counting, &m, &err), &err);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    vitrt_image picture = golden_image(name, 0);
    assert_ok(vitrt_run(s, &picture, 1, &out, &err), &err);
    assert_int_equal(out.columns, 7);
    memcpy(logits, out.data, 7 * sizeof *logits);
    vitrt_image_free(&picture);
    vitrt_session_free(s);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
}

/* Puts a tensor without elements in front of the others. */
static void add_tensor(struct changed_case *c, const char *name)
{
    char entry[256];
    unsigned char *file = (unsigned char *)c->data[TENSORS];
    const int n =
        snprintf(entry, sizeof entry, "\"%s\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[0,0]},", name);
    const size_t added = ((size_t)n + 7) / 8 * 8, header = ((size_t)file[0] | (size_t)file[1] << 8) + added;
    assert_true(file[2] == 0 && header < 65536);
    memmove(file + 9 + added, file + 9, c->size[TENSORS] - 9);
    memset(file + 9, ' ', added);
    memcpy(file + 9, entry, (size_t)n);
    file[0] = (unsigned char)header;
    file[1] = (unsigned char)(header >> 8);
    c->size[TENSORS] += added;
}

/* As the authors of Swin published it and timm once did: patch merging ends a stage, the head is called otherwise, and
 * what can be computed is in the file. */
static void test_old_swin(void **state)
{
    static const char *const name = "timm_swin_padded";
    struct changed_case c;
    float before[7], after[7];
    (void)state;
    changed_load(&c, name);
    run_logits(&c, name, before);
    for (int i = 0; i < 3; i++)
        changed_replace(&c, TENSORS, "layers.1.downsample", "layers.0.downsample");
    changed_replace(&c, TENSORS, "\"head.fc.weight\"", "\"head.weight\"   ");
    changed_replace(&c, TENSORS, "\"head.fc.bias\"", "\"head.bias\"   ");
    add_tensor(&c, "layers.0.blocks.0.attn.relative_position_index");
    add_tensor(&c, "layers.0.blocks.1.attn_mask");
    run_logits(&c, name, after);
    assert_memory_equal(before, after, sizeof before);
    changed_free(&c);
}

/* transformers writes its default of four elements for models of any number of stages. */
static void test_longer_list(void **state)
{
    struct changed_case c;
    struct counting counting;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    changed_load(&c, "hf_swinv2");
    changed_replace(&c, CONFIG, "\"pretrained_window_sizes\": [", "\"pretrained_window_sizes\": [0, ");
    assert_ok(changed_open(&c, &counting, &m, &err), &err);
    vitrt_model_free(m);
    changed_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors),    cmocka_unit_test(test_swin_config), cmocka_unit_test(test_timm_swin_config),
        cmocka_unit_test(test_cvt_config), cmocka_unit_test(test_old_swin),    cmocka_unit_test(test_longer_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
