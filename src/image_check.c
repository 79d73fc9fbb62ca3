/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structure checks of image files. What stb_image 2.27 leaves unchecked in the formats that we build it with, and
 * what is done about it:
 *   JPEG  a DHT segment with more than 256 symbols overruns the Huffman tables (CVE-2022-28042): counted here. Tables
 *         used before they are defined, blocks that no scan covers: all its memory is zeroed (decode.c). Scans
 *         without end: limited here. Subsampling ratios that are no integers (CVE-2021-37789): refused by Debian's
 *         version.
 *   PNG   palette indices beyond PLTE read an array that was never written: PLTE is padded. Chunk lengths beyond the
 *         file move a pointer beyond it, impossible combinations of colour type and depth, a name buffer shared by
 *         all threads for unknown critical chunks: refused here. Checksums are not compared: they are here.
 *   BMP   a palette of negative size, indices beyond it: computed and padded as above. With the 12-byte header the
 *         last four colours are never read: made up for by padding. A height of INT_MIN, pixels beyond the file's
 *         end: refused here.
 *
 * The other published holes of that version are in HDR, PNM, PIC, GIF, TGA and PSD (such as CVE-2021-42715,
 * CVE-2021-42716, CVE-2023-43898, CVE-2023-45661 to 45667), which are not built, or in vertical flipping, which is
 * not used. Each file must also be large enough for its pixels at the best compression its format allows, so that
 * memory stays in proportion to the file.
 */
#include "image_check.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

struct file {
    const uint8_t *bytes;
    size_t size;
    const char *format; /* for messages */
    vitrt_error *err;
};

static vitrt_status ends_early(const struct file *f)
{
    return vt_err(f->err, VITRT_EFORMAT, "The image data ends early: the %s file of %zu bytes is incomplete.",
                  f->format, f->size);
}

static vitrt_status damaged(const struct file *f, const char *what)
{
    return vt_err(f->err, VITRT_EFORMAT, "The image is a damaged %s file: %s.", f->format, what);
}

static vitrt_status unsupported(const struct file *f, const char *what)
{
    return vt_err(f->err, VITRT_EUNSUPPORTED, "The image is a %s file that cannot be read: %s.", f->format, what);
}

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p + 2) << 16 | le16(p);
}

/* ---- EXIF ---- */

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3 };

/* The orientation in a TIFF structure of n bytes; 1 where there is none or it makes no sense. */
static unsigned tiff_orientation(const uint8_t *tiff, size_t n)
{
    if (n < 8 || !((tiff[0] == 'I' && tiff[1] == 'I') || (tiff[0] == 'M' && tiff[1] == 'M')))
        return 1;
    uint32_t (*const get16)(const uint8_t *) = tiff[0] == 'I' ? le16 : be16;
    uint32_t (*const get32)(const uint8_t *) = tiff[0] == 'I' ? le32 : be32;
    const uint32_t directory = get32(tiff + 4);

    if (get16(tiff + 2) != 42 || directory > n - 2)
        return 1;
    const size_t entries = get16(tiff + directory);
    for (size_t i = 0; i < entries && directory + 2 + (i + 1) * 12 <= n; i++) {
        const uint8_t *entry = tiff + directory + 2 + i * 12;
        if (get16(entry) == TAG_ORIENTATION && get16(entry + 2) == TYPE_SHORT) {
            const uint32_t value = get16(entry + 8);
            return value >= 1 && value <= 8 ? value : 1;
        }
    }
    return 1;
}

/* ---- JPEG ---- */

enum {
    JPEG_SOF0 = 0xC0,
    JPEG_SOF2 = 0xC2,
    JPEG_DHT = 0xC4,
    JPEG_JPG = 0xC8,
    JPEG_DAC = 0xCC,
    JPEG_SOF15 = 0xCF,
    JPEG_RST0 = 0xD0,
    JPEG_RST7 = 0xD7,
    JPEG_SOI = 0xD8,
    JPEG_EOI = 0xD9,
    JPEG_SOS = 0xDA,
    JPEG_APP1 = 0xE1,
    JPEG_APP14 = 0xEE
};

