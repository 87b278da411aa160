"""Searches a cassette for keys, plain or encoded, before it is written. Pure.

Known keys are removed while an answer is received (routing/redaction.py). This scan finds what is left: other keys, and
known keys in an unexpected encoding. Every text and every `!!binary` is searched as it is, and after decoding escapes,
base64, hexadecimal, gzip and combinations of them. The parts of streams and lists are also searched joined together.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from ..redaction import redact_keys

_DEEP = 4
"""How many encodings nested in one another are decoded at most."""
_INFLATED = 1 << 20
"""Maximum number of bytes that are decompressed from one compressed part."""
_SEARCHED, _TIMES = 8 << 20, 12
"""Limit for all decodings of one value together: bytes, or a multiple of the value's length if that is more.

A value whose decodings exceed the limit counts as a key.
"""
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}+")
_WRAPPED = re.compile(rb"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{16,}+(?:\\[nr]|\s)++)++[A-Za-z0-9+/]++")
_BREAKS = re.compile(rb"\\[nr]|\s")
_HEX = re.compile(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{24,}+")
_ESCAPE = re.compile(rb"\\+(?:u00([0-9A-Fa-f]{2})|([/\"'\\]))")
_WORTH = re.compile(rb"[\x20-\x7e]{12}|(?:[\x20-\x7e]\0){12}|\x1f\x8b\x08|\A\x78[\x01\x5e\x9c\xda]")
"""Pattern for decoded bytes that are searched further: readable text or compressed data.

Ordinary words also look like base64, but decode to other bytes.
"""
_GZIP, _ZLIB = re.compile(rb"\x1f\x8b\x08"), re.compile(rb"\A\x78[\x01\x5e\x9c\xda]")


def places(data: Any, environment: Mapping[str, str], where: str = "") -> Iterator[str]:
    """Paths of values that look like a key, such as `interactions[0].response.body.string`."""
    todo = [(where, data)]
    while todo:
        at, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{at}.{key}" if at else str(key), inner) for key, inner in value.items()]
            if any(holds_key(str(key), environment) for key in value):
                yield f"{at} (a name)"
        elif isinstance(value, list):
            todo += [(f"{at}[{number}]", inner) for number, inner in enumerate(value)]
        elif isinstance(value, str | bytes) and holds_key(value, environment):
            yield at


def holds_key(value: str | bytes, environment: Mapping[str, str]) -> bool:
    """Whether the value looks like a key, an encoded key, or a key cut into parts."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    seen: set[bytes] = set()
    todo, bytes_left = [(data, 0)], max(_SEARCHED, _TIMES * len(data))
    while todo:
        piece, depth = todo.pop()
        if piece in seen:
            continue
        seen.add(piece)
        bytes_left -= len(piece)
        text = piece.decode("utf-8", "replace")
        if bytes_left < 0 or redact_keys(text, environment) != text:
            return True
        if depth < _DEEP:
            todo += [(inner, depth + 1) for inner in _decodings(piece)]
    return False


def _decodings(data: bytes) -> Iterator[bytes]:
    """Decode the bytes, and each part of them that may be encoded, with every known encoding."""
    yield from _decoded_text(data)
    runs = {*_BASE64.findall(data), *(_BREAKS.sub(b"", run) for run in _WRAPPED.findall(data))}
    for run in runs:  # once each: the events of a stream repeat their ids
        yield from filter(_WORTH.search, _from_base64(run))
    for run in set(_HEX.findall(data)):
        yield from filter(_WORTH.search, _from_hex(run))
    for found in _GZIP.finditer(data):
        yield from _inflated(data[found.start() :], 31)
    if _ZLIB.match(data):
        yield from _inflated(data, 15)
    yield from _joined(data)


def _decoded_text(data: bytes) -> Iterator[bytes]:
    if b"\\" in data:
        yield _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]) if found[1] else found[2], data)
    if b"%" in data:
        yield unquote_to_bytes(data)
    if b"&" in data:
        yield html.unescape(data.decode("latin-1")).encode("utf-8", "replace")
    if b"\0" in data:
        yield data.replace(b"\0", b"")  # UTF-16


def _from_base64(run: bytes) -> Iterator[bytes]:
    """Decode base64 text from each of its first four characters, because the encoded data may begin at any of them."""
    run = run.translate(bytes.maketrans(b"-_", b"+/"))
    for start in range(4):
        usable = (len(run) - start) // 4 * 4
        tail = run[start + usable :]
        padded = tail + b"=" * (-len(tail) % 4) if len(tail) > 1 else b""
        yield base64.b64decode(run[start : start + usable] + padded)


def _from_hex(run: bytes) -> Iterator[bytes]:
    for start in range(2):
        yield binascii.unhexlify(run[start : start + (len(run) - start) // 2 * 2])


def _inflated(data: bytes, window: int) -> Iterator[bytes]:
    try:
        plain = zlib.decompressobj(window).decompress(data, _INFLATED)
    except zlib.error:
        return
    if plain:
        yield plain


def _joined(data: bytes) -> Iterator[bytes]:
    """Strings of a JSON document or of a stream's events. All strings at the same path are joined."""
    documents = [line[5:] for line in data.splitlines() if line.startswith(b"data:")] or [data]
    texts: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        parsed = _json(document)
        if parsed is not None:
            _gather(parsed, texts)
        elif len(documents) > 1:
            texts["data"].append(document.removeprefix(b" ").decode("utf-8", "replace"))
    for parts in texts.values():
        for between in ("", "\n"):
            yield between.join(parts).encode("utf-8", "surrogatepass")


def _json(data: bytes) -> Any:
    """Parse a JSON object or array; None for other data."""
    if data.lstrip()[:1] not in {b"{", b"["}:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _gather(document: Any, texts: dict[str, list[str]]) -> None:
    """Add all strings of a document to `texts`, by the path of member names at which they occur.

    Positions in lists are not part of the path; the `index` member of an object is.
    """
    todo = [("", document)]
    while todo:
        at, value = todo.pop()
        if isinstance(value, str):
            texts[at].append(value)
        elif isinstance(value, list):
            todo += [(at, inner) for inner in reversed(value)]
        elif isinstance(value, dict):
            number = value.get("index", "")
            todo += [(f"{at}.{number}.{name}", inner) for name, inner in reversed(value.items())]
            texts[f"{at}..names"] += [str(name) for name in value]
