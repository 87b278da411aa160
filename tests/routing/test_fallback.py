"""Time in the attempt loop: limits of attempts, hosts that hang, and waiting for parked endpoints."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from asking import CATALOG, FIRST, SECOND, Clock, routed
from dead_host import DEAD
from faulty_server import Behaviour, FaultyServer, Line, chat, delta, event, head, in_turn, reply
from waiting import until

from routing import AllAttemptsFailed, Reply, Router, circuit_breaker, fallback, time_budget
from routing.errors import ProviderFailure
from routing.evidence.model import Evidence, utc_text
from routing.exchange import Exchange
from routing.transport import Transport
from routing.transport.deadline import StreamLimits

WELL = reply(chat())
DOWN = reply({"error": {"message": "overloaded"}}, status=503)
BUSY = {"error": {"message": "slow down"}}


def limited(seconds: int) -> Behaviour:
    """Answers every request with 429 and a pause; each on a new connection."""
    return reply(BUSY, f"Retry-After: {seconds}", "Connection: close", status=429)


def hangs(line: Line) -> None:
    """Takes a request and never answers."""
    line.request()
    line.wait()


def comments(line: Line) -> None:
    """A stream of comments, which never begins to answer."""
    line.request()
    line.send(head(kind="text/event-stream"))
    line.drip((b": waiting\n\n" for _ in range(10_000)), 0.02)


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """The first import of the HTTP library takes longer than the limits of these tests."""
    Transport().warm()


@pytest.fixture
def routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Router, list[FaultyServer]]]]:
    """Makes a router over one or two faulty hosts."""
    with ExitStack() as stack:

        def make(*behaviours: Behaviour) -> tuple[Router, list[FaultyServer]]:
            servers = [stack.enter_context(FaultyServer(speak)) for speak in behaviours]
            urls = [server.url for server in servers]
            return stack.enter_context(routed(tmp_path, monkeypatch, *urls)), servers

        yield make


Routes = Callable[..., tuple[Router, list[FaultyServer]]]


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> Callable[[Router], Clock]:
    """Gives a router a clock that jumps ahead when a request waits."""

    def attach(router: Router) -> Clock:
        clock = Clock.of(router)

        async def pause(_: Transport, seconds: float) -> None:
            end = clock.now + seconds
            await asyncio.sleep(0)
            clock.now = max(clock.now, end)

        monkeypatch.setattr(Transport, "pause", pause)
        return clock

    return attach


Paused = Callable[[Router], Clock]


def reasons(attempts: Any) -> list[tuple[str, str]]:
    return [(attempt.endpoint, attempt.reason) for attempt in attempts]


# ------------------------------------------------------------------------------------------------- limits of attempts


def test_attempt_timeout_limits_one_attempt(routes: Routes) -> None:
    """The next endpoint gets the time that is left."""
    router, _ = routes(hangs, WELL)
    got = router.complete("hi", timeout=60.0, attempt_timeout=0.5)
    assert reasons(got.attempts) == [(FIRST, "timeout"), (SECOND, "ok")]
    assert got.attempts[0].detail == "after 0.5 s, before the answer began"


def test_first_token_timeout_limits_a_streamed_answer(routes: Routes) -> None:
    """Comments do not count as a token."""
    router, _ = routes(comments, WELL)
    got = router.complete("hi", timeout=60.0, first_token_timeout=0.5)
    assert reasons(got.attempts) == [(FIRST, "timeout"), (SECOND, "ok")]
    assert got.attempts[0].detail == "after 0.5 s, before the first token"


def test_idle_timeout_limits_the_silence_in_a_streamed_answer(routes: Routes) -> None:
    """A stream that falls silent after its first token is left."""

    def stalls(line: Line) -> None:
        line.request()
        line.send(head(kind="text/event-stream"), event(delta(content="Once ")))
        line.wait()

    router, _ = routes(stalls, WELL)
    got = router.complete("hi", timeout=60.0, idle_timeout=0.5)
    assert (reasons(got.attempts), got.text) == ([(FIRST, "timeout"), (SECOND, "ok")], "hello")
    assert got.attempts[0].detail == "after 0.5 s, without another byte"


def evidence_of(p95_ms: float, *, unreliable: bool = False, probed_at: str = "") -> dict[str, Any]:
    now = utc_text(datetime.now(UTC))
    times = {"p95_ms": 2 * p95_ms, "first_token_p95_ms": p95_ms, "latency_unreliable": unreliable}
    row = {"status": "works", "probed_at": probed_at or now, "judged": 60, "passed": 60, **times}
    return {"version": 1, "generated_at": now, "run": "r", "source": "local", "endpoints": {FIRST: row}}


SHORT, LONG = "hi", "x" * 4 * 126 * 3
"""A prompt that is shorter than the median probe's, and one that is three times as long."""
LIMITS: list[tuple[dict[str, float], dict[str, Any] | None, str, float, StreamLimits]] = [
    ({}, None, SHORT, 60, StreamLimits(30.0)),
    ({"timeout": 40}, None, SHORT, 20, StreamLimits(20.0)),
    ({"attempt_timeout": 100}, None, SHORT, 100, StreamLimits(30.0)),
    ({"attempt_timeout": 900}, None, SHORT, 120, StreamLimits(30.0)),
    ({"first_token_timeout": 7, "idle_timeout": 9}, evidence_of(10_000), SHORT, 60, StreamLimits(7.0, 9.0)),
    ({"timeout": 600}, evidence_of(7_000), SHORT, 300, StreamLimits(30.0)),
    ({"timeout": 600}, evidence_of(10_000), SHORT, 300, StreamLimits(40.0)),
    ({"timeout": 600}, evidence_of(10_000), LONG, 300, StreamLimits(120.0)),
    ({"timeout": 900}, evidence_of(10_000), LONG * 9, 450, StreamLimits(160.0)),
    ({"timeout": 600}, evidence_of(10_000, unreliable=True), SHORT, 300, StreamLimits(30.0)),
    ({"timeout": 600}, evidence_of(10_000, probed_at="2026-01-01T00:00:00Z"), SHORT, 300, StreamLimits(30.0)),
]


