#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_accuracy on a folder whose figures are known: the same image in every class, so that one of them is right.

    tests/test_accuracy.py BENCH_ACCURACY
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden" / "cases"
PROGRAM = None


def accuracy(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=250, text=True)
    return done.returncode, done.stdout, done.stderr


def rows(out):
    """The cells of the table, without its head."""
    lines = [line for line in out.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]


class Accuracy(unittest.TestCase):
    def setUp(self):
        """Class i, by sorted name, has i + 1 copies of the same image, 55 in all: top-1 tells what the answer is."""
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.work)
        self.names = sorted(["b", "a-", "a", *(f"class{i}" for i in range(7))])  # as paths "a-/" comes before "a/"
        for count, name in enumerate(self.names, 1):
            (self.work / name).mkdir()
            for i in range(count):
                shutil.copy(GOLDEN / "hf_dinov2" / "image_0.png", self.work / name / f"{i}.png")

    def test_table(self):
        model = GOLDEN / "hf_dinov2"
        status, out, err = accuracy("-p", "f32,bf16", "-m", model, "-p", "f32", "-m", GOLDEN / "hf_cvt", self.work)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("55 images of 10 classes", out)
        table = rows(out)
        self.assertEqual([row[:2] for row in table],
                         [[str(model), "f32"], [str(model), "bf16"], [str(GOLDEN / "hf_cvt"), "f32"]])
        self.assertEqual(table[0][3:8], ["100.00", "+0.00", "0.00", "1.000000", "0.0000"])
        self.assertTrue(0 < float(table[1][7]) < 0.1, table[1])

    def test_numbering(self):
        model = GOLDEN / "hf_dinov2"
        (self.work / "list.txt").write_text("".join(f"{name}\tone, two\n" for name in reversed(self.names)))
        top1 = []
        for arguments in ([], ["--classes", self.work / "list.txt"]):
            status, out, err = accuracy("-m", model, *arguments, self.work)
            self.assertEqual((status, err), (0, ""))
            top1.append(float(rows(out)[0][2]) * 0.55)
        self.assertAlmostEqual(sum(top1), 11, delta=0.01)

    def test_mean(self):
        model = GOLDEN / "hf_dinov2"
        three = [a for _ in range(3) for a in ("-m", model)]
        status, out, err = accuracy("-m", model, "-p", "bf16", *three, "--limit", "10", self.work)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("10 images of 10 classes", out)
        self.assertIn("bf16, mean and standard deviation of 3 models", out)

    def test_errors(self):
        model = GOLDEN / "hf_dinov2"
        for arguments, message in (([], "no folder"), (["-p", "f64", "-m", model, self.work], "expected f32"),
                                   (["-m", GOLDEN / "hf_deit", self.work], "has 10 classes, the model 7"),
                                   (["-m", model, "-p", "bf16", self.work], "after the last -m"),
                                   (["-m", model, self.work / "none"], "none"), (["--wrong", "1"], "--wrong"),
                                   (["-m", model, "--limit", "x", self.work], "--limit"),
                                   (["-m", model, "--classes", self.work / "none", self.work], "none")):
            status, out, err = accuracy(*arguments)
            self.assertEqual((status, out), (1, ""), arguments)
            self.assertIn(message, err)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
