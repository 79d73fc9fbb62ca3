#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example segment from end to end, on a tiny model with random weights: shares, tokens, overlay, errors.

    tests/test_segment.py SEGMENT
"""
import json
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib
from array import array

PHOTO = pathlib.Path(__file__).resolve().parent.parent / "examples" / "photos" / "chelsea.png"
LABELS, WIDTH, PATCH, HEIGHT_WIDTH = ["sky", "road", "tree"], 8, 4, (32, 48)
TOKENS = HEIGHT_WIDTH[0] // PATCH * HEIGHT_WIDTH[1] // PATCH
SEGMENT = None


def segment(*arguments):
    """Exit status, standard output, standard error."""
    done = subprocess.run([SEGMENT, *map(str, arguments)], capture_output=True, timeout=250)
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


def write_model(path, heads=True):
    tensors, nodes, outputs = {}, [{"op": "input", "name": "pixels"}], {}

    def weight(name, *shape):
        count = 1
        for extent in shape:
            count *= extent
        tensors[name] = shape, array("f", (random.gauss(0, 0.5) for _ in range(count)))
        return name

    def linear(name, source, columns, rows):
        nodes.append({"op": "linear", "name": name, "in": [source], "weight": weight(f"{name}.weight", rows, columns)})
        return name

    nodes.append({"op": "conv2d", "name": "patch", "in": ["pixels"], "stride": [PATCH, PATCH],
                  "weight": weight("patch.weight", WIDTH, 3, PATCH, PATCH)})
    x = "patch"
    for i in range(2):
        qkv = linear(f"qkv{i}", x, WIDTH, 3 * WIDTH)
        nodes.append({"op": "attention", "name": f"a{i}", "in": [[qkv, k * WIDTH, WIDTH] for k in range(3)],
                      "heads": 2, "scale": 0.5})
        nodes.append({"op": "add", "name": f"b{i}", "in": [x, linear(f"proj{i}", f"a{i}", WIDTH, WIDTH)]})
        x = outputs[f"block.{i}"] = f"b{i}"
        if heads or i:
            outputs["segmentation" if i else "head.0"] = linear(f"h{i}", x, WIDTH, len(LABELS))
    nodes += [{"op": "upsample", "name": "up", "in": ["h1"]}, {"op": "argmax", "name": "classmap", "in": ["up"]}]
    outputs["classmap"] = "classmap"
    graph = {"version": 3, "size": HEIGHT_WIDTH, "size_multiple": [PATCH, PATCH], "nodes": nodes, "outputs": outputs}
    header, data = {"__metadata__": {"vitrt.graph": json.dumps(graph),
                                     "vitrt.config": json.dumps({"label_names": LABELS})}}, b""
    for name, (shape, values) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def png_size(path):
    """Width and height of a whole PNG."""
    data, at, pixels = path.read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + body)
        size = struct.unpack(">II", body[:8]) if kind == b"IHDR" else size
        pixels += body if kind == b"IDAT" else b""
        at += 12 + length
    assert len(zlib.decompress(pixels)) == size[1] * (1 + 3 * size[0])
    return size


class Segment(unittest.TestCase):
    def setUp(self):
        random.seed(3)
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.work)
        self.model = self.work / "model.safetensors"
        write_model(self.model)

    def shares(self, line):
        found = re.findall(r"(sky|road|tree) ([0-9.]+) %", line)
        values = [float(share) for _, share in found]
        self.assertEqual(values, sorted(values, reverse=True))
        self.assertAlmostEqual(sum(values), 100, delta=0.16)
        return dict(found)

    def test_shares_of_each_image(self):
        status, out, err = segment("-m", self.model, PHOTO, PHOTO)
        self.assertEqual((status, err), (0, ""))
        first, second = out.splitlines()
        self.assertEqual(first, second)
        self.assertTrue(first.startswith(f"{PHOTO}: "))
        self.shares(first)

    def test_tokens_leave(self):
        dense = self.shares(segment("-m", self.model, PHOTO)[1])
        left = {}
        for threshold in ("1", "0.6", "0.34"):
            status, out, err = segment("-m", self.model, "--dtop", threshold, PHOTO)
            self.assertEqual((status, err), (0, ""))
            first, second = out.splitlines()
            tokens = re.fullmatch(r"  (\d+) tokens, (\d+) behind block 0, [0-9.]+ ms", second)
            self.assertEqual(int(tokens[1]), TOKENS)
            left[threshold] = int(tokens[2])
            if threshold == "1":
                self.assertEqual(self.shares(first), dense)
        self.assertEqual(left["1"], TOKENS)
        self.assertTrue(0 < left["0.34"] <= left["0.6"] < TOKENS)
        self.assertLessEqual(left["0.34"], 5 * len(LABELS))

    def test_overlay(self):
        overlay = self.work / "overlay.png"
        self.assertEqual(segment("-m", self.model, "--overlay", overlay, PHOTO)[0], 0)
        self.assertEqual(png_size(overlay), png_size(PHOTO))
        status, _, err = segment("-m", self.model, "--overlay", self.work / "none" / "overlay.png", PHOTO)
        self.assertEqual((status, err), (1, "segment: the overlay cannot be written\n"))

    def test_errors(self):
        self.assertEqual(segment("-h")[0], 0)
        for arguments in ([], ["-m"], ["-m", self.model], ["-m", self.model, "--dtop", "0", PHOTO],
                          ["-m", self.model, "--dtop", "0.9,", PHOTO], ["-m", self.model, "--dtop", "x", PHOTO],
                          ["-m", self.model, "--other", PHOTO], ["-m", self.model, "--overlay", "o", PHOTO, PHOTO]):
            status, out, err = segment(*arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertIn("usage: segment", err)
        status, _, err = segment("-m", self.model, self.work / "none.png")
        self.assertEqual(status, 1)
        self.assertIn("none.png", err)
        write_model(self.model, heads=False)
        status, _, err = segment("-m", self.model, "--dtop", "0.9", PHOTO)
        self.assertEqual(status, 1)
        self.assertIn("no block has a head by which tokens could leave", err)


if __name__ == "__main__":
    SEGMENT = sys.argv.pop(1)
    unittest.main()
