/* SPDX-License-Identifier: Apache-2.0 */
/* See timm_config.h. */
#include "timm_config.h"

#include <string.h>

bool vt_timm_is(vt_json config, const char *name)
{
    size_t n = 0;
    const char *found = vt_json_text(vt_json_get(config, "architecture"), &n);
    if (!found)
        return false;
    const char *tag = memchr(found, '.', n);
    if (tag)
        n = (size_t)(tag - found);
    return strlen(name) == n && !memcmp(name, found, n);
}

/* ---- Arguments ---- */

struct vt_member vt_timm_arg(struct vt_graph *g, vt_json config, const char *key)
{
    return (struct vt_member){ g, " of \"model_args\"", key, vt_json_get(vt_json_get(config, "model_args"), key) };
}

static bool is_among(vt_json key, const char *const *names)
{
    for (; *names; names++)
        if (vt_json_is(key, *names))
            return true;
    return false;
}

void vt_timm_check_args(struct vt_graph *g, vt_json config, const char *const *known)
{
    static const char *const training[] = { "drop_rate",      "pos_drop_rate",  "patch_drop_rate",
                                            "proj_drop_rate", "attn_drop_rate", "drop_path_rate",
                                            "weight_init",    "fix_init",       NULL };
    const vt_json args = vt_json_get(config, "model_args");
    for (vt_json_iterator it = vt_json_first(args); vt_json_type(it.value) && it.key; vt_json_next(&it))
        if (!is_among(vt_json_key(&it), training) && !is_among(vt_json_key(&it), known))
            vt_graph_fail(g, VITRT_EUNSUPPORTED,
                          "config.json: \"%.*s\" of \"model_args\" is nothing that this version knows",
                          (int)(it.key_size < 60 ? it.key_size : 60), it.key);
}

void vt_timm_image(struct vt_graph *g, vt_json config, uint32_t missing, uint32_t image[2])
{
    const vt_json input = vt_json_get(vt_json_get(config, "pretrained_cfg"), "input_size");
    for (size_t i = 0; i < 2; i++) { /* [channels, height, width] */
        uint64_t n = 0;
        image[i] = vt_json_to_u64(vt_json_at(input, i + 1), &n) && n >= 1 && n <= VT_MAX_IMAGE ? (uint32_t)n : missing;
    }
    const struct vt_member m = vt_timm_arg(g, config, "img_size");
    if (!vt_member_missing(&m))
        vt_member_size(m, missing, VT_MAX_IMAGE, image);
}

int vt_timm_pool(struct vt_graph *g, vt_json config, const struct vt_choice *pools, size_t count, int missing)
{
    const int pool = vt_member_choice(vt_member_of(g, config, "global_pool"), pools, count, missing);
    return vt_member_choice(vt_timm_arg(g, config, "global_pool"), pools, count, pool);
}

enum vt_activation vt_timm_activation(struct vt_graph *g, vt_json config, enum vt_activation missing)
{
    static const struct vt_choice known[] = {
        { "gelu", VT_ACT_GELU }, { "gelu_tanh", VT_ACT_GELU_TANH }, { "quick_gelu", VT_ACT_QUICK_GELU },
        { "silu", VT_ACT_SILU }, { "swish", VT_ACT_SILU },          { "relu", VT_ACT_RELU },
    };
    return (enum vt_activation)vt_member_choice(vt_timm_arg(g, config, "act_layer"), known,
                                                sizeof known / sizeof *known, (int)missing);
}

uint32_t vt_timm_classes(struct vt_graph *g, vt_json config)
{
    return vt_member_count(vt_timm_arg(g, config, "num_classes"), 0, 0, VT_MAX_COUNT);
}