@pytest.mark.parametrize(("options", "evidence", "prompt", "total_s", "limits"), LIMITS, ids=range(len(LIMITS)))
def test_limits_follow_from_options_and_evidence(
    routes: Routes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: Any,
    evidence: dict[str, Any] | None,
    prompt: str,
    total_s: float,
    limits: StreamLimits,
) -> None:
    """Four times the usual time to the first token, at least 30 s; more for a prompt that is longer than the probes'."""
    asked: list[tuple[float, StreamLimits]] = []

    async def exchange(*_: Any, timeout_s: float, limits: StreamLimits, **__: Any) -> Exchange:
        asked.append((timeout_s, limits))
        return Exchange(FIRST, {}, error=ProviderFailure("tls", endpoint=FIRST))

    monkeypatch.setattr(fallback, "exchange", exchange)
    if evidence:
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "latest.json").write_text(json.dumps(evidence), "utf-8")
    router, _ = routes(WELL, WELL)
    with pytest.raises(AllAttemptsFailed):
        router.complete(prompt, **options)
    (first_s, first), (last_s, last) = asked
    assert (round(first_s), round(first.first_token_s or 0), first.idle_s) == (
        total_s,
        limits.first_token_s,
        limits.idle_s,
    )
    assert round(last_s) == min(options.get("attempt_timeout", 900), options.get("timeout", 120))
    assert last.first_token_s == options.get("first_token_timeout", 30.0)


# ---------------------------------------------------------------------------------------------------- hosts that hang


@pytest.mark.parametrize(
    ("speak", "options"),
    [(hangs, {"timeout": 0.8}), (hangs, {"timeout": 9.0, "attempt_timeout": 0.4}), (comments, {"timeout": 0.8})],
    ids=["a short timeout", "a short attempt", "comments"],
)
def test_a_host_that_hangs_is_parked_whatever_the_timeout_is(
    routes: Routes, monkeypatch: pytest.MonkeyPatch, speak: Behaviour, options: Any
) -> None:
    """The time that requests lose there counts together."""
    monkeypatch.setattr(circuit_breaker, "SILENT_S", 1.4)
    router, (host, _) = routes(speak, WELL)
    router.complete("hi", endpoints=[SECOND])  # imports are not part of the short timeouts
    got = [router.complete("hi", **options) for _ in range(12)]
    assert {one.endpoint for one in got} == {SECOND}
    assert 1 <= len(host.requests) <= 4
    assert reasons(got[-1].attempts) == [(FIRST, "parked"), (SECOND, "ok")]
    assert "without an answer (timeout)" in got[-1].attempts[0].detail


