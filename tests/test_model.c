/* SPDX-License-Identifier: Apache-2.0 */
/* Opening models that are wrong: each yields a status and a sentence that names what was found, and leaves nothing
 * behind. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_tensors(void **state)
{
    (void)state;
    missing_tensor("hf_vit", "vit.layernorm.weight");
    missing_tensor("hf_vit", "vit.embeddings.cls_token");
    missing_tensor("hf_vit", "vit.embeddings.position_embeddings");
    missing_tensor("hf_vit", "layer.1.intermediate.dense.bias");
    missing_tensor("hf_vit", "layer.1.output.dense.weight");
    missing_tensor("hf_vit", "layer.0.attention.attention.query.bias");
    missing_tensor("hf_vit", "classifier.weight");
    missing_tensor("hf_vit", "classifier.bias");
    missing_tensor("hf_deit_distilled", "deit.embeddings.distillation_token");
    missing_tensor("hf_dinov2_registers", "embeddings.register_tokens");
    missing_tensor("hf_dinov2", "layer.0.layer_scale1.lambda1");
    missing_tensor("hf_dinov2", "dinov2.embeddings.position_embeddings");
    missing_tensor("timm_vit", "blocks.0.norm1.weight");
    missing_tensor("timm_vit", "patch_embed.proj.weight");
    missing_tensor("timm_vit", "blocks.1.attn.qkv.bias"); /* another block has one */
    missing_tensor("timm_deit3", "blocks.1.ls2.gamma");
    missing_tensor("timm_dinov2_reg", "cls_token"); /* a register token must not take its place */
    refused_after("timm_vit", 1, "\"blocks.2.norm1.weight\"", "\"blocks.7.norm1.weight\"", VITRT_EFORMAT, "3 blocks",
                  "the tensors have 2");
    refused_after("hf_vit", 1, "vit.layernorm.weight", "vit.layernorm.weighs", VITRT_EFORMAT, "vit.layernorm.weight",
                  "missing");
    refused_after("timm_vit", 1, "[144,48]", "[48,144]", VITRT_EFORMAT, "shape [48, 144]", "expected [144, 48]");
    refused_after("timm_vit", 1, "[48,3,8,8]", "[48,8,8,3]", VITRT_EFORMAT, "patch_embed.proj.weight", "[48, 8, 8, 3]");
    refused_after("timm_vit", 1, "[1,65,48]", "[65,1,48]", VITRT_EFORMAT, "pos_embed", "expected");
}

