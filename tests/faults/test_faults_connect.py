"""Connections, TLS and time: what is named how, what it costs, and when the next endpoint gets its turn."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from asking import FIRST, KEY, SECOND, Asker, routed
from dead_host import DEAD
from faulty_server import FaultyServer, chat, closes_kept, hangs_up, hangs_up_early, in_turn, reply, tls_of

from routing.exchange import Exchange
from routing.transport.event_loop import run

Faulty = Callable[..., FaultyServer]
HOST = "api.moonshot.ai"
SOON_S = 5.0
"""Deadlines here are below 0.5 s, servers last 30 s or longer; what is between is for a busy machine."""


def named(done: Exchange) -> tuple[str, str, str | None]:
    """Reason, error class, phase."""
    assert done.error is not None
    return done.error.reason, done.error.error_class, done.error.phase


def soon(work: Callable[[], Exchange]) -> Exchange:
    """What `work` gives long before the server would end."""
    began = time.monotonic()
    done = work()
    assert time.monotonic() - began < SOON_S
    return done


def https(server: FaultyServer) -> str:
    """The server's address as if it spoke TLS."""
    return server.url.replace("http:", "https:")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A name server: an error to raise or an event to wait for, by host; `asked` lists what it was asked."""
    answers: dict[str, Any] = {}
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        if host not in answers:
            return real(host, *rest, **more)
        asked.append(host)
        if isinstance(answers[host], Exception):
            raise answers[host]
        answers[host].wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "late")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield {"answers": answers, "asked": asked}
    for answer in answers.values():
        if isinstance(answer, threading.Event):
            answer.set()


# ------------------------------------------------------------------------------------------------------------ connect


def test_con_01_connection_refused(
    faulty: Faulty, asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the provider's, costs nothing, gives the reserved money back, and the next endpoint has its turn at once."""
    done = asker.ask(DEAD)
    assert named(done) == ("connect_refused", "provider", "connect")
    assert done.cost_usd == 0
    second = faulty(reply(chat()))
    with routed(tmp_path, monkeypatch, DEAD, second.url) as router:
        replies = [router.complete("hi", max_cost_usd=0.02) for _ in range(4)]
    assert {attempt.reason for got in replies for attempt in got.attempts} == {"connect_refused", "ok"}
    assert min(got.attempts[0].elapsed_ms for got in replies) < 1_000
    assert {got.attempts[0].cost_usd for got in replies} == {0}
    assert {seen.json["max_tokens"] for seen in second.requests} == {4096}


def test_con_02_a_name_that_does_not_exist(
    faulty: Faulty, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as `dns`, looked up once a request, and the next endpoint answers."""
    names["answers"][HOST] = socket.gaierror(socket.EAI_NONAME, "no such name")
    with routed(tmp_path, monkeypatch, f"https://{HOST}/v1", faulty(reply(chat())).url) as router:
        got = router.complete("hi")
    assert [(attempt.endpoint, attempt.reason) for attempt in got.attempts] == [(FIRST, "dns"), (SECOND, "ok")]
    assert names["asked"] == [HOST]


def test_con_03_a_name_server_that_hangs(names: dict[str, Any], faulty: Faulty, asker: Asker) -> None:
    """The deadline holds, one thread a name waits, and other names are resolved meanwhile."""
    names["answers"][HOST] = threading.Event()
    asker.ask(faulty(reply(chat())).url)  # whatever is made once is made
    for _ in range(8):
        done = soon(lambda: asker.ask(f"https://{HOST}/v1", hosts=[HOST], timeout_s=0.1))
        assert named(done) == ("timeout", "provider", "connect")
        assert done.cost_usd == 0
    assert sum(thread.name == "kimiprobe-dns" for thread in threading.enumerate()) == 1
    elsewhere = asker.ask(faulty(reply(chat())).url.replace("127.0.0.1", "localhost"))
    assert elsewhere.answer is not None


def test_con_03_a_program_does_not_wait_for_the_name_server(names: dict[str, Any]) -> None:
    """`run` returns while the look-up still hangs; asyncio's own would wait for its thread."""
    names["answers"][HOST] = threading.Event()

    async def given_up() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo(HOST, 443), 0.05)
        return began

    began = run(given_up())
    assert time.monotonic() - began < SOON_S


@pytest.mark.parametrize(("speak", "reconnects"), [("closes_idle", 0), ("closes_kept", 1)])
def test_con_06_a_kept_connection_that_the_server_had_closed(
    faulty: Faulty, asker: Asker, speak: str, reconnects: int
) -> None:
    """It is replaced once; a close that was noticed before sending needs no second try."""
    server = faulty(speak)
    assert asker.ask(server.url).answer
    idle = next(iter(asker.transport.warm().idle.values()))
    while speak == "closes_idle" and idle and not idle[0].get_extra_info("is_readable"):
        threading.Event().wait(0.001)
    assert asker.ask(server.url).answer
    assert server.connections == 2
    assert len(server.requests) == 2 + reconnects


def test_con_06_only_once(faulty: Faulty, asker: Asker) -> None:
    """A server that closes the new connection as well has failed."""
    server = faulty(in_turn(closes_kept, hangs_up, reply(chat())))
    assert asker.ask(server.url).answer
    assert named(asker.ask(server.url)) == ("connection_cut", "provider", "headers")
    assert asker.ask(server.url).answer
    assert len(server.requests) == 4


