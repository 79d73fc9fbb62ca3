# SPDX-License-Identifier: Apache-2.0
"""Token reduction as its definitions say it, for one image, in float64 and slowly: the reference of make_reduced.py.

Sources: Adaptive token sampling (Fayyaz et al. 2022, arXiv:2111.15667), Zero-TPrune (Wang et al. 2024,
arXiv:2305.17328), ToMe (Bolya et al. 2023, arXiv:2210.09461), EViT (Liang et al. 2022, arXiv:2202.07800), pruned
merging (Kim et al. 2024, arXiv:2312.01026), merging by attention (Lee et al. 2024, arXiv:2403.10030), DynamicViT (Rao
et al. 2021, arXiv:2106.02034), A-ViT (Yin et al. 2022, arXiv:2112.07658).

Every choice tells how clear it was, relative to what was compared: arithmetic in another precision or order chooses the
same only where that is well above its errors. Equal numbers would be chosen by the lower index.
"""

import dataclasses
import math
from typing import Callable

import torch

METHODS = {
    "ats": {},
    "ats-paper": dict(by_head=True),
    "zero-tprune": {},
    "zero-tprune-uniform": dict(boost=False),
    "zero-tprune-all-heads": dict(every_head=True),
    "zero-tprune-vote-again": dict(again=True),
    "tome": {},
    "tome-equal-keys": dict(proportional=False),
    "tome-drop-early": dict(drop_early=True),
    "tome-by-attention": dict(by_attention=True),
    "tome-drop-early-whole-keys-by-attention": dict(drop_early=True, whole=True, by_attention=True),
    "evit": {},
    "evit-fused": dict(fuse=True),
    "uniform": {},
    "dynamicvit": {},
}

HALTING_EPS = 0.01  # of A-ViT
PASSED = 0.4  # of a token that ToMe drops, by what it counts


@dataclasses.dataclass
class Block:
    """y = norm1(x); x += scale1 * proj(attention(q(y), k(y), v(y))); x += scale2 * mlp(norm2(x))"""

    norm1: Callable
    q: Callable
    k: Callable
    v: Callable
    proj: Callable
    norm2: Callable
    mlp: Callable
    scale1: object = 1.0
    scale2: object = 1.0


@dataclasses.dataclass
class Model:
    heads: int
    prefix: int  # rows that stay: class, distillation and register tokens
    classes: int  # the first of them, whose attention counts: where two heads are averaged, both
    blocks: list
    embed: Callable  # pixels [3, H, W] to the first block's input [N, D]
    head: Callable  # the last block's output [N, D] and how many tokens each row stands for [N] to logits
    predictors: dict = dataclasses.field(default_factory=dict)  # by block: the patches that it reads [n, D] to scores [n]


@dataclasses.dataclass
class Layer:
    block: int
    keep: float  # 0: count
    count: int
    similar: int
    rounds: int

    def of(self, n, round_share=int):
        return self.count or round_share(n * self.keep)


def read_schedule(text):
    """The notation of examples/reduction.h: method, {block: Layer}."""
    method, layers = text.split(":")
    schedule = {}
    for layer in layers.split("/"):
        block, keep = layer.split("@")
        keep, _, rounds = keep.partition("v")
        keep, _, similar = keep.partition("+")
        is_count = float(keep) > 1
        schedule[int(block)] = Layer(
            int(block), 0 if is_count else float(keep), int(keep) if is_count else 0, int(similar or 0), int(rounds or 1)
        )
    return method, schedule


class Clarity:
    """The least of all margins."""

    def __init__(self):
        self.least = math.inf

    def saw(self, margin):
        self.least = min(self.least, float(margin))

    def between(self, a, b):
        self.saw(abs(a - b) / max(abs(a), abs(b)))


def descending(values, indices):
    return sorted(indices, key=lambda i: (-values[i], i))


def first_of(values, indices, count, clarity):
    """The `count` indices with the greatest values."""
    order = descending(values, indices)
    if 0 < count < len(order):
        clarity.between(values[order[count - 1]], values[order[count]])
    return order[:count]


