#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example reduce from end to end: what it prints keeps to the budget, what it saves runs.

    tests/test_reduce.py REDUCE CLASSIFY
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden" / "cases"
MODEL = GOLDEN / "hf_vit"
REDUCE = CLASSIFY = None


def run(program, *arguments):
    """Exit status, standard output, standard error."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=250, text=True)
    return done.returncode, done.stdout, done.stderr


def rows(out):
    """The cells of the table, without its head and the row of the model itself."""
    lines = [line for line in out.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


class Reduce(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.work)
        self.out = self.work / "out.safetensors"
        self.photos = self.work / "photos"
        self.photos.mkdir()
        images = (path for path in sorted(GOLDEN.glob("hf_*/image_*.png")))
        for i, path in zip(range(20), images):
            shutil.copy(path, self.photos / f"{i:02}.png")

    def reduce(self, *arguments):
        return run(REDUCE, "-m", MODEL, "-o", self.out, "-t", 1, *arguments, self.photos)

    def test_all_methods(self):
        plot = self.work / "plot.svg"
        arguments = "--macs", 0.7, "--candidates", 5, "--plot", plot
        status, out, err = self.reduce(*arguments)
        self.assertEqual((status, err), (0, ""))
        table = rows(out)
        self.assertEqual(sorted(row[7].split(":")[0] for row in table), ["ats", "evit", "tome", "zero-tprune"])
        for front, _, macs, ms, time, same, kl, reduction in table:
            bound = 0.05 if reduction.startswith("ats") else 0.008  # other images than those that it was fitted to
            self.assertAlmostEqual(float(macs), 0.7, delta=bound, msg=reduction)
            self.assertGreater(float(ms) * float(time), 0)
            self.assertTrue(0 < float(kl) < 1 and 20 < float(same.rstrip(" %")) <= 100, table)
        quality = [float(row[6]) for row in table]
        self.assertEqual(quality, sorted(quality))
        self.assertEqual(table[0][0], "*")
        self.assertEqual(len(xml.dom.minidom.parse(str(plot)).getElementsByTagName("circle")), 2 * 4)
        self.assertEqual([row[7] for row in rows(self.reduce(*arguments)[1])], [row[7] for row in table])
        other = rows(self.reduce(*arguments, "--seed", 2)[1])
        self.assertNotEqual([row[7] for row in other], [row[7] for row in table])

    def test_what_is_saved(self):
        status, out, err = self.reduce("--gmacs", 0.0033, "--method", "tome", "--candidates", 4, "--limit", 3)
        self.assertEqual((status, err), (0, ""))
        reduction = rows(out)[0][7]
        self.assertIn(f"{self.out}: {reduction}", out)
        photo, pictures = MODEL / "image_0.png", [self.work / "saved.png", self.work / "reduced.png"]
        results = [run(CLASSIFY, "--json", *arguments, "--show-tokens", picture, photo) for arguments, picture in
                   zip((["-m", self.out], ["-m", MODEL, "-r", reduction]), pictures)]
        self.assertEqual([result[0] for result in results], [0, 0], results)
        self.assertEqual(*(json.loads(result[1])["top"] for result in results))
        self.assertEqual(*(picture.read_bytes() for picture in pictures))

    def test_given_schedule(self):
        status, out, err = self.reduce("--keep", "0@0.5/1@0.5", "--method", "zero-tprune,random", "-p", "bf16")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(sorted(row[7] for row in rows(out)), ["random:0@0.5/1@0.5", "zero-tprune:0@0.5/1@0.5"])

    def test_time(self):
        """A run of this model is so short that times may be too uneven for any schedule."""
        status, out, err = self.reduce("--time", 0.85, "--method", "uniform", "--candidates", 2)
        self.assertTrue(status == 0 or "none of the schedules" in err, err)

    def test_errors(self):
        for arguments, message in ((["--macs", 0.001], "meets the budget"),
                                   (["--keep", "nonsense@"], "nonsense@"),
                                   (["--keep", "7@0.5", "--method", "tome"], "block 7"),
                                   (["--macs", 0.5, "-m", GOLDEN / "hf_swin"], "windows"),
                                   (["--macs", 0.5, "-m", GOLDEN / "hf_dinov2_registers"], "no classes"),
                                   (["--macs", 0.5, self.work / "none.jpg"], "none.jpg"),
                                   (["--macs", 0.5, "-o", self.work / "no" / "folder"], "folder"),
                                   (["--macs", 0.7, "--plot", self.work / "no" / "plot"], "plot cannot be written")):
            status, _, err = self.reduce("--candidates", 1, *arguments)
            self.assertEqual(status, 1, arguments)
            self.assertIn(message, err)
            self.assertNotIn("usage:", err)

    def test_usage(self):
        for wrong in ([], ["--macs", 0], ["--macs", 1.5], ["--macs", 0.5, "--time", 0.5],
                      ["--keep", "1@0.5", "--macs", 1], ["--macs", 0.5, "--method", "tome,magic"],
                      ["--macs", 0.5, "--limit", 0], ["--macs", "x"], ["--wrong"], ["--macs", 0.5, "-p", "f64"], ["--macs", 0.5, "--size", 0]):
            status, out, err = self.reduce(*wrong)
            self.assertEqual((status, out), (2, ""), wrong)
            self.assertIn("usage:", err)
        self.assertTrue(run(REDUCE, "-h")[1].startswith("usage: reduce"))


if __name__ == "__main__":
    CLASSIFY = os.path.abspath(sys.argv.pop())
    REDUCE = os.path.abspath(sys.argv.pop())
    unittest.main()
