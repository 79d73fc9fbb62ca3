# SPDX-License-Identifier: Apache-2.0
"""Writes models/swin_timm.inc from timm: what each Swin and Swin V2 entry point is called with.

    pip install torch numpy pillow && pip install --no-deps timm torchvision
    python make_swin_timm_table.py ../swin_timm.inc       # names left out and why go to standard output

Each entry point is built without storage (on torch's meta device) and looked at.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"))
import torchvision_ops  # noqa: F401,E402  (must come before timm)
import timm
import torch
from torch import nn
from timm.layers import activations
from timm.models import swin_transformer, swin_transformer_v2

MODELS = {
    "swin_transformer": (1, swin_transformer.SwinTransformer),
    "swin_transformer_v2": (2, swin_transformer_v2.SwinTransformerV2),
}
STAGES = 4

HEAD = """/* SPDX-License-Identifier: Apache-2.0 */
/* timm's Swin architectures: what their entry points are called with. Include it with VT_TIMM_SWIN defined:
 *
 *     VT_TIMM_SWIN(name without tag, version of Swin, side of the images, channels of the first stage,
 *                  (blocks of each stage), (heads), (side of the windows), (the same in pretraining, 0: no other))
 *
 * Sorted by name (strcmp). The model_args of a checkpoint's config may override them. All have patches of 4x4, GELU, an
 * MLP four times as wide as the block, a bias of q, k and v, epsilons of 1e-5, and pool the mean.
 * Made by tools/make_swin_timm_table.py from timm %s. */
"""


class Unsupported(Exception):
    pass


def require(condition, reason):
    if not condition:
        raise Unsupported(reason)


def square(size):
    """The side of a window; the two are the same."""
    require(size[0] == size[1], "windows that are no squares")
    return size[0]


def check_block(block, dim, version):
    require(block.mlp.fc1.out_features == 4 * dim, "MLP not four times as wide")
    act = block.mlp.act
    plain = isinstance(act, activations.GELU) or (isinstance(act, nn.GELU) and act.approximate == "none")
    require(plain, "another activation than GELU")
    require(not block.always_partition and not block.dynamic_mask, "windows that do not follow the map")
    attn = block.attn
    require(attn.qkv.out_features == 3 * dim, "heads that do not add up to the width")
    require((attn.qkv.bias if version == 1 else attn.q_bias) is not None, "no bias of q, k and v")


def check_model(model, version):
    require(model.patch_embed.patch_size == (4, 4), "patches other than 4x4")
    require(model.num_layers == STAGES, f"{model.num_layers} stages")
    require(model.global_pool == "avg", f"pooling '{model.global_pool}'")
    norms = [m for m in model.modules() if "norm" in type(m).__name__.lower()]
    require(all(type(m) is nn.LayerNorm and m.eps == 1e-5 for m in norms), "another norm")
    for i, stage in enumerate(model.layers):
        for block in stage.blocks:
            check_block(block, model.embed_dim << i, version)


def pretrained_window(stage, version):
    return square(stage.blocks[0].attn.pretrained_window_size) if version == 2 else 0


def describe(name, version, kind):
    """The columns of an entry point; Unsupported if there is more to it."""
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    require(type(model) is kind, f"class {type(model).__name__}")
    check_model(model, version)
    lists = (
        [len(s.blocks) for s in model.layers],
        [s.blocks[0].attn.num_heads for s in model.layers],
        [square(size) for size in model._ref_window_sizes],  # those of the blocks are cut to the map
        [pretrained_window(s, version) for s in model.layers],
    )
    side = square(model.patch_embed.img_size)
    return [version, side, model.embed_dim] + ["(" + ", ".join(map(str, v)) + ")" for v in lists]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines, left_out = {}, {}
    for module, (version, kind) in MODELS.items():
        for name in timm.list_models(module=module):
            try:
                lines[name] = f'VT_TIMM_SWIN("{name}", {", ".join(map(str, describe(name, version, kind)))})\n'
            except Unsupported as e:
                left_out.setdefault(str(e), []).append(name)
    text = "".join(lines[name] for name in sorted(lines))
    pathlib.Path(sys.argv[1]).write_text(HEAD % timm.__version__ + "\n" + text)
    print(f"{len(lines)} names written")
    for reason, names in sorted(left_out.items()):
        print(f"left out, {reason}: {' '.join(names)}")


if __name__ == "__main__":
    main()
