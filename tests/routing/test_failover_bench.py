"""The sixteen faults of Failover Bench, through the router: plain answers and streamed ones.

Failover Bench (failoverbench/failoverbench, method v0.1) scores gateways by what the caller sees and what the provider
logs. Times are scaled by `SCALE`; docs/routing.md has the table of outcomes. Each test checks what the bench requires.
If the router does by choice what the bench calls partial, the test says so.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
from asking import FIRST, SECOND, Clock, routed
from faulty_server import USAGE, Behaviour, FaultyServer, Line, chat, delta, event, head, in_turn, reply

from routing import AllAttemptsFailed, Reply, Router, exchange, time_budget
from routing.transport import Transport

SCALE = 1 / 40
"""Seconds here for one second of the bench."""
LIMITS: Any = {
    "timeout": 90 * SCALE,
    "attempt_timeout": 30 * SCALE,
    "first_token_timeout": 15 * SCALE,
    "idle_timeout": 30 * SCALE,
}
"""The bench's base setting: 30 s for a request and for a silent stream."""
WORDS = [f"word{number} " for number in range(60)]
TEXT = "".join(WORDS)
Mode = Literal["plain", "stream"]


def body(mode: Mode) -> bytes:
    """The bench's answer of sixty words."""
    if mode == "plain":
        return json.dumps(chat(TEXT)).encode()
    return b"".join(pieces())


def pieces(*, usage: bool = True) -> list[bytes]:
    """The events of the whole stream."""
    last = event(delta("stop"))
    counts = event({"choices": [], "usage": USAGE}) if usage else b""
    return [*(event(delta(content=word)) for word in WORDS), last, counts, event(b"[DONE]")]


def head_of(mode: Mode, *headers: str, length: int | None = None) -> bytes:
    return head(200, *headers, kind="application/json" if mode == "plain" else "text/event-stream", length=length)


def well(mode: Mode) -> Behaviour:
    """Answers every request."""

    def speak(line: Line) -> None:
        while line.request():
            raw = body(mode)
            line.send(head_of(mode, length=len(raw)), raw)

    return speak


def refuses(status: int, *headers: str, code: str = "x", message: str = "no") -> Behaviour:
    """Answers every request with an error; each on a new connection."""
    error = {"error": {"code": code, "message": message}}
    return reply(error, "Connection: close", *headers, status=status)


