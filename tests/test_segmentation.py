#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_segmentation on labels that are one class everywhere: its mean IoU then follows from the shares of the classes,
which the example segment prints.

    tests/test_segmentation.py BENCH_SEGMENTATION SEGMENT
"""
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

import test_segment

BENCH = None


def bench(*arguments):
    """Exit status, standard output, standard error."""
    done = subprocess.run([BENCH, *map(str, arguments)], capture_output=True, timeout=250, text=True)
    return done.returncode, done.stdout, done.stderr


def write_grey(path, value, height, width):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\0" + bytes([value]) * width) * height
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Segmentation(unittest.TestCase):
    def setUp(self):
        random.seed(3)
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.work)
        self.model = self.work / "model.safetensors"
        test_segment.write_model(self.model)
        for name in ("pictures", "labels"):
            (self.work / name).mkdir()
        shutil.copy(test_segment.PHOTO, self.work / "pictures" / "0.png")

    def rows(self, label, *arguments):
        """threshold -> mean IoU, and the share of the multiply-adds in percent (over 100 with heads and no exits)"""
        write_grey(self.work / "labels" / "0.png", label, *test_segment.HEIGHT_WIDTH)
        status, out, err = bench("-m", self.model, *arguments, self.work / "pictures", self.work / "labels")
        self.assertEqual((status, err), (0, ""))
        return {cells[0]: (float(cells[1]), float(cells[6])) for cells in map(str.split, out.splitlines()[1:])}

    def test_one_class_everywhere(self):
        line = test_segment.segment("-m", self.model, test_segment.PHOTO)[1]
        shares = {name: float(share) for name, share in test_segment.Segment.shares(self, line).items()}
        for label, name in enumerate(test_segment.LABELS):
            found = {name, *(other for other, share in shares.items() if share > 0)}
            self.assertAlmostEqual(self.rows(label)["whole"][0], shares.get(name, 0) / len(found), delta=0.06)
        self.assertEqual(self.rows(255)["whole"][0], 0)

    def test_thresholds(self):
        rows = self.rows(0, "--exits", "0", "--dtop", "1,0.34")
        self.assertEqual(rows["1"][0], rows["whole"][0])
        self.assertLess(rows["0.34"][1], 100)

    def test_errors(self):
        for arguments in ([], ["-m", self.model, "pictures"], ["-m", self.model, "--dtop", "0.5", "a", "b"]):
            self.assertEqual(bench(*arguments)[0], 2, arguments)
        status, _, err = bench("-m", self.model, self.work / "pictures", self.work / "labels")
        self.assertNotEqual(status, 0)
        self.assertTrue(err)


if __name__ == "__main__":
    test_segment.SEGMENT = os.path.abspath(sys.argv.pop())
    BENCH = os.path.abspath(sys.argv.pop())
    unittest.main()
