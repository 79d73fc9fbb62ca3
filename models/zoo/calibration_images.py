#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training images for calibrating a quantized model, drawn the same way on every machine, as PNG.

    pip install pillow
    models/zoo/calibration_images.py tinyimagenet100.tar.xz OUT      # OUT/32/0 .. OUT/32/4, OUT/300/0 .. OUT/300/4
    models/zoo/calibration_images.py FOLDER OUT --count 64 --draw 7  # OUT/64/7

The source is an archive or a folder with images as .../train/CLASS/FILE. Files are named RANK_CLASS_FILE.png: sorted by
name they come in the order they were drawn in. A draw takes one image of every class, then a second one, and so on, so
that no class has two images more than another, and a small count is the beginning of a large one. Its order is that of
the SHA-256 of the draw's number and the name of the class or of the image: no generator whose versions could differ.
"""
import argparse
import hashlib
import itertools
import pathlib
import tarfile

from PIL import Image

ENDINGS = {".webp", ".jpg", ".jpeg", ".png", ".bmp"}


class Folder:
    """Images as (class, file), and how to read some of them."""

    def __init__(self, path):
        self.files = by_name((p, p) for p in path.rglob("*"))

    def read(self, wanted):
        for image in wanted:
            yield image, self.files[image]


class Archive:
    def __init__(self, path):
        self.tar = tarfile.open(path)
        self.files = by_name((pathlib.PurePosixPath(m.name), m) for m in self.tar.getmembers())

    def read(self, wanted):
        for image in sorted(wanted, key=lambda image: self.files[image].offset):  # it cannot be read backwards
            yield image, self.tar.extractfile(self.files[image])


def by_name(entries):
    """The training images among (path, entry), by class and file."""
    return {(path.parts[-2], path.name): entry for path, entry in entries
            if path.parts[-3:-2] == ("train",) and path.suffix.lower() in ENDINGS}


def drawn(images, draw):
    """All images in the order of a draw."""
    def order(*names):
        return hashlib.sha256("/".join((str(draw), *names)).encode()).digest()
    classes = {}
    for name, file in images:
        classes.setdefault(name, []).append((name, file))
    rows = [sorted(classes[name], key=lambda image: order(*image)) for name in sorted(classes, key=order)]
    return [image for round_ in itertools.zip_longest(*rows) for image in round_ if image]


def destinations(images, arguments):
    """Image -> the files it becomes."""
    targets = {}
    for draw in arguments.draw:
        order = drawn(images, draw)
        for count in arguments.count:
            folder = arguments.out / str(count) / str(draw)
            folder.mkdir(parents=True, exist_ok=True)
            for rank, image in enumerate(order[:count]):
                name = f"{rank:04d}_{image[0]}_{pathlib.PurePath(image[1]).stem}.png"
                targets.setdefault(image, []).append(folder / name)
    return targets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, nargs="+", default=[32, 300])
    parser.add_argument("--draw", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    source = (Folder if arguments.source.is_dir() else Archive)(arguments.source)
    if len(source.files) < max(arguments.count):
        parser.error(f"{arguments.source} holds {len(source.files)} training images, asked for: {max(arguments.count)}")
    targets = destinations(source.files, arguments)
    for image, file in source.read(targets):
        with Image.open(file) as pixels:
            for path in targets[image]:
                pixels.convert("RGB").save(path)


if __name__ == "__main__":
    main()
