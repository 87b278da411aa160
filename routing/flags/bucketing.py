"""Bucketing `murmur3-cbor-v1`: decides which users are in the first N percent of a flag.

The position of a user is a number from 0 to 2**32-1. It is the murmur3_32 (seed 0) of the canonical CBOR of the array
[flag, user], both as text. A user is inside `percent` if `position * 100 >> 32 < percent`. flagd's `fractional` (third
definition) computes the same, so an exported flag gives the same decisions there. The rule never changes under this
name, because a change would move every user. tests/vectors/bucketing.json lists positions for other languages.
"""

from __future__ import annotations

import struct

NAME = "murmur3-cbor-v1"
_MASK = 0xFFFFFFFF


def position(flag: str, user: str) -> int:
    """The user's position for this flag, 0 .. 2**32-1; defined for any two strings."""
    return murmur3_32(b"\x82" + _cbor_text(flag) + _cbor_text(user))


def inside(flag: str, user: str, percent: int) -> bool:
    """Whether the user is among the first `percent` percent (0..100) of this flag's users.

    Raising `percent` never removes a user.
    """
    return position(flag, user) * 100 >> 32 < percent


def _cbor_text(text: str) -> bytes:
    # A caller's JSON may hold a lone surrogate. Such an id must get a position like any other instead of raising.
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
    # Inline instead of helper functions: one call per 4 bytes would halve the speed of this loop.
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