# ---- What becomes of the rows: a list with, for each new row, (old row, weight) of what it is the sum of


def rows_that_stay(stay):
    return [[(i, 1.0)] for i in sorted(stay)]


def sampled(p, v, m, layer, options, clarity):
    """Adaptive token sampling: candidates that equispaced points of the cumulated scores are nearest to."""
    a = p[:, : m.classes].sum(1)  # [H, N]
    if options.get("by_head"):
        r = (a * v.norm(dim=2)).sum(0)
    else:
        r = a.sum(0) * v.transpose(0, 1).flatten(1).norm(dim=1)
    s = (r[m.prefix :] / r[m.prefix :].sum()).tolist()
    n = len(s)
    samples = layer.of(n)
    if options.get("by_head"):
        order = list(range(n))
        c = torch.tensor(s, dtype=torch.float64).cumsum(0)
        points = [(2 * i + 1) / (2 * samples) for i in range(samples)]
    else:
        order = sorted(range(n), key=lambda i: (s[i], i))
        c = torch.tensor([s[i] for i in order], dtype=torch.float64).cumsum(0)
        c = (c - c[0]) / (c[-1] - c[0])
        y0 = next(x for x in c.tolist() if x > 0)
        points = [y0 + (1 - y0) * i / (samples - 1) for i in range(samples)]
    picks, seconds = [], []
    for y in points:
        distance = (c - y).abs()
        first, second = torch.topk(distance, 2, largest=False).indices.tolist()
        picks.append(first)
        seconds.append((second, float(distance[second] - distance[first])))
    kept = set(picks)
    for i, (second, margin) in enumerate(seconds):
        exact = not options.get("by_head") and i in (0, samples - 1)  # points that are on the curve by definition
        if not exact and (picks.count(picks[i]) == 1 or second not in kept):
            clarity.saw(margin)
    for i in range(n - 1):  # the order of two that both stay, or both leave, does not matter
        if not options.get("by_head") and (i in kept) != (i + 1 in kept):
            clarity.between(s[order[i]], s[order[i + 1]])
    return rows_that_stay(list(range(m.prefix)) + [m.prefix + order[i] for i in kept])


def vote(p, m, rounds, options, clarity):
    """Zero-TPrune's importance of all rows: rounds of votes (WPR), the heads that count (VHF), their combination
    (EIR)."""
    n = p.shape[1]
    s = torch.ones(n, dtype=torch.float64)
    if m.prefix and options.get("boost", True):
        s[0] = math.sqrt(n)
    s = (s / s.sum()).expand(p.shape[0], n)
    for _ in range(rounds):
        s = torch.einsum("hij,hi->hj", p, s)
    variance = (n * s).var(dim=1, unbiased=False).tolist()
    heads = range(len(variance))
    if not options.get("every_head"):
        for x in variance:
            clarity.between(x, 0.01)
            clarity.between(x, 0.7)
        heads = [h for h in heads if 0.01 <= variance[h] <= 0.7] or heads
    return (s[list(heads)] ** 2).mean(0).sqrt().tolist()


def unit_keys(k, whole=False):
    """Each row's keys, of length 1: their mean over the heads [N, E], or those of all heads [N, H * E]."""
    keys = k.transpose(0, 1).flatten(1) if whole else k.mean(0)
    return keys / keys.norm(dim=1, keepdim=True)


def voted(p, k, m, layer, options, clarity):
    """Zero-TPrune: those leave whose keys resemble a more important one's most, by one vote, then the less important
    ones."""
    score = vote(p, m, layer.rounds, options, clarity)
    alive = list(range(m.prefix, p.shape[1]))
    wanted = layer.of(len(alive))
    if layer.similar:
        half = len(alive) // 2
        first = vote(p, m, 1, options, clarity)
        order = sorted(alive, key=lambda i: (first[i], i))
        clarity.between(first[order[half - 1]], first[order[half]])
        keys = unit_keys(k)
        best = {i: float((keys[order[half:]] @ keys[i]).max()) for i in order[:half]}
        gone = first_of(best, order[:half], layer.similar, clarity)
        alive = [i for i in alive if i not in gone]
        if options.get("again"):
            rest = list(range(m.prefix)) + alive
            p = p[:, rest][:, :, rest]
            score = dict(zip(rest, vote(p / p.sum(2, keepdim=True), m, layer.rounds, options, clarity)))
    return rows_that_stay(list(range(m.prefix)) + first_of(score, alive, wanted, clarity))


