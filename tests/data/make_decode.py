#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the image files of test_decode and of the fuzzer's corpus, and Pillow's answers.

    make_decode.py            (needs Pillow and numpy; run it in its own folder)

decode/*               image files, good and bad
decode/expected.txt    one line for each good file: name, width, height, and the largest difference allowed from what
                       Pillow's convert("RGB") made of it
decode/expected.bin    these pixels, one file after the other
../fuzz/corpus_decode  the good files once more, and damaged ones
"""
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
FOLDER = HERE / "decode"
CORPUS = HERE.parent / "fuzz" / "corpus_decode"

WIDTH, HEIGHT = 19, 13


def picture(width=WIDTH, height=HEIGHT):
    """Smooth, so that JPEG decoders agree, and different in all corners, so that every turn shows."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 5, y * 7, 40 + x + 3 * y], -1).astype(np.uint8))


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(width, height, depth, colour, rows, interlace=0, extra=()):
    """rows: the packed bytes of each row, or for interlaced files the whole filtered data."""
    data = rows if isinstance(rows, bytes) else b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(data, 9)), chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def pack(values, depth):
    """Samples of one row, most significant bit first."""
    if depth == 16:
        return b"".join(struct.pack(">H", v) for v in values)
    bits = "".join(format(v, f"0{depth}b") for v in values)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def samples(colour, depth, width=WIDTH, height=HEIGHT):
    n = CHANNELS[colour]
    return [[[(x * 7 + y * 13 + c * 29) * 257 % (1 << depth) for c in range(n)] for x in range(width)]
            for y in range(height)]


def packed_rows(grid, depth):
    return [pack([v for pixel in row for v in pixel], depth) for row in grid]


def interlaced(grid, depth):
    """Adam7, each row with filter 0."""
    out = b""
    passes = (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    for x0, y0, dx, dy in passes:
        for row in grid[y0::dy]:
            if row[x0::dx]:
                out += b"\0" + pack([v for pixel in row[x0::dx] for v in pixel], depth)
    return out


STEPS = (37, 5), (91, 60), (53, 200)


def palette(count):
    return chunk(b"PLTE", bytes((i * step + start) % 256 for i in range(count) for step, start in STEPS))


def png_files():
    """Every colour type and depth, plain and interlaced. Pillow's own encoder knows only some of them."""
    for colour, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            grid = samples(colour, depth)
            extra = [palette(1 << depth)] if colour == 3 else []
            yield f"png_{colour}_{depth}.png", png(WIDTH, HEIGHT, depth, colour, packed_rows(grid, depth), 0, extra)
            if depth in (2, 8, 16):
                data = interlaced(grid, depth)
                yield f"png_{colour}_{depth}_interlaced.png", png(WIDTH, HEIGHT, depth, colour, data, 1, extra)
    for name, colour, depth, extra in (
            ("trns_grey", 0, 8, [chunk(b"tRNS", struct.pack(">H", 13))]),
            ("trns_rgb", 2, 8, [chunk(b"tRNS", struct.pack(">HHH", 0, 29, 58))]),
            ("trns_palette", 3, 4, [palette(16), chunk(b"tRNS", bytes(range(0, 256, 16)))]),
            ("short_palette", 3, 8, [palette(7)])):
        rows = packed_rows(samples(colour, depth), depth)
        yield f"png_{name}.png", png(WIDTH, HEIGHT, depth, colour, rows, 0, extra)
    yield "png_filters.png", encoded(picture(40, 9), "PNG")
    yield "png_1x1.png", png(1, 1, 1, 0, [b"\x80"])


def jpeg_files():
    image = picture(45, 33)
    yield "jpeg_444.jpg", encoded(image, "JPEG", quality=92, subsampling=0)
    yield "jpeg_422.jpg", encoded(image, "JPEG", quality=92, subsampling=1)
    yield "jpeg_420.jpg", encoded(image, "JPEG", quality=92, subsampling=2)
    yield "jpeg_progressive.jpg", encoded(image, "JPEG", quality=92, progressive=True)
    yield "jpeg_grey.jpg", encoded(image.convert("L"), "JPEG", quality=92)
    yield "jpeg_cmyk.jpg", encoded(image.convert("CMYK"), "JPEG", quality=92)
    yield "jpeg_rgb.jpg", encoded(image, "JPEG", quality=92, keep_rgb=True)
    yield "jpeg_restart.jpg", encoded(image, "JPEG", quality=92, restart_marker_blocks=2)
    yield "jpeg_1x1.jpg", encoded(picture(1, 1), "JPEG")


def bmp(header, depth, rows, colours=b"", compression=0, masks=b"", top_down=False):
    """header: 12 or 40 bytes of it."""
    pixels = b"".join(row + b"\0" * (-len(row) % 4) for row in (rows if top_down else rows[::-1]))
    if header == 12:
        info = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, depth)
    else:
        height = -HEIGHT if top_down else HEIGHT
        info = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, depth, compression, len(pixels), 0, 0, 0, 0)
    offset = 14 + len(info) + len(masks) + len(colours)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + masks + colours + pixels


def bmp_files():
    colours = bytes((i * step + start) % 256 for i in range(256) for step, start in (*STEPS, (0, 0)))
    core = bytes(b for i in range(256) for b in colours[4 * i:4 * i + 3])
    for depth in (1, 4, 8):
        rows = packed_rows(samples(3, depth), depth)
        yield f"bmp_{depth}.bmp", bmp(40, depth, rows, colours[:4 << depth])
        yield f"bmp_{depth}_core.bmp", bmp(12, depth, rows, core[:3 << depth])
    bgr = [bytes(v for pixel in row for v in pixel) for row in samples(2, 8)]
    bgra = [bytes(v for pixel in row for v in pixel) for row in samples(6, 8)]
    words = [b"".join(struct.pack("<H", (x * 1021 + y * 4099) % 65536) for x in range(WIDTH)) for y in range(HEIGHT)]
    yield "bmp_16.bmp", bmp(40, 16, words)
    yield "bmp_16_565.bmp", bmp(40, 16, words, b"", 3, struct.pack("<III", 0xF800, 0x07E0, 0x001F))
    yield "bmp_24.bmp", bmp(40, 24, bgr)
    yield "bmp_24_top_down.bmp", bmp(40, 24, bgr, top_down=True)
    yield "bmp_32.bmp", bmp(40, 32, bgra)


def bad_files(good):
    """Files that must give an error; the name begins with the status wanted."""
    jpeg, image, bitmap = good["jpeg_420.jpg"], good["png_2_8.png"], good["bmp_24.bmp"]
    tables = jpeg.index(b"\xff\xc4")
    flipped = bytearray(image)
    flipped[-20] ^= 1
    yield "format_empty", b""
    yield "format_jpeg_cut.jpg", jpeg[:len(jpeg) // 2]
    yield "format_jpeg_no_end.jpg", jpeg[:-2]
    yield "format_jpeg_header.jpg", jpeg[:jpeg.index(b"\xff\xda") + 4]
    overrun = b"\xff\xc4\x02\xa1\x00" + bytes([0, 0, 3] + [0] * 8 + [99] * 4 + [255]) + bytes(654)
    yield "format_jpeg_huffman_overrun.jpg", jpeg[:tables] + overrun + jpeg[tables:]
    yield "format_jpeg_lying_size.jpg", jpeg.replace(struct.pack(">HH", 33, 45), struct.pack(">HH", 9000, 9000))
    yield "unsupported_jpeg_arithmetic.jpg", jpeg.replace(b"\xff\xc0", b"\xff\xc9")
    yield "unsupported_jpeg_12_bit.jpg", jpeg.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c")
    yield "format_png_cut.png", image[:len(image) // 2]
    yield "format_png_checksum.png", bytes(flipped)
    yield "format_png_lying_size.png", png(10000, 10000, 8, 2, [bytes(30)])
    yield "format_png_few_rows.png", png(WIDTH, HEIGHT + 1, 8, 2, packed_rows(samples(2, 8), 8))
    yield "format_png_depth.png", png(4, 1, 4, 2, [bytes(6)])
    yield "format_png_no_palette.png", png(4, 1, 8, 3, [bytes(4)])
    yield "format_png_zero.png", png(0, 1, 8, 2, [b""])
    yield "limit_png_huge.png", png(20000, 1, 8, 0, [bytes(20000)])
    yield "unsupported_png_chunk.png", png(4, 1, 8, 0, [bytes(4)], 0, [chunk(b"ABCD", b"")])
    yield "format_bmp_cut.bmp", bitmap[:-5]
    yield "format_bmp_no_palette.bmp", good["bmp_8.bmp"][:10] + struct.pack("<I", 54) + good["bmp_8.bmp"][14:]
    yield "format_bmp_int_min.bmp", bitmap[:22] + struct.pack("<I", 0x80000000) + bitmap[26:]
    yield "unsupported_bmp_rle.bmp", good["bmp_8.bmp"][:30] + struct.pack("<I", 1) + good["bmp_8.bmp"][34:]
    yield "unsupported_gif.gif", encoded(picture(), "GIF")
    yield "unsupported_webp.webp", encoded(picture(), "WEBP", lossless=True)


def expected_pixels(name, data):
    """Pillow's RGB, except for 16-bit grey, of which libvitrt takes the high byte where Pillow clips."""
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if name.startswith("exif"):
        image = ImageOps.exif_transpose(image)
    return np.asarray(image.convert("RGB"))


def main():
    for folder in (FOLDER, CORPUS):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
    good = dict(list(png_files()) + list(jpeg_files()) + list(bmp_files()))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif.endian = "<" if orientation % 2 else ">"
        good[f"exif_{orientation}.jpg"] = encoded(picture(21, 10), "JPEG", quality=95, subsampling=0, exif=exif)
    lines, pixels = [], b""
    for name, data in good.items():
        rgb = expected_pixels(name, data)
        allowed = 4 if data[:2] == b"\xff\xd8" else 1 if name.startswith("bmp_16") else 0
        lines.append(f"{name} {rgb.shape[1]} {rgb.shape[0]} {allowed}\n")
        pixels += rgb.tobytes()
    (FOLDER / "expected.txt").write_text("".join(lines))
    (FOLDER / "expected.bin").write_bytes(pixels)
    bad = dict(bad_files(good))
    for name, data in {**good, **bad}.items():
        (FOLDER / name).write_bytes(data)
        (CORPUS / name).write_bytes(data)


if __name__ == "__main__":
    main()
