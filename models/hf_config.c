/* SPDX-License-Identifier: Apache-2.0 */
/* See hf_config.h. */
#include "hf_config.h"

#include <stdio.h>
#include <string.h>

bool vt_hf_is(vt_json config, const char *model_type)
{
    return vt_json_is(vt_json_get(config, "model_type"), model_type);
}

void vt_hf_architecture(vt_json config, const char *model_type, struct vt_model_facts *facts)
{
    size_t n = strlen(model_type);
    const char *name = vt_json_text(vt_json_at(vt_json_get(config, "architectures"), 0), &n);
    snprintf(facts->architecture, sizeof facts->architecture, "%.*s", (int)(n < 100 ? n : 100),
             name ? name : model_type);
}

bool vt_hf_classifies(const struct vt_model_facts *facts)
{
    return strstr(facts->architecture, "ForImageClassification") != NULL;
}

struct vt_name vt_hf_root(const struct vt_graph *g, const char *model_type, const char *tensor)
{
    const struct vt_name root = vt_name("%s.", model_type);
    return vt_find(g, root, tensor) ? root : vt_name("%s", "");
}

bool vt_hf_is_tensor(const char *tensor, const char *model_type, const char *leaf)
{
    const size_t n = strlen(model_type);
    if (!strncmp(tensor, model_type, n) && tensor[n] == '.')
        tensor += n + 1;
    return !strcmp(tensor, leaf);
}

enum vt_activation vt_hf_activation(struct vt_graph *g, vt_json config)
{
    static const struct vt_choice known[] = {
        { "gelu", VT_ACT_GELU },
        { "gelu_python", VT_ACT_GELU },
        { "gelu_new", VT_ACT_GELU_TANH },
        { "gelu_pytorch_tanh", VT_ACT_GELU_TANH },
        { "gelu_python_tanh", VT_ACT_GELU_TANH },
        { "gelu_fast", VT_ACT_GELU_TANH },
        { "gelu_accurate", VT_ACT_GELU_TANH },
        { "quick_gelu", VT_ACT_QUICK_GELU },
        { "silu", VT_ACT_SILU },
        { "swish", VT_ACT_SILU },
        { "relu", VT_ACT_RELU },
    };
    return (enum vt_activation)vt_member_choice(vt_member_of(g, config, "hidden_act"), known,
                                                sizeof known / sizeof *known, VT_ACT_GELU);
}

float vt_hf_eps(struct vt_graph *g, vt_json config, double missing)
{
    return (float)vt_member_number(vt_member_of(g, config, "layer_norm_eps"), missing, 0, 1);
}

/* As many as have a label. */
uint32_t vt_hf_classes(struct vt_graph *g, vt_json config)
{
    const size_t labels = vt_json_count(vt_json_get(config, "id2label"));
    return labels ? (uint32_t)(labels < UINT32_MAX ? labels : UINT32_MAX)
                  : vt_member_count(vt_member_of(g, config, "num_labels"), 0, 0, VT_MAX_COUNT);
}
