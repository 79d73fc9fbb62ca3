#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a segmenter of road scenes with heads on two of its blocks, for DToP (docs/token_reduction.md), on one core.

    camvid.py heads BACKBONE CAMVID HEADS.pt     BACKBONE: folder of a Hugging Face Dinov2 checkpoint (ViT-S/14)
    camvid.py tune HEADS.pt CAMVID MODEL.pt      goes on with the blocks
    camvid.py test MODEL.pt CAMVID               mIoU of every head on the test split
    camvid.py export MODEL.pt MODEL.safetensors  a graph file (docs/graph.md), weights in BF16

CAMVID: the folder with {train,val,test} and their labels {train,val,test}annot, 11 classes and void. Token-wise heads
(LayerNorm, linear, GELU, linear) stand behind blocks 5 and 8 and at the end. `heads` trains them on features of the
frozen backbone, `tune` together with the blocks from 4 on. Needs torch, Pillow and safetensors.
"""
import itertools
import json
import pathlib
import random
import sys
import time

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
VOID, WIDTH, HEADS, HIDDEN, DEPTH, FROZEN, EXITS = 11, 384, 6, 256, 12, 4, (5, 8)
TAPS = (*EXITS, DEPTH - 1)
SIZE, GRID, PATCH, TRAINED_GRID, LABELS = (364, 476), (26, 34), 14, 37, (360, 480)  # height, width
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEAD_EPOCHS, EPOCHS, BATCH, HEAD_RATE, RATE = 12, 3, 4, 1e-3, 1e-4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, 1e-6), nn.LayerNorm(WIDTH, 1e-6)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Head(nn.Sequential):
    def __init__(self):
        super().__init__(nn.LayerNorm(WIDTH, 1e-6), nn.Linear(WIDTH, HIDDEN), nn.GELU(),
                         nn.Linear(HIDDEN, len(CLASSES)))


class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.cls = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.zeros(1, 1 + TRAINED_GRID ** 2, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.heads = nn.ModuleList(Head() for _ in TAPS)

    def embed(self, pixels):
        grid = self.positions[:, 1:].unflatten(1, (TRAINED_GRID, -1)).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, GRID, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
        x = self.patch(pixels).flatten(2).transpose(1, 2) + grid
        return torch.cat([(self.cls + self.positions[:, :1]).expand(len(x), -1, -1), x], 1)

    def taps(self, x, first):
        """What the blocks from `first` on make of x behind those in TAPS."""
        for i in range(first, DEPTH):
            x = self.blocks[i](x)
            if i in TAPS:
                yield x


def load_backbone(model, folder):
    """LayerScale becomes part of the linear layer before it."""
    t = {k.removeprefix("dinov2."): v.float() for k, v in load_file(folder / "model.safetensors").items()}
    state = {"cls": t["embeddings.cls_token"], "positions": t["embeddings.position_embeddings"]}
    for kind in ("weight", "bias"):
        state[f"patch.{kind}"] = t[f"embeddings.patch_embeddings.projection.{kind}"]
        for i in range(DEPTH):
            p, b = f"encoder.layer.{i}.", f"blocks.{i}."
            scale = [t[f"{p}layer_scale{k}.lambda1"].view(-1, *[1] * (kind == "weight")) for k in (1, 2)]
            state[f"{b}qkv.{kind}"] = torch.cat([t[f"{p}attention.attention.{n}.{kind}"]
                                                 for n in ("query", "key", "value")])
            state[f"{b}proj.{kind}"] = scale[0] * t[f"{p}attention.output.dense.{kind}"]
            state[f"{b}fc1.{kind}"] = t[f"{p}mlp.fc1.{kind}"]
            state[f"{b}fc2.{kind}"] = scale[1] * t[f"{p}mlp.fc2.{kind}"]
            for n in ("norm1", "norm2"):
                state[f"{b}{n}.{kind}"] = t[f"{p}{n}.{kind}"]
    model.load_state_dict(state, strict=False)


def load_images(folder, split):
    """[n, 3, height, width] prepared images and [n, 360, 480] labels."""
    pixels, labels = [], []
    for path in sorted((folder / split).glob("*.jpg")):
        image = Image.open(path).convert("RGB").resize(SIZE[::-1], Image.BICUBIC)
        pixels.append((np.asarray(image, np.float32) / 255 - MEAN) / STD)
        labels.append(np.asarray(Image.open(folder / f"{split}annot" / f"{path.stem}.png")))
    return torch.tensor(np.stack(pixels), dtype=torch.float32).permute(0, 3, 1, 2), torch.tensor(np.stack(labels))


def as_map(logits):
    return logits[:, 1:].float().transpose(1, 2).unflatten(2, GRID)


def fast():
    return torch.autocast("cpu", torch.bfloat16)


@torch.no_grad()
def test(model, pixels, labels):
    """mIoU of each head, class maps being compared at the size of the labels."""
    model.eval()
    confusion = torch.zeros(len(TAPS), len(CLASSES) ** 2)
    for x, y in zip(pixels.split(1), labels.split(1)):
        known = y != VOID
        with fast():
            logits = [head(tap) for tap, head in zip(model.taps(model.embed(x), 0), model.heads)]
        for c, guess in zip(confusion, logits):
            guess = F.interpolate(as_map(guess), LABELS, mode="bilinear", align_corners=False).argmax(1)
            c += torch.bincount(y[known].long() * len(CLASSES) + guess[known], minlength=len(c))
    c = confusion.view(-1, len(CLASSES), len(CLASSES))
    hits = c.diagonal(dim1=1, dim2=2)
    iou = hits / (c.sum(1) + c.sum(2) - hits)
    for name, row in zip((*(f"head.{k}" for k in EXITS), "segmentation"), iou):
        print(f"{name}: mIoU {100 * row.mean():.2f}  " + " ".join(f"{n} {100 * v:.1f}" for n, v in zip(CLASSES, row)),
              flush=True)
    return iou.mean(1)


def loss_of(logits, labels, weights):
    """Pixels of a quarter of the labels."""
    labels = labels[:, 1::2, 1::2].long()
    logits = F.interpolate(as_map(logits), labels.shape[1:], mode="bilinear", align_corners=False)
    return F.cross_entropy(logits, labels, weights, ignore_index=VOID)


def class_weights(labels):
    share = torch.bincount(labels.flatten(), minlength=VOID + 1)[:VOID].double()
    return (share.median() / share).sqrt().clamp(0.5, 3).float()


def batches(n, size):
    order = list(range(n))
    random.shuffle(order)
    return (order[i:i + size] for i in range(0, n, size))


def epochs(model, inputs, labels, count, groups, step):
    """One-cycle AdamW; an epoch is one half of the images and mirror images. step: logits of heads for a batch."""
    weights = class_weights(labels)
    labels = torch.cat([labels, labels.flip(2)])
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    steps = count * (len(inputs) // 2 // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in groups], steps, pct_start=0.15)
    for epoch in range(count):
        start, total = time.time(), 0
        for i in itertools.islice(batches(len(inputs), BATCH), steps // count):
            with fast():
                logits = step(inputs[i])
            losses = [loss_of(h, labels[i], weights) for h in logits]
            optimizer.zero_grad()
            sum(losses).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += losses[-1].item()
        print(f"epoch {epoch}: loss {total / (steps // count):.4f}, {time.time() - start:.0f} s", flush=True)


@torch.no_grad()
def cache(model, pixels, last):
    """Of images and their mirror images: what stands behind the frozen blocks and, if `last`, behind the taps."""
    out = []
    for x in torch.cat([pixels, pixels.flip(3)]).split(4):
        with fast():
            x = model.embed(x)
            for block in model.blocks[:FROZEN]:
                x = block(x)
            out.append(torch.stack(list(model.taps(x, FROZEN)) if last else [x], 1).bfloat16())
    return torch.cat(out)


def train_heads(backbone, folder, checkpoint):
    model = Segmenter()
    load_backbone(model, backbone)
    pixels, labels = load_images(folder, "train")
    epochs(model, cache(model, pixels, True), labels, HEAD_EPOCHS,
           [{"params": model.heads.parameters(), "lr": HEAD_RATE}],
           lambda x: [head(x[:, i].float()) for i, head in enumerate(model.heads)])
    torch.save(model.state_dict(), checkpoint)


def load(checkpoint):
    model = Segmenter()
    model.load_state_dict(torch.load(checkpoint))
    return model


def tune(heads, folder, checkpoint):
    model = load(heads)
    pixels, labels = load_images(folder, "train")
    epochs(model, cache(model, pixels, False)[:, 0], labels, EPOCHS,
           [{"params": model.blocks[FROZEN:].parameters(), "lr": RATE},
            {"params": model.heads.parameters(), "lr": HEAD_RATE}],
           lambda x: [head(tap) for head, tap in zip(model.heads, model.taps(x.float(), FROZEN))])
    torch.save(model.state_dict(), checkpoint)


def graph():
    """The model as docs/graph.md has it; tensors are named as in Segmenter."""
    nodes = [{"op": "input", "name": "pixels"}]

    def node(op, name, *inputs, **members):
        nodes.append({"op": op, "name": name, "in": list(inputs), **members})
        return name

    def weights(op, name, *inputs, **members):
        return node(op, name, *inputs, weight=f"{name}.weight", bias=f"{name}.bias", **members)

    def head(i, tap, name):
        x = weights("layer_norm", f"heads.{i}.0", tap, eps=1e-6)
        x = node("activation", f"heads.{i}.2", weights("linear", f"heads.{i}.1", x), activation="gelu")
        return node("slice", name, weights("linear", f"heads.{i}.3", x), first_row=1)

    patch = weights("conv2d", "patch", "pixels", stride=[PATCH, PATCH])
    node("positions", "positions", patch, weight="positions", grid=[TRAINED_GRID, TRAINED_GRID], prefix=1,
         filter="bicubic")
    x = node("embed", "embed", patch, "positions", weight="cls", position_prefix=1)
    outputs = {}
    for i in range(DEPTH):
        b = f"blocks.{i}."
        qkv = weights("linear", f"{b}qkv", weights("layer_norm", f"{b}norm1", x, eps=1e-6))
        a = node("attention", f"{b}attention", *([qkv, k * WIDTH, WIDTH] for k in range(3)), heads=HEADS,
                 scale=(WIDTH // HEADS) ** -0.5)
        x = node("add", f"{b}mid", x, weights("linear", f"{b}proj", a))
        y = weights("linear", f"{b}fc1", weights("layer_norm", f"{b}norm2", x, eps=1e-6))
        y = weights("linear", f"{b}fc2", node("activation", f"{b}gelu", y, activation="gelu"))
        x = outputs[f"block.{i}"] = node("add", f"{b}out", x, y)
        if i in EXITS:
            outputs[f"head.{i}"] = head(TAPS.index(i), x, f"head.{i}")
    segmentation = head(len(TAPS) - 1, x, "segmentation")
    outputs["classmap"] = node("argmax", "classmap", node("upsample", "pixel_logits", segmentation))
    outputs["segmentation"] = segmentation
    return {"version": 3, "family": "segmenter", "architecture": "ViT-S/14 with token-wise heads", "size": SIZE,
            "size_multiple": [PATCH, PATCH], "nodes": nodes, "outputs": outputs}


def export(checkpoint, path):
    """Matrices in BF16."""
    tensors = {k: v.bfloat16() if v.ndim > 1 else v for k, v in torch.load(checkpoint).items()}
    preprocessor = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "resample": 3,
                    "size": dict(zip(("height", "width"), SIZE)), "do_center_crop": False, "do_rescale": True,
                    "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN, "image_std": STD}
    save_file({k: v.contiguous() for k, v in tensors.items()}, path,
              metadata={"vitrt.graph": json.dumps(graph()), "vitrt.preprocessor": json.dumps(preprocessor),
                        "vitrt.config": json.dumps({"label_names": CLASSES})})


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    random.seed(1)
    paths = list(map(pathlib.Path, sys.argv[2:]))
    if sys.argv[1] == "test":
        test(load(paths[0]), *load_images(paths[1], "test"))
    else:
        {"heads": train_heads, "tune": tune, "export": export}[sys.argv[1]](*paths)


if __name__ == "__main__":
    main()
