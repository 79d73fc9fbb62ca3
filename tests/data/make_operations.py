#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One graph with the operations that no family needs in every variation, and what PyTorch makes of the same numbers.

    make_operations.py [FOLDER]    writes operations/model.safetensors, the graph and its weights, and
                                   operations/golden.safetensors, an input and the answers

Needs torch and safetensors. Maps are 13x11 so that no stride, kernel or window divides them.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

HEIGHT, WIDTH, C = 13, 11, 8
nodes, outputs, weights, golden = [], {}, {}, {}


def weight(name, *shape):
    weights[name] = torch.randn(*shape) * (2 / (shape[-1] if len(shape) == 2 else 3)) ** 0.5
    return weights[name]


def node(op, name, inputs, output=None, **attributes):
    """Adds a node; with `output`, PyTorch's [1, C, H, W] or [rows, C], also the answer to it."""
    nodes.append({"op": op, "name": name, "in": inputs, **attributes})
    if output is not None:
        outputs[name] = name
        golden[name] = (output[0].permute(1, 2, 0) if output.ndim == 4 else output).flatten(0, -2).clone(memory_format=torch.contiguous_format)
    return output


def rows(x):
    return x[0].permute(1, 2, 0).flatten(0, 1)


def conv(name, source, x, out, kernel, groups=1, bias=True, activation=None, cover=False, **how):
    w = weight(f"{name}.weight", out, x.shape[1] // groups, *kernel)
    b = weight(f"{name}.bias", out) if bias else None
    stride, padding = how.get("stride", [1, 1]), how.get("padding", [0, 0])
    padded = x
    if cover:  # zeros at the bottom and right until the last windows are whole
        short = [(k - n - 2 * p) % s for n, k, s, p in zip(x.shape[2:], kernel, stride, padding)]
        padded = F.pad(x, (0, short[1], 0, short[0]))
    y = F.conv2d(padded, w, b, stride=stride, padding=padding, groups=groups)
    attributes = dict(weight=f"{name}.weight", **({"bias": f"{name}.bias"} if bias else {}), **how)
    if cover:
        attributes["cover"] = True
    if not activation:
        return node("conv2d", name, [source], y, **attributes)
    node("conv2d", f"{name}.sum", [source], **attributes)
    return node("activation", name, [f"{name}.sum"], F.gelu(y), activation="gelu")


def windows(x, size, shift):
    """Swin's partition of [1, C, H, W] in timm's order: shift, then pad."""
    x = torch.roll(x, (-shift[0], -shift[1]), (2, 3))
    x = F.pad(x, (0, -x.shape[3] % size[1], 0, -x.shape[2] % size[0]))
    return x.unflatten(2, (-1, size[0])).unflatten(4, (-1, size[1])).permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2, 3)[0]


def attention(q, k, v, heads, scale):
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (q, k, v))
    return ((q @ k.transpose(-2, -1) * scale).softmax(-1) @ v).transpose(-3, -2).flatten(-2)


def probabilities(q, k, heads, scale, gamma=0.0, zeta=1.0, bias=0.0):
    """[.., heads, rows of q, rows of k], clipped as by Bondarenko et al. 2023 (arXiv:2306.12929, eq. 4)"""
    q, k = (t.unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (q, k))
    p = (q @ k.transpose(-2, -1) * scale + bias).softmax(-1)
    return ((zeta - gamma) * p + gamma).clip(0, 1)


def weighted(p, v, gate=None):
    """Values with those weights; gate: [.., rows of q, heads], logits (eq. 5)"""
    y = p @ v.unflatten(-1, (p.shape[-3], -1)).transpose(-3, -2)
    if gate is not None:
        y = y * gate.transpose(-2, -1).sigmoid()[..., None]
    return y.transpose(-3, -2).flatten(-2)


def linear(name, source, x, columns):
    node("linear", name, [source], weight=f"{name}.weight", bias=f"{name}.bias")
    return F.linear(x, weight(f"{name}.weight", columns, x.shape[-1]), weight(f"{name}.bias", columns))


def relative_bias(name, size, heads):
    """A table and what it is for all pairs of tokens of a window: [heads, tokens, tokens]"""
    table = weight(name, (2 * size[0] - 1) * (2 * size[1] - 1), heads)
    at = torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij")).flatten(1)
    offset = at[:, :, None] - at[:, None]
    return table[(offset[0] + size[0] - 1) * (2 * size[1] - 1) + offset[1] + size[1] - 1].permute(2, 0, 1)


