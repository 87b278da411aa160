"""Statuses and rate limits: whose doing it is, what is retried where, and how often a server is asked."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from asking import CATALOG, FIRST, SECOND, TOOL, Asker, Clock, routed
from faulty_server import (
    BEHAVIOURS,
    Behaviour,
    FaultyServer,
    Line,
    chat,
    delta,
    hangs_up,
    head,
    in_turn,
    plaintext,
    reply,
    short_body,
    silent,
    stream,
)
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from routing import AllAttemptsFailed
from routing import time_budget as delivery
from routing.errors import ExchangeError
from routing.tokens import prompt_tokens_of
from routing.types import Usage

Faulty = Callable[..., FaultyServer]


def failure(asker: Asker, server: FaultyServer, **options: Any) -> ExchangeError:
    """The error of one exchange."""
    done = asker.ask(server.url, **options)
    assert done.answer is None
    assert done.error is not None
    return done.error


# ------------------------------------------------------------------------------------------------------------- status


def cost(prompt: int, completion: int) -> Decimal:
    """USD for so many tokens at the first endpoint."""
    return CATALOG.endpoint(FIRST).prices[-1].cost(Usage(prompt, completion))


def partial(*last: Any) -> Behaviour:
    """A stream that has said something and begun a call before it breaks."""
    begun = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"amount'}}]
    return stream(delta(content="I will "), delta(content="call"), delta(tool_calls=begun), *last, done=False)


@pytest.mark.parametrize(
    "last",
    [
        {"error": {"code": 502, "message": "Upstream error"}},
        {"error": {"code": "server_error", "message": "x"}, **delta("error", content="")},
    ],
)
def test_sts_02_an_error_in_the_middle_of_a_stream(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: Any
) -> None:
    """Nothing of what came is delivered, but it counts as paid for; the most it may have cost is taken from the budget."""
    second = faulty(reply(chat()))
    with routed(tmp_path, monkeypatch, faulty(partial(last)).url, second.url) as router:
        got = router.complete("hi", tools=[TOOL], max_cost_usd=0.02)
    assert [(attempt.endpoint, attempt.reason) for attempt in got.attempts] == [(FIRST, "server_error"), (SECOND, "ok")]
    assert (got.text, got.tool_calls) == ("hello", ())
    assert second.requests[0].json["max_tokens"] < 4096
    first = got.attempts[0]
    prompt = prompt_tokens_of([{"role": "user", "content": "hi"}], [TOOL])
    came = -(-len('I will callf{"amount') // 4)
    assert (first.cost_usd, first.cost_origin) == (cost(prompt, came), "estimated")
    assert (got.cost_usd, got.cost_estimated) == (first.cost_usd + got.attempts[1].cost_usd, True)


def test_sts_02_a_stream_that_just_ends(faulty: Faulty, asker: Asker) -> None:
    """Without a finish reason it was cut, however much had come."""
    assert failure(asker, faulty(partial())).reason == "stream_cut"


@pytest.mark.parametrize(
    ("endpoint", "status", "error", "reason"),
    [
        (SECOND, 401, {"code": 401, "message": "No auth credentials found"}, "unauthorized"),
        (SECOND, 402, {"code": 402, "message": "This request requires more credits"}, "no_credit"),
        (SECOND, 403, {"code": 403, "message": "Your input was flagged"}, "forbidden"),
        (FIRST, 401, {"type": "incorrect_api_key_error", "message": "Incorrect API key provided"}, "unauthorized"),
        (FIRST, 429, {"type": "exceeded_current_quota_error", "message": "check your plan"}, "quota"),
        (FIRST, 403, {"type": "permission_denied_error", "message": "access denied"}, "forbidden"),
        (FIRST, 401, {"type": "invalid_authentication_error", "message": "Invalid Authentication"}, "unauthorized"),
        (FIRST, 403, {"message": "insufficient balance"}, "no_credit"),
    ],
)
def test_sts_04_key_credit_and_policy(
    faulty: Faulty, asker: Asker, endpoint: str, status: int, error: Any, reason: str
) -> None:
    """They are told apart, are ours and so move no flag, are not tried again, and say what to do."""
    server = faulty(reply({"error": error}, status=status))
    found = failure(asker, server, endpoint=endpoint)
    assert (found.reason, found.error_class, found.retryable) == (reason, "account", False)
    assert found.advice
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 500])
def test_sts_02_what_an_error_says_it_cost_is_what_it_cost(faulty: Faulty, asker: Asker, status: int) -> None:
    """A host may charge for an answer that it does not give."""
    usage = {"prompt_tokens": 900, "completion_tokens": 40, "cost": 0.0031}
    done = asker.ask(faulty(reply({"error": {"message": "x"}, "usage": usage}, status=status)).url)
    assert done.error is not None
    assert (done.cost_usd, done.cost_origin, done.answer) == (Decimal("0.0031"), "reported", None)
    del usage["cost"]
    counted = asker.ask(faulty(reply({"error": {"message": "x"}, "usage": usage}, status=status)).url)
    assert (counted.cost_usd, counted.estimate) == (None, Usage(900, 40))


@pytest.mark.parametrize("missing", [1, 2, 20])
def test_sts_07_a_body_that_ends_with_its_connection_too_early_was_cut(
    faulty: Faulty, asker: Asker, missing: int
) -> None:
    """No length says so; the JSON does. Another try may go well."""
    raw = json.dumps(chat()).encode()[:-missing]

    def cut(line: Line) -> None:
        line.request()
        line.send(head(200, "Connection: close"), raw)

    found = failure(asker, faulty(cut))
    assert (found.reason, found.error_class, found.retryable) == ("connection_cut", "provider", True)


@pytest.mark.parametrize("status", [404, 410])
def test_sts_05_a_model_that_is_gone(faulty: Faulty, asker: Asker, status: int) -> None:
    """It is the catalogue that is wrong: not tried again, and nobody's quality."""
    server = faulty(reply({"error": {"message": "model not found"}}, status=status))
    found = failure(asker, server)
    assert (found.reason, found.error_class, found.retryable) == ("model_retired", "selection", False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, *range(520, 530)])
