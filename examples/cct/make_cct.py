#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A model that no family file of libvitrt knows, with a graph that was written by hand.

Compact Convolutional Transformer (Hassani et al. 2021, arXiv:2104.05704): convolutions with max pooling make the
tokens, and instead of a class token the tokens are averaged with weights that a softmax of one linear layer gives
("sequence pooling"). Module names are those of the published checkpoints, so that their weights fit the graph of the
same size. Needs torch and safetensors.

    make_cct.py FOLDER     writes FOLDER/model.safetensors, random weights together with graph.json, and
                           FOLDER/golden.safetensors, an input and what PyTorch makes of it
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

PLANES, DIM, HEADS, BLOCKS, CLASSES, SIZE = 16, 32, 2, 2, 10, 32


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)
        self.proj = nn.Linear(DIM, DIM)

    def forward(self, x):
        q, k, v = (t.unflatten(2, (HEADS, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=2))
        scores = q @ k.transpose(2, 3) * (DIM // HEADS) ** -0.5
        return self.proj((scores.softmax(3) @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.pre_norm, self.norm1 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.self_attn = Attention()
        self.linear1, self.linear2 = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)

    def forward(self, x):
        x = self.norm1(x + self.self_attn(self.pre_norm(x)))
        return x + self.linear2(F.gelu(self.linear1(x)))


class Tokenizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_layers = nn.Sequential(*(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
            for a, b in ((3, PLANES), (PLANES, DIM))))

    def forward(self, x):
        return self.conv_layers(x).flatten(2).transpose(1, 2)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.positional_emb = nn.Parameter(torch.zeros(1, (SIZE // 4) ** 2, DIM))
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(DIM)
        self.attention_pool = nn.Linear(DIM, 1)
        self.fc = nn.Linear(DIM, CLASSES)

    def forward(self, x):
        taps = {}
        x = x + self.positional_emb
        for i, block in enumerate(self.blocks):
            x = taps[f"block.{i}"] = block(x)
        x = taps["features"] = self.norm(x)
        x = taps["embedding"] = self.attention_pool(x).softmax(1).transpose(1, 2) @ x
        taps["logits"] = self.fc(x)
        return taps


class CCT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokenizer = Tokenizer()
        self.classifier = Classifier()

    def forward(self, x):
        return self.classifier(self.tokenizer(x))


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(1)
    model = CCT().eval()
    with torch.no_grad():
        for p in model.parameters():  # also what is 0 or 1 at first
            p.add_(torch.randn_like(p) * 0.3)
        pixels = torch.randn(1, 3, SIZE, SIZE)
        answers = model(pixels)
    config = {"label_names": [f"class {i}" for i in range(CLASSES)],
              "pretrained_cfg": {"input_size": [3, SIZE, SIZE], "crop_pct": 1.0, "interpolation": "bicubic",
                                 "mean": [0.4914, 0.4822, 0.4465], "std": [0.247, 0.2435, 0.2616]}}
    save_file(model.state_dict(), folder / "model.safetensors",
              metadata={"vitrt.graph": pathlib.Path(__file__).with_name("graph.json").read_text(),
                        "vitrt.config": json.dumps(config)})
    golden = {name: value[0].contiguous() for name, value in answers.items()}
    golden["pixels"] = pixels[0].permute(1, 2, 0).contiguous()
    save_file(golden, folder / "golden.safetensors")


if __name__ == "__main__":
    main()
