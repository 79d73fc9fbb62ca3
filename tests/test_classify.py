#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example classify from end to end: JSON and dump against PyTorch's tensors, folders, errors, exit status.

    tests/test_classify.py CLASSIFY
"""
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib
from array import array

TESTS = pathlib.Path(__file__).resolve().parent
GOLDEN = TESTS / "golden" / "cases"
PHOTOS = TESTS.parent / "examples" / "photos"
CLASSIFY = None


def classify(*arguments):
    """Exit status, standard output, standard error."""
    done = subprocess.run([CLASSIFY, *arguments], capture_output=True, timeout=250)
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8", "replace")


def read_safetensors(path):
    """name -> (shape, values) of a file that holds only F32; checks that the data is packed without gaps."""
    data = pathlib.Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors, end = {}, 0
    for name, t in header.items():
        begin, stop = t["data_offsets"]
        assert t["dtype"] == "F32" and stop - begin == 4 * math.prod(t["shape"]), name
        tensors[name] = t["shape"], array("f", data[8 + length + begin : 8 + length + stop])
        end = max(end, stop)
    assert len(data) == 8 + length + end, path
    return tensors


def paeth(left, up, corner):
    distances = [abs(left + up - corner - x) for x in (left, up, corner)]
    return (left, up, corner)[distances.index(min(distances))]


def read_png(path):
    """Rows of (red, green, blue) of a PNG file with 8 bits per channel."""
    data, at, packed = pathlib.Path(path).read_bytes(), 8, b""
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        chunk = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height = struct.unpack(">II", chunk[:8])
            assert chunk[8:] == bytes([8, 2, 0, 0, 0]), chunk
        elif kind == b"IDAT":
            packed += chunk
        at += length + 12
    raw, rows, above = zlib.decompress(packed), [], bytes(3 * width)
    for y in range(height):
        start = y * (3 * width + 1)
        kind, line = raw[start], bytearray(raw[start + 1 : start + 1 + 3 * width])
        for x in range(3 * width):
            left, corner = (line[x - 3], above[x - 3]) if x > 2 else (0, 0)
            line[x] = (line[x] + (0, left, above[x], (left + above[x]) // 2, paeth(left, above[x], corner))[kind]) % 256
        above = line
        rows.append([tuple(line[x : x + 3]) for x in range(0, 3 * width, 3)])
    assert len(raw) == height * (3 * width + 1), path
    return rows


def patches(rows, left, size, patch):
    """The patches of a square panel that begins in column left, in raster order, as lists of pixels."""
    return [[pixel for row in rows[y : y + patch] for pixel in row[left + x : left + x + patch]]
            for y in range(0, size, patch) for x in range(0, size, patch)]


def softmax(logits):
    top = max(logits)
    e = [math.exp(x - top) for x in logits]
    return [x / sum(e) for x in e]


class Classify(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.work)

    def compare_with_golden(self, case):
        images = sorted(map(str, (GOLDEN / case).glob("image_*.png")))
        dump = self.work / "dump.safetensors"
        status, out, err = classify("-m", str(GOLDEN / case), "-k", "3", "--json", "--dump", str(dump), *images)
        self.assertEqual((status, err), (0, ""))
        golden, dumped = read_safetensors(GOLDEN / case / "golden.safetensors"), read_safetensors(dump)
        self.assertEqual(sorted(golden), sorted(dumped))
        for name, (shape, want) in golden.items():
            got_shape, got = dumped[name]
            self.assertEqual(shape, got_shape, name)
            bound = 1e-6 if name.endswith("pixels") else 1e-4 * max(map(abs, want))
            self.assertLessEqual(max(abs(a - b) for a, b in zip(want, got)), bound, name)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([line["image"] for line in lines], images)
        for i, line in enumerate(lines):
            self.assertEqual(list(line), ["image", "model", "top", "ms_prepare", "ms_run"])
            self.assertGreater(line["ms_run"], 0)
            if f"{i}/logits" not in golden:
                self.assertEqual(line["top"], [])
                continue
            scores = softmax(golden[f"{i}/logits"][1])
            order = sorted(range(len(scores)), key=lambda c: -scores[c])[:3]
            self.assertEqual([t["class"] for t in line["top"]], order)
            for t in line["top"]:
                self.assertAlmostEqual(t["score"], scores[t["class"]], delta=1e-4)

    def test_hugging_face(self):
        self.compare_with_golden("hf_vit")

    def test_features(self):
        self.compare_with_golden("hf_dinov2_registers")

    def test_timm(self):
        self.compare_with_golden("timm_deit_distilled")

    def test_bundled_model(self):
        status, out, err = classify(str(PHOTOS))
        self.assertEqual((status, err), (0, ""))
        self.assertIn("%", out)
        self.assertIn("decoded in", out)

    def test_table(self):
        golden = GOLDEN / "hf_vit"
        status, out, err = classify("-k", "1", "-p", "bf16", "-m", str(golden), str(golden / "image_0.png"))
        self.assertEqual(status, 0, err)
        self.assertIn(", bf16 on ", out)
        status, out, err = classify("-k", "2", "-t", "1", "-p", "f32", "-m", str(golden), str(golden / "image_0.png"))
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out.count("LABEL_"), 2)

    def test_size(self):
        golden = GOLDEN / "hf_vit"
        dump = self.work / "dump"
        arguments = ["-m", str(golden), "--dump", str(dump), str(golden / "image_0.png")]
        self.assertEqual(classify("--size", "32x96", *arguments)[0], 0)
        self.assertEqual(read_safetensors(dump)["0/pixels"][0], [32, 96, 3])
        status, out, err = classify("--size", "4x96", *arguments)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("height is 4", err)

    def test_tokens_that_leave(self):
        """The bundled model sees 168x168 pixels in 12x12 patches."""
        picture, dump, photo = self.work / "tokens.png", self.work / "dump", str(PHOTOS / "chelsea.png")
        status, out, err = classify("-r", "zero-tprune:2@0.5/7@0.5", "--show-tokens", str(picture), "--dump", str(dump),
                                    photo, str(PHOTOS / "coffee.jpg"))
        self.assertEqual((status, err), (0, ""))
        rows, dumped = read_png(picture), read_safetensors(dump)
        self.assertEqual((len(rows), len(rows[0])), (2 * 168 + 4, 3 * 168 + 2 * 4))
        self.assertEqual([dumped[f"0/{name}"][0][0] for name in ("tokens.2", "block.2", "tokens.7", "block.7")],
                         [145, 73, 145, 37])
        whole = patches(rows, 0, 168, 14)
        for panel, block in enumerate((2, 7), 1):
            tokens = dumped[f"0/tokens.{block}"][1][1:]
            for patch, shown, token in zip(whole, patches(rows, panel * 172, 168, 14), tokens):
                dark = [tuple(level // 5 for level in pixel) for pixel in patch]
                self.assertEqual(shown, patch if token else dark)
            self.assertEqual(sum(1 for token in tokens if token), 72 // panel)
        mean = [sum(sum(pixel) for pixel in patch) for patch in whole]
        self.assertGreater(max(mean), 1.5 * min(mean))  # it is a photo

    def test_tokens_that_become_one(self):
        picture = self.work / "tokens.png"
        status, _, err = classify("-r", "tome:3@40", "--show-tokens", str(picture), str(PHOTOS / "chelsea.png"))
        self.assertEqual((status, err), (0, ""))
        rows = read_png(picture)
        self.assertEqual((len(rows), len(rows[0])), (168, 2 * 168 + 4))
        merged = [set(shown) - {(255, 255, 255)} for patch, shown in zip(patches(rows, 0, 168, 14),
                                                                         patches(rows, 172, 168, 14)) if patch != shown]
        plain = [colours for colours in merged if len(colours) == 1]
        self.assertTrue(41 <= len(plain) <= 80, len(plain))
        self.assertTrue(all(sum(colour) > 100 for colours in plain for colour in colours))  # nothing is dark

    def test_tokens_that_stay(self):
        photo = str(PHOTOS / "chelsea.png")
        status, out, err = classify("--show-tokens", str(self.work / "tokens.png"), photo)
        self.assertEqual(status, 1)
        self.assertIn("No tokens leave", err)
        status, out, err = classify("-r", "evit:50@0.5", photo)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("block 50", err)
        status, out, err = classify("-r", "evit:0.7", "-m", str(GOLDEN / "hf_swin"), photo)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("windows", err)

    def test_folder(self):
        golden = GOLDEN / "hf_vit"
        for name in ("b/2.PNG", "a/1.png", "3.png", "a/notes.txt", "a/too/deep.png", ".hidden/4.png"):
            path = self.work / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(golden / "image_0.png", path)
        status, out, err = classify("--json", "-m", str(golden), str(self.work / "photos"))
        self.assertEqual((status, err), (0, ""))
        seen = [os.path.relpath(json.loads(line)["image"], self.work / "photos") for line in out.splitlines()]
        self.assertEqual(seen, ["3.png", "a/1.png", "b/2.PNG"])
        (self.work / "empty").mkdir()
        status, out, err = classify("-m", str(golden), str(self.work / "empty"), str(golden / "image_0.png"))
        self.assertEqual(status, 1)
        self.assertIn("empty", err)
        self.assertIn("LABEL_", out)

    def test_names_are_escaped(self):
        names = [b'quote".png', b"back\\slash.png", b"new\nline.png", "größe.png".encode(), b"not\xffutf8.png"]
        golden = GOLDEN / "hf_vit"
        for name in names:
            shutil.copy(golden / "image_0.png", os.path.join(os.fsencode(self.work), name))
        paths = [os.path.join(os.fsencode(self.work), name) for name in names]
        status, out, err = classify("--json", "-m", str(golden), *paths)
        self.assertEqual((status, err), (0, ""))
        seen = [json.loads(line)["image"] for line in out.splitlines()]
        self.assertEqual(seen, [p.decode("utf-8", "replace") for p in paths])

    def test_bad_images_do_not_spoil_the_others(self):
        golden = GOLDEN / "hf_vit"
        good = str(golden / "image_0.png")
        cut = self.work / "cut.png"
        cut.write_bytes(pathlib.Path(good).read_bytes()[:100])
        (self.work / "text.jpg").write_text("no image")
        (self.work / "empty.png").touch()
        bad = [str(self.work / name) for name in ("missing.png", "cut.png", "text.jpg", "empty.png")]
        status, out, err = classify("--json", "-m", str(golden), *bad, good)
        self.assertEqual(status, 1)
        self.assertEqual([json.loads(line)["image"] for line in out.splitlines()], [good])
        sentences = err.splitlines()
        self.assertEqual(len(sentences), len(bad), err)
        for path, sentence in zip(bad, sentences):
            self.assertIn(path, sentence)

    def test_bad_model(self):
        golden = GOLDEN / "hf_vit"
        for name in ("nothing", "no_config", "cut"):
            folder = self.work / name
            if name != "nothing":
                folder.mkdir()
            if name == "cut":
                shutil.copy(golden / "config.json", folder)
                (folder / "model.safetensors").write_bytes((golden / "model.safetensors").read_bytes()[:5000])
            status, out, err = classify("-m", str(folder), str(golden / "image_0.png"))
            self.assertEqual((status, out), (1, ""), name)
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertIn(str(folder), err)

    def test_usage(self):
        image = str(GOLDEN / "hf_vit" / "image_0.png")
        for wrong in (["--frobnicate", image], [], ["-k", "0", image], ["-k"], ["-t", "-1", image], ["-t", "2x", image],
                      ["--size", "12", image], ["--size", "0x12", image], ["-p", "f64", image], ["-r", "tome", image],
                      ["-r", "evit:0", image]):
            status, out, err = classify(*wrong)
            self.assertEqual((status, out), (2, ""), wrong)
            self.assertIn("usage:", err)
        for wanted in (["-h"], ["--help", image]):
            status, out, err = classify(*wanted)
            self.assertEqual((status, err), (0, ""))
            self.assertTrue(out.startswith("usage: classify"))

    def test_unwritable(self):
        golden = GOLDEN / "hf_vit"
        dump = str(self.work / "no" / "folder")
        status, _, err = classify("-m", str(golden), "--dump", dump, str(golden / "image_0.png"))
        self.assertEqual(status, 1)
        self.assertIn(dump, err)
        status, _, err = classify("-m", str(golden), "-r", "tome:0.8", "--show-tokens", dump,
                                  str(golden / "image_0.png"))
        self.assertEqual(status, 1)
        self.assertIn(f"{dump}: the picture cannot be written", err)
        with open("/dev/full", "wb") as full:
            command = [CLASSIFY, "-m", str(golden), str(golden / "image_0.png")]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    CLASSIFY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