@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b'{"error": {"message": "x"}}'])
def test_sts_07_the_host_is_in_trouble(faulty: Faulty, asker: Asker, status: int, body: bytes) -> None:
    """Every 5xx is the provider's and may go well later, whatever its body; here it is sent once."""
    server = faulty(reply(body, status=status))
    found = failure(asker, server)
    assert (found.error_class, found.retryable, found.status) == ("provider", True, status)
    assert found.reason in {"server_error", "overloaded", "timeout"}
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "error_class"), [(299, None), (418, "request"), (499, "request"), (600, "provider")]
)
def test_sts_09_statuses_that_nobody_knows(faulty: Faulty, asker: Asker, status: int, error_class: str | None) -> None:
    """They are judged by their first digit."""
    done = asker.ask(faulty(reply(chat(), status=status)).url)
    assert (done.error.error_class if done.error else None) == error_class
    assert (done.answer is None) == (error_class is not None)


# ---------------------------------------------------------------------------------------------------------- ratelimit


def test_rtl_03_a_host_that_asks_for_a_day(
    faulty: Faulty, asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sleeps: what was asked for is told, and the next endpoint answers at once."""
    server = faulty(reply({"error": {"message": "slow down"}}, "Retry-After: 86400", status=429))
    found = failure(asker, server)
    assert (found.reason, found.retry_after_s) == ("rate_limited", 86400.0)
    began = time.monotonic()
    with routed(tmp_path, monkeypatch, server.url, faulty(reply(chat())).url) as router:
        got = router.complete("hi", timeout=30.0)
    assert time.monotonic() - began < 5
    assert [attempt.reason for attempt in got.attempts] == ["rate_limited", "ok"]


def test_rtl_03_is_not_asked_again_until_then(faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is parked for an hour at most: route, reply and status say so, and the next endpoint answers at once."""
    server = faulty(reply({"error": {"message": "slow down"}}, "Retry-After: 86400", status=429))
    with routed(tmp_path, monkeypatch, server.url, faulty(reply(chat())).url) as router:
        clock = Clock.of(router)
        router.complete("hi")
        clock.now += 600
        got = router.complete("hi")
        assert len(server.requests) == 1
        assert [(one.endpoint, one.reason, one.sent) for one in got.attempts] == [
            (FIRST, "parked", False),
            (SECOND, "ok", True),
        ]
        why = "parked for 3000 s more: it asked for a pause of 3600 s (rate_limited)"
        assert got.attempts[0].detail == why
        assert f"{FIRST}: {why}" in " ".join(str(router.route("hi")).split())
        assert router.route("hi").endpoint == SECOND
        assert [(one.endpoint, one.seconds) for one in router.status().parked] == [(FIRST, 3000.0)]
        clock.now += 3000
        assert router.route("hi").endpoint == FIRST
        router.complete("hi")
        assert len(server.requests) == 2


def test_rtl_03_a_parked_host_is_asked_where_nothing_else_is_left(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than failing without an attempt: alone in the route, or where there is no key for the others."""
    limited = reply({"error": {"message": "slow down"}}, "Retry-After: 86400", "Connection: close", status=429)
    server = faulty(in_turn(limited, limited, reply(chat())))
    with routed(tmp_path, monkeypatch, server.url, faulty(reply(chat())).url) as router:
        router.complete("hi")
        monkeypatch.delenv("OPENROUTER_API_KEY")
        with pytest.raises(AllAttemptsFailed) as caught:
            router.complete("hi")
        assert [one.reason for one in caught.value.attempts] == ["no_key", "rate_limited"]
        assert router.complete("hi").endpoint == FIRST
        assert not router.status().parked
    assert len(server.requests) == 3


def test_rtl_06_a_crowd_meets_a_host_that_fails(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has failed five times nobody asks it, and everybody is answered by the next."""
    first = faulty(reply({"error": {"message": "overloaded"}}, status=503))
    with routed(tmp_path, monkeypatch, first.url, faulty(reply(chat())).url) as router, ThreadPoolExecutor(24) as crowd:
        clock = Clock.of(router)
        one_by_one = [router.complete("hi") for _ in range(5)]
        assert {got.attempts[0].reason for got in one_by_one} == {"overloaded"}
        got = list(crowd.map(lambda _: router.complete("hi"), range(24)))
        assert {(one.endpoint, one.attempts[0].reason) for one in got} == {(SECOND, "parked")}
        assert len(first.requests) == 5
        clock.now += 30
        got = list(crowd.map(lambda _: router.complete("hi"), range(24)))
        assert {one.endpoint for one in got} == {SECOND}
        assert len(first.requests) == 6


def test_rtl_06_a_crowd_meets_a_host_that_has_recovered(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request goes through; the others are answered elsewhere until it is, and then all go through again."""
    well, answering = threading.Event(), threading.Event()

    def speak(line: Any) -> None:
        while line.request():
            answering.wait(10)
            raw = json.dumps(chat()).encode()
            line.send(head(length=len(raw)), raw) if well.is_set() else line.send(head(503, length=0))

    first = faulty(speak)
    with routed(tmp_path, monkeypatch, first.url, faulty(reply(chat())).url) as router, ThreadPoolExecutor(24) as crowd:
        clock = Clock.of(router)
        answering.set()
        for _ in range(5):
            router.complete("hi")
        well.set()
        answering.clear()
        clock.now += 30
        waiting = [crowd.submit(router.complete, "hi") for _ in range(24)]
        elsewhere = [one.result(10).endpoint for one in islice(as_completed(waiting), 23)]
        assert (set(elsewhere), len(first.requests)) == ({SECOND}, 6)
        answering.set()
        assert {one.result(10).endpoint for one in waiting} == {FIRST, SECOND}
        assert {router.complete("hi").endpoint for _ in range(3)} == {FIRST}


FAULTS: dict[str, tuple[Behaviour, int]] = {
    "500": (reply(b"", status=500), 2),
    "429": (reply(b"", status=429), 2),
    "429, later": (reply(b"", "Retry-After: 7", status=429), 1),
    "400": (reply(b"", status=400), 1),
    "401": (reply(b"", status=401), 1),
    "404": (reply(b"", status=404), 1),
    "hangs up": (hangs_up, 2),
    "silent": (silent, 1),
    "short body": (short_body, 2),
    "off the protocol": (plaintext, 1),
    "empty": (reply(chat("")), 1),
    "cut": (partial(), 2),
    "leak": (reply(chat("<|tool_calls_section_begin|>")), 2),
    "cut leak": (
        reply(
            chat(
                '<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"note": "cut'
            )
        ),
        2,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_rtl_07_only_one_layer_retries(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The server is asked exactly as often as the attempts say: once more where it failed in passing or leaked a call."""
    monkeypatch.setattr(delivery, "RETRY_S", 0.0)
    speak, most = FAULTS[name]
    server = faulty(speak)
    with routed(tmp_path, monkeypatch, server.url) as router, pytest.raises(AllAttemptsFailed) as caught:
        router.complete("hi", tools=[TOOL], timeout=0.4 if name == "silent" else 5.0)
    assert len(caught.value.attempts) == caught.value.attempt == most
    asyncio.run(until(lambda: max(server.connections, len(server.requests)) == most))  # a busy server may be late
    assert max(server.connections, len(server.requests)) == most


@pytest.mark.parametrize("speak", [reply(b"", "Connection: close", status=503), hangs_up])
def test_sts_07_the_only_endpoint_is_asked_once_more(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speak: Behaviour
) -> None:
    """A fault that passes costs a moment, not the request; where there is another endpoint it is asked instead."""
    monkeypatch.setattr(delivery, "RETRY_S", 0.0)
    server = faulty(in_turn(speak, reply(chat())))
    with routed(tmp_path, monkeypatch, server.url) as router:
        got = router.complete("hi")
    assert [(one.endpoint, one.outcome) for one in got.attempts] == [(FIRST, "failed"), (FIRST, "ok")]
    first, second = faulty(in_turn(speak, reply(chat()))), faulty(reply(chat()))
    with routed(tmp_path, monkeypatch, first.url, second.url) as router:
        assert router.complete("hi").endpoint == SECOND
    assert len(first.requests) == 1


def test_sts_07_retries_do_not_multiply_an_outage(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100 requests to a host that is down few are sent twice: once it is parked, none is."""
    monkeypatch.setattr(delivery, "RETRY_S", 0.0)
    server = faulty(reply(b"", status=503))
    with routed(tmp_path, monkeypatch, server.url) as router:
        Clock.of(router)
        for _ in range(100):
            with pytest.raises(AllAttemptsFailed):
                router.complete("hi")
    assert 100 < len(server.requests) <= 105


def test_sts_07_a_retry_is_paid_from_the_same_budget(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first may have cost is gone."""
    monkeypatch.setattr(delivery, "RETRY_S", 0.0)
    server = faulty(reply(b"", status=500))
    with routed(tmp_path, monkeypatch, server.url) as router, pytest.raises(AllAttemptsFailed) as caught:
        router.complete("hi", max_tokens=4000, max_cost_usd=0.0165)
    assert [one.reason for one in caught.value.attempts] == ["server_error", "budget"]
    assert len(server.requests) == 1


@given(st.floats(-1.0, 1000.0))
def test_sts_07_the_pause_is_jittered_and_bounded(left_s: float) -> None:
    """Any up to half a second, never more than a quarter of the time that is left."""
    assert 0.0 <= delivery.jittered(left_s) <= max(min(0.5, left_s / 4), 0.0)


def test_sts_07_the_pauses_of_a_crowd_are_spread() -> None:
    """Or all would come back at the same moment."""
    assert len({delivery.jittered(60.0) for _ in range(100)}) > 90


def test_rtl_07_a_hundred_at_once_are_a_hundred(faulty: Faulty, asker: Asker) -> None:
    """Many requests over several clients: none is lost, none is sent twice."""
    server = faulty(reply(chat()))
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(asker.ask(server.url).answer)) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers)
    assert len(answers) == len(server.requests) == 100


def test_the_behaviours_are_told_in_a_sentence() -> None:
    """A name alone does not say what a server does."""
    assert all(speak.__doc__ for speak in BEHAVIOURS.values())


def test_a_prediction_that_cannot_be_asked_for_is_called_off(faulty: Faulty, asker: Asker) -> None:
    """The host still works on it, and would be paid for an answer that nobody reads."""
    called_off = threading.Event()

    def speak(line: Line) -> None:
        while seen := line.request():
            urls = {"get": f"{line.server.url}/p", "cancel": f"{line.server.url}/p/cancel"}
            made = seen.path.endswith("/predictions")
            raw = json.dumps({"status": "starting", "urls": urls} if made else {}).encode()
            line.send(head(201 if made else 502, length=len(raw)), raw)
            if seen.path.endswith("/p/cancel"):
                called_off.set()

    done = asker.ask(faulty(speak).url, endpoint="replicate/moonshotai/kimi-k2.5", tools=())
    assert done.error is not None
    assert done.error.reason == "server_error"
    assert called_off.wait(20)
