/* SPDX-License-Identifier: Apache-2.0 */
/* See random_model.h. */
#include "random_model.h"

#include "measure.h"
#include "random_tensors.h"

#include <stdlib.h>
#include <string.h>

static bool describe(const char *architecture, struct random_tensors *t, struct vt_bench_texts *texts,
                     const char **reason)
{
    *reason = "is no plain ViT, DeiT, Swin or Swin V2 of timm and no CvT that the library knows";
    return random_vit(architecture, t, texts, reason) || random_swin(architecture, t, texts) ||
           random_cvt(architecture, t, texts);
}

static void add_text(struct vt_bench_checkpoint *c, const char *name, const char *text)
{
    if (*text)
        c->files[c->file_count++] = (vitrt_buffer){ .name = name, .data = text, .size = strlen(text) };
}

bool vt_bench_random_checkpoint(const char *architecture, struct vt_bench_checkpoint *out, const char **reason)
{
    struct random_tensors tensors = { .list = vt_bench_alloc(RANDOM_MAX_TENSORS * sizeof *tensors.list) };
    struct vt_bench_checkpoint c = { .texts = vt_bench_alloc(sizeof *c.texts) };
    *c.texts = (struct vt_bench_texts){ { 0 }, { 0 } };
    const bool known = describe(architecture, &tensors, c.texts, reason);
    if (known) {
        random_write(&tensors, &c.files[c.file_count++]);
        add_text(&c, "config.json", c.texts->config);
        add_text(&c, "preprocessor_config.json", c.texts->preprocessor);
    }
    free(tensors.list);
    *out = c;
    return known;
}

void vt_bench_checkpoint_free(struct vt_bench_checkpoint *c)
{
    free((void *)(uintptr_t)c->files[0].data);
    free(c->texts);
    *c = (struct vt_bench_checkpoint){ 0 };
}
