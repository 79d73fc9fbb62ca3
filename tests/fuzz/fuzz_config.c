/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: config.json and, behind a zero byte, preprocessor_config.json. The first byte chooses one of the
 * golden cases, whose weights go with them. What opens is measured, and run if that is cheap.
 * Run: fuzz_config -dict=tests/fuzz/config.dict CORPUS tests/fuzz/corpus_config
 */
#include "use_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The place in the list is part of the corpus: add at the end. */
static const char *const cases[] = { "hf_vit_model",  "hf_dinov2_bf16",  "hf_deit_interpolated",  "timm_vit_f16",
                                     "timm_swiglu",   "timm_qk_norm",    "hf_swin_remainder",     "hf_swinv2_clamp",
                                     "timm_swin_odd", "timm_swinv2_odd", "hf_cvt_no_class_token", "hf_cvt_kernels" };
enum { CASES = sizeof cases / sizeof *cases };

static struct vitrt_buffer weights_of(size_t i)
{
    static vitrt_buffer all[CASES];
    char path[512];
    if (all[i].data)
        return all[i];
    snprintf(path, sizeof path, VT_GOLDEN_CASES "/%s/model.safetensors", cases[i]);
    FILE *f = fopen(path, "rb");
    check(f && !fseek(f, 0, SEEK_END));
    const size_t n = (size_t)ftell(f);
    char *data = malloc(n);
    rewind(f);
    check(data && fread(data, 1, n, f) == n);
    fclose(f);
    return all[i] = (vitrt_buffer){ "model.safetensors", data, n };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    const char *config = (const char *)data + 1;
    const size_t rest = size - 1;
    const char *zero = rest ? memchr(config, 0, rest) : NULL;
    const size_t n = zero ? (size_t)(zero - config) : rest;
    const vitrt_buffer buffers[3] = { weights_of(data[0] % CASES),
                                      { "config.json", config, n },
                                      { "preprocessor_config.json", zero ? zero + 1 : NULL, zero ? rest - n - 1 : 0 } };
    const vitrt_model_options options = { .allocator = &limited_allocator };
    vitrt_model *m = NULL;
    vitrt_error err = { 0 };
    const vitrt_status st = vitrt_model_open_memory(buffers, zero ? 3 : 2, &options, &m, &err);
    check((st == VITRT_OK) == (m != NULL));
    check_error(st, &err);
    if (m) {
        struct answers a = run_model(m, VITRT_PRECISION_F32, 0, 0), b = run_model(m, VITRT_PRECISION_F32, 17, 30);
        free_answers(&a);
        free_answers(&b);
    }
    vitrt_model_free(m);
    check(!in_use);
    return 0;
}
