"""`murmur3-cbor-v1`: which users are inside the first N percent of a flag.

The position of a user is murmur3_32 (seed 0) over the canonical CBOR of the array [flag, user], both text: 0 .. 2**32-1.
A user is inside `percent` where `position * 100 >> 32 < percent`. That is what flagd's `fractional` (third definition)
computes, so an exported flag decides alike there. The rule never changes under this name: a change would re-draw every
user. tests/vectors/bucketing.json publishes positions for other languages.
"""

from __future__ import annotations

import struct

NAME = "murmur3-cbor-v1"
_MASK = 0xFFFFFFFF


def position(flag: str, user: str) -> int:
    """Where the user stands for this flag, 0 .. 2**32-1; any two strings have one."""
    return murmur3_32(b"\x82" + _cbor_text(flag) + _cbor_text(user))


def inside(flag: str, user: str, percent: int) -> bool:
    """Whether the user is among the first `percent` (0..100) of this flag; growing percent never loses a user."""
    return position(flag, user) * 100 >> 32 < percent


def _cbor_text(text: str) -> bytes:
    # A lone surrogate can reach us from a caller's JSON; it must bucket like any other id instead of raising.
    data = text.encode("utf-8", "surrogatepass")
    size = len(data)
    if size < 24:
        return bytes((0x60 + size,)) + data
    if size < 0x100:
        return bytes((0x78, size)) + data
    if size < 0x10000:
        return b"\x79" + size.to_bytes(2, "big") + data
    return b"\x7a" + size.to_bytes(4, "big") + data


def murmur3_32(data: bytes) -> int:
    """MurmurHash3 x86 32-bit with seed 0 (public domain, Austin Appleby), unsigned."""
    size = len(data)
    words = size >> 2
    state = 0
    # Written out, not split into helpers: a call per word would halve the speed of the only hot loop here.
    for word in struct.unpack_from(f"<{words}I", data):
        word = word * 0xCC9E2D51 & _MASK  # noqa: PLW2901
        state ^= (word << 15 | word >> 17) * 0x1B873593 & _MASK
        state = ((state << 13 | state >> 19) * 5 + 0xE6546B64) & _MASK
    if size & 3:
        word = int.from_bytes(data[words << 2 :], "little") * 0xCC9E2D51 & _MASK
        state ^= (word << 15 | word >> 17) * 0x1B873593 & _MASK
    state ^= size
    state = (state ^ state >> 16) * 0x85EBCA6B & _MASK
    state = (state ^ state >> 13) * 0xC2B2AE35 & _MASK
    return state ^ state >> 16
