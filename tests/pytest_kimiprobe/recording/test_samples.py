"""Cassettes have vcrpy's format: vcrpy can replay them, and nothing that judging needs is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import vcr  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from recorded import URL, a_sample, a_step

from pytest_kimiprobe.engine.capture import CapturedExchange, CapturedFailure
from pytest_kimiprobe.recording.cassettes import Unreadable, load_yaml
from pytest_kimiprobe.recording.samples import Sample, cassette, request_fingerprint, samples_of
from routing.types import ChatRequest

STREAM = b'data: {"a":"\xc3\xbc"}\r\n\r\n: ping\n\ndata: [DONE]\n\n'


def read_back(*samples: Sample) -> list[Sample]:
    found = samples_of(load_yaml(cassette(samples).encode(), "tape.yaml"))
    assert found is not None
    return found


def test_stock_vcrpy_answers_httpx_and_requests_from_it(tmp_path: Path) -> None:
    """Two samples of one request and a streamed one, by `use_cassette` alone: same bytes, same order."""
    first, second = a_step(b'{"n":1}'), a_step(b'{"n":2}', status=429)
    stream = replace(a_step(STREAM, asked=b'{"stream":true}'), answer_headers={"content-type": "text/event-stream"})
    taken = [
        a_sample(repeat=2, captured=CapturedExchange((second,))),
        a_sample(mode="stream", captured=CapturedExchange((stream,))),
        a_sample(captured=CapturedExchange((first,))),
    ]
    (tmp_path / "tape.yaml").write_text(cassette(taken), "utf-8")
    for post in (_with_httpx, requests.post):
        on = ["method", "uri", "body"]
        with vcr.use_cassette(str(tmp_path / "tape.yaml"), record_mode="none", match_on=on) as tape:
            plain = [post(URL, data='{"model":"kimi-k2.6"}') for _ in range(2)]
            streamed = post(URL, data='{"stream":true}')
            assert tape.all_played
        assert [(answer.status_code, answer.content) for answer in plain] == [(200, b'{"n":1}'), (429, b'{"n":2}')]
        assert streamed.headers["content-type"] == "text/event-stream"
        assert streamed.content == STREAM


def _with_httpx(url: str, data: str) -> httpx.Response:
    return httpx.post(url, content=data.encode())


def test_samples_are_sorted_whatever_finished_first() -> None:
    """Plain before streamed, then by load and repeat; the order of completion does not change the text."""
    made = [a_sample(mode=mode, repeat=n, load=load) for mode in ("stream", "plain") for load in ("crowd", "alone") for n in (2, 1)]  # fmt: skip
    text = cassette(made)
    assert cassette(made[::-1]) == text
    order = [(sample.mode, sample.load, sample.repeat) for sample in read_back(*made)]
    assert order == sorted(order)


@given(st.binary(), st.binary(), st.integers(100, 599))
def test_bodies_come_back_byte_for_byte(asked: bytes, body: bytes, status: int) -> None:
    """Text stays readable in the cassette, other bytes are written as `!!binary`."""
    (sample,) = read_back(a_sample(captured=CapturedExchange((a_step(body, asked=asked, status=status),))))
    assert sample.captured.steps[0] == a_step(body, asked=asked, status=status)


def test_everything_a_judge_needs_comes_back() -> None:
    """All requests of an answer, the error that ended it, times, cost and verdict are restored."""
    broken = CapturedFailure("connection_cut", "before the answer was complete", "body", retryable=True, side="answer")
    whole = a_sample(
        captured=CapturedExchange((a_step(), a_step(b""), a_step(b"par")), broken),
        verdict="error",
        reason="connection_cut",
        first_token_ms=12.5,
        total_ms=99.123456,
        late_ms=0.5,
        at_once=8,
        refusals=2,
        cost_usd=Decimal("0.0000123"),
        cost_origin="reported",
    )
    nothing = a_sample(repeat=2, captured=CapturedExchange((), replace(broken, side="request")), run="123456789012")
    large = a_sample(repeat=3, captured=CapturedExchange((), whole=False))
    assert read_back(whole, nothing, large) == [whole, nothing, large]


def test_a_cassette_without_our_metadata_has_no_samples() -> None:
    """vcrpy's plain cassettes and other documents have no samples."""
    assert samples_of({"interactions": [], "version": 1}) is None
    assert samples_of({"interactions": [], "metadata": {"other": 1}}) is None
    assert samples_of([1]) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "this release reads version 1: upgrade"),
        ({"samples": 5}, "samples must be a list"),
        ({"samples": [5]}, "a sample must be an object"),
        ({"samples": []}, "fewer interactions than there are"),
        ({"case": None}, "case is missing"),
        ({"samples.interactions": 2}, "more interactions than there are"),
        ({"samples.interactions": -1}, "interactions must be a whole number"),
        ({"samples.interactions": 0}, "fewer interactions"),
        ({"samples.mode": "both"}, "mode must be one of plain, stream"),
        ({"samples.id": None}, "id must be a short text"),
        ({"samples.run": "x" * 3000}, "run must be a short text"),
        ({"samples.total_ms": "inf"}, "total_ms must be a number"),
        ({"samples.total_ms": "x"}, "total_ms must be a number"),
        ({"samples.cost_usd": "1e99999"}, "cost_usd must be an amount"),
        ({"samples.cost_usd": "x"}, "cost_usd must be an amount"),
        ({"samples.repeat": 10**9}, "repeat must be a whole number"),
        ({"samples.broken": {"reason": "x", "detail": "y", "phase": "z"}}, "phase must be one of"),
        ({"samples.broken": 1}, "broken must be an object"),
    ],
)
def test_a_damaged_cassette_is_refused_with_its_field(change: dict[str, Any], told: str) -> None:
    """The message names the wrong field."""
    document = load_yaml(cassette([a_sample()]).encode(), "tape.yaml")
    about = document["metadata"]["kimiprobe"]
    for name, value in change.items():
        target, _, field = name.rpartition(".")
        (about["samples"][0] if target else about)[field] = value
    with pytest.raises(Unreadable, match=told):
        samples_of(document)


def test_the_fingerprint_of_a_request_covers_what_is_set() -> None:
    """Options that are not set do not count, so an option of a later release changes no fingerprint."""
    asked = ChatRequest([{"role": "user", "content": "hi"}], max_tokens=5)
    assert request_fingerprint(asked) == request_fingerprint(replace(asked, tools=[], tool_choice=None))
    others = [replace(asked, max_tokens=6), replace(asked, stream=True), replace(asked, tool_choice="none")]
    assert len({request_fingerprint(each) for each in (asked, *others)}) == 4
    assert len(json.dumps(request_fingerprint(asked))) == 18
