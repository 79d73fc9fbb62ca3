/* SPDX-License-Identifier: Apache-2.0 */
/* See reduced_cases.h. */
#include "reduced_cases.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From golden/cases. */
const char *const reduced_cases[REDUCED_CASES] = { "../reduced/hf_vit", "../reduced/hf_deit_distilled",
                                                   "../reduced/hf_dinov2_registers", "../reduced/timm_vit_avg_nocls",
                                                   "../reduced/timm_deit" };

void schedule_read(struct schedule *s, const char *text)
{
    memset(s, 0, sizeof *s);
    assert_true(strlen(text) < sizeof s->text);
    strcpy(s->text, text);
    if (!reduction_from_text(text, strlen(text), &s->reduction))
        fail_msg("\"%s\" is no schedule", text);
    reduction_options(&s->reduction);
    s->outputs[s->output_count++] = "logits";
    s->outputs[s->output_count++] = "features";
    const bool halts = s->reduction.options.method == VITRT_REDUCTION_A_VIT;
    const size_t layers = halts ? REDUCED_BLOCKS - 1 : s->reduction.options.layer_count;
    assert_true(layers <= SCHEDULE_LAYERS);
    for (size_t i = 0; i < layers; i++) {
        snprintf(s->tokens[i], sizeof s->tokens[i], "tokens.%u",
                 halts ? (unsigned)i : (unsigned)s->reduction.layers[i].block);
        s->outputs[s->output_count++] = s->tokens[i];
    }
}

bool schedule_has_integers(const struct schedule *s)
{
    return s->reduction.options.method != VITRT_REDUCTION_DYNAMICVIT &&
           s->reduction.options.method != VITRT_REDUCTION_A_VIT;
}

void for_each_schedule(const char *name, void (*visit)(const char *name, const struct golden *g, struct schedule *s))
{
    static const char first[] = " 0 logits";
    struct golden g;
    size_t found = 0;
    golden_open_file(&g, name, "reduced.safetensors");
    for (size_t i = 0; i < g.tensors.count; i++) {
        struct schedule s;
        char text[sizeof s.text];
        const char *tensor = g.tensors.items[i].name, *at = strstr(tensor, first);
        if (!at || strcmp(at, first) != 0)
            continue;
        assert_true((size_t)(at - tensor) < sizeof text);
        snprintf(text, sizeof text, "%.*s", (int)(at - tensor), tensor);
        schedule_read(&s, text);
        visit(name, &g, &s);
        found++;
    }
    golden_close(&g);
    assert_true(found > 0);
}

vitrt_model *reduced_model(const char *name, struct schedule *s)
{
    vitrt_model *m, *reduced;
    vitrt_error err;
    assert_ok(vitrt_model_open(golden_path(name, ""), NULL, &m, &err), &err);
    assert_ok(vitrt_model_reduce(m, reduction_options(&s->reduction), &reduced, &err), &err);
    vitrt_model_free(m);
    return reduced;
}

const vitrt_image *reduced_pictures(const char *name)
{
    enum { BYTES = REDUCED_SIDE * REDUCED_SIDE * 3 };
    static unsigned char pixels[PICTURES][BYTES];
    static vitrt_image pictures[PICTURES];
    uint32_t noise = 1;
    for (int i = 0; i < PICTURES; i++) {
        pictures[i] = (vitrt_image){ .data = pixels[i], .width = REDUCED_SIDE, .height = REDUCED_SIDE };
        if (i < REDUCED_PICTURES) {
            vitrt_image stored = golden_image(name, i);
            assert_true(stored.width == REDUCED_SIDE && stored.height == REDUCED_SIDE);
            memcpy(pixels[i], stored.data, BYTES);
            vitrt_image_free(&stored);
            continue;
        }
        for (int k = 0; k < BYTES; k++) { /* ever less noise, in the end none, over ever steeper shading */
            noise = noise * 1664525 + 1013904223;
            pixels[i][k] = (unsigned char)(k / REDUCED_SIDE * (i - 2) + (int)(noise >> 24) * (PICTURES - 1 - i) / 4);
        }
    }
    return pictures;
}

void answer_read(struct answer *a, const vitrt_output *outputs, size_t output_count, size_t image)
{
    a->count = 0;
    for (size_t k = 0; k < output_count; k++) {
        const vitrt_output *o = &outputs[k];
        const size_t rows = o->offsets[image + 1] - o->offsets[image];
        assert_int_equal(o->type, VITRT_TYPE_F32);
        assert_true(a->count + 1 + rows * o->columns <= sizeof a->values / sizeof *a->values);
        a->values[a->count++] = (float)rows;
        memcpy(a->values + a->count, (const float *)o->data + o->offsets[image] * o->columns,
               rows * o->columns * sizeof(float));
        a->count += rows * o->columns;
    }
}

void assert_same_answer(const struct answer *a, const struct answer *b, const char *what)
{
    if (a->count != b->count || memcmp(a->values, b->values, a->count * sizeof *a->values) != 0)
        fail_msg("%s: other bits", what);
}

void answers_alone(const vitrt_model *m, vitrt_session_options options, const vitrt_image *pictures, size_t n,
                   struct answer *answers)
{
    vitrt_session *s;
    vitrt_error err;
    vitrt_output outputs[SCHEDULE_LAYERS + 2] = { 0 };
    options.threads = 1;
    options.max_batch = 1;
    assert_true(options.output_count <= SCHEDULE_LAYERS + 2);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    for (size_t i = 0; i < n; i++) {
        assert_ok(vitrt_run(s, &pictures[i], 1, outputs, &err), &err);
        answer_read(&answers[i], outputs, options.output_count, 0);
    }
    vitrt_session_free(s);
}

static struct {
    const vitrt_model *model;
    const char *name, *what;
    vitrt_session_options options;
    const struct answer *wanted;
} on_all;

static void bits_of_bundle(const struct vt_kernels *kernels)
{
    static struct answer found[PICTURES];
    assert_int_equal(setenv("VITRT_CPU", kernels->bundle, 1), 0);
    answers_alone(on_all.model, on_all.options, reduced_pictures(on_all.name), PICTURES, found);
    for (int i = 0; i < PICTURES; i++)
        assert_same_answer(&found[i], &on_all.wanted[i], on_all.what);
}

void assert_same_on_all_bundles(const vitrt_model *m, vitrt_session_options options, const char *name,
                                const struct answer *wanted, const char *what)
{
    const char *caller = getenv("VITRT_CPU");
    char saved[64] = "";
    snprintf(saved, sizeof saved, "%s", caller ? caller : "");
    on_all.model = m;
    on_all.options = options;
    on_all.name = name;
    on_all.wanted = wanted;
    on_all.what = what;
    for_each_bundle(bits_of_bundle);
    assert_int_equal(setenv("VITRT_CPU", saved, 1), 0); /* empty: as if it were not set */
}