/* libjpeg writes 10 for a progressive image; without a limit, a small file could keep the decoder busy for hours. */
#define JPEG_MAX_SCANS 100

struct jpeg {
    unsigned scans;
    bool has_frame, has_exif, has_adobe;
};

/* Every block of every component costs at least one bit. */
static bool jpeg_can_hold(const struct file *f, const uint8_t *components, unsigned count, uint32_t width,
                          uint32_t height)
{
    uint32_t h_max = 1, v_max = 1;
    uint64_t blocks = 0;

    for (unsigned i = 0; i < count; i++) {
        const uint32_t h = components[3 * i + 1] >> 4, v = components[3 * i + 1] & 15;
        h_max = h > h_max ? h : h_max;
        v_max = v > v_max ? v : v_max;
    }
    for (unsigned i = 0; i < count; i++) {
        const uint32_t h = components[3 * i + 1] >> 4, v = components[3 * i + 1] & 15;
        const uint64_t x = (width * h + h_max - 1) / h_max, y = (height * v + v_max - 1) / v_max;
        blocks += (x + 7) / 8 * ((y + 7) / 8);
    }
    return blocks <= 8 * (uint64_t)f->size;
}

static vitrt_status jpeg_frame(const struct file *f, struct jpeg *j, unsigned marker, const uint8_t *data, size_t n,
                               struct vt_image_facts *facts)
{
    if (marker > JPEG_SOF2)
        return unsupported(f, "its coding is neither baseline nor progressive Huffman");
    if (j->has_frame)
        return damaged(f, "it has two frame headers");
    j->has_frame = true;
    if (n < 6 || n != 6 + 3u * data[5])
        return damaged(f, "the length of its frame header is wrong");
    if (data[0] != 8)
        return unsupported(f, "its samples do not have 8 bits");
    if (data[5] != 1 && data[5] != 3 && data[5] != 4)
        return unsupported(f, "it has neither 1, 3 nor 4 components");
    if (data[5] == 4 && !j->has_adobe)
        return unsupported(f, "it has four components and no Adobe marker that says what they mean");
    facts->height = be16(data + 1);
    facts->width = be16(data + 3);
    return jpeg_can_hold(f, data + 6, data[5], facts->width, facts->height) ? VITRT_OK : ends_early(f);
}

/* One or more Huffman tables: class and number, 16 counts, as many symbols. */
static vitrt_status jpeg_huffman(const struct file *f, const uint8_t *data, size_t n)
{
    while (n) {
        size_t symbols = 0;

        for (size_t i = 1; i <= 16 && i < n; i++)
            symbols += data[i];
        if (n < 17 || symbols > 256 || symbols > n - 17)
            return damaged(f, "a Huffman table has more symbols than fit");
        data += 17 + symbols;
        n -= 17 + symbols;
    }
    return VITRT_OK;
}

static vitrt_status jpeg_segment(const struct file *f, struct jpeg *j, unsigned marker, const uint8_t *data, size_t n,
                                 struct vt_image_facts *facts)
{
    if (marker == JPEG_DHT)
        return jpeg_huffman(f, data, n);
    if (marker == JPEG_DAC)
        return unsupported(f, "its coding is arithmetic");
    if (marker >= JPEG_SOF0 && marker <= JPEG_SOF15 && marker != JPEG_JPG)
        return jpeg_frame(f, j, marker, data, n, facts);
    if (marker == JPEG_SOS && ++j->scans > JPEG_MAX_SCANS)
        return unsupported(f, "it has more than 100 scans");
    if (marker == JPEG_APP14 && n >= 12 && memcmp(data, "Adobe", 6) == 0)
        j->has_adobe = true;
    if (marker == JPEG_APP1 && !j->has_exif && n >= 6 && memcmp(data, "Exif\0", 6) == 0) {
        j->has_exif = true;
        facts->orientation = tiff_orientation(data + 6, n - 6);
    }
    return VITRT_OK;
}

