#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small model as I-ViT (https://github.com/zkkli/I-ViT) trains them, and what its dataflow gives in PyTorch.

    make_ivit.py [FOLDER]    writes ivit/config.json and ivit/model.safetensors, with models/zoo/ivit_checkpoint.py, and
                             ivit/golden.safetensors, images and the answers

Weights are random, scales from float runs on noise. The answers round where I-ViT's quantizers do, with what stands
between them in float: "logits", "block.0", .. The same with "fine." before the name does without the two quantizers
that libvitrt does not have, of scores and of what GELU reads. Needs torch and safetensors.
"""

import pathlib
import sys
import tempfile

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "models/zoo"))
import ivit_checkpoint

SIDE, PATCH, C, DEPTH, HEADS, CLASSES, IMAGES, CALIBRATION = 32, 8, 48, 2, 3, 10, 4, 64
FINER = ("qact_attn1", "qact_gelu")
scales = {}


class Act:
    """A quantizer of activations: sees ranges, or rounds"""

    def __init__(self):
        self.seen, self.fine = None, False

    def __call__(self, name, x, bits=8):
        if self.seen is not None:
            self.seen[name] = max(self.seen.get(name, 0.0), x.abs().max().item() / (2 ** (bits - 1) - 1))
            return x
        if self.fine and name.endswith(FINER):
            return x
        s = scales[name]
        return (x / s).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * s


act = Act()


def weights():
    w = {}

    def layer(name, rows, *columns):
        n = torch.Size(columns).numel()
        w[f"{name}.weight"] = torch.randn(rows, *columns) * 1.4 / n ** 0.5
        w[f"{name}.bias"] = torch.randn(rows) * 0.2

    def norm(name):
        w[f"{name}.weight"] = 1 + 0.3 * torch.randn(C)
        w[f"{name}.bias"] = 0.2 * torch.randn(C)

    layer("patch_embed.proj", C, 3, PATCH, PATCH)
    w["cls_token"] = torch.randn(1, 1, C) * 0.5
    w["pos_embed"] = torch.randn(1, (SIDE // PATCH) ** 2 + 1, C) * 0.5
    for i in range(DEPTH):
        norm(f"blocks.{i}.norm1")
        layer(f"blocks.{i}.attn.qkv", 3 * C, C)
        layer(f"blocks.{i}.attn.proj", C, C)
        norm(f"blocks.{i}.norm2")
        layer(f"blocks.{i}.mlp.fc1", 4 * C, C)
        layer(f"blocks.{i}.mlp.fc2", C, 4 * C)
    norm("norm")
    layer("head", CLASSES, C)
    return w


def forward(w, x):
    answers = {}
    x = act("qact_input", x)
    x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH).flatten(2).transpose(1, 2)
    x = act("patch_embed.qact", x, 16)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1)
    x = act("qact1", x + act("qact_pos", w["pos_embed"], 16), 16)
    for i in range(DEPTH):
        b = f"blocks.{i}."

        def linear(name, x):
            return F.linear(x, w[f"{b}{name}.weight"], w[f"{b}{name}.bias"])

        def norm(name, x):
            return F.layer_norm(x, [C], w[f"{b}{name}.weight"], w[f"{b}{name}.bias"], 1e-6)

        y = act(f"{b}qact1", norm("norm1", x))
        y = act(f"{b}attn.qact1", linear("attn.qkv", y))
        q, k, v = y.unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        scores = act(f"{b}attn.qact_attn1", q @ k.transpose(-2, -1) * (C // HEADS) ** -0.5)
        y = act(f"{b}attn.qact2", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        y = act(f"{b}attn.qact3", linear("attn.proj", y), 16)
        x = act(f"{b}qact2", x + y, 16)
        y = act(f"{b}qact3", norm("norm2", x))
        y = act(f"{b}mlp.qact_gelu", linear("mlp.fc1", y))
        y = act(f"{b}mlp.qact1", F.gelu(y))
        y = act(f"{b}mlp.qact2", linear("mlp.fc2", y), 16)
        x = act(f"{b}qact4", x + y, 16)
        answers[f"block.{i}"] = x
    x = F.layer_norm(x, [C], w["norm.weight"], w["norm.bias"], 1e-6)
    answers["logits"] = F.linear(act("qact2", x[:, 0]), w["head.weight"], w["head.bias"])
    return answers


def levels(n):
    """Images of 8-bit noise on waves, as I-ViT normalises them"""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    angle = torch.rand(n, 3, 1, 1) * 6.3
    wave = 90 * torch.sin(angle + x * torch.rand(n, 3, 1, 1) + y * torch.rand(n, 3, 1, 1))
    pixels = (128 + wave + 30 * torch.randn(n, 3, SIDE, SIDE)).round().clamp(0, 255)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels / 255 - mean[:, None, None]) / std[:, None, None]


def state_of(w):
    """What I-ViT saves, with the buffers that are left out"""
    state = {name: x.clone() for name, x in w.items()}
    for name, x in w.items():
        if x.ndim in (2, 4):
            codes, scale = ivit_checkpoint.rounded(name, x)
            module = name.removesuffix("weight")
            state[f"{module}weight_integer"] = codes.float()
            state[f"{module}bias_integer"] = torch.zeros(len(x))
            state[f"{module}{'conv' if x.ndim == 4 else 'fc'}_scaling_factor"] = scale
        elif name.endswith("norm.weight"):
            state[name.replace("weight", "norm_scaling_factor")] = torch.ones(C)
    state |= {f"{name}.act_scaling_factor": torch.tensor([s]) for name, s in scales.items()}
    for i in range(DEPTH):
        for name in ("attn.matmul_1", "attn.matmul_2", "attn.int_softmax", "mlp.act"):
            state[f"blocks.{i}.{name}.act_scaling_factor"] = torch.ones(1)
    return state | {"act_out.act_scaling_factor": torch.zeros(1)}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent) / "ivit"
    torch.manual_seed(11)
    w = weights()
    act.seen = {}
    forward(w, levels(CALIBRATION))
    scales.update(act.seen)
    act.seen = None
    with tempfile.TemporaryDirectory() as temporary:
        path = pathlib.Path(temporary) / "checkpoint.pth.tar"
        torch.save({"model": state_of(w)}, path)
        tensors = ivit_checkpoint.converted(ivit_checkpoint.read_state(path))
    size = [3, SIDE, SIDE]
    config = ivit_checkpoint.config_of("deit_tiny_patch16_224", tensors)
    config["pretrained_cfg"]["input_size"] = size
    config["model_args"] = {"img_size": SIDE, "patch_size": PATCH, "embed_dim": C, "depth": DEPTH, "num_heads": HEADS}
    ivit_checkpoint.write(folder, config, tensors)
    for name in list(w):
        if f"{name}_scale" in tensors:
            scale = tensors[f"{name}_scale"]
            w[name] = tensors[name].float() * scale.reshape(-1, *[1] * (tensors[name].ndim - 1))
    pixels = levels(IMAGES)
    golden = {"pixels": pixels.permute(0, 2, 3, 1).contiguous()}
    for act.fine in (False, True):
        for name, answer in forward(w, pixels).items():
            golden[("fine." if act.fine else "") + name] = answer.contiguous()
    save_file(golden, folder / "golden.safetensors")
    for path in folder.iterdir():
        path.chmod(0o644)
    for name in ("logits", "block.0", "block.1"):
        a, b = golden[name], golden["fine." + name]
        print(f"{name}: up to {a.abs().max():.3f}, without two quantizers off by {(a - b).abs().max():.4f}")


if __name__ == "__main__":
    with torch.no_grad():
        main()