def attended(p, m, layer, options, clarity):
    """EViT: what the class token attends to most; the others may become one more row."""
    score = p[:, : m.classes].sum(1).mean(0).tolist()
    candidates = list(range(m.prefix, p.shape[1]))
    kept = first_of(score, candidates, layer.of(len(candidates), math.ceil), clarity)
    rows = rows_that_stay(list(range(m.prefix)) + kept)
    left = [i for i in candidates if i not in kept]
    if options.get("fuse") and left:
        rows.append([(i, score[i]) for i in left])
    return rows


def losses(p, m, options):
    """By what the loss of each row counts when it is merged, beside its similarity to the other."""
    if not options.get("by_attention"):
        return torch.ones(p.shape[1], dtype=torch.float64)
    return p[:, : m.classes or None].sum(1).mean(0).sqrt()


def matched(p, k, sizes, m, layer, drop, options, clarity):
    """ToMe: rows at even places are merged into the most similar ones at odd places, or leave and pass on a part of
    their size; protected rows take no part. The new rows and their sizes."""
    n = k.shape[1]
    candidates = n - m.prefix
    merges = min(layer.count or candidates - layer.of(candidates), candidates // 2)
    if merges <= 0:
        return rows_that_stay(range(n)), sizes
    keys = unit_keys(k, options.get("whole"))
    loss = torch.ones(n, dtype=torch.float64) if drop else losses(p, m, options)
    evens = [i for i in range(0, n, 2) if i >= m.prefix]
    odds = [i for i in range(1, n, 2) if i >= m.prefix]
    best, to, clear = {}, {}, {}
    for a in evens:
        similarity = dict(zip(odds, (keys[odds] @ keys[a]).tolist()))
        order = descending(similarity, odds)
        best[a], to[a] = -float((1 - similarity[order[0]]) * loss[a] / loss.max()), order[0]
        clear[a] = similarity[order[0]] - similarity[order[1]] if len(odds) > 1 else math.inf
    order = descending(best, evens)
    if merges < len(order):
        clarity.saw(best[order[merges - 1]] - best[order[merges]])
    members = {i: [i] for i in range(n)}
    for a in order[:merges]:
        clarity.saw(clear[a])
        members[to[a]].append(a)
    if drop:
        stay = [i for i in range(n) if i not in order[:merges]]
        return rows_that_stay(stay), torch.stack(
            [sum(sizes[j] * (1 if j == i else PASSED) for j in members[i]) for i in stay]
        )
    rest = order[merges:]
    if m.prefix:
        rest = sorted(rest)
    else:
        for a, b in zip(rest, rest[1:]):
            clarity.saw(best[a] - best[b])
    rows = rows_that_stay(range(m.prefix)) + [[(a, 1.0)] for a in rest]
    for b in odds:
        total = sum(sizes[i] for i in members[b])
        rows.append([(i, float(sizes[i] / total)) for i in members[b]])
    return rows, torch.stack([sum(sizes[i] for i, _ in row) for row in rows])


def predicted(m, x, layer, clarity):
    """DynamicViT: those that the predictor before the block gives the highest scores."""
    score = [math.nan] * m.prefix + m.predictors[layer.block](x[m.prefix :]).tolist()
    candidates = list(range(m.prefix, x.shape[0]))
    return rows_that_stay(list(range(m.prefix)) + first_of(score, candidates, layer.of(len(candidates)), clarity))


def spread(m, n, layer):
    """As many as are wanted, at even distances."""
    candidates = n - m.prefix
    count = layer.of(candidates)
    return rows_that_stay(
        list(range(m.prefix)) + [m.prefix + math.floor((i + 0.5) * candidates / count) for i in range(count)]
    )


# ---- The forward pass


def split_heads(x, heads):
    return x.reshape(x.shape[0], heads, -1).transpose(0, 1)


def reduced_rows(kind, p, k, v, m, layer, options, clarity):
    if kind == "ats":
        return sampled(p, v, m, layer, options, clarity)
    if kind == "zero":
        return voted(p, k, m, layer, options, clarity)
    if kind == "evit":
        return attended(p, m, layer, options, clarity)
    return spread(m, p.shape[1], layer)


def run_halting(m, pixels, scale, center):
    """A-ViT as published: halted tokens are computed on and masked, whether or not the class token has halted."""
    clarity = Clarity()
    x = m.embed(pixels)
    n = x.shape[0]
    going = torch.ones(n, dtype=torch.bool)
    done, remainder = torch.zeros(n, dtype=torch.float64), torch.ones(n, dtype=torch.float64)
    out = torch.zeros_like(x)
    places = {}
    for number, block in enumerate(m.blocks):
        last = number + 1 == len(m.blocks)
        y = block.norm1(x)
        q, k, v = (split_heads(f(y), m.heads) for f in (block.q, block.k, block.v))
        z = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
        z = z - 1000.0 * ~going
        x = x + block.scale1 * block.proj((z.softmax(dim=2) @ v).transpose(0, 1).flatten(1))
        x = x + block.scale2 * block.mlp(block.norm2(x))
        h = torch.ones(n, dtype=torch.float64) if last else torch.sigmoid(scale * x[:, 0] - center)
        done = done + h
        for i in range(n if not last and going[0] else 0):
            if going[i]:
                clarity.between(float(done[i]), 1 - HALTING_EPS)
        reached = going & (done >= 1 - HALTING_EPS)
        going = going & ~reached
        out = out + (remainder * reached)[:, None] * x + (h * going)[:, None] * x
        remainder = remainder - h * going
        if not last:
            row = going.cumsum(0) * going * going[0]  # the whole image is done with its class token
            places[number] = row.tolist()
    return m.head(out, torch.ones(n, dtype=torch.float64)), places, clarity.least


def run(m, pixels, text=None):
    """logits, {block: for each token of the input 1 + the row it is in behind that block, 0 if it has left}, margin"""
    if text and text.startswith("a-vit:"):
        return run_halting(m, pixels, *map(float, text.removeprefix("a-vit:").split("/")))
    method, schedule = read_schedule(text) if text else ("", {})
    options, kind = METHODS.get(method, {}), method.split("-")[0]
    clarity = Clarity()
    x = m.embed(pixels)
    sizes = torch.ones(x.shape[0], dtype=torch.float64)
    place = list(range(x.shape[0]))  # the row of each token of the input, or -1
    places = {}

    def become(rows, number):
        nonlocal x, place
        x = torch.stack([sum(weight * x[i] for i, weight in row) for row in rows])
        new = {i: r for r, row in enumerate(rows) for i, _ in row}
        place = [new.get(i, -1) for i in place]
        places[number] = [i + 1 for i in place]

    for number, block in enumerate(m.blocks):
        if kind == "dynamicvit" and number in schedule:
            become(predicted(m, x, schedule[number], clarity), number)
            sizes = torch.ones(x.shape[0], dtype=torch.float64)
        y = block.norm1(x)
        q, k, v = (split_heads(f(y), m.heads) for f in (block.q, block.k, block.v))
        z = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
        if options.get("proportional", True):
            z = z + sizes.log()
        p = z.softmax(dim=2)
        x = x + block.scale1 * block.proj((p @ v).transpose(0, 1).flatten(1))
        if number in schedule and kind != "dynamicvit":
            if kind == "tome":
                drop = options.get("drop_early", False) and number < len(m.blocks) // 3
                rows, sizes = matched(p, k, sizes, m, schedule[number], drop, options, clarity)
            else:
                rows = reduced_rows(kind, p, k, v, m, schedule[number], options, clarity)
                sizes = torch.ones(len(rows), dtype=torch.float64)
            become(rows, number)
        x = x + block.scale2 * block.mlp(block.norm2(x))
    return m.head(x, sizes), places, clarity.least
