"""Exceptions that this machine raises: no descriptor, no network, a patched function. They are never a host's."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import FIRST, SECOND, Asker, routed
from faulty_server import FaultyServer, chat, reply

from routing.errors import AllAttemptsFailed
from routing.exchange import Exchange
from routing.transport.connection import Connection
from routing.wire import openai_answer

Faulty = Callable[..., FaultyServer]
LOCAL = [
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENETUNREACH, "Network is unreachable"),
    OSError(errno.EACCES, "Permission denied"),
    MemoryError(),
    KeyError("a mock's"),
    RuntimeError("a test blocks sockets"),
]


def named(done: Exchange) -> tuple[str, str]:
    """Reason and error class."""
    assert done.error is not None
    return done.error.reason, done.error.error_class


def fails_with(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def no_sockets(patch: pytest.MonkeyPatch, error: Exception) -> None:
    """From now on no request gets a socket; servers do."""

    class Refused(socket.socket):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            if threading.current_thread().name in {"asking", "kimiprobe-router"}:
                raise error
            super().__init__(*arguments, **options)

    patch.setattr(socket, "socket", Refused)


@pytest.mark.parametrize("error", LOCAL, ids=repr)
def test_a_socket_that_cannot_be_made_is_ours(
    error: Exception, faulty: Faulty, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent: it costs nothing, and the advice names this machine."""
    server = faulty(reply(chat(), "Connection: close"))
    assert asker.ask(server.url).answer
    no_sockets(monkeypatch, error)
    done = asker.ask(server.url)
    assert named(done) == ("local_failure", "request")
    assert done.cost_usd == 0
    assert done.error is not None
    assert "this machine" in done.error.advice


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_MEMORY])
def test_a_name_server_that_is_not_reached_is_ours(code: int, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without a network; a name that does not exist is the host's (con_02)."""
    monkeypatch.setattr(socket, "getaddrinfo", fails_with(socket.gaierror(code, "x")))
    assert named(asker.ask("https://api.moonshot.ai/v1", hosts=["api.moonshot.ai"])) == ("local_failure", "request")


def test_one_address_that_answers_for_itself_is_the_hosts(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv6 without a route says nothing, IPv4 that refuses does."""
    asker.ask("http://127.0.0.1:1")  # starts the loop

    class Made(socket.socket):
        def __init__(self, family: int = -1, *rest: Any, **more: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")
            super().__init__(family, *rest, **more)

    addresses = [(socket.AF_INET6, 1, 6, "", ("::1", 1, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 1))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    monkeypatch.setattr(socket, "socket", Made)
    asked = asker.ask("https://api.moonshot.ai/v1", hosts=["api.moonshot.ai"])
    assert named(asked) == ("connect_refused", "provider")


@pytest.mark.parametrize("error", [KeyError("a mock's"), OSError(errno.ENETDOWN, "Network is down")], ids=repr)
def test_an_exception_while_an_answer_is_read_is_ours(
    error: Exception, faulty: Faulty, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its headers or in its body."""
    server, real, reads, fails_at = faulty(reply(chat())), Connection.read, list[int](), 0

    async def read(self: Connection, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        reads.append(max_bytes)
        if len(reads) == fails_at:
            raise error
        return await real(self, max_bytes, timeout)

    monkeypatch.setattr(Connection, "read", read)
    for fails_at in (1, 2):  # noqa: B007 - `read` uses it
        reads.clear()
        assert named(asker.ask(server.url)) == ("local_failure", "request")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError(), "local_failure"), (OSError("x"), "local_failure"), (KeyError("x"), "malformed_body")],
    ids=repr,
)
def test_an_answer_that_cannot_be_parsed_is_the_hosts_unless_this_machine_failed(
    error: Exception, reason: str, faulty: Faulty, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hostile bytes must not end a service, and are the host's."""
    monkeypatch.setattr(openai_answer, "parse", fails_with(error))
    assert named(asker.ask(faulty(reply(chat())).url))[0] == reason


def test_local_failures_park_no_endpoint(faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: the next request goes to the same endpoint first."""
    servers = [faulty(reply(chat(), "Connection: close")) for _ in range(2)]
    with routed(tmp_path, monkeypatch, *(server.url for server in servers)) as router:
        router.complete("hi")
        with monkeypatch.context() as patch:
            no_sockets(patch, OSError(errno.EMFILE, "Too many open files"))
            for _ in range(30):
                with pytest.raises(AllAttemptsFailed) as caught:
                    router.complete("hi")
                tried = [(one.endpoint, one.reason, one.error_class) for one in caught.value.attempts]
                assert tried == [(name, "local_failure", "request") for name in (FIRST, SECOND)]
        assert router.complete("hi").endpoint == FIRST