static void test_config(void **state)
{
    (void)state;
    refused_after("hf_vit", 0, "\"model_type\": \"vit\"", "\"model_type\": \"llama\"", VITRT_EUNSUPPORTED, "llama",
                  "not supported");
    refused_after("hf_vit", 0, "\"model_type\"", "\"model_kind\"", VITRT_EFORMAT, "model_type", "architecture");
    refused_after("hf_vit", 0, "\"num_attention_heads\": 3", "\"num_attention_heads\": 0", VITRT_EFORMAT,
                  "num_attention_heads", "is 0");
    refused_after("hf_vit", 0, "\"num_attention_heads\": 3", "\"num_attention_heads\": 5", VITRT_EFORMAT, "width 48",
                  "5 heads");
    refused_after("hf_vit", 0, "\"num_attention_heads\": 3", "\"num_attention_heads\": -3", VITRT_EFORMAT,
                  "num_attention_heads", "-3");
    refused_after("hf_vit", 0, "\"num_attention_heads\": 3", "\"num_attention_heads\": 1e300", VITRT_EFORMAT,
                  "num_attention_heads", "1e300");
    refused_after("hf_vit", 0, "\"hidden_size\": 48", "\"hidden_size\": 64", VITRT_EFORMAT, "64 channels",
                  "the tensors have 48");
    refused_after("hf_vit", 0, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 12", VITRT_EFORMAT, "12 blocks",
                  "the tensors have 3");
    refused_after("hf_vit", 0, "\"intermediate_size\": 192", "\"intermediate_size\": 96", VITRT_EFORMAT, "96 hidden",
                  "the tensors have 192");
    refused_after("hf_vit", 0, "\"0\": \"LABEL_0\",", "", VITRT_EFORMAT, "9 classes", "the tensors have 10");
    refused_after("timm_vit", 0, "\"depth\": 3", "\"depth\": 12", VITRT_EFORMAT, "12 blocks", "the tensors have 3");
    refused_after("timm_vit", 0, "\"embed_dim\": 48", "\"embed_dim\": 192", VITRT_EFORMAT, "192 channels",
                  "the tensors have 48");
    refused_after("hf_vit", 0, "\"patch_size\": 8", "\"patch_size\": 16", VITRT_EFORMAT, "patch_size", "8x8");
    refused_after("hf_vit", 0, "\"image_size\": 64", "\"image_size\": 128", VITRT_EFORMAT, "position_embeddings",
                  "65 positions");
    refused_after("hf_vit", 0, "\"image_size\": 64", "\"image_size\": [64]", VITRT_EFORMAT, "image_size",
                  "two integers");
    refused_after("hf_vit", 0, "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"mish\"", VITRT_EUNSUPPORTED, "hidden_act",
                  "mish");
    refused_after("hf_vit", 0, "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": -1", VITRT_EFORMAT, "layer_norm_eps",
                  "0 to 1");
    refused_after("timm_vit", 0, "\"architecture\": \"vit_tiny_patch16_224\"", "\"architecture\": \"resnet50\"",
                  VITRT_EUNSUPPORTED, "resnet50", "not supported");
    refused_after("timm_vit", 0, "\"num_heads\": 3", "\"num_heads\": 0", VITRT_EFORMAT, "num_heads", "is 0");
    refused_after("timm_vit", 0, "\"num_heads\": 3", "\"attn_rotary\": 3", VITRT_EUNSUPPORTED, "attn_rotary",
                  "nothing that this version knows");
    refused_after("timm_vit", 0, "\"global_pool\": \"token\"", "\"global_pool\": \"map\"", VITRT_EUNSUPPORTED,
                  "global_pool", "map");
    refused_after("timm_vit", 0, "{", "[", VITRT_EFORMAT, "config.json", "");
}

/* Weights are read when a session needs them: the first NaN or infinity is named. */
static void bad_weight(const char *tensor, const float value)
{
    struct changed_case c;
    struct counting counting;
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    unsigned begin = 0;
    changed_load(&c, "timm_vit");
    char *header = changed_find(c.data[1], c.size[1], tensor);
    char *offsets = changed_find(header, 300, "\"data_offsets\":[");
    assert_int_equal(sscanf(offsets, "\"data_offsets\":[%u", &begin), 1);
    const size_t data = 8 + ((size_t)(unsigned char)c.data[1][0] | (size_t)(unsigned char)c.data[1][1] << 8 |
                             (size_t)(unsigned char)c.data[1][2] << 16);
    memcpy(c.data[1] + data + begin + 4 * sizeof value, &value, sizeof value);
    assert_ok(changed_open(&c, &counting, &m, &err), &err);
    assert_int_equal(vitrt_session_create(m, NULL, &s, &err), VITRT_EFORMAT);
    if (!strstr(err.message, tensor))
        fail_msg("\"%s\" does not name %s", err.message, tensor);
    assert_null(s);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
    changed_free(&c);
}

static void test_values(void **state)
{
    (void)state;
    const float zero = 0;
    bad_weight("blocks.1.mlp.fc1.weight", 0 / zero);
    bad_weight("blocks.2.norm1.bias", 1 / zero);
    bad_weight("pos_embed", -1 / zero);
    bad_weight("patch_embed.proj.weight", 0 / zero);
    bad_weight("head.bias", 0 / zero);
}

