"""Server-sent events as the standard defines them, cut anywhere."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import ProviderFailure
from routing.wire import sse

STREAM = (
    "\ufeff: comment\r\n\r\n"
    'data: {"a": "é"}\r\n\r\n'
    "event: error\ndata: one\ndata:two\n\n"
    "event: error\r\ndata: three\r\ndata: four\r\n\r\n"
    "id: 7\nretry: 10\ndata\n\n"
    "data: 日本\r\r"
    "data: unfinished"
).encode()
EVENTS = [
    sse.Event('{"a": "é"}'),
    sse.Event("one\ntwo", "error"),
    sse.Event("three\nfour", "error"),
    sse.Event(""),
    sse.Event("日本"),
]


def events(chunks: list[bytes]) -> list[sse.Event]:
    decoder = sse.Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def test_comments_are_skipped_fields_joined_and_an_unfinished_event_is_not_dispatched() -> None:
    """The whole stream in one piece gives the events that the standard defines."""
    assert events([STREAM]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_cuts_at_any_byte_change_nothing(cuts: list[int]) -> None:
    """Including cuts inside a UTF-8 character and between CR and LF."""
    edges = [0, *sorted(cuts), len(STREAM)]
    assert events([STREAM[a:b] for a, b in pairwise(edges)]) == EVENTS


def test_one_byte_at_a_time_changes_nothing() -> None:
    """This is the most extreme cut."""
    assert events([bytes([byte]) for byte in STREAM]) == EVENTS


@pytest.mark.parametrize("ends", ["\r", "\n", "\r\n", "\r\n\n"])
def test_a_flood_of_line_ends_is_read_once(ends: str) -> None:
    """The text is not read again for every line: eight times as many lines take about eight times as long."""

    def cost(count: int) -> float:
        raw, times = (ends * count).encode(), []
        for _ in range(3):
            began = time.process_time()
            assert events([raw]) == []
            times.append(time.process_time() - began)
        return min(times)

    assert cost(80_000) < 20 * cost(10_000) + 0.02


def test_bytes_that_are_not_utf8_are_a_failure_of_the_provider() -> None:
    """Replacement characters must not get into tool arguments."""
    with pytest.raises(ProviderFailure, match="bad_encoding"):
        events([b"data: \xff\xfe\n\n"])


def test_an_endless_line_is_stopped_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded, whatever a broken provider sends."""
    monkeypatch.setattr(sse, "MAX_LINE", 1000)
    with pytest.raises(ProviderFailure, match="body_too_large"):
        events([b"data: " + b"x" * 400] + [b"x" * 400] * 4)
