# SPDX-License-Identifier: Apache-2.0
"""Writes reduced/: checkpoints, images, and what PyTorch answers when tokens leave them (reduced_reference.py).

    python make_reduced.py [--out reduced] [--only NAME...]     # packages as for make_golden.py

README.md says what a folder holds. The weights are as make_golden.py makes them, with queries whose heads differ in
how peaked they attend. Images are those among many on which every schedule chooses clearly: the choice is then the same
in f32.
"""

import argparse
import pathlib
import zlib

import make_golden  # imports torchvision_ops before timm
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

import reduced_reference as reference

CLEAR = 1e-4  # the least margin of a choice, relative to what is compared; f32 errs by some 1e-6
IMAGES = 3
SHARPNESS = (0.15, 0.6, 1.0, 1.6)  # of the heads: factors of their queries

_SHAPE = dict(num_labels=10, hidden_size=48, num_hidden_layers=4, num_attention_heads=4, image_size=32, patch_size=4)
_PROCESSOR = dict(size={"height": 32, "width": 32}, resample=3)


def _hf(case, name, config, args, processor, processor_args):
    more = dict(dtype="float16", processor=processor, processor_args=processor_args)
    return dict(case=case, source="hf", name=name, config=config, args=dict(_SHAPE, **args), **more)


CASES = [
    _hf(
        "hf_vit",
        "ViTForImageClassification",
        "ViTConfig",
        dict(intermediate_size=96),
        "ViTImageProcessorPil",
        dict(_PROCESSOR, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]),
    ),
    _hf(
        "hf_deit_distilled",
        "DeiTForImageClassificationWithTeacher",
        "DeiTConfig",
        dict(intermediate_size=96),
        "DeiTImageProcessorPil",
        dict(_PROCESSOR, do_center_crop=False),
    ),
    _hf(
        "hf_dinov2_registers",
        "Dinov2WithRegistersForImageClassification",
        "Dinov2WithRegistersConfig",
        dict(mlp_ratio=2),
        "BitImageProcessorPil",
        dict(_PROCESSOR, do_center_crop=False),
    ),
    dict(
        case="timm_vit_avg_nocls",
        source="timm",
        name="vit_tiny_patch16_224",
        args=dict(
            img_size=32,
            patch_size=4,
            embed_dim=48,
            depth=4,
            num_heads=4,
            num_classes=10,
            mlp_ratio=2,
            class_token=False,
            global_pool="avg",
        ),
        pretrained_cfg=dict(input_size=(3, 32, 32), crop_pct=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        dtype="float16",
    ),
    dict(
        case="timm_deit",
        source="timm",
        name="deit_tiny_patch16_224",
        args=dict(img_size=32, patch_size=4, embed_dim=48, depth=4, num_heads=4, num_classes=10, mlp_ratio=2),
        pretrained_cfg=dict(input_size=(3, 32, 32), crop_pct=1.0),
        predictors=[0, 2, 3],
        dtype="float16",
    ),
]

SCHEDULES = [
    "zero-tprune:1@0.7/2@0.7",
    "zero-tprune-uniform:1@0.7/2@0.7",
    "zero-tprune-all-heads:1@0.7/2@0.7",
    "zero-tprune:0@0.8+8/2@0.7+5/3@0.5",
    "zero-tprune-uniform:0@40+20/3@9",
    "zero-tprune:0@0.8v30/1@0.8v5/2@0.7",
    "zero-tprune:0@0.8+8v30/2@0.7+5v2/3@0.5v5",
    "zero-tprune-uniform:0@40+20v2/3@9v2",
    "zero-tprune-vote-again:0@0.8+8/2@0.7+5v5/3@0.5",
    "tome:0@0.8/1@0.8/2@0.75",
    "tome-equal-keys:0@0.8/1@0.8/2@0.75",
    "tome-drop-early:0@0.7/1@0.8/2@0.75",
    "tome-by-attention:0@0.8/1@0.8/2@0.75",
    "tome-drop-early-whole-keys-by-attention:0@0.7/1@0.8/2@0.75/3@0.6",
    "tome:0@0.5/1@0.5/2@0.5",
    "tome:1@11/3@40",
    "uniform:1@0.6/2@21",
]
OF_CLASS_TOKENS = [
    "ats:1@0.7/2@0.8/3@0.9",
    "ats:0@40/2@20",
    "ats-paper:1@0.7/2@0.8/3@0.9",
    "ats-paper:0@50/2@20",
    "evit:1@0.7/2@0.7/3@0.5",
    "evit:0@30/3@7",
    "evit-fused:1@0.7/2@0.7/3@0.5",
    "evit-fused:0@30/2@7",
]

