"""The colour of a picture that came as a data URL: enough to tell whether an image arrived."""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib

from .words import knowledge

_MOST = 4 * 1024 * 1024
"""Bytes of a picture that are unpacked."""


def describe(image: str) -> str:
    """`a red picture of 8 by 8 pixels` for a PNG as data URL; less for anything else."""
    match = re.match(r"data:image/([\w.+-]+);base64,(.+)$", image, re.DOTALL)
    if not match:
        return "something that I cannot look at from here"
    try:
        data = base64.b64decode(match[2], validate=False)
        return _png(data) if data.startswith(b"\x89PNG") else f"a {match[1]} picture"
    except (binascii.Error, zlib.error, struct.error, IndexError, ValueError):
        return "a damaged picture"


def _png(data: bytes) -> str:
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    channels = {0: 1, 2: 3, 4: 2, 6: 4}.get(kind)
    size = f"picture of {width} by {height} pixels"
    if depth != 8 or channels is None or width * height * channels > _MOST:
        return f"a {size}"
    spot, packed = 8, b""
    while spot < len(data):
        length, name = struct.unpack(">I4s", data[spot : spot + 8])
        packed += data[spot + 8 : spot + 8 + length] if name == b"IDAT" else b""
        spot += 12 + length
    first = zlib.decompressobj().decompress(packed, _MOST)[1 : 1 + channels]  # no filter changes the first pixel
    pixel = (first[0],) * 3 if channels < 3 else first[:3]
    colours = knowledge()["colours"]
    return f"a {min(colours, key=lambda name: sum((a - b) ** 2 for a, b in zip(pixel, colours[name], strict=True)))} {size}"