def cut(mode: Mode, tokens: int, then: Callable[[Line], None] | None = None) -> Behaviour:
    """Sends a part of the answer, and ends the connection after `then`."""

    def speak(line: Line) -> None:
        if line.request():
            whole = body(mode)
            part = whole[: len(whole) * tokens // 60] if mode == "plain" else b"".join(pieces()[:tokens])
            line.send(head_of(mode, length=len(whole)), part)
            if then is not None:
                then(line)

    return speak


def late(seconds: float, then: Behaviour | None = None) -> Behaviour:
    """Waits for scaled seconds, then goes on."""

    def speak(line: Line) -> None:
        line.server.ending.wait(seconds * SCALE)
        if then is not None:
            then(line)

    return speak


def resets(line: Line) -> None:
    """Resets the connection once the request is there."""
    line.request()
    line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """The first import of the HTTP library takes longer than the limits of these tests."""
    Transport().warm()


@pytest.fixture(params=["plain", "stream"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param  # type: ignore[no-any-return]


class Bench:
    """A router over a primary and, if given, a fallback; `sent` counts the requests to each."""

    def __init__(self, router: Router, servers: list[FaultyServer]) -> None:
        self.router, self.servers = router, servers

    @property
    def sent(self) -> list[int]:
        return [len(server.requests) for server in self.servers]

    def ask(self, **options: Any) -> Reply:
        got = self.router.complete("Sixty words, please.", **(LIMITS | options))
        assert got.text == TEXT
        return got


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    monkeypatch.setattr(time_budget, "RETRY_S", 0.0)
    with ExitStack() as stack:

        def make(*behaviours: Behaviour) -> Bench:
            servers = [stack.enter_context(FaultyServer(speak)) for speak in behaviours]
            urls = [server.url for server in servers]
            return Bench(stack.enter_context(routed(tmp_path, monkeypatch, *urls)), servers)

        yield make


Make = Callable[..., Bench]


def test_s01_a_429_with_a_pause_once(bench: Make, mode: Mode) -> None:
    """Another endpoint is asked immediately: partial, because the bench prefers the same one after the pause."""
    it = bench(in_turn(refuses(429, "Retry-After: 2"), well(mode)), well(mode))
    assert it.ask().endpoint == SECOND
    assert it.sent == [1, 1]


def test_s01_a_429_with_a_pause_once_and_no_fallback(bench: Make, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only endpoint is asked once more, after its pause."""
    waited: list[float] = []

    async def pause(_: Transport, seconds: float) -> None:
        waited.append(seconds)
        clock.now += seconds

    it = bench(in_turn(refuses(429, "Retry-After: 2"), well(mode)))
    clock = Clock.of(it.router)
    monkeypatch.setattr(Transport, "pause", pause)
    assert it.ask(timeout=60.0).endpoint == FIRST
    assert (it.sent, sum(waited)) == ([2], 2.0)


def test_s02_429_for_ever_without_a_pause(bench: Make, mode: Mode) -> None:
    """Two requests are the most, with and without a fallback."""
    assert bench(refuses(429), well(mode)).ask().endpoint == SECOND
    alone = bench(refuses(429))
    with pytest.raises(AllAttemptsFailed, match="rate_limited"):
        alone.ask()
    assert alone.sent == [2]


def test_s03_500_once(bench: Make, mode: Mode) -> None:
    """Answered by the fallback: partial, as in S01. Without a fallback the retry is the router's."""
    it = bench(in_turn(refuses(500), well(mode)), well(mode))
    assert (it.ask().endpoint, it.sent) == (SECOND, [1, 1])
    alone = bench(in_turn(refuses(500), well(mode)))
    assert (alone.ask().endpoint, alone.sent) == (FIRST, [2])


def test_s04_503_for_ever(bench: Make, mode: Mode) -> None:
    """One request each, then none: the primary is parked."""
    it = bench(refuses(503), well(mode))
    for _ in range(8):
        assert it.ask().endpoint == SECOND
    assert it.sent == [5, 8]


def test_s05_a_reset_before_the_headers(bench: Make, mode: Mode) -> None:
    """Answered, with and without a fallback."""
    assert bench(in_turn(resets, well(mode)), well(mode)).ask().endpoint == SECOND
    assert bench(in_turn(resets, well(mode))).ask().endpoint == FIRST


def test_s06_a_host_that_never_answers(bench: Make, mode: Mode) -> None:
    """The silent route is asked once, and the fallback answers in time."""

    def silent(line: Line) -> None:
        line.request()
        line.wait()

    it = bench(silent, well(mode))
    began = time.monotonic()
    assert it.ask().endpoint == SECOND
    assert time.monotonic() - began < 100 * SCALE
    assert it.sent == [1, 1]


def test_s07_headers_and_a_late_first_token(bench: Make, mode: Mode) -> None:
    """A stream is left after the limit for the first token; a plain answer is waited for."""

    def slow(line: Line) -> None:
        line.request()
        raw = body(mode)
        line.send(head_of(mode, length=len(raw)))
        late(20)(line)
        line.send(raw)

    it = bench(slow, well(mode))
    got = it.ask()
    assert got.endpoint == (SECOND if mode == "stream" else FIRST)
    assert got.attempts[0].elapsed_ms < 30 * SCALE * 1000


def test_s08_an_answer_cut_after_forty_of_sixty_words(bench: Make, mode: Mode) -> None:
    """The whole answer comes from the fallback, and never a part of it."""
    it = bench(cut(mode, 40), well(mode))
    assert it.ask().endpoint == SECOND
    alone = bench(cut(mode, 40))
    with pytest.raises(AllAttemptsFailed, match="_cut"):
        alone.ask()
    assert alone.sent == [2]


def test_s09_a_silence_of_thirty_seconds_after_twenty_words(bench: Make, mode: Mode) -> None:
    """The whole answer comes from the fallback within 45 s."""
    it = bench(cut(mode, 20, late(30)), well(mode))
    began = time.monotonic()
    assert it.ask().endpoint == SECOND
    assert time.monotonic() - began < 45 * SCALE


def test_s10_a_part_that_is_not_json(bench: Make, mode: Mode) -> None:
    """A whole answer without that part cannot be had, so it comes from the fallback."""
    raw = body("plain")[:-9] if mode == "plain" else b"".join([*pieces()[:9], event(b"{oops"), *pieces()[10:]])

    def broken(line: Line) -> None:
        while line.request():
            line.send(head_of(mode, length=len(raw)), raw)

    it = bench(broken, well(mode))
    assert it.ask().endpoint == SECOND
    assert it.router.complete("again", **LIMITS).text == TEXT


@pytest.mark.parametrize("left_open", [False, True])
def test_s11_a_complete_stream_without_its_end_mark(
    bench: Make, monkeypatch: pytest.MonkeyPatch, left_open: bool
) -> None:
    """The answer is complete, with usage, also if the host leaves the connection open."""
    monkeypatch.setattr(exchange, "STREAM_END_S", 5 * SCALE)

    def endless(line: Line) -> None:
        line.request()
        line.send(head_of("stream"), *pieces()[:-1])
        if left_open:
            line.wait()

    it = bench(endless, well("stream"))
    got = it.ask()
    assert (got.endpoint, got.usage is not None) == (FIRST, True)
    assert got.attempts[0].elapsed_ms < LIMITS["idle_timeout"] * 1000


def test_s12_a_context_that_is_too_long(bench: Make, mode: Mode) -> None:
    """Exactly one request at that host, with and without a fallback; the reason reaches the caller."""
    long = refuses(400, code="context_length_exceeded", message="too many tokens")
    it = bench(long, well(mode))
    assert (it.ask().endpoint, it.sent) == (SECOND, [1, 1])
    alone = bench(long)
    with pytest.raises(AllAttemptsFailed, match="context_too_long"):
        alone.ask()
    assert alone.sent == [1]


def test_s13_a_refusal_by_a_content_filter(bench: Make, mode: Mode) -> None:
    """One request in all: the refusal goes to the caller, not to the next host."""
    it = bench(refuses(400, code="content_policy_violation", message="refused by policy"), well(mode))
    with pytest.raises(AllAttemptsFailed, match=r"content_filter.*refused by policy") as caught:
        it.ask()
    assert (it.sent, caught.value.error_class) == ([1, 0], "request")


def test_s14_a_cut_stream_and_a_fallback_that_refuses_a_prefill(bench: Make, mode: Mode) -> None:
    """The fallback gets the same request again, not a continuation of the cut answer."""

    def refuses_prefill(line: Line) -> None:
        while seen := line.request():
            if seen.json["messages"][-1]["role"] == "assistant":
                line.send(head(400, length=0))
                continue
            raw = body(mode)
            line.send(head_of(mode, length=len(raw)), raw)

    it = bench(cut(mode, 40), refuses_prefill)
    got = it.ask()
    assert [attempt.outcome for attempt in got.attempts] == ["failed", "ok"]
    assert got.attempts[0].reason in {"stream_cut", "connection_cut"}


def test_s15_an_outage_of_a_minute(bench: Make, mode: Mode) -> None:
    """A request each 4 s: all are served, and the primary serves again within 30 s of its return."""

    def down_at_first(line: Line) -> None:
        while line.request():
            raw = body(mode) if clock.now >= 1060 else b""
            line.send(head_of(mode, length=len(raw)) if raw else head(503, length=0), raw)

    it = bench(down_at_first, well(mode))
    clock, served = Clock.of(it.router), list[tuple[float, str]]()
    for _ in range(24):
        served.append((clock.now - 1000, it.ask().endpoint))
        clock.now += 4
    assert {endpoint for at, endpoint in served if at < 60} == {SECOND}
    first_again = min((at for at, endpoint in served if endpoint == FIRST), default=999.0)
    assert first_again <= 90
    assert it.sent[0] <= 5 + 1 + 4


def test_s16_the_reply_says_who_served_it(bench: Make, mode: Mode) -> None:
    """With usage. The cost of the failed attempt is an estimate and marked as one: a host may bill its prompt."""
    got = bench(refuses(503), well(mode)).ask()
    assert (got.endpoint, got.usage is not None) == (SECOND, True)
    assert [attempt.cost_origin for attempt in got.attempts] == ["estimated", "catalog"]
    assert got.attempts[0].usage is None
