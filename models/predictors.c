/* SPDX-License-Identifier: Apache-2.0 */
/* See predictors.h. Comments beside the calls give the same line in PyTorch. */
#include "predictors.h"

#include "layers.h"

#define EPS 1e-5f /* nn.LayerNorm's own, whatever the model's is */

struct vt_predictors vt_find_predictors(struct vt_graph *g, const char *module, const struct vt_predictors *said,
                                        uint32_t depth)
{
    struct vt_predictors p = { 0 };
    while (module && p.count < VT_MAX_STAGES &&
           vt_find(g, vt_name("%s.%u.in_conv.0", module, (unsigned)p.count), ".weight"))
        p.count++;
    if (p.count)
        vt_agree(g, "predictors", said->count, p.count);
    for (uint32_t i = 0; i < p.count; i++) {
        p.block[i] = said->count ? said->block[i] : depth * (i + 1) / (p.count + 1);
        if (p.block[i] >= depth || (i && p.block[i] <= p.block[i - 1]))
            vt_graph_fail(g, VITRT_EFORMAT,
                          "predictor %s.%u stands before block %u, expected ascending blocks below %u", module,
                          (unsigned)i, (unsigned)p.block[i], (unsigned)depth);
    }
    return p;
}

void vt_add_predictor(struct vt_graph *g, const char *module, const struct vt_predictors *p, uint32_t i, vt_value x,
                      uint32_t dim, uint32_t prefix)
{
    const struct vt_name label = vt_name("score.%u", (unsigned)p->block[i]);
    const struct vt_name in = vt_name("%s.%u.in_conv", module, (unsigned)i),
                         out = vt_name("%s.%u.out_conv", module, (unsigned)i);
    const uint32_t half = dim / 2, quarter = dim / 4;
    /* h = gelu(in_conv[1](in_conv[0](x))) */
    vt_value h = vt_norm(g, vt_name("%s.norm", label.text).text, vt_name("%s.0", in.text), vt_view_of(x), dim, 1, EPS);
    h = vt_linear(g, vt_name("%s.in", label.text).text, vt_name("%s.1", in.text), vt_view_of(h), dim, dim, true);
    h = vt_graph_activation(g, vt_name("%s.in_act", label.text).text, vt_view_of(h), VT_ACT_GELU);
    /* h = cat([h[:, :D // 2], h[prefix:, D // 2:].mean(0).expand(N, -1)], dim=1) */
    const vt_value mean =
        vt_graph_pool(g, vt_name("%s.mean", label.text).text, vt_view_columns(h, half, dim - half), prefix);
    vt_graph_set_pool_form(g, mean, 0, false, true);
    h = vt_graph_concat(g, vt_name("%s.both", label.text).text, vt_view_columns(h, 0, half), vt_view_of(mean));
    /* h = out_conv[4](gelu(out_conv[2](gelu(out_conv[0](h))))) */
    h = vt_linear(g, vt_name("%s.out0", label.text).text, vt_name("%s.0", out.text), vt_view_of(h), half, dim, true);
    h = vt_graph_activation(g, vt_name("%s.out0_act", label.text).text, vt_view_of(h), VT_ACT_GELU);
    h = vt_linear(g, vt_name("%s.out2", label.text).text, vt_name("%s.2", out.text), vt_view_of(h), quarter, half,
                  true);
    h = vt_graph_activation(g, vt_name("%s.out2_act", label.text).text, vt_view_of(h), VT_ACT_GELU);
    h = vt_linear(g, vt_name("%s.out4", label.text).text, vt_name("%s.4", out.text), vt_view_of(h), 2, quarter, true);
    /* log_softmax(h)[:, 0] ranks tokens as h[:, 0] - h[:, 1] does, but is 0 of all differences over 17 */
    struct vt_node difference = { .in = { vt_view_columns(h, 0, 1), vt_view_columns(h, 1, 1) }, .in_count = 2 };
    difference.u.token_score.kind = VT_TOKEN_DIFFERENCE;
    h = vt_graph_token_score(g, label.text, &difference);
    vt_graph_output(g, label.text, h);
}