def test_one_long_silence_parks_a_host(routes: Routes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller with a long timeout loses it once, not at every request."""
    monkeypatch.setattr(circuit_breaker, "SILENT_S", 0.4)
    router, (host, _) = routes(hangs, WELL)
    router.complete("hi", endpoints=[SECOND])  # imports are not part of the short timeouts
    for _ in range(3):
        assert router.complete("hi", attempt_timeout=0.5).endpoint == SECOND
    asyncio.run(until(lambda: len(host.requests) == 1))  # a busy host may be late


def test_a_callers_cancellation_parks_nothing(routes: Routes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives its permission back, and says nothing about the host."""
    monkeypatch.setattr(circuit_breaker, "SILENT_S", 0.01)
    router, (host, _) = routes(hangs, WELL)

    async def cancel_three() -> None:
        for number in range(1, 4):
            task = asyncio.ensure_future(router.acomplete("hi"))
            await until(lambda: len(host.requests) == number)  # noqa: B023 - awaited here
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel_three())
    assert not router.status().parked


# -------------------------------------------------------------------------------------- waiting for parked endpoints


def test_a_short_pause_of_the_only_host_is_waited_for(routes: Routes, paused: Paused) -> None:
    """Both in the request that met it, and in the next one that finds the host parked."""
    router, (host,) = routes(in_turn(limited(1), WELL, limited(2), WELL))
    clock = paused(router)
    got = router.complete("hi")
    assert reasons(got.attempts) == [(FIRST, "rate_limited"), (FIRST, "ok")]
    assert (clock.now, len(host.requests)) == (1001.0, 2)


def test_a_request_that_finds_its_only_host_parked_waits_for_it(routes: Routes, paused: Paused) -> None:
    """It sends nothing before the pause is over."""
    router, (host,) = routes(in_turn(limited(2), WELL))
    clock = paused(router)
    with pytest.raises(AllAttemptsFailed) as caught:
        router.complete("hi", timeout=1.0)
    assert (len(host.requests), caught.value.attempts[0].retry_after_s) == (1, 2.0)
    got = router.complete("hi")
    assert (reasons(got.attempts), clock.now, len(host.requests)) == ([(FIRST, "ok")], 1002.0, 2)


def test_a_pause_too_long_for_the_timeout_is_not_waited_for(routes: Routes, paused: Paused) -> None:
    """A quarter of the time must be left for the attempt; the error tells the pause."""
    router, (host,) = routes(limited(8))
    clock = paused(router)
    with pytest.raises(AllAttemptsFailed) as caught:
        router.complete("hi", timeout=10.0)
    assert reasons(caught.value.attempts) == [(FIRST, "rate_limited")]
    assert (caught.value.attempts[0].retry_after_s, clock.now, len(host.requests)) == (8.0, 1000.0, 1)