TRAINED_FOR = [
    "dynamicvit:0@0.7/2@0.7/3@0.7",
    "dynamicvit:0@40/3@9",
    "dynamicvit:2@1/3@0.3",
    "a-vit:1/9",  # all stay until the end
    "a-vit:10/30",  # ever fewer, but the class token
    "a-vit:2/3",  # of some images the class token halts behind block 2
    "a-vit:2/-1",
    "a-vit:1/-6",  # the class token halts behind block 0
]

# Pairs that would show a flag without effect: other tokens, or other logits.
DIFFERENT = [
    ("zero-tprune:1@0.7/2@0.7", "zero-tprune-uniform:1@0.7/2@0.7"),
    ("zero-tprune:1@0.7/2@0.7", "zero-tprune-all-heads:1@0.7/2@0.7"),
    ("zero-tprune:0@0.8+8v30/2@0.7+5v2/3@0.5v5", "zero-tprune:0@0.8+8/2@0.7+5/3@0.5"),
    ("zero-tprune-uniform:0@40+20v2/3@9v2", "zero-tprune-uniform:0@40+20/3@9"),
    ("zero-tprune-vote-again:0@0.8+8/2@0.7+5v5/3@0.5", "zero-tprune:0@0.8+8/2@0.7+5/3@0.5"),
    ("tome:0@0.8/1@0.8/2@0.75", "tome-equal-keys:0@0.8/1@0.8/2@0.75"),
    ("tome:0@0.8/1@0.8/2@0.75", "tome-by-attention:0@0.8/1@0.8/2@0.75"),
    ("ats:1@0.7/2@0.8/3@0.9", "ats-paper:1@0.7/2@0.8/3@0.9"),
    ("evit:1@0.7/2@0.7/3@0.5", "evit-fused:1@0.7/2@0.7/3@0.5"),
]