/* Position of the 0xFF of the next marker from at on, or size. Stuffed zeros and restart markers belong to the data
 * of a scan. */
static size_t jpeg_next_marker(const struct file *f, size_t at)
{
    while (at + 1 < f->size) {
        const uint8_t *ff = memchr(f->bytes + at, 0xFF, f->size - 1 - at);

        if (!ff)
            break;
        at = (size_t)(ff - f->bytes);
        if (ff[1] != 0 && ff[1] != 0xFF && !(ff[1] >= JPEG_RST0 && ff[1] <= JPEG_RST7))
            return at;
        at += ff[1] == 0xFF ? 1 : 2;
    }
    return f->size;
}

static vitrt_status check_jpeg(const struct file *f, struct vt_image_facts *facts)
{
    struct jpeg j = { 0 };
    size_t at = 2; /* behind SOI */

    for (;;) {
        at = jpeg_next_marker(f, at);
        if (at == f->size)
            return ends_early(f);
        const unsigned marker = f->bytes[at + 1];
        at += 2;
        if (marker == JPEG_EOI)
            break;
        if (f->size - at < 2)
            return ends_early(f);
        const size_t length = be16(f->bytes + at);
        if (length < 2)
            return damaged(f, "a segment's length is below 2");
        if (length > f->size - at)
            return ends_early(f);
        const vitrt_status status = jpeg_segment(f, &j, marker, f->bytes + at + 2, length - 2, facts);
        if (status != VITRT_OK)
            return status;
        at += length;
    }
    if (!j.has_frame || !j.scans)
        return damaged(f, "it has no frame header or no scan");
    return VITRT_OK;
}

/* ---- PNG ---- */

static const uint8_t png_signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n' };

enum { PNG_GREY = 0, PNG_RGB = 2, PNG_PALETTE = 3, PNG_GREY_ALPHA = 4, PNG_RGBA = 6 };

#define DEFLATE_MAX_RATIO 1032u /* 258 bytes from two bits */

#define PNG_TYPE(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

struct png {
    unsigned depth, colour, channels;
    uint64_t data_bytes;
    bool has_palette;
};

/* CRC-32 as PNG and zlib define it, four bits at a time. */
static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    static const uint32_t table[16] = { 0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
                                        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C };
    uint32_t crc = 0xFFFFFFFF;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static bool crc_matches(const uint8_t *chunk, size_t length)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer would spend its time on checksums */
    (void)chunk, (void)length, (void)crc32_of;
    return true;
#else
    return crc32_of(chunk + 4, length + 4) == be32(chunk + 8 + length);
#endif
}

static unsigned png_channels(unsigned colour)
{
    switch (colour) {
    case PNG_GREY:
    case PNG_PALETTE: return 1;
    case PNG_GREY_ALPHA: return 2;
    case PNG_RGB: return 3;
    case PNG_RGBA: return 4;
    default: return 0;
    }
}

static bool png_depth_allowed(unsigned colour, unsigned depth)
{
    if (depth == 8)
        return true;
    if (depth == 16)
        return colour != PNG_PALETTE;
    return (depth == 1 || depth == 2 || depth == 4) && (colour == PNG_GREY || colour == PNG_PALETTE);
}

static vitrt_status png_header(const struct file *f, struct png *p, const uint8_t *data, size_t n,
                               struct vt_image_facts *facts)
{
    if (n != 13)
        return damaged(f, "the length of its header is wrong");
    facts->width = be32(data);
    facts->height = be32(data + 4);
    p->depth = data[8];
    p->colour = data[9];
    p->channels = png_channels(p->colour);
    if (!p->channels || !png_depth_allowed(p->colour, p->depth) || data[10] || data[11] || data[12] > 1)
        return damaged(f, "its colour type, depth or methods do not exist");
    return VITRT_OK;
}