@pytest.mark.parametrize("header", ["Retry-After: 0", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After: -3"])
def test_a_pause_that_is_over_is_an_ordinary_retry(routes: Routes, paused: Paused, header: str) -> None:
    """The host is not parked, and asked once more after a short random pause."""
    router, (host,) = routes(in_turn(reply(BUSY, header, "Connection: close", status=429), WELL))
    clock = paused(router)
    assert router.complete("hi").text == "hello"
    assert len(host.requests) == 2
    assert clock.now - 1000.0 <= time_budget.RETRY_S


def test_of_several_hosts_in_a_pause_the_first_to_end_is_waited_for(routes: Routes, paused: Paused) -> None:
    """Each was asked once before."""
    router, (first, second) = routes(in_turn(limited(9), WELL), in_turn(limited(3), WELL))
    clock = paused(router)
    got = router.complete("hi")
    assert reasons(got.attempts) == [(FIRST, "rate_limited"), (SECOND, "rate_limited"), (SECOND, "ok")]
    assert (clock.now, len(first.requests), len(second.requests)) == (1003.0, 1, 2)


def test_a_host_that_keeps_failing_does_not_hide_the_pause_of_another(routes: Routes, paused: Paused) -> None:
    """Its parking ends first, but only a pause that a host asked for is waited for."""
    router, (_, second) = routes(DOWN, in_turn(limited(60), WELL))
    clock = paused(router)
    for _ in range(circuit_breaker.LEAST_FAILURES):
        with pytest.raises(AllAttemptsFailed):
            router.complete("hi", endpoints=[FIRST], timeout=5.0)
    got = router.complete("hi", endpoints=[FIRST, SECOND])
    assert reasons(got.attempts) == [(FIRST, "parked"), (SECOND, "rate_limited"), (SECOND, "ok")]
    assert (clock.now >= 1060.0, len(second.requests)) == (True, 2)


def test_no_request_is_sent_three_times_to_a_host_that_keeps_asking_for_pauses(routes: Routes, paused: Paused) -> None:
    """One more request is the most."""
    router, (host,) = routes(limited(1))
    paused(router)
    with pytest.raises(AllAttemptsFailed) as caught:
        router.complete("hi")
    assert reasons(caught.value.attempts) == [(FIRST, "rate_limited")] * 2
    assert len(host.requests) == 2


def at_once(router: Router, count: int, **options: Any) -> list[Reply | BaseException]:
    """The results of that many concurrent requests."""

    async def ask() -> list[Reply | BaseException]:
        return await asyncio.gather(*(router.acomplete("hi", **options) for _ in range(count)), return_exceptions=True)

    return asyncio.run(ask())


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_crowd_sends_nothing_within_the_pause_and_one_request_after_it(
    routes: Routes, paused: Paused, hosts: int
) -> None:
    """All others follow once that one has succeeded."""
    sent: list[tuple[float, int]] = []
    crowd = threading.Event()

    def speak(line: Line) -> None:
        while line.request():
            sent.append((clock.now, len(sent)))
            if not crowd.is_set():
                line.send(head(429, "Retry-After: 5", length=0))
                continue
            raw = json.dumps(chat()).encode()
            line.send(head(length=len(raw)), raw)

    router, _ = routes(*[speak] * hosts)
    clock = paused(router)
    with pytest.raises(AllAttemptsFailed):
        router.complete("hi", timeout=2.0)
    before = len(sent)
    assert before == hosts
    crowd.set()
    got = at_once(router, 50)
    assert [one for one in got if not isinstance(one, Reply)] == []
    assert min(at for at, _ in sent[before:]) >= 1005.0
    assert len(sent) == before + 50


def test_a_host_that_goes_on_asking_for_pauses_is_asked_once_in_each(routes: Routes, paused: Paused) -> None:
    """A crowd that waits does not become a burst."""
    sent: list[float] = []

    def speak(line: Line) -> None:
        while line.request():
            sent.append(clock.now)
            line.send(head(429, "Retry-After: 5", length=0))

    router, _ = routes(speak)
    clock = paused(router)
    with pytest.raises(AllAttemptsFailed):
        router.complete("hi", timeout=2.0)
    assert all(isinstance(one, AllAttemptsFailed) for one in at_once(router, 10))
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(sent))


@pytest.mark.parametrize("well", [True, False])
def test_a_crowd_shares_the_one_request_to_a_parked_host(
    routes: Routes, monkeypatch: pytest.MonkeyPatch, well: bool
) -> None:
    """If failures have parked the only host, one request asks it; the others succeed or fail with that one."""
    monkeypatch.setattr(time_budget, "RETRY_S", 0.0)
    waiting, answer = set[object](), threading.Event()
    real = Transport.pause

    async def pause(transport: Transport, seconds: float) -> None:
        if seconds:  # an exchange pauses for 0 s before it is sent
            waiting.add(asyncio.current_task())
        if len(waiting) >= 19:
            answer.set()
        await real(transport, min(seconds, 0.01))

    def speak(line: Line) -> None:
        while line.request():
            if len(host.requests) > parked:
                answer.wait(10)
            raw = json.dumps(chat()).encode()
            good = well and len(host.requests) > parked
            line.send(head(length=len(raw)), raw) if good else line.send(head(503, length=0))

    parked = 1000
    router, (host,) = routes(speak)
    Clock.of(router)
    while not router.status().parked:
        with pytest.raises(AllAttemptsFailed):
            router.complete("hi")
    parked = len(host.requests)
    monkeypatch.setattr(Transport, "pause", pause)
    got = at_once(router, 20)
    if well:
        assert {one.endpoint for one in got if isinstance(one, Reply)} == {FIRST}
        assert not router.status().parked
        assert len(host.requests) == parked + 20
    else:
        assert all(isinstance(one, AllAttemptsFailed) for one in got)
        assert len(host.requests) == parked + 1


def test_a_cancelled_trial_lets_the_next_request_ask(routes: Routes) -> None:
    """Permission to ask a parked host is never lost."""
    hang = threading.Event()

    def speak(line: Line) -> None:
        while line.request():
            if hang.is_set():
                line.wait()
            line.send(head(503, length=0))

    router, (host, _) = routes(speak, WELL)
    clock = Clock.of(router)
    while not router.status().parked:
        router.complete("hi")
    clock.now += circuit_breaker.OPEN_S
    hang.set()
    before = len(host.requests)

    async def cancelled() -> None:
        task = asyncio.ensure_future(router.acomplete("hi"))
        await until(lambda: len(host.requests) == before + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert router.route("hi").endpoint == FIRST


UPSTREAM = f"{SECOND}+novita/fp8"


def test_after_a_failure_to_connect_other_hosts_are_asked_first(
    routes: Routes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another endpoint of the same host would fail in the same way; it is the last resort."""
    _, (host, _) = routes(WELL, WELL)
    monkeypatch.setenv("KIMIPROBE_BASE_URL_OPENROUTER", DEAD)
    flags = (tmp_path / "flags.yaml").read_text("utf-8").replace("[openrouter/", f"[{UPSTREAM}, openrouter/")
    (tmp_path / "flags.yaml").write_text(flags, "utf-8")
    names = [UPSTREAM, SECOND, FIRST]
    with Router.load(tmp_path / "flags.yaml") as router:
        got = router.complete("hi", endpoints=names)
        assert reasons(got.attempts) == [(UPSTREAM, "connect_refused"), (FIRST, "ok")]
        monkeypatch.delenv("MOONSHOT_API_KEY")
        with pytest.raises(AllAttemptsFailed) as caught:
            router.complete("hi", endpoints=names)
        refused = [(UPSTREAM, "connect_refused"), (SECOND, "connect_refused")]
        assert sorted(reasons(caught.value.attempts)) == sorted([(FIRST, "no_key"), *refused])
    assert len(host.requests) == 1


def test_a_host_that_cannot_be_reached_is_parked_as_a_whole(
    routes: Routes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Requests for its other endpoints do not find that out again."""
    routes(WELL, WELL)
    monkeypatch.setenv("KIMIPROBE_BASE_URL_OPENROUTER", DEAD)
    with Router.load(tmp_path / "flags.yaml") as router:
        Clock.of(router)
        for _ in range(circuit_breaker.LEAST_FAILURES):
            router.complete("hi", endpoints=[SECOND, FIRST])
        parked = {one.endpoint for one in router.status().parked}
    assert parked == {one.id for one in CATALOG.endpoints.values() if one.provider == "openrouter"}


def test_without_fallback_no_other_endpoint_is_asked(routes: Routes, paused: Paused) -> None:
    """A parked one neither: the caller asked for one endpoint."""
    router, (first, _) = routes(in_turn(limited(3), DOWN), DOWN)
    paused(router)
    with pytest.raises(AllAttemptsFailed):
        router.complete("hi", timeout=1.0)
    assert router.status().parked
    before = len(first.requests)
    with pytest.raises(AllAttemptsFailed):
        router.complete("hi", fallback=False)
    assert len(first.requests) == before


def test_evidence_without_times_gives_no_usual_time() -> None:
    """Neither does evidence about other endpoints."""
    assert Evidence().usual_s(FIRST, datetime.now(UTC), prompt_tokens=5, stream=True) == 0.0