def heads_that_do_nothing(x, windows_of):
    """Clipped softmax and gates: alone, together, in parts of one product, in windows with bias and mask"""
    heads, clip = 2, dict(gamma=-0.0078125, zeta=1.0625)
    y = linear("mixed", "map", rows(x), 3 * C + heads)
    q, k, v, gate = y.split([C, C, C, heads], dim=1)
    columns = [["mixed", 0, C], ["mixed", C, C], ["mixed", 2 * C, C]]
    how = dict(heads=heads, scale=0.0625)
    plain, p = probabilities(q, k, **how), probabilities(q, k, **how, **clip)
    node("attention", "clipped", columns, weighted(p, v), **how, **clip)
    node("attention_scores", "clipped_first", ["clipped"], p[:, 0].T, scores="first_row")
    node("attention_scores", "clipped_sums", ["clipped"], p.sum(1).T, scores="column_sums")
    node("attention", "gated", columns + [["mixed", 3 * C, heads]], weighted(plain, v, gate), gated=True, **how)
    node("attention_scores", "gated_first", ["gated"], plain[:, 0].T, scores="first_row")
    node("attention", "both", columns + [["mixed", 3 * C, heads]], gated=True, **how, **clip)
    node("slice", "both_rows", ["both"], weighted(p, v, gate)[3:5], first_row=3, row_count=2)
    node("attention", "gated_again", columns + [["mixed", 3 * C, heads]], gated=True, **how)
    node("slice", "gated_row", ["gated_again"], weighted(plain, v, gate)[7:8], first_row=7, row_count=1)

    size, shift = (4, 5), (1, 2)
    node("windows", "masked", ["map"], windows=1)
    y = linear("in_masked", "masked", windows_of(x), 3 * C + heads)
    q, k, v, gate = y.split([C, C, C, heads], dim=-1)
    ends = torch.zeros(1, 1, HEIGHT + -HEIGHT % size[0], WIDTH + -WIDTH % size[1])
    for side, length, window, by in ((2, ends.shape[2], size[0], shift[0]), (3, ends.shape[3], size[1], shift[1])):
        at = torch.arange(length)
        part = (at >= length - window).long() + (at >= length - by).long()
        ends += (part * 3 ** (side - 2)).reshape([-1 if i == side else 1 for i in range(4)])
    ends = ends.unflatten(2, (-1, size[0])).unflatten(4, (-1, size[1])).permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2, 3)[0, ..., 0]
    bias = relative_bias("relative", size, heads) + torch.where(ends[:, None] == ends[:, :, None], 0.0, -100.0)[:, None]
    node("bias_table", "bias", ["map"], weight="relative", windows=1, trained=list(size))
    columns = [["in_masked", 0, C], ["in_masked", C, C], ["in_masked", 2 * C, C], "bias", ["in_masked", 3 * C, heads]]
    node("attention", "both_in_windows", columns, gated=True, **how, **clip)
    order = windows_of(torch.arange(1.0, HEIGHT * WIDTH + 1).reshape(1, 1, HEIGHT, WIDTH)).long()[..., 0]
    back = torch.zeros(HEIGHT * WIDTH, C)
    back[order[order > 0] - 1] = weighted(probabilities(q, k, bias=bias, **how, **clip), v, gate)[order > 0]
    node("unwindows", "both_from_windows", ["both_in_windows"], back)


