#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes resample.txt: what Pillow 13 makes of generated images, for test_resample.

    make_resample.py          (needs Pillow and numpy; run it in its own folder)

Each line: filter (Pillow's number), width and height before and after, CRC-32 of the RGB bytes after; for results of
at most 24 pixels the bytes follow in hexadecimal, so that a failure can be read. Byte i of the image before is the top
byte of a hash of i, see source_image; test_resample makes the same.
"""
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, __version__ as pillow_version

FILTERS = range(6)  # nearest, lanczos, bilinear, bicubic, box, hamming

SIZES = [  # width and height before, width and height after
    (1, 1, 1, 1), (1, 1, 7, 5), (2, 2, 1, 1), (3, 3, 1, 1), (2, 1, 5, 4), (5, 4, 3, 7), (7, 5, 8, 3), (4, 6, 4, 6),
    (8, 8, 4, 4), (8, 8, 16, 16), (9, 7, 9, 20), (9, 7, 20, 7), (16, 9, 5, 5), (31, 17, 13, 29), (17, 31, 29, 13),
    (64, 64, 224, 224), (224, 224, 224, 224), (225, 223, 224, 224), (100, 75, 224, 168), (256, 256, 224, 224),
    (384, 384, 224, 224), (320, 213, 256, 170), (427, 640, 224, 224), (427, 640, 224, 335), (640, 427, 224, 224),
    (640, 480, 298, 224), (500, 333, 96, 64), (333, 500, 64, 96), (1000, 10, 224, 224), (10, 1000, 224, 224),
    (2000, 3, 40, 40), (3, 2000, 40, 40), (1500, 1, 30, 1), (1, 1500, 1, 30), (1, 90, 224, 30), (90, 1, 30, 224),
    (257, 129, 85, 43), (129, 257, 43, 85), (300, 300, 1, 1), (300, 300, 299, 301), (300, 300, 301, 299),
    (51, 200, 30, 158), (51, 200, 30, 157), (51, 200, 30, 159),  # around the border between the two orders of passes
    (60, 40, 90, 39), (60, 40, 61, 39), (60, 40, 59, 38), (60, 40, 59, 37),
    (1024, 683, 384, 256), (1280, 720, 70, 70), (720, 1280, 70, 70),
]


def source_image(width, height):
    i = np.arange(width * height * 3, dtype=np.uint32)
    i = i * np.uint32(2654435761) + np.uint32(width * 65537 + height)
    i ^= i >> np.uint32(15)
    i *= np.uint32(2246822519)
    return Image.fromarray((i >> np.uint32(24)).astype(np.uint8).reshape(height, width, 3))


def main():
    assert int(pillow_version.split(".")[0]) >= 13, "older versions take the passes in another order"
    with open(Path(__file__).parent / "resample.txt", "w") as out:
        for width, height, new_width, new_height in SIZES:
            image = source_image(width, height)
            for number in FILTERS:
                data = image.resize((new_width, new_height), number).tobytes()
                shown = " " + data.hex() if new_width * new_height <= 24 else ""
                out.write(f"{number} {width} {height} {new_width} {new_height} {zlib.crc32(data):08x}{shown}\n")


if __name__ == "__main__":
    main()
