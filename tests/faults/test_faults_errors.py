"""What every error says of itself: where, how far, after how long, at which attempt, whose doing, again or not, what to do."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asking import FIRST, SECOND, TOOL, Asker, routed
from dead_host import DEAD
from faulty_server import Behaviour, FaultyServer, chat, delta, reply, stream

from routing import AllAttemptsFailed, NoRoute
from routing.errors import ExchangeError
from routing.reasons import REASONS

Faulty = Callable[..., FaultyServer]
CUT: Behaviour = stream(delta(content="I will "), done=False)

RAISED: list[tuple[str, str | Behaviour, dict[str, Any], str, bool]] = [
    ("bad_encoding", "gzip_chain", {}, "headers", False),
    ("bad_encoding", reply(b"no gzip", "Content-Encoding: gzip"), {}, "body", False),
    ("body_too_large", "endless_line", {"stream": True}, "body", False),
    ("connection_cut", "hangs_up", {}, "headers", True),
    ("connection_cut", "short_body", {}, "body", True),
    ("malformed_body", "no_http", {}, "headers", False),
    ("malformed_body", reply(b"<html>"), {}, "parse", True),
    ("rate_limited", reply(b"", status=429), {}, "headers", True),
    ("redirected", reply(b"", "Location: /", status=307), {}, "headers", False),
    ("server_error", reply(b"", status=500), {}, "headers", True),
    ("server_error", reply({"error": {"code": 502, "message": "x"}}), {}, "body", True),
    ("stream_cut", CUT, {"stream": True}, "body", True),
    ("timeout", "silent", {"timeout_s": 1.0}, "headers", True),
    ("timeout", "slow_body", {"timeout_s": 1.0}, "body", True),
    ("unauthorized", reply(b"", status=401), {}, "headers", False),
    ("bad_request", reply(b"", status=400), {}, "headers", False),
    ("bad_request", reply(chat()), {"tools": [{"type": "function"}]}, "send", False),
    ("model_retired", reply(b"", status=404), {}, "headers", False),
]


@pytest.mark.parametrize(("reason", "speak", "how", "phase", "retryable"), RAISED, ids=lambda value: str(value)[:30])
def test_every_error_of_an_exchange_says_all_of_itself(
    faulty: Faulty, asker: Asker, reason: str, speak: str | Behaviour, how: dict[str, Any], phase: str, retryable: bool
) -> None:
    """Endpoint, phase, time, number of the attempt, class and advice stand in it, wherever it was raised."""
    done = asker.ask(faulty(speak).url, number=3, **how)
    error = done.error
    assert error is not None
    assert (error.reason, error.phase, error.retryable) == (reason, phase, retryable)
    assert (error.endpoint, error.attempt, error.elapsed_ms) == (FIRST, 0 if phase == "send" else 3, done.total_ms)
    assert error.elapsed_ms > 0
    assert (error.error_class, error.advice) == (REASONS[reason].error_class, REASONS[reason].advice)


def test_what_never_left_this_machine_costs_nothing_and_that_is_known(faulty: Faulty, asker: Asker) -> None:
    """Refused by our own wire, by our own transport, or by the port: each is a known 0, not an estimate."""
    server = faulty(reply(chat()))
    for done in (
        asker.ask(server.url, tools=[{"type": "function"}]),
        asker.ask("https://elsewhere.example"),
        asker.ask(DEAD),
    ):
        assert done.error is not None
        assert (done.cost_usd, done.cost_origin, done.estimate) == (Decimal(0), "catalog", None)
    assert not server.requests


def test_errors_of_one_request_are_numbered(faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second endpoint's error is the second attempt's; the request's own error sums both up and says what to do."""
    first, second = faulty(reply(b"", status=500)), faulty(reply(b"", "Retry-After: 700", status=429))
    with routed(tmp_path, monkeypatch, first.url, second.url) as router, pytest.raises(AllAttemptsFailed) as caught:
        router.complete("hi")
    error, cause = caught.value, caught.value.__cause__
    assert isinstance(cause, ExchangeError)
    assert (cause.endpoint, cause.reason, cause.attempt, cause.phase) == (SECOND, "rate_limited", 2, "headers")
    assert (error.endpoint, error.attempt, error.phase, error.retryable) == (SECOND, 2, "headers", True)
    assert error.elapsed_ms == sum(attempt.elapsed_ms for attempt in error.attempts) > 0
    told = [(one.sent, one.phase, one.status, one.retryable, one.retry_after_s) for one in error.attempts]
    assert told == [(True, "headers", 500, True, None), (True, "headers", 429, True, 700.0)]
    assert str(error).endswith("what to do: wait, or lower the concurrency")


def test_an_endpoint_that_was_passed_over_is_no_attempt(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key nothing is sent: it is told, and not counted."""
    with routed(tmp_path, monkeypatch, DEAD, faulty(reply(b"", status=401)).url) as router:
        monkeypatch.delenv("MOONSHOT_API_KEY")
        with pytest.raises(AllAttemptsFailed) as caught:
            router.complete("hi")
    assert [(one.reason, one.sent) for one in caught.value.attempts] == [("no_key", False), ("unauthorized", True)]
    assert caught.value.attempt == 1
    assert isinstance(caught.value.__cause__, ExchangeError)
    assert caught.value.__cause__.attempt == 1


def test_what_is_refused_here_was_never_sent(faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that no wire can write is no attempt at any endpoint."""
    first, second = faulty(reply(chat())), faulty(reply(chat()))
    with routed(tmp_path, monkeypatch, first.url, second.url) as router, pytest.raises(AllAttemptsFailed) as caught:
        router.complete([])
    assert [(one.reason, one.sent, one.cost_usd) for one in caught.value.attempts] == [
        ("bad_request", False, Decimal(0))
    ] * 2
    assert (caught.value.attempt, first.connections + second.connections) == (0, 0)
    assert isinstance(caught.value.__cause__, ExchangeError)
    assert caught.value.__cause__.attempt == 0


def test_an_answer_that_may_not_be_delivered_failed_at_verifying(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came, and was judged."""
    with (
        routed(tmp_path, monkeypatch, faulty(reply(chat(""))).url) as router,
        pytest.raises(AllAttemptsFailed) as caught,
    ):
        router.complete("hi", tools=[TOOL])
    assert (caught.value.phase, caught.value.attempts[0].phase, caught.value.error_class) == (
        "verify",
        "verify",
        "answer",
    )
    assert caught.value.advice


def test_no_route_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And why each endpoint was left out."""
    with routed(tmp_path, monkeypatch, DEAD) as router, pytest.raises(NoRoute) as caught:
        router.complete("hi", model="kimi-k2", tools=[TOOL])
    assert "retired on" in str(caught.value)
    assert str(caught.value).endswith(f"what to do: {NoRoute.advice}")
