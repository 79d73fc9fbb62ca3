# SPDX-License-Identifier: Apache-2.0
"""Writes golden cases: a checkpoint as published (timm or Hugging Face layout), images, and PyTorch's own answers.

    pip install torch==2.13.0 numpy pillow safetensors transformers && pip install --no-deps timm torchvision==0.28.0
    python make_golden.py [--out cases] [--only NAME...]        # the cases listed in cases.py
    python make_golden.py --list

README.md says what a case's folder holds. Weights are random but scaled so that attention is peaked, biases
matter and no two channels look alike: a dropped bias, a transposed table or a wrong epsilon shows.
"""

import argparse
import json
import pathlib
import zlib

import torchvision_ops  # noqa: F401  (must come before timm)
import numpy as np
import timm
import timm.data
import timm.models
import torch
import transformers
from PIL import Image
from safetensors.numpy import save_file
from timm.models.vision_transformer import checkpoint_filter_fn

import cases

IMAGES = [("rgb", 131, 97), ("grey", 60, 80), ("rgba", 64, 64)]


def rerandomize(model, seed):
    """Overwrites every parameter with values that make each of them matter."""
    g = torch.Generator().manual_seed(seed)

    def normal(t, mean, std):
        t.copy_(torch.randn(t.shape, generator=g) * std + mean)

    with torch.no_grad():
        norms = {
            id(p)
            for m in model.modules()
            if "norm" in type(m).__name__.lower()
            for n, p in m.named_parameters(recurse=False)
            if n == "weight"
        }
        for name, p in model.named_parameters():
            leaf = name.rsplit(".", 1)[-1]
            if id(p) in norms:
                normal(p, 1.0, 0.2)
            elif "pos_emb" in name or "position_emb" in name or "token" in name:
                normal(p, 0.0, 0.6)
            elif "lambda" in leaf or leaf == "gamma":
                normal(p, 0.7, 0.2)
            elif p.ndim >= 2:
                normal(p, 0.0, 1.2 / np.sqrt(p[0].numel()))
            else:
                normal(p, 0.0, 0.2)