static void test_arguments(void **state)
{
    vitrt_model *m;
    vitrt_error err;
    const vitrt_model_options flags = { .flags = 1u << 31 };
    const vitrt_model_options reserved = { .reserved = { &flags } };
    vitrt_model_info info;
    (void)state;
    assert_int_equal(vitrt_model_open(NULL, NULL, &m, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_model_open("golden", NULL, NULL, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_model_open("golden", &flags, &m, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_model_open("golden", &reserved, &m, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_model_open_memory(NULL, 1, NULL, &m, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_model_open("golden/no_such_folder", NULL, &m, &err), VITRT_EIO);
    assert_non_null(strstr(err.message, "golden/no_such_folder"));
    assert_int_equal(vitrt_model_open("golden/no_such_folder", NULL, &m, NULL),
                     VITRT_EIO); /* without an error struct */
    assert_int_equal(vitrt_model_get_info(NULL, &info), VITRT_EINVAL);
    vitrt_model_free(NULL);
    vitrt_session_free(NULL);
}

static void count_notes(void *user, const char *message)
{
    ++*(int *)user;
    assert_non_null(strstr(message, "mask_token"));
}

static void test_info_labels_and_notes(void **state)
{
    int notes = 0;
    const vitrt_logger logger = { count_notes, &notes };
    const vitrt_model_options options = { .logger = &logger };
    vitrt_model *m;
    vitrt_model_info info;
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_open(golden_path("hf_dinov2", ""), &options, &m, &err), &err);
    assert_int_equal(notes, 1); /* the mask token serves training only */
    assert_int_equal(vitrt_model_get_info(m, &info), VITRT_OK);
    assert_string_equal(info.family, "dinov2");
    assert_string_equal(info.architecture, "Dinov2ForImageClassification");
    assert_int_equal(info.height, 70);
    assert_int_equal(info.width, 70);
    assert_int_equal(info.blocks, 3);
    assert_int_equal(info.dim, 48);
    assert_int_equal(info.classes, 10);
    assert_int_equal(info.size_multiple[0], 14);
    assert_int_equal(info.weight_bytes, info.parameters * 4);
    assert_string_equal(vitrt_model_label(m, 3), "LABEL_3");
    assert_null(vitrt_model_label(m, 10));
    vitrt_model_free(m);
}

/* All names, once each: every one is an output that sessions have. */
static void test_output_names(void **state)
{
    vitrt_model *m;
    vitrt_error err;
    size_t n = 0, blocks = 0;
    (void)state;
    assert_null(vitrt_model_output_name(NULL, 0));
    assert_ok(vitrt_model_open(golden_path("hf_dinov2", ""), NULL, &m, &err), &err);
    for (const char *name; (name = vitrt_model_output_name(m, n)); n++) {
        const vitrt_session_options options = { .outputs = &name, .output_count = 1 };
        vitrt_session_info info;
        assert_ok(vitrt_session_measure(m, &options, &info, &err), &err);
        for (size_t i = 0; i < n; i++)
            assert_string_not_equal(vitrt_model_output_name(m, i), name);
        blocks += !strncmp(name, "block.", 6);
    }
    assert_int_equal(blocks, 3);
    assert_null(vitrt_model_output_name(m, SIZE_MAX));
    vitrt_model_free(m);
}

/* Without preprocessor_config.json: what transformers does for the model's type, at the size it was trained for. */
static void test_without_preprocessor(void **state)
{
    struct changed_case c;
    struct counting counting;
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    vitrt_output out = { 0 };
    const char *names[] = { "pixels" };
    const vitrt_session_options options = { .outputs = names, .output_count = 1 };
    const uint8_t white[3] = { 255, 255, 255 };
    const vitrt_image pixel = { .data = white, .width = 1, .height = 1 };
    (void)state;
    changed_load(&c, "hf_vit");
    assert_ok(changed_open(&c, &counting, &m, &err), &err);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, &pixel, 1, &out, &err), &err);
    assert_int_equal(out.map_height, 64);
    assert_int_equal(out.map_width, 64);
    assert_float_equal(((const float *)out.data)[0], 1, 1e-6); /* (255 / 255 - 0.5) / 0.5 */
    vitrt_session_free(s);
    vitrt_model_free(m);
    changed_free(&c);
}

/* A few bytes of configuration must not make a default session huge. */
static void test_default_size_in_proportion(void **state)
{
    (void)state;
    refused_after("timm_vit", 0, "\"input_size\": [\n      3,\n      64,\n      64",
                  "\"input_size\": [\n      3,\n      16000,\n      16000", VITRT_ELIMIT, "16000x16000", "64x64");
}

/* ---- DynamicViT's predictors ---- */

#define DYNAMICVIT  "../reduced/timm_deit"
#define PRUNING_LOC "\"pruning_loc\": [\n      0,\n      2,\n      3\n    ]"

static void test_predictors(void **state)
{
    (void)state;
    missing_tensor(DYNAMICVIT, "score_predictor.1.in_conv.1.weight");
    missing_tensor(DYNAMICVIT, "score_predictor.2.out_conv.4.bias");
    refused_after(DYNAMICVIT, 1, "score_predictor.2.in_conv.0.weight", "score_predictor.3.in_conv.0.weight",
                  VITRT_EFORMAT, "the config says 3 predictors", "the tensors have 2");
    refused_after(DYNAMICVIT, 1, "\"shape\":[2,12]", "\"shape\":[12,2]", VITRT_EFORMAT, "out_conv.4.weight",
                  "has shape [12, 2], expected [2, 12]");
    refused_after(DYNAMICVIT, 0, PRUNING_LOC, "\"pruning_loc\": [0, 2]", VITRT_EFORMAT, "the config says 2 predictors",
                  "the tensors have 3");
    refused_after(DYNAMICVIT, 0, PRUNING_LOC, "\"pruning_loc\": [0, 2, 4]", VITRT_EFORMAT,
                  "score_predictor.2 stands before block 4", "expected ascending blocks below 4");
    refused_after(DYNAMICVIT, 0, PRUNING_LOC, "\"pruning_loc\": [0, 2, 2]", VITRT_EFORMAT,
                  "score_predictor.2 stands before block 2", "expected ascending blocks below 4");
    refused_after(DYNAMICVIT, 0, PRUNING_LOC, "\"pruning_loc\": [0, 2, -1]", VITRT_EFORMAT, "pruning_loc", "-1");
    refused_after(DYNAMICVIT, 0, PRUNING_LOC, "\"pruning_loc\": 3", VITRT_EFORMAT, "pruning_loc", "is 3");
}

/* A quarter, half and three quarters on, where the config does not say where they are. */
static void test_usual_predictors(void **state)
{
    static const char *const names[] = { "score.1", "score.2", "score.3", "block.3" };
    const vitrt_session_options options = { .outputs = names, .output_count = 4 };
    struct changed_case c;
    struct counting counting;
    vitrt_session_info info;
    vitrt_model *m;
    vitrt_error err;
    (void)state;
    changed_load(&c, DYNAMICVIT);
    changed_replace(&c, 0, PRUNING_LOC, "\"pruning_loc\": null");
    assert_ok(changed_open(&c, &counting, &m, &err), &err);
    assert_ok(vitrt_session_measure(m, &options, &info, &err), &err);
    vitrt_model_free(m);
    assert_int_equal(counting.live, 0);
    changed_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_info_labels_and_notes),
        cmocka_unit_test(test_output_names),
        cmocka_unit_test(test_without_preprocessor),
        cmocka_unit_test(test_default_size_in_proportion),
        cmocka_unit_test(test_predictors),
        cmocka_unit_test(test_usual_predictors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