def test_con_06_never_after_a_byte_of_the_answer(faulty: Faulty, asker: Asker) -> None:
    """What the server had begun to answer is not asked again."""
    server = faulty("begins_and_closes")
    assert asker.ask(server.url).answer
    assert named(asker.ask(server.url))[0] in {"connection_cut", "malformed_body"}
    assert len(server.requests) == 2


def test_con_06_never_on_a_new_connection(faulty: Faulty, asker: Asker) -> None:
    """A server that takes a request and hangs up may have worked on it."""
    server = faulty("hangs_up")
    assert named(asker.ask(server.url)) == ("connection_cut", "provider", "headers")
    assert len(server.requests) == 1


# ---------------------------------------------------------------------------------------------------------------- tls


TODAY = datetime.now(UTC)
CERTIFICATES: dict[str, dict[str, Any]] = {
    "tls_expired": {"not_before": TODAY - timedelta(days=900), "not_after": TODAY - timedelta(days=500)},
    "tls_not_yet_valid": {"not_before": TODAY + timedelta(days=2), "not_after": TODAY + timedelta(days=9)},
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_tls_03_an_expired_certificate(faulty: Faulty, asker: Asker, trusted: trustme.CA, name: str) -> None:
    """It is named as such, the word certificate stands in the text, and a human is told what to look at."""
    certificate = trusted.issue_cert("127.0.0.1", **CERTIFICATES[name])
    done = asker.ask(faulty(reply(chat()), tls_of(certificate)).url)
    assert named(done) == ("tls", "provider", "connect")
    assert f"{name}: certificate" in str(done.error)
    assert done.error is not None
    assert "clock" in done.error.advice


def test_tls_03_a_certificate_of_another_host(faulty: Faulty, asker: Asker, trusted: trustme.CA) -> None:
    """A right certificate for somebody else is nobody's."""
    server = faulty(reply(chat()), tls_of(trusted.issue_cert("elsewhere.example")))
    done = asker.ask(server.url)
    assert "tls_wrong_host: certificate" in str(done.error)
    assert not server.requests


def test_tls_03_a_certificate_that_nobody_vouches_for(faulty: Faulty, asker: Asker, authority: trustme.CA) -> None:
    """An unknown authority's word is not taken."""
    done = asker.ask(faulty(reply(chat()), tls_of(authority.issue_cert("127.0.0.1"))).url)
    assert "tls_untrusted: certificate" in str(done.error)


def test_tls_03_a_right_certificate(faulty: Faulty, asker: Asker, trusted: trustme.CA) -> None:
    """The counterpart: with all in order the answer comes."""
    assert asker.ask(faulty(reply(chat()), tls_of(trusted.issue_cert("127.0.0.1"))).url).answer


def test_tls_04_a_handshake_that_never_completes(faulty: Faulty, asker: Asker) -> None:
    """The deadline covers the handshake, a part of connecting; the socket is closed, and what was not sent costs 0."""
    server = faulty("silent")
    asker.transport.warm()  # imports and certificates are not what the deadline is for
    done = soon(lambda: asker.ask(https(server), timeout_s=0.3))
    assert server.left.wait(1)
    assert named(done) == ("timeout", "provider", "connect")
    assert done.cost_usd == 0
    assert server.received.startswith(b"\x16\x03")
    assert KEY.encode() not in server.received


def test_tls_05_plain_text_on_a_tls_port(faulty: Faulty, asker: Asker) -> None:
    """It is a TLS failure, and the server saw nothing but the greeting of a handshake."""
    server = faulty("plaintext")
    done = asker.ask(https(server))
    assert named(done) == ("tls", "provider", "connect")
    assert "tls_plaintext" in str(done.error)
    assert server.received.startswith(b"\x16\x03")
    assert KEY.encode() not in server.received


def test_tls_05_a_handshake_that_is_cut(faulty: Faulty, asker: Asker) -> None:
    """A server that hangs up on the greeting failed at TLS, not at connecting."""
    done = asker.ask(https(faulty(hangs_up_early)))
    assert named(done) == ("tls", "provider", "connect")


# ------------------------------------------------------------------------------------------------------------ timeout


def test_tmo_01_a_server_that_never_answers(
    faulty: Faulty, asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline fires while waiting for the answer to begin, and another endpoint answers in the time that is left."""
    server = faulty("silent")
    asker.transport.warm()  # imports and certificates are not what the deadline is for
    done = soon(lambda: asker.ask(server.url, timeout_s=0.3))
    assert named(done) == ("timeout", "provider", "headers")
    with routed(tmp_path, monkeypatch, server.url, faulty(reply(chat())).url) as router:
        got = router.complete("hi", timeout=2.0)
    assert [attempt.reason for attempt in got.attempts] == ["timeout", "ok"]


@pytest.mark.parametrize("speak", ["slow_body", "slow_stream"])
def test_tmo_02_a_body_by_the_byte(faulty: Faulty, asker: Asker, speak: str) -> None:
    """The deadline is total: bytes that trickle in do not put it off."""
    asker.transport.warm()  # imports and certificates are not what the deadline is for
    done = soon(lambda: asker.ask(faulty(speak).url, timeout_s=0.3))
    assert named(done) == ("timeout", "provider", "body")
    assert done.status == 200


def test_tmo_03_headers_one_by_one(faulty: Faulty, asker: Asker) -> None:
    """The deadline is total, also before the answer has begun."""
    asker.transport.warm()  # imports and certificates are not what the deadline is for
    done = soon(lambda: asker.ask(faulty("slow_headers").url, timeout_s=0.3))
    assert named(done) == ("timeout", "provider", "headers")