def scale_embedding(model, factor):
    """Shrinks what enters the first norm, so that its epsilon is no longer negligible."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.startswith(("patch_embed", "pos_embed", "cls_token")):
                p.mul_(factor)


def make_image(kind, w, h, seed):
    """A picture with edges, smooth shading and noise, as a PIL image of the given kind."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w]
    planes = []
    for _ in range(3):
        fx, fy, ph = rng.uniform(0.02, 0.4, 3)
        p = 0.5 + 0.35 * np.sin(fx * x + fy * y + 9 * ph)
        cx, cy, r = rng.uniform(0.2, 0.8) * w, rng.uniform(0.2, 0.8) * h, rng.uniform(0.1, 0.35) * min(w, h)
        p = np.where((x - cx) ** 2 + (y - cy) ** 2 < r * r, 1 - p, p) + rng.normal(0, 0.05, (h, w))
        planes.append(np.clip(p, 0, 1))
    rgb = (np.stack(planes, -1) * 255).round().astype(np.uint8)
    alpha = ((x * 255) // max(1, w - 1)).astype(np.uint8)
    if kind == "grey":
        return Image.fromarray(rgb[..., 0])
    if kind == "grey_alpha":
        return Image.merge("LA", (Image.fromarray(rgb[..., 0]), Image.fromarray(alpha)))
    if kind == "rgba":
        return Image.fromarray(np.concatenate([rgb, alpha[..., None]], -1))
    if kind == "palette":
        return Image.fromarray(rgb).quantize(37)
    if kind == "bilevel":
        return Image.fromarray(rgb[..., 0]).convert("1")
    return Image.fromarray(rgb)


def build(case, seed):
    torch.manual_seed(seed)
    if case["source"] == "timm":
        model = timm.create_model(case["name"], pretrained=False, **case["args"]).eval()
        model.pretrained_cfg.update(case["pretrained_cfg"])
    else:
        config = getattr(transformers, case["config"])(**case["args"])
        model = getattr(transformers, case["name"])(config).eval()
    rerandomize(model, seed)
    scale_embedding(model, case.get("embed_scale", 1))
    return model.to(getattr(torch, case.get("dtype", "float32")))


def save_checkpoint(case, model, folder):
    if case["source"] == "timm":
        timm.models.save_for_hf(model, str(folder), model_args=case["args"], safe_serialization=True)
        (folder / "pytorch_model.bin").unlink(missing_ok=True)
        return
    model.save_pretrained(folder, **({"max_shard_size": case["shard_size"]} if "shard_size" in case else {}))
    if "processor_file" in case:
        (folder / "preprocessor_config.json").write_text(json.dumps(case["processor_file"], indent=2) + "\n")
    else:
        getattr(transformers, case["processor"])(**case["processor_args"]).save_pretrained(folder)


def timm_at_size(case, model):
    """The same weights in a model built for the run size, through timm's own checkpoint filter."""
    other = timm.create_model(case["name"], pretrained=False, **dict(case["args"], img_size=case["run_size"])).eval()
    other.pretrained_cfg.update(case["pretrained_cfg"])
    other.load_state_dict(checkpoint_filter_fn(model.state_dict(), other))
    return other


def scaled_processor_args(processor, height, width):
    """Resize and crop scaled together to a run size (PREPROCESSING.md, section 2)."""
    if not processor.do_center_crop:
        return dict(size={"height": height, "width": width})
    crop = {"height": height, "width": width}
    size, old = processor.size, processor.crop_size
    if size.shortest_edge:
        assert (
            height * old.width == width * old.height
        ), "a rectangle of another shape is not stated in these classes' terms"
        return dict(size={"shortest_edge": size.shortest_edge * height // old.height}, crop_size=crop)
    return dict(
        size={"height": size.height * height // old.height, "width": size.width * width // old.width}, crop_size=crop
    )


def preprocess(case, model, folder, image):
    """The framework's own preprocessing; for Hugging Face from the file just saved."""
    image = image.convert("RGB")
    size = case.get("run_size")
    if case["source"] == "timm":
        cfg = timm.data.resolve_model_data_config(model)
        if size:
            cfg["input_size"] = (3, *size)
        return timm.data.create_transform(**cfg, is_training=False)(image)[None]
    processor = getattr(transformers, case["processor"]).from_pretrained(folder)
    return processor(image, return_tensors="pt", **(scaled_processor_args(processor, *size) if size else {}))[
        "pixel_values"
    ].float()


def hook_blocks(blocks):
    """Records the output of every block for the one image of a run."""
    store = []

    def hook(_module, _inputs, out):
        store.append((out[0] if isinstance(out, (tuple, list)) else out)[0].float().numpy().copy())

    for b in blocks:
        b.register_forward_hook(hook)
    return store


def answers(case, model, x):
    """The last outputs of one image, by their golden names."""
    if case["source"] == "timm":
        y = model(x)[0]
        if model.num_classes > 0:
            return {"logits": y}
        if y.ndim == 2:
            return {"features": y}
        return {"embedding": y} | (
            {"features": model.forward_features(x)[0]} if case["args"].get("global_pool") != "avg" else {}
        )
    call = (
        {"interpolate_pos_encoding": True}
        if "run_size" in case and case["config"] in ("ViTConfig", "DeiTConfig")
        else {}
    )
    y = model(x, **call)
    return {"logits": y.logits[0]} if getattr(y, "logits", None) is not None else {"features": y.last_hidden_state[0]}


def run(case, out):
    seed = case.get("seed", zlib.crc32(case["case"].encode()) % 100_000)
    folder = pathlib.Path(out) / case["case"]
    folder.mkdir(parents=True, exist_ok=True)
    model = build(case, seed)
    save_checkpoint(case, model, folder)
    model = model.float()
    if "run_size" in case:
        height, width = case["run_size"]
        (folder / "case.json").write_text(json.dumps({"height": height, "width": width}) + "\n")
        if case["source"] == "timm":
            model = timm_at_size(case, model)
    blocks = eval(case["blocks"], {"m": model})  # an expression of our own, from cases.py
    store = hook_blocks(blocks)
    golden = {}
    for i, (kind, w, h) in enumerate(case.get("images", IMAGES)):
        image = make_image(kind, w, h, seed + i)
        image.save(folder / f"image_{i}.png")
        x = preprocess(case, model, folder, image)
        store.clear()
        with torch.inference_mode():
            last = answers(case, model, x)
        golden[f"{i}/pixels"] = x[0].permute(1, 2, 0).numpy()
        golden |= {f"{i}/block.{k}": store[k] for k in range(len(blocks))}
        golden |= {f"{i}/{name}": value.numpy() for name, value in last.items()}
    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in golden.items()}, folder / "golden.safetensors")
    last_name = list(golden)[-1]
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(
        f"{case['case']:32s} {len(golden):3d} tensors {size / 1e3:6.0f} kB  "
        f"std of {last_name} {golden[last_name].std():.3f}",
        flush=True,
    )


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", default=pathlib.Path(__file__).with_name("cases"))
    ap.add_argument("--only", nargs="*")
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    transformers.utils.logging.disable_progress_bar()
    for case in cases.CASES:
        if a.list:
            print(case["case"])
        elif not a.only or case["case"] in a.only:
            run(case, a.out)


if __name__ == "__main__":
    main()
