"""Bucketing murmur3-cbor-v1: the published vectors, and the properties that a rollout relies on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.flags.bucketing import NAME, inside, murmur3_32, position

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "bucketing.json").read_text("utf-8"))
NAMES = st.text(max_size=300)


def test_the_published_vectors() -> None:
    """Each position equals the one that mmh3 and cbor2 computed; a difference would move every user."""
    assert VECTORS["algorithm"] == NAME
    assert len(VECTORS["vectors"]) > 50
    for row in VECTORS["vectors"]:
        assert position(row["flag"], row["user"]) == row["position"], row


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"\xff\xff\xff\xff", 0x76293B50), (b"!Ce\x87", 0xF55B516B), (b"!Ce", 0x7E4A8634), (b"!", 0x72661CF4)],
)
def test_murmur3_of_known_bytes(data: bytes, expected: int) -> None:
    """The hash is MurmurHash3 x86 32-bit, seed 0."""
    assert murmur3_32(data) == expected


@given(NAMES, NAMES)
def test_positions_are_32_bits_and_sticky(flag: str, user: str) -> None:
    """The same user has the same position out of 2**32 each time."""
    assert 0 <= position(flag, user) < 2**32
    assert position(flag, user) == position(flag, user)


@given(NAMES, NAMES, st.integers(0, 100), st.integers(0, 100))
def test_raising_percent_never_loses_a_user(flag: str, user: str, one: int, other: int) -> None:
    """A user inside a smaller percent is inside every larger one."""
    if inside(flag, user, min(one, other)):
        assert inside(flag, user, max(one, other))


@given(NAMES, NAMES)
def test_nobody_at_0_and_everybody_at_100(flag: str, user: str) -> None:
    """The ends of the range hold for any name."""
    assert not inside(flag, user, 0)
    assert inside(flag, user, 100)


def test_a_lone_surrogate_has_a_position() -> None:
    """An id cut in the middle of a character pair must not raise."""
    assert 0 <= position("flag", "\ud800") < 2**32


def test_names_cannot_run_into_each_other() -> None:
    """Flag "a" with user "bc" and flag "ab" with user "c" have different positions."""
    assert position("a", "bc") != position("ab", "c")


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_uniform(percent: int) -> None:
    """Of 20,000 users the requested share is inside, within four standard deviations."""
    users = 20_000
    found = sum(inside("openrouter_kimi_tool_calling", f"user-{number}", percent) for number in range(users))
    share = percent / 100
    assert abs(found - users * share) <= 4 * math.sqrt(users * share * (1 - share))


def test_two_flags_draw_independently() -> None:
    """The first users of one flag are not those of another.

    10 % of 10 % are in both, within four standard deviations.
    """
    users = 20_000
    ids = [f"user-{number}" for number in range(users)]
    both = sum(
        inside("openrouter_kimi_tool_calling", user, 10) and inside("groq_kimi_tool_calling", user, 10) for user in ids
    )
    assert abs(both - users * 0.01) <= 4 * math.sqrt(users * 0.01 * 0.99)
