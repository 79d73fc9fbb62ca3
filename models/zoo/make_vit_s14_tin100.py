# SPDX-License-Identifier: Apache-2.0
"""Derives the bundled model from the BF16 checkpoint: linear weights in 8 bits with one scale per output row.

    pip install torch numpy safetensors
    python make_vit_s14_tin100.py SOURCE_FOLDER OUTPUT_FOLDER

Every two-dimensional weight of a block becomes I8 [out, in] beside a tensor of its name + "_scale", F32 [out]:
w = q * scale, symmetric, -127..127. Each row's scale is the one of least squared error among clipped ranges. All other
tensors keep their BF16 bits.
The file is laid out so that the data section and every tensor in it start at a multiple of 64 bytes.
"""

import json
import pathlib
import shutil
import struct
import sys

import numpy as np
import torch
from safetensors import safe_open

ALIGNMENT = 64
CLIPPING = np.linspace(0.5, 1.0, 101)  # share of a row's largest magnitude that becomes 127


def quantize_rows(w):
    """int8 rows and f32 scales of least squared error over CLIPPING."""
    w = w.astype(np.float64)
    largest = np.abs(w).max(axis=1)
    largest[largest == 0] = 1
    best_error = np.full(len(w), np.inf)
    best_q, best_scale = np.zeros(w.shape, np.int8), np.ones(len(w), np.float32)
    for share in CLIPPING:
        scale = (largest * share / 127).astype(np.float32)
        q = np.clip(np.rint(w / scale[:, None]), -127, 127)
        error = ((q * scale[:, None] - w) ** 2).sum(axis=1)
        better = error < best_error
        best_error[better], best_scale[better] = error[better], scale[better]
        best_q[better] = q[better].astype(np.int8)
    return best_q, best_scale


def is_block_linear(name, tensor):
    return ".layer." in name and name.endswith(".weight") and tensor.ndim == 2


def converted_tensors(source):
    """{name: (dtype, shape, bytes)} of the output file."""
    out = {}
    with safe_open(source, "pt") as f:
        for name in f.keys():
            t = f.get_tensor(name)
            if t.dtype != torch.bfloat16:
                sys.exit(f"{source}: {name} is {t.dtype}, want bfloat16")
            if is_block_linear(name, t):
                q, scale = quantize_rows(t.float().numpy())
                out[name] = ("I8", q.shape, q.tobytes())
                out[name + "_scale"] = ("F32", scale.shape, scale.tobytes())
            else:
                out[name] = ("BF16", tuple(t.shape), t.contiguous().view(torch.int16).numpy().tobytes())
    return out


def write_safetensors(path, tensors):
    """Tensors whose size is a multiple of ALIGNMENT first: as the format allows no gaps, these all start aligned."""
    order = sorted(tensors, key=lambda name: len(tensors[name][2]) % ALIGNMENT != 0)
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in order:
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            f.write(tensors[name][2])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copyfile(source / name, out / name)
    write_safetensors(out / "model.safetensors", converted_tensors(source / "model.safetensors"))


if __name__ == "__main__":
    main()