static vitrt_status png_palette(const struct file *f, struct png *p, const uint8_t *data, size_t n,
                                struct vt_image_facts *facts)
{
    const size_t wanted = (size_t)3 << p->depth;

    if (p->has_palette || n == 0 || n % 3 || n > 768)
        return damaged(f, "its palette does not have 1 to 256 colours");
    p->has_palette = true;
    if (p->colour == PNG_PALETTE && n < wanted) {
        facts->length_at = (size_t)(data - 8 - f->bytes);
        facts->length_is_big_endian = true;
        facts->insert_at = (size_t)(data - f->bytes) + n;
        facts->insert_bytes = wanted - n;
    }
    return VITRT_OK;
}

static vitrt_status png_chunk(const struct file *f, struct png *p, uint32_t type, const uint8_t *data, size_t n,
                              struct vt_image_facts *facts)
{
    switch (type) {
    case PNG_TYPE('I', 'H', 'D', 'R'):
        return p->channels ? damaged(f, "it has two headers") : png_header(f, p, data, n, facts);
    case PNG_TYPE('P', 'L', 'T', 'E'): return png_palette(f, p, data, n, facts);
    case PNG_TYPE('I', 'D', 'A', 'T'):
        if (p->data_bytes == 0 && n == 0)
            return damaged(f, "its pixel data begins with an empty chunk");
        if (p->colour == PNG_PALETTE && !p->has_palette)
            return damaged(f, "it has no palette");
        p->data_bytes += n;
        return VITRT_OK;
    default:
        return type & PNG_TYPE(0x20, 0, 0, 0) ? VITRT_OK : unsupported(f, "it has a critical chunk of an unknown type");
    }
}

static vitrt_status check_png(const struct file *f, struct vt_image_facts *facts)
{
    struct png p = { 0 };
    size_t at = sizeof(png_signature);

    for (;;) {
        if (f->size - at < 12)
            return ends_early(f);
        const uint8_t *chunk = f->bytes + at;
        const size_t length = be32(chunk);
        const uint32_t type = be32(chunk + 4);

        if (type == PNG_TYPE('C', 'g', 'B', 'I'))
            return unsupported(f, "it is Apple's variant");
        if (!p.channels && type != PNG_TYPE('I', 'H', 'D', 'R'))
            return damaged(f, "it does not begin with its header");
        if (length > f->size - at - 12)
            return ends_early(f);
        if (!crc_matches(chunk, length))
            return damaged(f, "a checksum is wrong");
        if (type == PNG_TYPE('I', 'E', 'N', 'D'))
            break;
        const vitrt_status status = png_chunk(f, &p, type, chunk + 8, length, facts);
        if (status != VITRT_OK)
            return status;
        at += 12 + length;
    }
    const uint64_t row = ((uint64_t)facts->width * p.channels * p.depth + 7) / 8;
    return row && facts->height > (p.data_bytes + 1) * DEFLATE_MAX_RATIO / row ? ends_early(f) : VITRT_OK;
}

/* ---- BMP ---- */

/* stb_image takes the shortest header for 24 bytes long when it counts the colours behind it. */
enum { STB_CORE_ERROR = 12 };

enum {
    BMP_FILE_HEADER = 14,
    BMP_CORE_HEADER = 12,
    BMP_INFO_HEADER = 40,
    BMP_RGB = 0,
    BMP_RLE8 = 1,
    BMP_RLE4 = 2,
    BMP_BITFIELDS = 3
};

struct bmp {
    uint32_t header, offset, depth, compression;
};

static vitrt_status bmp_palette(const struct file *f, const struct bmp *b, struct vt_image_facts *facts)
{
    const bool core = b->header == BMP_CORE_HEADER;
    const size_t entry = core ? 3 : 4;
    const size_t begin = BMP_FILE_HEADER + b->header, wanted = (size_t)1 << b->depth;

    if (b->offset < begin + entry)
        return damaged(f, "it has no palette");
    const size_t entries = (b->offset - begin) / entry;
    if (entries > 256)
        return unsupported(f, "there is a gap between palette and pixels");
    facts->length_at = 10;
    facts->insert_at = begin + entries * entry;
    facts->insert_bytes = (entries < wanted ? (wanted - entries) * entry : 0) + (core ? STB_CORE_ERROR : 0);
    return VITRT_OK;
}

