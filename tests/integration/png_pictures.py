"""PNG pictures, from the standard library and numpy alone."""

import struct
import zlib

import numpy as np


def png(width, height, value=90):
    """A PNG of stripes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([value, (7 * y) % 256, 200]) * width for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def decode_png(picture):
    """The pixels of an 8-bit RGB PNG, [H, W, 3] (PNG specification, section 9)."""
    width, height = png_size(picture)
    assert picture[24:26] == b"\x08\x02", "not 8-bit RGB"
    data, place = b"", 8
    while place < len(picture):
        size, kind = struct.unpack(">I4s", picture[place:place + 8])
        data += picture[place + 8:place + 8 + size] if kind == b"IDAT" else b""
        place += 12 + size
    lines = zlib.decompress(data)
    stride = 3 * width
    before, rows = [0] * stride, []
    for y in range(height):
        line = lines[y * (stride + 1):(y + 1) * (stride + 1)]
        row = []
        for i, value in enumerate(line[1:]):
            left = row[i - 3] if i >= 3 else 0
            corner = before[i - 3] if i >= 3 else 0
            paeth = min((left, before[i], corner), key=lambda near: abs(left + before[i] - corner - near))
            row.append((value + (0, left, before[i], (left + before[i]) // 2, paeth)[line[0]]) % 256)
        rows.append(row)
        before = row
    return np.array(rows, dtype=np.uint8).reshape(height, width, 3)


def png_size(picture):
    assert picture.startswith(b"\x89PNG\r\n\x1a\n"), picture[:16]
    return struct.unpack(">II", picture[16:24])