def build():
    pixels = torch.randn(1, 3, HEIGHT, WIDTH)
    golden["pixels"] = pixels[0].permute(1, 2, 0).contiguous()
    nodes.append({"op": "input", "name": "pixels"})
    x = conv("map", "pixels", pixels, C, (3, 3), padding=[1, 1])

    conv("valid", "map", x, 5, (3, 2), stride=[2, 3])
    conv("cover", "map", x, 5, (4, 4), stride=[4, 4], cover=True)
    conv("cover_padded", "map", x, 5, (5, 3), stride=[3, 2], padding=[2, 1], cover=True, bias=False)
    conv("wide", "map", x, 70, (1, 1), activation="gelu")
    conv("grouped", "map", x, 36, (3, 3), groups=2, padding=[1, 1], activation="gelu")
    conv("grouped_more", "map", x, 12, (3, 3), groups=4, stride=[2, 2])
    conv("multiplied", "map", x, 16, (3, 3), groups=C, padding=[1, 1])
    conv("depthwise", "map", x, C, (3, 3), groups=C, padding=[1, 1])
    conv("depthwise_gelu", "map", x, C, (3, 3), groups=C, stride=[2, 2], padding=[1, 1], activation="gelu", bias=False)
    conv("depthwise_large", "map", x, C, (5, 7), groups=C, stride=[3, 1], padding=[4, 6])
    conv("depthwise_outside", "map", x, C, (2, 3), groups=C, stride=[3, 2], padding=[4, 5])
    conv("depthwise_beyond", "map", x, C, (1, 1), groups=C, stride=[5, 4], cover=True)
    conv("outside", "map", x, 3, (2, 3), stride=[3, 2], padding=[4, 5])
    conv("beyond", "map", x, 3, (1, 1), stride=[5, 4], cover=True)
    conv("depthwise_cover", "map", x, C, (2, 4), groups=C, stride=[2, 4], cover=True)

    # rows before the map pass a depthwise convolution
    tokens = weight("tokens", 2, C)
    with_tokens = torch.cat([tokens, rows(x)])
    node("embed", "with_tokens", ["map"], with_tokens, weight="tokens")
    y = F.conv2d(x, weights["depthwise.weight"], weights["depthwise.bias"], padding=1, groups=C)
    node("conv2d", "around_tokens", ["with_tokens"], torch.cat([tokens, rows(y)]), weight="depthwise.weight",
         bias="depthwise.bias", padding=[1, 1])
    # without them it is a map again, without some of it no map
    node("slice", "map_again", ["around_tokens"], rows(y), first_row=2)
    conv("after_slice", "map_again", y, 4, (2, 2))
    node("slice", "some_rows", ["with_tokens"], with_tokens[1:8], first_row=1, row_count=7)

    how = dict(kernel=[3, 2], stride=[2, 2], padding=[1, 1])
    node("pool2d", "largest", ["map"], F.max_pool2d(x, (3, 2), 2, 1), largest=True, **how)
    node("pool2d", "mean", ["map"], F.avg_pool2d(x, (3, 2), 2, 1, count_include_pad=False), **how)

    # queries of their own, and strided keys; scales keep scores so small that bf16 changes little
    query = weight("query", 3, C)
    nodes.append({"op": "tokens", "name": "query", "weight": "query"})
    keys = conv("keys", "map", x, C, (2, 2), stride=[2, 2])
    node("attention", "cross", ["query", "keys", "keys"], attention(query, rows(keys), rows(keys), 2, 0.02), heads=2, scale=0.02)
    node("attention", "fewer_keys", ["map", "keys", "keys"], attention(rows(x), rows(keys), rows(keys), 4, 0.02), heads=4, scale=0.02)

    scales = weight("scales", 2).abs_()
    unit = F.normalize(rows(x).unflatten(1, (2, 4)), dim=2)
    node("l2_norm", "unit", ["map"], unit.flatten(1), groups=2)
    node("l2_norm", "unit_scaled", ["map"], (unit * scales[:, None]).flatten(1), groups=2, weight="scales")

    # in windows without a norm or linear layer beside, then with a linear layer that gathers
    w = windows(x, (4, 5), (1, 2))
    a = attention(w, w, w, 2, 0.02)
    back = torch.zeros(HEIGHT * WIDTH, C)
    order = windows(torch.arange(1.0, HEIGHT * WIDTH + 1).reshape(1, 1, HEIGHT, WIDTH), (4, 5), (1, 2)).long()[..., 0]
    back[order[order > 0] - 1] = a[order > 0]
    node("windows", "w", ["map"], windows=0)
    node("attention", "in_windows", ["w", "w", "w"], heads=2, scale=0.02)
    node("unwindows", "from_windows", ["in_windows"], back)
    lin = weight("lin.weight", 6, C)
    node("windows", "w_again", ["map"], windows=0)
    node("linear", "lin", ["w_again"], weight="lin.weight")
    lined = torch.zeros(HEIGHT * WIDTH, 6)
    lined[order[order > 0] - 1] = (w @ lin.T)[order > 0]
    node("unwindows", "lined", ["lin"], lined)

    blocks = F.pad(x, (0, 1, 0, 2))  # 15 x 12 in blocks of 3 x 2, the first column's rows first
    blocks = blocks.unflatten(2, (-1, 3)).unflatten(4, (-1, 2)).permute(0, 2, 4, 5, 3, 1).flatten(3)[0].flatten(0, 1)
    node("space_to_depth", "blocks", ["map"], blocks, block=[3, 2])
    node("space_to_depth", "blocks_again", ["map"], block=[3, 2])
    node("linear", "merged", ["blocks_again"], blocks @ weight("merge.weight", 5, 6 * C).T, weight="merge.weight")

    heads_that_do_nothing(x, lambda x: windows(x, (4, 5), (1, 2)))


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent) / "operations"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    with torch.no_grad():
        build()
    graph = {
        "version": 2,
        "size": [HEIGHT, WIDTH],
        "windows": [{"size": [4, 5], "shift": [1, 2], "shift_first": True, "mask": mask} for mask in (0, -100)],
        "nodes": nodes,
        "outputs": outputs,
    }
    save_file(weights, folder / "model.safetensors", metadata={"vitrt.graph": json.dumps(graph)})
    save_file(golden, folder / "golden.safetensors")


if __name__ == "__main__":
    main()