static vitrt_status check_bmp(const struct file *f, struct vt_image_facts *facts)
{
    struct bmp b = { 0 };

    if (f->size < BMP_FILE_HEADER + BMP_CORE_HEADER)
        return ends_early(f);
    b.offset = le32(f->bytes + 10);
    b.header = le32(f->bytes + 14);
    const bool core = b.header == BMP_CORE_HEADER;
    if (!core && b.header != BMP_INFO_HEADER && b.header != 56 && b.header != 108 && b.header != 124)
        return unsupported(f, "its header is of an unknown version");
    if (b.offset > f->size || f->size < BMP_FILE_HEADER + (size_t)b.header)
        return ends_early(f);
    const uint8_t *h = f->bytes + BMP_FILE_HEADER;
    const uint32_t height = core ? le16(h + 6) : le32(h + 8); /* negative: top row first */
    b.depth = core ? le16(h + 10) : le16(h + 14);
    b.compression = core ? BMP_RGB : le32(h + 16);
    facts->width = core ? le16(h + 4) : le32(h + 4);
    facts->height = height > INT32_MAX ? 0u - height : height;
    if (facts->width > INT32_MAX || facts->height > INT32_MAX)
        return damaged(f, "its size is negative");
    if (b.compression == BMP_RLE8 || b.compression == BMP_RLE4)
        return unsupported(f, "it is compressed");
    if (b.compression != BMP_RGB && !(b.compression == BMP_BITFIELDS && (b.depth == 16 || b.depth == 32)))
        return unsupported(f, "its compression is unknown");
    if (b.depth != 1 && b.depth != 4 && b.depth != 8 && b.depth != 16 && b.depth != 24 && b.depth != 32)
        return unsupported(f, "its pixels have neither 1, 4, 8, 16, 24 nor 32 bits");
    /* Rows are padded to four bytes, the last one perhaps not. Two factors below 2^31 cannot overflow; the division
     * keeps the third apart. */
    const uint64_t row = ((uint64_t)facts->width * b.depth + 7) / 8, padded = (row + 3) / 4 * 4;
    if (row && facts->height && (facts->height - 1) > (f->size - b.offset) / padded)
        return ends_early(f);
    if (facts->height && padded * (facts->height - 1) + row > f->size - b.offset)
        return ends_early(f);
    return b.depth < 16 ? bmp_palette(f, &b, facts) : VITRT_OK;
}

/* ---- All ---- */

vitrt_status vt_image_check(const uint8_t *bytes, size_t size, struct vt_image_facts *facts, vitrt_error *err)
{
    struct file f = { .bytes = bytes, .size = size, .err = err };

    *facts = (struct vt_image_facts){ .orientation = 1 };
    if (size >= 3 && bytes[0] == 0xFF && bytes[1] == JPEG_SOI && bytes[2] == 0xFF) {
        f.format = "JPEG";
        return check_jpeg(&f, facts);
    }
    if (size >= sizeof(png_signature) && memcmp(bytes, png_signature, sizeof(png_signature)) == 0) {
        f.format = "PNG";
        return check_png(&f, facts);
    }
    if (size >= 2 && bytes[0] == 'B' && bytes[1] == 'M') {
        f.format = "BMP";
        return check_bmp(&f, facts);
    }
    if (size < 8)
        return vt_err(err, VITRT_EFORMAT, "The image has only %zu bytes, too few for a JPEG, PNG or BMP file.", size);
    return vt_err(err, VITRT_EUNSUPPORTED,
                  "The image is not a JPEG, PNG or BMP file: it begins with the bytes %02x %02x %02x %02x.", bytes[0],
                  bytes[1], bytes[2], bytes[3]);
}
