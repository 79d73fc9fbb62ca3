# SPDX-License-Identifier: Apache-2.0
"""Writes models/vit_timm.inc from timm: what a timm checkpoint's shapes do not tell, for each plain ViT entry point.

    pip install torch numpy pillow && pip install --no-deps timm torchvision
    python make_vit_timm_table.py ../vit_timm.inc       # names left out and why go to standard output

Each entry point is built without storage (on torch's meta device) and looked at. The name is asked only where timm itself asks it.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"))
import torchvision_ops  # noqa: F401,E402  (must come before timm)
import timm
import torch
from torch import nn
from timm.layers import activations
from timm.layers.mlp import GluMlp, Mlp
from timm.layers.patch_embed import PatchEmbed
from timm.models import deit, vision_transformer

MODULES = ("vision_transformer", "deit")
MODELS = (vision_transformer.VisionTransformer, deit.VisionTransformerDistilled)

HEAD = """/* SPDX-License-Identifier: Apache-2.0 */
/* timm's plain ViT architectures: what the shapes of a checkpoint do not tell. Include it with VT_TIMM_VIT defined:
 *
 *     VT_TIMM_VIT(name without tag, blocks, width, heads, activation of the MLP, epsilon of every norm, pooling before the head,
 *                 parts that it does not have: see vit.h)
 *
 * Sorted by name (strcmp). VT_POOL_TOKEN: class token; VT_POOL_AVG: mean of the patches; VT_POOL_NONE: none. The
 * model_args of a checkpoint's config may override them. Where the MLP is gated the activation is that of the gate.
 * Made by tools/make_vit_timm_table.py from timm %s. */
"""


class Unsupported(Exception):
    pass


def require(condition, reason):
    if not condition:
        raise Unsupported(reason)


def one(values, what):
    """The single value of a property that must not differ inside a model."""
    values = set(values)
    require(len(values) == 1, f"{what} differs inside the model: {sorted(map(str, values))}")
    return values.pop()


def activation_of(mlp):
    act = mlp.act
    if isinstance(act, nn.GELU):
        return "VT_ACT_GELU_TANH" if act.approximate == "tanh" else "VT_ACT_GELU"
    table = {
        activations.GELU: "VT_ACT_GELU",
        activations.GELUTanh: "VT_ACT_GELU_TANH",
        activations.QuickGELU: "VT_ACT_QUICK_GELU",
        nn.SiLU: "VT_ACT_SILU",
        activations.Swish: "VT_ACT_SILU",
        nn.ReLU: "VT_ACT_RELU",
    }
    require(type(act) in table, f"activation {type(act).__name__}")
    return table[type(act)]


def pool_of(model):
    pools = {"token": "VT_POOL_TOKEN", "avg": "VT_POOL_AVG", "": "VT_POOL_NONE"}
    require(model.attn_pool is None, "attention pooling")
    require(model.global_pool in pools, f"pooling '{model.global_pool}'")
    require(model.global_pool != "avg" or not model.pool_include_prefix, "prefix tokens in the mean")
    return pools[model.global_pool]


def check_embedding(model):
    stem = model.patch_embed
    require(type(stem) is PatchEmbed, f"{type(stem).__name__} in place of a patch convolution")
    require(isinstance(stem.norm, nn.Identity), "norm inside the patch embedding")
    require(model.pos_embed is not None, "no learned positions")


def lacks_of(model):
    """The parts that every block, or the model, has in other architectures and not in this one."""
    blocks = model.blocks
    lacks = []
    if one((b.attn.qkv.bias is None for b in blocks), "qkv bias"):
        lacks.append("VIT_MAY_LACK_QKV_BIAS")
    if model.patch_embed.proj.bias is None or any(l.bias is None for b in blocks for l in (b.attn.proj, b.mlp.fc1, b.mlp.fc2)):
        lacks.append("VIT_MAY_LACK_BIAS")
    if one((isinstance(b.ls1, nn.Identity) for b in blocks), "LayerScale"):
        lacks.append("VIT_MAY_LACK_SCALE")
    if isinstance(model.norm, nn.Identity):
        lacks.append("VIT_MAY_LACK_NORM")
    return " | ".join(lacks) or "0"


def check_block(block):
    require(type(block) is vision_transformer.Block, f"block {type(block).__name__}")
    require(type(block.attn) is vision_transformer.Attention, f"attention {type(block.attn).__name__}")
    require(
        isinstance(block.attn.norm, nn.Identity) and isinstance(block.mlp.norm, nn.Identity),
        "norm inside attention or MLP",
    )
    require(block.attn.gate is None, "gated attention")
    require(block.attn.attn_dim == block.attn.proj.out_features, "heads that do not add up to the width")
    require(type(block.mlp) in (Mlp, GluMlp), f"MLP {type(block.mlp).__name__}")
    require(type(block.mlp) is Mlp or not block.mlp.gate_last, "gate in the second half of the gated MLP")


def describe(name):
    """The columns of an entry point; Unsupported if there is more to it."""
    require("flexi" not in name and "radio" not in name, "positions are resized by another filter than bicubic")
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    require(type(model) in MODELS, f"class {type(model).__name__}")
    check_embedding(model)
    for block in model.blocks:
        check_block(block)
    norms = [m for m in model.modules() if "norm" in type(m).__name__.lower()]
    require(
        all(isinstance(m, nn.LayerNorm) for m in norms),
        f"norm {one((type(m).__name__ for m in norms), 'kind of norm')}",
    )
    heads = one((b.attn.num_heads for b in model.blocks), "heads")
    activation = one((activation_of(b.mlp) for b in model.blocks), "activation")
    eps = one((m.eps for m in norms), "epsilon")
    return len(model.blocks), model.embed_dim, heads, activation, float_literal(eps), pool_of(model), lacks_of(model)


def float_literal(x):
    mantissa, exponent = f"{x:.9e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}f"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines, left_out = [], {}
    for name in sorted({n for module in MODULES for n in timm.list_models(module=module)}):
        try:
            lines.append(f'VT_TIMM_VIT("{name}", {", ".join(map(str, describe(name)))})\n')
        except Unsupported as e:
            left_out.setdefault(str(e), []).append(name)
    pathlib.Path(sys.argv[1]).write_text(HEAD % timm.__version__ + "\n" + "".join(lines))
    print(f"{len(lines)} names written")
    for reason, names in sorted(left_out.items()):
        print(f"left out, {reason}: {' '.join(names)}")


if __name__ == "__main__":
    main()
