"""Finds a known key in whatever was written, however it is packed: by unpacking, not by knowing the packed forms."""

from __future__ import annotations

import base64
import binascii
import contextlib
import html
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

_RUNS = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){8,}")
_GZIP = b"\x1f\x8b\x08"


def leaks(data: bytes, key: str) -> bool:
    """Whether the key, or its first or last twelve characters, can be read from these bytes."""
    parts = (key.encode(), key[:12].encode(), key[-12:].encode())
    return any(part in form for form in _unpacked(data, depth=3) for part in parts)


def leaking_files(folder: Path, key: str) -> list[str]:
    """Names of the files below `folder` that the key can be read from."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if leaks(path.read_bytes(), key)]


def _unpacked(data: bytes, depth: int) -> Iterator[bytes]:
    yield data
    yield unquote_to_bytes(data)
    yield re.sub(rb"\\u00([0-9A-Fa-f]{2})", lambda pair: bytes.fromhex(pair[1].decode()), data).replace(b"\\/", b"/")
    yield html.unescape(data.decode("utf-8", "replace")).encode()
    yield data.replace(b"\0", b"")  # UTF-16
    if depth:
        for inner in (*_ungzipped(data), *_unbased(data), *_unbased(b"".join(data.split()))):
            yield from _unpacked(inner, depth - 1)


def _ungzipped(data: bytes) -> Iterator[bytes]:
    at = data.find(_GZIP)
    while at >= 0:
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj(wbits=31).decompress(data[at:], 1 << 22)
        at = data.find(_GZIP, at + 1)


def _unbased(data: bytes) -> Iterator[bytes]:
    for run in _RUNS.findall(data):
        plain = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            piece = plain[start:]
            yield base64.b64decode(piece[: len(piece) // 4 * 4])
    for run in _HEX.findall(data):
        yield binascii.unhexlify(run)
