"""The time limits of one exchange, with servers that keep quiet in different places."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import Asker
from faulty_server import USAGE, FaultyServer, Line, delta, event, head

from routing import exchange as exchange_module
from routing.exchange import Exchange
from routing.transport.deadline import NO_LIMITS, StreamLimits

COMMENT = b": waiting\n\n"
WORD = event(delta(content="word "))
END = event(delta("stop", content="end")) + event(b"[DONE]")
EVERY_S = 0.03
"""Seconds between two pieces of a slow answer."""


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    asker = Asker()
    yield asker
    asker.close()


def asked(asker: Asker, *pieces: bytes, limits: StreamLimits, stream: bool = True, total_s: float = 5.0) -> Exchange:
    """An exchange with a host that sends these pieces of a stream slowly, and nothing after them."""

    def speak(line: Line) -> None:
        line.request()
        if pieces:
            line.send(head(kind="text/event-stream"))
            line.drip(pieces, EVERY_S)
        if END not in pieces:
            line.wait()

    with FaultyServer(speak) as server:
        return asker.ask(server.url, stream=stream, limits=limits, timeout_s=total_s)


def failure(done: Exchange) -> str:
    assert done.error is not None
    assert (done.error.reason, done.error.error_class, done.error.retryable) == ("timeout", "provider", True)
    return done.error.detail


@pytest.mark.parametrize("pieces", [(), (COMMENT,), (COMMENT,) * 100], ids=["no headers", "a comment", "comments"])
def test_a_stream_without_a_token_ends_at_the_limit_for_the_first_token(
    asker: Asker, pieces: tuple[bytes, ...]
) -> None:
    """Neither headers nor comments are a token, and all the time counts as silence."""
    done = asked(asker, *pieces, limits=StreamLimits(first_token_s=0.15))
    assert failure(done) == "after 0.15 s, before the first token"
    assert 150 <= done.silent_ms < 2_000


def test_a_token_ends_the_limit_for_the_first_token(asker: Asker) -> None:
    """A stream may then take all of the total time."""
    done = asked(asker, *(WORD,) * 10, END, limits=StreamLimits(first_token_s=0.2))
    assert done.answer is not None
    assert done.answer.text == "word " * 10 + "end"
    assert done.total_ms > 200


def test_an_answer_that_is_not_streamed_has_no_limit_for_the_first_token(asker: Asker) -> None:
    """It comes as a whole, so only the total time limits it."""
    done = asked(asker, limits=StreamLimits(first_token_s=0.05), stream=False, total_s=0.15)
    assert failure(done) == "after 0.15 s, before the answer began"


def test_a_stream_that_was_not_asked_for_has_the_same_limits(asker: Asker) -> None:
    """Some hosts stream all their answers."""
    done = asked(asker, COMMENT, limits=StreamLimits(first_token_s=0.15), stream=False)
    assert failure(done) == "after 0.15 s, before the first token"


def test_comments_reset_the_idle_limit(asker: Asker) -> None:
    """A host that works on a long call sends comments for minutes, then the call as one piece."""
    done = asked(asker, WORD, *(COMMENT,) * 10, END, limits=StreamLimits(idle_s=0.2))
    assert done.answer is not None
    assert done.answer.text == "word end"


def test_a_stream_that_falls_silent_ends_at_the_idle_limit(asker: Asker) -> None:
    """The silence begins with the newest byte."""
    done = asked(asker, WORD, WORD, WORD, WORD, WORD, limits=StreamLimits(idle_s=0.1))
    assert failure(done) == "after 0.1 s, without another byte"
    assert 100 <= done.silent_ms < done.total_ms - 3 * EVERY_S * 1000


def test_the_idle_limit_begins_with_the_first_token(asker: Asker) -> None:
    """Until then the limit for the first token applies."""
    done = asked(asker, COMMENT, limits=StreamLimits(first_token_s=0.2, idle_s=0.05))
    assert failure(done) == "after 0.2 s, before the first token"


@pytest.mark.parametrize("limits", [StreamLimits(9.0, 9.0), StreamLimits(), StreamLimits(9.0), StreamLimits(None, 9.0)])
@pytest.mark.parametrize("pieces", [(), (WORD,)], ids=["silent", "begun"])
def test_no_limit_extends_the_total_time(asker: Asker, limits: StreamLimits, pieces: tuple[bytes, ...]) -> None:
    """The error names the limit that passed."""
    done = asked(asker, *pieces, limits=limits, total_s=0.15)
    assert failure(done).startswith("after 0.15 s, before the answer ")


@pytest.mark.parametrize("rest", [b"", event(b"[DONE]"), event({"choices": [], "usage": USAGE})])
def test_a_complete_answer_does_not_wait_for_the_end_of_the_connection(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    """A host that leaves the stream open after the finish reason delays the answer a little, and loses nothing."""
    monkeypatch.setattr(exchange_module, "STREAM_END_S", 0.1)
    done = asked(asker, WORD, event(delta("stop", content="end")) + rest, limits=NO_LIMITS)
    assert done.answer is not None
    assert (done.answer.text, done.answer.usage is not None) == ("word end", b"usage" in rest)
    assert done.total_ms < 2_000


def test_waiting_for_a_connection_is_not_the_silence_of_a_host(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The silence begins when the request gets its connection."""
    monkeypatch.setattr(asker.transport.pool(), "_turns", asyncio.Semaphore(1))
    busy = threading.Event()

    def speak(line: Line) -> None:
        line.request()
        busy.set()
        line.wait()

    with FaultyServer(speak) as server, ThreadPoolExecutor(2) as both:
        first = both.submit(asker.ask, server.url, timeout_s=0.3)
        assert busy.wait(10)
        second = both.submit(asker.ask, server.url, timeout_s=0.6).result()
    assert first.result().silent_ms >= 250
    assert failure(second) == "after 0.6 s, before the answer began"
    assert 250 <= second.silent_ms <= second.total_ms - 100
