# SPDX-License-Identifier: Apache-2.0
"""Writes golden cases: a checkpoint as published (timm or Hugging Face layout), images, and PyTorch's own answers.

    pip install torch==2.13.0 numpy pillow safetensors transformers && pip install --no-deps timm torchvision==0.28.0
    python make_golden.py [--out cases] [--only NAME...]        # the cases listed in cases.py
    python make_golden.py --large --out OUT [--only NAME...]    # published sizes, too large to keep
    python make_golden.py --list

README.md says what a case's folder holds. Weights are random but scaled so that attention is peaked, biases
matter and no two channels look alike: a dropped bias, a transposed table or a wrong epsilon shows.
"""

import argparse
import json
import pathlib
import sys
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

import cases

IMAGES = [("rgb", 131, 97), ("grey", 60, 80), ("rgba", 64, 64)]


def rerandomize(model, seed, logit_scale=(1.5, 0.2)):
    """Overwrites every parameter, and the statistics of batch norms, with values that make each of them matter."""
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
            elif any(part in name for part in ("relative_position", "pos_emb", "position_emb", "token")):
                normal(p, 0.0, 0.6)
            elif "lambda" in leaf or leaf == "gamma":
                normal(p, 0.7, 0.2)
            elif "logit_scale" in leaf:
                normal(p, *logit_scale)
            elif p.ndim >= 2:
                normal(p, 0.0, 1.2 / np.sqrt(p[0].numel()))
            else:
                normal(p, 0.0, 0.2)
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                normal(b, 0.0, 0.3)
            elif name.endswith("running_var"):
                b.copy_(torch.rand(b.shape, generator=g) * 0.8 + 0.6)


def scale_embedding(model, factor):
    """Shrinks what enters the first norm, and all batch norms, so that their epsilon is no longer negligible."""
    parts = ("patch_embeddings.projection", "convolution_embeddings", "convolution_projection.convolution")
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.startswith(("patch_embed", "pos_embed", "cls_token")) or any(part in name for part in parts):
                p.mul_(factor)
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.mul_(factor)
            elif name.endswith("running_var"):
                b.mul_(factor * factor)


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
    rerandomize(model, seed, case.get("logit_scale", (1.5, 0.2)))
    scale_embedding(model, case.get("embed_scale", 1))
    return model.to(getattr(torch, case.get("dtype", "float32")))


def save_checkpoint(case, model, folder):
    if case["source"] == "timm":
        timm.models.save_for_hf(model, str(folder), model_args=case["args"] or None, safe_serialization=True)
        (folder / "pytorch_model.bin").unlink(missing_ok=True)
        if case.get("no_model_args"):
            config = json.loads((folder / "config.json").read_text())
            del config["model_args"]
            (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
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
    filter_fn = sys.modules[type(model).__module__].checkpoint_filter_fn
    other.load_state_dict(filter_fn(model.state_dict(), other))
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


def convnext_at_size(processor, height, width):
    """ConvNextImageProcessor for a rectangle, which its class does not know: resize and crop as timm's mode center."""

    def apply(image, **_):
        pct = processor.crop_pct
        r = min(image.height / int(height / pct), image.width / int(width / pct))
        resize = {"height": round(image.height / r), "width": round(image.width / r)}
        crop = dict(do_center_crop=True, crop_size={"height": height, "width": width})
        same = {k: getattr(processor, k) for k in ("resample", "rescale_factor", "image_mean", "image_std")}
        return transformers.ViTImageProcessorPil(size=resize, **crop, **same)(image, return_tensors="pt")

    return apply


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
    if not size:
        args = {}
    elif not case["processor"].startswith("ConvNext"):
        args = scaled_processor_args(processor, *size)
    elif size[0] == size[1]:
        args = dict(size={"shortest_edge": size[0]})
    else:
        args = {}
        processor = convnext_at_size(processor, *size)
    return processor(image, return_tensors="pt", **args)["pixel_values"].float()


def hook_blocks(blocks):
    """Records the output of every block for the one image of a run: rows of channels, maps row by row."""
    store = []

    def hook(_module, _inputs, out):
        out = (out[0] if isinstance(out, (tuple, list)) else out)[0].float().numpy()
        store.append(out.reshape(-1, out.shape[-1]).copy())

    for b in blocks:
        b.register_forward_hook(hook)
    return store


def stage_outputs(case, model, store):
    """What the stages of a hierarchical model hand on, before a downsampling and without their class token."""
    golden = {}
    last = -1
    for k, (depth, tokens) in enumerate(eval(case.get("stages", "[]"), {"m": model})):
        last += depth
        golden[f"stage.{k}"] = store[last][tokens:]
    return golden


def rows(t):
    return t.reshape(-1, t.shape[-1])


def answers(case, model, x):
    """The last outputs of one image, by their golden names."""
    if case["source"] == "timm":
        y = model(x)[0]
        if model.num_classes > 0:
            return {"logits": y}
        if y.ndim >= 2:
            return {"features": rows(y)}
        return {"embedding": y} | (
            {"features": rows(model.forward_features(x)[0])} if case["args"].get("global_pool") != "avg" else {}
        )
    interpolates = case["config"] in ("ViTConfig", "DeiTConfig") or case["args"].get("use_absolute_embeddings")
    call = {"interpolate_pos_encoding": True} if "run_size" in case and interpolates else {}
    if case["config"] == "CvtConfig":  # it cannot unpack its own answer when that has nothing beside the logits
        call["output_hidden_states"] = True
    y = model(x, **call)
    if getattr(y, "logits", None) is not None:
        return {"logits": y.logits[0]}
    features = y.last_hidden_state[0]
    if features.ndim == 3:  # CvT: a map [C, H, W], and beside it the class token
        features = rows(features.permute(1, 2, 0))
        if y.cls_token_value is not None:
            features = torch.cat((y.cls_token_value[0], features))
    if "stages" in case and getattr(y, "pooler_output", None) is not None:
        return {"features": features, "pooler": y.pooler_output[0]}
    return {"features": features}


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
        golden |= {f"{i}/{name}": value for name, value in stage_outputs(case, model, store).items()}
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
    ap.add_argument("--out")
    ap.add_argument("--only", nargs="*")
    ap.add_argument("--large", action="store_true", help="the cases of published size, into a folder given by --out")
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    if a.large and not a.list and not a.out:
        ap.error("--large needs --out: these cases are too large to keep beside the others")
    transformers.utils.logging.disable_progress_bar()
    for case in cases.LARGE if a.large else cases.CASES:
        if a.list:
            print(case["case"])
        elif not a.only or case["case"] in a.only:
            run(case, a.out or pathlib.Path(__file__).with_name("cases"))


if __name__ == "__main__":
    main()
