#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that was trained with I-ViT (https://github.com/zkkli/I-ViT), as a folder that libvitrt opens.

    ivit_checkpoint.py CHECKPOINT ARCHITECTURE FOLDER

CHECKPOINT: checkpoint.pth.tar of I-ViT's quant_train.py, a pickle of the model's state, or of a dictionary with it
under "model" or "state_dict". ARCHITECTURE: timm's name, such as deit_tiny_patch16_224. Writes config.json and
model.safetensors: layers' weights as the 8-bit numbers that I-ViT multiplies, which it makes anew from floats in every
forward pass, with the scale of each row; everything else as it is; the scales of its quantizers of activations, which
are buffers (the minima and maxima beside them are not stored, so that a model which has run again after it was loaded
has lost them: https://github.com/zkkli/I-ViT/issues/11).

Needs torch and safetensors. The pickle is read without running code that it contains.
"""

import argparse
import json
import math
import pathlib
import re
import sys

import torch
from safetensors.torch import save_file

LAYERS = re.compile(r"(patch_embed\.proj|blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])|head)\.weight")
PLAIN = re.compile(r"(cls_token|pos_embed|(blocks\.\d+\.norm[12]|norm)\.(weight|bias)|"
                   r"(patch_embed\.proj|blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])|head)\.bias)")
SCALES = re.compile(r"(qact_input|qact[12]|patch_embed\.qact|"
                    r"blocks\.\d+\.(qact[1234]|attn\.qact[123]|mlp\.(qact_gelu|qact[12])))\.act_scaling_factor")
# What the numbers above give anew, or what is more exact in libvitrt: scores, probabilities, GELU, positions.
LEFT_OUT = re.compile(r".*\.(weight_integer|bias_integer|fc_scaling_factor|conv_scaling_factor|norm_scaling_factor)|"
                      r"(act_out|qact_pos|.*\.(qact_attn1|int_softmax|matmul_[12]|act))\.act_scaling_factor")
EPSILON = torch.finfo(torch.float32).eps  # what I-ViT takes for a range of 0


def read_state(path):
    torch.serialization.add_safe_globals([argparse.Namespace])
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model", "state_dict"):
        if isinstance(state.get(key), dict):
            state = state[key]
    return {name.removeprefix("module."): value for name, value in state.items()}


def scale_of(name, tensor):
    if tensor.numel() != 1:
        sys.exit(f"{name} has {tensor.numel()} numbers, expected one scale for all columns")
    scale = float(tensor)
    if not math.isfinite(scale) or scale <= EPSILON:
        sys.exit(f"{name} is {scale:g}: the range of this quantizer was never seen or is lost, train it again")
    return torch.tensor([scale], dtype=torch.float32)


def rounded(name, weight):
    """8-bit numbers and the scale of each row, as I-ViT's symmetric quantizer has them."""
    weight = weight.float()
    if not torch.isfinite(weight).all():
        sys.exit(f"{name} has numbers that are not finite")
    rows = weight.flatten(1)
    scale = (rows.abs().amax(1) / 127).clamp(min=EPSILON)
    codes = (1 / scale[:, None] * rows).round().clamp(-128, 127).to(torch.int8)
    return codes.reshape(weight.shape), scale


def units(tensors):
    """16-bit units of what I-ViT does not round, from bounds: of the last norm's output, |gamma| sqrt(n) + |beta|, and
    of logits, the largest sum that 8-bit numbers can have."""
    gamma, beta = tensors["norm.weight"], tensors["norm.bias"]
    norm = (gamma.abs() * len(gamma) ** 0.5 + beta.abs()).max()
    sums = tensors["head.weight"].float().abs().sum(1) * tensors["head.weight_scale"]
    head = (128 * tensors["qact2.act_scaling_factor"] * sums + tensors["head.bias"].abs()).max()
    return {"norm.unit": norm.reshape(1) / 32767, "head.unit": head.reshape(1) / 32767}


def converted(state):
    tensors = {}
    for name, tensor in state.items():
        if LAYERS.fullmatch(name):
            tensors[name], tensors[f"{name}_scale"] = rounded(name, tensor)
        elif SCALES.fullmatch(name):
            tensors[name] = scale_of(name, tensor)
        elif PLAIN.fullmatch(name):
            tensors[name] = tensor.float().contiguous().clone()
        elif not LEFT_OUT.fullmatch(name):
            sys.exit(f"{name} is no tensor of I-ViT's ViT or DeiT")
    for name in ("norm.weight", "norm.bias", "head.weight", "head.bias", "qact2.act_scaling_factor"):
        if name not in tensors:
            sys.exit(f"{name} is missing: this is no checkpoint of I-ViT's ViT or DeiT")
    return tensors | units(tensors)


def config_of(architecture, tensors, **more):
    """With the preprocessing of I-ViT's data_utils.py."""
    cls = tensors["head.weight"].shape[0]
    return {"architecture": architecture, "quantization": "i-vit", "num_classes": cls,
            "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 224 / 256,
                               "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}} | more


def write(folder, config, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, folder / "model.safetensors")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    tensors = converted(read_state(sys.argv[1]))
    write(pathlib.Path(sys.argv[3]), config_of(sys.argv[2], tensors), tensors)


if __name__ == "__main__":
    main()