class Predictor(torch.nn.Module):
    """DynamicViT's, with the names of its published weights: patches [n, D] to log-probabilities of staying and not."""

    def __init__(self, dim):
        super().__init__()
        nn = torch.nn
        self.in_conv = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())
        layers = [nn.Linear(dim, dim // 2), nn.GELU(), nn.Linear(dim // 2, dim // 4), nn.GELU(), nn.Linear(dim // 4, 2)]
        self.out_conv = nn.Sequential(*layers, nn.LogSoftmax(dim=-1))

    def forward(self, x):
        h = self.in_conv(x)
        half = h.shape[1] // 2
        mean = h[:, half:].mean(0).expand(h.shape[0], -1)
        return self.out_conv(torch.cat((h[:, :half], mean), dim=1))


def build(case):
    seed = zlib.crc32(case["case"].encode()) % 100_000
    model = make_golden.build(dict(case, dtype="float32"), seed)
    if "predictors" in case:
        model.score_predictor = torch.nn.ModuleList(Predictor(model.embed_dim) for _ in case["predictors"])
        make_golden.rerandomize(model.score_predictor, seed)
        with torch.no_grad():
            model.cls_token[..., 0] -= 2.5  # A-ViT: others halt before the class token
    factor = torch.tensor(SHARPNESS).repeat_interleave(12)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "q_proj" in name or "attn.qkv" in name:
                p[:48] *= factor if p.ndim == 1 else factor[:, None]
    return model.to(torch.float16), seed


# ---- The parts of a model, from its modules


def hf_block(block, norm1, norm2, scales):
    a = block.attention
    return reference.Block(norm1, a.q_proj, a.k_proj, a.v_proj, a.o_proj, norm2, block.mlp, *scales)


def timm_block(block):
    def part(i):
        return lambda y: block.attn.qkv(y).chunk(3, dim=-1)[i]

    return reference.Block(block.norm1, part(0), part(1), part(2), block.attn.proj, block.norm2, block.mlp)


def mean_of(rows, sizes):
    return (sizes[:, None] * rows).sum(0) / sizes.sum()


def parts(model, case):
    kind = type(model).__name__
    if kind == "VisionTransformer":
        blocks = [timm_block(b) for b in model.blocks]
        embed = lambda x: model.norm_pre(model._pos_embed(model.patch_embed(x[None])))[0]
        if model.cls_token is None:
            head = lambda x, sizes: model.head(model.fc_norm(mean_of(model.norm(x), sizes)))
            return reference.Model(4, 0, 0, blocks, embed, head)
        predictors = {
            block: lambda x, p=p: p(x)[:, 0] for block, p in zip(case["predictors"], model.score_predictor)
        }
        return reference.Model(4, 1, 1, blocks, embed, lambda x, sizes: model.head(model.norm(x)[0]), predictors)
    base = model.base_model
    embed = lambda x: base.embeddings(x[None])[0]
    if kind.startswith("Dinov2"):
        blocks = [
            hf_block(b, b.norm1, b.norm2, (b.layer_scale1.lambda1, b.layer_scale2.lambda1)) for b in base.encoder.layer
        ]

        def head(x, sizes):
            y = base.layernorm(x)
            return model.classifier(torch.cat((y[0], mean_of(y[5:], sizes[5:]))))

        return reference.Model(4, 5, 1, blocks, embed, head)
    blocks = [hf_block(b, b.layernorm_before, b.layernorm_after, ()) for b in base.layers]
    if kind.startswith("DeiT"):

        def head(x, sizes):
            y = base.layernorm(x)
            return (model.cls_classifier(y[0]) + model.distillation_classifier(y[1])) / 2

        return reference.Model(4, 2, 2, blocks, embed, head)
    return reference.Model(4, 1, 1, blocks, embed, lambda x, sizes: model.classifier(base.layernorm(x)[0]))


# ---- Answers


def answers(parts, pixels, schedules):
    """{schedule: (logits, places)}, or None where a choice is not clear, and its schedule."""
    found = {}
    for text in schedules:
        logits, places, margin = reference.run(parts, pixels, text)
        if margin < CLEAR:
            return None, text
        found[text] = (logits, places)
    return found, None


def clear_image(case, model, parts, folder, schedules, seed, number):
    unclear = {}
    for attempt in range(5000):
        image = make_golden.make_image("rgb", 32, 32, seed + 10_000 * number + attempt)
        pixels = make_golden.preprocess(case, model, folder, image)[0].double()
        found, why = answers(parts, pixels, schedules)
        if found:
            image.save(folder / f"image_{number}.png")
            return pixels, found, attempt
        unclear[why] = unclear.get(why, 0) + 1
    raise SystemExit(f"{case['case']}: no image is clear: {unclear}")


def same(a, b):
    return a[1] == b[1] and torch.allclose(a[0], b[0], rtol=1e-3)


def run(case, out):
    folder = pathlib.Path(out) / case["case"]
    folder.mkdir(parents=True, exist_ok=True)
    model, seed = build(case)
    more_args = {"pruning_loc": case["predictors"]} if "predictors" in case else {}
    make_golden.save_checkpoint(dict(case, args=case["args"] | more_args), model, folder)
    model = model.double()
    m = parts(model, case)
    schedules = TRAINED_FOR if m.predictors else SCHEDULES + (OF_CLASS_TOKENS if m.classes else [])
    tensors, images = {}, []
    for number in range(IMAGES):
        pixels, found, attempts = clear_image(case, model, m, folder, schedules, seed, number)
        dense = model(pixels[None])
        dense = (dense if isinstance(dense, torch.Tensor) else dense.logits)[0]
        assert torch.allclose(reference.run(m, pixels)[0], dense, rtol=1e-10), "the reference is another model"
        for text, (logits, places) in found.items():
            tensors[f"{text} {number} logits"] = logits
            tensors |= {f"{text} {number} tokens.{block}": torch.tensor(rows) for block, rows in places.items()}
        images.append(found)
        print(f"{case['case']} image {number}: {attempts} were not clear", flush=True)
    for a, b in DIFFERENT:
        has_flag = a in schedules and (m.prefix or "uniform" not in b)  # votes are equal without a class token
        assert not has_flag or not all(same(i[a], i[b]) for i in images), (a, b)
    save_file({k: v.numpy().astype(np.float32) for k, v in tensors.items()}, folder / "reduced.safetensors")
    print(f"{case['case']}: {sum(f.stat().st_size for f in folder.iterdir()) / 1e3:.0f} kB", flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", default=pathlib.Path(__file__).with_name("reduced"))
    ap.add_argument("--only", nargs="*")
    a = ap.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with torch.inference_mode():
        for case in CASES:
            if not a.only or case["case"] in a.only:
                run(case, a.out)


if __name__ == "__main__":
    main()
